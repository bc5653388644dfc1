//! What clients and operators say of keeping and erasing, on real nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, campaign, eventually, webhook_path};
use crate::support::receiver::Subscriber;

/// Tests hammer it.
const UNLIMITED: &[(&str, &str)] = &[
    ("KEY_REQUESTS_PER_SECOND", "0"),
    ("PARTNER_REQUESTS_PER_SECOND", "0"),
    ("TESTS_PER_MINUTE", "0"),
    ("RETENTION_DAYS", "20"),
];

static NODE: SharedNode = SharedNode::with(UNLIMITED);

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn operators_say_for_how_long_and_partners_see_it() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let operator = node.operator();
    let own = format!("/retention?environment=sandbox&partner={}", tenant.name);
    let shown = tenant.partner.get("/retention").expect(200);
    assert_eq!(shown["partner"], tenant.name.as_str());
    assert_eq!(shown["effective"]["payload_days"], 20, "as the option says");
    assert_eq!((&shown["own"]["payload_days"], &shown["retention_days"]), (&Value::Null, &json!(20)));

    let set = operator.put(&own, r#"{"payload_days": 2, "held_days": 20, "attempts_days": null}"#).expect(200);
    assert_eq!(
        set["own"],
        json!({ "payload_days": 2, "attempts_days": null, "held_days": 20, "exhausted_days": null })
    );
    assert_eq!(set["effective"]["exhausted_days"], 20);
    assert_eq!(tenant.partner.get("/retention").expect(200), set);
    // The whole of it is said anew.
    let set = operator.put(&own, r#"{"attempts_days": 3}"#).expect(200);
    assert_eq!((&set["effective"]["payload_days"], &set["effective"]["attempts_days"]), (&json!(20), &json!(3)));

    for (body, pointer) in [
        (r#"{"payload_days": 21}"#, "/payload_days"),
        (r#"{"held_days": 0}"#, "/held_days"),
        (r#"{"attempts_days": "7"}"#, "/attempts_days"),
        (r#"{"payloads": 7}"#, "/payloads"),
    ] {
        let problem = operator.put(&own, body).problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(
            problem["detail"].as_str().unwrap().contains("`retention_days`"),
            pointer != "/payloads",
            "{problem}"
        );
    }
    // Nothing is assumed, and nobody else may.
    for query in ["", "?environment=sandbox", "?partner=default"] {
        operator.put(&format!("/retention{query}"), "{}").problem(422, "invalid");
        operator.delete(&format!("/retention{query}")).problem(422, "invalid");
    }
    operator.put("/retention?environment=sandbox&partner=nobody", "{}").problem(404, "not-found");
    tenant.partner.put(&own, "{}").problem(403, "forbidden");
    tenant.partner.delete(&own).problem(403, "forbidden");
    tenant.producer.get("/retention").problem(403, "forbidden");
    tenant.partner.get("/retention?partner=default").problem(404, "not-found");
    assert_eq!(tenant.partner.get("/retention").expect(200), set, "what was refused changed nothing");

    let cleared = operator.delete(&own).expect(200);
    assert_eq!(cleared["own"]["attempts_days"], Value::Null);
    operator.delete(&own).expect(200);
    let told = operator.get(&format!("/audit?environment=sandbox&partner={}&limit=3", tenant.name)).expect(200);
    let actions: Vec<&str> =
        told["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["retention.cleared", "retention.set", "retention.set"], "what changed nothing is not told");
    assert_eq!(told["data"][1]["detail"]["attempts_days"], 3);
}

#[test]
fn a_payload_that_is_not_to_be_kept_is_gone_once_it_is_delivered() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let body = campaign("campaign.created", "not to be kept");
    let post = |headers: &[(&str, &str)]| {
        let headers: Vec<(&str, &str)> = [JSON].iter().chain(headers).copied().collect();
        tenant.producer.send("POST", "/events", &headers, body.as_bytes())
    };
    let accepted = post(&[("posthaste-retain", "none"), ("idempotency-key", "k")]).expect(202);
    assert_eq!(subscriber.next().body, body.as_bytes(), "it was sent whole");
    let path = format!("/events/{}", accepted["id"].as_str().unwrap());
    let shown = eventually("its payload is erased", || {
        let shown = tenant.partner.get(&path).expect(200);
        (shown["erased"] != Value::Null).then_some(shown)
    });
    assert_eq!((&shown["payload"], &shown["retain"], &shown["bytes"]), (&Value::Null, &json!("none"), &json!(0)));
    assert_eq!(shown["erased"]["by"], "retain_none");
    assert_eq!(shown["endpoints"][0]["outcome"], "delivered");
    assert_eq!(shown["endpoints"][0]["last_attempt"]["response_body"], "");
    let delivery = tenant.delivery_of(&accepted);
    let retry = tenant.partner.post_empty(&format!("/deliveries/{}/retry", delivery["id"].as_str().unwrap()));
    let problem = retry.problem(409, "conflict");
    let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
    assert_eq!(tenant.partner.get(&path).expect(200)["request_body"], Value::Null, "nobody can say what it was");
    assert!(problem["detail"].as_str().unwrap().contains("`Posthaste-Retain: none`"), "{problem}");

    // It is a part of the request.
    assert_eq!(post(&[("posthaste-retain", "none"), ("idempotency-key", "k")]).expect(202), accepted);
    post(&[("idempotency-key", "k")]).problem(422, "idempotency-key-reused");
    post(&[("posthaste-retain", "all")]).problem(422, "invalid");
    let kept = post(&[]).expect(202);
    tenant.settled(&kept, "delivered");
    let kept = tenant.partner.get(&format!("/events/{}", kept["id"].as_str().unwrap())).expect(200);
    assert_eq!((&kept["retain"], &kept["erased"]), (&Value::Null, &Value::Null));
    assert_eq!(kept["payload"]["id"], "not to be kept");
    // Of a batch, all lines.
    let headers = [("content-type", "application/x-ndjson"), ("posthaste-retain", "none")];
    let batch =
        tenant.producer.send("POST", "/events/batch", &headers, format!("{body}\n{body}\n").as_bytes()).expect(202);
    for line in batch["data"].as_array().unwrap() {
        let path = format!("/events/{}", line["id"].as_str().unwrap());
        eventually("it is erased", || (tenant.partner.get(&path).expect(200)["payload"] == Value::Null).then_some(()));
    }
    let metrics = node.nobody().get("/metrics").body;
    assert!(metrics.contains("posthaste_payloads_erased_total{by=\"retain_none\"}"), "{metrics}");
    assert!(metrics.contains("posthaste_store_bytes{part=\"database\"}"), "{metrics}");
    assert!(metrics.contains("posthaste_oldest_event_timestamp_seconds "), "{metrics}");
}

/// Waits until nothing is left of a partner.
#[track_caller]
fn gone(node: &Node, name: &str) {
    let path = format!("/partners/{name}");
    eventually("nothing of it is left", || (node.operator().get(&path).status == 404).then_some(()));
}

#[test]
fn a_partner_is_erased_while_events_are_posted_for_it() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let operator = node.operator();
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": "https://example.com/never", "events": ["*"] }));
    let kept = other.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    let everywhere = operator.post("/keys", r#"{"role": "producer"}"#).expect(201);
    let everywhere = node.client(everywhere["key"].as_str().unwrap());
    let path = format!("/partners/{}", tenant.name);
    let shown = operator.get(&path).expect(200);
    assert_eq!(shown["erasing"], Value::Null);
    for query in ["", "?confirm=", "?confirm=default", "?confirm=yes"] {
        operator.delete(&format!("{path}{query}")).problem(422, "invalid");
    }
    tenant.partner.delete(&format!("{path}?confirm={}", tenant.name)).problem(403, "forbidden");

    let (is_erased, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let posted_for = format!("/events?partner={}", tenant.name);
    thread::scope(|scope| {
        let posters: Vec<_> = [(&tenant.producer, "/events"), (&everywhere, posted_for.as_str())]
            .into_iter()
            .map(|(client, path)| {
                let (is_erased, is_over) = (&is_erased, &is_over);
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    while !is_over.load(Ordering::Acquire) {
                        let was_erased = is_erased.load(Ordering::Acquire);
                        let status = client.post(path, campaign("campaign.created", "one of many")).status;
                        statuses.push((was_erased, status));
                    }
                    statuses
                })
            })
            .collect();
        eventually("some are accepted", || {
            let found = tenant.partner.get("/events?limit=20").expect(200);
            (found["data"].as_array().unwrap().len() == 20).then_some(())
        });
        let answer = operator.delete(&format!("{path}?confirm={}", tenant.name)).expect(202);
        is_erased.store(true, Ordering::Release);
        assert_eq!(answer["name"], tenant.name.as_str());
        assert!(answer["erasing"]["since"].is_string(), "{answer}");
        let again = operator.delete(&format!("{path}?confirm={}", tenant.name));
        assert!(matches!(again.status, 202 | 404), "it goes on, or is over: {}", again.status);
        tenant.partner.get("/webhook").problem(401, "unauthorized");
        operator.get(&format!("/webhook?partner={}", tenant.name)).problem(404, "not-found");
        gone(&node, &tenant.name);
        is_over.store(true, Ordering::Release);
        for poster in posters {
            let statuses = poster.join().unwrap();
            for (was_erased, status) in &statuses {
                // A busy machine may say 503 at any time, and has taken nothing then.
                let expected: &[u16] = if *was_erased { &[401, 404, 503] } else { &[202, 401, 404, 503] };
                assert!(expected.contains(status), "{status}, {was_erased}");
            }
            assert!(statuses.iter().any(|(_, status)| *status == 202));
            assert!(statuses.iter().any(|(was_erased, _)| *was_erased));
        }
    });
    // Its name is free, and nothing comes back with it.
    operator.post("/partners", json!({ "name": tenant.name }).to_string()).expect(201);
    tenant.partner.get("/webhook").problem(401, "unauthorized");
    for list in ["/events", "/webhook", "/deliveries"] {
        let found = operator.get(&format!("{list}?partner={}", tenant.name)).expect(200);
        assert_eq!(found["data"], json!([]), "{list}");
    }
    let told = operator.get(&format!("/audit?partner={}&limit=3", tenant.name)).expect(200);
    let actions: Vec<&str> =
        told["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["partner.created", "partner.erased", "partner.erasing"]);
    // Others are as they were.
    other.partner.get(&webhook_path(&kept)).expect(200);
    let accepted = other.event(campaign("campaign.created", "another's"));
    other.settled(&accepted, "delivered");
    operator.delete("/partners/nobody?confirm=nobody").problem(404, "not-found");
}

#[test]
fn erasing_goes_on_where_a_node_was_killed() {
    let folder = Folder::new();
    let node = Node::on(&folder, UNLIMITED);
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/never", "events": ["*"], "enabled": false }));
    let line = campaign("campaign.created", "one of many");
    let headers = [("content-type", "application/x-ndjson")];
    let lines = format!("{line}\n").repeat(1_000);
    for _ in 0..5 {
        tenant.producer.send("POST", "/events/batch", &headers, lines.as_bytes()).expect(202);
    }
    node.operator().delete(&format!("/partners/{}?confirm={}", tenant.name, tenant.name)).expect(202);
    drop(node);
    let node = Node::on(&folder, UNLIMITED);
    let taken = node.operator().post("/partners", json!({ "name": tenant.name }).to_string());
    if taken.status != 201 {
        let problem = taken.problem(409, "already-exists");
        assert!(problem["detail"].as_str().unwrap().contains("being erased"), "{problem}");
        gone(&node, &tenant.name);
        node.operator().post("/partners", json!({ "name": tenant.name }).to_string()).expect(201);
    }
    let found = node.operator().get(&format!("/events?partner={}", tenant.name)).expect(200);
    assert_eq!(found["data"], json!([]));
}
