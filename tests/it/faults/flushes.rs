//! A 202 is a promise that the disk has the event (`product.md`, promise 1).
//! Here the flushes are counted: `strace` tells what the node asks of the
//! kernel, and each 202 must come after a flush that covers what it promises.
//! `trace` reads what it says, `judge` follows each event through it.

mod judge;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde_json::json;

use super::events::{ALL, Post};
use super::eventually;
use super::fsync::require_strace;
use super::node::Node;
use crate::support::folder::Folder;
use judge::{CALLS, FIRST, judge};

const ALONE: u64 = 20;
const POSTERS: u64 = 4;
const POSTS_EACH: u64 = 10;
const BATCH: u64 = 40;

#[actix_rt::test]
async fn events_posted_one_after_another_have_a_flush_each() {
    let traced = Traced::start().await;
    for number in FIRST..FIRST + ALONE {
        traced.post(&Post::one(number)).await;
    }
    let flush_of = traced.flushes(FIRST..FIRST + ALONE).await;
    let flushes: BTreeSet<usize> = flush_of.values().copied().collect();
    assert_eq!(flushes.len() as u64, ALONE, "each was posted after the last one's 202: {flush_of:?}");
}

#[actix_rt::test]
async fn no_202_leaves_before_the_flush_that_covers_it() {
    let traced = Traced::start().await;
    let singles = POSTERS * POSTS_EACH;
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let api = traced.node.api().clone();
            actix_rt::spawn(async move {
                for number in (FIRST + poster..FIRST + singles).step_by(POSTERS as usize) {
                    let post = Post::one(number);
                    post.ids(&post.send(&api).await.expect("a running node answers"));
                }
            })
        })
        .collect();
    for poster in posters {
        poster.await.expect("every post is accepted");
    }
    let all = FIRST..FIRST + singles + BATCH;
    traced.post(&Post::batch(FIRST + singles..all.end)).await;
    traced.flushes(all).await;
}

/// A node of which `strace` writes down what it reads, writes and flushes.
struct Traced {
    node: Node,
    folder: Folder,
}

impl Traced {
    async fn start() -> Self {
        require_strace();
        let folder = Folder::new();
        let trace = path(&folder.file("strace"));
        // With `-D` it is the node that is our child, and strace stands beside
        // it. `-y` names files, `-xx` leaves no quote or bracket in what is
        // quoted, and `-s` leaves all of it.
        let calls = format!("trace={}", CALLS.concat().join(","));
        let command = ["strace", "-D", "-f", "-q", "-y", "-xx", "-s", "1048576", "-e", &calls, "-o", &trace];
        let node = Node::start_under(&command, &folder.file("posthaste.db")).await;
        // Held, so that events have deliveries to be committed with and the
        // only flushes are theirs.
        node.api().subscribe("http://127.0.0.1:9/", ALL, json!({ "enabled": false })).await;
        Self { node, folder }
    }

    async fn post(&self, post: &Post) {
        post.ids(&post.send(self.node.api()).await.expect("a running node answers"));
    }

    /// Stops the node and judges what it did. Answers which flush made each
    /// event durable, having seen each of them acknowledged after it.
    async fn flushes(mut self, posted: Range<u64>) -> BTreeMap<u64, usize> {
        let ended = self.node.stop().await;
        assert!(ended.success(), "{ended}");
        let process = self.node.id().to_string();
        let trace = eventually("strace has written everything down", async || {
            let trace = std::fs::read_to_string(self.folder.file("strace")).ok()?;
            // The process's own thread is the last one to be gone.
            let last = trace.lines().next_back()?.strip_prefix(&process)?.trim_start();
            (last == "+++ exited with 0 +++").then_some(trace)
        })
        .await;
        let flush_of = judge(&trace).unwrap_or_else(|broken| panic!("{broken}"));
        assert!(flush_of.keys().copied().eq(posted.clone()), "{posted:?} were acknowledged, not {:?}", flush_of.keys());
        flush_of
    }
}

fn path(path: &Path) -> String {
    path.to_str().expect("the temporary directory has a UTF-8 name").to_owned()
}
