//! Both versions by the published vectors, by a verifier that is not ours, and
//! by properties.

use proptest::prelude::*;
use serde_json::Value;
use standardwebhooks::Webhook;

use super::*;
use crate::clock::Clock;

const NOW: i64 = 1_700_000_000;

fn secret(fill: u8) -> SigningKey {
    SigningSecret::from_key(&[fill; 32]).unwrap().into()
}

fn pair(fill: u8) -> SigningKey {
    KeyPair::from_seed(&[fill; SEED_BYTES]).into()
}

fn verifying(keys: &[SigningKey]) -> Vec<VerifyingKey> {
    keys.iter().map(SigningKey::verifying_key).collect()
}

fn message<'a>(timestamp: &'a str, signatures: &'a str, body: &'a [u8]) -> Message<'a> {
    Message { id: "evt_1", timestamp, signatures, body }
}

/// Judged by a receiver that has two secrets and two public keys.
fn check(header: &str, timestamp: &str, body: &[u8], expected: Result<(Signing, usize), VerifyError>) {
    let keys = verifying(&[secret(1), secret(2), pair(1), pair(2)]);
    let found = message(timestamp, header, body).verify(&keys, NOW);
    assert_eq!(found.map(|verified| (verified.signing, verified.key)), expected, "{header} at {timestamp}");
}

#[test]
fn the_published_vectors_come_out() {
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors/standard-webhooks.json")).unwrap();
    for signing in Signing::BOTH {
        let cases = vectors[signing.as_str()].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let seconds = case["timestamp"].as_i64().unwrap();
            let key = SigningKey::parse(text("secret")).unwrap();
            assert_eq!((key.reveal().as_str(), key.signing()), (text("secret"), signing));
            let body = text("body").as_bytes();
            assert_eq!(sign([&key], text("id"), seconds, body), text("signature"));
            let timestamp = seconds.to_string();
            let message = Message { id: text("id"), timestamp: &timestamp, signatures: text("signature"), body };
            let verified = Verified { signing, signed_at_seconds: seconds, key: 0 };
            assert_eq!(message.verify(&verifying(&[key]), seconds), Ok(verified));
        }
    }
}

#[test]
fn every_key_signs_and_any_one_is_enough() {
    let header = sign(&[pair(1), secret(1), secret(3)], "evt_1", NOW, b"{}");
    let separate = [pair(1), secret(1), secret(3)].map(|key| sign([&key], "evt_1", NOW, b"{}"));
    assert_eq!(header, separate.join(" "));
    assert_eq!(sign([], "evt_1", NOW, b"{}"), "");
    let stamp = NOW.to_string();
    check(&header, &stamp, b"{}", Ok((Signing::V1, 0)));
    check(&sign(&[secret(9), pair(2)], "evt_1", NOW, b"{}"), &stamp, b"{}", Ok((Signing::V1a, 3)));
    check(&format!("v1a,xxxx v1,bm8= v2,abc v2 , {header}"), &stamp, b"{}", Ok((Signing::V1, 0)));
    let only_public = verifying(&[pair(1)]);
    assert!(message(&stamp, &header, b"{}").verify(&only_public, NOW).is_ok());
}

#[test]
fn what_is_not_signed_by_us_is_refused() {
    let stamp = NOW.to_string();
    for (ours, stranger) in [(secret(1), secret(3)), (pair(1), pair(3))] {
        let header = sign([&ours], "evt_1", NOW, b"{}");
        let version = ours.signing().as_str();
        check(&header, &stamp, b"{ }", Err(VerifyError::Mismatch));
        check(&header, &(NOW + 1).to_string(), b"{}", Err(VerifyError::Mismatch));
        check(&header, &format!("+{NOW}"), b"{}", Err(VerifyError::Mismatch));
        check(&sign([&stranger], "evt_1", NOW, b"{}"), &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&sign([&ours], "evt_2", NOW, b"{}"), &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&header[..header.len() - 4], &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&format!("{version},"), &stamp, b"{}", Err(VerifyError::Mismatch));
        check(&header.replace(version, "v2"), &stamp, b"{}", Err(VerifyError::NoSignature));
        for unreadable in ["", "soon", "1700000000.5", "99999999999999999999"] {
            check(&header, unreadable, b"{}", Err(VerifyError::Timestamp));
        }
        let nobody = message(&stamp, &header, b"{}").verify(&[], NOW);
        assert_eq!(nobody, Err(VerifyError::Mismatch));
    }
    check("", &stamp, b"{}", Err(VerifyError::NoSignature));
    // What one version signed is no signature of the other.
    let [code, signature] = [secret(1), pair(1)].map(|key| sign([&key], "evt_1", NOW, b"{}"));
    check(&code.replace("v1,", "v1a,"), &stamp, b"{}", Err(VerifyError::Mismatch));
    check(&signature.replace("v1a,", "v1,"), &stamp, b"{}", Err(VerifyError::Mismatch));
}

#[test]
fn a_key_of_the_other_kind_is_told_from_a_wrong_one() {
    let stamp = NOW.to_string();
    let told = |signed: &[SigningKey], keys: &[SigningKey]| {
        let header = sign(signed, "evt_1", NOW, b"");
        message(&stamp, &header, b"").verify(&verifying(keys), NOW)
    };
    assert_eq!(told(&[pair(1)], &[secret(1)]), Err(VerifyError::OtherVersion(Signing::V1a)));
    assert_eq!(told(&[secret(1)], &[pair(1)]), Err(VerifyError::OtherVersion(Signing::V1)));
    assert_eq!(told(&[secret(1), pair(1)], &[pair(2)]), Err(VerifyError::Mismatch));
    assert_eq!(told(&[pair(1)], &[secret(1), pair(2)]), Err(VerifyError::Mismatch));
}

#[test]
fn bytes_cannot_move_between_id_timestamp_and_body() {
    for key in [secret(1), pair(1)] {
        let header = sign([&key], "evt_1", 5, format!("{NOW}.{{}}").as_bytes());
        let timestamp = NOW.to_string();
        let moved = Message { id: "evt_1.5", timestamp: &timestamp, signatures: &header, body: b"{}" };
        assert_eq!(moved.verify(&verifying(&[key]), NOW), Err(VerifyError::Id));
    }
}

#[test]
fn the_clocks_may_differ_by_five_minutes() {
    for (offset, expected) in [
        (-301, Err(VerifyError::TooOld)),
        (-300, Ok((Signing::V1a, 3))),
        (300, Ok((Signing::V1a, 3))),
        (301, Err(VerifyError::TooNew)),
        (i64::MAX - NOW, Err(VerifyError::TooNew)),
    ] {
        let header = sign(&[pair(2)], "evt_1", NOW + offset, b"");
        check(&header, &(NOW + offset).to_string(), b"", expected);
        let timestamp = (NOW + offset).to_string();
        assert!(message(&timestamp, &header, b"").verify_at_any_age(&verifying(&[pair(2)])).is_ok());
    }
    check("v1,bm8=", &i64::MIN.to_string(), b"", Err(VerifyError::TooOld));
}

#[test]
fn a_receiver_reads_what_verifies_and_nothing_that_signs() {
    let pair = KeyPair::from_seed(&[4; SEED_BYTES]);
    assert_eq!(VerifyingKey::parse(&pair.reveal()).unwrap_err(), ParseError::PrivateKey);
    assert_eq!(VerifyingKey::parse(&pair.public_key().to_string()).unwrap().signing(), Signing::V1a);
    assert_eq!(VerifyingKey::parse(&secret(4).reveal()).unwrap().signing(), Signing::V1);
    assert_eq!(VerifyingKey::parse("hunter2").unwrap_err(), ParseError::Secret(SecretError::Prefix));
    assert_eq!(SigningKey::parse("whpk_AAAA").unwrap_err(), ParseError::Secret(SecretError::Prefix));
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
        rotated in any::<bool>(),
    ) {
        let secret = SigningSecret::from_key(&key).unwrap();
        let theirs = Webhook::new(&secret.reveal()).unwrap();
        let now = Clock::system().wall().as_seconds();
        let (seconds, body) = (now + skew, body.as_bytes());
        let keys: Vec<SigningKey> = rotated.then(|| pair(1)).into_iter().chain([secret.clone().into()]).collect();

        let ours = sign(&keys, &id, seconds, body);
        let mut sent = headers(Webhook::verify);
        sent.insert("webhook-id", id.parse().unwrap());
        sent.insert("webhook-timestamp", seconds.to_string().parse().unwrap());
        sent.insert("webhook-signature", ours.parse().unwrap());
        prop_assert!(theirs.verify(body, &sent).is_ok());

        let signed = theirs.sign(&id, seconds, body).unwrap();
        prop_assert!(ours.ends_with(&signed));
        let timestamp = seconds.to_string();
        let message = Message { id: &id, timestamp: &timestamp, signatures: &signed, body };
        let verified = Verified { signing: Signing::V1, signed_at_seconds: seconds, key: 0 };
        prop_assert_eq!(message.verify(&[secret.into()], now), Ok(verified));
    }

    #[test]
    fn a_changed_byte_is_noticed(
        body in prop::collection::vec(any::<u8>(), 1..100),
        place in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        seed in any::<[u8; SEED_BYTES]>(),
    ) {
        let mut changed = body.clone();
        changed[place.index(body.len())] ^= flip;
        let stamp = NOW.to_string();
        for key in [SigningSecret::from_key(&seed).unwrap().into(), KeyPair::from_seed(&seed).into()] {
            let header = sign([&key], "evt_1", NOW, &body);
            let keys = verifying(&[key]);
            prop_assert!(message(&stamp, &header, &body).verify(&keys, NOW).is_ok());
            prop_assert_eq!(message(&stamp, &header, &changed).verify(&keys, NOW), Err(VerifyError::Mismatch));
        }
    }

    #[test]
    fn a_changed_signature_is_noticed(seed in any::<[u8; SEED_BYTES]>(), place in 0..64_usize, bit in 0..8_u32) {
        let key = SigningKey::from(KeyPair::from_seed(&seed));
        let header = sign([&key], "evt_1", NOW, b"{}");
        let mut bytes = BASE64_STANDARD.decode(&header[4..]).unwrap();
        bytes[place] ^= 1 << bit;
        let changed = format!("v1a,{}", BASE64_STANDARD.encode(bytes));
        let verdict = message(&NOW.to_string(), &changed, b"{}").verify(&verifying(&[key]), NOW);
        prop_assert_eq!(verdict, Err(VerifyError::Mismatch));
    }

    #[test]
    fn keys_read_back_as_they_were(seed in any::<[u8; SEED_BYTES]>()) {
        let pair = KeyPair::from_seed(&seed);
        let read = SigningKey::parse(&pair.reveal()).unwrap();
        prop_assert_eq!(read.reveal(), pair.reveal());
        let public = PublicKey::parse(&pair.public_key().to_string());
        prop_assert_eq!(public, Ok(pair.public_key()));
    }

    #[test]
    fn no_header_can_make_it_panic(id in "\\PC*", stamp in "\\PC*", header in "\\PC*|(v1a?,\\PC* ?)*") {
        let message = Message { id: &id, timestamp: &stamp, signatures: &header, body: b"" };
        prop_assert!(message.verify(&verifying(&[secret(1), pair(1)]), NOW).is_err());
    }

    #[test]
    fn no_text_can_make_it_panic(text in "\\PC*|whs(ec|k)_\\PC*|whpk_\\PC*|whpk_[A-Za-z0-9+/]{0,90}={0,2}") {
        let _ = (SigningKey::parse(&text), VerifyingKey::parse(&text), given(&text, Signing::V1a));
    }
}
