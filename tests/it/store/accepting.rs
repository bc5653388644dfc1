//! Accepting events: a delivery for each endpoint that wants one as things
//! stand when the transaction looks, and never for another.

use bytes::Bytes;
use posthaste::domain::{DeliveryStatus, EndpointId, Environment, EventId, PartitionSet, Timestamp};
use posthaste::store::{
    Accept, Accepted, Begun, CommitError, DeliveryFilter, Lane, PageRequest, ReliedOn, Scope, StoreError,
};

use super::versions::{api_key, event_type};
use super::world::{DAY, HOUR, START, World, event, events_of, idempotency, in_sandbox, new_endpoint, settings};

for_every_backend! {
    an_event_goes_to_exactly_the_endpoints_that_want_it
    an_event_over_all_partners_shows_each_its_own_part
    an_event_that_nobody_wants_is_kept
    ids_are_unique_and_grow_whatever_the_clock_does
    the_lines_of_a_batch_keep_their_order
    a_clock_that_was_set_back_delays_nothing
    what_changed_since_the_snapshot_is_matched_anew
    what_changes_in_the_same_commit_is_matched_anew
    an_event_over_all_partners_is_matched_anew_too
    what_was_undone_leaves_nothing
    an_accepted_event_survives_the_end_of_the_process
    what_was_let_in_by_outdated_keys_is_not_kept
    what_was_let_in_by_an_outdated_catalog_is_not_kept
    each_request_of_a_commit_is_judged_by_what_it_relied_on
    what_changes_in_the_same_commit_is_no_longer_relied_on
    a_large_request_is_judged_before_it_begins
}

fn reached(world: &World) -> Vec<EndpointId> {
    world.births().iter().map(|birth| birth.endpoint).collect()
}

fn an_event_goes_to_exactly_the_endpoints_that_want_it(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let all = world.endpoint(&acme, "all", &["*"]);
    let below = world.endpoint(&acme, "below", &["campaign.*"]);
    let exactly = world.endpoint(&acme, "exactly", &["order.paid", "campaign.updated"]);
    let disabled = world.endpoint(&acme, "disabled", &["campaign.updated"]);
    world.enable(&acme, disabled.id, false);
    world.endpoint(&acme, "elsewhere", &["campaign.created", "order.*"]);
    let gone = world.endpoint(&acme, "gone", &["*"]);
    world.delete(&acme, gone.id);
    world.endpoint(&other, "other", &["*"]);
    world.endpoint(&in_sandbox(&acme), "sandbox", &["*"]);

    let accepted = world.accept(&acme, "campaign.updated");
    let wanted = [all.id, below.id, exactly.id, disabled.id];
    assert_eq!(accepted.deliveries, 4);
    assert_eq!(reached(world), wanted);

    let made = world.deliveries_of(&acme, accepted.id);
    assert_eq!(made.iter().map(|delivery| delivery.endpoint).collect::<Vec<_>>(), wanted);
    for (delivery, birth) in made.iter().zip(world.births()) {
        let held = delivery.endpoint == disabled.id;
        assert_eq!(delivery.status, if held { DeliveryStatus::Held } else { DeliveryStatus::Pending });
        assert_eq!((delivery.attempt_count, delivery.event), (0, accepted.id));
        assert_eq!((delivery.next_attempt_at, delivery.finished_at), (Some(world.now), None));
        assert_eq!((birth.delivery, birth.payload.event, birth.created_at), (delivery.id, accepted.id, world.now));
        assert_eq!(birth.payload.body, event("campaign.updated").body);
    }

    let stored = world.store().event(&acme, accepted.id).expect("readable").expect("it was accepted");
    assert_eq!((stored.event_type.as_str(), &stored.body), ("campaign.updated", &event("campaign.updated").body));
    assert_eq!((stored.partner, stored.environment, stored.accepted_at), (acme.partner, acme.environment, world.now));
    assert_eq!(world.deliveries(&other, &DeliveryFilter::default()), []);
}

fn an_event_over_all_partners_shows_each_its_own_part(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let ours = world.endpoint(&acme, "ours", &["*"]);
    let theirs = world.endpoint(&other, "theirs", &["campaign.*"]);
    world.endpoint(&in_sandbox(&acme), "sandbox", &["*"]);
    let everyone = Scope::all(Environment::Production);

    let accepted = world.accept(&everyone, "campaign.updated");
    assert_eq!(accepted.deliveries, 2);
    assert_eq!(reached(world), [ours.id, theirs.id]);
    for (scope, endpoint) in [(&acme, ours.id), (&other, theirs.id)] {
        let seen = world.store().event(scope, accepted.id).expect("readable").expect("it is over all partners");
        assert_eq!(seen.partner, None);
        let part: Vec<EndpointId> =
            world.deliveries_of(scope, accepted.id).iter().map(|delivery| delivery.endpoint).collect();
        assert_eq!(part, [endpoint]);
    }
    assert_eq!(world.deliveries_of(&everyone, accepted.id).len(), 2);
    for elsewhere in [in_sandbox(&acme), Scope::all(Environment::Sandbox)] {
        assert_eq!(world.store().event(&elsewhere, accepted.id).expect("readable"), None);
        assert_eq!(world.deliveries_of(&elsewhere, accepted.id), []);
    }
}

fn an_event_that_nobody_wants_is_kept(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "orders", &["order.*"]);
    let accepted = world.accept(&acme, "campaign.updated");
    assert_eq!((accepted.deliveries, world.births().len()), (0, 0));
    assert!(world.store().event(&acme, accepted.id).expect("readable").is_some());
}

fn ids_are_unique_and_grow_whatever_the_clock_does(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["*"]);
    world.endpoint(&acme, "two", &["*"]);
    let mut events = Vec::new();
    let mut deliveries = Vec::new();
    for step in [0, 0, 5, -3_600_000, 1, 7_200_000, -1] {
        world.now = Timestamp::from_millis(world.now.as_millis() + step);
        let request = world.request(&acme, &["campaign.created"; 20]);
        events.extend(world.accept_all(&[&request, &request]).into_iter().flat_map(events_of));
        deliveries.extend(world.births());
        if step == 5 {
            world.reopen();
        }
    }
    assert_eq!((events.len(), deliveries.len()), (7 * 40, 7 * 80));
    assert!(events.is_sorted_by(|one, other| one.id < other.id));
    assert!(deliveries.is_sorted_by(|one, other| one.delivery < other.delivery));
    assert_eq!(events[0].id.made_at(), START);
}

fn the_lines_of_a_batch_keep_their_order(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let names = ["b.two", "a.one", "c.three", "a.one"];
    let (first, second) = (world.request(&acme, &names), world.request(&acme, &["d.four"]));
    let accepted: Vec<_> = world.accept_all(&[&first, &second]).into_iter().flat_map(events_of).collect();
    let types: Vec<&str> = accepted.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["b.two", "a.one", "c.three", "a.one", "d.four"]);
    assert!(accepted.is_sorted_by(|one, other| one.id < other.id));

    let due: Vec<_> = world.due(endpoint.id, Lane::Fresh).iter().map(|due| due.event).collect();
    assert_eq!(due, accepted.iter().map(|event| event.id).collect::<Vec<_>>());
}

fn a_clock_that_was_set_back_delays_nothing(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let first = world.accept(&acme, "campaign.updated").id;
    world.now = START - HOUR;
    let second = world.accept(&acme, "campaign.updated").id;
    let due: Vec<EventId> = world.due(endpoint.id, Lane::Fresh).iter().map(|due| due.event).collect();
    assert_eq!(due, [first, second], "they keep their order");
    let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 10, world.now).expect("readable");
    assert_eq!(waiting[0].due_at, world.now, "they are due at once: {waiting:?}");
}

fn what_changed_since_the_snapshot_is_matched_anew(world: &mut World) {
    let acme = world.partner("acme");
    let deleted = world.endpoint(&acme, "deleted", &["*"]);
    let widened = world.endpoint(&acme, "widened", &["order.paid"]);
    let narrowed = world.endpoint(&acme, "narrowed", &["*"]);
    let mut outdated = world.request(&acme, &["campaign.updated"]);
    // As a route does that remembers what it matched before.
    outdated.subscriptions.matching(&event("campaign.updated").event_type);
    world.delete(&acme, deleted.id);
    world.change(&acme, widened.id, |settings| settings.events = vec!["campaign.*".parse().expect("a pattern")]);
    world.change(&acme, narrowed.id, |settings| settings.events = vec!["order.*".parse().expect("a pattern")]);
    let created = world.endpoint(&acme, "created", &["campaign.updated"]);

    let accepted = events_of(world.accept_all(&[&outdated]).remove(0));
    assert_eq!(accepted[0].deliveries, 2);
    assert_eq!(reached(world), [widened.id, created.id]);
    let stored = world.store().event(&acme, accepted[0].id).expect("readable").expect("accepted");
    assert_eq!(stored.matched_version, world.subscriptions(&acme).version);

    // What has nothing to do with matching does not disturb it.
    outdated.subscriptions = world.subscriptions(&acme);
    world.endpoint(&in_sandbox(&acme), "sandbox", &["*"]);
    world.accept_all(&[&outdated]);
    assert_eq!(reached(world), [widened.id, created.id]);
}

fn what_changes_in_the_same_commit_is_matched_anew(world: &mut World) {
    let acme = world.partner("acme");
    let first = world.endpoint(&acme, "first", &["*"]);
    let outdated = world.request(&acme, &["campaign.updated"]);
    let new = new_endpoint(&acme, settings("second", &["*"]));
    let narrowed = world.changed(&acme, first.id, |settings| {
        settings.events = vec!["order.paid".parse().expect("a type")];
    });
    let (second, answers) = world.commit(|transaction| {
        let mut answers = transaction.accept(&[&outdated])?;
        let second = transaction.create_endpoint(&new)?.expect("nothing stands against it");
        answers.extend(transaction.accept(&[&outdated])?);
        transaction.change_endpoint(&narrowed)?.expect("nobody changed it meanwhile");
        answers.extend(transaction.accept(&[&outdated])?);
        assert!(transaction.delete_endpoint(&acme, second.id)?);
        answers.extend(transaction.accept(&[&outdated])?);
        Ok((second, answers))
    });
    let counts: Vec<u32> = answers.into_iter().flat_map(events_of).map(|event| event.deliveries).collect();
    assert_eq!(counts, [1, 2, 1, 0]);
    assert_eq!(reached(world), [first.id, first.id, second.id, second.id]);
}

fn an_event_over_all_partners_is_matched_anew_too(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let ours = world.endpoint(&acme, "ours", &["*"]);
    let everyone = Scope::all(Environment::Production);
    let outdated = world.request(&everyone, &["campaign.updated"]);
    let theirs = world.endpoint(&other, "theirs", &["*"]);
    world.accept_all(&[&outdated]);
    assert_eq!(reached(world), [ours.id, theirs.id]);
    world.delete(&acme, ours.id);
    world.accept_all(&[&outdated]);
    assert_eq!(reached(world), [theirs.id]);
}

fn what_was_undone_leaves_nothing(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let before = world.accept(&acme, "campaign.created");
    let request = world.request(&acme, &["campaign.updated"]);
    let new = new_endpoint(&acme, settings("new", &["*"]));
    let undone = world.try_commit(|transaction| -> Result<(), StoreError> {
        transaction.create_endpoint(&new)?.expect("nothing stands against it");
        transaction.accept(&[&request])?;
        Err(StoreError::Busy("as if".into()))
    });
    assert!(matches!(undone, Err(CommitError::RolledBack(StoreError::Busy(_)))), "{undone:?}");
    assert_eq!((world.notices.len(), world.due(endpoint.id, Lane::Fresh).len()), (0, 1));
    let page = PageRequest { after: None, limit: 10 };
    assert_eq!(world.store().events(&acme, &page).expect("readable").items.len(), 1);
    assert_eq!(world.store().endpoints(&acme, &page_of_endpoints()).expect("readable").items.len(), 1);

    // A version that was undone must not be taken for the one that follows.
    let accepted = events_of(world.accept_all(&[&request]).remove(0));
    assert_eq!(accepted[0].deliveries, 1);
    assert!(accepted[0].id > before.id);
}

fn page_of_endpoints() -> PageRequest<EndpointId> {
    PageRequest { after: None, limit: 10 }
}

fn an_accepted_event_survives_the_end_of_the_process(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let mut accepted = Vec::new();
    for round in 0..6 {
        let mut request = world.request(&acme, &["campaign.updated"]);
        request.events[0].body = Bytes::from(vec![round; 20_000]);
        accepted.extend(world.accept_all(&[&request]).into_iter().flat_map(events_of));
        if round % 2 == 0 {
            world.kill()
        } else {
            world.reopen()
        }
        world.advance(DAY);
    }
    let due: Vec<_> = world.due(endpoint.id, Lane::Fresh).iter().map(|due| due.event).collect();
    assert_eq!(due, accepted.iter().map(|event| event.id).collect::<Vec<_>>());
    let payloads = world.store().payloads(&due).expect("readable");
    assert_eq!(payloads.len(), 6);
    for payload in payloads {
        let round = due.iter().position(|event| *event == payload.event).expect("one that was asked for");
        assert_eq!(payload.body, vec![round as u8; 20_000]);
    }
}

/// A request that says what it was let in by: what holds now, in production.
fn careful(world: &World, scope: &Scope, types: &[&str]) -> Accept {
    assert_eq!((scope.environment, Environment::ALL[1]), (Environment::Production, Environment::Production));
    let versions = world.store().versions().expect("readable");
    let relied_on = Some(ReliedOn { keys: versions.keys, catalog: versions.catalogs[1] });
    Accept { relied_on, ..world.request(scope, types) }
}

#[track_caller]
fn accept_one(world: &mut World, request: &Accept) -> Accepted {
    world.accept_all(&[request]).remove(0)
}

fn events_kept(world: &World, scope: &Scope) -> usize {
    world.store().events(scope, &PageRequest { after: None, limit: 100 }).expect("readable").items.len()
}

fn what_was_let_in_by_outdated_keys_is_not_kept(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let gone = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    let mut request = careful(world, &acme, &["campaign.updated", "order.paid"]);
    request.idempotency = idempotency("once", 1);
    // Also what asks for nothing is let in by somebody.
    let empty = careful(world, &acme, &[]);
    assert_eq!(accept_one(world, &empty), Accepted::New(Vec::new()));

    assert!(world.commit(|transaction| transaction.revoke_key(gone.id)));
    assert_eq!(accept_one(world, &request), Accepted::Outdated);
    assert_eq!(accept_one(world, &empty), Accepted::Outdated);
    assert_eq!((world.births().len(), world.due(endpoint.id, Lane::Fresh).len()), (0, 0));
    assert_eq!((events_kept(world, &acme), world.deliveries(&acme, &DeliveryFilter::default()).len()), (0, 0));

    // Let in anew it is the same request, and its key was not used up.
    request.relied_on = careful(world, &acme, &[]).relied_on;
    assert_eq!(events_of(accept_one(world, &request)).len(), 2);
    assert!(matches!(accept_one(world, &request), Accepted::Repeated { .. }));
    assert_eq!(events_kept(world, &acme), 2);
}

fn what_was_let_in_by_an_outdated_catalog_is_not_kept(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let paid = event_type("order.paid");
    let outdated = careful(world, &acme, &["order.paid"]);
    // Another environment's catalog is another catalog.
    world.commit(|transaction| transaction.put_event_types(Environment::Sandbox, std::slice::from_ref(&paid)));
    world.commit(|transaction| transaction.delete_event_type(Environment::Sandbox, &paid.name));
    assert_eq!(events_of(accept_one(world, &outdated)).len(), 1);

    world.commit(|transaction| transaction.put_event_types(Environment::Production, std::slice::from_ref(&paid)));
    assert_eq!(accept_one(world, &outdated), Accepted::Outdated);
    let outdated = careful(world, &acme, &["order.paid"]);
    assert_eq!(events_of(accept_one(world, &outdated)).len(), 1);
    assert!(world.commit(|transaction| transaction.delete_event_type(Environment::Production, &paid.name)));
    assert_eq!(accept_one(world, &outdated), Accepted::Outdated);
    assert_eq!((world.births().len(), events_kept(world, &acme)), (0, 2));

    // What relies on nothing is always let in.
    let request = world.request(&acme, &["order.paid"]);
    assert_eq!(events_of(accept_one(world, &request)).len(), 1);
}

fn each_request_of_a_commit_is_judged_by_what_it_relied_on(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let outdated = careful(world, &acme, &["b.outdated"]);
    let gone = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    assert!(world.commit(|transaction| transaction.revoke_key(gone.id)));
    let (first, last) = (careful(world, &acme, &["a.first"]), careful(world, &acme, &["c.last"]));
    let answers = world.accept_all(&[&first, &outdated, &last]);
    assert!(matches!(answers.as_slice(), [Accepted::New(_), Accepted::Outdated, Accepted::New(_)]), "{answers:?}");
    assert_eq!((reached(world), events_kept(world, &acme)), (vec![endpoint.id; 2], 2));
}

fn what_changes_in_the_same_commit_is_no_longer_relied_on(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let paid = event_type("order.paid");
    let gone = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    let request = careful(world, &acme, &["order.paid"]);
    let answers = world.commit(|transaction| {
        let mut answers = transaction.accept(&[&request])?;
        assert!(transaction.revoke_key(gone.id)?);
        answers.extend(transaction.accept(&[&request])?);
        Ok(answers)
    });
    assert!(matches!(answers.as_slice(), [Accepted::New(_), Accepted::Outdated]), "{answers:?}");
    assert_eq!(world.births().len(), 1);

    let request = careful(world, &acme, &["order.paid"]);
    let undone = world.try_commit(|transaction| -> Result<(), StoreError> {
        transaction.put_event_types(Environment::Production, std::slice::from_ref(&paid))?;
        let answers = transaction.accept(&[&request])?;
        assert_eq!(answers, [Accepted::Outdated]);
        Err(StoreError::Busy("as if".into()))
    });
    assert!(matches!(undone, Err(CommitError::RolledBack(StoreError::Busy(_)))), "{undone:?}");
    // What was undone was never there to be relied on.
    assert_eq!(events_of(accept_one(world, &request)).len(), 1);
}

fn a_large_request_is_judged_before_it_begins(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let gone = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    let outdated = careful(world, &acme, &["order.paid"]);
    assert!(world.commit(|transaction| transaction.revoke_key(gone.id)));
    let begun = world.commit(|transaction| transaction.begin_large(&outdated));
    assert!(matches!(begun, Begun::Answered(Accepted::Outdated)));
    assert!(!world.commit(|transaction| transaction.has_unsealed()), "nothing was begun");
    let current = careful(world, &acme, &["order.paid"]);
    let begun = world.commit(|transaction| transaction.begin_large(&current));
    assert!(matches!(begun, Begun::FanOut(_)));
}
