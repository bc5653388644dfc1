//! What an endpoint shows of itself to a receiver that asks who calls: a
//! certificate and its key. Whether the two are sound and belong together is
//! decided by `policy::client_certificate`, once, when they are set.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::domain::Timestamp;

/// Longest text of a chain of certificates.
pub const MAX_CHAIN_BYTES: usize = 32 * 1024;
/// Most certificates of a chain: the endpoint's own and those that vouch for it.
pub const MAX_CHAIN_LENGTH: usize = 8;
/// Longest text of a private key.
pub const MAX_KEY_BYTES: usize = 8 * 1024;
/// Most characters of a certificate's subject that are kept to be shown.
pub const MAX_SUBJECT_CHARS: usize = 256;

/// A certificate that an endpoint's requests offer, with all that is needed to
/// offer it and to show which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DER, the endpoint's own first, then those that vouch for it.
    pub chain: Vec<Vec<u8>>,
    /// The key of the first.
    pub key: PrivateKey,
    /// SHA-256 of the first.
    pub sha256: [u8; 32],
    /// Whose it says it is; `None` where it has no name, or none that is text.
    pub subject: Option<String>,
    /// Until when it is valid. One that has ended is still offered: what that means is
    /// the receiver's to say.
    pub not_after: Timestamp,
}

impl ClientCertificate {
    /// What it is told apart by, as lower-case hex.
    pub fn fingerprint(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Different values with the same first certificate are rare, and told apart by
/// comparing them.
impl Hash for ClientCertificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sha256.hash(state);
    }
}

/// The DER of a private key, as PKCS#8, PKCS#1 or SEC1. It stays out of logs:
/// only [`PrivateKey::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Vec<u8>);

impl PrivateKey {
    /// A key whose form was checked.
    pub fn new(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_out_of_logs_and_a_fingerprint_is_hex() {
        let certificate = ClientCertificate {
            chain: vec![vec![1]],
            key: PrivateKey::new(vec![77, 77, 77]),
            sha256: [0xa7; 32],
            subject: None,
            not_after: Timestamp::from_millis(0),
        };
        assert!(!format!("{certificate:?}").contains("77, 77"));
        assert_eq!(certificate.key.expose(), [77, 77, 77]);
        assert_eq!(certificate.fingerprint(), "a7".repeat(32));
    }
}
