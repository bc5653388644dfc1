//! `/webhook` after its making: what is shown, what a change leaves alone,
//! what disabling and deleting do to deliveries.

use serde_json::{Value, json};

use crate::support::node::{LATER_MS, SharedNode, campaign, webhook_path};
use crate::support::receiver::{Subscriber, header};

static NODE: SharedNode = SharedNode::new();

#[test]
fn a_webhook_shows_every_setting_and_its_defaults() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let answer = tenant.partner.post("/webhook", r#"{"url": "https://example.com", "events": ["campaign.updated"]}"#);
    let mut made = answer.expect(201);
    assert_eq!(answer.header("location"), Some(webhook_path(&made).as_str()));
    let secret = made.as_object_mut().unwrap().remove("secret");
    assert!(secret.is_some());
    let expected = json!({
        "id": made["id"], "partner": tenant.name, "environment": "production", "url": "https://example.com/",
        "events": ["campaign.updated"], "description": null, "enabled": true, "headers": {}, "format": "flat",
        "ordering": "none", "rate_limit": null, "filter": null, "max_concurrency": 32, "timeout_ms": 15_000,
        "retry": null, "disable_on_gone": false, "signing": "v1", "client_certificate": null, "status": "active", "paused_at": null, "paused_by": null,
        "braked_at": null, "version": 1, "created_at": made["created_at"], "updated_at": made["updated_at"],
    });
    assert_eq!(made, expected);
    let mut read = tenant.partner.get(&webhook_path(&made)).expect(200);
    let health = read.as_object_mut().unwrap().remove("health").unwrap();
    assert_eq!(read, made);
    assert_eq!((&health["backlog"], &health["in_flight"]), (&json!(0), &json!(0)));
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"], json!([made]));
}

#[test]
fn default_values_of_settings_not_built_yet_are_taken() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({
        "url": "https://example.com/", "events": ["*"], "format": "flat", "ordering": "none", "rate_limit": null,
        "filter": null, "secret": null, "headers": null, "retry": null, "description": null, "enabled": null,
        "max_concurrency": null, "timeout_ms": null, "disable_on_gone": null, "signing": null, "client_certificate": null,
    }));
    assert_eq!((&made["format"], &made["ordering"], &made["enabled"]), (&json!("flat"), &json!("none"), &json!(true)));
    tenant.partner.patch(&webhook_path(&made), r#"{"format": null, "ordering": "none", "filter": null}"#).expect(200);
}

#[test]
fn a_change_leaves_what_it_does_not_name_and_null_is_the_default() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let retry = json!({ "retries": 3, "base_ms": 100, "factor": 1.5, "max_ms": 1000, "jitter": 0.0 });
    let made = tenant.webhook(&json!({
        "url": "https://example.com/one", "events": ["campaign.*"], "description": "mine", "enabled": false,
        "headers": { "X-Token": "s3cret" }, "max_concurrency": 3, "timeout_ms": 2_000, "retry": retry,
    }));
    assert_eq!(made["retry"], retry);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");

    let changes = [
        json!({ "url": "https://example.com/two" }),
        json!({ "events": ["screenshot_set.approved", "campaign.failed"] }),
        json!({ "description": "ours", "enabled": true }),
        json!({ "headers": { "x-other": "1" } }),
        json!({ "max_concurrency": 256, "timeout_ms": 60_000 }),
        json!({ "retry": { "schedule_ms": [1, 2] } }),
        json!({ "disable_on_gone": true }),
        json!({ "filter": { "required": ["id"], "properties": { "b": {}, "a": { "minimum": 0.1 } } } }),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut changed = tenant.partner.patch(&webhook_path(&made), change.to_string()).expect(200);
        for (field, value) in change.as_object().unwrap() {
            expected[field] = if field == "headers" { json!({ "x-other": "(redacted)" }) } else { value.clone() };
        }
        expected["status"] = json!(if expected["enabled"] == true { "active" } else { "disabled" });
        expected["version"] = json!(index + 2);
        expected["updated_at"] = changed["updated_at"].clone();
        assert_eq!(changed, expected, "{change}");
        // Saying the same again changes nothing, not even the version.
        changed = tenant.partner.patch(&webhook_path(&made), change.to_string()).expect(200);
        assert_eq!(changed, expected, "{change} again");
    }

    let reset = json!({
        "description": null, "enabled": null, "headers": null, "max_concurrency": null, "timeout_ms": null,
        "retry": null, "disable_on_gone": null, "format": null, "ordering": null, "rate_limit": null, "filter": null,
    });
    let changed = tenant.partner.patch(&webhook_path(&made), reset.to_string()).expect(200);
    let plain = tenant.webhook(&json!({ "url": "https://example.com/plain", "events": ["*"] }));
    for field in reset.as_object().unwrap().keys() {
        assert_eq!(changed[field], plain[field], "{field}");
    }
    assert_eq!((&changed["url"], &changed["events"]), (&expected["url"], &expected["events"]));
    assert_eq!(tenant.partner.patch(&webhook_path(&made), "{}").expect(200), changed);
    for required in ["url", "events"] {
        let refused = tenant.partner.patch(&webhook_path(&made), json!({ required: null }).to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [format!("/{required}")]);
    }
    let refused = tenant.partner.patch(&webhook_path(&made), r#"{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#);
    assert!(refused.problem(422, "invalid")["detail"].as_str().unwrap().contains("/secret/rotate"));
}

#[test]
fn a_change_is_in_force_for_the_next_event() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/old"), "events": ["campaign.updated"] }));
    for round in 0..30 {
        let new = format!("/new-{round}");
        let change = json!({ "url": subscriber.url(&new), "events": ["campaign.created"] });
        tenant.partner.patch(&webhook_path(&made), change.to_string()).expect(200);
        assert_eq!(tenant.event(campaign("campaign.updated", "c-1"))["deliveries"], 0);
        let accepted = tenant.event(campaign("campaign.created", "c-1"));
        assert_eq!(accepted["deliveries"], 1);
        let received = subscriber.next();
        let seen = (received.path.as_str(), header(&received, "webhook-id"));
        assert_eq!(seen, (new.as_str(), accepted["id"].as_str().unwrap()));
        tenant.partner.patch(&webhook_path(&made), r#"{"events": ["campaign.updated"]}"#).expect(200);
    }
}

#[test]
fn own_headers_are_sent_and_never_shown() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let headers = json!({ "Authorization": "Bearer hidden-1", "X-Team": "hidden-2 \t {}" });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "headers": headers }));
    assert_eq!(made["headers"], json!({ "authorization": "(redacted)", "x-team": "(redacted)" }));
    for shown in [tenant.partner.get(&webhook_path(&made)), tenant.partner.get("/webhook")] {
        assert!(!shown.body.contains("hidden"), "{}", shown.body);
    }
    tenant.event(campaign("campaign.updated", "c-1"));
    let received = subscriber.next();
    assert_eq!(header(&received, "authorization"), "Bearer hidden-1");
    assert_eq!(header(&received, "x-team"), "hidden-2 \t {}");
    // A change of something else keeps the values, not what is shown of them.
    tenant.partner.patch(&webhook_path(&made), r#"{"description": "new"}"#).expect(200);
    tenant.event(campaign("campaign.updated", "c-2"));
    assert_eq!(header(&subscriber.next(), "authorization"), "Bearer hidden-1");
    assert!(!NODE.get().log().contains("hidden"), "nor logged");
}

#[test]
fn a_disabled_webhook_holds_its_deliveries_and_an_enabled_one_gets_them() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, retrying, before) = tenant.with_a_retry_far_off(&subscriber);

    tenant.partner.patch(&webhook_path(&made), r#"{"enabled": false}"#).expect(200);
    let held: Vec<Value> =
        (0..5).map(|number| tenant.event(campaign("campaign.updated", &number.to_string()))).collect();
    for accepted in &held {
        assert_eq!(accepted["deliveries"], 1, "events for it are held, not dropped");
        assert_eq!(tenant.delivery_of(accepted)["status"], "held");
    }
    let paused = tenant.delivery_of(&retrying);
    assert_eq!((&paused["status"], &paused["attempt_count"]), (&json!("held"), &json!(1)));
    let shown = tenant.partner.get(&webhook_path(&made)).expect(200);
    assert_eq!((&shown["enabled"], &shown["health"]["state"]), (&json!(false), &json!("held")));
    assert_eq!(shown["health"]["backlog"], 6);
    let listed = |status: &str| {
        let found = tenant.partner.get(&format!("/deliveries?status={status}")).expect(200);
        found["data"].as_array().unwrap().len()
    };
    assert_eq!((listed("held"), listed("pending"), listed("retrying")), (6, 0, 0));
    assert!(subscriber.already().is_none(), "nothing is sent");

    tenant.partner.patch(&webhook_path(&made), r#"{"enabled": true}"#).expect(200);
    for accepted in &held {
        tenant.settled(accepted, "delivered");
        assert_eq!(subscriber.next().attempt.as_deref(), Some("1"));
    }
    let resumed = tenant.delivery_of(&retrying);
    assert_eq!((&resumed["status"], &resumed["next_attempt_at"]), (&json!("retrying"), &before["next_attempt_at"]));
}

#[test]
fn a_deleted_webhook_is_sent_nothing_and_its_deliveries_are_discarded() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let short = json!({ "schedule_ms": [300, LATER_MS] });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/gone"), "events": ["*"], "retry": short }));
    let accepted = tenant.event(campaign("campaign.created", "c-1"));
    let retrying = tenant.settled(&accepted, "retrying");
    assert_eq!(subscriber.next().path, "/gone");
    subscriber.succeed();
    let delivered = tenant.event(campaign("campaign.created", "c-2"));
    assert_eq!(subscriber.next().path, "/gone");
    let delivered = tenant.settled(&delivered, "delivered");
    // What was due before the deletion may have been sent: it is not looked at here.
    let deleted = tenant.partner.delete(&webhook_path(&made));
    assert_eq!((deleted.expect(204), deleted.body.as_str()), (Value::Null, ""));

    for gone in [
        tenant.partner.get(&webhook_path(&made)),
        tenant.partner.delete(&webhook_path(&made)),
        tenant.partner.patch(&webhook_path(&made), r#"{"enabled": true}"#),
        tenant.partner.post_empty(&format!("{}/test", webhook_path(&made))),
        tenant.partner.get(&format!("{}/secret", webhook_path(&made))),
    ] {
        gone.problem(404, "not-found");
    }
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"], json!([]));
    let discarded = tenant.delivery(retrying["id"].as_str().unwrap());
    let seen = (&discarded["status"], &discarded["reason"], &discarded["next_attempt_at"]);
    assert_eq!(seen, (&json!("discarded"), &json!("endpoint_deleted"), &json!(null)), "{discarded}");
    assert!(discarded["finished_at"].is_string(), "{discarded}");
    assert_eq!(tenant.delivery(delivered["id"].as_str().unwrap())["status"], "delivered", "what ended stays");
    let listed = tenant.partner.get("/deliveries?status=discarded").expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(tenant.event(campaign("campaign.created", "c-3"))["deliveries"], 0);

    // The URL is free again. That the old endpoint's retry would have come by
    // now shows in the new one's later retry, which did.
    let again = json!({ "url": subscriber.url("/gone"), "events": ["*"], "retry": { "schedule_ms": [400] } });
    assert_ne!(tenant.webhook(&again)["id"], made["id"]);
    subscriber.behave(posthaste::cli::receiver::Behaviour { fail_next: 1, ..Default::default() });
    let accepted = tenant.event(campaign("campaign.created", "c-4"));
    for number in ["1", "2"] {
        let received = subscriber.next();
        assert_eq!(
            (received.webhook_id.as_deref(), received.attempt.as_deref()),
            (accepted["id"].as_str(), Some(number))
        );
    }
}
