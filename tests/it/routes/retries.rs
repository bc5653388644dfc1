//! Trying again: by the endpoint's schedule, by hand, and `POST
//! /webhook/{id}/test`, which is no delivery at all.

use std::time::Duration;

use serde_json::json;

use crate::support::node::{SharedNode, Tenant, campaign, time};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::new();

#[track_caller]
fn retry(tenant: &Tenant, delivery: &serde_json::Value) -> serde_json::Value {
    tenant.partner.post_empty(&format!("/deliveries/{}/retry", delivery["id"].as_str().unwrap())).expect(202)
}

#[test]
fn a_failing_delivery_is_tried_again_by_its_schedule() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(2);
    let waits = [150, 300];
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": waits },
    }));
    let body = campaign("campaign.processing", "c-9");
    let accepted = tenant.event(&body);
    let received = [subscriber.next(), subscriber.next(), subscriber.next()];
    for (index, request) in received.iter().enumerate() {
        assert_eq!(header(request, "posthaste-attempt"), (index + 1).to_string());
        assert_eq!(header(request, "webhook-id"), accepted["id"], "the same on every retry");
        assert_eq!(header(request, "posthaste-delivery"), header(&received[0], "posthaste-delivery"));
        assert_eq!(request.body, body);
        assert!(verifies(request, made["secret"].as_str().unwrap()), "each is signed as of its own time");
    }
    for (index, wait) in waits.iter().enumerate() {
        let apart = received[index + 1].at.as_millis() - received[index].at.as_millis();
        assert!(apart >= *wait, "retry {} came after {apart} ms of {wait}", index + 1);
    }
    let delivery = tenant.settled(&accepted, "delivered");
    assert_eq!((&delivery["attempt_count"], &delivery["next_attempt_at"]), (&json!(3), &json!(null)));
    let attempts = delivery["attempts"].as_array().unwrap();
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (attempt["number"].as_u64(), attempt["status_code"].as_u64(), attempt["error"]["class"].as_str())
        })
        .collect();
    let failed = |number| (Some(number), Some(503), Some("http_status"));
    assert_eq!(seen, [failed(1), failed(2), (Some(3), Some(200), None)]);
    for (index, wait) in waits.iter().enumerate() {
        let ended = time(&attempts[index]["started_at"])
            + Duration::from_millis(attempts[index]["duration_ms"].as_u64().unwrap());
        let next = time(&attempts[index + 1]["started_at"]);
        assert!(next.as_millis() - ended.as_millis() >= *wait, "the wait counts from the end of the attempt");
    }
}

#[test]
fn a_schedule_ends_and_only_a_hand_goes_on() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [20] } }));
    let accepted = tenant.event(campaign("campaign.failed", "c-1"));
    let exhausted = tenant.settled(&accepted, "retries_exhausted");
    assert_eq!((&exhausted["attempt_count"], &exhausted["next_attempt_at"]), (&json!(2), &json!(null)));
    assert!(exhausted["finished_at"].is_string(), "{exhausted}");
    let id = exhausted["id"].as_str().unwrap();

    // Failing by hand, it stays exhausted and counts.
    let asked = retry(&tenant, &exhausted);
    assert_eq!((&asked["id"], &asked["status"]), (&exhausted["id"], &json!("retries_exhausted")));
    let numbers = [subscriber.next(), subscriber.next(), subscriber.next()].map(|request| request.attempt.unwrap());
    assert_eq!(numbers, ["1", "2", "3"]);
    let failed = crate::support::node::eventually("the third attempt is on record", || {
        Some(tenant.delivery(id)).filter(|delivery| delivery["attempt_count"] == 3)
    });
    assert_eq!((&failed["status"], &failed["next_attempt_at"]), (&json!("retries_exhausted"), &json!(null)));
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 3);

    subscriber.succeed();
    retry(&tenant, &exhausted);
    assert_eq!(subscriber.next().attempt.as_deref(), Some("4"));
    let delivered = tenant.settled(&accepted, "delivered");
    assert_eq!(delivered["attempt_count"], 4);

    // What is delivered can be had once more, too.
    retry(&tenant, &delivered);
    assert_eq!(subscriber.next().attempt.as_deref(), Some("5"));
}

#[test]
fn no_retry_is_a_schedule_too() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    assert_eq!(made["retry"], json!({ "schedule_ms": [] }));
    let accepted = tenant.event(campaign("campaign.failed", "c-1"));
    assert_eq!(tenant.settled(&accepted, "retries_exhausted")["attempt_count"], 1);
}

#[test]
fn the_default_schedule_waits_five_seconds_and_a_jitter() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    assert!(made["retry"].is_null());
    let accepted = tenant.event(campaign("campaign.failed", "c-1"));
    let delivery = tenant.settled(&accepted, "retrying");
    let attempt = &delivery["attempts"][0];
    let ended = time(&attempt["started_at"]).as_millis() + attempt["duration_ms"].as_i64().unwrap();
    let wait = time(&delivery["next_attempt_at"]).as_millis() - ended;
    assert!((5_000..=5_502).contains(&wait), "{wait} ms");
}

#[test]
fn an_attempt_by_hand_moves_no_scheduled_one() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (_, accepted, waiting) = tenant.with_a_retry_far_off(&subscriber);
    subscriber.fail();
    let id = waiting["id"].as_str().unwrap();
    retry(&tenant, &waiting);
    let after = crate::support::node::eventually("the second attempt is on record", || {
        Some(tenant.delivery(id)).filter(|delivery| delivery["attempt_count"] == 2)
    });
    assert_eq!((&after["status"], &after["next_attempt_at"]), (&json!("retrying"), &waiting["next_attempt_at"]));
    subscriber.succeed();
    retry(&tenant, &waiting);
    let delivered = tenant.settled(&accepted, "delivered");
    assert_eq!((&delivered["attempt_count"], &delivered["next_attempt_at"]), (&json!(3), &json!(null)));
}

#[test]
fn what_cannot_be_sent_cannot_be_retried() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, _, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let webhook = format!("/webhook/{}", made["id"].as_str().unwrap());
    let path = format!("/deliveries/{}/retry", waiting["id"].as_str().unwrap());

    tenant.partner.patch(&webhook, r#"{"enabled": false}"#).expect(200);
    let refused = tenant.partner.post_empty(&path).problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("disabled"), "{refused}");
    tenant.partner.delete(&webhook).expect(204);
    let refused = tenant.partner.post_empty(&path).problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("deleted"), "{refused}");
}

#[test]
fn a_test_answers_with_its_attempt_and_leaves_no_delivery() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.updated"], "enabled": false }));
    let path = format!("/webhook/{}/test", made["id"].as_str().unwrap());

    // Held deliveries do not hold a test.
    let tested = tenant.partner.post_empty(&path).expect(200);
    let received = subscriber.next();
    assert_eq!((&tested["delivered"], &tested["status_code"]), (&json!(true), &json!(200)));
    assert_eq!((&tested["event_type"], &tested["number"]), (&json!("campaign.updated"), &json!(1)));
    assert_eq!(header(&received, "webhook-id"), tested["webhook_id"]);
    assert!(verifies(&received, made["secret"].as_str().unwrap()));
    let example = tenant.partner.get("/event-types/campaign.updated").expect(200)["example"].to_string();
    assert_eq!(received.body, example);

    // Any type of the catalog may be tried, not only those subscribed to.
    let tested = tenant.partner.post(&path, r#"{"event_type": "screenshot_set.approved"}"#).expect(200);
    assert_eq!(tested["event_type"], "screenshot_set.approved");
    assert_eq!(subscriber.next().event_type.as_deref(), Some("screenshot_set.approved"));

    subscriber.fail();
    let tested = tenant.partner.post_empty(&path).expect(200);
    assert_eq!((&tested["delivered"], &tested["error"]["class"]), (&json!(false), &json!("http_status")));

    let unknown = tenant.partner.post(&path, r#"{"event_type": "campaign.deleted"}"#);
    unknown.problem(422, "invalid");
    assert_eq!(unknown.pointers(), ["/event_type"]);
    let misspelt = tenant.partner.post(&path, r#"{"type": "campaign.updated"}"#);
    misspelt.problem(422, "invalid");
    assert_eq!(misspelt.pointers(), ["/type"]);

    for list in ["/deliveries", "/events"] {
        assert_eq!(tenant.partner.get(list).expect(200)["data"], json!([]), "{list}");
    }
}
