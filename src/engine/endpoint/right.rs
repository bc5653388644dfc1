//! By what right an actor sends: the lease it was born with, for as long as it
//! is trusted and the actor has not been told to begin nothing more.

use std::cell::Cell;
use std::rc::Rc;

use crate::cluster::Ownership;
use crate::engine::endpoint::step::Sending;
use crate::store::{AttemptKind, Lease};

/// Shared by everything that an actor has under way.
#[derive(Clone)]
pub(super) struct Right {
    ownership: Ownership,
    pub(super) lease: Lease,
    is_given_up: Rc<Cell<bool>>,
    /// Which scheduled attempts the state still wants to begin: those that it handed
    /// out since it last thought better of it.
    order: Rc<Cell<u64>>,
    /// The same of all attempts.
    halts: Rc<Cell<u64>>,
}

impl Right {
    pub(super) fn new(ownership: Ownership, lease: Lease) -> Self {
        Self { ownership, lease, is_given_up: Rc::default(), order: Rc::default(), halts: Rc::default() }
    }

    /// Whether a request may go out at this moment.
    pub(super) fn may_send(&self) -> bool {
        !self.is_given_up.get() && self.ownership.may_send(&self.lease)
    }

    /// Whether this attempt may go out at this moment, however long it has waited for
    /// its place.
    pub(super) fn may_begin(&self, sending: &Sending) -> bool {
        let is_wanted = sending.kind == AttemptKind::Manual || sending.order == self.order.get();
        is_wanted && sending.halts == self.halts.get() && self.may_send()
    }

    /// The state wants nothing of what it handed out by earlier orders, or before it was
    /// halted.
    pub(super) fn go_by(&self, order: u64, halts: u64) {
        self.order.set(order);
        self.halts.set(halts);
    }

    /// Nothing more is to begin.
    pub(super) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    /// Nobody on this node is to work by this lease any more.
    pub(super) fn withdraw(&self) {
        self.give_up();
        self.ownership.withdraw(&self.lease);
    }
}
