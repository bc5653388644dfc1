//! A server that has no connection left for a node that has lost its own.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, RunQueryDsl};
use posthaste::clock::Clock;

use super::super::{eventually, within};
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// Enough for two nodes, and soon taken.
const SETTINGS: [&str; 2] = ["max_connections=40", "superuser_reserved_connections=1"];
const END_ALL: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'posthaste'";
/// So many that both nodes have said no, and clients have come again.
const REFUSALS: usize = 12;

#[actix_rt::test]
async fn no_connection_is_left() {
    let clock = Clock::system();
    let server = Postgres::start(&SETTINGS);
    let cluster = Cluster::start(&server.url(), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    load.more(60).await;

    let from = clock.wall();
    // Whatever the nodes lose is taken before they have it again.
    let mut taken: Vec<PgConnection> = Vec::new();
    let url = format!("{}?connect_timeout=5&application_name=greedy", server.url());
    let refused = load.refused();
    within("all connections are somebody else's", async {
        let mut control = PgConnection::establish(&url).expect("there is one left");
        loop {
            while let Ok(connection) = PgConnection::establish(&url) {
                taken.push(connection);
            }
            actix_rt::task::yield_now().await;
            let ended: i64 = sql::<BigInt>(END_ALL).get_result(&mut control).expect("it is connected");
            if ended == 0 {
                return;
            }
        }
    })
    .await;
    println!("{} connections were taken", taken.len());
    eventually("events are refused", async || (load.refused() >= refused + REFUSALS).then_some(())).await;
    let freed = clock.now().monotonic;
    drop(taken);
    load.more(20).await;
    println!("accepted again {:?} after there was room", clock.now().monotonic.since(freed));
    cluster.settle().await;
    load.on_each_lane().await;
    let trouble = Trouble { from, to: clock.wall() };
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    let slowest = outcome.refusals.iter().map(|refusal| refusal.took).max().unwrap_or_default();
    assert!(slowest < Duration::from_secs(20), "a no took {slowest:?}");
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &[trouble]).await;
}
