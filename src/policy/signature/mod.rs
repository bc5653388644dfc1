//! Standard Webhooks signatures: how an attempt is signed and when a receiver
//! may trust one. What is signed is always `id.timestamp.body`; the files
//! beside this one decide how each version does it, and `given` which secrets
//! are taken from partners. Which secrets are in force during a rotation, and
//! what the headers are called, is left to others.

mod given;
#[cfg(test)]
mod tests;
mod v1;
mod v1a;

pub use given::{GivenError, given};
pub use v1::{MAX_KEY_BYTES, MIN_KEY_BYTES, SecretError, SigningSecret};
pub use v1a::{KeyError, KeyPair, PublicKey, SEED_BYTES};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::domain::Signing;

/// How far a timestamp may lie from the receiver's clock, either way.
pub const TOLERANCE_SECONDS: u64 = 300;

/// `v1a,`, the base64 of 64 bytes, and a space.
const SIGNATURE_BYTES: usize = 4 + 88 + 1;

/// What signs for an endpoint.
#[derive(Debug, Clone)]
pub enum SigningKey {
    /// By `v1`: a secret that both sides have.
    Secret(SigningSecret),
    /// By `v1a`: a key pair, whose private half nobody but us has.
    Pair(KeyPair),
}

/// What a receiver verifies with.
#[derive(Debug, Clone)]
pub enum VerifyingKey {
    /// Signatures of `v1`.
    Secret(SigningSecret),
    /// Signatures of `v1a`.
    Public(PublicKey),
}

/// A text that is not what it should be. The messages never repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// As a shared secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// As a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A receiver has no use for what signs.
    #[error("this is a key pair, which signs and should be known to nobody else: verify with its public key, `whpk_…`")]
    PrivateKey,
}

impl SigningKey {
    /// Reads what [`reveal`](Self::reveal) wrote: `whsec_…` or `whsk_…`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.starts_with(v1a::PAIR_PREFIX) {
            return Ok(Self::Pair(KeyPair::parse(text)?));
        }
        Ok(Self::Secret(SigningSecret::parse(text)?))
    }

    /// As `whsec_…` or `whsk_…`: for the store.
    pub fn reveal(&self) -> String {
        match self {
            Self::Secret(secret) => secret.reveal(),
            Self::Pair(pair) => pair.reveal(),
        }
    }

    /// The version of its signatures.
    pub fn signing(&self) -> Signing {
        match self {
            Self::Secret(_) => Signing::V1,
            Self::Pair(_) => Signing::V1a,
        }
    }

    /// What verifies its signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::Secret(secret) => VerifyingKey::Secret(secret.clone()),
            Self::Pair(pair) => VerifyingKey::Public(pair.public_key()),
        }
    }
}

impl From<SigningSecret> for SigningKey {
    fn from(secret: SigningSecret) -> Self {
        Self::Secret(secret)
    }
}

impl From<KeyPair> for SigningKey {
    fn from(pair: KeyPair) -> Self {
        Self::Pair(pair)
    }
}

impl VerifyingKey {
    /// Reads `whsec_…` or `whpk_…`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.starts_with(v1a::PAIR_PREFIX) {
            return Err(ParseError::PrivateKey);
        }
        if text.starts_with(v1a::PUBLIC_PREFIX) {
            return Ok(Self::Public(PublicKey::parse(text)?));
        }
        Ok(Self::Secret(SigningSecret::parse(text)?))
    }

    /// The version of the signatures that it verifies.
    pub fn signing(&self) -> Signing {
        match self {
            Self::Secret(_) => Signing::V1,
            Self::Public(_) => Signing::V1a,
        }
    }
}

impl From<SigningSecret> for VerifyingKey {
    fn from(secret: SigningSecret) -> Self {
        Self::Secret(secret)
    }
}

impl From<PublicKey> for VerifyingKey {
    fn from(key: PublicKey) -> Self {
        Self::Public(key)
    }
}

/// The `webhook-signature` header of one attempt: `v1,…` or `v1a,…` for each
/// key, in order, separated by spaces. `timestamp_seconds` is what is sent as
/// `webhook-timestamp`, `body` the exact bytes that are sent.
pub fn sign<'a>(
    keys: impl IntoIterator<Item = &'a SigningKey>,
    webhook_id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> String {
    let head = format!("{webhook_id}.{timestamp_seconds}.");
    let parts = [head.as_bytes(), body];
    let mut header = String::with_capacity(SIGNATURE_BYTES);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str(key.signing().as_str());
        header.push(',');
        match key {
            SigningKey::Secret(secret) => secret.sign(&parts, &mut header),
            SigningKey::Pair(pair) => pair.sign(&parts, &mut header),
        }
    }
    header
}

/// What a receiver got. The headers are as they came.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signatures: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// What is known of a message that may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// By which version it was signed.
    pub signing: Signing,
    /// When, in seconds since 1970, by the sender's clock.
    pub signed_at_seconds: i64,
    /// Which of the keys fits, counted from 0.
    pub key: usize,
}

/// Why a message is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A dot in the id would let bytes move between id, timestamp and body.
    #[error("`webhook-id` must not contain a dot")]
    Id,
    /// Not a whole number.
    #[error("`webhook-timestamp` must be a whole number of seconds since 1970")]
    Timestamp,
    /// Perhaps a replay of an old message.
    #[error("the message was signed more than {TOLERANCE_SECONDS} seconds ago: have it sent anew, or set this clock")]
    TooOld,
    /// The two clocks disagree.
    #[error("the message was signed more than {TOLERANCE_SECONDS} seconds ahead of this clock: set one of the clocks")]
    TooNew,
    /// Nothing that could be compared.
    #[error("`webhook-signature` holds no signature of version v1 or v1a")]
    NoSignature,
    /// Signed by a version that none of the keys verifies.
    #[error("the message is signed by {0} alone: {advice}", advice = wanted(*.0))]
    OtherVersion(Signing),
    /// Signed with another secret, or changed since.
    #[error("no signature fits: use the endpoint's present secret, and the body's bytes exactly as they came")]
    Mismatch,
}

fn wanted(signing: Signing) -> &'static str {
    match signing {
        Signing::V1 => "verify with the endpoint's secret, `whsec_…`",
        Signing::V1a => "verify with the endpoint's public key, `whpk_…`",
    }
}

impl Message<'_> {
    /// Whether one of the keys signed this message, and lately. Signatures of
    /// other versions are passed over; codes are compared in constant time.
    pub fn verify(&self, keys: &[VerifyingKey], now_seconds: i64) -> Result<Verified, VerifyError> {
        let signed_at = self.signed_at_seconds()?;
        if signed_at.abs_diff(now_seconds) > TOLERANCE_SECONDS {
            return Err(if signed_at < now_seconds { VerifyError::TooOld } else { VerifyError::TooNew });
        }
        self.verify_at_any_age(keys)
    }

    /// The same, whenever it was. For looking into what happened: a receiver
    /// that does not mind the age takes any message again and again.
    pub fn verify_at_any_age(&self, keys: &[VerifyingKey]) -> Result<Verified, VerifyError> {
        let signed_at_seconds = self.signed_at_seconds()?;
        let offered = Signing::BOTH.map(|signing| self.offered(signing));
        if offered.iter().all(Option::is_none) {
            return Err(VerifyError::NoSignature);
        }
        // The header's own spelling is what was signed, not the number it reads as.
        let head = format!("{}.{}.", self.id, self.timestamp);
        let parts = [head.as_bytes(), self.body];
        let mut comparable = false;
        for (place, key) in keys.iter().enumerate() {
            let signing = key.signing();
            let Some(signatures) = &offered[signing as usize] else { continue };
            comparable = true;
            let fits = match key {
                VerifyingKey::Secret(secret) => secret.signed(&parts, signatures),
                VerifyingKey::Public(key) => key.signed(&parts, signatures),
            };
            if fits {
                return Ok(Verified { signing, signed_at_seconds, key: place });
            }
        }
        match Signing::BOTH.into_iter().find(|signing| offered[*signing as usize].is_some()) {
            Some(signing) if !comparable && !keys.is_empty() => Err(VerifyError::OtherVersion(signing)),
            _ => Err(VerifyError::Mismatch),
        }
    }

    /// What is signed: id, timestamp and body, with dots between.
    pub fn signed_bytes(&self) -> Vec<u8> {
        [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body].concat()
    }

    /// When it says that it was signed.
    fn signed_at_seconds(&self) -> Result<i64, VerifyError> {
        if self.id.contains('.') {
            return Err(VerifyError::Id);
        }
        self.timestamp.parse().map_err(|_| VerifyError::Timestamp)
    }

    /// What the header holds of a version, if anything, as far as it can be read.
    fn offered(&self, signing: Signing) -> Option<Vec<Vec<u8>>> {
        let mut encoded = self
            .signatures
            .split(' ')
            .filter_map(|signature| signature.split_once(','))
            .filter_map(|(version, encoded)| (version == signing.as_str()).then_some(encoded))
            .peekable();
        encoded.peek()?;
        Some(encoded.filter_map(|text| BASE64_STANDARD.decode(text).ok()).collect())
    }
}
