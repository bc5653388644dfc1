//! The receivers' side: the code that `docs/receiving.md` gives them, and the
//! verifiers that they find in registries, against signatures of ours. What
//! the machine lacks is named in the output, past the test's capture of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod languages;
mod registries;

use std::io::Write as _;
use std::path::PathBuf;

use posthaste::policy::signature::{KeyPair, SigningKey, SigningSecret, sign};

/// Says that something is not tested here, to whoever reads the output of a run that passes.
fn not_tested(what: &str, remedy: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {what}: {remedy}");
}

/// Where `scripts/test` installs verifiers of others.
fn installed(path: &str) -> PathBuf {
    // The test's own file is in debug/deps of the target directory.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    target.join("verifiers").join(path)
}

/// A secret that is no other's.
fn secret(number: u8) -> SigningKey {
    SigningSecret::from_key(&std::array::from_fn::<u8, 24, _>(|index| number ^ index as u8)).unwrap().into()
}

/// A key pair that is no other's.
fn pair(number: u8) -> SigningKey {
    KeyPair::from_seed(&std::array::from_fn(|index| number ^ index as u8)).into()
}

/// What a receiver is given to verify with.
fn given(key: &SigningKey) -> String {
    match key {
        SigningKey::Secret(secret) => secret.reveal(),
        SigningKey::Pair(pair) => pair.public_key().to_string(),
    }
}

/// A request as a receiver has it, and whether it should be taken.
#[derive(Clone)]
struct Case {
    name: &'static str,
    id: String,
    timestamp: String,
    signatures: String,
    body: Vec<u8>,
    secrets: Vec<String>,
    is_good: bool,
}

impl Case {
    /// A request that these sign, now, for a receiver that has the first of them.
    fn signed(name: &'static str, keys: &[SigningKey], now_seconds: i64, body: &[u8]) -> Self {
        let id = "evt_01k9zj2q4y".to_owned();
        Self {
            name,
            signatures: sign(keys, &id, now_seconds, body),
            timestamp: now_seconds.to_string(),
            id,
            body: body.to_vec(),
            secrets: keys.iter().take(1).map(given).collect(),
            is_good: true,
        }
    }

    fn with(mut self, secrets: &[&SigningKey]) -> Self {
        self.secrets = secrets.iter().map(|key| given(key)).collect();
        self
    }

    fn bad(mut self) -> Self {
        self.is_good = false;
        self
    }
}

/// What every verifier has to tell apart, whatever else it knows: bodies are JSON.
fn plain_cases(now: i64) -> Vec<Case> {
    const BODY: &[u8] = "{\"event\":\"campaign.updated\",\"id\":\"é 💌\"}".as_bytes();
    let signed = |name, keys: &[SigningKey]| Case::signed(name, keys, now, BODY);
    let good = signed("", &[secret(1)]);
    let rotated = [secret(2), secret(1)];
    let going_over = [pair(1), secret(1)];
    vec![
        signed("one secret", &[secret(1)]),
        signed("a rotation, the new secret", &rotated).with(&[&secret(2)]),
        signed("a rotation, the old secret", &rotated).with(&[&secret(1)]),
        signed("a rotation to v1a, the old secret", &going_over).with(&[&secret(1)]),
        Case {
            name: "unknown versions beside it",
            signatures: format!("v2,AAAA v1b,BBBB= {}", good.signatures),
            ..good.clone()
        },
        Case::signed("some minutes ago", &[secret(1)], now - 200, BODY),
        Case::signed("some minutes ahead", &[secret(1)], now + 200, BODY),
        signed("another secret", &[secret(1)]).with(&[&secret(3)]).bad(),
        Case::signed("too old", &[secret(1)], now - 400, BODY).bad(),
        Case::signed("too new", &[secret(1)], now + 400, BODY).bad(),
        Case { name: "another body", body: BODY.to_ascii_uppercase(), ..good.clone() }.bad(),
        Case { name: "a line end more", body: [BODY, b"\n"].concat(), ..good.clone() }.bad(),
        Case { name: "another id", id: "evt_01k9zj2q4z".to_owned(), ..good.clone() }.bad(),
        Case { name: "another time", timestamp: (now - 1).to_string(), ..good.clone() }.bad(),
        signed("v1a alone", &[pair(1)]).with(&[&secret(1)]).bad(),
        Case { name: "a code called v1a", signatures: good.signatures.replace("v1,", "v1a,"), ..good.clone() }.bad(),
        Case { name: "a code called v2", signatures: good.signatures.replace("v1,", "v2,"), ..good }.bad(),
    ]
}
