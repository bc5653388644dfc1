//! Requests that no well-behaved client sends: refused or hung up on, never
//! a 5xx, never a hang, and the node lives on.

use crate::support::http::{Response, exchange_and_close};
use crate::support::node::{Node, campaign};

#[test]
fn malformed_requests_are_the_clients_fault() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let key = tenant.producer.key.as_deref().unwrap();
    let head = format!("POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n");
    let json = "content-type: application/json\r\n";
    let event = campaign("campaign.created", "c-1");
    let huge = "x".repeat(1 << 20);
    let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    let requests: Vec<Vec<u8>> = [
        "\r\n\r\n".to_owned(),
        "GARBAGE\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\nbad name: y\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nhost: x\n\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n".to_owned(),
        "GET http://other.example/webhook HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET /webhook/%ff HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        format!("GET /webhook/%00%ff%2f.. HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!("GET /events/%ff HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!("GET /events?partner=%ff&%zz=%z HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!("GET /events?limit=99999999999999999999999 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!("GET /events?&&=&=x&%00 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        format!("GET /{huge} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {huge}\r\n\r\n"),
        format!("GET /events HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("{head}{json}content-length: -1\r\n\r\n{event}"),
        format!("{head}{json}content-length: 5\r\ncontent-length: 6\r\n\r\n{event}"),
        format!("{head}{json}content-length: 99999999999999999999999999\r\n\r\n{event}"),
        format!("{head}{json}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}{json}transfer-encoding: gzip, identity\r\n\r\n{event}"),
        format!("{head}{json}transfer-encoding: chunked\r\n\r\nzz\r\n{event}\r\n0\r\n\r\n"),
        format!("{head}{json}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
        format!("{head}{json}content-length: {}\r\n\r\n{event}", event.len() + 1),
        format!("{head}{json}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n{event}", event.len()),
        format!("{head}content-type: \u{e9}\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{head}{json}expect: 200-maybe\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{head}{json}idempotency-key: \u{e9}\r\ncontent-length: {}\r\n\r\n{event}", event.len()),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\r\n\r\n".to_vec(),
    ])
    .collect();
    for request in &requests {
        let answer = exchange_and_close(node.address, request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(160)]).into_owned();
        // Hanging up without a word is an answer, too.
        if answer.is_empty() {
            continue;
        }
        let answer = Response::parse(&answer).unwrap_or_else(|| panic!("{shown:?}: {answer:?}"));
        assert!((400..500).contains(&answer.status) || answer.status == 202, "{shown:?}: {answer:?}");
    }
    assert_eq!(node.nobody().get("/healthz").status, 200);
    assert_eq!(node.nobody().get("/readyz").status, 200);
    let kept = tenant.producer.get("/events").expect(200);
    assert!(kept["data"].as_array().unwrap().len() <= 1, "{kept}");
}

#[test]
fn a_body_that_ends_early_is_not_accepted() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let key = tenant.producer.key.as_deref().unwrap();
    let event = campaign("campaign.created", "c-1");
    // All of it but for the last byte that was announced, a space.
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{event}",
        event.len() + 1
    );
    let answer = exchange_and_close(node.address, request.as_bytes());
    assert!(Response::parse(&answer).is_none_or(|answer| answer.status == 400), "{answer:?}");
    assert_eq!(tenant.producer.get("/events").expect(200)["data"], serde_json::json!([]));
}
