//! What is verified of a store: one that was only ever written by verbs is whole, and
//! whatever somebody else does to it is found, and called by its name.

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste::domain::{EventOrder, PartitionSet};
use posthaste::store::verifying::{Check, Report, Thoroughness, Walk, verify};
use posthaste::store::{Begun, Scope, Store, Verdict};
use serde_json::json;

use super::audit::entry;
use super::ordering::place;
use super::world::{DAY, HOUR, START, World, event_with, events_of, settings};

for_every_backend! {
    an_empty_store_is_whole
    a_store_that_was_lived_in_is_whole
    whatever_is_done_to_it_is_found
    much_is_counted_and_some_of_it_told
    only_what_came_in_lately_is_looked_at
    what_is_put_right_meanwhile_is_not_said
    what_is_looked_at_is_told_of
}

const FULL: Thoroughness = Thoroughness { since: None, is_full: true };

#[track_caller]
pub fn report(store: &dyn Store, thoroughness: Thoroughness) -> Report {
    verify(store, thoroughness, &mut |_| ()).expect("readable")
}

/// Asserts that nothing is found.
#[track_caller]
pub fn is_as_promised(store: &dyn Store) {
    let report = report(store, FULL);
    assert!(report.is_whole(), "{:#}", report.json());
}

/// The checks that found something.
#[track_caller]
fn broken(store: &dyn Store) -> BTreeSet<Check> {
    let report = report(store, FULL);
    let found: BTreeSet<Check> =
        report.checks.iter().filter(|found| found.found > 0).map(|found| found.check).collect();
    for found in report.checks {
        assert_eq!(found.found > 0, !found.examples.is_empty(), "{found:?}");
    }
    found
}

fn an_empty_store_is_whole(world: &mut World) {
    is_as_promised(world.store().as_ref());
}

/// Plays a life with a little of everything, and answers whose it was.
pub fn live(world: &mut World) -> Scope {
    let acme = world.partner("acme");
    let other = world.partner("other");
    let all = world.endpoint(&acme, "all", &["*"]).id;
    world.endpoint(&acme, "few", &["order.paid"]);
    world.endpoint(&other, "theirs", &["*"]);
    let mut filtered = settings("filtered", &["order.*"]);
    filtered.filter = Some(r#"{"required":["id"]}"#.parse().expect("an object"));
    world.try_endpoint(&acme, filtered).expect("nothing stands against it");
    let gone = world.endpoint(&acme, "gone", &["*"]).id;
    world.accept(&acme, "order.paid");
    let mut with_id = world.request(&acme, &[]);
    with_id.events.push(event_with("order.paid", &json!({ "id": 1 })));
    events_of(world.accept_all(&[&with_id]).remove(0));
    world.delete(&acme, gone);
    world.advance(HOUR);
    world.commit(|transaction| {
        transaction.audit(&entry("a"));
        transaction.audit(&entry("b"));
        transaction.discard_deleted(1)
    });
    // One that failed twice, one that was given up, one that was delivered, one asked for.
    let [one, two, three, four] = [(); 4].map(|()| {
        let made = world.accept(&acme, "campaign.created");
        world.deliveries_of(&acme, made.id)[0].id
    });
    let later = world.now + DAY;
    world.record(&world.attempt(one, 0, Verdict::RetryAt(later)));
    world.record(&world.attempt(one, 1, Verdict::RetryAt(later)));
    world.record(&world.attempt(two, 0, Verdict::Exhausted));
    world.record(&world.attempt(three, 0, Verdict::Delivered));
    world.record(&world.attempt(four, 0, Verdict::RetryAt(later)));
    world.commit(|transaction| transaction.request_attempt(four));
    // A line of three, of whom the first is gone.
    let mut ordered = settings("ordered", &["line.up"]);
    ordered.order = Some(EventOrder::Fifo);
    let ordered = world.try_endpoint(&acme, ordered).expect("nothing stands against it").id;
    let line = [(); 3].map(|()| {
        let made = world.accept(&acme, "line.up");
        let found = world.deliveries_of(&acme, made.id);
        found.iter().find(|delivery| delivery.endpoint == ordered).expect("it wants it").id
    });
    assert_eq!(place(world, ordered, &EventOrder::Fifo, &[Some(7)]), 3);
    world.commit(|transaction| transaction.skip_delivery(&acme, line[0]));
    // Settings that change do not change what was.
    world.change(&acme, all, |settings| settings.events = vec!["line.*".parse().expect("a pattern")]);
    world.accept(&acme, "campaign.created");
    // One for all partners, and one that is not accepted to its end.
    let everyone = Scope::all(acme.environment);
    world.accept(&everyone, "line.up");
    let large = world.request(&everyone, &["line.up", "order.paid"]);
    let Begun::FanOut(mut fan_out) = world.commit(|transaction| transaction.begin_large(&large)) else {
        panic!("it is new")
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 2));
    world.advance(HOUR);
    acme
}

fn a_store_that_was_lived_in_is_whole(world: &mut World) {
    live(world);
    is_as_promised(world.store().as_ref());
    world.commit(|transaction| transaction.retire(START + HOUR, None, 100));
    is_as_promised(world.store().as_ref());
    world.kill();
    while world.commit(|transaction| transaction.undo_unsealed(1)) > 0 {
        is_as_promised(world.store().as_ref());
    }
    while world.commit(|transaction| transaction.discard_deleted(1)) > 0 {
        is_as_promised(world.store().as_ref());
    }
    let report = report(world.store().as_ref(), FULL);
    for found in report.checks.iter().filter(|found| found.check != Check::Owners) {
        assert!(found.looked_at > 0, "a check that looks at nothing finds nothing: {found:?}");
    }
}

/// Something that is done to a store past it. `ENDED` stands for the table with
/// what has ended, `WAITING` for the one with what has not.
struct Harm {
    found_by: &'static [Check],
    sql: &'static str,
    /// Where that is another.
    on_postgres: Option<&'static str>,
}

const fn harm(found_by: &'static [Check], sql: &'static str) -> Harm {
    Harm { found_by, sql, on_postgres: None }
}

/// Only what nodes share has that.
const fn shared(found_by: &'static [Check], on_postgres: &'static str) -> Harm {
    Harm { found_by, sql: "", on_postgres: Some(on_postgres) }
}

const HARMS: [Harm; 24] = [
    harm(
        &[Check::EventDeliveries],
        "UPDATE events SET deliveries = deliveries + 1 WHERE id = (SELECT MAX(id) FROM events)",
    ),
    harm(
        &[Check::EventDeliveries, Check::Explained],
        "DELETE FROM WAITING WHERE id = (SELECT MAX(id) FROM WAITING WHERE status = 0
           AND NOT EXISTS (SELECT 1 FROM unsealed WHERE id BETWEEN first_key AND last_key))",
    ),
    harm(
        &[Check::Explained],
        "UPDATE ENDED SET endpoint = (SELECT MAX(id) FROM endpoints WHERE scope > 1)
         WHERE id = (SELECT MIN(id) FROM ENDED WHERE status = 2)",
    ),
    harm(&[Check::DeliveryEvents], "DELETE FROM events WHERE id = (SELECT MIN(event) FROM ENDED WHERE status = 2)"),
    harm(
        &[Check::DeliveryEvents, Check::Payloads],
        "DELETE FROM events WHERE id = (SELECT MIN(event) FROM WAITING WHERE attempt_count = 2)",
    ),
    harm(
        &[Check::EventDeliveries, Check::DeliveryEvents],
        "UPDATE ENDED SET event = event + 1 WHERE id = (SELECT MIN(id) FROM ENDED WHERE status = 2)",
    ),
    harm(
        &[Check::Explained, Check::DeliveryEndpoints],
        "UPDATE ENDED SET endpoint = 12345 WHERE id = (SELECT MIN(id) FROM ENDED WHERE status = 2)",
    ),
    Harm {
        found_by: &[Check::DeliveryStates],
        sql: "UPDATE deliveries SET finished_at = NULL WHERE id = (SELECT MIN(id) FROM deliveries WHERE status = 2)",
        on_postgres: Some("UPDATE finished SET status = 1 WHERE status = 2"),
    },
    harm(
        &[Check::DeliveryStates],
        "UPDATE WAITING SET status = 3 WHERE id = (SELECT MIN(id) FROM WAITING WHERE attempt_count = 2)",
    ),
    harm(&[Check::DeliveryStates], "UPDATE ENDED SET scheduled_attempts = 9 WHERE status = 3"),
    harm(
        &[Check::DeliveryStates, Check::Attempts],
        "UPDATE ENDED SET attempt_count = 0, scheduled_attempts = 0 WHERE status = 2",
    ),
    harm(
        &[Check::Attempts],
        "DELETE FROM attempts WHERE number = 1 AND delivery = (SELECT MIN(id) FROM WAITING WHERE attempt_count = 2)",
    ),
    harm(&[Check::Attempts], "DELETE FROM attempts WHERE number = 2"),
    harm(&[Check::Attempts], "UPDATE attempts SET number = 3 WHERE number = 2"),
    harm(&[Check::Attempts], "UPDATE attempts SET number = 0 WHERE number = 2"),
    harm(
        &[Check::AttemptDeliveries],
        "INSERT INTO attempts (delivery, number, started_at, duration_ms) SELECT MIN(id), 1, 0, 0 FROM events",
    ),
    Harm {
        found_by: &[Check::Payloads],
        sql: "UPDATE events SET body = x'' WHERE id = (SELECT MIN(event) FROM deliveries WHERE attempt_count = 2)",
        on_postgres: Some(
            "UPDATE events SET body = '' WHERE id = (SELECT MIN(event) FROM pending WHERE attempt_count = 2)",
        ),
    },
    harm(&[Check::Order], "UPDATE WAITING SET status = 1 WHERE status = -1"),
    harm(&[Check::Order], "UPDATE WAITING SET order_key = NULL WHERE order_key IS NOT NULL AND status = 1"),
    Harm {
        found_by: &[Check::Numbers],
        sql: "DROP INDEX deliveries_by_number; UPDATE deliveries SET number = 1 WHERE attempt_count > 0",
        on_postgres: Some(
            "UPDATE pending SET number = 1 WHERE attempt_count > 0; UPDATE finished SET number = 1 WHERE attempt_count > 0",
        ),
    },
    harm(
        &[Check::AskedFor],
        "INSERT INTO manual_attempts (delivery, endpoint, requested_at) SELECT MIN(id), 1, 0 FROM events",
    ),
    harm(&[Check::Settings], "DELETE FROM endpoint_versions WHERE endpoint = (SELECT MAX(id) FROM endpoints)"),
    Harm {
        found_by: &[Check::AuditLog],
        sql: "DROP TRIGGER audit_log_is_not_changed; UPDATE audit_log SET subject = 'c' WHERE number = 1",
        on_postgres: Some(
            "ALTER TABLE audit_log DISABLE TRIGGER USER; UPDATE audit_log SET subject = 'c' WHERE number = 1",
        ),
    },
    harm(&[Check::AuditLog], "DELETE FROM audit_head"),
];

/// What only a store that nodes share can suffer.
const SHARED_HARMS: [Harm; 5] = [
    shared(
        &[Check::EventDeliveries, Check::OnePlace],
        "INSERT INTO finished (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts)
         SELECT id, event, endpoint, 1, 3, attempt_count, scheduled_attempts FROM pending WHERE attempt_count = 2",
    ),
    shared(&[Check::Partitions], "UPDATE pending SET partition = (partition + 1) % 256 WHERE attempt_count = 2"),
    shared(&[Check::Owners], "UPDATE leases SET owner = 'node_x', lease_until = 9999999999999 WHERE partition = 7"),
    shared(&[Check::Owners], "DELETE FROM leases WHERE partition = 7"),
    shared(
        &[Check::Owners],
        "ALTER TABLE leases DROP CONSTRAINT leases_token_key; UPDATE leases SET token = 5 WHERE partition IN (3, 4)",
    ),
];

fn is_shared(world: &World) -> bool {
    world.store().leases().is_some()
}

fn do_harm(world: &World, harm: &Harm) {
    let (waiting, ended) = if is_shared(world) { ("pending", "finished") } else { ("deliveries", "deliveries") };
    let sql = harm.on_postgres.filter(|_| is_shared(world)).unwrap_or(harm.sql);
    world.place().execute(&sql.replace("WAITING", waiting).replace("ENDED", ended));
}

fn whatever_is_done_to_it_is_found(world: &mut World) {
    let shared = SHARED_HARMS.iter().filter(|_| is_shared(world));
    let all: Vec<&Harm> = HARMS.iter().chain(shared).collect();
    for harm in &all {
        let mut world = world.beside();
        live(&mut world);
        do_harm(&world, harm);
        let expected: BTreeSet<Check> = harm.found_by.iter().copied().collect();
        assert_eq!(broken(world.store().as_ref()), expected, "{} {:?}", harm.sql, harm.on_postgres);
    }
    let known: BTreeSet<Check> = all.iter().flat_map(|harm| harm.found_by).copied().collect();
    let asked: BTreeSet<Check> =
        Check::ALL.into_iter().filter(|check| is_shared(world) || !check.is_of_shared()).collect();
    assert_eq!(known, asked, "every check has found something");
}

fn much_is_counted_and_some_of_it_told(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    for _ in 0..15 {
        let request = world.request(&acme, &["a.b"; 100]);
        world.accept_all(&[&request]);
    }
    let sample = report(world.store().as_ref(), Thoroughness::default());
    let looked_at = |report: &Report, check: Check| {
        report.checks.iter().find(|found| found.check == check).expect("every check is told of").looked_at
    };
    assert!(sample.is_whole());
    assert_eq!(looked_at(&sample, Check::EventDeliveries), 1_500);
    assert!((30..200).contains(&looked_at(&sample, Check::Explained)), "{:#}", sample.json());
    assert_eq!(looked_at(&report(world.store().as_ref(), FULL), Check::Explained), 1_500);
    world.place().execute("UPDATE events SET deliveries = 2");
    let report = report(world.store().as_ref(), Thoroughness::default());
    let found = &report.checks[0];
    assert_eq!((found.check, found.found, found.has_more), (Check::EventDeliveries, 1_000, true));
    assert_eq!(found.examples.len(), 10);
    assert!(found.examples[0].ends_with(": 1 of its 2 deliveries are there"), "{}", found.examples[0]);
    world.close();
}

fn only_what_came_in_lately_is_looked_at(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    world.accept(&acme, "a.b");
    world.advance(DAY);
    let since = world.now;
    world.accept(&acme, "a.b");
    let events = |since| {
        let report = report(world.store().as_ref(), Thoroughness { since, is_full: true });
        (report.checks[0].looked_at, report.checks[0].found)
    };
    assert_eq!((events(None), events(Some(since))), ((2, 0), (1, 0)));
    world.place().execute("UPDATE events SET deliveries = 2 WHERE id = (SELECT MIN(id) FROM events)");
    assert_eq!((events(None), events(Some(since))), ((2, 1), (1, 0)));
    assert_eq!(events(Some(since + Duration::from_secs(1))), (0, 0));
    world.close();
}

/// It was seen between two commits of somebody who is at work.
fn what_is_put_right_meanwhile_is_not_said(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    world.accept(&acme, "a.b");
    world.place().execute("UPDATE events SET deliveries = 2");
    let mut mended = false;
    let report = verify(world.store().as_ref(), FULL, &mut |progress| {
        // All of the walk is over, and what was found is about to be looked at again.
        if progress.walk == Some(Walk::Events) && progress.part >= 1.0 && !mended {
            world.place().execute("UPDATE events SET deliveries = 1");
            mended = true;
        }
    });
    assert!(mended && report.expect("readable").is_whole());
}

fn what_is_looked_at_is_told_of(world: &mut World) {
    live(world);
    let mut told = Vec::new();
    let report = verify(world.store().as_ref(), FULL, &mut |progress| {
        assert!((0.0..=1.0).contains(&progress.part), "{progress:?}");
        told.push(progress.walk);
    });
    told.dedup();
    let walks = Walk::ALL.into_iter().filter(|walk| *walk != Walk::Owners || is_shared(world));
    assert_eq!(told, walks.map(Some).chain([None]).collect::<Vec<_>>());
    let json = report.expect("readable").json();
    assert_eq!(json["whole"], true);
    assert_eq!(json["checks"].as_array().map(Vec::len), Some(if is_shared(world) { 16 } else { 13 }));
    assert!(world.store().waiting(&PartitionSet::ALL, None, 1, world.now).is_ok(), "nobody is in the way");
}
