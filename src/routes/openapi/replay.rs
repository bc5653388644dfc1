//! Replays, and what ended badly.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::delivery::ErrorClass;
use super::endpoint::RateLimit;
use super::values::{
    DeliveryId, EndpointId, EnvironmentName, EventId, EventPattern, EventTypeName, GivenTime, KeyId, PartnerName,
    PartnerOrAll, ReplayId, Timestamp,
};

/// How an event ended for an endpoint, where that can be replayed. It is the newest delivery that counts.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replayable {
    Delivered,
    RetriesExhausted,
    Discarded,
}

/// One status, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ReplayableOrSeveral {
    One(Replayable),
    Several(Vec<Replayable>),
}

macro_rules! new_replay {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($more)*
            /// Events that were accepted then or later.
            since: Option<GivenTime>,
            /// Events that were accepted before then. What is accepted after the replay began is never part of it.
            until: Option<GivenTime>,
            /// Events of these types; all, if it is left out or empty.
            types: Option<Vec<EventPattern>>,
            /// Events that ended so. `retries_exhausted`, if neither this nor `missing` is given.
            status: Option<ReplayableOrSeveral>,
            /// Whether events are meant, too, that the endpoint wants now and has no delivery of: from before it was there, or subscribed to them.
            #[schema(default = false)]
            missing: Option<bool>,
            /// No more is made than this. It is never more than the endpoint keeps up with.
            rate_limit: Option<RateLimit>,
            /// Whether it is only counted what would be made.
            #[schema(default = false)]
            dry_run: Option<bool>,
        }
    };
}

new_replay! {
    /// What is to be delivered again.
    NewReplay {}
}
new_replay! {
    /// What is to be delivered again, and to whom. Without `endpoints` and `partners` it is for all of the partner that is named in the query.
    NewReplayOfSeveral {
        /// To these.
        endpoints: Option<Vec<EndpointId>>,
        /// And to all of these partners.
        partners: Option<Vec<PartnerName>>,
    }
}

/// Where a replay stands: `done` is one that has made all that it makes, which may still be on its way.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    Running,
    Done,
    Cancelled,
}

/// Who asked for it. A partner sees of an operator no more than that it was one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedBy {
    /// As in the audit log.
    actor: String,
    #[schema(required = true)]
    key: Option<KeyId>,
}

macro_rules! replay {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: ReplayId,
            state: ReplayState,
            environment: EnvironmentName,
            /// Whose endpoints; `*` is those of several partners.
            partner: PartnerOrAll,
            #[schema(required = true)]
            since: Option<Timestamp>,
            #[schema(required = true)]
            until: Option<Timestamp>,
            types: Vec<EventPattern>,
            status: Vec<Replayable>,
            missing: bool,
            #[schema(required = true)]
            rate_limit: Option<RateLimit>,
            /// How many endpoints it is for.
            targets: u64,
            /// How many deliveries it has made.
            made: u64,
            /// How many selected events it passed over, because their payload is gone or they are worth nothing any more.
            skipped: u64,
            requested_by: RequestedBy,
            /// What was accepted later is no part of it.
            created_at: Timestamp,
            /// When it had looked at everything, or was cancelled.
            #[schema(required = true)]
            finished_at: Option<Timestamp>,
            $($more)*
        }
    };
}

replay! {
    /// A replay.
    Replay {}
}
replay! {
    /// A replay, and how far it has come.
    ReplayWithProgress {
        /// Deliveries of it that are delivered.
        delivered: u64,
        /// Those that are exhausted or discarded.
        failed: u64,
        /// Those that are still to come.
        pending: u64,
        /// Whether there may be more of the latter two, and fewer of the first: counting has an end.
        at_least: bool,
        /// Events accepted before then were looked at; `null` where nothing is left to look at, or nothing was.
        #[schema(required = true)]
        looked_until: Option<Timestamp>,
        /// When it will have made the last one, at the pace that it had so far.
        #[schema(required = true)]
        estimated_end_at: Option<Timestamp>,
        endpoints: Vec<ReplayTarget>,
    }
}

/// How far a replay has come for one endpoint.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayTarget {
    endpoint: EndpointId,
    made: u64,
    skipped: u64,
    /// Whether nothing more is made for it.
    done: bool,
    #[schema(required = true)]
    looked_until: Option<Timestamp>,
}

/// How an event stands that a replay would deliver.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewedStatus {
    Delivered,
    RetriesExhausted,
    Discarded,
    Missing,
}

/// What a replay would make, as far as it was looked.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayPreview {
    /// How many endpoints it would be for.
    targets: u64,
    /// How many deliveries it would make.
    events: u64,
    /// How many selected events it would pass over.
    skipped: u64,
    /// Whether there may be more: looking has an end.
    at_least: bool,
    /// When the first of the events was accepted.
    #[schema(required = true)]
    oldest: Option<Timestamp>,
    /// When the last was.
    #[schema(required = true)]
    newest: Option<Timestamp>,
    counts: Vec<PreviewedCount>,
    /// A few of the events.
    #[schema(max_items = 5)]
    samples: Vec<PreviewedEvent>,
}

/// How many events of a type that ended alike.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewedCount {
    endpoint: EndpointId,
    event_type: EventTypeName,
    status: PreviewedStatus,
    count: u64,
}

/// An event that a replay would deliver.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewedEvent {
    endpoint: EndpointId,
    event: EventId,
    event_type: EventTypeName,
    status: PreviewedStatus,
    accepted_at: Timestamp,
}

/// What became of an endpoint's retries.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetriesBroughtForward {
    /// How many are due now.
    brought_forward: u64,
    /// Whether there are more: ask again.
    more: bool,
}

/// Exhausted deliveries of one endpoint.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExhaustedEndpoint {
    endpoint: EndpointId,
    partner: PartnerOrAll,
    /// How many of those that were looked at.
    count: u64,
    /// Whether there may be more, older ones.
    at_least: bool,
    /// When the first of them was given up.
    #[schema(required = true)]
    first_at: Option<Timestamp>,
    /// When the last was.
    #[schema(required = true)]
    last_at: Option<Timestamp>,
    /// By what their last attempts failed at, the most frequent first.
    reasons: Vec<ExhaustedReason>,
}

/// Those that failed at the same.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExhaustedReason {
    #[schema(required = true)]
    error_class: Option<ErrorClass>,
    /// The receiver's answer; `null` if there was none.
    #[schema(required = true, minimum = 100, maximum = 999)]
    status_code: Option<u16>,
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    /// The newest of them.
    sample: DeliveryId,
}

/// Which exhausted deliveries are left at that. Without `error_class` and `status_code` it is all of the endpoint's; otherwise those that failed at the same as `/exhausted` tells it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDismissal {
    error_class: Option<ErrorClass>,
    #[schema(minimum = 100, maximum = 999)]
    status_code: Option<u16>,
    /// Those that were given up before then; until now, if it is left out.
    until: Option<GivenTime>,
    /// Goes on behind this one: the `next` of an answer.
    before: Option<DeliveryId>,
}

/// What became of them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExhaustedDismissed {
    /// How many are dismissed now.
    dismissed: u64,
    /// Whether there may be more: ask again, with `next` as `before`.
    more: bool,
    /// Where to go on.
    #[schema(required = true)]
    next: Option<DeliveryId>,
}
