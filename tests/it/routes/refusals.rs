//! What bad input gets: a problem of the right kind that says how to mend it.
//! Limits are in `limits`, what a webhook may be in `settings`, requests that
//! are hardly HTTP in `malformed`.

use std::time::Duration;

use posthaste::clock::Clock;
use serde_json::json;

use crate::support::node::{SharedNode, campaign, eventually};

static NODE: SharedNode = SharedNode::new();

#[test]
fn what_is_not_json_is_400() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let id = made["id"].as_str().unwrap();
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let bodies: [&[u8]; 11] = [
        b"",
        b"{",
        b"{\"url\": }",
        b"{\"url\": 1,}",
        b"{} {}",
        b"{'url': 1}",
        b"{\"n\": NaN}",
        b"\xef\xbb\xbf{}",
        b"{\"url\": \"\xff\"}",
        b"{\"url\": \"\\ud800\"}",
        &deep,
    ];
    let routes = [
        ("POST", "/webhook".to_owned()),
        ("PATCH", format!("/webhook/{id}")),
        ("POST", format!("/webhook/{id}/test")),
        ("POST", format!("/webhook/{id}/secret/rotate")),
        ("POST", "/events".to_owned()),
        ("POST", "/partners".to_owned()),
        ("POST", "/keys".to_owned()),
        ("PUT", "/event-types/a.b".to_owned()),
    ];
    for (method, path) in &routes {
        let client = if path.starts_with("/webhook") { &tenant.partner } else { &node.operator() };
        for body in bodies {
            let answer = client.send(method, path, &[("content-type", "application/json")], body);
            // A settings body this long is too large before it is anything else.
            if answer.status == 413 && body.len() > 65_536 {
                continue;
            }
            answer.problem(400, "invalid-json");
        }
        for no_object in ["[]", "null", "7", "\"x\""] {
            let answer = client.send(method, path, &[("content-type", "application/json")], no_object.as_bytes());
            assert_eq!(answer.status, 422, "{method} {path} {no_object}: {}", answer.body);
            assert!(answer.json()["detail"].as_str().unwrap().contains("object"), "{}", answer.body);
        }
    }
    // Parsers do not agree which of two values counts: neither does.
    let twice = br#"{"event": "campaign.created", "event": "campaign.failed"}"#;
    let answer = tenant.producer.post("/events", twice);
    assert!(matches!(answer.status, 400 | 422), "{}", answer.body);
    assert_eq!(tenant.producer.get("/events").expect(200)["data"], json!([]));
}

#[test]
fn without_a_key_that_opens_anything_it_is_401() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let key = tenant.partner.key.clone().unwrap();
    let nobody = node.nobody();
    let long = format!("Bearer {}", "x".repeat(4_000));
    for header in
        ["", "Bearer", "Bearer ", "Bearer x y", "Basic eDp5", &key, &long, &format!("Token {key}"), "Bearer \u{e9}"]
    {
        let answer = nobody.send("GET", "/webhook", &[("authorization", header)], b"");
        answer.problem(401, "unauthorized");
        assert!(!answer.body.contains(&key), "a key is never repeated");
    }
    for header in [format!("Bearer {key}"), format!("bearer {key}"), format!("BEARER   {key}")] {
        nobody.send("GET", "/webhook", &[("authorization", &header)], b"").expect(200);
    }
}

#[test]
fn a_revoked_key_and_an_expired_one_open_nothing() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = json!({ "role": "partner", "partner": tenant.name, "description": "to be revoked" });
    let made = node.operator().post("/keys", made.to_string()).expect(201);
    let revoked = node.client(made["key"].as_str().unwrap());
    revoked.get("/webhook").expect(200);
    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    node.operator().delete(&path).expect(204);
    revoked.get("/webhook").problem(401, "unauthorized");
    node.operator().delete(&path).problem(404, "not-found");
    assert!(node.operator().get(&path).expect(200)["revoked_at"].is_string());

    let soon = Clock::system().wall() + Duration::from_millis(1_000);
    let made = json!({ "role": "partner", "partner": tenant.name, "expires_at": soon.to_string() });
    let made = node.operator().post("/keys", made.to_string()).expect(201);
    let expiring = node.client(made["key"].as_str().unwrap());
    expiring.get("/webhook").expect(200);
    let answer = eventually("the key expires", || Some(expiring.get("/webhook")).filter(|answer| answer.status != 200));
    answer.problem(401, "unauthorized");
    assert!(Clock::system().wall() >= soon, "not before its time");
}

#[test]
fn other_names_that_are_taken_are_409() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let answer = node.operator().post("/partners", json!({ "name": tenant.name }).to_string());
    assert!(answer.problem(409, "already-exists")["detail"].as_str().unwrap().contains(&tenant.name));
}

#[test]
fn another_media_type_is_415() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let body = campaign("campaign.created", "c-1");
    let post = |path: &str, media_type: &str| {
        tenant.producer.send("POST", path, &[("content-type", media_type)], body.as_bytes())
    };
    for path in ["/events", "/events/batch"] {
        for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/json5", "application", "", "*/*"]
        {
            post(path, wrong).problem(415, "unsupported-media-type");
        }
        tenant.producer.send("POST", path, &[], body.as_bytes()).problem(415, "unsupported-media-type");
        for right in ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", " application/json "] {
            post(path, right).expect(202);
        }
    }
    for right in ["application/x-ndjson", "application/ndjson", "application/jsonl; charset=utf-8"] {
        post("/events/batch", right).expect(202);
        post("/events", right).problem(415, "unsupported-media-type");
    }
    for (method, path) in [("POST", "/webhook"), ("POST", "/partners"), ("POST", "/keys"), ("PUT", "/event-types/a.b")]
    {
        let answer = node.operator().send(method, path, &[("content-type", "text/plain")], b"{}");
        let problem = answer.problem(415, "unsupported-media-type");
        assert!(problem["detail"].as_str().unwrap().contains("application/json"), "{problem}");
    }
}

#[test]
fn an_event_type_that_is_unknown_is_422_and_named_with_its_likes() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let problem = tenant.producer.post("/events", campaign("campaign.update", "c-1"));
    assert!(problem.problem(422, "unknown-event-type")["detail"].as_str().unwrap().contains("`campaign.updated`"));
    assert_eq!(problem.pointers(), ["/event"]);
    for (body, told) in [("{}", "required"), (r#"{"event": 7}"#, "string"), (r#"{"event": null}"#, "string")] {
        let refused = tenant.producer.post("/events", body);
        assert!(refused.problem(422, "invalid-event")["detail"].as_str().unwrap().contains(told), "{}", refused.body);
        assert_eq!(refused.pointers(), ["/event"]);
    }
}

#[test]
fn a_parameter_that_no_route_knows_is_422() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let webhook = format!("/webhook/{}", made["id"].as_str().unwrap());
    let routes = [
        ("POST", "/webhook".to_owned()),
        ("GET", webhook.clone()),
        ("PATCH", webhook.clone()),
        ("DELETE", webhook.clone()),
        ("GET", format!("{webhook}/secret")),
        ("POST", format!("{webhook}/secret/rotate")),
        ("POST", format!("{webhook}/pause")),
        ("POST", format!("{webhook}/resume")),
        ("POST", format!("{webhook}/test")),
        ("POST", "/events".to_owned()),
        ("POST", "/events/batch".to_owned()),
        ("GET", "/events/none".to_owned()),
        ("GET", "/deliveries/none".to_owned()),
        ("POST", "/deliveries/none/retry".to_owned()),
        ("GET", "/event-types/a.b".to_owned()),
        ("PUT", "/event-types/a.b".to_owned()),
        ("DELETE", "/event-types/a.b".to_owned()),
        ("POST", "/partners".to_owned()),
        ("GET", "/partners/default".to_owned()),
        ("POST", "/keys".to_owned()),
        ("GET", "/keys/none".to_owned()),
        ("DELETE", "/keys/none".to_owned()),
    ];
    for (method, path) in routes {
        let path = format!("{path}?partner={}&dryrun=1", tenant.name);
        let answer = node.operator().send(method, &path, &[("content-type", "application/json")], b"{}");
        let problem = answer.problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`dryrun`"), "{method} {path}: {problem}");
    }
}

#[test]
fn an_unknown_route_is_404_and_a_wrong_method_405() {
    let node = NODE.get();
    let operator = node.operator();
    for path in
        ["/", "/webhooks", "/webhook/", "/webhook/ep_1/nothing", "/events/batch/x", "/Events", "//events", "/a%2Fb"]
    {
        let problem = operator.get(path).problem(404, "not-found");
        assert!(problem["detail"].as_str().unwrap().contains("route"), "{path}: {problem}");
    }
    for (path, allowed) in [
        ("/webhook", "GET, POST"),
        ("/webhook/ep_1", "GET, PATCH, DELETE"),
        ("/webhook/ep_1/secret", "GET"),
        ("/webhook/ep_1/secret/rotate", "POST"),
        ("/webhook/ep_1/pause", "POST"),
        ("/webhook/ep_1/resume", "POST"),
        ("/webhook/ep_1/test", "POST"),
        ("/events", "GET, POST"),
        ("/events/batch", "POST"),
        ("/events/evt_1", "GET"),
        ("/deliveries", "GET"),
        ("/deliveries/dlv_1", "GET"),
        ("/deliveries/dlv_1/retry", "POST"),
        ("/event-types", "GET"),
        ("/event-types/a.b", "GET, PUT, DELETE"),
        ("/partners", "GET, POST"),
        ("/partners/acme", "GET, DELETE"),
        ("/retention", "GET, PUT, DELETE"),
        ("/keys", "GET, POST"),
        ("/keys/key_1", "GET, DELETE"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET"),
    ] {
        for method in ["PUT", "POST", "PATCH", "DELETE", "GET", "BREW"] {
            if allowed.split(", ").any(|known| known == method) {
                continue;
            }
            let answer = operator.send(method, path, &[("content-type", "application/json")], b"{}");
            answer.problem(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}
