//! Standard Webhooks signatures, version `v1`: HMAC-SHA256 over
//! `id.timestamp.body`. Decides what a signing secret is, how an attempt is
//! signed and when a receiver may trust one. Which secrets are in force during
//! a rotation, and what the headers are called, is left to others.

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
/// How far a timestamp may lie from the receiver's clock, either way.
pub const TOLERANCE_SECONDS: u64 = 300;

const SECRET_PREFIX: &str = "whsec_";
const VERSION: &str = "v1";
/// `v1,` and the base64 of 32 bytes.
const SIGNATURE_BYTES: usize = VERSION.len() + 1 + 44;

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

    /// The code of one message, its bytes fed in without being joined first.
    fn authenticate(&self, webhook_id: &str, timestamp: fmt::Arguments<'_>, body: &[u8]) -> Hmac<Sha256> {
        let mut feed = Feed(self.0.keyed.clone());
        fmt::write(&mut feed, format_args!("{webhook_id}.{timestamp}.")).expect("feeding a hash cannot fail");
        let Feed(mut code) = feed;
        code.update(body);
        code
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(redacted)")
    }
}

/// Lets text be formatted straight into the hash.
struct Feed(Hmac<Sha256>);

impl fmt::Write for Feed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// The `webhook-signature` header of one attempt: a `v1,…` for each secret, in
/// order, separated by spaces. `timestamp_seconds` is what is sent as
/// `webhook-timestamp`, `body` the exact bytes that are sent.
pub fn sign(secrets: &[SigningSecret], webhook_id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let mut header = String::with_capacity(secrets.len() * (SIGNATURE_BYTES + 1));
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str(VERSION);
        header.push(',');
        let code = secret.authenticate(webhook_id, format_args!("{timestamp_seconds}"), body);
        BASE64_STANDARD.encode_string(code.finalize().into_bytes(), &mut header);
    }
    header
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
    #[error("`webhook-signature` holds no signature of version {VERSION}")]
    NoSignature,
    /// Signed with another secret, or changed since.
    #[error("no signature fits: use the endpoint's present secret, and the body's bytes exactly as they came")]
    Mismatch,
}

/// Whether one of the secrets signed this message, and lately. The headers are
/// given as they came; signatures of other versions are passed over. Codes are
/// compared in constant time.
pub fn verify(
    secrets: &[SigningSecret],
    webhook_id: &str,
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now_seconds: i64,
) -> Result<(), VerifyError> {
    if webhook_id.contains('.') {
        return Err(VerifyError::Id);
    }
    let timestamp: i64 = timestamp_header.parse().map_err(|_| VerifyError::Timestamp)?;
    if timestamp.abs_diff(now_seconds) > TOLERANCE_SECONDS {
        return Err(if timestamp < now_seconds { VerifyError::TooOld } else { VerifyError::TooNew });
    }
    let offered: Vec<&str> = signature_header
        .split(' ')
        .filter_map(|signature| signature.split_once(','))
        .filter_map(|(version, encoded)| (version == VERSION).then_some(encoded))
        .collect();
    if offered.is_empty() {
        return Err(VerifyError::NoSignature);
    }
    let codes: Vec<Vec<u8>> = offered.iter().filter_map(|encoded| BASE64_STANDARD.decode(encoded).ok()).collect();
    for secret in secrets {
        // The header's own spelling is what was signed, not the number it reads as.
        let expected = secret.authenticate(webhook_id, format_args!("{timestamp_header}"), body);
        if codes.iter().any(|code| expected.clone().verify_slice(code).is_ok()) {
            return Ok(());
        }
    }
    Err(VerifyError::Mismatch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    use super::*;
    use crate::clock::Clock;

    const NOW: i64 = 1_700_000_000;

    fn secret(fill: u8) -> SigningSecret {
        SigningSecret::from_key(&[fill; 32]).unwrap()
    }

    fn check(header: &str, timestamp: &str, body: &[u8], expected: Result<(), VerifyError>) {
        let secrets = [secret(1), secret(2)];
        assert_eq!(verify(&secrets, "evt_1", timestamp, header, body, NOW), expected, "{header} at {timestamp}");
    }

    #[test]
    fn the_published_vectors_come_out() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/standard-webhooks.json")).unwrap();
        let cases = vectors["v1"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let timestamp = case["timestamp"].as_i64().unwrap();
            let secret = SigningSecret::parse(text("secret")).unwrap();
            assert_eq!(secret.reveal(), text("secret"));
            let body = text("body").as_bytes();
            assert_eq!(sign(std::slice::from_ref(&secret), text("id"), timestamp, body), text("signature"));
            let stamp = timestamp.to_string();
            assert_eq!(verify(&[secret], text("id"), &stamp, text("signature"), body, timestamp), Ok(()));
        }
    }

    #[test]
    fn secrets_are_24_to_64_bytes_of_padded_base64() {
        for length in [24, 32, 64] {
            assert!(SigningSecret::from_key(&vec![7; length]).is_ok(), "{length}");
        }
        for length in [0, 23, 65] {
            let error = SigningSecret::from_key(&vec![7; length]).unwrap_err();
            assert_eq!(error, SecretError::Length(length));
        }
        let good = secret(0xfb).reveal();
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
        let printed = format!("{:?}", secret(9));
        assert_eq!(printed, "SigningSecret(redacted)");
    }

    #[test]
    fn every_secret_signs_and_any_one_is_enough() {
        let header = sign(&[secret(1), secret(3)], "evt_1", NOW, b"{}");
        let separate =
            format!("{} {}", sign(&[secret(1)], "evt_1", NOW, b"{}"), sign(&[secret(3)], "evt_1", NOW, b"{}"));
        assert_eq!(header, separate);
        assert_eq!(sign(&[], "evt_1", NOW, b"{}"), "");
        check(&header, &NOW.to_string(), b"{}", Ok(()));
        check(&format!("v1a,xxxx v1,bm8= v2 {header}"), &NOW.to_string(), b"{}", Ok(()));
    }

    #[test]
    fn what_is_not_signed_by_us_is_refused() {
        let header = sign(&[secret(1)], "evt_1", NOW, b"{}");
        let stamp = NOW.to_string();
        check(&header, &stamp, b"{ }", Err(VerifyError::Mismatch));
        check(&header, &(NOW + 1).to_string(), b"{}", Err(VerifyError::Mismatch));
        check(&header, &format!("+{NOW}"), b"{}", Err(VerifyError::Mismatch));
        check(&sign(&[secret(3)], "evt_1", NOW, b"{}"), &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&sign(&[secret(1)], "evt_2", NOW, b"{}"), &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&header[..header.len() - 4], &stamp, b"{}", Err(VerifyError::Mismatch));
        check("v1,", &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&header.replace("v1,", "v1a,"), &stamp, b"{}", Err(VerifyError::NoSignature));
        check("", &stamp, b"{}", Err(VerifyError::NoSignature));
        for unreadable in ["", "soon", "1700000000.5", "99999999999999999999"] {
            check(&header, unreadable, b"{}", Err(VerifyError::Timestamp));
        }
        assert_eq!(verify(&[], "evt_1", &stamp, &header, b"{}", NOW), Err(VerifyError::Mismatch));
    }

    #[test]
    fn bytes_cannot_move_between_id_timestamp_and_body() {
        let header = sign(&[secret(1)], "evt_1", 5, format!("{NOW}.{{}}").as_bytes());
        let moved = verify(&[secret(1)], "evt_1.5", &NOW.to_string(), &header, b"{}", NOW);
        assert_eq!(moved, Err(VerifyError::Id));
    }

    #[test]
    fn the_clocks_may_differ_by_five_minutes() {
        for (offset, expected) in [
            (-301, Err(VerifyError::TooOld)),
            (-300, Ok(())),
            (300, Ok(())),
            (301, Err(VerifyError::TooNew)),
            (i64::MAX - NOW, Err(VerifyError::TooNew)),
        ] {
            let header = sign(&[secret(2)], "evt_1", NOW + offset, b"");
            check(&header, &(NOW + offset).to_string(), b"", expected);
        }
        check("v1,bm8=", &i64::MIN.to_string(), b"", Err(VerifyError::TooOld));
    }

    /// The reference's own header map, without naming the crate it is from.
    fn headers<Map: Default, Answer>(_: impl Fn(&Webhook, &[u8], &Map) -> Answer) -> Map {
        Map::default()
    }

    proptest! {
        #[test]
        fn the_reference_implementation_agrees_both_ways(
            key in prop::collection::vec(any::<u8>(), MIN_KEY_BYTES..=MAX_KEY_BYTES),
            id in "[a-zA-Z0-9_]{1,40}",
            body in "\\PC{0,200}",
            skew in -290..290_i64,
        ) {
            let secret = SigningSecret::from_key(&key).unwrap();
            let theirs = Webhook::new(&secret.reveal()).unwrap();
            let now = Clock::system().wall().as_seconds();
            let (timestamp, body) = (now + skew, body.as_bytes());

            let ours = sign(std::slice::from_ref(&secret), &id, timestamp, body);
            let mut sent = headers(Webhook::verify);
            sent.insert("webhook-id", id.parse().unwrap());
            sent.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
            sent.insert("webhook-signature", ours.parse().unwrap());
            prop_assert!(theirs.verify(body, &sent).is_ok());

            let signed = theirs.sign(&id, timestamp, body).unwrap();
            prop_assert_eq!(&signed, &ours);
            prop_assert_eq!(verify(&[secret], &id, &timestamp.to_string(), &signed, body, now), Ok(()));
        }

        #[test]
        fn a_changed_byte_is_noticed(
            body in prop::collection::vec(any::<u8>(), 1..100),
            place in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let header = sign(&[secret(1)], "evt_1", NOW, &body);
            let mut changed = body.clone();
            changed[place.index(body.len())] ^= flip;
            let stamp = NOW.to_string();
            prop_assert_eq!(verify(&[secret(1)], "evt_1", &stamp, &header, &body, NOW), Ok(()));
            prop_assert_eq!(verify(&[secret(1)], "evt_1", &stamp, &header, &changed, NOW), Err(VerifyError::Mismatch));
        }

        #[test]
        fn no_header_can_make_it_panic(id in "\\PC*", stamp in "\\PC*", header in "\\PC*|(v1,\\PC* ?)*") {
            let verdict = verify(&[secret(1)], &id, &stamp, &header, b"", NOW);
            prop_assert!(verdict.is_err());
        }
    }
}
