//! What can go wrong in a store, by what the caller can do about it.

/// A read or a verb failed, and nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Someone else holds what is needed; the same call may work in a moment.
    #[error("the store is busy: {0}")]
    Busy(String),
    /// No space is left where the store lives.
    #[error("the store is full: {0}")]
    Full(String),
    /// A rule of the schema was broken: a fault of ours in one verb.
    #[error("a rule of the schema was broken: {0}")]
    Constraint(String),
    /// The store cannot be reached or read.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// What is stored does not read back as what it should be.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    /// The store cannot be opened as it was configured.
    #[error("{0}")]
    Configuration(String),
    /// The process is stopping.
    #[error("the store was left in mid-read: {0}")]
    Stopped(String),
}

impl StoreError {
    /// The same of what cannot be read, naming whose it is.
    #[must_use]
    pub(in crate::store) fn of(self, whose: impl std::fmt::Display) -> Self {
        match self {
            Self::Corrupt(why) => Self::Corrupt(format!("{whose}: {why}")),
            other => other,
        }
    }
}

/// A transaction did not become durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// It was undone whole; the caller may try again.
    #[error("rolled back: {0}")]
    RolledBack(#[from] StoreError),
    /// The server that holds the store went away before it answered: it may be
    /// durable or not. The store can be used again, and tells whoever looks.
    #[error("the answer of a commit was lost: {0}")]
    Lost(String),
    /// Whether it is durable cannot be known before the store is opened anew.
    /// Nobody may act on either, so the process must end.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
}
