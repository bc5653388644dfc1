//! Sends hints to the nodes that they concern, on a thread of its own. Decides
//! who gets a queue; each queue is emptied by a task of its own (`peer.rs`), so
//! that a node which does not answer delays no other.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::sync::mpsc::Receiver;

use crate::cluster::hints::network;
use crate::cluster::hints::peer::Peer;
use crate::cluster::hints::queues::{Outlet, Queues};
use crate::cluster::hints::{Forward, Hint};
use crate::domain::Partition;
use crate::metrics::Metrics;
use crate::transport::{TlsClient, TransportFactory};

/// Bytes of an answer that are read: one to hints has none, and errors are short.
const ANSWER_BYTES: usize = 4 * 1024;

/// Where the owner of a partition is reached (`http://host:port`), as far as
/// this node knows. Asked for each hint, so it must be quick.
pub type OwnerOf = Arc<dyn Fn(Partition) -> Option<Arc<str>> + Send + Sync>;

/// How much is kept for a node and how patient its peers are with it. The
/// defaults are meant for every cluster; tests choose others.
#[derive(Clone)]
pub struct HintOptions {
    /// Hints that wait for one node at most; what comes on top is dropped.
    pub queue: usize,
    /// Hints of one request at most.
    pub request_hints: usize,
    /// How long a request may take, connecting included.
    pub timeout: Duration,
    /// From the beginning of one request to a node to the beginning of the next
    /// at least. It is what makes batches of a steady stream; a hint that comes
    /// after a silence goes at once.
    pub spacing: Duration,
    /// How long a node is left alone after a request that failed. Doubles with
    /// each that follows.
    pub pause: Duration,
    /// And never grows beyond this.
    pub pause_max: Duration,
    /// A node for which nothing has come for so long is forgotten.
    pub forget_after: Duration,
    /// Whom a node's TLS is believed by.
    pub tls: TlsClient,
}

impl Default for HintOptions {
    fn default() -> Self {
        Self {
            queue: 8_192,
            request_hints: 4_096,
            timeout: Duration::from_secs(1),
            spacing: Duration::from_millis(2),
            pause: Duration::from_millis(100),
            pause_max: Duration::from_secs(2),
            forget_after: Duration::from_secs(30),
            tls: TlsClient::unavailable("it was not said whose certificates to believe"),
        }
    }
}

/// See the module. Dropping it ends its thread, and with it what is under way.
pub struct HintSender {
    owner_of: OwnerOf,
    queues: Arc<Queues>,
    metrics: Arc<Metrics>,
    thread: Arbiter,
}

impl HintSender {
    /// Starts the thread. `token` is what the nodes of the cluster know each
    /// other by.
    ///
    /// # Panics
    /// Outside of an actix system, or where no thread can be started.
    pub fn start(owner_of: OwnerOf, token: &str, metrics: Arc<Metrics>, options: HintOptions) -> Self {
        let (queues, opened) = Queues::new(options.queue);
        let queues = Arc::new(queues);
        let template = Template {
            queues: Arc::clone(&queues),
            authorization: format!("Bearer {token}").into(),
            metrics: Arc::clone(&metrics),
            options,
        };
        let thread = Arbiter::new();
        thread.spawn_fn(move || {
            actix_rt::spawn(start_peers(opened, template));
        });
        Self { owner_of, queues, metrics, thread }
    }

    /// How many nodes it remembers.
    pub fn peers(&self) -> usize {
        self.queues.len()
    }
}

impl Forward for HintSender {
    fn forward(&self, partition: Partition, hint: Hint) {
        let address = (self.owner_of)(partition);
        if !address.is_some_and(|address| self.queues.push(address, hint)) {
            self.metrics.node_hints_dropped.inc();
        }
    }
}

impl Drop for HintSender {
    fn drop(&mut self) {
        self.thread.stop();
    }
}

/// What all peers are made of.
struct Template {
    queues: Arc<Queues>,
    authorization: Arc<str>,
    metrics: Arc<Metrics>,
    options: HintOptions,
}

async fn start_peers(mut opened: Receiver<Outlet>, template: Template) {
    let transport = network::transport(template.options.timeout, ANSWER_BYTES, template.options.tls.clone()).open();
    while let Some(outlet) = opened.recv().await {
        let peer = Peer::new(
            outlet,
            Arc::clone(&template.queues),
            Rc::clone(&transport),
            Arc::clone(&template.authorization),
            Arc::clone(&template.metrics),
            template.options.clone(),
        );
        actix_rt::spawn(peer.run());
    }
}
