//! The only reader of time. Everything that waits or stamps takes a
//! [`Moment`] from a [`Clock`] that it was given, so that a test can move it.
//!
//! Where nodes share a database, its clock is the one that all of them stamp by:
//! see [`Clock::follow`].

mod following;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::{Moment, Monotonic, Timestamp};

use following::{Following, Sample};

/// A source of time, cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { started: Instant, following: Arc<Following> },
    Manual(Arc<Mutex<Moment>>),
}

impl Clock {
    /// The machine's clocks; the monotonic one starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now(), following: Arc::default() })
    }

    /// A clock that stands still until [`Clock::advance`] or
    /// [`Clock::jump_wall`] moves it.
    pub fn manual(wall: Timestamp) -> Self {
        let start = Moment { wall, monotonic: Monotonic::from_start(Duration::ZERO) };
        Self(Source::Manual(Arc::new(Mutex::new(start))))
    }

    /// Both clocks, read together.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System { started, following } => {
                let monotonic = Monotonic::from_start(started.elapsed());
                if let Some(wall) = following.wall(monotonic) {
                    return Moment { wall, monotonic };
                }
                // A wall clock set before 1970 reads as 1970: nothing is ever
                // due earlier than that.
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let wall = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
                Moment { wall, monotonic }
            }
            Source::Manual(moment) => *moment.lock().expect("no holder of this lock can panic"),
        }
    }

    /// The monotonic clock alone, which is the cheaper to read.
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            Source::System { started, .. } => Monotonic::from_start(started.elapsed()),
            Source::Manual(_) => self.now().monotonic,
        }
    }

    /// The wall clock alone.
    pub fn wall(&self) -> Timestamp {
        self.now().wall
    }

    /// A database read its clock between these two readings of the monotonic
    /// one. From the first such sample on, the wall reading is the database's, as
    /// far as the best of the recent samples tells: ahead of it by no more than
    /// half that sample's round trip. This machine's wall clock no longer counts.
    ///
    /// A manual clock takes each sample as it comes.
    pub fn follow(&self, database_now: Timestamp, sent: Monotonic, received: Monotonic) {
        let sample = Sample::new(database_now, sent, received);
        match &self.0 {
            Source::System { following, .. } => following.take(sample),
            Source::Manual(moment) => {
                let mut moment = moment.lock().expect("no holder of this lock can panic");
                moment.wall = sample.wall(moment.monotonic);
            }
        }
    }

    /// Moves a manual clock on, both readings together; a system clock moves
    /// itself.
    pub fn advance(&self, duration: Duration) {
        if let Source::Manual(moment) = &self.0 {
            let mut moment = moment.lock().expect("no holder of this lock can panic");
            *moment = moment.after(duration);
        }
    }

    /// Sets a manual clock's wall reading as an administrator would, leaving
    /// the monotonic one alone.
    pub fn jump_wall(&self, wall: Timestamp) {
        if let Source::Manual(moment) = &self.0 {
            moment.lock().expect("no holder of this lock can panic").wall = wall;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_follows_shows_the_databases_time() {
        let clock = Clock::system();
        let now = clock.now();
        let elsewhere = now.wall + Duration::from_secs(3_600);
        clock.follow(elsewhere, now.monotonic, now.monotonic);
        let read = clock.now();
        let passed = read.monotonic.since(now.monotonic);
        assert!(read.wall >= elsewhere && read.wall <= elsewhere + passed + Duration::from_millis(1), "{read:?}");
    }

    #[test]
    fn a_manual_clock_follows_at_once() {
        let clock = Clock::manual(Timestamp::from_millis(5));
        clock.advance(Duration::from_millis(100));
        let sent = clock.now().monotonic;
        clock.advance(Duration::from_millis(20));
        clock.follow(Timestamp::from_millis(9_000), sent, clock.now().monotonic);
        assert_eq!(clock.wall(), Timestamp::from_millis(9_010), "the answer is half a round trip old");
        clock.advance(Duration::from_millis(7));
        assert_eq!(clock.wall(), Timestamp::from_millis(9_017));
    }
}
