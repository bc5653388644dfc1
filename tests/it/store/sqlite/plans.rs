//! How SQLite goes about the statements that run all the time: at twenty
//! million rows nothing may be read from end to end. The statements are not
//! copied here: they are caught as the store runs them, so that a changed one
//! is looked at again.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use posthaste::catalog::shipped;
use posthaste::domain::{
    Environment, FieldPointer, Kept, PartitionSet, ReplaySelection, Replayable, RetentionDays, StatusFilter, Trouble,
};
use posthaste::store::verifying::{Thoroughness, verify};
use posthaste::store::{
    AuditFilter, Begun, CountedTypes, DeliveryFilter, Dismissal, EventSearch, HarmFilter, Lane, NewReplay, PageRequest,
    PullRequest, Record, ReplaySlice, Resolution, RetentionPlace, Scope, Slice, StatisticsQuestion, Verdict,
    WantedEndpoints,
};
use serde_json::json;

use super::{SqlitePlace, listening};
use crate::store::announcing::{failing, telling};
use crate::store::audit::entry;
use crate::store::statistics;
use crate::store::verifying::live;
use crate::store::world::{DAY, HOUR, START, World, event_with, idempotency, new_endpoint, settings};

/// The statements of a call.
fn caught<T>(call: impl FnOnce() -> T) -> Vec<String> {
    let caught = listening::caught(call);
    assert!(!caught.is_empty(), "a call that runs nothing proves nothing");
    // `1=0` is how diesel says that a list is empty: nothing is read for it.
    let plain = |text: &String| text != "BEGIN" && !text.starts_with("COMMIT") && !text.contains("(1=0)");
    caught.into_iter().filter(plain).collect()
}

#[derive(QueryableByName)]
struct PlanRow {
    #[diesel(sql_type = Integer)]
    #[allow(dead_code, reason = "SQLite names it")]
    id: i32,
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The tables that grow with use.
const LARGE: [&str; 12] = [
    "events",
    "deliveries",
    "attempts",
    "manual_attempts",
    "idempotency_keys",
    "endpoints",
    "audit_log",
    "search_segments",
    "search_entries",
    "statistics",
    "replays",
    "replay_targets",
];

struct Planner {
    connection: SqliteConnection,
}

impl Planner {
    fn plan(&mut self, sql: &str) -> Vec<String> {
        let rows: Vec<PlanRow> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"))
            .load(&mut self.connection)
            .expect("it was run before");
        rows.into_iter().map(|row| row.detail).collect()
    }

    /// Asserts that a call reads no large table from end to end and sorts
    /// nothing, and gives back its plans.
    #[track_caller]
    fn check<T>(&mut self, what: &str, call: impl FnOnce() -> T) -> String {
        let plans = self.look(what, call);
        assert!(!plans.contains("USE TEMP B-TREE"), "{what} sorts:\n{plans}");
        plans
    }

    /// As [`check`](Self::check), for what may sort.
    #[track_caller]
    fn look<T>(&mut self, what: &str, call: impl FnOnce() -> T) -> String {
        let mut plans = String::new();
        for sql in caught(call) {
            let plan = self.plan(&sql);
            plans += &format!("{sql}\n    {}\n", plan.join("\n    "));
            let scans = !walks_from_an_end(&sql)
                && plan.iter().any(|step| {
                    let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
                    // An index of what is left to do is there to be read whole.
                    scanned.is_some_and(|table| LARGE.contains(&table)) && !step.contains("endpoints_to_drain")
                });
            assert!(!scans, "{what} reads a table from end to end:\n{plans}");
        }
        plans
    }
}

/// Whether a statement takes the first or the last rows of one table by its key, and leaves none of
/// them out: SQLite calls that a scan, but it ends where the limit says.
fn walks_from_an_end(sql: &str) -> bool {
    let Some((_, from)) = sql.split_once(" FROM `") else { return false };
    let Some((table, rest)) = from.split_once('`') else { return false };
    ["", " DESC"].iter().any(|direction| rest == format!(" ORDER BY `{table}`.`id`{direction} LIMIT ?"))
}

/// A store with a little of everything, whose connections are listened to.
fn world() -> (World, Planner, Scope) {
    listening::begin();
    let place = SqlitePlace::new();
    let file = place.file();
    let mut world = World::new(Box::new(place));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let connection = SqliteConnection::establish(file.to_str().expect("a UTF-8 name")).expect("it is there");
    (world, Planner { connection }, acme)
}

#[test]
fn what_the_engine_reads_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    let event = world.accept(&acme, "campaign.updated").id;
    let endpoint = world.deliveries_of(&acme, event)[0].endpoint;
    let store = world.store();
    for lane in [Lane::Fresh, Lane::Retry] {
        let plans = planner.check("due", || store.due(endpoint, lane, None, 10));
        assert!(plans.contains("deliveries USING INDEX deliveries_due (endpoint=? AND status=?"), "{plans}");
    }
    // What is for later may be very much, and is not looked at.
    let plans = planner.check("placed", || store.placed(endpoint, 10));
    assert!(plans.contains("deliveries USING INDEX deliveries_placed (endpoint=?"), "{plans}");
    let plans = planner.check("unplaced", || store.unplaced(endpoint, START, 10));
    assert!(plans.contains("deliveries USING INDEX deliveries_for_later (endpoint=?"), "{plans}");
    let manual = planner.look("due by hand", || store.due(endpoint, Lane::Manual, None, 10));
    assert!(manual.contains("manual_attempts_by_endpoint"), "{manual}");
    let plans = planner.check("backlog", || store.backlog(endpoint, 10));
    assert!(plans.contains("USING COVERING INDEX deliveries_due"), "{plans}");
    planner.check("payloads", || store.payloads(&[event]));
    planner.check("endpoint_runtime", || store.endpoint_runtime(endpoint, START));
    for scope in [&acme, &Scope::all(acme.environment)] {
        let plans = planner.check("subscriptions", || store.subscriptions(scope));
        assert!(plans.contains("endpoints USING COVERING INDEX endpoints_by_interest (scope=?"), "{plans}");
    }
    // The groups of a page are few; what matters is that it jumps.
    let plans = planner.look("waiting", || store.waiting(&PartitionSet::ALL, None, 10, START));
    assert!(!plans.contains("SCAN deliveries"), "{plans}");
    assert!(plans.contains("deliveries USING COVERING INDEX deliveries_due (endpoint>?"), "{plans}");
}

#[test]
fn what_partners_look_at_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    world.endpoint(&acme, "orders", &["order.*"]);
    let event = world.accept(&acme, "campaign.updated").id;
    let delivery = world.deliveries_of(&acme, event)[0].clone();
    let store = world.store();
    let plans = planner.check("events", || store.events(&acme, &PageRequest { after: Some(event), limit: 50 }));
    assert!(plans.contains("events USING INDEX events_by_scope (scope=? AND rowid>? AND rowid<?)"), "{plans}");
    planner.check("event", || store.event(&acme, event));
    let stored = store.event(&acme, event).expect("readable").expect("it is there");
    // An event's deliveries are few, and may be sorted.
    let plans =
        planner.look("event_outcomes", || store.event_outcomes(&acme, &stored, None, posthaste::store::OUTCOMES_MOST));
    assert!(plans.contains("deliveries USING INDEX deliveries_replayed (event=?"), "{plans}");
    for scope in [&acme, &Scope::all(acme.environment)] {
        let plans = planner.check("outcome_counts", || store.outcome_counts(scope, &[event]));
        assert!(plans.contains("deliveries USING INDEX deliveries_replayed (event=?"), "{plans}");
    }
    let plans = planner.check("last_answers", || store.last_answers(&[delivery.id]));
    assert!(plans.contains("SEARCH attempts USING"), "{plans}");
    planner.check("delivery", || store.delivery(&acme, delivery.id));
    planner.check("attempts", || store.attempts(delivery.id));
    planner.check("standings", || store.standings(&[delivery.endpoint]));
    planner.check("sent_settings", || store.sent_settings(delivery.endpoint, &[1]));
    let request = PullRequest { after: 0, limit: 50, bytes: 1_000_000, now: START };
    let plans = planner.check("pull", || store.pull(&acme, delivery.endpoint, &request));
    assert!(plans.contains("deliveries USING INDEX deliveries_by_number (endpoint=? AND number>?)"), "{plans}");
    planner.check("endpoint", || store.endpoint(&acme, delivery.endpoint));
    planner.check("endpoints", || store.endpoints(&acme, &PageRequest { after: None, limit: 50 }));

    let page = PageRequest { after: None, limit: 50 };
    let deliveries = |filter: &DeliveryFilter| drop(store.deliveries(&acme, filter, &page).expect("readable"));
    for endpoint in [None, Some(delivery.endpoint)] {
        for since in [None, Some(START)] {
            let any = DeliveryFilter { endpoint, since, ..DeliveryFilter::default() };
            let plans = planner.check("deliveries", || deliveries(&any));
            assert!(plans.contains("deliveries_by_endpoint"), "{plans}");
            let delivered = DeliveryFilter { status: Some(StatusFilter::Delivered), ..any.clone() };
            planner.check("delivered", || deliveries(&delivered));
            // Few among many: never a walk through all that was delivered.
            for status in [StatusFilter::Pending, StatusFilter::Retrying] {
                let unfinished = DeliveryFilter { status: Some(status), ..any.clone() };
                let plans = planner.look("unfinished", || deliveries(&unfinished));
                assert!(plans.contains("deliveries_due") && !plans.contains("deliveries_by_endpoint"), "{plans}");
            }
            for status in [StatusFilter::RetriesExhausted, StatusFilter::Discarded] {
                let given_up = DeliveryFilter { status: Some(status), ..any.clone() };
                let plans = planner.check("given up", || deliveries(&given_up));
                assert!(plans.contains("deliveries_given_up") && !plans.contains("deliveries_by_endpoint"), "{plans}");
            }
        }
        for status in [None, Some(StatusFilter::Pending), Some(StatusFilter::Discarded)] {
            let of_event = DeliveryFilter { endpoint, status, event: Some(event), ..DeliveryFilter::default() };
            let plans = planner.check("deliveries of an event", || deliveries(&of_event));
            assert!(plans.contains("(endpoint=? AND rowid>? AND rowid<?)"), "{plans}");
        }
    }
}

#[test]
fn what_the_journal_writes_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    let endpoint = world.subscriptions(&acme).matching(&"campaign.updated".parse().expect("a type"))[0];
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.idempotency = idempotency("k", 1);
    let plans = planner.check("accept", || world.accept_all(&[&request]));
    assert!(plans.contains("deliveries USING COVERING INDEX deliveries_by_number (endpoint=?"), "{plans}");
    planner.check("accept again", || world.accept_all(&[&request]));
    let delivery = world.due(endpoint, Lane::Fresh)[0].delivery;
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    planner.check("record", || world.record(&failed));
    planner.check("record again", || world.record(&failed));
    planner.check("request_attempt", || world.commit(|transaction| transaction.request_attempt(delivery)));
    let manual = world.manual_attempt(delivery, 1, Verdict::Delivered);
    planner.check("record by hand", || world.record(&manual));

    world.accept(&acme, "campaign.updated");
    world.enable(&acme, endpoint, false);
    world.advance(DAY);
    let horizon = world.now;
    planner.check("retire", || world.commit(|transaction| transaction.retire(horizon, None, 10)));
    planner.check("forget", || world.commit(|transaction| transaction.forget_idempotency_keys(10)));
    world.accept(&acme, "campaign.updated");
    world.delete(&acme, endpoint);
    planner.check("discard", || world.commit(|transaction| transaction.discard_deleted(10)));
    planner.check("nothing to discard", || world.commit(|transaction| transaction.discard_deleted(10)));
    let new = new_endpoint(&acme, settings("new", &["*"]));
    planner.check("create", || world.commit(|transaction| transaction.create_endpoint(&new)));
}

#[test]
fn what_is_told_of_trouble_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    let endpoint = world.deliver(&acme, "campaign.updated");
    let telling = |world: &World, before| telling(world, endpoint, before, &[failing(START)]);
    let record = telling(&world, 0);
    let plans = planner.check("record that tells", || world.record(&record));
    assert!(plans.contains("USING COVERING INDEX endpoints_listening (scope=?"), "{plans}");
    let looks = plans.lines().filter(|line| line.starts_with("SELECT") && line.contains("listens")).count();
    assert_eq!(looks, 1, "where nobody listens, one look says so:\n{plans}");
    assert!(!plans.contains("FROM `events`") && !plans.contains("FROM `attempts`"), "{plans}");
    world.endpoint(&acme, "watching", &["posthaste.*"]);
    let record = telling(&world, 1);
    // Who listens are few, and may be sorted.
    let plans = planner.look("record that is heard", || world.record(&record));
    assert!(plans.contains("endpoints USING COVERING INDEX endpoints_listening (scope=?"), "{plans}");
    assert!(plans.contains("INSERT INTO events"), "{plans}");
}

#[test]
fn what_is_accepted_in_chunks_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    world.endpoint(&acme, "another", &["*"]);
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.idempotency = idempotency("k", 1);
    let begin = |world: &mut World| match world.commit(|transaction| transaction.begin_large(&request)) {
        Begun::FanOut(fan_out) => fan_out,
        Begun::Answered(answer) => panic!("{answer:?}"),
    };
    planner.check("begin", || begin(&mut world));
    let plans = planner.check("undo", || world.commit(|transaction| transaction.undo_unsealed(10)));
    assert!(plans.contains("deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"), "{plans}");
    let mut fan_out = begin(&mut world);
    planner.check("chunk", || world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 10)));
    planner.check("seal", || world.commit(|transaction| transaction.seal(&request, &fan_out)));
    planner.check("has_unsealed", || world.commit(|transaction| transaction.has_unsealed()));
}

#[test]
fn replays_go_by_index() {
    let (mut world, mut planner, acme) = world();
    let endpoint = world.subscriptions(&acme).matching(&"campaign.updated".parse().expect("a type"))[0];
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
    let event = world.delivery(&acme, delivery).event;
    let everyone = Scope::all(acme.environment);
    let mut last = None;
    for (statuses, missing, index) in [
        (vec![Replayable::RetriesExhausted], false, "deliveries_exhausted (endpoint=? AND rowid>? AND rowid<?)"),
        (vec![Replayable::Discarded], false, "deliveries_given_up (endpoint=? AND rowid>? AND rowid<?)"),
        (vec![Replayable::Delivered], false, "deliveries_by_endpoint (endpoint=? AND rowid>? AND rowid<?)"),
        (Vec::new(), true, "events_by_scope (scope=? AND rowid>? AND rowid<?)"),
    ] {
        let new = NewReplay {
            scope: acme.clone(),
            wanted: WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 },
            selection: ReplaySelection { statuses, missing, ..ReplaySelection::default() },
            per_second: None,
            actor: "partner".into(),
            key: None,
            most_running: 10,
            request: None,
        };
        let create = |world: &mut World| world.commit(|transaction| transaction.create_replay(&new));
        let mut begun = None;
        planner.check("create_replay", || begun = Some(create(&mut world)));
        let replay = begun.expect("it was called").expect("the endpoint is there").replay.id;
        let slice = ReplaySlice { replay, endpoint, room: 10 };
        let plans = planner.check("carry on", || world.commit(|transaction| transaction.carry_on_replay(&slice)));
        assert!(plans.contains(index), "{plans}");
        assert!(plans.contains("deliveries_replayed_to (endpoint=? AND event>? AND event<?)"), "{plans}");
        last = Some(replay);
    }
    let store = world.store();
    let replay = last.expect("there were some");
    planner.check("running", || store.running_replays(None, &HashMap::new(), (10, 10), world.now));
    planner.check("progress", || store.replay(&acme, replay));
    planner.check("replays", || store.replays(&everyone, &PageRequest { after: None, limit: 50 }));
    let plans = planner.check("exhausted", || store.exhausted(&acme, &PageRequest { after: None, limit: 50 }));
    assert!(plans.contains("deliveries_exhausted (endpoint=?)"), "{plans}");
    planner.check("exhausted over all", || store.exhausted(&everyone, &PageRequest { after: None, limit: 50 }));
    let of_replay = DeliveryFilter { replay: Some(replay), ..DeliveryFilter::default() };
    let plans =
        planner.check("of a replay", || store.deliveries(&acme, &of_replay, &PageRequest { after: None, limit: 50 }));
    assert!(plans.contains("deliveries_in_replay (replay=? AND rowid>? AND rowid<?)"), "{plans}");
    for status in [StatusFilter::Delivered, StatusFilter::RetriesExhausted, StatusFilter::Pending] {
        let of_status = DeliveryFilter { status: Some(status), ..of_replay.clone() };
        let plans = planner.check("of a replay by state", || {
            store.deliveries(&acme, &of_status, &PageRequest { after: None, limit: 50 })
        });
        assert!(plans.contains("deliveries_of_replay (replay=? AND endpoint=? AND status=? AND rowid"), "{plans}");
    }
    let stored = store.event(&acme, event).expect("readable").expect("it is there");
    let plans =
        planner.look("event_outcomes", || store.event_outcomes(&acme, &stored, None, posthaste::store::OUTCOMES_MOST));
    assert!(plans.contains("deliveries_replayed (event=?"), "{plans}");
    let all = Dismissal { reason: None, until: world.now + HOUR };
    planner.check("dismiss many", || {
        world.commit(|transaction| transaction.dismiss_exhausted(&acme, endpoint, &all, None, 10))
    });
    planner.check("dismiss", || world.commit(|transaction| transaction.dismiss_delivery(&acme, delivery)));
    planner.check("bring forward", || world.commit(|transaction| transaction.bring_forward(&acme, endpoint, None, 10)));
    world.advance(DAY);
    let horizon = world.now;
    planner.check("retire replays", || world.commit(|transaction| transaction.retire_replays(horizon, 10)));
}

#[test]
fn what_suffers_is_found_by_index() {
    let (mut world, mut planner, acme) = world();
    let event = world.accept(&acme, "campaign.updated").id;
    let delivery = &world.deliveries_of(&acme, event)[0];
    let (endpoint, delivery) = (delivery.endpoint, delivery.id);
    let trouble = Some(Trouble { failing_since: Some(START), ..Trouble::default() });
    world.record(&Record { trouble, ..world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)) });
    let everyone = Scope::all(acme.environment);
    let store = world.store();
    let page = PageRequest { after: None, limit: 50 };
    for filter in [
        HarmFilter::default(),
        HarmFilter { event_type: Some("campaign.updated".parse().expect("a type")), ..HarmFilter::default() },
    ] {
        let plans = planner.look("harmed", || store.harmed(&everyone, &filter, &page));
        for index in ["endpoint_health_open", "endpoint_health_disabled", "endpoint_health_failing"] {
            assert!(plans.contains(index), "{index}:\n{plans}");
        }
        assert!(plans.contains("endpoints USING INTEGER PRIMARY KEY (rowid<?)"), "{plans}");
        let plans = planner.look("harmed of a partner", || store.harmed(&acme, &filter, &page));
        assert!(plans.contains("endpoints_by_scope (scope=? AND rowid<?)"), "{plans}");
    }
    let plans = planner.check("backlogs", || store.backlogs(&[endpoint], 10));
    assert!(plans.contains("waiting USING COVERING INDEX deliveries_due (endpoint=?)"), "{plans}");
    let plans = planner.check("attempts", || store.attempts_to(endpoint, 10));
    assert!(plans.contains("deliveries USING INDEX deliveries_by_endpoint (endpoint=? AND rowid<?)"), "{plans}");
    assert!(plans.contains("attempts USING PRIMARY KEY (delivery=?)"), "{plans}");
    let names = [acme.partner.clone().expect("a partner")];
    let plans = planner.check("partners", || store.partner_standings(acme.environment, &names, 10));
    for index in ["deliveries_due (endpoint=?)", "deliveries_exhausted (endpoint=?)", "events_by_scope (scope=?)"] {
        assert!(plans.contains(index), "{index}:\n{plans}");
    }
    let page = PageRequest { after: None, limit: 50 };
    let plans = planner.look("replays of an endpoint", || store.replays_to(&acme, endpoint, &page));
    assert!(plans.contains("replay_targets_by_endpoint (endpoint=? AND replay<?)"), "{plans}");
}

#[test]
fn what_goes_early_is_found_by_index() {
    let (mut world, mut planner, acme) = world();
    let all = Kept::ALL.into_iter().fold(RetentionDays::default(), |days, kept| days.with(kept, Some(1)));
    world.commit(|transaction| transaction.set_retention(&acme, all));
    let exhausted = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(exhausted, 0, Verdict::Exhausted));
    let endpoint = world.delivery(&acme, exhausted).endpoint;
    world.accept(&acme, "campaign.updated");
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.events[0].is_unretained = true;
    world.accept_all(&[&request]);
    let unretained = world.due(endpoint, Lane::Fresh)[1].delivery;
    world.record(&world.attempt(unretained, 0, Verdict::Delivered));
    let slice = Slice { rows: 100, bytes: 1 << 20 };
    let plans =
        planner.check("erase_unretained", || world.commit(|transaction| transaction.erase_unretained(None, slice)));
    assert!(plans.contains("e USING INDEX events_unretained (id>?)") || plans.contains("events_unretained"), "{plans}");
    assert!(plans.contains("UPDATE attempts") && plans.contains("UPDATE `events`"), "it did something:\n{plans}");
    world.pause(&acme, endpoint);
    world.advance(2 * DAY);
    let enforce = |world: &mut World| world.commit(|transaction| transaction.enforce_retention(30, None, slice));
    let plans = planner.check("enforce_retention", || enforce(&mut world));
    assert!(plans.contains("e USING INDEX events_by_scope (scope=? AND rowid>? AND rowid<?)"), "{plans}");
    for written in ["UPDATE `events`", "UPDATE deliveries", "DELETE FROM attempts", "UPDATE `deliveries`"] {
        assert!(plans.contains(written), "{written}:\n{plans}");
    }
    let left = |world: &mut World, place| world.commit(|transaction| transaction.enforce_retention(30, place, slice));
    let place = Some(RetentionPlace::Left { scope: 0, event: 0 });
    let next = left(&mut world, place).next;
    planner.check("what was left", || left(&mut world, next));
    planner.check("usage", || world.store().usage());
    let name = acme.partner.clone().expect("a partner");
    planner.check("begin_erasing", || world.commit(|transaction| transaction.begin_erasing(&name)));
    let plans = planner.check("erase_partners", || world.commit(|transaction| transaction.erase_partners(slice)));
    assert!(plans.contains("DELETE FROM events") && plans.contains("DELETE FROM idempotency_keys"), "{plans}");
    let plans = planner.check("nothing to erase", || world.commit(|transaction| transaction.erase_partners(slice)));
    assert!(plans.contains("partners_erasing"), "{plans}");
}

/// Over all partners a list is read newest first and never sorted. How far it
/// reads is another matter: as far as the next item that passes the filter.
#[test]
fn what_operators_look_at_is_in_the_order_of_its_table() {
    let (mut world, mut planner, acme) = world();
    world.accept(&acme, "campaign.updated");
    let everyone = Scope::all(Environment::Production);
    let store = world.store();
    planner.check("keys", || store.keys(&PageRequest { after: None, limit: 50 }));
    let partner = posthaste::domain::PartnerName::default_partner();
    planner.check("portal links", || store.portal_links(&partner, &PageRequest { after: None, limit: 50 }));
    planner.check("partners", || store.partners(&PageRequest { after: None, limit: 50 }));
    planner.check("events", || store.events(&everyone, &PageRequest { after: None, limit: 50 }));
    let page = PageRequest { after: None, limit: 50 };
    planner.check("deliveries", || store.deliveries(&everyone, &DeliveryFilter::default(), &page));
}

#[test]
fn what_is_searched_for_goes_by_index() {
    let (mut world, mut planner, acme) = world();
    let types = shipped();
    world.commit(|transaction| transaction.put_event_types(acme.environment, &types));
    let everyone = Scope::all(acme.environment);
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.events = vec![event_with("campaign.updated", &json!({ "id": "cmp_1" }))];
    request.idempotency = idempotency("k", 1);
    world.accept_all(&[&request]);
    let draft = planner.check("begin", || world.store().begin_segment()).contains("search_segments");
    assert!(draft, "it asks where the index ends");
    let plans = planner.check("index", || world.index(10));
    assert!(plans.contains("events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"), "{plans}");
    world.accept(&acme, "campaign.created");
    let store = world.store();
    let page = PageRequest { after: None, limit: 50 };
    let any = EventSearch::default;
    let pointer: FieldPointer = "/id".parse().expect("a pointer");
    for scope in [&acme, &everyone] {
        for search in [
            any(),
            EventSearch { since: Some(START), ..any() },
            EventSearch { types: Some("campaign.*".parse().expect("a pattern")), ..any() },
            EventSearch { field: Some((pointer.clone(), "cmp_1".into())), ..any() },
            EventSearch { idempotency_key: Some("k".into()), until: Some(START + HOUR), ..any() },
        ] {
            let plans = planner.check("events", || store.found_events(scope, &search, &page));
            if search.field.is_some() {
                assert!(plans.contains("search_entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"), "{plans}");
            }
            if scope.partner.is_some() {
                assert!(plans.contains("events_by_scope (scope=? AND rowid>? AND rowid<?)"), "{plans}");
            }
        }
        let of_type = DeliveryFilter { types: Some("campaign.*".parse().expect("a pattern")), ..Default::default() };
        let plans = planner.check("deliveries of a type", || {
            store.deliveries(scope, &of_type, &PageRequest { after: None, limit: 50 })
        });
        assert!(plans.contains("deliveries_by_replays"), "{plans}");
    }
    for status in [StatusFilter::RetriesExhausted, StatusFilter::Discarded] {
        let given_up = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let plans = planner
            .check("given up", || store.deliveries(&everyone, &given_up, &PageRequest { after: None, limit: 50 }));
        assert!(plans.contains("deliveries_given_up_by_status (status=? AND rowid>? AND rowid<?)"), "{plans}");
    }
    let held = DeliveryFilter { status: Some(StatusFilter::Held), ..DeliveryFilter::default() };
    let plans = planner.look("held", || store.deliveries(&everyone, &held, &PageRequest { after: None, limit: 50 }));
    assert!(plans.contains("deliveries USING COVERING INDEX deliveries_due (endpoint>?"), "{plans}");
    for (scope, index) in [(&acme, "endpoints_by_url"), (&everyone, "endpoints_at_url")] {
        let first = PageRequest { after: None, limit: 50 };
        let plans = planner.look("at a URL", || store.endpoints_at(scope, "https://example.com/all", &first));
        assert!(plans.contains(index), "{plans}");
    }
    planner.check("drop", || world.commit(|transaction| transaction.drop_segments(None, 10)));
}

#[test]
fn the_audit_log_is_read_and_written_by_index() {
    let (mut world, mut planner, acme) = world();
    let write = |world: &mut World| {
        world.commit(|transaction| {
            (0..3).for_each(|_| transaction.audit(&entry("one")));
            Ok(())
        });
    };
    let plans = planner.check("write", || write(&mut world));
    assert_eq!(plans.matches("INSERT INTO").count(), 1, "all in one statement:\n{plans}");
    let store = world.store();
    let page = PageRequest { after: None, limit: 50 };
    let nothing = AuditFilter::default;
    planner.check("everything", || store.audit(&nothing(), &page));
    let own = AuditFilter { partner: acme.partner.clone(), environment: Some(acme.environment), ..nothing() };
    let plans = planner.check("a partner's own", || store.audit(&own, &page));
    assert!(plans.contains("audit_log_of_partner (partner=? AND environment=?"), "{plans}");
    let of_subject = AuditFilter { subject: Some("one".into()), ..own };
    planner.check("about something", || store.audit(&of_subject, &page));
    let of_subject = AuditFilter { subject: Some("one".into()), ..nothing() };
    let plans = planner.check("about something, of all", || store.audit(&of_subject, &page));
    assert!(plans.contains("audit_log_of_subject (subject=?"), "{plans}");
    planner.check("chain", || store.audit_chain(i64::MIN, 10));
    planner.check("end", || store.audit_end());
}

#[test]
fn what_is_verified_is_walked_over_by_key() {
    listening::begin();
    let place = SqlitePlace::new();
    let file = place.file();
    let mut world = World::new(Box::new(place));
    live(&mut world);
    let connection = SqliteConnection::establish(file.to_str().expect("a UTF-8 name")).expect("it is there");
    let mut planner = Planner { connection };
    let store = world.store();
    let full = Thoroughness { since: None, is_full: true };
    let plans = planner.check("verify", || verify(store.as_ref(), full, &mut |_| ()));
    assert!(plans.contains("deliveries_by_number (endpoint=? AND number=?)"), "{plans}");
    assert!(plans.contains("deliveries_in_order (endpoint=? AND order_key=? AND status=?"), "{plans}");
}

#[test]
fn statistics_go_by_index() {
    let (mut world, mut planner, acme) = world();
    let endpoint = world.endpoint(&acme, "counted", &["*"]).id;
    let about = statistics::about(&world, &acme, Some(endpoint));
    let order = statistics::order();
    for resolution in [Resolution::Minute, Resolution::Hour] {
        for types in
            [CountedTypes::Sum, CountedTypes::Only(order.clone()), CountedTypes::Each { after: None, limit: 10 }]
        {
            let question = StatisticsQuestion { resolution, since: START, until: START + DAY, types };
            let store = world.store();
            let plans = planner.check("statistics", || store.statistics(&acme, Some(endpoint), &question));
            let range =
                "statistics USING PRIMARY KEY (resolution=? AND scope=? AND endpoint=? AND bucket>? AND bucket<?)";
            assert!(plans.contains(range), "{plans}");
        }
    }
    let plans = planner.check("note_statistics", || {
        let counted = [statistics::events(about, START, &order, 1)];
        world.commit(|transaction| transaction.note_statistics(statistics::ONE, &counted));
        world.commit(|transaction| transaction.roll_up_statistics(START + DAY, statistics::ONE, 10));
        world.commit(|transaction| transaction.forget_statistics(START + DAY, 10));
    });
    assert!(plans.contains("statistics_by_age (resolution=? AND bucket<?)"), "{plans}");
}
