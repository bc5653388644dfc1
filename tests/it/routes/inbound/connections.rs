//! More connections than there may be: those that say nothing make room for those
//! that ask.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::support::http::{Response, connect};
use crate::support::node::{Node, campaign, eventually};

use super::{HEALTH, closed_for, counted, having_sent, next_answer, rest};

/// Nobody is cut off here for being slow.
fn node(most: &str) -> Node {
    Node::start(&[
        ("MAX_CONNECTIONS", most),
        ("WORKERS", "1"),
        ("HEAD_TIMEOUT_MS", "600000"),
        ("KEEP_ALIVE_MS", "600000"),
    ])
}

/// Whether the other side has closed.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0; 16]);
    stream.set_nonblocking(false).unwrap();
    !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn silent_connections_make_room() {
    const MOST: usize = 32;
    let node = node("32");
    let mut silent: Vec<TcpStream> = Vec::new();
    for number in 0..5 * MOST {
        // Those that say nothing, and those that never finish.
        silent.push(match number % 2 {
            0 => connect(node.address),
            _ => having_sent(&node, "GET /healthz HTTP/1.1\r\nx: "),
        });
        if number % 8 == 0 {
            assert_eq!(node.nobody().get("/healthz").status, 200, "with {number} others");
        }
    }
    closed_for(&node, "no_room", 4 * MOST as u64);
    let open = counted(&node.nobody(), "posthaste_connections");
    assert!(open <= MOST as u64, "{open} are open");
    let still_open = silent[4 * MOST + 8..].iter_mut().map(is_closed).filter(|closed| !closed).count();
    assert!(still_open >= MOST / 2, "the latest are there: {still_open}");
    eventually("the first ones were closed", || silent[..3 * MOST].iter_mut().all(is_closed).then_some(()));
}

#[test]
fn whoever_is_being_served_stays() {
    let node = node("16");
    let tenant = node.tenant("production");
    let event = campaign("campaign.created", "slow");
    let (half, other_half) = event.split_at(event.len() / 2);
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{half}",
        tenant.producer.key.as_deref().unwrap(),
        event.len()
    );
    // It is served once its key was recognised; before that it has its place like any other.
    let mut slow = having_sent(&node, head);
    let mut kept = having_sent(&node, HEALTH);
    assert_eq!(next_answer(&mut kept).unwrap().status, 200);
    let silent: Vec<TcpStream> = (0..100).map(|_| connect(node.address)).collect();
    closed_for(&node, "no_room", 80);
    slow.write_all(other_half.as_bytes()).unwrap();
    let said = rest(&mut slow);
    assert_eq!(Response::parse(&said).map(|answer| answer.status), Some(202), "{:?}", String::from_utf8_lossy(&said));
    assert!(is_closed(&mut kept), "it had asked for nothing more");
    drop(silent);
}

#[test]
fn a_limit_of_open_files_is_seen_at_the_start() {
    let folder = crate::support::folder::Folder::new();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 1024 && exec \"$0\""]).arg(env!("CARGO_BIN_EXE_posthaste"));
    limited.current_dir(folder.path()).env_clear().env("POSTHASTE_LISTEN", "127.0.0.1:0");
    limited.env("POSTHASTE_MAX_IN_FLIGHT", "100").env("POSTHASTE_OPERATOR_KEY", "the-operator-of-this-test");
    let node = Node::spawn(limited);
    let expected = "1024 open files are allowed, of which `max_in_flight` leaves enough for 412 connections";
    assert!(node.log().contains(expected), "{}", node.log());
}
