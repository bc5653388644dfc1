//! Endpoints, how each is, and what is asked of one.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dashboard::wire::At;

#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    pub id: String,
    pub partner: String,
    pub environment: String,
    pub url: String,
    pub events: Vec<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub headers: serde_json::Map<String, Value>,
    pub signing: String,
    pub ordering: Value,
    pub rate_limit: Option<RateLimit>,
    pub filter: Option<Box<RawValue>>,
    pub max_concurrency: u32,
    pub timeout_ms: u64,
    pub retry: Option<Box<RawValue>>,
    pub disable_on_gone: bool,
    pub client_certificate: Option<Certificate>,
    pub status: String,
    pub paused_at: Option<At>,
    pub braked_at: Option<At>,
    pub version: u32,
    pub created_at: At,
    pub updated_at: At,
    /// Where one is read.
    pub health: Option<Health>,
    /// Where it was just made.
    #[serde(default)]
    pub secret: Option<String>,
    #[serde(default)]
    pub public_key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RateLimit {
    pub per_second: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Certificate {
    pub subject: Option<String>,
    pub not_after: At,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    pub breaker: String,
    pub breaker_opened_at: Option<At>,
    pub failed_probes: u32,
    pub next_probe_at: Option<At>,
    pub failing_since: Option<At>,
    pub retry_after: Option<At>,
    pub disabled_at: Option<At>,
    pub disabled_reason: Option<String>,
    pub backlog: u64,
    pub backlog_has_more: bool,
    pub oldest_waiting: Option<Waiting>,
    pub next_attempt_at: Option<At>,
    /// Where one is read singly.
    #[serde(default)]
    pub actor: Actor,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Waiting {
    pub delivery: String,
    pub created_at: At,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Actor {
    pub node: Option<String>,
    pub reachable: bool,
    pub live: Option<bool>,
    pub in_flight: Option<u64>,
    pub concurrency: Option<u64>,
    pub max_concurrency: Option<u64>,
    pub slow_start: Option<bool>,
    pub probing: Option<bool>,
    pub paced_until: Option<At>,
    pub not_before: Option<At>,
    pub window: Window,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Window {
    pub fresh: Option<u64>,
    pub retries: Option<u64>,
    pub manual: Option<u64>,
    pub more_in_store: Option<bool>,
}

/// An attempt among many.
#[derive(Debug, Clone, Deserialize)]
pub struct AttemptSeen {
    pub delivery: String,
    pub number: u64,
    pub started_at: At,
    pub duration_ms: u64,
    pub status_code: Option<u16>,
    pub error_class: Option<String>,
}

/// Attempts of an endpoint, the latest first.
#[derive(Debug, Deserialize)]
pub struct AttemptsSeen {
    pub data: Vec<AttemptSeen>,
}

#[derive(Debug, Deserialize)]
pub struct Secrets {
    pub secret: Option<String>,
    pub public_key: Option<String>,
    #[serde(default)]
    pub previous: Vec<PreviousSecret>,
}

#[derive(Debug, Deserialize)]
pub struct PreviousSecret {
    pub secret: Option<String>,
    pub public_key: Option<String>,
    pub expires_at: At,
}

#[derive(Debug, Deserialize)]
pub struct BroughtForward {
    pub brought_forward: u64,
    pub more: bool,
}
