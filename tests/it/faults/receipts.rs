//! What a receiver may see of a node that is killed again and again.

use std::collections::HashMap;
use std::time::Duration;

use posthaste::cli::receiver::{Answer, Received};
use posthaste::domain::Timestamp;

/// The wall clock may be slewed while a timer of the monotonic one runs.
const SLEWING: Duration = Duration::from_millis(1);

/// What the API said about an attempt to come.
#[derive(Debug, Clone)]
pub struct Promise {
    pub delivery: String,
    pub attempt: u64,
    pub not_before: Timestamp,
}

/// An endpoint's terms.
pub struct Terms<'a> {
    /// The wait after each failed attempt.
    pub schedule: &'a [Duration],
    /// Attempts that a kill may find unrecorded.
    pub most_in_flight: usize,
    /// How far the clocks of two runs may be apart.
    pub clock_error: Duration,
}

/// I3 and I6, for all that one endpoint received, in order. An attempt's number
/// is repeated only over a kill, and by the same bytes; the next number comes
/// only after a failure, and never early. Of each kill there is a time by which
/// all had come that was sent before it, and nothing that was sent after it.
/// Answers how many attempts were repeated.
pub fn check(received: &[Received], terms: &Terms<'_>, kills: &[Timestamp], promises: &[Promise]) -> usize {
    let error = SLEWING + terms.clock_error;
    let mut repeated = vec![0; kills.len()];
    let receipts = by_delivery(received);
    for (delivery, receipts) in &receipts {
        assert_eq!(attempt(receipts[0]), 1, "{delivery} began with {:?}", receipts[0]);
        // Each repetition needs a kill of its own.
        let mut unused = kills.iter().enumerate();
        for pair in receipts.windows(2) {
            let (earlier, later) = (pair[0], pair[1]);
            assert_eq!(earlier.webhook_id, later.webhook_id, "{delivery}");
            assert_eq!(earlier.body, later.body, "{delivery}");
            if attempt(later) == attempt(earlier) {
                let over = unused.find(|(_, kill)| earlier.at <= **kill && **kill <= later.at);
                let Some((kill, _)) = over else {
                    panic!("{delivery}: attempt {} was repeated without one of {kills:?}: {pair:?}", attempt(later));
                };
                repeated[kill] += 1;
                continue;
            }
            assert_eq!(attempt(later), attempt(earlier) + 1, "{delivery}: a gap: {pair:?}");
            let Answer::Status(status, delay) = earlier.answer else { panic!("nothing hangs here: {earlier:?}") };
            assert!(!status.is_success(), "{delivery}: tried again after {status}");
            let wait = terms.schedule[attempt(earlier) as usize - 1];
            let early = (earlier.at + delay + wait).since(later.at + error);
            assert!(early.is_zero(), "{delivery}: attempt {} came {early:?} early: {pair:?}", attempt(later));
        }
    }
    for (kill, count) in kills.iter().zip(&repeated) {
        assert!(*count <= terms.most_in_flight, "{count} were sent again after the kill at {kill}");
    }
    for promise in promises {
        for receipt in receipts.get(promise.delivery.as_str()).into_iter().flatten() {
            let kept = attempt(receipt) != promise.attempt || receipt.at + error >= promise.not_before;
            assert!(kept, "came before its `next_attempt_at`: {promise:?}, {receipt:?}");
        }
    }
    repeated.iter().sum()
}

/// What came of each delivery, in order.
pub fn by_delivery(received: &[Received]) -> HashMap<&str, Vec<&Received>> {
    let mut deliveries: HashMap<&str, Vec<&Received>> = HashMap::new();
    for receipt in received {
        let delivery = receipt.delivery.as_deref().expect("every delivery names itself");
        deliveries.entry(delivery).or_default().push(receipt);
    }
    deliveries
}

/// `posthaste-attempt`.
pub fn attempt(receipt: &Received) -> u64 {
    let number = receipt.attempt.as_deref().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no attempt number: {receipt:?}"))
}

/// Whether it was answered with a 2xx.
pub fn was_taken(receipt: &Received) -> bool {
    matches!(receipt.answer, Answer::Status(status, _) if status.is_success())
}
