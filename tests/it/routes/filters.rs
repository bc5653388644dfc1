//! An endpoint's `filter`: only what it accepts is delivered, the rest is
//! accounted for, and what cannot be a filter is refused with its place.

use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Campaigns with this status.
fn status_is(status: &str) -> Value {
    json!({ "properties": { "status": { "const": status } }, "required": ["status"] })
}

fn with_status(status: &str, id: &str) -> String {
    campaign("campaign.updated", id).replace("ACTIVE", status)
}

/// Without the sentences about them.
fn outcomes(tenant: &Tenant, accepted: &Value) -> Value {
    let path = format!("/events/{}", accepted["id"].as_str().unwrap());
    let mut outcomes = tenant.partner.get(&path).expect(200)["endpoints"].clone();
    for outcome in outcomes.as_array_mut().unwrap() {
        outcome.as_object_mut().unwrap().remove("explanation").expect("each has one");
    }
    outcomes
}

#[test]
fn only_what_the_filter_accepts_is_delivered_and_the_rest_is_told() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let filtered =
        tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.*"], "filter": status_is("PAUSED") }));
    let orders = tenant.webhook(&json!({ "url": subscriber.url("/no"), "events": ["screenshot_set.approved"] }));
    assert_eq!(filtered["filter"], status_is("PAUSED"));

    let held_back = tenant.event(with_status("ACTIVE", "1"));
    assert_eq!(held_back["deliveries"], 0);
    let let_through = tenant.event(with_status("PAUSED", "2"));
    assert_eq!(let_through["deliveries"], 1);
    let got = subscriber.next();
    assert_eq!(got.body, with_status("PAUSED", "2").as_bytes(), "the very bytes");

    let objection = json!({ "pointer": "/status", "detail": "expected PAUSED; found \"ACTIVE\"" });
    let expected = json!([
        {
            "endpoint": filtered["id"], "outcome": "filtered", "filtered_by": [objection], "delivery": null,
            "last_attempt": null, "waits_for": null, "attempts_left": null, "delivered_at": null,
            "subscribed_since": null,
        },
        {
            "endpoint": orders["id"], "outcome": "not_subscribed", "delivery": null, "last_attempt": null,
            "waits_for": null, "attempts_left": null, "delivered_at": null, "subscribed_since": null,
        },
    ]);
    assert_eq!(outcomes(&tenant, &held_back), expected);
    assert_eq!(outcomes(&tenant, &let_through)[0]["delivery"]["endpoint"], filtered["id"]);
    assert_eq!(tenant.partner.get("/deliveries").expect(200)["data"].as_array().unwrap().len(), 1);

    // A change is in force for the next event, and not for those before.
    let path = format!("/webhook/{}", filtered["id"].as_str().unwrap());
    let changed = tenant.partner.patch(&path, json!({ "filter": status_is("ACTIVE") }).to_string()).expect(200);
    assert_eq!((&changed["filter"], &changed["version"]), (&status_is("ACTIVE"), &json!(2)));
    assert_eq!(tenant.event(with_status("ACTIVE", "3"))["deliveries"], 1);
    assert_eq!(tenant.event(with_status("PAUSED", "4"))["deliveries"], 0);
    assert_eq!(outcomes(&tenant, &held_back), expected);
    let without = tenant.partner.patch(&path, r#"{"filter": null}"#).expect(200);
    assert_eq!(without["filter"], Value::Null);
    assert_eq!(tenant.event(with_status("PAUSED", "5"))["deliveries"], 1);
    assert_eq!(outcomes(&tenant, &held_back), expected);
}

#[test]
fn batches_and_events_over_all_partners_are_filtered_too() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    let subscriber = Subscriber::start();
    for (tenant, status) in [(&tenant, "PAUSED"), (&other, "FAILED")] {
        let url = subscriber.url(&format!("/{}", tenant.name));
        tenant.webhook(&json!({ "url": url, "events": ["*"], "filter": status_is(status) }));
    }
    let lines = ["PAUSED", "ACTIVE", "PAUSED", "FAILED"].map(|status| with_status(status, "1")).join("\n");
    let answer =
        tenant.producer.send("POST", "/events/batch", &[("content-type", "application/x-ndjson")], lines.as_ref());
    let counts: Vec<Value> =
        answer.expect(202)["data"].as_array().unwrap().iter().map(|line| line["deliveries"].clone()).collect();
    assert_eq!(counts, [1, 0, 1, 0]);

    let everyone = "/events?partner=*&environment=sandbox";
    for (status, deliveries) in [("PAUSED", 1), ("FAILED", 1), ("ACTIVE", 0)] {
        let accepted = node.operator().post(everyone, with_status(status, "2")).expect(202);
        assert_eq!(accepted["deliveries"], deliveries, "{status}");
        for (tenant, wanted) in [(&tenant, "PAUSED"), (&other, "FAILED")] {
            let outcome = outcomes(tenant, &accepted)[0]["outcome"].clone();
            assert_eq!(outcome == "filtered", status != wanted, "{status}: {outcome}");
        }
    }
}

#[test]
fn what_cannot_be_a_filter_is_422_with_its_place() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/there", "events": ["*"] }));
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    let multiplying = json!({ "allOf": [{ "$ref": "#/$defs/b" }, { "$ref": "#/$defs/b" }] });
    for (filter, pointer, part) in [
        (json!(true), "/filter", "expected a JSON Schema"),
        (json!("PAUSED"), "/filter", "expected a JSON Schema"),
        (json!([]), "/filter", "expected a JSON Schema"),
        (json!({ "status": "ACTIVE" }), "/filter/status", "below `properties`"),
        (json!({ "type": "objekt" }), "/filter/type", "objekt"),
        (json!({ "properties": { "id": { "pattern": "(" } } }), "/filter/properties/id/pattern", "regular expression"),
        (json!({ "$ref": "https://example.com/schema.json" }), "/filter/$ref", "nothing is ever fetched"),
        (json!({ "$comment": "x".repeat(17_000) }), "/filter", "16384 bytes"),
        (json!({ "$defs": { "b": multiplying }, "$ref": "#/$defs/b" }), "/filter", "refers to itself"),
    ] {
        let create = json!({ "url": "https://example.com/new", "events": ["*"], "filter": filter });
        let change = json!({ "filter": filter });
        for refused in
            [tenant.partner.post("/webhook", create.to_string()), tenant.partner.patch(&path, change.to_string())]
        {
            let problem = refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), [pointer], "{problem}");
            assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(part), "{problem}");
        }
    }
    assert_eq!(tenant.partner.get(&path).expect(200)["filter"], Value::Null);
}

#[test]
fn a_test_goes_out_whatever_the_filter_says() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "filter": { "not": {} } }));
    let path = format!("/webhook/{}/test", made["id"].as_str().unwrap());
    assert_eq!(tenant.partner.post_empty(&path).expect(200)["delivered"], true);
    subscriber.next();
}
