//! Keepers as nodes run them: threads, a real database, the machine's clocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::cluster::{Hold, Keeper, KeeperOptions, Move, Owners, Ownership, orders};
use posthaste::domain::{NodeId, PARTITIONS, PartitionSet};
use posthaste::metrics::Metrics;
use posthaste::store::Leases;
use posthaste::store::postgres::{PostgresLeases, PostgresOptions};

use super::{leases, new_node, options, prepare};
use crate::support::node::eventually;
use crate::support::postgres::Postgres;

/// The shortest that can be configured.
const TERM: Duration = Duration::from_secs(2);

struct Node {
    id: NodeId,
    keeper: Keeper,
    clock: Clock,
    ownership: Ownership,
    metrics: Arc<Metrics>,
    moves: Arc<Mutex<Vec<Move>>>,
    /// Whether its engine finishes what it is to hand over.
    finishes: Arc<AtomicBool>,
}

impl Node {
    fn start(url: &str) -> Self {
        Self::start_with(url, Hold::new(false))
    }

    fn start_with(url: &str, hold: Hold) -> Self {
        let (id, clock, metrics) = (new_node(), Clock::system(), Arc::new(Metrics::default()));
        let ownership = Ownership::shared(clock.clone());
        let moves = Arc::<Mutex<Vec<Move>>>::default();
        let finishes = Arc::new(AtomicBool::new(true));
        let (handle, orders) = orders();
        let options = KeeperOptions {
            node: id,
            address: None,
            term: TERM,
            leases: Arc::new(PostgresLeases::new(&PostgresOptions { metrics: Arc::clone(&metrics), ..options(url) })),
            hold,
            ownership: ownership.clone(),
            owners: Owners::default(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (told, finishing, finished) = (Arc::clone(&moves), Arc::clone(&finishes), handle.clone());
        let observer = move |told_now: Move| {
            if let Move::HandOver(leases) = &told_now
                && finishing.load(Ordering::Acquire)
            {
                finished.handed_over(leases.clone());
            }
            told.lock().unwrap().push(told_now);
        };
        let keeper = Keeper::start(options, handle, orders, Box::new(observer)).unwrap();
        Self { id, keeper, clock, ownership, metrics, moves, finishes }
    }

    fn owns(&self, count: usize) -> Option<()> {
        (self.ownership.held().len() == count).then_some(())
    }

    fn gained(&self) -> usize {
        let moves = self.moves.lock().unwrap();
        moves.iter().map(|told| if let Move::Gained(leases) = told { leases.len() } else { 0 }).sum()
    }
}

#[test]
fn shares_are_even_and_who_leaves_is_taken_over_from_at_once() {
    let database = Postgres::database();
    prepare(&database.url());
    let one = Node::start(&database.url());
    eventually("one alone has all", || one.owns(PARTITIONS));
    let other = Node::start(&database.url());
    eventually("each has half", || one.owns(128).and(other.owns(128)));
    let all: PartitionSet = one.ownership.held().iter().chain(other.ownership.held().iter()).collect();
    assert_eq!(all.len(), PARTITIONS, "no partition is both nodes'");
    assert_eq!((one.gained(), other.gained()), (256, 128));
    eventually("its report", || (other.metrics.partitions_owned.get() == 128).then_some(()));

    let database_millis = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let before: i64 = database.value(database_millis).parse().unwrap();
    let shown = other.clock.wall().as_millis();
    let after: i64 = database.value(database_millis).parse().unwrap();
    assert!(before - 200 <= shown && shown <= after + 200, "{before} {shown} {after}");

    let seen = leases(&database.url()).nodes().unwrap();
    let mut expected = vec![(one.id, 128), (other.id, 128)];
    expected.sort();
    assert_eq!(seen.iter().map(|node| (node.id, node.partitions)).collect::<Vec<_>>(), expected);

    let begun = one.clock.now().monotonic;
    other.keeper.handle().leaving();
    other.keeper.stop();
    assert!(other.ownership.held().is_empty());
    eventually("all are the one's again", || one.owns(PARTITIONS));
    let took = one.clock.now().monotonic.since(begun);
    assert!(took < TERM, "it did not wait for leases to end: {took:?}");
    one.keeper.stop();
    assert_eq!(database.value("SELECT count(*) FROM leases WHERE owner IS NOT NULL"), "0");
    assert_eq!(database.value("SELECT count(*) FROM nodes"), "0");
}

#[test]
fn a_held_node_takes_nothing_and_nobody_counts_on_it() {
    let database = Postgres::database();
    prepare(&database.url());
    let hold = Hold::new(true);
    let held = Node::start_with(&database.url(), hold.clone());
    let shown = |node: &Node| {
        let nodes = leases(&database.url()).nodes().unwrap();
        nodes.into_iter().find(|shown| shown.id == node.id).map(|shown| (shown.is_held, shown.partitions))
    };
    assert_eq!(eventually("it says that it lives", || shown(&held)), (true, 0));
    let other = Node::start(&database.url());
    eventually("the other has all", || other.owns(PARTITIONS));
    assert_eq!((shown(&held), shown(&other)), (Some((true, 0)), Some((false, PARTITIONS))));
    assert!(hold.release() && !hold.release());
    eventually("each has half", || held.owns(128).and(other.owns(128)));
    eventually("it says so", || (shown(&held) == Some((false, 128))).then_some(()));
    held.keeper.stop();
    other.keeper.stop();
}

#[test]
fn an_engine_that_never_finishes_loses_its_surplus() {
    let database = Postgres::database();
    prepare(&database.url());
    let one = Node::start(&database.url());
    one.finishes.store(false, Ordering::Release);
    eventually("one alone has all", || one.owns(PARTITIONS));
    let other = Node::start(&database.url());
    eventually("each has half", || one.owns(128).and(other.owns(128)));
    let lost = Move::Lost(Vec::new());
    let moves = one.moves.lock().unwrap();
    assert!(moves.iter().any(|told| std::mem::discriminant(told) == std::mem::discriminant(&lost)));
    drop(moves);
    other.keeper.stop();
    one.keeper.stop();
}

#[test]
fn a_server_that_restarts_gives_back_what_nobody_took() {
    let server = Postgres::start(&[]);
    prepare(&server.url());
    let node = Node::start(&server.url());
    eventually("it has all", || node.owns(PARTITIONS));
    server.crash();
    eventually("trust in leases that cannot be renewed runs out", || node.owns(0));
    server.start_again();
    eventually("they are good again", || node.owns(PARTITIONS));
    assert_eq!(node.metrics.lease_takeovers.get(), 256, "none changed hands");
    assert!(node.metrics.database_reconnects.get() >= 1);
    eventually("it was told so", || (node.gained() == 512).then_some(()));
    assert_eq!(node.metrics.leases_lost.get(), 256);
    node.keeper.stop();
}
