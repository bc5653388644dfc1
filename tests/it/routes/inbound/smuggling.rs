//! Requests that two servers would read differently, and requests that nobody can
//! read: refused, and nothing behind them is looked at.

use crate::support::http::Response;
use crate::support::node::{SharedNode, campaign};

use super::{HEALTH, having_sent, next_answer, rest};

static NODE: SharedNode = SharedNode::new();

/// Sends a request with another one behind it that must never be answered.
#[track_caller]
fn refused(request: &[u8], head_only: bool) {
    let node = NODE.get();
    let mut bytes = request.to_vec();
    bytes.extend_from_slice(HEALTH.as_bytes());
    let said = rest(&mut having_sent(&node, &bytes));
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    let text = String::from_utf8_lossy(&said);
    // A body that cannot be read may be hung up on without a word.
    if !head_only && said.is_empty() {
        return;
    }
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {text:?}");
    let answer = Response::parse(&said).unwrap_or_else(|| panic!("{shown:?}: {text:?}"));
    if head_only {
        answer.problem(400, "bad-request");
    }
    assert!((400..500).contains(&answer.status), "{shown:?}: {text:?}");
}

#[test]
fn a_length_that_can_be_read_two_ways_is_refused() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let event = campaign("campaign.created", "smuggled");
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        tenant.producer.key.as_deref().unwrap()
    );
    let length = event.len();
    for framing in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n"),
        format!("content-length: {length}\r\ncontent-length: {length}\r\n\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n\r\n"),
        format!("content-length: {length}, {length}\r\n\r\n"),
        format!("content-length: +{length}\r\n\r\n"),
        format!("content-length: 0x{length:x}\r\n\r\n"),
        format!("content-length : {length}\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: identity\r\n\r\n"),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        "transfer-encoding: chunked, chunked\r\n\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n\r\n".to_owned(),
        "transfer-encoding: \x0bchunked\r\n\r\n".to_owned(),
        "transfer-encoding : chunked\r\n\r\n".to_owned(),
    ] {
        refused(format!("{head}{framing}{event}").as_bytes(), true);
    }
    for chunks in ["zz\r\n", "-1\r\n", "0x5\r\nhello\r\n", "fffffffffffffffff\r\n", "5;a=\u{1}\r\nhelloXX\r\n"] {
        refused(format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}").as_bytes(), false);
    }
    assert_eq!(tenant.producer.get("/events").expect(200)["data"], serde_json::json!([]), "nothing came in");
}

#[test]
fn a_head_that_cannot_be_read_is_refused() {
    for head in [
        "GET / HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "G\0T / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n : y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: y\r\n z\r\n\r\n",
        "GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        "nonsense\r\n\r\n",
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        refused(head.as_bytes(), true);
    }
    refused(b"GET / HTTP/1.1\r\nhost: x\r\n\x80: y\r\n\r\n", true);
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", true);
}

#[test]
fn what_follows_a_whole_request_is_its_own() {
    let node = NODE.get();
    let mut stream = having_sent(&node, format!("{HEALTH}GARBAGE \x01\r\n\r\n{HEALTH}"));
    assert_eq!(next_answer(&mut stream).unwrap().status, 200);
    assert_eq!(next_answer(&mut stream).unwrap().status, 400);
    assert_eq!(rest(&mut stream), b"");
}

#[test]
fn an_absolute_uri_names_a_path_here() {
    let node = NODE.get();
    let ask = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        Response::parse(&rest(&mut having_sent(&node, request))).unwrap()
    };
    assert_eq!(ask("http://somewhere.else/healthz").status, 200);
    ask("http://somewhere.else/nowhere").problem(404, "not-found");
    let long = format!("/{}", "a".repeat(30_000));
    ask(&long).problem(404, "not-found");
    ask(&format!("/healthz?{}", "a=b&".repeat(7_000)));
}
