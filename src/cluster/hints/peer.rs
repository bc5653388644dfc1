//! One node that hints are sent to. Decides when a request goes out: one at a
//! time, with all that has queued up meanwhile, so that batches are as large as
//! the node is slow. One that fails is left alone for a while, and what comes
//! for it then is dropped: by the time it is back it has looked for itself.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::{sleep, timeout};
use bytes::Bytes;
use futures_util::future::join;

use crate::cluster::hints::queues::{Outlet, Queues};
use crate::cluster::hints::{HINTS_PATH, Hint, HintOptions, json};
use crate::metrics::Metrics;
use crate::transport::{Request, Transport};

/// See the module.
pub(super) struct Peer {
    outlet: Outlet,
    queues: Arc<Queues>,
    transport: Rc<dyn Transport>,
    url: Arc<str>,
    authorization: Arc<str>,
    metrics: Arc<Metrics>,
    options: HintOptions,
    /// How long it is left alone after the next failure; `None` while all is
    /// well.
    next_pause: Option<Duration>,
}

impl Peer {
    pub(super) fn new(
        outlet: Outlet,
        queues: Arc<Queues>,
        transport: Rc<dyn Transport>,
        authorization: Arc<str>,
        metrics: Arc<Metrics>,
        options: HintOptions,
    ) -> Self {
        let url = format!("{}{HINTS_PATH}", outlet.address.trim_end_matches('/')).into();
        Self { outlet, queues, transport, url, authorization, metrics, options, next_pause: None }
    }

    /// Sends what comes until nothing has come for a while.
    pub(super) async fn run(mut self) {
        let mut hints = Vec::new();
        loop {
            let taking = self.outlet.hints.recv_many(&mut hints, self.options.request_hints);
            match timeout(self.options.forget_after, taking).await {
                Err(_) if self.queues.close(&self.outlet) => return,
                Err(_) => continue,
                Ok(0) => return,
                Ok(_) => {}
            }
            // The spacing runs beside the request, so that only a node that
            // answers sooner is waited for.
            let (sent, ()) = join(self.send(&hints), sleep(self.options.spacing)).await;
            let count = hints.len() as u64;
            hints.clear();
            match sent {
                Ok(()) => {
                    self.metrics.node_hints_sent.inc_by(count);
                    self.is_well();
                }
                Err(why) => {
                    self.metrics.node_hints_dropped.inc_by(count);
                    self.leave_alone(&why, &mut hints).await;
                }
            }
        }
    }

    /// One request; the error is a sentence.
    async fn send(&self, hints: &[Hint]) -> Result<(), String> {
        let body: Bytes = json::encode(hints);
        let headers = vec![
            ("content-type".into(), "application/json".to_owned()),
            ("authorization".into(), self.authorization.to_string()),
        ];
        let request =
            Request { url: Arc::clone(&self.url), headers, body, timeout: self.options.timeout, certificate: None };
        let outcome = self.transport.send(request).await;
        match (outcome.status_code, outcome.error) {
            (Some(401), _) => Err("it answers 401: is its cluster token the same as here?".to_owned()),
            (_, Some(error)) => Err(error.message),
            (_, None) => Ok(()),
        }
    }

    fn is_well(&mut self) {
        if self.next_pause.take().is_some() {
            log::info!("the node at {} takes hints again", self.outlet.address);
        }
    }

    /// Drops what comes for this node until the pause is over.
    async fn leave_alone(&mut self, why: &str, hints: &mut Vec<Hint>) {
        let pause = self.next_pause.unwrap_or_else(|| {
            // Once for each time that it stops taking them.
            log::warn!("the node at {} takes no hints and has to look for itself: {why}", self.outlet.address);
            self.options.pause
        });
        self.next_pause = Some(pause.saturating_mul(2).min(self.options.pause_max));
        let dropping = async {
            while self.outlet.hints.recv_many(hints, self.options.request_hints).await > 0 {
                self.metrics.node_hints_dropped.inc_by(hints.len() as u64);
                hints.clear();
            }
            // The queue has ended, and the pause goes on.
            std::future::pending::<()>().await;
        };
        let _ = timeout(pause, dropping).await;
    }
}
