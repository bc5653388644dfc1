//! Posthaste's own events: written with the outcome or the disabling that they tell of,
//! for whoever subscribed to them and nobody else, once.

use posthaste::catalog::Catalog;
use posthaste::domain::{
    Announcement, DeliveryId, DisabledReason, EndpointId, Environment, Event, Outcome, Setback, Timestamp, Trouble,
};
use posthaste::store::{
    DeliveryFilter, EndpointConflict, EventOutcome, Lane, PageRequest, Record, Recorded, Scope, StoreError, Verdict,
};
use serde_json::{Value, json};

use super::world::{HOUR, SECOND, START, World, in_sandbox, settings};

for_every_backend! {
    what_is_told_is_written_with_what_it_tells_of
    what_is_undone_is_not_told
    a_record_that_comes_again_or_too_late_tells_nothing
    nobody_is_told_who_did_not_subscribe
    an_endpoint_is_not_told_of_itself
    a_filter_sees_what_is_told
    who_subscribed_in_the_same_commit_is_told
    who_hears_of_all_partners_hears_of_them_and_they_not_of_each_other
    what_is_told_of_a_disabling_is_told_once
    of_what_is_disabled_or_deleted_nothing_is_told
    what_was_told_is_known_until_it_is_well_again
    so_many_may_listen_and_no_more
}

pub fn failing(at: Timestamp) -> Announcement {
    Announcement::Failing { since: START, failures: 5, is_warning: false, disables_at: Some(at + HOUR) }
}

/// An attempt that fails, and what is told of it.
pub fn telling(world: &World, delivery: DeliveryId, before: u32, told: &[Announcement]) -> Record {
    let is_exhausted = told.contains(&Announcement::Exhausted);
    let verdict = if is_exhausted { Verdict::Exhausted } else { Verdict::RetryAt(world.now + HOUR) };
    let trouble = Trouble { failing_since: Some(START), announced_at: Some(world.now), ..Trouble::default() };
    Record { trouble: Some(trouble), announcements: told.to_vec(), ..world.attempt(delivery, before, verdict) }
}

/// What the scope sees of Posthaste's own events, newest first, each of which its
/// schema must accept.
pub fn told(world: &World, scope: &Scope) -> Vec<Event> {
    let page = world.store().events(scope, &PageRequest { after: None, limit: 10_000 }).expect("readable");
    let own: Vec<Event> = page.items.into_iter().filter(|event| event.event_type.is_system()).collect();
    let catalog = Catalog::compile_whole(Vec::new()).expect("ours alone");
    for event in &own {
        let schema = catalog.get(&event.event_type).expect("it is defined").schema.clone();
        let body = body(event);
        let filter = posthaste::catalog::Filter::compile(&schema).expect("a schema");
        assert!(filter.accepts(&body), "{body} is not as {schema} says");
    }
    own
}

pub fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

fn body(event: &Event) -> Value {
    serde_json::from_slice(&event.body).expect("it is JSON")
}

/// Whom the last commit told of births.
fn born_for(world: &World) -> Vec<EndpointId> {
    world.births().iter().map(|birth| birth.endpoint).collect()
}

fn what_is_told_is_written_with_what_it_tells_of(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "s3cret", &["order.*"]).id;
    let patterns = ["campaign.*", "posthaste.endpoint.*", "posthaste.delivery.exhausted"];
    let watching = world.endpoint(&acme, "watching", &patterns).id;
    let delivery = world.deliver(&acme, "order.paid");
    let carried = world.delivery(&acme, delivery).event;
    world.advance(SECOND);
    let at = world.now + SECOND;
    let record = telling(world, delivery, 0, &[failing(world.now), Announcement::Exhausted]);
    assert!(matches!(world.record(&record), Recorded::Written(_)));
    let births = world.births();
    assert_eq!(births.iter().map(|birth| birth.endpoint).collect::<Vec<_>>(), [watching, watching]);
    world.kill();
    let told = told(world, &acme);
    assert_eq!(types(&told), ["posthaste.delivery.exhausted", "posthaste.endpoint.failing"]);
    assert!(told.iter().zip(births.iter().rev()).all(|(event, birth)| birth.payload.event == event.id));
    let error = json!({ "status_code": null, "error": { "class": "connect", "message": "refused" } });
    let of_endpoint = |name: &str, id: String| {
        json!({
            "event": name, "id": id, "partner": "acme", "environment": "production", "endpoint": one.to_string(),
            "url": "https://example.com", "occurred_at": at.to_string(), "last_error": error,
        })
    };
    let with = |mut body: Value, fields: Value| {
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        body
    };
    assert_eq!(
        body(&told[1]),
        with(
            of_endpoint("posthaste.endpoint.failing", one.to_string()),
            json!({
                "failing_since": START.to_string(), "consecutive_failures": 5, "is_warning": false,
                "disables_at": (at - SECOND + HOUR).to_string(),
            })
        )
    );
    assert_eq!(
        body(&told[0]),
        with(
            of_endpoint("posthaste.delivery.exhausted", delivery.to_string()),
            json!({ "event_id": carried.to_string(), "event_type": "order.paid", "attempt_count": 1 })
        )
    );
    // From here on it is a delivery like any other.
    let due = world.due(watching, Lane::Fresh);
    assert_eq!(due.iter().map(|due| due.event).collect::<Vec<_>>(), [told[1].id, told[0].id]);
    let payloads = world.store().payloads(&[told[0].id]).expect("readable");
    assert_eq!((&payloads[0].body, &payloads[0].event_type), (&told[0].body, &told[0].event_type));
    for due in due {
        world.record(&world.attempt(due.delivery, 0, Verdict::Delivered));
    }
    let outcomes =
        world.store().event_outcomes(&acme, &told[0], None, posthaste::store::OUTCOMES_MOST).expect("readable");
    assert!(matches!(&outcomes[0], EventOutcome::Delivery { delivery, .. } if delivery.endpoint == watching));
    assert_eq!(outcomes[1], EventOutcome::NotSubscribed { endpoint: one, later: None });
}

fn what_is_undone_is_not_told(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["order.*"]);
    world.endpoint(&acme, "watching", &["posthaste.*"]);
    let delivery = world.deliver(&acme, "order.paid");
    let record = telling(world, delivery, 0, &[Announcement::Exhausted]);
    let undone = world.try_commit(|transaction| {
        transaction.record(&[&record])?;
        Err::<(), _>(StoreError::Constraint("a case says so".into()))
    });
    assert!(undone.is_err());
    assert!(world.attempts(delivery).is_empty() && told(world, &acme).is_empty());
    world.record(&record);
    assert_eq!((world.attempts(delivery).len(), told(world, &acme).len()), (1, 1));
}

fn a_record_that_comes_again_or_too_late_tells_nothing(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["order.*"]);
    world.endpoint(&acme, "watching", &["posthaste.*"]);
    let (first, second) = (world.deliver(&acme, "order.paid"), world.deliver(&acme, "order.paid"));
    let record = telling(world, first, 0, &[failing(START), Announcement::Exhausted]);
    let answers = world.commit(|transaction| transaction.record(&[&record, &record]));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(told(world, &acme).len(), 2);
    world.kill();
    assert_eq!(world.record(&record), answers[0], "a repetition");
    assert_eq!((told(world, &acme).len(), world.births().len()), (2, 0));
    // Its delivery has moved on.
    world.record(&world.attempt(second, 0, Verdict::RetryAt(START + HOUR)));
    world.advance(SECOND);
    let late = telling(world, second, 0, &[failing(START), Announcement::Exhausted]);
    assert_eq!(world.record(&late), Recorded::Superseded);
    assert_eq!(told(world, &acme).len(), 2);
    // By hand it was delivered while the last attempt was under way.
    world.record(&world.manual_attempt(second, 1, Verdict::Delivered));
    world.record(&telling(world, second, 2, &[Announcement::Exhausted]));
    assert_eq!(told(world, &acme).len(), 2);
}

fn nobody_is_told_who_did_not_subscribe(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let everything = world.endpoint(&acme, "everything", &["*"]).id;
    world.endpoint(&acme, "orders", &["order.lost", "posthaste.endpoint.recovered"]);
    world.endpoint(&other, "watching", &["posthaste.*"]);
    world.endpoint(&in_sandbox(&acme), "watching", &["posthaste.*"]);
    let gone = world.endpoint(&acme, "gone", &["posthaste.*"]).id;
    world.delete(&acme, gone);
    let changed = world.endpoint(&acme, "changed", &["posthaste.*"]).id;
    world.change(&acme, changed, |settings| settings.events = vec!["order.lost".parse().expect("a pattern")]);
    let delivery = world.deliver(&acme, "order.paid");
    world.record(&telling(world, delivery, 0, &[failing(START), Announcement::Exhausted]));
    assert!(world.births().is_empty());
    world.commit(|transaction| transaction.disable_endpoint(everything, DisabledReason::Gone, Some(&setback())));
    assert!(world.births().is_empty());
    for scope in [&acme, &other, &Scope::all(Environment::Production), &in_sandbox(&acme)] {
        assert!(told(world, scope).is_empty(), "{scope:?}");
    }
}

fn an_endpoint_is_not_told_of_itself(world: &mut World) {
    let acme = world.partner("acme");
    let own = world.endpoint(&acme, "own", &["order.*", "posthaste.*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    world.record(&telling(world, delivery, 0, &[failing(START)]));
    assert!(told(world, &acme).is_empty(), "nobody else listens");
    let other = world.endpoint(&acme, "other", &["posthaste.*"]).id;
    world.record(&telling(world, delivery, 1, &[failing(START)]));
    assert_eq!(born_for(world), [other]);
    world.commit(|transaction| transaction.disable_endpoint(own, DisabledReason::Gone, Some(&setback())));
    assert_eq!(born_for(world), [other]);
}

fn a_filter_sees_what_is_told(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "one", &["order.*"]).id;
    let filtered = |word: &str, schema: Value| {
        let mut settings = settings(word, &["posthaste.*"]);
        settings.filter = Some(posthaste::domain::EventFilter::from(schema.as_object().expect("an object")));
        settings
    };
    let of_many = json!({ "properties": { "consecutive_failures": { "minimum": 100 } } });
    let this_one = json!({ "properties": { "endpoint": { "const": one.to_string() } }, "required": ["endpoint"] });
    world.try_endpoint(&acme, filtered("many", of_many)).expect("the URL is free");
    let interested = world.try_endpoint(&acme, filtered("this", this_one)).expect("the URL is free").id;
    let delivery = world.deliver(&acme, "order.paid");
    world.kill();
    world.record(&telling(world, delivery, 0, &[failing(START)]));
    assert_eq!(born_for(world), [interested]);
    let outcomes = world
        .store()
        .event_outcomes(&acme, &told(world, &acme)[0], None, posthaste::store::OUTCOMES_MOST)
        .expect("readable");
    assert!(outcomes.iter().any(|outcome| matches!(outcome, EventOutcome::Filtered { .. })), "{outcomes:?}");
}

fn who_subscribed_in_the_same_commit_is_told(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "one", &["order.*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    let record = telling(world, delivery, 0, &[failing(START)]);
    let new = super::world::new_endpoint(&acme, settings("watching", &["posthaste.*"]));
    let made = world.commit(|transaction| {
        let made = transaction.create_endpoint(&new)?.expect("the URL is free");
        transaction.record(&[&record])?;
        transaction.disable_endpoint(one, DisabledReason::Gone, Some(&setback()))?;
        transaction.delete_endpoint(&new.scope, made.id)?;
        Ok(made.id)
    });
    let births = world.births();
    assert_eq!(born_for(world), [made, made]);
    // Whoever sends it must know of the endpoint at least as much as this.
    let event = told(world, &acme).remove(1);
    assert!(births.iter().all(|birth| birth.matched.0 == Environment::Production));
    assert_eq!(births[0].matched.1, event.matched_version);
    let delivery = births[0].delivery;
    assert_eq!(world.delivery(&acme, delivery).status.as_str(), "discarded", "it was deleted at once");
}

fn who_hears_of_all_partners_hears_of_them_and_they_not_of_each_other(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let (everyone, trial) = (Scope::all(Environment::Production), Scope::all(Environment::Sandbox));
    let watching = world.endpoint(&everyone, "watching", &["posthaste.*"]);
    world.endpoint(&trial, "watching", &["posthaste.*"]);
    assert_eq!((&watching.partner, watching.environment), (&None, Environment::Production));
    for scope in [&acme, &other] {
        world.endpoint(scope, "one", &["order.*"]);
    }
    let own = world.endpoint(&acme, "own", &["posthaste.*"]).id;
    let mut events = Vec::new();
    for scope in [&acme, &other] {
        let delivery = world.deliver(scope, "order.paid");
        world.record(&telling(world, delivery, 0, &[Announcement::Exhausted]));
        let heard = if *scope == acme { vec![watching.id, own] } else { vec![watching.id] };
        let mut born = born_for(world);
        born.sort();
        assert_eq!(born, heard);
        events.push(told(world, &everyone).remove(0));
    }
    // Each partner sees what is of its own endpoints, and of its own deliveries.
    let page = PageRequest { after: None, limit: 100 };
    for (scope, event, hidden) in [(&acme, &events[0], &events[1]), (&other, &events[1], &events[0])] {
        assert_eq!(told(world, scope), std::slice::from_ref(event));
        assert_eq!(world.store().event(scope, hidden.id).expect("readable"), None);
        let shown = world.deliveries(scope, &DeliveryFilter::default());
        assert!(shown.iter().all(|delivery| delivery.endpoint != watching.id), "{shown:?}");
        for birth in world.due(watching.id, Lane::Fresh) {
            assert_eq!(world.store().delivery(scope, birth.delivery).expect("readable"), None);
        }
        assert_eq!(world.store().endpoint(scope, watching.id).expect("readable"), None);
        let listed = world.store().endpoints(scope, &page).expect("readable").items;
        assert!(listed.iter().all(|endpoint| endpoint.id != watching.id));
        let outcomes =
            world.store().event_outcomes(scope, event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
        let reached = outcomes.iter().filter(|outcome| matches!(outcome, EventOutcome::Delivery { .. })).count();
        assert_eq!(reached, usize::from(*scope == acme), "{outcomes:?}");
        assert!(!world.commit(|transaction| transaction.delete_endpoint(scope, watching.id)));
    }
    // Who looks over all partners sees it.
    let shown = world.deliveries(&everyone, &DeliveryFilter { endpoint: Some(watching.id), ..Default::default() });
    assert_eq!(shown.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), [events[1].id, events[0].id]);
    assert_eq!(world.store().endpoint(&everyone, watching.id).expect("readable"), Some(watching.clone()));
    assert!(told(world, &trial).is_empty());
    // It has settings, pauses and an end like any other; and of itself nothing is told.
    world.change(&everyone, watching.id, |settings| settings.max_concurrency = 3);
    world.pause(&everyone, watching.id);
    world.resume(&everyone, watching.id);
    world.commit(|transaction| transaction.disable_endpoint(watching.id, DisabledReason::Gone, Some(&setback())));
    assert!(world.births().is_empty());
    world.delete(&everyone, watching.id);
    let delivery = world.deliver(&other, "order.paid");
    world.record(&telling(world, delivery, 0, &[Announcement::Exhausted]));
    assert!(world.births().is_empty());
}

fn setback() -> Setback {
    Setback::new(9, &Outcome::answered(410, bytes::Bytes::new()))
}

fn what_is_told_of_a_disabling_is_told_once(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "one", &["order.*"]).id;
    let watching = world.endpoint(&acme, "watching", &["posthaste.endpoint.disabled"]).id;
    world.advance(SECOND);
    for first in [true, false] {
        let reason = DisabledReason::Gone;
        let disabled = world.commit(|transaction| transaction.disable_endpoint(one, reason, Some(&setback())));
        assert_eq!(disabled, first);
        assert_eq!(born_for(world), if first { vec![watching] } else { Vec::new() });
    }
    let told = told(world, &acme);
    assert_eq!(told.len(), 1);
    let expected = json!({
        "event": "posthaste.endpoint.disabled", "id": one.to_string(), "partner": "acme", "environment": "production",
        "endpoint": one.to_string(), "url": "https://example.com", "occurred_at": world.now.to_string(),
        "disabled_reason": "gone", "failing_since": null, "consecutive_failures": 9,
        "last_error": { "status_code": 410, "error": { "class": "http_status", "message": "answered 410" } },
    });
    assert_eq!(body(&told[0]), expected);
    // What people do is told to nobody, nor what a system event's own failure led to.
    world.enable(&acme, one, true);
    world.enable(&acme, one, false);
    world.enable(&acme, one, true);
    assert!(world.commit(|transaction| transaction.disable_endpoint(one, DisabledReason::Gone, None)));
    assert_eq!(self::told(world, &acme).len(), 1);
}

fn of_what_is_disabled_or_deleted_nothing_is_told(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "one", &["order.*"]).id;
    world.endpoint(&acme, "watching", &["posthaste.endpoint.failing", "posthaste.delivery.exhausted"]);
    let deliveries: Vec<DeliveryId> = (0..3).map(|_| world.deliver(&acme, "order.paid")).collect();
    world.commit(|transaction| transaction.disable_endpoint(one, DisabledReason::Gone, None));
    world.record(&telling(world, deliveries[0], 0, &[failing(START), Announcement::Exhausted]));
    assert_eq!(types(&told(world, &acme)), ["posthaste.delivery.exhausted"], "it was under way");
    world.delete(&acme, one);
    world.record(&telling(world, deliveries[1], 0, &[failing(START), Announcement::Exhausted]));
    world.record(&telling(world, deliveries[2], 0, &[failing(START)]));
    assert_eq!(told(world, &acme).len(), 1);
}

fn what_was_told_is_known_until_it_is_well_again(world: &mut World) {
    let acme = world.partner("acme");
    let one = world.endpoint(&acme, "one", &["order.*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    let known = |world: &World| world.store().trouble(one).expect("readable");
    let record = telling(world, delivery, 0, &[failing(START)]);
    let at = world.now;
    world.record(&record);
    world.kill();
    assert_eq!(known(world).announced_at, Some(at), "whoever subscribes later is told when it is well");
    // Whoever ends it by hand has not said that it is well.
    let anew = Trouble { announced_at: Some(at), ..Trouble::default() };
    world.pause(&acme, one);
    world.resume(&acme, one);
    assert_eq!(known(world), anew);
    world.commit(|transaction| transaction.disable_endpoint(one, DisabledReason::Gone, None));
    world.enable(&acme, one, true);
    assert_eq!(known(world), anew);
    // What an outdated record tells is not told, and does not count as told.
    world.advance(HOUR);
    let outdated = telling(world, delivery, 7, &[failing(START)]);
    assert_eq!(world.record(&outdated), Recorded::Superseded);
    assert_eq!((known(world).failing_since, known(world).announced_at), (Some(START), Some(at)));
    let recovered = Announcement::Recovered { failing_since: None };
    let watching = world.endpoint(&acme, "watching", &["posthaste.*"]).id;
    let well = Record {
        trouble: Some(Trouble::default()),
        announcements: vec![recovered],
        ..world.attempt(delivery, 1, Verdict::Delivered)
    };
    world.record(&well);
    assert_eq!((born_for(world), known(world)), (vec![watching], Trouble::default()));
    let told = told(world, &acme);
    assert_eq!((types(&told), &body(&told[0])["failing_since"]), (vec!["posthaste.endpoint.recovered"], &Value::Null));
}

fn so_many_may_listen_and_no_more(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let listening = |number: usize| settings(&format!("watching-{number}"), &["posthaste.*"]);
    let made: Vec<EndpointId> =
        (0..20).map(|number| world.try_endpoint(&acme, listening(number)).expect("there is room").id).collect();
    assert_eq!(world.try_endpoint(&acme, listening(20)).err(), Some(EndpointConflict::TooManyListeners));
    let ordinary = world.endpoint(&acme, "ordinary", &["*"]).id;
    let change = world.changed(&acme, ordinary, |settings| settings.events.push("posthaste.*".parse().expect("one")));
    let refused = world.commit(|transaction| transaction.change_endpoint(&change));
    assert_eq!(refused.err(), Some(EndpointConflict::TooManyListeners));
    // Those that listen may be changed, others have room of their own, and what goes makes some.
    world.change(&acme, made[0], |settings| settings.max_concurrency = 3);
    world.endpoint(&other, "watching", &["posthaste.*"]);
    world.endpoint(&Scope::all(Environment::Production), "watching", &["posthaste.*"]);
    world.delete(&acme, made[0]);
    world.try_endpoint(&acme, listening(20)).expect("there is room again");
}
