//! `/event-types`: the catalog of an environment, as operators change it and
//! events meet it.

use serde_json::json;

use crate::support::node::{SharedNode, Tenant, campaign};

static NODE: SharedNode = SharedNode::new();

fn definition(name: &str, total: &serde_json::Value) -> serde_json::Value {
    json!({
        "description": "An invoice was paid.",
        "schema": {
            "type": "object", "required": ["event", "total"],
            "properties": { "event": { "const": name }, "total": total },
        },
        "example": { "event": name, "total": 1 },
    })
}

fn paid(name: &str, total: f64) -> String {
    json!({ "event": name, "total": total }).to_string()
}

#[track_caller]
fn accepts(tenant: &Tenant, body: &str) -> bool {
    let answer = tenant.producer.post("/events", body);
    assert!(matches!(answer.status, 202 | 422), "{}", answer.body);
    answer.status == 202
}

#[test]
fn a_type_is_made_replaced_and_taken_out() {
    let node = NODE.get();
    let (tenant, operator) = (node.tenant("production"), node.operator());
    let (name, path) = ("invoice.paid", "/event-types/invoice.paid");
    assert!(!accepts(&tenant, &paid(name, 1.0)));
    operator.get(path).problem(404, "not-found");

    let first = definition(name, &json!({ "type": "number" }));
    let made = operator.put(path, first.to_string()).expect(201);
    assert_eq!((&made["name"], &made["schema"], &made["example"]), (&json!(name), &first["schema"], &first["example"]));
    assert_eq!(tenant.partner.get(path).expect(200), made, "everyone reads it");
    assert!(accepts(&tenant, &paid(name, 1.5)));
    let subscribed =
        tenant.webhook(&json!({ "url": "https://example.com/", "events": ["invoice.*"], "enabled": false }));

    // Replacing is in force with its answer.
    let second = definition(name, &json!({ "type": "integer" }));
    operator.put(path, second.to_string()).expect(200);
    assert!(!accepts(&tenant, &paid(name, 1.5)));
    let accepted = tenant.event(json!({ "event": name, "total": 2 }).to_string());
    assert_eq!(accepted["deliveries"], 1);
    // A definition may be put back as it was read.
    operator.put(path, operator.get(path).expect(200).to_string()).expect(200);

    operator.delete(path).expect(204);
    operator.delete(path).problem(404, "not-found");
    assert!(!accepts(&tenant, &paid(name, 2.0)));
    // What was accepted stays, and so does the webhook that names it.
    assert_eq!(tenant.delivery_of(&accepted)["event_type"], name);
    let webhook = format!("/webhook/{}", subscribed["id"].as_str().unwrap());
    assert_eq!(tenant.partner.get(&webhook).expect(200)["events"], json!(["invoice.*"]));
    tenant.partner.patch(&webhook, r#"{"description": "still mine"}"#).expect(200);
}

#[test]
fn each_environment_has_a_catalog_of_its_own() {
    let node = NODE.get();
    let (live, trial, operator) = (node.tenant("production"), node.tenant("sandbox"), node.operator());
    let body = definition("invoice.tried", &json!({ "type": "number" })).to_string();
    operator.put("/event-types/invoice.tried?environment=sandbox", &body).expect(201);
    assert!(accepts(&trial, &paid("invoice.tried", 1.0)));
    assert!(!accepts(&live, &paid("invoice.tried", 1.0)));
    trial.partner.get("/event-types/invoice.tried").expect(200);
    live.partner.get("/event-types/invoice.tried").problem(404, "not-found");
    operator.get("/event-types/invoice.tried").problem(404, "not-found");

    operator.delete("/event-types/campaign.processing?environment=sandbox").expect(204);
    assert!(!accepts(&trial, &campaign("campaign.processing", "c-1")));
    assert!(accepts(&live, &campaign("campaign.processing", "c-1")));
    let refused =
        trial.partner.post("/webhook", r#"{"url": "https://example.com/", "events": ["campaign.processing"]}"#);
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/events/0"]);
}

#[test]
fn a_definition_that_cannot_be_is_422_with_its_place() {
    let node = NODE.get();
    let operator = node.operator();
    let good = definition("invoice.bad", &json!({ "type": "number" }));
    let changed = |pointer: &str, value: serde_json::Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let retried = |retry: serde_json::Value| {
        let mut body = good.clone();
        body["retry"] = retry;
        body
    };
    let mut unknown = good.clone();
    unknown["colour"] = json!("red");
    let mut misnamed = good.clone();
    misnamed["name"] = json!("invoice.good");
    let cases = [
        (changed("/schema/properties/total", json!({ "type": "money" })), "/schema/properties/total/type"),
        (changed("/schema/required", json!("event")), "/schema/required"),
        (changed("/example/total", json!("many")), "/example/total"),
        (changed("/example", json!({ "event": "invoice.bad" })), "/example/total"),
        (changed("/example/event", json!("invoice.good")), "/example/event"),
        (changed("/description", json!(7)), "/description"),
        (changed("/description", json!("a\u{0}b")), "/description"),
        (retried(json!({ "schedule_ms": vec![1; 31] })), "/retry"),
        (retried(json!({ "schedule_ms": [1, "2"] })), "/retry/schedule_ms/1"),
        (retried(json!({ "attempts": 3 })), "/retry/attempts"),
        (without("schema"), "/schema"),
        (without("example"), "/example"),
        (unknown, "/colour"),
        (misnamed, "/name"),
    ];
    for (body, pointer) in cases {
        let refused = operator.put("/event-types/invoice.bad", body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.body);
    }
    for name in ["Invoice.Bad", "invoice..bad", ".a", "a%20b", "a.*", "*"] {
        let answer = operator.put(&format!("/event-types/{name}"), good.to_string());
        assert_eq!(answer.status, 422, "{name}: {}", answer.body);
    }
    operator.get("/event-types/invoice.bad").problem(404, "not-found");
}
