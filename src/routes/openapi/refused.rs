//! What was refused at the door.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::administration::Asked;
use super::event::IndexedField;
use super::problem::FieldProblem;
use super::values::{EnvironmentName, EventPattern, EventTypeName, KeyId, NodeId, PartnerOrAll, SearchText, Timestamp};

/// Posts that a node refused, newest first, as far as it has them in memory.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedPosts {
    data: Vec<RefusedPost>,
    /// What `?cursor=` takes for the next page; `null` on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// The node that answers: each has its own.
    node: NodeId,
    /// When it started. It has nothing from before.
    since: Timestamp,
    /// How many it keeps at most, for a day at most.
    keeps: u32,
    /// How many were refused, by `counts=true`; `null` for whoever is no operator that looks over all partners.
    #[schema(required = true)]
    counts: Option<RefusalCounts>,
}

/// How many posts, or lines of batches, were refused in an environment, of all partners: exact, of all nodes that answer, as far
/// back as each remembers.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusalCounts {
    /// From when on they are counted: the beginning of the hour of a day ago, since they are counted by the hour. A node has nothing from before its start.
    since: Timestamp,
    /// Of each type of the catalog that there were any of, by name.
    by_type: Vec<RefusedOfType>,
    /// Those of a type that the catalog did not have, or of none; and what is beyond 256 types of an hour.
    others: u64,
    /// The nodes that were asked.
    nodes: Vec<Asked>,
}

/// How many posts of a type were refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedOfType {
    r#type: EventTypeName,
    #[schema(minimum = 1)]
    refused: u64,
}

/// A post, or a line of a batch, that was not taken.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedPost {
    at: Timestamp,
    /// With which key; `null` is the configuration's.
    #[schema(required = true)]
    key: Option<KeyId>,
    /// Where to; `null` where it did not say so in a way that could be read.
    #[schema(required = true)]
    environment: Option<EnvironmentName>,
    #[schema(required = true)]
    partner: Option<PartnerOrAll>,
    /// Which line of a batch, from 1; empty ones are not counted.
    #[schema(required = true, minimum = 1)]
    line: Option<u32>,
    /// The type that it said it was, whatever that is, cut short; `null` where it said none.
    #[schema(required = true)]
    event_type: Option<String>,
    /// Cut short.
    #[schema(required = true)]
    idempotency_key: Option<String>,
    /// The values that it would have been found by.
    indexed: Vec<IndexedField>,
    /// Which kind of problem it was answered with.
    #[schema(pattern = "^urn:posthaste:problem:[a-z-]+$")]
    problem: String,
    /// The problem's status.
    #[schema(minimum = 400, maximum = 499)]
    status: u16,
    /// What was wrong, cut short.
    detail: String,
    /// Where, as far as there is room.
    errors: Vec<FieldProblem>,
}

/// Which refused posts are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RefusedQuestion {
    /// Those that said they were of this type, or of the types of a pattern.
    #[param(required = false, rename = "type")]
    types: EventPattern,
    /// Those by this key or idempotency key, of this type, or with this value in a field that their type is `indexed` by.
    #[param(required = false)]
    q: SearchText,
    /// Whether it says how many were refused, by type.
    #[param(required = false)]
    counts: bool,
}
