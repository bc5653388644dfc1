//! `GET /events/refused`: what was not let in, for whom it was, and for how many there is room.

use serde_json::{Value, json};

use crate::support::node::{Node, SharedNode, campaign};

static NODE: SharedNode = SharedNode::with(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn what_was_refused_is_told_without_its_body() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let wrong = json!({
        "event": "campaign.created", "provider": "myspace", "type": "link_clicks", "id": "cmp_refused", "status": "ACTIVE",
        "secret": "not-to-be-kept",
    });
    let headers = [JSON, ("idempotency-key", "order-13")];
    tenant.producer.send("POST", "/events", &headers, wrong.to_string().as_bytes()).problem(422, "invalid-event");
    tenant.producer.post("/events", r#"{"event": "no.such.type"}"#).problem(422, "unknown-event-type");
    tenant.producer.post("/events", "{").problem(400, "invalid-json");
    tenant.event(campaign("campaign.created", "taken"));
    let answer = tenant.partner.get("/events/refused").expect(200);
    let posts = answer["data"].as_array().unwrap();
    let seen: Vec<(&Value, &Value)> = posts.iter().map(|post| (&post["status"], &post["event_type"])).collect();
    let [not_json, unknown, invalid] = [Value::Null, json!("no.such.type"), json!("campaign.created")];
    assert_eq!(seen, [(&json!(400), &not_json), (&json!(422), &unknown), (&json!(422), &invalid)]);
    let told = &posts[2];
    assert_eq!(told["partner"], tenant.name.as_str());
    assert_eq!((&told["environment"], &told["line"]), (&json!("production"), &Value::Null));
    assert_eq!(told["idempotency_key"], "order-13");
    assert_eq!(told["indexed"], json!([{ "pointer": "/id", "value": "cmp_refused" }]));
    assert_eq!(told["problem"], "urn:posthaste:problem:invalid-event");
    assert_eq!(told["errors"][0]["pointer"], "/provider");
    assert!(!answer.to_string().contains("not-to-be-kept"), "{answer}");
    assert!(answer["since"].is_string() && answer["node"].is_string() && answer["keeps"].is_u64());

    // By what somebody has in hand.
    let found = |query: &str| tenant.partner.get(&format!("/events/refused?{query}")).expect(200)["data"].clone();
    // Whose key it was is the operators' to know, as in the audit log.
    assert_eq!(told["key"], Value::Null);
    let of_all = format!("/events/refused?partner={}", tenant.name);
    let seen = node.operator().get(&of_all).expect(200)["data"].clone();
    let key = seen[0]["key"].as_str().unwrap().to_owned();
    assert_eq!(found(&format!("q={key}")), json!([]));
    assert!(!answer.to_string().contains("; found"), "nothing of what stood there: {answer}");
    for query in
        ["q=cmp_refused", "q=order-13", "type=campaign.created", "type=campaign.*", "type=campaign.*&q=order-13"]
    {
        assert_eq!(found(query), json!([told]), "{query}");
    }
    let by_key = node.operator().get(&format!("{of_all}&q={key}")).expect(200);
    assert_eq!(by_key["data"].as_array().unwrap().len(), 3);
    assert_eq!(found("q=no.such.type").as_array().unwrap().len(), 1);
    assert_eq!(found("q=taken"), json!([]));
    for wrong in ["q=", "type=Campaign", "cursor=x", "limit=0", "colour=red"] {
        tenant.partner.get(&format!("/events/refused?{wrong}")).problem(422, "invalid");
    }
    // Page by page.
    let page = tenant.partner.get("/events/refused?limit=2").expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = tenant.partner.get(&format!("/events/refused?limit=2&cursor={cursor}")).expect(200);
    assert_eq!((&rest["data"], &rest["next_cursor"]), (&json!([told]), &Value::Null));
}

/// Nor does who is made again after an erasure: what was refused before is not theirs.
#[test]
fn who_is_made_later_sees_nothing_from_before() {
    let node = NODE.get();
    let operator = node.operator();
    let posted = |body: &str| operator.post("/events?partner=comes-later", body);
    posted(&json!({ "event": "campaign.created", "id": "cmp_of_nobody" }).to_string()).problem(404, "not-found");
    operator.post("/partners", json!({ "name": "comes-later" }).to_string()).expect(201);
    let tenant = node.tenant_named("comes-later", "production");
    let seen = || tenant.partner.get("/events/refused").expect(200)["data"].as_array().unwrap().len();
    assert_eq!(seen(), 0);
    posted("{").problem(400, "invalid-json");
    assert_eq!(seen(), 1);
}

#[test]
fn a_batch_tells_of_its_first_bad_lines() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let mut lines = vec![campaign("campaign.created", "1"), "{".to_owned(), campaign("campaign.created", "2")];
    lines.extend((0..40).map(|number| json!({ "event": "no.such", "id": number }).to_string()));
    let send = |key: &str| {
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
        tenant.producer.send("POST", "/events/batch", &headers, lines.join("\n").as_bytes()).expect(202)
    };
    send("once");
    let told = || tenant.partner.get("/events/refused?limit=250").expect(200)["data"].as_array().unwrap().clone();
    let posts = told();
    assert_eq!(posts.len(), 20, "one batch does not push out all others");
    assert_eq!((&posts[19]["line"], &posts[19]["status"]), (&json!(2), &json!(400)));
    assert_eq!((&posts[18]["line"], &posts[18]["event_type"]), (&json!(4), &json!("no.such")));
    send("once");
    assert_eq!(told().len(), 20, "a repeated request is refused once");
    // A request that has no lines at all is told of as a whole.
    tenant
        .producer
        .send("POST", "/events/batch", &[("content-type", "text/plain")], b"x")
        .problem(415, "unsupported-media-type");
    assert_eq!((&told()[0]["line"], &told()[0]["status"]), (&Value::Null, &json!(415)));
}

#[test]
fn each_sees_its_own() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let sandbox = node.tenant_named(&tenant.name, "sandbox");
    let second = node.tenant_named(&tenant.name, "production");
    let name = format!("{}.type", tenant.name);
    let body = json!({ "event": name }).to_string();
    for producer in [&tenant.producer, &second.producer, &sandbox.producer, &other.producer] {
        producer.post("/events", &body).problem(422, "unknown-event-type");
    }
    let count = |client: &crate::support::http::Client, query: &str| {
        let found = client.get(&format!("/events/refused?q={name}{query}")).expect(200);
        found["data"].as_array().unwrap().len()
    };
    assert_eq!(count(&tenant.partner, ""), 2, "a partner sees what was for it, whoever posted it");
    assert_eq!(count(&tenant.producer, ""), 1, "a producer what its own key posted");
    assert_eq!(count(&sandbox.partner, ""), 1);
    assert_eq!(count(&other.partner, ""), 1);
    let operator = node.operator();
    assert_eq!(count(&operator, "&partner=*"), 3);
    assert_eq!(count(&operator, "&partner=*&environment=sandbox"), 1);
    assert_eq!(count(&operator, &format!("&partner={}", tenant.name)), 2);
    assert_eq!(count(&operator, ""), 0, "nothing was for the partner `default`");
    tenant.partner.get(&format!("/events/refused?partner={}", other.name)).problem(404, "not-found");
    // What somebody may not do at all, and what names nobody, is told those who look over all.
    tenant.partner.post("/events", &body).problem(403, "forbidden");
    operator.post("/events?partner=no%20name", &body).problem(422, "invalid");
    let found = operator.get("/events/refused?partner=*&limit=2").expect(200);
    assert_eq!((&found["data"][0]["partner"], &found["data"][0]["status"]), (&Value::Null, &json!(422)));
    assert_eq!(found["data"][1]["status"], 403);
}

/// Exactly, however many, for operators who look over all partners, and for nobody else.
#[test]
fn they_are_counted_by_type() {
    let node = Node::start(&[]);
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let sandbox = node.tenant_named(&tenant.name, "sandbox");
    let counts = |query: &str| {
        let answer = node.operator().get(&format!("/events/refused?limit=1{query}")).expect(200);
        answer["counts"].clone()
    };
    let none = counts("&partner=*&counts=true");
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].clone();
    assert_eq!((&none["by_type"], &none["others"]), (&json!([]), &json!(0)));
    assert_eq!(none["nodes"], json!([{ "id": id, "reachable": true }]));
    assert!(none["since"].is_string());

    let wrong = |name: &str| json!({ "event": name, "id": 1 }).to_string();
    tenant.producer.post("/events", wrong("campaign.created")).problem(422, "invalid-event");
    other.producer.post("/events", wrong("campaign.updated")).problem(422, "invalid-event");
    sandbox.producer.post("/events", wrong("campaign.updated")).problem(422, "invalid-event");
    tenant.producer.post("/events", wrong("made.up")).problem(422, "unknown-event-type");
    // Also what is not kept, and more lines of a batch than are listed; once, however often it is sent.
    let headers = [JSON, ("posthaste-retain", "none")];
    tenant
        .producer
        .send("POST", "/events", &headers, wrong("campaign.created").as_bytes())
        .problem(422, "invalid-event");
    let mut lines = vec![campaign("campaign.created", "1"), "{".to_owned()];
    lines.extend((0..40).map(|_| wrong("campaign.created")));
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "once")];
    for _ in 0..2 {
        tenant.producer.send("POST", "/events/batch", &headers, lines.join("\n").as_bytes()).expect(202);
    }
    let found = counts("&partner=*&counts=true");
    let expected = json!([
        { "type": "campaign.created", "refused": 42 },
        { "type": "campaign.updated", "refused": 1 },
    ]);
    assert_eq!((&found["by_type"], &found["others"]), (&expected, &json!(2)));
    let found = counts("&partner=*&environment=sandbox&counts=true");
    assert_eq!(found["by_type"], json!([{ "type": "campaign.updated", "refused": 1 }]));

    // They are of all partners.
    for query in
        ["&partner=*", "&partner=*&counts=false", "&counts=true", &format!("&partner={}&counts=true", tenant.name)]
    {
        assert_eq!(counts(query), Value::Null, "{query}");
    }
    for client in [&tenant.partner, &tenant.producer] {
        assert_eq!(client.get("/events/refused?counts=true").expect(200)["counts"], Value::Null);
    }
    node.operator().get("/events/refused?counts=maybe").problem(422, "invalid");
}

#[test]
fn an_erased_partners_posts_are_forgotten() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    tenant.producer.post("/events", "{").problem(400, "invalid-json");
    let operator = node.operator();
    let all = || operator.get("/events/refused?partner=*").expect(200)["data"].as_array().unwrap().len();
    assert_eq!(all(), 1);
    operator.delete(&format!("/partners/{0}?confirm={0}", tenant.name)).expect(202);
    assert_eq!(all(), 0);
}

#[test]
fn what_hostile_posts_say_is_bounded() {
    let node = Node::start(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);
    let tenant = node.tenant("production");
    let long = "é<script>\u{202e}\\\"".repeat(2_000);
    let mut body = json!({ "event": long });
    body[long.as_str()] = json!(long);
    tenant.producer.post("/events", body.to_string()).problem(422, "unknown-event-type");
    body["event"] = json!("campaign.created");
    body["id"] = json!(long);
    tenant.producer.post("/events", body.to_string()).problem(422, "invalid-event");
    let answer = tenant.partner.get("/events/refused");
    assert!(answer.body.len() < 12_000, "{} bytes: {}", answer.body.len(), answer.body);
    for post in answer.expect(200)["data"].as_array().unwrap() {
        assert!(post["event_type"].as_str().unwrap().chars().count() <= 129, "{post}");
        assert!(post["detail"].as_str().unwrap().chars().count() <= 401, "{post}");
        assert!(post["errors"].as_array().unwrap().len() <= 4, "{post}");
        assert_eq!(post["indexed"], json!([]));
    }
    for number in 0..1_001 {
        tenant.producer.post("/events", format!("{{ {number}")).problem(400, "invalid-json");
    }
    let mut seen = 0;
    let mut path = "/events/refused?limit=250".to_owned();
    loop {
        let page = tenant.partner.get(&path).expect(200);
        seen += page["data"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/events/refused?limit=250&cursor={cursor}");
    }
    assert_eq!(seen, 250, "the last of one key, which leaves room for others");
}
