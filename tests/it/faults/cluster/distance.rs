//! An event that lands on a node that does not own its endpoint. With a token
//! the owner is told; without one it finds the event by looking.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste::cli::receiver::Received;
use posthaste::domain::{EndpointId, Partition, Timestamp};

use super::super::eventually;
use super::lanes::{Kind, Lanes, kind};
use super::load::Load;
use super::nodes::{Cluster, TOKEN};
use crate::support::postgres::{self, Postgres};

/// What a node that only looks takes at most is a second, and a machine may be busy.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);
const EVENTS: usize = 300;

#[actix_rt::test]
async fn the_owner_is_told_of_events_that_others_accept() {
    let waits = waits(&[("CLUSTER_TOKEN", TOKEN)]).await;
    println!("by hints: {waits:?}");
}

#[actix_rt::test]
async fn the_owner_finds_events_that_others_accept() {
    let waits = waits(&[]).await;
    println!("by looking: {waits:?}");
}

/// The median and the longest wait of events that landed on their owner, and of those that did not.
#[derive(Debug)]
struct Waits {
    #[expect(dead_code, reason = "it is printed")]
    at_home: (Duration, Duration),
    #[expect(dead_code, reason = "it is printed")]
    elsewhere: (Duration, Duration),
}

async fn waits(settings: &[(&'static str, &str)]) -> Waits {
    let server = Postgres::start(&[]);
    // Some endpoints fail now and then; what their breakers postpone is no matter of distance.
    let mut settings = settings.to_vec();
    settings.push(("BREAKER_OPENS_AFTER", "0"));
    let cluster = Cluster::start_with(&server.url(), 2, &settings).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    load.more(EVENTS).await;
    let outcome = load.stop().await;
    assert!(outcome.refusals.is_empty(), "{:?}", outcome.refusals);
    eventually("every delivery ends", async || cluster.api(0).nothing_waits_anywhere().await.then_some(())).await;
    lanes.catch_up().await;

    let received = lanes.received();
    let came = first_times(&received);
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    let (mut at_home, mut elsewhere) = (Vec::new(), Vec::new());
    for (number, taken) in outcome.taken.iter().filter(|(number, _)| kind(**number) != Kind::Slow) {
        let wait = came[taken.id.as_str()].since(taken.answered_at);
        assert!(wait <= ARRIVES_WITHIN, "event {number} arrived {wait:?} after it was accepted");
        let owner = owners.entry(lanes.endpoint(*number)).or_insert_with_key(|endpoint| owner(&server, endpoint));
        if *owner == taken.url { at_home.push(wait) } else { elsewhere.push(wait) }
    }
    println!("{} landed on their owner, {} elsewhere", at_home.len(), elsewhere.len());
    Waits { at_home: median_and_longest(at_home), elsewhere: median_and_longest(elsewhere) }
}

fn first_times(received: &[Received]) -> BTreeMap<&str, Timestamp> {
    let mut times = BTreeMap::new();
    for receipt in received {
        let id = receipt.webhook_id.as_deref().expect("every request has it");
        times.entry(id).or_insert(receipt.at);
    }
    times
}

fn owner(server: &Postgres, endpoint: &str) -> String {
    let endpoint: EndpointId = endpoint.parse().expect("the API shows ids");
    let partition = Partition::of(endpoint);
    let select =
        format!("SELECT address FROM nodes WHERE id = (SELECT owner FROM leases WHERE partition = {partition})");
    postgres::value(&server.url(), &select)
}

fn median_and_longest(mut waits: Vec<Duration>) -> (Duration, Duration) {
    assert!(!waits.is_empty(), "both nodes have some of the endpoints");
    waits.sort_unstable();
    (waits[waits.len() / 2], waits[waits.len() - 1])
}
