//! `Posthaste-Deliver-At` and `Posthaste-Expires-In` on what is posted.

use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::node::{LATER_MS, SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

const DELIVER_AT: &str = "posthaste-deliver-at";
const EXPIRES_IN: &str = "posthaste-expires-in";

fn post(tenant: &Tenant, id: &str, headers: &[(&str, &str)]) -> Response {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    tenant.producer.send("POST", "/events", &all, campaign("campaign.updated", id).as_bytes())
}

fn ahead(duration: Duration) -> Timestamp {
    Clock::system().wall() + duration
}

fn shown(tenant: &Tenant, accepted: &Value) -> Value {
    tenant.partner.get(&format!("/events/{}", accepted["id"].as_str().unwrap())).expect(200)
}

#[test]
fn an_event_for_later_is_pending_until_then() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let at = ahead(Duration::from_millis(700));
    let soon = post(&tenant, "soon", &[(DELIVER_AT, &at.to_string())]).expect(202);
    let much_later = ahead(Duration::from_secs(3_600)).to_string();
    let late = post(&tenant, "late", &[(DELIVER_AT, &much_later)]).expect(202);
    assert_eq!((&soon["deliveries"], &late["deliveries"]), (&json!(1), &json!(1)));
    let waits = tenant.delivery_of(&late);
    assert_eq!((&waits["status"], &waits["next_attempt_at"]), (&json!("pending"), &json!(much_later)));
    let event = shown(&tenant, &late);
    assert_eq!((&event["deliver_at"], &event["expires_at"]), (&json!(much_later), &json!(null)));
    let request = subscriber.next();
    assert!(Clock::system().wall() >= at);
    assert_eq!(request.webhook_id.as_deref(), soon["id"].as_str());
    tenant.settled(&soon, "delivered");
}

#[test]
fn an_event_that_expires_is_discarded_with_its_reason() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS] } }));
    let accepted = post(&tenant, "1", &[(EXPIRES_IN, "60")]).expect(202);
    let delivery = tenant.settled(&accepted, "discarded");
    assert_eq!((&delivery["reason"], &delivery["attempt_count"]), (&json!("expired"), &json!(1)));
    assert_eq!(delivery["attempts"][0]["status_code"], 503);
    let event = shown(&tenant, &accepted);
    let expires_at: Timestamp = event["expires_at"].as_str().unwrap().parse().unwrap();
    let accepted_at: Timestamp = event["accepted_at"].as_str().unwrap().parse().unwrap();
    let lives_for = expires_at.since(accepted_at);
    assert!(lives_for <= Duration::from_secs(60) && lives_for > Duration::from_secs(50), "{event}");
    // What nobody limits is retried.
    let other = post(&tenant, "2", &[]).expect(202);
    tenant.settled(&other, "retrying");
}

#[test]
fn a_batch_has_one_time_for_all_its_lines() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let at = ahead(Duration::from_secs(3_600)).to_string();
    let headers = [("content-type", "application/x-ndjson"), (DELIVER_AT, at.as_str()), (EXPIRES_IN, "60")];
    let lines = ["1", "2"].map(|id| campaign("campaign.updated", id)).join("\n");
    let answer = tenant.producer.send("POST", "/events/batch", &headers, lines.as_bytes()).expect(202);
    for line in answer["data"].as_array().unwrap() {
        assert_eq!(tenant.delivery_of(line)["next_attempt_at"], at.as_str());
        let expires_at: Timestamp = shown(&tenant, line)["expires_at"].as_str().unwrap().parse().unwrap();
        let deliver_at: Timestamp = at.parse().unwrap();
        assert_eq!(expires_at.since(deliver_at), Duration::from_secs(60), "counted from when it can be delivered");
    }
}

#[test]
fn times_that_cannot_be_kept_are_refused_and_nothing_is() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let too_far = ahead(Duration::from_secs(30 * 24 * 3_600 + 60)).to_string();
    for (headers, says) in [
        (vec![(DELIVER_AT, too_far.as_str())], "`retention_days` is 30"),
        (vec![(DELIVER_AT, "tomorrow")], "RFC 3339"),
        (vec![(EXPIRES_IN, "0")], "from 1 to 2592000"),
        (vec![(EXPIRES_IN, "PT1M")], "from 1 to 2592000"),
        (vec![(EXPIRES_IN, "1"), (EXPIRES_IN, "2")], "given once"),
    ] {
        let problem = post(&tenant, "1", &headers).problem(422, "invalid");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says) && detail.to_lowercase().contains(headers[0].0), "{headers:?}: {detail}");
    }
    assert_eq!(tenant.partner.get("/events").expect(200)["data"], json!([]));
}

#[test]
fn a_key_holds_for_one_time_only() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let at = ahead(Duration::from_secs(3_600)).to_string();
    let key = ("idempotency-key", "a");
    let first = post(&tenant, "1", &[key, (DELIVER_AT, &at)]).expect(202);
    assert_eq!(post(&tenant, "1", &[key, (DELIVER_AT, &at)]).expect(202), first);
    let reused = "idempotency-key-reused";
    post(&tenant, "1", &[key]).problem(422, reused);
    post(&tenant, "1", &[key, (DELIVER_AT, &at), (EXPIRES_IN, "60")]).problem(422, reused);
}
