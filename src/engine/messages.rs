//! What the engine's actors say to each other, and what others may ask.

use actix::prelude::*;
use bytes::Bytes;

use crate::cluster::{Hint, Move};
use crate::domain::{Attempt, DeliveryId, EndpointId, EventId, EventType, Monotonic};
use crate::engine::endpoint::state::{Fresh, Snapshot};
use crate::store::Lane;

/// To the supervisor: what a commit made true.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Notices(pub Vec<News>);

/// One [`Notice`](crate::store::Notice), with its bytes counted.
pub(in crate::engine) enum News {
    /// A delivery was born.
    Born(EndpointId, Fresh),
    /// Settings or secrets changed.
    Changed(EndpointId),
    /// An attempt was asked for.
    AttemptRequested(EndpointId),
    /// A delivery was made that is due later.
    Scheduled(EndpointId),
}

/// To the supervisor: partitions come or go. It is never lost, unlike news.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved(pub Move);

/// To the supervisor: what other nodes say of endpoints that may be ours.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Hinted(pub Vec<Hint>);

/// To the supervisor: stop sending, let what is in flight end, answer when all
/// actors are done.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// To the supervisor: what is an endpoint's actor doing? `None` when it sleeps.
#[derive(Message)]
#[rtype(result = "Option<Snapshot>")]
pub struct Inspect(pub EndpointId);

/// To the supervisor: send this body now, past everything that waits, and say
/// what came of it. Nothing of it is stored, and so any node may do it.
#[derive(Message)]
#[rtype(result = "TestOutcome")]
pub struct SendTest {
    /// Where to.
    pub endpoint: EndpointId,
    /// The `webhook-id` to use.
    pub event: EventId,
    /// The kind of event that the body is.
    pub event_type: EventType,
    /// What to send.
    pub body: Bytes,
}

/// What came of a [`SendTest`].
#[derive(Debug, Clone)]
pub enum TestOutcome {
    /// It was sent.
    Attempted(Attempt),
    /// There is no such endpoint any more.
    Gone,
    /// The engine is stopping, or the store cannot be read.
    Unavailable,
}

/// Tells one life of an endpoint's actor from the next.
pub(in crate::engine) type Generation = u64;

/// To an endpoint's actor: what happened.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) enum Tell {
    /// Deliveries were born.
    Born(Vec<Fresh>),
    /// The store has work.
    Hint(Lane),
    /// The store shows that these were born.
    Sighted(Vec<DeliveryId>),
    /// The settings or secrets may have changed.
    Changed,
    /// End when what is in flight has ended.
    Drain,
    /// End now, whatever is under way: the endpoint is another node's.
    Abort,
    /// End now, if there still is nothing to do: the supervisor routes nothing
    /// here until it hears [`Ended`] or [`Staying`].
    Rest,
}

/// To an endpoint's actor: see [`Inspect`].
#[derive(Message)]
#[rtype(result = "Snapshot")]
pub(in crate::engine) struct Look;

/// To the supervisor: this actor has nothing to do for a while.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Resting {
    pub endpoint: EndpointId,
    pub generation: Generation,
}

/// To the supervisor: told to rest, this actor has work again and stays.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Staying {
    pub endpoint: EndpointId,
    pub generation: Generation,
}

/// To the supervisor: this actor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Ended {
    pub endpoint: EndpointId,
    pub generation: Generation,
    pub how: End,
}

/// How an endpoint's actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum End {
    /// With nothing left to do before then, if ever.
    Rested(Option<Monotonic>),
    /// All in flight has ended, as the supervisor asked.
    Drained,
    /// With whatever it had under way, as the supervisor asked.
    Aborted,
    /// The same, because the store said that another node owns the endpoint.
    Fenced,
    /// Its endpoint is gone.
    Gone,
    /// Without a word: it panicked.
    Panicked,
}
