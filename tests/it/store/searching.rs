//! Finding events: by the index as far as it has come, by looking behind that, and what
//! is answered is the same.

use std::time::Duration;

use posthaste::catalog::{TypeDefinition, shipped};
use posthaste::domain::{
    DeliveryStatus, EndpointSettings, Environment, Event, EventId, StatusFilter, Timestamp, TypePattern,
};
use posthaste::policy::matching;
use posthaste::store::{
    Accept, AcceptedEvent, Begun, DeliveryFilter, EventSearch, PageRequest, SEGMENT_EVENTS, Scope, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::world::{
    DAY, HOUR, SECOND, START, World, event, event_with, events_of, idempotency, in_sandbox, new_endpoint, url,
};

for_every_backend! {
    the_index_leads_to_what_a_look_would_find
    values_are_found_by_their_text_where_their_type_is_indexed
    what_was_accepted_before_a_field_was_indexed_is_looked_through
    an_idempotency_key_finds_its_events_when_it_holds_no_longer
    what_is_not_sealed_is_not_indexed_and_neither_is_what_is_behind_it
    a_segment_that_somebody_else_has_written_is_not_written_again
    segments_go_with_the_last_of_their_events
    what_is_not_indexed_yet_does_not_hide_what_is
    payloads_are_read_up_to_so_many_bytes
    a_look_without_an_index_ends_and_goes_on
    what_is_given_up_is_found_over_all_partners
    deliveries_that_replays_made_are_found_by_their_type
    an_endpoint_is_found_by_its_url
    a_store_from_before_is_indexed_as_its_types_are_shipped
}

/// Types of which all but one are indexed, and one by another field as well.
fn types() -> Vec<TypeDefinition> {
    let of = |name: &str, indexed: &[&str]| TypeDefinition {
        name: name.parse().expect("a case's own type"),
        description: String::new(),
        schema: json!({}),
        example: json!({ "event": name }),
        retry: None,
        indexed: indexed.iter().map(|text| text.parse().expect("a pointer")).collect(),
    };
    vec![
        of("campaign.created", &["/id"]),
        of("campaign.updated", &["/id", "/a/b"]),
        of("campaign.budget.changed", &["/id"]),
        of("order.paid", &[]),
    ]
}

fn put_types(world: &mut World) {
    for environment in Environment::ALL {
        world.commit(|transaction| transaction.put_event_types(environment, &types()));
    }
}

fn by_type(pattern: &str) -> EventSearch {
    EventSearch { types: Some(pattern.parse().expect("a case's own pattern")), ..EventSearch::default() }
}

fn by_field(pointer: &str, value: &str) -> EventSearch {
    let pointer = pointer.parse().expect("a case's own pointer");
    EventSearch { field: Some((pointer, value.to_owned())), ..EventSearch::default() }
}

fn by_key(key: &str) -> EventSearch {
    EventSearch { idempotency_key: Some(key.to_owned()), ..EventSearch::default() }
}

#[track_caller]
fn post(world: &mut World, scope: &Scope, event_type: &str, fields: &Value, key: Option<&str>) -> AcceptedEvent {
    let request = Accept {
        events: vec![event_with(event_type, fields)],
        idempotency: key.and_then(|key| idempotency(key, 1)),
        ..world.request(scope, &[])
    };
    events_of(world.accept_all(&[&request]).remove(0)).remove(0)
}

/// Indexes all there is, in segments of so many.
fn index_all(world: &mut World, events: usize) {
    while world.index(events) > 0 {}
}

#[derive(Debug, Clone)]
struct Posted {
    scope: usize,
    event_type: usize,
    id: usize,
    is_number: bool,
    key: Option<usize>,
    wait_ms: u64,
    /// Makes a segment of so many afterwards.
    index: Option<usize>,
}

#[derive(Debug, Clone)]
struct Question {
    scope: usize,
    types: Option<usize>,
    id: Option<usize>,
    key: Option<usize>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    limit: usize,
}

const TYPES: [&str; 4] = ["campaign.created", "campaign.updated", "campaign.budget.changed", "order.paid"];
const PATTERNS: [&str; 6] = ["*", "campaign.*", "campaign.budget.*", "campaign.updated", "order.*", "nothing"];

fn posted() -> impl Strategy<Value = Posted> {
    let index = prop::option::weighted(0.15, 1..20usize);
    let key = prop::option::weighted(0.3, 0..3usize);
    (0..5usize, 0..4usize, 0..4usize, any::<bool>(), key, 0..3u64, index).prop_map(
        |(scope, event_type, id, is_number, key, wait_ms, index)| Posted {
            scope,
            event_type,
            id,
            is_number,
            key,
            wait_ms,
            index,
        },
    )
}

fn question() -> impl Strategy<Value = Question> {
    let types = prop::option::of(0..PATTERNS.len());
    let time = || prop::option::weighted(0.3, 0..100u64);
    let (id, key) = (prop::option::weighted(0.4, 0..5usize), prop::option::weighted(0.2, 0..4usize));
    (0..6usize, types, id, key, time(), time(), 1..8usize).prop_map(
        |(scope, types, id, key, since_ms, until_ms, limit)| Question {
            scope,
            types,
            id,
            key,
            since_ms,
            until_ms,
            limit,
        },
    )
}

/// Whether somebody who asks for one scope sees what is of another.
fn sees(asking: &Scope, of: &Scope) -> bool {
    let is_seen = asking.partner.is_none() || of.partner.is_none() || asking.partner == of.partner;
    asking.environment == of.environment && is_seen
}

fn the_index_leads_to_what_a_look_would_find(world: &mut World) {
    let mut runner =
        TestRunner::new(Config { cases: world.histories(12), failure_persistence: None, ..Config::default() });
    let history = (prop::collection::vec(posted(), 20..80), prop::collection::vec(question(), 40));
    let played = runner.run(&history, |(history, questions)| {
        let mut world = world.beside();
        put_types(&mut world);
        let (acme, other) = (world.partner("acme"), world.partner("other"));
        let all = Scope::all(Environment::Production);
        let posting = [acme.clone(), in_sandbox(&acme), other.clone(), all.clone(), in_sandbox(&all)];
        let asking =
            [acme.clone(), in_sandbox(&acme), other.clone(), in_sandbox(&other), all.clone(), in_sandbox(&all)];
        let mut events: Vec<(EventId, Posted, Timestamp)> = Vec::new();
        for (number, step) in history.into_iter().enumerate() {
            world.advance(Duration::from_millis(step.wait_ms));
            let id = if step.is_number { json!(step.id) } else { json!(step.id.to_string()) };
            // A key is used once: what it is used for again is no new event.
            let key = step.key.map(|key| format!("{key}-{number}"));
            let event =
                post(&mut world, &posting[step.scope], TYPES[step.event_type], &json!({ "id": id }), key.as_deref());
            if let Some(events) = step.index {
                world.index(events);
            }
            events.push((event.id, step, world.now));
        }
        for question in questions {
            let time = |ms: Option<u64>| ms.map(|ms| START + Duration::from_millis(ms));
            let key = question.key.and_then(|key| {
                let place = events.iter().position(|(_, posted, _)| posted.key == Some(key))?;
                Some(format!("{key}-{place}"))
            });
            let search = EventSearch {
                types: question.types.map(|number| PATTERNS[number].parse().expect("a pattern")),
                since: time(question.since_ms),
                until: time(question.until_ms),
                idempotency_key: key.clone(),
                field: question.id.and_then(|id| by_field("/id", &id.to_string()).field),
            };
            let scope = &asking[question.scope];
            let fits = |(place, (_, posted, at)): &(usize, &(EventId, Posted, Timestamp))| {
                let name = TYPES[posted.event_type].parse().expect("a type");
                sees(scope, &posting[posted.scope])
                    && search.types.as_ref().is_none_or(|types: &TypePattern| matching::covers(types, &name))
                    && search.since.is_none_or(|since| *at >= since)
                    && search.until.is_none_or(|until| *at < until)
                    && question.id.is_none_or(|id| posted.id == id && posted.event_type != 3)
                    && key
                        .as_ref()
                        .is_none_or(|key| posted.key.is_some_and(|number| *key == format!("{number}-{place}")))
            };
            let expected: Vec<EventId> =
                events.iter().enumerate().filter(fits).map(|(_, (id, ..))| *id).rev().collect();
            prop_assert_eq!(world.found(scope, &search, question.limit), expected, "{:?}", question);
        }
        Ok(())
    });
    played.expect("the index leads to all of it");
}

fn values_are_found_by_their_text_where_their_type_is_indexed(world: &mut World) {
    put_types(world);
    let acme = world.partner("acme");
    let mut post = |event_type: &str, fields: Value| post(world, &acme, event_type, &fields, None).id;
    let text = post("campaign.updated", json!({"id": "7", "a": {"b": "x:y"}}));
    let number = post("campaign.created", json!({"id": 7, "a": {"b": "x:y"}}));
    let yes = post("campaign.created", json!({"id": true}));
    post("campaign.created", json!({"id": 7.5}));
    post("campaign.created", json!({"id": [7]}));
    post("campaign.created", json!({}));
    post("order.paid", json!({"id": 7}));
    for is_indexed in [false, true] {
        if is_indexed {
            index_all(world, 3);
        }
        let found = |search: &EventSearch| world.found(&acme, search, 2);
        assert_eq!(found(&by_field("/id", "7")), [number, text]);
        assert_eq!(found(&by_field("/id", "true")), [yes]);
        assert_eq!(found(&by_field("/id", "7.5")), []);
        assert_eq!(found(&by_field("/id", "")), []);
        assert_eq!(found(&by_field("/a/b", "x:y")), [text], "the other type is not indexed by it");
        assert_eq!(found(&by_field("/nowhere", "x")), []);
    }
    let shown: Vec<TypeDefinition> = world.store().event_types(Environment::Production).expect("readable");
    let indexed =
        |name: &str| shown.iter().find(|shown| shown.name.as_str() == name).expect("it is there").indexed.len();
    assert_eq!((indexed("campaign.updated"), indexed("order.paid")), (2, 0));
}

fn what_was_accepted_before_a_field_was_indexed_is_looked_through(world: &mut World) {
    let acme = world.partner("acme");
    let mut wanted = Vec::new();
    for number in 0..6 {
        wanted.push(post(world, &acme, "campaign.updated", &json!({"id": number % 2}), None).id);
    }
    index_all(world, 2);
    let one = by_field("/id", "1");
    assert_eq!(world.found(&acme, &one, 10), [], "no type is indexed by it");
    put_types(world);
    for number in 0..6 {
        wanted.push(post(world, &acme, "campaign.created", &json!({"id": number % 2}), None).id);
    }
    let ones: Vec<EventId> = wanted.iter().skip(1).step_by(2).rev().copied().collect();
    assert_eq!(world.found(&acme, &one, 2), ones);
    index_all(world, 4);
    assert_eq!(world.found(&acme, &one, 2), ones, "some of it is indexed by the field, and some is not");
    // Where the catalog gives it up again, nothing is found by it, whatever was indexed.
    world.commit(|transaction| {
        transaction.delete_event_type(Environment::Production, &"campaign.updated".parse().expect("a type"))
    });
    assert_eq!(world.found(&acme, &one, 2), ones[..3]);
    // A segment that was begun by another catalog is begun anew.
    post(world, &acme, "campaign.created", &json!({"id": 1}), None);
    let draft = world.store().begin_segment().expect("readable");
    let draft = world.store().extend_segment(draft, world.now + HOUR, 1).expect("readable");
    put_types(world);
    let last = post(world, &acme, "campaign.updated", &json!({"id": 1}), None);
    let draft = world.store().extend_segment(draft, world.now + HOUR, 10).expect("readable");
    assert_eq!(draft.events(), 2);
    let segment = draft.packed().expect("there are two");
    assert!(world.commit(|transaction| transaction.add_segment(&segment)));
    assert_eq!(world.found(&acme, &one, 1)[0], last.id);
}

fn an_idempotency_key_finds_its_events_when_it_holds_no_longer(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let request = Accept {
        events: vec![event("campaign.created"), event("campaign.updated")],
        idempotency: idempotency("order-1", 1),
        ..world.request(&acme, &[])
    };
    let batch: Vec<EventId> = events_of(world.accept_all(&[&request]).remove(0)).iter().map(|event| event.id).collect();
    let theirs = post(world, &other, "campaign.created", &json!({}), Some("order-1")).id;
    world.accept(&acme, "campaign.created");
    world.endpoint(&acme, "hook", &["*"]);
    let large = Accept { idempotency: idempotency("large", 1), ..world.request(&acme, &["campaign.created"]) };
    let Begun::FanOut(mut fan_out) = world.commit(|transaction| transaction.begin_large(&large)) else {
        panic!("the key is new")
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 10));
    let large = events_of(world.commit(|transaction| transaction.seal(&large, &fan_out))).remove(0).id;
    world.advance(DAY + SECOND);
    world.commit(|transaction| transaction.forget_idempotency_keys(10));
    for is_indexed in [false, true] {
        if is_indexed {
            index_all(world, 2);
        }
        assert_eq!(world.found(&acme, &by_key("order-1"), 10), [batch[1], batch[0]]);
        assert_eq!(world.found(&other, &by_key("order-1"), 10), [theirs]);
        let all = Scope::all(Environment::Production);
        assert_eq!(world.found(&all, &by_key("order-1"), 1), [theirs, batch[1], batch[0]]);
        assert_eq!(world.found(&in_sandbox(&all), &by_key("order-1"), 1), []);
        assert_eq!(world.found(&acme, &by_key("large"), 10), [large]);
        assert_eq!(world.found(&acme, &by_key("order"), 10), []);
        let both = EventSearch { types: by_type("campaign.updated").types, ..by_key("order-1") };
        assert_eq!(world.found(&acme, &both, 10), [batch[1]]);
    }
    let shown: Event = world.store().event(&acme, batch[0]).expect("readable").expect("it is there");
    assert_eq!(shown.idempotency_key.as_deref(), Some("order-1"));
}

fn what_is_not_sealed_is_not_indexed_and_neither_is_what_is_behind_it(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "hook", &["*"]);
    let before = world.accept(&acme, "campaign.created").id;
    let large = world.request(&acme, &["campaign.created"]);
    let Begun::FanOut(mut fan_out) = world.commit(|transaction| transaction.begin_large(&large)) else {
        panic!("it has no key")
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 10));
    let behind = world.accept(&acme, "campaign.created").id;
    assert_eq!(world.index(10), 1, "the one before it");
    assert_eq!(world.index(10), 0);
    let late = events_of(world.commit(|transaction| transaction.seal(&large, &fan_out))).remove(0).id;
    assert_eq!(world.found(&acme, &by_type("campaign.created"), 10), [behind, late, before]);
    assert_eq!(world.index(10), 2);
    assert_eq!(world.found(&acme, &by_type("campaign.created"), 10), [behind, late, before]);
    let end = world.store().index_end().expect("readable").expect("there are segments");
    assert_eq!((end.event, end.segments), (behind, 2));
}

fn a_segment_that_somebody_else_has_written_is_not_written_again(world: &mut World) {
    let acme = world.partner("acme");
    assert_eq!(world.store().index_end().expect("readable"), None);
    for _ in 0..4 {
        world.accept(&acme, "campaign.created");
    }
    let draft = world.store().begin_segment().expect("readable");
    let draft = world.store().extend_segment(draft, world.now + HOUR, 3).expect("readable");
    let late = draft.clone().packed().expect("there are three");
    assert_eq!(world.index(2), 2);
    assert!(!world.commit(|transaction| transaction.add_segment(&late)));
    assert_eq!(world.index(2), 2);
    assert!(!world.commit(|transaction| transaction.add_segment(&late)));
    assert_eq!(world.found(&acme, &by_type("campaign.created"), 1).len(), 4);
    let nothing = world.store().begin_segment().expect("readable");
    assert!(world.store().extend_segment(nothing, world.now + HOUR, 3).expect("readable").packed().is_none());
}

fn segments_go_with_the_last_of_their_events(world: &mut World) {
    let acme = world.partner("acme");
    for _ in 0..4 {
        world.accept(&acme, "campaign.created");
        world.advance(SECOND);
    }
    index_all(world, 2);
    world.accept(&acme, "campaign.created");
    index_all(world, 2);
    let drop_all = |world: &mut World| world.commit(|transaction| transaction.drop_segments(None, 10)).segments;
    assert_eq!(drop_all(world), 0);
    let retire = |world: &mut World, horizon| world.commit(|transaction| transaction.retire(horizon, None, 10));
    retire(world, START + 3 * SECOND);
    assert_eq!(drop_all(world), 1, "of the second one is left");
    assert_eq!(world.found(&acme, &by_type("campaign.created"), 1).len(), 2);
    let entries = world.place().texts("search_segments", "CAST(id AS TEXT)");
    assert_eq!(entries, ["2", "3"]);
    retire(world, START + HOUR);
    let first = world.commit(|transaction| transaction.drop_segments(None, 1));
    assert_eq!((first.segments, first.next), (1, Some(2)));
    let second = world.commit(|transaction| transaction.drop_segments(first.next, 1));
    assert_eq!((second.segments, second.next), (0, None), "the newest stays");
    let of_gone = "id % 1099511627776 = 2 OR id % 1099511627776 = 1";
    assert_eq!(world.place().texts(&format!("search_entries WHERE {of_gone}"), "CAST(id AS TEXT)"), [""; 0]);
    let last = world.accept(&acme, "campaign.created").id;
    assert_eq!(world.index(2), 1);
    assert_eq!(world.found(&acme, &by_type("campaign.created"), 1), [last]);
}

/// Posts events of one type, a hundred at a time, none of which has what is asked for.
fn post_many(world: &mut World, scope: &Scope, events: usize, fields: &Value) {
    let request = Accept {
        events: (0..100).map(|_| event_with("campaign.created", fields)).collect(),
        ..world.request(scope, &[])
    };
    for _ in 0..events.div_ceil(100) {
        world.accept_all(&[&request]);
    }
}

fn what_is_not_indexed_yet_does_not_hide_what_is(world: &mut World) {
    put_types(world);
    let acme = world.partner("acme");
    let sought = json!({ "id": "sought" });
    let events = [
        post(world, &acme, "campaign.created", &sought, None).id,
        post(world, &acme, "campaign.created", &sought, None).id,
        post(world, &acme, "campaign.created", &sought, None).id,
    ];
    index_all(world, 2);
    post_many(world, &acme, SEGMENT_EVENTS / 2, &json!({ "id": "other" }));
    for scope in [&acme, &Scope::all(Environment::Production)] {
        for (limit, expected) in [(1, &events[2..]), (2, &events[1..]), (5, &events[..])] {
            let page = PageRequest { after: None, limit };
            let page = world.store().found_events(scope, &by_field("/id", "sought"), &page).expect("readable");
            let found: Vec<EventId> = page.items.iter().rev().map(|event| event.id).collect();
            assert_eq!((&found[..], page.more), (expected, limit < 3));
        }
        let others = world.found(scope, &by_field("/id", "other"), 1_000);
        assert_eq!(others.len(), SEGMENT_EVENTS.div_ceil(200) * 100);
    }
}

fn payloads_are_read_up_to_so_many_bytes(world: &mut World) {
    put_types(world);
    let acme = world.partner("acme");
    let first = post(world, &acme, "campaign.created", &json!({ "id": "sought" }), None).id;
    post_many(world, &acme, 100, &json!({ "id": "other", "long": "x".repeat(512 << 10) }));
    let page = PageRequest { after: None, limit: 5 };
    let page = world.store().found_events(&acme, &by_field("/id", "sought"), &page).expect("readable");
    assert_eq!((page.items.len(), page.more), (0, true));
    assert!(page.cursor.is_some(), "it says where to go on");
    assert_eq!(world.found(&acme, &by_field("/id", "sought"), 5), [first]);
}

/// More than one request looks at.
const MANY: usize = 2 * SEGMENT_EVENTS + 101;

fn a_look_without_an_index_ends_and_goes_on(world: &mut World) {
    let acme = world.partner("acme");
    let all = Scope::all(Environment::Production);
    let sandbox = world.accept(&in_sandbox(&acme), "campaign.created").id;
    world.endpoint(&acme, "hook", &["campaign.updated"]);
    let delivered = world.deliver(&acme, "campaign.updated");
    let record = world.attempt(delivered, 0, Verdict::Delivered);
    world.record(&record);
    let request = world.request(&acme, &["campaign.updated"; 101]);
    for _ in 0..MANY.div_ceil(101) {
        world.accept_all(&[&request]);
    }
    let first = PageRequest { after: None, limit: 5 };
    // Events: of the other environment.
    let page = world.store().found_events(&in_sandbox(&all), &EventSearch::default(), &first).expect("readable");
    assert_eq!((page.items.len(), page.more), (0, true));
    assert!(page.cursor.is_some(), "it says where to go on");
    assert_eq!(world.found(&in_sandbox(&all), &EventSearch::default(), 5), [sandbox]);
    // Deliveries: in a state that only a few have, over all partners and of one.
    for scope in [&all, &acme] {
        for types in [None, by_type("campaign.*").types] {
            let filter = DeliveryFilter { status: Some(StatusFilter::Delivered), types, ..DeliveryFilter::default() };
            let page =
                world.store().deliveries(scope, &filter, &PageRequest { after: None, limit: 5 }).expect("readable");
            assert_eq!((page.items.len(), page.more), (0, true), "{filter:?}");
            let mut after = page.cursor.map(|cursor| cursor.parse().expect("a delivery's id"));
            let mut pages = 1;
            let found = loop {
                assert!(after.is_some(), "a page that is short says where to go on");
                let page =
                    world.store().deliveries(scope, &filter, &PageRequest { after, limit: 5 }).expect("readable");
                pages += 1;
                if !page.items.is_empty() || !page.more {
                    break page.items;
                }
                after = page.cursor.map(|cursor| cursor.parse().expect("a delivery's id"));
            };
            assert_eq!(found.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [delivered], "{filter:?}");
            assert!(pages < 30, "{pages} pages");
        }
    }
    // What is most of what there is, is found at once.
    for scope in [&all, &acme] {
        let filter = DeliveryFilter { status: Some(StatusFilter::Pending), ..DeliveryFilter::default() };
        let page = world.store().deliveries(scope, &filter, &PageRequest { after: None, limit: 5 }).expect("readable");
        assert_eq!((page.items.len(), page.more, page.cursor), (5, true, None));
    }
}

fn what_is_given_up_is_found_over_all_partners(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let (all, sandbox) = (Scope::all(Environment::Production), in_sandbox(&acme));
    let mut exhausted = Vec::new();
    for scope in [&acme, &other, &sandbox] {
        world.endpoint(scope, "hook", &["*"]);
        let delivery = world.deliver(scope, "campaign.created");
        let record = world.attempt(delivery, 0, Verdict::Exhausted);
        world.record(&record);
        exhausted.push(delivery);
        world.deliver(scope, "campaign.updated");
    }
    let list = |world: &World, scope: &Scope, status| {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let found = world.deliveries(scope, &filter);
        found.iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    assert_eq!(list(world, &all, StatusFilter::RetriesExhausted), [exhausted[1], exhausted[0]]);
    assert_eq!(list(world, &in_sandbox(&all), StatusFilter::RetriesExhausted), [exhausted[2]]);
    let pending = list(world, &all, StatusFilter::Pending);
    assert_eq!(pending.len(), 2);
    world.commit(|transaction| transaction.skip_delivery(&acme, pending[1]));
    assert_eq!(list(world, &all, StatusFilter::Discarded), [pending[1]]);
    // What an endpoint leaves behind is discarded before anybody has written it down.
    let theirs = world.delivery(&other, pending[0]).endpoint;
    world.delete(&other, theirs);
    assert_eq!(list(world, &all, StatusFilter::Discarded), [pending[0], pending[1]]);
    assert_eq!(list(world, &all, StatusFilter::Pending), []);
    world.commit(|transaction| transaction.discard_deleted(10));
    assert_eq!(list(world, &all, StatusFilter::Discarded), [pending[0], pending[1]]);
}

/// Copies every delivery as a replay an hour later would have made it.
fn replay_everything(world: &World) {
    let later = 3_600_000_i64 << 21;
    let columns = "event, endpoint, next_at, status, attempt_count, scheduled_attempts";
    let (table, partition) =
        if world.store().leases().is_some() { ("pending", ", partition") } else { ("deliveries", "") };
    world.place().execute(&format!(
        "INSERT INTO {table} (id, replay, {columns}{partition})
         SELECT id + {later}, 1, {columns}{partition} FROM {table} WHERE replay IS NULL"
    ));
}

fn deliveries_that_replays_made_are_found_by_their_type(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    world.endpoint(&acme, "hook", &["*"]);
    world.endpoint(&other, "hook", &["*"]);
    let mut events = Vec::new();
    for number in 0..6 {
        let name = ["campaign.created", "campaign.updated"][number % 2];
        events.push(world.accept(&acme, name).id);
        world.accept(&other, name);
    }
    index_all(world, 5);
    replay_everything(world);
    let of_events = |filter: &DeliveryFilter| -> Vec<EventId> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = world.store().deliveries(&acme, filter, &PageRequest { after, limit: 2 }).expect("readable");
            after = page.items.last().map(|delivery| delivery.id);
            assert!(page.items.iter().all(|delivery| delivery.status == DeliveryStatus::Pending));
            found.extend(page.items.iter().map(|delivery| delivery.event));
            if !page.more {
                return found;
            }
        }
    };
    let updated = [events[5], events[3], events[1]];
    let types = by_type("campaign.updated").types;
    let filter = DeliveryFilter { types: types.clone(), ..DeliveryFilter::default() };
    assert_eq!(of_events(&filter), [updated, updated].concat());
    let pending = DeliveryFilter { status: Some(StatusFilter::Pending), ..filter.clone() };
    assert_eq!(of_events(&pending), [updated, updated].concat());
    let since = DeliveryFilter { since: Some(world.now + SECOND), ..filter.clone() };
    assert_eq!(of_events(&since), updated, "those of the replay");
    let until = DeliveryFilter { until: Some(world.now + SECOND), ..filter };
    assert_eq!(of_events(&until), updated, "those that were made at first");
    let of_one = DeliveryFilter { event: Some(events[3]), ..DeliveryFilter::default() };
    assert_eq!(of_events(&of_one), [events[3]; 2]);
    assert_eq!(of_events(&DeliveryFilter { types, ..of_one.clone() }), [events[3]; 2]);
    assert_eq!(of_events(&DeliveryFilter { types: by_type("campaign.created").types, ..of_one }), []);
}

fn an_endpoint_is_found_by_its_url(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let (ours, theirs) = (world.endpoint(&acme, "hook", &["*"]).id, world.endpoint(&other, "hook", &["*"]).id);
    world.endpoint(&acme, "another", &["*"]);
    let sandbox = EndpointSettings::new(url("hook"), vec![TypePattern::Any]);
    let new = new_endpoint(&in_sandbox(&acme), sandbox);
    world.commit(|transaction| transaction.create_endpoint(&new)).expect("nothing stands against it");
    let at = |world: &World, scope: &Scope, word: &str| {
        let page = PageRequest { after: None, limit: 10 };
        let page = world.store().endpoints_at(scope, &url(word), &page).expect("readable");
        page.items.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(at(world, &acme, "hook"), [ours]);
    assert_eq!(at(world, &Scope::all(Environment::Production), "hook"), [theirs, ours]);
    assert_eq!(at(world, &acme, "nowhere"), []);
    let named = |world: &World, scope: &Scope, after, limit| {
        let page = world.store().endpoints_named(scope, &[ours, theirs, ours], &PageRequest { after, limit });
        let page = page.expect("readable");
        (page.items.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(named(world, &acme, None, 10), (vec![ours], false));
    assert_eq!(named(world, &Scope::all(Environment::Production), None, 1), (vec![theirs], true));
    assert_eq!(named(world, &Scope::all(Environment::Production), Some(theirs), 1), (vec![ours], false));
    world.delete(&acme, ours);
    assert_eq!(at(world, &acme, "hook"), []);
}

fn a_store_from_before_is_indexed_as_its_types_are_shipped(world: &mut World) {
    let types = shipped();
    assert!(world.commit(|transaction| transaction.first_start(&types)));
    let indexed = |world: &World, environment| {
        let found = world.store().event_types(environment).expect("readable");
        found.iter().filter(|found| !found.indexed.is_empty()).count()
    };
    assert_eq!(indexed(world, Environment::Sandbox), types.len());
    world.place().execute("UPDATE event_types SET indexed = NULL");
    assert!(!world.commit(|transaction| transaction.first_start(&types)));
    assert_eq!(indexed(world, Environment::Sandbox), 0, "what an operator gave up stays so");
    // As the release before left it, with one type edited.
    let edited = TypeDefinition { description: "ours".into(), indexed: Vec::new(), ..types[0].clone() };
    world.commit(|transaction| transaction.put_event_types(Environment::Production, std::slice::from_ref(&edited)));
    world.place().execute("DELETE FROM meta WHERE name = 'indexed_fields'");
    let before = world.store().versions().expect("readable");
    assert!(!world.commit(|transaction| transaction.first_start(&types)));
    assert_eq!(indexed(world, Environment::Sandbox), types.len());
    assert_eq!(indexed(world, Environment::Production), types.len() - 1);
    assert_ne!(world.store().versions().expect("readable"), before, "other nodes read it anew");
}
