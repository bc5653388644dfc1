//! Deliveries and attempts.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{DeliveryId, EndpointId, EventId, EventTypeName, Timestamp};

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
            /// Its place among all that its endpoint gets in order.
            #[schema(required = true, minimum = 1)]
            sequence: Option<u64>,
            /// When its event was accepted.
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
    /// A delivery, and every attempt at it.
    DeliveryWithAttempts {
        /// In the order of their numbers.
        attempts: Vec<Attempt>,
    }
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
            /// The beginning of what the receiver answered; what is not UTF-8 is replaced.
            response_body: String,
            $($more)*
        }
    };
}

attempt! {
    /// One HTTP try of a delivery.
    Attempt {}
}
attempt! {
    /// The one try of a test.
    TestAttempt {
        /// The `webhook-id` that was sent. A test is no event: it is not on record.
        webhook_id: EventId,
        event_type: EventTypeName,
        /// Whether the answer was a 2xx.
        delivered: bool,
    }
}
