//! One attempt as a sentence.

use std::time::Duration;

use crate::domain::{Attempt, DeliveryStatus, Timestamp};

use super::span;
use super::waiting::next_attempt;

/// What comes after a delivery's last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Where the delivery stands.
    pub status: DeliveryStatus,
    /// When its next attempt is due.
    pub next_at: Option<Timestamp>,
    /// How many its schedule has left.
    pub attempts_left: Option<u32>,
}

/// Says how an attempt went, and for the last of its delivery what comes after it.
pub fn attempt(attempt: &Attempt, after: Option<After>, now: Timestamp) -> String {
    let took = span(Duration::from_millis(attempt.duration_ms.into()));
    let went = match (&attempt.outcome.error, attempt.outcome.status_code) {
        (None, Some(status)) => format!("answered {status} after {took}: delivered"),
        (None, None) => format!("delivered after {took}"),
        // Such a message says which status it was.
        (Some(error), Some(_)) => format!("{} after {took}", error.message),
        (Some(error), None) => format!("failed after {took}: {}", error.message),
    };
    let Some(after) = after.filter(|_| !attempt.outcome.is_delivered()) else { return went };
    match (after.status, after.next_at) {
        (DeliveryStatus::Pending | DeliveryStatus::Retrying, Some(at)) => {
            format!("{went}; {}", next_attempt(at, now, after.attempts_left))
        }
        (DeliveryStatus::Pending | DeliveryStatus::Retrying, None) => format!("{went}; another follows"),
        (DeliveryStatus::Held, _) => format!("{went}; no other begins while its endpoint holds its deliveries"),
        (DeliveryStatus::RetriesExhausted, _) => format!("{went}; no other follows by itself"),
        (DeliveryStatus::Discarded(_), _) => format!("{went}; none follows, because the delivery was discarded"),
        // By another attempt, which counts before this one.
        (DeliveryStatus::Delivered, _) => format!("{went}; an earlier one had delivered it"),
    }
}
