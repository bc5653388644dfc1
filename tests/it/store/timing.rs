//! Events that are for later, and events that are worth nothing after a while.

use posthaste::domain::{
    DeliveryId, DeliveryStatus, DeliveryTimes, DiscardReason, EndpointId, PartitionSet, StatusFilter, StoredStatus,
    Timestamp,
};
use posthaste::store::{Accept, Accepted, Begun, DeliveryFilter, Lane, Notice, Recorded, Scope, Unplaced, Verdict};

use super::world::{DAY, HOUR, SECOND, World, event, events_of};

for_every_backend! {
    what_is_for_later_is_due_then_and_not_born_now
    what_should_have_been_is_due_at_once
    times_stand_with_the_event
    a_large_request_may_be_for_later
    what_comes_too_late_is_discarded
    what_is_for_later_is_kept_until_then
}

fn request(world: &World, scope: &Scope, times: DeliveryTimes) -> Accept {
    Accept { events: vec![event("a.b").delivered_at(times)], ..world.request(scope, &["a.b"]) }
}

fn at(deliver_at: Timestamp) -> DeliveryTimes {
    DeliveryTimes { deliver_at: Some(deliver_at), expires_at: None }
}

#[track_caller]
fn accept(world: &mut World, scope: &Scope, times: DeliveryTimes) -> DeliveryId {
    let request = request(world, scope, times);
    let accepted = events_of(world.accept_all(&[&request]).remove(0)).remove(0);
    assert_eq!(accepted.deliveries, 1);
    world.deliveries_of(scope, accepted.id)[0].id
}

fn waits_until(world: &World, endpoint: EndpointId) -> Option<Timestamp> {
    let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 10, world.now).expect("readable");
    waiting.iter().find(|waiting| waiting.endpoint == endpoint).map(|waiting| waiting.due_at)
}

fn scheduled(world: &World) -> Vec<EndpointId> {
    let of = |notice: &Notice| match notice {
        Notice::Scheduled(endpoint) => Some(*endpoint),
        _ => None,
    };
    world.notices.iter().filter_map(of).collect()
}

fn what_is_for_later_is_due_then_and_not_born_now(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let then = world.now + HOUR;
    let delivery = accept(world, &acme, at(then));
    assert_eq!((world.births().len(), scheduled(world)), (0, vec![endpoint]));
    assert_eq!(world.due(endpoint, Lane::Fresh), []);
    let due = world.due(endpoint, Lane::Retry);
    assert_eq!((due.len(), due[0].due_at, due[0].attempt_count), (1, then, 0));
    assert_eq!(waits_until(world, endpoint), Some(then));
    let shown = world.delivery(&acme, delivery);
    assert_eq!((shown.status, shown.next_attempt_at), (DeliveryStatus::Pending, Some(then)));
    let listed = |status| {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let of_all = world.deliveries(&Scope::all(acme.environment), &filter).len();
        assert_eq!(world.deliveries(&acme, &filter).len(), of_all);
        of_all
    };
    assert_eq!((listed(StatusFilter::Pending), listed(StatusFilter::Retrying)), (1, 0));
    assert_eq!(world.store().backlog(endpoint, 10).expect("readable"), 1);
    world.advance(HOUR);
    world.record(&world.attempt(delivery, 0, Verdict::RetryAt(then + DAY)));
    let shown = world.delivery(&acme, delivery);
    assert_eq!((shown.status, shown.next_attempt_at), (DeliveryStatus::Retrying, Some(then + DAY)));
}

fn what_should_have_been_is_due_at_once(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    for past in [world.now, world.now - HOUR] {
        accept(world, &acme, at(past));
        assert_eq!((world.births().len(), scheduled(world)), (1, vec![]));
    }
    assert_eq!(world.due(endpoint, Lane::Fresh).len(), 2);
    assert_eq!(waits_until(world, endpoint), Some(world.now));
    // A clock that was set back makes nobody wait who was never tried.
    world.now = world.now - DAY;
    assert_eq!(waits_until(world, endpoint), Some(world.now));
}

fn times_stand_with_the_event(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["*"]);
    let times = DeliveryTimes { deliver_at: Some(world.now + HOUR), expires_at: Some(world.now + DAY) };
    let delivery = accept(world, &acme, times);
    let id = world.delivery(&acme, delivery).event;
    let event = world.store().event(&acme, id).expect("readable").expect("it is there");
    assert_eq!(event.times, times);
    let payloads = world.store().payloads(&[id]).expect("readable");
    assert_eq!(payloads[0].expires_at, times.expires_at);
    let plain = world.accept(&acme, "a.b").id;
    assert_eq!(world.births()[0].payload.expires_at, None);
    let event = world.store().event(&acme, plain).expect("readable").expect("it is there");
    assert_eq!(event.times, DeliveryTimes::default());
    let expiring = DeliveryTimes { deliver_at: None, ..times };
    accept(world, &acme, expiring);
    assert_eq!(world.births()[0].payload.expires_at, times.expires_at, "also for who sends it at once");
}

fn a_large_request_may_be_for_later(world: &mut World) {
    let acme = world.partner("acme");
    let endpoints = ["one", "two", "three"].map(|word| world.endpoint(&acme, word, &["*"]).id);
    let then = world.now + HOUR;
    let request = request(world, &acme, at(then));
    let Begun::FanOut(mut fan_out) = world.commit(|transaction| transaction.begin_large(&request)) else {
        panic!("there is something to write");
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 10));
    for endpoint in endpoints {
        assert_eq!(world.due(endpoint, Lane::Retry), [], "not before it is sealed");
        assert_eq!(waits_until(world, endpoint), None);
        assert_eq!(world.store().unplaced(endpoint, then, 10).expect("readable"), Unplaced::default());
    }
    let sealed = world.commit(|transaction| transaction.seal(&request, &fan_out));
    assert!(matches!(sealed, Accepted::New(_)));
    assert_eq!((world.births().len(), scheduled(world)), (0, endpoints.to_vec()));
    for endpoint in endpoints {
        assert_eq!(world.due(endpoint, Lane::Retry)[0].due_at, then);
        assert_eq!(waits_until(world, endpoint), Some(then));
    }
}

fn what_comes_too_late_is_discarded(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let delivery = accept(world, &acme, DeliveryTimes { deliver_at: None, expires_at: Some(world.now + SECOND) });
    world.advance(HOUR);
    world.commit(|transaction| transaction.request_attempt(delivery));
    let expired = Recorded::Written(StoredStatus::Discarded(DiscardReason::Expired));
    for _ in 0..2 {
        let recorded = world.commit(|transaction| transaction.expire_delivery(delivery, None));
        assert_eq!(recorded, Some(expired), "twice is the same as once");
    }
    let shown = world.delivery(&acme, delivery);
    assert_eq!(shown.status, DeliveryStatus::Discarded(DiscardReason::Expired));
    assert_eq!((shown.attempt_count, shown.finished_at, shown.next_attempt_at), (0, Some(world.now), None));
    for lane in [Lane::Fresh, Lane::Retry, Lane::Manual] {
        assert_eq!(world.due(endpoint, lane), []);
    }
    let delivered = world.deliver(&acme, "a.b");
    world.record(&world.attempt(delivered, 0, Verdict::Delivered));
    let recorded = world.commit(|transaction| transaction.expire_delivery(delivered, None));
    assert_eq!(recorded, Some(Recorded::Written(StoredStatus::Delivered)), "what has ended stays as it is");
}

fn what_is_for_later_is_kept_until_then(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["*"]);
    let then = world.now + DAY * 30;
    let delivery = accept(world, &acme, at(then));
    let event = world.delivery(&acme, delivery).event;
    world.advance(DAY * 31);
    let horizon = world.now - DAY * 30;
    world.commit(|transaction| transaction.retire(horizon, None, 100));
    assert!(world.store().event(&acme, event).expect("readable").is_some(), "it is still to be delivered");
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Pending);
    // Nor is it held for too long already when it has just become due.
    let endpoint = world.delivery(&acme, delivery).endpoint;
    world.pause(&acme, endpoint);
    world.commit(|transaction| transaction.retire(horizon, None, 100));
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Held);
    world.advance(DAY * 30);
    let horizon = world.now - DAY * 30;
    world.commit(|transaction| transaction.retire(horizon, None, 100));
    let status = world.delivery(&acme, delivery).status;
    assert_eq!(status, DeliveryStatus::Discarded(DiscardReason::Retention));
}
