//! What a verb answers that may find nothing to do.

/// What stands now, and whether it had to be changed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<T> {
    /// It was otherwise before.
    Changed(T),
    /// It was so before, and nothing was written.
    AsBefore(T),
}

impl<T> Effect<T> {
    /// Whether something was changed.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Changed(_))
    }

    /// What stands now.
    pub fn into_inner(self) -> T {
        match self {
            Self::Changed(now) | Self::AsBefore(now) => now,
        }
    }
}
