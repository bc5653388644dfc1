//! What bad input gets: a problem of the right kind that says how to mend it.

use serde_json::{Value, json};

use crate::support::http::{Response, exchange};
use crate::support::node::{Node, SharedNode, campaign, eventually};
use posthaste::clock::Clock;
use std::time::Duration;

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
fn the_same_url_twice_is_409_and_names_the_first() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let same = [
        ["https://example.com", "https://EXAMPLE.com:443/", "https://example.com/./"],
        ["https://example.com/hook", "https://example.com/a/../hook", "HTTPS://example.COM/hook"],
        ["http://127.0.0.1/x?y=1", "http://127.0.0.1:80/x?y=1", "http://127.0.0.1:80/./x?y=1"],
        ["http://localhost:9/", "http://LocalHost:9", "http://localhost:9/"],
    ];
    let webhook = |url: &str| json!({ "url": url, "events": ["*"], "enabled": false }).to_string();
    let other = tenant.webhook(&json!({ "url": "https://example.com/other", "events": ["*"] }));
    for [first, again, once_more] in same {
        let made = tenant.partner.post("/webhook", webhook(first)).expect(201);
        let id = made["id"].as_str().unwrap();
        for url in [first, again, once_more] {
            let other = format!("/webhook/{}", other["id"].as_str().unwrap());
            let patched = tenant.partner.patch(&other, json!({ "url": url }).to_string());
            for refused in [tenant.partner.post("/webhook", webhook(url)), patched] {
                let problem = refused.problem(409, "duplicate-url");
                assert!(problem["detail"].as_str().unwrap().contains(id), "{problem}");
                assert_eq!(refused.pointers(), ["/url"]);
            }
            // Its own URL, in any spelling, is no conflict.
            let own = tenant.partner.patch(&format!("/webhook/{id}"), json!({ "url": url }).to_string()).expect(200);
            assert_eq!(own["url"], made["url"]);
        }
        // Another query, path or port is another URL.
        let different = if first.contains('?') { format!("{first}&z") } else { format!("{first}?z") };
        tenant.partner.post("/webhook", webhook(&different)).expect(201);
        // So is the same one in another environment, or for another partner.
        node.tenant_named(&tenant.name, "sandbox").partner.post("/webhook", webhook(first)).expect(201);
        node.tenant("production").partner.post("/webhook", webhook(first)).expect(201);
    }
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"].as_array().unwrap().len(), 9);
}

#[test]
fn other_names_that_are_taken_are_409() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let answer = node.operator().post("/partners", json!({ "name": tenant.name }).to_string());
    assert!(answer.problem(409, "already-exists")["detail"].as_str().unwrap().contains(&tenant.name));
}

#[track_caller]
fn too_large(answer: &Response, limit: &str, size: &str) {
    let problem = answer.problem(413, "too-large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("`{limit}`")) && detail.contains(size), "{detail}");
}

#[test]
fn what_is_too_large_is_413_and_names_the_limit() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let padded = |bytes: usize| {
        let mut body = campaign("campaign.created", "c-1").into_bytes();
        body.resize(bytes, b' ');
        body
    };
    tenant.event(padded(262_144));
    too_large(&tenant.producer.post("/events", padded(262_145)), "event_bytes", "262144");
    let lines = [campaign("campaign.created", &"x".repeat(262_145)), campaign("campaign.created", "c-2")].join("\n");
    let answer = tenant.producer.post("/events/batch", lines).expect(202);
    let (long, good) = (&answer["data"][0], &answer["data"][1]);
    assert_eq!((&long["status"], good["event"].is_string()), (&json!(413), true), "{answer}");
    assert!(long["detail"].as_str().unwrap().contains("`event_bytes`"), "{long}");

    let settings = |bytes: usize| {
        let mut body = br#"{"url": "https://example.com/large", "events": ["*"]}"#.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let made = tenant.partner.post("/webhook", settings(65_536)).expect(201);
    too_large(&tenant.partner.post("/webhook", settings(65_537)), "settings_bytes", "65536");
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    too_large(&tenant.partner.patch(&path, settings(65_537)), "settings_bytes", "65536");
    for path in ["/partners", "/keys"] {
        too_large(&node.operator().post(path, settings(65_537)), "settings_bytes", "65536");
    }
    assert_eq!(tenant.producer.get("/events").expect(200)["data"].as_array().unwrap().len(), 2);
}

#[test]
fn a_body_need_not_be_sent_to_be_too_large() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let key = tenant.producer.key.clone().unwrap();
    let head = |path: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             connection: close\r\n{more}\r\n\r\n"
        )
    };
    let ask = |bytes: &[u8]| Response::parse(&exchange(tenant.producer.address, bytes)).expect("an answer");
    too_large(&ask(head("/events", "content-length: 262145").as_bytes()), "event_bytes", "262144");
    too_large(&ask(head("/events/batch", "content-length: 16777217").as_bytes()), "batch_bytes", "16777216");
    // Nor does it help to leave its length unsaid.
    let mut chunked = head("/events", "transfer-encoding: chunked").into_bytes();
    for _ in 0..5 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    too_large(&ask(&chunked), "event_bytes", "262144");
}

#[test]
fn other_limits_are_named_too() {
    let node =
        Node::start(&[("ENDPOINTS_PER_PARTNER", "2"), ("BATCH_BYTES", "262144"), ("PAGE_MAX", "7"), ("PAGE", "7")]);
    let tenant = node.tenant("production");
    let webhook = |path: &str| json!({ "url": format!("https://example.com/{path}"), "events": ["*"] }).to_string();
    let first = tenant.partner.post("/webhook", webhook("1")).expect(201);
    tenant.partner.post("/webhook", webhook("2")).expect(201);
    let refused = tenant.partner.post("/webhook", webhook("3")).problem(422, "limit-reached");
    assert!(refused["detail"].as_str().unwrap().contains("`endpoints_per_partner` is 2"), "{refused}");
    tenant.partner.delete(&format!("/webhook/{}", first["id"].as_str().unwrap())).expect(204);
    tenant.partner.post("/webhook", webhook("3")).expect(201);

    too_large(&tenant.producer.post("/events/batch", vec![b'\n'; 262_145]), "batch_bytes", "262144");
    let refused = tenant.partner.get("/events?limit=8").problem(422, "invalid");
    assert!(refused["detail"].as_str().unwrap().contains("`page_max`"), "{refused}");
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
fn a_setting_that_cannot_be_is_422_and_named() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let url = "https://example.com/settings";
    let many =
        |count: usize| (0..count).map(|number| (format!("x-{number}"), json!("1"))).collect::<serde_json::Map<_, _>>();
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "url": 7 }), "/url"),
        (json!({ "url": null }), "/url"),
        (json!({ "events": [] }), "/events"),
        (json!({ "events": "campaign.updated" }), "/events"),
        (json!({ "events": vec!["campaign.updated"; 101] }), "/events"),
        (json!({ "events": ["campaign.updated", "campaign.deleted"] }), "/events/1"),
        (json!({ "events": ["nothing.*"] }), "/events/0"),
        (json!({ "events": ["campaign*"] }), "/events/0"),
        (json!({ "events": ["*.updated"] }), "/events/0"),
        (json!({ "events": [7] }), "/events/0"),
        (json!({ "description": 7 }), "/description"),
        (json!({ "description": "x".repeat(1_025) }), "/description"),
        (json!({ "enabled": "yes" }), "/enabled"),
        (json!({ "headers": [] }), "/headers"),
        (json!({ "headers": many(21) }), "/headers"),
        (json!({ "headers": { "x-token": 7 } }), "/headers/x-token"),
        (json!({ "headers": { "x-token": "a\r\nb: c" } }), "/headers/x-token"),
        (json!({ "headers": { "a b": "c" } }), "/headers/a b"),
        (json!({ "headers": { "x/y": "c" } }), "/headers/x~1y"),
        (json!({ "headers": { "Host": "example.com" } }), "/headers/Host"),
        (json!({ "headers": { "webhook-signature": "v1,x" } }), "/headers/webhook-signature"),
        (json!({ "headers": { "x-a": "1", "X-A": "2" } }), "/headers/X-A"),
        (json!({ "max_concurrency": 0 }), "/max_concurrency"),
        (json!({ "max_concurrency": 257 }), "/max_concurrency"),
        (json!({ "max_concurrency": 1.5 }), "/max_concurrency"),
        (json!({ "timeout_ms": 999 }), "/timeout_ms"),
        (json!({ "timeout_ms": 60_001 }), "/timeout_ms"),
        (json!({ "timeout_ms": "15000" }), "/timeout_ms"),
        (json!({ "retry": 14 }), "/retry"),
        (json!({ "retry": { "schedule_ms": vec![1; 31] } }), "/retry"),
        (json!({ "retry": { "schedule_ms": [604_800_001_u64] } }), "/retry"),
        (json!({ "retry": { "schedule_ms": vec![604_800_000_u64; 5] } }), "/retry"),
        (json!({ "retry": { "schedule_ms": [100, -1] } }), "/retry/schedule_ms/1"),
        (json!({ "retry": { "schedule_ms": 100 } }), "/retry/schedule_ms"),
        (json!({ "retry": { "schedule_ms": [100], "retries": 3 } }), "/retry/retries"),
        (json!({ "retry": { "attempts": 3 } }), "/retry/attempts"),
        (json!({ "retry": { "retries": 31 } }), "/retry"),
        (json!({ "retry": { "retries": -1 } }), "/retry/retries"),
        (json!({ "retry": { "factor": 0.5 } }), "/retry"),
        (json!({ "retry": { "jitter": 2 } }), "/retry"),
        (json!({ "retry": { "base_ms": 0 } }), "/retry"),
        (json!({ "retry": { "base_ms": 10, "max_ms": 5 } }), "/retry"),
        // Not built yet: never silently ignored.
        (json!({ "rate_limit": { "per_second": 5 } }), "/rate_limit"),
        (json!({ "filter": { "status": "ACTIVE" } }), "/filter"),
        (json!({ "filter": false }), "/filter"),
        (json!({ "ordering": "fifo" }), "/ordering"),
        (json!({ "ordering": { "by": "/id" } }), "/ordering"),
        (json!({ "format": "cloudevents" }), "/format"),
        (json!({ "event": ["campaign.updated"] }), "/event"),
        (json!({ "Url": url }), "/Url"),
        (json!({ "a/b~c": 1 }), "/a~1b~0c"),
    ];
    let made = tenant.webhook(&json!({ "url": "https://example.com/there", "events": ["*"] }));
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    for (wrong, pointer) in cases {
        let mut body = json!({ "url": url, "events": ["campaign.updated"] });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        for refused in
            [tenant.partner.post("/webhook", body.to_string()), tenant.partner.patch(&path, wrong.to_string())]
        {
            let problem = refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), [pointer], "{wrong}: {problem}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(detail), "one problem is told in one sentence");
        }
    }
    for required in ["url", "events"] {
        let mut body = json!({ "url": url, "events": ["campaign.updated"] });
        body.as_object_mut().unwrap().remove(required);
        let refused = tenant.partner.post("/webhook", body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [format!("/{required}")]);
    }
    // All that is wrong is told at once.
    let body = json!({ "url": "ftp://x", "events": ["a.b"], "timeout_ms": 1, "colour": "red" });
    let refused = tenant.partner.post("/webhook", body.to_string());
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/url", "/events/0", "/timeout_ms", "/colour"]);
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_url_that_cannot_be_dialled_is_422_and_says_why() {
    let node = NODE.get();
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    let everywhere = [
        "",
        "example.com",
        "https://",
        "https:///x",
        "https:example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user:pass@example.com/",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:22/",
        "https://example.com:x/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "https://0.0.0.0/",
        "https://[::ffff:10.0.0.1]/",
        "https://intranet/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://a.localhost/",
        "https://example..com/",
        "https://-/",
        "https://example.com\\@10.0.0.1/",
        "https://%31%30.0.0.1/",
        &long,
    ];
    for environment in ["sandbox", "production"] {
        let tenant = node.tenant(environment);
        for url in everywhere {
            let refused = tenant.partner.post("/webhook", json!({ "url": url, "events": ["*"] }).to_string());
            let problem = refused.problem(422, "invalid");
            assert_eq!(refused.pointers(), ["/url"], "{url}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap();
            assert!(detail.len() > 20, "{url}: {detail}");
        }
    }
    let plain = json!({ "url": "http://example.com/", "events": ["*"] }).to_string();
    node.tenant("sandbox").partner.post("/webhook", &plain).expect(201);
    let refused = node.tenant("production").partner.post("/webhook", &plain).problem(422, "invalid");
    assert!(refused["detail"].as_str().unwrap().contains("https"), "{refused}");
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
        ("/partners/acme", "GET"),
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
