//! Copies of a file that somebody has open: whole, of one moment, and marked.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use posthaste::store::sqlite::{BackupOptions, BackupStep, Copied, SqliteStore, backup};
use posthaste::store::{DeliveryFilter, NewEvent, PageRequest, Store as _, StoreError};

use super::SqlitePlace;
use crate::store::verifying::{is_as_promised, live};
use crate::store::world::{Place as _, START, World};
use crate::support::folder::Folder;

const OPTIONS: BackupOptions = BackupOptions { replaces: false, log_growth_bytes: 1 << 30 };

fn copy(from: &SqlitePlace, to: &Path, options: BackupOptions) -> Result<Copied, StoreError> {
    backup(&from.file(), to, options, START, &mut |_| ())
}

#[track_caller]
fn refused(copied: Result<Copied, StoreError>) -> String {
    match copied {
        Err(StoreError::Configuration(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_copy_has_everything_and_knows_that_it_is_one() {
    let place = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&place)));
    let acme = live(&mut world);
    let folder = Folder::new();
    let to = folder.file("it's a copy.db");
    let mut steps = Vec::new();
    let copied = backup(&place.file(), &to, OPTIONS, START, &mut |step| steps.push(step)).expect("both are ours");
    assert_eq!(steps.last(), Some(&BackupStep::Checking));
    let about = std::fs::metadata(&to).expect("it is there");
    assert_eq!((copied, about.permissions().mode() & 0o777), (Copied { bytes: about.len(), taken_at: START }, 0o600));
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("it is ours").collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");

    let original = Arc::clone(world.store());
    assert_eq!(original.restored().expect("readable"), None, "the store itself is none");
    let store = SqliteStore::open(&to, 1).expect("a store");
    assert_eq!(store.restored().expect("readable"), Some(START));
    let page = PageRequest { after: None, limit: 10_000 };
    let filter = DeliveryFilter::default();
    let expected = original.deliveries(&acme, &filter, &page).expect("readable").items;
    assert_eq!(store.deliveries(&acme, &filter, &page).expect("readable").items, expected);
    is_as_promised(&store);
    // Until somebody lets it send, however often it is started.
    drop(store);
    let store = SqliteStore::open(&to, 1).expect("a store");
    assert!(store.restored().expect("readable").is_some());
    let mut writer = store.writer().expect("nobody took it");
    for expected in [true, false] {
        let mut was_marked = None;
        let forget = &mut |transaction: &mut dyn posthaste::store::Transaction| {
            was_marked = Some(transaction.forget_restored()?);
            Ok(())
        };
        writer.commit(START, forget).expect("it is ours");
        assert_eq!(was_marked, Some(expected));
    }
    assert_eq!(store.restored().expect("readable"), None);
}

#[test]
fn what_is_there_is_not_written_over_by_mistake() {
    let place = SqlitePlace::new();
    drop(place.open());
    let folder = Folder::new();
    let to = folder.file("copy.db");
    std::fs::write(&to, "a letter").expect("it is ours");
    assert!(refused(copy(&place, &to, OPTIONS)).contains("--force"));
    assert_eq!(std::fs::read(&to).expect("it is there"), b"a letter");
    // What a backup left that was killed is in nobody's way.
    std::fs::write(folder.file("copy.db.part"), "half of it".repeat(10_000)).expect("it is ours");
    let replacing = BackupOptions { replaces: true, ..OPTIONS };
    copy(&place, &to, replacing).expect("it may");
    drop(SqliteStore::open(&to, 1).expect("a store"));
    // The log of another store would be taken for the copy's.
    std::fs::write(folder.file("copy.db-wal"), "").expect("it is ours");
    assert!(refused(copy(&place, &to, replacing)).contains("copy.db-wal"));
    assert!(refused(copy(&place, &place.file(), replacing)).contains("is the store itself"));
    // Nor is one replaced that somebody has open.
    let other = SqlitePlace::new();
    let open = other.open();
    assert!(refused(copy(&place, &other.file(), replacing)).contains("somebody has open"));
    drop(open);
}

#[test]
fn what_is_no_store_is_not_copied() {
    let folder = Folder::new();
    let to = folder.file("copy.db");
    let nowhere = folder.file("nowhere.db");
    let copied = backup(&nowhere, &to, OPTIONS, START, &mut |_| ());
    assert!(refused(copied).contains("there is no store at"));
    let text = folder.file("text.db");
    std::fs::write(&text, "a letter to my bank, and no database at all\n".repeat(100)).expect("it is ours");
    assert!(backup(&text, &to, OPTIONS, START, &mut |_| ()).is_err());
    assert!(!to.exists() && !folder.file("copy.db.part").exists());
    let place = SqlitePlace::new();
    drop(place.open());
    let far = folder.file("no-such-folder").join("copy.db");
    assert!(refused(copy(&place, &far, OPTIONS)).contains("no-such-folder"));
}

/// Has somebody write all the time while this is done.
fn while_written_to<T>(world: &mut World, done: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    let acme = world.partner("busy");
    world.endpoint(&acme, "all", &["*"]);
    let ended = AtomicBool::new(false);
    let begun = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            begun.wait();
            let done = done();
            ended.store(true, Ordering::SeqCst);
            done
        });
        begun.wait();
        while !ended.load(Ordering::SeqCst) {
            world.accept(&acme, "a.b");
        }
        working.join().expect("it does not panic")
    })
}

#[test]
fn a_copy_is_of_one_moment_whatever_is_written_meanwhile() {
    let place = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&place)));
    let acme = live(&mut world);
    let known: Vec<_> = world.deliveries(&acme, &DeliveryFilter::default());
    let folder = Folder::new();
    let to = folder.file("copy.db");
    let from = place.file();
    while_written_to(&mut world, || backup(&from, &to, OPTIONS, START, &mut |_| ()).expect("nobody is in its way"));
    let store = SqliteStore::open(&to, 1).expect("a store");
    is_as_promised(&store);
    let page = PageRequest { after: None, limit: 10_000 };
    let copied = store.deliveries(&acme, &DeliveryFilter::default(), &page).expect("readable").items;
    assert_eq!(copied, known, "what was acknowledged before it began");
}

#[test]
fn a_copy_that_takes_too_long_gives_the_log_up() {
    let place = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&place)));
    let acme = world.partner("acme");
    for _ in 0..40 {
        let mut request = world.request(&acme, &[]);
        let body = Bytes::from(format!("\"{}\"", "x".repeat(250_000)));
        request.events = vec![NewEvent::new("large.one".parse().expect("a type"), body); 20];
        world.accept_all(&[&request]);
    }
    // It begins anew, and so it grows with the first commit.
    place.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let folder = Folder::new();
    let (to, from) = (folder.file("copy.db"), place.file());
    let options = BackupOptions { log_growth_bytes: 0, ..OPTIONS };
    let copied = while_written_to(&mut world, || backup(&from, &to, options, START, &mut |_| ()));
    assert!(refused(copied).contains("--log-growth-mib"));
    assert!(!to.exists() && !folder.file("copy.db.part").exists());
}
