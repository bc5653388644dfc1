//! Looks through the store for work that no actor holds: all of it at the start
//! and when a partition is gained, whatever a lost hint left behind later.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{Route, Supervisor};
use crate::domain::{EndpointId, Monotonic, PartitionSet, Timestamp};
use crate::engine::messages::Tell;
use crate::store::{self, Lane, Store, StoreError, Waiting};

/// Endpoints read from the store at once.
const WAITING_PAGE: usize = 1_000;
/// Between two looks through the store for work that no actor holds, when no
/// hint is known to be lost.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Until a look that failed is made again.
const SWEEP_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A live actor's delivery that is this late was perhaps never told of.
const LATE: Duration = Duration::from_secs(5);

/// What is to be looked through, and when.
pub(super) struct Sweeping {
    under_way: bool,
    /// Looked through as soon as that can be.
    wanted: PartitionSet,
    /// When everything is, again.
    next: Monotonic,
    /// Not before then, after a look that failed.
    not_before: Monotonic,
}

impl Sweeping {
    pub(super) fn begin(now: Monotonic) -> Self {
        Self { under_way: false, wanted: PartitionSet::NONE, next: now + SWEEP_EVERY, not_before: now }
    }

    fn want(&mut self, partitions: &PartitionSet) {
        for partition in partitions.iter() {
            self.wanted.insert(partition);
        }
    }
}

impl Supervisor {
    /// Looks through the store when a hint is known to be lost, or it is time.
    pub(super) fn look_for_lost(&mut self, context: &mut Context<Self>) {
        if self.sweeping.under_way {
            // What is lost now may have come behind the reading that is under
            // way: it waits for the next one.
            return;
        }
        let lost = self.wire.lost_any();
        if lost {
            self.sleeping.doubt_gates();
            let live: Vec<EndpointId> = self.routes.keys().copied().collect();
            for endpoint in live {
                self.remind(endpoint, context);
            }
        }
        let now = self.now();
        if lost || now >= self.sweeping.next {
            self.sweeping.next = now + SWEEP_EVERY;
            let held = self.territory.held();
            if held.is_empty() {
                // Nobody's deliveries are this node's any more.
                self.engine.metrics.oldest_overdue_seconds.set(0.0);
            }
            self.sweeping.want(&held);
        }
        self.sweep(&PartitionSet::NONE, context);
    }

    /// Nobody says which endpoints changed: whatever lives looks for itself, and a
    /// look through the store finds what sleeps and has work now. To start an actor
    /// for each that may have changed would start very many for nothing.
    pub(super) fn many_changed(&mut self, context: &mut Context<Self>) {
        let live: Vec<EndpointId> = self.routes.keys().copied().collect();
        for endpoint in live {
            self.tell(endpoint, Tell::Halt, context);
        }
        // Who is shown to be in trouble and sleeps is nobody's concern while it is held.
        // It finds out in its turn.
        let now = self.now();
        for endpoint in self.troubled.keys() {
            self.sleeping.until(*endpoint, now);
        }
        self.sleeping.doubt_gates();
        self.sweep(&self.territory.held(), context);
    }

    /// Looks through these partitions and whatever else is wanted: now, or when
    /// the look that is under way has ended.
    pub(super) fn sweep(&mut self, also: &PartitionSet, context: &mut Context<Self>) {
        self.sweeping.want(also);
        if self.engine.hold.is_on() {
            // Nobody would be woken for what is found.
            return;
        }
        if self.sweeping.under_way || self.sweeping.wanted.is_empty() || self.now() < self.sweeping.not_before {
            return;
        }
        self.sweeping.under_way = true;
        let of = std::mem::take(&mut self.sweeping.wanted);
        let store = Arc::clone(&self.engine.store);
        let now = self.engine.clock.wall();
        let look = move |store: &dyn Store| {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let (page, next) = store.waiting(&of, after, WAITING_PAGE, now)?;
                found.extend(page);
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(found),
                }
            }
        };
        let read = async move { store::blocking(&store, look).await };
        let swept = move |found, supervisor: &mut Self, context: &mut _| supervisor.swept(&of, found, context);
        context.spawn(read.into_actor(self).map(swept));
    }

    /// How long the longest is overdue. A look through a part of what is held can only
    /// find one that is so for longer.
    fn show_overdue(&self, of: &PartitionSet, found: &[Waiting], now: Timestamp) {
        let longest = found.iter().map(|waiting| now.since(waiting.due_at)).max().unwrap_or_default().as_secs_f64();
        let shown = &self.engine.metrics.oldest_overdue_seconds;
        let is_all = self.territory.held().iter().all(|partition| of.contains(partition));
        shown.set(if is_all { longest } else { longest.max(shown.get()) });
    }

    fn swept(&mut self, of: &PartitionSet, found: Result<Vec<Waiting>, StoreError>, context: &mut Context<Self>) {
        self.sweeping.under_way = false;
        let now = self.engine.clock.now();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("cannot look through the store for waiting deliveries: {error}");
                self.sweeping.want(of);
                self.sweeping.not_before = now.monotonic + SWEEP_AGAIN_AFTER;
                return;
            }
        };
        self.show_overdue(of, &found, now.wall);
        for waiting in found {
            let Waiting { endpoint, due_at, .. } = waiting;
            match self.routes.get_mut(&endpoint) {
                // It may have gone to another node meanwhile.
                None if self.territory.lease_of(endpoint).is_none() => {}
                None => self.sleeping.seen_waiting(&waiting, now),
                Some(Route::Live { .. }) if now.wall.since(due_at) > LATE => {
                    self.remind(endpoint, context);
                    self.tell(endpoint, Tell::Hint(Lane::Retry), context);
                }
                // Ended by its old lease, it does not say what is left to do.
                Some(Route::Leaving { wake, .. }) => *wake = true,
                Some(Route::Live { .. } | Route::Ending { .. }) => {}
            }
        }
        // What was asked for while this one ran.
        self.sweep(&PartitionSet::NONE, context);
    }
}
