//! The audit log that several nodes write, and what somebody can do to it who has
//! the database.

use posthaste::policy::audit_chain::Break;
use posthaste::store::StoreError;
use posthaste::store::postgres::PostgresStore;

use super::nodes::{at_once, nodes};
use super::{PostgresPlace, options};
use crate::store::audit::{entry, is_whole, log, verdict};
use crate::store::world::{Place as _, World};

#[test]
fn nodes_that_write_at_once_write_one_chain() {
    const COMMITS: usize = 40;
    let mut worlds = nodes(3);
    let acme = worlds[0].partner("acme");
    let endpoint = worlds[0].endpoint(&acme, "all", &["*"]).id;
    at_once(&mut worlds, |number, world| {
        for turn in 0..COMMITS {
            // With locks of every kind before the last one.
            world.commit(|transaction| {
                match turn % 3 {
                    0 => drop(transaction.pause_endpoint(&acme, endpoint)?),
                    1 => drop(transaction.resume_endpoint(&acme, endpoint)?),
                    _ => {}
                }
                transaction.audit(&entry(&format!("{number}-{turn}-a")));
                transaction.audit(&entry(&format!("{number}-{turn}-b")));
                Ok(())
            });
        }
    });
    let store = worlds[0].store().as_ref();
    is_whole(store, (3 * COMMITS * 2) as i64);
    let subjects: Vec<String> = log(store).into_iter().map(|record| record.subject).collect();
    for number in 0..3 {
        let own: Vec<&String> = subjects.iter().filter(|subject| subject.starts_with(&format!("{number}-"))).collect();
        let expected: Vec<String> =
            (0..COMMITS).flat_map(|turn| ["a", "b"].map(|which| format!("{number}-{turn}-{which}"))).collect();
        assert!(own.into_iter().eq(&expected), "each node's in its order, none twice and none lost");
    }
}

fn with_entries() -> (PostgresPlace, World) {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    for subject in ["a", "b", "c"] {
        world.commit(|transaction| {
            transaction.audit(&entry(subject));
            Ok(())
        });
    }
    (place, world)
}

#[test]
fn entries_are_neither_changed_nor_removed() {
    let (place, world) = with_entries();
    for attempt in [
        "UPDATE audit_log SET subject = 'z' WHERE number = 2",
        "DELETE FROM audit_log WHERE number = 3",
        "TRUNCATE audit_log",
    ] {
        let caught = format!(
            "DO $$ BEGIN {attempt}; RAISE EXCEPTION 'it was done'; \
             EXCEPTION WHEN OTHERS THEN IF SQLERRM NOT LIKE '%is only added to' THEN RAISE; END IF; END $$"
        );
        place.database().sql(&caught);
    }
    is_whole(world.store().as_ref(), 3);
}

#[test]
fn what_is_done_behind_the_triggers_back_is_found_out() {
    for (attempt, broken) in [
        ("UPDATE audit_log SET subject = 'z' WHERE number = 2", (2, Break::Changed)),
        ("DELETE FROM audit_log WHERE number = 2", (2, Break::Missing { expected: 2, found: 3 })),
        ("DELETE FROM audit_log WHERE number = 3", (3, Break::CutOff)),
        ("UPDATE audit_head SET number = 2", (3, Break::Beyond)),
    ] {
        let (place, world) = with_entries();
        place.database().sql(&format!("ALTER TABLE audit_log DISABLE TRIGGER USER; {attempt}"));
        assert_eq!(verdict(world.store().as_ref(), None).broken, Some(broken), "{attempt}");
    }
}

#[test]
fn a_database_is_read_beside_its_nodes_and_nothing_is_made_in_an_empty_one() {
    let (place, mut world) = with_entries();
    let to_read = PostgresStore::open_to_read(&options(&place.database().url())).expect("the database is ours");
    is_whole(&to_read, 3);
    world.commit(|transaction| {
        transaction.audit(&entry("d"));
        Ok(())
    });
    is_whole(&to_read, 4);
    assert!(matches!(posthaste::store::Store::writer(&to_read), Err(StoreError::Configuration(_))));

    let empty = PostgresPlace::empty();
    assert!(PostgresStore::open_to_read(&options(&empty.database().url())).is_err());
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(empty.database().value(tables), "0");
    drop(empty.open());
    assert_ne!(empty.database().value(tables), "0", "a node would have");
}
