//! What attempts and events came to over some time.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::dashboard::wire::At;

/// A page of series.
#[derive(Debug, Deserialize)]
pub struct Statistics {
    pub since: At,
    pub data: Vec<Series>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Counts of one subject.
#[derive(Debug, Clone, Deserialize)]
pub struct Series {
    pub partner: String,
    pub endpoint: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub totals: Counts,
    pub buckets: Vec<Bucket>,
    #[serde(default)]
    pub histogram: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Bucket {
    pub at: At,
    pub counts: Counts,
}

/// Counts of a stretch of time.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Counts {
    pub events: Option<u64>,
    pub attempts: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub failures: BTreeMap<String, u64>,
    pub delivered: u64,
    pub retries_exhausted: u64,
    pub attempt_ms: Percentiles,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Percentiles {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
}

/// So many attempts took at most so long.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Step {
    pub at_most_ms: u64,
    pub count: u64,
}
