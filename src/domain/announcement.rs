//! What Posthaste tells of endpoints and deliveries in trouble to those who subscribed
//! to it. When there is something to tell is decided in `policy::announcing`, what it
//! looks like in `catalog::system`.

use crate::domain::{AttemptError, Outcome, Timestamp};

/// What the end of an attempt is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// The endpoint keeps failing.
    Failing {
        /// The first of the failed attempts since the last success.
        since: Timestamp,
        /// At least so many have failed in a row.
        failures: u32,
        /// It was told before: this is the warning that it goes on.
        is_warning: bool,
        /// The endpoint is disabled then if it goes on; `None` is never.
        disables_at: Option<Timestamp>,
    },
    /// It succeeded after that was told.
    Recovered {
        /// Since when it had failed; `None` where somebody let it begin anew meanwhile.
        failing_since: Option<Timestamp>,
    },
    /// The delivery's schedule is at its end.
    Exhausted,
}

/// What an endpoint failed at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// At least so many attempts have failed in a row.
    pub failures: u32,
    /// The HTTP status, when there was an answer.
    pub status_code: Option<u16>,
    /// What was wrong.
    pub error: Option<AttemptError>,
}

impl Setback {
    /// The last of so many failures.
    pub fn new(failures: u32, outcome: &Outcome) -> Self {
        Self { failures, status_code: outcome.status_code, error: outcome.error.clone() }
    }
}
