//! Counts what attempts and events come to, for people who look. Whoever has heard that
//! something is durable counts it here; now and then all that is new is written down. It
//! is never waited for: a process that is killed loses what it has not written, which
//! no promise is about.

mod cells;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{Ending, EndpointId, EventType, NodeId, Outcome, Tally, Timestamp};
use crate::store::{CountedAbout, Journal, JournalError, Resolution, ScopeId};

use cells::{Cells, Unwritten};

/// Rows that are written in one transaction: others wait for it.
const AT_ONCE: usize = 200;

/// See the module.
pub struct Statistics {
    /// Whose rows they are.
    writer: NodeId,
    /// What was counted since the last time that it was written. Whoever counts holds it
    /// for as long as that takes, and whoever writes for no longer.
    fresh: Mutex<Cells>,
    /// All of the minutes that are not over or not written.
    kept: tokio::sync::Mutex<Cells>,
}

impl Statistics {
    /// Counts for this run of a node. Of what is new and of what is kept there are at most
    /// so many cells at once.
    pub fn new(writer: NodeId, most_cells: usize) -> Self {
        let cells = || Cells::new(most_cells);
        Self { writer, fresh: Mutex::new(cells()), kept: tokio::sync::Mutex::new(cells()) }
    }

    /// Whose rows its counts are written to.
    pub fn writer(&self) -> NodeId {
        self.writer
    }

    fn fresh(&self) -> MutexGuard<'_, Cells> {
        // Counts that somebody left half made are still counts.
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, now: Timestamp, about: CountedAbout, event_type: &EventType, count: impl FnOnce(&mut Tally)) {
        count(self.fresh().of(Resolution::Minute.bucket_of(now), about, Some(event_type.clone())));
    }

    /// Events of a scope are accepted: of each its type and how many deliveries it has.
    pub fn accepted<'a>(&self, now: Timestamp, scope: ScopeId, events: impl IntoIterator<Item = (&'a EventType, u32)>) {
        let about = CountedAbout { scope, endpoint: None };
        let minute = Resolution::Minute.bucket_of(now);
        let mut cells = self.fresh();
        for (event_type, deliveries) in events {
            cells.of(minute, about, Some(event_type.clone())).accepted(deliveries.into());
        }
    }

    /// An attempt's outcome is written.
    pub(super) fn attempted(&self, now: Timestamp, attempted: &Attempted<'_>) {
        let Attempted { scope, endpoint, event_type, outcome, took, ending } = *attempted;
        let about = CountedAbout { scope, endpoint: Some(endpoint) };
        self.count(now, about, event_type, |tally| tally.attempted(outcome, took, ending));
    }

    /// A delivery is discarded without an attempt, because it would come too late.
    pub(super) fn expired(&self, now: Timestamp, scope: ScopeId, endpoint: EndpointId, event_type: &EventType) {
        let about = CountedAbout { scope, endpoint: Some(endpoint) };
        self.count(now, about, event_type, |tally| tally.expired += 1);
    }

    /// Writes down what the store does not know. What is not written, or broken off, is left
    /// for the next time.
    pub async fn write(&self, now: Timestamp, journal: &Journal) -> Result<(), JournalError> {
        let now = Resolution::Minute.bucket_of(now);
        let mut kept = self.kept.lock().await;
        kept.absorb(self.fresh().take(now));
        for unwritten in kept.unwritten() {
            self.write_minute(&unwritten, journal).await?;
            kept.wrote(unwritten.minute);
        }
        kept.forget(now);
        Ok(())
    }

    async fn write_minute(&self, unwritten: &Unwritten, journal: &Journal) -> Result<(), JournalError> {
        let writer = self.writer;
        for rows in unwritten.rows.chunks(AT_ONCE) {
            let rows = rows.to_vec();
            journal.change(move |transaction| transaction.note_statistics(writer, &rows)).await?;
        }
        Ok(())
    }
}

/// An attempt whose outcome is written.
#[derive(Clone, Copy)]
pub(super) struct Attempted<'a> {
    pub(super) scope: ScopeId,
    pub(super) endpoint: EndpointId,
    pub(super) event_type: &'a EventType,
    pub(super) outcome: &'a Outcome,
    pub(super) took: Duration,
    pub(super) ending: Option<Ending>,
}
