//! What somebody finds who opens the file beside Posthaste: entries cannot be
//! changed by mistake, and are missed when they were changed on purpose.

use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use posthaste::policy::audit_chain::Break;
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{Store as _, StoreError};

use super::SqlitePlace;
use crate::store::audit::{entry, is_whole, verdict};
use crate::store::world::{Place as _, World};

/// A store with three entries, which is closed, and its file as somebody else opens it.
fn with_entries() -> (Arc<SqlitePlace>, SqliteConnection) {
    let place = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&place)));
    for subject in ["a", "b", "c"] {
        world.commit(|transaction| {
            transaction.audit(&entry(subject));
            Ok(())
        });
    }
    drop(world);
    let connection = SqliteConnection::establish(place.file().to_str().expect("UTF-8")).expect("it is there");
    (place, connection)
}

#[test]
fn entries_are_neither_changed_nor_removed_nor_replaced() {
    let (place, mut connection) = with_entries();
    for attempt in [
        "UPDATE audit_log SET subject = 'z' WHERE number = 2",
        "DELETE FROM audit_log WHERE number = 3",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT 2, at, environment, partner, actor, actor_key, address, action, 'z', \
         detail, salt, previous_hash, hash FROM audit_log WHERE number = 3",
    ] {
        let error = connection.batch_execute(attempt).expect_err("the file itself refuses it");
        assert!(error.to_string().contains("the audit log is only added to"), "{attempt}: {error}");
    }
    is_whole(place.open().as_ref(), 3);
}

#[test]
fn what_is_done_behind_the_triggers_back_is_found_out() {
    const DROPPED: &str = "DROP TRIGGER audit_log_is_not_changed; DROP TRIGGER audit_log_is_not_cut;";
    for (attempt, broken) in [
        ("UPDATE audit_log SET subject = 'z' WHERE number = 2", (2, Break::Changed)),
        ("UPDATE audit_log SET at = at + 1 WHERE number = 1", (1, Break::Changed)),
        ("DELETE FROM audit_log WHERE number = 2", (2, Break::Missing { expected: 2, found: 3 })),
        ("DELETE FROM audit_log WHERE number = 1", (1, Break::Missing { expected: 1, found: 2 })),
        ("DELETE FROM audit_log WHERE number = 3", (3, Break::CutOff)),
        ("DELETE FROM audit_log", (1, Break::CutOff)),
        ("UPDATE audit_head SET number = 2", (3, Break::Beyond)),
        ("DELETE FROM audit_log; UPDATE audit_head SET number = 0", (1, Break::CutOff)),
        ("UPDATE audit_log SET hash = previous_hash WHERE number = 3", (3, Break::Changed)),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE audit_log SET hash = x'00' WHERE number = 2",
            (2, Break::Unreadable),
        ),
    ] {
        let (place, mut connection) = with_entries();
        connection.batch_execute(&format!("{DROPPED}{attempt}")).expect("nothing refuses it any more");
        assert_eq!(verdict(place.open().as_ref(), None).broken, Some(broken), "{attempt}");
        drop(connection);
        let to_read = SqliteStore::open_to_read(&place.file()).expect("nobody has it open");
        assert_eq!(verdict(&to_read, None).broken, Some(broken), "{attempt}");
    }
}

#[test]
fn a_file_is_opened_to_be_read_and_not_to_be_written() {
    let (place, connection) = with_entries();
    drop(connection);
    let store = SqliteStore::open_to_read(&place.file()).expect("nobody has it open");
    is_whole(&store, 3);
    assert!(matches!(store.writer(), Err(StoreError::Configuration(_))));
    // It is as much taken as by a node.
    assert!(matches!(SqliteStore::open(&place.file(), 1), Err(StoreError::Configuration(_))));
    drop(store);
    is_whole(place.open().as_ref(), 3);

    let nowhere = SqlitePlace::new();
    let Err(StoreError::Configuration(told)) = SqliteStore::open_to_read(&nowhere.file()) else { panic!("opened") };
    assert!(told.contains("store.db"), "{told}");
    assert!(!nowhere.file().exists(), "and none is made");
}
