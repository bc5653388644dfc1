//! Looks through the store for work that no actor holds: all of it at the start
//! and when a partition is gained, whatever a lost hint left behind later.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{Route, Supervisor};
use crate::domain::{EndpointId, Monotonic, PartitionSet};
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
            let live: Vec<EndpointId> = self.routes.keys().copied().collect();
            for endpoint in live {
                self.remind(endpoint, context);
            }
        }
        let now = self.now();
        if lost || now >= self.sweeping.next {
            self.sweeping.next = now + SWEEP_EVERY;
            self.sweeping.want(&self.territory.held());
        }
        self.sweep(&PartitionSet::NONE, context);
    }

    /// Looks through these partitions and whatever else is wanted: now, or when
    /// the look that is under way has ended.
    pub(super) fn sweep(&mut self, also: &PartitionSet, context: &mut Context<Self>) {
        self.sweeping.want(also);
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
        for Waiting { endpoint, due_at } in found {
            match self.routes.get_mut(&endpoint) {
                // It may have gone to another node meanwhile.
                None if self.territory.lease_of(endpoint).is_none() => {}
                None => self.sleeping.until(endpoint, now.anchor(due_at)),
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
