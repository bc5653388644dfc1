//! Where the other nodes are reached, by what they own: for hints, which may be
//! wrong or lost. Who owns what for certain, the store alone knows.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::{NodeId, PARTITIONS, Partition};
use crate::store::Owner;

type Addresses = [Option<Arc<str>>; PARTITIONS];

/// See the module. Cheap to clone and to ask.
#[derive(Clone)]
pub struct Owners(Arc<ArcSwap<Addresses>>);

impl Default for Owners {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee([const { None }; PARTITIONS])))
    }
}

impl Owners {
    /// Where the node is reached that owns a partition, when it is another node
    /// and says so.
    pub fn address_of(&self, partition: Partition) -> Option<Arc<str>> {
        self.0.load()[partition.index()].clone()
    }

    /// Who owns each partition, as `node` has just been told.
    pub(super) fn update(&self, node: NodeId, owners: &[Option<Owner>]) {
        let mut addresses: Addresses = [const { None }; PARTITIONS];
        // A few nodes own many partitions each.
        let mut known: Vec<Arc<str>> = Vec::new();
        for (slot, owner) in addresses.iter_mut().zip(owners) {
            let other = owner.as_ref().filter(|owner| owner.node != node);
            let Some(address) = other.and_then(|owner| owner.address.as_deref()) else { continue };
            let shared = known.iter().find(|known| &***known == address).cloned();
            *slot = Some(shared.unwrap_or_else(|| {
                let new: Arc<str> = address.into();
                known.push(Arc::clone(&new));
                new
            }));
        }
        self.0.store(Arc::new(addresses));
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
        owners.update(node(1), &[]);
        assert_eq!(address(1), None, "what is not said any more is forgotten");
    }
}
