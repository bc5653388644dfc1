//! What may have come of events that several nodes accepted and delivered under
//! faults: I1, I3, I6 and I10 at the receivers, and I2 as far as the store shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use posthaste::cli::receiver::{Answer, Received};
use posthaste::domain::Timestamp;

use super::super::api::Api;
use super::super::events::number_of;
use super::super::eventually;
use super::super::home::{CLOCK_ERROR, check_server};
use super::super::ledger::Ledger;
use super::super::receipts::{attempt, by_delivery, was_taken};
use super::lanes::{Kind, Lanes, event_type, kind, schedule};
use super::load::Outcome;

/// How long before a fault something may have been sent whose outcome the fault
/// found unrecorded: what the slowest receiver takes, and a commit or two.
const IN_FLIGHT: Duration = Duration::from_secs(4);

/// A time in which nodes could not finish what they had begun.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Waits until everything has ended, and looks at all of it. Answers how long a
/// steady receiver waited at most for an event that was accepted.
pub async fn judge(api: &Api, store: &str, lanes: &Lanes, outcome: &Outcome, troubles: &[Trouble]) -> Duration {
    lanes.flaky.behave(Default::default());
    let over = async || api.nothing_waits_anywhere().await.then_some(());
    eventually("every delivery ends", over).await;
    lanes.catch_up().await;

    let ledger = outcome.ledger();
    let wanted_by = |number| BTreeSet::from([lanes.endpoint(number).to_owned()]);
    let deliveries = ledger.check(api, wanted_by).await;
    let received = lanes.received();
    let receipts = by_delivery(&received);
    for (delivery, shown) in &deliveries {
        assert_eq!(shown.status, "delivered", "{delivery}: {shown:?}");
        let came = receipts.get(delivery.as_str()).map(Vec::as_slice).unwrap_or_default();
        let last = came.iter().copied().filter(|receipt| attempt(receipt) == shown.attempt_count);
        assert!(last.into_iter().any(was_taken), "{delivery} reads as delivered, and was not: {shown:?}, {came:?}");
    }
    check_server(store);

    let mut repeated = 0;
    for (delivery, receipts) in &receipts {
        assert!(deliveries.contains_key(*delivery), "{delivery} was sent, and is not in the store");
        check_event(&ledger, receipts);
        repeated += check_attempts(delivery, receipts, troubles);
    }
    let slowest = slowest(outcome, &received);
    println!(
        "{} events, {} requests, {repeated} of them repeated; the slowest to a steady receiver after {slowest:?}",
        ledger.len(),
        received.len()
    );
    slowest
}

/// All that came of one delivery is the same event, under the same id.
fn check_event(ledger: &Ledger, receipts: &[&Received]) {
    let first = receipts[0];
    let number = number_of(first);
    assert_eq!(first.event_type.as_deref(), Some(event_type(number).as_str()));
    for receipt in receipts {
        assert_eq!(receipt.webhook_id.as_deref(), Some(ledger.id(number)), "event {number}: {receipt:?}");
        assert_eq!(receipt.body, first.body, "event {number}");
    }
}

/// I3 and I6. An attempt comes more than once only over a trouble that found it
/// in flight; the next one only after a failure, and never early. Which of
/// several answers to one attempt was recorded, nobody can see from here.
fn check_attempts(delivery: &str, receipts: &[&Received], troubles: &[Trouble]) -> usize {
    let mut attempts: BTreeMap<u64, Vec<&Received>> = BTreeMap::new();
    for receipt in receipts {
        attempts.entry(attempt(receipt)).or_default().push(receipt);
    }
    let mut repeated = 0;
    let mut due_at: Option<Timestamp> = None;
    for (index, (number, came)) in attempts.iter().enumerate() {
        assert_eq!(*number, index as u64 + 1, "{delivery}: attempts have a gap: {receipts:?}");
        let (first, again) = (came[0], &came[1..]);
        for later in again {
            let is_excused = troubles.iter().any(|trouble| {
                trouble.from <= first.at + IN_FLIGHT && first.at <= trouble.to && trouble.from <= later.at
            });
            assert!(is_excused, "{delivery}: attempt {number} was repeated without one of {troubles:?}: {came:?}");
        }
        repeated += again.len();
        if let Some(due_at) = due_at {
            let early = due_at.since(first.at + CLOCK_ERROR);
            assert!(early.is_zero(), "{delivery}: attempt {number} came {early:?} early: {receipts:?}");
        }
        let wait = schedule()[*number as usize - 1];
        due_at = came.iter().filter_map(|receipt| failed_at(receipt)).map(|failed_at| failed_at + wait).min();
        assert!(
            due_at.is_some() || index + 1 == attempts.len(),
            "{delivery}: tried again after attempt {number} succeeded: {receipts:?}"
        );
    }
    repeated
}

/// When a receiver had said no, if it did.
fn failed_at(receipt: &Received) -> Option<Timestamp> {
    let Answer::Status(status, delay) = receipt.answer else { panic!("nothing hangs here: {receipt:?}") };
    (!status.is_success()).then(|| receipt.at + delay)
}

fn slowest(outcome: &Outcome, received: &[Received]) -> Duration {
    let mut first_at: BTreeMap<u64, Timestamp> = BTreeMap::new();
    for receipt in received {
        let first = first_at.entry(number_of(receipt)).or_insert(receipt.at);
        *first = receipt.at.min(*first);
    }
    let steady = outcome.taken.iter().filter(|(number, _)| kind(**number) == Kind::Steady);
    let waits = steady.map(|(number, taken)| first_at[number].since(taken.answered_at));
    waits.max().unwrap_or_default()
}

/// The judge itself: it would be easy to excuse everything.
mod trials {
    use awc::http::StatusCode;
    use posthaste::cli::receiver::Verdict;

    use super::*;

    fn came(at: i64, attempt: u64, status: StatusCode) -> Received {
        Received {
            at: Timestamp::from_millis(at),
            method: "POST".into(),
            path: "/hook".into(),
            headers: Vec::new(),
            webhook_id: Some("evt".into()),
            delivery: Some("dlv".into()),
            attempt: Some(attempt.to_string()),
            event_type: None,
            body: Default::default(),
            verdict: Verdict::Verified,
            answer: Answer::Status(status, Duration::from_millis(100)),
        }
    }

    const NO: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    const YES: StatusCode = StatusCode::OK;

    fn check(received: &[Received], troubles: &[(i64, i64)]) -> usize {
        let time = Timestamp::from_millis;
        let troubles: Vec<Trouble> =
            troubles.iter().map(|(from, to)| Trouble { from: time(*from), to: time(*to) }).collect();
        check_attempts("dlv", &received.iter().collect::<Vec<_>>(), &troubles)
    }

    #[test]
    fn a_calm_history_and_one_with_a_takeover_hold() {
        assert_eq!(check(&[came(0, 1, NO), came(150, 2, NO), came(350, 3, YES)], &[]), 0);
        let trouble = [(50_000, 60_000)];
        assert_eq!(check(&[came(49_900, 1, YES), came(57_000, 1, NO), came(57_150, 2, YES)], &trouble), 1);
    }

    #[test]
    #[should_panic(expected = "came 25ms early")]
    fn the_wait_begins_with_the_answer() {
        check(&[came(0, 1, NO), came(105, 2, YES)], &[]);
    }

    #[test]
    #[should_panic(expected = "was repeated without one of")]
    fn what_was_over_before_the_trouble_is_not_repeated() {
        check(&[came(40_000, 1, YES), came(57_000, 1, YES)], &[(50_000, 60_000)]);
    }

    #[test]
    #[should_panic(expected = "attempt 1 succeeded")]
    fn what_succeeded_is_not_tried_again() {
        check(&[came(0, 1, YES), came(5_000, 2, YES)], &[(0, 5_000)]);
    }

    #[test]
    #[should_panic(expected = "attempts have a gap")]
    fn no_attempt_is_left_out() {
        check(&[came(0, 1, NO), came(5_000, 3, YES)], &[]);
    }
}
