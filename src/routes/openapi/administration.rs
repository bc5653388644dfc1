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
