//! Replays, and what one would do.

use serde::Deserialize;

use crate::dashboard::wire::{At, RateLimit};

/// A replay as an endpoint lists it.
#[derive(Debug, Deserialize)]
pub struct ReplayOfEndpoint {
    pub id: String,
    pub state: String,
    pub targets: u64,
    pub made: u64,
    pub skipped: u64,
    pub created_at: At,
    pub finished_at: Option<At>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Replay {
    pub id: String,
    pub state: String,
    pub partner: String,
    pub since: Option<At>,
    pub until: Option<At>,
    pub types: Vec<String>,
    pub status: Vec<String>,
    pub missing: bool,
    pub rate_limit: Option<RateLimit>,
    pub targets: u64,
    pub made: u64,
    pub skipped: u64,
    pub requested_by: RequestedBy,
    pub created_at: At,
    pub finished_at: Option<At>,
    /// Where one is read, from here on.
    #[serde(flatten)]
    pub progress: Option<ReplayProgress>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RequestedBy {
    pub actor: String,
    pub key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ReplayProgress {
    pub delivered: u64,
    pub failed: u64,
    pub pending: u64,
    pub at_least: bool,
    pub looked_until: Option<At>,
    pub estimated_end_at: Option<At>,
    pub endpoints: Vec<ReplayTarget>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ReplayTarget {
    pub endpoint: String,
    pub made: u64,
    pub skipped: u64,
    pub done: bool,
}

#[derive(Debug, Deserialize)]
pub struct ReplayPreview {
    pub targets: u64,
    pub events: u64,
    pub skipped: u64,
    pub at_least: bool,
    pub oldest: Option<At>,
    pub newest: Option<At>,
    pub counts: Vec<PreviewedCount>,
    pub samples: Vec<PreviewedEvent>,
}

#[derive(Debug, Deserialize)]
pub struct PreviewedCount {
    pub endpoint: String,
    pub event_type: String,
    pub status: String,
    pub count: u64,
}

#[derive(Debug, Deserialize)]
pub struct PreviewedEvent {
    pub endpoint: String,
    pub event: String,
    pub event_type: String,
    pub status: String,
    pub accepted_at: At,
}
