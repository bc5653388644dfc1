//! The database moves to another server: the first one is killed, its standby
//! promoted, and the nodes' connections lead there. The standby is synchronous,
//! so that nothing acknowledged is lost with the first server; one that lags
//! loses what it had not yet received.

use posthaste::clock::Clock;

use super::super::eventually;
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::{Postgres, url_at};

#[actix_rt::test]
async fn nodes_follow_the_database_to_another_server() {
    let clock = Clock::system();
    let first = Postgres::start(&[]);
    let second = Postgres::standby_of(&first);
    first.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    first.sql("SELECT pg_reload_conf()");
    let is_synchronous = async || {
        let count = first.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'");
        (count == "1").then_some(())
    };
    eventually("the standby is waited for", is_synchronous).await;
    let proxy = FaultProxy::start(first.address());
    let cluster = Cluster::start(&url_at(proxy.address(), "posthaste"), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    load.more(100).await;

    let (from, refused) = (clock.wall(), load.refused());
    first.crash();
    eventually("nobody accepts anything", async || (load.refused() > refused + 2).then_some(())).await;
    second.promote();
    proxy.set_upstream(second.address());
    let back = clock.now().monotonic;
    load.more(1).await;
    println!("accepted again {:?} after the promotion", clock.now().monotonic.since(back));
    cluster.settle().await;
    load.on_each_lane().await;
    load.more(100).await;
    let trouble = Trouble { from, to: clock.wall() };
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    judge(cluster.api(0), &second.url(), &lanes, &outcome, &[trouble]).await;
}
