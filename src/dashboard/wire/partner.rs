//! Partners, how long their things are kept, and what operators do about them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::dashboard::wire::At;

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

#[derive(Debug, Deserialize)]
pub struct Retention {
    pub own: BTreeMap<String, Option<u64>>,
    pub effective: BTreeMap<String, u64>,
    pub retention_days: u64,
}

#[derive(Debug, Deserialize)]
pub struct Brake {
    pub environment: String,
    pub partner: String,
    pub since: At,
    pub reason: Option<String>,
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
