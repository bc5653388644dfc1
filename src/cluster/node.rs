//! What a run of a node is called.

use uuid::Builder;

use crate::domain::{NodeId, Timestamp};

/// An id for a node that starts now. Ids are in the order in which nodes started,
/// as far as their clocks agree.
pub fn new_node_id(now: Timestamp) -> Result<NodeId, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Ok(NodeId::from_uuid(Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_node_started() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let (one, other) = (new_node_id(now).expect("randomness"), new_node_id(now).expect("randomness"));
        assert_ne!(one, other);
        assert_eq!(one.made_at(), now);
        assert!(one < new_node_id(Timestamp::from_millis(1_700_000_000_124)).expect("randomness"));
    }
}
