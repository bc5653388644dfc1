//! One request too many: 429 that names its limit, before anything is done.

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::node::{Node, campaign, webhook_path};
use crate::support::receiver::Subscriber;

use super::counted;

#[track_caller]
fn limited(answer: &Response, limit: &str) -> Value {
    let problem = answer.problem(429, "rate-limited");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("`{limit}` is ")), "{detail}");
    let seconds: u32 = answer.header("retry-after").expect("it says when to come again").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    problem
}

#[test]
fn a_partners_key_has_its_rate() {
    let node = Node::start(&[("KEY_REQUESTS_PER_SECOND", "1"), ("PARTNER_REQUESTS_PER_SECOND", "2")]);
    let tenant = node.tenant("production");
    let (mut fine, mut refused) = (0, Vec::new());
    while refused.is_empty() {
        match tenant.partner.get("/webhook") {
            answer if answer.status == 200 => fine += 1,
            answer => refused.push(answer),
        }
    }
    assert!(fine >= 2, "twice the rate at once");
    limited(&refused[0], "key_requests_per_second");
    // A refused one does nothing, whatever it asks for.
    let webhook = json!({ "url": "https://example.com/", "events": ["*"] }).to_string();
    if tenant.partner.post("/webhook", webhook).status == 429 {
        let there = node.operator().get(&format!("/webhook?partner={}", tenant.name)).expect(200);
        assert_eq!(there["data"], json!([]));
    }
    // The same partner's other keys have theirs, and all of them together one more.
    let refused = (0..).find_map(|_| {
        let other = node.tenant_named(&tenant.name, "production").partner;
        (0..2).map(|_| other.get("/webhook")).find(|answer| answer.status != 200)
    });
    limited(&refused.unwrap(), "partner_requests_per_second");
    // Others are served as before: another environment, another partner, operators, producers.
    node.tenant_named(&tenant.name, "sandbox").partner.get("/webhook").expect(200);
    node.tenant("production").partner.get("/webhook").expect(200);
    for _ in 0..20 {
        node.operator().get("/partners").expect(200);
        tenant.event(campaign("campaign.created", "1"));
    }
    let counted = counted(&node.nobody(), "posthaste_requests_limited_total{limit=\"partner_requests_per_second\"}");
    assert!(counted >= 1);
}

#[test]
fn a_producers_key_has_one_where_it_is_given() {
    let node = Node::start(&[("PRODUCER_REQUESTS_PER_SECOND", "2")]);
    let tenant = node.tenant("production");
    let mut accepted = 0;
    let refused = loop {
        match tenant.producer.post("/events", campaign("campaign.created", "1")) {
            answer if answer.status == 202 => accepted += 1,
            answer => break answer,
        }
    };
    limited(&refused, "producer_requests_per_second");
    let kept = node.operator().get(&format!("/events?partner={}", tenant.name)).expect(200);
    assert_eq!(kept["data"].as_array().unwrap().len(), accepted);
}

#[test]
fn guessing_keys_is_slow_and_shuts_out_nobody_else() {
    let node = Node::start(&[("FAILED_AUTHENTICATIONS_PER_MINUTE", "5")]);
    let tenant = node.tenant("production");
    tenant.partner.get("/webhook").expect(200);
    let guess = |number: usize| node.client(&format!("ph_guess{number}")).get("/webhook");
    let refused = (0..).map(guess).find(|answer| answer.status != 401).unwrap();
    limited(&refused, "failed_authentications_per_minute");
    limited(&node.client("ph_guess").post("/events", "{}"), "failed_authentications_per_minute");
    // A key that was good before is good still, also after the node has forgotten it.
    tenant.partner.get("/webhook").expect(200);
    let made = node.operator().post("/keys", json!({ "role": "operator" }).to_string()).expect(201);
    tenant.partner.get("/webhook").expect(200);
    // One that nobody has used here is one of many that nobody has used here.
    limited(&node.client(made["key"].as_str().unwrap()).get("/partners"), "failed_authentications_per_minute");
    // Whoever has no key at all guesses nothing.
    node.nobody().get("/webhook").problem(401, "unauthorized");
}

#[test]
fn tests_have_a_rate_of_their_own() {
    let node = Node::start(&[("TESTS_PER_MINUTE", "2")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let path =
        format!("{}/test", webhook_path(&tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }))));
    for _ in 0..2 {
        tenant.partner.post_empty(&path).expect(200);
        subscriber.next();
    }
    limited(&tenant.partner.post_empty(&path), "tests_per_minute");
    let other = json!({ "url": subscriber.url("/other"), "events": ["*"] });
    let other = format!("{}/test", webhook_path(&tenant.webhook(&other)));
    limited(&tenant.partner.post_empty(&other), "tests_per_minute");
    assert!(subscriber.already().is_none(), "nothing was sent");
}

#[test]
fn what_would_be_delivered_too_often_is_refused_whole() {
    let node = Node::start(&[("MAX_FAN_OUT", "3")]);
    let tenant = node.tenant("production");
    for number in 0..2 {
        tenant.webhook(&json!({
            "url": format!("https://example.com/{number}"), "events": ["campaign.created"], "enabled": false,
        }));
    }
    tenant.webhook(&json!({ "url": "https://example.com/few", "events": ["campaign.failed"], "enabled": false }));
    assert_eq!(tenant.event(campaign("campaign.created", "1"))["deliveries"], 2);
    let lines = |count: usize| vec![campaign("campaign.created", "2"); count].join("\n");
    let refused = tenant.producer.post("/events/batch", lines(2)).problem(422, "limit-reached");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("`max_fan_out` is 3") && detail.contains("would make 4"), "{detail}");
    assert_eq!(tenant.producer.get("/events").expect(200)["data"].as_array().unwrap().len(), 1, "nothing was kept");
    let both = [campaign("campaign.created", "3"), campaign("campaign.failed", "3")].join("\n");
    let kept = tenant.producer.post("/events/batch", both).expect(202);
    assert_eq!((&kept["data"][0]["deliveries"], &kept["data"][1]["deliveries"]), (&json!(2), &json!(1)));

    // One event counts as a batch of one does.
    for number in 2..4 {
        tenant.webhook(&json!({
            "url": format!("https://example.com/{number}"), "events": ["campaign.created"], "enabled": false,
        }));
    }
    // A request that meets new webhooks for the first time is matched where it is kept.
    tenant.event(campaign("campaign.failed", "4"));
    let refused = tenant.producer.post("/events", campaign("campaign.created", "4")).problem(422, "limit-reached");
    assert!(refused["detail"].as_str().unwrap().contains("would make 4"), "{refused}");
}
