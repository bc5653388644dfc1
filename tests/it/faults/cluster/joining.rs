//! Nodes that come and go in peace: shares become even, and nothing is sent twice.

use std::time::Duration;

use posthaste::clock::Clock;

use super::judge::judge;
use super::lanes::Lanes;
use super::load::Load;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// What it may take until a newcomer has its share.
const EVEN_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[actix_rt::test]
async fn shares_become_even_as_nodes_join_and_leave() {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let mut cluster = Cluster::start(&server.url(), 1).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    for expected in [[128, 128].as_slice(), &[86, 85, 85]] {
        load.more(40).await;
        cluster.join().await;
        let begun = clock.now().monotonic;
        let mut shares = cluster.settle().await;
        let even_after = clock.now().monotonic.since(begun);
        println!("{shares:?} after {even_after:?}");
        shares.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(shares, expected);
        assert!(even_after <= EVEN_WITHIN, "{even_after:?}");
    }
    load.more(40).await;
    let left = cluster.api(1).url().to_owned();
    assert!(cluster.stop(1).await.success());
    assert_eq!(cluster.settle().await, [128, 128]);
    load.more(40).await;
    let outcome = load.stop().await;
    outcome.check_refusals(|refusal| refusal.url == left);
    let slowest = judge(cluster.api(0), &server.url(), &lanes, &outcome, &[]).await;
    assert!(slowest <= LONGEST_WAIT, "a delivery paused for {slowest:?}");
}
