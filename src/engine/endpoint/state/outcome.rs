//! What an attempt's end leads to: the record of it, and what is left to do once
//! that is durable.

use std::sync::Arc;
use std::time::Duration;

use super::gate::{Ended, Learnt};
use super::{Flight, Stage, State};
use crate::domain::{Announcement, DeliveryId, Moment, Outcome, RetryPolicy, Timestamp};
use crate::engine::endpoint::step::Effect;
use crate::policy::retry::{self, Next};
use crate::store::{AttemptKind, Lane, Record, Recorded, Verdict};

/// The breaker may keep a delivery waiting for its schedule's span and so much more.
const BEYOND_SCHEDULE: Duration = Duration::from_secs(3600);

/// How an attempt went.
pub(super) struct Attempted {
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) outcome: Outcome,
    pub(super) random: f64,
    /// The schedule of its event's type.
    pub(super) of_type: Option<RetryPolicy>,
    /// No attempt begins from then on.
    pub(super) expires_at: Option<Timestamp>,
    /// Its event is one of Posthaste's own.
    pub(super) is_system: bool,
}

impl State {
    /// What an attempt means for its delivery, and for the endpoint.
    pub(super) fn judge(&mut self, delivery: DeliveryId, attempted: Attempted, effects: &mut Vec<Effect>) {
        let Attempted { started, ended, outcome, random, of_type, expires_at, is_system } = attempted;
        let Some(flight) = self.flights.get_mut(&delivery) else { return };
        let Stage::Sending = flight.stage else { return };
        self.sending -= 1;
        let kind = flight.kind;
        let scheduled_attempts = flight.ready.scheduled_attempts + 1;
        let mut wait = None;
        let verdict = if outcome.is_delivered() {
            Verdict::Delivered
        } else if kind == AttemptKind::Manual {
            Verdict::Unchanged
        } else {
            // An endpoint that is gone has no plan; the store knows that, too,
            // and discards what would be retried.
            let own = self.plan.as_ref().and_then(|plan| plan.retry.clone());
            let policy = own.or(of_type).unwrap_or_default();
            let next = if flight.waited_for_breaker > policy.longest_span() + BEYOND_SCHEDULE {
                Next::Exhausted
            } else {
                retry::after_failure(&policy, scheduled_attempts, random)
            };
            match next {
                Next::RetryAfter(after) if expires_at.is_some_and(|end| ended.wall + whole_millis(after) >= end) => {
                    Verdict::Expired
                }
                Next::RetryAfter(after) => {
                    wait = Some(after);
                    Verdict::RetryAt(ended.wall + whole_millis(after))
                }
                Next::Exhausted => Verdict::Exhausted,
            }
        };
        if let Some(wait) = wait {
            flight.scheduled = Some(ended.monotonic + wait);
            flight.ready.due_at = ended.wall + whole_millis(wait);
        }
        let is_ordered = flight.ready.is_placed;
        let (attempts_before, was_open) = (flight.ready.attempt_count, self.gate.is_open());
        let attempt =
            Ended { delivery, kind, failed_before: attempts_before, started, ended, outcome: &outcome, is_system };
        let Learnt { trouble, announcement } =
            self.gate.heard(&attempt, &self.limits.patience, self.plan.as_ref(), random, effects);
        let mut announcements: Vec<Announcement> = announcement.into_iter().collect();
        if verdict == Verdict::Exhausted && !is_system {
            announcements.push(Announcement::Exhausted);
        }
        let record = Arc::new(Record {
            delivery,
            kind,
            attempts_before,
            started_at: started.wall,
            finished_at: ended.wall,
            duration: ended.monotonic.since(started.monotonic),
            outcome,
            verdict,
            is_ordered,
            trouble,
            announcements,
            fence: self.fence,
        });
        if let Some(flight) = self.flights.get_mut(&delivery) {
            flight.stage = Stage::Recording(Arc::clone(&record));
            // The bytes are not needed for a while: the store has them.
            flight.ready.payload = None;
        }
        effects.push(Effect::Record(record));
        if self.gate.is_open() && !was_open {
            self.shrink();
        }
    }

    /// What a durable outcome leaves to do.
    pub(super) fn settle(&mut self, delivery: DeliveryId, recorded: Recorded, now: Moment) {
        let Some(flight) = self.flights.remove(&delivery) else { return };
        self.known.remove(&delivery);
        for reading in self.lanes.0.iter_mut().filter(|reading| reading.under_way) {
            reading.settled.insert(delivery);
        }
        // An attempt by hand that waits for this one was read before this one
        // counted.
        let asked = self.manual.len();
        self.manual.retain(|ready| ready.delivery != delivery);
        if self.manual.len() < asked || flight.asked_again {
            self.lane(Lane::Manual).leave_to_store();
        }
        let mut ready = flight.ready;
        self.remember_settled(delivery, recorded, now);
        match recorded {
            // The new owner finds all else in the store.
            Recorded::Fenced => {
                self.fenced = true;
                return;
            }
            Recorded::Superseded => {
                if let Stage::Recording(record) = &flight.stage
                    && record.announcements.iter().any(is_failing)
                {
                    self.gate.unannounce();
                }
                // Whatever moved it on, the store knows where it stands.
                self.look_for_it_anywhere();
                return;
            }
            Recorded::Written(status) if !status.is_unfinished() => {
                if self.order.wanted().is_some() {
                    // What waited for it is due.
                    self.lane(Lane::Retry).leave_early_to_store();
                }
                return;
            }
            Recorded::Written(_) if flight.may_be_discarded => {
                // It was, or it is due again: the store knows.
                self.look_for_it_anywhere();
                return;
            }
            Recorded::Written(_) => {}
        }
        ready.attempt_count += 1;
        if flight.kind == AttemptKind::Scheduled {
            ready.scheduled_attempts += 1;
        }
        let Some(at) = flight.scheduled else {
            // An attempt by hand of a delivery whose place in the schedule is
            // only in the store.
            self.read_fresh_anew();
            self.lane(Lane::Retry).leave_early_to_store();
            return;
        };
        if self.order.wanted().is_some() && !ready.is_placed {
            // It may have been given its place while it was in flight.
            self.lane(Lane::Retry).leave_early_to_store();
            return;
        }
        let beyond_window =
            self.lanes.of(Lane::Retry).more && self.retries.last_key_value().is_none_or(|((last, _), _)| at > *last);
        if beyond_window {
            self.lane(Lane::Retry).leave_to_store();
            return;
        }
        self.known.insert(delivery);
        self.retries.insert((at, delivery), ready);
        if self.trim_retries() {
            self.lane(Lane::Retry).leave_to_store();
        }
    }

    /// A delivery may stand in any lane of the store, before what is held of it, or in
    /// none.
    fn look_for_it_anywhere(&mut self) {
        self.read_fresh_anew();
        for reading in self.lanes.0.iter_mut() {
            reading.leave_early_to_store();
        }
    }

    /// An attempt was not begun, and none is to be.
    pub(super) fn expire(&mut self, delivery: DeliveryId, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&delivery) else { return };
        let Stage::Sending = flight.stage else { return };
        flight.stage = Stage::Expiring;
        flight.ready.payload = None;
        self.sending -= 1;
        self.gate.forget(delivery, flight.turn);
        effects.push(Effect::Expire(delivery));
    }

    pub(super) fn forget(&mut self, delivery: DeliveryId) {
        if let Some(flight) = self.flights.remove(&delivery) {
            self.gate.forget(delivery, flight.turn);
            if matches!(flight.stage, Stage::Sending) {
                self.sending -= 1;
            }
            self.known.remove(&delivery);
        }
    }

    pub(super) fn record_again(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while let Some(entry) = self.record_again.first_entry() {
            if *entry.key() > now.monotonic {
                break;
            }
            for delivery in entry.remove() {
                let flight = self.flights.get(&delivery);
                if let Some(Flight { stage: Stage::Expiring, .. }) = flight {
                    effects.push(Effect::Expire(delivery));
                }
                if let Some(Flight { stage: Stage::Recording(record), .. }) = flight {
                    // What else was learnt meanwhile stands: an old record must not
                    // bring old trouble back.
                    let record = match &record.trouble {
                        Some(trouble) if trouble != self.gate.trouble() => {
                            let mut record = (**record).clone();
                            record.trouble = Some(self.gate.trouble().clone());
                            if self.gate.trouble().announced_at.is_none() {
                                // Nor is it told that it fails behind the news that it does not.
                                record.announcements.retain(|announcement| !is_failing(announcement));
                            }
                            Arc::new(record)
                        }
                        _ => Arc::clone(record),
                    };
                    effects.push(Effect::Record(record));
                }
            }
        }
    }
}

fn is_failing(announcement: &Announcement) -> bool {
    matches!(announcement, Announcement::Failing { .. })
}

/// Rounded up: what is stored is never earlier than what was decided.
fn whole_millis(duration: Duration) -> Duration {
    let millis = duration.as_micros().div_ceil(1000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
