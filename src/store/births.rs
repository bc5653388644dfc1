//! What is said of an event once it is durable: to whoever posted it, and to the
//! actors of the endpoints that it goes to. The same for every backend.

use std::sync::Arc;

use crate::domain::{EndpointId, Environment, StoredStatus, Timestamp};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::{AcceptedEvent, Birth, NewEvent, Notice, Payload};

/// What an event's deliveries carry.
pub(in crate::store) fn payload(ids: &IdCodec, key: RowKey, event: &NewEvent) -> Arc<Payload> {
    Arc::new(Payload {
        event: ids.event(key),
        event_type: event.event_type.clone(),
        body: event.body.clone(),
        expires_at: event.times.expires_at,
    })
}

/// How an event's deliveries begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Beginning {
    /// Due as soon as they are there.
    AtOnce,
    /// Due then.
    Later(Timestamp),
}

impl Beginning {
    /// That of an event which is accepted now.
    pub(in crate::store) fn of(event: &NewEvent, now: Timestamp) -> Self {
        event.times.deliver_at.filter(|at| *at > now).map_or(Self::AtOnce, Self::Later)
    }

    /// Where a delivery with this key stands at first, and when it is due. Keys only
    /// grow, and so run ahead of a clock that was set back: what was never tried does
    /// not wait for it, but it is read in this order.
    pub(in crate::store) fn of_delivery(self, key: RowKey) -> (StoredStatus, Timestamp) {
        match self {
            Self::AtOnce => (StoredStatus::Pending, time_of_key(key)),
            Self::Later(at) => (StoredStatus::Retrying, at),
        }
    }
}

/// A delivery's key and number, what it carries, and what it was matched against. Of one
/// that is for later, no more than that it is there.
pub(in crate::store) fn birth(
    ids: &IdCodec,
    endpoint: EndpointId,
    (delivery, number): (RowKey, i64),
    payload: &Arc<Payload>,
    matched: (Environment, i64),
    begins: Beginning,
) -> Notice {
    if let Beginning::Later(_) = begins {
        return Notice::Scheduled(endpoint);
    }
    Notice::Born(Birth {
        endpoint,
        delivery: ids.delivery(delivery),
        payload: Arc::clone(payload),
        created_at: time_of_key(delivery),
        sequence: u64::try_from(number).ok(),
        matched,
    })
}

/// What whoever posted it is told.
pub(in crate::store) fn answer(payload: &Payload, deliveries: usize) -> AcceptedEvent {
    AcceptedEvent { id: payload.event, event_type: payload.event_type.clone(), deliveries: deliveries as u32 }
}
