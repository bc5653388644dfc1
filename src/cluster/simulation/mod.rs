//! Keepers on a clock that the tests move and on leases in memory: nodes join,
//! leave, crash, pause and are cut off, and at no time do two of them trust the
//! same partition.

mod database;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use crate::domain::{PARTITIONS, Partition, PartitionSet};

use database::{LATE, Trouble};
use world::{FINISHING, STEP, TERM, World};

#[test]
fn one_alone_takes_everything() {
    let mut world = World::new();
    world.join(Duration::from_millis(3));
    world.run(Duration::from_millis(100));
    assert_eq!(world.working(), PARTITIONS);
    world.run(Duration::from_secs(60));
    let metrics = &world.nodes[0].metrics;
    assert_eq!((metrics.lease_takeovers.get(), metrics.leases_lost.get()), (256, 0));
    assert_eq!(metrics.partitions_owned.get(), 256);
}

#[test]
fn who_joins_gets_an_even_share_in_a_few_seconds() {
    let mut world = World::with(1);
    for _ in 0..3 {
        world.join(Duration::from_millis(2));
        let took = world.until("even shares", World::is_even);
        assert!(took <= Duration::from_secs(4), "{took:?}");
    }
    let moved: u64 = world.nodes.iter().map(|node| node.metrics.lease_takeovers.get()).sum();
    assert_eq!(moved, 256 + 128 + 85 + 64, "each moves once for each node that joins");
    world.run(Duration::from_secs(60));
    let still: u64 = world.nodes.iter().map(|node| node.metrics.lease_takeovers.get()).sum();
    assert_eq!(still, moved, "then all is quiet");
    let lost: u64 = world.nodes.iter().map(|node| node.metrics.leases_lost.get()).sum();
    assert_eq!(lost, 0, "what is handed over is not lost");
}

#[test]
fn nodes_that_start_together_share_at_once() {
    let mut world = World::new();
    for _ in 0..3 {
        world.join(Duration::from_millis(1));
    }
    let took = world.until("even shares", World::is_even);
    assert!(took <= Duration::from_secs(4), "{took:?}");
}

#[test]
fn who_leaves_is_taken_over_from_in_about_a_second() {
    let mut world = World::with(3);
    world.leave(1);
    assert!(world.nodes[1].ownership.held().is_empty(), "it trusts nothing any more");
    let took = world.until("even shares", World::is_even);
    assert!(took <= Duration::from_millis(1_300), "{took:?}");
}

#[test]
fn who_crashes_is_taken_over_from_in_a_term_and_two_seconds() {
    for after in [0, 333, 1_250, 1_950] {
        let mut world = World::with(3);
        world.run(Duration::from_millis(after));
        world.crash(2);
        world.nodes[2].working = PartitionSet::NONE;
        let took = world.until("even shares", World::is_even);
        assert!(took <= TERM + Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn who_wakes_from_a_pause_trusts_nothing_and_gets_a_share_again() {
    let mut world = World::with(2);
    world.nodes[1].is_paused = true;
    world.until("the other has all", |world| world.nodes[0].working.len() == PARTITIONS);
    assert!(world.nodes[1].ownership.held().is_empty());
    world.nodes[1].is_paused = false;
    world.run(STEP);
    assert!(world.nodes[1].working.is_empty(), "the engine was told before anything else");
    assert_eq!(world.nodes[1].metrics.leases_lost.get(), 128);
    let took = world.until("even shares", World::is_even);
    assert!(took <= Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_short_pause_costs_nothing() {
    let mut world = World::with(2);
    world.nodes[1].is_paused = true;
    world.run(Duration::from_millis(2_500));
    world.nodes[1].is_paused = false;
    world.run(Duration::from_secs(5));
    world.assert_even();
    assert_eq!(world.nodes[1].metrics.leases_lost.get(), 0);
}

#[test]
fn an_answer_that_comes_late_is_trusted_no_longer_for_that() {
    let mut world = World::with(2);
    world.trouble(1, Trouble::Late);
    let begun = world.clock.now().monotonic;
    world.until("an answer has come late", |world| world.clock.now().monotonic.since(begun) > LATE);
    world.trouble(1, Trouble::Cut);
    world.until("the other has all", |world| world.nodes[0].working.len() == PARTITIONS);
    assert!(world.nodes[1].working.is_empty());
}

#[test]
fn what_nobody_took_meanwhile_is_good_again() {
    let mut world = World::with(1);
    let lease = world.nodes[0].ownership.lease(Partition::numbered(9)).unwrap();
    world.trouble(0, Trouble::Cut);
    world.run(Duration::from_secs(8));
    assert_eq!(world.working(), 0);
    assert!(!world.nodes[0].ownership.trusts(&lease));
    world.trouble(0, Trouble::None);
    world.run(Duration::from_secs(1));
    assert_eq!(world.working(), PARTITIONS);
    assert!(world.nodes[0].ownership.trusts(&lease), "nobody else had it");
    assert_eq!(world.nodes[0].metrics.lease_takeovers.get(), 256);
}

#[test]
fn an_engine_that_never_finishes_is_not_waited_for() {
    let mut world = World::with(1);
    world.nodes[0].finishing = None;
    world.join(Duration::ZERO);
    let took = world.until("even shares", World::is_even);
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(world.nodes[0].metrics.leases_lost.get(), 128);
}

#[test]
fn who_is_about_to_leave_keeps_what_it_has_and_takes_no_more() {
    let mut world = World::with(2);
    let now = world.clock.now().monotonic;
    world.nodes[1].keeping.as_mut().unwrap().leaving(now);
    world.nodes[1].next = now;
    world.crash(0);
    world.nodes[0].working = PartitionSet::NONE;
    world.run(Duration::from_secs(20));
    assert_eq!(world.nodes[1].working.len(), 128);
    let joined = world.join(Duration::ZERO);
    world.run(Duration::from_secs(4));
    assert_eq!((world.nodes[1].working.len(), world.nodes[joined].working.len()), (128, 128));
    world.leave(1);
    world.run(Duration::from_millis(1_200));
    assert_eq!(world.nodes[joined].working.len(), PARTITIONS);
}

#[test]
fn every_node_knows_where_the_others_partitions_are() {
    let mut world = World::with(2);
    world.run(Duration::from_secs(2));
    for partition in Partition::all() {
        let [one, two] = [0, 1].map(|index| world.nodes[index].owners.address_of(partition));
        let expected = if world.nodes[0].working.contains(partition) {
            [None, Some("http://node-0")]
        } else {
            [Some("http://node-1"), None]
        };
        assert_eq!([one.as_deref(), two.as_deref()], expected);
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Join,
    Leave(usize),
    Crash(usize),
    Pause(usize),
    Resume(usize),
    Trouble(usize, Trouble),
    Stubborn(usize, bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let who = 0_usize..4;
    prop_oneof![
        2 => Just(Happening::Join),
        1 => who.clone().prop_map(Happening::Leave),
        1 => who.clone().prop_map(Happening::Crash),
        2 => who.clone().prop_map(Happening::Pause),
        2 => who.clone().prop_map(Happening::Resume),
        3 => (who.clone(), prop_oneof![Just(Trouble::None), Just(Trouble::Cut), Just(Trouble::Deaf), Just(Trouble::Late)])
            .prop_map(|(who, trouble)| Happening::Trouble(who, trouble)),
        1 => (who, any::<bool>()).prop_map(|(who, is_stubborn)| Happening::Stubborn(who, is_stubborn)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// [`World::run`] looks after every turn of every node whether two trust the
    /// same; here is what comes of it once all is well again.
    #[test]
    fn whatever_happens_nobody_shares_and_in_the_end_all_is_even(
        happenings in prop::collection::vec((happening(), 0_u64..5_000), 1..16),
        latency_ms in 0_u64..40,
    ) {
        let latency = Duration::from_millis(latency_ms);
        let mut world = World::new();
        world.join(latency);
        for (what, wait_ms) in happenings {
            let count = world.nodes.len();
            let of = |who: usize| who % count;
            match what {
                Happening::Join if world.nodes.len() < 4 => drop(world.join(latency)),
                Happening::Join => {}
                Happening::Leave(who) => world.leave(of(who)),
                Happening::Crash(who) => world.crash(of(who)),
                Happening::Pause(who) => world.nodes[of(who)].is_paused = true,
                Happening::Resume(who) => world.nodes[of(who)].is_paused = false,
                Happening::Trouble(who, trouble) => world.trouble(of(who), trouble),
                Happening::Stubborn(who, is_stubborn) => {
                    world.nodes[of(who)].finishing = (!is_stubborn).then_some(FINISHING);
                }
            }
            world.run(Duration::from_millis(wait_ms));
        }
        if world.nodes.iter().all(|node| node.keeping.is_none()) {
            world.join(latency);
        }
        for index in 0..world.nodes.len() {
            world.trouble(index, Trouble::None);
            world.nodes[index].is_paused = false;
            if world.nodes[index].keeping.is_none() {
                world.nodes[index].working = PartitionSet::NONE;
            }
        }
        world.run(Duration::from_secs(20));
        world.assert_even();
        world.run(Duration::from_secs(10));
        world.assert_even();
    }
}
