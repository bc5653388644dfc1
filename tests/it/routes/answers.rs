//! Every answer that the document tells of, brought about on a real node and compared with
//! it: each operation's good one and, but for what no test can bring about, each problem.

use std::collections::{BTreeMap, BTreeSet};

use posthaste::domain::MAX_SECRETS;
use serde_json::{Value, json};

use crate::routes::walk::{About, Owner, filled, fresh, row_of};
use crate::support::contract::{Contract, Operation};
use crate::support::http::{Client, Response};
use crate::support::node::{Node, eventually};
use crate::support::receiver::Subscriber;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A node, whose things are asked for, and what has been answered so far.
struct Round<'a> {
    contract: &'a Contract,
    owner: Owner<'a>,
    /// A partner's own key.
    partner: Client,
    /// A key that may only post.
    producer: Client,
    seen: BTreeMap<String, BTreeSet<u16>>,
}

/// What no test can bring about at will: faults of the node, a body that takes half a
/// minute, and another node that one is asked to release.
fn is_out_of_reach(operation: &Operation, status: u16) -> bool {
    // Rates have tests of their own.
    status >= 500 || matches!(status, 408 | 429) || (operation.id == "release_node" && status == 409)
}

impl Round<'_> {
    fn operator(&self) -> Client {
        self.owner.node.operator()
    }

    #[track_caller]
    fn note(&mut self, operation: &Operation, answer: &Response, status: u16) {
        assert_eq!(answer.status, status, "{}: {}", operation.id, answer.body);
        self.contract.check(operation, answer);
        self.seen.entry(operation.id.clone()).or_default().insert(status);
    }

    /// The query that an operator asks with, and more.
    fn query(&self, operation: &Operation, more: &str) -> String {
        let mut parts = vec![more.to_owned()];
        if row_of(operation).about != About::Whole {
            parts.push(self.owner.query());
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }

    fn send(&self, client: &Client, operation: &Operation, thing: &str, more: &str) -> Response {
        self.owner.send(client, operation, thing, &self.query(operation, more))
    }

    /// What is the same for every operation that reads a body.
    fn wrong_bodies(&mut self, operation: &Operation, thing: &str) {
        let path = filled(&operation.path, thing) + &self.query(operation, "");
        let operator = self.operator();
        let send = |headers: &[(&str, &str)], body: &[u8]| operator.send(&operation.method, &path, headers, body);
        // A batch's lines are refused one by one: only an empty one is no batch.
        let unreadable: &[u8] = if operation.id == "post_events" { b"\n" } else { b"{" };
        self.note(operation, &send(&JSON, unreadable), 400);
        self.note(operation, &send(&[("content-type", "text/plain")], b"{}"), 415);
        self.note(operation, &send(&JSON, &vec![b' '; (16 << 20) + 1]), 413);
        if operation.id.starts_with("post_event") {
            let answer = operator.send("POST", &path, &[JSON[0], ("idempotency-key", "")], b"{}");
            assert!(matches!(answer.status, 400 | 422), "{}", answer.body);
            self.contract.check(operation, &answer);
        }
    }

    /// What is asked for is not there.
    fn missing(&self, operation: &Operation, thing: &str) -> Response {
        let operator = self.operator();
        let unknown = match thing.split_once('_') {
            Some((prefix, _)) => format!("{prefix}_01h455vb4pex5vsknk084sn02q"),
            None => "no-such-name".to_owned(),
        };
        if !thing.is_empty() {
            return self.send(&operator, operation, &unknown, "");
        }
        if operation.id == "list_event_types" {
            return self.owner.send(&self.partner, operation, "", "?partner=default");
        }
        self.owner.send(&operator, operation, "", "?partner=no-such-partner&environment=production")
    }

    /// The thing is in a state in which this cannot be done, or the name is taken.
    fn conflict(&self, operation: &Operation, thing: &str) -> Response {
        let operator = self.operator();
        let query = self.query(operation, "");
        let taken =
            json!({ "url": self.owner.subscriber.url("/taken"), "events": ["screenshot_set.approved"] }).to_string();
        let brakes = format!("/brakes?{}", self.owner.query());
        match operation.id.as_str() {
            "create_webhook" => {
                operator.post(&format!("/webhook{query}"), &taken).expect(201);
                operator.post(&format!("/webhook{query}"), &taken)
            }
            "change_webhook" => operator.patch(&format!("/webhook/{thing}{query}"), &taken),
            "test_webhook" | "retry_delivery" | "retry_webhook_now" => {
                operator.post_empty(&brakes).expect(200);
                let answer = self.send(&operator, operation, thing, "");
                operator.delete(&brakes).expect(200);
                answer
            }
            "rotate_secret" => {
                let endpoint = self.owner.thing(&self.contract.operation("read_webhook"));
                for _ in 1..MAX_SECRETS {
                    self.send(&operator, operation, &endpoint, "").expect(200);
                }
                self.send(&operator, operation, &endpoint, "")
            }
            "cancel_replay" => {
                let endpoint = self.owner.thing(&self.contract.operation("read_webhook"));
                let begun = operator.post(&format!("/webhook/{endpoint}/replay{query}"), "{}").expect(202);
                let replay = begun["id"].as_str().unwrap();
                let path = format!("/replays/{replay}{query}");
                eventually("it is done", || (operator.get(&path).expect(200)["state"] == "done").then_some(()));
                self.send(&operator, operation, replay, "")
            }
            "skip_delivery" | "dismiss_delivery" => {
                let delivered = self.owner.thing(&self.contract.operation("read_delivery"));
                self.send(&operator, operation, &delivered, "")
            }
            "delete_event_type" => self.send(&operator, operation, "posthaste.endpoint.failing", ""),
            "create_partner" => operator.post("/partners", json!({ "name": self.owner.partner }).to_string()),
            other => panic!("tests/it/routes/answers.rs knows no conflict for `{other}`"),
        }
    }

    fn go(&mut self, operation: &Operation) {
        let row = row_of(operation);
        let operator = self.operator();
        let thing = if operation.path.contains('{') { self.owner.thing(operation) } else { String::new() };
        let told = self.contract.statuses(operation);
        if operation.told["requestBody"].is_object() {
            self.wrong_bodies(operation, &thing);
        }
        if told.contains(&422) {
            let answer = self.send(&operator, operation, &thing, "colour=red");
            self.note(operation, &answer, 422);
        }
        if told.contains(&401) {
            let answer = self.send(&self.owner.node.nobody(), operation, &thing, "");
            self.note(operation, &answer, 401);
        }
        if told.contains(&403) {
            let who = if operation.id.starts_with("post_event") { &self.partner } else { &self.producer };
            let answer = self.send(who, operation, &thing, "");
            self.note(operation, &answer, 403);
        }
        if told.contains(&404) {
            let answer = self.missing(operation, &thing);
            self.note(operation, &answer, 404);
        }
        if told.contains(&409) && !is_out_of_reach(operation, 409) {
            let answer = self.conflict(operation, &thing);
            self.note(operation, &answer, 409);
        }
        if told.contains(&304) {
            let path = filled(&operation.path, &thing);
            let answer = operator.send("GET", &path, &[("if-none-match", "*")], b"");
            self.note(operation, &answer, 304);
        }
        self.owner.prepare(operation);
        let answer = self.send(&operator, operation, &thing, "");
        self.note(operation, &answer, row.status);
        self.owner.restore(operation);
        if operation.id == "put_event_type" {
            let answer = self.send(&operator, operation, &thing, "");
            self.note(operation, &answer, 200);
        }
        if told.contains(&202) && told.contains(&200) {
            let path = filled(&operation.path, &thing) + &self.query(operation, "");
            let body = json!({ "dry_run": true, "status": "delivered" }).to_string();
            self.note(operation, &operator.post(&path, body), 200);
        }
    }
}

#[test]
fn every_answer_that_is_told_of_is_given_and_fits() {
    let node = Node::start(&[]);
    let contract = Contract::of(&node);
    let subscriber = Subscriber::start();
    let partner = fresh();
    node.operator().post("/partners", json!({ "name": partner }).to_string()).expect(201);
    let key = |role: &str| {
        let made = node.operator().post("/keys", json!({ "role": role, "partner": partner }).to_string()).expect(201);
        node.client(made["key"].as_str().unwrap())
    };
    let mut round = Round {
        contract: &contract,
        partner: key("partner"),
        producer: key("producer"),
        owner: Owner { node: &node, partner: partner.clone(), environment: "production", subscriber: &subscriber },
        seen: BTreeMap::new(),
    };
    for operation in contract.operations() {
        round.go(&operation);
    }
    for operation in contract.operations() {
        let seen = round.seen.get(&operation.id).cloned().unwrap_or_default();
        for status in contract.statuses(&operation) {
            let is_seen = seen.contains(&status) || is_out_of_reach(&operation, status);
            assert!(is_seen, "{} says that it answers {status}, and no test has seen that", operation.id);
        }
    }
}

/// What is shown of things in states that a walk in fair weather does not come by.
#[test]
fn what_is_seldom_shown_fits_too() {
    let node = Node::start(&[]);
    let contract = Contract::of(&node);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let get = |id: &str, thing: &str| {
        let operation = contract.operation(id);
        let answer = tenant.partner.get(&filled(&operation.path, thing));
        contract.check(&operation, &answer);
        answer.expect(200)
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (made, accepted, retrying) = tenant.with_a_retry_far_off(&subscriber);
    let endpoint = text(&made["id"]);
    let shown = get("read_webhook", &endpoint);
    assert!(shown["health"]["oldest_waiting"]["overdue_ms"].is_u64(), "{shown}");
    assert_eq!(get("read_delivery", &text(&retrying["id"]))["attempts"][0]["error"]["class"], "http_status");
    assert_eq!(get("read_event", &text(&accepted["id"]))["endpoints"][0]["outcome"], "retrying");

    // Filtered, not subscribed, in order, for later, given up, and gone.
    let more = json!({
        "url": subscriber.url("/filtered"), "events": ["*"], "ordering": { "by": "/id" },
        "filter": { "properties": { "id": { "const": "another" } } }, "retry": { "retries": 2, "jitter": 0 },
        "rate_limit": { "per_second": 5 }, "description": "é\u{1f680}", "headers": { "X-Token": "t" },
    });
    tenant.webhook(&more);
    tenant
        .webhook(&json!({ "url": subscriber.url("/else"), "events": ["screenshot_set.approved"], "ordering": "fifo" }));
    let headers = [
        JSON[0],
        ("posthaste-deliver-at", "2026-01-31T13:00:00+01:00"),
        ("posthaste-expires-in", "60"),
        ("idempotency-key", "once"),
    ];
    let body = crate::support::node::campaign("campaign.created", "one");
    let accepted = tenant.producer.send("POST", "/events", &headers, body.as_bytes()).expect(202);
    let event = get("read_event", &text(&accepted["id"]));
    let outcomes: BTreeSet<&str> =
        event["endpoints"].as_array().unwrap().iter().filter_map(|one| one["outcome"].as_str()).collect();
    assert!(outcomes.contains("filtered") && outcomes.contains("not_subscribed"), "{event}");
    assert_eq!(event["endpoints_have_more"], false);
    let of_one = tenant.partner.get(&format!("/events/{}?endpoint={endpoint}", text(&accepted["id"]))).expect(200);
    let told = of_one["endpoints"].as_array().unwrap();
    assert_eq!((told.len(), &told[0]["endpoint"]), (1, &json!(endpoint)), "{of_one}");
    let skip = contract.operation("skip_delivery");
    let skipped = tenant.partner.post_empty(&filled(&skip.path, retrying["id"].as_str().unwrap()));
    contract.check(&skip, &skipped);
    assert_eq!(skipped.expect(200)["reason"], "skipped");
    tenant.partner.post_empty(&format!("/webhook/{endpoint}/pause")).expect(200);
    assert_eq!(get("read_webhook", &endpoint)["health"]["state"], "held");
    for list in ["list_webhooks", "list_events", "list_deliveries", "list_event_types"] {
        assert!(!get(list, "")["data"].as_array().unwrap().is_empty(), "{list}");
    }
    let built_in = tenant.partner.get("/event-types?built_in=true&limit=2");
    contract.check(&contract.operation("list_event_types"), &built_in);
    assert!(built_in.expect(200)["next_cursor"].is_string());

    // For all partners; a batch with bad lines; a test that nobody answers.
    let operator = node.operator();
    let all = json!({ "url": subscriber.url("/all"), "events": ["posthaste.*"], "partners": "*" });
    let made = operator.post("/webhook?partner=*", all.to_string());
    contract.check(&contract.operation("create_webhook"), &made);
    assert_eq!(made.expect(201)["partners"], "*");
    let batch = tenant.producer.post("/events/batch", format!("{body}\n{{\n{{\"event\": \"no.such\"}}\n"));
    contract.check(&contract.operation("post_events"), &batch);
    let statuses: Vec<Value> =
        batch.expect(202)["data"].as_array().unwrap().iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [Value::Null, json!(400), json!(422)]);
    let silent = tenant.webhook(&json!({ "url": "http://127.0.0.1:1/", "events": ["*"], "enabled": false }));
    let test = contract.operation("test_webhook");
    let answer = tenant.partner.post_empty(&filled(&test.path, silent["id"].as_str().unwrap()));
    contract.check(&test, &answer);
    let answer = answer.expect(200);
    assert!(answer["status_code"].is_null() && answer["error"]["message"].is_string(), "{answer}");
}
