//! What a node asks the owner of an endpoint, for somebody who waits for the answer.
//! Decides whom to ask and how long to wait: an owner that cannot be reached at once
//! is said to be so, and never guessed about. What is asked and answered, others
//! know; it goes by the token that nodes know each other by, as hints do.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use actix_rt::time::timeout;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::cluster::hints::network;
use crate::cluster::owners::Owners;
use crate::domain::{NodeId, Outcome, Partition};
use crate::transport::{Request, TlsClient, Transport, TransportFactory};

/// Where a node answers what an endpoint's actor is doing.
pub const ACTORS_PATH: &str = "/cluster/actors";
/// Where a node answers how it is and what it is configured with.
pub const NODE_PATH: &str = "/cluster/node";
/// How long an answer may take, connecting included: a person waits for it, and has
/// the rest of theirs from the store.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Questions that may be under way at once.
const QUESTIONS: usize = 64;
/// The longest answer that is read: what a node counted of 257 types, each with a name as
/// long as there may be, fits in.
const ANSWER_BYTES: usize = 64 * 1024;

/// The way to the other nodes for whoever has a question. A clone is the same way.
#[derive(Clone)]
pub struct Neighbours {
    owners: Owners,
    /// `None` where nodes have no token to know each other by.
    asker: Option<Arc<Asker>>,
}

/// The node that owns a partition, as far as this one knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which.
    pub node: NodeId,
    /// Where it is reached (`http://host:port`), if it says so.
    pub address: Option<Arc<str>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// This node has no token, or the other one no address.
    #[error("there is no way to it: nodes need a `cluster_token` and an address")]
    NoWay,
    /// Too much is being asked already.
    #[error("too many questions are under way")]
    Busy,
    /// The other one said something else, nothing, or too late.
    #[error("{0}")]
    Failed(String),
}

struct Asker {
    questions: mpsc::Sender<Question>,
    room: Arc<Semaphore>,
    thread: Arbiter,
}

struct Question {
    url: Arc<str>,
    body: Bytes,
    answer: oneshot::Sender<Outcome>,
    /// Held until it is answered.
    _room: OwnedSemaphorePermit,
}

impl Neighbours {
    /// Knows who they are, and can ask them if there is a token. Their TLS is believed
    /// by `tls`.
    ///
    /// # Panics
    /// Where there is a token: outside of an actix system, or where no thread can
    /// be started.
    pub fn new(owners: Owners, token: Option<&str>, tls: TlsClient) -> Self {
        Self { owners, asker: token.map(|token| Arc::new(Asker::start(token, tls))) }
    }

    /// The other node that owns a partition; `None` when it is nobody, or this one.
    pub fn owner_of(&self, partition: Partition) -> Option<Neighbour> {
        self.owners.owner_of(partition)
    }

    /// Posts a question to a path of a node, and answers what it said.
    pub async fn ask(&self, neighbour: &Neighbour, path: &str, body: Bytes) -> Result<Bytes, NoAnswer> {
        let (Some(asker), Some(address)) = (&self.asker, &neighbour.address) else { return Err(NoAnswer::NoWay) };
        let room = Arc::clone(&asker.room).try_acquire_owned().map_err(|_| NoAnswer::Busy)?;
        let (answer, answered) = oneshot::channel();
        let url = format!("{}{path}", address.trim_end_matches('/')).into();
        // There is room for as many as have a permit.
        asker.questions.try_send(Question { url, body, answer, _room: room }).map_err(|_| NoAnswer::Busy)?;
        let outcome = match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => return Err(NoAnswer::Failed(format!("no answer within {ANSWER_WITHIN:?}"))),
        };
        match (outcome.status_code, outcome.error) {
            (Some(200), None) => Ok(outcome.response_body),
            (_, Some(error)) => Err(NoAnswer::Failed(error.message)),
            (status, None) => Err(NoAnswer::Failed(format!("it answered {status:?}"))),
        }
    }
}

impl Asker {
    fn start(token: &str, tls: TlsClient) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let authorization: Arc<str> = format!("Bearer {token}").into();
        let thread = Arbiter::new();
        thread.spawn_fn(move || {
            actix_rt::spawn(answer_all(asked, authorization, tls));
        });
        Self { questions, room: Arc::new(Semaphore::new(QUESTIONS)), thread }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.thread.stop();
    }
}

async fn answer_all(mut asked: mpsc::Receiver<Question>, authorization: Arc<str>, tls: TlsClient) {
    let transport = network::transport(ANSWER_WITHIN, ANSWER_BYTES, tls).open();
    while let Some(question) = asked.recv().await {
        actix_rt::spawn(send(Rc::clone(&transport), question, Arc::clone(&authorization)));
    }
}

async fn send(transport: Rc<dyn Transport>, question: Question, authorization: Arc<str>) {
    let Question { url, body, answer, _room } = question;
    let headers = vec![
        ("content-type".into(), "application/json".to_owned()),
        ("authorization".into(), authorization.to_string()),
    ];
    let outcome = transport.send(Request { url, headers, body, timeout: ANSWER_WITHIN, certificate: None }).await;
    // Whoever asked may have lost patience.
    let _ = answer.send(outcome);
}
