//! For how long what is kept of events is kept, and what an erased payload leaves
//! behind. Carrying it out is the store's.

use crate::domain::Timestamp;

/// Something that goes before the whole of its event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// The bytes of events of which no delivery is unfinished, counted from acceptance.
    Payloads,
    /// Attempts, counted from when each was made.
    Attempts,
    /// Deliveries that are held, counted from acceptance: they are discarded.
    Held,
    /// Deliveries that are exhausted, counted from when they ended: they are discarded.
    Exhausted,
}

impl Kept {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Payloads, Self::Attempts, Self::Held, Self::Exhausted];

    /// The setting's name in the API.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Payloads => "payload_days",
            Self::Attempts => "attempts_days",
            Self::Held => "held_days",
            Self::Exhausted => "exhausted_days",
        }
    }
}

/// For how many days each is kept; what is `None` is as the next larger says: a
/// partner's as its environment's, an environment's as the option `retention_days`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionDays([Option<u32>; 4]);

impl RetentionDays {
    /// What this says itself.
    pub const fn of(&self, kept: Kept) -> Option<u32> {
        self.0[kept as usize]
    }

    /// The same, with this said of one.
    #[must_use]
    pub const fn with(mut self, kept: Kept, days: Option<u32>) -> Self {
        self.0[kept as usize] = days;
        self
    }

    /// Whether it says nothing at all.
    pub fn is_silent(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// What holds, where this is silent and `larger` may not be.
    #[must_use]
    pub fn or(self, larger: Self) -> Self {
        Self(std::array::from_fn(|kept| self.0[kept].or(larger.0[kept])))
    }

    /// What goes earlier than everything does, which is after `most_days`: what was set when
    /// that was longer, and is longer than it is now, is no more than the option.
    #[must_use]
    pub fn shorter_than(self, most_days: u32) -> Self {
        Self(self.0.map(|days| days.filter(|days| *days < most_days)))
    }
}

/// Why a payload was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErasedBy {
    /// It was older than payloads are kept.
    Retention,
    /// Its producer had asked for that, and all was delivered.
    RetainNone,
}

impl ErasedBy {
    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::RetainNone => "retain_none",
        }
    }
}

/// That a payload is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// When it was erased.
    pub at: Timestamp,
    /// Why.
    pub by: ErasedBy,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn days() -> impl Strategy<Value = RetentionDays> {
        prop::array::uniform4(prop::option::of(1..60_u32)).prop_map(RetentionDays)
    }

    proptest! {
        #[test]
        fn the_nearest_that_says_something_holds(own in days(), environment in days(), most in 1..60_u32) {
            let effective = own.or(environment);
            for kept in Kept::ALL {
                prop_assert_eq!(effective.of(kept), own.of(kept).or(environment.of(kept)));
                let shorter = effective.shorter_than(most).of(kept);
                prop_assert!(shorter.is_none_or(|days| days < most));
                prop_assert_eq!(shorter.is_none(), effective.of(kept).is_none_or(|days| days >= most));
            }
            prop_assert_eq!(own.is_silent(), own == RetentionDays::default());
            prop_assert_eq!(RetentionDays::default().or(own), own);
        }
    }

    #[test]
    fn each_is_said_by_itself() {
        let mut said = RetentionDays::default();
        for (kept, days) in Kept::ALL.into_iter().zip(1..) {
            said = said.with(kept, Some(days));
        }
        let read: Vec<Option<u32>> = Kept::ALL.iter().map(|kept| said.of(*kept)).collect();
        assert_eq!(read, [Some(1), Some(2), Some(3), Some(4)]);
    }
}
