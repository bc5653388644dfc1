//! The one writer, as its callers see it. A thread of its own takes whatever
//! they have queued while the last commit ran and makes it one transaction, so
//! that an idle system commits at once and a busy one commits hundreds
//! together. What the thread does is in `worker`, what it does for an accept of
//! very many deliveries in `large`.
//!
//! Order of things, never another: commit with a flush to disk, tell the
//! observer what was born or changed, then answer the callers.
//!
//! A commit whose outcome is unknown ends the journal for good: the callers
//! get an error, and the process is to exit (`product.md`, promise 1).

mod entry;
mod large;
mod waiting;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::EndpointId;
use crate::metrics::Metrics;
use crate::store::{Accept, Accepted, Birth, Record, Recorded, StoreError, Transaction, Writer};

use entry::{AcceptEntry, Entry, TypedChange};
use large::LargeAccepts;
use worker::{Committer, EndGuard, Worker};

/// What a commit made true that an endpoint's actor should know. A hint: the
/// store says the same to whoever reads it.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A delivery was made.
    Born(Birth),
    /// An endpoint was made, changed or deleted, or its secrets were.
    EndpointChanged(EndpointId),
    /// A brake was set or released. So many endpoints may be held by it, or not any
    /// more, that none is named.
    BrakesChanged {
        /// How many brakes there are now.
        in_force: usize,
    },
    /// Someone asked for an attempt of one of its deliveries.
    AttemptRequested(EndpointId),
    /// A delivery was made that is due later.
    Scheduled(EndpointId),
    /// A replay made deliveries. They stand in the store like what was born while nobody
    /// had room for it: they are many, and their bytes are read when they are sent.
    Replayed {
        /// Whose.
        endpoint: EndpointId,
        /// How many.
        made: usize,
    },
}

/// Told of each commit, on the journal's thread, before any caller is.
pub type Observer = Box<dyn Fn(Vec<Notice>) + Send>;

/// Why nothing was written, or why that cannot be known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// As much is waiting to be written as may.
    #[error("the journal is full: {0}")]
    Full(&'static str),
    /// Undone: nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store went away before it answered: it may be written or not.
    #[error("the store went away before it said whether this was written")]
    Lost,
    /// It may be written or not; the process is about to end.
    #[error("whether this was written is not known")]
    Unknown,
    /// The journal has ended: nothing was written.
    #[error("the journal is closed")]
    Closed,
}

/// How much the journal takes on at once.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// Most callers waiting.
    pub queue: usize,
    /// Most bytes of event bodies waiting.
    pub queue_bytes: usize,
    /// Most callers served by one commit.
    pub batch: usize,
}

/// A commit that takes longer than this has been swallowed somewhere between here
/// and the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(7);

/// A handle on the journal, cheap to clone.
#[derive(Clone)]
pub struct Journal {
    sender: mpsc::Sender<Entry>,
    progress: Arc<Progress>,
    /// Event bytes that may wait. A permit is given back when they are durable.
    bytes: Arc<Semaphore>,
}

/// What tells a journal that has much to do from one whose store does not answer.
#[derive(Default)]
struct Progress {
    /// Commits that have ended, well or not.
    commits: AtomicU64,
    /// Somebody has waited in vain, and no commit has ended since then.
    is_stuck: AtomicBool,
}

impl Progress {
    fn commit_ended(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.is_stuck.store(false, Ordering::Relaxed);
    }
}

/// The journal's thread, for the one who ends it.
pub struct JournalThread {
    sender: mpsc::Sender<Entry>,
    thread: thread::JoinHandle<()>,
}

/// Hears, on the journal's thread, what became of a record: it must not block.
pub type Heard = Box<dyn FnOnce(Result<Recorded, JournalError>) + Send>;

impl Journal {
    /// Starts the thread. `observer` hears of every commit; `failed` gets a
    /// sentence if the journal ends by itself.
    pub fn start(
        writer: Box<dyn Writer>,
        options: JournalOptions,
        clock: Clock,
        metrics: Arc<Metrics>,
        observer: Observer,
        failed: oneshot::Sender<String>,
    ) -> std::io::Result<(Self, JournalThread)> {
        let (sender, receiver) = mpsc::channel(options.queue.max(1));
        let bytes = Arc::new(Semaphore::new(options.queue_bytes.min(Semaphore::MAX_PERMITS)));
        let progress = Arc::new(Progress::default());
        let worker = Worker {
            committer: Committer { writer, clock, metrics, observer, progress: Arc::clone(&progress) },
            large: LargeAccepts::new(options.queue.max(1)),
            batch: options.batch.max(1),
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(move || {
            let guard = EndGuard::new(failed);
            worker.run(guard, receiver);
        })?;
        Ok((Self { sender: sender.clone(), progress, bytes }, JournalThread { sender, thread }))
    }

    /// Accepts events. Answers when they and all their deliveries are durable,
    /// and at once when there is no room to wait in.
    pub async fn accept(&self, accept: Accept) -> Result<Accepted, JournalError> {
        if self.progress.is_stuck.load(Ordering::Relaxed) {
            return Err(JournalError::Full("the store has not answered for a while"));
        }
        let size: usize = accept.events.iter().map(|event| event.body.len()).sum();
        let size = u32::try_from(size).map_err(|_| JournalError::Full("the events' bytes"))?;
        let bytes = Arc::clone(&self.bytes)
            .try_acquire_many_owned(size)
            .map_err(|_| JournalError::Full("too many bytes of events wait to be written"))?;
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Entry::Accept(AcceptEntry::new(accept, reply, bytes))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JournalError::Full("too many requests wait to be written"),
            mpsc::error::TrySendError::Closed(_) => JournalError::Closed,
        })?;
        self.answer(answer).await
    }

    /// Waits for as long as there is something to wait for: not for a store that
    /// has not ended a commit since a while. What was asked for may still happen.
    async fn answer<T>(&self, mut answer: oneshot::Receiver<Result<T, JournalError>>) -> Result<T, JournalError> {
        loop {
            let seen = self.progress.commits.load(Ordering::Relaxed);
            if let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, &mut answer).await {
                return answer.unwrap_or(Err(JournalError::Unknown));
            }
            if self.progress.commits.load(Ordering::Relaxed) == seen {
                self.progress.is_stuck.store(true, Ordering::Relaxed);
                if self.progress.commits.load(Ordering::Relaxed) != seen {
                    // One has ended just now.
                    self.progress.is_stuck.store(false, Ordering::Relaxed);
                }
                return Err(JournalError::Lost);
            }
        }
    }

    /// Writes an outcome down and lets the caller hear of it. Where there is no
    /// room, gives back a wait for it, to be carried out: an attempt that was
    /// made must not be forgotten because others are being accepted. Whoever
    /// hears nothing lives in a process that is ending.
    pub fn record_then(&self, record: Arc<Record>, heard: Heard) -> Option<impl Future<Output = ()> + Send + use<>> {
        match self.sender.try_send(Entry::Record { record, heard }) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(entry)) => {
                let sender = self.sender.clone();
                Some(async move {
                    if let Err(mpsc::error::SendError(entry)) = sender.send(entry).await {
                        entry.fail(JournalError::Closed);
                    }
                })
            }
            Err(mpsc::error::TrySendError::Closed(entry)) => {
                entry.fail(JournalError::Closed);
                None
            }
        }
    }

    /// Writes an outcome down, and waits for that.
    pub async fn record(&self, record: Arc<Record>) -> Result<Recorded, JournalError> {
        let (reply, answer) = oneshot::channel();
        let heard = Box::new(move |recorded| drop(reply.send(recorded)));
        if let Some(wait) = self.record_then(record, heard) {
            wait.await;
        }
        answer.await.unwrap_or(Err(JournalError::Unknown))
    }

    /// Runs a rare verb in a commit, waiting for room. `verb` may run more
    /// than once, each time on a transaction that knows nothing of the last.
    pub async fn change<T, F>(&self, verb: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Transaction) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let change = Box::new(TypedChange::new(verb, reply));
        let sending = tokio::time::timeout(ANSWER_WITHIN, self.sender.send(Entry::Change(change)));
        let sent = sending.await.map_err(|_| JournalError::Full("too much waits to be written"))?;
        sent.map_err(|_| JournalError::Closed)?;
        self.answer(answer).await
    }
}

impl JournalThread {
    /// Writes what was queued before this call, all of what is under way in
    /// several commits included, and ends the thread. Blocks.
    pub fn finish(self) {
        // The thread may have ended by itself: then there is nothing to send.
        let _ = self.sender.blocking_send(Entry::Close);
        if self.thread.join().is_err() {
            log::error!("the journal's thread panicked");
        }
    }
}
