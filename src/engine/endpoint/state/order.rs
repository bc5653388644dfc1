//! The order that the endpoint wants, and the one its deliveries are in. Where it
//! wants one, what was accepted is first given its place by the store, which says of
//! it what is due; only then is it sent. Messages of births are no more than a reason
//! to look.

use super::{Lane, State};
use crate::domain::{EventOrder, Monotonic};
use crate::engine::endpoint::step::Plan;
use crate::store::Placed;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    wanted: Option<EventOrder>,
    /// As far as is known. While it is another, nothing is sent by the schedule.
    stored: Option<EventOrder>,
    /// When the first is due that was seen in the store without its place.
    pub(super) unplaced_at: Option<Monotonic>,
    /// It was due, and what stands behind it in the store is read once it has its
    /// place.
    is_due: bool,
}

impl Order {
    pub(super) fn wanted(&self) -> Option<&EventOrder> {
        self.wanted.as_ref()
    }

    /// Whether what the store has is in the order that is wanted.
    pub(super) fn is_stored(&self) -> bool {
        self.wanted == self.stored
    }

    /// Whether what was accepted must be given its place before anything else.
    pub(super) fn gives_places(&self) -> bool {
        self.wanted.is_some() || !self.is_stored()
    }
}

impl State {
    /// The settings were read. What is held by another order, or from before something
    /// was discarded by hand, is left to the store.
    pub(super) fn adopt_order(&mut self, plan: &Plan) {
        let before = self.plan.as_ref();
        let has_changed =
            before.is_some_and(|before| before.discards != plan.discards) || self.order.wanted != plan.order;
        self.order.wanted.clone_from(&plan.order);
        self.order.stored.clone_from(&plan.stored_order);
        if has_changed || !self.order.is_stored() {
            self.leave_all_to_store();
        }
    }

    /// What became of what had no place.
    pub(super) fn take_arranged(&mut self, order: Option<EventOrder>, is_page_full: bool, placed: Placed) {
        let was_stored = self.order.is_stored();
        let more = match placed {
            Placed::Fenced => {
                self.fenced = true;
                return;
            }
            Placed::Undone { more } => {
                if !more {
                    self.order.stored = order;
                }
                true
            }
            Placed::Done(count) => {
                self.order.stored = order;
                if count > 0 || std::mem::take(&mut self.order.is_due) {
                    self.lane(Lane::Retry).leave_early_to_store();
                }
                is_page_full
            }
        };
        if self.order.is_stored() && !was_stored {
            self.lane(Lane::Retry).leave_early_to_store();
        }
        let more = more || !self.order.is_stored();
        let missed = self.lane(Lane::Fresh).finished(more);
        self.read_anew = false;
        if missed {
            self.lane(Lane::Fresh).leave_to_store();
        }
    }

    /// When what was seen without its place is due, it is given one.
    pub(super) fn place_what_is_due(&mut self, now: Monotonic) {
        if self.order.unplaced_at.take_if(|due| now >= *due).is_some() {
            self.order.is_due = true;
            self.lane(Lane::Fresh).leave_to_store();
        }
    }
}
