//! Clients that ask and never read what they are told.

use std::io::Write;

use crate::support::http::connect;
use crate::support::node::{Node, eventually};

use super::{closed_for, counted, rest};

#[test]
fn an_answer_that_is_not_read_is_given_up() {
    let node = Node::start(&[("WRITE_TIMEOUT_MS", "300"), ("KEEP_ALIVE_MS", "60000")]);
    // More answers than the buffers of both sides can hold.
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stream = connect(node.address);
    stream.set_nonblocking(true).unwrap();
    let asked = request.repeat(20_000);
    let mut sent = 0;
    eventually("the node reads no more", || match stream.write(&asked.as_bytes()[sent..]) {
        Ok(more) => {
            sent += more;
            (sent == asked.len()).then_some(())
        }
        // It has enough, or has had enough.
        Err(_) => Some(()),
    });
    closed_for(&node, "unread_answer", 1);
    // It was reset: what had been sent before comes, and then nothing.
    stream.set_nonblocking(false).unwrap();
    rest(&mut stream);
}

#[test]
fn those_who_never_read_cost_little_memory() {
    const GREEDY: usize = 100;
    let node = Node::start(&[("WRITE_TIMEOUT_MS", "600000"), ("HEAD_TIMEOUT_MS", "600000"), ("WORKERS", "1")]);
    counted(&node.nobody(), "posthaste_connections");
    let before = node.resident_bytes();
    // As many requests in as few bytes as can be, and none of their answers is read.
    let flood = "GET / HTTP/1.1\nhost:x\n\n".repeat(20_000);
    let streams: Vec<_> = (0..GREEDY)
        .map(|_| {
            let mut stream = connect(node.address);
            stream.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while let Ok(more) = stream.write(&flood.as_bytes()[sent..]) {
                sent += more;
                if sent == flood.len() {
                    break;
                }
            }
            stream
        })
        .collect();
    // The node has answered as much as it could, and goes on serving others.
    let mut last = 0;
    eventually("nothing more happens", || {
        let now = node.resident_bytes();
        let same = now == last;
        last = now;
        same.then_some(())
    });
    assert_eq!(counted(&node.nobody(), "posthaste_connections"), GREEDY as u64 + 1);
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < GREEDY * 1_500_000, "{GREEDY} connections took {grown} bytes");
    drop(streams);
    eventually("they are forgotten", || (counted(&node.nobody(), "posthaste_connections") == 1).then_some(()));
}
