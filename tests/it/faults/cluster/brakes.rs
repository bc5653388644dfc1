//! A brake set through one node stops what the others are in the middle of, in the
//! time that settings may be old; released through another, nothing of it is lost.

use std::time::Duration;

use awc::http::Method;
use posthaste::cli::receiver::Behaviour;
use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::{Value, json};

use super::super::eventually;
use super::super::subscriber::Subscriber;
use super::lanes::{body, define};
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

const EVERYTHING: &str = "/brakes?environment=*&partner=*";
/// So many that each node owns some of them.
const ENDPOINTS: usize = 16;
/// Settings are acted on for a second, and a request that began then takes its time.
const HOLDS_WITHIN: Duration = Duration::from_millis(1_500);
/// Every delivery is tried again sooner than this, if it is tried at all.
const SILENCE: Duration = Duration::from_secs(2);

#[actix_rt::test]
async fn what_all_nodes_are_sending_stops_and_goes_on() {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    // No token: nobody is told anything.
    let cluster = Cluster::start_with(&server.url(), 2, &[("BREAKER_OPENS_AFTER", "0")]).await;
    let failing = Behaviour { fail_rate: 1.0, ..Behaviour::default() };
    let subscriber = Subscriber::start(failing);
    define(cluster.api(0), "lane.number_0").await;
    let often = json!({ "retry": { "retries": 30, "base_ms": 500, "factor": 1.0, "jitter": 0.0 } });
    for number in 0..ENDPOINTS {
        let url = format!("{}/{number}", subscriber.url());
        cluster.api(0).subscribe(&url, &["lane.number_0"], often.clone()).await;
    }
    let event = cluster.api(0).expect(Method::POST, "/events", body(0), 202).await;
    assert_eq!(event["deliveries"], ENDPOINTS);
    let paths = |since: Timestamp| {
        let mut paths: Vec<String> = subscriber
            .received()
            .into_iter()
            .filter(|receipt| receipt.at > since)
            .map(|receipt| receipt.path)
            .collect();
        paths.sort();
        paths.dedup();
        paths.len()
    };
    let begun = clock.wall();
    eventually("both nodes retry", async || (paths(begun) == ENDPOINTS).then_some(())).await;

    cluster.api(0).expect(Method::POST, EVERYTHING, json!({ "reason": "an incident" }), 200).await;
    let braked_at = clock.wall();
    let last = eventually("nothing is sent any more", async || {
        let last = subscriber.received().iter().map(|receipt| receipt.at).max();
        last.filter(|last| clock.wall() > *last + SILENCE)
    })
    .await;
    assert!(last <= braked_at + HOLDS_WITHIN, "{:?} after the brake", last.since(braked_at));
    let path = format!("/deliveries?event={}", event["id"].as_str().expect("an event has an id"));
    let held = cluster.api(1).get(&path).await["data"].as_array().expect("a list has data").clone();
    assert!(held.iter().all(|delivery| delivery["status"] == "held"), "{held:?}");
    for node in [0, 1] {
        eventually("each node counts it", async || {
            (cluster.api(node).counted("posthaste_brakes").await == 2).then_some(())
        })
        .await;
    }

    subscriber.behave(Behaviour::default());
    let left = cluster.api(1).expect(Method::DELETE, EVERYTHING, Value::Null, 200).await;
    assert_eq!(left["data"], json!([]));
    eventually("all of it is delivered", async || {
        let listed = cluster.api(0).get(&path).await["data"].as_array().expect("a list has data").clone();
        listed.iter().all(|delivery| delivery["status"] == "delivered").then_some(())
    })
    .await;
}
