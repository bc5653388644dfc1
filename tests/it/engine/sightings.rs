//! What an endpoint's state makes of a look over what was lately born, and of an
//! outcome that is refused because another node owns the endpoint.

use std::collections::HashMap;
use std::time::Duration;

use posthaste::domain::{DeliveryId, Moment, RetryPolicy, StoredStatus, Timestamp};
use posthaste::engine::endpoint::state::{Effect, Input, Plan, State};
use posthaste::store::{Due, Fence, Lane, Recorded};

use super::model::{LANES, LIMITS, begin, delivered, failed, fresh};
use super::shelf::delivery;

fn plan(max_concurrency: usize) -> Plan {
    Plan::new(max_concurrency, RetryPolicy::default())
}

/// A state that has read its settings and an empty store.
fn settled(max_concurrency: usize, now: Moment) -> State {
    let mut state = State::new(LIMITS).fenced_by(Some(Fence(7)));
    // So long ago that whatever is new was made since then.
    let long_ago = Moment { wall: Timestamp::from_millis(now.wall.as_millis() - 60_000), ..now };
    state.step(Input::Timer, long_ago);
    state.step(Input::Settings(Some(plan(max_concurrency))), now);
    for lane in LANES {
        state.step(page(lane, Vec::new()), now);
    }
    // The end of the lane is looked at from its beginning once it was read on.
    assert!(!state.snapshot().more_in_store);
    state
}

fn page(lane: Lane, due: Vec<Due>) -> Input {
    Input::Page { lane, limit: LIMITS.window, due, payloads: HashMap::new() }
}

fn new(number: u128, now: Moment) -> Due {
    Due {
        delivery: delivery(number),
        event: fresh(number).event,
        status: StoredStatus::Pending,
        attempt_count: 0,
        scheduled_attempts: 0,
        place: None,
        sequence: u64::try_from(number).ok(),
        due_at: now.wall,
    }
}

fn numbered(numbers: impl IntoIterator<Item = u128>) -> Vec<DeliveryId> {
    numbers.into_iter().map(delivery).collect()
}

fn is_fresh_read(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::ReadPage { lane: Lane::Fresh, .. }))
}

fn recorded(number: u128, recorded: Recorded) -> Input {
    Input::Recorded { delivery: delivery(number), recorded }
}

fn attempted(number: u128, now: Moment) -> Input {
    Input::Attempted {
        delivery: delivery(number),
        started: now,
        ended: now,
        outcome: delivered(),
        random: 0.5,
        retry: None,
        expires_at: None,
        is_system: false,
    }
}

fn sent(effects: &[Effect]) -> Vec<DeliveryId> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send(sending) => Some(sending.delivery),
        _ => None,
    });
    sent.collect()
}

#[test]
fn births_that_are_told_out_of_turn_go_out_without_a_read() {
    let now = begin();
    let mut state = settled(8, now);
    assert_eq!(sent(&state.step(Input::Born(vec![fresh(5)]), now)), numbered([5]));
    let effects = state.step(Input::Born(vec![fresh(3), fresh(4)]), now);
    assert_eq!(sent(&effects), numbered([3, 4]));
    assert!(!is_fresh_read(&effects));
    // News of what was settled since then leads to nothing.
    for number in [3, 4, 5] {
        state.step(attempted(number, now), now);
        state.step(recorded(number, Recorded::Written(StoredStatus::Delivered)), now);
    }
    let effects = state.step(Input::Born(vec![fresh(3)]), now);
    assert!(sent(&effects).is_empty() && is_fresh_read(&effects), "the store knows: {effects:?}");
}

#[test]
fn what_an_earlier_life_may_have_settled_is_looked_up() {
    let now = begin();
    let mut state = State::new(LIMITS).fenced_by(Some(Fence(7)));
    state.step(Input::Timer, now.after(Duration::from_secs(60)));
    state.step(Input::Settings(Some(plan(8))), now);
    for lane in LANES {
        state.step(page(lane, Vec::new()), now);
    }
    let effects = state.step(Input::Born(vec![fresh(1)]), now);
    assert!(sent(&effects).is_empty() && is_fresh_read(&effects), "{effects:?}");
    let effects = state.step(page(Lane::Fresh, vec![new(1, now)]), now);
    assert_eq!(sent(&effects), numbered([1]));
}

#[test]
fn what_is_known_is_not_read_for_a_sighting() {
    let now = begin();
    let mut state = settled(1, now);
    // One in flight, two in the window.
    state.step(Input::Born((1..=3).map(fresh).collect()), now);
    assert!(!state.overlooks(&numbered(1..=3)));
    assert!(state.step(Input::Sighted(numbered(1..=3)), now).is_empty());
    // One on its way to the store, then one that is written.
    state.step(attempted(1, now), now);
    assert!(!state.overlooks(&numbered(1..=3)));
    state.step(recorded(1, Recorded::Written(StoredStatus::Delivered)), now);
    assert!(!state.overlooks(&numbered(1..=3)), "the look was older than the outcome");
    assert!(state.overlooks(&numbered(1..=4)));
}

#[test]
fn what_nobody_told_of_is_read_once_and_sent() {
    let now = begin();
    let mut state = settled(4, now);
    let effects = state.step(Input::Sighted(numbered([5])), now);
    assert!(is_fresh_read(&effects), "{effects:?}");
    // Until it is read, it is known to be missing.
    assert!(state.overlooks(&numbered([5])), "the read under way may have begun before it was there");
    assert!(state.step(Input::Sighted(numbered([5])), now).is_empty(), "one read at a time");
    assert!(!state.overlooks(&numbered([5])));
    let effects = state.step(page(Lane::Fresh, vec![new(5, now)]), now);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Send(sending) if sending.delivery == delivery(5))));
}

/// Ids of two nodes cross each other: one is written that stands before what was
/// read already.
#[test]
fn what_was_committed_late_is_read_from_the_beginning() {
    let now = begin();
    let mut state = settled(1, now);
    state.step(Input::Born((10..=12).map(fresh).collect()), now);
    let effects = state.step(Input::Sighted(numbered([9])), now);
    let after = effects.iter().find_map(|effect| match effect {
        Effect::ReadPage { lane: Lane::Fresh, after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(after, Some(None), "{effects:?}");
}

#[test]
fn what_will_be_read_anyway_is_not_read_for_a_sighting() {
    let now = begin();
    let mut state = settled(1, now);
    // More than the window holds: the store has the rest.
    state.step(Input::Born((1..=12).map(fresh).collect()), now);
    assert!(state.snapshot().more_in_store);
    assert!(!state.overlooks(&numbered(1..=20)));
    assert!(state.step(Input::Sighted(numbered(1..=20)), now).is_empty());
}

#[test]
fn nobody_reads_for_an_endpoint_that_holds() {
    let now = begin();
    let mut state = settled(1, now);
    state.step(Input::Changed, now);
    state.step(Input::Settings(Some(Plan { enabled: false, ..plan(1) })), now);
    assert!(!state.overlooks(&numbered([1])));
    assert!(!is_fresh_read(&state.step(Input::Sighted(numbered([1])), now)));
}

#[test]
fn a_refused_outcome_ends_everything_at_once() {
    let now = begin();
    let mut state = settled(2, now);
    state.step(Input::Born((1..=4).map(fresh).collect()), now);
    state.step(attempted(1, now), now);
    // Another outcome comes with the refusal: it is not written, nothing is sent.
    let ended = Input::Attempted {
        delivery: delivery(2),
        started: now,
        ended: now,
        outcome: failed(),
        random: 0.5,
        retry: None,
        expires_at: None,
        is_system: false,
    };
    let effects = state.step_all([ended, recorded(1, Recorded::Fenced)], now);
    assert!(matches!(effects[..], [Effect::Fenced]), "{effects:?}");
    assert_eq!(state.wake_at(), None);
    assert!(!state.overlooks(&numbered([9])));
}
