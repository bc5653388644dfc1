//! What a webhook may not be: settings out of bounds, unknown or not built
//! yet, URLs that policy forbids or that another webhook has.

use serde_json::{Value, json};

use crate::support::node::SharedNode;

static NODE: SharedNode = SharedNode::new();

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
        (json!({ "headers": { "Proxy-Authorization": "x" } }), "/headers/Proxy-Authorization"),
        (json!({ "headers": { "transfer_encoding": "chunked" } }), "/headers/transfer_encoding"),
        (json!({ "headers": { "x-token": "(redacted)" } }), "/headers/x-token"),
        (json!({ "headers": { "webhook-signature": "v1,x" } }), "/headers/webhook-signature"),
        (json!({ "headers": { "x-a": "1", "X-A": "2" } }), "/headers/X-A"),
        (json!({ "max_concurrency": 0 }), "/max_concurrency"),
        (json!({ "max_concurrency": 257 }), "/max_concurrency"),
        (json!({ "max_concurrency": 1.5 }), "/max_concurrency"),
        (json!({ "timeout_ms": 999 }), "/timeout_ms"),
        (json!({ "timeout_ms": 60_001 }), "/timeout_ms"),
        (json!({ "timeout_ms": "15000" }), "/timeout_ms"),
        (json!({ "retry": 14 }), "/retry"),
        (json!({ "disable_on_gone": "yes" }), "/disable_on_gone"),
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
        (json!({ "rate_limit": 5 }), "/rate_limit"),
        (json!({ "rate_limit": {} }), "/rate_limit/per_second"),
        (json!({ "rate_limit": { "per_second": 0 } }), "/rate_limit/per_second"),
        (json!({ "rate_limit": { "per_second": 10_001 } }), "/rate_limit/per_second"),
        (json!({ "rate_limit": { "per_second": 0.5 } }), "/rate_limit/per_second"),
        (json!({ "rate_limit": { "per_second": 5, "burst": 9 } }), "/rate_limit/burst"),
        (json!({ "filter": { "status": "ACTIVE" } }), "/filter/status"),
        (json!({ "filter": false }), "/filter"),
        (json!({ "ordering": "lifo" }), "/ordering"),
        (json!({ "ordering": { "by": "id" } }), "/ordering/by"),
        // Not built yet: never silently ignored.
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
