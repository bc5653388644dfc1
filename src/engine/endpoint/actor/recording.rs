//! How the actor has outcomes written down, and what it hears of that.

use std::sync::Arc;

use super::{EndpointActor, Report};
use crate::domain::{DisabledReason, Setback, Timestamp};
use crate::engine::endpoint::state::Input;
use crate::store::{self, JournalError, Record, Recorded};

impl EndpointActor {
    pub(super) fn warn(&self, since: Timestamp) {
        self.engine.metrics.endpoint_warnings.inc();
        log::warn!("{} has failed since {since}, and is disabled if it goes on", self.endpoint);
    }

    /// Has the endpoint disabled; the notice of that comes back as any change does.
    /// What is not written now is asked for again by the next failure.
    pub(super) fn disable(&mut self, reason: DisabledReason, setback: Option<Setback>) {
        let (engine, endpoint) = (self.engine.clone(), self.endpoint);
        self.begin(async move {
            let disabling = engine
                .journal
                .change(move |transaction| transaction.disable_endpoint(endpoint, reason, setback.as_ref()))
                .await;
            match disabling {
                Ok(true) => {
                    engine.metrics.endpoints_disabled.inc();
                    log::warn!("{endpoint} was disabled: {}", reason.as_str());
                }
                Ok(false) => {}
                Err(error) => log::warn!("{endpoint} could not be disabled: {error}"),
            }
            None
        });
    }

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
                if let Recorded::Written(status) = recorded {
                    self.count(record, status);
                }
                // Where somebody else moved it on meanwhile, none of that has happened.
                match (&recorded, &record.verdict) {
                    (Recorded::Written(_), store::Verdict::Expired) => {
                        self.engine.metrics.deliveries_expired.inc();
                        log::info!("{delivery} to {endpoint}: expires before its next attempt would be due");
                    }
                    (Recorded::Written(_), store::Verdict::Exhausted) => {
                        self.engine.metrics.deliveries_exhausted.inc();
                        log::warn!("{delivery} to {endpoint}: retries exhausted after {}", record.attempts_before + 1);
                    }
                    _ => {}
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
