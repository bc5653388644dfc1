//! An endpoint in trouble, over real sockets: its breaker and what it shows of it,
//! its pace, what a receiver asks for, and what a restart remembers of all that.

use std::time::Duration;

use actix_web::http::StatusCode;
use posthaste::cli::receiver::Behaviour;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, Tenant, campaign, eventually, time};
use crate::support::receiver::{Subscriber, header};

static NODE: SharedNode = SharedNode::new();

const HOUR_MS: u64 = 3_600_000;

/// Waits until the endpoint's breaker is as it is to be.
fn breaker(tenant: &Tenant, made: &Value, state: &str) -> Value {
    eventually(&format!("the breaker is {state}"), || {
        Some(tenant.health(made)).filter(|health| health["breaker"] == state)
    })
}

/// An endpoint that refuses everything, with an open breaker and `waiting` events
/// behind the five that opened it.
fn opened(tenant: &Tenant, subscriber: &Subscriber, waiting: usize) -> (Value, Vec<Value>) {
    subscriber.fail();
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [HOUR_MS] },
    }));
    (0..5).for_each(|number| drop(tenant.event(campaign("campaign.created", &format!("first-{number}")))));
    breaker(tenant, &made, "open");
    let behind = (0..waiting).map(|number| tenant.event(campaign("campaign.updated", &format!("next-{number}"))));
    (made, behind.collect())
}

#[test]
fn an_open_breaker_spares_what_waits_and_closes_when_the_receiver_is_back() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, behind) = opened(&tenant, &subscriber, 20);
    let seen = tenant.health(&made);
    assert!(time(&seen["next_probe_at"]) > time(&seen["breaker_opened_at"]), "{seen}");
    assert!(time(&seen["failing_since"]) <= time(&seen["breaker_opened_at"]), "{seen}");
    assert_eq!((&seen["disabled_at"], &seen["retry_after"]), (&Value::Null, &Value::Null));
    // A probe that fails is one delivery's attempt, and no other's.
    eventually("a probe has failed", || (tenant.health(&made)["failed_probes"].as_u64()? > 0).then_some(()));
    let tried: usize = behind.iter().filter(|event| tenant.delivery_of(event)["attempt_count"] != 0).count();
    assert!((1..=3).contains(&tried), "{tried} of those that wait were tried");
    subscriber.succeed();
    breaker(&tenant, &made, "closed");
    let delivered = || behind.iter().filter(|event| tenant.delivery_of(event)["status"] == "delivered").count();
    // Those that were probes have their next attempt in an hour.
    eventually("all that waited is delivered", || (delivered() >= behind.len() - tried - 2).then_some(()));
    let seen = tenant.health(&made);
    assert_eq!((&seen["failing_since"], &seen["failed_probes"]), (&Value::Null, &json!(0)), "{seen}");
}

#[test]
fn an_attempt_by_hand_passes_the_breaker_and_its_success_closes_it() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, behind) = opened(&tenant, &subscriber, 6);
    subscriber.succeed();
    let last = tenant.delivery_of(behind.last().unwrap());
    tenant.partner.post_empty(&format!("/deliveries/{}/retry", last["id"].as_str().unwrap())).expect(202);
    tenant.settled(behind.last().unwrap(), "delivered");
    breaker(&tenant, &made, "closed");
}

#[test]
fn a_restart_remembers_the_breaker() {
    let folder = Folder::new();
    let subscriber = Subscriber::start();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("production");
    let (made, behind) = opened(&tenant, &subscriber, 3);
    eventually("a probe has failed", || (tenant.health(&made)["failed_probes"].as_u64()? > 0).then_some(()));
    let name = tenant.name.clone();
    assert!(node.stop().success());
    while subscriber.already().is_some() {}
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant_named(&name, "production");
    let seen = tenant.health(&made);
    assert_eq!(seen["breaker"], "open", "{seen}");
    let next = subscriber.next();
    assert!(next.at >= time(&seen["next_probe_at"]), "{:?} is before {}", next.at, seen["next_probe_at"]);
    subscriber.succeed();
    breaker(&tenant, &made, "closed");
    drop(behind);
}

#[test]
fn a_rate_limit_spaces_requests() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let limit = json!({ "per_second": 20 });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "rate_limit": limit }));
    assert_eq!(made["rate_limit"], limit);
    let lines: Vec<String> = (0..30).map(|number| campaign("campaign.updated", &number.to_string())).collect();
    let ndjson = [("content-type", "application/x-ndjson")];
    tenant.producer.send("POST", "/events/batch", &ndjson, lines.join("\n").as_bytes()).expect(202);
    let times: Vec<i64> = (0..30).map(|_| subscriber.next().at.as_millis()).collect();
    let took = times[29] - times[0];
    assert!(took >= 1_350, "30 requests at 20 a second took {took} ms");
    for window in times.windows(11) {
        assert!(window[10] - window[0] >= 400, "{} ms for ten intervals", window[10] - window[0]);
    }
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    assert_eq!(tenant.partner.patch(&path, r#"{"rate_limit": null}"#).expect(200)["rate_limit"], Value::Null);
}

#[test]
fn one_endpoints_trouble_is_not_anothers() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let (dead, well) = (Subscriber::start(), Subscriber::start());
    let (made, _) = opened(&tenant, &dead, 10);
    tenant.webhook(&json!({ "url": well.url("/"), "events": ["campaign.failed"] }));
    for number in 0..10 {
        tenant.event(campaign("campaign.failed", &number.to_string()));
        assert_eq!(header(&well.next(), "posthaste-attempt"), "1");
    }
    assert_eq!(tenant.health(&made)["breaker"], "open");
}

#[test]
fn a_long_failure_disables_and_says_so() {
    let options = [("ENDPOINT_WARN_AFTER_MS", "1"), ("ENDPOINT_DISABLE_AFTER_MS", "600")];
    let node = Node::start(&options);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::behaving(Behaviour {
        fail_rate: 1.0,
        failure: StatusCode::INTERNAL_SERVER_ERROR,
        ..Behaviour::default()
    });
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "retries": 30, "base_ms": 20, "max_ms": 100 },
    }));
    let events: Vec<Value> =
        (0..3).map(|number| tenant.event(campaign("campaign.updated", &number.to_string()))).collect();
    let seen = eventually("it is disabled", || {
        Some(tenant.health(&made)).filter(|health| health["disabled_reason"] == "failing")
    });
    assert!(time(&seen["disabled_at"]) >= time(&seen["failing_since"]) + Duration::from_millis(600), "{seen}");
    assert!(seen["warned_at"].is_string(), "{seen}");
    for event in &events {
        assert_eq!(tenant.delivery_of(event)["status"], "held", "nothing is lost by it");
    }
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    assert_eq!(tenant.partner.get(&path).expect(200)["enabled"], false);
    subscriber.succeed();
    tenant.partner.patch(&path, r#"{"enabled": true}"#).expect(200);
    for event in &events {
        tenant.settled(event, "delivered");
    }
    assert_eq!(tenant.health(&made)["disabled_at"], Value::Null, "it begins anew");
    assert!(node.log().contains("was disabled: failing"), "{}", node.log());
}
