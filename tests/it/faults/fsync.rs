//! A disk that fails to flush. `strace` stands in for it: it lets the node's
//! N-th flush of a file fail with `EIO`, which SQLite cannot tell from a real
//! one.

use std::path::Path;
use std::process::Command;

use posthaste::cli::receiver::Behaviour;
use serde_json::json;

use super::events::{ALL, Post};
use super::ledger::Ledger;
use super::node::Node;
use super::receipts::{by_delivery, was_taken};
use super::subscriber::Subscriber;
use super::{dice, eventually};
use crate::support::folder::Folder;

/// More flushes than a node makes until it listens, and fewer than the load.
const FLUSHES_BEFORE: std::ops::Range<u64> = 30..80;
const MOST_POSTS: u64 = 200;
/// More than fits into the log before it is checkpointed: 4,000 pages of 4 KiB.
const MOST_LARGE_POSTS: u64 = 400;
/// What makes a checkpoint due before that.
const LARGE_BYTES: usize = 200_000;
/// Posters of which several wait for the same commit.
const POSTERS: u64 = 4;

/// Says what to do where there is no `strace`.
pub fn require_strace() {
    let found = Command::new("strace").arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "this test needs `strace`, which cannot be run here: install it (apt-get install strace)"
    );
}

/// The words that let flushes of a file fail: which ones is `when`, counted
/// from the start.
fn failing_flushes(file: &Path, when: &str, protocol: &Path) -> Vec<String> {
    require_strace();
    let path = |path: &Path| path.to_str().expect("the temporary directory has a UTF-8 name").to_owned();
    // With `-D` it is the node that is our child, and strace stands beside it.
    let mut words: Vec<String> = ["strace", "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync"].map(str::to_owned).into();
    words.extend(["-e".to_owned(), format!("inject=fsync,fdatasync:error=EIO:when={when}")]);
    words.extend(["-P".to_owned(), path(file), "-o".to_owned(), path(protocol)]);
    words
}

async fn start_with(words: &[String], store: &Path) -> Node {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Node::start_under(&words, store).await
}

#[actix_rt::test]
async fn a_commit_that_cannot_be_flushed_ends_the_process_and_loses_nothing() {
    let mut dice = dice();
    let folder = Folder::new();
    let (store, wal) = (folder.file("posthaste.db"), folder.file("posthaste.db-wal"));
    let failing = failing_flushes(&wal, &dice.u64(FLUSHES_BEFORE).to_string(), &folder.file("strace"));
    let mut node = start_with(&failing, &store).await;
    // Held, so that only accepted events are committed and the flush that
    // fails is one that somebody waits for.
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoint = node.api().subscribe_to(&subscriber, ALL, json!({ "enabled": false })).await;

    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let api = node.api().clone();
            actix_rt::spawn(async move {
                let mut answered = Vec::new();
                for number in (poster..MOST_POSTS).step_by(POSTERS as usize) {
                    let post = Post::one(number);
                    let answer = post.send(&api).await;
                    let accepted = answer.as_ref().is_ok_and(|answer| answer.status == 202);
                    answered.push((post, answer.ok()));
                    if !accepted {
                        return answered;
                    }
                }
                panic!("no flush failed, or the node went on after it as if nothing were");
            })
        })
        .collect();
    let mut ledger = Ledger::default();
    let mut refused = Vec::new();
    for poster in posters {
        for (post, answer) in poster.await.expect("a poster ends with the node") {
            match answer {
                Some(answer) if answer.status == 202 => ledger.enter(&post, &answer),
                answer => refused.push((post, answer)),
            }
        }
    }
    let ended = node.ended().await;
    assert_eq!(ended.code(), Some(1), "{ended}");
    assert!(node.log().contains("the outcome of a commit is unknown"), "{}", node.log());
    for (post, answer) in &refused {
        // One whose turn never came may find nobody there any more.
        let Some(answer) = answer else { continue };
        assert!(matches!(answer.status, 500 | 503), "{post:?}: {answer:?}");
        assert_eq!(answer.content_type, "application/problem+json", "{answer:?}");
    }
    let unknown = refused
        .iter()
        .flat_map(|(_, answer)| answer)
        .filter(|answer| answer.status == 500 && answer.json["type"] == "urn:posthaste:problem:outcome-unknown");
    assert!(unknown.count() > 0, "whoever waited for the flush is told that nobody knows: {refused:?}");
    drop(node);

    // What was acknowledged is there; what was not may be, and once only.
    let node = Node::start(&store).await;
    for (post, _) in &refused {
        let answer = post.send(node.api()).await.expect("a running node answers");
        ledger.enter(post, &answer);
    }
    ledger.check(node.api(), |_| [endpoint.clone()].into()).await;
    node.api().enable(&endpoint).await;
    eventually("held deliveries go out", async || node.api().nothing_waits(&endpoint).await.then_some(())).await;
    let received = subscriber.received();
    assert_eq!(by_delivery(&received).len(), ledger.len());
    assert!(received.iter().all(was_taken));
}

#[actix_rt::test]
async fn a_checkpoint_that_cannot_be_flushed_loses_nothing() {
    let folder = Folder::new();
    let store = folder.file("posthaste.db");
    let protocol = folder.file("strace");
    // The first flush of the database file makes it; all later ones are
    // checkpoints, the one of a clean stop included.
    let mut node = start_with(&failing_flushes(&store, "2+", &protocol), &store).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoint = node.api().subscribe_to(&subscriber, ALL, json!({ "enabled": false })).await;
    let mut ledger = Ledger::default();
    let mut number = 0;
    let injected = || std::fs::read_to_string(&protocol).unwrap_or_default().contains("INJECTED");
    while !injected() {
        assert!(number < MOST_LARGE_POSTS, "no checkpoint was made");
        let post = Post::one(number).padded(LARGE_BYTES);
        ledger.enter(&post, &post.send(node.api()).await.expect("a running node answers"));
        number += 1;
    }
    // It goes on, since the log still has everything.
    let post = Post::one(number);
    ledger.enter(&post, &post.send(node.api()).await.expect("a running node answers"));
    node.stop().await;
    drop(node);

    let node = Node::start(&store).await;
    ledger.check(node.api(), |_| [endpoint.clone()].into()).await;
}
