//! Seed system B: ad screenshots, and the rule of delivery that came with
//! them: 2xx is delivered, all else is tried again.

use std::net::TcpListener;

use actix_web::http::StatusCode;
use posthaste::cli::receiver::Behaviour;
use serde_json::{Value, json};

use crate::support::node::SharedNode;
use crate::support::receiver::{Subscriber, verifies};

static NODE: SharedNode = SharedNode::new();

fn approved(ad: &str, screenshots: &[&str]) -> Value {
    let shots: Vec<Value> = screenshots.iter().map(|status| json!({ "status": status, "url": "…" })).collect();
    json!({ "event": "screenshot_set.approved", "id": "set_1", "ad": { "status": ad }, "screenshots": shots })
}

#[test]
fn an_approved_set_is_delivered_flat_and_signed() {
    for environment in ["sandbox", "production"] {
        let node = NODE.get();
        let tenant = node.tenant(environment);
        let subscriber = Subscriber::start();
        let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["screenshot_set.approved"] }));
        let all = ["uploaded", "net_read_timeout", "no_slots_found", "site_unreachable", "ssl_error", "generic_error"];
        let mut bodies = vec![approved("uploaded", &all), approved("uploaded", &[])];
        for ad in ["not_found", "net_read_timeout", "generic_error"] {
            bodies.push(approved(ad, &["ad_not_captured", "uploaded"]));
        }
        let mut lone = approved("uploaded", &[]);
        lone.as_object_mut().unwrap().remove("screenshots");
        lone["screenshot"] = json!({ "status": "ssl_error" });
        lone["id"] = json!(90_000_000_000_000_001_u64);
        bodies.push(lone);
        for body in bodies {
            let accepted = tenant.event(body.to_string());
            let received = subscriber.next();
            assert_eq!(received.body, body.to_string());
            assert!(verifies(&received, made["secret"].as_str().unwrap()));
            tenant.settled(&accepted, "delivered");
        }
    }
}

#[test]
fn what_breaks_the_rules_of_a_set_is_refused_with_its_field() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let without = |field: &str| {
        let mut body = approved("uploaded", &["uploaded"]);
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let lone = |status: &str| {
        let mut body = without("screenshots");
        body["screenshot"] = json!({ "status": status });
        body
    };
    let cases = [
        (approved("uploaded", &["uploaded", "ad_not_captured"]), "/screenshots/1/status"),
        (approved("uploaded", &["lost"]), "/screenshots/0/status"),
        (approved("captured", &["uploaded"]), "/ad/status"),
        (approved("site_unreachable", &["uploaded"]), "/ad/status"),
        (lone("ad_not_captured"), "/screenshot/status"),
        (lone("not_found"), "/screenshot/status"),
        (without("id"), "/id"),
        (without("ad"), "/ad"),
        (without("screenshots"), "/screenshots"),
        (json!({ "event": "screenshot_set.approved", "id": "a", "ad": {}, "screenshots": [] }), "/ad/status"),
        (json!({ "event": "screenshot_set.approved", "id": "a", "ad": "x", "screenshots": [{}] }), "/ad"),
        (
            json!({ "event": "screenshot_set.approved", "id": "a", "ad": "x", "screenshots": [{}] }),
            "/screenshots/0/status",
        ),
        (json!({ "event": "screenshot_set.approved", "id": "a", "ad": "x", "screenshots": {} }), "/screenshots"),
    ];
    for (body, pointer) in cases {
        let refused = tenant.producer.post("/events", body.to_string());
        refused.problem(422, "invalid-event");
        assert!(refused.pointers().contains(&pointer.to_owned()), "{pointer} of {body}: {}", refused.body);
    }
}

#[test]
fn every_status_but_2xx_is_a_failed_attempt() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [3_600_000] },
    }));
    let cases = [
        (200, "delivered", None),
        (204, "delivered", None),
        (299, "delivered", None),
        (301, "retrying", Some("redirect")),
        (307, "retrying", Some("redirect")),
        (304, "retrying", Some("redirect")),
        (400, "retrying", Some("http_status")),
        (404, "retrying", Some("http_status")),
        (410, "retrying", Some("http_status")),
        (429, "retrying", Some("http_status")),
        (500, "retrying", Some("http_status")),
        (503, "retrying", Some("http_status")),
    ];
    for (answer, status, class) in cases {
        let failure = StatusCode::from_u16(answer).unwrap();
        subscriber.behave(Behaviour { fail_rate: 1.0, failure, ..Behaviour::default() });
        let accepted = tenant.event(approved("uploaded", &["uploaded"]).to_string());
        subscriber.next();
        let delivery = tenant.settled(&accepted, status);
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["status_code"], answer, "{delivery}");
        match class {
            None => assert!(attempt["error"].is_null(), "{delivery}"),
            Some(class) if answer == 304 => assert!(attempt["error"]["class"].is_string(), "{class} {delivery}"),
            Some(class) => assert_eq!(attempt["error"]["class"], class, "{delivery}"),
        }
        assert_eq!(delivery["next_attempt_at"].is_null(), class.is_none(), "{delivery}");
    }
}

#[test]
fn every_error_is_a_failed_attempt_and_names_its_class() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let hanging = Subscriber::behaving(Behaviour { hang: true, ..Behaviour::default() });
    let subscriber = Subscriber::start();
    // A port that is nobody's: taken for a moment and given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = subscriber.url("/").replace("http:", "https:");
    let cases = [(format!("http://{free}/"), "connect"), (tls, "tls"), (hanging.url("/"), "timeout")];
    for (url, class) in cases {
        let made = tenant.webhook(&json!({
            "url": url, "events": ["*"], "timeout_ms": 1000, "retry": { "schedule_ms": [3_600_000] },
        }));
        let accepted = tenant.event(approved("uploaded", &["uploaded"]).to_string());
        let delivery = tenant.settled(&accepted, "retrying");
        let error = &delivery["attempts"][0]["error"];
        assert_eq!(error["class"], class, "{delivery}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert!(delivery["attempts"][0]["status_code"].is_null(), "{delivery}");
        tenant.partner.delete(&format!("/webhook/{}", made["id"].as_str().unwrap())).expect(204);
    }
    assert_eq!(tenant.event(approved("uploaded", &[]).to_string())["deliveries"], 0);
}
