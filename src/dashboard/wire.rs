//! What pages read of the API's answers: no more than they show. What else an answer
//! has is passed over, so that the API may grow.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::routes::JustNow;

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct At(pub Timestamp);

impl TryFrom<String> for At {
    type Error = crate::domain::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

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

#[derive(Debug, Deserialize)]
pub struct EventType {
    pub name: String,
    pub description: String,
    pub schema: Box<RawValue>,
    pub example: Box<RawValue>,
    pub retry: Option<Box<RawValue>>,
    pub indexed: Vec<String>,
    pub built_in: bool,
}

#[derive(Debug, Deserialize)]
pub struct Partner {
    pub name: String,
    pub created_at: At,
    pub erasing: Option<Erasing>,
}

/// A partner, and how it stands in an environment.
#[derive(Debug, Deserialize)]
pub struct PartnerStanding {
    pub name: String,
    pub erasing: Option<Erasing>,
    pub endpoints: u64,
    pub endpoints_has_more: bool,
    pub backlog: u64,
    pub backlog_has_more: bool,
    pub exhausted: u64,
    pub exhausted_has_more: bool,
    pub last_event: Option<LastEvent>,
}

#[derive(Debug, Deserialize)]
pub struct Erasing {
    pub since: At,
}

#[derive(Debug, Deserialize)]
pub struct LastEvent {
    pub event: String,
    pub accepted_at: At,
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

#[derive(Debug, Deserialize)]
pub struct Retention {
    pub own: BTreeMap<String, Option<u64>>,
    pub effective: BTreeMap<String, u64>,
    pub retention_days: u64,
}

#[derive(Debug, Deserialize)]
pub struct Node {
    pub id: String,
    pub address: Option<String>,
    pub version: String,
    pub since: At,
    pub partitions: usize,
    pub in_flight: u64,
    pub held: bool,
    pub lease_until: Option<At>,
}

#[derive(Debug, Deserialize)]
pub struct Brake {
    pub environment: String,
    pub partner: String,
    pub since: At,
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Key {
    pub id: String,
    pub prefix: String,
    pub role: String,
    pub environment: Option<String>,
    pub partner: Option<String>,
    pub description: Option<String>,
    pub created_at: At,
    pub expires_at: Option<At>,
    pub revoked_at: Option<At>,
    pub last_used_at: Option<At>,
    /// Where it was just made.
    #[serde(default)]
    pub key: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct PortalLink {
    pub id: String,
    pub environment: String,
    pub description: Option<String>,
    pub single_use: bool,
    pub expires_at: At,
    pub opened_at: Option<At>,
    pub revoked_at: Option<At>,
    /// Where it was just made.
    #[serde(default)]
    pub url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct AuditEntry {
    pub number: u64,
    pub at: At,
    pub actor: String,
    pub key: Option<String>,
    pub address: Option<String>,
    pub action: String,
    pub subject: String,
    pub environment: Option<String>,
    pub partner: Option<String>,
    pub detail: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct AuditVerdict {
    pub intact: bool,
    pub entries: u64,
    pub head: String,
    pub broken_at: Option<u64>,
    pub reason: Option<String>,
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
pub struct Partitions {
    pub data: Vec<OwnedPartitions>,
}

#[derive(Debug, Deserialize)]
pub struct OwnedPartitions {
    pub node: String,
    pub partitions: Vec<usize>,
}

#[derive(Debug, Deserialize)]
pub struct NodeHealth {
    pub id: String,
    pub reachable: bool,
    pub memory_bytes: Option<u64>,
    pub commits: Option<u64>,
    pub commit_p99_ms: Option<f64>,
    pub moves: Vec<PartitionsMoved>,
    #[serde(default)]
    pub just_now: Option<JustNow>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PartitionsMoved {
    pub at: At,
    pub what: String,
    pub partitions: u64,
}

#[derive(Debug, Deserialize)]
pub struct Settings {
    pub node: String,
    pub data: Vec<Setting>,
    pub nodes: Vec<AskedNode>,
}

#[derive(Debug, Deserialize)]
pub struct Setting {
    pub heading: String,
    pub name: String,
    pub value: String,
    pub masked: bool,
    pub default: String,
    pub source: SettingSource,
    pub meaning: String,
    pub elsewhere: Vec<SettingElsewhere>,
}

#[derive(Debug, Deserialize)]
pub struct SettingSource {
    pub kind: String,
    pub at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct SettingElsewhere {
    pub node: String,
    pub value: String,
}

#[derive(Debug, Deserialize)]
pub struct AskedNode {
    pub id: String,
    pub reachable: bool,
}

#[derive(Debug, Deserialize)]
pub struct TypeCounts {
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub totals: EventCount,
}

#[derive(Debug, Deserialize)]
pub struct EventCount {
    pub events: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct TypeChecked {
    pub is_new: bool,
    pub changed: Vec<String>,
    pub breaking: Vec<Breaking>,
    pub recent: RecentEvents,
}

#[derive(Debug, Deserialize)]
pub struct Breaking {
    pub pointer: String,
    pub detail: String,
    pub whom: String,
}

#[derive(Debug, Deserialize)]
pub struct RecentEvents {
    pub looked_at: u64,
    pub refused: u64,
    pub oldest_at: Option<At>,
    pub has_more: bool,
    pub sample: Vec<RefusedEvent>,
}

#[derive(Debug, Deserialize)]
pub struct RefusedEvent {
    pub event: String,
    pub accepted_at: At,
    pub pointer: String,
    pub detail: String,
}

#[derive(Debug, Deserialize)]
pub struct Statistics {
    pub data: Vec<Series>,
}

#[derive(Debug, Deserialize)]
pub struct Series {
    pub totals: Counts,
    pub buckets: Vec<Bucket>,
}

#[derive(Debug, Deserialize)]
pub struct Bucket {
    pub at: At,
    pub counts: Counts,
}

#[derive(Debug, Deserialize)]
pub struct Counts {
    pub events: Option<u64>,
    pub attempts: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub delivered: u64,
    pub retries_exhausted: u64,
    pub attempt_ms: Percentiles,
}

#[derive(Debug, Deserialize)]
pub struct Percentiles {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
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

#[derive(Debug, Deserialize)]
pub struct BroughtForward {
    pub brought_forward: u64,
    pub more: bool,
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
