//! What an endpoint's state decides, case by case: reads, settings, attempts by hand,
//! rest.

use std::collections::HashMap;
use std::time::Duration;

use posthaste::domain::{DiscardReason, Moment, Monotonic, OpenBreaker, Outcome, RetryPolicy, StoredStatus, Trouble};
use posthaste::engine::endpoint::state::{Effect, Input, Limits, Plan, Sending, State};
use posthaste::store::{AttemptKind, Due, Fence, Lane, Record, Recorded, Verdict};

mod schedule;

use super::model::{LANES, LIMITS, begin, delivered, failed, fresh};
use super::shelf::delivery;

/// A state that has read its settings and an empty store.
fn settled(limits: Limits, plan: &Plan, now: Moment) -> State {
    let mut state = State::new(limits);
    state.step(Input::Timer, now);
    state.step(Input::Settings(Some(plan.clone())), now);
    for lane in LANES {
        state.step(Input::Page { lane, limit: limits.window, due: Vec::new(), payloads: HashMap::new() }, now);
    }
    state
}

fn plan(max_concurrency: usize, retry: RetryPolicy) -> Plan {
    Plan::new(max_concurrency, retry)
}

fn sent(effects: &[Effect]) -> Vec<&Sending> {
    effects.iter().filter_map(|effect| if let Effect::Send(sending) = effect { Some(sending) } else { None }).collect()
}

fn record(effects: &[Effect]) -> &Record {
    let record =
        effects.iter().find_map(|effect| if let Effect::Record(record) = effect { Some(record) } else { None });
    record.expect("an attempt that ends is written down")
}

fn reads(effects: &[Effect], lane: Lane) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::ReadPage { lane: read, .. } if *read == lane))
}

fn attempted(number: u128, started: Moment, outcome: Outcome) -> Input {
    Input::Attempted {
        delivery: delivery(number),
        started,
        ended: started,
        outcome,
        random: 0.5,
        retry: None,
        expires_at: None,
        is_system: false,
    }
}

fn written(number: u128, status: StoredStatus) -> Input {
    Input::Recorded { delivery: delivery(number), recorded: Recorded::Written(status) }
}

fn due(number: u128, status: StoredStatus, at: Moment) -> Due {
    Due {
        delivery: delivery(number),
        event: fresh(number).event,
        status,
        attempt_count: 1,
        scheduled_attempts: 1,
        place: None,
        sequence: u64::try_from(number).ok(),
        due_at: at.wall,
    }
}

/// Sends a delivery, has it fail and be written down; it waits then.
fn fail(state: &mut State, number: u128, now: Moment) {
    state.step(attempted(number, now, failed()), now);
    state.step(written(number, StoredStatus::Retrying), now);
}

#[test]
fn a_due_retry_without_a_free_place_sets_no_timer() {
    let now = begin();
    let policy = RetryPolicy::Schedule(vec![Duration::from_millis(10); 3]);
    let mut state = settled(LIMITS, &plan(1, policy), now);
    state.step(Input::Born(vec![fresh(1), fresh(2)]), now);
    fail(&mut state, 1, now);
    // The other one hangs, and the only place with it.
    let later = now.after(Duration::from_millis(10));
    assert!(sent(&state.step(Input::Timer, later)).is_empty());
    assert_eq!(state.wake_at(), None);
    let effects = state.step(attempted(2, now, delivered()), later);
    assert_eq!(sent(&effects).first().map(|sending| sending.delivery), Some(delivery(1)));
}

#[test]
fn a_failed_read_rings_for_nobody_while_the_endpoint_is_held() {
    let now = begin();
    let enabled = plan(1, RetryPolicy::default());
    let mut state = settled(LIMITS, &enabled, now);
    state.step(Input::Hint(Lane::Retry), now);
    state.step(Input::PageFailed(Lane::Retry), now);
    state.step(Input::Changed, now);
    state.step(Input::Settings(Some(Plan { enabled: false, ..enabled })), now);
    let later = now.after(Duration::from_secs(2));
    state.step(Input::Timer, later);
    assert!(state.wake_at().is_none_or(|time| time > later.monotonic), "{:?}", state.wake_at());
}

#[test]
fn a_waiting_retry_gets_its_turn_however_many_events_come() {
    let now = begin();
    let policy = RetryPolicy::Schedule(vec![Duration::from_millis(10)]);
    let mut state = settled(Limits { window: 100, ..LIMITS }, &plan(1, policy), now);
    state.step(Input::Born((1..=50).map(fresh).collect()), now);
    fail(&mut state, 1, now);
    let now = now.after(Duration::from_secs(1));
    let mut sent_before = Vec::new();
    for number in 2..=50 {
        let effects = state.step(attempted(number, now, delivered()), now);
        let next = sent(&effects)[0].delivery;
        if next == delivery(1) {
            assert!(sent_before.len() <= 1, "it waited for {sent_before:?}");
            return;
        }
        sent_before.push(next);
        state.step(written(number, StoredStatus::Delivered), now);
    }
    panic!("the retry never had its turn");
}

/// A retry window full of what is due a little later, and one delivery, due
/// soon, that is asked for by hand before the page that has it in the schedule is
/// there.
fn asked_for_by_hand(ended_before_the_page: bool) {
    let now = begin();
    let later = now.after(Duration::from_millis(4_900));
    let soon = now.after(Duration::from_secs(4));
    let page = |lane, due| Input::Page { lane, limit: LIMITS.window, due, payloads: HashMap::new() };
    let mut scheduled = vec![due(9, StoredStatus::Retrying, soon)];
    scheduled.extend((1..=3).map(|number| due(number, StoredStatus::Retrying, later)));
    let mut state = State::new(LIMITS);
    state.step(Input::Timer, now);
    state.step(Input::Settings(Some(plan(8, RetryPolicy::default()))), now);
    state.step(page(Lane::Fresh, Vec::new()), now);
    let effects = state.step(page(Lane::Manual, vec![due(9, StoredStatus::Retrying, now)]), now);
    assert_eq!(sent(&effects).len(), 1);
    if !ended_before_the_page {
        state.step(page(Lane::Retry, scheduled.clone()), now);
    }
    let effects = state.step(attempted(9, now, failed()), now);
    assert_eq!((record(&effects).kind, record(&effects).verdict), (AttemptKind::Manual, Verdict::Unchanged));
    state.step(written(9, StoredStatus::Retrying), now);
    if ended_before_the_page {
        let effects = state.step(page(Lane::Retry, scheduled.clone()), now);
        assert!(reads(&effects, Lane::Retry), "the page shows it as it was before: {effects:?}");
        scheduled[0].attempt_count = 2;
        state.step(page(Lane::Retry, scheduled), now);
    }
    assert_eq!(state.snapshot().next_retry, Some(soon.monotonic));
    let effects = state.step(Input::Timer, soon);
    assert_eq!(sent(&effects).iter().map(|sending| sending.number).collect::<Vec<u32>>(), [3]);
}

#[test]
fn a_retry_that_is_far_off_takes_no_memory_and_comes_on_time() {
    let now = begin();
    let (soon, hour) = (now.after(Duration::from_secs(4)), now.after(Duration::from_secs(3_600)));
    let mut state = settled(LIMITS, &plan(8, RetryPolicy::default()), now);
    assert!(reads(&state.step(Input::Hint(Lane::Retry), now), Lane::Retry));
    let waiting = vec![due(1, StoredStatus::Retrying, soon), due(2, StoredStatus::Retrying, hour)];
    let page = |due| Input::Page { lane: Lane::Retry, limit: 2, due, payloads: HashMap::new() };
    let effects = state.step(page(waiting.clone()), now);
    assert!(!reads(&effects, Lane::Retry), "what is behind the far one is farther: {effects:?}");
    let snapshot = state.snapshot();
    assert_eq!((snapshot.window, snapshot.next_retry), (1, Some(soon.monotonic)));

    assert_eq!(sent(&state.step(Input::Timer, soon)).len(), 1);
    state.step(attempted(1, soon, delivered()), soon);
    state.step(written(1, StoredStatus::Delivered), soon);
    assert_eq!(state.rest_until(), Some(Some(hour.monotonic)), "it may leave memory until then");
    let resting = soon.after(LIMITS.passivate_after);
    assert!(state.step(Input::Timer, resting).iter().any(|effect| matches!(effect, Effect::Rest)));

    let early = hour.monotonic - Duration::from_secs(1);
    assert!(state.wake_at().is_some_and(|time| time <= early));
    let almost = now.after(early.since(now.monotonic));
    assert!(reads(&state.step(Input::Timer, almost), Lane::Retry), "it is read just before it is due");
    state.step(page(vec![waiting[1].clone()]), almost);
    assert!(sent(&state.step(Input::Timer, almost)).is_empty(), "and not sent before");
    assert_eq!(sent(&state.step(Input::Timer, hour)).len(), 1);
}

#[test]
fn a_retry_due_in_a_moment_is_not_read_over_and_over() {
    let now = begin();
    let restless = Limits { window: 4, passivate_after: Duration::from_millis(100), ..LIMITS };
    let mut state = settled(restless, &plan(8, RetryPolicy::default()), now);
    assert!(reads(&state.step(Input::Hint(Lane::Retry), now), Lane::Retry));
    let soon = due(1, StoredStatus::Retrying, now.after(Duration::from_millis(900)));
    let page = Input::Page { lane: Lane::Retry, limit: 4, due: vec![soon], payloads: HashMap::new() };
    assert!(!reads(&state.step(page, now), Lane::Retry));
}

/// Something before the page that is under way stands in the store again; the
/// page brings so many, and one is born before that.
fn read_anew_over_a_page(of_page: std::ops::Range<u128>) {
    let now = begin();
    let mut state = settled(LIMITS, &plan(1, RetryPolicy::default()), now);
    assert!(reads(&state.step(Input::Hint(Lane::Fresh), now), Lane::Fresh));
    state.step(Input::Born(vec![fresh(30)]), now);
    state.step(Input::Hint(Lane::Fresh), now);
    let fresh_page = of_page.map(|number| Due { attempt_count: 0, ..due(number, StoredStatus::Pending, now) });
    let page = Input::Page { lane: Lane::Fresh, limit: 4, due: fresh_page.collect(), payloads: HashMap::new() };
    let mut effects = state.step(page, now);
    for _ in 0..5 {
        let Some(delivery) = sent(&effects).last().map(|sending| sending.delivery) else { break };
        let ended = Input::Attempted {
            delivery,
            started: now,
            ended: now,
            outcome: delivered(),
            random: 0.5,
            retry: None,
            expires_at: None,
            is_system: false,
        };
        effects.extend(state.step(ended, now));
        let recorded = Recorded::Written(StoredStatus::Delivered);
        effects.extend(state.step(Input::Recorded { delivery, recorded }, now));
    }
    let after = effects.iter().find_map(|effect| match effect {
        Effect::ReadPage { lane: Lane::Fresh, after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(after, Some(None), "the next page begins at the beginning");
}

#[test]
fn what_is_to_be_read_anew_is_not_forgotten_over_a_page_under_way() {
    read_anew_over_a_page(20..24);
    read_anew_over_a_page(20..21);
}

#[test]
fn an_attempt_by_hand_does_not_cost_the_scheduled_one_its_place() {
    asked_for_by_hand(true);
    asked_for_by_hand(false);
}

#[test]
fn an_attempt_asked_for_while_another_ends_is_read_again() {
    let now = begin();
    let mut state = settled(LIMITS, &plan(4, RetryPolicy::default()), now);
    state.step(Input::Born(vec![fresh(1)]), now);
    assert!(reads(&state.step(Input::Hint(Lane::Manual), now), Lane::Manual));
    fail(&mut state, 1, now);
    let mut asked = due(1, StoredStatus::Pending, now);
    (asked.attempt_count, asked.scheduled_attempts) = (0, 0);
    let effects = state.step(
        Input::Page { lane: Lane::Manual, limit: LIMITS.window, due: vec![asked], payloads: HashMap::new() },
        now,
    );
    assert!(sent(&effects).is_empty(), "it was read before the attempt counted");
    assert!(reads(&effects, Lane::Manual));
}

#[test]
fn what_someone_else_moved_on_is_read_again() {
    let now = begin();
    let mut state = settled(LIMITS, &plan(4, RetryPolicy::default()), now);
    state.step(Input::Born(vec![fresh(1)]), now);
    state.step(attempted(1, now, failed()), now);
    let effects = state.step(Input::Recorded { delivery: delivery(1), recorded: Recorded::Superseded }, now);
    for lane in LANES {
        assert!(reads(&effects, lane), "{lane:?}");
    }
}

#[test]
fn a_sweep_finds_what_is_due_behind_a_full_window() {
    let now = begin();
    let hour = now.after(Duration::from_secs(3_600));
    let mut state = settled(LIMITS, &plan(4, RetryPolicy::default()), now);
    state.step(Input::Hint(Lane::Retry), now);
    let waiting = (1..=4).map(|number| due(number, StoredStatus::Retrying, hour)).collect();
    let effects = state
        .step(Input::Page { lane: Lane::Retry, limit: LIMITS.window, due: waiting, payloads: HashMap::new() }, now);
    assert!(!reads(&effects, Lane::Retry), "the window is full of what is not due");
    assert!(reads(&state.step(Input::Hint(Lane::Retry), now), Lane::Retry));
    let late = due(5, StoredStatus::Retrying, now);
    let effects = state
        .step(Input::Page { lane: Lane::Retry, limit: LIMITS.window, due: vec![late], payloads: HashMap::new() }, now);
    assert_eq!(sent(&effects).len(), 1);
}

#[test]
fn a_retry_whose_bytes_could_not_be_read_does_not_wait_for_the_window_to_drain() {
    let now = begin();
    let hour = now.after(Duration::from_secs(3_600));
    let mut state = State::new(LIMITS);
    state.step(Input::Timer, now);
    state.step(Input::Settings(Some(plan(8, RetryPolicy::default()))), now);
    for lane in [Lane::Fresh, Lane::Manual] {
        state.step(Input::Page { lane, limit: LIMITS.window, due: Vec::new(), payloads: HashMap::new() }, now);
    }
    let mut retries = vec![due(9, StoredStatus::Retrying, now)];
    retries.extend((1..=3).map(|number| due(number, StoredStatus::Retrying, hour)));
    let effects = state
        .step(Input::Page { lane: Lane::Retry, limit: LIMITS.window, due: retries, payloads: HashMap::new() }, now);
    assert_eq!(sent(&effects).len(), 1);
    state.step(Input::Unsent(delivery(9)), now);
    let soon = now.after(Duration::from_secs(1));
    assert_eq!(state.wake_at(), Some(soon.monotonic));
    assert!(reads(&state.step(Input::Timer, soon), Lane::Retry));
}

#[test]
fn an_endpoint_that_is_gone_ends_when_its_last_outcome_is_written() {
    let now = begin();
    let mut state = settled(LIMITS, &plan(4, RetryPolicy::default()), now);
    state.step(Input::Born(vec![fresh(1)]), now);
    state.step(Input::Changed, now);
    assert!(state.step(Input::Settings(None), now).is_empty(), "an attempt is still under way");
    assert!(sent(&state.step(Input::Born(vec![fresh(2)]), now)).is_empty());
    state.step(attempted(1, now, failed()), now);
    let effects = state.step(written(1, StoredStatus::Retrying), now);
    assert!(matches!(effects[..], [Effect::Gone]), "{effects:?}");
}

#[test]
fn an_actor_with_nothing_to_do_rests_after_its_time_on_the_monotonic_clock() {
    let now = begin();
    let mut state = settled(LIMITS, &plan(4, RetryPolicy::default()), now);
    assert_eq!(state.wake_at(), Some(now.monotonic + LIMITS.passivate_after));
    let later = Moment { wall: now.wall, monotonic: Monotonic::from_start(Duration::from_secs(2_000)) };
    assert!(matches!(state.step(Input::Timer, later)[..], [Effect::Rest]));
    assert_eq!(state.rest_until(), Some(None));
}

#[test]
fn news_of_a_birth_that_comes_after_its_end_by_hand_is_looked_up() {
    let now = begin();
    let long_ago = Moment { wall: now.wall - Duration::from_secs(60), ..now };
    let mut plan = plan(8, RetryPolicy::default());
    let mut state = State::new(LIMITS).fenced_by(Some(Fence(7)));
    let empty = |lane| Input::Page { lane, limit: LIMITS.window, due: Vec::new(), payloads: HashMap::new() };
    state.step(Input::Timer, long_ago);
    state.step(Input::Settings(Some(plan.clone())), now);
    for lane in LANES {
        state.step(empty(lane), now);
    }
    // Another node accepted it, and there somebody skipped it; only that is heard of.
    state.step(Input::Changed, now);
    plan.discards = 1;
    state.step(Input::Settings(Some(plan)), now);
    for lane in LANES {
        state.step(empty(lane), now);
    }
    for lane in LANES {
        state.step(empty(lane), now);
    }
    let effects = state.step(Input::Born(vec![fresh(5)]), now);
    assert!(sent(&effects).is_empty(), "{effects:?}");
    assert!(reads(&effects, Lane::Fresh), "the store knows whether it is there");
}

#[test]
fn what_has_expired_does_not_take_the_pace_of_others() {
    let now = begin();
    let plan = Plan { rate_limit: Some(1), ..plan(8, RetryPolicy::default()) };
    let mut state = settled(LIMITS, &plan, now);
    let at = now.after(Duration::from_secs(2));
    let mut effects = state.step(Input::Born((1..=4).map(fresh).collect()), at);
    let expired = StoredStatus::Discarded(DiscardReason::Expired);
    for number in 1..=4 {
        let [sending] = sent(&effects)[..] else { panic!("one after the other, and at once: {effects:?}") };
        assert_eq!(sending.delivery, delivery(number));
        effects = state.step(Input::Expired(delivery(number)), at);
        state.step(written(number, expired), at);
    }
    state.step(Input::Born(vec![fresh(5), fresh(6)]), at);
    assert_eq!(state.snapshot().in_flight, 1, "who has not expired has the turn, and the next one waits for hers");
}

#[test]
fn what_has_not_begun_when_something_changes_is_thought_of_again() {
    let now = begin();
    let mut state = settled(LIMITS, &plan(8, RetryPolicy::default()), now);
    let effects = state.step(Input::Born(vec![fresh(1)]), now);
    let Sending { order, halts, .. } = *sent(&effects)[0];
    state.step(Input::Halt, now);
    assert!(state.order() != order && state.halts() != halts, "it may be held by now");
    let changed = state.step(Input::Born(vec![fresh(2)]), now);
    assert!(sent(&changed).is_empty(), "{changed:?}");
    let mut effects = state.step(Input::Unsent(delivery(1)), now);
    effects.extend(state.step(Input::Settings(Some(plan(8, RetryPolicy::default()))), now));
    assert!(reads(&effects, Lane::Fresh), "it was halted for another's sake, and goes on at once: {effects:?}");
}

#[test]
fn what_was_read_before_an_unheard_change_is_not_sent() {
    for news in [Input::Changed, Input::Halt] {
        let now = begin();
        let plan = Plan { discards: 1, ..plan(8, RetryPolicy::default()) };
        let mut state = State::new(LIMITS);
        state.step(Input::Timer, now);
        // The page was read before somebody skipped it, and the settings could not be.
        let page = Input::Page {
            lane: Lane::Retry,
            limit: LIMITS.window,
            due: vec![due(5, StoredStatus::Retrying, now)],
            payloads: HashMap::new(),
        };
        state.step(page, now);
        state.step(Input::SettingsFailed, now);
        let told = format!("{news:?}");
        let mut effects = state.step(news, now);
        let later = now.after(Duration::from_secs(2));
        effects.extend(state.step(Input::Timer, later));
        effects.extend(state.step(Input::Settings(Some(plan)), later));
        assert!(sent(&effects).is_empty(), "{told}: {effects:?}");
    }
}

#[test]
fn retries_that_are_not_to_wait_are_read_anew_and_probe_an_open_breaker() {
    let now = begin();
    let hour = Duration::from_secs(3_600);
    let open = OpenBreaker { opened_at: now.wall, probes: 9, probe_at: now.wall + Duration::from_secs(25) };
    let trouble = Trouble { breaker: Some(open), not_before: Some(now.wall + hour), ..Trouble::default() };
    let plan = Plan { trouble, ..plan(8, RetryPolicy::default()) };
    let mut state = settled(LIMITS, &plan, now);
    let page = |at| Input::Page {
        lane: Lane::Retry,
        limit: LIMITS.window,
        due: vec![due(1, StoredStatus::Retrying, at)],
        payloads: HashMap::new(),
    };
    state.step(Input::Hint(Lane::Retry), now);
    state.step(page(now.after(Duration::from_secs(5))), now);
    assert!(sent(&state.step(Input::Timer, now.after(Duration::from_secs(6)))).is_empty(), "neither lets it go");
    let later = now.after(Duration::from_secs(7));
    state.step(Input::Changed, later);
    let effects = state.step(Input::Settings(Some(Plan { hurries: 1, ..plan.clone() })), later);
    assert!(reads(&effects, Lane::Retry), "{effects:?}");
    let effects = state.step(page(later), later);
    let [sending] = sent(&effects)[..] else { panic!("it is the probe: {effects:?}") };
    assert_eq!((sending.delivery, sending.number), (delivery(1), 2));
    assert!(state.snapshot().is_probing);
    // Read again for another reason, it hurries nothing.
    state.step(attempted(1, later, failed()), later);
    state.step(written(1, StoredStatus::Retrying), later);
    state.step(Input::Changed, later);
    state.step(Input::Settings(Some(Plan { hurries: 1, ..plan })), later);
    assert!(state.snapshot().not_before.is_some_and(|time| time > later.monotonic), "the next probe waits again");
}
