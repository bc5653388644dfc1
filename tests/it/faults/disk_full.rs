//! A disk without space. The node lives on a small file system of its own, in
//! a mount namespace that nobody else sees and that ends with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use posthaste::cli::receiver::Behaviour;
use serde_json::json;

use super::api::Answer;
use super::events::{ALL, Post};
use super::eventually;
use super::ledger::Ledger;
use super::node::Node;
use super::receipts::{attempt, by_delivery, was_taken};
use super::subscriber::Subscriber;
use crate::support::folder::Folder;

/// Size of the file system, and of what something else keeps there.
const DISK: &str = "size=8m";
const BALLAST_BYTES: usize = 4 << 20;
/// What makes an event large enough to fill the rest soon.
const PADDING_BYTES: usize = 100_000;
const MOST_POSTS: u64 = 500;
/// How often a full store is asked.
const TRIES: usize = 20;

/// A mount namespace with a small file system in it, held by a shell for as
/// long as this lives.
struct Disk {
    holder: Child,
    mount: PathBuf,
    /// Whether it took a user namespace, too.
    as_user: bool,
}

impl Disk {
    fn mount(at: &Path) -> Self {
        let as_user = fs::metadata("/proc/self").expect("this is Linux").uid() != 0;
        let user: &[&str] = if as_user { &["--user", "--map-root-user"] } else { &[] };
        let mut holder = Command::new("unshare")
            .args(user)
            .args(["--mount", "--", "sh", "-c"])
            // It ends when our end of the pipe closes, however we end.
            .arg(r#"mount -t tmpfs -o "$1" none "$2" && echo mounted && read -r _"#)
            .args(["sh", DISK])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`unshare` can be run (apt-get install util-linux)");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        if line.trim() != "mounted" {
            let mut why = String::new();
            let stderr = holder.stderr.as_mut().expect("it is piped");
            stderr.read_to_string(&mut why).expect("a pipe can be read");
            panic!("this test mounts a tmpfs: run it as root, or allow user namespaces ({})", why.trim());
        }
        Self { holder, mount: at.to_owned(), as_user }
    }

    /// The words that start a process in there.
    fn command(&self) -> Vec<String> {
        let mut words: Vec<String> = ["nsenter", "--mount", "--target"].map(str::to_owned).into();
        words.push(self.holder.id().to_string());
        if self.as_user {
            words.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        words.push("--".to_owned());
        words
    }

    /// Where a file in there is seen from out here.
    fn seen(&self, name: &str) -> PathBuf {
        let inside = self.mount.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[actix_rt::test]
async fn a_full_disk_refuses_events_and_recovers_with_space() {
    let folder = Folder::new();
    let disk = Disk::mount(folder.path());
    fs::write(disk.seen("ballast"), vec![0; BALLAST_BYTES]).expect("there is space yet");
    let command = disk.command();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let store = folder.file("posthaste.db");
    let mut node = Node::start_under(&command, &store).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoint = node.api().subscribe_to(&subscriber, ALL, json!({})).await;

    let mut ledger = Ledger::default();
    let mut posts = (0..MOST_POSTS).map(|number| Post::one(number).padded(PADDING_BYTES));
    let first_refused = loop {
        let post = posts.next().expect("the disk is smaller than what is posted");
        let answer = answered(&node, &post).await;
        if answer.status != 202 {
            check_refusal(&answer);
            break post;
        }
        ledger.enter(&post, &answer);
    };

    // It stays up: it refuses, and answers what needs no space.
    for post in posts.take(TRIES) {
        check_refusal(&answered(&node, &post).await);
        node.api().get("/healthz").await;
        node.api().get(&format!("/events/{}", ledger.id(0))).await;
    }
    assert!(node.runs());

    fs::remove_file(disk.seen("ballast")).expect("it is ours");
    ledger.enter(&first_refused, &answered(&node, &first_refused).await);
    eventually("everything is delivered", async || node.api().nothing_waits(&endpoint).await.then_some(())).await;
    // What was refused is not there, and all the rest is.
    let wanted_by = |_| [endpoint.clone()].into();
    let deliveries = ledger.check(node.api(), wanted_by).await;
    assert!(deliveries.values().all(|shown| shown.status == "delivered"), "{deliveries:?}");
    // Outcomes that found no space waited in memory: nothing was sent twice.
    for (delivery, receipts) in by_delivery(&subscriber.received()) {
        assert_eq!(receipts.len(), 1, "{delivery}");
        assert!(was_taken(receipts[0]) && attempt(receipts[0]) == 1, "{delivery}");
    }
    assert!(node.stop().await.success());
    drop(node);

    let node = Node::start_under(&command, &store).await;
    ledger.check(node.api(), wanted_by).await;
}

async fn answered(node: &Node, post: &Post) -> Answer {
    post.send(node.api()).await.expect("a running node answers")
}

/// Refused whole, with a way out.
fn check_refusal(answer: &Answer) {
    assert!(matches!(answer.status, 503 | 507), "{answer:?}");
    assert_eq!(answer.content_type, "application/problem+json", "{answer:?}");
    assert!(answer.retry_after.as_deref().is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
    assert!(answer.json["detail"].as_str().is_some_and(|detail| detail.contains("nothing was changed")), "{answer:?}");
}
