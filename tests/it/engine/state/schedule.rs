//! When attempts come: a whole day of retries on a clock that the test moves, and whose
//! schedule it is.

use std::collections::HashMap;
use std::time::Duration;

use posthaste::domain::{Moment, RetryPolicy, StoredStatus};
use posthaste::engine::endpoint::state::{Effect, Input, Limits, Plan, State};
use posthaste::store::{Lane, Verdict};

use super::super::model::{LIMITS, begin, failed, fresh};
use super::super::shelf::delivery;
use super::{attempted, due, plan, record, sent, settled, written};

/// A delivery that only ever fails, over its whole schedule. `jump` moves the
/// wall clock after each failure, `rest` lets the state leave memory and read
/// the store again. Answers the gaps from each failure to the next attempt.
fn a_failing_day(jump: impl Fn(u32, Moment) -> Moment, rest: bool) -> Vec<Duration> {
    let plan = plan(32, RetryPolicy::default());
    let limits = Limits { window: 128, passivate_after: Duration::from_secs(30), ..LIMITS };
    let mut now = begin();
    let mut state = settled(limits, &plan, now);
    let mut effects = state.step(Input::Born(vec![fresh(1)]), now);
    let mut gaps = Vec::new();
    for number in 1.. {
        let [sending] = sent(&effects)[..] else { panic!("attempt {number} is made once: {effects:?}") };
        assert_eq!(sending.number, number);
        let started = now;
        now = now.after(Duration::from_millis(1_234));
        let random = f64::from(number % 10) / 9.0;
        let ended = Input::Attempted {
            delivery: delivery(1),
            started,
            ended: now,
            outcome: failed(),
            random,
            retry: None,
            expires_at: None,
            is_system: false,
        };
        let verdict = record(&state.step(ended, now)).verdict;
        let Verdict::RetryAt(stored_at) = verdict else {
            assert_eq!(verdict, Verdict::Exhausted);
            state.step(written(1, StoredStatus::RetriesExhausted), now);
            let window = state.snapshot();
            assert_eq!((window.window, window.recording, window.next_retry), (0, 0, None));
            return gaps;
        };
        let failed_at = now.monotonic;
        now = now.after(Duration::from_millis(3));
        effects = state.step(written(1, StoredStatus::Retrying), now);
        now = jump(number, now);
        while sent(&effects).is_empty() {
            if rest && effects.iter().any(|effect| matches!(effect, Effect::Rest)) {
                let until = state.rest_until().flatten().expect("a retry waits");
                now = now.after(until.since(now.monotonic));
                state = State::new(limits);
                state.step(Input::Timer, now);
                state.step(Input::Settings(Some(plan.clone())), now);
                let mut waiting = due(1, StoredStatus::Retrying, now);
                (waiting.attempt_count, waiting.scheduled_attempts, waiting.due_at) = (number, number, stored_at);
                effects = state.step(
                    Input::Page { lane: Lane::Retry, limit: 128, due: vec![waiting], payloads: HashMap::new() },
                    now,
                );
                for lane in [Lane::Fresh, Lane::Manual] {
                    effects.extend(
                        state.step(Input::Page { lane, limit: 128, due: Vec::new(), payloads: HashMap::new() }, now),
                    );
                }
                continue;
            }
            let wake_at = state.wake_at().expect("a retry waits");
            let early = Duration::from_nanos(1);
            now = now.after(wake_at.since(now.monotonic).saturating_sub(early));
            assert!(sent(&state.step(Input::Timer, now)).is_empty(), "attempt {} comes early", number + 1);
            now = now.after(wake_at.since(now.monotonic));
            effects = state.step(Input::Timer, now);
        }
        gaps.push(now.monotonic.since(failed_at));
    }
    unreachable!("the schedule ends before the numbers do")
}

fn assert_default_schedule(gaps: &[Duration]) {
    assert_eq!(gaps.len() + 1, 15, "attempts");
    for (index, gap) in gaps.iter().enumerate() {
        let least = Duration::from_secs(5) * 2_u32.pow(index as u32);
        // What is read from the store is rounded up to a millisecond.
        let most = least * 11 / 10 + Duration::from_millis(1);
        assert!((least..=most).contains(gap), "retry {} after {gap:?}", index + 1);
    }
}

#[test]
fn a_day_of_failures_is_fifteen_attempts_at_their_times() {
    assert_default_schedule(&a_failing_day(|_, now| now, false));
}

#[test]
fn no_jump_of_the_wall_clock_moves_an_attempt() {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    let jump = |number: u32, now: Moment| Moment {
        wall: if number.is_multiple_of(2) { now.wall + hours(7) } else { now.wall - hours(5) },
        monotonic: now.monotonic,
    };
    assert_eq!(a_failing_day(jump, false), a_failing_day(|_, now| now, false));
}

#[test]
fn a_day_with_naps_is_the_same_day() {
    assert_default_schedule(&a_failing_day(|_, now| now, true));
}

#[test]
fn an_endpoints_own_schedule_goes_before_its_events_types_and_that_before_the_default() {
    let waits = |seconds| Some(RetryPolicy::Schedule(vec![Duration::from_secs(seconds)]));
    let half_jittered = Duration::from_millis(5_250);
    for (own, of_type, wait) in [
        (waits(1), waits(2), Some(Duration::from_secs(1))),
        (waits(1), None, Some(Duration::from_secs(1))),
        (None, waits(2), Some(Duration::from_secs(2))),
        (None, Some(RetryPolicy::Schedule(Vec::new())), None),
        (None, None, Some(half_jittered)),
    ] {
        let now = begin();
        let mut state = settled(LIMITS, &Plan { retry: own.clone(), ..plan(1, RetryPolicy::default()) }, now);
        state.step(Input::Born(vec![fresh(1)]), now);
        let mut ended = attempted(1, now, failed());
        if let Input::Attempted { retry, .. } = &mut ended {
            retry.clone_from(&of_type);
        }
        let expected = wait.map_or(Verdict::Exhausted, |wait| Verdict::RetryAt(now.wall + wait));
        assert_eq!(record(&state.step(ended, now)).verdict, expected, "{own:?}, {of_type:?}");
    }
}
