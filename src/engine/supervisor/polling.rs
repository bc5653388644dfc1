//! Looks for what was born through other nodes, in case no hint of it comes:
//! often while it finds something that no actor knew of, seldom while hints do
//! their work. Where one node owns everything, nobody looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;

use super::{Route, Supervisor, TICK};
use crate::domain::{DeliveryId, EndpointId, Monotonic};
use crate::engine::messages::Tell;
use crate::store::{self, BornSince, Sighting, Store, StoreError};

/// Between two looks while they find something.
const OFTEN: Duration = TICK;
/// Between two looks when there is nothing to find.
const SELDOM: Duration = Duration::from_secs(1);
/// How often what was lately accepted is looked at anew: what was committed late
/// stands before what has been seen.
const WINDOW_EVERY: Duration = Duration::from_secs(1);
/// How far back that goes. A sweep finds what is older.
const WINDOW: Duration = Duration::from_secs(10);
/// Deliveries read at once.
const PAGE: usize = 4_096;
/// Most pages of one look; the next goes on from there.
const PAGES: usize = 16;

/// How far was looked, and when to look on.
pub(super) struct Polling {
    under_way: bool,
    pause: Duration,
    /// When the last look began.
    begun: Monotonic,
    next: Monotonic,
    next_window: Monotonic,
    /// The latest delivery seen.
    last: Option<DeliveryId>,
    /// An actor was told of something that it did not know.
    overlooked: Arc<AtomicBool>,
}

impl Polling {
    pub(super) fn begin(now: Monotonic) -> Self {
        Self {
            under_way: false,
            pause: OFTEN,
            begun: now,
            next: now,
            next_window: now,
            last: None,
            overlooked: Arc::default(),
        }
    }

    /// Where an actor says that it had not known of something.
    pub(super) fn overlooked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.overlooked)
    }

    /// Pauses for so long. Half a tick less, since it is ticks that count it.
    fn pause(&mut self, pause: Duration) {
        self.pause = pause;
        self.next = self.begun + pause - TICK / 2;
    }
}

impl Supervisor {
    /// Looks for new deliveries if it is time to. Each tick.
    pub(super) fn poll(&mut self, context: &mut Context<Self>) {
        if self.territory.is_sole() {
            return;
        }
        let now = self.engine.clock.now();
        if self.polling.overlooked.swap(false, Ordering::AcqRel) {
            self.polling.pause(OFTEN);
        }
        if self.polling.under_way || now.monotonic < self.polling.next {
            return;
        }
        let held = self.territory.held();
        if held.is_empty() {
            return;
        }
        let since = match self.polling.last {
            Some(last) if now.monotonic < self.polling.next_window => BornSince::Delivery(last),
            _ => {
                self.polling.next_window = now.monotonic + WINDOW_EVERY - TICK / 2;
                BornSince::Time(now.wall - WINDOW)
            }
        };
        self.polling.under_way = true;
        self.polling.begun = now.monotonic;
        let store = Arc::clone(&self.engine.store);
        let look = move |store: &dyn Store| {
            let (mut found, mut since) = (Vec::new(), since);
            for _ in 0..PAGES {
                let page = store.born(&held, since, PAGE)?;
                let is_last = page.len() < PAGE;
                found.extend(page);
                match found.last() {
                    Some(Sighting { delivery, .. }) if !is_last => since = BornSince::Delivery(*delivery),
                    _ => break,
                }
            }
            Ok(found)
        };
        let read = async move { store::blocking(&store, look).await };
        context.spawn(read.into_actor(self).map(|found, supervisor, context| supervisor.polled(found, context)));
    }

    fn polled(&mut self, found: Result<Vec<Sighting>, StoreError>, context: &Context<Self>) {
        self.polling.under_way = false;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::warn!("cannot look for new deliveries: {error}");
                self.polling.pause(SELDOM);
                return;
            }
        };
        let mut seen: HashMap<EndpointId, Vec<DeliveryId>> = HashMap::new();
        for Sighting { endpoint, delivery, .. } in found {
            self.polling.last = self.polling.last.max(Some(delivery));
            seen.entry(endpoint).or_default().push(delivery);
        }
        let mut is_news = false;
        for (endpoint, deliveries) in seen {
            match self.routes.get(&endpoint) {
                // Whether it is news to the actor, it says itself.
                Some(Route::Live { .. }) => self.tell(endpoint, Tell::Sighted(deliveries), context),
                _ => is_news |= self.wake(endpoint, context).is_some(),
            }
        }
        let pause = if is_news { OFTEN } else { (self.polling.pause * 2).min(SELDOM) };
        self.polling.pause(pause);
    }
}
