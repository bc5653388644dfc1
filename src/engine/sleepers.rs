//! Endpoints with work, but not yet: each is an id and the earliest of the times
//! it was to wake at. What the store shows of one that rests behind a closed gate
//! wakes it only if its actor cannot have known of it.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{EndpointId, Moment, Monotonic, Partition, PartitionSet, Timestamp};
use crate::store::Waiting;

/// Endpoints with work, but not yet.
#[derive(Default)]
pub(in crate::engine) struct Sleepers {
    by_time: BTreeSet<(Monotonic, EndpointId)>,
    times: HashMap<EndpointId, Monotonic>,
    /// Those that rest behind a closed gate, with when the first of what waits behind
    /// it was due.
    behind_gate: HashMap<EndpointId, Timestamp>,
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

    /// The same behind a gate that opens then: nothing that is due may go out before,
    /// and the first of it has been due since `first_due`.
    pub(in crate::engine) fn until_gate_opens(&mut self, endpoint: EndpointId, time: Monotonic, first_due: Timestamp) {
        self.until(endpoint, time);
        self.behind_gate.insert(endpoint, first_due);
    }

    /// The store shows that this waits.
    pub(in crate::engine) fn seen_waiting(&mut self, waiting: &Waiting, now: Moment) {
        let Waiting { endpoint, due_at, asked_at } = *waiting;
        // What somebody asks for passes every gate, and the rest would find it closed.
        let first_known = self.behind_gate.get(&endpoint);
        if asked_at.is_none() && first_known.is_some_and(|first| due_at >= *first) {
            return;
        }
        self.until(endpoint, now.anchor(due_at));
    }

    /// Who rests behind a gate may have missed that it opened.
    pub(in crate::engine) fn doubt_gates(&mut self) {
        self.behind_gate.clear();
    }

    pub(in crate::engine) fn remove(&mut self, endpoint: EndpointId) {
        self.behind_gate.remove(&endpoint);
        if let Some(time) = self.times.remove(&endpoint) {
            self.by_time.remove(&(time, endpoint));
        }
    }

    /// Forgets all of these partitions.
    pub(in crate::engine) fn forget(&mut self, partitions: &PartitionSet) {
        let stays = |endpoint: &EndpointId| !partitions.contains(Partition::of(*endpoint));
        self.times.retain(|endpoint, _| stays(endpoint));
        self.behind_gate.retain(|endpoint, _| stays(endpoint));
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
    fn a_closed_gate_is_not_passed_for_what_is_known_to_wait_behind_it() {
        let wall = |seconds: u64| Timestamp::from_millis(1_700_000_000_000) + Duration::from_secs(seconds);
        let now = Moment { wall: wall(30), monotonic: at(30) };
        let waiting =
            |due, asked: Option<u64>| Waiting { endpoint: endpoint(1), due_at: wall(due), asked_at: asked.map(wall) };
        let woken_by = |seen: &Waiting| {
            let mut sleepers = Sleepers::default();
            sleepers.until_gate_opens(endpoint(1), at(3_600), wall(10));
            sleepers.seen_waiting(seen, now);
            sleepers.pop_before(at(30))
        };
        assert_eq!(woken_by(&waiting(10, None)), None, "it has been waiting for the gate all the time");
        assert_eq!(woken_by(&waiting(20, None)), None, "nor may what is due later go out");
        assert_eq!(woken_by(&waiting(9, None)), Some(endpoint(1)), "its actor did not know of this");
        assert_eq!(woken_by(&waiting(10, Some(29))), Some(endpoint(1)), "what is asked for passes");

        let mut sleepers = Sleepers::default();
        sleepers.until_gate_opens(endpoint(1), at(3_600), wall(10));
        sleepers.doubt_gates();
        sleepers.seen_waiting(&waiting(10, None), now);
        assert_eq!(sleepers.pop_before(at(30)), Some(endpoint(1)), "a hint that was lost may have opened it");
        // The next life's gate is another one.
        sleepers.until_gate_opens(endpoint(1), at(20), wall(10));
        assert_eq!(sleepers.pop_before(at(20)), Some(endpoint(1)));
        sleepers.until(endpoint(1), at(3_600));
        sleepers.seen_waiting(&waiting(10, None), now);
        assert_eq!(sleepers.pop_before(at(30)), Some(endpoint(1)));
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
