//! How many requests an endpoint is given at once: more while it keeps up, half as
//! many when it says that it cannot, and one after another when it comes back from
//! worse.

use crate::domain::Monotonic;

/// Requests at once, from one to what the endpoint's settings allow.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// What the settings allow.
    most: f64,
    now: f64,
    /// Up to here each success allows one more, beyond it each round of them does.
    doubles_below: f64,
    /// What began before that says nothing about what is allowed since.
    lowered_at: Option<Monotonic>,
}

impl Allowance {
    /// At first so many, and up to as many as the settings allow.
    pub fn beginning(most: usize, first: usize) -> Self {
        let most = most.max(1) as f64;
        Self { most, now: (first.max(1) as f64).min(most), doubles_below: most, lowered_at: None }
    }

    /// The settings allow another number.
    pub fn set_most(&mut self, most: usize) {
        let most = most.max(1) as f64;
        if self.doubles_below >= self.most {
            self.doubles_below = most;
        }
        self.most = most;
        self.now = self.now.min(most);
    }

    /// How many may be under way.
    pub fn requests(&self) -> usize {
        self.now as usize
    }

    /// Begins again with so many, and doubles with each round that succeeds.
    pub fn begin_with(&mut self, first: usize) {
        *self = Self::beginning(self.most as usize, first);
    }

    /// An attempt succeeded.
    pub fn succeeded(&mut self) {
        let more = if self.now < self.doubles_below { 1.0 } else { 1.0 / self.now };
        self.now = (self.now + more).min(self.most);
    }

    /// An attempt found the endpoint overloaded. Those that were under way together
    /// say so once.
    pub fn overloaded(&mut self, started: Monotonic, now: Monotonic) {
        if self.lowered_at.is_some_and(|lowered| started < lowered) {
            return;
        }
        self.now = (self.now / 2.0).max(1.0);
        self.doubles_below = self.now;
        self.lowered_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_slow_beginning_doubles_with_each_round() {
        let mut allowance = Allowance::beginning(32, 1);
        let mut rounds = Vec::new();
        for _ in 0..6 {
            rounds.push(allowance.requests());
            (0..allowance.requests()).for_each(|_| allowance.succeeded());
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32]);
        allowance.succeeded();
        assert_eq!(allowance.requests(), 32, "the settings are the limit");
    }

    #[test]
    fn those_under_way_together_lower_it_once() {
        let mut allowance = Allowance::beginning(32, 32);
        for _ in 0..32 {
            allowance.overloaded(at(0), at(1_000));
        }
        assert_eq!(allowance.requests(), 16);
        allowance.overloaded(at(1_000), at(2_000));
        assert_eq!(allowance.requests(), 8);
        // One more for each round from then on.
        (0..8).for_each(|_| allowance.succeeded());
        assert_eq!(allowance.requests(), 8);
        allowance.succeeded();
        assert_eq!(allowance.requests(), 9);
    }

    proptest! {
        #[test]
        fn it_stays_between_one_and_what_the_settings_allow(
            most in 0..300_usize,
            steps in prop::collection::vec((0..4_u8, 0..100_u64), 0..500),
        ) {
            let mut allowance = Allowance::beginning(most, most);
            let mut limit = most.max(1);
            for (time, (what, number)) in steps.into_iter().enumerate() {
                let now = at(time as u64 * 10);
                match what {
                    0 => allowance.overloaded(at((time as u64 * 10).saturating_sub(number)), now),
                    1 if number == 0 => allowance.begin_with(1),
                    2 if number < 5 => {
                        limit = (number as usize * 50).max(1);
                        allowance.set_most(limit);
                    }
                    _ => allowance.succeeded(),
                }
                prop_assert!((1..=limit).contains(&allowance.requests()));
            }
            for _ in 0..limit * limit + 1 {
                allowance.succeeded();
            }
            prop_assert_eq!(allowance.requests(), limit, "whoever keeps succeeding has all of it again");
        }
    }
}
