//! Which of an endpoint's deliveries are due, and which wait for others: decided
//! here, written by each backend.

use std::collections::HashSet;

use crate::domain::StoredStatus;
use crate::store::ids::RowKey;

/// A delivery without a place, as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Unplaced {
    pub(in crate::store) delivery: RowKey,
    /// What it waits by.
    pub(in crate::store) order_key: Option<i64>,
    /// The number it has from an order that was undone.
    pub(in crate::store) sequence: Option<i64>,
}

/// Its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Place {
    pub(in crate::store) delivery: RowKey,
    pub(in crate::store) order_key: Option<i64>,
    pub(in crate::store) sequence: i64,
    pub(in crate::store) status: StoredStatus,
}

/// Gives each its place, in this order. `taken` are the keys that unfinished
/// deliveries have, `last` is the last number that was given. Answers the last one
/// given now, too.
pub(in crate::store) fn places(unplaced: &[Unplaced], mut taken: HashSet<i64>, mut last: i64) -> (Vec<Place>, i64) {
    let mut placed = Vec::with_capacity(unplaced.len());
    for Unplaced { delivery, order_key, sequence } in unplaced.iter().copied() {
        let sequence = sequence.unwrap_or_else(|| {
            last += 1;
            last
        });
        let is_first = order_key.is_none_or(|key| taken.insert(key));
        let status = if is_first { StoredStatus::Retrying } else { StoredStatus::Queued };
        placed.push(Place { delivery, order_key, sequence, status });
    }
    (placed, last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_each_key_the_first_is_due_and_numbers_have_no_gaps(
            unplaced in prop::collection::vec((prop::option::of(0..4_i64), prop::option::weighted(0.2, 1..50_i64)), 0..40),
            taken in prop::collection::hash_set(0..4_i64, 0..3),
            last in 50..1_000_i64,
        ) {
            let unplaced: Vec<Unplaced> = (1..)
                .zip(unplaced)
                .map(|(delivery, (order_key, sequence))| Unplaced { delivery, order_key, sequence })
                .collect();
            let (placed, end) = places(&unplaced, taken.clone(), last);
            let mut seen = taken;
            let mut next = last;
            prop_assert_eq!(placed.len(), unplaced.len());
            for (place, before) in placed.iter().zip(&unplaced) {
                prop_assert_eq!((place.delivery, place.order_key), (before.delivery, before.order_key));
                let is_due = place.order_key.is_none_or(|key| seen.insert(key));
                prop_assert_eq!(place.status == StoredStatus::Retrying, is_due);
                match before.sequence {
                    Some(sequence) => prop_assert_eq!(place.sequence, sequence),
                    None => {
                        next += 1;
                        prop_assert_eq!(place.sequence, next);
                    }
                }
            }
            prop_assert_eq!(end, next);
        }
    }
}
