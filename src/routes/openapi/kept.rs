//! For how long what is kept of events is kept.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{Days, EnvironmentName, PartnerOrAll};

/// For how many days each is kept; what is left out, or `null`, is as the next larger says.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "payload_days": 7, "attempts_days": 14 })))]
pub struct RetentionDays {
    /// Payloads that no delivery needs any more, counted from acceptance.
    payload_days: Option<Days>,
    /// Attempts, counted from when each was made.
    attempts_days: Option<Days>,
    /// Deliveries that are held, counted from acceptance: they are discarded.
    held_days: Option<Days>,
    /// Deliveries that are exhausted, counted from when they ended: they are discarded.
    exhausted_days: Option<Days>,
}

/// What is set for a partner or an environment.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnDays {
    #[schema(required = true)]
    payload_days: Option<Days>,
    #[schema(required = true)]
    attempts_days: Option<Days>,
    #[schema(required = true)]
    held_days: Option<Days>,
    #[schema(required = true)]
    exhausted_days: Option<Days>,
}

/// What holds.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EffectiveDays {
    payload_days: Days,
    attempts_days: Days,
    held_days: Days,
    exhausted_days: Days,
}

/// For how long things of a partner, or of an environment, are kept.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    environment: EnvironmentName,
    partner: PartnerOrAll,
    own: OwnDays,
    effective: EffectiveDays,
    /// For how long anything is kept: the option of this name.
    retention_days: Days,
}
