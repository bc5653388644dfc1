//! What is asked of the store when events are accepted, and what it answers.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::domain::{DeliveryTimes, EventId, EventType};
use crate::store::{Judged, Subscriptions};

/// One event as it was posted, already validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its kind.
    pub event_type: EventType,
    /// The very bytes that were posted.
    pub body: Bytes,
    /// When it is to be delivered.
    pub times: DeliveryTimes,
    /// Whether its payload is to be erased once all is delivered.
    pub is_unretained: bool,
    /// Whom it is for by the filters of a snapshot, if that was worked out
    /// before. Otherwise it is when somebody asks, from the bytes.
    pub(in crate::store) judged: Option<Judged>,
}

impl NewEvent {
    /// An event that no filter was asked about yet.
    pub fn new(event_type: EventType, body: Bytes) -> Self {
        Self { event_type, body, times: DeliveryTimes::default(), is_unretained: false, judged: None }
    }

    /// The same, to be delivered then.
    #[must_use]
    pub fn delivered_at(mut self, times: DeliveryTimes) -> Self {
        self.times = times;
        self
    }

    /// The same, with its payload kept, or erased once all is delivered.
    #[must_use]
    pub fn unretained(mut self, is_unretained: bool) -> Self {
        self.is_unretained = is_unretained;
        self
    }

    /// The same, with the snapshot's filters asked, if it has any: where it still
    /// holds when the transaction looks, nobody reads the bytes again. `event` is
    /// what they read as.
    #[must_use]
    pub fn judged_by(mut self, subscriptions: &Subscriptions, event: &Value) -> Self {
        self.judged = subscriptions.judge(&self.event_type, event);
        self
    }
}

/// One request's events: accepted together or not at all.
pub struct Accept {
    /// What the events were matched against. If it is no longer current when
    /// the transaction looks, they are matched anew there.
    pub subscriptions: Arc<Subscriptions>,
    /// In the order they were posted.
    pub events: Vec<NewEvent>,
    /// The request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<Idempotency>,
    /// What the request was recognised and checked by, if that may have changed.
    pub relied_on: Option<ReliedOn>,
}

/// Versions of what was kept in memory when a request was let in. If they are no
/// longer current when the transaction looks, it has to be let in anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReliedOn {
    /// Of the keys.
    pub keys: i64,
    /// Of the environment's catalog.
    pub catalog: i64,
}

/// What makes a repeated request the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// The key as it came, where it came in quotes: an earlier release kept it with them.
    pub quoted: Option<String>,
    /// A digest of the body and the query: the same key with another digest
    /// is another request.
    pub request: [u8; 32],
    /// What the answer says beside the accepted events (a batch's refused
    /// lines), kept and given back unread.
    pub refused: Bytes,
}

/// One event that is now durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub event_type: EventType,
    /// How many deliveries it has.
    pub deliveries: u32,
}

/// What became of one [`Accept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The events are durable.
    New(Vec<AcceptedEvent>),
    /// The same request was accepted before; this is what it was told.
    Repeated {
        /// As they were accepted then.
        events: Vec<AcceptedEvent>,
        /// What the first answer said beside them.
        refused: Bytes,
    },
    /// The key was used for another request.
    KeyReused,
    /// Nothing was accepted: what the request relied on has changed.
    Outdated,
}
