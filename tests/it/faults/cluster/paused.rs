//! A node that is stopped for longer than its leases last, with requests in
//! flight, and goes on as if nothing had happened (I2, I3).

use std::time::Duration;

use posthaste::clock::Clock;

use super::super::number_from;
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// Pauses, when `POSTHASTE_FAULT_ROUNDS` does not say: each takes a lease's term.
const ROUNDS: u64 = 1;
/// A client's patience with a node that does not answer. Longer than another node
/// may have to wait with the same request: the one that was stopped may have it in
/// a transaction, which the server ends after 4 s.
const GIVES_UP_AFTER: Duration = Duration::from_secs(6);

#[actix_rt::test]
async fn a_node_that_was_stopped_for_longer_than_its_leases_changes_nothing() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 3).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start_with(&cluster, GIVES_UP_AFTER);
    let mut troubles = Vec::new();
    let paused = cluster.node(2);
    for round in 1..=rounds {
        load.more(100).await;
        let from = clock.wall();
        paused.pause();
        load.more(60).await;
        // The others own everything, and have had time to send what it had in flight.
        cluster.own_everything(&[0, 1]).await;
        load.more(30).await;
        load.on_each_lane().await;
        paused.resume();
        let shares = cluster.settle().await;
        troubles.push(Trouble { from, to: clock.wall() });
        let fenced = paused.api().counted("posthaste_fenced_writes_total").await;
        let lost = paused.api().counted("posthaste_leases_lost_total").await;
        println!("round {round}: back after {:?}, {shares:?}", clock.wall().since(from));
        println!("it lost {lost} leases, and the store refused {fenced} of its outcomes");
        assert!(lost > 0, "it was stopped for longer than its leases last");
        load.more(30).await;
    }
    let outcome = load.stop().await;
    outcome.check_refusals(|refusal| refusal.url == paused.api().url());
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &troubles).await;
}
