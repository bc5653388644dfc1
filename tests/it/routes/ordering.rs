//! An endpoint's `ordering`, as partners have it, and `POST /deliveries/{id}/skip`.

use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::{Subscriber, header};

static NODE: SharedNode = SharedNode::new();

fn skip(tenant: &Tenant, delivery: &Value) -> crate::support::http::Response {
    tenant.partner.post_empty(&format!("/deliveries/{}/skip", delivery["id"].as_str().unwrap()))
}

#[test]
fn an_order_is_a_setting_that_is_shown_as_it_was_given() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    assert_eq!(made["ordering"], "none");
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    for (given, shown) in [
        (json!("fifo"), json!("fifo")),
        (json!({ "by": "/metadata/a~1b" }), json!({ "by": "/metadata/a~1b" })),
        (json!("none"), json!("none")),
        (json!({ "by": "/id" }), json!({ "by": "/id" })),
        (json!(null), json!("none")),
    ] {
        let changed = tenant.partner.patch(&path, json!({ "ordering": given }).to_string()).expect(200);
        assert_eq!(changed["ordering"], shown);
        assert_eq!(tenant.partner.get(&path).expect(200)["ordering"], shown);
    }
}

#[test]
fn what_is_no_order_is_refused_with_its_place() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let refused = |ordering: Value| {
        let body = json!({ "url": "https://example.com/", "events": ["*"], "ordering": ordering });
        let problem = tenant.partner.post("/webhook", body.to_string()).problem(422, "invalid");
        let [only] = problem["errors"].as_array().unwrap().as_slice() else { panic!("not one: {problem}") };
        (only["pointer"].as_str().unwrap().to_owned(), only["detail"].as_str().unwrap().to_owned())
    };
    for ordering in [json!("FIFO"), json!(""), json!(1), json!(["/id"]), json!(true)] {
        let (pointer, detail) = refused(ordering.clone());
        assert_eq!(pointer, "/ordering", "{ordering}");
        assert!(detail.contains("`fifo`"), "{ordering}: {detail}");
    }
    for (ordering, says) in [
        (json!({}), "such as {\"by\": \"/id\"}"),
        (json!({ "by": 1 }), "such as {\"by\": \"/id\"}"),
        (json!({ "by": "id" }), "begins with `/`"),
        (json!({ "by": "" }), "begins with `/`"),
        (json!({ "by": "/a~2" }), "`~` at byte 2"),
        (json!({ "by": format!("/{}", "a".repeat(256)) }), "the limit is 256 bytes"),
    ] {
        let (pointer, detail) = refused(ordering.clone());
        assert_eq!(pointer, "/ordering/by", "{ordering}");
        assert!(detail.contains(says), "{ordering}: {detail}");
    }
    assert_eq!(refused(json!({ "by": "/id", "then": "/type" })).0, "/ordering/then");
}

#[test]
fn events_of_one_campaign_arrive_in_order_whoever_of_them_fails() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "ordering": { "by": "/id" }, "retry": { "schedule_ms": [50, 50] },
    }));
    let first = tenant.event(campaign("campaign.created", "one"));
    let failed = subscriber.next();
    assert_eq!((failed.webhook_id.as_deref(), header(&failed, "posthaste-sequence")), (first["id"].as_str(), "1"));
    let second = tenant.event(campaign("campaign.updated", "one"));
    let other = tenant.event(campaign("campaign.updated", "another"));
    let mut got: Vec<(String, String)> = Vec::new();
    while got.len() < 3 {
        let request = subscriber.next();
        got.push((request.webhook_id.clone().unwrap(), header(&request, "posthaste-sequence").to_owned()));
    }
    let place = |event: &Value| got.iter().position(|(id, _)| Some(id.as_str()) == event["id"].as_str()).unwrap();
    assert!(place(&first) < place(&second), "{got:?}");
    assert_eq!(got[place(&first)].1, "1");
    assert_eq!(got[place(&second)].1, "2");
    assert_eq!(got[place(&other)].1, "3");
    assert_eq!(tenant.settled(&second, "delivered")["sequence"], 2);
}

#[test]
fn whoever_is_skipped_lets_the_next_go() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "ordering": "fifo", "retry": { "schedule_ms": [3_600_000] },
    }));
    let head = tenant.event(campaign("campaign.created", "1"));
    subscriber.next();
    let blocked = tenant.settled(&head, "retrying");
    let next = tenant.event(campaign("campaign.updated", "2"));
    let waits = tenant.delivery_of(&next);
    assert_eq!((&waits["status"], &waits["attempt_count"]), (&json!("pending"), &json!(0)));
    assert!(subscriber.already().is_none());

    let skipped = skip(&tenant, &blocked).expect(200);
    assert_eq!((&skipped["status"], &skipped["reason"]), (&json!("discarded"), &json!("skipped")));
    assert_eq!(subscriber.next().webhook_id.as_deref(), next["id"].as_str());
    tenant.settled(&next, "delivered");
    assert_eq!(skip(&tenant, &blocked).expect(200)["reason"], "skipped", "again is no mistake");
    let outcome = tenant.partner.get(&format!("/events/{}", head["id"].as_str().unwrap())).expect(200);
    assert_eq!(outcome["endpoints"][0]["delivery"]["reason"], "skipped");
}

#[test]
fn what_cannot_be_skipped_says_why() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "1"));
    let delivered = tenant.settled(&accepted, "delivered");
    let problem = skip(&tenant, &delivered).problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("delivered"), "{problem}");
    skip(&other, &delivered).problem(404, "not-found");
    skip(&tenant, &json!({ "id": "dlv_01h455vb4pex5vsknk084sn02q" })).problem(404, "not-found");
    skip(&tenant, &json!({ "id": "nonsense" })).problem(404, "not-found");
    let path = format!("/deliveries/{}/skip", delivered["id"].as_str().unwrap());
    tenant.producer.post_empty(&path).problem(403, "forbidden");
    tenant.partner.get(&path).problem(405, "method-not-allowed");
    tenant.partner.post_empty(&format!("{path}?now=1")).problem(422, "invalid");
}
