//! How PostgreSQL goes about what is searched for: by index, day for day.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use posthaste::store::SEGMENT_EVENTS;

use super::PostgresPlace;
use crate::store::world::World;

#[derive(QueryableByName)]
struct PlanRow {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = "QUERY PLAN")]
    step: String,
}

/// The plan of a statement that is planned once for all values.
fn plan(place: &PostgresPlace, statement: &str, values: &str) -> String {
    let mut connection = PgConnection::establish(&place.database().url()).expect("the database is ours");
    let prepare = format!(
        "SET enable_seqscan = off; SET jit = off; SET plan_cache_mode = force_generic_plan; PREPARE looked AS {statement}"
    );
    connection.batch_execute(&prepare).expect("it is one of ours");
    let explain = diesel::sql_query(format!("EXPLAIN EXECUTE looked ({values})"));
    let rows: Vec<PlanRow> = explain.load(&mut connection).expect("it was prepared");
    rows.into_iter().map(|row| row.step + "\n").collect()
}

#[test]
fn what_is_given_up_and_what_was_replayed_is_found_by_index() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    world.endpoint(&acme, "hook", &["*"]);
    world.accept(&acme, "campaign.created");
    let given_up = plan(
        &place,
        "SELECT id, endpoint FROM finished
         WHERE status >= 3 AND status = $1::bigint AND id > $2::bigint AND id < $3::bigint ORDER BY id DESC LIMIT $4::bigint",
        "3, 0, 9223372036854775807, 51",
    );
    assert!(given_up.contains("status_id_idx") && !given_up.contains("Sort"), "{given_up}");
    let given_up_of_one = plan(
        &place,
        "SELECT id, status::bigint, scheduled_attempts::bigint FROM finished
         WHERE status >= 3 AND endpoint = $1::bigint AND id > $2::bigint AND id < $3::bigint ORDER BY id DESC LIMIT $4::bigint",
        "7, 0, 9223372036854775807, 51",
    );
    // By the index that has no others: nothing is looked at in vain.
    assert!(given_up_of_one.contains("endpoint_id_idx1") && !given_up_of_one.contains("Filter"), "{given_up_of_one}");
    let replayed = plan(
        &place,
        "SELECT id FROM deliveries
         WHERE replay IS NOT NULL AND id > $1::bigint AND id < $2::bigint ORDER BY id DESC LIMIT $3::bigint",
        "0, 9223372036854775807, 51",
    );
    // What is pending and each day's finished ones are merged as they come out of their indexes, which
    // hold nothing but what replays made: nothing is sorted, and no row is looked at in vain.
    assert!(replayed.contains("Merge Append") && replayed.contains("pending_by_replays"), "{replayed}");
    for step in ["Seq Scan", "Sort  (", "Filter:"] {
        assert!(!replayed.contains(step), "{replayed}");
    }
    let entries = plan(
        &place,
        "SELECT id, entries FROM search_entries WHERE id BETWEEN $1::bigint AND $2::bigint",
        "0, 9223372036854775807",
    );
    assert!(entries.contains("search_entries_pkey"), "{entries}");
}

/// What a node has accepted within the last minute may still be followed by something
/// with a smaller key, from another one.
#[test]
fn what_may_be_overtaken_is_not_indexed() {
    let mut world = World::new(Box::new(PostgresPlace::new()));
    let acme = world.partner("acme");
    world.accept(&acme, "campaign.created");
    let events_at = |world: &World, seconds: u64| {
        let store = world.store();
        let draft = store.begin_segment().expect("readable");
        let now = world.now + std::time::Duration::from_secs(seconds);
        store.extend_segment(draft, now, SEGMENT_EVENTS).expect("readable").events()
    };
    assert_eq!((events_at(&world, 60), events_at(&world, 61)), (0, 1));
}
