//! What a crash of the machine leaves of SQLite's log: a part of it. The store
//! opens with any part, and what it then holds is a beginning of what was
//! accepted, each event whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::api::Api;
use super::dice;
use super::events::{ALL, Post};
use super::ledger::{deliveries, text};
use super::node::Node;
use crate::support::folder::Folder;

/// Ways to tear the log, each in another place.
const TEARS: usize = 8;
const ENDPOINTS: usize = 3;
/// Requests: every third is a batch.
const POSTS: u64 = 60;
const BATCH: u64 = 7;
/// A page and its head: where SQLite's own writes begin.
const FRAME_BYTES: u64 = 4_096 + 24;

#[actix_rt::test]
async fn a_torn_log_opens_with_a_beginning_of_what_was_accepted() {
    let mut dice = dice();
    let folder = Folder::new();
    let store = folder.file("posthaste.db");
    let accepted = fill(&store).await;
    let wal = fs::read(beside(&store, "-wal")).expect("a killed node leaves its log");
    assert!(wal.len() as u64 > 20 * FRAME_BYTES, "the log is too short to be torn: {} bytes", wal.len());

    let whole = opened(&copy(&folder, "whole", &store, &wal), &accepted).await;
    assert_eq!(whole, accepted.len(), "nothing was torn yet");
    let mut least = whole;
    for tear in 0..TEARS {
        let place = dice.usize(0..wal.len());
        let mut torn = wal.clone();
        match tear % 3 {
            0 => torn.truncate(place),
            // The file had grown, and its last blocks were never written.
            1 => torn[place..].fill(0),
            // One block in the middle was not.
            _ => {
                let end = torn.len().min(place + 512);
                torn[place..end].fill(0xa5);
            }
        }
        let left = opened(&copy(&folder, &format!("tear-{tear}"), &store, &torn), &accepted).await;
        println!("torn at {place} of {} bytes: {left} of {} events are left", wal.len(), accepted.len());
        least = least.min(left);
    }
    assert!(least < whole, "no tear cost anything: the test looks at nothing");
}

/// A store whose endpoints are in the file and whose events are in the log.
/// Answers the events' ids in the order of their acceptance.
async fn fill(store: &Path) -> Vec<String> {
    let mut node = Node::start(store).await;
    for endpoint in 0..ENDPOINTS {
        // Nothing is to be sent here, least of all by the copies.
        let url = format!("http://127.0.0.1:9/{endpoint}");
        node.api().subscribe(&url, ALL, json!({ "enabled": false })).await;
    }
    assert!(node.stop().await.success());
    drop(node);

    let node = Node::start(store).await;
    let mut accepted = Vec::new();
    let mut number = 0;
    for post in 0..POSTS {
        let post = if post % 3 == 0 { Post::batch(number..number + BATCH) } else { Post::one(number) };
        number = post.numbers.end;
        accepted.extend(post.ids(&post.send(node.api()).await.expect("a running node answers")));
    }
    node.kill();
    accepted
}

/// A store made of the killed one's file and another log.
fn copy(folder: &Folder, name: &str, store: &Path, wal: &[u8]) -> PathBuf {
    let copy = folder.file(name);
    fs::copy(store, &copy).expect("the file can be copied");
    fs::copy(beside(store, ".keys"), beside(&copy, ".keys")).expect("the file can be copied");
    fs::write(beside(&copy, "-wal"), wal).expect("the temporary directory can be written");
    copy
}

fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens the store, which accepts an event as ever, and answers how many of
/// those accepted before are left: the first ones, each with all deliveries.
async fn opened(store: &Path, accepted: &[String]) -> usize {
    let mut node = Node::start(store).await;
    let mut left: Vec<String> = node.api().all("/events").await.iter().map(|event| text(event, "id")).collect();
    left.reverse();
    assert_eq!(left, accepted[..left.len()], "not a beginning of what was accepted");
    check_deliveries(node.api(), left.len() * ENDPOINTS).await;
    // A clean stop that was in haste leaves the endpoints in the log, too; they
    // stand before all events there.
    let endpoints = node.api().all("/webhook").await.len();
    assert!(endpoints == ENDPOINTS || left.is_empty(), "{endpoints} endpoints and {} events", left.len());
    let post = Post::one(1_000_000);
    assert_eq!(post.send(node.api()).await.expect("a running node answers").status, 202);
    check_deliveries(node.api(), left.len() * ENDPOINTS + endpoints).await;
    assert!(node.stop().await.success());
    left.len()
}

async fn check_deliveries(api: &Api, expected: usize) {
    let deliveries = deliveries(api).await;
    assert_eq!(deliveries.len(), expected, "some events have a part of their deliveries");
    let mut pairs: Vec<(&str, &str)> =
        deliveries.values().map(|shown| (shown.event.as_str(), shown.endpoint.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!(pairs.len(), deliveries.len(), "an event has two deliveries to one endpoint");
}
