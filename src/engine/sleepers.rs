//! Endpoints with work, but not yet: each is an id and the earliest of the times
//! it was to wake at.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{EndpointId, Monotonic, Partition, PartitionSet};

/// Endpoints with work, but not yet.
#[derive(Default)]
pub(in crate::engine) struct Sleepers {
    by_time: BTreeSet<(Monotonic, EndpointId)>,
    times: HashMap<EndpointId, Monotonic>,
}

impl Sleepers {
    /// Sleeps until then, or until earlier if that was planned before.
    pub(in crate::engine) fn until(&mut self, endpoint: EndpointId, time: Monotonic) {
        match self.times.get(&endpoint) {
            Some(known) if *known <= time => return,
            Some(known) => drop(self.by_time.remove(&(*known, endpoint))),
            None => {}
        }
        self.times.insert(endpoint, time);
        self.by_time.insert((time, endpoint));
    }

    pub(in crate::engine) fn remove(&mut self, endpoint: EndpointId) {
        if let Some(time) = self.times.remove(&endpoint) {
            self.by_time.remove(&(time, endpoint));
        }
    }

    /// Forgets all of these partitions.
    pub(in crate::engine) fn forget(&mut self, partitions: &PartitionSet) {
        let stays = |endpoint: &EndpointId| !partitions.contains(Partition::of(*endpoint));
        self.times.retain(|endpoint, _| stays(endpoint));
        self.by_time.retain(|(_, endpoint)| stays(endpoint));
    }

    pub(in crate::engine) fn pop_before(&mut self, time: Monotonic) -> Option<EndpointId> {
        let (due, endpoint) = *self.by_time.first()?;
        if due > time {
            return None;
        }
        self.remove(endpoint);
        Some(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn endpoint(number: u128) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(number))
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn sleepers_wake_once_in_order_and_at_the_earliest_of_their_times() {
        let mut sleepers = Sleepers::default();
        sleepers.until(endpoint(1), at(50));
        sleepers.until(endpoint(2), at(20));
        sleepers.until(endpoint(1), at(10));
        sleepers.until(endpoint(1), at(30));
        sleepers.until(endpoint(3), at(5));
        sleepers.remove(endpoint(3));
        assert_eq!(sleepers.pop_before(at(9)), None);
        assert_eq!(sleepers.pop_before(at(60)), Some(endpoint(1)));
        assert_eq!(sleepers.pop_before(at(20)), Some(endpoint(2)));
        assert_eq!(sleepers.pop_before(at(60)), None);
        assert!(sleepers.by_time.is_empty() && sleepers.times.is_empty());
    }

    #[test]
    fn those_of_a_partition_are_forgotten_and_no_others() {
        let mut sleepers = Sleepers::default();
        // The last byte of an id is its partition.
        for number in [1, 2, 0x101, 0x102] {
            sleepers.until(endpoint(number), at(10));
        }
        sleepers.forget(&[Partition::of(endpoint(1))].into_iter().collect());
        let left: Vec<_> = std::iter::from_fn(|| sleepers.pop_before(at(10))).collect();
        assert_eq!(left, [endpoint(2), endpoint(0x102)]);
        assert!(sleepers.times.is_empty());
    }
}
