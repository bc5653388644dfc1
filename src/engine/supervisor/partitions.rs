//! Whose endpoints the supervisor works for: it takes partitions up when they
//! are gained, and leaves them when they are lost, handed over, or no longer
//! trusted. Where one node owns everything, none of this happens.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actix::prelude::*;

use super::{Route, Supervisor};
use crate::cluster::{Move, Ownership};
use crate::domain::{EndpointId, Monotonic, Partition, PartitionSet};
use crate::engine::messages::Tell;
use crate::store::Lease;

/// How long what is in flight may take to end when its partition is handed over.
const HAND_OVER_AFTER: Duration = Duration::from_secs(2);
/// The same when the whole node stops, which is bounded by whoever stops it.
const NO_HURRY: Duration = Duration::from_secs(3_600);
/// How long the actors that are cut off then may take to say that they have
/// ended. One whose thread stands still is not waited for: whatever it still
/// wants to write is refused.
const CUT_OFF_AFTER: Duration = Duration::from_millis(500);

/// What the supervisor works for, and by which leases.
pub(super) struct Territory {
    ownership: Ownership,
    worked: HashMap<Partition, Lease>,
    /// Leases that ran out by themselves, and were not said to be lost: one that
    /// was renewed after all is taken up again.
    lapsed: HashMap<Partition, Lease>,
    leaving: Vec<HandOver>,
}

/// Leases that another node is to have.
struct HandOver {
    leases: Vec<Lease>,
    /// Endpoints whose actors have not ended yet.
    busy: HashSet<EndpointId>,
    /// When what is still in flight is cut off.
    until: Monotonic,
}

impl Territory {
    pub(super) fn new(ownership: Ownership) -> Self {
        Self { ownership, worked: HashMap::new(), lapsed: HashMap::new(), leaving: Vec::new() }
    }

    /// By what this endpoint may be worked for now.
    pub(super) fn lease_of(&self, endpoint: EndpointId) -> Option<Lease> {
        let partition = Partition::of(endpoint);
        if self.ownership.is_sole() {
            return Some(Lease::sole(partition));
        }
        self.worked.get(&partition).copied().filter(|lease| self.ownership.trusts(lease))
    }

    /// All that may be worked for now.
    pub(super) fn held(&self) -> PartitionSet {
        if self.ownership.is_sole() {
            return PartitionSet::ALL;
        }
        self.worked.values().filter(|lease| self.ownership.trusts(lease)).map(|lease| lease.partition).collect()
    }

    pub(super) fn is_sole(&self) -> bool {
        self.ownership.is_sole()
    }

    /// No longer works by these leases. Answers the partitions where it did.
    fn leave(&mut self, leases: &[Lease]) -> PartitionSet {
        let mut left = PartitionSet::NONE;
        for lease in leases {
            // A later lease of the same partition stays.
            if self.lapsed.get(&lease.partition) == Some(lease) {
                self.lapsed.remove(&lease.partition);
            }
            if self.worked.get(&lease.partition) == Some(lease) {
                self.worked.remove(&lease.partition);
                left.insert(lease.partition);
            }
        }
        left
    }

    fn lapse(&mut self) -> Vec<Lease> {
        let lapsed: Vec<Lease> = self.worked.values().filter(|lease| !self.ownership.trusts(lease)).copied().collect();
        self.lapsed.extend(lapsed.iter().map(|lease| (lease.partition, *lease)));
        for lease in &lapsed {
            self.worked.remove(&lease.partition);
        }
        lapsed
    }

    fn trusted_again(&mut self) -> Vec<Lease> {
        let ownership = &self.ownership;
        self.lapsed.extract_if(|_, lease| ownership.trusts(lease)).map(|(_, lease)| lease).collect()
    }
}

impl Supervisor {
    pub(super) fn take_move(&mut self, moved: Move, context: &mut Context<Self>) {
        match moved {
            Move::Gained(leases) => self.gained(leases, context),
            Move::Lost(leases) => self.lost(&leases),
            Move::HandOver(leases) => self.hand_over(leases),
            Move::ManyChanged => self.many_changed(context),
            Move::Changed(endpoints) => {
                for endpoint in endpoints {
                    // One without an actor may have been enabled.
                    self.tell(endpoint, Tell::Changed, context);
                }
            }
        }
    }

    fn gained(&mut self, leases: Vec<Lease>, context: &mut Context<Self>) {
        let (mut gained, mut outdated) = (PartitionSet::NONE, PartitionSet::NONE);
        for lease in leases {
            self.territory.lapsed.remove(&lease.partition);
            match self.territory.worked.insert(lease.partition, lease) {
                Some(known) if known == lease => continue,
                Some(_) => {
                    outdated.insert(lease.partition);
                }
                None => {}
            }
            gained.insert(lease.partition);
        }
        // Its actors write by a lease that is over.
        self.abort(&outdated);
        self.sweep(&gained, context);
    }

    fn lost(&mut self, leases: &[Lease]) {
        let left = self.territory.leave(leases);
        self.abort(&left);
        let is_lost = |endpoint: &EndpointId, hand_over: &HandOver| {
            let partition = Partition::of(*endpoint);
            leases.iter().any(|lease| lease.partition == partition && hand_over.leases.contains(lease))
        };
        for hand_over in &self.territory.leaving {
            self.cut_off(hand_over.busy.iter().filter(|endpoint| is_lost(endpoint, hand_over)));
        }
    }

    fn hand_over(&mut self, leases: Vec<Lease>) {
        let until = self.now() + HAND_OVER_AFTER;
        self.give_away(leases, until);
    }

    /// Hands everything over, each partition as soon as nothing of it is in flight:
    /// one receiver that takes its time keeps nobody else waiting.
    pub(super) fn hand_over_all(&mut self) {
        if self.territory.is_sole() {
            return;
        }
        let until = self.now() + NO_HURRY;
        self.give_away(self.territory.worked.values().copied().collect(), until);
    }

    fn give_away(&mut self, leases: Vec<Lease>, until: Monotonic) {
        let left = self.territory.leave(&leases);
        let mut busy: HashMap<Partition, HashSet<EndpointId>> = HashMap::new();
        for endpoint in self.actors_of(&left) {
            self.leave(endpoint, Tell::Drain);
            busy.entry(Partition::of(endpoint)).or_default().insert(endpoint);
        }
        self.forget(&left);
        for lease in leases {
            let busy = busy.remove(&lease.partition).unwrap_or_default();
            self.territory.leaving.push(HandOver { leases: vec![lease], busy, until });
        }
        self.finish_handing_over();
    }

    /// Leaves what is no longer trusted, and takes up what is again. Each tick.
    pub(super) fn watch_leases(&mut self, context: &mut Context<Self>) {
        if self.territory.is_sole() {
            return;
        }
        let lapsed = self.territory.lapse();
        if !lapsed.is_empty() {
            log::warn!(
                "the leases of {} partitions ran out or were refused: their endpoints are left alone",
                lapsed.len()
            );
            self.abort(&lapsed.iter().map(|lease| lease.partition).collect());
        }
        let again = self.territory.trusted_again();
        if !again.is_empty() {
            self.gained(again, context);
        }
        let now = self.now();
        for HandOver { leases, busy, until } in &self.territory.leaving {
            let trusted: PartitionSet = leases
                .iter()
                .filter(|lease| self.territory.ownership.trusts(lease))
                .map(|lease| lease.partition)
                .collect();
            let may_go_on = |endpoint: &EndpointId| now < *until && trusted.contains(Partition::of(*endpoint));
            self.cut_off(busy.iter().filter(|endpoint| !may_go_on(endpoint)));
        }
        self.finish_handing_over();
    }

    /// An endpoint's actor has ended.
    pub(super) fn has_left(&mut self, endpoint: EndpointId) {
        let mut is_free = false;
        for hand_over in &mut self.territory.leaving {
            is_free |= hand_over.busy.remove(&endpoint) && hand_over.busy.is_empty();
        }
        if is_free {
            self.finish_handing_over();
        }
    }

    fn finish_handing_over(&mut self) {
        let now = self.now();
        let is_over = |hand_over: &mut HandOver| hand_over.busy.is_empty() || now >= hand_over.until + CUT_OFF_AFTER;
        let over: Vec<HandOver> = self.territory.leaving.extract_if(.., is_over).collect();
        let mut free = Vec::new();
        for HandOver { leases, busy, .. } in over {
            if !busy.is_empty() {
                log::error!("{} actors have not ended, and their partitions are handed over", busy.len());
            }
            free.extend(leases);
        }
        if free.is_empty() {
            return;
        }
        for lease in &free {
            self.territory.ownership.withdraw(lease);
        }
        (self.engine.handed_over)(free);
    }

    /// Ends all actors of these partitions as they stand.
    fn abort(&mut self, partitions: &PartitionSet) {
        if partitions.is_empty() {
            return;
        }
        for endpoint in self.actors_of(partitions) {
            self.leave(endpoint, Tell::Abort);
        }
        self.forget(partitions);
    }

    fn cut_off<'a>(&self, busy: impl Iterator<Item = &'a EndpointId>) {
        for route in busy.filter_map(|endpoint| self.routes.get(endpoint)) {
            route.address().do_send(Tell::Abort);
        }
    }

    fn actors_of(&self, partitions: &PartitionSet) -> Vec<EndpointId> {
        let is_of = |endpoint: &&EndpointId| partitions.contains(Partition::of(**endpoint));
        self.routes.keys().filter(is_of).copied().collect()
    }

    /// Routes nothing to an actor any more, and tells it to end.
    fn leave(&mut self, endpoint: EndpointId, how: Tell) {
        let Some(route) = self.routes.get_mut(&endpoint) else { return };
        let (address, generation) = (route.address().clone(), route.generation());
        // It must hear this, however full its mailbox is.
        address.do_send(how);
        *route = Route::Leaving { address, generation, wake: false };
    }

    /// Nothing of these partitions is waited for any more.
    fn forget(&mut self, partitions: &PartitionSet) {
        if partitions.is_empty() {
            return;
        }
        self.sleeping.forget(partitions);
        self.nudges.retain(|endpoint| !partitions.contains(Partition::of(*endpoint)));
        self.panics.retain(|endpoint, _| !partitions.contains(Partition::of(*endpoint)));
        self.troubled.retain(|endpoint, _| !partitions.contains(Partition::of(*endpoint)));
    }
}
