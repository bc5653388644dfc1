//! What a store of leases must hold, verb by verb.

use std::collections::HashSet;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, SmallInt};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use posthaste::domain::{NodeId, PARTITIONS, Timestamp};
use posthaste::store::postgres::PostgresLeases;
use posthaste::store::{Fence, Lease, Leases, NodeReport, Owner, StoreError};

use super::{leases, new_node, prepare};
use crate::support::postgres::{Database, Postgres};

const TERM: Duration = Duration::from_secs(600);
/// Over before anything can be asked next.
const NO_TERM: Duration = Duration::ZERO;

struct World {
    database: Database,
    leases: PostgresLeases,
}

impl World {
    fn new() -> Self {
        let database = Postgres::database();
        prepare(&database.url());
        let leases = leases(&database.url());
        Self { database, leases }
    }

    fn report(node: NodeId) -> NodeReport {
        NodeReport {
            id: node,
            address: Some("http://10.1.2.3:8080".into()),
            version: "0.1.0".into(),
            in_flight: 7,
            is_leaving: false,
            is_held: false,
        }
    }

    fn value(&self, select: &str) -> String {
        self.database.value(select)
    }
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = SmallInt)]
    partition: i16,
}

/// What a write does first that is made under these leases.
fn lock(connection: &mut PgConnection, leases: &[Lease]) -> Vec<i16> {
    let tokens: Vec<i64> = leases.iter().map(|lease| lease.fence.unwrap().0).collect();
    let found: Vec<Locked> =
        sql_query("SELECT partition FROM leases WHERE token = ANY($1) ORDER BY partition FOR KEY SHARE")
            .bind::<diesel::sql_types::Array<BigInt>, _>(tokens)
            .load(connection)
            .unwrap();
    found.into_iter().map(|row| row.partition).collect()
}

#[test]
fn what_is_taken_is_one_nodes_alone() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 100, TERM).unwrap();
    let theirs = world.leases.acquire(other, 200, TERM).unwrap();
    assert_eq!((mine.len(), theirs.len()), (100, 156), "there are no more");
    let partitions: HashSet<_> = mine.iter().chain(&theirs).map(|lease| lease.partition).collect();
    assert_eq!(partitions.len(), PARTITIONS);
    let fences: HashSet<Fence> = mine.iter().chain(&theirs).map(|lease| lease.fence.unwrap()).collect();
    assert!(fences.len() == PARTITIONS && fences.iter().all(|fence| fence.0 > 0));
    assert!(mine.iter().all(|lease| lease.epoch == 1));
    assert!(world.leases.acquire(one, 1, TERM).unwrap().is_empty());
    assert!(world.leases.acquire(one, 0, TERM).unwrap().is_empty());
    let in_order: Vec<_> = (0..100).collect();
    let taken: Vec<usize> = mine.iter().map(|lease| lease.partition.index()).collect();
    assert_ne!(taken, in_order, "nodes that look at the same time do not all want the first ones");
}

#[test]
fn many_at_once_never_get_the_same() {
    let world = World::new();
    let url = world.database.url();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                let (leases, node) = (leases(&url), new_node());
                let mut taken = Vec::new();
                for _ in 0..8 {
                    taken.extend(leases.acquire(node, 9, TERM).unwrap());
                    leases.renew(&World::report(node), &taken, TERM).unwrap();
                }
                taken
            })
        })
        .collect();
    let taken: Vec<Lease> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let partitions: HashSet<_> = taken.iter().map(|lease| lease.partition).collect();
    assert_eq!(partitions.len(), taken.len(), "no partition twice");
    let rest = world.leases.acquire(new_node(), 256, TERM).unwrap().len();
    assert_eq!(taken.len() + rest, PARTITIONS);
}

#[test]
fn a_renewal_keeps_what_holds_and_tells_of_everyone() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 10, NO_TERM).unwrap();
    let renewed = world.leases.renew(&World::report(one), &mine, TERM).unwrap();
    let kept: HashSet<Lease> = renewed.kept.into_iter().collect();
    assert_eq!(kept, mine.iter().copied().collect(), "they had ended, and nobody had taken them");
    assert_eq!(renewed.nodes, [one]);

    let leaving = NodeReport { is_leaving: true, ..World::report(other) };
    let seen = world.leases.renew(&leaving, &[], TERM).unwrap();
    assert!(seen.kept.is_empty());
    assert_eq!(seen.nodes, [one], "nobody counts on who is leaving");
    let owned = Owner { node: one, address: Some("http://10.1.2.3:8080".into()) };
    for (index, owner) in seen.owners.iter().enumerate() {
        let is_mine = mine.iter().any(|lease| lease.partition.index() == index);
        assert_eq!(owner.as_ref(), is_mine.then_some(&owned), "{index}");
    }
    let stays = world.leases.renew(&World::report(other), &[], TERM).unwrap();
    assert_eq!(stays.nodes.iter().collect::<HashSet<_>>(), HashSet::from([&one, &other]));
    assert!(stays.nodes.is_sorted());

    let stranger = Lease { fence: Some(Fence(mine[0].fence.unwrap().0 ^ 1)), ..mine[0] };
    assert!(world.leases.renew(&World::report(one), &[stranger], TERM).unwrap().kept.is_empty());
    assert!(world.leases.renew(&World::report(other), &mine, TERM).unwrap().kept.is_empty(), "they are not its own");
    let database: i64 = world.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").parse().unwrap();
    let told = world.leases.renew(&World::report(one), &[], TERM).unwrap().now;
    assert!(told.since(Timestamp::from_millis(database)) < Duration::from_secs(10));
    assert!(told >= Timestamp::from_millis(database));
}

#[test]
fn what_has_ended_is_taken_over_with_the_next_epoch_and_a_new_fence() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 256, NO_TERM).unwrap();
    let free = world.leases.renew(&World::report(other), &[], TERM).unwrap();
    assert!(free.owners.iter().all(Option::is_none), "nobody owns them any more");
    let theirs = world.leases.acquire(other, 256, TERM).unwrap();
    assert_eq!(theirs.len(), PARTITIONS);
    for lease in &theirs {
        let before = mine.iter().find(|before| before.partition == lease.partition).unwrap();
        assert!(lease.epoch == 2 && lease.fence != before.fence);
    }
    assert!(world.leases.renew(&World::report(one), &mine, TERM).unwrap().kept.is_empty());
    world.leases.release(&mine).unwrap();
    let kept = world.leases.renew(&World::report(other), &theirs, TERM).unwrap().kept;
    assert_eq!(kept.len(), PARTITIONS, "what is somebody else's cannot be given up");
}

#[test]
fn what_is_given_up_is_free_at_once() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 256, TERM).unwrap();
    world.leases.release(&mine[..56]).unwrap();
    assert_eq!(world.leases.acquire(other, 256, TERM).unwrap().len(), 56);
    world.leases.renew(&World::report(one), &mine[56..], TERM).unwrap();
    world.leases.leave(one).unwrap();
    let seen = world.leases.renew(&World::report(other), &[], TERM).unwrap();
    assert_eq!(seen.nodes, [other]);
    assert_eq!(seen.owners.iter().flatten().count(), 56);
    assert_eq!(world.leases.acquire(other, 256, TERM).unwrap().len(), 200);
    world.leases.leave(one).unwrap();
}

#[test]
fn a_renewal_passes_a_write_and_a_takeover_leaves_it_alone() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 256, NO_TERM).unwrap();
    let mut writer = PgConnection::establish(&world.database.url()).unwrap();
    writer.batch_execute("BEGIN").unwrap();
    assert_eq!(lock(&mut writer, &mine[..3]).len(), 3);
    let kept = world.leases.renew(&World::report(one), &mine, NO_TERM).unwrap().kept;
    assert_eq!(kept.len(), PARTITIONS, "the renewal does not wait for the write");
    let taken = world.leases.acquire(other, 256, TERM).unwrap();
    assert_eq!(taken.len(), 253, "nor does the takeover, which leaves what is being written");
    world.leases.release(&mine[..1]).unwrap();
    writer.batch_execute("COMMIT").unwrap();
    assert_eq!(world.leases.acquire(other, 256, TERM).unwrap().len(), 3);
    assert!(lock(&mut writer, &mine).is_empty(), "the old fences open nothing any more");
}

#[test]
fn a_write_that_comes_while_it_is_taken_over_finds_nothing() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 256, NO_TERM).unwrap();
    // Takes the place of a takeover that is under way.
    let mut takeover = PgConnection::establish(&world.database.url()).unwrap();
    takeover.batch_execute("BEGIN; UPDATE leases SET token = -1000 - partition, epoch = epoch + 1").unwrap();
    let url = world.database.url();
    let named = mine.clone();
    let writer = std::thread::spawn(move || {
        let mut writer = PgConnection::establish(&url).unwrap();
        lock(&mut writer, &named)
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    crate::support::node::eventually("the write waits", || (world.value(waits) == "1").then_some(()));
    takeover.batch_execute("COMMIT").unwrap();
    assert!(writer.join().unwrap().is_empty());
    assert_eq!(world.leases.acquire(other, 256, TERM).unwrap().len(), PARTITIONS);
}

#[test]
fn operators_see_who_lives() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    let mine = world.leases.acquire(one, 30, TERM).unwrap();
    world.leases.renew(&World::report(one), &mine, TERM).unwrap();
    let unnamed = NodeReport { address: None, in_flight: 0, is_leaving: true, ..World::report(other) };
    world.leases.renew(&unnamed, &[], TERM).unwrap();
    let ended = new_node();
    world.leases.renew(&World::report(ended), &[], NO_TERM).unwrap();
    let seen = world.leases.nodes().unwrap();
    let shown: Vec<_> =
        seen.iter().map(|node| (node.id, node.address.as_deref(), node.partitions, node.in_flight)).collect();
    let mut expected = vec![(one, Some("http://10.1.2.3:8080"), 30, 7), (other, None, 0, 0)];
    expected.sort();
    assert_eq!(shown, expected);
    assert!(seen.iter().all(|node| node.version == "0.1.0" && node.lease_until.is_some()));
    assert!(seen.iter().map(|node| node.id).is_sorted());
    // Terms of no time at all pass at once.
    let is_known = format!("SELECT count(*) FROM nodes WHERE id = '{ended}'");
    crate::support::node::eventually("who was silent for long is forgotten", || {
        world.leases.renew(&World::report(one), &[], NO_TERM).unwrap();
        (world.value(&is_known) == "0").then_some(())
    });
    assert_eq!(world.value("SELECT count(*) FROM nodes WHERE is_leaving"), "1", "who lives is not");
}

#[test]
fn operators_see_who_owns_what() {
    let world = World::new();
    let (one, other) = (new_node(), new_node());
    assert_eq!(world.leases.owners().unwrap(), vec![None; PARTITIONS], "nobody owns anything yet");
    let mine = world.leases.acquire(one, 30, TERM).unwrap();
    world.leases.acquire(other, 5, NO_TERM).unwrap();
    let owners = world.leases.owners().unwrap();
    assert_eq!(owners.len(), PARTITIONS);
    for (partition, owner) in owners.iter().enumerate() {
        let is_mine = mine.iter().any(|lease| lease.partition.index() == partition);
        assert_eq!(*owner, is_mine.then_some(one), "{partition}: what has ended is nobody's");
    }
}

#[test]
fn a_cut_connection_is_made_anew() {
    let world = World::new();
    let node = new_node();
    let mine = world.leases.acquire(node, 9, TERM).unwrap();
    world.database.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    let error = world.leases.renew(&World::report(node), &mine, TERM).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(world.leases.renew(&World::report(node), &mine, TERM).unwrap().kept.len(), 9);
}
