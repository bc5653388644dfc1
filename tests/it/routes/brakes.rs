//! `/brakes`: what operators stop and let go, what partners see of it, and what is
//! refused meanwhile.

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, Tenant, campaign, eventually, webhook_path};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// A brake over one partner, in production.
fn over(tenant: &Tenant) -> String {
    format!("/brakes?environment=production&partner={}", tenant.name)
}

#[track_caller]
fn set(node: &Node, brake: &str) -> Value {
    node.operator().post_empty(brake).expect(200)["data"].clone()
}

#[track_caller]
fn release(node: &Node, brake: &str) -> Value {
    node.operator().delete(brake).expect(200)["data"].clone()
}

#[track_caller]
fn listed(node: &Node) -> Value {
    node.operator().get("/brakes").expect(200)["data"].clone()
}

fn gauge(node: &Node, name: &str) -> String {
    let metrics = node.nobody().get("/metrics").body;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned()
}

#[test]
fn a_braked_partner_waits_and_another_goes_on() {
    let node = NODE.get();
    let (acme, other) = (node.tenant("production"), node.tenant("production"));
    let (mine, theirs) = (Subscriber::start(), Subscriber::start());
    let (made, retrying, before) = acme.with_a_retry_far_off(&mine);
    other.webhook(&json!({ "url": theirs.url("/"), "events": ["*"] }));

    set(&node, &over(&acme));
    let held: Vec<Value> =
        (0..40).map(|number| acme.event(campaign("campaign.updated", &number.to_string()))).collect();
    let sent = other.event(campaign("campaign.created", "goes on"));
    theirs.next();
    other.settled(&sent, "delivered");
    for accepted in &held {
        let delivery = acme.delivery_of(accepted);
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("held"), &json!(0)));
    }
    let shown = acme.partner.get(&webhook_path(&made)).expect(200);
    assert_eq!((&shown["health"]["state"], &shown["health"]["backlog"]), (&json!("held"), &json!(41)));
    assert!(mine.already().is_none(), "nothing is sent");

    release(&node, &over(&acme));
    let mut arrived: Vec<String> = held.iter().map(|_| mine.next().webhook_id.unwrap()).collect();
    let mut expected: Vec<&str> = held.iter().map(|accepted| accepted["id"].as_str().unwrap()).collect();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "each once");
    for accepted in &held {
        assert_eq!(acme.settled(accepted, "delivered")["attempt_count"], 1);
    }
    assert_eq!(acme.delivery_of(&retrying), before, "as it was");
}

#[test]
fn everything_is_held_by_one_call_over_a_kill_and_let_go_by_one() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenants = [node.tenant("production"), node.tenant("sandbox")];
    let subscriber = Subscriber::start();
    for tenant in &tenants {
        tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    }
    let everything = "/brakes?environment=*&partner=*";
    let reasoned = node.operator().post(everything, r#"{"reason": "the feed is wrong"}"#).expect(200)["data"].clone();
    let row = |index: usize, environment: &str| {
        json!({
            "environment": environment, "partner": "*", "reason": "the feed is wrong", "since": reasoned[index]["since"],
        })
    };
    assert_eq!(reasoned, json!([row(0, "sandbox"), row(1, "production")]));
    assert!(reasoned[0]["since"].is_string());
    assert_eq!((listed(&node), gauge(&node, "posthaste_brakes")), (reasoned.clone(), "2".into()));
    let accepted = tenants.each_ref().map(|tenant| tenant.event(campaign("campaign.created", "c-1")));
    let keys = tenants.each_ref().map(|tenant| [tenant.partner.key.clone(), tenant.producer.key.clone()]);
    // A kill, not a stop.
    drop(node);

    let node = Node::on(&folder, &[]);
    eventually("the log says so", || node.log().contains("2 brakes are in force").then_some(()));
    assert_eq!((listed(&node), gauge(&node, "posthaste_brakes")), (reasoned, "2".into()));
    let mut tenants = tenants.into_iter().zip(keys).map(|(tenant, keys)| {
        let [partner, producer] = keys.map(|key| node.client(&key.unwrap()));
        Tenant { partner, producer, ..tenant }
    });
    let [production, sandbox] = [tenants.next().unwrap(), tenants.next().unwrap()];
    assert_eq!(production.delivery_of(&accepted[0])["status"], "held");
    assert!(subscriber.already().is_none(), "nothing is sent");
    assert_eq!(release(&node, "/brakes?environment=sandbox&partner=*"), json!([]));
    sandbox.settled(&accepted[1], "delivered");
    assert_eq!(production.delivery_of(&accepted[0])["status"], "held");
    assert_eq!(release(&node, everything), json!([]), "what is left of it");
    production.settled(&accepted[0], "delivered");
    assert_eq!((listed(&node), gauge(&node, "posthaste_brakes")), (json!([]), "0".into()));
    for _ in 0..2 {
        subscriber.next();
    }
    assert!(subscriber.already().is_none(), "each once");
}

#[test]
fn a_webhook_says_who_holds_it() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let shown = || {
        let shown = tenant.partner.get(&webhook_path(&made)).expect(200);
        let field = |name: &str| shown[name].clone();
        (field("status"), field("paused_by"), field("paused_at").is_string(), field("braked_at"))
    };
    assert_eq!(shown(), (json!("active"), json!(null), false, json!(null)));
    let since = set(&node, &over(&tenant))[0]["since"].clone();
    assert_eq!(shown(), (json!("paused"), json!("operator"), false, since.clone()));
    let paused = tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    assert_eq!(paused["paused_by"], "both");
    assert_eq!(shown(), (json!("paused"), json!("both"), true, since.clone()));
    let resumed = tenant.partner.post_empty(&format!("{}/resume", webhook_path(&made))).expect(200);
    assert_eq!((&resumed["status"], &resumed["paused_by"]), (&json!("paused"), &json!("operator")));
    let disabled = tenant.partner.patch(&webhook_path(&made), r#"{"enabled": false}"#).expect(200);
    assert_eq!((&disabled["status"], &disabled["paused_by"]), (&json!("disabled"), &json!("operator")));
    tenant.partner.patch(&webhook_path(&made), r#"{"enabled": true}"#).expect(200);
    let meanwhile = tenant.webhook(&json!({ "url": "https://example.com/2", "events": ["*"] }));
    assert_eq!((&meanwhile["status"], &meanwhile["braked_at"]), (&json!("paused"), &since));
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    release(&node, &over(&tenant));
    assert_eq!(shown(), (json!("paused"), json!("partner"), true, json!(null)));
}

#[test]
fn no_request_passes_a_brake() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, accepted, waiting) = tenant.with_a_retry_far_off(&subscriber);
    set(&node, &over(&tenant));
    let retry = format!("/deliveries/{}/retry", waiting["id"].as_str().unwrap());
    let test = format!("{}/test", webhook_path(&made));
    for call in [&retry, &test] {
        for client in [&tenant.partner, &node.operator()] {
            let call =
                if client.key == tenant.partner.key { call.clone() } else { format!("{call}?partner={}", tenant.name) };
            let refused = client.post_empty(&call).problem(409, "conflict");
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains("operator") && detail.contains("`DELETE /brakes`"), "{detail}");
        }
    }
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    let both = tenant.partner.post_empty(&retry).problem(409, "conflict");
    assert!(both["detail"].as_str().unwrap().contains(&format!("`POST {}/resume`", webhook_path(&made))), "{both}");
    tenant.partner.post_empty(&format!("{}/resume", webhook_path(&made))).expect(200);
    assert!(subscriber.already().is_none(), "nothing is sent");
    release(&node, &over(&tenant));
    tenant.partner.post_empty(&retry).expect(202);
    assert_eq!(subscriber.next().attempt.as_deref(), Some("2"));
    tenant.settled(&accepted, "delivered");
}

#[test]
fn braking_twice_is_braking_once_and_a_release_says_what_still_holds() {
    // Its own node: a whole environment is held.
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let whole = "/brakes?environment=production&partner=*";
    let first = set(&node, &over(&tenant));
    assert_eq!(set(&node, &over(&tenant)), first, "in force since the first time");
    let reasoned =
        node.operator().post(&over(&tenant), r#"{"reason": "they asked us to"}"#).expect(200)["data"].clone();
    assert_eq!((&reasoned[0]["since"], &reasoned[0]["reason"]), (&first[0]["since"], &json!("they asked us to")));
    let refused = node.operator().delete(whole).problem(404, "not-found");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("there is one over partner {} in production", tenant.name)), "{detail}");
    let environment = set(&node, whole);
    assert_eq!(release(&node, &over(&tenant)), environment, "it is still held");
    let refused = node.operator().delete(&over(&tenant)).problem(404, "not-found");
    assert!(refused["detail"].as_str().unwrap().contains("there is one over all of production"), "{refused}");
    assert_eq!(release(&node, whole), json!([]));
    let refused = node.operator().delete("/brakes?environment=*&partner=*").problem(404, "not-found");
    assert!(refused["detail"].as_str().unwrap().contains("none that holds any of it"), "{refused}");
}

#[test]
fn nobody_brakes_more_than_was_meant() {
    let node = NODE.get();
    let operator = node.operator();
    let tenant = node.tenant("production");
    for (query, named) in [
        ("", "environment"),
        ("?partner=*", "environment"),
        ("?environment=production", "partner"),
        ("?environment=*", "partner"),
        (&format!("?environment=*&partner={}", tenant.name), "environment"),
        ("?environment=elsewhere&partner=*", "environment"),
        ("?environment=production&partner=NOT%20A%20NAME", "partner"),
        ("?environment=production&partner=*&endpoint=1", "endpoint"),
        ("?environment=production&environment=sandbox&partner=*", "environment"),
    ] {
        for refused in [operator.post_empty(&format!("/brakes{query}")), operator.delete(&format!("/brakes{query}"))] {
            let refused = refused.problem(422, "invalid");
            let expected = format!("query parameter `{named}`");
            assert!(refused["detail"].as_str().unwrap().contains(&expected), "{query}: {refused}");
        }
    }
    let nobody = "/brakes?environment=production&partner=nobody-at-all";
    operator.post_empty(nobody).problem(404, "not-found");
    operator.delete(nobody).problem(404, "not-found");
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(501));
    for (body, pointer) in [
        (r#"{"reason": 5}"#, "/reason"),
        (r#"{"reason": "a\u0000b"}"#, "/reason"),
        (long.as_str(), "/reason"),
        (r#"{"until": "2030-01-01T00:00:00Z"}"#, "/until"),
    ] {
        let refused = operator.post(&over(&tenant), body);
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer]);
    }
    operator.post(&over(&tenant), "[]").problem(422, "invalid");
    operator.post(&over(&tenant), "{").problem(400, "invalid-json");
    for client in [&tenant.partner, &tenant.producer] {
        client.post_empty(&over(&tenant)).problem(403, "forbidden");
        client.delete(&over(&tenant)).problem(403, "forbidden");
        client.get("/brakes").problem(403, "forbidden");
    }
    assert!(!listed(&node).to_string().contains(&tenant.name), "nothing was set");
}
