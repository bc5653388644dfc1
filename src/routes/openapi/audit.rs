//! The audit log, and what a check of it finds.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::values::{
    ActorWord, AuditDetail, AuditHash, AuditNumber, AuditWord, EnvironmentName, GivenTime, KeyId, PartnerName,
    Timestamp,
};

/// What was done once, by whom. A partner sees of an operator no more than that it was one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    number: AuditNumber,
    at: Timestamp,
    /// The role of a key, `operator (configured)`, `cli` or `posthaste`.
    actor: String,
    /// The key's id.
    #[schema(required = true)]
    key: Option<KeyId>,
    /// The IP address that the request came from.
    #[schema(required = true)]
    address: Option<String>,
    action: AuditWord,
    /// What it was done to: an id or a name.
    subject: String,
    /// `null` is both.
    #[schema(required = true)]
    environment: Option<EnvironmentName>,
    #[schema(required = true)]
    partner: Option<PartnerName>,
    detail: AuditDetail,
    hash: AuditHash,
    previous_hash: AuditHash,
}

/// Which entries are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuestion {
    /// Those about things of this partner. A key that is bound to one need not say it; an operator sees everybody's without it.
    #[param(required = false)]
    partner: super::values::PartnerOrAll,
    /// Those of this environment. A key need not say its own; an operator sees both without it.
    #[param(required = false)]
    environment: EnvironmentName,
    /// Those of this kind.
    #[param(required = false)]
    action: AuditWord,
    /// Those about exactly this.
    #[param(required = false)]
    subject: String,
    /// Those of whom the log says this word. For operators.
    #[param(required = false)]
    actor: ActorWord,
    /// Those done by the key with this id. For operators.
    #[param(required = false)]
    key: KeyId,
    /// Those made then or later.
    #[param(required = false)]
    since: GivenTime,
    /// Those made before then.
    #[param(required = false)]
    until: GivenTime,
}

/// An entry that was noted elsewhere, by both of these.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NotedHead {
    /// Its number.
    #[param(required = false)]
    number: AuditNumber,
    /// Its hash.
    #[param(required = false)]
    head: AuditHash,
}

/// What became of the log.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditVerdict {
    intact: bool,
    /// How many entries there are.
    #[schema(minimum = 0)]
    entries: u64,
    /// The hash of the last: note it elsewhere, with its number.
    head: AuditHash,
    /// The first entry that does not fit.
    #[schema(required = false)]
    broken_at: AuditNumber,
    /// Why it does not.
    #[schema(required = false)]
    reason: String,
}
