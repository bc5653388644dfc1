//! When the next request may begin at an endpoint that wants no more than so many a
//! second: evenly spaced, with no burst to catch up after a pause. Whoever begins to
//! keep a pace knows nothing of what was sent before, here or elsewhere, and so
//! begins with a wait: that way the rate holds across restarts and owners.

use std::time::Duration;

use crate::domain::Monotonic;

/// By how much a timer may be late without costing the endpoint a request.
const TIMERS_ARE_LATE_BY: Duration = Duration::from_millis(10);

/// The pace of one endpoint.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    next: Monotonic,
}

impl Pace {
    /// So many requests a second, the first one interval from now.
    pub fn new(per_second: u32, now: Monotonic) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, next: now + interval }
    }

    /// Another number from now on.
    pub fn set(&mut self, per_second: u32, now: Monotonic) {
        let interval = Duration::from_secs(1) / per_second.max(1);
        if interval != self.interval {
            self.interval = interval;
            self.next = now + interval;
        }
    }

    /// The next request begins no earlier.
    pub fn next(&self) -> Monotonic {
        self.next
    }

    /// A request begins. One that does not wait for its turn costs the next one's, but
    /// however many there are of those, no more.
    pub fn took(&mut self, now: Monotonic, passes: bool) {
        if passes {
            self.next = self.next.max(now + self.interval);
            return;
        }
        // A timer's delay is made up for, a pause is not.
        let late = now.since(self.next);
        let from = if late <= TIMERS_ARE_LATE_BY.max(self.interval / 2) { self.next } else { now };
        self.next = from.max(self.next) + self.interval;
    }

    /// A request that was to begin did not: its turn is another's.
    pub fn gave_back(&mut self) {
        self.next = self.next - self.interval;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_micros(micros))
    }

    proptest! {
        /// Whatever the delays between them, no second has more than the pace
        /// allows, and one that late timers may add.
        #[test]
        fn no_second_has_too_many(
            per_second in 1..2_000_u32,
            waits in prop::collection::vec(prop_oneof![9 => 0..3_000_u64, 1 => 0..3_000_000_u64], 1..3_000),
        ) {
            let mut pace = Pace::new(per_second, at(0));
            let (mut now, mut begun) = (0, Vec::new());
            for wait in waits {
                now += wait;
                if pace.next() <= at(now) {
                    pace.took(at(now), false);
                    begun.push(now);
                }
            }
            prop_assert!(begun.first().is_none_or(|first| *first >= 1_000_000 / u64::from(per_second)));
            let slack = 2 + per_second / 100;
            for (index, first) in begun.iter().enumerate() {
                let within = begun[index..].iter().take_while(|time| **time < first + 1_000_000).count();
                prop_assert!(within <= (per_second + slack) as usize, "{within} in a second at {per_second}");
            }
        }

        /// Timers that ring a little late cost nothing.
        #[test]
        fn late_timers_keep_the_pace(per_second in 1..1_000_u32, late in prop::collection::vec(0..9_000_u64, 1..500)) {
            let mut pace = Pace::new(per_second, at(0));
            let interval = Duration::from_secs(1) / per_second;
            let count = late.len() as u32;
            let mut now = at(0);
            for late in late {
                now = now.max(pace.next() + Duration::from_micros(late));
                pace.took(now, false);
            }
            prop_assert!(pace.next() <= Monotonic::from_start(interval * (count + 1)), "{:?}", pace.next());
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(10, at(0));
        pace.took(at(100_000), false);
        pace.took(at(5_000_000), false);
        assert_eq!(pace.next(), at(5_100_000));
    }
}
