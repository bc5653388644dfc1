//! What ended badly: counted, dismissed; and retries that are not to wait.

use bytes::Bytes;
use posthaste::domain::{
    DeliveryStatus, DeliveryTimes, DiscardReason, EndpointId, OpenBreaker, Outcome, ReplaySelection, Replayable,
    StatusFilter, Trouble,
};
use posthaste::store::{
    BroughtForward, DeliveryFilter, Dismissal, Dismissed, ExhaustedEndpoint, Lane, NewReplay, PageRequest, Place,
    Record, ReplaySlice, Scope, Verdict, WantedEndpoints,
};

use super::world::{DAY, HOUR, START, World, events_of, in_sandbox};

for_every_backend! {
    what_is_exhausted_is_counted_by_what_it_failed_at
    what_was_replayed_since_is_not_counted
    endpoints_with_exhausted_deliveries_come_in_pages
    what_is_dismissed_is_discarded
    many_are_dismissed_in_slices_by_what_they_failed_at
    retries_are_brought_forward_in_slices
    what_is_for_later_keeps_no_retry_waiting
    nothing_is_brought_forward_while_it_is_held
    a_breaker_and_a_rest_are_over_for_whoever_hurries
}

#[track_caller]
fn counted(world: &World, scope: &Scope) -> Vec<ExhaustedEndpoint> {
    let page = world.store().exhausted(scope, &PageRequest { after: None, limit: 50 }).expect("readable");
    assert!(!page.more);
    page.items
}

fn failed(world: &mut World, scope: &Scope, outcome: Option<Outcome>) -> posthaste::domain::DeliveryId {
    let delivery = world.deliver(scope, "campaign.updated");
    let record = world.attempt(delivery, 0, Verdict::Exhausted);
    let outcome = outcome.unwrap_or_else(|| record.outcome.clone());
    world.record(&Record { outcome, ..record });
    delivery
}

fn what_is_exhausted_is_counted_by_what_it_failed_at(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    assert_eq!(counted(world, &acme), []);
    let refused = failed(world, &acme, None);
    world.advance(HOUR);
    let answered = |code| Some(Outcome::answered(code, Bytes::new()));
    failed(world, &acme, answered(503));
    world.advance(HOUR);
    let last = failed(world, &acme, answered(503));
    let pending = world.deliver(&acme, "campaign.updated");
    let found = counted(world, &acme);
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.endpoint, &found.partner, found.at_least), (endpoint, &acme.partner, false));
    let reasons: Vec<_> =
        found.reasons.iter().map(|reason| (reason.status_code, reason.count, reason.sample)).collect();
    assert_eq!(reasons, [(Some(503), 2, last), (None, 1, refused)]);
    assert_eq!(found.reasons[1].class.as_deref(), Some("connect"));
    let ended = |delivery| world.delivery(&acme, delivery).finished_at.expect("it has ended");
    assert_eq!(found.reasons[0].ended.1, ended(last));
    assert_eq!(found.reasons[1].ended, (ended(refused), ended(refused)));
    assert_eq!(counted(world, &Scope::all(acme.environment)).len(), 1);
    for nobodys in [&other, &in_sandbox(&acme)] {
        assert_eq!(counted(world, nobodys), []);
    }
    world.record(&world.attempt(pending, 0, Verdict::Delivered));
    world.delete(&acme, endpoint);
    assert_eq!(counted(world, &acme), [], "nobody can do anything about it any more");
}

fn what_was_replayed_since_is_not_counted(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    failed(world, &acme, None);
    let selection = ReplaySelection { statuses: vec![Replayable::RetriesExhausted], ..ReplaySelection::default() };
    let new = NewReplay {
        scope: acme.clone(),
        wanted: WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 },
        selection,
        per_second: Some(7),
        actor: "partner".into(),
        key: None,
        most_running: 1,
        request: None,
    };
    let replay = world.commit(|transaction| transaction.create_replay(&new)).expect("it is there").replay;
    assert_eq!((replay.per_second, replay.actor.as_str()), (Some(7), "partner"));
    let slice = ReplaySlice { replay: replay.id, endpoint, room: 10 };
    world.commit(|transaction| transaction.carry_on_replay(&slice));
    assert_eq!(counted(world, &acme), [], "it is on its way");
    let again = DeliveryFilter { replay: Some(replay.id), ..DeliveryFilter::default() };
    let again = world.deliveries(&acme, &again)[0].id;
    world.record(&world.attempt(again, 0, Verdict::Exhausted));
    let found = counted(world, &acme);
    assert_eq!((found[0].reasons[0].count, found[0].reasons[0].sample), (1, again), "once, by its newest delivery");
}

fn endpoints_with_exhausted_deliveries_come_in_pages(world: &mut World) {
    let acme = world.partner("acme");
    let mut endpoints: Vec<EndpointId> = Vec::new();
    for number in 0..5 {
        endpoints.push(world.endpoint(&acme, &format!("e{number}"), &["*"]).id);
    }
    world.endpoint(&acme, "none", &["order.*"]);
    let event = world.accept(&acme, "campaign.updated").id;
    for delivery in world.deliveries_of(&acme, event) {
        world.record(&world.attempt(delivery.id, 0, Verdict::Exhausted));
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = world.store().exhausted(&acme, &PageRequest { after, limit: 2 }).expect("readable");
        found.extend(page.items.iter().map(|item| item.endpoint));
        after = found.last().copied();
        if !page.more {
            break;
        }
    }
    endpoints.reverse();
    assert_eq!(found, endpoints);
}

fn what_is_dismissed_is_discarded(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let lost = failed(world, &acme, None);
    let pending = world.deliver(&acme, "campaign.updated");
    let dismiss = |world: &mut World, scope: &Scope, delivery| {
        world.commit(|transaction| transaction.dismiss_delivery(scope, delivery))
    };
    world.commit(|transaction| transaction.request_attempt(lost));
    assert_eq!(dismiss(world, &other, lost), Dismissed::NotFound);
    assert_eq!(dismiss(world, &acme, pending), Dismissed::NotExhausted);
    let before = world.delivery(&acme, lost);
    world.advance(HOUR);
    assert_eq!(dismiss(world, &acme, lost), Dismissed::Done);
    assert_eq!(dismiss(world, &acme, lost), Dismissed::NotExhausted);
    let after = world.delivery(&acme, lost);
    assert_eq!(after.status, DeliveryStatus::Discarded(DiscardReason::Dismissed));
    assert_eq!((after.finished_at, after.attempt_count), (before.finished_at, before.attempt_count));
    assert_eq!(world.due(endpoint, Lane::Manual), [], "and nobody is to try it");
    assert_eq!(counted(world, &acme), []);
    let by = |status| DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
    assert_eq!(world.deliveries(&acme, &by(StatusFilter::RetriesExhausted)), []);
    assert_eq!(world.deliveries(&acme, &by(StatusFilter::Discarded)), [after]);
    let everyone = Scope::all(acme.environment);
    assert_eq!(world.deliveries(&everyone, &by(StatusFilter::Discarded)).len(), 1);
}

fn many_are_dismissed_in_slices_by_what_they_failed_at(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let answered = |code| Some(Outcome::answered(code, Bytes::new()));
    let gone: Vec<_> = (0..5).map(|_| failed(world, &acme, answered(503))).collect();
    let refused = failed(world, &acme, None);
    world.commit(|transaction| transaction.request_attempt(gone[0]));
    world.advance(HOUR);
    let until = world.now;
    let late = failed(world, &acme, answered(503));
    let with_503 = Dismissal { reason: Some((Some("http_status".into()), Some(503))), until };
    let dismiss = |world: &mut World, scope: &Scope, meant: &Dismissal, before| {
        world.commit(|transaction| transaction.dismiss_exhausted(scope, endpoint, meant, before, 2))
    };
    assert_eq!(dismiss(world, &other, &with_503, None), None);
    let (mut dismissed, mut before, mut slices) = (0, None, 0);
    loop {
        let slice = dismiss(world, &acme, &with_503, before).expect("it is there");
        dismissed += slice.dismissed;
        before = slice.next;
        slices += 1;
        if before.is_none() {
            break;
        }
    }
    assert_eq!((dismissed, slices), (5, 4), "seven are looked at two by two");
    for delivery in gone {
        assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Discarded(DiscardReason::Dismissed));
    }
    for kept in [refused, late] {
        assert_eq!(world.delivery(&acme, kept).status, DeliveryStatus::RetriesExhausted);
    }
    assert_eq!(world.due(endpoint, Lane::Manual), [], "and nobody is to try them");
    assert_eq!(dismiss(world, &acme, &with_503, None).map(|slice| slice.dismissed), Some(0), "once is enough");
    world.advance(HOUR);
    let all = Dismissal { reason: None, until: world.now };
    assert_eq!(dismiss(world, &acme, &all, None).map(|slice| slice.dismissed), Some(2));
    assert_eq!(counted(world, &acme), []);
    // What was replayed since is not what anybody sees there.
    let again = failed(world, &acme, None);
    let selection = ReplaySelection { statuses: vec![Replayable::RetriesExhausted], ..ReplaySelection::default() };
    let new = NewReplay {
        scope: acme.clone(),
        wanted: WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 },
        selection,
        per_second: None,
        actor: "partner".into(),
        key: None,
        most_running: 1,
        request: None,
    };
    let replay = world.commit(|transaction| transaction.create_replay(&new)).expect("it is there").replay.id;
    world.commit(|transaction| transaction.carry_on_replay(&ReplaySlice { replay, endpoint, room: 10 }));
    world.advance(HOUR);
    let all = Dismissal { reason: None, until: world.now };
    assert_eq!(dismiss(world, &acme, &all, None).map(|slice| slice.dismissed), Some(0));
    assert_eq!(world.delivery(&acme, again).status, DeliveryStatus::RetriesExhausted);
}

fn bring(world: &mut World, scope: &Scope, endpoint: EndpointId, after: Option<Place>) -> BroughtForward {
    world.commit(|transaction| transaction.bring_forward(scope, endpoint, after, 3))
}

fn retries_are_brought_forward_in_slices(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let mut waiting = Vec::new();
    for hours in 1..=7 {
        let delivery = world.deliver(&acme, "campaign.updated");
        world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + hours * HOUR)));
        waiting.push(delivery);
    }
    let mut request = world.request(&acme, &["campaign.later"]);
    let times = DeliveryTimes { deliver_at: Some(START + 2 * DAY), expires_at: None };
    request.events[0] = request.events[0].clone().delivered_at(times);
    events_of(world.accept_all(&[&request]).remove(0));
    world.advance(90 * std::time::Duration::from_secs(60));
    assert_eq!(bring(world, &other, endpoint, None), BroughtForward::NotFound);
    let runtime =
        |world: &World| world.store().endpoint_runtime(endpoint, START).expect("readable").expect("it is there");
    let (mut after, mut moved, mut hurries) = (None, Vec::new(), runtime(world).hurries);
    loop {
        let BroughtForward::Done { moved: some, next } = bring(world, &acme, endpoint, after) else {
            panic!("it is there")
        };
        moved.push(some);
        if some > 0 {
            assert_eq!(runtime(world).hurries, hurries + 1, "whoever holds them in memory looks again");
            hurries += 1;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(moved.iter().sum::<usize>(), 6, "but for the one that is due, and what is for later: {moved:?}");
    let due = world.due(endpoint, Lane::Retry);
    let times: Vec<_> = due.iter().map(|due| due.due_at).collect();
    let mut expected = vec![START + HOUR];
    expected.extend([world.now; 6]);
    expected.push(START + 2 * DAY);
    assert_eq!(times, expected);
    assert!(waiting.iter().all(|delivery| world.delivery(&acme, *delivery).attempt_count == 1), "and nothing is spent");
    assert_eq!(bring(world, &acme, endpoint, None), BroughtForward::Done { moved: 0, next: None }, "once is enough");
}

fn what_is_for_later_keeps_no_retry_waiting(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + DAY)));
    for hours in 1..=7 {
        let mut request = world.request(&acme, &["campaign.later"]);
        let times = DeliveryTimes { deliver_at: Some(START + hours * HOUR), expires_at: None };
        request.events[0] = request.events[0].clone().delivered_at(times);
        world.accept_all(&[&request]);
    }
    // More than one slice of it lies before the retry.
    assert_eq!(bring(world, &acme, endpoint, None), BroughtForward::Done { moved: 1, next: None });
    assert_eq!(world.delivery(&acme, delivery).next_attempt_at, Some(world.now));
}

fn nothing_is_brought_forward_while_it_is_held(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)));
    world.pause(&acme, endpoint);
    assert_eq!(bring(world, &acme, endpoint, None), BroughtForward::Holding);
    world.resume(&acme, endpoint);
    assert_eq!(world.due(endpoint, Lane::Retry)[0].due_at, START + HOUR, "it stands as it stood");
    assert_eq!(bring(world, &acme, endpoint, None), BroughtForward::Done { moved: 1, next: None });
    world.delete(&acme, endpoint);
    assert_eq!(bring(world, &acme, endpoint, None), BroughtForward::NotFound);
}

fn a_breaker_and_a_rest_are_over_for_whoever_hurries(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "campaign.updated");
    let trouble = Trouble {
        failing_since: Some(START),
        breaker: Some(OpenBreaker { opened_at: START, probes: 3, probe_at: START + HOUR }),
        not_before: Some(START + 2 * HOUR),
        ..Trouble::default()
    };
    let record = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble.clone()), ..record });
    let known = |world: &World| world.store().trouble(endpoint).expect("readable");
    assert_eq!(known(world), trouble);
    world.advance(std::time::Duration::from_secs(5));
    bring(world, &acme, endpoint, None);
    let probe_at = world.now;
    let expected = Trouble {
        breaker: Some(OpenBreaker { probe_at, ..trouble.breaker.expect("it is open") }),
        not_before: None,
        ..trouble
    };
    assert_eq!(known(world), expected, "it stays open, and sends its probe now");
}
