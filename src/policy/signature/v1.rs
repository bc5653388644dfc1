//! Version `v1`: HMAC-SHA256 with a secret that both sides have. Decides what
//! a secret is and how it authenticates a message. Headers, ages and what to
//! do with several secrets are the parent's.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Shortest key that a secret may hold.
pub const MIN_KEY_BYTES: usize = 24;
/// Longest key that a secret may hold.
pub const MAX_KEY_BYTES: usize = 64;

/// What a secret begins with.
pub(super) const SECRET_PREFIX: &str = "whsec_";

/// A secret shared with one endpoint. A clone shares the key, and the part of
/// HMAC that depends on the key alone is computed once, not per attempt.
#[derive(Clone)]
pub struct SigningSecret(Arc<Prepared>);

struct Prepared {
    key: Box<[u8]>,
    keyed: Hmac<Sha256>,
}

/// A text or key that cannot be a signing secret. The messages never repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Another kind of secret, or none.
    #[error("a signing secret begins with `whsec_`, followed by a key in base64")]
    Prefix,
    /// Not base64 as Standard Webhooks writes it.
    #[error("what follows `whsec_` must be standard base64 (with `+` and `/`), padded with `=`")]
    Base64,
    /// Too weak a key, or one longer than verifiers take.
    #[error("a signing key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, and this one has {0}")]
    Length(usize),
}

impl SigningSecret {
    /// Reads `whsec_…`.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
        let key = BASE64_STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        Self::from_key(&key)
    }

    /// Takes the key itself, for example one just drawn at random.
    pub fn from_key(key: &[u8]) -> Result<Self, SecretError> {
        if !(MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&key.len()) {
            return Err(SecretError::Length(key.len()));
        }
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Ok(Self(Arc::new(Prepared { key: key.into(), keyed })))
    }

    /// The secret as `whsec_…`: for its owner's eyes and for the store.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(&self.0.key))
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// Appends the code of a message, its parts fed in without being joined first.
    pub(super) fn sign(&self, parts: &[&[u8]], header: &mut String) {
        BASE64_STANDARD.encode_string(self.authenticate(parts).finalize().into_bytes(), header);
    }

    /// Whether one of these is the message's code. Compares in constant time.
    pub(super) fn signed(&self, parts: &[&[u8]], codes: &[Vec<u8>]) -> bool {
        let expected = self.authenticate(parts);
        codes.iter().any(|code| expected.clone().verify_slice(code).is_ok())
    }

    fn authenticate(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut code = self.0.keyed.clone();
        for part in parts {
            code.update(part);
        }
        code
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_24_to_64_bytes_of_padded_base64() {
        for length in [24, 32, 64] {
            assert!(SigningSecret::from_key(&vec![7; length]).is_ok(), "{length}");
        }
        for length in [0, 23, 65] {
            let error = SigningSecret::from_key(&vec![7; length]).unwrap_err();
            assert_eq!(error, SecretError::Length(length));
        }
        let good = SigningSecret::from_key(&[0xfb; 32]).unwrap().reveal();
        assert!(good.ends_with('=') && good.contains('+') && SigningSecret::parse(&good).is_ok(), "{good}");
        for bad in [good.trim_end_matches('='), &good.replace('+', "-"), &format!("{good}\n")] {
            assert_eq!(SigningSecret::parse(bad).unwrap_err(), SecretError::Base64, "{bad}");
        }
        for bad in ["", "whsk_AAAA", &good[6..], &good.to_uppercase(), &format!(" {good}")] {
            assert_eq!(SigningSecret::parse(bad).unwrap_err(), SecretError::Prefix, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let printed = format!("{:?}", SigningSecret::from_key(&[9; 32]).unwrap());
        assert_eq!(printed, "SigningSecret(redacted)");
    }
}
