//! When there is nothing to do for so long that memory is better used otherwise.

use super::{LANES, State};
use crate::domain::{Moment, Monotonic, Timestamp};
use crate::engine::endpoint::step::Effect;
use crate::store::Lane;

impl State {
    pub(super) fn consider_rest(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let next = self.rest_until();
        let soon = |due: Monotonic| due <= now.monotonic + self.limits.passivate_after;
        if next.is_none_or(|next| next.is_some_and(soon)) {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now.monotonic);
        if now.monotonic >= since + self.limits.passivate_after {
            // Asked again after as long, in case nobody hears.
            self.idle_since = Some(now.monotonic);
            effects.push(Effect::Rest);
        }
    }

    /// When there is something to do again; `Some(None)` is never, `None` is
    /// now.
    pub fn rest_until(&self) -> Option<Option<Monotonic>> {
        let read = |lane: Lane| {
            let reading = self.lanes.of(lane);
            !reading.under_way && !reading.is_wanted(self.has_room(lane))
        };
        let at_rest = self.flights.is_empty()
            && self.fresh.is_empty()
            && self.manual.is_empty()
            && (self.is_holding() || LANES.into_iter().all(read))
            && !self.reading_settings
            && !self.settings_changed;
        let gate = self.gate.not_before();
        let next_retry = self.retries.first_key_value().map(|((due, _), _)| gate.map_or(*due, |gate| gate.max(*due)));
        at_rest.then(|| [next_retry, self.far_retry, self.order.unplaced_at].into_iter().flatten().min())
    }

    /// When the first of what waits for the gate to open was due; `None` while it is
    /// not the gate that is waited for.
    pub fn due_behind_gate(&self) -> Option<Timestamp> {
        let ((due, _), first) = self.retries.first_key_value()?;
        self.gate.not_before().filter(|opens_at| opens_at > due).map(|_| first.due_at)
    }
}
