//! Which other nodes there are and where they are reached, by what they own: for
//! hints, which may be wrong or lost, and for questions, which may go unanswered. Who
//! owns what for certain, the store alone knows.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::cluster::asking::Neighbour;
use crate::domain::{NodeId, PARTITIONS, Partition};
use crate::store::Owner;

type ByPartition = [Option<Neighbour>; PARTITIONS];

/// See the module. Cheap to clone and to ask.
#[derive(Clone)]
pub struct Owners(Arc<ArcSwap<ByPartition>>);

impl Default for Owners {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee([const { None }; PARTITIONS])))
    }
}

impl Owners {
    /// Where the node is reached that owns a partition, when it is another node
    /// and says so.
    pub fn address_of(&self, partition: Partition) -> Option<Arc<str>> {
        self.0.load()[partition.index()].as_ref()?.address.clone()
    }

    /// The other node that owns a partition; `None` when it is nobody, or this one.
    pub fn owner_of(&self, partition: Partition) -> Option<Neighbour> {
        self.0.load()[partition.index()].clone()
    }

    /// Who owns each partition, as `node` has just been told.
    pub(super) fn update(&self, node: NodeId, owners: &[Option<Owner>]) {
        let mut neighbours: ByPartition = [const { None }; PARTITIONS];
        // A few nodes own many partitions each.
        let mut known: Vec<Neighbour> = Vec::new();
        for (slot, owner) in neighbours.iter_mut().zip(owners) {
            let Some(other) = owner.as_ref().filter(|owner| owner.node != node) else { continue };
            let shared = known.iter().find(|known| known.node == other.node).cloned();
            *slot = Some(shared.unwrap_or_else(|| {
                let new = Neighbour { node: other.node, address: other.address.as_deref().map(Into::into) };
                known.push(new.clone());
                new
            }));
        }
        self.0.store(Arc::new(neighbours));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_others_who_say_where_they_are_have_an_address() {
        let node = |number| NodeId::from_uuid(Uuid::from_u128(number));
        let owner =
            |number, address: Option<&str>| Some(Owner { node: node(number), address: address.map(Into::into) });
        let owners = Owners::default();
        owners.update(node(1), &[owner(1, Some("http://me")), owner(2, Some("http://two")), owner(3, None), None]);
        let address = |number| owners.address_of(Partition::numbered(number));
        assert_eq!(address(1).as_deref(), Some("http://two"));
        for number in [0, 2, 3, 255] {
            assert_eq!(address(number), None, "{number}");
        }
        let named = |number| owners.owner_of(Partition::numbered(number)).map(|owner| owner.node);
        assert_eq!([0, 1, 2, 3].map(named), [None, Some(node(2)), Some(node(3)), None], "an owner is one without, too");
        owners.update(node(1), &[]);
        assert_eq!(address(1), None, "what is not said any more is forgotten");
    }
}
