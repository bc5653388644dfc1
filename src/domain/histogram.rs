//! How long things took, counted in steps of a tenth: small enough to keep one for every
//! minute and endpoint, and exact enough to say what most of them took.
//!
//! A step holds whole milliseconds from behind the step before it up to its own bound,
//! and the bounds do not change: histograms of different minutes and nodes add up.

/// What is longer counts as this long: longer than any schedule of retries.
const LONGEST_MS: u64 = 400 * 24 * 3600 * 1000;
/// How many steps there are.
const STEPS: usize = count_steps();
/// The last millisecond of each step.
const BOUNDS_MS: [u64; STEPS] = bounds();

/// Up to ten milliseconds each is a step of its own; from there a step is at most a
/// tenth longer than the one before it.
const fn next_bound(bound: u64) -> u64 {
    let tenth = bound / 10;
    if tenth == 0 { bound + 1 } else { bound + tenth }
}

const fn count_steps() -> usize {
    let (mut steps, mut bound) = (1, 1);
    while bound < LONGEST_MS {
        bound = next_bound(bound);
        steps += 1;
    }
    steps
}

const fn bounds() -> [u64; STEPS] {
    let mut bounds = [1; STEPS];
    let mut step = 1;
    while step < STEPS {
        bounds[step] = next_bound(bounds[step - 1]);
        step += 1;
    }
    bounds
}

/// Durations, counted by their step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Steps with something in them, and how much, shortest first.
    counts: Vec<(u8, u64)>,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, millis: u64) {
        let step = BOUNDS_MS.partition_point(|bound| *bound < millis).min(STEPS - 1);
        self.add_to_step(step as u8, 1);
    }

    /// Counts all that another one has.
    pub fn merge(&mut self, other: &Self) {
        for (step, count) in &other.counts {
            self.add_to_step(*step, *count);
        }
    }

    fn add_to_step(&mut self, step: u8, count: u64) {
        match self.counts.binary_search_by_key(&step, |(known, _)| *known) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (step, count)),
        }
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, (_, count)| total.saturating_add(*count))
    }

    /// What so many of a hundred took at most, in milliseconds: never less than what
    /// they took, and never more than a tenth above it. `None` of nothing.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let total = self.total();
        let rank = u128::from(total) * u128::from(percent.min(100));
        let mut seen = 0u128;
        let reached = |(_, count): &&(u8, u64)| {
            seen += u128::from(*count);
            seen * 100 >= rank
        };
        self.counts.iter().find(reached).map(|(step, _)| BOUNDS_MS[usize::from(*step)])
    }

    /// The steps with something in them, shortest first, for the store.
    pub fn steps(&self) -> &[(u8, u64)] {
        &self.counts
    }

    /// The same with what the durations of each step are at most, in milliseconds.
    pub fn told(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(step, count)| (BOUNDS_MS[usize::from(*step)], *count))
    }

    /// What [`steps`](Self::steps) told; `None` where it cannot have been that.
    pub fn from_steps(counts: Vec<(u8, u64)>) -> Option<Self> {
        let in_order = counts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let known = counts.iter().all(|(step, count)| usize::from(*step) < STEPS && *count > 0);
        (in_order && known).then_some(Self { counts })
    }
}

// A step is kept in a byte.
const _: () = assert!(STEPS <= 256);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(millis: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        millis.iter().for_each(|millis| histogram.add(*millis));
        histogram
    }

    /// Short ones, and all up to the longest.
    fn millis() -> impl Strategy<Value = u64> {
        prop_oneof![0..200u64, 0..60_000u64, 0..LONGEST_MS]
    }

    #[test]
    fn of_nothing_nothing_is_known() {
        assert_eq!(Histogram::default().percentile(50), None);
        assert_eq!(of(&[u64::MAX]).percentile(50), Some(BOUNDS_MS[STEPS - 1]));
        assert!(BOUNDS_MS[STEPS - 1] >= LONGEST_MS);
        assert_eq!(of(&[0, 1, 7, 7]).told().collect::<Vec<_>>(), [(1, 2), (7, 2)]);
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_a_tenth_too_long(mut took in prop::collection::vec(millis(), 1..200), percent in 1..=100u64) {
            let told = of(&took).percentile(percent).expect("something was counted");
            took.sort_unstable();
            let rank = (took.len() * percent as usize).div_ceil(100);
            let exact = took[rank - 1];
            prop_assert!(told >= exact, "{told} for {exact}");
            // A millisecond is the least that is told apart.
            prop_assert!(told <= (exact + exact / 10).max(1), "{told} for {exact}");
        }

        #[test]
        fn it_does_not_matter_in_which_order_they_are_added_up(
            one in prop::collection::vec(millis(), 0..50),
            other in prop::collection::vec(millis(), 0..50),
            third in prop::collection::vec(millis(), 0..50),
        ) {
            let (one_of, other_of, third_of) = (of(&one), of(&other), of(&third));
            let mut left = one_of.clone();
            left.merge(&other_of);
            left.merge(&third_of);
            let mut right = third_of;
            right.merge(&other_of);
            let mut whole = one_of;
            whole.merge(&right);
            prop_assert_eq!(&left, &whole);
            let all: Vec<u64> = one.into_iter().chain(other).chain(third).collect();
            prop_assert_eq!(left.total(), all.len() as u64);
            prop_assert_eq!(&left, &of(&all));
            prop_assert_eq!(Histogram::from_steps(left.steps().to_vec()), Some(left));
        }
    }
}
