//! How an endpoint is: its trouble, its backlog, and what its actor is doing.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{DeliveryId, NodeId, Timestamp};

/// An endpoint's state at this moment.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// `open` lets one probe out at a time.
    breaker: Breaker,
    #[schema(required = true)]
    breaker_opened_at: Option<Timestamp>,
    /// Probes that have failed since then.
    failed_probes: u32,
    #[schema(required = true)]
    next_probe_at: Option<Timestamp>,
    /// The first of the failed attempts since the last success.
    #[schema(required = true)]
    failing_since: Option<Timestamp>,
    /// The receiver asked for no request before then.
    #[schema(required = true)]
    retry_after: Option<Timestamp>,
    /// When the operator was warned that it fails.
    #[schema(required = true)]
    warned_at: Option<Timestamp>,
    /// When `posthaste.endpoint.failing` was last told.
    #[schema(required = true)]
    announced_at: Option<Timestamp>,
    /// When Posthaste disabled it.
    #[schema(required = true)]
    disabled_at: Option<Timestamp>,
    #[schema(required = true)]
    disabled_reason: Option<DisabledReason>,
    state: HealthState,
    /// Deliveries that are not finished, counted up to 1,000.
    backlog: u32,
    /// Whether there are more than that.
    backlog_has_more: bool,
    #[schema(required = true)]
    oldest_waiting: Option<Waiting>,
    /// When the next scheduled attempt may begin; `null` while nothing goes out.
    #[schema(required = true)]
    next_attempt_at: Option<Timestamp>,
    /// As `actor` says.
    #[schema(required = true)]
    in_flight: Option<u32>,
    /// As `actor` says.
    #[schema(required = true)]
    concurrency: Option<u32>,
    actor: Actor,
}

/// Whether the breaker holds deliveries back.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Breaker {
    Open,
    Closed,
}

/// Why Posthaste disabled an endpoint: it failed for too long, or it answered 410 and wants that.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DisabledReason {
    Failing,
    Gone,
}

/// `held` while nothing goes out, `active` with an actor, `idle` without one, `unknown` if its node does not answer.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    Held,
    Active,
    Idle,
    Unknown,
}

/// A delivery that waits.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    delivery: DeliveryId,
    created_at: Timestamp,
    due_at: Timestamp,
    /// For how long it has been due.
    overdue_ms: u64,
}

/// What the endpoint's actor is doing. What nobody knows is `null`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The node that owns the endpoint.
    #[schema(required = true)]
    node: Option<NodeId>,
    /// Whether that node has answered.
    reachable: bool,
    /// Whether there is an actor: an endpoint without work has none.
    #[schema(required = true)]
    live: Option<bool>,
    /// Requests in flight, or waiting for their place among those of the node.
    #[schema(required = true)]
    in_flight: Option<u32>,
    /// Outcomes on their way to the store.
    #[schema(required = true)]
    recording: Option<u32>,
    /// Requests that it is given at once just now.
    #[schema(required = true)]
    concurrency: Option<u32>,
    /// Requests that its settings give it.
    #[schema(required = true)]
    max_concurrency: Option<u32>,
    /// Whether it is given fewer than that for a while.
    #[schema(required = true)]
    slow_start: Option<bool>,
    /// Whether a probe is under way.
    #[schema(required = true)]
    probing: Option<bool>,
    /// When its rate limit permits the next request.
    #[schema(required = true)]
    paced_until: Option<Timestamp>,
    /// Before then no scheduled attempt begins.
    #[schema(required = true)]
    not_before: Option<Timestamp>,
    /// When the first retry that it knows of is due.
    #[schema(required = true)]
    next_retry_at: Option<Timestamp>,
    window: Window,
}

/// Deliveries that wait in the actor's memory.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    #[schema(required = true)]
    fresh: Option<u32>,
    #[schema(required = true)]
    retries: Option<u32>,
    #[schema(required = true)]
    manual: Option<u32>,
    /// Whether the store may have more.
    #[schema(required = true)]
    more_in_store: Option<bool>,
}
