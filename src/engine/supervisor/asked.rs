//! What others may ask the supervisor: what an actor is doing, a test of an
//! endpoint, and to bring everything to an end.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{Route, Supervisor};
use crate::engine::endpoint::state::Snapshot;
use crate::engine::endpoint::trial;
use crate::engine::messages::{Drain, Inspect, Look, SendTest, Tell, TestOutcome};

impl Handler<Inspect> for Supervisor {
    type Result = ResponseFuture<Option<Snapshot>>;

    fn handle(&mut self, Inspect(endpoint): Inspect, _: &mut Context<Self>) -> Self::Result {
        let look = match self.routes.get(&endpoint) {
            Some(Route::Live { address, .. }) => Some(address.send(Look)),
            _ => None,
        };
        Box::pin(async move {
            match look {
                Some(look) => look.await.ok(),
                None => None,
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
        Box::pin(trial::send(self.engine.clone(), &self.arbiters.of(test.endpoint), test))
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
