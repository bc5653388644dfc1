//! What is known of an endpoint that is in trouble, and must still be known after a
//! restart. What leads to it is decided in `policy::health`.

use crate::domain::Timestamp;

/// An endpoint's trouble; the default is none at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// The first of the failed attempts since the last success, once there were
    /// enough of them to speak of trouble.
    pub failing_since: Option<Timestamp>,
    /// The breaker, while it is open.
    pub breaker: Option<OpenBreaker>,
    /// The receiver asked for no request before then (`Retry-After`).
    pub not_before: Option<Timestamp>,
    /// When its operator was warned that it fails.
    pub warned_at: Option<Timestamp>,
    /// When those who subscribed to that were last told that it fails.
    pub announced_at: Option<Timestamp>,
    /// When it was disabled for it, and why.
    pub disabled: Option<(Timestamp, DisabledReason)>,
}

/// A breaker that lets one probe through at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBreaker {
    /// When it opened.
    pub opened_at: Timestamp,
    /// Probes that have failed since then.
    pub probes: u32,
    /// The next goes out no earlier.
    pub probe_at: Timestamp,
}

/// Why an endpoint was disabled by other hands than its partner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// It has failed for too long.
    Failing,
    /// It answered 410, and wants to be disabled then.
    Gone,
}

impl Trouble {
    /// Whether there is nothing to remember.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// When something that is due then may go out at the earliest.
    pub fn permits(&self, due_at: Timestamp) -> Timestamp {
        let probe_at = self.breaker.map(|open| open.probe_at);
        [probe_at, self.not_before].into_iter().flatten().fold(due_at, Timestamp::max)
    }

    /// What is left of it when somebody lets the endpoint begin anew: whoever was told
    /// that it fails is still to hear that it does not.
    pub fn begun_anew(&self) -> Self {
        Self { announced_at: self.announced_at, ..Self::default() }
    }
}

impl DisabledReason {
    /// Every reason, for the store's table.
    pub const ALL: [Self; 2] = [Self::Failing, Self::Gone];

    /// The word used in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
        }
    }
}
