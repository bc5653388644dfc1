//! What the engine's actors say to each other, and what others may ask.

use actix::prelude::*;
use bytes::Bytes;

use crate::cluster::{Hint, Move};
use crate::domain::{Attempt, DeliveryId, EndpointId, EventId, EventType, Moment, Monotonic, Timestamp};
use crate::engine::endpoint::shown::Shown;
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
    /// The same of so many endpoints that none is named.
    ManyChanged,
    /// An attempt was asked for.
    AttemptRequested(EndpointId),
    /// A delivery was made that is due later.
    Scheduled(EndpointId),
    /// The store has new deliveries of which no message tells.
    Replayed(EndpointId),
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

/// To the supervisor: the node is not held any more, so send what waits. False when
/// it was not held.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Release;

/// To the supervisor: what is an endpoint's actor doing, and what with this delivery?
#[derive(Message)]
#[rtype(result = "Seen")]
pub struct Inspect(pub EndpointId, pub Option<DeliveryId>);

/// What [`Inspect`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// An actor in memory.
    Live(Snapshot),
    /// None: there is nothing to do now.
    Asleep,
    /// None, and if there is one, it is another node's.
    Elsewhere,
}

impl Seen {
    /// What the actor is doing, if there is one.
    pub fn live(self) -> Option<Snapshot> {
        match self {
            Self::Live(snapshot) => Some(snapshot),
            Self::Asleep | Self::Elsewhere => None,
        }
    }
}

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
    /// This node is held, and sends nothing.
    Held,
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
    /// The endpoint may be held by now: begin nothing before that is known.
    Halt,
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
pub(in crate::engine) struct Look(pub Option<DeliveryId>);

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
    /// What it leaves to the next life.
    pub legacy: Legacy,
}

/// What one life of an actor leaves to the next on the same node, when it rests until
/// there is something to do again.
#[derive(Default)]
pub(in crate::engine) struct Legacy {
    /// What the gauges go on showing of it while it sleeps.
    pub shown: Option<Shown>,
    /// Since when its breaker keeps deliveries waiting.
    pub open_since: Option<Moment>,
}

/// How long an actor rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Rest {
    /// There is nothing left to do before then, if ever.
    pub until: Option<Monotonic>,
    /// Until then a gate is closed, and what waits behind it was first due at this
    /// time.
    pub behind_gate: Option<Timestamp>,
}

/// How an endpoint's actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum End {
    /// With nothing left to do for a while.
    Rested(Rest),
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
