//! An endpoint's secret: shown when it is made and where it is asked for,
//! rotated with an overlap in which both sign.

use posthaste::cli::receiver::Received;
use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::new();

const OWN_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY=";

fn sent(tenant: &Tenant, subscriber: &Subscriber) -> Received {
    tenant.event(campaign("campaign.updated", "c-1"));
    subscriber.next()
}

fn path(made: &Value, rest: &str) -> String {
    format!("/webhook/{}{rest}", made["id"].as_str().unwrap())
}

#[test]
fn a_secret_is_shown_once_and_at_its_own_route() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    for shown in [
        tenant.partner.get(&path(&made, "")),
        tenant.partner.get("/webhook"),
        tenant.partner.patch(&path(&made, ""), r#"{"description": "new"}"#),
        tenant.partner.patch(&path(&made, ""), r#"{"description": "new"}"#),
    ] {
        shown.expect(200);
        assert!(!shown.body.contains("secret"), "{}", shown.body);
    }
    let asked = tenant.partner.get(&path(&made, "/secret"));
    assert_eq!(asked.expect(200), json!({ "secret": made["secret"], "previous": [] }));
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    assert!(verifies(&sent(&tenant, &subscriber), made["secret"].as_str().unwrap()));
}

#[test]
fn a_partner_may_bring_a_secret_of_its_own() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    let url = subscriber.url("/");
    let made = tenant.webhook(&json!({ "url": url, "events": ["*"], "secret": OWN_SECRET }));
    assert_eq!(made["secret"], OWN_SECRET);
    assert!(verifies(&sent(&tenant, &subscriber), OWN_SECRET));
    for wrong in [json!("whsec_c2hvcnQ="), json!("hunter2"), json!(""), json!(7)] {
        let body = json!({ "url": "https://example.com/", "events": ["*"], "secret": wrong });
        let refused = tenant.partner.post("/webhook", body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/secret"], "{wrong}");
        let rotated = tenant.partner.post(&path(&made, "/secret/rotate"), json!({ "secret": wrong }).to_string());
        rotated.problem(422, "invalid");
        assert_eq!(rotated.pointers(), ["/secret"], "{wrong}");
    }
}

#[test]
fn both_secrets_sign_while_a_rotation_overlaps() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let old = made["secret"].as_str().unwrap();
    assert_eq!(header(&sent(&tenant, &subscriber), "webhook-signature").split(' ').count(), 1);

    let rotated = tenant.partner.post_empty(&path(&made, "/secret/rotate")).expect(200);
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(rotated["previous"][0]["secret"], old);
    assert_eq!(tenant.partner.get(&path(&made, "/secret")).expect(200), rotated);
    let received = sent(&tenant, &subscriber);
    assert_eq!(header(&received, "webhook-signature").split(' ').count(), 2);
    assert!(verifies(&received, old) && verifies(&received, new) && !verifies(&received, OWN_SECRET));

    // Without an overlap, those from before sign no more.
    let body = json!({ "overlap_seconds": 0, "secret": OWN_SECRET }).to_string();
    let rotated = tenant.partner.post(&path(&made, "/secret/rotate"), body).expect(200);
    assert_eq!(rotated, json!({ "secret": OWN_SECRET, "previous": [] }));
    let received = sent(&tenant, &subscriber);
    assert!(verifies(&received, OWN_SECRET) && !verifies(&received, old) && !verifies(&received, new));

    // A body that cannot be read is not passed over.
    let unread = tenant.partner.send("POST", &path(&made, "/secret/rotate"), &[], br#"{"overlap_seconds": 0}"#);
    unread.problem(415, "unsupported-media-type");
    assert_eq!(tenant.partner.get(&path(&made, "/secret")).expect(200), rotated);
    for (body, pointer) in [
        (json!({ "overlap_seconds": 604_801 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": -1 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": "1 day" }), "/overlap_seconds"),
        (json!({ "overlap": 1 }), "/overlap"),
    ] {
        let refused = tenant.partner.post(&path(&made, "/secret/rotate"), body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
}
