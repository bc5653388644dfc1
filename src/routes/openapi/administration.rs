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
