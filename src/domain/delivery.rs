//! One event on its way to one endpoint: the unit of retrying.

use std::fmt;
use std::str::FromStr;

use crate::domain::{DeliveryId, EndpointId, EventId, EventType, ReplayId, Timestamp};

/// Why a delivery ended without being delivered or exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiscardReason {
    /// Its endpoint was deleted.
    EndpointDeleted,
    /// It was held longer than deliveries are kept.
    Retention,
    /// Somebody skipped it by hand.
    Skipped,
    /// The time was over within which it was worth anything.
    Expired,
    /// It was exhausted, and somebody has seen that and leaves it at that.
    Dismissed,
}

impl DiscardReason {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointDeleted => "endpoint_deleted",
            Self::Retention => "retention",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Dismissed => "dismissed",
        }
    }
}

/// What the store keeps of a delivery's state. `held` and the discarding of a
/// deleted endpoint's deliveries are read off the endpoint instead, so that
/// neither has to be written to a million rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredStatus {
    /// Behind another one in its endpoint's order, and not due before that has ended.
    Queued,
    /// Not tried yet. Where the endpoint wants an order, it has no place in it yet.
    Pending,
    /// It has a time for its next attempt: because it failed, because its event was to
    /// be delivered later, or because it is the first in its endpoint's order.
    Retrying,
    /// Answered 2xx.
    Delivered,
    /// Failed as often as its schedule allows.
    RetriesExhausted,
    /// Given up for a reason outside the schedule.
    Discarded(DiscardReason),
}

impl StoredStatus {
    /// Whether attempts are still to come.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Queued | Self::Pending | Self::Retrying)
    }
}

/// The state a delivery shows (`product.md`, "Delivery `status`").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Not tried yet.
    Pending,
    /// Failed, and waiting for its next attempt.
    Retrying,
    /// Waiting until its endpoint is resumed or enabled again.
    Held,
    /// Answered 2xx.
    Delivered,
    /// Failed as often as its schedule allows.
    RetriesExhausted,
    /// Given up for a reason outside the schedule.
    Discarded(DiscardReason),
}

impl DeliveryStatus {
    /// What a stored state looks like, given its endpoint's, and whether its schedule
    /// has made an attempt.
    pub const fn seen(stored: StoredStatus, was_tried: bool, endpoint_enabled: bool, endpoint_deleted: bool) -> Self {
        match stored {
            StoredStatus::Delivered => Self::Delivered,
            StoredStatus::RetriesExhausted => Self::RetriesExhausted,
            StoredStatus::Discarded(reason) => Self::Discarded(reason),
            _ if endpoint_deleted => Self::Discarded(DiscardReason::EndpointDeleted),
            _ if !endpoint_enabled => Self::Held,
            StoredStatus::Retrying if was_tried => Self::Retrying,
            StoredStatus::Queued | StoredStatus::Pending | StoredStatus::Retrying => Self::Pending,
        }
    }

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Discarded(_) => "discarded",
        }
    }
}

/// A status as a list's filter names it: a discarded delivery's reason is not
/// part of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusFilter {
    /// See [`DeliveryStatus::Pending`].
    Pending,
    /// See [`DeliveryStatus::Retrying`].
    Retrying,
    /// See [`DeliveryStatus::Held`].
    Held,
    /// See [`DeliveryStatus::Delivered`].
    Delivered,
    /// See [`DeliveryStatus::RetriesExhausted`].
    RetriesExhausted,
    /// See [`DeliveryStatus::Discarded`].
    Discarded,
}

/// A word that names no delivery status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a delivery status: use `pending`, `retrying`, `held`, `delivered`, `retries_exhausted` or `discarded`"
)]
pub struct StatusError(String);

impl FromStr for StatusFilter {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        match text {
            "pending" => Ok(Self::Pending),
            "retrying" => Ok(Self::Retrying),
            "held" => Ok(Self::Held),
            "delivered" => Ok(Self::Delivered),
            "retries_exhausted" => Ok(Self::RetriesExhausted),
            "discarded" => Ok(Self::Discarded),
            other => Err(StatusError(other.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A delivery as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, sent as `posthaste-delivery`.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// What it carries.
    pub event: EventId,
    /// The event's kind.
    pub event_type: EventType,
    /// Its state as seen from outside.
    pub status: DeliveryStatus,
    /// Attempts recorded, those asked for by hand included.
    pub attempt_count: u32,
    /// Those of them that were its schedule's.
    pub scheduled_attempts: u32,
    /// Whether it waits for others before it in its endpoint's order.
    pub is_queued: bool,
    /// When the next scheduled attempt is due; `None` when there is none.
    pub next_attempt_at: Option<Timestamp>,
    /// Its number among all of its endpoint's, from 1 in the order of acceptance, sent as
    /// `posthaste-sequence`; `None` for what was accepted before there were numbers.
    pub sequence: Option<u64>,
    /// Its place among all that its endpoint was given in order, from 1; `None` where it
    /// has none.
    pub place: Option<u64>,
    /// The replay that made it; `None` where it was made when its event was accepted.
    pub replay: Option<ReplayId>,
    /// When it was made, by which its event was accepted where no replay did: the time
    /// inside the id.
    pub created_at: Timestamp,
    /// When it reached its last state.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_deliveries_keep_their_state_whatever_their_endpoint_does() {
        for enabled in [true, false] {
            for deleted in [true, false] {
                let seen = DeliveryStatus::seen(StoredStatus::Delivered, true, enabled, deleted);
                assert_eq!(seen, DeliveryStatus::Delivered);
            }
        }
        for stored in [StoredStatus::Queued, StoredStatus::Pending, StoredStatus::Retrying] {
            for was_tried in [true, false] {
                let seen = |enabled, deleted| DeliveryStatus::seen(stored, was_tried, enabled, deleted);
                assert_eq!(seen(false, false), DeliveryStatus::Held);
                assert_eq!(seen(false, true), DeliveryStatus::Discarded(DiscardReason::EndpointDeleted));
            }
        }
    }

    #[test]
    fn what_waits_for_its_first_attempt_is_pending_for_whatever_reason() {
        let seen = |stored, was_tried| DeliveryStatus::seen(stored, was_tried, true, false);
        for stored in [StoredStatus::Queued, StoredStatus::Pending, StoredStatus::Retrying] {
            assert_eq!(seen(stored, false), DeliveryStatus::Pending);
        }
        assert_eq!(seen(StoredStatus::Retrying, true), DeliveryStatus::Retrying);
        assert_eq!(seen(StoredStatus::Queued, true), DeliveryStatus::Pending);
    }
}
