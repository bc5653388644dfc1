//! Slices of all endpoints, each owned by one node at a time. Which node that
//! is, is decided elsewhere; which slice an endpoint is in, never changes.

use std::fmt;

use crate::domain::EndpointId;

/// How many partitions there are, whatever the number of nodes.
pub const PARTITIONS: usize = 256;

/// One slice of all endpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// The partition an endpoint is in. Stored with its deliveries, so it is part
    /// of the format: the last byte of an id is as good as drawn.
    pub const fn of(endpoint: EndpointId) -> Self {
        Self(endpoint.uuid().as_u128() as u8)
    }

    /// The partition with this number.
    pub const fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// Its number, from 0.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its place in a list of all.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Some of the partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionSet([u64; PARTITIONS / 64]);

impl PartitionSet {
    /// All of them.
    pub const ALL: Self = Self([u64::MAX; PARTITIONS / 64]);
    /// None.
    pub const NONE: Self = Self([0; PARTITIONS / 64]);

    /// Whether it is one of these.
    pub const fn contains(&self, partition: Partition) -> bool {
        self.0[partition.index() / 64] & (1 << (partition.index() % 64)) != 0
    }

    /// Adds one. False if it was there.
    pub fn insert(&mut self, partition: Partition) -> bool {
        let is_new = !self.contains(partition);
        self.0[partition.index() / 64] |= 1 << (partition.index() % 64);
        is_new
    }

    /// Takes one away. False if it was not there.
    pub fn remove(&mut self, partition: Partition) -> bool {
        let was_there = self.contains(partition);
        self.0[partition.index() / 64] &= !(1 << (partition.index() % 64));
        was_there
    }

    /// How many these are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// These, in order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + '_ {
        Partition::all().filter(|partition| self.contains(*partition))
    }
}

impl FromIterator<Partition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        let mut set = Self::NONE;
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_a_set(steps in prop::collection::vec((any::<bool>(), any::<u8>()), 0..400)) {
            let (mut set, mut model) = (PartitionSet::NONE, BTreeSet::new());
            for (adds, number) in steps {
                let partition = Partition::numbered(number);
                if adds {
                    prop_assert_eq!(set.insert(partition), model.insert(partition));
                } else {
                    prop_assert_eq!(set.remove(partition), model.remove(&partition));
                }
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(model.into_iter().collect::<PartitionSet>(), set);
        }
    }

    #[test]
    fn there_are_as_many_as_are_said() {
        assert_eq!(Partition::all().count(), PARTITIONS);
        assert_eq!(PartitionSet::ALL.len(), PARTITIONS);
    }
}
