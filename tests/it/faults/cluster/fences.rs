//! A node that lost its partitions and does not know: until it asks, only the
//! store can stop it from writing (I2). Here they change hands behind its back.

use posthaste::clock::Clock;

use super::super::eventually;
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// What a takeover does to lease rows, in the name of a node that is not there:
/// its leases end at once.
const TAKE_ALL: &str = "
    UPDATE leases SET token = -1000 - epoch * 256 - partition, epoch = epoch + 1, lease_until = 0";

#[actix_rt::test]
async fn the_store_refuses_outcomes_of_a_node_that_does_not_know_it_lost() {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let fenced = async || {
        let mut count = 0;
        for index in cluster.all() {
            count += cluster.api(index).counted("posthaste_fenced_writes_total").await;
        }
        count
    };
    let mut troubles = Vec::new();
    // A renewal may come before the next outcome does, and then nobody wrote in vain.
    eventually("an outcome is refused", async || {
        load.more(60).await;
        let from = clock.wall();
        server.sql(TAKE_ALL);
        cluster.settle().await;
        load.more(30).await;
        troubles.push(Trouble { from, to: clock.wall() });
        (fenced().await > 0).then_some(())
    })
    .await;
    println!("{} outcomes were refused by the store", fenced().await);
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &troubles).await;
}
