//! A fan-out that is written in several commits, and a node that ends in the
//! middle of it: the request was accepted whole or not at all (I1).

use std::collections::BTreeSet;
use std::path::Path;

use diesel::prelude::*;
use posthaste::cli::receiver::Behaviour;
use serde_json::json;

use super::api::Api;
use super::events::{ALL, Post, number_of};
use super::ledger::{self, Ledger};
use super::node::Node;
use super::subscriber::Subscriber;
use super::{dice, eventually, within};
use crate::support::folder::Folder;

/// Endpoints that are sent to, and those whose deliveries are held.
const ENABLED: usize = 3;
const HELD: usize = 57;
/// Events of a request: six chunks and the sealing.
const BATCH: u64 = 100;
const DELIVERIES: usize = BATCH as usize * (ENABLED + HELD);
/// Kills. The first comes right behind the first chunk, the others where it falls.
const ROUNDS: u64 = 4;

#[actix_rt::test]
async fn a_large_request_survives_kill_9_whole_or_not_at_all() {
    let mut dice = dice();
    let folder = Folder::new();
    let store = folder.file("posthaste.db");
    let mut node = Node::start(&store).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoints = subscribe(node.api(), &subscriber).await;

    let mut ledger = Ledger::default();
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        let post = Post::batch(round * BATCH..(round + 1) * BATCH);
        let written = if round == 0 { 1 } else { dice.usize(1..DELIVERIES) };
        let call = actix_rt::spawn({
            let (post, api) = (post.clone(), node.api().clone());
            async move { post.send(&api).await }
        });
        unsealed(&store, written, || call.is_finished()).await;
        node.kill();
        subscriber.catch_up().await;
        let answer = within("a call ends with its node", call).await.expect("it does not panic");
        if let Ok(answer) = &answer {
            ledger.enter(&post, answer);
        }
        let left = count(&store, UNSEALED);
        println!("round {round}: killed after {written} deliveries, {left} of them not sealed");

        node = Node::start(&store).await;
        let stored = node.api().all("/events").await.len();
        let shown = ledger::deliveries(node.api()).await;
        assert_eq!(shown.len(), stored * endpoints.len(), "an event has a part of its deliveries");
        assert!(stored == ledger.len() || (answer.is_err() && stored == ledger.len() + BATCH as usize));
        if left > 0 {
            interrupted += 1;
            assert_eq!(stored, ledger.len(), "what is not sealed shows");
            let said = format!("{left} deliveries of events that were never accepted were undone");
            eventually("it is undone", async || node.log().contains(&said).then_some(())).await;
            assert_eq!(count(&store, UNSEALED), 0);
        }
        let again = post.send(node.api()).await.expect("a running node answers");
        ledger.enter(&post, &again);
    }
    assert!(interrupted > 0, "no kill came between chunks: the test looks at nothing");

    for endpoint in endpoints.iter().take(ENABLED) {
        eventually("all is sent", async || node.api().nothing_waits(endpoint).await.then_some(())).await;
    }
    ledger.check(node.api(), |_| endpoints.iter().cloned().collect()).await;
    let mut received = BTreeSet::new();
    for receipt in subscriber.received() {
        let number = number_of(&receipt);
        assert_eq!(receipt.webhook_id.as_deref(), Some(ledger.id(number)), "sent, and not accepted");
        received.insert((number, receipt.path));
    }
    assert_eq!(received.len(), ledger.len() * ENABLED, "every event came to every endpoint");
    // The rows of what was undone are gone, not only out of sight.
    assert_eq!(count(&store, "SELECT COUNT(*) AS count FROM deliveries"), (ledger.len() * endpoints.len()) as i64);
}

#[actix_rt::test]
async fn a_clean_stop_finishes_a_large_request() {
    let folder = Folder::new();
    let store = folder.file("posthaste.db");
    let mut node = Node::start(&store).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoints = subscribe(node.api(), &subscriber).await;
    let post = Post::batch(0..BATCH);
    let call = actix_rt::spawn({
        let (post, api) = (post.clone(), node.api().clone());
        async move { post.send(&api).await }
    });
    unsealed(&store, 1, || call.is_finished()).await;
    assert!(node.stop().await.success());
    drop(node);
    let answer = call.await.expect("it does not panic").expect("whoever waits is answered before the end");
    let mut ledger = Ledger::default();
    ledger.enter(&post, &answer);
    assert_eq!(count(&store, UNSEALED), 0);
    let node = Node::start(&store).await;
    ledger.check(node.api(), |_| endpoints.iter().cloned().collect()).await;
}

/// Small events that come between the chunks are answered first and sent
/// first, although they stand behind in number; then the large request's are
/// sent, too (I5).
#[actix_rt::test]
async fn small_events_overtake_a_large_request() {
    let folder = Folder::new();
    let store = folder.file("posthaste.db");
    let node = Node::start(&store).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoints = subscribe(node.api(), &subscriber).await;
    let mut ledger = Ledger::default();
    let mut next = 0;
    let mut overtaking = 0;
    // A machine that is busy with other things may miss the moment.
    while overtaking == 0 {
        assert!(next < 10 * BATCH, "small events wait for the large request");
        let large = Post::batch(next..next + BATCH);
        next += BATCH;
        let call = actix_rt::spawn({
            let (post, api) = (large.clone(), node.api().clone());
            async move { post.send(&api).await }
        });
        unsealed(&store, 1, || call.is_finished()).await;
        let mut small = Vec::new();
        while !call.is_finished() {
            let post = Post::one(next);
            next += 1;
            ledger.enter(&post, &post.send(node.api()).await.expect("a running node answers"));
            small.push(post.numbers.start);
            overtaking += usize::from(!call.is_finished());
        }
        ledger.enter(&large, &call.await.expect("it does not panic").expect("a running node answers"));
        let first = ledger.id(large.numbers.start);
        assert!(small.iter().all(|number| ledger.id(*number) > first), "ids are in the order of their beginning");
    }
    for endpoint in endpoints.iter().take(ENABLED) {
        eventually("all is sent", async || node.api().nothing_waits(endpoint).await.then_some(())).await;
    }
    ledger.check(node.api(), |_| endpoints.iter().cloned().collect()).await;
    println!("{overtaking} small events were answered before the large request");
    assert_eq!(subscriber.received().len(), ledger.len() * ENABLED, "once each");
}

/// Endpoints of a subscriber, the enabled ones first.
async fn subscribe(api: &Api, subscriber: &Subscriber) -> Vec<String> {
    let mut endpoints = Vec::new();
    for number in 0..ENABLED + HELD {
        let url = format!("{}/{number}", subscriber.url());
        endpoints.push(api.subscribe(&url, ALL, json!({ "enabled": number < ENABLED })).await);
    }
    endpoints
}

const UNSEALED: &str =
    "SELECT COUNT(*) AS count FROM unsealed JOIN deliveries ON deliveries.id BETWEEN first_key AND last_key";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// Reads beside the node, which never notices.
fn count(store: &Path, sql: &str) -> i64 {
    let mut file = SqliteConnection::establish(store.to_str().expect("a UTF-8 name")).expect("it is there");
    diesel::sql_query(sql).get_result::<Count>(&mut file).expect(sql).count
}

/// Looks as often as it can until so many deliveries are written and not
/// sealed, or it is too late for that.
async fn unsealed(store: &Path, written: usize, is_over: impl Fn() -> bool) {
    let mut file = SqliteConnection::establish(store.to_str().expect("a UTF-8 name")).expect("it is there");
    within("deliveries are written", async {
        while !is_over() {
            let found = diesel::sql_query(UNSEALED).get_result::<Count>(&mut file).expect("readable").count;
            if found >= written as i64 {
                return;
            }
            // Lets the call and the subscriber get on.
            tokio::task::yield_now().await;
        }
    })
    .await;
}
