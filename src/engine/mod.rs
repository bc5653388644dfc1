//! The engine: one live actor for each endpoint with work, and a supervisor
//! that routes to them. Decisions are made by [`endpoint::state`], which is
//! pure; the actors read the store, send, and have outcomes written down.
//!
//! What this room leaves to others: what is durable (`store`), how a request
//! travels (`transport`), who may ask (`routes`). It knows no actix-web.

mod arbiters;
pub mod budget;
pub mod endpoint;
mod erasing;
mod indexing;
mod messages;
mod places;
mod replays;
mod retention;
mod sleepers;
mod statistics;
mod supervisor;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::cluster::{Hold, Ownership};
use crate::domain::{Environment, EventType, RetryPolicy};
use crate::metrics::Metrics;
use crate::policy::health::Patience;
use crate::store::{Journal, Lease, Store};
use crate::transport::TransportFactory;

pub use budget::BodyBudget;
pub use endpoint::request::AttemptHeaders;
pub use endpoint::state::{Doing, Snapshot};
pub use indexing::{Indexer, Indexing};
pub use messages::{Drain, Hinted, Inspect, Moved, Release, Seen, SendTest, TestOutcome};
pub use places::Places;
pub use replays::Replays;
pub use retention::{Janitor, MINUTES_KEPT, Retention};
pub use statistics::Statistics;
pub use supervisor::Supervisor;
pub use wire::NewsWire;

/// How much the engine holds and does at once.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads that endpoint actors live on.
    pub arbiters: usize,
    /// Most deliveries of a lane that one actor holds.
    pub window: usize,
    /// Most requests in flight to all endpoints.
    pub max_in_flight: usize,
    /// How long an actor with nothing due stays in memory.
    pub passivate_after: Duration,
    /// How long an endpoint may fail.
    pub patience: Patience,
    /// Most bytes of event bodies held for deliveries to come.
    pub body_budget_bytes: usize,
}

/// Told of leases that were to be handed over, once nothing is done by them any
/// more. On the supervisor's thread: it waits for nothing.
pub type HandedOver = Arc<dyn Fn(Vec<Lease>) + Send + Sync>;

/// What an environment's catalog says of when events of a type are tried again;
/// `None` is nothing. Asked after an attempt has failed, on an actor's thread: it
/// waits for nothing.
pub type ScheduleOfType = Arc<dyn Fn(Environment, &EventType) -> Option<RetryPolicy> + Send + Sync>;

/// What every actor of the engine works with.
#[derive(Clone)]
pub struct Engine {
    /// The durable truth.
    pub store: Arc<dyn Store>,
    /// The way to change it.
    pub journal: Journal,
    /// The way out.
    pub transport: Arc<dyn TransportFactory>,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Which endpoints are this node's.
    pub ownership: Ownership,
    /// While it is on, nothing is sent.
    pub hold: Hold,
    /// Who is told that a partition is free to go.
    pub handed_over: HandedOver,
    /// When events are tried again at endpoints without a schedule of their own.
    pub schedule_of_type: ScheduleOfType,
    /// The limits.
    pub options: EngineOptions,
    /// Requests that may still begin, all endpoints together.
    pub in_flight: Places,
    /// Event bodies that may still be held.
    pub bodies: BodyBudget,
    /// Counts for people who look.
    pub statistics: Arc<Statistics>,
}
