//! `kill -9` of one of three nodes, again and again, under load: the others take
//! over all that it had, soon, and nobody is sent anything that was recorded.

use posthaste::clock::Clock;

use super::super::{dice, eventually, number_from};
use super::TAKEOVER;
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// Kills, when `POSTHASTE_FAULT_ROUNDS` does not say: each takes a lease's term.
const ROUNDS: u64 = 2;
const NODES: usize = 3;

#[actix_rt::test]
async fn the_others_take_over_from_a_node_that_is_killed() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let mut dice = dice();
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let mut cluster = Cluster::start(&server.url(), NODES).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let mut troubles = Vec::new();
    let mut killed = Vec::new();
    for round in 1..=rounds {
        load.more(dice.usize(60..120)).await;
        let node = cluster.take_out(dice.usize(0..NODES));
        killed.push(node.api().url().to_owned());
        let died = clock.now().monotonic;
        let from = clock.wall();
        node.kill();
        // What the dead node sent may lie unread in a receiver's sockets.
        lanes.catch_up().await;
        troubles.push(Trouble { from, to: clock.wall() });

        // Some lanes were the dead node's.
        let numbers = load.on_each_lane().await;
        cluster.own_everything(&cluster.all()).await;
        let owned_after = clock.now().monotonic.since(died);
        eventually("what was posted after the kill arrives", async || {
            let ids: Vec<String> = numbers.iter().map(|number| load.taken(*number).id).collect();
            let received = lanes.received();
            let came = |id: &String| received.iter().any(|receipt| receipt.webhook_id.as_ref() == Some(id));
            ids.iter().all(came).then_some(())
        })
        .await;
        let sent_after = clock.now().monotonic.since(died);
        println!("round {round}: all owned again after {owned_after:?}, all that was posted came after {sent_after:?}");
        assert!(owned_after <= TAKEOVER && sent_after <= TAKEOVER, "{owned_after:?}, {sent_after:?}");
        cluster.join().await;
        cluster.settle().await;
    }
    let outcome = load.stop().await;
    outcome.check_refusals(|refusal| killed.contains(&refusal.url));
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &troubles).await;
}
