//! The order that the endpoint wants, and the one its deliveries are in. Where it
//! wants one, what was accepted is first given its place by the store, which says of
//! it what is due; only then is it sent. Messages of births are no more than a reason
//! to look.

use super::{Flight, Lane, Stage, State};
use crate::domain::{EventOrder, Moment, Monotonic};
use crate::engine::endpoint::step::{Effect, Plan};
use crate::store::Placed;

/// See the module.
#[derive(Debug)]
pub(super) struct Order {
    wanted: Option<EventOrder>,
    /// What the store has is in that order, as far as is known. While it is not,
    /// nothing is sent by the schedule.
    is_stored: bool,
    /// The order that the store is putting it in.
    arranging: Option<Option<EventOrder>>,
    /// When something that is for later should have its place.
    pub(super) unplaced_at: Option<Monotonic>,
}

impl Default for Order {
    fn default() -> Self {
        Self { wanted: None, is_stored: true, arranging: None, unplaced_at: None }
    }
}

impl Order {
    pub(super) fn wanted(&self) -> Option<&EventOrder> {
        self.wanted.as_ref()
    }

    /// Whether what the store has is in the order that is wanted.
    pub(super) fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// The store is to put what it has in the order that is wanted, and says so with
    /// [`Input::Arranged`] or [`Input::PageFailed`].
    pub(super) fn arrange(&mut self) -> Effect {
        self.arranging = Some(self.wanted.clone());
        Effect::Arrange { order: self.wanted.clone(), is_stored: self.is_stored }
    }

    /// It did, or nobody knows whether.
    pub(super) fn arranged(&mut self) {
        self.arranging = None;
    }

    /// Whether what was accepted must be given its place before anything else.
    pub(super) fn gives_places(&self) -> bool {
        self.wanted.is_some() || !self.is_stored
    }
}

impl State {
    /// The settings were read. What is held by another order, or from before something
    /// was discarded or brought forward by hand, is left to the store.
    pub(super) fn adopt_order(&mut self, plan: &Plan, now: Moment) {
        // Whoever has no settings yet is not told of what is discarded.
        let was_discarded = self.plan.as_ref().map_or(0, |before| before.discards) != plan.discards;
        // What is held has times that do not hold any more.
        let was_hurried = self.plan.as_ref().map_or(0, |before| before.hurries) != plan.hurries;
        let has_changed = was_discarded || was_hurried || self.order.wanted != plan.order;
        self.order.wanted.clone_from(&plan.order);
        // The store may be about to undo what it has of this order.
        let is_arranged = self.order.arranging.as_ref().is_none_or(|order| *order == plan.order);
        self.order.is_stored = plan.is_in_order && is_arranged;
        if was_discarded {
            // News of a birth may come after that of its end.
            self.settled.begin_anew(now.wall);
            // News that an outcome was written may do so, too.
            let recording = |flight: &&mut Flight| matches!(flight.stage, Stage::Recording(_));
            self.flights.values_mut().filter(recording).for_each(|flight| flight.may_be_discarded = true);
        }
        if has_changed || !self.order.is_stored {
            self.leave_all_to_store();
        }
    }

    /// What became of what had no place.
    pub(super) fn take_arranged(
        &mut self,
        order: Option<EventOrder>,
        is_page_full: bool,
        next: Option<Monotonic>,
        placed: Placed,
    ) {
        self.order.arranged();
        let (was_stored, is_wanted) = (self.order.is_stored, self.order.wanted == order);
        let more = match placed {
            Placed::Fenced => {
                self.fenced = true;
                return;
            }
            Placed::Undone { more } => {
                self.order.is_stored = is_wanted && !more;
                true
            }
            Placed::Done(count) => {
                self.order.is_stored = is_wanted;
                if count > 0 {
                    self.lane(Lane::Retry).leave_early_to_store();
                }
                self.order.unplaced_at = next;
                is_page_full
            }
        };
        let is_settled = self.order.is_stored && was_stored;
        if !is_settled {
            self.lane(Lane::Retry).leave_early_to_store();
        }
        let more = more || !is_settled;
        let missed = self.lane(Lane::Fresh).finished(more);
        self.read_anew = false;
        if missed {
            self.lane(Lane::Fresh).leave_to_store();
        }
    }

    /// Something is for later, and perhaps earlier than what was known.
    pub(super) fn look_for_later(&mut self) {
        self.lane(Lane::Retry).leave_early_to_store();
        if self.order.gives_places() {
            self.lane(Lane::Fresh).leave_to_store();
        }
    }

    /// What is for later is given its place when it is due.
    pub(super) fn place_what_is_due(&mut self, now: Monotonic) {
        if self.order.unplaced_at.take_if(|due| now >= *due).is_some() {
            self.lane(Lane::Fresh).leave_to_store();
        }
    }
}
