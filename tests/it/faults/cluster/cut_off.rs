//! A node that cannot reach the database while the others can: it promises
//! nothing, loses its share, and takes it again by itself.

use std::time::Duration;

use awc::http::Method;
use posthaste::clock::Clock;

use super::super::eventually;
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::{HANGS, Load};
use super::nodes::Cluster;
use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::{Postgres, url_at};

/// Nobody is kept waiting for a no for longer.
const NO_WITHIN: Duration = Duration::from_secs(20);

#[actix_rt::test]
async fn a_node_whose_packets_to_the_database_are_lost() {
    cut_off(FaultProxy::stall).await;
}

#[actix_rt::test]
async fn a_node_whose_connections_to_the_database_are_reset() {
    cut_off(FaultProxy::cut).await;
}

async fn cut_off(cut: impl Fn(&FaultProxy)) {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let proxy = FaultProxy::start(server.address());
    let mut cluster = Cluster::start(&server.url(), 2).await;
    cluster.join_by(&url_at(proxy.address(), "posthaste")).await;
    cluster.settle().await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    load.more(100).await;

    let from = clock.wall();
    let (refused, begun) = (load.refused(), clock.now().monotonic);
    cut(&proxy);
    cluster.own_everything(&[0, 1]).await;
    println!("taken over after {:?}", clock.now().monotonic.since(begun));
    load.on_each_lane().await;
    let read = cluster.api(2).within(HANGS).send(Method::GET, "/deliveries?limit=1", String::new(), None).await;
    let read = read.map(|answer| (answer.status, answer.retry_after.is_some()));
    println!("asked for deliveries, it answers {read:?}");
    eventually("it says no", async || (load.refused() > refused).then_some(())).await;
    proxy.pass();
    let shares = cluster.settle().await;
    println!("{shares:?} again after {:?}", clock.now().monotonic.since(begun));
    let troubles = [Trouble { from, to: clock.wall() }];
    load.more(60).await;

    let node = cluster.api(2);
    assert!(node.counted("posthaste_database_reconnects_total").await > 0);
    println!("{} of its outcomes were refused", node.counted("posthaste_fenced_writes_total").await);
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    for refusal in &outcome.refusals {
        assert_eq!(refusal.url, node.url(), "the others go on: {refusal:?}");
        assert!(refusal.took < NO_WITHIN, "{refusal:?}");
    }
    assert!(matches!(read, Ok((503, true))), "asked for deliveries, it answers {read:?}");
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &troubles).await;
}
