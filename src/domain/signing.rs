//! By which of the two kinds of Standard Webhooks signatures an endpoint's
//! attempts are signed, and how many secrets may do so at once. What a
//! signature is, is `policy::signature`'s.

use std::fmt;
use std::str::FromStr;

/// Most secrets and key pairs that sign for an endpoint at once.
pub const MAX_SECRETS: usize = 5;

/// How attempts are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Signing {
    /// HMAC-SHA256 with a secret that both sides have.
    #[default]
    V1,
    /// ed25519: the receiver has no more than the public key.
    V1a,
}

/// A word that is no kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `v1` (HMAC-SHA256 with a shared secret) or `v1a` (ed25519 with a key pair)")]
pub struct SigningError;

impl Signing {
    /// Each, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::V1, Self::V1a];

    /// The word used in the API and in front of a signature.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

impl fmt::Display for Signing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Signing {
    type Err = SigningError;

    fn from_str(text: &str) -> Result<Self, SigningError> {
        match text {
            "v1" => Ok(Self::V1),
            "v1a" => Ok(Self::V1a),
            _ => Err(SigningError),
        }
    }
}
