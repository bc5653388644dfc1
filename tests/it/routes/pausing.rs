//! `POST /webhook/{id}/pause` and `/resume`: what is held meanwhile, what still
//! works, and that nothing of it is lost.

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, Tenant, campaign, webhook_path};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

#[track_caller]
fn pause(tenant: &Tenant, made: &Value) -> Value {
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(made))).expect(200)
}

#[track_caller]
fn resume(tenant: &Tenant, made: &Value) -> Value {
    tenant.partner.post_empty(&format!("{}/resume", webhook_path(made))).expect(200)
}

#[test]
fn a_paused_webhook_holds_its_deliveries_and_a_resumed_one_gets_them_all() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, retrying, before) = tenant.with_a_retry_far_off(&subscriber);

    pause(&tenant, &made);
    let held: Vec<Value> =
        (0..40).map(|number| tenant.event(campaign("campaign.updated", &number.to_string()))).collect();
    for accepted in &held {
        assert_eq!(accepted["deliveries"], 1, "events for it are held, not dropped");
        assert_eq!(tenant.delivery_of(accepted)["status"], "held");
    }
    assert_eq!(tenant.delivery_of(&retrying)["status"], "held");
    let shown = tenant.partner.get(&webhook_path(&made)).expect(200);
    assert_eq!((&shown["health"]["state"], &shown["health"]["backlog"]), (&json!("held"), &json!(41)));
    assert_eq!(shown["health"]["next_attempt_at"], json!(null));
    let listed = |status: &str| {
        let found = tenant.partner.get(&format!("/deliveries?status={status}")).expect(200);
        found["data"].as_array().unwrap().len()
    };
    assert_eq!((listed("held"), listed("pending"), listed("retrying")), (41, 0, 0));
    assert!(subscriber.already().is_none(), "nothing is sent");

    resume(&tenant, &made);
    let mut arrived: Vec<String> = held.iter().map(|_| subscriber.next().webhook_id.unwrap()).collect();
    let mut expected: Vec<&str> = held.iter().map(|accepted| accepted["id"].as_str().unwrap()).collect();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "each once");
    for accepted in &held {
        assert_eq!(tenant.settled(accepted, "delivered")["attempt_count"], 1);
    }
    let resumed = tenant.delivery_of(&retrying);
    assert_eq!((&resumed["status"], &resumed["next_attempt_at"]), (&json!("retrying"), &before["next_attempt_at"]));
}

#[test]
fn a_pause_shows_in_the_webhook_and_not_in_its_settings() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let mut made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    made.as_object_mut().unwrap().remove("secret");
    assert_eq!((&made["status"], &made["paused_at"]), (&json!("active"), &json!(null)));
    assert_eq!(resume(&tenant, &made), made, "nothing to resume is no mistake");

    let paused = pause(&tenant, &made);
    assert!(paused["paused_at"].is_string(), "{paused}");
    let mut expected = made.clone();
    expected["status"] = json!("paused");
    expected["paused_by"] = json!("partner");
    expected["paused_at"] = paused["paused_at"].clone();
    assert_eq!(paused, expected, "neither `enabled` nor the version nor the time of the last change");
    assert_eq!(pause(&tenant, &made), paused, "it is paused since the first time");
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"], json!([paused]));

    // A setting is changed below the pause.
    let disabled = tenant.partner.patch(&webhook_path(&made), r#"{"enabled": false}"#).expect(200);
    assert_eq!((&disabled["status"], &disabled["paused_at"]), (&json!("disabled"), &paused["paused_at"]));
    let resumed = resume(&tenant, &made);
    assert_eq!((&resumed["status"], &resumed["paused_at"]), (&json!("disabled"), &json!(null)));
    pause(&tenant, &made);
    let enabled = tenant.partner.patch(&webhook_path(&made), r#"{"enabled": true}"#).expect(200);
    assert_eq!(
        (&enabled["status"], &enabled["enabled"], &enabled["version"]),
        (&json!("paused"), &json!(true), &json!(3))
    );
    assert_eq!(resume(&tenant, &made)["status"], "active");
}

#[test]
fn an_attempt_by_hand_waits_for_the_end_of_the_pause_and_a_test_does_not() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, accepted, waiting) = tenant.with_a_retry_far_off(&subscriber);
    pause(&tenant, &made);
    let retry = format!("/deliveries/{}/retry", waiting["id"].as_str().unwrap());
    let refused = tenant.partner.post_empty(&retry).problem(409, "conflict");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("paused") && detail.contains(&format!("`POST {}/resume`", webhook_path(&made))),
        "{detail}"
    );

    let tested = tenant.partner.post_empty(&format!("{}/test", webhook_path(&made))).expect(200);
    assert_eq!(tested["delivered"], true);
    assert_eq!(subscriber.next().webhook_id.as_deref(), tested["webhook_id"].as_str());

    resume(&tenant, &made);
    tenant.partner.post_empty(&retry).expect(202);
    assert_eq!(subscriber.next().attempt.as_deref(), Some("2"));
    tenant.settled(&accepted, "delivered");
}

#[test]
fn a_paused_webhook_can_be_deleted() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    pause(&tenant, &made);
    let accepted = tenant.event(campaign("campaign.created", "c-1"));
    tenant.partner.delete(&webhook_path(&made)).expect(204);
    let discarded = tenant.delivery_of(&accepted);
    assert_eq!((&discarded["status"], &discarded["reason"]), (&json!("discarded"), &json!("endpoint_deleted")));
    for call in ["pause", "resume"] {
        tenant.partner.post_empty(&format!("{}/{call}", webhook_path(&made))).problem(404, "not-found");
    }
}

/// Somebody may take it for a pause that ends by itself.
#[test]
fn what_a_pause_cannot_do_is_refused() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    for call in ["pause", "resume"] {
        let call = format!("{}/{call}", webhook_path(&made));
        let refused = tenant.partner.post(&call, r#"{"until": "2030-01-01T00:00:00Z"}"#);
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/until"]);
        for nothing in ["{}", ""] {
            tenant.partner.post(&call, nothing).expect(200);
        }
    }
    tenant.partner.post_empty("/webhook/none/pause").problem(404, "not-found");
}

#[test]
fn a_pause_outlives_the_node() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let paused = pause(&tenant, &made);
    let accepted = tenant.event(campaign("campaign.created", "c-1"));
    let (name, keys) = (tenant.name.clone(), [tenant.partner.key.clone(), tenant.producer.key.clone()]);
    // A kill, not a stop.
    drop(node);

    let node = Node::on(&folder, &[]);
    let [partner, producer] = keys.map(|key| node.client(&key.unwrap()));
    let tenant = Tenant { name, partner, producer };
    let meanwhile = tenant.event(campaign("campaign.created", "c-2"));
    for held in [&accepted, &meanwhile] {
        assert_eq!(tenant.delivery_of(held)["status"], "held");
    }
    assert_eq!(tenant.partner.get(&webhook_path(&made)).expect(200)["paused_at"], paused["paused_at"]);
    assert!(subscriber.already().is_none(), "nothing is sent");
    resume(&tenant, &made);
    for _ in 0..2 {
        subscriber.next();
    }
    tenant.settled(&accepted, "delivered");
    tenant.settled(&meanwhile, "delivered");
}
