//! `/event-types`: the catalog of an environment, as operators change it and
//! events meet it.

use serde_json::json;

use crate::support::node::{Node, SharedNode, Tenant, campaign};

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

#[test]
fn what_would_come_of_a_change_is_told_and_nothing_is_done() {
    let node = Node::start(&[]);
    let (tenant, operator) = (node.tenant("production"), node.operator());
    let (name, path) = ("invoice.checked", "/event-types/invoice.checked");
    let check = format!("{path}/check");
    let first = definition(name, &json!({ "type": "number" }));

    // Of one that is not there yet.
    let told = operator.post(&check, first.to_string()).expect(200);
    let nothing = json!({ "looked_at": 0, "refused": 0, "oldest_at": null, "has_more": false, "sample": [] });
    assert_eq!(told, json!({ "is_new": true, "changed": [], "breaking": [], "recent": nothing }));
    operator.get(path).problem(404, "not-found");

    operator.put(path, first.to_string()).expect(201);
    let before = operator.get("/audit").expect(200)["data"][0].clone();
    let same = operator.post(&check, operator.get(path).expect(200).to_string()).expect(200);
    assert_eq!((&same["is_new"], &same["changed"], &same["breaking"]), (&json!(false), &json!([]), &json!([])));

    for total in [1.0, 2.5, 3.0] {
        tenant.event(paid(name, total));
    }
    // Those of another type, and of the other environment, are none of its.
    tenant.event(campaign("campaign.created", "c-1"));
    let second = definition(name, &json!({ "type": "integer", "maximum": 2 }));
    let told = operator.post(&check, second.to_string()).expect(200);
    assert_eq!(told["changed"], json!(["schema"]));
    let places: Vec<(&str, &str)> = told["breaking"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["pointer"].as_str().unwrap(), found["whom"].as_str().unwrap()))
        .collect();
    let total = "/schema/properties/total";
    assert_eq!(
        places,
        [(format!("{total}/type").as_str(), "producers"), (format!("{total}/maximum").as_str(), "producers")]
    );
    let recent = &told["recent"];
    assert_eq!((&recent["looked_at"], &recent["refused"], &recent["has_more"]), (&json!(3), &json!(2), &json!(false)));
    assert_eq!(recent["sample"].as_array().unwrap().len(), 2);
    let newest = &tenant.partner.get("/events?type=invoice.checked&limit=1").expect(200)["data"][0];
    assert_eq!((&recent["sample"][0]["event"], &recent["sample"][0]["pointer"]), (&newest["id"], &json!("/total")));
    assert_eq!(recent["sample"][0]["accepted_at"], newest["accepted_at"]);

    // Nothing was done, and nothing is noted.
    assert!(accepts(&tenant, &paid(name, 2.5)));
    assert_eq!(operator.get(path).expect(200)["schema"], first["schema"]);
    assert_eq!(operator.get("/audit").expect(200)["data"][0], before);

    // What cannot be put cannot be checked either, and for the same reasons.
    let mut wrong = second.clone();
    wrong["example"] = json!({ "event": name, "total": 7 });
    let refused = operator.post(&check, wrong.to_string());
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/example/total"]);
    operator.post("/event-types/posthaste.mine/check", first.to_string()).problem(422, "invalid");
    tenant.partner.post(&check, first.to_string()).problem(403, "forbidden");
    operator.get(&check).problem(405, "method-not-allowed");
}

#[test]
fn no_more_than_a_thousand_of_the_newest_are_looked_at() {
    let node = Node::start(&[]);
    let (tenant, operator) = (node.tenant("sandbox"), node.operator());
    for batch in 0..2 {
        let lines: Vec<String> =
            (0..600).map(|number| campaign("campaign.created", &format!("{batch}-{number}"))).collect();
        let media_type = [("content-type", "application/x-ndjson")];
        tenant.producer.send("POST", "/events/batch", &media_type, lines.join("\n").as_bytes()).expect(202);
    }
    let mut definition = operator.get("/event-types/campaign.created?environment=sandbox").expect(200);
    definition["schema"] = json!({ "properties": { "id": { "pattern": "^0-" } } });
    definition["example"] = json!({ "event": "campaign.created", "id": "0-1" });
    let told =
        operator.post("/event-types/campaign.created/check?environment=sandbox", definition.to_string()).expect(200);
    // The newest are all of the second batch, and 400 of the first.
    let recent = &told["recent"];
    assert_eq!(
        (&recent["looked_at"], &recent["refused"], &recent["has_more"]),
        (&json!(1_000), &json!(600), &json!(true))
    );
    assert_eq!(recent["sample"].as_array().unwrap().len(), 5);
}
