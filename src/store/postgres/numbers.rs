//! Numbers of deliveries as a transaction uses them: how many it wants of each endpoint,
//! and those that it was given. They are taken in a transaction of their own
//! (`writer::Beside`), in the same breath as row keys, so that both grow together over all
//! nodes. What is taken and not used is a number that no delivery has.

use std::collections::HashMap;

use crate::domain::EndpointId;
use crate::store::StoreError;
use crate::store::ids::RowKey;

/// How many deliveries are to be made of each endpoint.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    counts: HashMap<EndpointId, (RowKey, i64)>,
}

/// Numbers that were taken for endpoints, and which of them is next.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The next, and the last.
    rest: HashMap<EndpointId, (i64, i64)>,
}

impl Wanted {
    /// One more of an endpoint. Its row key is asked for the first time.
    pub(super) fn add(
        &mut self,
        endpoint: EndpointId,
        key: impl FnOnce() -> Result<RowKey, StoreError>,
    ) -> Result<(), StoreError> {
        if let Some((_, count)) = self.counts.get_mut(&endpoint) {
            *count += 1;
            return Ok(());
        }
        self.counts.insert(endpoint, (key()?, 1));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The endpoints' row keys, and how many of each.
    pub(super) fn by_endpoint(&self) -> (Vec<RowKey>, Vec<i64>) {
        self.counts.values().copied().unzip()
    }

    /// What was given where these are the last numbers.
    pub(super) fn given(&self, last: &HashMap<RowKey, i64>) -> Result<Numbers, StoreError> {
        let mut rest = HashMap::with_capacity(self.counts.len());
        for (endpoint, (key, count)) in &self.counts {
            let missing = || StoreError::Corrupt(format!("no numbers were given to {endpoint}"));
            let last = *last.get(key).ok_or_else(missing)?;
            rest.insert(*endpoint, (last - count + 1, last));
        }
        Ok(Numbers { rest })
    }
}

impl Numbers {
    /// Whether there are as many as are wanted.
    pub(super) fn suffice(&self, wanted: &Wanted) -> bool {
        wanted
            .counts
            .iter()
            .all(|(endpoint, (_, count))| self.rest.get(endpoint).is_some_and(|(next, last)| last - next + 1 >= *count))
    }

    /// The endpoint's next.
    pub(super) fn next(&mut self, endpoint: EndpointId) -> Result<i64, StoreError> {
        let missing = || StoreError::Corrupt(format!("{endpoint} has no number left"));
        let (next, last) = self.rest.get_mut(&endpoint).ok_or_else(missing)?;
        if *next > *last {
            return Err(missing());
        }
        *next += 1;
        Ok(*next - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn endpoint(number: u8) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    fn wanted(deliveries: &[u8]) -> Wanted {
        let mut wanted = Wanted::default();
        for number in deliveries {
            wanted.add(endpoint(*number), || Ok(RowKey::from(*number))).expect("it has a key");
        }
        wanted
    }

    proptest! {
        #[test]
        fn all_that_was_taken_is_given_in_order_and_no_more(
            deliveries in prop::collection::vec(0u8..5, 0..40), first in 1i64..1_000, asked in 0u8..5,
        ) {
            let taken = wanted(&deliveries);
            let (keys, counts) = taken.by_endpoint();
            let last = keys.iter().copied().zip(counts.iter().map(|count| first + count - 1)).collect();
            let mut numbers = taken.given(&last).expect("each has some");
            prop_assert!(numbers.suffice(&taken));
            let mut more = deliveries.clone();
            more.push(asked);
            prop_assert!(!numbers.suffice(&wanted(&more)));
            let mut next: HashMap<u8, i64> = HashMap::new();
            for number in &deliveries {
                let expected = next.entry(*number).or_insert(first);
                prop_assert_eq!(numbers.next(endpoint(*number)).expect("there is one"), *expected);
                *expected += 1;
            }
            prop_assert!(numbers.next(endpoint(asked)).is_err());
        }
    }
}
