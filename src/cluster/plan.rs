//! What a node holds and what it does next about it: decided here, without a
//! clock, a thread or a store. `keeper` carries it out.
//!
//! A lease is in [`Ownership`] from when the store has granted it until it is
//! refused, given up, or not renewed in time. One that was not renewed in time
//! may still be this node's: it is named in the next renewal, which says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::shares::{self, Balance};
use crate::cluster::{Move, Ownership};
use crate::domain::{Monotonic, NodeId, Partition};
use crate::store::{Lease, Renewed};

/// How long the engine has to finish what is in flight in a partition that is
/// given up. It takes less; this is for when nothing is heard of it.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How often a node looks who else is there and what is free, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When what failed, or gave less than was there, is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What the store is to be asked next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// To renew these.
    Renew(Vec<Lease>),
    /// To renew nothing: only to say that this node lives, and to hear of the
    /// others.
    Look,
    /// To take up to so many that are free.
    Acquire(usize),
    /// To give these up.
    Release(Vec<Lease>),
}

struct Held {
    lease: Lease,
    until: Monotonic,
    /// Whether the engine knows of it.
    is_told: bool,
    /// Until when the engine finishes what is in flight, to give it up then.
    handing_over: Option<Monotonic>,
}

/// See the module.
pub(super) struct Plan {
    node: NodeId,
    ownership: Ownership,
    term: Duration,
    held: BTreeMap<Partition, Held>,
    /// Withdrawn, and not yet given up in the store.
    releasing: Vec<Lease>,
    /// Who lived when the store was last asked.
    nodes: Vec<NodeId>,
    /// How many partitions were free then.
    free: usize,
    renew_at: Monotonic,
    look_at: Monotonic,
    /// Nothing is asked before, because the last thing failed.
    not_before: Monotonic,
    is_leaving: bool,
    is_held: bool,
}

impl Plan {
    pub(super) fn new(node: NodeId, ownership: Ownership, term: Duration, now: Monotonic) -> Self {
        Self {
            node,
            ownership,
            term,
            held: BTreeMap::new(),
            releasing: Vec::new(),
            nodes: Vec::new(),
            free: 0,
            renew_at: now,
            look_at: now,
            not_before: now,
            is_leaving: false,
            is_held: false,
        }
    }

    /// The same of a node that takes nothing before it is released, if it is held.
    pub(super) fn held(self, is_held: bool) -> Self {
        Self { is_held, ..self }
    }

    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// It takes its share from now on, if it was held.
    pub(super) fn release(&mut self, now: Monotonic) {
        if self.is_held {
            self.is_held = false;
            // So that the others know, and make room.
            self.look_at = now;
        }
    }

    /// How long a lease is trusted, from before it was asked for: shorter than
    /// the store grants it, by more than two clocks differ in running that long.
    fn trust(&self) -> Duration {
        self.term - self.term / 6
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// From now on nothing is taken: what is held is kept for what is in flight, and
    /// given up partition by partition as the engine hands it over.
    pub(super) fn leave(&mut self, now: Monotonic) {
        self.is_leaving = true;
        // So that the others know, and know where to look.
        self.look_at = now;
    }

    /// How many partitions this node works for.
    pub(super) fn owned(&self) -> usize {
        self.held.values().filter(|held| held.is_told).count()
    }

    /// What time alone has brought about.
    pub(super) fn expire(&mut self, now: Monotonic) -> Vec<Move> {
        let (mut lost, mut over) = (Vec::new(), Vec::new());
        for held in self.held.values_mut() {
            let is_over = held.handing_over.is_some_and(|end| now >= end);
            if held.is_told && (now >= held.until || is_over) {
                held.is_told = false;
                lost.push(held.lease);
            }
            // What has run out while it was being given up is not wanted back.
            if held.handing_over.is_some() && !held.is_told {
                over.push(held.lease);
            }
        }
        self.give_up(&over);
        said(Move::Lost, lost)
    }

    /// What the store is to be asked now, if anything.
    pub(super) fn next(&self, now: Monotonic) -> Option<Task> {
        if now < self.not_before {
            return None;
        }
        if now >= self.renew_at {
            return Some(Task::Renew(self.leases()));
        }
        if !self.releasing.is_empty() {
            return Some(Task::Release(self.releasing.clone()));
        }
        if now >= self.look_at {
            return Some(Task::Look);
        }
        self.may_take().map(Task::Acquire)
    }

    /// When to come back if nothing happens, once [`next`](Self::next) has
    /// nothing more.
    pub(super) fn wake_at(&self) -> Monotonic {
        let is_more_to_do = !self.releasing.is_empty() || self.may_take().is_some();
        let asks = if is_more_to_do { self.not_before } else { self.renew_at.min(self.look_at).max(self.not_before) };
        let ends = self.held.values().filter(|held| held.is_told).map(|held| held.until);
        let hand_overs = self.held.values().filter_map(|held| held.handing_over);
        ends.chain(hand_overs).fold(asks, Monotonic::min)
    }

    /// A renewal was answered that named these and was sent then.
    pub(super) fn renewed(&mut self, named: &[Lease], sent: Monotonic, now: Monotonic, answer: &Renewed) -> Vec<Move> {
        self.renew_at = sent + self.term / 3;
        let refused = named.iter().filter(|lease| !answer.kept.contains(lease)).copied().collect();
        let mut moves = self.lose(refused);
        moves.extend(self.grant(&answer.kept, sent, now));
        moves.extend(self.looked(now, answer));
        moves
    }

    /// The store has said who else is there.
    pub(super) fn looked(&mut self, now: Monotonic, answer: &Renewed) -> Vec<Move> {
        // From the answer on, so that a slow store is not asked without a pause.
        self.look_at = now + LOOK_EVERY.min(self.term / 6);
        self.nodes.clone_from(&answer.nodes);
        self.free = answer.owners.iter().filter(|owner| owner.is_none()).count();
        match self.balance() {
            Balance::Shed(surplus) if !self.is_leaving => self.shed(&surplus, now),
            _ => Vec::new(),
        }
    }

    /// So many were asked for, at that time, and these were given.
    pub(super) fn acquired(&mut self, asked: usize, given: &[Lease], sent: Monotonic, now: Monotonic) -> Vec<Move> {
        self.free = self.free.saturating_sub(given.len());
        if given.len() < asked {
            // Others were quicker, or a transaction of the last owner still
            // holds the rest: who knows is asked again, soon.
            self.free = 0;
            self.look_at = self.look_at.min(now + AGAIN_AFTER);
        }
        self.grant(given, sent, now)
    }

    /// These are given up in the store.
    pub(super) fn released(&mut self, released: &[Lease]) {
        self.releasing.retain(|lease| !released.contains(lease));
    }

    /// The store did not do what it was asked; nobody knows whether it will have.
    pub(super) fn failed(&mut self, now: Monotonic) {
        self.not_before = now + AGAIN_AFTER.min(self.term / 12);
    }

    /// Nothing is in flight any more in these partitions that are given up.
    pub(super) fn handed_over(&mut self, leases: &[Lease]) {
        let over: Vec<Lease> = leases
            .iter()
            .filter(|lease| {
                let held = self.held.get(&lease.partition);
                held.is_some_and(|held| held.lease == **lease && (self.is_leaving || held.handing_over.is_some()))
            })
            .copied()
            .collect();
        self.give_up(&over);
    }

    /// Withdraws everything, at once.
    pub(super) fn end(&mut self) {
        self.give_up(&self.leases());
    }

    fn leases(&self) -> Vec<Lease> {
        self.held.values().map(|held| held.lease).collect()
    }

    /// How many free partitions this node should have.
    fn may_take(&self) -> Option<usize> {
        match self.balance() {
            Balance::Take(most) if self.free > 0 && !self.is_leaving && !self.is_held => Some(most),
            _ => None,
        }
    }

    /// What is being handed over does not count any more.
    fn balance(&self) -> Balance {
        let kept: Vec<Partition> =
            self.held.iter().filter(|(_, held)| held.handing_over.is_none()).map(|(partition, _)| *partition).collect();
        shares::balance(self.node, &self.nodes, &kept)
    }

    fn grant(&mut self, leases: &[Lease], sent: Monotonic, now: Monotonic) -> Vec<Move> {
        let until = sent + self.trust();
        let mut gained = Vec::new();
        for lease in leases {
            let held = self.held.entry(lease.partition).or_insert(Held {
                lease: *lease,
                until,
                is_told: false,
                handing_over: None,
            });
            held.lease = *lease;
            held.until = until;
            self.ownership.grant(*lease, until);
            // An answer that took longer than the trust in it is no news.
            if !held.is_told && now < until {
                held.is_told = true;
                gained.push(*lease);
            }
        }
        said(Move::Gained, gained)
    }

    fn lose(&mut self, leases: Vec<Lease>) -> Vec<Move> {
        let mut lost = Vec::new();
        for lease in leases {
            self.ownership.withdraw(&lease);
            // What had run out before was told then.
            if self.held.remove(&lease.partition).is_some_and(|held| held.is_told) {
                lost.push(lease);
            }
        }
        said(Move::Lost, lost)
    }

    fn shed(&mut self, surplus: &[Partition], now: Monotonic) -> Vec<Move> {
        let (mut to_finish, mut unused) = (Vec::new(), Vec::new());
        for partition in surplus {
            let Some(held) = self.held.get_mut(partition) else { continue };
            if held.is_told {
                held.handing_over = Some(now + HAND_OVER);
                to_finish.push(held.lease);
            } else {
                unused.push(held.lease);
            }
        }
        self.give_up(&unused);
        said(Move::HandOver, to_finish)
    }

    /// Withdraws first and releases then: nobody can be trusted twice.
    fn give_up(&mut self, leases: &[Lease]) {
        for lease in leases {
            self.ownership.withdraw(lease);
            self.held.remove(&lease.partition);
            self.releasing.push(*lease);
        }
    }
}

/// Nothing is said of nothing.
fn said(how: fn(Vec<Lease>) -> Move, leases: Vec<Lease>) -> Vec<Move> {
    if leases.is_empty() { Vec::new() } else { vec![how(leases)] }
}
