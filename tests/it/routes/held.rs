//! `--hold`: a node that takes events and answers, and sends nothing before an
//! operator releases it.

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::Client;
use crate::support::node::{Node, Tenant, campaign, eventually};
use crate::support::receiver::Subscriber;

const HELD: &[(&str, &str)] = &[("HOLD", "true")];

fn moved(tenant: Tenant, node: &Node) -> Tenant {
    let at = |client: &Client| node.client(client.key.as_deref().unwrap());
    Tenant { partner: at(&tenant.partner), producer: at(&tenant.producer), ..tenant }
}

#[track_caller]
fn shown(node: &Node) -> Value {
    node.operator().get("/nodes").expect(200)["data"][0].clone()
}

fn release_path(node: &Node) -> String {
    format!("/nodes/{}/release", shown(node)["id"].as_str().unwrap())
}

fn gauge(node: &Node) -> String {
    let metrics = node.nobody().get("/metrics").body;
    metrics.lines().find_map(|line| line.strip_prefix("posthaste_node_held ")).unwrap().to_owned()
}

#[test]
fn a_held_node_takes_everything_and_sends_nothing_before_it_is_released() {
    let folder = Folder::new();
    let node = Node::on(&folder, HELD);
    assert_eq!((&shown(&node)["held"], gauge(&node)), (&json!(true), "1".into()));
    node.nobody().get("/readyz").expect(200);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let first = tenant.event(campaign("campaign.created", "first"));
    let test = format!("/webhook/{}/test", made["id"].as_str().unwrap());
    let refused = tenant.partner.post_empty(&test).problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains(&format!("`POST {}`", release_path(&node))), "{refused}");
    assert!(node.stop().success(), "a stop is clean");

    // Held again, on what is there by now.
    let node = Node::on(&folder, HELD);
    let tenant = moved(tenant, &node);
    let due = tenant.delivery_of(&first)["next_attempt_at"].as_str().unwrap().to_owned();
    eventually("the log says what waits", || {
        let log = node.log();
        let says = |words: &str| log.contains(words).then_some(());
        says(&format!("1 endpoints have deliveries waiting, the earliest due at {due}"))
            .and_then(|()| says(&format!("`POST http://{}{}`", node.address, release_path(&node))))
    });
    let second = tenant.event(campaign("campaign.created", "second"));
    for accepted in [&first, &second] {
        let delivery = tenant.delivery_of(accepted);
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("pending"), &json!(0)));
    }
    // A wish is kept until it can be carried out.
    let wished = format!("/deliveries/{}/retry", tenant.delivery_of(&second)["id"].as_str().unwrap());
    tenant.partner.post_empty(&wished).expect(202);
    assert!(subscriber.already().is_none(), "nothing is sent");

    let released = node.operator().post_empty(&release_path(&node)).expect(200);
    assert_eq!(released, json!({ "id": shown(&node)["id"], "held": false }));
    for accepted in [&first, &second] {
        tenant.settled(accepted, "delivered");
    }
    assert_eq!((&shown(&node)["held"], gauge(&node)), (&json!(false), "0".into()));
    assert_eq!(node.operator().post_empty(&release_path(&node)).expect(200), released, "and no change");
    tenant.partner.post_empty(&test).expect(200);
}

#[test]
fn only_a_node_that_is_there_is_released_and_only_by_operators() {
    let node = Node::start(HELD);
    let tenant = node.tenant("production");
    for client in [&tenant.partner, &tenant.producer] {
        client.post_empty(&release_path(&node)).problem(403, "forbidden");
    }
    for unknown in ["/nodes/node_01h455vb4pex5vsknk084sn02q/release", "/nodes/none/release"] {
        node.operator().post_empty(unknown).problem(404, "not-found");
    }
    node.operator().get(&release_path(&node)).problem(405, "method-not-allowed");
    assert_eq!(shown(&node)["held"], true);
}

#[test]
fn a_node_that_nobody_holds_says_so() {
    let node = Node::start(&[]);
    assert_eq!((&shown(&node)["held"], gauge(&node)), (&json!(false), "0".into()));
    node.operator().post_empty(&release_path(&node)).expect(200);
    assert!(!node.log().contains("is held"));
}
