//! Deliveries and attempts.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{DeliveryId, EndpointId, EventBody, EventId, EventTypeName, ReplayId, Timestamp};

/// Where a delivery stands. `held` is one whose endpoint is paused or disabled.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Pending,
    Retrying,
    Held,
    Delivered,
    RetriesExhausted,
    Discarded,
}

/// Why a delivery was discarded.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscardReason {
    EndpointDeleted,
    Retention,
    Skipped,
    Expired,
    Dismissed,
}

macro_rules! delivery {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: DeliveryId,
            endpoint: EndpointId,
            event: EventId,
            event_type: EventTypeName,
            status: DeliveryStatus,
            /// Attempts on record, those asked for by hand included.
            attempt_count: u32,
            /// When the next scheduled attempt is due.
            #[schema(required = true)]
            next_attempt_at: Option<Timestamp>,
            /// Its number among all of its endpoint's, in the order of acceptance: what
            /// `posthaste-sequence` says. `null` where it was accepted before there were numbers.
            #[schema(required = true, minimum = 1)]
            sequence: Option<u64>,
            /// Its place among all that its endpoint gets in order; `null` where it has none.
            #[schema(required = true, minimum = 1)]
            place: Option<u64>,
            /// The replay that made it; `null` where it was made when its event was accepted.
            #[schema(required = true)]
            replay: Option<ReplayId>,
            /// When it was made: when its event was accepted, if no replay did.
            created_at: Timestamp,
            #[schema(required = true)]
            finished_at: Option<Timestamp>,
            /// Of a discarded one only.
            #[schema(required = false)]
            reason: DiscardReason,
            $($more)*
        }
    };
}

delivery! {
    /// One event on its way to one endpoint.
    Delivery {}
}
delivery! {
    /// A delivery of a list.
    ListedDelivery {
        /// How many attempts its schedule has left; `null` where it has ended.
        #[schema(required = true)]
        attempts_left: Option<u32>,
        /// What its last attempt was answered; `null` where there was none, or is none any more.
        #[schema(required = true)]
        last_answer: Option<LastAnswer>,
    }
}
delivery! {
    /// A delivery, and every attempt at it.
    DeliveryWithAttempts {
        /// Why it is where it is, and what can be done about it, in a plain sentence.
        explanation: String,
        /// What an unfinished one waits for; `null` where it has ended.
        #[schema(required = true)]
        waits_for: Option<WaitsFor>,
        /// How many attempts its schedule has left; `null` where it has ended.
        #[schema(required = true)]
        attempts_left: Option<u32>,
        /// When these are due if each before them fails as it begins; jitter comes on top.
        planned_attempts: Vec<Timestamp>,
        /// What each attempt sends: the event's payload, which `GET /events/{id}` shows; `null` once erased.
        #[schema(required = true)]
        request_body: Option<RequestBody>,
        /// In the order of their numbers.
        attempts: Vec<Attempt>,
    }
}

/// What an attempt was answered, in short.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LastAnswer {
    /// `null` if there was no answer.
    #[schema(required = true, minimum = 100, maximum = 999)]
    status_code: Option<u16>,
    /// `null` where it delivered.
    #[schema(required = true)]
    error_class: Option<ErrorClass>,
}

/// What each attempt of a delivery sends.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    bytes: u64,
    /// In hexadecimal.
    sha256: String,
}

/// What an unfinished delivery waits for.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsForKind {
    Attempt,
    Schedule,
    DeliverAt,
    Breaker,
    RetryAfter,
    RateLimit,
    Order,
    Hold,
    OwnerNode,
    Queue,
}

/// Who holds an endpoint: its settings, because its partner disabled it (`settings`) or
/// because it was disabled (`failing`, `gone`); a pause or a brake.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Settings,
    Failing,
    Gone,
    Partner,
    Operator,
    Both,
}

/// Why no node sends what is due: none owns its endpoint, or the one that does is held, or
/// has not answered what it is doing.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerAbsence {
    None,
    Held,
    Silent,
}

/// What an unfinished delivery waits for. Fields that say nothing of it are `null`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitsFor {
    kind: WaitsForKind,
    /// Of `breaker` and `hold`: since when.
    #[schema(required = true)]
    since: Option<Timestamp>,
    /// Of what ends by itself: when the attempt may begin.
    #[schema(required = true)]
    until: Option<Timestamp>,
    /// Of `order`: the delivery that has to end first.
    #[schema(required = true)]
    delivery: Option<DeliveryId>,
    /// Of `hold`: who.
    #[schema(required = true)]
    by: Option<Holder>,
    /// Of `owner_node`: which node.
    #[schema(required = true)]
    node: Option<String>,
    /// Of `owner_node`: what about it.
    #[schema(required = true)]
    owner: Option<OwnerAbsence>,
    /// Of `queue`: how many of its endpoint go first, where that was counted.
    #[schema(required = true)]
    ahead: Option<u64>,
    /// Whether there may be more.
    #[schema(required = true)]
    ahead_has_more: Option<bool>,
}

/// How long each stage of an attempt took, in whole milliseconds. `null` is a stage that
/// did not happen: over a connection that was there already, only the last does. One in
/// which the attempt ended lasted until then.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Looking the name up.
    #[schema(required = true)]
    dns_ms: Option<u32>,
    /// Connecting, to all addresses that were tried.
    #[schema(required = true)]
    connect_ms: Option<u32>,
    /// The TLS handshake.
    #[schema(required = true)]
    tls_ms: Option<u32>,
    /// From a connection that was ready to the head of the answer.
    #[schema(required = true)]
    first_byte_ms: Option<u32>,
}

/// Whether a connection was made for an attempt, or an earlier one had left it open.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionUse {
    New,
    Reused,
}

/// A header of a request or of an answer.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    name: String,
    value: String,
}

/// One that an endpoint was sent, or is to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PulledEvent {
    /// What `posthaste-sequence` says.
    #[schema(minimum = 1)]
    sequence: u64,
    delivery: DeliveryId,
    /// What `webhook-id` says.
    event: EventId,
    event_type: EventTypeName,
    /// Where it stands, whatever that is.
    status: DeliveryStatus,
    accepted_at: Timestamp,
    /// When it is to be delivered, where that is still to come.
    #[schema(required = true)]
    deliver_at: Option<Timestamp>,
    /// As it was posted; `null` where it is no longer kept, and before `deliver_at`.
    #[schema(required = true)]
    payload: Option<EventBody>,
    /// Whether the payload is no longer kept.
    erased: bool,
}

/// What an endpoint was sent, in the order of its sequence numbers. A number that is not
/// here was never sent, unless it is below `oldest` or behind `next_after`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PulledEvents {
    data: Vec<PulledEvent>,
    /// The smallest number that is still kept; `null` where none is.
    #[schema(required = true, minimum = 1)]
    oldest: Option<u64>,
    /// What `?after=` takes for the next page.
    #[schema(minimum = 0)]
    next_after: u64,
    /// Whether there is more already.
    more: bool,
    /// Whether what comes next is still being committed: ask again in a second.
    settling: bool,
}

/// The stage at which an attempt failed.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    Dns,
    Connect,
    Tls,
    Timeout,
    BlockedAddress,
    Protocol,
    HttpStatus,
    Redirect,
}

/// Why an attempt failed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptError {
    class: ErrorClass,
    /// A plain sentence.
    message: String,
}

macro_rules! attempt {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// From 1.
            #[schema(minimum = 1)]
            number: u32,
            started_at: Timestamp,
            /// From there to the last byte read.
            duration_ms: u32,
            /// The receiver's answer; `null` if there was none.
            #[schema(required = true, minimum = 100, maximum = 999)]
            status_code: Option<u16>,
            /// `null` where the event was delivered.
            #[schema(required = true)]
            error: Option<AttemptError>,
            /// How long its stages took.
            timing: Timing,
            /// Whether a connection was made for it; `null` where there was none.
            #[schema(required = true)]
            connection: Option<ConnectionUse>,
            /// The address and port at the other end, or the last that was dialled in vain.
            #[schema(required = true)]
            address: Option<String>,
            /// The version of the endpoint's settings that it was made with; `null` for attempts
            /// of earlier releases.
            #[schema(required = true, minimum = 1)]
            settings_version: Option<u32>,
            /// The answer's headers by name, as far as they are kept
            /// (`response_headers_keep_bytes`). Secrets of the endpoint's are masked.
            response_headers: Vec<Header>,
            /// How it went, and for the last what comes next, in a plain sentence.
            explanation: String,
            /// The beginning of what the receiver answered; what is not UTF-8 is replaced.
            response_body: String,
            $($more)*
        }
    };
}

attempt! {
    /// One HTTP try of a delivery.
    Attempt {
        /// What was sent beside the body. Values of the endpoint's own headers, and the
        /// signature, are not shown.
        request_headers: Vec<Header>,
    }
}
attempt! {
    /// The last try of a delivery.
    LastAttempt {}
}
attempt! {
    /// The one try of a test.
    TestAttempt {
        /// The `webhook-id` that was sent. A test is no event: it is not on record.
        webhook_id: EventId,
        event_type: EventTypeName,
        /// Whether the answer was a 2xx.
        delivered: bool,
        /// What was sent beside the body. Values of the endpoint's own headers, and the
        /// signature, are not shown.
        request_headers: Vec<Header>,
    }
}
