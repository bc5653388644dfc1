//! What others may ask the supervisor: what an actor is doing, a test of an
//! endpoint, to begin where the node was held, and to bring everything to an end.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{Route, Supervisor};
use crate::engine::endpoint::trial;
use crate::engine::messages::{Drain, Inspect, Look, Release, Seen, SendTest, Tell, TestOutcome};

impl Handler<Inspect> for Supervisor {
    type Result = ResponseFuture<Seen>;

    fn handle(&mut self, Inspect(endpoint, delivery): Inspect, _: &mut Context<Self>) -> Self::Result {
        let look = match self.routes.get(&endpoint) {
            Some(Route::Live { address, .. }) => Some(address.send(Look(delivery))),
            _ => None,
        };
        // One that is ending may still have something in flight, and says no more.
        let without = if self.territory.lease_of(endpoint).is_some() { Seen::Asleep } else { Seen::Elsewhere };
        Box::pin(async move {
            match look {
                Some(look) => look.await.map_or(without, Seen::Live),
                None => without,
            }
        })
    }
}

impl Handler<SendTest> for Supervisor {
    type Result = ResponseFuture<TestOutcome>;

    fn handle(&mut self, test: SendTest, _: &mut Context<Self>) -> Self::Result {
        if self.draining.is_some() {
            return Box::pin(async { TestOutcome::Unavailable });
        }
        if self.engine.hold.is_on() {
            return Box::pin(async { TestOutcome::Held });
        }
        Box::pin(trial::send(self.engine.clone(), &self.arbiters.of(test.endpoint), test))
    }
}

impl Handler<Release> for Supervisor {
    type Result = bool;

    fn handle(&mut self, _: Release, context: &mut Context<Self>) -> bool {
        let was_held = self.engine.hold.release();
        if was_held {
            self.engine.metrics.node_held.set(0);
            log::info!("this node is released, and sends what waits");
            self.sweep(&self.territory.held(), context);
        }
        was_held
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (answer, drained) = oneshot::channel();
        if self.draining.is_none() {
            self.draining = Some(Vec::new());
            // Attempts that wait for their turn do not begin any more.
            self.engine.in_flight.close();
            self.hand_over_all();
            for route in self.routes.values() {
                if let Route::Live { address, .. } = route {
                    // It must hear this, however full its mailbox is.
                    address.do_send(Tell::Drain);
                }
            }
        }
        if let Some(waiting) = &mut self.draining {
            waiting.push(answer);
        }
        self.answer_drained();
        Box::pin(async move {
            let _ = drained.await;
        })
    }
}

impl Supervisor {
    /// Answers who waits for everything to have ended, once it has.
    pub(super) fn answer_drained(&mut self) {
        if self.routes.is_empty()
            && let Some(waiting) = &mut self.draining
        {
            for answer in waiting.drain(..) {
                // Whoever asked may have lost patience.
                let _ = answer.send(());
            }
        }
    }
}
