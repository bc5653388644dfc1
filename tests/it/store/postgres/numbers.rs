//! Numbers that several nodes give: no two the same, in the order of ids, and nobody who
//! pulls passes over what another node commits late.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use posthaste::clock::Clock;
use posthaste::store::{CommitError, StoreError};

use super::PostgresPlace;
use super::nodes::{at_once, nodes};
use crate::store::numbers::{follow_histories, numbers, pull};
use crate::store::world::{START, World};

#[test]
fn no_two_nodes_give_the_same_number() {
    let mut worlds = nodes(3);
    let acme = worlds[0].partner("acme");
    let endpoint = worlds[0].endpoint(&acme, "all", &["*"]).id;
    let given = at_once(&mut worlds, |_, world| -> Vec<u64> {
        let mut given = Vec::new();
        for _ in 0..40 {
            world.accept(&acme, "campaign.updated");
            given.extend(world.births().iter().filter_map(|birth| birth.sequence));
        }
        given
    });
    assert!(given.iter().all(|numbers| numbers.is_sorted()), "each node's grow");
    let all: BTreeSet<u64> = given.into_iter().flatten().collect();
    assert_eq!(all.len(), 120);
    let pulled = pull(&worlds[1], &acme, endpoint, 0, 250);
    assert_eq!(numbers(&pulled), all.into_iter().collect::<Vec<_>>());
    assert!(pulled.items.is_sorted_by_key(|item| item.delivery), "numbers grow as ids do");
}

#[test]
fn whoever_follows_the_numbers_of_two_nodes_is_given_everything_once() {
    follow_histories(&mut nodes(3), 12);
}

#[test]
fn what_another_node_has_not_committed_is_waited_for() {
    for commits in [true, false] {
        let mut worlds = nodes(2);
        let acme = worlds[0].partner("acme");
        let endpoint = worlds[0].endpoint(&acme, "all", &["*"]).id;
        let request = worlds[0].request(&acme, &["campaign.updated"]);
        let (one, two) = worlds.split_at_mut(1);
        let ended = one[0].try_commit(|transaction| {
            transaction.accept(&[&request])?;
            two[0].accept(&acme, "campaign.created");
            let waits = pull(&two[0], &acme, endpoint, 0, 10);
            assert_eq!((numbers(&waits), waits.next_after), (vec![], 0));
            assert!(waits.more && waits.is_settling);
            // Behind it everything is there.
            let behind = pull(&two[0], &acme, endpoint, 1, 10);
            assert_eq!((numbers(&behind), behind.is_settling), (vec![2], false));
            if commits { Ok(()) } else { Err(StoreError::Constraint("it was undone".into())) }
        });
        assert_eq!(ended.is_ok(), commits);
        let settled = pull(&two[0], &acme, endpoint, 0, 10);
        let expected = if commits { vec![1, 2] } else { vec![2] };
        assert_eq!((numbers(&settled), settled.more, settled.is_settling), (expected, false, false));
    }
}

/// Its row gives way to another before it has too many versions.
#[test]
fn numbers_go_on_whichever_row_they_are_in() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    world.endpoint(&acme, "another", &["*"]);
    let numbers = |world: &World| -> Vec<Option<u64>> { world.births().iter().map(|birth| birth.sequence).collect() };
    world.accept(&acme, "campaign.updated");
    place.database().sql(
        "SELECT taken.* FROM generate_series(1, 450), (SELECT min(endpoint) AS one FROM endpoint_numbers) AS of,
           LATERAL take_row_keys_and_numbers(0, 0, ARRAY[of.one], ARRAY[generate_series % 3 + 1]) AS taken",
    );
    world.accept(&acme, "campaign.updated");
    assert_eq!(numbers(&world), [Some(1 + 900 + 1), Some(2)]);
    let rows = place
        .database()
        .value("SELECT string_agg(generation || ' ' || last, ', ' ORDER BY last) FROM endpoint_numbers");
    assert_eq!(rows, "0 2, 2 902");
    world.reopen();
    world.accept(&acme, "campaign.updated");
    assert_eq!(numbers(&world), [Some(903), Some(3)]);
}

/// Somebody reads for long, as a dump does, and could be about to write: what is missing
/// may be his.
#[test]
fn a_transaction_that_has_not_written_yet_is_waited_for() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let request = world.request(&acme, &["campaign.updated"]);
    let mut reader = PgConnection::establish(&place.database().url()).expect("the database is ours");
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").expect("it may read");
    let undone = world.try_commit(|transaction| {
        transaction.accept(&[&request])?;
        Err::<(), _>(StoreError::Constraint("it was undone".into()))
    });
    assert!(undone.is_err());
    world.accept(&acme, "campaign.updated");
    assert!(pull(&world, &acme, endpoint, 0, 10).is_settling);
    reader.batch_execute("COMMIT").expect("it is its own");
    assert_eq!(numbers(&pull(&world, &acme, endpoint, 0, 10)), [2]);
}

/// Sessions of another role do not show since when they have been at it, but that they
/// write. What is missing is waited for until it is a minute old, and longer while one of
/// them does.
#[test]
fn sessions_that_show_nothing_are_waited_for() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let request = world.request(&acme, &["campaign.updated"]);
    let undone = world.try_commit(|transaction| {
        transaction.accept(&[&request])?;
        Err::<(), _>(StoreError::Constraint("it was undone".into()))
    });
    assert!(undone.is_err());
    world.accept(&acme, "campaign.updated");
    let (database, role) = (place.database(), format!("guest_of_{}", place.database().name()));
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA public TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    world.close();
    let url = database.url().replace("posthaste@", &format!("{role}@"));
    let guest = World::new(Box::new(place.opened(|options| options.url = url)));
    let mut other = PgConnection::establish(&database.url()).expect("the database is ours");
    let waits = |what: &str| {
        let pulled = pull(&guest, &acme, endpoint, 0, 10);
        assert_eq!(pulled.is_settling, numbers(&pulled).is_empty(), "{what}: {pulled:?}");
        pulled.is_settling
    };
    assert!(waits("it might be at it since long ago"));
    database.sql("UPDATE endpoint_numbers SET last_at = last_at - 61000");
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").expect("it may write");
    assert!(waits("it writes, and might since long ago"));
    other.batch_execute("COMMIT; BEGIN; SELECT 1").expect("it may read");
    assert!(!waits("it writes nothing"));
    drop((guest, other));
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn numbers_that_were_taken_too_long_ago_are_not_committed() {
    let clock = Clock::manual(START);
    let place = PostgresPlace::new();
    let its_clock = clock.clone();
    let mut world = World::new(Box::new(place.opened(|options| options.clock = its_clock)));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let request = world.request(&acme, &["campaign.updated"]);
    for (takes, commits) in [(31, false), (30, true), (31, false)] {
        let ended = world.try_commit(|transaction| {
            transaction.accept(&[&request])?;
            clock.advance(Duration::from_secs(takes));
            Ok(())
        });
        match ended {
            Ok(()) => assert!(commits),
            Err(CommitError::RolledBack(StoreError::Unavailable(_))) => assert!(!commits),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers(&pull(&world, &acme, endpoint, 0, 10)), [2]);
    // What takes no numbers may take its time.
    world.commit(|transaction| {
        clock.advance(Duration::from_secs(31));
        transaction.forget_idempotency_keys(1)
    });
}

#[test]
fn a_node_of_the_release_before_takes_keys_as_ever() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let before = world.deliver(&acme, "campaign.updated");
    let taken = place.database().value("SELECT take_row_keys(5, 0)");
    let after = world.deliver(&acme, "campaign.updated");
    assert!(taken.parse::<i64>().is_ok() && before < after);
}
