//! What outcomes say about an endpoint: when to stop sending it all that is due and
//! probe it instead, when to go on, when to warn, when to give it up. One delivery
//! that fails is one delivery; a breaker opens when several do, and it only ever
//! postpones.

use std::time::Duration;

use crate::domain::{
    Announcement, DeliveryId, DisabledReason, ErrorClass, OpenBreaker, Outcome, RetryAfter, Setback, Timestamp, Trouble,
};
use crate::policy::announcing;

/// The wait for the first probe; each that fails doubles it.
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(1);
/// The longest wait between two probes.
const PROBES_WITHIN: Duration = Duration::from_secs(30);
/// By how much of itself a wait for a probe is longer or shorter at most: endpoints
/// that fell together, because of something they share, do not come back together.
const PROBE_JITTER: f64 = 1.0 / 3.0;
/// The longest wait between two probes, jitter included.
pub const LONGEST_PROBE_WAIT: Duration = Duration::from_secs(40);
/// For how long a receiver may ask for no requests.
pub const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Failed attempts in a row that are trouble, unless the operator says otherwise.
const ARE_TROUBLE: u32 = 5;

/// For how many attempts, and for how long, an endpoint may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So many in a row, of at least two deliveries, open its breaker; `None` is never.
    pub opens_after: Option<u32>,
    /// Then its operator is warned.
    pub warn_after: Duration,
    /// Then it is disabled; `None` is never.
    pub disable_after: Option<Duration>,
    /// For how long it has failed when those who subscribed to that are told of it.
    pub announce_after: Duration,
}

impl Patience {
    /// When its operator is warned: never later than it is disabled.
    pub(super) fn warned_after(&self) -> Duration {
        self.disable_after.map_or(self.warn_after, |limit| limit.min(self.warn_after))
    }
}

impl Default for Patience {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let announce_after = Duration::from_secs(60);
        Self { opens_after: Some(ARE_TROUBLE), warn_after: DAY, disable_after: Some(5 * DAY), announce_after }
    }
}

/// An endpoint's health, as its actor knows it.
#[derive(Debug, Default)]
pub struct Health {
    /// What is stored of it.
    trouble: Trouble,
    /// Failed attempts since the last success, and the first of them.
    failures: u32,
    /// An attempt has succeeded since it is watched: what failed before that is past.
    has_succeeded: bool,
    first_failed: Option<(Timestamp, DeliveryId)>,
    /// They are of more than one delivery.
    are_of_several: bool,
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// Whose.
    pub delivery: DeliveryId,
    /// Attempts of it that failed before this one.
    pub failed_before: u32,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// Whether it was sent to find out how the endpoint is.
    pub is_probe: bool,
}

/// What else is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Wait,
    /// Tell the operator that it has failed for a while.
    Warn,
    /// Disable the endpoint.
    Disable(DisabledReason),
}

impl Health {
    /// What is known of it from the store.
    pub fn new(trouble: Trouble) -> Self {
        Self { trouble, ..Self::default() }
    }

    /// What must still be known after a restart.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Whether probes go out, one at a time, instead of all that is due.
    pub fn is_open(&self) -> bool {
        self.trouble.breaker.is_some()
    }

    /// An attempt succeeded: that is the end of all trouble, but for a rest that the
    /// receiver asked for and that is not over. Says whether what is stored changed.
    pub fn succeeded(&mut self, now: Timestamp) -> bool {
        let before = std::mem::take(&mut self.trouble);
        let not_before = before.not_before.filter(|until| *until > now);
        *self = Self { has_succeeded: true, ..Self::new(Trouble { not_before, ..Trouble::default() }) };
        self.trouble != before
    }

    /// Somebody asks that nothing wait any more: an open breaker sends its next probe
    /// now, and a rest that the receiver asked for is over. Says whether that changed
    /// anything.
    pub fn hurry(&mut self, now: Timestamp) -> bool {
        let before = self.trouble.clone();
        if let Some(open) = &mut self.trouble.breaker {
            open.probe_at = open.probe_at.min(now);
        }
        self.trouble.not_before = None;
        self.trouble != before
    }

    /// An attempt failed. Says whether that changed what is to be stored, and what
    /// else to do. `random`, from 0 to 1, places the next probe.
    pub fn failed(
        &mut self,
        failure: Failure<'_>,
        patience: &Patience,
        disables_on_gone: bool,
        random: f64,
    ) -> (bool, Advice) {
        let before = self.trouble.clone();
        let (_, first) = *self.first_failed.get_or_insert((failure.ended_at, failure.delivery));
        self.failures = self.failures.saturating_add(1);
        if !self.has_succeeded {
            // Seldom tried, it is forgotten from one attempt to the next; its
            // delivery's own are not.
            self.failures = self.failures.max(failure.failed_before.saturating_add(1));
        }
        self.are_of_several |= first != failure.delivery;
        if let Some(asked) = failure.outcome.retry_after {
            let until = match asked {
                RetryAfter::In(rest) => failure.ended_at + rest.min(LONGEST_REST),
                RetryAfter::At(time) => time.min(failure.ended_at + LONGEST_REST),
            };
            let standing = self.trouble.not_before.max(Some(until));
            self.trouble.not_before = standing.filter(|until| *until > failure.ended_at);
        }
        if self.failures >= ARE_TROUBLE {
            let since = self.first_failed.map(|(at, _)| at);
            self.trouble.failing_since = self.trouble.failing_since.or(since);
        }
        self.judge_breaker(&failure, patience, random);
        let advice = self.advise(&failure, patience, disables_on_gone);
        if advice == Advice::Warn {
            self.trouble.warned_at = Some(failure.ended_at);
        }
        (self.trouble != before, advice)
    }

    /// What those who subscribed to it are to be told, now that an attempt has failed.
    /// It counts as told from then on.
    pub fn announce(&mut self, now: Timestamp, patience: &Patience) -> Option<Announcement> {
        let announcement = announcing::failing(&self.trouble, self.failures, now, patience)?;
        self.trouble.announced_at = Some(now);
        Some(announcement)
    }

    /// That was never written.
    pub fn unannounce(&mut self) {
        self.trouble.announced_at = None;
    }

    /// What it failed at last, with this outcome.
    pub fn setback(&self, outcome: &Outcome) -> Setback {
        Setback::new(self.failures, outcome)
    }

    fn judge_breaker(&mut self, failure: &Failure<'_>, patience: &Patience, random: f64) {
        match &mut self.trouble.breaker {
            Some(open) if failure.is_probe => {
                open.probes = open.probes.saturating_add(1);
                open.probe_at = failure.ended_at + until_probe(open.probes, random);
            }
            // It was under way when the breaker opened, and says nothing new.
            Some(_) => {}
            None if self.are_of_several && patience.opens_after.is_some_and(|most| self.failures >= most) => {
                let probe_at = failure.ended_at + until_probe(0, random);
                self.trouble.breaker = Some(OpenBreaker { opened_at: failure.ended_at, probes: 0, probe_at });
            }
            None => {}
        }
    }

    fn advise(&self, failure: &Failure<'_>, patience: &Patience, disables_on_gone: bool) -> Advice {
        if disables_on_gone && failure.outcome.status_code == Some(410) {
            return Advice::Disable(DisabledReason::Gone);
        }
        let Some(since) = self.trouble.failing_since else { return Advice::Wait };
        let failing_for = failure.ended_at.since(since);
        let warn_after = patience.warned_after();
        let Some(warned_at) = self.trouble.warned_at else {
            return if failing_for >= warn_after { Advice::Warn } else { Advice::Wait };
        };
        // Nobody is disabled who was not warned of long enough before.
        let warned_for = failure.ended_at.since(warned_at);
        let is_over = |limit: Duration| failing_for >= limit && warned_for >= limit - warn_after;
        if patience.disable_after.is_some_and(is_over) {
            Advice::Disable(DisabledReason::Failing)
        } else {
            Advice::Wait
        }
    }
}

/// The wait before the next probe when so many have failed.
fn until_probe(failed: u32, random: f64) -> Duration {
    let doubled = FIRST_PROBE_AFTER.saturating_mul(1_u32.checked_shl(failed.min(31)).unwrap_or(u32::MAX));
    let share = (2.0 * random - 1.0).clamp(-1.0, 1.0) * PROBE_JITTER;
    let share = if share.is_nan() { 0.0 } else { share };
    doubled.min(PROBES_WITHIN).mul_f64(1.0 + share)
}

/// Whether an outcome says that the receiver has more than it can take.
pub fn is_overload(outcome: &Outcome) -> bool {
    match outcome.status_code {
        Some(429 | 503) => true,
        Some(_) => false,
        None => {
            let class = outcome.error.as_ref().map(|error| error.class);
            matches!(class, Some(ErrorClass::Timeout | ErrorClass::Connect))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn number(number: u8) -> DeliveryId {
        DeliveryId::from_uuid(Uuid::from_u128(number.into()))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000) + Duration::from_secs(seconds)
    }

    fn failure(whose: u8, ended_at: u64, outcome: &Outcome) -> Failure<'_> {
        Failure { delivery: number(whose), failed_before: 0, ended_at: at(ended_at), outcome, is_probe: false }
    }

    /// Attempts one after another: whose, how they end, and how long after the last.
    fn attempts() -> impl Strategy<Value = Vec<(u8, bool, u64, bool)>> {
        let attempt = (0..4_u8, prop::bool::weighted(0.1), 0..100_000_u64, any::<bool>());
        prop::collection::vec(attempt, 1..60)
    }

    proptest! {
        #[test]
        fn it_opens_for_several_and_closes_for_one(attempts in attempts(), random in 0.0..1.0_f64) {
            let (mut health, patience) = (Health::default(), Patience::default());
            let (mut failures, mut of, mut now, mut stored) = (0, Vec::new(), 0, Trouble::default());
            for (whose, succeeds, after, is_probe) in attempts {
                now += after;
                if succeeds {
                    prop_assert_eq!(health.succeeded(at(now)), !stored.is_none(), "what was stored has to go");
                    (failures, of, stored) = (0, Vec::new(), Trouble::default());
                    prop_assert!(health.trouble().is_none() && !health.is_open());
                    continue;
                }
                let was_open = health.is_open();
                let outcome = Outcome::failed(ErrorClass::Connect, "refused");
                let failure = Failure { is_probe, ..failure(whose, now, &outcome) };
                let (has_changed, advice) = health.failed(failure, &patience, false, random);
                failures += 1;
                of.push(whose);
                of.dedup();
                prop_assert_eq!(health.is_open(), failures >= 5 && (of.len() > 1 || was_open));
                prop_assert_eq!(has_changed, *health.trouble() != stored, "only what changes is stored");
                if let Some(open) = health.trouble().breaker
                    && has_changed && (is_probe || !was_open)
                {
                    let wait = open.probe_at.since(at(now)).as_secs_f64();
                    let doubled = 2_f64.powi(open.probes.min(5) as i32).min(30.0);
                    prop_assert!((doubled * 0.666..=doubled * 1.334).contains(&wait), "{wait} after {}", open.probes);
                }
                if let Advice::Disable(_) = advice {
                    let since = health.trouble().failing_since.expect("it failed for long");
                    prop_assert!(Some(at(now).since(since)) >= patience.disable_after);
                }
                stored = health.trouble().clone();
            }
            // Whoever reads it knows as much.
            prop_assert_eq!(Health::new(stored.clone()).is_open(), health.is_open());
        }

        #[test]
        fn nobody_rests_for_more_than_an_hour(asked in any::<u32>(), date in any::<i32>()) {
            let date = at(0) + Duration::from_secs(date.unsigned_abs().into());
            for asked in [RetryAfter::In(Duration::from_secs(asked.into())), RetryAfter::At(date)] {
                let mut health = Health::default();
                let outcome = Outcome { retry_after: Some(asked), ..Outcome::answered(503, Bytes::new()) };
                health.failed(failure(1, 100, &outcome), &Patience::default(), false, 0.5);
                let until = health.trouble().not_before;
                prop_assert!(until.is_none_or(|until| until > at(100) && until <= at(100) + LONGEST_REST));
                // Others that were under way may well succeed: the rest stands.
                health.succeeded(at(101));
                prop_assert_eq!(health.trouble().not_before, until.filter(|until| *until > at(101)));
                health.succeeded(at(100) + LONGEST_REST);
                prop_assert!(health.trouble().is_none());
            }
        }
    }

    #[test]
    fn whoever_has_little_patience_warns_no_later_than_it_disables() {
        let patience = Patience { disable_after: Some(Duration::from_secs(600)), ..Patience::default() };
        let outcome = Outcome::answered(500, Bytes::new());
        let mut health = Health::default();
        let mut said = Vec::new();
        for minute in 0..30 {
            let (_, advice) = health.failed(failure(1, minute * 60, &outcome), &patience, false, 0.5);
            said.extend((advice != Advice::Wait).then_some((minute, advice)));
        }
        assert_eq!(said[..2], [(10, Advice::Warn), (11, Advice::Disable(DisabledReason::Failing))]);
    }

    #[test]
    fn whoever_hurries_has_the_next_probe_now_and_no_rest() {
        let open = OpenBreaker { opened_at: at(0), probes: 4, probe_at: at(100) };
        let trouble = Trouble { breaker: Some(open), not_before: Some(at(90)), ..Trouble::default() };
        let mut health = Health::new(trouble.clone());
        assert!(health.hurry(at(50)));
        let hurried = OpenBreaker { probe_at: at(50), ..open };
        assert_eq!(*health.trouble(), Trouble { breaker: Some(hurried), not_before: None, ..trouble });
        assert!(!health.hurry(at(60)), "a probe that is due stays due");
        assert!(!Health::default().hurry(at(60)));
    }

    #[test]
    fn overload_is_what_a_receiver_with_too_much_says() {
        for status in [429, 503] {
            assert!(is_overload(&Outcome::answered(status, Bytes::new())));
        }
        for status in [400, 404, 410, 500, 502] {
            assert!(!is_overload(&Outcome::answered(status, Bytes::new())));
        }
        for (class, is) in [(ErrorClass::Timeout, true), (ErrorClass::Connect, true), (ErrorClass::Dns, false)] {
            assert_eq!(is_overload(&Outcome::failed(class, "")), is, "{class}");
        }
    }
}
