//! An endpoint's client certificate, from the API to the receiver that asks for it.

use std::sync::mpsc;

use serde_json::{Value, json};

use super::tried_with;
use crate::support::folder::Folder;
use crate::support::node::{Node, campaign, webhook_path};
use crate::transport::tls::{self, Caller};

const ACME: &str = include_str!("../transport/certificates/acme.pem");
const ACME_KEY: &str = include_str!("../transport/certificates/acme.key.pem");
const ACME_SHA256: &str = include_str!("../transport/certificates/acme.sha256");
const GLOBEX: &str = include_str!("../transport/certificates/globex.pem");
const GLOBEX_KEY: &str = include_str!("../transport/certificates/globex.key.pem");
const EXPIRED: &str = include_str!("../transport/certificates/expired.pem");

fn acme() -> Value {
    json!({ "certificate": ACME, "key": ACME_KEY })
}

fn globex() -> Value {
    json!({ "certificate": GLOBEX, "key": GLOBEX_KEY })
}

/// A node that trusts the tests' root.
fn node(folder: &Folder) -> Node {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/transport/certificates/root.pem");
    Node::on(folder, &[("CA_FILE", root)])
}

/// A part of a key's text that is in no other text.
fn telling(key: &str) -> &str {
    key.lines().nth(1).unwrap()
}

#[test]
fn receivers_see_each_endpoints_own_certificate_and_nobody_sees_its_key() {
    let (callers, seen) = mpsc::channel();
    let receiver = tls::asking_who_calls(callers);
    let url = format!("https://{}/", receiver.address);
    let folder = Folder::new();
    let node_before = node(&folder);
    let tenant = node_before.tenant("production");

    let made = tenant.webhook(&json!({ "url": url, "events": ["*"], "client_certificate": acme() }));
    let shown = json!({
        "subject": "CN=acme,O=Acme", "sha256": ACME_SHA256.trim(), "not_after": "2125-01-01T00:00:00.000Z",
    });
    assert_eq!(made["client_certificate"], shown);
    let deliver = |id: &str| {
        let accepted = tenant.event(campaign("campaign.created", id));
        tenant.settled(&accepted, "delivered");
        seen.recv().unwrap()
    };
    assert_eq!(deliver("one"), Caller::Known("acme".into()));
    // Another endpoint at the same place has its own, or none at all.
    let attempt = tried_with(&tenant, &format!("{url}globex"), json!({ "client_certificate": globex() }));
    assert_eq!((&attempt["delivered"], seen.recv().unwrap()), (&json!(true), Caller::Known("globex".into())));
    let attempt = tried_with(&tenant, &format!("{url}nobody"), json!({}));
    assert_eq!((&attempt["delivered"], seen.recv().unwrap()), (&json!(true), Caller::Unknown));
    assert_eq!(deliver("two"), Caller::Known("acme".into()));

    // A change of something else leaves it; the same again changes nothing.
    let path = webhook_path(&made);
    let change = |change: Value| tenant.partner.patch(&path, change.to_string()).expect(200);
    assert_eq!(change(json!({ "description": "ours" }))["client_certificate"], shown);
    assert_eq!(change(json!({ "client_certificate": acme() }))["version"], 2);
    assert_eq!(deliver("three"), Caller::Known("acme".into()));
    assert!(change(json!({ "client_certificate": globex() }))["client_certificate"]["subject"] == "CN=globex,O=Globex");
    assert_eq!(deliver("four"), Caller::Known("globex".into()));
    assert_eq!(change(json!({ "client_certificate": null }))["client_certificate"], Value::Null);
    assert_eq!(deliver("five"), Caller::Unknown);
    change(json!({ "client_certificate": acme() }));

    // Nothing that is said of it has the key.
    let answers = [tenant.partner.get(&path).body, tenant.partner.get("/webhook").body, node_before.log()].concat();
    for key in [ACME_KEY, GLOBEX_KEY] {
        assert!(!answers.contains(telling(key)), "{answers}");
    }
    assert!(answers.contains(ACME_SHA256.trim()));
    // It outlives a restart.
    let (name, key) = (tenant.name.clone(), tenant.partner.key.clone());
    assert!(node_before.stop().success());
    let node_after = node(&folder);
    let tenant = node_after.tenant_named(&name, "production");
    assert!(key.is_some());
    assert_eq!(tenant.partner.get(&path).expect(200)["client_certificate"], shown);
    let accepted = tenant.event(campaign("campaign.created", "six"));
    tenant.settled(&accepted, "delivered");
    assert_eq!(seen.recv().unwrap(), Caller::Known("acme".into()));
}

#[test]
fn what_cannot_be_offered_is_refused_and_the_field_is_named() {
    let folder = Folder::new();
    let node = node(&folder);
    let tenant = node.tenant("production");
    let url = "https://example.com/hook";
    let made = tenant.webhook(&json!({ "url": url, "events": ["*"], "client_certificate": acme() }));
    let path = webhook_path(&made);
    let pair = |certificate: &str, key: &str| json!({ "certificate": certificate, "key": key });
    let shown = made["client_certificate"].clone();
    let cases: Vec<(Value, Vec<&str>)> = vec![
        (json!("acme"), vec![""]),
        (json!([]), vec![""]),
        (json!({}), vec!["/certificate", "/key"]),
        (json!({ "certificate": ACME }), vec!["/key"]),
        (json!({ "certificate": 7, "key": null }), vec!["/certificate", "/key"]),
        (json!({ "certificate": ACME, "key": ACME_KEY, "passphrase": "x" }), vec!["/passphrase"]),
        (pair("", ACME_KEY), vec!["/certificate"]),
        (pair(&format!("{ACME}{ACME_KEY}"), ACME_KEY), vec!["/certificate"]),
        (pair(&" ".repeat(33 * 1024), ACME_KEY), vec!["/certificate"]),
        (pair(EXPIRED, ACME_KEY), vec!["/certificate"]),
        (pair(ACME, ""), vec!["/key"]),
        (pair(ACME, GLOBEX_KEY), vec!["/key"]),
        (pair(ACME, &format!("{ACME_KEY}{GLOBEX_KEY}")), vec!["/key"]),
        // What is shown is not what is set.
        (shown.clone(), vec!["/subject", "/sha256", "/not_after", "/certificate", "/key"]),
    ];
    for (value, pointers) in cases {
        let expected: Vec<String> = pointers.iter().map(|field| format!("/client_certificate{field}")).collect();
        let body = json!({ "url": "https://example.com/other", "events": ["*"], "client_certificate": value });
        let change = json!({ "client_certificate": value });
        for refused in
            [tenant.partner.post("/webhook", body.to_string()), tenant.partner.patch(&path, change.to_string())]
        {
            refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), expected, "{value}");
            assert!(!refused.body.contains(telling(ACME_KEY)), "{}", refused.body);
        }
    }
    let expired = json!({ "client_certificate": pair(EXPIRED, ACME_KEY) });
    let refused = tenant.partner.patch(&path, expired.to_string());
    assert!(refused.body.contains("expired at 2020-01-02T00:00:00.000Z"), "{}", refused.body);
    assert_eq!(tenant.partner.get(&path).expect(200)["client_certificate"], shown);

    // Without TLS nobody asks who calls.
    let plain = json!({ "url": "http://127.0.0.1:9/", "events": ["*"], "client_certificate": acme() });
    for refused in [
        tenant.partner.post("/webhook", plain.to_string()),
        tenant.partner.patch(&path, r#"{"url": "http://127.0.0.1:9/"}"#),
    ] {
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/client_certificate"]);
    }
    let change = r#"{"url": "http://127.0.0.1:9/", "client_certificate": null}"#;
    assert_eq!(tenant.partner.patch(&path, change).expect(200)["client_certificate"], Value::Null);
}
