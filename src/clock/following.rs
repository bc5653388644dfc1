//! How far a database's clock is from the monotonic one, reckoned from samples.
//! Where the samples come from is not decided here.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::{Monotonic, Timestamp};

/// Samples that the best one is chosen from. Clocks drift, so an old sample is
/// not better for ever.
const RECENT: usize = 8;
/// By how much two clocks may drift apart while those are collected, and still
/// be called steady, in microseconds.
const DRIFT_MICROS: i64 = 5_000;
/// Stands for "no sample yet".
const NONE: i64 = i64::MIN;

/// One reading of the database's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// What is to be added to the monotonic clock.
    offset_micros: i64,
    /// How wrong that can be, either way.
    error_micros: i64,
}

impl Sample {
    /// The database said so at some time between the two: as likely as not in
    /// the middle, and nowhere farther from it than half the round trip.
    pub(super) fn new(database_now: Timestamp, sent: Monotonic, received: Monotonic) -> Self {
        let half = received.since(sent) / 2;
        let offset_micros =
            database_now.as_millis().saturating_mul(1_000).saturating_sub(micros((sent + half).since_start()));
        Self { offset_micros, error_micros: micros(half) }
    }

    /// What the database's clock shows now.
    pub(super) fn wall(self, now: Monotonic) -> Timestamp {
        wall(self.offset_micros, now)
    }

    /// Whether one steady clock can have given both.
    fn agrees_with(self, other: Self) -> bool {
        let apart = self.offset_micros.saturating_sub(other.offset_micros).saturating_abs();
        // A database tells whole milliseconds.
        apart <= self.error_micros + other.error_micros + DRIFT_MICROS + 1_000
    }
}

/// See the module.
pub(super) struct Following {
    /// Read with every look at the clock, so not behind the lock.
    offset_micros: AtomicI64,
    recent: Mutex<VecDeque<Sample>>,
}

impl Default for Following {
    fn default() -> Self {
        Self { offset_micros: AtomicI64::new(NONE), recent: Mutex::default() }
    }
}

impl Following {
    /// What the database's clock shows now; `None` before the first sample.
    pub(super) fn wall(&self, now: Monotonic) -> Option<Timestamp> {
        let offset = self.offset_micros.load(Ordering::Relaxed);
        (offset != NONE).then(|| wall(offset, now))
    }

    /// Another sample has come.
    pub(super) fn take(&self, sample: Sample) {
        let mut recent = self.recent.lock().expect("no holder of this lock can panic");
        // The clock was set, or another server stands in: what was known is of
        // another clock.
        recent.retain(|known| known.agrees_with(sample));
        recent.push_back(sample);
        if recent.len() > RECENT {
            recent.pop_front();
        }
        let best = recent.iter().rev().min_by_key(|known| known.error_micros).expect("one was just added");
        self.offset_micros.store(best.offset_micros, Ordering::Relaxed);
    }
}

fn wall(offset_micros: i64, now: Monotonic) -> Timestamp {
    Timestamp::from_millis(offset_micros.saturating_add(micros(now.since_start())).div_euclid(1_000))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    fn sample(database_now: i64, sent: u64, received: u64) -> Sample {
        Sample::new(Timestamp::from_millis(database_now), at(sent), at(received))
    }

    #[test]
    fn the_quickest_of_the_recent_samples_counts() {
        let following = Following::default();
        assert_eq!(following.wall(at(0)), None);
        following.take(sample(100_000, 0, 100));
        assert_eq!(following.wall(at(100)), Some(Timestamp::from_millis(100_050)));
        following.take(sample(101_000, 1_000, 1_002));
        assert_eq!(following.wall(at(1_002)), Some(Timestamp::from_millis(101_001)));
        following.take(sample(102_020, 2_000, 2_100));
        assert_eq!(following.wall(at(2_100)), Some(Timestamp::from_millis(102_099)), "a slow one tells less");
        for second in 3..3 + RECENT as u64 {
            following.take(sample(100_010 + 1_000 * second as i64, 1_000 * second, 1_000 * second + 40));
        }
        assert_eq!(following.wall(at(20_000)), Some(Timestamp::from_millis(119_990)), "none is the best for ever");
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let following = Following::default();
        following.take(sample(100_000, 0, 2));
        following.take(sample(50_000, 1_000, 1_100));
        assert_eq!(following.wall(at(1_100)), Some(Timestamp::from_millis(50_050)));
    }

    proptest! {
        #[test]
        fn it_is_never_ahead_by_more_than_half_the_best_round_trip(
            trips in prop::collection::vec((0_u64..200, 0_u64..200), 1..30),
        ) {
            // The database's clock is the monotonic one and a day.
            const DAY: u64 = 86_400_000;
            let following = Following::default();
            let mut errors = VecDeque::new();
            for (index, (there, back)) in trips.into_iter().enumerate() {
                let sent = index as u64 * 1_000;
                following.take(sample((DAY + sent + there) as i64, sent, sent + there + back));
                errors.push_back((there + back).div_ceil(2));
                if errors.len() > RECENT {
                    errors.pop_front();
                }
                let best = errors.iter().min().copied().expect("one was just added") as i64;
                let now = sent + there + back;
                let shown = following.wall(at(now)).expect("there was a sample").as_millis();
                prop_assert!((shown - (DAY + now) as i64).abs() <= best, "off by more than {best}");
            }
        }
    }
}
