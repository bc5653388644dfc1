//! An accept with more deliveries than one commit should write: what it was
//! matched to and which row keys it has, from its first chunk to its sealing.
//! When its chunks are written is the journal's affair.

use std::sync::Arc;

use crate::domain::EndpointId;
use crate::store::Accepted;
use crate::store::births::Beginning;
use crate::store::ids::RowKey;

/// Whether there is anything to write.
#[derive(Debug)]
pub enum Begun {
    /// Its idempotency key was used before: nothing was begun.
    Answered(Accepted),
    /// To be written in chunks and sealed.
    FanOut(FanOut),
}

/// What was begun: every delivery that is to be, in order.
#[derive(Debug)]
pub struct FanOut {
    first: RowKey,
    matched_version: i64,
    /// Each event's endpoints, in the order the events were posted. Events of
    /// one type share them.
    matches: Vec<Arc<[EndpointId]>>,
    /// How each event's deliveries begin.
    begins: Vec<Beginning>,
    /// The numbers of the deliveries that were written, in order.
    numbers: Vec<i64>,
}

/// One delivery to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Planned {
    pub(in crate::store) event: RowKey,
    pub(in crate::store) delivery: RowKey,
    pub(in crate::store) endpoint: EndpointId,
    pub(in crate::store) begins: Beginning,
}

impl FanOut {
    /// How many keys in a row these matches take: an event's deliveries follow
    /// it.
    pub(in crate::store) fn keys(matches: &[Arc<[EndpointId]>]) -> usize {
        matches.iter().map(|endpoints| 1 + endpoints.len()).sum()
    }

    /// With keys from `first` on. There is at least one event.
    pub(in crate::store) fn new(
        first: RowKey,
        matched_version: i64,
        matches: Vec<Arc<[EndpointId]>>,
        begins: Vec<Beginning>,
    ) -> Self {
        Self { first, matched_version, matches, begins, numbers: Vec::new() }
    }

    /// How many deliveries there are.
    pub fn deliveries(&self) -> usize {
        self.matches.iter().map(|endpoints| endpoints.len()).sum()
    }

    /// The version of the subscriptions it was matched against.
    pub(in crate::store) fn matched_version(&self) -> i64 {
        self.matched_version
    }

    /// The first key and the last.
    pub(in crate::store) fn range(&self) -> (RowKey, RowKey) {
        (self.first, self.first + Self::keys(&self.matches) as RowKey - 1)
    }

    /// The deliveries behind the first `from` have these numbers. What was written and
    /// undone is written again with others.
    pub(in crate::store) fn have_numbers(&mut self, from: usize, numbers: impl IntoIterator<Item = i64>) {
        self.numbers.truncate(from);
        self.numbers.extend(numbers);
    }

    /// The numbers of all that was written, in order.
    pub(in crate::store) fn numbers(&self) -> &[i64] {
        &self.numbers
    }

    /// Each event's key and endpoints, and how its deliveries begin.
    pub(in crate::store) fn events(&self) -> impl Iterator<Item = (RowKey, &Arc<[EndpointId]>, Beginning)> {
        let mut next = self.first;
        self.matches.iter().zip(&self.begins).map(move |(endpoints, begins)| {
            let event = next;
            next += 1 + endpoints.len() as RowKey;
            (event, endpoints, *begins)
        })
    }

    /// Up to `limit` deliveries behind the first `from`.
    pub(in crate::store) fn chunk(&self, from: usize, limit: usize) -> impl Iterator<Item = Planned> {
        let mut skipped = 0;
        let rest = self.events().flat_map(move |(event, endpoints, begins)| {
            // Event by event, so that a late chunk need not count to its place.
            let skip = (from - skipped).min(endpoints.len());
            skipped += skip;
            endpoints.iter().zip(event + 1..).skip(skip).map(move |(endpoint, delivery)| Planned {
                event,
                delivery,
                endpoint: *endpoint,
                begins,
            })
        });
        rest.take(limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn fan_out(sizes: &[usize]) -> FanOut {
        let endpoints = |count: usize| (0..count as u128).map(|number| EndpointId::from_uuid(Uuid::from_u128(number)));
        let matches = sizes.iter().map(|size| endpoints(*size).collect()).collect();
        FanOut::new(1_000, 7, matches, vec![Beginning::AtOnce; sizes.len()])
    }

    proptest! {
        #[test]
        fn chunks_are_the_whole_in_order(sizes in prop::collection::vec(0usize..20, 1..20), limit in 1usize..30) {
            let fan_out = fan_out(&sizes);
            let whole: Vec<Planned> = fan_out.chunk(0, usize::MAX).collect();
            let mut parts = Vec::new();
            for from in (0..fan_out.deliveries()).step_by(limit) {
                parts.extend(fan_out.chunk(from, limit));
            }
            prop_assert_eq!(&parts, &whole);
            prop_assert_eq!(whole.len(), fan_out.deliveries());
        }

        #[test]
        fn numbers_are_those_that_were_written_last(
            chunks in prop::collection::vec(prop::collection::vec(any::<i64>(), 0..5), 0..8),
            again in prop::collection::vec(any::<i64>(), 0..5),
        ) {
            let mut fan_out = fan_out(&[1]);
            let mut expected: Vec<i64> = Vec::new();
            for chunk in &chunks {
                let from = expected.len();
                fan_out.have_numbers(from, again.clone());
                fan_out.have_numbers(from, chunk.clone());
                expected.extend(chunk);
            }
            prop_assert_eq!(fan_out.numbers(), expected);
        }

        #[test]
        fn every_key_of_the_range_is_one_event_or_delivery(sizes in prop::collection::vec(0usize..20, 1..20)) {
            let fan_out = fan_out(&sizes);
            let mut keys: Vec<RowKey> = fan_out.events().map(|(event, ..)| event).collect();
            keys.extend(fan_out.chunk(0, usize::MAX).map(|planned| planned.delivery));
            keys.sort_unstable();
            let (first, last) = fan_out.range();
            prop_assert_eq!(keys, (first..=last).collect::<Vec<_>>());
        }
    }
}
