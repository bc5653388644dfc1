//! What is held of the store's queue: births as they are told, pages as they are
//! read, and when to read the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{FAR_RETRY_LEAD, RETRY_PAGE, Ready, Stage, State};
use crate::domain::{DeliveryId, EventId, Moment, StoredStatus};
use crate::engine::budget::HeldPayload;
use crate::engine::endpoint::step::{Effect, Fresh};
use crate::store::{AttemptKind, Due, Lane, Recorded};

/// Deliveries of a lane in memory while the breaker is open.
const WINDOW_WHILE_OPEN: usize = 4;

impl State {
    /// Whether any of these, which the store showed as new, is neither held nor
    /// settled, and would not be read either as things stand.
    pub fn overlooks(&self, deliveries: &[DeliveryId]) -> bool {
        !self.is_ending() && !self.is_holding() && deliveries.iter().any(|delivery| self.is_overlooked(*delivery))
    }

    fn is_overlooked(&self, delivery: DeliveryId) -> bool {
        if self.known.contains(&delivery) || self.meanwhile.contains_key(&delivery) || self.settled.contains(delivery) {
            return false;
        }
        let reading = self.lanes.of(Lane::Fresh);
        if self.order.gives_places() {
            // All that is without its place is looked for.
            return if reading.under_way { !reading.missed } else { !reading.more };
        }
        let is_ahead = !self.is_behind(delivery);
        // What is under way may have been read before this was there.
        let will_be_read = if reading.under_way { reading.missed } else { reading.more };
        !(is_ahead && will_be_read)
    }

    /// Whether reading on would pass this one by.
    fn is_behind(&self, delivery: DeliveryId) -> bool {
        !self.read_anew && self.read_up_to.is_some_and(|up_to| (delivery.made_at(), delivery) <= up_to)
    }

    pub(super) fn take_sightings(&mut self, deliveries: &[DeliveryId]) {
        if self.is_ending() || self.is_holding() {
            return;
        }
        let overlooked: Vec<DeliveryId> =
            deliveries.iter().copied().filter(|delivery| self.is_overlooked(*delivery)).collect();
        if overlooked.iter().any(|delivery| self.is_behind(*delivery)) {
            self.read_fresh_anew();
        } else if !overlooked.is_empty() {
            self.lane(Lane::Fresh).leave_to_store();
        }
    }

    pub(super) fn remember_settled(&mut self, delivery: DeliveryId, recorded: Recorded, now: Moment) {
        // An attempt by hand may leave a delivery as new as it was.
        if self.fence.is_some() && recorded != Recorded::Written(StoredStatus::Pending) {
            self.settled.remember(delivery, now.wall);
        }
    }

    pub(super) fn take_births(&mut self, births: Vec<Fresh>) {
        if self.order.gives_places() {
            // The store says where their places are.
            self.lane(Lane::Fresh).leave_to_store();
            return;
        }
        for birth in births {
            let reading = self.lanes.of(Lane::Fresh);
            if reading.under_way && !reading.missed && self.meanwhile.len() < self.window() {
                self.meanwhile.insert(birth.delivery, birth);
            } else if reading.more || reading.under_way {
                // What is older stands in the store and goes first.
                self.lane(Lane::Fresh).leave_to_store();
            } else {
                self.take_birth(birth);
            }
        }
    }

    /// Takes a birth when everything born before it has been taken.
    fn take_birth(&mut self, birth: Fresh) {
        // News of what this node accepts comes once and in order. Of what others accept
        // it comes out of turn, and perhaps when it was read and settled long ago.
        let is_new = match self.fence {
            Some(_) => self.settled.excludes(birth.delivery),
            None => self.newest.is_none_or(|newest| birth.delivery > newest),
        };
        if self.known.contains(&birth.delivery) {
            // A page has shown it before the news came.
        } else if !is_new {
            // Only the store knows.
            self.read_fresh_anew();
        } else if self.fresh.len() >= self.window() {
            self.lane(Lane::Fresh).leave_to_store();
        } else {
            self.known.insert(birth.delivery);
            self.newest = self.newest.max(Some(birth.delivery));
            self.read_up_to = self.read_up_to.max(Some((birth.delivery.made_at(), birth.delivery)));
            self.fresh.push_back(birth.into());
        }
    }

    /// Takes what was born while a page was read that reached the lane's end.
    /// `settled` was finished in the meantime and needs nothing more.
    fn take_meanwhile(&mut self, settled: &HashSet<DeliveryId>) {
        for (delivery, birth) in std::mem::take(&mut self.meanwhile) {
            if self.lane(Lane::Fresh).more {
                // The window is full, or one was announced late.
                return;
            }
            if !settled.contains(&delivery) {
                self.take_birth(birth);
            }
        }
    }

    pub(super) fn take_page(
        &mut self,
        lane: Lane,
        limit: usize,
        due: Vec<Due>,
        payloads: &HashMap<EventId, Arc<HeldPayload>>,
        now: Moment,
    ) {
        if self.lanes.of(lane).is_outdated {
            self.lane(lane).finished(true);
            if lane == Lane::Fresh {
                self.meanwhile.clear();
                self.read_anew = false;
            }
            return;
        }
        let mut more = due.len() >= limit;
        if lane == Lane::Retry {
            self.far_retry = None;
        }
        let settled = std::mem::take(&mut self.lane(lane).settled);
        for due in due {
            self.newest = self.newest.max(Some(due.delivery));
            if settled.contains(&due.delivery) {
                // An attempt by hand may have been asked for before the one
                // that was settled, and wait still.
                more |= lane == Lane::Manual;
                continue;
            }
            match lane {
                Lane::Fresh if self.fresh.len() >= self.window() => more = true,
                Lane::Fresh => {
                    self.read_up_to = self.read_up_to.max(Some((due.due_at, due.delivery)));
                    if self.known.insert(due.delivery) {
                        let born = || self.meanwhile.get(&due.delivery)?.payload.clone();
                        let payload = payloads.get(&due.event).cloned().or_else(born);
                        self.fresh.push_back(Ready { payload, ..due.into() });
                    }
                }
                Lane::Retry => {
                    let at = now.anchor(due.due_at);
                    // Never what would be read again at once.
                    let is_far = at > now.monotonic + self.limits.passivate_after.max(2 * FAR_RETRY_LEAD);
                    if is_far && !self.known.contains(&due.delivery) {
                        // The rest of the page is later still.
                        self.far_retry = Some(at);
                        more = false;
                        break;
                    }
                    if self.known.insert(due.delivery) {
                        self.retries.insert((at, due.delivery), due.into());
                    } else if let Some(flight) = self.flights.get_mut(&due.delivery)
                        && flight.kind == AttemptKind::Manual
                    {
                        // Its place in the schedule, which it goes back to.
                        flight.scheduled.get_or_insert(at);
                    }
                }
                Lane::Manual if self.manual.len() >= self.window() => more = true,
                Lane::Manual => {
                    let flight =
                        self.flights.get_mut(&due.delivery).filter(|flight| flight.kind == AttemptKind::Manual);
                    if let Some(flight) = flight {
                        flight.asked_again |= matches!(flight.stage, Stage::Recording(_));
                    } else if !self.manual.iter().any(|ready| ready.delivery == due.delivery) {
                        self.manual.push_back(due.into());
                    }
                }
            }
        }
        more |= lane == Lane::Retry && self.trim_retries();
        let is_end = !more;
        if lane == Lane::Fresh && is_end && self.lane(lane).is_continued {
            // The end of the lane, unless the clock was set back meanwhile and
            // something stands before the place it was read from: one look at
            // its beginning tells. What was born meanwhile will be in it.
            self.read_up_to = None;
            more = true;
        }
        // What was left to the store while the page was read came behind what
        // was kept in `meanwhile`, which is therefore taken first.
        let missed = self.lane(lane).finished(more);
        if lane == Lane::Fresh {
            let read_anew = std::mem::take(&mut self.read_anew);
            if !is_end {
                self.meanwhile.clear();
            } else if !more {
                self.take_meanwhile(&settled);
            }
            if read_anew {
                self.read_up_to = None;
            }
        }
        if missed {
            self.lane(lane).leave_to_store();
        }
    }

    /// Most deliveries of a lane in memory. Of an endpoint that gets one probe at a
    /// time, no more than a few.
    pub(super) fn window(&self) -> usize {
        if self.gate.is_open() { self.limits.window.min(WINDOW_WHILE_OPEN) } else { self.limits.window }
    }

    /// Leaves to the store what the window has no room for any more.
    pub(super) fn shrink(&mut self) {
        let window = self.window();
        if self.fresh.len() > window {
            for ready in self.fresh.split_off(window) {
                self.known.remove(&ready.delivery);
            }
            self.read_fresh_anew();
        }
        if self.trim_retries() {
            self.lane(Lane::Retry).leave_to_store();
        }
    }

    /// Leaves the latest retries to the store when there are too many.
    pub(super) fn trim_retries(&mut self) -> bool {
        let mut trimmed = false;
        while self.retries.len() > self.window() {
            if let Some((_, ready)) = self.retries.pop_last() {
                self.known.remove(&ready.delivery);
                trimmed = true;
            }
        }
        trimmed
    }

    pub(super) fn read_ahead(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.far_retry.is_some_and(|due| now.monotonic >= due - FAR_RETRY_LEAD) {
            self.far_retry = None;
            self.lane(Lane::Retry).leave_early_to_store();
        }
        for lane in [Lane::Manual, Lane::Fresh, Lane::Retry] {
            let has_room = self.has_room(lane);
            if !self.may_read(lane) || !self.lane(lane).begin(has_room, now.monotonic) {
                continue;
            }
            if lane == Lane::Fresh && self.order.gives_places() {
                self.lane(lane).is_continued = false;
                effects.push(self.order.arrange());
                continue;
            }
            let after = self.read_up_to.filter(|_| lane == Lane::Fresh);
            self.lane(lane).is_continued = after.is_some();
            let limit = match after {
                Some(_) => self.window(),
                // Retries come in smaller pages: most wait for hours. What is
                // held or in flight is unfinished in the store, too: the page
                // must reach past it.
                None if lane == Lane::Retry => {
                    // In order, new deliveries come this way, too.
                    let page =
                        if self.order.wanted().is_some() { self.window() } else { RETRY_PAGE.min(self.window()) };
                    page + self.retries.len() + self.flights.len()
                }
                None => self.window() + self.flights.len(),
            };
            let only_placed = lane == Lane::Retry && self.order.wanted().is_some();
            effects.push(Effect::ReadPage { lane, after, limit, only_placed });
        }
    }
}

impl From<Fresh> for Ready {
    fn from(birth: Fresh) -> Self {
        Self {
            delivery: birth.delivery,
            event: birth.event,
            payload: birth.payload,
            due_at: birth.delivery.made_at(),
            attempt_count: 0,
            scheduled_attempts: 0,
            is_placed: false,
            sequence: birth.sequence,
        }
    }
}

impl From<Due> for Ready {
    fn from(due: Due) -> Self {
        Self {
            delivery: due.delivery,
            event: due.event,
            payload: None,
            due_at: due.due_at,
            attempt_count: due.attempt_count,
            scheduled_attempts: due.scheduled_attempts,
            is_placed: due.place.is_some(),
            sequence: due.sequence,
        }
    }
}
