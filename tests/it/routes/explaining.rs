//! Why a partner did not get something: `GET /events/{id}` and `GET /deliveries/{id}` of a
//! real node, for whatever a delivery can wait for and however it can end, each with a
//! sentence that says how to mend it.

use posthaste::cli::receiver::Behaviour;
use posthaste::clock::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::contract::Contract;
use crate::support::node::{LATER_MS, Node, SharedNode, Tenant, campaign, eventually, time, webhook_path};
use crate::support::receiver::{Subscriber, header};
use crate::transport::receiver::Receiver;

static NODE: SharedNode = SharedNode::with(&[
    ("KEY_REQUESTS_PER_SECOND", "0"),
    ("PARTNER_REQUESTS_PER_SECOND", "0"),
    ("TESTS_PER_MINUTE", "0"),
]);

fn event_path(accepted: &Value) -> String {
    format!("/events/{}", accepted["id"].as_str().unwrap())
}

/// An event's outcome for an endpoint.
#[track_caller]
fn outcome(tenant: &Tenant, accepted: &Value, made: &Value) -> Value {
    let event = tenant.partner.get(&event_path(accepted)).expect(200);
    let found = event["endpoints"].as_array().unwrap().iter().find(|outcome| outcome["endpoint"] == made["id"]);
    found.unwrap_or_else(|| panic!("{event} does not name {}", made["id"])).clone()
}

#[track_caller]
fn sentence(shown: &Value) -> &str {
    shown["explanation"].as_str().filter(|text| text.len() > 10).unwrap_or_else(|| panic!("{shown} says nothing"))
}

/// What a waiting delivery is shown to wait for, once that is this kind: the same by its
/// event and by itself, with a sentence that has all of these words.
#[track_caller]
fn waits_for(tenant: &Tenant, accepted: &Value, made: &Value, kind: &str, words: &[&str]) -> Value {
    let (whole, of_event) = eventually(&format!("{accepted} waits for {kind}"), || {
        let of_event = outcome(tenant, accepted, made);
        let delivery = tenant.delivery(of_event["delivery"]["id"].as_str().unwrap());
        (of_event["waits_for"]["kind"] == kind && delivery["waits_for"]["kind"] == kind).then_some((delivery, of_event))
    });
    let contract = Contract::of(&NODE.get());
    for (operation, path) in [
        ("read_event", event_path(accepted)),
        ("read_delivery", format!("/deliveries/{}", whole["id"].as_str().unwrap())),
    ] {
        contract.check(&contract.operation(operation), &tenant.partner.get(&path));
    }
    for shown in [&whole, &of_event] {
        for word in words {
            assert!(sentence(shown).contains(word), "no `{word}` in {shown}");
        }
        assert!(shown["attempts_left"].is_u64(), "{shown}");
    }
    whole
}

fn hook(tenant: &Tenant, subscriber: &Subscriber, more: Value) -> Value {
    let mut settings = json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS] } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tenant.webhook(&settings)
}

fn created(tenant: &Tenant, id: &str) -> Value {
    tenant.event(campaign("campaign.created", id))
}

#[test]
fn a_delivered_one_shows_all_of_its_attempt() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = hook(&tenant, &subscriber, json!({ "headers": { "X-Token": "s3cret-s3cret" }, "ordering": "fifo" }));
    let body = campaign("campaign.created", "first");
    let accepted = tenant.event(&body);
    let received = subscriber.next();
    let delivery = tenant.settled(&accepted, "delivered");
    assert_eq!((&delivery["waits_for"], &delivery["attempts_left"]), (&Value::Null, &Value::Null));
    assert!(sentence(&delivery).starts_with("delivered at 20"), "{delivery}");
    assert!(sentence(&delivery).ends_with(", after 1 attempt"), "{delivery}");
    let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(delivery["request_body"], json!({ "bytes": body.len(), "sha256": hash }));

    let attempt = &delivery["attempts"][0];
    let host = subscriber.url("").strip_prefix("http://").unwrap().to_owned();
    assert_eq!((&attempt["connection"], &attempt["address"]), (&json!("new"), &json!(host)));
    assert_eq!(attempt["settings_version"], 1);
    let timing = attempt["timing"].as_object().unwrap();
    assert!(timing["dns_ms"].is_null() && timing["tls_ms"].is_null(), "{attempt}");
    assert!(timing["connect_ms"].is_u64() && timing["first_byte_ms"].is_u64(), "{attempt}");
    let stages: u64 = timing.values().filter_map(Value::as_u64).sum();
    assert!(stages <= attempt["duration_ms"].as_u64().unwrap(), "{attempt}");
    let answered = attempt["response_headers"].as_array().unwrap();
    assert!(answered.iter().any(|header| header["name"] == "content-length"), "{attempt}");
    assert!(sentence(attempt).starts_with("answered 200 after "), "{attempt}");

    // What is shown of the request is what was sent, but for what is secret.
    let shown = attempt["request_headers"].as_array().unwrap();
    let mut names: Vec<&str> = shown.iter().map(|header| header["name"].as_str().unwrap()).collect();
    let mut sent: Vec<&str> =
        received.headers.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "date").collect();
    names.sort_unstable();
    sent.sort_unstable();
    assert_eq!(names, sent);
    for one in shown {
        let (name, value) = (one["name"].as_str().unwrap(), one["value"].as_str().unwrap());
        match name {
            "webhook-signature" => assert_eq!(value, "(signed)"),
            "x-token" => assert_eq!(value, "(redacted)"),
            _ => assert_eq!(value, header(&received, name), "{name}"),
        }
    }

    let outcome = outcome(&tenant, &accepted, &made);
    assert_eq!(outcome["delivered_at"], delivery["finished_at"]);
    assert_eq!(sentence(&outcome), sentence(&delivery));
    assert_eq!(sentence(&outcome["last_attempt"]), sentence(attempt));

    // The next goes over the same connection, with the settings of then.
    let patch = json!({ "headers": { "X-Other": "another-s3cret" } });
    tenant.partner.patch(&webhook_path(&made), patch.to_string()).expect(200);
    let next = tenant.settled(&created(&tenant, "second"), "delivered");
    let attempt = &next["attempts"][0];
    assert_eq!((&attempt["connection"], &attempt["settings_version"]), (&json!("reused"), &json!(2)));
    assert_eq!((&attempt["timing"]["connect_ms"], &attempt["address"]), (&Value::Null, &json!(host)));
    let names = |delivery: &Value| delivery["attempts"][0]["request_headers"].to_string();
    assert!(names(&next).contains("x-other") && !names(&next).contains("x-token"), "{next}");
    let first = tenant.delivery(delivery["id"].as_str().unwrap());
    assert!(names(&first).contains("x-token") && !names(&first).contains("x-other"), "{first}");
    assert!(
        !node
            .operator()
            .get(&format!("/deliveries/{}?partner=*", delivery["id"].as_str().unwrap()))
            .body
            .contains("s3cret")
    );
}

#[test]
fn a_test_shows_the_same_of_its_attempt() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = hook(&tenant, &subscriber, json!({ "headers": { "X-Token": "s3cret-s3cret" } }));
    let test = tenant.partner.post_empty(&format!("{}/test", webhook_path(&made))).expect(200);
    let received = subscriber.next();
    assert_eq!((&test["connection"], &test["settings_version"]), (&json!("new"), &json!(1)));
    assert!(sentence(&test).starts_with("answered 200 after "), "{test}");
    for one in test["request_headers"].as_array().unwrap() {
        let (name, value) = (one["name"].as_str().unwrap(), one["value"].as_str().unwrap());
        if !["webhook-signature", "x-token"].contains(&name) {
            assert_eq!(value, header(&received, name), "{name}");
        }
    }
    assert!(!test.to_string().contains("s3cret"), "{test}");
    assert!(test["request_headers"].to_string().contains("x-token"), "{test}");
}

#[test]
fn what_waits_for_its_time_says_when_that_is() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let (made, accepted, retrying) = tenant.with_a_retry_far_off(&subscriber);
    let id = retrying["id"].as_str().unwrap();
    let retry = format!("`POST /deliveries/{id}/retry`");
    let seen =
        waits_for(&tenant, &accepted, &made, "schedule", &["its next attempt is due in 59 min", "1 left", &retry]);
    assert_eq!((&seen["waits_for"]["until"], &seen["attempts_left"]), (&seen["next_attempt_at"], &json!(1)));
    let said = sentence(&seen["attempts"][0]);
    assert!(said.starts_with("answered 503 after ") && said.contains("; next attempt in 59 min"), "{said}");
    assert!(said.ends_with(", 1 left"), "{said}");

    let at = (Clock::system().wall() + std::time::Duration::from_millis(LATER_MS)).to_string();
    let headers = [("content-type", "application/json"), ("posthaste-deliver-at", at.as_str())];
    let later = campaign("campaign.created", "later");
    let later = tenant.producer.send("POST", "/events", &headers, later.as_bytes()).expect(202);
    let seen = waits_for(&tenant, &later, &made, "deliver_at", &[at.as_str(), "`Posthaste-Deliver-At`"]);
    assert_eq!((&seen["waits_for"]["until"], &seen["attempts_left"]), (&json!(at), &json!(2)));
}

#[test]
fn what_an_endpoint_in_trouble_keeps_waiting_says_so() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let made = hook(&tenant, &subscriber, json!({}));
    (0..5).for_each(|number| drop(created(&tenant, &format!("first-{number}"))));
    eventually("the breaker is open", || (tenant.health(&made)["breaker"] == "open").then_some(()));
    let behind: Vec<Value> = (0..20).map(|number| created(&tenant, &format!("next-{number}"))).collect();
    let test = format!("`POST {}/test`", webhook_path(&made));
    // The last of them is no probe for a while.
    let seen = waits_for(&tenant, &behind[19], &made, "breaker", &["its breaker is open, since 20", &test]);
    assert!(time(&seen["waits_for"]["since"]) < time(&seen["waits_for"]["until"]), "{seen}");

    let busy = Receiver::answering(b"HTTP/1.1 503 Busy\r\nretry-after: 600\r\ncontent-length: 0\r\n\r\n");
    let made = tenant.webhook(&json!({
        "url": busy.url(), "events": ["campaign.failed"], "retry": { "schedule_ms": [10] },
    }));
    let accepted = tenant.event(campaign("campaign.failed", "busy"));
    let seen = waits_for(&tenant, &accepted, &made, "retry_after", &["`Retry-After`", "which is in "]);
    assert!(time(&seen["waits_for"]["until"]) > time(&seen["next_attempt_at"]), "{seen}");
    let headers = &seen["attempts"][0]["response_headers"];
    assert!(headers.as_array().unwrap().contains(&json!({ "name": "retry-after", "value": "600" })), "{seen}");
    let said = sentence(&seen["attempts"][0]);
    assert!(said.contains("; next attempt in 9 min"), "as the receiver asked: {said}");
}

#[test]
fn what_is_under_way_and_what_is_behind_it_say_so() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::behaving(Behaviour { hang: true, ..Behaviour::default() });
    let made = hook(&tenant, &subscriber, json!({ "max_concurrency": 1, "timeout_ms": 60_000 }));
    let first = created(&tenant, "first");
    // Nothing follows it before it has arrived, and hangs.
    subscriber.next();
    waits_for(&tenant, &first, &made, "attempt", &["an attempt is under way"]);
    let [second, third] = ["second", "third"].map(|id| created(&tenant, id));
    for (accepted, ahead) in [(&second, 1), (&third, 2)] {
        let seen = waits_for(&tenant, accepted, &made, "queue", &["as many requests in flight as it is given"]);
        let counted = (&seen["waits_for"]["ahead"], &seen["waits_for"]["ahead_has_more"]);
        assert_eq!(counted, (&json!(ahead), &json!(false)), "{seen}");
        assert!(sentence(&seen).contains(&format!("due behind {ahead} others")), "{seen}");
    }

    let paced = Subscriber::start();
    let made = tenant.webhook(&json!({
        "url": paced.url("/paced"), "events": ["campaign.completed"], "rate_limit": { "per_second": 1 },
    }));
    let many: Vec<Value> =
        (0..30).map(|number| tenant.event(campaign("campaign.completed", &number.to_string()))).collect();
    let seen = waits_for(&tenant, &many[29], &made, "rate_limit", &["`rate_limit`", "raise it"]);
    assert!(seen["waits_for"]["until"].is_string(), "{seen}");
}

#[test]
fn what_waits_for_another_names_it() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let made = hook(&tenant, &subscriber, json!({ "ordering": "fifo" }));
    let [first, second, third] = ["first", "second", "third"].map(|id| created(&tenant, id));
    let head = tenant.settled(&first, "retrying")["id"].as_str().unwrap().to_owned();
    for accepted in [&second, &third] {
        let skip = format!("`POST /deliveries/{head}/skip`");
        let seen = waits_for(&tenant, accepted, &made, "order", &[&format!("{head} is before it"), &skip]);
        assert_eq!(seen["waits_for"]["delivery"], head);
    }
}

#[test]
fn what_is_held_says_by_whom_and_who_ends_it() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = hook(&tenant, &subscriber, json!({}));
    let path = webhook_path(&made);
    tenant.partner.post_empty(&format!("{path}/pause")).expect(200);
    let accepted = created(&tenant, "held");
    let resume = format!("`POST {path}/resume`");
    let by = |kind: &str, words: &[&str]| {
        let seen = eventually(&format!("it is held by {kind}"), || {
            Some(waits_for(&tenant, &accepted, &made, "hold", words)).filter(|seen| seen["waits_for"]["by"] == kind)
        });
        assert_eq!(seen["status"], "held");
        seen["waits_for"]["since"].clone()
    };
    assert!(by("partner", &["is paused since 20", &resume]).is_string());
    let brake = format!("/brakes?environment=production&partner={}", tenant.name);
    node.operator().post_empty(&brake).expect(200);
    assert!(by("both", &["both have to end it", &resume, "`DELETE /brakes`"]).is_string());
    tenant.partner.post_empty(&format!("{path}/resume")).expect(200);
    assert!(by("operator", &["an operator's brake", "`DELETE /brakes`"]).is_string());
    node.operator().delete(&brake).expect(200);
    tenant.settled(&accepted, "delivered");

    tenant.partner.patch(&path, r#"{"enabled": false}"#).expect(200);
    let accepted = created(&tenant, "disabled");
    let enable = format!("`PATCH {path}` with `{{\"enabled\": true}}`");
    let seen = waits_for(&tenant, &accepted, &made, "hold", &["is disabled by its settings", &enable]);
    assert_eq!((&seen["waits_for"]["by"], &seen["waits_for"]["since"]), (&json!("settings"), &Value::Null));

    let gone = Receiver::answering(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n");
    let settings = json!({
        "url": gone.url(), "events": ["campaign.failed"], "disable_on_gone": true, "retry": { "schedule_ms": [LATER_MS] },
    });
    let made = tenant.webhook(&settings);
    let accepted = tenant.event(campaign("campaign.failed", "gone"));
    let seen = waits_for(&tenant, &accepted, &made, "hold", &["because its receiver answered 410"]);
    assert_eq!(seen["waits_for"]["by"], "gone");
    assert!(
        sentence(&seen["attempts"][0]).ends_with("; no other begins while its endpoint holds its deliveries"),
        "{seen}"
    );
}

#[test]
fn on_a_held_node_it_is_the_node_that_is_waited_for() {
    let node = Node::start(&[("HOLD", "true")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = hook(&tenant, &subscriber, json!({}));
    let accepted = created(&tenant, "held");
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let release = format!("`POST /nodes/{id}/release`");
    let seen = waits_for(&tenant, &accepted, &made, "owner_node", &["is held", &release]);
    assert_eq!((&seen["waits_for"]["node"], &seen["waits_for"]["owner"]), (&json!(id), &json!("held")));
    node.operator().post_empty(&format!("/nodes/{id}/release")).expect(200);
    tenant.settled(&accepted, "delivered");
}

#[test]
fn who_did_not_get_it_is_told_why_and_since_when_that_is_otherwise() {
    let node = NODE.get();
    let contract = Contract::of(&node);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let filter = json!({ "properties": { "status": { "const": "PAUSED" } } });
    let at = |path: &str, more: Value| {
        let mut settings = json!({ "url": subscriber.url(path), "events": ["*"] });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tenant.webhook(&settings)
    };
    let filtered = at("/filtered", json!({ "filter": filter }));
    let never = at("/never", json!({ "events": ["campaign.failed"] }));
    let later = at("/later", json!({ "events": ["campaign.failed"] }));
    let accepted = created(&tenant, "first");
    let new = at("/new", json!({}));
    let new_for_others = at("/others", json!({ "events": ["campaign.failed"] }));
    let changed = tenant.partner.patch(&webhook_path(&later), r#"{"events": ["*"]}"#).expect(200);

    let told = |made: &Value, word: &str, words: &[&str]| {
        let told = outcome(&tenant, &accepted, made);
        assert_eq!(
            (&told["outcome"], &told["delivery"], &told["waits_for"]),
            (&json!(word), &Value::Null, &Value::Null)
        );
        for word in words {
            assert!(sentence(&told).contains(word), "no `{word}` in {told}");
        }
        told["subscribed_since"].clone()
    };
    told(&filtered, "filtered", &["/status expected PAUSED", "change the filter"]);
    assert!(told(&never, "not_subscribed", &["`campaign.created`", "and has not been since", "`events`"]).is_null());
    let since = told(&later, "not_subscribed", &["until version 2", "`missing`"]);
    assert_eq!(since, changed["updated_at"]);
    let since = told(&new, "not_yet_created", &["was made at 20", "`missing`"]);
    assert_eq!(since, new["created_at"]);
    assert!(told(&new_for_others, "not_yet_created", &["nor is it subscribed to `campaign.created`"]).is_null());
    let operation = contract.operation("read_event");
    contract.check(&operation, &tenant.partner.get(&event_path(&accepted)));
    // Over all partners, who was not there answers nobody's question.
    let over_all = node.operator().get(&format!("{}?partner=*", event_path(&accepted))).expect(200);
    assert_eq!(over_all["endpoints"], json!([]));
}

#[test]
fn what_has_ended_says_how_and_what_to_do() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let made = hook(&tenant, &subscriber, json!({ "retry": { "schedule_ms": [1] } }));
    let ended = |accepted: &Value, status: &str, made: &Value, words: &[&str]| {
        let delivery = tenant.settled(accepted, status);
        let of_event = outcome(&tenant, accepted, made);
        for shown in [&delivery, &of_event] {
            assert_eq!((&shown["waits_for"], &shown["attempts_left"]), (&Value::Null, &Value::Null));
            for word in words {
                assert!(sentence(shown).contains(word), "no `{word}` in {shown}");
            }
        }
        delivery
    };
    let exhausted = created(&tenant, "exhausted");
    let seen =
        ended(&exhausted, "retries_exhausted", &made, &["after 2 attempts", "(the last: answered 503)", "/retry`"]);
    assert!(sentence(&seen["attempts"][1]).ends_with("; no other follows by itself"), "{seen}");
    assert!(!sentence(&seen["attempts"][0]).contains(';'), "only the last says what follows: {seen}");

    let later = hook(&tenant, &subscriber, json!({ "url": subscriber.url("/later"), "events": ["campaign.failed"] }));
    let only = |id: &str| tenant.event(campaign("campaign.failed", id));
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    let find = |accepted: &Value, made: &Value| {
        eventually("it has been tried", || {
            Some(outcome(&tenant, accepted, made)).filter(|outcome| outcome["delivery"]["attempt_count"] != 0)
        })
    };
    let (skipped, deleted) = (only("skipped"), only("deleted"));
    let id = find(&skipped, &later)["delivery"]["id"].as_str().unwrap().to_owned();
    tenant.partner.post_empty(&format!("/deliveries/{id}/skip")).expect(200);
    let told = sentence(&outcome(&tenant, &skipped, &later)).to_owned();
    assert!(
        told.contains("skipped by hand (1 attempt)") && told.contains(&format!("`POST /deliveries/{id}/retry`")),
        "{told}"
    );
    find(&deleted, &later);
    tenant.partner.delete(&webhook_path(&later)).expect(204);
    let told = sentence(&outcome(&tenant, &deleted, &later)).to_owned();
    assert!(told.contains("was deleted before it was delivered"), "{told}");
}
