//! Replays over real sockets: what a partner missed is delivered again, once, with the same
//! `webhook-id`, whatever is killed in between; and what else is done about what ended badly.

use std::collections::BTreeSet;

use posthaste::cli::receiver::Received;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::Client;
use crate::support::node::{LATER_MS, Node, SharedNode, Tenant, campaign, eventually, webhook_path};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::with(&[
    ("KEY_REQUESTS_PER_SECOND", "0"),
    ("PARTNER_REQUESTS_PER_SECOND", "0"),
    ("TESTS_PER_MINUTE", "0"),
]);

/// A webhook whose receiver takes everything by now, and the events that it did not take.
fn with_lost(tenant: &Tenant, subscriber: &Subscriber, count: usize) -> (Value, Vec<Value>) {
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    let lost: Vec<Value> =
        (0..count).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    for accepted in &lost {
        tenant.settled(accepted, "retries_exhausted");
    }
    for _ in 0..count {
        subscriber.next();
    }
    subscriber.succeed();
    (made, lost)
}

#[track_caller]
fn begin(client: &Client, made: &Value, body: &Value) -> Value {
    client.post(&format!("{}/replay", webhook_path(made)), body.to_string()).expect(202)
}

fn path(replay: &Value) -> String {
    format!("/replays/{}", replay["id"].as_str().unwrap())
}

/// Waits until a replay has made everything, and all of it has ended.
#[track_caller]
fn done(client: &Client, replay: &Value) -> Value {
    eventually("the replay is done", || {
        let found = client.get(&path(replay)).expect(200);
        (found["state"] == "done" && found["pending"] == 0).then_some(found)
    })
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn received(subscriber: &Subscriber, count: usize) -> (Vec<Received>, BTreeSet<String>) {
    let requests: Vec<Received> = (0..count).map(|_| subscriber.next()).collect();
    let events = requests.iter().map(|request| header(request, "webhook-id").to_owned()).collect();
    (requests, events)
}

#[test]
fn what_was_lost_is_delivered_again_and_once() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, lost) = with_lost(&tenant, &subscriber, 5);

    let preview =
        tenant.partner.post(&format!("{}/replay", webhook_path(&made)), json!({ "dry_run": true }).to_string());
    let preview = preview.expect(200);
    assert_eq!((&preview["events"], &preview["at_least"], &preview["targets"]), (&json!(5), &json!(false), &json!(1)));
    assert_eq!(preview["counts"][0]["status"], "retries_exhausted");
    assert_eq!(preview["samples"].as_array().unwrap().len(), 5);
    assert!(subscriber.already().is_none(), "nothing is sent for that");

    let counted = tenant.partner.get("/exhausted").expect(200);
    let [of_endpoint] = counted["data"].as_array().unwrap().as_slice() else { panic!("{counted}") };
    assert_eq!((&of_endpoint["endpoint"], &of_endpoint["count"]), (&made["id"], &json!(5)));
    assert_eq!(
        (&of_endpoint["reasons"][0]["status_code"], &of_endpoint["reasons"][0]["error_class"]),
        (&json!(503), &json!("http_status"))
    );

    let replay = begin(&tenant.partner, &made, &json!({}));
    assert_eq!((&replay["state"], &replay["status"]), (&json!("running"), &json!(["retries_exhausted"])));
    assert_eq!(replay["requested_by"]["actor"], "partner");
    let (requests, events) = received(&subscriber, 5);
    assert_eq!(events, ids(&lost), "each with the id that it had");
    for request in &requests {
        assert_eq!(header(request, "posthaste-attempt"), "1");
        assert!(verifies(request, made["secret"].as_str().unwrap()));
    }
    let found = done(&tenant.partner, &replay);
    let counts = ["made", "delivered", "failed", "pending", "skipped"].map(|name| found[name].as_u64().unwrap());
    assert_eq!(counts, [5, 5, 0, 0, 0]);
    assert_eq!((&found["endpoints"][0]["made"], &found["endpoints"][0]["done"]), (&json!(5), &json!(true)));

    // What there is to be seen of it.
    let listed = tenant.partner.get(&format!("/deliveries?replay={}", replay["id"].as_str().unwrap())).expect(200);
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|delivery| delivery["replay"] == replay["id"] && delivery["status"] == "delivered"));
    let event = tenant.partner.get(&format!("/events/{}", lost[0]["id"].as_str().unwrap())).expect(200);
    let outcomes: Vec<&Value> = event["endpoints"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["retries_exhausted", "delivered"]);
    let (given_up, delivered) = (&event["endpoints"][0], &event["endpoints"][1]);
    let told = given_up["explanation"].as_str().unwrap();
    assert!(told.contains(delivered["delivery"]["id"].as_str().unwrap()) && told.ends_with("is delivered"), "{told}");
    assert_eq!(tenant.partner.get("/replays").expect(200)["data"][0]["id"], replay["id"]);
    assert_eq!(tenant.partner.get("/exhausted").expect(200)["data"], json!([]), "nothing is lost any more");

    // Twice is the same as once.
    let again = done(&tenant.partner, &begin(&tenant.partner, &made, &json!({})));
    assert_eq!(again["made"], 0);
    let of_delivered = done(
        &tenant.partner,
        &begin(&tenant.partner, &made, &json!({ "status": "delivered", "types": ["campaign.created"] })),
    );
    assert_eq!(of_delivered["made"], 5);
    received(&subscriber, 5);
    assert!(subscriber.already().is_none());
}

#[test]
fn a_node_that_is_killed_goes_on_and_makes_each_once() {
    let folder = Folder::new();
    let options = [("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")];
    let node = Node::on(&folder, &options);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let lines: String = (0..300).map(|number| campaign("campaign.created", &number.to_string()) + "\n").collect();
    let media_type = [("content-type", "application/x-ndjson")];
    let accepted = tenant.producer.send("POST", "/events/batch", &media_type, lines.as_bytes()).expect(202);
    let events = ids(accepted["data"].as_array().unwrap());
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.*"] }));
    let replay = begin(&tenant.partner, &made, &json!({ "missing": true, "rate_limit": { "per_second": 150 } }));
    // Some of it has arrived, and the rest was not made yet.
    let (_, first) = received(&subscriber, 40);
    let (key, id) = (tenant.partner.key.clone().unwrap(), node.id());
    drop(node);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists(), "it was killed");
    let node = Node::on(&folder, &options);
    let partner = node.client(&key);
    let found = done(&partner, &replay);
    assert_eq!((&found["made"], &found["delivered"]), (&json!(300), &json!(300)));
    let mut arrived = first;
    while let Some(request) = subscriber.already() {
        arrived.insert(header(&request, "webhook-id").to_owned());
    }
    assert_eq!(arrived, events);
    // One delivery for each, whatever was sent twice because nobody knew that it had arrived.
    let (mut deliveries, mut next) = (Vec::new(), String::new());
    loop {
        let page =
            partner.get(&format!("/deliveries?limit=250&replay={}{next}", replay["id"].as_str().unwrap())).expect(200);
        deliveries.extend(
            page["data"].as_array().unwrap().iter().map(|delivery| delivery["event"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((deliveries.len(), deliveries.into_iter().collect::<BTreeSet<_>>()), (300, events));
}

#[test]
fn an_endpoint_that_takes_nothing_is_given_no_more_than_a_little() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    let lines: String = (0..60).map(|number| campaign("campaign.created", &number.to_string()) + "\n").collect();
    let media_type = [("content-type", "application/x-ndjson")];
    tenant.producer.send("POST", "/events/batch", &media_type, lines.as_bytes()).expect(202);
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.*"] }));
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    let replay = begin(&tenant.partner, &made, &json!({ "missing": true }));
    let held = eventually("it has made what may be under way", || {
        let found = tenant.partner.get(&path(&replay)).expect(200);
        (found["made"] == 32).then_some(found)
    });
    assert_eq!((&held["state"], &held["pending"]), (&json!("running"), &json!(32)));
    let cancel = format!("{}/cancel", path(&replay));
    let other = node.tenant("sandbox");
    other.partner.post_empty(&cancel).problem(404, "not-found");
    let cancelled = tenant.partner.post_empty(&cancel).expect(200);
    assert_eq!((&cancelled["state"], &cancelled["made"]), (&json!("cancelled"), &json!(32)));
    assert_eq!(tenant.partner.post_empty(&cancel).expect(200)["state"], "cancelled", "once is enough");
    tenant.partner.post_empty(&format!("{}/resume", webhook_path(&made))).expect(200);
    received(&subscriber, 32);
    let ended = eventually("what was made is delivered", || {
        let found = tenant.partner.get(&path(&replay)).expect(200);
        (found["delivered"] == 32).then_some(found)
    });
    assert_eq!((&ended["made"], &ended["pending"]), (&json!(32), &json!(0)));
}

#[test]
fn an_operator_replays_over_partners_and_each_sees_its_own() {
    let node = NODE.get();
    let tenants = [node.tenant("production"), node.tenant("production")];
    let subscriber = Subscriber::start();
    let lost: Vec<(Value, Vec<Value>)> = tenants.iter().map(|tenant| with_lost(tenant, &subscriber, 2)).collect();
    let operator = node.operator();
    let names = json!(tenants.iter().map(|tenant| &tenant.name).collect::<Vec<_>>());
    operator.post("/replays?partner=*", json!({ "partners": names, "dry_run": true }).to_string()).expect(200);
    let replay = operator.post("/replays?partner=*", json!({ "partners": names }).to_string()).expect(202);
    assert_eq!((&replay["partner"], &replay["targets"]), (&json!("*"), &json!(2)));
    let (_, events) = received(&subscriber, 4);
    assert_eq!(events, lost.iter().flat_map(|(_, events)| ids(events)).collect());
    let found = eventually("it is done", || {
        let found = operator.get(&format!("{}?partner=*", path(&replay))).expect(200);
        (found["delivered"] == 4).then_some(found)
    });
    assert_eq!(found["endpoints"].as_array().unwrap().len(), 2);
    for (tenant, (made, _)) in tenants.iter().zip(&lost) {
        tenant.partner.get(&path(&replay)).problem(404, "not-found");
        let own = tenant.partner.get(&format!("/deliveries?replay={}", replay["id"].as_str().unwrap())).expect(200);
        let own = own["data"].as_array().unwrap();
        assert_eq!(own.len(), 2);
        assert!(own.iter().all(|delivery| delivery["endpoint"] == made["id"]));
        tenant.partner.post("/replays", "{}").problem(403, "forbidden");
    }
    // What is named and not there is pointed to.
    for (query, body, pointer) in [
        ("partner=*", json!({}), "/endpoints"),
        ("partner=*", json!({ "partners": [tenants[0].name, "nobody"] }), "/partners/1"),
        ("environment=sandbox&partner=*", json!({ "endpoints": [lost[0].0["id"]] }), "/endpoints/0"),
        ("partner=*", json!({ "endpoints": ["ep_1"] }), "/endpoints/0"),
    ] {
        let problem = operator.post(&format!("/replays?{query}"), body.to_string()).problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let of_one = format!("/replays?partner={}", tenants[0].name);
    let replay = operator.post(&of_one, "{}").expect(202);
    assert_eq!(replay["partner"], tenants[0].name);
    let seen = done(&tenants[0].partner, &replay);
    assert_eq!((&seen["requested_by"], &seen["made"]), (&json!({ "actor": "operator", "key": null }), &json!(0)));
}

#[test]
fn only_so_many_replays_run_at_once() {
    let node = Node::start(&[("REPLAYS_PER_PARTNER", "1"), ("ENDPOINTS_PER_REPLAY", "1")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let lines: String = (0..40).map(|number| campaign("campaign.created", &number.to_string()) + "\n").collect();
    let media_type = [("content-type", "application/x-ndjson")];
    tenant.producer.send("POST", "/events/batch", &media_type, lines.as_bytes()).expect(202);
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "enabled": false }));
    let first = begin(&tenant.partner, &made, &json!({ "missing": true }));
    let second = tenant.partner.post(&format!("{}/replay", webhook_path(&made)), "{}");
    assert!(second.problem(422, "limit-reached")["detail"].as_str().unwrap().contains("`replays_per_partner`"));
    tenant.partner.post_empty(&format!("{}/cancel", path(&first))).expect(200);
    begin(&tenant.partner, &made, &json!({}));
    tenant.webhook(&json!({ "url": subscriber.url("/2"), "events": ["*"], "enabled": false }));
    let both = node.operator().post(&format!("/replays?partner={}", tenant.name), "{}");
    assert!(both.problem(422, "limit-reached")["detail"].as_str().unwrap().contains("`endpoints_per_replay`"));
}

#[test]
fn retries_that_are_not_to_wait_are_tried_now() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, accepted, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let now = format!("{}/retry-now", webhook_path(&made));
    assert!(waiting["next_attempt_at"].is_string() && LATER_MS > 60_000);
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    assert!(tenant.partner.post_empty(&now).problem(409, "conflict")["detail"].as_str().unwrap().contains("/resume"));
    tenant.partner.post_empty(&format!("{}/resume", webhook_path(&made))).expect(200);
    tenant.partner.post(&now, r#"{"at": 5}"#).problem(422, "invalid");
    let answer = tenant.partner.post_empty(&now).expect(200);
    assert_eq!(answer, json!({ "brought_forward": 1, "more": false }));
    assert_eq!(header(&subscriber.next(), "posthaste-attempt"), "2", "it is the scheduled one, and counts as that");
    tenant.settled(&accepted, "delivered");
    assert_eq!(tenant.partner.post_empty(&now).expect(200)["brought_forward"], 0);
    node.tenant("production").partner.post_empty(&now).problem(404, "not-found");
}

#[test]
fn an_open_breaker_is_probed_at_once_for_whoever_asks() {
    let node = Node::start(&[("BREAKER_OPENS_AFTER", "2")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS] },
    }));
    subscriber.fail();
    let lost: Vec<Value> =
        (0..2).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    for _ in 0..2 {
        subscriber.next();
    }
    eventually("the breaker is open", || (tenant.health(&made)["breaker"] == "open").then_some(()));
    subscriber.succeed();
    let answer = tenant.partner.post_empty(&format!("{}/retry-now", webhook_path(&made))).expect(200);
    assert_eq!(answer["brought_forward"], 2);
    // The probe succeeds, and all that was brought forward follows it.
    for _ in 0..2 {
        assert_eq!(header(&subscriber.next(), "posthaste-attempt"), "2");
    }
    for accepted in &lost {
        tenant.settled(accepted, "delivered");
    }
    eventually("it is closed", || (tenant.health(&made)["breaker"] == "closed").then_some(()));
}

#[test]
fn what_is_exhausted_can_be_left_at_that() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, lost) = with_lost(&tenant, &subscriber, 2);
    let delivery = tenant.delivery_of(&lost[0]);
    let dismiss = format!("/deliveries/{}/dismiss", delivery["id"].as_str().unwrap());
    node.tenant("production").partner.post_empty(&dismiss).problem(404, "not-found");
    let dismissed = tenant.partner.post_empty(&dismiss).expect(200);
    assert_eq!((&dismissed["status"], &dismissed["reason"]), (&json!("discarded"), &json!("dismissed")));
    assert_eq!(tenant.partner.post_empty(&dismiss).expect(200), dismissed, "once is enough");
    assert_eq!(tenant.partner.get("/exhausted").expect(200)["data"][0]["count"], 1);
    let replayed = done(&tenant.partner, &begin(&tenant.partner, &made, &json!({})));
    assert_eq!(replayed["made"], 1, "it is not exhausted any more");
    let again = tenant.delivery_of_replay(&replayed);
    let again = format!("/deliveries/{}/dismiss", again["id"].as_str().unwrap());
    tenant.partner.post_empty(&again).problem(409, "conflict");
    let audited = tenant.partner.get("/audit?action=delivery.dismissed").expect(200);
    assert_eq!(audited["data"].as_array().unwrap().len(), 1);
    let started = tenant.partner.get("/audit?action=replay.started").expect(200);
    assert_eq!(
        (&started["data"][0]["subject"], &started["data"][0]["detail"]["missing"]),
        (&replayed["id"], &json!(false))
    );
}

impl Tenant {
    /// The only delivery that a replay made.
    #[track_caller]
    fn delivery_of_replay(&self, replay: &Value) -> Value {
        let found = self.partner.get(&format!("/deliveries?replay={}", replay["id"].as_str().unwrap())).expect(200);
        let [only] = found["data"].as_array().unwrap().as_slice() else { panic!("not one delivery: {found}") };
        only.clone()
    }
}

#[test]
fn the_same_request_begins_one_replay() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, _) = with_lost(&tenant, &subscriber, 3);
    let ask = |client: &Client, path: &str, key: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        client.send("POST", path, &headers, body.to_string().as_bytes())
    };
    let path_of = format!("{}/replay", webhook_path(&made));
    let first = ask(&tenant.partner, &path_of, "once", &json!({})).expect(202);
    let (_, events) = received(&subscriber, 3);
    assert_eq!(events.len(), 3);
    done(&tenant.partner, &first);
    let again = ask(&tenant.partner, &path_of, "\"once\"", &json!({})).expect(202);
    assert_eq!((&again["id"], &again["made"]), (&first["id"], &json!(3)), "as it stands now");
    assert!(subscriber.already().is_none(), "nothing is sent twice");
    ask(&tenant.partner, &path_of, "once", &json!({ "missing": true })).problem(422, "idempotency-key-reused");
    ask(&tenant.partner, &path_of, "", &json!({})).problem(400, "bad-request");
    // Another's key is another key, whatever it is called.
    let all = format!("/replays?partner={}", tenant.name);
    let operators = ask(&node.operator(), &all, "once", &json!({ "status": "delivered" })).expect(202);
    assert_ne!(operators["id"], first["id"]);
    assert_eq!(
        ask(&node.operator(), &all, "once", &json!({ "status": "delivered" })).expect(202)["id"],
        operators["id"]
    );
    let audited = tenant.partner.get("/audit?action=replay.started").expect(200);
    assert_eq!(audited["data"].as_array().unwrap().len(), 2, "each was begun once");
    // Of another partner it is another request (`product.md`: by environment, partner and key).
    let other = node.tenant("production");
    other.webhook(&json!({ "url": subscriber.url("/other"), "events": ["*"] }));
    let theirs = format!("/replays?partner={}", other.name);
    let begun = ask(&node.operator(), &theirs, "once", &json!({ "status": "discarded" })).expect(202);
    assert_ne!(begun["id"], operators["id"]);
}

#[test]
fn all_that_failed_at_the_same_can_be_left_at_that() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, lost) = with_lost(&tenant, &subscriber, 4);
    let dismiss = format!("{}/dismiss", webhook_path(&made));
    node.tenant("production").partner.post_empty(&dismiss).problem(404, "not-found");
    let answer = |body: Value| tenant.partner.post(&dismiss, body.to_string());
    let wrong = answer(json!({ "error_class": "bad luck", "status_code": 7, "until": "soon", "all": true }));
    assert_eq!(wrong.pointers(), ["/error_class", "/status_code", "/until", "/all"]);
    assert_eq!(answer(json!({ "before": "evt_1" })).pointers(), ["/before"]);
    // It goes on behind the one that is named.
    let behind = answer(json!({ "before": tenant.delivery_of(&lost[0])["id"] })).expect(200);
    let nothing = json!({ "dismissed": 0, "more": false, "next": null });
    assert_eq!(behind, nothing);
    assert_eq!(answer(json!({ "error_class": "timeout" })).expect(200), nothing);
    assert_eq!(answer(json!({ "until": "2020-01-01T00:00:00Z" })).expect(200), nothing);
    let meant = json!({ "error_class": "http_status", "status_code": 503 });
    assert_eq!(answer(meant.clone()).expect(200), json!({ "dismissed": 4, "more": false, "next": null }));
    assert_eq!(tenant.delivery_of(&lost[3])["reason"], "dismissed");
    assert_eq!(tenant.partner.get("/exhausted").expect(200)["data"], json!([]));
    assert_eq!(answer(meant).expect(200), nothing, "once is enough");
    let audited = tenant.partner.get("/audit?action=endpoint.dismissed").expect(200);
    let [entry] = audited["data"].as_array().unwrap().as_slice() else { panic!("{audited}") };
    assert_eq!((&entry["subject"], &entry["detail"]["status_code"]), (&made["id"], &json!(503)));
}
