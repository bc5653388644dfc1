//! Every node replaced, one after the other, while events come in: as an upgrade
//! does it.

use std::time::Duration;

use posthaste::clock::Clock;

use super::judge::judge;
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

const NODES: usize = 3;
/// Less than what a lease lasts: whoever takes longer has waited for one to end.
const HAND_OVER: Duration = Duration::from_secs(4);
/// What a delivery may wait at most, while its endpoint moves: a few seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[actix_rt::test]
async fn nodes_are_replaced_without_a_loss_a_repetition_or_a_long_pause() {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let mut cluster = Cluster::start(&server.url(), NODES).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let mut stopped = Vec::new();
    for _ in 0..NODES {
        load.more(60).await;
        stopped.push(cluster.api(0).url().to_owned());
        let begun = clock.now().monotonic;
        let ended = cluster.stop(0).await;
        assert!(ended.success(), "{ended}");
        let ended_after = clock.now().monotonic.since(begun);
        cluster.own_everything(&cluster.all()).await;
        let owned_after = clock.now().monotonic.since(begun);
        println!("it ended after {ended_after:?}, and all was the others' after {owned_after:?}");
        assert!(owned_after - ended_after <= HAND_OVER, "nobody gave anything up: {owned_after:?}");
        cluster.join().await;
        cluster.settle().await;
    }
    load.more(60).await;
    let outcome = load.stop().await;
    outcome.check_refusals(|refusal| stopped.contains(&refusal.url));
    let slowest = judge(cluster.api(0), &server.url(), &lanes, &outcome, &[]).await;
    assert!(slowest <= LONGEST_WAIT, "a delivery paused for {slowest:?}");
}
