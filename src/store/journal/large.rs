//! Accepts with more deliveries than one commit should write. They are taken
//! one at a time, in the order they came, and have one commit each time the
//! worker comes around: so many deliveries, and at last the sealing, which
//! makes all of it true at once. Nobody is told or answered before that.
//!
//! What was begun and failed, here or in a process that was killed, is undone
//! in slices of the same size. It is in nobody's way until then.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::Monotonic;
use crate::store::{Accepted, Begun, CommitError, FanOut};

use super::JournalError;
use super::entry::AcceptEntry;
use super::worker::{Committer, unknown};

/// An accept with more deliveries than this is written in several commits, of
/// this many each.
pub(super) const DELIVERIES_OF_LARGE: usize = 1_000;

/// How long undoing waits after it failed, unless somebody needs it.
const UNDO_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The large accepts of a journal.
pub(super) struct LargeAccepts {
    /// Not begun yet, and so not yet worked out.
    waiting: VecDeque<AcceptEntry>,
    most_waiting: usize,
    under_way: Option<UnderWay>,
    leftover: Leftover,
}

/// One that was begun.
struct UnderWay {
    entry: AcceptEntry,
    fan_out: FanOut,
    /// Deliveries that are durable.
    written: usize,
}

/// What was begun and will not be sealed.
enum Leftover {
    /// Nobody has looked what an earlier process left.
    Unknown,
    Nothing,
    Some {
        undone: usize,
        /// Not before then, after it failed.
        not_before: Option<Monotonic>,
    },
}

impl Leftover {
    const NEW: Self = Self::Some { undone: 0, not_before: None };
}

impl LargeAccepts {
    /// Of which at most so many wait.
    pub(super) fn new(most_waiting: usize) -> Self {
        Self { waiting: VecDeque::new(), most_waiting, under_way: None, leftover: Leftover::Unknown }
    }

    /// Has it wait for its turn, or refuses it where too many do.
    pub(super) fn put_aside(&mut self, entry: AcceptEntry) {
        if self.waiting.len() < self.most_waiting {
            self.waiting.push_back(entry);
        } else {
            entry.answer(Err(JournalError::Full("too many large requests wait to be written")));
        }
    }

    /// Whether somebody waits for an answer.
    pub(super) fn has_callers(&self) -> bool {
        self.under_way.is_some() || !self.waiting.is_empty()
    }

    /// Whether there is something to write now, although nothing new came.
    pub(super) fn wants_a_turn(&self, clock: &Clock) -> bool {
        self.has_callers() || self.undoes_now(clock)
    }

    fn undoes_now(&self, clock: &Clock) -> bool {
        match self.leftover {
            Leftover::Unknown | Leftover::Nothing => false,
            Leftover::Some { not_before, .. } => not_before.is_none_or(|time| clock.now().monotonic >= time),
        }
    }

    /// Whether the next transaction is to say what an earlier process left.
    pub(super) fn asks_what_was_left(&self) -> bool {
        matches!(self.leftover, Leftover::Unknown)
    }

    /// Takes the answer.
    pub(super) fn heard_what_was_left(&mut self, was_left: bool) {
        self.leftover = if was_left { Leftover::NEW } else { Leftover::Nothing };
    }

    /// One commit, if there is something to write. An error is an unknown
    /// outcome.
    pub(super) fn turn(&mut self, committer: &mut Committer) -> Result<(), String> {
        if let Some(under_way) = self.under_way.take() {
            return if under_way.written < under_way.fan_out.deliveries() {
                self.write_chunk(committer, under_way)
            } else {
                self.seal(committer, under_way)
            };
        }
        // What failed goes first: were it left, a store without space would
        // have more and more of it.
        if !matches!(self.leftover, Leftover::Nothing) && (self.has_callers() || self.undoes_now(&committer.clock)) {
            return self.undo(committer);
        }
        // Nothing is begun for a caller that has gone away: it has no 202, and
        // will ask again.
        while let Some(entry) = self.waiting.pop_front() {
            if !entry.is_abandoned() {
                return self.begin(committer, entry);
            }
        }
        Ok(())
    }

    /// Begins with the first chunk, in one commit.
    fn begin(&mut self, committer: &mut Committer, entry: AcceptEntry) -> Result<(), String> {
        let mut begun = None;
        let outcome = committer.commit(&mut |transaction| {
            let mut beginning = transaction.begin_large(&entry.accept)?;
            if let Begun::FanOut(fan_out) = &mut beginning {
                transaction.accept_chunk(fan_out, 0, DELIVERIES_OF_LARGE)?;
            }
            begun = Some(beginning);
            Ok(())
        });
        match outcome {
            Ok(()) => {
                match begun.expect("a commit runs its verbs") {
                    Begun::Answered(answer) => entry.answer(Ok(answer)),
                    Begun::FanOut(fan_out) => {
                        let written = fan_out.deliveries().min(DELIVERIES_OF_LARGE);
                        log::debug!("{} deliveries are written in chunks", fan_out.deliveries());
                        self.under_way = Some(UnderWay { entry, fan_out, written });
                    }
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, CommitError::Lost(_)) {
                    self.leftover = Leftover::NEW;
                }
                fail(committer, entry, error)
            }
        }
    }

    fn write_chunk(&mut self, committer: &mut Committer, mut under_way: UnderWay) -> Result<(), String> {
        let UnderWay { fan_out, written, .. } = &mut under_way;
        let outcome =
            committer.commit(&mut |transaction| transaction.accept_chunk(fan_out, *written, DELIVERIES_OF_LARGE));
        match outcome {
            Ok(()) => {
                *written = fan_out.deliveries().min(*written + DELIVERIES_OF_LARGE);
                self.under_way = Some(under_way);
                Ok(())
            }
            Err(error) => {
                self.leftover = Leftover::NEW;
                fail(committer, under_way.entry, error)
            }
        }
    }

    fn seal(&mut self, committer: &mut Committer, under_way: UnderWay) -> Result<(), String> {
        let UnderWay { entry, fan_out, .. } = under_way;
        let mut sealed = None;
        let outcome = committer.commit(&mut |transaction| {
            sealed = Some(transaction.seal(&entry.accept, &fan_out)?);
            Ok(())
        });
        match outcome {
            Ok(()) => {
                let answer = sealed.expect("a commit runs its verbs");
                if !matches!(answer, Accepted::New(_)) {
                    self.leftover = Leftover::NEW;
                }
                entry.answer(Ok(answer));
                Ok(())
            }
            Err(error) => {
                self.leftover = Leftover::NEW;
                fail(committer, entry, error)
            }
        }
    }

    fn undo(&mut self, committer: &mut Committer) -> Result<(), String> {
        let mut slice = 0;
        let outcome = committer.commit(&mut |transaction| {
            slice = transaction.undo_unsealed(DELIVERIES_OF_LARGE)?;
            Ok(())
        });
        let before = if let Leftover::Some { undone, .. } = self.leftover { undone } else { 0 };
        match outcome {
            Ok(()) if slice < DELIVERIES_OF_LARGE => {
                let undone = before + slice;
                if undone > 0 {
                    log::info!("{undone} deliveries of events that were never accepted were undone");
                }
                self.leftover = Leftover::Nothing;
                Ok(())
            }
            Ok(()) => {
                self.leftover = Leftover::Some { undone: before + slice, not_before: None };
                Ok(())
            }
            Err(CommitError::RolledBack(error)) => {
                log::warn!("what was never accepted is undone later: {error}");
                let not_before = Some(committer.clock.now().monotonic + UNDO_AGAIN_AFTER);
                self.leftover = Leftover::Some { undone: before, not_before };
                match self.waiting.pop_front() {
                    Some(entry) => fail(committer, entry, CommitError::RolledBack(error)),
                    None => Ok(()),
                }
            }
            // Whatever is left is found when it is looked for again.
            Err(CommitError::Lost(why)) => {
                log::warn!("what was never accepted is undone later: {why}");
                let not_before = Some(committer.clock.now().monotonic + UNDO_AGAIN_AFTER);
                self.leftover = Leftover::Some { undone: before, not_before };
                Ok(())
            }
            Err(CommitError::Unknown(why)) => Err(unknown(&why)),
        }
    }
}

/// Answers one whose commit did not become durable. An error is an unknown
/// outcome.
fn fail(committer: &Committer, entry: AcceptEntry, error: CommitError) -> Result<(), String> {
    match error {
        CommitError::RolledBack(error) => {
            committer.metrics.journal_rollbacks.inc();
            log::error!("a large request was not accepted: {error}");
            entry.answer(Err(JournalError::Store(error)));
            Ok(())
        }
        CommitError::Lost(why) => {
            committer.metrics.journal_rollbacks.inc();
            log::error!("nobody knows whether a large request was accepted: {why}");
            entry.answer(Err(JournalError::Lost));
            Ok(())
        }
        CommitError::Unknown(why) => {
            entry.answer(Err(JournalError::Unknown));
            Err(unknown(&why))
        }
    }
}
