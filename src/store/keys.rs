//! API keys as the store keeps them, and links to the partner portal, which are keys that
//! nobody sends: never the key, only a SHA-256.

use std::time::Duration;

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

/// A link to the portal of one partner in one environment, to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPortalLink {
    /// The hash of its token.
    pub hash: [u8; 32],
    /// The token's first characters.
    pub prefix: String,
    /// Where.
    pub environment: Environment,
    /// Whose.
    pub partner: PartnerName,
    /// Its maker's note.
    pub description: Option<String>,
    /// When it ends, and what began with it.
    pub expires_at: Timestamp,
    /// Whether it opens once.
    pub single_use: bool,
}

/// What makes a key a link to the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalLink {
    /// Whether it opens once.
    pub single_use: bool,
    /// When it was last opened.
    pub spent_at: Option<Timestamp>,
}

/// A link is forgotten so long after its end.
pub const LINKS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

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
    /// What there is to say of a link to the portal; `None` is a key proper.
    pub link: Option<PortalLink>,
}

impl KeyRecord {
    /// Whether it opens anything at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it is a link that can be traded for a session at this time.
    pub fn can_be_opened(&self, now: Timestamp) -> bool {
        let is_unspent = |link: PortalLink| !link.single_use || link.spent_at.is_none();
        self.is_live(now) && self.link.is_some_and(is_unspent)
    }
}
