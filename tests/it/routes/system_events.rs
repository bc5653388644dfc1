//! Posthaste's own events over real sockets: who subscribed to them gets them, signed
//! and as their schemas say; nobody else does, and nobody else can post or define them.

use actix_web::http::StatusCode;
use posthaste::catalog::Filter;
use posthaste::cli::receiver::{Behaviour, Received};
use serde_json::{Value, json};

use crate::support::node::{Node, SharedNode, Tenant, campaign, eventually};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::new();

const NAMES: [&str; 4] = [
    "posthaste.delivery.exhausted",
    "posthaste.endpoint.disabled",
    "posthaste.endpoint.failing",
    "posthaste.endpoint.recovered",
];

fn id(shown: &Value) -> &str {
    shown["id"].as_str().unwrap()
}

/// The body of a system event that came in, which is signed and as its schema says.
#[track_caller]
fn understood(node: &Node, received: &Received, secret: &Value) -> Value {
    assert!(verifies(received, secret.as_str().unwrap()));
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    let name = body["event"].as_str().unwrap();
    let defined = node.operator().get(&format!("/event-types/{name}")).expect(200);
    assert_eq!(defined["built_in"], true);
    let schema = Filter::compile(&defined["schema"]).unwrap();
    assert!(schema.accepts(&body), "{body} is not as {} says", defined["schema"]);
    body
}

/// What the partner sees of system events, newest first, with their payloads.
fn told(tenant: &Tenant) -> Vec<Value> {
    let listed = tenant.partner.get("/events?limit=250").expect(200)["data"].clone();
    let own =
        listed.as_array().unwrap().iter().filter(|event| event["event"].as_str().unwrap().starts_with("posthaste."));
    own.map(|event| tenant.partner.get(&format!("/events/{}", id(event))).expect(200)).collect()
}

#[test]
fn a_partner_hears_of_failing_of_the_warning_and_of_recovering() {
    let node = Node::start(&[
        ("BREAKER_OPENS_AFTER", "0"),
        ("ENDPOINT_ANNOUNCE_AFTER_MS", "100"),
        ("ENDPOINT_WARN_AFTER_MS", "400"),
        ("ENDPOINT_DISABLE_AFTER_MS", "3600000"),
    ]);
    let tenant = node.tenant("sandbox");
    let (failing, everything, watching) = (Subscriber::start(), Subscriber::start(), Subscriber::start());
    failing.fail();
    let made = tenant.webhook(&json!({
        "url": failing.url("/s3cret"), "events": ["campaign.*"], "retry": { "retries": 30, "base_ms": 50, "factor": 1.0 },
    }));
    tenant.webhook(&json!({ "url": everything.url("/"), "events": ["*"] }));
    let watcher = tenant.webhook(&json!({ "url": watching.url("/"), "events": ["posthaste.endpoint.*"] }));
    let mut accepted = tenant.event(campaign("campaign.updated", "c-0"));
    // What is sent now and then goes on failing for as long as it takes.
    let mut told_of = Vec::new();
    for (name, is_warning) in [("failing", false), ("failing", true)] {
        let received = eventually("it is told", || {
            accepted = tenant.event(campaign("campaign.updated", "c-1"));
            watching.already()
        });
        let body = understood(&node, &received, &watcher["secret"]);
        assert_eq!(body["event"], format!("posthaste.endpoint.{name}"));
        assert_eq!((&body["is_warning"], &body["endpoint"]), (&json!(is_warning), &made["id"]));
        assert_eq!((&body["partner"], &body["environment"]), (&json!(tenant.name), &json!("sandbox")));
        assert_eq!(body["url"], failing.url(""), "no more of it than who is called");
        assert_eq!(body["last_error"]["status_code"], 503);
        assert!(body["disables_at"].is_string());
        told_of.push(body);
    }
    let path = format!("/webhook/{}", id(&made));
    let health = tenant.partner.get(&path).expect(200)["health"].clone();
    assert!(health["announced_at"].is_string() && health["warned_at"].is_string(), "{health}");
    failing.succeed();
    let body = understood(&node, &watching.next(), &watcher["secret"]);
    assert_eq!(body["event"], "posthaste.endpoint.recovered");
    assert_eq!(body["failing_since"], told_of[1]["failing_since"]);
    eventually("it is delivered", || {
        let outcomes = tenant.partner.get(&format!("/events/{}", id(&accepted))).expect(200)["endpoints"].clone();
        outcomes
            .as_array()?
            .iter()
            .any(|outcome| outcome["endpoint"] == made["id"] && outcome["outcome"] == "delivered")
            .then_some(())
    });
    // They are events and deliveries like others, and a star does not include them.
    let seen = told(&tenant);
    assert_eq!(
        seen.iter().map(|event| &event["event"]).collect::<Vec<_>>(),
        ["posthaste.endpoint.recovered", "posthaste.endpoint.failing", "posthaste.endpoint.failing"]
    );
    assert_eq!(seen[1]["payload"], told_of[1]);
    for event in &seen {
        let reached: Vec<&Value> = event["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|outcome| !outcome["delivery"].is_null())
            .map(|outcome| &outcome["endpoint"])
            .collect();
        assert_eq!(reached, [&watcher["id"]]);
    }
    while let Some(received) = everything.already() {
        assert!(received.body.starts_with(br#"{"event":"campaign."#), "{:?}", received.body);
    }
    assert!(watching.already().is_none());
}

#[test]
fn a_partner_hears_of_exhausted_deliveries_and_of_disabling_but_not_of_its_own() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let watching = Subscriber::start();
    let gone = Subscriber::behaving(Behaviour { fail_rate: 1.0, failure: StatusCode::GONE, ..Behaviour::default() });
    let made = tenant.webhook(&json!({
        "url": gone.url("/"), "events": ["campaign.*", "posthaste.*"], "retry": { "schedule_ms": [] },
    }));
    let watcher = tenant.webhook(&json!({ "url": watching.url("/"), "events": ["posthaste.*"] }));
    // It fails at whatever it gets, and it gets what is told of others.
    let broken = Subscriber::start();
    broken.fail();
    let deaf = tenant.webhook(&json!({
        "url": broken.url("/"), "events": ["posthaste.*"], "retry": { "schedule_ms": [] },
    }));
    let accepted = tenant.event(campaign("campaign.updated", "c-1"));
    let body = understood(&node, &watching.next(), &watcher["secret"]);
    let delivery = tenant.settled(&accepted, "retries_exhausted");
    assert_eq!((&body["event"], &body["id"]), (&json!("posthaste.delivery.exhausted"), &delivery["id"]));
    assert_eq!((&body["event_id"], &body["event_type"]), (&accepted["id"], &json!("campaign.updated")));
    assert_eq!((&body["attempt_count"], &body["endpoint"]), (&json!(1), &made["id"]));
    assert_eq!(
        body["last_error"],
        json!({ "status_code": 410, "error": { "class": "http_status", "message": "answered 410" } })
    );

    tenant.partner.patch(&format!("/webhook/{}", id(&made)), r#"{"disable_on_gone": true}"#).expect(200);
    tenant.event(campaign("campaign.updated", "c-2"));
    let mut names = Vec::new();
    for _ in 0..2 {
        let body = understood(&node, &watching.next(), &watcher["secret"]);
        if body["event"] == "posthaste.endpoint.disabled" {
            assert_eq!((&body["id"], &body["disabled_reason"]), (&made["id"], &json!("gone")));
            assert_eq!(body["last_error"]["status_code"], 410);
        }
        names.push(body["event"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["posthaste.delivery.exhausted", "posthaste.endpoint.disabled"]);

    // What the one that is deaf did not get is told to nobody.
    eventually("all of it is exhausted there", || {
        let path = format!("/deliveries?endpoint={}", id(&deaf));
        let found = tenant.partner.get(&path).expect(200)["data"].as_array().unwrap().clone();
        (found.len() == 3 && found.iter().all(|delivery| delivery["status"] == "retries_exhausted")).then_some(())
    });
    tenant.event(campaign("campaign.updated", "c-3"));
    let told = told(&tenant);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|event| event["payload"]["endpoint"] == made["id"]), "{told:?}");
    assert!(watching.already().is_none());
}

#[test]
fn their_names_are_taken() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let operator = node.operator();
    let listed = tenant.partner.get("/event-types?built_in=true").expect(200)["data"].clone();
    let built_in: Vec<&Value> = listed.as_array().unwrap().iter().collect();
    assert!(built_in.iter().all(|known| known["built_in"] == true));
    let catalog = tenant.partner.get("/event-types").expect(200)["data"].clone();
    assert!(catalog.as_array().unwrap().iter().all(|known| known["built_in"] == false), "what can be posted");
    tenant.partner.get("/event-types?built_in=yes").problem(422, "invalid");
    assert_eq!(built_in.iter().map(|known| known["name"].as_str().unwrap()).collect::<Vec<_>>(), NAMES);
    assert!(built_in.iter().all(|known| !known["description"].as_str().unwrap().is_empty()));
    let definition = json!({ "schema": { "type": "object" }, "example": { "event": "posthaste.newer" } });
    for name in NAMES.into_iter().chain(["posthaste.newer"]) {
        let refused = operator.put(&format!("/event-types/{name}"), definition.to_string()).problem(422, "invalid");
        assert!(refused["detail"].as_str().unwrap().contains("`posthaste.`"), "{refused}");
        let body = built_in
            .iter()
            .find(|known| known["name"] == name)
            .map_or(json!({ "event": name }), |known| known["example"].clone());
        let refused = tenant.producer.post("/events", body.to_string());
        refused.problem(422, "invalid-event");
        assert_eq!(refused.pointers(), ["/event"]);
        let ndjson = [("content-type", "application/x-ndjson")];
        let lines = format!("{body}\n{}", campaign("campaign.updated", "c-1"));
        let answer =
            operator.send("POST", &format!("/events/batch?partner={}", tenant.name), &ndjson, lines.as_bytes());
        let answer = answer.expect(202);
        assert_eq!((&answer["data"][0]["status"], &answer["data"][1]["deliveries"]), (&json!(422), &json!(0)));
    }
    for name in NAMES {
        operator.delete(&format!("/event-types/{name}")).problem(409, "conflict");
    }
    operator.delete("/event-types/posthaste.newer").problem(404, "not-found");
    let refused = tenant.partner.post("/webhook", r#"{"url": "https://example.com/", "events": ["posthaste.newer"]}"#);
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/events/0"]);
}

#[test]
fn their_examples_can_be_tried() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["posthaste.*"] }));
    let path = format!("/webhook/{}/test", id(&made));
    for named in [None, Some(NAMES[2]), Some(NAMES[3])] {
        let body = named.map_or(json!({}), |name| json!({ "event_type": name }));
        let answer = tenant.partner.post(&path, body.to_string()).expect(200);
        assert_eq!((&answer["delivered"], &answer["event_type"]), (&json!(true), &json!(named.unwrap_or(NAMES[0]))));
        let body = understood(&node, &subscriber.next(), &made["secret"]);
        assert_eq!(body["event"], answer["event_type"]);
    }
}

#[test]
fn an_operator_hears_of_all_partners_and_they_do_not_hear_of_it() {
    let node = NODE.get();
    let (one, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    let operator = node.operator();
    let watching = Subscriber::start();
    let wanted = json!({ "url": watching.url("/"), "events": ["posthaste.delivery.*"], "partners": "*" });
    let refused = one.partner.post("/webhook", wanted.to_string()).problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("all partners"), "{refused}");
    let with = |field: &str, value: Value| {
        let mut wanted = wanted.clone();
        wanted[field] = value;
        wanted.to_string()
    };
    let in_sandbox = "/webhook?environment=sandbox";
    for (body, pointers) in [
        (with("events", json!(["posthaste.*", "campaign.updated", "*"])), vec!["/events/1", "/events/2"]),
        (with("partners", json!("acme")), vec!["/partners"]),
        (with("partners", json!(["*"])), vec!["/partners"]),
    ] {
        let answer = operator.post(in_sandbox, body);
        answer.problem(422, "invalid");
        assert_eq!(answer.pointers(), pointers);
    }
    let made = operator.post(in_sandbox, wanted.to_string()).expect(201);
    assert_eq!((&made["partner"], &made["partners"]), (&json!("*"), &json!("*")));
    let dead = Subscriber::start();
    dead.fail();
    let mut events = Vec::new();
    for tenant in [&one, &other] {
        tenant.webhook(&json!({ "url": dead.url("/"), "events": ["campaign.*"], "retry": { "schedule_ms": [] } }));
        tenant.event(campaign("campaign.updated", "c-1"));
        let received = watching.next();
        let body = understood(&node, &received, &made["secret"]);
        assert_eq!((&body["partner"], &body["event"]), (&json!(tenant.name), &json!("posthaste.delivery.exhausted")));
        events.push(header(&received, "webhook-id").to_owned());
    }
    let path = format!("/webhook/{}", id(&made));
    for (tenant, own, hidden) in [(&one, &events[0], &events[1]), (&other, &events[1], &events[0])] {
        let seen = tenant.partner.get(&format!("/events/{own}")).expect(200);
        assert_eq!((&seen["deliveries"], &seen["partner"]), (&json!(0), &json!(tenant.name)));
        assert!(seen["endpoints"].as_array().unwrap().iter().all(|outcome| outcome["endpoint"] != made["id"]));
        tenant.partner.get(&format!("/events/{hidden}")).problem(404, "not-found");
        let listed = tenant.partner.get("/deliveries").expect(200)["data"].clone();
        assert!(listed.as_array().unwrap().iter().all(|delivery| delivery["endpoint"] != made["id"]), "{listed}");
        let listed = tenant.partner.get("/webhook").expect(200)["data"].clone();
        assert!(listed.as_array().unwrap().iter().all(|endpoint| endpoint["id"] != made["id"]), "{listed}");
        for (method, path) in [
            ("GET", path.clone()),
            ("PATCH", path.clone()),
            ("DELETE", path.clone()),
            ("GET", format!("{path}/secret")),
            ("POST", format!("{path}/secret/rotate")),
            ("POST", format!("{path}/pause")),
            ("POST", format!("{path}/resume")),
            ("POST", format!("{path}/test")),
        ] {
            let answer = tenant.partner.send(method, &path, &[("content-type", "application/json")], b"{}");
            answer.problem(404, "not-found");
        }
    }
    // An operator has it whichever partner is named, and its deliveries among those of all.
    let all = "?environment=sandbox&partner=*";
    for query in ["?environment=sandbox", all, &format!("?environment=sandbox&partner={}", one.name)] {
        assert_eq!(operator.get(&format!("{path}{query}")).expect(200)["id"], made["id"]);
    }
    operator.get(&path).problem(404, "not-found");
    let deliveries = operator.get(&format!("/deliveries{all}&endpoint={}", id(&made))).expect(200)["data"].clone();
    let carried: Vec<&str> =
        deliveries.as_array().unwrap().iter().map(|delivery| delivery["event"].as_str().unwrap()).collect();
    assert_eq!(carried, [&events[1], &events[0]]);
    let sandbox = format!("{path}?environment=sandbox");
    let refused = operator.patch(&sandbox, r#"{"partners": null}"#);
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/partners"]);
    let refused = operator.patch(&sandbox, r#"{"events": ["campaign.updated"]}"#);
    refused.problem(422, "invalid");
    operator.patch(&sandbox, r#"{"events": ["posthaste.*"], "partners": "*"}"#).expect(200);
    for verb in ["pause", "resume"] {
        operator.post_empty(&format!("{path}/{verb}?environment=sandbox")).expect(200);
    }
    operator.delete(&sandbox).expect(204);
    operator.get(&sandbox).problem(404, "not-found");
}
