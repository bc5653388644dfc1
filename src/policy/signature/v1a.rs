//! Version `v1a`: ed25519. Decides what a key pair and a public key are, how
//! the pair signs and when a signature counts. A signature is judged strictly:
//! one that some libraries would take and others not is refused, and so is a
//! key of small order, which would fit nearly everything.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner as _;
use ed25519_dalek::{KEYPAIR_LENGTH, PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, Signature, SigningKey, VerifyingKey};

/// Bytes that a key pair is made of, all of them random.
pub const SEED_BYTES: usize = SECRET_KEY_LENGTH;

/// What a key pair begins with.
pub(super) const PAIR_PREFIX: &str = "whsk_";
/// What a public key begins with.
pub(super) const PUBLIC_PREFIX: &str = "whpk_";

/// What signs: a private key, and the public one that belongs to it. A clone
/// shares it.
#[derive(Clone)]
pub struct KeyPair(Arc<SigningKey>);

/// What verifies, and is no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that cannot be a key. The messages never repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another kind of key, or none.
    #[error("a {} begins with `{prefix}`, followed by its {} bytes in base64", noun(prefix), bytes(prefix))]
    Prefix {
        /// What was expected.
        prefix: &'static str,
    },
    /// Not base64 as Standard Webhooks writes it.
    #[error("what follows `{prefix}` must be standard base64 (with `+` and `/`), padded with `=`")]
    Base64 {
        /// What it follows.
        prefix: &'static str,
    },
    /// Another number of bytes.
    #[error(
        "what follows `{prefix}` is the base64 of {} bytes{}, and these are {found}",
        bytes(prefix),
        made_of(prefix)
    )]
    Length {
        /// What they follow.
        prefix: &'static str,
        /// How many they are.
        found: usize,
    },
    /// The second half is not the public key of the first.
    #[error("the two halves do not belong together: the last 32 bytes must be the public key of the seed before them")]
    Halves,
    /// No point of the curve, or one of small order.
    #[error("these 32 bytes are no public key of ed25519")]
    NoKey,
}

fn noun(prefix: &str) -> &'static str {
    if prefix == PAIR_PREFIX { "key pair" } else { "public key" }
}

fn bytes(prefix: &str) -> usize {
    if prefix == PAIR_PREFIX { KEYPAIR_LENGTH } else { PUBLIC_KEY_LENGTH }
}

fn made_of(prefix: &str) -> &'static str {
    if prefix == PAIR_PREFIX { " (a seed of 32 and its public key of 32)" } else { "" }
}

fn decoded<const LENGTH: usize>(text: &str, prefix: &'static str) -> Result<[u8; LENGTH], KeyError> {
    let encoded = text.strip_prefix(prefix).ok_or(KeyError::Prefix { prefix })?;
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| KeyError::Base64 { prefix })?;
    bytes.try_into().map_err(|bytes: Vec<u8>| KeyError::Length { prefix, found: bytes.len() })
}

impl KeyPair {
    /// Reads `whsk_…`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; KEYPAIR_LENGTH] = decoded(text, PAIR_PREFIX)?;
        let key = SigningKey::from_keypair_bytes(&bytes).map_err(|_| KeyError::Halves)?;
        Ok(Self(Arc::new(key)))
    }

    /// The pair of a seed that was drawn at random.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(Arc::new(SigningKey::from_bytes(seed)))
    }

    /// The pair as `whsk_…`: for the store, and for nobody else.
    pub fn reveal(&self) -> String {
        format!("{PAIR_PREFIX}{}", BASE64_STANDARD.encode(self.0.to_keypair_bytes()))
    }

    /// What the receiver verifies with.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn seed(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Appends the signature of a message.
    pub(super) fn sign(&self, parts: &[&[u8]], header: &mut String) {
        BASE64_STANDARD.encode_string(self.0.multipart_sign(parts).to_bytes(), header);
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyPair({}, the rest redacted)", self.public_key())
    }
}

impl PublicKey {
    /// Reads `whpk_…`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; PUBLIC_KEY_LENGTH] = decoded(text, PUBLIC_PREFIX)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NoKey)?;
        if key.is_weak() { Err(KeyError::NoKey) } else { Ok(Self(key)) }
    }

    /// Whether one of these is a signature of the message.
    pub(super) fn signed(&self, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        let signatures = signatures.iter().filter_map(|bytes| Signature::from_slice(bytes).ok());
        let message = parts.concat();
        signatures.into_iter().any(|signature| self.0.verify_strict(&message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC_PREFIX}{}", BASE64_STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(fill: u8) -> KeyPair {
        KeyPair::from_seed(&[fill; SEED_BYTES])
    }

    fn encoded(prefix: &str, bytes: &[u8]) -> String {
        format!("{prefix}{}", BASE64_STANDARD.encode(bytes))
    }

    #[test]
    fn a_pair_reads_back_and_knows_its_public_half() {
        let text = pair(1).reveal();
        let read = KeyPair::parse(&text).unwrap();
        assert_eq!(read.reveal(), text);
        assert_eq!(read.public_key(), pair(1).public_key());
        assert_eq!(PublicKey::parse(&read.public_key().to_string()), Ok(read.public_key()));
        assert_ne!(read.public_key(), pair(2).public_key());
    }

    #[test]
    fn what_is_no_pair_is_refused_with_what_a_pair_is() {
        let good = pair(1).reveal();
        let bytes = pair(1).0.to_keypair_bytes();
        let mut halves = bytes;
        halves[SEED_BYTES..].copy_from_slice(pair(2).0.verifying_key().as_bytes());
        let mut flipped = bytes;
        flipped[0] ^= 1;
        let prefix = PAIR_PREFIX;
        for (bad, error) in [
            (String::new(), KeyError::Prefix { prefix }),
            (good.replace(PAIR_PREFIX, PUBLIC_PREFIX), KeyError::Prefix { prefix }),
            (good.trim_end_matches('=').to_owned(), KeyError::Base64 { prefix }),
            (encoded(prefix, &bytes[..SEED_BYTES]), KeyError::Length { prefix, found: 32 }),
            (encoded(prefix, &[1; 65]), KeyError::Length { prefix, found: 65 }),
            (encoded(prefix, &halves), KeyError::Halves),
            (encoded(prefix, &flipped), KeyError::Halves),
        ] {
            let found = KeyPair::parse(&bad).unwrap_err();
            assert_eq!(found, error, "{bad}");
            assert!(!found.to_string().contains(&good[5..]), "no message repeats a key");
        }
        let shown = KeyError::Length { prefix, found: 32 }.to_string();
        let expected =
            "what follows `whsk_` is the base64 of 64 bytes (a seed of 32 and its public key of 32), and these are 32";
        assert_eq!(shown, expected);
    }

    #[test]
    fn weak_public_keys_and_other_points_are_none() {
        let identity = { [1].into_iter().chain([0; 31]).collect::<Vec<u8>>() };
        let off_the_curve = { [2].into_iter().chain([0; 31]).collect::<Vec<u8>>() };
        for bytes in [identity, off_the_curve, vec![0; 32]] {
            assert_eq!(PublicKey::parse(&encoded(PUBLIC_PREFIX, &bytes)), Err(KeyError::NoKey), "{bytes:?}");
        }
        let found = PublicKey::parse(&pair(1).reveal());
        assert_eq!(found, Err(KeyError::Prefix { prefix: PUBLIC_PREFIX }), "nobody verifies with a private key");
    }

    #[test]
    fn a_signature_with_another_scalar_for_the_same_point_is_refused() {
        // The order of the group, added to the scalar: some verifiers would reduce it away.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut signature = pair(3).0.multipart_sign(&[b"message"]).to_bytes().to_vec();
        assert!(pair(3).public_key().signed(&[b"mess", b"age"], std::slice::from_ref(&signature)));
        let mut carry = 0;
        for (byte, added) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(added) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!pair(3).public_key().signed(&[b"message"], &[signature]));
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let printed = format!("{:?}", pair(9));
        assert!(printed.starts_with("KeyPair(whpk_") && printed.ends_with(", the rest redacted)"), "{printed}");
        let seed = BASE64_STANDARD.encode([9; 30]);
        assert!(!printed.contains(&seed), "{printed}");
    }
}
