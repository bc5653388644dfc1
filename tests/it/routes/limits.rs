//! Every limit answers with an error that names it, and keeps nothing.

use serde_json::json;

use crate::support::http::{Response, exchange};
use crate::support::node::{Node, SharedNode, campaign};

static NODE: SharedNode = SharedNode::new();

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

#[track_caller]
fn too_large(answer: &Response, limit: &str, size: &str) {
    let problem = answer.problem(413, "too-large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("`{limit}`")) && detail.contains(size), "{detail}");
}
