//! Events, what became of each, what was refused, and what is found.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dashboard::wire::{AskedNode, At, Attempt, Delivery, WaitsFor};

#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub id: String,
    pub event: String,
    pub partner: String,
    pub accepted_at: At,
    pub bytes: u64,
    #[serde(default)]
    pub indexed: Vec<Indexed>,
    pub outcomes: Option<OutcomeCounts>,
}

/// A value that an event is found by.
#[derive(Debug, Clone, Deserialize)]
pub struct Indexed {
    pub pointer: String,
    pub value: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct OutcomeCounts {
    pub pending: u64,
    pub retrying: u64,
    pub held: u64,
    pub delivered: u64,
    pub retries_exhausted: u64,
    pub discarded: u64,
    pub complete: bool,
}

/// Posts that a node refused.
#[derive(Debug, Deserialize)]
pub struct Refusals {
    pub data: Vec<RefusedPost>,
    pub next_cursor: Option<String>,
    pub node: String,
    pub since: At,
    pub keeps: u64,
    pub counts: Option<RefusalCounts>,
}

/// How many were refused, of all nodes.
#[derive(Debug, Deserialize)]
pub struct RefusalCounts {
    pub since: At,
    pub by_type: Vec<RefusedOfType>,
    pub others: u64,
    pub nodes: Vec<AskedNode>,
}

#[derive(Debug, Deserialize)]
pub struct RefusedOfType {
    #[serde(rename = "type")]
    pub event_type: String,
    pub refused: u64,
}

#[derive(Debug, Deserialize)]
pub struct RefusedPost {
    pub at: At,
    pub key: Option<String>,
    pub partner: Option<String>,
    pub line: Option<u64>,
    pub event_type: Option<String>,
    pub idempotency_key: Option<String>,
    pub indexed: Vec<Indexed>,
    pub status: u16,
    pub detail: String,
    pub errors: Vec<Objection>,
}

/// What goes by a text.
#[derive(Debug, Deserialize)]
pub struct SearchAnswer {
    pub data: Vec<Hit>,
    pub searched: Searched,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Hit {
    pub kind: String,
    pub id: String,
    pub why: String,
    pub pointer: Option<String>,
    pub event_type: Option<String>,
    pub partner: Option<String>,
    pub at: Option<At>,
    /// Of an endpoint that was found otherwise.
    #[serde(skip)]
    pub url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Searched {
    pub since: Option<At>,
    pub until: At,
    pub complete: bool,
}

#[derive(Debug, Deserialize)]
pub struct KeptFor {
    pub effective: EffectiveDays,
    pub retention_days: u64,
}

#[derive(Debug, Deserialize)]
pub struct EffectiveDays {
    pub payload_days: u64,
}

#[derive(Debug, Deserialize)]
pub struct Erasure {
    pub at: At,
    pub by: String,
}

#[derive(Debug, Deserialize)]
pub struct WholeEvent {
    pub id: String,
    pub event: String,
    pub partner: String,
    pub accepted_at: At,
    pub deliver_at: Option<At>,
    pub expires_at: Option<At>,
    pub bytes: u64,
    pub idempotency_key: Option<String>,
    pub indexed: Vec<Indexed>,
    pub sha256: Option<String>,
    pub erased: Option<Erasure>,
    pub endpoints: Vec<Outcome>,
    pub payload: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub endpoint: String,
    pub outcome: String,
    #[serde(default)]
    pub explanation: String,
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
    #[serde(default)]
    pub attempts_left: Option<u64>,
    #[serde(default)]
    pub subscribed_since: Option<At>,
    #[serde(default)]
    pub filtered_by: Vec<Objection>,
    pub delivery: Option<Delivery>,
    pub last_attempt: Option<Attempt>,
}

#[derive(Debug, Deserialize)]
pub struct Objection {
    pub pointer: String,
    pub detail: String,
}

#[derive(Debug, Deserialize)]
pub struct AcceptedEvent {
    pub id: String,
    pub deliveries: u64,
}
