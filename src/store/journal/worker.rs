//! What the journal's thread does: takes what has queued up, writes it in
//! commits of bounded size, answers. Accepts that are too large for one commit
//! go to [`LargeAccepts`], which has one commit each time around.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::MAX_LISTENERS;
use crate::metrics::Metrics;
use crate::store::{CommitError, StoreError, Transaction, Writer};

use super::entry::Entry;
use super::large::{DELIVERIES_OF_LARGE, LargeAccepts};
use super::waiting::{Kind, Room, Waiting};
use super::{JournalError, Observer, Progress};

/// About as many deliveries and other entries as one commit writes: what
/// bounds the time that others wait for it.
const DELIVERIES_PER_COMMIT: usize = 8_192;

/// Most deliveries of an event of Posthaste's own: its partner's, and operators'.
const MOST_TOLD: usize = 2 * MAX_LISTENERS;

pub(super) struct Worker {
    pub(super) committer: Committer,
    pub(super) large: LargeAccepts,
    /// Most entries of a commit.
    pub(super) batch: usize,
}

impl Worker {
    /// The channel is closed before anyone hears of an end: whoever asks after
    /// that is told that nothing was written.
    pub(super) fn run(mut self, guard: EndGuard, mut receiver: mpsc::Receiver<Entry>) {
        let mut waiting = Waiting::new(Room { entries: self.batch, weight: DELIVERIES_PER_COMMIT });
        loop {
            if waiting.is_empty() && !self.large.wants_a_turn(&self.committer.clock) {
                match receiver.blocking_recv() {
                    Some(entry) => self.put(entry, &mut waiting, &mut receiver),
                    None => break,
                }
            }
            let open = self.take_queued(&mut receiver, &mut waiting);
            if !open && waiting.is_empty() && !self.large.has_callers() {
                break;
            }
            if let Err(why) = self.turn(waiting.take()) {
                drop(receiver);
                log::error!("{why}; this process ends now and finds out when it starts again");
                guard.fail(why);
                return;
            }
        }
        guard.clean();
    }

    /// Writes one commit of what has queued up, and then a part of what is large. An
    /// error is an unknown outcome.
    fn turn(&mut self, batch: Vec<Entry>) -> Result<(), String> {
        if !batch.is_empty() {
            self.write(batch)?;
        }
        self.large.turn(&mut self.committer)
    }

    /// Takes what is there without waiting for more. False when nothing can come any
    /// more.
    fn take_queued(&mut self, receiver: &mut mpsc::Receiver<Entry>, waiting: &mut Waiting<Entry>) -> bool {
        while waiting.has_room() {
            match receiver.try_recv() {
                Ok(entry) => self.put(entry, waiting, receiver),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Has an entry wait for a commit. What is too large for any is put aside.
    fn put(&mut self, entry: Entry, waiting: &mut Waiting<Entry>, receiver: &mut mpsc::Receiver<Entry>) {
        match entry {
            // Whoever is already in the channel was let in before the end.
            Entry::Close => receiver.close(),
            Entry::Accept(accept) => match accept.deliveries() {
                deliveries if deliveries > DELIVERIES_OF_LARGE => self.large.put_aside(accept),
                deliveries => {
                    waiting.push(Kind::Asked, accept.accept.events.len() + deliveries, Entry::Accept(accept));
                }
            },
            Entry::Change(_) => waiting.push(Kind::Asked, 1, entry),
            Entry::Record { ref record, .. } => {
                // What it announces is an event for everybody who listens, at most.
                let told = record.announcements.len();
                waiting.push(Kind::Outcome, 1 + told * (1 + MOST_TOLD), entry);
            }
        }
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
                self.committer.metrics.journal_rollbacks.inc();
                log::error!("nothing was written for {} callers: {error}", entries.len());
                for entry in entries {
                    entry.fail(JournalError::Store(error.clone()));
                }
                Ok(())
            }
            Err((CommitError::Lost(why), entries)) => {
                self.committer.metrics.journal_rollbacks.inc();
                log::error!("{} callers are told that nobody knows: {why}", entries.len());
                for entry in entries {
                    entry.fail(JournalError::Lost);
                }
                Ok(())
            }
            Err((CommitError::Unknown(why), entries)) => {
                for entry in entries {
                    entry.fail(JournalError::Unknown);
                }
                Err(unknown(&why))
            }
        }
    }

    /// One transaction. Gives the entries back when it did not become durable.
    fn commit(&mut self, entries: &mut Vec<Entry>) -> Result<(), (CommitError, Vec<Entry>)> {
        let mut accepted = Vec::new();
        let mut recorded = Vec::new();
        let asks_what_was_left = self.large.asks_what_was_left();
        let mut was_left = None;
        let outcome = self.committer.commit(&mut |transaction| {
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
                    Entry::Accept(entry) => accepts.push(&entry.accept),
                    Entry::Record { record, .. } => records.push(record.as_ref()),
                    Entry::Change(_) | Entry::Close => {}
                }
            }
            accepted = transaction.accept(&accepts)?;
            recorded = transaction.record(&records)?;
            if asks_what_was_left {
                was_left = Some(transaction.has_unsealed()?);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            return Err((error, std::mem::take(entries)));
        }
        self.committer.metrics.journal_batch_entries.observe(entries.len() as f64);
        if let Some(was_left) = was_left {
            self.large.heard_what_was_left(was_left);
        }
        let (mut accepted, mut recorded) = (accepted.into_iter(), recorded.into_iter());
        for entry in entries.drain(..) {
            match entry {
                Entry::Change(change) => change.committed(),
                Entry::Accept(entry) => {
                    entry.answer(Ok(accepted.next().expect("one answer for each accept")));
                }
                Entry::Record { heard, .. } => heard(Ok(recorded.next().expect("one answer for each record"))),
                Entry::Close => {}
            }
        }
        Ok(())
    }
}

/// Makes commits, and tells the observer of each.
pub(super) struct Committer {
    pub(super) writer: Box<dyn Writer>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) observer: Observer,
    pub(super) progress: Arc<Progress>,
}

impl Committer {
    pub(super) fn commit(
        &mut self,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<(), CommitError> {
        let now = self.clock.now();
        let committed = self.writer.commit(now.wall, verbs);
        self.progress.commit_ended();
        let notices = committed?;
        let took = self.clock.now().monotonic.since(now.monotonic);
        self.metrics.journal_commit_seconds.observe(took.as_secs_f64());
        self.metrics.lately.committed(took);
        if !notices.is_empty() {
            (self.observer)(notices);
        }
        Ok(())
    }
}

/// Says so if the thread ends in any other way than being told to.
pub(super) struct EndGuard {
    failed: Option<oneshot::Sender<String>>,
}

impl EndGuard {
    pub(super) fn new(failed: oneshot::Sender<String>) -> Self {
        Self { failed: Some(failed) }
    }

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

/// What ends the journal, for those who read the log.
pub(super) fn unknown(why: &str) -> String {
    format!("the outcome of a commit is unknown: {why}")
}

/// Whether an error is one entry's fault, which the others need not share. What this
/// node is not configured for, such as a key that it lacks, only that entry needs.
fn is_of_one_entry(error: &StoreError) -> bool {
    matches!(error, StoreError::Constraint(_) | StoreError::Corrupt(_) | StoreError::Configuration(_))
}
