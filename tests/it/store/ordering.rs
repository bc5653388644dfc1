//! Deliveries of ordered endpoints: their places, who is due, who waits,
//! and what becomes of that when somebody ends, by whatever way.

use std::time::Duration;

use posthaste::domain::{
    DeliveryId, DeliveryStatus, DiscardReason, EndpointId, EventOrder, StatusFilter, StoredStatus, Timestamp,
};
use posthaste::store::{
    DeliveryFilter, Lane, Notice, Placed, Placing, Record, Recorded, Scope, Skipped, Unplaced, Verdict,
};

use super::world::{DAY, HOUR, SECOND, START, World, event, events_of, in_sandbox};

for_every_backend! {
    the_first_of_each_key_is_due_and_the_others_wait
    whoever_ends_lets_the_next_go
    a_failing_head_blocks_its_key_alone
    whoever_is_skipped_lets_the_next_go
    an_attempt_by_hand_that_succeeds_leaves_the_line
    retention_and_deletion_leave_nobody_waiting_for_ever
    numbers_go_on_and_are_kept
    another_order_is_made_of_what_was_not_tried
    without_an_order_everything_is_due_again
    whoever_has_a_place_is_passed_over
    what_is_for_later_has_no_place_before_its_time
    skipping_says_what_it_found
    what_was_discarded_and_is_retried_by_hand_moves_nobody
    what_is_placed_while_it_is_sent_by_hand_frees_its_line
    an_order_that_is_changed_back_half_way_leaves_nobody_waiting
    what_waits_for_nobody_is_put_in_another_order_too
    what_fails_behind_others_goes_on_waiting
    what_waited_untried_is_due_at_once_whatever_the_clock_says
}

const FIFO: EventOrder = EventOrder::Fifo;

fn by(pointer: &str) -> EventOrder {
    EventOrder::By(pointer.parse().expect("a pointer"))
}

/// Places all that has no place, with these keys in turn, undoing another order first.
#[track_caller]
pub fn place(world: &mut World, endpoint: EndpointId, order: &EventOrder, keys: &[Option<i64>]) -> usize {
    loop {
        let unplaced = world.store().unplaced(endpoint, world.now, 100).expect("readable").due;
        let placings: Vec<Placing> = unplaced
            .iter()
            .zip(keys.iter().cycle())
            .map(|(due, order_key)| Placing { delivery: due.delivery, order_key: *order_key })
            .collect();
        let placed = world.commit(|transaction| transaction.place_deliveries(endpoint, Some(order), &placings, None));
        match placed {
            Placed::Done(count) => return count,
            Placed::Undone { .. } => {}
            Placed::Fenced => panic!("nobody else owns it"),
        }
    }
}

/// What is due: each with its number.
fn due(world: &World, endpoint: EndpointId) -> Vec<(DeliveryId, u64)> {
    let due = world.due(endpoint, Lane::Retry);
    due.iter().map(|due| (due.delivery, due.place.expect("what was placed has its place"))).collect()
}

/// Whether what the endpoint has is in this order, which it wants from now on.
fn is_in(world: &mut World, scope: &Scope, endpoint: EndpointId, order: Option<EventOrder>) -> bool {
    world.change(scope, endpoint, |settings| settings.order = order);
    world.store().endpoint_runtime(endpoint, world.now).expect("readable").expect("it is there").is_in_order
}

/// An endpoint with so many deliveries in one line.
fn in_line<const COUNT: usize>(world: &mut World) -> (Scope, EndpointId, [DeliveryId; COUNT]) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let deliveries = [(); COUNT].map(|()| world.deliver(&acme, "a.b"));
    assert_eq!(place(world, endpoint, &FIFO, &[Some(7)]), COUNT);
    (acme, endpoint, deliveries)
}

#[track_caller]
fn succeed(world: &mut World, delivery: DeliveryId) {
    let recorded = world.record(&world.attempt(delivery, 0, Verdict::Delivered));
    assert_eq!(recorded, Recorded::Written(StoredStatus::Delivered));
}

fn the_first_of_each_key_is_due_and_the_others_wait(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let [a1, b1, a2, free, b2, a3] = [(); 6].map(|()| world.deliver(&acme, "a.b"));
    assert_eq!(place(world, endpoint, &by("/id"), &[Some(1), Some(2), Some(1), None, Some(2), Some(1)]), 6);
    assert!(!is_in(world, &acme, endpoint, Some(FIFO)) && !is_in(world, &acme, endpoint, None));
    assert!(is_in(world, &acme, endpoint, Some(by("/id"))));
    assert_eq!(due(world, endpoint), [(a1, 1), (b1, 2), (free, 4)]);
    assert_eq!(world.due(endpoint, Lane::Fresh), [], "nothing is without its place");
    for (delivery, place, has_time) in
        [(a1, 1, true), (b1, 2, true), (a2, 3, false), (free, 4, true), (b2, 5, false), (a3, 6, false)]
    {
        let shown = world.delivery(&acme, delivery);
        assert_eq!((shown.status, shown.place), (DeliveryStatus::Pending, Some(place)));
        assert_eq!(shown.next_attempt_at.is_some(), has_time, "what waits for others has no time of its own");
    }
    let listed = |status| {
        let filter = DeliveryFilter { status: Some(status), endpoint: Some(endpoint), ..DeliveryFilter::default() };
        world.deliveries(&acme, &filter).len()
    };
    assert_eq!((listed(StatusFilter::Pending), listed(StatusFilter::Retrying)), (6, 0));
    let of_all = |status| {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        world.deliveries(&Scope::all(acme.environment), &filter).len()
    };
    assert_eq!((of_all(StatusFilter::Pending), of_all(StatusFilter::Retrying)), (6, 0));
    assert_eq!(world.store().backlog(endpoint, 10).expect("readable"), 6);
}

fn whoever_ends_lets_the_next_go(world: &mut World) {
    let (_, endpoint, [first, second, third]) = in_line::<3>(world);
    assert_eq!(due(world, endpoint), [(first, 1)]);
    world.advance(HOUR);
    succeed(world, first);
    let now_due = world.due(endpoint, Lane::Retry);
    assert_eq!(now_due.len(), 1);
    assert_eq!((now_due[0].delivery, now_due[0].due_at), (second, world.now), "it was not due before");
    world.record(&world.attempt(second, 0, Verdict::Exhausted));
    assert_eq!(due(world, endpoint), [(third, 3)]);
    let expired = world.attempt(third, 0, Verdict::Expired);
    let recorded = world.record(&expired);
    assert_eq!(recorded, Recorded::Written(StoredStatus::Discarded(DiscardReason::Expired)));
    assert_eq!(world.record(&expired), recorded, "twice is the same as once");
    assert_eq!(due(world, endpoint), []);
}

fn a_failing_head_blocks_its_key_alone(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let [a1, a2, b1, b2] = [(); 4].map(|()| world.deliver(&acme, "a.b"));
    place(world, endpoint, &by("/id"), &[Some(1), Some(1), Some(2), Some(2)]);
    let retry_at = world.now + HOUR;
    world.record(&world.attempt(a1, 0, Verdict::RetryAt(retry_at)));
    succeed(world, b1);
    let now_due = world.due(endpoint, Lane::Retry);
    let found: Vec<(DeliveryId, Timestamp)> = now_due.iter().map(|due| (due.delivery, due.due_at)).collect();
    assert_eq!(found, [(b2, world.now), (a1, retry_at)], "its retry is as late as ever");
    let shown = world.delivery(&acme, a1);
    assert_eq!((shown.status, shown.next_attempt_at), (DeliveryStatus::Retrying, Some(retry_at)));
    assert_eq!(world.delivery(&acme, a2).status, DeliveryStatus::Pending);
    // What comes meanwhile stands behind it.
    let a3 = world.deliver(&acme, "a.b");
    place(world, endpoint, &by("/id"), &[Some(1)]);
    world.record(&world.attempt(a1, 1, Verdict::Delivered));
    assert_eq!(due(world, endpoint), [(a2, 2), (b2, 4)]);
    succeed(world, a2);
    assert_eq!(due(world, endpoint), [(b2, 4), (a3, 5)]);
}

fn whoever_is_skipped_lets_the_next_go(world: &mut World) {
    let (acme, endpoint, [first, second, third, fourth]) = in_line::<4>(world);
    world.record(&world.attempt(first, 0, Verdict::RetryAt(START + DAY)));
    // One in the middle changes nothing about who is due.
    for (skipped, next) in [(third, (first, 1)), (first, (second, 2)), (second, (fourth, 4))] {
        let before = world.store().endpoint_runtime(endpoint, world.now).expect("readable").expect("it is there");
        assert_eq!(world.commit(|transaction| transaction.skip_delivery(&acme, skipped)), Skipped::Done);
        let told = world.notices.iter().any(|notice| matches!(notice, Notice::EndpointChanged(id) if *id == endpoint));
        assert!(told, "whoever has it in memory must hear of it");
        let after = world.store().endpoint_runtime(endpoint, world.now).expect("readable").expect("it is there");
        assert_eq!(after.discards, before.discards + 1);
        assert_eq!(due(world, endpoint), [next]);
        let shown = world.delivery(&acme, skipped);
        assert_eq!(shown.status, DeliveryStatus::Discarded(DiscardReason::Skipped));
        assert_eq!((shown.finished_at, shown.next_attempt_at), (Some(world.now), None));
    }
    let filter = DeliveryFilter { status: Some(StatusFilter::Discarded), ..DeliveryFilter::default() };
    assert_eq!(world.deliveries(&acme, &filter).len(), 3);
    // An attempt that was under way is evidence, and succeeds if it did.
    let recorded = world.record(&world.attempt(second, 0, Verdict::RetryAt(START + HOUR)));
    assert_eq!(recorded, Recorded::Written(StoredStatus::Discarded(DiscardReason::Skipped)));
    assert_eq!(world.delivery(&acme, second).attempt_count, 1);
    let recorded = world.record(&world.attempt(third, 0, Verdict::Delivered));
    assert_eq!(recorded, Recorded::Written(StoredStatus::Delivered));
    assert_eq!(due(world, endpoint), [(fourth, 4)]);
}

fn an_attempt_by_hand_that_succeeds_leaves_the_line(world: &mut World) {
    let (_, endpoint, [first, second, third]) = in_line::<3>(world);
    for delivery in [first, second] {
        world.commit(|transaction| transaction.request_attempt(delivery));
    }
    let asked = world.due(endpoint, Lane::Manual);
    assert_eq!(asked.iter().map(|due| due.place).collect::<Vec<_>>(), [Some(1), Some(2)]);
    world.record(&world.manual_attempt(second, 0, Verdict::Delivered));
    assert_eq!(due(world, endpoint), [(first, 1)], "nobody waited for the second");
    world.record(&world.manual_attempt(first, 0, Verdict::Unchanged));
    assert_eq!(due(world, endpoint), [(first, 1)]);
    world.commit(|transaction| transaction.request_attempt(first));
    world.record(&world.manual_attempt(first, 1, Verdict::Delivered));
    assert_eq!(due(world, endpoint), [(third, 3)]);
}

fn retention_and_deletion_leave_nobody_waiting_for_ever(world: &mut World) {
    let (acme, endpoint, [first, second]) = in_line::<2>(world);
    world.advance(DAY * 40);
    let late = world.deliver(&acme, "a.b");
    place(world, endpoint, &FIFO, &[Some(7)]);
    world.pause(&acme, endpoint);
    let horizon = world.now - DAY * 30;
    world.commit(|transaction| transaction.retire(horizon, None, 100));
    for old in [first, second] {
        assert_eq!(world.delivery(&acme, old).status, DeliveryStatus::Discarded(DiscardReason::Retention));
    }
    world.resume(&acme, endpoint);
    assert_eq!(due(world, endpoint), [(late, 3)]);
    let waits = world.deliver(&acme, "a.b");
    place(world, endpoint, &FIFO, &[Some(7)]);
    world.delete(&acme, endpoint);
    world.advance(HOUR);
    while world.commit(|transaction| transaction.discard_deleted(1)) > 0 {}
    for delivery in [late, waits] {
        let shown = world.delivery(&acme, delivery);
        assert_eq!(shown.status, DeliveryStatus::Discarded(DiscardReason::EndpointDeleted));
    }
    assert_eq!(world.due(endpoint, Lane::Retry), []);
}

fn numbers_go_on_and_are_kept(world: &mut World) {
    let (acme, endpoint, [first]) = in_line::<1>(world);
    succeed(world, first);
    assert_eq!(world.delivery(&acme, first).place, Some(1), "what ended keeps its place");
    world.reopen();
    let second = world.deliver(&acme, "a.b");
    place(world, endpoint, &FIFO, &[Some(7)]);
    assert_eq!(due(world, endpoint), [(second, 2)]);
    assert_eq!(world.delivery(&acme, first).place, Some(1));
    // Another endpoint counts by itself.
    let other = world.endpoint(&acme, "other", &["c.d"]).id;
    let elsewhere = world.accept(&acme, "c.d").id;
    place(world, other, &FIFO, &[Some(7)]);
    let of_other = world.deliveries_of(&acme, elsewhere).into_iter().find(|made| made.endpoint == other);
    assert_eq!(of_other.and_then(|made| made.place), Some(1));
}

fn another_order_is_made_of_what_was_not_tried(world: &mut World) {
    let (acme, endpoint, [tried, second, third]) = in_line::<3>(world);
    let retry_at = world.now + HOUR;
    world.record(&world.attempt(tried, 0, Verdict::RetryAt(retry_at)));
    let fresh = world.deliver(&acme, "a.b");
    assert_eq!(place(world, endpoint, &by("/id"), &[Some(1), Some(2), Some(1)]), 3);
    assert!(is_in(world, &acme, endpoint, Some(by("/id"))));
    let found: Vec<_> = world.due(endpoint, Lane::Retry).iter().map(|due| (due.delivery, due.place)).collect();
    assert_eq!(found, [(second, Some(2)), (third, Some(3)), (tried, Some(1))], "each with the number it had");
    let shown = world.delivery(&acme, tried);
    assert_eq!((shown.status, shown.next_attempt_at), (DeliveryStatus::Retrying, Some(retry_at)));
    assert_eq!(world.delivery(&acme, fresh).place, Some(4));
    // What was tried waits for nobody, and nobody for it.
    world.record(&world.attempt(tried, 1, Verdict::Delivered));
    succeed(world, second);
    assert_eq!(due(world, endpoint), [(third, 3), (fresh, 4)]);
}

fn without_an_order_everything_is_due_again(world: &mut World) {
    let (acme, endpoint, [first, second, third]) = in_line::<3>(world);
    let undone = world.commit(|transaction| transaction.place_deliveries(endpoint, None, &[], None));
    assert_eq!(undone, Placed::Undone { more: false });
    assert!(is_in(world, &acme, endpoint, None));
    let fresh: Vec<_> = world.due(endpoint, Lane::Fresh).iter().map(|due| (due.delivery, due.place)).collect();
    assert_eq!(fresh, [(first, Some(1)), (second, Some(2)), (third, Some(3))], "as they were accepted");
    assert_eq!(world.due(endpoint, Lane::Retry), []);
    succeed(world, second);
    let undone = world.commit(|transaction| transaction.place_deliveries(endpoint, None, &[], None));
    assert_eq!(undone, Placed::Done(0), "there is nothing left to undo");
}

fn whoever_has_a_place_is_passed_over(world: &mut World) {
    let (acme, endpoint, [first, second]) = in_line::<2>(world);
    let gone = world.deliver(&acme, "a.b");
    let last = world.deliver(&acme, "a.b");
    world.commit(|transaction| transaction.skip_delivery(&acme, gone));
    let placings = [second, first, gone, last].map(|delivery| Placing { delivery, order_key: Some(7) });
    let again = |world: &mut World| {
        world.commit(|transaction| transaction.place_deliveries(endpoint, Some(&FIFO), &placings, None))
    };
    assert_eq!(again(world), Placed::Done(1));
    assert_eq!(again(world), Placed::Done(0), "twice is the same as once");
    assert_eq!(due(world, endpoint), [(first, 1)]);
    assert_eq!(world.delivery(&acme, last).place, Some(3), "places have no gaps");
    let other = world.endpoint(&acme, "other", &["c.d"]).id;
    let foreign = [Placing { delivery: first, order_key: Some(7) }];
    place(world, other, &FIFO, &[]);
    let placed = world.commit(|transaction| transaction.place_deliveries(other, Some(&FIFO), &foreign, None));
    assert_eq!(placed, Placed::Done(0), "it is another endpoint's");
}

fn what_is_for_later_has_no_place_before_its_time(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let at = world.now + HOUR;
    let mut request = world.request(&acme, &["a.b"]);
    request.events[0] =
        event("a.b").delivered_at(posthaste::domain::DeliveryTimes { deliver_at: Some(at), expires_at: None });
    let later = events_of(world.accept_all(&[&request]).remove(0)).remove(0).id;
    let later = world.deliveries_of(&acme, later)[0].id;
    let first = world.deliver(&acme, "a.b");
    assert_eq!(place(world, endpoint, &FIFO, &[Some(7)]), 1);
    succeed(world, first);
    assert_eq!(place(world, endpoint, &FIFO, &[Some(7)]), 0);
    let waiting = world.due(endpoint, Lane::Retry);
    assert_eq!((waiting[0].delivery, waiting[0].due_at, waiting[0].place), (later, at, None));
    world.advance(HOUR);
    let second = world.deliver(&acme, "a.b");
    assert_eq!(place(world, endpoint, &FIFO, &[Some(7)]), 2);
    let placed = [later, second].map(|delivery| world.delivery(&acme, delivery).place);
    assert_eq!(placed, [Some(2), Some(3)], "it came when its time did");
    assert_eq!(due(world, endpoint), [(later, 2)]);
    let unplaced = world.store().unplaced(endpoint, world.now, 10).expect("readable");
    assert_eq!(unplaced, Unplaced::default());
}

fn an_order_that_is_changed_back_half_way_leaves_nobody_waiting(world: &mut World) {
    // More than are taken out of an order at once.
    const MANY: usize = 2_500;
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let request = world.request(&acme, &vec!["a.b"; MANY]);
    world.accept_all(&[&request]);
    while place(world, endpoint, &FIFO, &[Some(7)]) > 0 {}
    assert_eq!(due(world, endpoint).len(), 1);
    let undone = world.commit(|transaction| transaction.place_deliveries(endpoint, None, &[], None));
    assert_eq!(undone, Placed::Undone { more: true });
    for wanted in [None, Some(FIFO), Some(by("/id"))] {
        assert!(!is_in(world, &acme, endpoint, wanted), "it is in no order at all");
    }
    while place(world, endpoint, &FIFO, &[Some(7)]) > 0 {}
    let first = due(world, endpoint);
    assert_eq!(first.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [1]);
    succeed(world, first[0].0);
    assert_eq!(due(world, endpoint)[0].1, 2);
}

fn what_waits_for_nobody_is_put_in_another_order_too(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let [first, second, third] = [(); 3].map(|()| world.deliver(&acme, "a.b"));
    place(world, endpoint, &by("/none"), &[None]);
    assert_eq!(due(world, endpoint), [(first, 1), (second, 2), (third, 3)]);
    let fourth = world.deliver(&acme, "a.b");
    assert_eq!(place(world, endpoint, &FIFO, &[Some(7)]), 4);
    assert_eq!(due(world, endpoint), [(first, 1)]);
    for (ends, next) in [(first, (second, 2)), (second, (third, 3)), (third, (fourth, 4))] {
        succeed(world, ends);
        assert_eq!(due(world, endpoint), [next]);
    }
}

fn skipping_says_what_it_found(world: &mut World) {
    let acme = world.partner("acme");
    let bolt = world.partner("bolt");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let [done, plain, held] = [(); 3].map(|()| world.deliver(&acme, "a.b"));
    succeed(world, done);
    let skip = |world: &mut World, scope: &Scope, delivery| {
        world.commit(|transaction| transaction.skip_delivery(scope, delivery))
    };
    for scope in [&bolt, &in_sandbox(&acme)] {
        assert_eq!(skip(world, scope, plain), Skipped::NotFound, "it is another's");
    }
    assert_eq!(skip(world, &acme, done), Skipped::Ended);
    assert_eq!(skip(world, &Scope::all(acme.environment), plain), Skipped::Done, "an operator may");
    assert_eq!(skip(world, &acme, plain), Skipped::Ended);
    world.commit(|transaction| transaction.request_attempt(held));
    world.pause(&acme, endpoint);
    assert_eq!(skip(world, &acme, held), Skipped::Done);
    assert_eq!(world.due(endpoint, Lane::Manual), [], "nobody tries it any more");
    let last = world.deliver(&acme, "a.b");
    world.delete(&acme, endpoint);
    assert_eq!(skip(world, &acme, last), Skipped::Ended, "it ended with its endpoint");
    world.advance(Duration::from_secs(1) + SECOND);
}

fn what_was_discarded_and_is_retried_by_hand_moves_nobody(world: &mut World) {
    let (acme, endpoint, [first, second, third]) = in_line::<3>(world);
    world.record(&world.attempt(first, 0, Verdict::RetryAt(START + DAY)));
    assert_eq!(world.commit(|transaction| transaction.skip_delivery(&acme, first)), Skipped::Done);
    assert_eq!(
        world.commit(|transaction| transaction.expire_delivery(second, None)),
        Some(Recorded::Written(StoredStatus::Discarded(DiscardReason::Expired)))
    );
    assert_eq!(due(world, endpoint), [(third, 3)]);
    for id in [first, second] {
        let before = world.delivery(&acme, id);
        let count = before.attempt_count;
        world.commit(|transaction| transaction.request_attempt(id));
        let asked = world.due(endpoint, Lane::Manual);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].attempt_count, count);
        assert!(asked[0].place.is_some());
        world.advance(SECOND);
        let written = world.record(&Record { is_ordered: true, ..world.manual_attempt(id, count, Verdict::Unchanged) });
        let reason = if id == first { DiscardReason::Skipped } else { DiscardReason::Expired };
        assert_eq!(written, Recorded::Written(StoredStatus::Discarded(reason)));
        let shown = world.delivery(&acme, id);
        assert_eq!(
            (shown.attempt_count, shown.finished_at, shown.next_attempt_at, shown.status),
            (count + 1, before.finished_at, None, before.status)
        );
        assert_eq!(world.due(endpoint, Lane::Manual), []);
        world.commit(|transaction| transaction.request_attempt(id));
        let written =
            world.record(&Record { is_ordered: true, ..world.manual_attempt(id, count + 1, Verdict::Delivered) });
        assert_eq!(written, Recorded::Written(StoredStatus::Delivered));
        let shown = world.delivery(&acme, id);
        assert_eq!(
            (shown.attempt_count, shown.next_attempt_at, shown.status),
            (count + 2, None, DeliveryStatus::Delivered)
        );
        assert_eq!(due(world, endpoint), [(third, 3)]);
    }
    succeed(world, third);
    assert_eq!(due(world, endpoint), []);
}

fn what_is_placed_while_it_is_sent_by_hand_frees_its_line(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let [a, b] = [(); 2].map(|()| world.deliver(&acme, "a.b"));
    world.commit(|transaction| transaction.request_attempt(a));
    place(world, endpoint, &FIFO, &[Some(7); 2]);
    assert_eq!(due(world, endpoint), [(a, 1)]);
    world.record(&Record { is_ordered: false, ..world.manual_attempt(a, 0, Verdict::Delivered) });
    assert_eq!(due(world, endpoint), [(b, 2)]);
}

/// It was sent before there was an order, by a life that ended before its outcome was
/// written.
fn what_fails_behind_others_goes_on_waiting(world: &mut World) {
    let (acme, endpoint, [first, second, third]) = in_line(world);
    let again_at = world.now + HOUR;
    world.record(&world.attempt(second, 0, Verdict::RetryAt(again_at)));
    assert_eq!(due(world, endpoint), [(first, 1)]);
    assert_eq!(world.delivery(&acme, second).attempt_count, 1);
    succeed(world, first);
    let due_at: Vec<Timestamp> = world.due(endpoint, Lane::Retry).iter().map(|due| due.due_at).collect();
    assert_eq!((due(world, endpoint), due_at), (vec![(second, 2)], vec![again_at]), "nor does it come early");
    world.record(&world.attempt(second, 1, Verdict::Delivered));
    assert_eq!(due(world, endpoint), [(third, 3)]);
}

/// The clock was set back while it waited: that is no wait of its own.
fn what_waited_untried_is_due_at_once_whatever_the_clock_says(world: &mut World) {
    let (_, endpoint, [first, second]) = in_line(world);
    world.now = Timestamp::from_millis(world.now.as_millis() - HOUR.as_millis() as i64);
    succeed(world, first);
    let due = world.due(endpoint, Lane::Retry);
    assert_eq!(due.iter().map(|due| (due.delivery, due.due_at)).collect::<Vec<_>>(), [(second, world.now)]);
}
