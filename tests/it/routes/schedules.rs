//! Whose schedule of retries holds, an endpoint's, its event type's or the
//! default one, and how much of one operators allow.

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::node::{Node, SharedNode, Tenant};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

const DAY_MS: u64 = 86_400_000;

fn definition(name: &str, retry: &Value) -> Value {
    json!({ "schema": {}, "example": { "event": name }, "retry": retry })
}

/// Puts an event type with this schedule.
#[track_caller]
fn put(node: &Node, name: &str, retry: &Value) -> Value {
    let answer = node.operator().put(&format!("/event-types/{name}"), definition(name, retry).to_string());
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
    answer.json()
}

/// How many attempts an event gets where all of them fail at once.
#[track_caller]
fn attempts(tenant: &Tenant, name: &str) -> Value {
    let accepted = tenant.event(json!({ "event": name }).to_string());
    tenant.settled(&accepted, "retries_exhausted")["attempt_count"].clone()
}

#[test]
fn an_endpoints_schedule_goes_before_its_event_types() {
    // One delivery after the other fails here, and each by its own schedule.
    let node = Node::start(&[("BREAKER_OPENS_AFTER", "0")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let name = "order.scheduled";
    let shown = put(&node, name, &json!({ "schedule_ms": [10, 10] }));
    assert_eq!(shown["retry"], json!({ "schedule_ms": [10, 10] }));
    assert_eq!(tenant.partner.get("/event-types/order.scheduled").expect(200), shown);
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": [name] }));
    assert_eq!(made["retry"], json!(null), "it has none of its own");
    assert_eq!(attempts(&tenant, name), 3);

    // Its next failure is judged by what the catalog says then.
    put(&node, name, &json!({ "retries": 1, "base_ms": 10, "factor": 1.0, "max_ms": 10, "jitter": 0.0 }));
    assert_eq!(attempts(&tenant, name), 2);
    put(&node, name, &json!({ "schedule_ms": [] }));
    assert_eq!(attempts(&tenant, name), 1);

    let webhook = format!("/webhook/{}", made["id"].as_str().unwrap());
    tenant.partner.patch(&webhook, r#"{"retry": {"schedule_ms": [5, 5, 5]}}"#).expect(200);
    assert_eq!(attempts(&tenant, name), 4);
    tenant.partner.patch(&webhook, r#"{"retry": null}"#).expect(200);
    assert_eq!(attempts(&tenant, name), 1);

    // Put without one, the default holds: its first wait is longer than all of these.
    put(&node, name, &json!(null));
    let accepted = tenant.event(json!({ "event": name }).to_string());
    let retrying = tenant.settled(&accepted, "retrying");
    assert!(retrying["next_attempt_at"].is_string(), "{retrying}");
}

#[test]
fn each_environments_catalog_has_its_own_schedule() {
    let node = NODE.get();
    let (live, trial) = (node.tenant("production"), node.tenant("sandbox"));
    let subscriber = Subscriber::start();
    subscriber.fail();
    let name = "order.twofold";
    put(&node, name, &json!({ "schedule_ms": [10] }));
    let body = definition(name, &json!({ "schedule_ms": [10, 10, 10] })).to_string();
    node.operator().put(&format!("/event-types/{name}?environment=sandbox"), body).expect(201);
    for tenant in [&live, &trial] {
        tenant.webhook(&json!({ "url": subscriber.url("/"), "events": [name] }));
    }
    assert_eq!((attempts(&live, name), attempts(&trial, name)), (json!(2), json!(4)));
}

#[test]
fn an_operators_bounds_hold_for_both_and_are_named() {
    let node = Node::start(&[("MAX_RETRIES", "3"), ("MAX_RETRY_DAYS", "2")]);
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let webhook = format!("/webhook/{}", made["id"].as_str().unwrap());
    let ask = |retry: &Value| -> [Response; 3] {
        let fresh = json!({ "url": "https://example.com/another", "events": ["*"], "enabled": false, "retry": retry });
        [
            tenant.partner.post("/webhook", fresh.to_string()),
            tenant.partner.patch(&webhook, json!({ "retry": retry }).to_string()),
            node.operator().put("/event-types/order.bound", definition("order.bound", retry).to_string()),
        ]
    };
    for (retry, option) in [
        (json!({ "schedule_ms": [1, 1, 1, 1] }), "`max_retries`"),
        (json!({ "retries": 4, "base_ms": 1 }), "`max_retries`"),
        (json!({ "schedule_ms": [DAY_MS, DAY_MS, 1] }), "`max_retry_days`"),
        (json!({ "retries": 2, "base_ms": DAY_MS, "factor": 1.0, "max_ms": DAY_MS }), "`max_retry_days`"),
    ] {
        for refused in ask(&retry) {
            let problem = refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), ["/retry"], "{retry}");
            assert!(problem["detail"].as_str().unwrap().contains(option), "{retry}: {problem}");
        }
    }
    for taken in ask(&json!({ "schedule_ms": [DAY_MS, DAY_MS] })) {
        assert!(matches!(taken.status, 200 | 201), "{}", taken.body);
    }
}

#[test]
fn no_schedule_outlives_what_is_kept() {
    let node = Node::start(&[("RETENTION_DAYS", "2"), ("MAX_RETRIES", "40")]);
    let tenant = node.tenant("production");
    let ask = |retry: Value| {
        let fresh = json!({ "url": "https://example.com/", "events": ["*"], "retry": retry });
        tenant.partner.post("/webhook", fresh.to_string())
    };
    let problem = ask(json!({ "schedule_ms": [DAY_MS, DAY_MS, 1] })).problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("`retention_days`"), "{problem}");
    let made = ask(json!({ "schedule_ms": vec![DAY_MS / 20; 40] })).expect(201);
    assert_eq!(made["retry"]["schedule_ms"].as_array().unwrap().len(), 40, "an operator may allow more than 30");
}
