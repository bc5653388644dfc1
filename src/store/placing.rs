//! Which of an endpoint's deliveries are due, and which wait for others: decided
//! here, written by each backend.

use std::collections::HashSet;

use crate::domain::StoredStatus;
use crate::store::ids::RowKey;

/// A delivery without a place, as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct WithoutPlace {
    pub(in crate::store) delivery: RowKey,
    /// What it waits by; `None` waits for nobody.
    pub(in crate::store) order_key: Option<i64>,
    /// The place it has from an order that was undone.
    pub(in crate::store) sequence: Option<i64>,
}

/// Its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Place {
    pub(in crate::store) delivery: RowKey,
    /// Nobody else's, and negative, where it waits for nobody.
    pub(in crate::store) order_key: i64,
    pub(in crate::store) sequence: i64,
    pub(in crate::store) status: StoredStatus,
}

/// Gives each its place, in this order, but those first that have one. `taken`
/// are the keys that unfinished deliveries have, `last` is the last place that was
/// given. Answers the last one given now, too.
pub(in crate::store) fn places(
    mut unplaced: Vec<WithoutPlace>,
    mut taken: HashSet<i64>,
    mut last: i64,
) -> (Vec<Place>, i64) {
    unplaced.sort_by_key(|unplaced| unplaced.sequence.unwrap_or(i64::MAX));
    let mut placed = Vec::with_capacity(unplaced.len());
    for WithoutPlace { delivery, order_key, sequence } in unplaced {
        let sequence = sequence.unwrap_or_else(|| {
            last += 1;
            last
        });
        let order_key = order_key.unwrap_or(-delivery);
        let is_first = taken.insert(order_key);
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
            let unplaced: Vec<WithoutPlace> = (1..)
                .zip(unplaced)
                .map(|(delivery, (order_key, sequence))| WithoutPlace { delivery, order_key, sequence })
                .collect();
            let (placed, end) = places(unplaced.clone(), taken.clone(), last);
            let mut in_order = unplaced;
            in_order.sort_by_key(|unplaced| unplaced.sequence.unwrap_or(i64::MAX));
            let (mut seen, mut next) = (taken, last);
            prop_assert_eq!(placed.len(), in_order.len());
            for (place, before) in placed.iter().zip(&in_order) {
                prop_assert_eq!(place.delivery, before.delivery);
                match before.order_key {
                    Some(key) => prop_assert_eq!(place.order_key, key),
                    None => prop_assert!(place.order_key < 0, "nobody waits for it"),
                }
                let is_due = seen.insert(place.order_key);
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
