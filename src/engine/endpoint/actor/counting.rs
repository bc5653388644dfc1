//! What the actor has counted for people who look, once it is durable.

use std::collections::HashMap;

use super::EndpointActor;
use crate::domain::{DeliveryId, DiscardReason, Ending, EventType, StoredStatus};
use crate::engine::endpoint::state::Input;
use crate::engine::statistics::Attempted;
use crate::store::{Payload, Record, Verdict};

/// The types of what is on its way: a record of an outcome does not say it.
#[derive(Default)]
pub(super) struct OnTheirWay(HashMap<DeliveryId, EventType>);

impl OnTheirWay {
    pub(super) fn begins(&mut self, delivery: DeliveryId, payload: &Payload) {
        self.0.insert(delivery, payload.event_type.clone());
    }

    /// Of what was not sent after all, or is written, there is no outcome to come.
    pub(super) fn hears(&mut self, input: &Input) {
        if let Input::Unsent(delivery) | Input::PayloadGone(delivery) | Input::Recorded { delivery, .. } = input {
            self.0.remove(delivery);
        }
    }
}

impl EndpointActor {
    /// An attempt's outcome is durable.
    pub(super) fn count(&self, record: &Record, status: StoredStatus) {
        let event_type = self.on_their_way.0.get(&record.delivery);
        let Some((event_type, target)) = event_type.zip(self.target.as_ref()) else { return };
        let ending = match (status, record.verdict) {
            (StoredStatus::Delivered, Verdict::Delivered) => {
                Some(Ending::Delivered(record.finished_at.since(record.delivery.made_at())))
            }
            (StoredStatus::RetriesExhausted, Verdict::Exhausted) => Some(Ending::Exhausted),
            (StoredStatus::Discarded(DiscardReason::Expired), Verdict::Expired) => Some(Ending::Expired),
            _ => None,
        };
        let attempted = Attempted {
            scope: target.partner,
            endpoint: self.endpoint,
            event_type,
            outcome: &record.outcome,
            took: record.duration,
            ending,
        };
        self.engine.statistics.attempted(self.engine.clock.wall(), &attempted);
    }

    /// What is to be counted once a delivery is discarded that was about to be sent.
    pub(super) fn counts_expiry(&self, delivery: DeliveryId) -> impl FnOnce() + use<> {
        let event_type = self.on_their_way.0.get(&delivery).cloned();
        let scope = self.target.as_ref().map(|target| target.partner);
        let (engine, endpoint) = (self.engine.clone(), self.endpoint);
        move || {
            if let Some((event_type, scope)) = event_type.zip(scope) {
                engine.statistics.expired(engine.clock.wall(), scope, endpoint, &event_type);
            }
        }
    }
}
