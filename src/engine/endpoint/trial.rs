//! A test of an endpoint: one request, past everything that waits, that leaves
//! no trace. No actor takes part in it, and so any node may send it, whoever
//! owns the endpoint.

use std::sync::Arc;

use actix::ArbiterHandle;
use tokio::sync::oneshot;

use crate::domain::Attempt;
use crate::engine::Engine;
use crate::engine::arbiters;
use crate::engine::endpoint::request::{AttemptHeaders, Target};
use crate::engine::messages::{SendTest, TestOutcome};
use crate::store;

/// Sends a test from the arbiter that the endpoint's attempts are sent from.
pub(in crate::engine) fn send(
    engine: Engine,
    arbiter: &ArbiterHandle,
    test: SendTest,
) -> impl Future<Output = TestOutcome> + 'static {
    let (answer, sent) = oneshot::channel();
    // An arbiter that has ended drops the answer's other end.
    arbiter.spawn_fn(move || {
        actix::spawn(async move {
            // Whoever asked may have gone away.
            let _ = answer.send(attempt(&engine, test).await);
        });
    });
    async move { sent.await.unwrap_or(TestOutcome::Unavailable) }
}

async fn attempt(engine: &Engine, test: SendTest) -> TestOutcome {
    // A test shows what is stored now, also of an endpoint that holds, or whose
    // actor has not caught up with a change yet.
    let (endpoint, now) = (test.endpoint, engine.clock.wall());
    let store = Arc::clone(&engine.store);
    let read = store::blocking(&store, move |store| store.endpoint_runtime(endpoint, now)).await;
    let target = match read.and_then(|found| found.map(|runtime| Target::new(&runtime)).transpose()) {
        Ok(Some(target)) => target,
        Ok(None) => return TestOutcome::Gone,
        Err(error) => {
            log::error!("{endpoint}: cannot read its settings for a test: {error}");
            return TestOutcome::Unavailable;
        }
    };
    let started = engine.clock.now();
    let headers = AttemptHeaders { event: test.event, delivery: None, sequence: None, number: 1, at: started.wall };
    log::debug!("{endpoint}: sending a test {}", test.event_type);
    let outcome = target.told_of(arbiters::transport().send(target.request(&headers, test.body)).await);
    let duration = engine.clock.now().monotonic.since(started.monotonic);
    TestOutcome::Attempted(Attempt {
        number: 1,
        started_at: started.wall,
        duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
        outcome,
    })
}
