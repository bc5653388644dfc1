//! A limit: the client alone. As many threads as the forwarder and the server
//! have send signed events to the sink, and nobody posted them: what this machine
//! can send at all, with this library and this sink.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use awc::http::Uri;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::driver::Claims;
use crate::event::Template;
use crate::forwarder::{SENDS_OF_A_CALL, Sender};
use crate::ledger::Ledger;
use crate::load::{REST, Tally};

/// The client, and where it sends.
pub struct Client {
    urls: Vec<Uri>,
    /// Events on their way at once, over all threads.
    pub lanes: usize,
    ledger: Arc<Ledger>,
}

impl Client {
    /// A client that has as much on its way as a server would have whose callers
    /// are so many.
    pub fn new(urls: Vec<Uri>, connections: usize, events_per_call: usize, ledger: Arc<Ledger>) -> Self {
        Self { urls, lanes: connections * events_per_call.min(SENDS_OF_A_CALL), ledger }
    }

    /// Sends for a while.
    pub async fn run(&self, duration: Duration, first: usize) -> io::Result<Tally> {
        let threads = std::thread::available_parallelism()?.get();
        let claims = Arc::new(Claims::new(Arc::clone(&self.ledger), duration, first, 1));
        let mut running = Vec::new();
        for thread in 0..threads {
            let lanes = self.lanes / threads + usize::from(thread < self.lanes % threads);
            let (claims, ledger, urls) = (Arc::clone(&claims), Arc::clone(&self.ledger), self.urls.clone());
            let (done, result) = oneshot::channel();
            std::thread::Builder::new().name("client".into()).spawn(move || {
                let (sender, template) = (Sender::new(), Template::new());
                let lane = || send(&claims, &ledger, &urls, &sender, &template);
                actix_rt::System::new().block_on(join_all((0..lanes).map(|_| lane())));
                // Nobody waits for it when the benchmark is being stopped.
                let _ = done.send(());
            })?;
            running.push(result);
        }
        for result in running {
            result.await.map_err(|_| io::Error::other("the client panicked"))?;
        }
        Ok(claims.tally())
    }
}

/// Sends one event after the other, each to all endpoints at once.
async fn send(claims: &Claims, ledger: &Ledger, urls: &[Uri], sender: &Sender, template: &Template) {
    while let Some(sequence) = claims.claim() {
        let body = template.event(sequence);
        let taken = match urls {
            [url] => sender.send(url, body).await,
            urls => join_all(urls.iter().map(|url| sender.send(url, body.clone()))).await.iter().all(|taken| *taken),
        };
        if taken {
            ledger.accept(sequence, ledger.now());
        } else {
            claims.fail();
            tokio::time::sleep(REST).await;
        }
    }
}
