//! The nouns of the audit log: what is noted, who did it, and an entry as it is
//! kept. How entries hang together is decided by `policy::audit_chain`.

use std::fmt;
use std::str::FromStr;

use crate::domain::{Environment, Role, Timestamp};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What was done. A word never changes its meaning: the log is for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word used in the API and the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// A key was made.
    KeyCreated = "key.created";
    /// A key was revoked.
    KeyRevoked = "key.revoked";
    /// A link to the portal was made.
    PortalLinkCreated = "portal_link.created";
    /// Somebody opened one.
    PortalLinkOpened = "portal_link.opened";
    /// One was revoked.
    PortalLinkRevoked = "portal_link.revoked";
    /// A partner was made.
    PartnerCreated = "partner.created";
    /// Everything of a partner is to be erased.
    PartnerErasing = "partner.erasing";
    /// Nothing of a partner is left.
    PartnerErased = "partner.erased";
    /// Something is kept for another time than before.
    RetentionSet = "retention.set";
    /// It is kept again as the next larger says.
    RetentionCleared = "retention.cleared";
    /// An endpoint was made.
    EndpointCreated = "endpoint.created";
    /// An endpoint has other settings.
    EndpointChanged = "endpoint.changed";
    /// An endpoint was deleted.
    EndpointDeleted = "endpoint.deleted";
    /// An endpoint was paused.
    EndpointPaused = "endpoint.paused";
    /// An endpoint's pause was ended.
    EndpointResumed = "endpoint.resumed";
    /// Posthaste disabled an endpoint.
    EndpointDisabled = "endpoint.disabled";
    /// An endpoint has a new secret.
    SecretRotated = "secret.rotated";
    /// Somebody looked at an endpoint's secrets.
    SecretRead = "secret.read";
    /// Everything that is encrypted was sealed anew.
    SecretsReencrypted = "secrets.reencrypted";
    /// An event type was added or replaced.
    EventTypePut = "event_type.put";
    /// An event type was taken out.
    EventTypeDeleted = "event_type.deleted";
    /// One more attempt of a delivery was asked for by hand.
    DeliveryRetried = "delivery.retried";
    /// A delivery was given up by hand.
    DeliverySkipped = "delivery.skipped";
    /// An exhausted delivery was left at that.
    DeliveryDismissed = "delivery.dismissed";
    /// Exhausted deliveries of an endpoint were left at that, all of a kind at once.
    ExhaustedDismissed = "endpoint.dismissed";
    /// All retries of an endpoint were brought forward.
    RetriesHurried = "endpoint.retried_now";
    /// Something is to be delivered again.
    ReplayStarted = "replay.started";
    /// A replay was ended before it had made everything.
    ReplayCancelled = "replay.cancelled";
    /// A brake was set, or another reason was given for it.
    BrakeSet = "brake.set";
    /// A brake was released.
    BrakeReleased = "brake.released";
    /// A node that was started held was released.
    NodeReleased = "node.released";
}

/// A word that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an action of the audit log; there is {}", words())]
pub struct AuditActionError {
    text: String,
}

fn words() -> String {
    AuditAction::ALL.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for AuditAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = AuditActionError;

    fn from_str(text: &str) -> Result<Self, AuditActionError> {
        let found = Self::ALL.iter().find(|action| action.as_str() == text);
        found.copied().ok_or_else(|| AuditActionError { text: text.chars().take(64).collect() })
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds a key of this role.
    Key(Role),
    /// Whoever holds the operator's key of the configuration, which has no id.
    Configured,
    /// A command at the machine, such as `posthaste keys`.
    Command,
    /// Posthaste itself.
    Posthaste,
}

impl Actor {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Key(Role::Operator),
        Self::Configured,
        Self::Key(Role::Partner),
        Self::Key(Role::Producer),
        Self::Command,
        Self::Posthaste,
    ];

    /// The words used in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key(role) => role.as_str(),
            Self::Configured => "operator (configured)",
            Self::Command => "cli",
            Self::Posthaste => "posthaste",
        }
    }
}

/// A hash of the chain, printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash([u8; 32]);

/// A text that is not such a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash of the audit log is 64 hexadecimal digits")]
pub struct AuditHashError;

impl AuditHash {
    /// What stands before the first entry.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for AuditHash {
    type Err = AuditHashError;

    fn from_str(text: &str) -> Result<Self, AuditHashError> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len() {
            return Err(AuditHashError);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return Err(AuditHashError) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// An entry as it is kept. Its words are those that are stored, and nothing is made
/// of them: also what nobody would have written is to be shown, and found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub number: i64,
    /// By the clock of whoever wrote it.
    pub at: Timestamp,
    /// Where it was done; `None` is both environments.
    pub environment: Option<Environment>,
    /// The name of the partner it is about; `None` is none, or all.
    pub partner: Option<String>,
    /// Who did it: the words of [`Actor`].
    pub actor: String,
    /// The id of the key by which it was done.
    pub key: Option<String>,
    /// From which IP address it was asked for.
    pub address: Option<String>,
    /// The word of an [`AuditAction`].
    pub action: String,
    /// What it was done to: an id or a name.
    pub subject: String,
    /// More of it, as JSON. Never a secret.
    pub detail: String,
    /// Drawn for each entry and shown to nobody: without it, whoever may see a hash and
    /// not the entry could guess the entry.
    pub salt: [u8; 16],
    /// The hash of the entry before it.
    pub previous_hash: AuditHash,
    /// The hash of all of that.
    pub hash: AuditHash,
}

/// An entry by its number and hash: all that need be noted elsewhere to find out later
/// whether the log was written anew up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; 0 where there is no entry yet.
    pub number: i64,
    /// Its hash.
    pub hash: AuditHash,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn actions_and_hashes_read_back_as_they_print() {
        let words: HashSet<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), AuditAction::ALL.len());
        for action in AuditAction::ALL {
            assert_eq!(action.to_string().parse(), Ok(*action));
        }
        let error = "keys.created".parse::<AuditAction>().expect_err("no such word").to_string();
        assert!(error.contains("`keys.created`") && error.contains("`key.created`"), "{error}");

        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0x0f, 0xa0);
        let hash = AuditHash::from_bytes(bytes);
        assert!(hash.to_string().starts_with("0f00") && hash.to_string().ends_with("00a0"));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        for wrong in ["", "0f", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+f".repeat(32)] {
            assert_eq!(wrong.parse::<AuditHash>(), Err(AuditHashError), "{wrong}");
        }
    }
}
