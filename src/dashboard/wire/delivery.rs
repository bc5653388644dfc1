//! Deliveries, their attempts, and what was given up.

use serde::Deserialize;

use crate::dashboard::wire::At;

#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    pub id: String,
    pub endpoint: String,
    pub event: String,
    pub event_type: String,
    pub status: String,
    pub attempt_count: u64,
    pub next_attempt_at: Option<At>,
    pub created_at: At,
    pub finished_at: Option<At>,
    pub reason: Option<String>,
    #[serde(default)]
    pub attempts_left: Option<u64>,
    /// Where it is one of a list.
    #[serde(default)]
    pub last_answer: Option<LastAnswer>,
    #[serde(default)]
    pub replay: Option<String>,
    /// Where one is read.
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
    #[serde(default)]
    pub planned_attempts: Vec<At>,
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct LastAnswer {
    pub status_code: Option<u16>,
    pub error_class: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WaitsFor {
    pub kind: String,
    pub by: Option<String>,
    pub until: Option<At>,
    pub delivery: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    pub number: u64,
    pub started_at: At,
    pub duration_ms: u64,
    pub status_code: Option<u16>,
    pub error: Option<AttemptError>,
    pub response_body: String,
    #[serde(default)]
    pub timing: Timing,
    #[serde(default)]
    pub connection: Option<String>,
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub settings_version: Option<u32>,
    #[serde(default)]
    pub request_headers: Vec<Header>,
    #[serde(default)]
    pub response_headers: Vec<Header>,
    /// Of a test.
    #[serde(default)]
    pub delivered: bool,
    #[serde(default)]
    pub event_type: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Timing {
    pub dns_ms: Option<u64>,
    pub connect_ms: Option<u64>,
    pub tls_ms: Option<u64>,
    pub first_byte_ms: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AttemptError {
    pub class: String,
    pub message: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ExhaustedEndpoint {
    pub endpoint: String,
    pub partner: String,
    pub count: u64,
    pub at_least: bool,
    pub last_at: Option<At>,
    pub reasons: Vec<ExhaustedReason>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ExhaustedReason {
    pub error_class: Option<String>,
    pub status_code: Option<u16>,
    pub count: u64,
    pub first_at: At,
    pub last_at: At,
    pub sample: String,
}

#[derive(Debug, Deserialize)]
pub struct Dismissed {
    pub dismissed: u64,
    pub next: Option<String>,
}
