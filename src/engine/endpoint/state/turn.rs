//! Whose turn it is: attempts asked for by hand first, then retries and new
//! deliveries one for one.

use super::{Flight, Ready, Stage, State};
use crate::domain::{Moment, Monotonic};
use crate::engine::endpoint::step::{Effect, Sending};
use crate::store::AttemptKind;

impl State {
    pub(super) fn send(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while self.may_send() {
            let next = self.next_manual().or_else(|| self.next_scheduled(now));
            let Some((ready, kind, scheduled)) = next else { break };
            let waited_for_breaker = self.gate.kept_waiting(ready.due_at, now);
            let turn = self.gate.took(ready.delivery, kind, now);
            effects.push(Effect::Send(Sending {
                delivery: ready.delivery,
                event: ready.event,
                payload: ready.payload.clone(),
                number: ready.attempt_count + 1,
                kind,
                sequence: ready.sequence,
                order: self.gate.order(),
                halts: self.halts,
            }));
            self.sending += 1;
            self.known.insert(ready.delivery);
            let delivery = ready.delivery;
            let flight = Flight {
                ready,
                kind,
                stage: Stage::Sending,
                turn,
                halts: self.halts,
                scheduled,
                waited_for_breaker,
                may_be_discarded: false,
                asked_again: false,
            };
            self.flights.insert(delivery, flight);
        }
    }

    /// The next by the schedule, if the endpoint may be given one now.
    fn next_scheduled(&mut self, now: Moment) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        if !self.has_room_at_gate() || self.gate.not_before().is_some_and(|time| now.monotonic < time) {
            return None;
        }
        let retry_first = if self.gate.is_open() {
            // What has waited longest finds out how the endpoint is.
            let retry = self.retries.first_key_value().filter(|((due, _), _)| *due <= now.monotonic);
            match (retry, self.fresh.front()) {
                (Some((_, retry)), Some(fresh)) => retry.due_at <= fresh.due_at,
                (retry, _) => retry.is_some(),
            }
        } else {
            // One old failure for each new event, when both wait.
            self.retries_turn = !self.retries_turn;
            self.retries_turn
        };
        if retry_first {
            self.next_retry(now).or_else(|| self.next_fresh())
        } else {
            self.next_fresh().or_else(|| self.next_retry(now))
        }
    }

    /// The first attempt asked for by hand whose delivery is not under way.
    fn next_manual(&mut self) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        let position = self.manual.iter().position(|ready| !self.flights.contains_key(&ready.delivery))?;
        let mut ready = self.manual.remove(position)?;
        // A scheduled attempt of the same delivery waits meanwhile, and may
        // know a later count than the page did.
        let planned = self.retries.iter().find(|(_, planned)| planned.delivery == ready.delivery).map(|(key, _)| *key);
        let mut scheduled = None;
        if let Some(key) = planned
            && let Some(known) = self.retries.remove(&key)
        {
            scheduled = Some(key.0);
            ready.attempt_count = ready.attempt_count.max(known.attempt_count);
            ready.scheduled_attempts = known.scheduled_attempts;
            ready.is_placed |= known.is_placed;
        }
        self.fresh.retain(|fresh| fresh.delivery != ready.delivery);
        Some((ready, AttemptKind::Manual, scheduled))
    }

    fn next_fresh(&mut self) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        self.fresh.pop_front().map(|ready| (ready, AttemptKind::Scheduled, None))
    }

    fn next_retry(&mut self, now: Moment) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        let entry = self.retries.first_entry()?;
        if entry.key().0 > now.monotonic {
            return None;
        }
        Some((entry.remove(), AttemptKind::Scheduled, None))
    }
}
