//! What goes before the whole of its event does: by settings, or because its producer
//! did not want it kept. Never what a delivery still needs.

use posthaste::domain::{
    DeliveryId, DeliveryStatus, DiscardReason, EndpointId, ErasedBy, Event, EventId, Kept, Outcome, RetentionDays,
};
use posthaste::store::{
    DeliveryFilter, Enforced, EventOutcome, Lane, PageRequest, Retentions, Scope, Skipped, Slice, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::replaying::{begin, carry_out, exhausted};
use super::world::{DAY, HOUR, SECOND, START, World, event_with, events_of, in_sandbox, settings};

for_every_backend! {
    what_is_set_is_inherited
    a_payload_goes_once_nobody_needs_it
    attempts_go_so_long_after_they_were_made
    what_an_exhausted_delivery_failed_at_last_stays
    what_is_held_is_discarded
    what_a_replay_made_is_held_as_long_as_anything_else
    what_is_exhausted_is_discarded_and_goes_with_the_rest
    what_was_passed_by_is_looked_at_again
    walks_go_on_where_they_stopped
    an_environment_speaks_for_all_who_say_nothing
    a_slice_takes_on_so_much_and_no_more
    nothing_is_done_where_nothing_is_set
    what_is_not_to_be_kept_goes_when_it_is_delivered
    what_is_not_to_be_kept_stays_while_it_is_exhausted
    what_is_not_to_be_kept_goes_when_a_replay_delivered_it
    what_was_replayed_since_is_discarded_as_exhausted
    an_erased_payload_is_not_sent_again
    an_erased_event_says_who_was_filtered
    a_payload_asked_for_by_hand_stays
    what_is_for_later_is_as_old_as_its_time
    what_is_needed_is_never_erased
}

/// The option of these cases.
const MOST_DAYS: u32 = 30;
const PLENTY: Slice = Slice { rows: 500, bytes: 1 << 20 };

fn days(of: &[(Kept, u32)]) -> RetentionDays {
    of.iter().fold(RetentionDays::default(), |days, (kept, number)| days.with(*kept, Some(*number)))
}

#[track_caller]
fn set(world: &mut World, scope: &Scope, of: &[(Kept, u32)]) {
    let days = days(of);
    let set = world.commit(|transaction| transaction.set_retention(scope, days));
    assert_eq!(set.expect("there is such a partner").into_inner(), days);
}

/// A whole round in slices of this size: what was done, and in how many.
fn round(world: &mut World, slice: Slice) -> (Enforced, usize) {
    let (mut done, mut slices) = (Enforced::default(), 0);
    loop {
        let one = world.commit(|transaction| transaction.enforce_retention(MOST_DAYS, done.next, slice));
        slices += 1;
        done = Enforced { rows: done.rows + one.rows, payloads: done.payloads + one.payloads, next: one.next };
        if done.next.is_none() {
            return (done, slices);
        }
        assert!(slices < 1_000, "a round comes to its end");
    }
}

fn enforce(world: &mut World) -> Enforced {
    round(world, PLENTY).0
}

/// Everything that is not to be kept, in slices of this size: how many payloads.
fn erase_unretained(world: &mut World, slice: Slice) -> usize {
    let (mut after, mut payloads) = (None, 0);
    for _ in 0..1_000 {
        let one = world.commit(|transaction| transaction.erase_unretained(after, slice));
        payloads += one.payloads;
        after = one.next;
        if after.is_none() {
            return payloads;
        }
    }
    panic!("a walk comes to its end");
}

#[track_caller]
fn event(world: &World, scope: &Scope, id: EventId) -> Event {
    world.store().event(scope, id).expect("readable").expect("an event stays")
}

fn is_erased(world: &World, scope: &Scope, id: EventId) -> bool {
    let event = event(world, scope, id);
    let is_readable = world.store().payloads(&[id]).expect("readable").len() == 1;
    assert_eq!(event.erased.is_none(), is_readable, "what is erased is not sent, and the rest is");
    assert_eq!(event.erased.is_some(), event.body.is_empty());
    event.erased.is_some()
}

/// An event with one delivery, and that.
#[track_caller]
fn deliver(world: &mut World, scope: &Scope, event_type: &str) -> (EventId, DeliveryId) {
    let event = world.accept(scope, event_type).id;
    let [only] = &world.deliveries_of(scope, event)[..] else { panic!("one endpoint wants {event_type}") };
    (event, only.id)
}

/// The same, ended like this.
#[track_caller]
fn ended(world: &mut World, scope: &Scope, verdict: Verdict) -> (EventId, DeliveryId) {
    let (event, delivery) = deliver(world, scope, "campaign.updated");
    let record = world.attempt(delivery, 0, verdict);
    world.record(&record);
    (event, delivery)
}

fn status(world: &World, scope: &Scope, delivery: DeliveryId) -> DeliveryStatus {
    world.delivery(scope, delivery).status
}

/// Accepts an event whose payload is not to be kept.
#[track_caller]
fn unretained(world: &mut World, scope: &Scope) -> EventId {
    let mut request = world.request(scope, &["campaign.updated"]);
    request.events[0].is_unretained = true;
    events_of(world.accept_all(&[&request]).remove(0))[0].id
}

const RETENTION: DeliveryStatus = DeliveryStatus::Discarded(DiscardReason::Retention);

fn what_is_set_is_inherited(world: &mut World) {
    let acme = world.partner("acme");
    let everyone = Scope::all(acme.environment);
    let read = |world: &World, scope: &Scope| world.store().retentions(scope).expect("readable").expect("it is there");
    assert_eq!(read(world, &acme), Retentions::default());
    set(world, &everyone, &[(Kept::Payloads, 5), (Kept::Attempts, 6)]);
    set(world, &acme, &[(Kept::Payloads, 9), (Kept::Held, 3)]);
    let found = read(world, &acme);
    assert_eq!(found.own, days(&[(Kept::Payloads, 9), (Kept::Held, 3)]));
    assert_eq!(found.environment, days(&[(Kept::Payloads, 5), (Kept::Attempts, 6)]));
    assert_eq!(found.effective(), days(&[(Kept::Payloads, 9), (Kept::Attempts, 6), (Kept::Held, 3)]));
    assert_eq!(read(world, &in_sandbox(&acme)), Retentions::default(), "the environments share nothing");
    world.reopen();
    assert_eq!(read(world, &acme), found);

    let again = found.own;
    let same = world.commit(|transaction| transaction.set_retention(&acme, again)).expect("it is there");
    assert!(!same.is_change(), "it was so before");
    set(world, &acme, &[]);
    assert_eq!(read(world, &acme).effective(), found.environment);
    let nobody = Scope::of(acme.environment, "nobody".parse().expect("a name"));
    assert_eq!(world.commit(|transaction| transaction.set_retention(&nobody, again)), None);
    assert_eq!(world.store().retentions(&nobody).expect("readable"), None);
}

fn a_payload_goes_once_nobody_needs_it(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["campaign.*"]);
    set(world, &acme, &[(Kept::Payloads, 2)]);
    let (delivered, first) = ended(world, &acme, Verdict::Delivered);
    let (exhausted, _) = ended(world, &acme, Verdict::Exhausted);
    let nobodys = world.accept(&acme, "order.paid").id;
    let (retrying, late) = ended(world, &acme, Verdict::RetryAt(START + 20 * DAY));
    let (untried, _) = deliver(world, &acme, "campaign.created");
    let before = event(world, &acme, delivered);
    world.advance(2 * DAY - SECOND);
    assert_eq!(enforce(world), Enforced::default(), "it is not that old yet");
    world.advance(2 * SECOND);
    let young = world.accept(&acme, "order.paid").id;
    assert_eq!(enforce(world), Enforced { rows: 3, payloads: 3, next: None });
    for (id, erased) in
        [(delivered, true), (exhausted, true), (nobodys, true), (retrying, false), (untried, false), (young, false)]
    {
        assert_eq!(is_erased(world, &acme, id), erased, "{id}");
    }
    // All but the payload stays.
    let after = event(world, &acme, delivered);
    let erasure = after.erased.expect("it was erased");
    assert_eq!((erasure.at, erasure.by), (world.now, ErasedBy::Retention));
    assert_eq!(Event { body: before.body.clone(), erased: None, ..after }, before);
    assert_eq!(status(world, &acme, first), DeliveryStatus::Delivered);
    assert_eq!(world.attempts(first).len(), 1);
    assert_eq!(enforce(world), Enforced::default(), "what is erased is not erased again");

    // Ended late, it goes late.
    let record = world.attempt(late, 1, Verdict::Delivered);
    world.record(&record);
    assert_eq!(enforce(world).payloads, 1);
    assert!(is_erased(world, &acme, retrying) && !is_erased(world, &acme, untried));
}

fn attempts_go_so_long_after_they_were_made(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    set(world, &acme, &[(Kept::Attempts, 3)]);
    let (first, delivery) = ended(world, &acme, Verdict::RetryAt(START + 2 * DAY));
    world.advance(2 * DAY);
    let second = world.attempt(delivery, 1, Verdict::RetryAt(START + 4 * DAY));
    world.record(&second);
    world.now = START + 3 * DAY + SECOND;
    assert_eq!(enforce(world), Enforced { rows: 1, payloads: 0, next: None });
    let numbers = |world: &World| world.attempts(delivery).iter().map(|attempt| attempt.number).collect::<Vec<_>>();
    assert_eq!(numbers(world), [2], "the second is younger");
    assert_eq!(world.delivery(&acme, delivery).attempt_count, 2, "they were made");
    // The outcome of the next is not taken for one that was written before.
    world.now = START + 4 * DAY;
    let third = world.attempt(delivery, 2, Verdict::Delivered);
    world.record(&third);
    assert_eq!(numbers(world), [2, 3]);
    for (now, left) in [(START + 5 * DAY + SECOND, vec![3]), (START + 7 * DAY + SECOND, vec![])] {
        world.now = now;
        assert_eq!(enforce(world).rows, 1);
        assert_eq!(numbers(world), left);
    }
    assert_eq!(world.delivery(&acme, delivery).attempt_count, 3);
    assert!(!is_erased(world, &acme, first));
    // One that is made by hand, long after the walk has passed.
    world.commit(|transaction| transaction.request_attempt(delivery));
    let manual = world.manual_attempt(delivery, 3, Verdict::Unchanged);
    world.record(&manual);
    assert_eq!(enforce(world).rows, 0);
    assert_eq!(numbers(world), [4]);
    world.advance(3 * DAY + SECOND);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(numbers(world), Vec::<u32>::new());
    // That they went is no fault of the store's, also when no more are to go.
    set(world, &acme, &[]);
}

fn what_an_exhausted_delivery_failed_at_last_stays(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    set(world, &acme, &[(Kept::Attempts, 1)]);
    let (_, delivery) = ended(world, &acme, Verdict::RetryAt(START + HOUR));
    world.advance(HOUR);
    let mut last = world.attempt(delivery, 1, Verdict::Exhausted);
    last.outcome = Outcome::answered(503, bytes::Bytes::new());
    world.record(&last);
    let numbers = |world: &World, of| world.attempts(of).iter().map(|attempt| attempt.number).collect::<Vec<_>>();
    world.advance(2 * DAY);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(numbers(world, delivery), [2]);
    let told = world.store().exhausted(&acme, &PageRequest { after: None, limit: 10 }).expect("readable").items;
    let reasons: Vec<_> = told[0].reasons.iter().map(|reason| (reason.status_code, reason.count)).collect();
    assert_eq!(reasons, [(Some(503), 1)]);
    // So it is with one that a replay made.
    let replay = begin(world, &acme, endpoint, exhausted());
    assert_eq!(carry_out(world, replay, endpoint, 10), 1);
    let made = world.deliveries(&acme, &DeliveryFilter::default())[0].id;
    let record = world.attempt(made, 0, Verdict::Exhausted);
    world.record(&record);
    world.advance(2 * DAY);
    assert_eq!(enforce(world).rows, 0);
    assert_eq!(numbers(world, made), [1]);
    // It goes once the delivery is not exhausted any more.
    for delivery in [delivery, made] {
        world.commit(|transaction| transaction.dismiss_delivery(&acme, delivery));
        assert_eq!(enforce(world).rows, 1);
        assert_eq!(world.attempts(delivery), []);
    }
}

fn what_is_held_is_discarded(world: &mut World) {
    let acme = world.partner("acme");
    let held = world.endpoint(&acme, "held", &["*"]);
    let active = world.endpoint(&acme, "active", &["*"]);
    set(world, &acme, &[(Kept::Held, 1)]);
    let old = world.accept(&acme, "campaign.created").id;
    world.pause(&acme, held.id);
    world.advance(DAY + SECOND);
    let young = world.accept(&acme, "campaign.created").id;
    assert_eq!(enforce(world).rows, 1);
    let stands = |world: &World, event: EventId| -> Vec<DeliveryStatus> {
        world.deliveries_of(&acme, event).iter().map(|delivery| delivery.status).collect()
    };
    assert_eq!(stands(world, old), [RETENTION, DeliveryStatus::Pending]);
    assert_eq!(stands(world, young), [DeliveryStatus::Held, DeliveryStatus::Pending]);
    assert_eq!(world.deliveries_of(&acme, old)[0].finished_at, Some(world.now));
    world.resume(&acme, held.id);
    assert_eq!(world.due(held.id, Lane::Fresh).len(), 1, "what is left of it goes on");
    // What begins to be held long after the walk has passed.
    world.pause(&acme, active.id);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(stands(world, old), [RETENTION, RETENTION]);
    assert!(!is_erased(world, &acme, old), "its payload is another matter");
}

fn what_a_replay_made_is_held_as_long_as_anything_else(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    set(world, &acme, &[(Kept::Held, 2)]);
    let old: Vec<DeliveryId> = (0..3).map(|_| ended(world, &acme, Verdict::Exhausted).1).collect();
    world.advance(5 * DAY);
    enforce(world);
    world.pause(&acme, endpoint);
    let replay = begin(world, &acme, endpoint, exhausted());
    assert_eq!(carry_out(world, replay, endpoint, 10), old.len());
    let made: Vec<DeliveryId> =
        world.deliveries(&acme, &DeliveryFilter::default()).iter().take(old.len()).map(|made| made.id).collect();
    for days in [0, 1] {
        world.advance(DAY * days);
        assert_eq!(enforce(world).rows, 0);
        assert!(made.iter().all(|made| status(world, &acme, *made) == DeliveryStatus::Held), "after {days} days");
    }
    // By their own age they go all the same, though their events were passed by long before.
    world.advance(DAY + SECOND);
    assert_eq!(enforce(world).rows, old.len());
    assert!(made.iter().all(|made| status(world, &acme, *made) == RETENTION));
    assert!(old.iter().all(|old| status(world, &acme, *old) == DeliveryStatus::RetriesExhausted));
}

fn what_is_exhausted_is_discarded_and_goes_with_the_rest(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    set(world, &acme, &[(Kept::Exhausted, 2)]);
    let (event, delivery) = ended(world, &acme, Verdict::RetryAt(START + DAY));
    world.now = START + DAY;
    let record = world.attempt(delivery, 1, Verdict::Exhausted);
    world.record(&record);
    world.now = record.finished_at + 2 * DAY;
    assert_eq!(enforce(world).rows, 0, "counted from when it ended");
    assert_eq!(status(world, &acme, delivery), DeliveryStatus::RetriesExhausted);
    world.advance(SECOND);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(status(world, &acme, delivery), RETENTION);
    assert_eq!(world.delivery(&acme, delivery).finished_at, Some(record.finished_at), "that is when it ended");
    let horizon = record.finished_at + SECOND;
    world.advance(30 * DAY);
    world.commit(|transaction| transaction.retire(horizon, None, 100));
    assert_eq!(world.store().event(&acme, event).expect("readable"), None);
    assert_eq!(enforce(world), Enforced::default(), "and nothing of it is looked for any more");
}

fn what_was_passed_by_is_looked_at_again(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    set(world, &acme, &[(Kept::Payloads, 1)]);
    let waiting: Vec<(EventId, DeliveryId)> =
        (0..7).map(|_| ended(world, &acme, Verdict::RetryAt(START + 9 * DAY))).collect();
    world.advance(2 * DAY);
    let small = Slice { rows: 2, bytes: 1 << 20 };
    assert_eq!(round(world, small).0.payloads, 0);
    world.kill();
    for (index, (_, delivery)) in waiting.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
        let record = world.attempt(*delivery, 1, if index == 0 { Verdict::Exhausted } else { Verdict::Delivered });
        world.record(&record);
    }
    assert_eq!(round(world, small).0.payloads, 4);
    for (index, (event, _)) in waiting.iter().enumerate() {
        assert_eq!(is_erased(world, &acme, *event), index % 2 == 0);
    }
    // Of those that are gone meanwhile nothing is looked at.
    for (_, delivery) in waiting.iter().skip(1).step_by(2) {
        let record = world.attempt(*delivery, 1, Verdict::Delivered);
        world.record(&record);
    }
    world.advance(40 * DAY);
    let horizon = world.now;
    world.commit(|transaction| transaction.retire(horizon, None, 1_000));
    assert_eq!(enforce(world), Enforced::default());
    let left = "retention_left";
    assert_eq!(
        world.place().texts(&format!("(SELECT CAST(event AS TEXT) AS event FROM {left}) AS l"), "event").len(),
        0
    );
}

fn walks_go_on_where_they_stopped(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["campaign.*"]);
    set(world, &acme, &[(Kept::Payloads, 1), (Kept::Attempts, 1)]);
    let mut old = Vec::new();
    for _ in 0..10 {
        old.push(ended(world, &acme, Verdict::Delivered).0);
        world.advance(SECOND);
    }
    world.advance(DAY);
    let small = Slice { rows: 3, bytes: 1 << 20 };
    let mut after = None;
    for erased in [1, 2] {
        let one = world.commit(|transaction| transaction.enforce_retention(MOST_DAYS, after, small));
        after = one.next;
        assert!(after.is_some());
        assert_eq!(
            old.iter().filter(|event| is_erased(world, &acme, **event)).count(),
            erased,
            "one event has two rows"
        );
    }
    // Whoever begins anew goes on behind what was done: another node, or the same after a restart.
    world.kill();
    let (rest, _) = round(world, small);
    assert_eq!((rest.payloads, rest.rows), (8, 8 + 10));
    assert!(old.iter().all(|event| is_erased(world, &acme, *event)));
    assert_eq!(enforce(world), Enforced::default());

    // Settings that are shortened reach what is younger, and those that come back everything.
    let young = ended(world, &acme, Verdict::Delivered).0;
    set(world, &acme, &[]);
    world.advance(5 * DAY);
    assert_eq!(enforce(world), Enforced::default());
    set(world, &acme, &[(Kept::Payloads, 4)]);
    assert_eq!(enforce(world).payloads, 1);
    assert!(is_erased(world, &acme, young));
}

fn an_environment_speaks_for_all_who_say_nothing(world: &mut World) {
    let (acme, globex) = (world.partner("acme"), world.partner("globex"));
    let (everyone, sandbox) = (Scope::all(acme.environment), in_sandbox(&acme));
    set(world, &everyone, &[(Kept::Payloads, 2)]);
    set(world, &globex, &[(Kept::Payloads, 20)]);
    let scopes = [&acme, &globex, &everyone, &sandbox];
    let events: Vec<EventId> = scopes.map(|scope| world.accept(scope, "order.paid").id).to_vec();
    world.advance(3 * DAY);
    assert_eq!(enforce(world).payloads, 2);
    let erased: Vec<bool> = scopes.iter().zip(&events).map(|(scope, event)| is_erased(world, scope, *event)).collect();
    assert_eq!(erased, [true, false, true, false]);
    // What was set to as much as anything is kept asks for nothing.
    set(world, &everyone, &[(Kept::Payloads, MOST_DAYS)]);
    set(world, &globex, &[(Kept::Payloads, MOST_DAYS + 1)]);
    world.advance(100 * DAY);
    assert_eq!(enforce(world), Enforced::default());
}

fn a_slice_takes_on_so_much_and_no_more(world: &mut World) {
    let acme = world.partner("acme");
    let everyone = Scope::all(acme.environment);
    set(world, &everyone, &[(Kept::Payloads, 1), (Kept::Attempts, 1), (Kept::Held, 1), (Kept::Exhausted, 1)]);
    let filler = "x".repeat(1_000);
    for _ in 0..6 {
        let mut request = world.request(&acme, &[]);
        request.events = vec![event_with("order.paid", &json!({ "filler": filler }))];
        world.accept_all(&[&request]);
    }
    world.advance(2 * DAY);
    let (done, slices) = round(world, Slice { rows: 500, bytes: 2_000 });
    assert_eq!(done.payloads, 6);
    assert!(slices >= 3, "two of 1 KiB in each of {slices}");

    // However many deliveries an event has, each slice is small.
    for number in 0..9 {
        world.endpoint(&acme, &format!("number{number}"), &["campaign.*"]);
    }
    let event = world.accept(&acme, "campaign.updated").id;
    for (number, delivery) in world.deliveries_of(&acme, event).into_iter().enumerate() {
        match number % 3 {
            0 => _ = world.record(&world.attempt(delivery.id, 0, Verdict::Exhausted)),
            1 => _ = world.record(&world.attempt(delivery.id, 0, Verdict::Delivered)),
            _ => _ = world.pause(&acme, delivery.endpoint),
        }
    }
    world.advance(2 * DAY);
    let small = Slice { rows: 2, bytes: 1 << 20 };
    let mut after = None;
    let mut rows = 0;
    for slices in 1.. {
        let one = world.commit(|transaction| transaction.enforce_retention(MOST_DAYS, after, small));
        assert!(one.rows <= 4, "{one:?}");
        rows += one.rows;
        after = one.next;
        if after.is_none() {
            break;
        }
        assert!(slices < 100);
    }
    // A payload is looked at before its last delivery is discarded.
    rows += enforce(world).rows;
    assert_eq!(rows, 1 + 6 + 3 + 3, "a payload, attempts, held ones, exhausted ones");
}

fn nothing_is_done_where_nothing_is_set(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let (event, delivery) = ended(world, &acme, Verdict::Exhausted);
    world.advance(29 * DAY);
    assert_eq!(round(world, PLENTY), (Enforced::default(), 1));
    assert_eq!(erase_unretained(world, PLENTY), 0);
    assert!(!is_erased(world, &acme, event));
    assert_eq!(status(world, &acme, delivery), DeliveryStatus::RetriesExhausted);
    assert_eq!(world.attempts(delivery).len(), 1);
}

fn what_is_not_to_be_kept_goes_when_it_is_delivered(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["*"]);
    world.endpoint(&acme, "two", &["*"]);
    let kept = world.accept(&acme, "campaign.updated").id;
    let id = unretained(world, &acme);
    assert!(event(world, &acme, id).is_unretained && !event(world, &acme, kept).is_unretained);
    assert_eq!(erase_unretained(world, PLENTY), 0);
    let both = world.deliveries_of(&acme, id);
    let answered =
        |world: &World, delivery| Outcome::answered(200, bytes::Bytes::from(format!("{delivery} {}", world.now)));
    for (before, after) in [(0, 0), (1, 1)] {
        for kept in world.deliveries_of(&acme, kept).iter().skip(before).take(1) {
            let record = world.attempt(kept.id, 0, Verdict::Delivered);
            world.record(&record);
        }
        let delivery = both[before].id;
        let mut record = world.attempt(delivery, 0, Verdict::Delivered);
        record.outcome = answered(world, delivery);
        world.record(&record);
        assert_eq!(erase_unretained(world, PLENTY), after);
    }
    let erased = event(world, &acme, id);
    assert_eq!(erased.erased.map(|erased| erased.by), Some(ErasedBy::RetainNone));
    assert!(is_erased(world, &acme, id) && !is_erased(world, &acme, kept));
    for delivery in &both {
        let attempts = world.attempts(delivery.id);
        assert_eq!(attempts.len(), 1, "attempts stay, without what was answered");
        assert!(attempts[0].outcome.response_body.is_empty());
    }
    let other = world.deliveries_of(&acme, kept)[0].id;
    assert!(!world.attempts(other)[0].outcome.response_body.is_empty());
    // One that nobody wants is needed by nobody; and many go in slices, by their bytes too.
    let globex = world.partner("globex");
    let many: Vec<EventId> = (0..5).map(|_| unretained(world, &globex)).collect();
    assert_eq!(erase_unretained(world, Slice { rows: 2, bytes: 1 }), 5);
    assert!(many.iter().all(|event| is_erased(world, &globex, *event)));
    // Of one with many deliveries, what was answered goes bit by bit.
    let last = unretained(world, &acme);
    for delivery in world.deliveries_of(&acme, last) {
        let record = world.attempt(delivery.id, 0, Verdict::Delivered);
        world.record(&record);
    }
    assert_eq!(erase_unretained(world, Slice { rows: 1, bytes: 1 }), 1);
    assert!(is_erased(world, &acme, last));
}

/// An event that is not to be kept, exhausted and then made again by a replay: that, the older
/// delivery, and the one that the replay made.
fn replayed(world: &mut World, acme: &Scope, endpoint: EndpointId) -> (EventId, DeliveryId, DeliveryId) {
    let id = unretained(world, acme);
    let older = world.deliveries_of(acme, id)[0].id;
    let record = world.attempt(older, 0, Verdict::Exhausted);
    world.record(&record);
    let replay = begin(world, acme, endpoint, exhausted());
    assert_eq!(carry_out(world, replay, endpoint, 10), 1);
    let made = world.deliveries(acme, &DeliveryFilter::default())[0].id;
    assert_ne!(made, older);
    (id, older, made)
}

fn what_is_not_to_be_kept_goes_when_a_replay_delivered_it(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let (id, older, made) = replayed(world, &acme, endpoint);
    assert_eq!(erase_unretained(world, PLENTY), 0, "it is about to be sent");
    let record = world.attempt(made, 0, Verdict::Exhausted);
    world.record(&record);
    assert_eq!(erase_unretained(world, PLENTY), 0, "it can be sent again");
    let replay = begin(world, &acme, endpoint, exhausted());
    assert_eq!(carry_out(world, replay, endpoint, 10), 1);
    let last = world.deliveries(&acme, &DeliveryFilter::default())[0].id;
    let record = world.attempt(last, 0, Verdict::Delivered);
    world.record(&record);
    assert_eq!(erase_unretained(world, PLENTY), 1);
    assert!(is_erased(world, &acme, id));
    for older in [older, made] {
        assert_eq!(status(world, &acme, older), DeliveryStatus::RetriesExhausted, "it is not sent again");
    }
    // What was replayed to one endpoint is exhausted for another all the same.
    world.endpoint(&acme, "other", &["*"]);
    let id = unretained(world, &acme);
    for delivery in world.deliveries_of(&acme, id) {
        let record = world.attempt(delivery.id, 0, Verdict::Exhausted);
        world.record(&record);
    }
    let replay = begin(world, &acme, endpoint, exhausted());
    assert_eq!(carry_out(world, replay, endpoint, 10), 1);
    let made = world.deliveries(&acme, &DeliveryFilter::default())[0].id;
    let record = world.attempt(made, 0, Verdict::Delivered);
    world.record(&record);
    assert_eq!(erase_unretained(world, PLENTY), 0);
    assert!(!is_erased(world, &acme, id));
}

fn what_was_replayed_since_is_discarded_as_exhausted(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    set(world, &acme, &[(Kept::Exhausted, 2)]);
    let (_, older, made) = replayed(world, &acme, endpoint);
    world.advance(DAY);
    let record = world.attempt(made, 0, Verdict::Delivered);
    world.record(&record);
    assert_eq!(enforce(world).rows, 0);
    assert_eq!(status(world, &acme, older), DeliveryStatus::RetriesExhausted);
    world.advance(DAY + HOUR);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(status(world, &acme, older), RETENTION);
    assert_eq!(status(world, &acme, made), DeliveryStatus::Delivered);
}

fn what_is_not_to_be_kept_stays_while_it_is_exhausted(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let id = unretained(world, &acme);
    let delivery = world.deliveries_of(&acme, id)[0].id;
    let record = world.attempt(delivery, 0, Verdict::Exhausted);
    world.record(&record);
    assert_eq!(erase_unretained(world, PLENTY), 0, "it can be sent again");
    world.commit(|transaction| transaction.request_attempt(delivery));
    assert_eq!(erase_unretained(world, PLENTY), 0, "it is about to be");
    let manual = world.manual_attempt(delivery, 1, Verdict::Unchanged);
    world.record(&manual);
    assert_eq!(erase_unretained(world, PLENTY), 0);
    set(world, &acme, &[(Kept::Exhausted, 1)]);
    world.advance(DAY + HOUR);
    assert_eq!(enforce(world).rows, 1);
    assert_eq!(erase_unretained(world, PLENTY), 1, "nobody will any more");
    // Skipped by hand, it is given up as well.
    let skipped = unretained(world, &acme);
    let delivery = world.deliveries_of(&acme, skipped)[0].id;
    world.commit(|transaction| transaction.skip_delivery(&acme, delivery));
    assert_eq!(erase_unretained(world, PLENTY), 1);
}

fn an_erased_payload_is_not_sent_again(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    set(world, &acme, &[(Kept::Payloads, 1)]);
    let (event, delivery) = ended(world, &acme, Verdict::Exhausted);
    world.advance(2 * DAY);
    enforce(world);
    assert!(is_erased(world, &acme, event));
    assert!(!world.commit(|transaction| transaction.request_attempt(delivery)));
    assert_eq!(world.due(endpoint.id, Lane::Manual), []);
    let page = world.store().events(&acme, &PageRequest { after: None, limit: 10 }).expect("readable");
    assert!(page.items[0].erased.is_some() && page.items[0].body.is_empty());
}

fn an_erased_event_says_who_was_filtered(world: &mut World) {
    let acme = world.partner("acme");
    let mut wanted = settings("filtered", &["*"]);
    wanted.filter = Some(r#"{"required": ["status"]}"#.parse().expect("a filter"));
    let filtered = world.try_endpoint(&acme, wanted).expect("the URL is free");
    let other = world.endpoint(&acme, "orders", &["order.*"]);
    set(world, &acme, &[(Kept::Payloads, 1)]);
    let id = world.accept(&acme, "campaign.updated").id;
    world.advance(2 * DAY);
    assert_eq!(enforce(world).payloads, 1);
    let outcomes = world
        .store()
        .event_outcomes(&acme, &event(world, &acme, id), None, posthaste::store::OUTCOMES_MOST)
        .expect("readable");
    let [EventOutcome::Filtered { endpoint, objections }, EventOutcome::NotSubscribed { endpoint: third, .. }] =
        &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((*endpoint, *third), (filtered.id, other.id));
    assert!(objections[0].detail.contains("erased"), "{objections:?}");
}

fn a_payload_asked_for_by_hand_stays(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    set(world, &acme, &[(Kept::Payloads, 1)]);
    let (event, delivery) = ended(world, &acme, Verdict::Delivered);
    world.commit(|transaction| transaction.request_attempt(delivery));
    world.advance(2 * DAY);
    assert_eq!(enforce(world).payloads, 0);
    assert!(!is_erased(world, &acme, event));
    let manual = world.manual_attempt(delivery, 1, Verdict::Delivered);
    world.record(&manual);
    assert_eq!(enforce(world).payloads, 1);
}

fn what_is_for_later_is_as_old_as_its_time(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    world.pause(&acme, endpoint.id);
    set(world, &acme, &[(Kept::Held, 1)]);
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.events[0].times.deliver_at = Some(START + 5 * DAY);
    let id = events_of(world.accept_all(&[&request]).remove(0))[0].id;
    for (now, stands) in [(START + 4 * DAY, DeliveryStatus::Held), (START + 6 * DAY + SECOND, RETENTION)] {
        world.now = now;
        enforce(world);
        assert_eq!(world.deliveries_of(&acme, id)[0].status, stands);
    }
}

/// One thing that happens in a random history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Accept { unretained: bool },
    Attempt { which: usize, verdict: u8 },
    AskFor { which: usize },
    Skip { which: usize },
    Hold(bool),
    Set { kept: usize, days: Option<u32> },
    Wait { hours: u32 },
    Tidy { rows: usize },
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|unretained| Step::Accept { unretained }),
        6 => (any::<usize>(), 0..4_u8).prop_map(|(which, verdict)| Step::Attempt { which, verdict }),
        2 => any::<usize>().prop_map(|which| Step::AskFor { which }),
        1 => any::<usize>().prop_map(|which| Step::Skip { which }),
        1 => any::<bool>().prop_map(Step::Hold),
        2 => (0..4_usize, prop::option::of(1..4_u32)).prop_map(|(kept, days)| Step::Set { kept, days }),
        3 => (1..60_u32).prop_map(|hours| Step::Wait { hours }),
        5 => (1..6_usize).prop_map(|rows| Step::Tidy { rows }),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a test knows of a delivery.
struct Known {
    event: EventId,
    delivery: DeliveryId,
    is_asked_for: bool,
}

/// After whatever happens, in whatever order: what has an attempt to come, and what somebody
/// asked for, has its payload; what was exhausted and is not to be kept, too; and once all has
/// ended and time has passed, everything is gone that was to go.
fn what_is_needed_is_never_erased(world: &mut World) {
    let cases = world.histories(600);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let beside = std::cell::RefCell::new(world);
    runner
        .run(&steps(), |steps| {
            let mut own = beside.borrow().beside();
            history(&mut own, &steps)
        })
        .expect("no history erases what is needed");
}

fn history(world: &mut World, steps: &[Step]) -> Result<(), TestCaseError> {
    let acme = world.partner("acme");
    let endpoints = [world.endpoint(&acme, "one", &["*"]).id, world.endpoint(&acme, "two", &["*"]).id];
    let (mut known, mut set_days): (Vec<Known>, _) = (Vec::new(), RetentionDays::default());
    let (mut after, mut unretained_after) = (None, None);
    for step in steps {
        match *step {
            Step::Accept { unretained: is_unretained } => {
                let event = if is_unretained { unretained(world, &acme) } else { world.accept(&acme, "order.paid").id };
                let made = world.deliveries_of(&acme, event);
                known.extend(made.iter().map(|made| Known { event, delivery: made.id, is_asked_for: false }));
            }
            Step::Attempt { which, verdict } if !known.is_empty() => {
                let count = known.len();
                let Known { delivery, is_asked_for, .. } = &mut known[which % count];
                let shown = world.delivery(&acme, *delivery);
                let is_open = matches!(shown.status, DeliveryStatus::Pending | DeliveryStatus::Retrying);
                let attempt = match (is_open, *is_asked_for, verdict) {
                    (_, true, 0) => world.manual_attempt(*delivery, shown.attempt_count, Verdict::Delivered),
                    (_, true, _) => world.manual_attempt(*delivery, shown.attempt_count, Verdict::Unchanged),
                    (true, _, 0 | 1) => world.attempt(*delivery, shown.attempt_count, Verdict::Delivered),
                    (true, _, 2) => world.attempt(*delivery, shown.attempt_count, Verdict::Exhausted),
                    (true, ..) => world.attempt(*delivery, shown.attempt_count, Verdict::RetryAt(world.now + HOUR)),
                    (false, ..) => continue,
                };
                world.record(&attempt);
                *is_asked_for = false;
            }
            Step::AskFor { which } if !known.is_empty() => {
                let count = known.len();
                let known = &mut known[which % count];
                let is_there = world
                    .store()
                    .event(&acme, known.event)
                    .expect("readable")
                    .is_some_and(|event| event.erased.is_none());
                let asked = world.commit(|transaction| transaction.request_attempt(known.delivery));
                prop_assert_eq!(asked, is_there && !known.is_asked_for);
                known.is_asked_for |= asked;
            }
            Step::Skip { which } if !known.is_empty() => {
                let count = known.len();
                let Known { delivery, is_asked_for, .. } = &mut known[which % count];
                let delivery = *delivery;
                if world.commit(|transaction| transaction.skip_delivery(&acme, delivery)) == Skipped::Done {
                    *is_asked_for = false;
                }
            }
            Step::Attempt { .. } | Step::AskFor { .. } | Step::Skip { .. } => {}
            Step::Hold(true) => _ = world.pause(&acme, endpoints[0]),
            Step::Hold(false) => _ = world.resume(&acme, endpoints[0]),
            Step::Set { kept, days } => {
                set_days = set_days.with(Kept::ALL[kept], days);
                world.commit(|transaction| transaction.set_retention(&acme, set_days));
            }
            Step::Wait { hours } => world.advance(HOUR * hours),
            Step::Tidy { rows } => {
                let slice = Slice { rows, bytes: 64 };
                after = world.commit(|transaction| transaction.enforce_retention(MOST_DAYS, after, slice)).next;
                let next = world.commit(|transaction| transaction.erase_unretained(unretained_after, slice)).next;
                unretained_after = next;
            }
            Step::Kill => {
                world.kill();
                (after, unretained_after) = (None, None);
            }
        }
        check(world, &acme, &mut known)?;
    }
    settle(world, &acme, &mut known)
}

/// What must be true at any time.
fn check(world: &World, acme: &Scope, known: &mut [Known]) -> Result<(), TestCaseError> {
    let found = world.store().endpoints(acme, &PageRequest { after: None, limit: 10 }).expect("readable").items;
    let asked_for: Vec<DeliveryId> =
        found.iter().flat_map(|endpoint| world.due(endpoint.id, Lane::Manual)).map(|due| due.delivery).collect();
    for Known { event: id, delivery, is_asked_for } in known {
        let (event, delivery) = (event(world, acme, *id), world.delivery(acme, *delivery));
        let is_unfinished =
            matches!(delivery.status, DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Held);
        // A held one that was discarded is not waited for by hand either, where the store gave that up with it.
        *is_asked_for &= delivery.status != RETENTION || asked_for.contains(&delivery.id);
        let Some(erased) = event.erased else { continue };
        prop_assert!(!is_unfinished && !*is_asked_for, "{:?} was erased: {:?}", event.id, delivery);
        if erased.by == ErasedBy::RetainNone {
            prop_assert!(delivery.status != DeliveryStatus::RetriesExhausted, "{:?}", delivery);
        }
    }
    Ok(())
}

/// Everything ends, time passes, and what was to go is gone.
fn settle(world: &mut World, acme: &Scope, known: &mut [Known]) -> Result<(), TestCaseError> {
    for scope_endpoint in
        world.store().endpoints(acme, &PageRequest { after: None, limit: 10 }).expect("readable").items
    {
        world.resume(acme, scope_endpoint.id);
    }
    for Known { delivery, is_asked_for, .. } in known.iter() {
        let shown = world.delivery(acme, *delivery);
        if *is_asked_for {
            let manual = world.manual_attempt(*delivery, shown.attempt_count, Verdict::Unchanged);
            world.record(&manual);
        }
        let shown = world.delivery(acme, *delivery);
        if matches!(shown.status, DeliveryStatus::Pending | DeliveryStatus::Retrying) {
            let last = world.attempt(*delivery, shown.attempt_count, Verdict::Exhausted);
            world.record(&last);
        }
    }
    let all: Vec<(Kept, u32)> = Kept::ALL.into_iter().map(|kept| (kept, 1)).collect();
    set(world, acme, &all);
    world.advance(2 * DAY);
    round(world, Slice { rows: 3, bytes: 200 });
    erase_unretained(world, Slice { rows: 3, bytes: 200 });
    for Known { event: id, delivery, .. } in known {
        prop_assert!(is_erased(world, acme, *id));
        prop_assert!(status(world, acme, *delivery) != DeliveryStatus::RetriesExhausted);
        prop_assert_eq!(world.attempts(*delivery), []);
    }
    Ok(())
}
