//! What an endpoint's state makes of trouble: breaker and probes, `Retry-After`, pace,
//! how many requests at once; over restarts, too.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{
    DeliveryId, DisabledReason, Moment, Monotonic, OpenBreaker, Outcome, RetryAfter, RetryPolicy, Setback, Timestamp,
    Trouble,
};
use posthaste::engine::endpoint::state::{Effect, Input, Limits, Plan, State};
use posthaste::policy::health::Patience;
use posthaste::store::{Record, Verdict};
use proptest::prelude::*;

use super::model::{self, delivered, failed, fresh};
use super::shelf::{Shelf, delivery};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
pub const LIMITS: Limits = Limits {
    window: 64,
    passivate_after: Duration::from_secs(600),
    patience: Patience {
        opens_after: Some(5),
        warn_after: DAY,
        disable_after: Some(Duration::from_secs(5 * 24 * 3600)),
        announce_after: Duration::from_secs(60),
    },
};

/// When everything begins: what is born later has an earlier id, all the same.
pub fn begin() -> Moment {
    model::begin().after(Duration::from_secs(60))
}

/// An endpoint's state and its store, on a clock that moves only when the case says
/// so.
pub struct Life {
    state: State,
    pub shelf: Shelf,
    pub now: Moment,
    sent: Vec<DeliveryId>,
    pub records: Vec<Record>,
    warned: Vec<Timestamp>,
    disabled: Vec<DisabledReason>,
    /// What those who subscribed are told of that.
    pub setbacks: Vec<Option<Setback>>,
}

impl Life {
    pub fn begin(plan: Plan) -> Self {
        Self::go_on(plan, Shelf::default(), begin())
    }

    /// With what is stored.
    pub fn go_on(plan: Plan, shelf: Shelf, now: Moment) -> Self {
        Self::wake_up(State::new(LIMITS), plan, shelf, now)
    }

    /// From a state that knows something already.
    fn wake_up(state: State, plan: Plan, shelf: Shelf, now: Moment) -> Self {
        let (sent, records, warned, disabled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let setbacks = Vec::new();
        let plan = Plan { trouble: shelf.trouble.clone(), ..plan };
        let mut life = Self { state, shelf, now, sent, records, warned, disabled, setbacks };
        life.step(Input::Timer);
        life.step(Input::Settings(Some(plan)));
        life
    }

    pub fn step(&mut self, input: Input) {
        for effect in self.state.step(input, self.now) {
            match effect {
                Effect::Send(sending) => self.sent.push(sending.delivery),
                Effect::Record(record) => {
                    self.records.push((*record).clone());
                    let recorded = self.shelf.record(&record);
                    self.step(Input::Recorded { delivery: record.delivery, recorded });
                }
                Effect::Warn(since) => self.warned.push(since),
                Effect::Disable(reason, setback) => {
                    self.disabled.push(reason);
                    self.setbacks.push(setback);
                }
                Effect::ReadPage { lane, after, limit, .. } => {
                    let due = self.shelf.due(lane, after, limit);
                    self.step(Input::Page { lane, limit, due, payloads: HashMap::new() });
                }
                Effect::ReadSettings | Effect::Rest => {}
                other => panic!("{other:?}"),
            }
        }
        let wake_at = self.state.wake_at();
        assert!(wake_at.is_none_or(|time| time > self.now.monotonic), "{wake_at:?} rings for nothing");
    }

    pub fn born(&mut self, count: usize) {
        let births = (0..count).map(|_| fresh(self.shelf.accept())).collect();
        self.step(Input::Born(births));
    }

    pub fn end(&mut self, delivery: DeliveryId, outcome: Outcome) {
        self.end_as(delivery, outcome, false);
    }

    /// The same of an event of Posthaste's own.
    pub fn end_as(&mut self, delivery: DeliveryId, outcome: Outcome, is_system: bool) {
        let (started, ended) = (self.now, self.now);
        let expires_at = None;
        self.step(Input::Attempted {
            delivery,
            started,
            ended,
            outcome,
            random: 0.5,
            retry: None,
            expires_at,
            is_system,
        });
    }

    /// What was sent since this was asked last.
    pub fn take_sent(&mut self) -> Vec<DeliveryId> {
        std::mem::take(&mut self.sent)
    }

    /// Moves to where the state wants to be woken.
    pub fn wake(&mut self) -> Duration {
        let time = self.state.wake_at().expect("something is to come");
        let waited = time.since(self.now.monotonic);
        self.now = self.now.after(waited);
        self.step(Input::Timer);
        waited
    }

    /// As often as it takes until something is sent.
    pub fn wake_until_sent(&mut self) -> Duration {
        let begun = self.now.monotonic;
        while self.sent.is_empty() {
            self.wake();
        }
        self.now.monotonic.since(begun)
    }

    pub fn advance(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.step(Input::Timer);
    }

    pub fn trouble(&self) -> Trouble {
        self.shelf.trouble.clone()
    }

    /// Answers whatever is sent, and says when that was.
    fn deliver_until(&mut self, until: Monotonic, times: &mut Vec<Monotonic>) {
        loop {
            for delivery in self.take_sent() {
                times.push(self.now.monotonic);
                self.end(delivery, delivered());
            }
            if self.state.wake_at().is_none_or(|time| time > until) {
                return;
            }
            self.wake();
        }
    }
}

pub fn hourly() -> RetryPolicy {
    RetryPolicy::Schedule(vec![Duration::from_secs(3600); 30])
}

/// One whose breaker has just opened, with five deliveries that failed and some more
/// that wait.
fn open(waiting: usize) -> Life {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(5);
    for failing in life.take_sent() {
        assert!(life.trouble().breaker.is_none());
        life.end(failing, failed());
    }
    life.born(waiting);
    assert!(life.take_sent().is_empty(), "what is due waits");
    life
}

#[test]
fn five_failures_of_several_deliveries_open_the_breaker() {
    let life = open(1);
    let expected = OpenBreaker { opened_at: begin().wall, probes: 0, probe_at: begin().wall + SECOND };
    assert_eq!(life.trouble().breaker, Some(expected));
    assert_eq!(life.trouble().failing_since, Some(begin().wall));
    let told = life.records.iter().filter(|record| record.trouble.is_some()).count();
    assert_eq!(told, 1, "only what changes is stored");
}

#[test]
fn a_lone_delivery_keeps_its_own_schedule() {
    let policy = RetryPolicy::Schedule(vec![SECOND; 10]);
    let mut life = Life::begin(Plan::new(32, policy));
    life.born(1);
    for attempt in 0..11 {
        let sent = life.take_sent();
        assert_eq!(sent, [delivery(1)], "attempt {attempt}");
        life.end(sent[0], failed());
        assert!(life.trouble().breaker.is_none());
        if attempt < 10 {
            assert_eq!(life.wake(), SECOND);
        }
    }
    assert!(life.trouble().failing_since.is_some(), "it fails all the same");
}

#[test]
fn probes_go_out_one_at_a_time_at_growing_intervals_oldest_first() {
    let mut life = open(10);
    let mut waits = Vec::new();
    for turn in 0..8 {
        waits.push(life.wake().as_secs_f64());
        let sent = life.take_sent();
        assert_eq!(sent, [delivery(6 + turn)], "the oldest that is due");
        life.advance(Duration::from_secs(100));
        assert!(life.take_sent().is_empty(), "one at a time");
        life.end(sent[0], failed());
    }
    assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
    let spent: Vec<u32> = life.records.iter().map(|record| record.attempts_before).collect();
    assert!(spent.iter().all(|before| *before == 0), "nothing that waits has spent an attempt: {spent:?}");
}

#[test]
fn a_success_closes_it_with_a_slow_start() {
    let mut life = open(20);
    life.wake();
    let probe = life.take_sent();
    life.end(probe[0], delivered());
    assert_eq!(life.trouble(), Trouble::default(), "and that is stored");
    let mut rounds = Vec::new();
    loop {
        let round = life.take_sent();
        if round.is_empty() {
            break;
        }
        rounds.push(round.len());
        round.into_iter().for_each(|delivery| life.end(delivery, delivered()));
    }
    // The window of an open breaker is small: the store has the rest.
    assert_eq!(rounds[..2], [1, 2], "{rounds:?}");
}

#[test]
fn an_old_retry_probes_before_newer_events() {
    let mut life = open(1);
    // The five that failed are due again.
    life.now = life.now.after(Duration::from_secs(3600));
    life.step(Input::Timer);
    let sent = life.take_sent();
    assert_eq!(sent, [delivery(6)], "it was due since it was born");
    life.end(sent[0], failed());
    life.wake();
    assert_eq!(life.take_sent(), [delivery(1)]);
}

#[test]
fn a_restart_carries_on_where_it_was() {
    let mut life = open(3);
    life.wake();
    let probe = life.take_sent();
    life.end(probe[0], failed());
    let mut next = Life::go_on(Plan::new(32, hourly()), life.shelf, life.now.after(Duration::from_millis(500)));
    assert!(next.take_sent().is_empty());
    assert_eq!(next.wake(), Duration::from_millis(1_500), "the second probe, two seconds after the first");
    assert_eq!(next.take_sent(), [delivery(7)]);
}

#[test]
fn retry_after_holds_everything_for_up_to_an_hour_and_is_remembered() {
    let busy = |asked| Outcome { retry_after: Some(asked), ..Outcome::answered(429, Bytes::new()) };
    for (asked, waits) in [
        (RetryAfter::In(Duration::from_secs(90)), Duration::from_secs(90)),
        (RetryAfter::In(Duration::from_secs(90_000)), Duration::from_secs(3_600)),
        (RetryAfter::At(begin().wall + Duration::from_secs(30)), Duration::from_secs(30)),
    ] {
        let mut life = Life::begin(Plan::new(32, hourly()));
        life.born(1);
        let sent = life.take_sent();
        life.end(sent[0], busy(asked));
        life.born(1);
        assert!(life.take_sent().is_empty());
        let stored = life.trouble();
        assert_eq!(stored.not_before, Some(begin().wall + waits));
        let mut next = Life::go_on(Plan::new(32, hourly()), life.shelf, life.now.after(SECOND));
        assert!(next.take_sent().is_empty());
        assert_eq!(next.wake_until_sent(), waits - SECOND, "also after a restart");
        assert_eq!(next.take_sent(), [delivery(2)]);
    }
}

#[test]
fn a_rest_that_was_asked_for_outlasts_the_successes_of_others() {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(8);
    let sent = life.take_sent();
    let busy =
        Outcome { retry_after: Some(RetryAfter::In(Duration::from_secs(60))), ..Outcome::answered(429, Bytes::new()) };
    life.end(sent[0], busy);
    sent[1..].iter().for_each(|delivery| life.end(*delivery, delivered()));
    life.born(1);
    assert!(life.take_sent().is_empty(), "they were under way before");
    assert_eq!(life.trouble().not_before, Some(begin().wall + Duration::from_secs(60)));
    assert_eq!(life.wake_until_sent(), Duration::from_secs(60));
    let sent = life.take_sent();
    life.end(sent[0], delivered());
    assert_eq!(life.trouble(), Trouble::default());
}

#[test]
fn what_was_handed_out_and_waits_is_countermanded() {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(8);
    let (sent, order) = (life.take_sent(), life.state.order());
    sent[..4].iter().for_each(|delivery| life.end(*delivery, failed()));
    assert_eq!(life.state.order(), order);
    life.end(sent[4], failed());
    assert!(life.state.order() > order, "the breaker opened");
    let order = life.state.order();
    // They never began, and are there again when it closes.
    sent[5..].iter().for_each(|delivery| life.step(Input::Unsent(*delivery)));
    life.wake_until_sent();
    let probe = life.take_sent();
    assert_eq!(probe.len(), 1);
    life.end(probe[0], delivered());
    life.step(Input::Settings(Some(Plan { enabled: false, ..Plan::new(32, hourly()) })));
    assert!(life.state.order() > order, "it is held");
}

#[test]
fn an_endpoint_that_is_seldom_tried_is_seen_to_fail() {
    // Each attempt is of a life of its own: it rests between them.
    let (mut shelf, mut now) = (Shelf::default(), begin());
    shelf.accept();
    for attempt in 1..=6 {
        let mut life = Life::go_on(Plan::new(32, hourly()), shelf, now);
        let sent = life.take_sent();
        assert_eq!(sent.len(), 1, "attempt {attempt}");
        life.end(sent[0], failed());
        assert_eq!(life.trouble().failing_since.is_some(), attempt >= 5, "after attempt {attempt}");
        (now, shelf) = (life.now.after(Duration::from_secs(3_600)), life.shelf);
    }
}

#[test]
fn who_has_too_much_is_given_less() {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(64);
    let first = life.take_sent();
    assert_eq!(first.len(), 8, "a life begins carefully");
    life.advance(SECOND);
    // Too many of two deliveries would open the breaker: one is enough.
    life.end(first[0], Outcome::answered(503, Bytes::new()));
    first[1..].iter().for_each(|delivery| life.end(*delivery, delivered()));
    assert_eq!(life.state.snapshot().allowed, 5, "half, and one more for a round of successes");
}

#[test]
fn it_is_warned_of_after_a_day_and_disabled_after_five() {
    let mut life = open(1_000);
    let begun = life.now;
    while life.disabled.is_empty() {
        life.advance(Duration::from_secs(1_800));
        for delivery in life.take_sent() {
            life.end(delivery, failed());
        }
        assert!(life.now.monotonic.since(begun.monotonic) < 6 * DAY);
    }
    assert_eq!(life.warned, [begun.wall], "once");
    assert_eq!(life.disabled, [DisabledReason::Failing]);
    let after = life.now.monotonic.since(begun.monotonic);
    assert!((5 * DAY..5 * DAY + Duration::from_secs(3_600)).contains(&after), "{after:?}");
}

#[test]
fn gone_is_an_ordinary_failure_unless_the_endpoint_says_otherwise() {
    for disable_on_gone in [false, true] {
        let mut life = Life::begin(Plan { disable_on_gone, ..Plan::new(32, hourly()) });
        life.born(1);
        let sent = life.take_sent();
        life.end(sent[0], Outcome::answered(410, Bytes::new()));
        assert!(matches!(life.records[0].verdict, Verdict::RetryAt(_)), "nothing is lost by it");
        assert_eq!(life.disabled, if disable_on_gone { vec![DisabledReason::Gone] } else { Vec::new() });
    }
}

#[test]
fn what_only_the_breaker_kept_waiting_has_one_last_attempt() {
    let policy = RetryPolicy::Schedule(vec![SECOND; 2]);
    let mut life = Life::begin(Plan::new(32, policy));
    life.born(5);
    life.take_sent().into_iter().for_each(|delivery| life.end(delivery, failed()));
    life.born(1);
    // The probes before its own take longer than its schedule and an hour.
    life.now = life.now.after(Duration::from_secs(3_600 + 10));
    life.step(Input::Timer);
    let sent = life.take_sent();
    assert_eq!(sent, [delivery(6)]);
    life.end(sent[0], failed());
    let last = life.records.last().expect("its attempt is written down");
    assert_eq!((last.delivery, last.attempts_before, last.verdict), (delivery(6), 0, Verdict::Exhausted));
}

/// A life that knows since when the last one on its node kept things waiting, which
/// rested for an hour and more. Whether its first failure is the last of its delivery.
fn is_exhausted_after_a_rest(knows: bool, is_paused: bool) -> bool {
    let policy = RetryPolicy::Schedule(vec![SECOND; 2]);
    let mut life = Life::begin(Plan::new(32, policy.clone()));
    life.born(5);
    life.take_sent().into_iter().for_each(|delivery| life.end(delivery, failed()));
    let open_since = life.state.is_open_since();
    assert_eq!(open_since, Some(life.now));
    let Life { shelf, now, .. } = life;
    let plan = Plan { enabled: !is_paused, ..Plan::new(32, policy.clone()) };
    let state = State::new(LIMITS).open_since(open_since.filter(|_| knows));
    let mut life = Life::wake_up(state, plan, shelf, now.after(Duration::from_secs(3_600 + 10)));
    if is_paused {
        life.step(Input::Changed);
        let trouble = life.trouble();
        life.step(Input::Settings(Some(Plan { trouble, ..Plan::new(32, policy) })));
    }
    let sent = life.take_sent();
    assert_eq!(sent.len(), 1, "a probe");
    life.end(sent[0], failed());
    matches!(life.records.last().map(|record| record.verdict), Some(Verdict::Exhausted))
}

#[test]
fn what_the_breaker_kept_waiting_while_its_actor_slept_counts() {
    assert!(is_exhausted_after_a_rest(true, false));
    assert!(!is_exhausted_after_a_rest(false, false), "nobody knows what there was before a restart");
    assert!(!is_exhausted_after_a_rest(true, true), "a pause lay between");
}

#[test]
fn pauses_do_not_count_as_waiting_for_the_breaker() {
    let policy = RetryPolicy::Schedule(vec![SECOND; 2]);
    let mut life = open(0);
    let paused = Plan { enabled: false, ..Plan::new(32, policy.clone()) };
    life.step(Input::Changed);
    life.step(Input::Settings(Some(paused)));
    life.now = life.now.after(2 * DAY);
    life.step(Input::Changed);
    let trouble = life.trouble();
    life.step(Input::Settings(Some(Plan { trouble, ..Plan::new(32, policy) })));
    life.born(1);
    let sent = life.take_sent();
    assert_eq!(sent, [delivery(1)], "a probe is due at once");
    life.end(sent[0], failed());
    assert!(matches!(life.records.last().map(|record| record.verdict), Some(Verdict::RetryAt(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However often the owner changes, no second has more than the rate and what a
    /// late timer may add.
    #[test]
    fn a_rate_holds_over_lives(per_second in 1..200_u32, lasting in prop::collection::vec(0..3_000_u64, 1..8)) {
        let plan = Plan { rate_limit: Some(per_second), ..Plan::new(32, hourly()) };
        let (mut times, mut shelf, mut now) = (Vec::new(), Shelf::default(), begin());
        for millis in lasting {
            let mut life = Life::go_on(plan.clone(), shelf, now);
            life.born(60);
            now = now.after(Duration::from_millis(millis));
            life.deliver_until(now.monotonic, &mut times);
            shelf = life.shelf;
        }
        for (index, first) in times.iter().enumerate() {
            let within = times[index..].iter().take_while(|time| time.since(*first) < SECOND).count();
            prop_assert!(within <= per_second as usize + 2, "{within} in a second at {per_second}");
        }
    }
}
