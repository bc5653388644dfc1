//! The one writer. A thread of its own takes whatever callers have queued
//! while the last commit ran and makes it one transaction, so that an idle
//! system commits at once and a busy one commits hundreds together.
//!
//! Order of things, never another: commit with a flush to disk, tell the
//! observer what was born or changed, then answer the callers.
//!
//! A commit whose outcome is unknown ends the journal for good: the callers
//! get an error, and the process is to exit (`product.md`, promise 1).

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::EndpointId;
use crate::metrics::Metrics;
use crate::store::{Accept, Accepted, Birth, CommitError, Record, Recorded, StoreError, Transaction, Writer};

/// What a commit made true that an endpoint's actor should know. A hint: the
/// store says the same to whoever reads it.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A delivery was made.
    Born(Birth),
    /// An endpoint was made, changed or deleted, or its secrets were.
    EndpointChanged(EndpointId),
    /// Someone asked for an attempt of one of its deliveries.
    AttemptRequested(EndpointId),
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

/// Most deliveries that one commit makes, unless a single request makes more:
/// what bounds the time that others wait for it.
const DELIVERIES_PER_COMMIT: usize = 8_192;

/// A handle on the journal, cheap to clone.
#[derive(Clone)]
pub struct Journal {
    sender: mpsc::Sender<Entry>,
    /// Event bytes that may wait. A permit is given back when they are durable.
    bytes: Arc<Semaphore>,
}

/// The journal's thread, for the one who ends it.
pub struct JournalThread {
    sender: mpsc::Sender<Entry>,
    thread: thread::JoinHandle<()>,
}

/// Hears, on the journal's thread, what became of a record: it must not block.
pub type Heard = Box<dyn FnOnce(Result<Recorded, JournalError>) + Send>;

enum Entry {
    Accept { accept: Accept, reply: Reply<Accepted>, bytes: OwnedSemaphorePermit },
    Record { record: Arc<Record>, heard: Heard },
    Change(Box<dyn Change>),
    Close,
}

type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// A rare verb, with its answer kept until the commit.
trait Change: Send {
    fn apply(&mut self, transaction: &mut dyn Transaction) -> Result<(), StoreError>;
    fn committed(self: Box<Self>);
    fn failed(self: Box<Self>, error: JournalError);
}

struct TypedChange<T, F> {
    verb: F,
    answer: Option<T>,
    reply: Reply<T>,
}

impl<T, F> Change for TypedChange<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Transaction) -> Result<T, StoreError> + Send,
{
    fn apply(&mut self, transaction: &mut dyn Transaction) -> Result<(), StoreError> {
        self.answer = Some((self.verb)(transaction)?);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        let answer = self.answer.expect("a committed change was applied before");
        // A caller that has gone away learns nothing; what is written stays.
        let _ = self.reply.send(Ok(answer));
    }

    fn failed(self: Box<Self>, error: JournalError) {
        let _ = self.reply.send(Err(error));
    }
}

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
        let worker = Worker { writer, clock, metrics, observer, batch: options.batch.max(1) };
        let thread = thread::Builder::new().name("journal".into()).spawn(move || {
            let guard = EndGuard { failed: Some(failed) };
            worker.run(guard, receiver);
        })?;
        Ok((Self { sender: sender.clone(), bytes }, JournalThread { sender, thread }))
    }

    /// Accepts events. Answers when they and all their deliveries are durable,
    /// and at once when there is no room to wait in.
    pub async fn accept(&self, accept: Accept) -> Result<Accepted, JournalError> {
        let size: usize = accept.events.iter().map(|event| event.body.len()).sum();
        let size = u32::try_from(size).map_err(|_| JournalError::Full("the events' bytes"))?;
        let bytes = Arc::clone(&self.bytes)
            .try_acquire_many_owned(size)
            .map_err(|_| JournalError::Full("too many bytes of events wait to be written"))?;
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Entry::Accept { accept, reply, bytes }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JournalError::Full("too many requests wait to be written"),
            mpsc::error::TrySendError::Closed(_) => JournalError::Closed,
        })?;
        answer.await.unwrap_or(Err(JournalError::Unknown))
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
        let change = Box::new(TypedChange { verb, answer: None, reply });
        self.sender.send(Entry::Change(change)).await.map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Unknown))
    }
}

impl JournalThread {
    /// Writes what was queued before this call and ends the thread. Blocks.
    pub fn finish(self) {
        // The thread may have ended by itself: then there is nothing to send.
        let _ = self.sender.blocking_send(Entry::Close);
        if self.thread.join().is_err() {
            log::error!("the journal's thread panicked");
        }
    }
}

/// Says so if the thread ends in any other way than being told to.
struct EndGuard {
    failed: Option<oneshot::Sender<String>>,
}

impl EndGuard {
    fn clean(mut self) {
        self.failed = None;
    }

    fn fail(mut self, why: String) {
        if let Some(failed) = self.failed.take() {
            let _ = failed.send(why);
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(failed) = self.failed.take() {
            let _ = failed.send("the journal's thread panicked".to_owned());
        }
    }
}

struct Worker {
    writer: Box<dyn Writer>,
    clock: Clock,
    metrics: Arc<Metrics>,
    observer: Observer,
    batch: usize,
}

impl Worker {
    /// The channel is closed before anyone hears of an end: whoever asks after
    /// that is told that nothing was written.
    fn run(mut self, guard: EndGuard, mut receiver: mpsc::Receiver<Entry>) {
        let mut queue = Vec::with_capacity(self.batch);
        while receiver.blocking_recv_many(&mut queue, self.batch) > 0 {
            let closing = queue.iter().any(|entry| matches!(entry, Entry::Close));
            if closing {
                // Whoever is already in the channel was let in before the end.
                receiver.close();
            }
            let mut entries = queue.drain(..).filter(|entry| !matches!(entry, Entry::Close)).peekable();
            while entries.peek().is_some() {
                if let Err(why) = self.write(next_batch(&mut entries)) {
                    drop(entries);
                    drop(receiver);
                    log::error!("{why}; this process ends now and finds out when it starts again");
                    guard.fail(why);
                    return;
                }
            }
        }
        guard.clean();
    }

    /// Writes a batch whole or, where a fault of one entry would cost the
    /// others, in halves. An error is an unknown outcome.
    fn write(&mut self, mut entries: Vec<Entry>) -> Result<(), String> {
        match self.commit(&mut entries) {
            Ok(()) => Ok(()),
            Err((CommitError::RolledBack(error), entries)) if entries.len() > 1 && is_of_one_entry(&error) => {
                log::warn!("a batch of {} is written in halves: {error}", entries.len());
                let mut first = entries;
                let second = first.split_off(first.len() / 2);
                self.write(first)?;
                self.write(second)
            }
            Err((CommitError::RolledBack(error), entries)) => {
                self.metrics.journal_rollbacks.inc();
                log::error!("nothing was written for {} callers: {error}", entries.len());
                for entry in entries {
                    entry.fail(JournalError::Store(error.clone()));
                }
                Ok(())
            }
            Err((CommitError::Unknown(why), entries)) => {
                for entry in entries {
                    entry.fail(JournalError::Unknown);
                }
                Err(format!("the outcome of a commit is unknown: {why}"))
            }
        }
    }

    /// One transaction. Gives the entries back when it did not become durable.
    fn commit(&mut self, entries: &mut Vec<Entry>) -> Result<(), (CommitError, Vec<Entry>)> {
        let now = self.clock.now();
        let mut accepted = Vec::new();
        let mut recorded = Vec::new();
        let outcome = self.writer.commit(now.wall, &mut |transaction| {
            // Changes come first, so that what was acknowledged before an
            // event was posted is there when the event is matched.
            for entry in entries.iter_mut() {
                if let Entry::Change(change) = entry {
                    change.apply(transaction)?;
                }
            }
            let mut accepts = Vec::new();
            let mut records = Vec::new();
            for entry in entries.iter() {
                match entry {
                    Entry::Accept { accept, .. } => accepts.push(accept),
                    Entry::Record { record, .. } => records.push(record.as_ref()),
                    Entry::Change(_) | Entry::Close => {}
                }
            }
            accepted = transaction.accept(&accepts)?;
            recorded = transaction.record(&records)?;
            Ok(())
        });
        let notices = match outcome {
            Ok(notices) => notices,
            Err(error) => return Err((error, std::mem::take(entries))),
        };
        self.metrics.journal_commit_seconds.observe(self.clock.now().monotonic.since(now.monotonic).as_secs_f64());
        self.metrics.journal_batch_entries.observe(entries.len() as f64);
        if !notices.is_empty() {
            (self.observer)(notices);
        }
        let (mut accepted, mut recorded) = (accepted.into_iter(), recorded.into_iter());
        for entry in entries.drain(..) {
            match entry {
                Entry::Change(change) => change.committed(),
                Entry::Accept { reply, bytes, .. } => {
                    // Whoever hears the answer may count on the room.
                    drop(bytes);
                    let _ = reply.send(Ok(accepted.next().expect("one answer for each accept")));
                }
                Entry::Record { heard, .. } => heard(Ok(recorded.next().expect("one answer for each record"))),
                Entry::Close => {}
            }
        }
        Ok(())
    }
}

impl Entry {
    fn fail(self, error: JournalError) {
        match self {
            Self::Accept { reply, bytes, .. } => {
                drop(bytes);
                drop(reply.send(Err(error)));
            }
            Self::Record { heard, .. } => heard(Err(error)),
            Self::Change(change) => change.failed(error),
            Self::Close => {}
        }
    }

    /// About how many deliveries this writes.
    fn weight(&self) -> usize {
        match self {
            Self::Accept { accept, .. } => {
                accept.events.iter().map(|event| 1 + accept.subscriptions.matching(&event.event_type).len()).sum()
            }
            Self::Record { .. } | Self::Change(_) | Self::Close => 1,
        }
    }
}

/// Whether an error is one entry's fault, which the others need not share.
fn is_of_one_entry(error: &StoreError) -> bool {
    matches!(error, StoreError::Constraint(_) | StoreError::Corrupt(_))
}

/// As many entries, in order, as one commit should write.
fn next_batch(entries: &mut std::iter::Peekable<impl Iterator<Item = Entry>>) -> Vec<Entry> {
    let mut batch = Vec::new();
    let mut weight = 0;
    while let Some(entry) = entries.peek() {
        weight += entry.weight();
        if !batch.is_empty() && weight > DELIVERIES_PER_COMMIT {
            break;
        }
        batch.extend(entries.next());
    }
    batch
}
