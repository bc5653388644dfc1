//! `Idempotency-Key`: the same request twice is one event and one answer.

use std::collections::HashSet;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::http::{Client, Response};
use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn post(client: &Client, path: &str, key: &str, body: &str) -> Response {
    client.send("POST", path, &[("content-type", "application/json"), ("idempotency-key", key)], body.as_bytes())
}

fn count(tenant: &Tenant) -> usize {
    tenant.partner.get("/events?limit=250").expect(200)["data"].as_array().unwrap().len()
}

#[test]
fn the_same_request_twice_is_one_event() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let body = campaign("campaign.created", "c-1");
    let first = post(&tenant.producer, "/events", "k-1", &body);
    let again = post(&tenant.producer, "/events", "k-1", &body);
    assert_eq!((first.expect(202), &first.body), (again.expect(202), &again.body));
    assert_eq!(count(&tenant), 1);
    // What a subscription has become since does not change the answer.
    tenant.webhook(&json!({ "url": subscriber.url("/more"), "events": ["*"] }));
    assert_eq!(post(&tenant.producer, "/events", "k-1", &body).body, first.body);
    // Another key is another event, and so is none.
    let other = post(&tenant.producer, "/events", "k-2", &body).expect(202);
    assert_eq!((&other["deliveries"], tenant.event(&body)["deliveries"].as_u64()), (&json!(2), Some(2)));
    assert_eq!(count(&tenant), 3);
    let ids: HashSet<String> = (0..5).map(|_| subscriber.next().webhook_id.unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_key_with_another_request_is_422() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = campaign("campaign.created", "c-1");
    let first = post(&tenant.producer, "/events", "k-1", &body).expect(202);
    let reused = [
        ("/events".to_owned(), campaign("campaign.created", "c-2")),
        ("/events".to_owned(), format!("{body} ")),
        (format!("/events?partner={}", tenant.name), body.clone()),
        ("/events/batch".to_owned(), body.clone()),
    ];
    for (path, other) in reused {
        post(&tenant.producer, &path, "k-1", &other).problem(422, "idempotency-key-reused");
    }
    assert_eq!(post(&tenant.producer, "/events", "k-1", &body).expect(202), first, "the first keeps its answer");
    assert_eq!(count(&tenant), 1);
}

#[test]
fn a_key_is_its_partners_and_its_environments() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = campaign("campaign.created", "c-1");
    let mut ids = HashSet::new();
    for tenant in [&tenant, &node.tenant_named(&tenant.name, "sandbox"), &node.tenant("production")] {
        let accepted = post(&tenant.producer, "/events", "k-1", &body).expect(202);
        ids.insert(accepted["id"].as_str().unwrap().to_owned());
        assert_eq!(count(tenant), 1);
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn what_was_refused_leaves_its_key_free() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let refusals: [(&str, String, u16); 4] = [
        ("/events", "{".to_owned(), 400),
        ("/events", campaign("campaign.deleted", "c-1"), 422),
        ("/events", " ".repeat(262_145), 413),
        ("/events/batch", "\n".to_owned(), 400),
    ];
    for (path, body, status) in refusals {
        assert_eq!(post(&tenant.producer, path, "k-1", &body).status, status);
    }
    post(&tenant.producer, "/events", "k-1", &campaign("campaign.created", "c-1")).expect(202);
    assert_eq!(count(&tenant), 1);
}

#[test]
fn twins_at_the_same_time_get_the_same_answer() {
    const TWINS: usize = 16;
    let node = NODE.get();
    let tenant = node.tenant("production");
    for round in 0..5 {
        let body = campaign("campaign.created", "c-1");
        let key = format!("round-{round}");
        let start = Barrier::new(TWINS);
        let answers: HashSet<String> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                let answer = post(&tenant.producer, "/events", &key, &body);
                answer.expect(202);
                answer.body
            };
            let asked: Vec<_> = (0..TWINS).map(|_| scope.spawn(ask)).collect();
            asked.into_iter().map(|twin| twin.join().unwrap()).collect()
        });
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
    assert_eq!(count(&tenant), 5);
}

#[test]
fn of_different_requests_with_one_key_at_the_same_time_one_wins() {
    const RIVALS: usize = 8;
    let node = NODE.get();
    let tenant = node.tenant("production");
    let start = Barrier::new(RIVALS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let (tenant, start) = (&tenant, &start);
        let ask = |number: usize| {
            start.wait();
            post(&tenant.producer, "/events", "k-1", &campaign("campaign.created", &number.to_string())).status
        };
        let asked: Vec<_> = (0..RIVALS).map(|number| scope.spawn(move || ask(number))).collect();
        asked.into_iter().map(|rival| rival.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 422).count(), RIVALS - 1, "{statuses:?}");
    assert_eq!(count(&tenant), 1);
}

#[test]
fn a_batch_has_one_key_for_all_its_lines() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = [campaign("campaign.created", "c-1"), "{".to_owned(), campaign("campaign.failed", "c-2")].join("\n");
    let first = post(&tenant.producer, "/events/batch", "k-1", &body);
    let lines = first.expect(202)["data"].as_array().unwrap().clone();
    assert_eq!(lines.iter().map(|line| line["status"].as_u64()).collect::<Vec<_>>(), [None, Some(400), None]);
    assert_eq!(post(&tenant.producer, "/events/batch", "k-1", &body).body, first.body);
    post(&tenant.producer, "/events/batch", "k-1", &format!("{body}\n")).problem(422, "idempotency-key-reused");
    assert_eq!(count(&tenant), 2);

    // A batch of bad lines alone is a 202, too, and kept like one.
    let bad = post(&tenant.producer, "/events/batch", "k-2", "{\n{");
    assert_eq!(bad.expect(202)["data"].as_array().unwrap().len(), 2);
    assert_eq!(post(&tenant.producer, "/events/batch", "k-2", "{\n{").body, bad.body);
    post(&tenant.producer, "/events/batch", "k-2", &body).problem(422, "idempotency-key-reused");
}

fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn a_key_in_quotes_is_the_same_key() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = campaign("campaign.created", "c-1");
    let longest = "x".repeat(255);
    for key in ["8e03978e-40d5-43e8-bc93-6894a57f9324", "it \"was\" a \\", " ~", &longest] {
        let first = post(&tenant.producer, "/events", &quoted(key), &body);
        first.expect(202);
        assert_eq!(post(&tenant.producer, "/events", &quoted(key), &body).body, first.body);
        let with_parameters = format!("{};retry=1", quoted(key));
        assert_eq!(post(&tenant.producer, "/events", &with_parameters, &body).body, first.body);
        if key.trim() == key {
            assert_eq!(post(&tenant.producer, "/events", key, &body).body, first.body);
        }
        let other = campaign("campaign.created", "c-2");
        post(&tenant.producer, "/events", &quoted(key), &other).problem(422, "idempotency-key-reused");
    }
    assert_eq!(count(&tenant), 4);
    // The same word in other letters is another key.
    post(&tenant.producer, "/events", "\"K-1\"", &body).expect(202);
    post(&tenant.producer, "/events", "\"k-1\"", &body).expect(202);
    assert_eq!(count(&tenant), 6);
}

#[test]
fn a_key_that_cannot_be_read_is_400() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = campaign("campaign.created", "c-1");
    for key in
        ["", &"x".repeat(256), "caf\u{e9}", "\"\"", "\"half", "\"a\", \"b\"", "\"a\\b\"", &quoted(&"x".repeat(256))]
    {
        let problem = post(&tenant.producer, "/events", key, &body).problem(400, "bad-request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("1 to 255 visible ASCII characters"), "{detail}");
    }
    let twice = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")];
    tenant.producer.send("POST", "/events", &twice, body.as_bytes()).problem(400, "bad-request");
    assert_eq!(count(&tenant), 0);
    let longest: Value = post(&tenant.producer, "/events", &"x".repeat(255), &body).expect(202);
    assert!(longest["id"].is_string());
}
