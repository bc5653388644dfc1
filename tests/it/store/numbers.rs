//! Numbers of deliveries, and pulling by them: each endpoint's go up from 1 in the order of
//! acceptance and never begin anew, and whoever follows them is given every delivery once,
//! whatever is committed late, undone or removed meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use posthaste::domain::{DeliveryId, DeliveryStatus, DeliveryTimes, EndpointId, ReplaySelection, Timestamp};
use posthaste::store::{
    Accept, Begun, DeliveryFilter, FanOut, Lane, Notice, PullRequest, Pulled, PulledDelivery, Scope, Slice, StoreError,
    Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::replaying;
use super::world::{DAY, HOUR, SECOND, World, event, events_of, in_sandbox};

for_every_backend! {
    each_delivery_has_its_endpoints_next_number
    numbers_are_known_wherever_a_delivery_is
    numbers_never_begin_anew
    a_killed_process_gave_no_number_twice
    what_was_undone_takes_no_number_from_others
    what_is_announced_has_numbers_too
    a_pull_gives_what_there_is_in_order
    a_pull_gives_it_whatever_has_become_of_it
    what_is_for_later_is_not_pulled_before
    a_replayed_event_is_as_old_as_it_is
    what_is_erased_is_pulled_without_its_payload
    a_pull_is_of_ones_own_endpoint
    a_page_is_as_large_as_its_payloads_allow
    what_has_no_number_is_passed_over
    a_pull_does_not_pass_what_is_not_sealed
    whoever_follows_the_numbers_is_given_everything_once
}

pub const FAR: usize = 1 << 30;

/// A page of what an endpoint was sent.
#[track_caller]
pub fn pull(world: &World, scope: &Scope, endpoint: EndpointId, after: u64, limit: usize) -> Pulled {
    let request = PullRequest { after, limit, bytes: FAR, now: world.now };
    world.store().pull(scope, endpoint, &request).expect("readable").expect("there is such an endpoint")
}

/// The numbers on a page that is whole.
#[track_caller]
pub fn numbers(pulled: &Pulled) -> Vec<u64> {
    assert_eq!(pulled.next_after, pulled.items.last().map_or(pulled.next_after, |item| item.sequence));
    pulled.items.iter().map(|item| item.sequence).collect()
}

/// An endpoint's deliveries as they are listed, with their numbers, first to last.
fn listed(world: &World, scope: &Scope, endpoint: EndpointId) -> Vec<(DeliveryId, Option<u64>)> {
    let of_endpoint = DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
    let mut all: Vec<_> =
        world.deliveries(scope, &of_endpoint).iter().map(|delivery| (delivery.id, delivery.sequence)).collect();
    all.reverse();
    all
}

#[track_caller]
fn listed_numbers(world: &World, scope: &Scope, endpoint: EndpointId) -> Vec<u64> {
    listed(world, scope, endpoint).into_iter().map(|(_, number)| number.expect("it has one")).collect()
}

fn each_delivery_has_its_endpoints_next_number(world: &mut World) {
    let acme = world.partner("acme");
    let all = world.endpoint(&acme, "all", &["*"]).id;
    let updates = world.endpoint(&acme, "updates", &["campaign.updated"]).id;
    let one = world.request(&acme, &["campaign.created", "campaign.updated", "campaign.updated"]);
    let other = world.request(&acme, &["campaign.updated"]);
    // Two requests of one commit, and one that comes later.
    world.accept_all(&[&one, &other]);
    let born: Vec<_> = world.births().iter().map(|birth| (birth.endpoint, birth.sequence)).collect();
    let expected = [(all, 1), (all, 2), (updates, 1), (all, 3), (updates, 2), (all, 4), (updates, 3)];
    assert_eq!(born, expected.map(|(endpoint, number)| (endpoint, Some(number))));
    world.accept(&acme, "campaign.updated");
    assert_eq!(listed_numbers(world, &acme, all), [1, 2, 3, 4, 5]);
    assert_eq!(listed_numbers(world, &acme, updates), [1, 2, 3, 4]);
    // An endpoint that others know nothing of begins with 1, in the middle of a request.
    let late = world.endpoint(&acme, "late", &["*"]).id;
    world.accept(&acme, "campaign.updated");
    assert_eq!([all, updates, late].map(|endpoint| listed_numbers(world, &acme, endpoint).len()), [6, 5, 1]);
    assert_eq!(listed_numbers(world, &acme, late), [1]);
    // What was matched before that and is matched anew counts for whoever gets it.
    let outdated = world.request(&acme, &["campaign.created"]);
    let newest = world.endpoint(&acme, "newest", &["*"]).id;
    events_of(world.accept_all(&[&outdated]).remove(0));
    assert_eq!(listed_numbers(world, &acme, newest), [1]);
    assert!(listed_numbers(world, &acme, all).is_sorted());
}

fn numbers_are_known_wherever_a_delivery_is(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let deliveries: Vec<DeliveryId> = (0..3).map(|_| world.deliver(&acme, "campaign.updated")).collect();
    let failed = world.attempt(deliveries[1], 0, Verdict::RetryAt(world.now + HOUR));
    world.record(&failed);
    world.commit(|transaction| transaction.request_attempt(deliveries[2]));
    let known = |world: &World, lane| -> Vec<_> {
        world.due(endpoint, lane).iter().map(|due| (due.delivery, due.sequence, due.place)).collect()
    };
    assert_eq!(known(world, Lane::Fresh), [(deliveries[0], Some(1), None), (deliveries[2], Some(3), None)]);
    assert_eq!(known(world, Lane::Retry), [(deliveries[1], Some(2), None)]);
    assert_eq!(known(world, Lane::Manual), [(deliveries[2], Some(3), None)]);
    // It is kept when it ends, however it does.
    let delivered = world.attempt(deliveries[0], 0, Verdict::Delivered);
    world.record(&delivered);
    let exhausted = world.attempt(deliveries[1], 1, Verdict::Exhausted);
    world.record(&exhausted);
    world.commit(|transaction| transaction.skip_delivery(&acme, deliveries[2]));
    for (delivery, number) in deliveries.iter().zip(1..) {
        assert_eq!(world.delivery(&acme, *delivery).sequence, Some(number));
    }
}

/// Delivers all that an endpoint has, and has retention remove it.
fn remove_all(world: &mut World, endpoint: EndpointId) {
    for due in world.due(endpoint, Lane::Fresh) {
        let delivered = world.attempt(due.delivery, 0, Verdict::Delivered);
        world.record(&delivered);
    }
    world.advance(DAY);
    let horizon = world.now;
    world.commit(|transaction| transaction.retire(horizon, None, 1_000));
}

fn numbers_never_begin_anew(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let mut expected = 0;
    for reopens in [false, true, false, true] {
        for _ in 0..3 {
            world.accept(&acme, "campaign.updated");
            expected += 1;
        }
        assert_eq!(listed_numbers(world, &acme, endpoint), [expected - 2, expected - 1, expected]);
        assert_eq!(pull(world, &acme, endpoint, 0, 10).oldest, Some(expected - 2));
        remove_all(world, endpoint);
        assert_eq!(listed(world, &acme, endpoint), []);
        let pulled = pull(world, &acme, endpoint, 1, 10);
        assert_eq!((pulled.oldest, pulled.next_after, pulled.more), (None, 1, false));
        if reopens {
            world.reopen();
        }
    }
    // Also where the newest goes before older ones do.
    let old = world.deliver(&acme, "campaign.updated");
    let new = world.deliver(&acme, "campaign.updated");
    let failed = world.attempt(old, 0, Verdict::RetryAt(world.now + 3 * DAY));
    world.record(&failed);
    let delivered = world.attempt(new, 0, Verdict::Delivered);
    world.record(&delivered);
    world.advance(DAY);
    let horizon = world.now;
    world.commit(|transaction| transaction.retire(horizon, None, 1_000));
    assert_eq!(listed_numbers(world, &acme, endpoint), [expected + 1]);
    world.reopen();
    world.accept(&acme, "campaign.updated");
    assert_eq!(listed_numbers(world, &acme, endpoint), [expected + 1, expected + 3]);
    assert_eq!(numbers(&pull(world, &acme, endpoint, 0, 10)), [expected + 1, expected + 3]);
}

fn a_killed_process_gave_no_number_twice(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    for _ in 0..3 {
        world.accept(&acme, "campaign.updated");
        world.kill();
    }
    world.accept(&acme, "campaign.updated");
    assert_eq!(listed_numbers(world, &acme, endpoint), [1, 2, 3, 4]);
}

fn what_was_undone_takes_no_number_from_others(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    world.accept(&acme, "campaign.updated");
    let request = world.request(&acme, &["campaign.updated", "campaign.updated"]);
    for _ in 0..2 {
        let undone = world.try_commit(|transaction| {
            transaction.accept(&[&request])?;
            Err::<(), _>(StoreError::Constraint("undone".into()))
        });
        assert!(undone.is_err());
    }
    world.accept(&acme, "campaign.updated");
    let listed = listed_numbers(world, &acme, endpoint);
    assert!(listed.len() == 2 && listed[0] == 1 && listed[1] > 1, "{listed:?}");
    // What nobody will have, nobody waits for.
    let pulled = pull(world, &acme, endpoint, 0, 10);
    assert_eq!((numbers(&pulled), pulled.more, pulled.is_settling), (listed, false, false));
}

fn what_is_announced_has_numbers_too(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["campaign.*"]);
    let told = world.endpoint(&acme, "told", &["posthaste.*", "campaign.created"]).id;
    world.accept(&acme, "campaign.created");
    let delivery = world.births()[0].delivery;
    let record = super::announcing::telling(world, delivery, 0, &[super::announcing::failing(world.now)]);
    world.record(&record);
    let born: Vec<_> = world.births().iter().map(|birth| (birth.endpoint, birth.sequence)).collect();
    assert_eq!(born, [(told, Some(2))]);
    assert_eq!(numbers(&pull(world, &acme, told, 0, 10)), [1, 2]);
}

fn a_pull_gives_what_there_is_in_order(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let nothing = pull(world, &acme, endpoint, 0, 10);
    assert_eq!(nothing, Pulled::default());
    let types = ["campaign.created", "campaign.updated", "campaign.failed", "campaign.completed", "campaign.updated"];
    let accepted: Vec<_> = types
        .map(|name| {
            world.advance(SECOND);
            (world.accept(&acme, name), world.now)
        })
        .into();
    let mut seen = Vec::new();
    let mut after = 0;
    for (limit, more) in [(2, true), (1, true), (2, false), (2, false)] {
        let page = pull(world, &acme, endpoint, after, limit);
        assert_eq!((page.more, page.is_settling, page.oldest), (more, false, Some(1)));
        assert!(page.items.len() <= limit);
        after = page.next_after;
        seen.extend(page.items);
    }
    assert_eq!((after, seen.len()), (5, 5));
    for ((item, number), (event, at)) in seen.iter().zip(1..).zip(&accepted) {
        assert_eq!((item.sequence, item.event, &item.event_type), (number, event.id, &event.event_type));
        assert_eq!((item.status, item.accepted_at), (DeliveryStatus::Pending, *at));
        let stored = world.store().event(&acme, event.id).expect("readable").expect("it is there");
        assert_eq!(item.body.as_ref(), Some(&stored.body));
        assert_eq!(world.delivery(&acme, item.delivery).sequence, Some(number));
    }
    // Behind the end, and far behind it.
    for after in [5, 6, 1 << 40, u64::MAX] {
        let page = pull(world, &acme, endpoint, after, 10);
        assert_eq!((numbers(&page), page.next_after, page.more), (vec![], after, false));
    }
}

fn a_pull_gives_it_whatever_has_become_of_it(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let deliveries: Vec<DeliveryId> = (0..5).map(|_| world.deliver(&acme, "campaign.updated")).collect();
    for (delivery, verdict) in
        [(0, Verdict::Delivered), (1, Verdict::Exhausted), (2, Verdict::RetryAt(world.now + HOUR))]
    {
        let record = world.attempt(deliveries[delivery], 0, verdict);
        world.record(&record);
    }
    world.commit(|transaction| transaction.skip_delivery(&acme, deliveries[3]));
    let statuses = |world: &World| -> Vec<String> {
        let pulled = pull(world, &acme, endpoint, 0, 10);
        assert_eq!(numbers(&pulled), [1, 2, 3, 4, 5]);
        let listed: Vec<_> = deliveries.iter().map(|delivery| world.delivery(&acme, *delivery).status).collect();
        assert_eq!(pulled.items.iter().map(|item| item.status).collect::<Vec<_>>(), listed);
        listed.iter().map(ToString::to_string).collect()
    };
    assert_eq!(statuses(world), ["delivered", "retries_exhausted", "retrying", "discarded", "pending"]);
    world.pause(&acme, endpoint);
    assert_eq!(statuses(world), ["delivered", "retries_exhausted", "held", "discarded", "held"]);
}

fn what_is_for_later_is_not_pulled_before(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let later = world.now + HOUR;
    let times = DeliveryTimes { deliver_at: Some(later), expires_at: None };
    let request = Accept {
        events: vec![event("campaign.updated").delivered_at(times)],
        ..world.request(&acme, &["campaign.updated"])
    };
    world.accept_all(&[&request]);
    world.accept(&acme, "campaign.updated");
    let seen = |world: &World| {
        let page = pull(world, &acme, endpoint, 0, 10);
        let of = |item: &PulledDelivery| (item.deliver_at, item.body.is_some(), item.is_erased);
        page.items.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(seen(world), [(Some(later), false, false), (None, true, false)], "and it keeps nothing else back");
    world.now = later;
    assert_eq!(seen(world), [(None, true, false), (None, true, false)]);
}

fn a_replayed_event_is_as_old_as_it_is(world: &mut World) {
    let acme = world.partner("acme");
    let accepted_at = world.now;
    world.accept(&acme, "campaign.updated");
    world.advance(HOUR);
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let missed = ReplaySelection { missing: true, ..ReplaySelection::default() };
    let replay = replaying::begin(world, &acme, endpoint, missed);
    assert_eq!(replaying::carry_out(world, replay, endpoint, 10), 1);
    let page = pull(world, &acme, endpoint, 0, 10);
    assert_eq!(page.items.iter().map(|item| item.accepted_at).collect::<Vec<_>>(), [accepted_at]);
}

fn what_is_erased_is_pulled_without_its_payload(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let mut request = world.request(&acme, &["campaign.updated"]);
    request.events[0].is_unretained = true;
    world.accept_all(&[&request]);
    let delivery = world.due(endpoint, Lane::Fresh)[0].delivery;
    world.record(&world.attempt(delivery, 0, Verdict::Delivered));
    let plenty = Slice { rows: 100, bytes: FAR };
    assert_eq!(world.commit(|transaction| transaction.erase_unretained(None, plenty)).payloads, 1);
    let page = pull(world, &acme, endpoint, 0, 10);
    assert_eq!(page.items.len(), 1);
    assert_eq!((page.items[0].body.as_ref(), page.items[0].is_erased, page.items[0].deliver_at), (None, true, None));
}

fn a_pull_is_of_ones_own_endpoint(world: &mut World) {
    let acme = world.partner("acme");
    let other = world.partner("other");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    world.accept(&acme, "campaign.updated");
    let request = PullRequest { after: 0, limit: 10, bytes: FAR, now: world.now };
    let asked = |world: &World, scope: &Scope| world.store().pull(scope, endpoint, &request).expect("readable");
    assert_eq!(asked(world, &other), None);
    assert_eq!(asked(world, &in_sandbox(&acme)), None);
    assert_eq!(asked(world, &Scope::all(in_sandbox(&acme).environment)), None);
    assert_eq!(asked(world, &Scope::all(acme.environment)).map(|page| page.items.len()), Some(1));
    world.delete(&acme, endpoint);
    assert_eq!(asked(world, &acme), None);
}

fn a_page_is_as_large_as_its_payloads_allow(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    for _ in 0..5 {
        world.accept(&acme, "campaign.updated");
    }
    let size = pull(world, &acme, endpoint, 0, 1).items[0].body.as_ref().expect("it is kept").len();
    for (bytes, expected) in [(0, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (4 * size + 1, 4), (FAR, 5)] {
        let request = PullRequest { after: 0, limit: 10, bytes, now: world.now };
        let page = world.store().pull(&acme, endpoint, &request).expect("readable").expect("it is there");
        assert_eq!((page.items.len(), page.more, page.is_settling), (expected, expected < 5, false), "{bytes} bytes");
        assert_eq!(page.next_after, expected as u64);
    }
}

fn what_has_no_number_is_passed_over(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "campaign.updated");
    // As a release leaves them that knows of no numbers.
    let is_shared = world.store().leases().is_some();
    let table = if is_shared { "pending" } else { "deliveries" };
    world.place().execute(&format!("UPDATE {table} SET number = NULL"));
    world.reopen();
    world.accept(&acme, "campaign.updated");
    assert_eq!(world.delivery(&acme, delivery).sequence, None);
    let due: Vec<_> = world.due(endpoint, Lane::Fresh).iter().map(|due| due.sequence.is_some()).collect();
    assert_eq!(due, [false, true]);
    assert_eq!(pull(world, &acme, endpoint, 0, 10).items.len(), 1);
}

/// Begins what is accepted in chunks, and writes so many deliveries of it.
#[track_caller]
fn begin(world: &mut World, request: &Accept, written: usize) -> FanOut {
    let mut fan_out = match world.commit(|transaction| transaction.begin_large(request)) {
        Begun::FanOut(fan_out) => fan_out,
        Begun::Answered(answer) => panic!("answered: {answer:?}"),
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, written));
    fan_out
}

fn a_pull_does_not_pass_what_is_not_sealed(world: &mut World) {
    let acme = world.partner("acme");
    let [one, two] = ["one", "two"].map(|word| world.endpoint(&acme, word, &["*"]).id);
    world.accept(&acme, "campaign.updated");
    let request = world.request(&acme, &["campaign.updated", "campaign.created"]);
    // The first endpoint's first is written, and none of the other's.
    let mut fan_out = begin(world, &request, 1);
    world.accept(&acme, "campaign.failed");
    let waits = pull(world, &acme, one, 0, 10);
    assert_eq!((numbers(&waits), waits.more, waits.is_settling), (vec![1], true, true));
    let waits = pull(world, &acme, one, 1, 10);
    assert_eq!((numbers(&waits), waits.next_after, waits.more, waits.is_settling), (vec![], 1, true, true));
    let goes_on = pull(world, &acme, two, 0, 10);
    assert_eq!((numbers(&goes_on), goes_on.more, goes_on.is_settling), (vec![1, 2], false, false));
    // What is written later has larger numbers than all that was seen.
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 1, 10));
    events_of(world.commit(|transaction| transaction.seal(&request, &fan_out)));
    let born: Vec<_> = world.births().iter().map(|birth| (birth.endpoint, birth.sequence)).collect();
    assert_eq!(born, [(one, Some(2)), (two, Some(3)), (one, Some(4)), (two, Some(4))]);
    assert_eq!(numbers(&pull(world, &acme, one, 1, 10)), [2, 3, 4]);
    assert_eq!(numbers(&pull(world, &acme, two, 2, 10)), [3, 4]);
    // What is undone is waited for no longer.
    begin(world, &request, 4);
    world.accept(&acme, "campaign.failed");
    assert!(pull(world, &acme, one, 4, 10).is_settling);
    while world.commit(|transaction| transaction.undo_unsealed(2)) == 2 {}
    let goes_on = pull(world, &acme, one, 4, 10);
    assert_eq!((numbers(&goes_on), goes_on.more), (vec![7], false));
}

/// What happens in a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// Events are accepted, in one commit.
    Accept(usize),
    /// So many events begin to be accepted in chunks, or the next chunk is written.
    Chunk(usize),
    /// What was begun is sealed, once all is written.
    Seal,
    /// What was begun is given up.
    GiveUp,
    /// Somebody pulls.
    Pull(usize),
    /// What was pulled is delivered, and later removed.
    Remove,
    /// Events are accepted, and while that transaction is open, all this happens on the
    /// next node, if there is one; then it is committed, or undone.
    Meanwhile(usize, Vec<Step>, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => (1usize..4).prop_map(Step::Accept),
        2 => (1usize..3).prop_map(Step::Chunk),
        1 => Just(Step::Seal),
        1 => Just(Step::GiveUp),
        3 => (1usize..4).prop_map(Step::Pull),
        1 => Just(Step::Remove),
    ];
    let step = leaf.prop_recursive(2, 16, 5, |inner| {
        (1usize..3, prop::collection::vec(inner, 0..5), any::<bool>())
            .prop_map(|(events, inner, commits)| Step::Meanwhile(events, inner, commits))
    });
    prop::collection::vec(step, 1..25)
}

/// Somebody who follows the numbers of two endpoints, and what he should be given.
pub struct History {
    scope: Scope,
    endpoints: [EndpointId; 2],
    accepted: [BTreeSet<DeliveryId>; 2],
    pulled: [Vec<(u64, DeliveryId)>; 2],
    removed: BTreeSet<DeliveryId>,
    after: [u64; 2],
    /// What each node accepts in chunks at the moment, and how much of it is written.
    begun: Vec<Option<(Accept, FanOut, usize)>>,
}

impl History {
    fn new(worlds: &mut [World], name: &str) -> Self {
        let scope = worlds[0].partner(name);
        let endpoints = [("all", "*"), ("updates", "campaign.updated")]
            .map(|(word, pattern)| worlds[0].endpoint(&scope, &format!("{name}-{word}"), &[pattern]).id);
        let begun = worlds.iter().map(|_| None).collect();
        let (accepted, pulled) = Default::default();
        Self { scope, endpoints, accepted, pulled, removed: BTreeSet::new(), after: [0; 2], begun }
    }

    fn request(&self, world: &World, events: usize) -> Accept {
        let types = ["campaign.updated", "campaign.created", "campaign.updated"];
        world.request(&self.scope, &types[..events])
    }

    fn accepted(&mut self, notices: &[Notice]) {
        for notice in notices {
            let Notice::Born(birth) = notice else { continue };
            let Some(of) = self.endpoints.iter().position(|endpoint| *endpoint == birth.endpoint) else { continue };
            assert!(self.accepted[of].insert(birth.delivery));
        }
    }

    /// Takes steps on the first of these nodes.
    pub fn take(&mut self, worlds: &mut [World], number: usize, steps: &[Step]) {
        for step in steps {
            let Some((world, others)) = worlds.split_first_mut() else { return };
            match step {
                Step::Accept(events) => {
                    let request = self.request(world, *events);
                    world.accept_all(&[&request]);
                    self.accepted(&world.notices);
                }
                Step::Chunk(events) => match self.begun[number].take() {
                    None => {
                        let request = self.request(world, *events);
                        let fan_out = begin(world, &request, 1);
                        self.begun[number] = Some((request, fan_out, 1));
                    }
                    Some((request, mut fan_out, written)) => {
                        world.commit(|transaction| transaction.accept_chunk(&mut fan_out, written, 2));
                        let written = fan_out.deliveries().min(written + 2);
                        self.begun[number] = Some((request, fan_out, written));
                    }
                },
                Step::Seal => {
                    let Some((request, mut fan_out, written)) = self.begun[number].take() else { continue };
                    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, written, usize::MAX));
                    events_of(world.commit(|transaction| transaction.seal(&request, &fan_out)));
                    self.accepted(&world.notices);
                }
                Step::GiveUp => {
                    self.begun[number] = None;
                    while world.commit(|transaction| transaction.undo_unsealed(3)) == 3 {}
                }
                Step::Pull(limit) => self.pull(world, *limit),
                Step::Remove => self.remove(world),
                Step::Meanwhile(events, inner, commits) => {
                    let request = self.request(world, *events);
                    let ended = world.try_commit(|transaction| {
                        transaction.accept(&[&request])?;
                        self.take(others, number + 1, inner);
                        if *commits { Ok(()) } else { Err(StoreError::Constraint("it was undone".into())) }
                    });
                    assert_eq!(ended.is_ok(), *commits, "{ended:?}");
                    if *commits {
                        self.accepted(&world.notices);
                    }
                }
            }
        }
    }

    fn pull(&mut self, world: &World, limit: usize) {
        for of in 0..2 {
            let page = pull(world, &self.scope, self.endpoints[of], self.after[of], limit);
            assert!(page.items.len() == limit || !page.more || page.is_settling, "{page:?}");
            self.pulled[of].extend(page.items.iter().map(|item| (item.sequence, item.delivery)));
            self.after[of] = page.next_after;
        }
    }

    /// Only what was pulled is delivered, and only what is delivered is removed.
    fn remove(&mut self, world: &mut World) {
        let pulled: Vec<DeliveryId> = self.pulled.iter().flatten().map(|(_, delivery)| *delivery).collect();
        for delivery in pulled {
            if self.removed.insert(delivery) {
                let delivered = world.attempt(delivery, 0, Verdict::Delivered);
                world.record(&delivered);
            }
        }
        world.advance(DAY);
        let horizon: Timestamp = world.now;
        world.commit(|transaction| transaction.retire(horizon, None, 10_000));
    }

    /// Everything has ended: the rest is pulled.
    fn judge(mut self, worlds: &mut [World]) {
        for (number, world) in worlds.iter_mut().enumerate() {
            self.take(std::slice::from_mut(world), number, &[Step::GiveUp]);
        }
        for of in 0..2 {
            loop {
                let page = pull(&worlds[0], &self.scope, self.endpoints[of], self.after[of], 3);
                self.pulled[of].extend(page.items.iter().map(|item| (item.sequence, item.delivery)));
                self.after[of] = page.next_after;
                assert!(!page.is_settling, "there is nothing to wait for: {page:?}");
                if !page.more {
                    break;
                }
            }
            assert!(self.pulled[of].windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", self.pulled[of]);
            let given: BTreeSet<DeliveryId> = self.pulled[of].iter().map(|(_, delivery)| *delivery).collect();
            assert_eq!(given.len(), self.pulled[of].len(), "none twice");
            assert_eq!(given, self.accepted[of]);
        }
    }
}

/// Random histories on these nodes of one store, each of a partner of its own.
pub fn follow_histories(worlds: &mut [World], cases: u32) {
    let (worlds, partners) = (RefCell::new(worlds), Cell::new(0));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let followed = TestRunner::new(config).run(&steps(), |steps| {
        let mut worlds = worlds.borrow_mut();
        partners.set(partners.get() + 1);
        let mut history = History::new(&mut worlds, &format!("p{}", partners.get()));
        history.take(&mut worlds, 0, &steps);
        history.judge(&mut worlds);
        Ok(())
    });
    followed.unwrap_or_else(|failure| panic!("{failure}"));
}

fn whoever_follows_the_numbers_is_given_everything_once(world: &mut World) {
    follow_histories(std::slice::from_mut(world), 48);
}
