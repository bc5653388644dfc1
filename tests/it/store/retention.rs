//! What goes with time, and what never does: nothing that is unfinished.

use posthaste::domain::{DeliveryStatus, DiscardReason, EventId, PartitionSet, Timestamp};
use posthaste::store::{DeliveryFilter, Lane, PageRequest, Retired, Scope, Verdict};

use super::world::{DAY, HOUR, SECOND, START, World, idempotency};

for_every_backend! {
    what_is_finished_goes_and_what_is_not_stays
    what_finished_lately_stays
    what_is_held_too_long_is_discarded
    what_an_endpoint_left_behind_is_discarded_for_that_reason
    the_walk_goes_on_where_it_stopped
    a_slice_ends_when_much_is_gone
    deleted_endpoints_are_drained_in_slices
    a_drained_delivery_looks_as_it_did_before
    idempotency_keys_are_forgotten_in_slices
}

fn retire(world: &mut World, horizon: Timestamp) -> Retired {
    world.commit(|transaction| transaction.retire(horizon, None, 1_000))
}

fn is_there(world: &World, scope: &Scope, event: EventId) -> bool {
    world.store().event(scope, event).expect("readable").is_some()
}

fn what_is_finished_goes_and_what_is_not_stays(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "some", &["order.*", "campaign.untried"]);
    world.endpoint(&acme, "orders", &["order.*"]);
    world.accept(&acme, "campaign.nobody");
    let finished = world.accept(&acme, "order.finished");
    let half = world.accept(&acme, "order.half");
    let untried = world.accept(&acme, "campaign.untried");
    let mut gone = Vec::new();
    for (verdict, delivery) in
        [Verdict::Delivered, Verdict::Exhausted].into_iter().zip(world.deliveries_of(&acme, finished.id))
    {
        world.record(&world.attempt(delivery.id, 0, verdict));
        world.commit(|transaction| transaction.request_attempt(delivery.id));
        gone.push(delivery);
    }
    let [one, other] = &world.deliveries_of(&acme, half.id)[..] else { panic!("two endpoints want it") };
    world.record(&world.attempt(one.id, 0, Verdict::Delivered));
    world.record(&world.attempt(other.id, 0, Verdict::RetryAt(START + HOUR)));

    world.now = START + 30 * DAY;
    let retired = retire(world, START + DAY);
    // An event with no delivery; one with two deliveries, each with an attempt.
    assert_eq!(retired, Retired { rows: 1 + 5, next: None });
    assert!(!is_there(world, &acme, finished.id));
    assert!(is_there(world, &acme, half.id) && is_there(world, &acme, untried.id));
    for delivery in gone {
        assert_eq!(world.store().delivery(&acme, delivery.id).expect("readable"), None);
        assert_eq!(world.attempts(delivery.id), []);
        assert_eq!(world.due(delivery.endpoint, Lane::Manual), [], "nobody is asked for what is gone");
    }
    assert_eq!(world.attempts(one.id).len(), 1, "an event goes with all its deliveries or with none");
    assert_eq!(world.store().payloads(&[half.id, untried.id]).expect("readable").len(), 2);
    assert_eq!(retire(world, START + DAY), Retired { rows: 0, next: None }, "a second look finds nothing more");
}

fn what_finished_lately_stays(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let event = world.accept(&acme, "campaign.updated");
    let delivery = world.deliveries_of(&acme, event.id)[0].id;
    world.now = START + 20 * DAY;
    let record = world.attempt(delivery, 0, Verdict::Exhausted);
    world.record(&record);
    world.commit(|transaction| transaction.request_attempt(delivery));
    for (horizon, stays) in
        [(START, true), (START + 10 * DAY, true), (record.finished_at, true), (record.finished_at + SECOND, false)]
    {
        retire(world, horizon);
        assert_eq!(is_there(world, &acme, event.id), stays, "{horizon}");
        let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 10, world.now).expect("readable");
        assert_eq!(waiting.len(), usize::from(stays), "nobody waits for an attempt of what is gone");
    }
}

fn what_is_held_too_long_is_discarded(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let old = world.accept(&acme, "campaign.created");
    world.advance(DAY);
    let horizon = world.now;
    let young = world.accept(&acme, "campaign.updated");
    world.enable(&acme, endpoint.id, false);
    world.advance(30 * DAY);
    assert_eq!(retire(world, horizon).rows, 1);
    let discarded = &world.deliveries_of(&acme, old.id)[0];
    assert_eq!(discarded.status, DeliveryStatus::Discarded(DiscardReason::Retention));
    assert_eq!((discarded.finished_at, discarded.next_attempt_at), (Some(world.now), None));
    assert_eq!(world.deliveries_of(&acme, young.id)[0].status, DeliveryStatus::Held);

    // It ends visibly: discarded first, and gone only a retention later.
    world.enable(&acme, endpoint.id, true);
    assert_eq!(world.due(endpoint.id, Lane::Fresh).len(), 1);
    assert_eq!(retire(world, horizon).rows, 0);
    let later = world.now + SECOND;
    assert_eq!(retire(world, later).rows, 2);
    assert!(!is_there(world, &acme, old.id) && is_there(world, &acme, young.id));
}

fn what_an_endpoint_left_behind_is_discarded_for_that_reason(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let event = world.accept(&acme, "campaign.created");
    world.enable(&acme, endpoint.id, false);
    world.delete(&acme, endpoint.id);
    let before = world.deliveries_of(&acme, event.id);
    assert_eq!(before[0].status, DeliveryStatus::Discarded(DiscardReason::EndpointDeleted));
    world.advance(HOUR);
    let horizon = world.now - SECOND;
    retire(world, horizon);
    assert_eq!(world.deliveries_of(&acme, event.id), before);
}

fn the_walk_goes_on_where_it_stopped(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "orders", &["order.*"]);
    let mut stay = Vec::new();
    for number in 0..10 {
        if number % 3 == 0 {
            stay.insert(0, world.accept(&acme, "order.paid").id);
        } else {
            world.accept(&acme, "campaign.updated");
        }
        world.advance(SECOND);
    }
    let horizon = world.now;
    let young = world.accept(&acme, "campaign.updated").id;
    let (mut after, mut rows, mut slices) = (None, 0, 0);
    loop {
        let slice = world.commit(|transaction| transaction.retire(horizon, after, 3));
        rows += slice.rows;
        slices += 1;
        match slice.next {
            Some(next) => assert!(after.replace(next).is_none_or(|last| last < next), "the walk goes on"),
            None => break,
        }
    }
    assert_eq!((rows, slices), (6, 4), "3, 3, 3 and 1 events");
    let left = world.store().events(&acme, &PageRequest { after: None, limit: 100 }).expect("readable");
    let left: Vec<EventId> = left.items.iter().map(|event| event.id).collect();
    assert_eq!(left, [vec![young], stay].concat());
}

fn a_slice_ends_when_much_is_gone(world: &mut World) {
    let acme = world.partner("acme");
    for number in 0..10 {
        world.endpoint(&acme, &format!("number{number}"), &["*"]);
    }
    for _ in 0..4 {
        let event = world.accept(&acme, "campaign.updated");
        for delivery in world.deliveries_of(&acme, event.id) {
            world.record(&world.attempt(delivery.id, 0, Verdict::Delivered));
        }
    }
    world.advance(DAY);
    let horizon = world.now;
    let (mut after, mut slices) = (None, Vec::new());
    loop {
        let slice = world.commit(|transaction| transaction.retire(horizon, after, 25));
        slices.push(slice.rows);
        after = slice.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(slices, [42, 42], "two events of 21 rows each, and not all four at once");
}

fn deleted_endpoints_are_drained_in_slices(world: &mut World) {
    let acme = world.partner("acme");
    let (one, two) = (world.endpoint(&acme, "one", &["*"]), world.endpoint(&acme, "two", &["*"]));
    let kept = world.endpoint(&acme, "kept", &["*"]);
    for _ in 0..5 {
        world.accept(&acme, "campaign.updated");
    }
    let done = world.due(one.id, Lane::Fresh)[0].delivery;
    world.record(&world.attempt(done, 0, Verdict::Delivered));
    let asked = world.due(two.id, Lane::Fresh)[0].delivery;
    world.commit(|transaction| transaction.request_attempt(asked));
    assert_eq!(world.commit(|transaction| transaction.discard_deleted(2)), 0, "nothing is deleted yet");
    world.delete(&acme, one.id);
    world.delete(&acme, two.id);

    let mut discarded = 0;
    for _ in 0..10 {
        let slice = world.commit(|transaction| transaction.discard_deleted(2));
        assert!(slice <= 2);
        discarded += slice;
    }
    assert_eq!(discarded, 4 + 5);
    for endpoint in [one.id, two.id] {
        for lane in [Lane::Fresh, Lane::Retry, Lane::Manual] {
            assert_eq!(world.due(endpoint, lane), []);
        }
    }
    assert_eq!(world.due(kept.id, Lane::Fresh).len(), 5);
    assert_eq!(world.delivery(&acme, done).status, DeliveryStatus::Delivered);
}

fn a_drained_delivery_looks_as_it_did_before(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let retried = world.deliver(&acme, "campaign.created");
    world.record(&world.attempt(retried, 0, Verdict::RetryAt(START + DAY)));
    world.accept(&acme, "campaign.updated");
    world.advance(HOUR);
    world.delete(&acme, endpoint.id);
    let before = world.deliveries(&acme, &DeliveryFilter::default());
    for delivery in &before {
        assert_eq!(delivery.status, DeliveryStatus::Discarded(DiscardReason::EndpointDeleted));
        assert_eq!((delivery.finished_at, delivery.next_attempt_at), (Some(START + HOUR), None));
    }
    world.advance(HOUR);
    assert_eq!(world.commit(|transaction| transaction.discard_deleted(100)), 2);
    assert_eq!(world.deliveries(&acme, &DeliveryFilter::default()), before);
}

fn idempotency_keys_are_forgotten_in_slices(world: &mut World) {
    let acme = world.partner("acme");
    for number in 0..5 {
        let mut request = world.request(&acme, &["campaign.updated"]);
        request.idempotency = idempotency(&format!("k{number}"), 1);
        world.accept_all(&[&request]);
    }
    world.advance(DAY);
    let mut young = world.request(&acme, &["campaign.updated"]);
    young.idempotency = idempotency("young", 1);
    world.accept_all(&[&young]);
    let mut forget = || world.commit(|transaction| transaction.forget_idempotency_keys(2));
    assert_eq!([forget(), forget(), forget(), forget()], [2, 2, 1, 0]);
}
