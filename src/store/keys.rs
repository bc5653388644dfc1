//! API keys as the store keeps them: never the key, only its SHA-256.

use crate::domain::{Environment, KeyId, PartnerName, Role, Timestamp};

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The key's first characters, to know it by.
    pub prefix: String,
    /// What it may do.
    pub role: Role,
    /// The environment it belongs to; `None` for an operator's.
    pub environment: Option<Environment>,
    /// The partner it is bound to; `None` is all of them.
    pub partner: Option<PartnerName>,
    /// Its maker's note.
    pub description: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A key that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its name.
    pub id: KeyId,
    /// The key's first characters.
    pub prefix: String,
    /// What it may do.
    pub role: Role,
    /// The environment it belongs to; `None` for an operator's.
    pub environment: Option<Environment>,
    /// The partner it is bound to; `None` is all of them.
    pub partner: Option<PartnerName>,
    /// Its maker's note.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as far as nodes have said so far: to about a minute.
    pub last_used_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it opens anything at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
