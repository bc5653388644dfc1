//! What is said of an event once it is durable: to whoever posted it, and to the
//! actors of the endpoints that it goes to. The same for every backend.

use std::sync::Arc;

use crate::domain::{EndpointId, Environment};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::{AcceptedEvent, Birth, NewEvent, Notice, Payload};

/// What an event's deliveries carry.
pub(in crate::store) fn payload(ids: &IdCodec, key: RowKey, event: &NewEvent) -> Arc<Payload> {
    Arc::new(Payload { event: ids.event(key), event_type: event.event_type.clone(), body: event.body.clone() })
}

/// The event's deliveries, which follow it in key, and what they were matched
/// against.
pub(in crate::store) fn births<'a>(
    ids: &'a IdCodec,
    event: RowKey,
    endpoints: &'a [EndpointId],
    payload: &'a Arc<Payload>,
    matched: (Environment, i64),
) -> impl Iterator<Item = Notice> + 'a {
    endpoints.iter().zip(event + 1..).map(move |(endpoint, delivery)| {
        Notice::Born(Birth {
            endpoint: *endpoint,
            delivery: ids.delivery(delivery),
            payload: Arc::clone(payload),
            created_at: time_of_key(delivery),
            matched,
        })
    })
}

/// What whoever posted it is told.
pub(in crate::store) fn answer(payload: &Payload, deliveries: usize) -> AcceptedEvent {
    AcceptedEvent { id: payload.event, event_type: payload.event_type.clone(), deliveries: deliveries as u32 }
}
