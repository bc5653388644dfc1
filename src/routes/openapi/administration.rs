//! What operators administer beside keys: partners, nodes, brakes.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{BrakeReason, EnvironmentName, NodeId, PartnerName, PartnerOrAll, Timestamp};

/// A partner to be made, in both environments at once.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "name": "acme" })))]
pub struct NewPartner {
    name: PartnerName,
}

/// A partner.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    name: PartnerName,
    created_at: Timestamp,
    /// That everything of it is being erased; `null` where it is not.
    #[schema(required = true)]
    erasing: Option<Erasing>,
}

/// That something is being erased.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasing {
    since: Timestamp,
}

/// A node that runs.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    id: NodeId,
    /// Where other nodes reach it.
    #[schema(required = true)]
    address: Option<String>,
    /// Its release.
    version: String,
    /// When it started.
    since: Timestamp,
    /// How many of the 256 slices of all endpoints it owns.
    partitions: u32,
    /// Attempts in flight.
    in_flight: u32,
    /// Whether it was started with `--hold` and has not been released.
    held: bool,
    /// Until when it owns them without renewing; `null` where there is no other node.
    #[schema(required = true)]
    lease_until: Option<Timestamp>,
}

/// All nodes.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    data: Vec<Node>,
}

/// Who owns which partitions.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Partitions {
    data: Vec<OwnedPartitions>,
    /// Those that nobody owns just now.
    #[schema(max_items = 256)]
    unowned: Vec<u32>,
}

/// The partitions of a node.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnedPartitions {
    node: NodeId,
    /// Their numbers, from 0 to 255.
    #[schema(max_items = 256)]
    partitions: Vec<u32>,
}

/// How all nodes are.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesHealth {
    data: Vec<NodeHealth>,
}

/// How a node is, in its own words.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeHealth {
    id: NodeId,
    /// Whether it answered; if not, nothing is known of what follows.
    reachable: bool,
    /// Memory that it takes; `null` where its system does not say so.
    #[schema(required = true)]
    memory_bytes: Option<u64>,
    /// How many of its newest commits the next figure is of: 1,000 at most.
    #[schema(required = true)]
    commits: Option<u64>,
    /// Milliseconds that 99 % of those took at most, flush included.
    #[schema(required = true)]
    commit_p99_ms: Option<f64>,
    /// Partitions that came and went since it started, newest first, 50 at most.
    moves: Vec<PartitionsMoved>,
    /// What it does just now; `null` also of a release that does not say so.
    #[schema(required = true)]
    just_now: Option<JustNow>,
}

/// What a node does just now, of all partners and both environments.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JustNow {
    /// Events that it accepted, over the last five seconds.
    #[schema(minimum = 0)]
    accepted_per_second: f64,
    /// Deliveries that were delivered, over the last five seconds.
    #[schema(minimum = 0)]
    delivered_per_second: f64,
    /// Attempts in the last five minutes, or since it started.
    attempts: u64,
    /// Those of them that delivered.
    delivered: u64,
    /// How long they took: the same steps of every node, so that they can be added up.
    took: Vec<TookStep>,
    /// Deliveries that wait in its memory.
    waiting: u64,
    /// For how many milliseconds the delivery is due that has been due longest.
    overdue_ms: u64,
    /// Requests in flight.
    in_flight: u64,
    /// Breakers that are open.
    breakers_open: u64,
    /// Endpoints that have only failed of late.
    endpoints_failing: u64,
}

/// Attempts that took longer than the step before says, and at most so long.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TookStep {
    /// In milliseconds; `null` is without an end.
    #[schema(required = true)]
    at_most_ms: Option<f64>,
    count: u64,
}

/// Partitions that came or went together.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionsMoved {
    at: Timestamp,
    what: MoveWord,
    /// How many.
    partitions: u32,
}

/// `taken`: nobody owned them, or nobody any more. `handed_over`: another node is to have them. `lost`: their lease ended, or somebody else has them.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveWord {
    Taken,
    Lost,
    HandedOver,
}

/// What the answering node is configured with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The node that answers.
    node: NodeId,
    /// Every option, in the order of `posthaste serve --help`.
    data: Vec<Setting>,
    /// All nodes that live, and whether each told its own.
    nodes: Vec<Asked>,
}

/// An option as it holds.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it stands under in `--help`.
    heading: String,
    /// As the configuration file spells it.
    name: String,
    /// Its value, with dots in place of what is kept back.
    value: String,
    /// Whether something of it is kept back.
    masked: bool,
    default: String,
    source: SettingSource,
    /// What it does.
    meaning: String,
    /// Nodes that have it otherwise. Of secrets only that one has one and another has not.
    elsewhere: Vec<SettingElsewhere>,
}

/// Who said it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingSource {
    kind: SourceWord,
    /// The file and its line, the variable or the flag; `null` of a default.
    #[schema(required = true)]
    at: Option<String>,
}

/// A flag wins over the environment, the environment over the file, the file over the default.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceWord {
    Default,
    File,
    Environment,
    Flag,
}

/// What it is on another node.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingElsewhere {
    node: NodeId,
    /// A long one by its beginning and a hash.
    value: String,
}

/// A node that was asked.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    id: NodeId,
    reachable: bool,
}

/// A node that sends now.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleasedNode {
    id: NodeId,
    held: bool,
}

/// Why a brake is set.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "their receiver is being moved" })))]
pub struct NewBrake {
    reason: Option<BrakeReason>,
}

/// A brake in force: what it is over is held.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Brake {
    environment: EnvironmentName,
    partner: PartnerOrAll,
    since: Timestamp,
    #[schema(required = true)]
    reason: Option<BrakeReason>,
}

/// Brakes, the longest first.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Brakes {
    data: Vec<Brake>,
}

/// That the process lives, or is ready.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    status: LivenessWord,
}

/// `ok` from `/healthz`, `ready` from `/readyz`.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LivenessWord {
    Ok,
    Ready,
}

/// What secrets are sealed with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The id of the key that seals from now on; `null` where values are stored as they are.
    #[schema(required = true)]
    current: Option<String>,
    keys: Vec<RingKey>,
    /// Values that are stored as they are.
    #[schema(minimum = 0)]
    clear_values: u64,
}

/// A key of the ring, or one that the store needs and the ring lacks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RingKey {
    id: String,
    /// This node has it.
    in_ring: bool,
    /// Values may be sealed with it: a node does not start without it.
    in_use: bool,
    /// How many are.
    #[schema(minimum = 0)]
    values: u64,
}

/// What was sealed anew.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reencrypted {
    /// The id of the key that they have now; `null` where they are stored as they are.
    #[schema(required = true)]
    current: Option<String>,
    #[schema(minimum = 0)]
    rows: u64,
    #[schema(minimum = 0)]
    values: u64,
    /// Values that no key of the ring opens: they stay as they are.
    #[schema(minimum = 0)]
    unreadable: u64,
    /// Keys that no value is sealed with any more: they may be taken out of the ring.
    released: Vec<String>,
}
