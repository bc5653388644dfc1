//! How often somebody may do something: a rate with a burst. What was not used comes
//! back evenly, up to the burst (the generic cell rate algorithm, by which one moment
//! is all that has to be remembered). Who somebody is, others know.

use std::fmt;
use std::time::Duration;

use crate::domain::Monotonic;

/// So many in a time, and a number of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    number: u32,
    per: Period,
    burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
}

impl Rate {
    /// So many a second, after a pause twice as many at once; `None` for 0, which is no
    /// limit.
    pub fn per_second(number: u32) -> Option<Self> {
        (number > 0).then_some(Self { number, per: Period::Second, burst: number.saturating_mul(2) })
    }

    /// So many a minute, after a pause all of them at once; `None` for 0, which is no
    /// limit.
    pub fn per_minute(number: u32) -> Option<Self> {
        (number > 0).then_some(Self { number, per: Period::Minute, burst: number })
    }

    /// What one costs.
    fn interval(self) -> Duration {
        let per = match self.per {
            Period::Second => Duration::from_secs(1),
            Period::Minute => Duration::from_secs(60),
        };
        per / self.number
    }

    /// After such a pause everything is there again.
    pub fn whole(self) -> Duration {
        self.interval().saturating_mul(self.burst)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Period::Second => "second",
            Period::Minute => "minute",
        };
        write!(formatter, "{} a {per}", self.number)
    }
}

/// What one has used of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// When all of it has come back.
    whole_at: Monotonic,
}

impl Used {
    /// Nothing.
    pub const fn nothing() -> Self {
        Self { whole_at: Monotonic::from_start(Duration::ZERO) }
    }

    /// Uses one; if there is none, says for how long.
    pub fn take(&mut self, rate: Rate, now: Monotonic) -> Result<(), Duration> {
        self.look(rate, now)?;
        self.whole_at = self.whole_at.max(now) + rate.interval();
        Ok(())
    }

    /// Whether there is one; if not, for how long.
    pub fn look(&self, rate: Rate, now: Monotonic) -> Result<(), Duration> {
        let after = self.whole_at.max(now) + rate.interval();
        let too_much = after.since(now + rate.whole());
        if too_much.is_zero() { Ok(()) } else { Err(too_much) }
    }

    /// Whether it need not be remembered.
    pub fn is_nothing(&self, now: Monotonic) -> bool {
        self.whole_at <= now
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
        /// Whatever the pauses, no second has more than the burst and what came back in it,
        /// and whoever waits as long as they are told is let in.
        #[test]
        fn no_second_has_too_many(number in 1..500_u32, waits in prop::collection::vec(0..20_000_u64, 1..2_000)) {
            let rate = Rate::per_second(number).expect("more than none");
            let (mut used, mut now, mut taken) = (Used::nothing(), 1, Vec::new());
            for wait in waits {
                now += wait;
                match used.take(rate, at(now)) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = used;
                        prop_assert!(later.take(rate, at(now) + wait).is_ok());
                    }
                }
            }
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|time| **time < first + 1_000_000).count();
                prop_assert!(within <= number as usize * 3 + 1, "{within} at {number}");
            }
        }

        /// Who keeps to the rate is never refused.
        #[test]
        fn keeping_to_it_is_enough(number in 1..500_u32, count in 1..2_000_u32) {
            let rate = Rate::per_second(number).expect("more than none");
            let mut used = Used::nothing();
            for turn in 0..count {
                prop_assert!(used.take(rate, at(7) + rate.interval() * turn).is_ok());
            }
        }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate::per_minute(3).expect("more than none");
        let mut used = Used::nothing();
        for _ in 0..3 {
            assert_eq!(used.take(rate, at(0)), Ok(()));
        }
        assert_eq!(used.take(rate, at(0)), Err(Duration::from_secs(20)));
        assert_eq!(used.take(rate, at(19_000_000)), Err(Duration::from_secs(1)), "a refusal costs nothing");
        assert_eq!(used.take(rate, at(20_000_000)), Ok(()));
        assert!(!used.is_nothing(at(79_000_000)) && used.is_nothing(at(80_000_000)));
        assert_eq!(rate.to_string(), "3 a minute");
        assert_eq!(Rate::per_second(0), None);
    }
}
