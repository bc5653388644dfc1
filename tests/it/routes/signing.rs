//! How an endpoint signs: by a secret or by a key pair whose private half
//! nobody is shown, several of them while rotations overlap, and never more
//! than so many.

use posthaste::cli::receiver::Received;
use posthaste::clock::Clock;
use posthaste::domain::Signing;
use posthaste::policy::signature::{KeyPair, Message, Verified, VerifyError, VerifyingKey};
use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, campaign, time, webhook_path};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::new();

const OWN_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY=";
/// Of the published vectors.
const OWN_PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

fn sent(tenant: &Tenant, subscriber: &Subscriber) -> Received {
    tenant.event(campaign("campaign.updated", "c-1"));
    subscriber.next()
}

/// What a receiver finds that has this secret or public key alone.
fn verified(received: &Received, key: &Value) -> Result<Signing, VerifyError> {
    let key = VerifyingKey::parse(key.as_str().unwrap()).unwrap();
    let message = Message {
        id: header(received, "webhook-id"),
        timestamp: header(received, "webhook-timestamp"),
        signatures: header(received, "webhook-signature"),
        body: &received.body,
    };
    message.verify(&[key], Clock::system().wall().as_seconds()).map(|Verified { signing, .. }| signing)
}

/// The versions in a request's header, in order.
fn versions(received: &Received) -> Vec<&str> {
    let signatures = header(received, "webhook-signature").split(' ');
    signatures.map(|signature| signature.split_once(',').unwrap().0).collect()
}

fn rotate(tenant: &Tenant, made: &Value, body: &Value) -> Value {
    tenant.partner.post(&format!("{}/secret/rotate", webhook_path(made)), body.to_string()).expect(200)
}

#[test]
fn a_key_pair_is_made_and_only_its_public_half_shown() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let body = json!({ "url": subscriber.url("/"), "events": ["*"], "signing": "v1a" });
    let answer = tenant.partner.post("/webhook", body.to_string());
    let made = answer.expect(201);
    assert_eq!((&made["signing"], &made["secret"]), (&json!("v1a"), &Value::Null));
    let asked = tenant.partner.get(&format!("{}/secret", webhook_path(&made)));
    assert_eq!(asked.expect(200), json!({ "secret": null, "public_key": made["public_key"], "previous": [] }));
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    let read = tenant.partner.get(&webhook_path(&made));
    assert_eq!(read.expect(200)["signing"], "v1a");
    assert!(!read.body.contains("whpk_"), "it is shown once, and at its own route");

    let received = sent(&tenant, &subscriber);
    assert_eq!(versions(&received), ["v1a"]);
    assert_eq!(verified(&received, &made["public_key"]), Ok(Signing::V1a));
    let other = tenant.webhook(&json!({ "url": subscriber.url("/other"), "events": ["*"], "signing": "v1a" }));
    assert_eq!(verified(&received, &other["public_key"]), Err(VerifyError::Mismatch), "each has a pair of its own");
    for shown in [&answer.body, &asked.body, &read.body, &node.log()] {
        assert!(!shown.contains("whsk_"), "{shown}");
    }
    let tested = tenant.partner.post_empty(&format!("{}/test", webhook_path(&made))).expect(200);
    assert_eq!(tested["delivered"], true, "{tested}");
    assert_eq!(verified(&subscriber.next(), &made["public_key"]), Ok(Signing::V1a));
}

#[test]
fn a_partner_may_bring_a_key_pair() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    let public = KeyPair::parse(OWN_PAIR).unwrap().public_key().to_string();
    let body = json!({ "url": subscriber.url("/"), "events": ["*"], "secret": OWN_PAIR, "signing": "v1a" });
    let answer = tenant.partner.post("/webhook", body.to_string());
    let made = answer.expect(201);
    assert_eq!((&made["public_key"], &made["secret"]), (&json!(public), &Value::Null));
    assert!(!answer.body.contains("whsk_"));
    assert_eq!(verified(&sent(&tenant, &subscriber), &json!(public)), Ok(Signing::V1a));
}

#[test]
fn a_secret_that_cannot_be_used_is_422_and_is_not_repeated() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": "https://example.com/made", "events": ["*"] }));
    let public = KeyPair::parse(OWN_PAIR).unwrap().public_key().to_string();
    // The last byte of the public half is another.
    let halves = OWN_PAIR.replace("Kvg==", "Kvw==");
    for (signing, secret, expected) in [
        ("v1", OWN_PAIR, "say `\"signing\": \"v1a\"` with it"),
        ("v1a", OWN_SECRET, "leave `secret` out to have a key pair made"),
        ("v1", public.as_str(), "a public key, which only verifies"),
        ("v1a", public.as_str(), "a public key, which only verifies"),
        ("v1a", halves.as_str(), "do not belong together"),
        (
            "v1a",
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=",
            "64 bytes (a seed of 32 and its public key of 32)",
        ),
        ("v1a", "hunter2-hunter2", "begins with `whsk_`"),
        ("v1", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLQ==", "24 to 64 bytes, and this one has 22"),
        ("v1", "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", "the key is not random"),
        ("v1", "whsec_MTIzNDEyMzQxMjM0MTIzNDEyMzQxMjM0", "the key is not random"),
    ] {
        let body = json!({ "url": "https://example.com/", "events": ["*"], "signing": signing, "secret": secret });
        let created = tenant.partner.post("/webhook", body.to_string());
        let body = json!({ "signing": signing, "secret": secret }).to_string();
        let rotated = tenant.partner.post(&format!("{}/secret/rotate", webhook_path(&made)), body);
        for refused in [created, rotated] {
            let problem = refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), ["/secret"], "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
            assert!(!refused.body.contains(secret), "{problem}");
        }
    }
    for signing in [json!("v2"), json!("V1"), json!(1)] {
        let body = json!({ "url": "https://example.com/", "events": ["*"], "signing": signing, "secret": OWN_PAIR });
        let created = tenant.partner.post("/webhook", body.to_string());
        let path = format!("{}/secret/rotate", webhook_path(&made));
        let rotated = tenant.partner.post(&path, json!({ "signing": signing }).to_string());
        for refused in [created, rotated] {
            refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), ["/signing"], "{signing}");
        }
    }
    let unchanged = tenant.partner.get(&webhook_path(&made)).expect(200);
    assert_eq!((&unchanged["version"], &unchanged["signing"]), (&json!(1), &json!("v1")));
}

#[test]
fn an_endpoint_goes_over_to_key_pairs_and_back_with_both_signing() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(versions(&sent(&tenant, &subscriber)), ["v1"]);

    let rotated = rotate(&tenant, &made, &json!({ "signing": "v1a" }));
    assert_eq!((&rotated["secret"], &rotated["previous"][0]["secret"]), (&Value::Null, &json!(secret)));
    let shown = tenant.partner.get(&webhook_path(&made)).expect(200);
    assert_eq!((&shown["signing"], &shown["version"]), (&json!("v1a"), &json!(2)));
    let received = sent(&tenant, &subscriber);
    assert_eq!(versions(&received), ["v1a", "v1"], "the newest first");
    assert_eq!(verified(&received, &rotated["public_key"]), Ok(Signing::V1a));
    assert_eq!(verified(&received, &json!(secret)), Ok(Signing::V1));
    assert!(verifies(&received, secret), "verifiers that know `v1` alone are not put off");

    // What is not said stays: a rotation of one that signs by pairs makes a pair.
    let again = rotate(&tenant, &made, &json!({ "overlap_seconds": 60 }));
    assert_ne!(again["public_key"], rotated["public_key"]);
    let previous = again["previous"].as_array().unwrap();
    assert_eq!((&previous[0]["public_key"], &previous[0]["secret"]), (&rotated["public_key"], &Value::Null));
    assert_eq!(previous[1]["secret"], secret);
    assert_eq!(versions(&sent(&tenant, &subscriber)), ["v1a", "v1a", "v1"]);

    let back = rotate(&tenant, &made, &json!({ "signing": "v1", "secret": OWN_SECRET, "overlap_seconds": 0 }));
    assert_eq!(back, json!({ "secret": OWN_SECRET, "previous": [] }));
    let received = sent(&tenant, &subscriber);
    assert_eq!(versions(&received), ["v1"]);
    assert!(verifies(&received, OWN_SECRET));
    assert_eq!(verified(&received, &again["public_key"]), Err(VerifyError::OtherVersion(Signing::V1)));
}

#[test]
fn a_change_of_settings_does_not_change_how_it_signs() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let pairs = tenant.webhook(&json!({ "url": "https://example.com/a", "events": ["*"], "signing": "v1a" }));
    for (webhook, other) in [(&made, json!("v1a")), (&pairs, json!("v1")), (&pairs, Value::Null)] {
        let refused = tenant.partner.patch(&webhook_path(webhook), json!({ "signing": other }).to_string());
        let problem = refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/signing"]);
        let detail = problem["detail"].as_str().unwrap();
        let to = other.as_str().unwrap_or("v1");
        let way = format!("`POST /webhook/{{id}}/secret/rotate` with {{\"signing\": \"{to}\"}}");
        assert!(detail.contains(&way), "{detail}");
    }
    for (webhook, same) in [(&made, json!("v1")), (&made, Value::Null), (&pairs, json!("v1a"))] {
        let body = json!({ "signing": same, "description": "kept" }).to_string();
        let changed = tenant.partner.patch(&webhook_path(webhook), body).expect(200);
        assert_eq!((&changed["signing"], &changed["description"]), (&webhook["signing"], &json!("kept")));
    }
}

#[test]
fn a_sixth_secret_is_refused_and_an_emergency_never() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    for overlap_seconds in [3_600, 7_200, 604_800, 604_800] {
        rotate(&tenant, &made, &json!({ "overlap_seconds": overlap_seconds }));
    }
    let path = format!("{}/secret/rotate", webhook_path(&made));
    let before = tenant.partner.get(&format!("{}/secret", webhook_path(&made))).expect(200);
    let ends = before["previous"].as_array().unwrap().iter().map(|secret| time(&secret["expires_at"]));
    let first_ends = ends.min().unwrap();

    let refused = tenant.partner.post_empty(&path);
    let problem = refused.problem(409, "conflict");
    let detail = problem["detail"].as_str().unwrap();
    for part in ["at most 5 secrets", &first_ends.to_string(), "`\"overlap_seconds\": 0`"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(tenant.partner.get(&format!("{}/secret", webhook_path(&made))).expect(200), before);
    let received = sent(&tenant, &subscriber);
    assert_eq!(versions(&received), ["v1"; 5]);
    assert!(verifies(&received, made["secret"].as_str().unwrap()), "the first one still signs");

    // What has leaked is not rotated to itself.
    let same = json!({ "secret": made["secret"], "overlap_seconds": 0 });
    let refused = tenant.partner.post(&path, same.to_string());
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/secret"]);

    let emergency = rotate(&tenant, &made, &json!({ "overlap_seconds": 0 }));
    assert_eq!(emergency["previous"], json!([]));
    let received = sent(&tenant, &subscriber);
    assert_eq!(versions(&received), ["v1"]);
    assert!(verifies(&received, emergency["secret"].as_str().unwrap()));
}
