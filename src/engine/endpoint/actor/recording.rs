//! How the actor has outcomes written down, and what it hears of that.

use std::sync::Arc;

use super::{EndpointActor, Report};
use crate::engine::endpoint::state::Input;
use crate::store::{self, JournalError, Record, Recorded};

impl EndpointActor {
    pub(super) fn record(&mut self, record: Arc<Record>) {
        let (reports, recorded) = (self.inbox.outbox(), Arc::clone(&record));
        let heard =
            Box::new(move |outcome: Result<_, _>| reports.send(Report::Recorded(recorded, outcome.map_err(Box::new))));
        if let Some(wait_for_room) = self.engine.journal.record_then(record, heard) {
            self.begin(async move {
                wait_for_room.await;
                None
            });
        }
    }

    pub(super) fn recorded(&self, record: &Record, outcome: Result<Recorded, Box<JournalError>>) -> Option<Input> {
        let (delivery, endpoint) = (record.delivery, self.endpoint);
        match outcome {
            Ok(Recorded::Fenced) => {
                self.engine.metrics.fenced_writes.inc();
                Some(Input::Recorded { delivery, recorded: Recorded::Fenced })
            }
            Ok(recorded) => {
                if let store::Verdict::Exhausted = record.verdict {
                    self.engine.metrics.deliveries_exhausted.inc();
                    log::warn!("{delivery} to {endpoint}: retries exhausted after {}", record.attempts_before + 1);
                }
                Some(Input::Recorded { delivery, recorded })
            }
            Err(error) => match *error {
                JournalError::Full(_) | JournalError::Store(_) | JournalError::Lost => {
                    log::warn!("{delivery} to {endpoint}: its outcome is not written yet: {error}");
                    Some(Input::RecordFailed(delivery))
                }
                // The process is ending; the next one repeats the attempt.
                JournalError::Unknown | JournalError::Closed => None,
            },
        }
    }
}
