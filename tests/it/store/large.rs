//! Accepting in chunks, verb by verb: nothing of it is there before the
//! sealing, all of it is there afterwards, and what is never sealed leaves
//! nothing behind. Here a chunk is two deliveries; how large it is in earnest,
//! and when it is written, is the journal's affair.

use posthaste::domain::{DeliveryStatus, DiscardReason, Endpoint, Environment, EventId, PartitionSet, StatusFilter};
use posthaste::store::{
    Accept, Accepted, Begun, CommitError, DeliveryFilter, EventOutcome, FanOut, Lane, PageRequest, Scope, StoreError,
};

use super::world::{DAY, START, World, events_of, idempotency, in_sandbox};

for_every_backend! {
    nothing_is_there_before_it_is_sealed
    a_page_is_not_shortened_by_what_is_not_sealed
    a_sealed_one_is_like_any_other
    the_lines_of_a_batch_keep_their_order
    what_changed_since_the_snapshot_is_matched_anew
    an_endpoint_deleted_between_chunks_discards_its_delivery
    a_key_that_was_used_before_is_answered_at_once
    a_key_that_was_used_meanwhile_is_the_answer
    what_is_not_sealed_is_undone_in_slices
    what_was_undone_cannot_be_sealed
    what_a_killed_process_left_is_in_nobodys_way
}

const CHUNK: usize = 2;

fn acme_with_endpoints(world: &mut World, count: usize) -> (Scope, Vec<Endpoint>) {
    let acme = world.partner("acme");
    let endpoints = (0..count).map(|number| world.endpoint(&acme, &format!("e{number}"), &["*"])).collect();
    (acme, endpoints)
}

#[track_caller]
fn begin(world: &mut World, request: &Accept) -> FanOut {
    match world.commit(|transaction| transaction.begin_large(request)) {
        Begun::FanOut(fan_out) => fan_out,
        Begun::Answered(answer) => panic!("answered: {answer:?}"),
    }
}

#[track_caller]
fn write(world: &mut World, fan_out: &mut FanOut) {
    for from in (0..fan_out.deliveries()).step_by(CHUNK) {
        world.commit(|transaction| transaction.accept_chunk(fan_out, from, CHUNK));
    }
}

#[track_caller]
fn seal(world: &mut World, request: &Accept, fan_out: &FanOut) -> Accepted {
    world.commit(|transaction| transaction.seal(request, fan_out))
}

fn has_unsealed(world: &mut World) -> bool {
    world.commit(|transaction| transaction.has_unsealed())
}

/// How many deliveries anybody can see of an endpoint, anywhere.
#[track_caller]
fn seen(world: &World, scope: &Scope, endpoint: &Endpoint) -> usize {
    let everyone = Scope::all(Environment::Production);
    let mut counts = Vec::new();
    for scope in [scope, &everyone] {
        let of_endpoint = DeliveryFilter { endpoint: Some(endpoint.id), ..DeliveryFilter::default() };
        let pending = DeliveryFilter { status: Some(StatusFilter::Pending), ..of_endpoint.clone() };
        counts.extend([of_endpoint, pending].map(|filter| world.deliveries(scope, &filter).len()));
        for status in [None, Some(StatusFilter::Pending)] {
            let filter = DeliveryFilter { status, ..DeliveryFilter::default() };
            let listed = world.deliveries(scope, &filter);
            counts.push(listed.iter().filter(|delivery| delivery.endpoint == endpoint.id).count());
        }
    }
    counts.push(world.due(endpoint.id, Lane::Fresh).len());
    let backlog = world.store().backlog(endpoint.id, 100).expect("readable");
    let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 100, world.now).expect("readable");
    let waits = waiting.iter().any(|waiting| waiting.endpoint == endpoint.id);
    assert_eq!(waits, backlog > 0);
    counts.push(backlog);
    assert!(counts.iter().all(|count| *count == counts[0]), "seen here and not there: {counts:?}");
    counts[0]
}

fn events(world: &World, scope: &Scope) -> Vec<EventId> {
    let page = PageRequest { after: None, limit: 100 };
    world.store().events(scope, &page).expect("readable").items.iter().map(|event| event.id).collect()
}

fn nothing_is_there_before_it_is_sealed(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 5);
    let request = world.request(&acme, &["campaign.updated"]);
    assert!(!has_unsealed(world));
    let mut fan_out = begin(world, &request);
    assert_eq!(fan_out.deliveries(), 5);
    assert!(has_unsealed(world));
    let mut small = 0;
    for from in [0, 2, 4] {
        world.commit(|transaction| transaction.accept_chunk(&mut fan_out, from, CHUNK));
        assert_eq!(world.notices.len(), 0, "nobody is told");
        for endpoint in &endpoints {
            assert_eq!(seen(world, &acme, endpoint), small);
        }
        // Others are not held up, and are seen.
        world.accept(&acme, "campaign.created");
        small += 1;
        assert_eq!(events(world, &acme).len(), small);
    }
    seal(world, &request, &fan_out);
    for endpoint in &endpoints {
        assert_eq!(seen(world, &acme, endpoint), 4);
    }
    assert_eq!(events(world, &acme).len(), 4);
    assert!(!has_unsealed(world));
}

fn a_page_is_not_shortened_by_what_is_not_sealed(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 3);
    for _ in 0..4 {
        world.accept(&acme, "campaign.created");
    }
    let request = world.request(&acme, &["campaign.updated"; 3]);
    let mut fan_out = begin(world, &request);
    write(world, &mut fan_out);
    world.accept(&acme, "campaign.created");
    for scope in [&acme, &Scope::all(Environment::Production)] {
        for endpoint in [None, Some(endpoints[1].id)] {
            for status in [None, Some(StatusFilter::Pending)] {
                let filter = DeliveryFilter { endpoint, status, ..DeliveryFilter::default() };
                let (mut after, mut pages) = (None, Vec::new());
                loop {
                    let page = world.store().deliveries(scope, &filter, &PageRequest { after, limit: 2 });
                    let page = page.expect("readable");
                    after = page.items.last().map(|delivery| delivery.id);
                    pages.push(page.items.len());
                    if !page.more {
                        break;
                    }
                }
                let expected = if endpoint.is_some() { 5 } else { 15 };
                assert_eq!(pages.iter().sum::<usize>(), expected, "{filter:?}: {pages:?}");
                assert_eq!(pages.len(), expected.div_ceil(2), "{filter:?}: {pages:?}");
            }
        }
    }
}

fn a_sealed_one_is_like_any_other(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 5);
    let request = world.request(&acme, &["campaign.updated"]);
    let mut fan_out = begin(world, &request);
    write(world, &mut fan_out);
    let accepted = events_of(seal(world, &request, &fan_out)).remove(0);
    assert_eq!(accepted.deliveries, 5);

    let births = world.births();
    let made = world.deliveries_of(&acme, accepted.id);
    let wanted: Vec<_> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    assert_eq!(births.iter().map(|birth| birth.endpoint).collect::<Vec<_>>(), wanted);
    assert_eq!(made.iter().map(|delivery| delivery.endpoint).collect::<Vec<_>>(), wanted);
    for (delivery, birth) in made.iter().zip(&births) {
        assert_eq!((delivery.id, delivery.event), (birth.delivery, accepted.id));
        assert_eq!((delivery.status, delivery.next_attempt_at), (DeliveryStatus::Pending, Some(START)));
        assert_eq!((birth.payload.event, &birth.payload.body), (accepted.id, &request.events[0].body));
        assert_eq!(birth.created_at, START);
    }
    let stored = world.store().event(&acme, accepted.id).expect("readable").expect("it was accepted");
    assert_eq!((stored.matched_version, &stored.body), (world.subscriptions(&acme).version, &request.events[0].body));
    assert_eq!(
        world.store().event_outcomes(&acme, &stored, None, posthaste::store::OUTCOMES_MOST).expect("readable").len(),
        5
    );

    // It survives the process, and goes when its time has come.
    world.kill();
    assert_eq!(world.deliveries_of(&acme, accepted.id).len(), 5);
    for delivery in made {
        let record = world.attempt(delivery.id, 0, posthaste::store::Verdict::Delivered);
        world.record(&record);
    }
    world.advance(DAY);
    let horizon = world.now;
    assert_eq!(world.commit(|transaction| transaction.retire(horizon, None, 100)).rows, 1 + 5 + 5);
}

fn the_lines_of_a_batch_keep_their_order(world: &mut World) {
    let (acme, _) = acme_with_endpoints(world, 2);
    let orders = world.endpoint(&acme, "orders", &["order.*"]);
    world.endpoint(&in_sandbox(&acme), "elsewhere", &["*"]);
    let names = ["b.two", "order.paid", "a.one", "order.paid"];
    let request = world.request(&acme, &names);
    let mut fan_out = begin(world, &request);
    assert_eq!(fan_out.deliveries(), 10);
    write(world, &mut fan_out);
    let accepted = events_of(seal(world, &request, &fan_out));
    let births = world.births();
    assert!(births.is_sorted_by(|one, other| one.delivery < other.delivery));
    assert!(accepted.is_sorted_by(|one, other| one.id < other.id));
    assert_eq!(accepted.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(accepted.iter().map(|event| event.deliveries).collect::<Vec<_>>(), [2, 3, 2, 3]);
    for event in &accepted {
        let made: Vec<_> = world.deliveries_of(&acme, event.id).iter().map(|delivery| delivery.id).collect();
        let told = births.iter().filter(|birth| birth.payload.event == event.id);
        assert_eq!(made, told.map(|birth| birth.delivery).collect::<Vec<_>>());
    }
    let due: Vec<_> = world.due(orders.id, Lane::Fresh).iter().map(|due| due.event).collect();
    assert_eq!(due, [accepted[1].id, accepted[3].id]);
}

fn what_changed_since_the_snapshot_is_matched_anew(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 3);
    let request = world.request(&acme, &["campaign.updated"]);
    world.delete(&acme, endpoints[0].id);
    let mut fan_out = begin(world, &request);
    assert_eq!(fan_out.deliveries(), 2);
    // What comes later is too late, and is told that it was not there at the time.
    let late = world.endpoint(&acme, "late", &["*"]);
    write(world, &mut fan_out);
    let accepted = events_of(seal(world, &request, &fan_out)).remove(0);
    assert_eq!(accepted.deliveries, 2);
    assert_eq!(seen(world, &acme, &late), 0);
    let stored = world.store().event(&acme, accepted.id).expect("readable").expect("accepted");
    let outcomes =
        world.store().event_outcomes(&acme, &stored, None, posthaste::store::OUTCOMES_MOST).expect("readable");
    let [
        EventOutcome::Delivery { .. },
        EventOutcome::Delivery { .. },
        EventOutcome::NotYetCreated { endpoint, is_subscribed: true, .. },
    ] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(endpoint, late.id);
}

fn an_endpoint_deleted_between_chunks_discards_its_delivery(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 4);
    let before = world.endpoint(&acme, "before", &["order.*"]);
    world.delete(&acme, before.id);
    let request = world.request(&acme, &["campaign.updated"]);
    let mut fan_out = begin(world, &request);
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, CHUNK));
    // One whose delivery is written, and one whose is not.
    world.delete(&acme, endpoints[0].id);
    world.delete(&acme, endpoints[3].id);
    for _ in 0..3 {
        assert_eq!(world.commit(|transaction| transaction.discard_deleted(10)), 0);
    }
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, CHUNK, CHUNK));
    let accepted = events_of(seal(world, &request, &fan_out)).remove(0);
    let statuses: Vec<_> = world.deliveries_of(&acme, accepted.id).iter().map(|delivery| delivery.status).collect();
    let discarded = DeliveryStatus::Discarded(DiscardReason::EndpointDeleted);
    assert_eq!(statuses, [discarded, DeliveryStatus::Pending, DeliveryStatus::Pending, discarded]);
    let slices = [(); 3].map(|()| world.commit(|transaction| transaction.discard_deleted(10)));
    assert_eq!((slices.iter().sum::<usize>(), slices[2]), (2, 0), "one endpoint a slice, or both in the first");
    assert_eq!(world.due(endpoints[3].id, Lane::Fresh), []);
}

fn keyed(world: &World, scope: &Scope, request: u8) -> Accept {
    Accept { idempotency: idempotency("k", request), ..world.request(scope, &["campaign.updated"]) }
}

fn a_key_that_was_used_before_is_answered_at_once(world: &mut World) {
    let (acme, _) = acme_with_endpoints(world, 3);
    let request = keyed(world, &acme, 1);
    let mut fan_out = begin(world, &request);
    write(world, &mut fan_out);
    let first = events_of(seal(world, &request, &fan_out));
    let again = world.commit(|transaction| transaction.begin_large(&keyed_like(&request)));
    assert!(matches!(again, Begun::Answered(Accepted::Repeated { events, .. }) if events == first));
    let other = keyed(world, &acme, 2);
    let other = world.commit(|transaction| transaction.begin_large(&other));
    assert!(matches!(other, Begun::Answered(Accepted::KeyReused)), "{other:?}");
    // A small one of the same words is the same request, too.
    assert!(matches!(world.accept_all(&[&request])[..], [Accepted::Repeated { .. }]));
    assert!(!has_unsealed(world));
}

fn keyed_like(request: &Accept) -> Accept {
    Accept {
        subscriptions: request.subscriptions.clone(),
        events: request.events.clone(),
        idempotency: request.idempotency.clone(),
        relied_on: None,
    }
}

fn a_key_that_was_used_meanwhile_is_the_answer(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 3);
    for meanwhile in [1, 2] {
        let request = keyed(world, &acme, 1);
        let mut fan_out = begin(world, &request);
        write(world, &mut fan_out);
        let other = keyed(world, &acme, meanwhile);
        let accepted = events_of(world.accept_all(&[&other]).remove(0));
        let seen_before = seen(world, &acme, &endpoints[0]);
        match seal(world, &request, &fan_out) {
            Accepted::Repeated { events, .. } => assert_eq!((meanwhile, events), (1, accepted)),
            answer => assert_eq!((meanwhile, answer), (2, Accepted::KeyReused)),
        }
        assert_eq!(world.notices.len(), 0);
        assert_eq!(world.commit(|transaction| transaction.undo_unsealed(100)), 3);
        assert_eq!(seen(world, &acme, &endpoints[0]), seen_before);
        world.advance(DAY);
    }
    assert_eq!(events(world, &acme).len(), 2);
}

fn what_is_not_sealed_is_undone_in_slices(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 5);
    let before = world.accept(&acme, "campaign.created");
    let request = world.request(&acme, &["campaign.updated"]);
    for _ in 0..2 {
        let mut fan_out = begin(world, &request);
        write(world, &mut fan_out);
    }
    let after = world.accept(&acme, "campaign.created");
    let slices: Vec<usize> = (0..4).map(|_| world.commit(|transaction| transaction.undo_unsealed(4))).collect();
    assert_eq!(slices, [4, 4, 2, 0]);
    assert_eq!(world.notices.len(), 0);
    assert!(!has_unsealed(world));
    for endpoint in &endpoints {
        assert_eq!(seen(world, &acme, endpoint), 2);
    }
    assert_eq!(events(world, &acme), [after.id, before.id]);
}

fn what_was_undone_cannot_be_sealed(world: &mut World) {
    let (acme, _) = acme_with_endpoints(world, 3);
    let request = world.request(&acme, &["campaign.updated"]);
    let mut fan_out = begin(world, &request);
    write(world, &mut fan_out);
    assert_eq!(world.commit(|transaction| transaction.undo_unsealed(100)), 3);
    let sealed = world.try_commit(|transaction| transaction.seal(&request, &fan_out));
    assert!(matches!(sealed, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{sealed:?}");
    assert_eq!(events(world, &acme), []);
}

fn what_a_killed_process_left_is_in_nobodys_way(world: &mut World) {
    let (acme, endpoints) = acme_with_endpoints(world, 5);
    let kept = world.accept(&acme, "campaign.created");
    let request = world.request(&acme, &["campaign.updated"; 40]);
    let mut fan_out = begin(world, &request);
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, CHUNK));
    world.kill();
    assert!(has_unsealed(world));
    assert_eq!(seen(world, &acme, &endpoints[0]), 1);

    // In the very millisecond of what was left, and not undone with it.
    let new = world.accept(&acme, "campaign.created");
    for endpoint in &endpoints {
        assert_eq!(seen(world, &acme, endpoint), 2);
    }
    assert_eq!(world.commit(|transaction| transaction.undo_unsealed(100)), CHUNK);
    assert_eq!(world.commit(|transaction| transaction.undo_unsealed(100)), 0);
    world.kill();
    assert_eq!(events(world, &acme), [new.id, kept.id]);
    for endpoint in &endpoints {
        assert_eq!(seen(world, &acme, endpoint), 2);
    }
}
