//! When the next request may begin at an endpoint that wants no more than so many a
//! second: evenly spaced, with no burst to catch up after a pause. Whoever begins to
//! keep a pace knows nothing of what was sent before, here or elsewhere, and so
//! begins with a wait: that way the rate holds across restarts and owners.

use std::time::Duration;

use crate::domain::Monotonic;

/// By how much a timer may be late without costing the endpoint a request.
const TIMERS_ARE_LATE_BY: Duration = Duration::from_millis(10);

/// A request's place in the pace, until it is known that it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    before: Monotonic,
    after: Monotonic,
}

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

    /// A request begins that does not wait for its turn. It costs the next one's, but
    /// however many there are of those, no more.
    pub fn passed(&mut self, now: Monotonic) {
        self.next = self.next.max(now + self.interval);
    }

    /// A request begins.
    pub fn took(&mut self, now: Monotonic) -> Turn {
        // A timer's delay is made up for, a pause is not.
        let before = self.next;
        let late = now.since(before);
        let from = if late <= TIMERS_ARE_LATE_BY.max(self.interval / 2) { before } else { now };
        self.next = from.max(before) + self.interval;
        Turn { before, after: self.next }
    }

    /// A request that was to begin did not. Its turn is another's, unless somebody has
    /// taken the next one meanwhile: the two might begin at once.
    pub fn gave_back(&mut self, turn: Turn) {
        if self.next == turn.after {
            self.next = turn.before;
        }
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
                    pace.took(at(now));
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

        /// Nor has one more because of what did not begin after all, whenever that turns out.
        #[test]
        fn what_is_given_back_is_not_had_twice(
            per_second in 1..200_u32,
            steps in prop::collection::vec((0..3_000_u64, prop_oneof![3 => Just(None), 2 => (0..20_usize).prop_map(Some)]), 1..3_000),
        ) {
            let mut pace = Pace::new(per_second, at(0));
            let (mut now, mut begun): (u64, Vec<(u64, Turn)>) = (0, Vec::new());
            for (wait, gives_back) in steps {
                now += wait;
                if let Some(back) = gives_back
                    && back < begun.len()
                {
                    let (_, turn) = begun.remove(begun.len() - 1 - back);
                    pace.gave_back(turn);
                }
                if pace.next() <= at(now) {
                    begun.push((now, pace.took(at(now))));
                }
            }
            let slack = 2 + per_second / 100;
            for (index, (first, _)) in begun.iter().enumerate() {
                let within = begun[index..].iter().take_while(|(time, _)| *time < first + 1_000_000).count();
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
                pace.took(now);
            }
            prop_assert!(pace.next() <= Monotonic::from_start(interval * (count + 1)), "{:?}", pace.next());
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(10, at(0));
        pace.took(at(100_000));
        pace.took(at(5_000_000));
        assert_eq!(pace.next(), at(5_100_000));
    }
}
