//! How many bytes of event bodies the node holds in memory for deliveries to
//! come. Beyond it only ids are held, and the bytes are read from the store
//! when they are sent: memory follows configuration, never the backlog.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;
use crate::store::Payload;

/// A node's budget, cheap to clone.
#[derive(Clone)]
pub struct BodyBudget(Arc<Inner>);

struct Inner {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// An event's bytes, counted for as long as anyone holds them.
pub struct HeldPayload {
    payload: Arc<Payload>,
    budget: BodyBudget,
}

impl std::fmt::Debug for HeldPayload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "payload of {}", self.payload.event)
    }
}

impl BodyBudget {
    /// A budget of this many bytes.
    pub fn new(limit_bytes: usize, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { limit_bytes, held_bytes: AtomicUsize::new(0), metrics }))
    }

    /// Counts a payload, if there is room for it.
    pub fn try_hold(&self, payload: &Arc<Payload>) -> Option<Arc<HeldPayload>> {
        let bytes = payload.body.len();
        let took = self.0.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|sum| *sum <= self.0.limit_bytes)
        });
        took.ok()?;
        self.0.metrics.body_bytes_held.inc_by(bytes as i64);
        Some(Arc::new(HeldPayload { payload: Arc::clone(payload), budget: self.clone() }))
    }

    /// What is held now.
    pub fn held_bytes(&self) -> usize {
        self.0.held_bytes.load(Ordering::Relaxed)
    }
}

impl HeldPayload {
    /// The event's part in its deliveries.
    pub fn payload(&self) -> &Arc<Payload> {
        &self.payload
    }
}

impl Drop for HeldPayload {
    fn drop(&mut self) {
        let bytes = self.payload.body.len();
        self.budget.0.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.0.metrics.body_bytes_held.dec_by(bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::domain::EventId;

    #[test]
    fn what_is_let_go_makes_room() {
        let budget = BodyBudget::new(10, Arc::new(Metrics::default()));
        let payload = Arc::new(Payload {
            event: EventId::from_uuid(Uuid::nil()),
            event_type: "a.b".parse().expect("a plain name"),
            body: Bytes::from_static(b"123456"),
            expires_at: None,
        });
        let first = budget.try_hold(&payload).expect("6 of 10");
        assert!(budget.try_hold(&payload).is_none(), "12 of 10");
        assert_eq!(budget.held_bytes(), 6);
        drop(first);
        assert!(budget.try_hold(&payload).is_some());
    }
}
