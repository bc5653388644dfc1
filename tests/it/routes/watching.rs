//! What an endpoint's `health` shows, and `/metrics` beside it: the same fields
//! whatever it does, each with what its actor knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::node::{Node, Tenant, campaign, eventually, time};
use crate::support::receiver::Subscriber;

const HOUR_MS: u64 = 3_600_000;

/// Every field, those within others with the way to them.
fn fields(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in value.as_object().expect("an object") {
        found.insert(name.clone());
        // What waits is there or is not, as a whole.
        if value.is_object() && name != "oldest_waiting" {
            found.extend(fields(value).iter().map(|inner| format!("{name}.{inner}")));
        }
    }
    found
}

fn opened(tenant: &Tenant, subscriber: &Subscriber) -> (Value, Value) {
    subscriber.fail();
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [HOUR_MS] },
        "rate_limit": { "per_second": 100 },
    }));
    (0..20).for_each(|number| drop(tenant.event(campaign("campaign.created", &number.to_string()))));
    let seen = eventually("the breaker is open", || {
        Some(tenant.health(&made)).filter(|health| health["breaker"] == "open" && health["actor"]["live"] == true)
    });
    (made, seen)
}

#[test]
fn an_endpoint_shows_the_same_fields_whatever_it_does() {
    let node = Node::start(&[("PASSIVATE_AFTER_MS", "50")]);
    let tenant = node.tenant("production");
    let (quiet, failing, held) = (Subscriber::start(), Subscriber::start(), Subscriber::start());
    let made = tenant.webhook(&json!({ "url": quiet.url("/"), "events": ["campaign.failed"] }));
    let idle =
        eventually("it has nothing to do", || Some(tenant.health(&made)).filter(|health| health["state"] == "idle"));
    let this = node.operator().get("/nodes").expect(200)["data"][0]["id"].clone();
    assert_eq!((&idle["actor"]["node"], &idle["actor"]["reachable"]), (&this, &json!(true)), "{idle}");
    assert_eq!((&idle["actor"]["live"], &idle["in_flight"]), (&json!(false), &json!(0)), "{idle}");
    assert_eq!((&idle["oldest_waiting"], &idle["next_attempt_at"]), (&Value::Null, &Value::Null), "{idle}");

    let (_, open) = opened(&tenant, &failing);
    assert_eq!(fields(&open), fields(&idle));
    assert_eq!(open["state"], "active");
    let actor = &open["actor"];
    assert_eq!((&actor["concurrency"], &actor["max_concurrency"]), (&json!(1), &json!(32)), "{open}");
    assert_eq!((&actor["slow_start"], &actor["reachable"], &actor["node"]), (&json!(true), &json!(true), &this));
    assert!(actor["paced_until"].is_string(), "{open}");
    assert!(actor["window"]["fresh"].as_u64().unwrap() <= 4, "an open breaker keeps few: {open}");
    let waiting = &open["oldest_waiting"];
    assert!(time(&waiting["created_at"]) <= time(&waiting["due_at"]), "{open}");
    assert!(time(&waiting["due_at"]) < time(&open["next_attempt_at"]), "the breaker keeps it waiting: {open}");
    assert!(waiting["overdue_ms"].is_u64() && waiting["delivery"].as_str().unwrap().starts_with("dlv_"), "{open}");
    assert_eq!(open["next_attempt_at"], open["next_probe_at"], "nothing is tried before: {open}");
    assert_eq!((&open["backlog"], &open["backlog_has_more"]), (&json!(20), &json!(false)), "{open}");

    let made = tenant.webhook(&json!({ "url": held.url("/"), "events": ["campaign.failed"], "enabled": false }));
    let held = tenant.health(&made);
    assert_eq!((fields(&held), &held["state"]), (fields(&idle), &json!("held")));
}

#[test]
fn metrics_name_the_endpoints_whose_breakers_are_open_and_no_more_than_asked_for() {
    for (asked_for, named) in [("0", 0), ("1", 1), ("100", 2)] {
        let node = Node::start(&[("METRICS_ENDPOINTS", asked_for)]);
        let tenant = node.tenant("production");
        let subscribers = [Subscriber::start(), Subscriber::start()];
        let made = subscribers.each_ref().map(|subscriber| opened(&tenant, subscriber).0);
        let metrics = node.nobody().get("/metrics").body;
        let prefix = "posthaste_endpoint_breaker_opened_timestamp_seconds{";
        let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(prefix)).collect();
        assert_eq!(lines.len(), named, "{lines:?}");
        // The one that opened first is named first.
        for (line, made) in lines.iter().zip(&made) {
            assert!(line.contains(made["id"].as_str().unwrap()), "{line} is not {}", made["id"]);
        }
        assert!(metrics.contains("posthaste_breakers_open 2"), "{metrics}");
    }
}

#[test]
fn every_metric_is_explained() {
    let docs = include_str!("../../../docs/operating.md");
    let metrics = Node::start(&[]).nobody().get("/metrics").body;
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (family, kind) = line.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
        let is_explained = ["`", "{"].iter().any(|end| docs.contains(&format!("`{name}{end}")));
        assert!(is_explained, "docs/operating.md does not say what {name} is");
    }
}
