//! Heads of requests: each has so much time and so many bytes, whichever request of
//! its connection it belongs to.

use std::io::Write;

use crate::support::http::{Response, connect};
use crate::support::node::{Node, SharedNode};

use super::{HEALTH, closed_for, drip, having_sent, next_answer, rest};

/// Heads have 300 ms and 2 KiB; idle connections are kept for long.
static STRICT: SharedNode =
    SharedNode::with(&[("HEAD_TIMEOUT_MS", "300"), ("HEAD_BYTES", "2048"), ("KEEP_ALIVE_MS", "60000")]);

#[track_caller]
fn told(said: &[u8], status: u16, slug: &str, limit: &str) {
    let answer = Response::parse(said).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(said)));
    let problem = answer.problem(status, slug);
    assert!(problem["detail"].as_str().unwrap().contains(limit), "{problem}");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn a_slow_head_is_cut_off() {
    let node = STRICT.get();
    // One that stops.
    let said = rest(&mut having_sent(&node, "GET /healthz HTTP/1.1\r\nhos"));
    told(&said, 408, "head-timeout", "`head_timeout_ms` is 300");
    // And one that always has one more byte to say.
    let said = drip(&mut connect(node.address), &[b'G'; 10_000]);
    told(&said, 408, "head-timeout", "`head_timeout_ms` is 300");
    closed_for(&node, "slow_head", 2);
}

#[test]
fn so_is_that_of_a_later_request() {
    let node = STRICT.get();
    let mut stream = connect(node.address);
    for _ in 0..3 {
        stream.write_all(HEALTH.as_bytes()).unwrap();
        assert_eq!(next_answer(&mut stream).unwrap().status, 200);
    }
    let endless = format!("GET /healthz HTTP/1.1\r\nx: {}", "y".repeat(1_500));
    let said = drip(&mut stream, endless.as_bytes());
    told(&said, 408, "head-timeout", "`head_timeout_ms` is 300");
}

#[test]
fn whoever_says_nothing_is_hung_up_on_without_a_word() {
    let node = STRICT.get();
    assert_eq!(rest(&mut connect(node.address)), b"");

    // Not by the time that a head would have had.
    let node = Node::start(&[("KEEP_ALIVE_MS", "100"), ("HEAD_TIMEOUT_MS", "600000")]);
    let mut stream = having_sent(&node, HEALTH);
    assert_eq!(next_answer(&mut stream).unwrap().status, 200);
    assert_eq!(rest(&mut stream), b"");
    closed_for(&node, "idle", 1);
    // Half a request that came along with a whole one buys no more time.
    let mut stream = having_sent(&node, format!("{HEALTH}GET /healthz HTT"));
    assert_eq!(next_answer(&mut stream).unwrap().status, 200);
    assert_eq!(rest(&mut stream), b"");
}

#[test]
fn a_large_head_is_refused_whichever_request_it_belongs_to() {
    let node = STRICT.get();
    let sized = |bytes: usize| {
        let (begin, end) = ("GET /healthz HTTP/1.1\r\nhost: x\r\nx: ", "\r\n\r\n");
        format!("{begin}{}{end}", "y".repeat(bytes - begin.len() - end.len()))
    };
    let mut stream = having_sent(&node, sized(2_048));
    for _ in 0..2 {
        assert_eq!(next_answer(&mut stream).unwrap().status, 200, "as large as it may be");
        stream.write_all(sized(2_048).as_bytes()).unwrap();
    }
    assert_eq!(next_answer(&mut stream).unwrap().status, 200);
    stream.write_all(sized(2_049).as_bytes()).unwrap();
    told(&rest(&mut stream), 431, "head-too-large", "`head_bytes` is 2048 bytes");

    // Neither what follows it nor what it consists of makes a difference.
    let huge = "x".repeat(1 << 20);
    for request in [
        format!("GET /{huge} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {huge}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", format!("a: {}\r\n", "b".repeat(60)).repeat(10_000)),
        format!("{huge}\r\n\r\n"),
    ] {
        let mut stream = connect(node.address);
        // It may be cut off before all is sent.
        let _ = stream.write_all(request.as_bytes());
        told(&rest(&mut stream), 431, "head-too-large", "`head_bytes`");
    }
    closed_for(&node, "large_head", 5);
}

#[test]
fn by_default_heads_are_as_large_as_anyone_needs() {
    let node = Node::start(&[]);
    let with = |headers: usize, bytes: usize| {
        let header = |number| format!("x-{number}: {}\r\n", "y".repeat(bytes));
        let headers: String = (0..headers).map(header).collect();
        rest(&mut having_sent(&node, format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")))
    };
    let status = |said: Vec<u8>| Response::parse(&said).unwrap().status;
    assert_eq!(status(with(90, 300)), 200);
    let many = with(2_000, 1);
    let problem = Response::parse(&many).unwrap().problem(431, "head-too-large");
    assert_eq!(problem["detail"], "a request has 96 headers at most");
    assert_eq!(status(with(40, 1_000)), 431);
}

#[test]
fn a_slow_body_has_a_time_of_its_own() {
    // Longer than a head may take, and yet in time.
    let node = STRICT.get();
    let tenant = node.tenant("production");
    let event = crate::support::node::campaign("campaign.created", "slow");
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        tenant.producer.key.as_deref().unwrap(),
        event.len()
    );
    let said = drip(&mut having_sent(&node, head), event.as_bytes());
    assert_eq!(Response::parse(&said).unwrap().status, 202, "{:?}", String::from_utf8_lossy(&said));
}

#[test]
fn requests_that_do_not_wait_for_answers_get_all_of_them_in_order() {
    let node = STRICT.get();
    let mut stream = connect(node.address);
    let mut all = String::new();
    for number in 0..500 {
        all.push_str(&format!("GET /{number} HTTP/1.1\r\nhost: x\r\n\r\n"));
    }
    std::thread::scope(|scope| {
        let mut sending = stream.try_clone().unwrap();
        scope.spawn(move || sending.write_all(all.as_bytes()).unwrap());
        for number in 0..500 {
            let answer = next_answer(&mut stream).unwrap_or_else(|| panic!("no answer to number {number}"));
            let problem = answer.problem(404, "not-found");
            assert_eq!(problem["detail"], format!("there is no route `/{number}`"));
        }
    });
}

#[test]
fn a_body_that_nobody_asked_for_changes_nothing_for_what_follows() {
    let node = STRICT.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&serde_json::json!({ "url": "https://example.com/", "events": ["*"] }));
    let request = format!(
        "DELETE /webhook/{} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 5\r\n\r\nhello",
        made["id"].as_str().unwrap(),
        tenant.partner.key.as_deref().unwrap()
    );
    let mut stream = having_sent(&node, request);
    let mut answer = [0; 23];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204 No Content");
    // The rest of that answer, and a second request that never ends.
    stream.write_all(b"GET /healthz HT").unwrap();
    let said = String::from_utf8(rest(&mut stream)).unwrap();
    let (_, second) = said.split_once("\r\n\r\n").unwrap();
    told(second.as_bytes(), 408, "head-timeout", "`head_timeout_ms` is 300");
}
