//! Receivers that attack, beside one that behaves: theirs is what becomes of
//! their own deliveries, and nothing else.

use std::fs;

use posthaste::cli::receiver::Behaviour;
use serde_json::{Value, json};

use super::events::{ALL, Post};
use super::eventually;
use super::ledger::Ledger;
use super::misbehaviour::{self, Misbehaviour};
use super::node::Node;
use super::receipts::{by_delivery, was_taken};
use super::subscriber::Subscriber;
use crate::support::folder::Folder;

const POSTS: u64 = 6;
const BATCH: u64 = 50;
/// So long that those who never answer keep their deliveries for the whole
/// test.
const PATIENT_MS: u64 = 5_000;
const IMPATIENT_MS: u64 = 1_000;
/// Resident memory of a node in this test, many times what it takes.
const MOST_RESIDENT_KIB: u64 = 400 * 1024;

/// What an attempt at a receiver comes to.
#[derive(Clone, Copy)]
enum Expected {
    /// Its status is the verdict, whatever follows it.
    Delivered(u16),
    /// An answer that is none of success.
    Status(u16, &'static str),
    /// No answer, for this reason.
    Failed(&'static str),
}

use Expected::{Delivered, Failed, Status};

const RECEIVERS: [(&str, Misbehaviour, u64, Expected); 19] = [
    ("silent", misbehaviour::is_silent, PATIENT_MS, Failed("timeout")),
    ("drips its head", misbehaviour::drips_its_head, IMPATIENT_MS, Failed("timeout")),
    ("drips its body", misbehaviour::drips_its_body, IMPATIENT_MS, Delivered(200)),
    ("never ends its body", misbehaviour::never_ends_its_body, IMPATIENT_MS, Delivered(200)),
    ("resets", misbehaviour::resets, IMPATIENT_MS, Failed("connect")),
    ("talks garbage", misbehaviour::talks_garbage, IMPATIENT_MS, Failed("protocol")),
    ("floods with 103", misbehaviour::floods_with_interim_answers, IMPATIENT_MS, Status(103, "protocol")),
    ("huge header name", misbehaviour::has_a_huge_header_name, IMPATIENT_MS, Failed("protocol")),
    ("endless headers", misbehaviour::has_endless_headers, IMPATIENT_MS, Failed("protocol")),
    ("a body with 204", misbehaviour::has_a_body_with_204, IMPATIENT_MS, Delivered(204)),
    ("breaks off its body", misbehaviour::breaks_off_its_body, IMPATIENT_MS, Delivered(200)),
    ("redirects", misbehaviour::redirects, IMPATIENT_MS, Status(307, "redirect")),
    ("no text", misbehaviour::answers_bytes_that_are_no_text, IMPATIENT_MS, Status(500, "http_status")),
    ("a packed bomb", misbehaviour::answers_a_packed_bomb, IMPATIENT_MS, Delivered(200)),
    ("resets in its body", misbehaviour::resets_in_its_body, IMPATIENT_MS, Delivered(200)),
    ("a huge header value", misbehaviour::has_a_huge_header_value, IMPATIENT_MS, Failed("protocol")),
    ("more than its length", misbehaviour::says_more_than_its_length, IMPATIENT_MS, Delivered(200)),
    ("bad TLS", misbehaviour::answers_a_hello_with_garbage, IMPATIENT_MS, Failed("tls")),
    ("nobody there", |_| (), IMPATIENT_MS, Failed("connect")),
];

#[actix_rt::test]
async fn hostile_receivers_harm_nobody_but_themselves() {
    let folder = Folder::new();
    let mut node = Node::start(&folder.file("posthaste.db")).await;
    let healthy = Subscriber::start(Behaviour::default());
    node.api().subscribe_to(&healthy, ALL, json!({})).await;
    let mut hostile = Vec::new();
    for (name, misbehave, timeout_ms, expected) in RECEIVERS {
        let url = match name {
            "nobody there" => "http://127.0.0.1:1/hook".to_owned(),
            "bad TLS" => misbehaviour::listen(misbehave).replace("http:", "https:"),
            _ => misbehaviour::listen(misbehave),
        };
        // One attempt each: what it comes to is final.
        let settings = json!({ "timeout_ms": timeout_ms, "retry": { "schedule_ms": [] } });
        hostile.push((name, node.api().subscribe(&url, ALL, settings).await, expected));
    }

    let mut ledger = Ledger::default();
    for post in 0..POSTS {
        let post = Post::batch(post * BATCH..(post + 1) * BATCH);
        ledger.enter(&post, &post.send(node.api()).await.expect("a running node answers"));
    }
    // I5: the healthy endpoint has everything while the silent one still keeps
    // the node waiting.
    let received = eventually("the healthy endpoint gets everything", async || {
        let received = healthy.received();
        (by_delivery(&received).len() == ledger.len()).then_some(received)
    })
    .await;
    assert!(received.iter().all(was_taken));
    let silent = &hostile[0];
    assert!(!node.api().nothing_waits(&silent.1).await, "{} was waited for", silent.0);

    for (name, endpoint, expected) in &hostile {
        let attempt = eventually(name, async || first_attempt(&node, endpoint).await).await;
        check(name, *expected, &attempt);
    }
    assert!(node.runs(), "{}", node.log());
    let resident = peak_resident_kib(node.id());
    println!("peak resident memory: {resident} KiB");
    assert!(resident < MOST_RESIDENT_KIB, "{resident} KiB");
    // Nor do they fill the operator's log with what they bring about.
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

/// The attempt of some delivery to this endpoint that is over.
async fn first_attempt(node: &Node, endpoint: &str) -> Option<Value> {
    for status in ["delivered", "retries_exhausted"] {
        let path = format!("/deliveries?endpoint={endpoint}&status={status}&limit=1");
        let page = node.api().get(&path).await;
        if let Some(id) = page["data"][0]["id"].as_str() {
            let mut shown = node.api().get(&format!("/deliveries/{id}")).await;
            shown["attempts"][0]["outcome"] = json!(status);
            return Some(shown["attempts"][0].take());
        }
    }
    None
}

fn check(name: &str, expected: Expected, attempt: &Value) {
    let found = (&attempt["outcome"], &attempt["status_code"], &attempt["error"]["class"]);
    match expected {
        Delivered(status) => assert_eq!(found, (&json!("delivered"), &json!(status), &Value::Null), "{name}"),
        Status(status, class) => {
            assert_eq!(found, (&json!("retries_exhausted"), &json!(status), &json!(class)), "{name}");
        }
        Failed(class) => assert_eq!(found, (&json!("retries_exhausted"), &Value::Null, &json!(class)), "{name}"),
    }
}

/// `VmHWM`: the most memory that was ever resident.
fn peak_resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes")
}
