//! Moving a file into a database: everything is there as it was, whatever broke the
//! move off, and nobody works on either half meanwhile.

use std::sync::Arc;

use posthaste::domain::{Environment, KeyId, Role, Timestamp};
use posthaste::keyring::{KeySource, Keyring};
use posthaste::store::moving::{MoveOptions, MoveProgress, MovedStore, move_store, take_back};
use posthaste::store::postgres::PostgresStore;
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{AuditFilter, DeliveryFilter, Lane, NewKey, PageRequest, Scope, Store, StoreError};

use super::{PostgresPlace, options};
use crate::store::audit;
use crate::store::sqlite::SqlitePlace;
use crate::store::verifying::{is_as_promised, live};
use crate::store::world::{Place as _, World, idempotency, in_sandbox};

const EVERYTHING: PageRequest<posthaste::domain::DeliveryId> = PageRequest { after: None, limit: 10_000 };

/// A file that was lived in and that nobody has open, and where it goes.
struct Removal {
    from: Arc<SqlitePlace>,
    to: PostgresPlace,
    acme: Scope,
    now: Timestamp,
}

impl Removal {
    fn new() -> Self {
        let from = Arc::new(SqlitePlace::new());
        let mut world = World::new(Box::new(Arc::clone(&from)));
        let acme = live(&mut world);
        world.endpoint(&in_sandbox(&acme), "elsewhere", &["*"]);
        let mut repeated = world.request(&acme, &["a.b"]);
        repeated.idempotency = idempotency("ключ-é", 7);
        world.accept_all(&[&repeated]);
        // The last number that partners had is not the largest that is left.
        world.partner("gone");
        world.place().execute("DELETE FROM partners WHERE name = 'gone'");
        // What one kind of store takes in a text, and the other does not.
        world.place().execute("UPDATE attempts SET error_message = 'a' || char(0) || 'b' WHERE number = 2");
        world.commit(|transaction| transaction.create_key(&key(1)));
        let now = world.now;
        world.close();
        Self { from, to: PostgresPlace::new(), acme, now }
    }

    fn carry_out(
        &self,
        rows: usize,
        progress: &mut dyn FnMut(MoveProgress<'_>) -> Result<(), StoreError>,
    ) -> Result<MovedStore, StoreError> {
        let options = MoveOptions {
            from: &self.from.file(),
            keys: &clear(),
            to: &options(&self.to.database().url()),
            to_shown: "postgres://there/store",
            rows,
        };
        move_store(&options, self.now, progress)
    }

    #[track_caller]
    fn refused(&self) -> String {
        match self.carry_out(10, &mut |_| Ok(())) {
            Err(StoreError::Configuration(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The file as it is now, whatever it says about moves.
    fn original(&self) -> SqlitePlace {
        let copy = self.from.copy();
        copy.execute("DELETE FROM meta WHERE name = 'moved'");
        copy
    }

    /// Both show the same, and what was moved goes on as if nothing had been.
    #[track_caller]
    fn is_the_same(&self) {
        let original = self.original();
        let mut world = World::new(Box::new(original));
        while world.commit(|transaction| transaction.undo_unsealed(100)) > 0 {}
        let mut moved = World::new(Box::new(self.to.clone()));
        let (here, there) = (Arc::clone(world.store()), Arc::clone(moved.store()));
        assert_eq!(there.restored().expect("readable"), here.restored().expect("readable"));
        let everyone = Scope::all(Environment::Production);
        for scope in [&everyone, &self.acme, &in_sandbox(&self.acme)] {
            let deliveries = |store: &dyn Store| {
                store.deliveries(scope, &DeliveryFilter::default(), &EVERYTHING).expect("readable").items
            };
            let (mine, theirs) = (deliveries(here.as_ref()), deliveries(there.as_ref()));
            assert_eq!(mine, theirs);
            for delivery in mine {
                let mut attempts = here.attempts(delivery.id).expect("readable");
                for attempt in &mut attempts {
                    if let Some(error) = &mut attempt.outcome.error {
                        error.message = error.message.replace('\0', "\u{fffd}");
                    }
                }
                assert_eq!(attempts, there.attempts(delivery.id).expect("readable"));
            }
            let page = PageRequest { after: None, limit: 1_000 };
            let events = |store: &dyn Store| store.events(scope, &page).expect("readable").items;
            assert_eq!(events(here.as_ref()), events(there.as_ref()));
            let page = PageRequest { after: None, limit: 1_000 };
            let endpoints = |store: &dyn Store| store.endpoints(scope, &page).expect("readable").items;
            let shown = endpoints(here.as_ref());
            assert_eq!(shown, endpoints(there.as_ref()));
            for endpoint in shown {
                for lane in [Lane::Fresh, Lane::Retry, Lane::Manual] {
                    let due = |store: &dyn Store| store.due(endpoint.id, lane, None, 1_000).expect("readable");
                    assert_eq!(due(here.as_ref()), due(there.as_ref()), "{lane:?}");
                }
                let runtime = |store: &dyn Store| {
                    let runtime =
                        store.endpoint_runtime(endpoint.id, self.now).expect("readable").expect("it is there");
                    (runtime.settings, runtime.is_in_order)
                };
                assert_eq!(runtime(here.as_ref()), runtime(there.as_ref()));
            }
        }
        assert_eq!(audit::log(here.as_ref()), audit::log(there.as_ref()));
        let page = PageRequest { after: None, limit: 100 };
        let keys = |store: &dyn Store| -> Vec<KeyId> {
            store.keys(&page).expect("readable").items.into_iter().map(|key| key.id).collect()
        };
        assert_eq!(keys(here.as_ref()), keys(there.as_ref()));
        is_as_promised(there.as_ref());

        // What comes next goes on where the file was.
        moved.now = self.now;
        let last = here.deliveries(&everyone, &DeliveryFilter::default(), &EVERYTHING).expect("readable").items[0].id;
        let mut request = moved.request(&self.acme, &["line.up"]);
        let accepted = moved.accept(&self.acme, "line.up");
        assert!(moved.deliveries_of(&self.acme, accepted.id).iter().all(|delivery| delivery.id > last));
        let fresh = moved.partner("newcomer");
        moved.endpoint(&fresh, "new", &["brand.new", "order.*"]);
        request.idempotency = idempotency("ключ-é", 9);
        let answers = moved.accept_all(&[&request]);
        assert!(
            !matches!(answers[0], posthaste::store::Accepted::New(_)),
            "a key that was used stays used: {answers:?}"
        );
        moved.commit(|transaction| {
            transaction.audit(&audit::entry("afterwards"));
            transaction.create_key(&key(2))
        });
        assert_eq!(audit::verdict(moved.store().as_ref(), None).broken, None);
        is_as_promised(moved.store().as_ref());
    }
}

fn clear() -> KeySource {
    KeySource::Given(Arc::new(Keyring::clear()))
}

fn key(hash: u8) -> NewKey {
    NewKey {
        hash: [hash; 32],
        prefix: "ph_".into(),
        role: Role::Operator,
        environment: None,
        partner: None,
        description: Some("of a case".into()),
        expires_at: None,
    }
}

/// The message of an opening that is refused.
#[track_caller]
fn refusal<T>(opened: Result<T, StoreError>) -> String {
    match opened {
        Err(StoreError::Configuration(why)) => why,
        Err(other) => panic!("refused for another reason: {other:?}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn everything_is_there_as_it_was() {
    let removal = Removal::new();
    let mut told = Vec::new();
    let moved = removal.carry_out(7, &mut |progress| {
        told.push((progress.table.to_owned(), progress.is_check));
        Ok(())
    });
    let moved = moved.expect("the database is empty");
    assert!(!moved.was_done && moved.keys.is_empty());
    let rows = |table: &str| moved.tables.iter().find(|(name, _)| name == table).expect("it is told of").1.rows;
    assert!(rows("pending") > 3 && rows("finished") > 3 && rows("events") > 5 && rows("idempotency_keys") == 1);
    for is_check in [false, true] {
        assert!(told.contains(&("attempts".into(), is_check)));
    }
    let source = refusal(SqliteStore::open(&removal.from.file(), 1));
    assert!(source.contains("was moved to postgres://there/store") && source.contains("--take-back"), "{source}");
    removal.is_the_same();
    // Again: there is nothing to do.
    assert!(removal.carry_out(7, &mut |_| Ok(())).expect("it is there").was_done);
}

#[test]
fn a_move_that_is_broken_off_goes_on_wherever_that_was() {
    let removal = Removal::new();
    let mut runs = 0;
    // Every run carries two slices over and is then broken off.
    loop {
        let mut slices = 0;
        let moved = removal.carry_out(5, &mut |progress| {
            slices += usize::from(!progress.is_check);
            if slices == 2 && !progress.is_check { Err(StoreError::Stopped("a case's own".into())) } else { Ok(()) }
        });
        match moved {
            Ok(moved) => {
                assert!(!moved.was_done);
                break;
            }
            Err(StoreError::Stopped(_)) => runs += 1,
            Err(other) => panic!("{other:?}"),
        }
        if runs == 1 {
            let source = refusal(SqliteStore::open(&removal.from.file(), 1));
            assert!(source.contains("is being moved to"), "{source}");
            let target = refusal(PostgresStore::open(&options(&removal.to.database().url())));
            assert!(target.contains("half of a store"), "{target}");
        }
    }
    assert!(runs > 10, "{runs}");
    removal.is_the_same();
}

#[test]
fn what_was_changed_on_its_way_is_noticed() {
    let removal = Removal::new();
    let mut is_changed = false;
    let moved = removal.carry_out(100, &mut |progress| {
        if progress.is_check && !is_changed {
            is_changed = true;
            removal.to.database().sql("UPDATE finished SET status = 3 WHERE status = 2");
        }
        Ok(())
    });
    let Err(StoreError::Corrupt(why)) = moved else { panic!("not noticed: {moved:?}") };
    assert!(is_changed && why.contains("`finished` was not carried over as it is"), "{why}");
    // Nobody starts there, and the file is as good as before.
    refusal(PostgresStore::open(&options(&removal.to.database().url())));
    assert_eq!(take_back(&removal.from.file(), &clear()).expect("it is ours"), Some("postgres://there/store".into()));
    let store = SqliteStore::open(&removal.from.file(), 1).expect("it is free again");
    is_as_promised(&store);
    drop(store);
    assert_eq!(take_back(&removal.from.file(), &clear()).expect("it is ours"), None);
    // What was half there is from before that.
    assert!(removal.refused().contains("before --take-back"));
}

#[test]
fn nobody_elses_database_is_written_to() {
    let removal = Removal::new();
    let url_of = removal.to.database().url();
    let store = PostgresStore::open(&options(&url_of)).expect("the database is ours");
    drop(store);
    let mut world = World::new(Box::new(removal.to.clone()));
    world.partner("theirs");
    let why = removal.refused();
    assert!(why.contains("the target is not empty") && why.contains("`partners`"), "{why}");
    SqliteStore::open(&removal.from.file(), 1).expect("nothing has begun");
    // Half of another store.
    let other = Removal { to: PostgresPlace::new(), ..Removal::new() };
    let broken_off = other.carry_out(5, &mut |_| Err(StoreError::Stopped("a case's own".into())));
    assert!(matches!(broken_off, Err(StoreError::Stopped(_))));
    let removal = Removal { to: other.to.clone(), ..removal };
    assert!(removal.refused().contains("half of another store"));
}

#[test]
fn a_table_of_which_nothing_is_known_is_not_left_behind() {
    for (table, why) in [
        ("CREATE TABLE mine (id INTEGER PRIMARY KEY)", "the target has no table `mine`"),
        ("ALTER TABLE partners ADD COLUMN mine TEXT", "the column `mine` of `partners` cannot be moved"),
    ] {
        let removal = Removal::new();
        removal.from.execute(table);
        let refused = removal.refused();
        assert!(refused.contains(why), "{refused}");
        SqliteStore::open(&removal.from.file(), 1).expect("nothing has begun");
    }
    let removal = Removal::new();
    drop(PostgresStore::open(&options(&removal.to.database().url())).expect("the database is ours"));
    removal.to.execute("CREATE TABLE mine (id BIGINT PRIMARY KEY)");
    let refused = removal.refused();
    assert!(refused.contains("the target has a table `mine`"), "{refused}");
}

#[test]
fn a_file_that_a_node_has_open_is_not_moved() {
    let removal = Removal::new();
    let node = removal.from.open();
    assert!(removal.refused().contains("another posthaste has"));
    drop(node);
    let filter = AuditFilter::default();
    let store = SqliteStore::open(&removal.from.file(), 1).expect("nothing has begun");
    assert!(store.audit(&filter, &PageRequest { after: None, limit: 1 }).is_ok());
}
