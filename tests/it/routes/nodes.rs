//! `/nodes` of a node that is alone on its store.

use posthaste::cli::receiver::Behaviour;
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
            "partitions": 256,
            "in_flight": 0,
            "held": false,
            "lease_until": null,
        }] })
    );
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
