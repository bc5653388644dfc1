//! How partitions are shared out evenly: who should own how many, and what that
//! asks of one node. Every node reckons alike from the same list of nodes, and
//! never by what the others own, so that nobody has to be told.

use crate::domain::{NodeId, PARTITIONS, Partition};

/// What a node is to do about its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// It owns what it should.
    Even,
    /// It may take so many more.
    Take(usize),
    /// It is to give these up.
    Shed(Vec<Partition>),
}

/// How many partitions a node should own, among these, which are in the order of
/// their ids: all own the same, and the first ones one more if that does not come
/// out even. `None` for a node that is not among them.
pub fn target(node: NodeId, nodes: &[NodeId]) -> Option<usize> {
    let place = nodes.iter().position(|known| *known == node)?;
    let (each, left) = (PARTITIONS / nodes.len(), PARTITIONS % nodes.len());
    Some(each + usize::from(place < left))
}

/// What a node that owns these partitions should do. One that is not among the
/// nodes is left alone: it is leaving, or has not been heard of yet.
pub fn balance(node: NodeId, nodes: &[NodeId], owned: &[Partition]) -> Balance {
    let Some(target) = target(node, nodes) else { return Balance::Even };
    if owned.len() < target {
        return Balance::Take(target - owned.len());
    }
    match &owned[target..] {
        [] => Balance::Even,
        surplus => Balance::Shed(surplus.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn nodes(count: usize) -> Vec<NodeId> {
        (0..count).map(|number| NodeId::from_uuid(Uuid::from_u128(number as u128))).collect()
    }

    #[test]
    fn a_stranger_is_left_alone() {
        let all = nodes(3);
        let owned: Vec<Partition> = Partition::all().collect();
        assert_eq!(balance(all[2], &all[..2], &owned), Balance::Even);
        assert_eq!(target(all[2], &all[..2]), None);
    }

    #[test]
    fn what_is_even_stays() {
        let all = nodes(3);
        let owned: Vec<Partition> = Partition::all().take(86).collect();
        assert_eq!(balance(all[0], &all, &owned), Balance::Even);
        assert_eq!(balance(all[1], &all, &owned), Balance::Shed(vec![Partition::numbered(85)]));
        assert_eq!(balance(all[1], &all, &owned[..80]), Balance::Take(5));
    }

    proptest! {
        #[test]
        fn targets_are_even_and_come_to_all(count in 1_usize..400) {
            let all = nodes(count);
            let targets: Vec<usize> = all.iter().map(|node| target(*node, &all).expect("it is among them")).collect();
            prop_assert_eq!(targets.iter().sum::<usize>(), PARTITIONS);
            let (least, most) = (targets.iter().min().expect("one"), targets.iter().max().expect("one"));
            prop_assert!(most - least <= 1);
        }

        /// Whoever owns what at first, and in whichever order nodes come round:
        /// each partition is given up at most once, nobody who has taken one
        /// gives it up again, and in two rounds all is even.
        #[test]
        fn a_set_of_nodes_settles(
            count in 1_usize..12,
            owners in prop::collection::vec(prop::option::of(0_usize..12), PARTITIONS),
            orders in prop::collection::vec(Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(), 3),
        ) {
            let all = nodes(count);
            let mut owned: BTreeMap<usize, Vec<Partition>> = (0..count).map(|place| (place, Vec::new())).collect();
            let mut free = Vec::new();
            for (partition, owner) in Partition::all().zip(owners) {
                match owner {
                    Some(place) if place < count => owned.get_mut(&place).expect("all are there").push(partition),
                    _ => free.push(partition),
                }
            }
            let mut has_taken = vec![false; count];
            for order in orders {
                for place in order.into_iter().filter(|place| *place < count) {
                    let mine = owned.get_mut(&place).expect("all are there");
                    match balance(all[place], &all, mine) {
                        Balance::Even => {}
                        Balance::Take(most) => {
                            has_taken[place] = true;
                            mine.extend(free.split_off(free.len().saturating_sub(most)));
                        }
                        Balance::Shed(surplus) => {
                            prop_assert!(!has_taken[place], "what was taken is given up again");
                            mine.retain(|partition| !surplus.contains(partition));
                            free.extend(surplus);
                        }
                    }
                }
            }
            prop_assert!(free.is_empty());
            for (place, mine) in owned {
                prop_assert_eq!(balance(all[place], &all, &mine), Balance::Even);
            }
        }
    }
}
