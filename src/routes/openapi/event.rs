//! Events: what is answered when they are accepted, and what became of them.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::delivery::{Delivery, LastAttempt, WaitsFor};
use super::parameters::RetainWord;
use super::problem::Problem;
use super::values::{
    EndpointId, EnvironmentName, EventBody, EventId, EventTypeName, FieldPointer, IdempotencyKey, PartnerOrAll,
    Timestamp,
};

/// An event that was accepted: it and all its deliveries are on disk.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedEvent {
    id: EventId,
    /// Its type.
    event: EventTypeName,
    /// How many endpoints it goes to.
    deliveries: u64,
}

/// What became of each line of a batch, in their order.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedBatch {
    data: Vec<AcceptedLine>,
}

/// What `POST /events` would have answered to a line.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AcceptedLine {
    Accepted(AcceptedEvent),
    Refused(Problem),
}

macro_rules! event {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: EventId,
            /// Its type.
            event: EventTypeName,
            environment: EnvironmentName,
            partner: PartnerOrAll,
            accepted_at: Timestamp,
            /// No attempt begins before then.
            #[schema(required = true)]
            deliver_at: Option<Timestamp>,
            /// What is not delivered by then is discarded.
            #[schema(required = true)]
            expires_at: Option<Timestamp>,
            /// The key that it was posted with.
            #[schema(required = true)]
            idempotency_key: Option<IdempotencyKey>,
            /// How long its payload is, as far as it is there.
            bytes: u64,
            /// `none` where its payload goes once all of it is delivered or discarded.
            #[schema(required = true)]
            retain: Option<RetainWord>,
            /// That its payload is not there any more.
            #[schema(required = true)]
            erased: Option<Erasure>,
            $($more)*
        }
    };
}

event! {
    /// An event of a list, without its payload.
    ListedEvent {
        /// The values that it is found by. Very long ones are left out.
        indexed: Vec<IndexedField>,
        outcomes: OutcomeCounts,
    }
}
event! {
    /// An event, its payload, and what became of it.
    EventWithOutcomes {
        /// The values that it is found by. Very long ones are left out.
        indexed: Vec<IndexedField>,
        /// Of the payload's bytes, in hexadecimal; `null` where they were erased.
        #[schema(required = true)]
        sha256: Option<String>,
        /// How many deliveries are among `endpoints`.
        deliveries: u64,
        /// What became of it, endpoint by endpoint; the first 1,000.
        endpoints: Vec<EventOutcome>,
        /// There are more: `GET /deliveries?event=` lists all of its deliveries, and `endpoint=` here tells of any endpoint.
        endpoints_have_more: bool,
        /// The very bytes that were posted; `null` where they were erased.
        #[schema(required = true)]
        payload: Option<EventBody>,
    }
}

/// A value of an event that it is found by: `GET /events?field=`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedField {
    pointer: FieldPointer,
    value: String,
}

/// How many of an event's endpoints are where. What a replay made of it counts in place of
/// what was there before.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutcomeCounts {
    pending: u32,
    retrying: u32,
    held: u32,
    delivered: u32,
    retries_exhausted: u32,
    discarded: u32,
    /// Whether all of them were looked at. Of an event with very many endpoints, only the first are.
    complete: bool,
}

/// When a payload was erased, and why.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    at: Timestamp,
    by: ErasedBy,
}

/// Why a payload was erased.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasedBy {
    Retention,
    RetainNone,
}

/// Where an event stands with an endpoint: a delivery's status, or why there is none.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    Pending,
    Retrying,
    Held,
    Delivered,
    RetriesExhausted,
    Discarded,
    Filtered,
    NotSubscribed,
    NotYetCreated,
}

/// What became of an event for one endpoint.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventOutcome {
    endpoint: EndpointId,
    outcome: OutcomeWord,
    /// Why, and what can be done about it, in a plain sentence.
    explanation: String,
    /// What an unfinished delivery waits for.
    #[schema(required = true)]
    waits_for: Option<WaitsFor>,
    /// How many attempts its schedule has left.
    #[schema(required = true)]
    attempts_left: Option<u32>,
    #[schema(required = true)]
    delivered_at: Option<Timestamp>,
    /// Since when an endpoint takes such events that did not when this one was accepted, where that
    /// is on record.
    #[schema(required = true)]
    subscribed_since: Option<Timestamp>,
    /// What the endpoint's filter objects to; only where it did.
    #[schema(required = false)]
    filtered_by: Vec<Objection>,
    #[schema(required = true)]
    delivery: Option<Delivery>,
    #[schema(required = true)]
    last_attempt: Option<LastAttempt>,
}

/// A rule of a filter that the event breaks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Objection {
    /// Where in the event.
    pointer: String,
    detail: String,
}
