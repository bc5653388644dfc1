//! Keys, and what the audit log has.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dashboard::wire::At;

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
