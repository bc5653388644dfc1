//! PostgreSQL itself goes away: it crashes, its backends are killed, the answer
//! to a COMMIT is lost. What was acknowledged is delivered; what was not is
//! refused in time, or said to be open; and nobody has to do anything about it.

use std::time::Duration;

use posthaste::clock::Clock;

use super::super::{dice, eventually, number_from};
use super::judge::{Trouble, judge};
use super::lanes::Lanes;
use super::load::{Load, Refusal};
use super::nodes::Cluster;
use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::{Postgres, url_at};

/// Crashes, and rounds of killing, when `POSTHASTE_FAULT_ROUNDS` does not say.
const CRASHES: u64 = 2;
const KILLINGS: u64 = 8;
/// What a delivery that was accepted just before a crash may wait: the crash, and a
/// few seconds.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);
const KILL_BACKENDS: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < ";

#[actix_rt::test]
async fn the_server_crashes_and_comes_back() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(CRASHES);
    let mut dice = dice();
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let mut troubles = Vec::new();
    for round in 1..=rounds {
        load.more(dice.usize(60..100)).await;
        let (from, refused) = (clock.wall(), load.refused());
        server.crash();
        eventually("nobody accepts anything", async || (load.refused() > refused + 2).then_some(())).await;
        server.start_again();
        let back = clock.now().monotonic;
        load.more(1).await;
        let accepted_after = clock.now().monotonic.since(back);
        cluster.settle().await;
        load.on_each_lane().await;
        println!("round {round}: accepted again {accepted_after:?} after the server was back");
        troubles.push(Trouble { from, to: clock.wall() });
    }
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    let slowest = judge(cluster.api(0), &server.url(), &lanes, &outcome, &troubles).await;
    assert!(slowest <= RESUMES_WITHIN, "a delivery waited for {slowest:?}");
}

#[actix_rt::test]
async fn backends_are_killed_at_any_moment() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(KILLINGS);
    let mut dice = dice();
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let from = clock.wall();
    for round in 0..rounds {
        load.more(dice.usize(10..30)).await;
        // All of them, and some of them.
        let part = if round % 2 == 0 { 1.0 } else { 0.3 };
        let killed = server.value(&format!("SELECT count(*) FROM ({KILL_BACKENDS}{part}) AS killed"));
        println!("round {round}: {killed} backends were killed");
    }
    load.on_each_lane().await;
    cluster.settle().await;
    let trouble = Trouble { from, to: clock.wall() };
    load.more(30).await;
    let reconnects = cluster.api(0).counted("posthaste_database_reconnects_total").await;
    assert!(reconnects > 0, "its connections were cut");
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &[trouble]).await;
}

#[actix_rt::test]
async fn the_answer_to_a_commit_is_lost() {
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let proxy = FaultProxy::start(server.address());
    let cluster = Cluster::start(&url_at(proxy.address(), "posthaste"), 1).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    let load = Load::start(&cluster);
    let from = clock.wall();
    load.more(20).await;
    // Others commit as well: the keeper of leases, and the journal for outcomes.
    eventually("an event is caught by it", async || {
        let lost = proxy.lost_count();
        proxy.cut_at_answer("COMMIT");
        eventually("a commit is caught by it", async || (proxy.lost_count() > lost).then_some(())).await;
        load.more(10).await;
        load.has_refused(may_be_kept).then_some(())
    })
    .await;
    println!("{} answers were lost", proxy.lost_count());
    load.on_each_lane().await;
    let trouble = Trouble { from, to: clock.wall() };
    let outcome = load.stop().await;
    outcome.check_refusals(|_| false);
    // Whoever was told that it may be kept has sent it again: each is there once.
    judge(cluster.api(0), &server.url(), &lanes, &outcome, &[trouble]).await;
}

fn may_be_kept(refusal: &Refusal) -> bool {
    let detail = refusal.answer.as_ref().and_then(|answer| answer.json["detail"].as_str());
    detail.is_some_and(|detail| detail.contains("may be kept") && detail.contains("Idempotency-Key"))
}
