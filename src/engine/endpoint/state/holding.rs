//! What is kept of the queue when nothing is to be sent, or when what is known of it may
//! be wrong: nothing but what is in flight. The store has it all.

use std::collections::HashSet;

use super::State;
use crate::domain::DeliveryId;

impl State {
    /// The settings are read again, and until then nothing is believed of what cannot be
    /// compared with any: nothing would tell whether it was read before they changed.
    pub(super) fn doubt_settings(&mut self) {
        self.settings_changed = true;
        if self.plan.is_none() {
            self.leave_all_to_store();
        }
    }

    /// Keeps nothing but what is in flight, and begins nothing of what was handed out.
    pub(super) fn leave_all_to_store(&mut self) {
        self.gate.countermand();
        let in_flight: HashSet<DeliveryId> = self.flights.keys().copied().collect();
        self.known.retain(|delivery| in_flight.contains(delivery));
        self.fresh.clear();
        self.meanwhile.clear();
        self.read_up_to = None;
        self.retries.clear();
        self.far_retry = None;
        self.manual.clear();
        self.order.unplaced_at = None;
        for reading in self.lanes.0.iter_mut() {
            reading.leave_all_to_store();
        }
    }
}
