//! The only reader of time. Everything that waits or stamps takes a
//! [`Moment`] from a [`Clock`] that it was given, so that a test can move it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::{Moment, Monotonic, Timestamp};

/// A source of time, cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { started: Instant },
    Manual(Arc<Mutex<Moment>>),
}

impl Clock {
    /// The machine's clocks; the monotonic one starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
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
            Source::System { started } => {
                // A wall clock set before 1970 reads as 1970: nothing is ever
                // due earlier than that.
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Moment {
                    wall: Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)),
                    monotonic: Monotonic::from_start(started.elapsed()),
                }
            }
            Source::Manual(moment) => *moment.lock().expect("no holder of this lock can panic"),
        }
    }

    /// The wall clock alone.
    pub fn wall(&self) -> Timestamp {
        self.now().wall
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
