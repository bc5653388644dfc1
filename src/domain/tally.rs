//! What became of attempts and events in some stretch of time, in counts that add up. They
//! are there to be looked at; what each delivery came to is the store's to say.

use std::time::Duration;

use crate::domain::histogram::Histogram;
use crate::domain::{ErrorClass, Outcome};

/// Why an attempt failed, as failures are counted: an answer by its hundred, anything
/// else by its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// See [`ErrorClass::Dns`].
    Dns,
    /// See [`ErrorClass::Connect`].
    Connect,
    /// See [`ErrorClass::Tls`].
    Tls,
    /// See [`ErrorClass::Timeout`].
    Timeout,
    /// See [`ErrorClass::BlockedAddress`].
    BlockedAddress,
    /// See [`ErrorClass::Protocol`].
    Protocol,
    /// See [`ErrorClass::Redirect`].
    Redirect,
    /// An answer of 400 to 499.
    Http4xx,
    /// An answer of 500 or more.
    Http5xx,
}

impl Failure {
    /// Every one, in the order of their numbers in the store.
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::BlockedAddress,
        Self::Protocol,
        Self::Redirect,
        Self::Http4xx,
        Self::Http5xx,
    ];

    /// Why an attempt failed; `None` of one that did not.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let error = outcome.error.as_ref()?;
        Some(match error.class {
            ErrorClass::Dns => Self::Dns,
            ErrorClass::Connect => Self::Connect,
            ErrorClass::Tls => Self::Tls,
            ErrorClass::Timeout => Self::Timeout,
            ErrorClass::BlockedAddress => Self::BlockedAddress,
            ErrorClass::Protocol => Self::Protocol,
            ErrorClass::Redirect => Self::Redirect,
            ErrorClass::HttpStatus if outcome.status_code.is_some_and(|code| code < 500) => Self::Http4xx,
            ErrorClass::HttpStatus => Self::Http5xx,
        })
    }

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::BlockedAddress => "blocked_address",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
        }
    }
}

/// What an attempt was the last of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its delivery is delivered, so long after it was accepted.
    Delivered(Duration),
    /// Its delivery's schedule is at its end.
    Exhausted,
    /// Its delivery would come too late.
    Expired,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were accepted.
    pub events: u64,
    /// Deliveries that were accepted with them.
    pub deliveries: u64,
    /// Attempts that were answered 2xx.
    pub succeeded: u64,
    /// Attempts that failed, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Deliveries that were delivered.
    pub delivered: u64,
    /// Deliveries whose schedule came to its end.
    pub exhausted: u64,
    /// Deliveries that were discarded because they would have come too late.
    pub expired: u64,
    /// How long attempts took.
    pub attempt_ms: Histogram,
    /// How long it took from accepting to delivering.
    pub delivery_ms: Histogram,
}

impl Tally {
    /// Counts an event that was accepted with so many deliveries.
    pub fn accepted(&mut self, deliveries: u64) {
        self.events += 1;
        self.deliveries += deliveries;
    }

    /// Counts an attempt that took so long, and what it was the last of.
    pub fn attempted(&mut self, outcome: &Outcome, took: Duration, ending: Option<Ending>) {
        match Failure::of(outcome) {
            None => self.succeeded += 1,
            Some(failure) => self.failures[failure as usize] += 1,
        }
        self.attempt_ms.add(millis(took));
        match ending {
            None => {}
            Some(Ending::Delivered(after)) => {
                self.delivered += 1;
                self.delivery_ms.add(millis(after));
            }
            Some(Ending::Exhausted) => self.exhausted += 1,
            Some(Ending::Expired) => self.expired += 1,
        }
    }

    /// Counts all that another one has.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.succeeded += other.succeeded;
        for (count, more) in self.failures.iter_mut().zip(other.failures) {
            *count += more;
        }
        self.delivered += other.delivered;
        self.exhausted += other.exhausted;
        self.expired += other.expired;
        self.attempt_ms.merge(&other.attempt_ms);
        self.delivery_ms.merge(&other.delivery_ms);
    }

    /// Attempts that failed.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Attempts.
    pub fn attempts(&self) -> u64 {
        self.succeeded + self.failed()
    }

    /// Which part of the attempts succeeded, to four places, rounded down: 1 is all of
    /// them. `None` without attempts.
    pub fn success_rate(&self) -> Option<f64> {
        let ten_thousandths = (self.succeeded.saturating_mul(10_000)).checked_div(self.attempts())?;
        Some(ten_thousandths as f64 / 10_000.0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn attempts_are_counted_by_what_became_of_them() {
        let mut tally = Tally::default();
        assert_eq!(tally.success_rate(), None);
        let second = Duration::from_secs(1);
        for status in [200, 204, 302, 404, 410, 500, 503, 999] {
            let outcome = Outcome::answered(status, Bytes::new());
            let ending = outcome.is_delivered().then_some(Ending::Delivered(3 * second));
            tally.attempted(&outcome, second, ending);
        }
        for class in ErrorClass::ALL {
            tally.attempted(&Outcome::failed(class, "it is dark"), second, Some(Ending::Exhausted));
        }
        let counted: Vec<_> = Failure::ALL.iter().map(|failure| tally.failures[*failure as usize]).collect();
        // An `http_status` without a status is of no hundred that is known.
        assert_eq!(counted, [1, 1, 1, 1, 1, 1, 2, 2, 4]);
        assert_eq!((tally.succeeded, tally.failed(), tally.attempts()), (2, 14, 16));
        assert_eq!((tally.delivered, tally.exhausted, tally.expired), (2, 8, 0));
        assert_eq!((tally.attempt_ms.total(), tally.delivery_ms.total()), (16, 2));
        assert_eq!(tally.success_rate(), Some(0.125));
    }

    #[test]
    fn a_rate_of_one_is_all_of_them() {
        let mut tally = Tally { succeeded: 1_000_000, ..Tally::default() };
        assert_eq!(tally.success_rate(), Some(1.0));
        tally.failures[0] = 1;
        assert_eq!(tally.success_rate(), Some(0.9999));
    }
}
