//! One process, one file.

use posthaste::store::StoreError;
use posthaste::store::sqlite::SqliteStore;

use super::SqlitePlace;
use crate::store::world::Place;
use crate::support::folder::Folder;

#[track_caller]
fn refused(opened: Result<SqliteStore, StoreError>) -> String {
    match opened {
        Err(StoreError::Configuration(message)) => message,
        Err(other) => panic!("refused for another reason: {other:?}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_second_opening_of_the_same_file_is_refused() {
    let place = SqlitePlace::new();
    let first = place.open();
    let message = refused(SqliteStore::open(&place.file(), 2));
    assert!(message.contains("another posthaste") && message.contains("store.db"), "{message}");
    first.ping().expect("the first is not disturbed");
    drop(first);
    place.open().ping().expect("when the first is gone, the file is free");
}

#[test]
fn the_file_is_taken_as_long_as_its_writer_lives() {
    let place = SqlitePlace::new();
    let store = place.open();
    let writer = store.writer().expect("it is there");
    drop(store);
    refused(SqliteStore::open(&place.file(), 2));
    drop(writer);
    place.open().ping().expect("now it is free");
}

#[test]
fn the_one_writer_is_given_out_once() {
    let place = SqlitePlace::new();
    let store = place.open();
    let writer = store.writer().expect("it is there");
    assert!(matches!(store.writer(), Err(StoreError::Configuration(_))));
    drop(writer);
    assert!(matches!(store.writer(), Err(StoreError::Configuration(_))), "also when it was dropped");
}

#[test]
fn what_cannot_be_a_store_is_refused_with_its_name() {
    let folder = Folder::new();
    let nowhere = folder.file("no-such-folder").join("store.db");
    assert!(refused(SqliteStore::open(&nowhere, 2)).contains("no-such-folder"));

    let text = folder.file("text.db");
    std::fs::write(&text, "a letter to my bank, and no database at all\n".repeat(100)).expect("the folder is ours");
    let Err(error) = SqliteStore::open(&text, 2) else { panic!("opened") };
    assert!(matches!(error, StoreError::Corrupt(_) | StoreError::Configuration(_)), "{error:?}");
}
