//! What is asked of the store about keeping and erasing, and what it answers. What is
//! of partners at all is listed in `erasure`.

use crate::domain::{PartnerName, RetentionDays, Timestamp};

/// How much one slice of tidying takes on: whoever writes waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Rows looked at, changed or removed, about.
    pub rows: usize,
    /// Bytes of payloads erased, about: each page of them is written once more.
    pub bytes: usize,
}

/// For how long things of a scope are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retentions {
    /// What the scope says itself.
    pub own: RetentionDays,
    /// What its environment says; for an environment, the same.
    pub environment: RetentionDays,
}

impl Retentions {
    /// What holds.
    pub fn effective(&self) -> RetentionDays {
        self.own.or(self.environment)
    }
}

/// Where the walk over what is kept too long goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionPlace {
    /// With this of a scope. How far into its events is stored.
    Walk {
        /// The scope's number.
        scope: i64,
        /// Which of what is kept, by its number.
        kept: usize,
    },
    /// With what the walks left, behind this event of a scope.
    Left {
        /// The scope's number.
        scope: i64,
        /// The event's key.
        event: i64,
    },
}

/// What one slice of it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enforced {
    /// Rows that went or were changed.
    pub rows: usize,
    /// Payloads that were erased.
    pub payloads: usize,
    /// Where the next slice goes on; `None` when all was seen.
    pub next: Option<RetentionPlace>,
}

/// What one slice of erasing payloads did that were not to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unretained {
    /// Payloads that were erased.
    pub payloads: usize,
    /// Behind which event the next slice goes on, by its key; `None` when all were seen.
    pub next: Option<i64>,
}

/// What one slice of erasing partners did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasedPartners {
    /// Rows that went.
    pub rows: usize,
    /// Partners of whom nothing is left.
    pub gone: Vec<PartnerName>,
    /// Whether there is more to erase at once.
    pub more: bool,
}

/// How large the store is, and how far back it reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes of the file or the database.
    pub database_bytes: u64,
    /// Bytes of what is committed and not in the file yet; `None` where the server has that.
    pub log_bytes: Option<u64>,
    /// Bytes inside the file that are free to be used again; `None` where the server has that.
    pub free_bytes: Option<u64>,
    /// Bytes of the file system that the store may still take; `None` where the server has that.
    pub disk_free_bytes: Option<u64>,
    /// When the oldest event was accepted that is kept.
    pub oldest_event: Option<Timestamp>,
}
