//! `/nodes` of a node that is alone on its store.

use std::time::Duration;

use posthaste::cli::receiver::Behaviour;
use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::json;

use crate::support::node::{Node, campaign, eventually};
use crate::support::receiver::Subscriber;

#[test]
fn a_node_alone_owns_everything_for_ever() {
    let node = Node::start(&[("ADVERTISE", "http://node-1.internal:9000")]);
    let answer = node.operator().get("/nodes").expect(200);
    let [only] = answer["data"].as_array().unwrap().as_slice() else { panic!("not one node: {answer}") };
    let id = only["id"].as_str().unwrap();
    assert!(id.starts_with("node_"), "{id}");
    assert_eq!(
        answer,
        json!({ "data": [{
            "id": id,
            "address": "http://node-1.internal:9000",
            "version": env!("CARGO_PKG_VERSION"),
            "since": only["since"],
            "partitions": 256,
            "in_flight": 0,
            "held": false,
            "lease_until": null,
        }] })
    );
    let since: Timestamp = only["since"].as_str().unwrap().parse().unwrap();
    let now = Clock::system().wall();
    assert!(since <= now && now.since(since) < Duration::from_secs(600), "{since}: it has just started");
    assert_eq!(node.operator().get("/nodes").expect(200), answer, "a run keeps its id");
    node.operator().get("/nodes?limit=1").problem(422, "invalid");
    node.operator().post("/nodes", "{}").problem(405, "method-not-allowed");
}

#[test]
fn it_tells_where_it_listens_and_what_is_in_flight() {
    let node = Node::start(&[]);
    let shown = || node.operator().get("/nodes").expect(200)["data"][0].clone();
    assert_eq!(shown()["address"], format!("http://{}", node.address));
    let tenant = node.tenant("production");
    let subscriber = Subscriber::behaving(Behaviour { hang: true, ..Behaviour::default() });
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    tenant.event(campaign("campaign.created", "1"));
    eventually("a request is in flight", || Some(shown()).filter(|node| node["in_flight"] == 1));
}

#[test]
fn a_node_alone_tells_what_it_owns_and_how_it_is() {
    let node = Node::start(&[]);
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].clone();
    let owned = node.operator().get("/nodes/partitions").expect(200);
    let all: Vec<u32> = (0..256).collect();
    assert_eq!(owned, json!({ "data": [{ "node": id, "partitions": all }], "unowned": [] }));

    let tenant = node.tenant("production");
    tenant.event(campaign("campaign.created", "1"));
    let health = node.operator().get("/nodes/health").expect(200);
    let [only] = health["data"].as_array().unwrap().as_slice() else { panic!("not one node: {health}") };
    assert_eq!((&only["id"], &only["reachable"], &only["moves"]), (&id, &json!(true), &json!([])));
    assert!(only["commits"].as_u64().unwrap() >= 3, "partner, keys and the event are commits: {only}");
    assert!(only["commit_p99_ms"].as_f64().unwrap() > 0.0, "{only}");
    let now = &only["just_now"];
    assert_eq!((&now["attempts"], &now["waiting"], &now["overdue_ms"]), (&json!(0), &json!(0), &json!(0)), "{only}");
    assert!(
        now["took"].as_array().is_some_and(|steps| steps.len() > 10 && steps.last().unwrap()["at_most_ms"].is_null())
    );
    let (told, seen) = (only["memory_bytes"].as_u64().unwrap(), node.resident_bytes() as u64);
    assert!(told.abs_diff(seen) < seen / 2, "{told} {seen}");
    for path in ["/nodes/partitions", "/nodes/health"] {
        node.operator().get(&format!("{path}?limit=1")).problem(422, "invalid");
        tenant.partner.get(path).problem(403, "forbidden");
    }
}
