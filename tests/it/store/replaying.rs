//! Replays: what is selected, that nothing is made twice, and what is left when a process
//! ends in between. How fast they go is the engine's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use posthaste::domain::{
    Delivery, DeliveryStatus, DeliveryTimes, DiscardReason, EndpointId, EventId, ReplayId, ReplaySelection,
    ReplayState, Replayable, StatusFilter, Timestamp,
};
use posthaste::store::{
    DeliveryFilter, Effect, EventOutcome, Lane, NewReplay, Notice, PageRequest, ReplayConflict, ReplayProgress,
    ReplayRequest, ReplaySlice, ReplaySummary, Replayed, RunningReplay, RunningTarget, Scope, Slice, Verdict,
    WantedEndpoints,
};
use serde_json::json;

use super::world::{DAY, HOUR, SECOND, START, World, event_with, events_of, in_sandbox};

for_every_backend! {
    what_is_exhausted_is_made_again_and_shown_where_one_looks
    what_is_on_its_way_or_has_arrived_since_is_not_made_again
    what_is_accepted_later_is_no_part_of_it
    times_types_and_states_are_kept_to
    what_was_missed_is_made
    what_is_for_later_is_not_made_any_earlier
    what_waits_is_told_apart_from_what_is_due
    what_earlier_replays_made_is_passed_over_piece_by_piece
    what_was_missed_among_much_is_made
    a_partner_that_is_erased_keeps_no_replay_of_others_running
    a_filter_is_asked_about_what_was_missed
    what_there_is_nothing_left_of_is_skipped
    a_process_that_is_killed_makes_nothing_twice
    endpoints_of_a_replay_have_their_turns
    what_is_cancelled_makes_nothing_more
    a_deleted_endpoint_ends_its_part
    whoever_is_not_meant_is_not_there
    only_so_many_run_at_once
    the_same_request_begins_one
    a_preview_counts_what_would_be_made
    lists_show_what_replays_made
    an_event_stays_as_long_as_what_a_replay_made_of_it
    what_a_replay_made_is_held_no_longer_than_anything_else
    whatever_happened_the_newest_delivery_counts
}

pub fn exhausted() -> ReplaySelection {
    ReplaySelection { statuses: vec![Replayable::RetriesExhausted], ..ReplaySelection::default() }
}

fn missing() -> ReplaySelection {
    ReplaySelection { missing: true, ..ReplaySelection::default() }
}

fn new(scope: &Scope, endpoints: &[EndpointId], selection: ReplaySelection) -> NewReplay {
    NewReplay {
        scope: scope.clone(),
        wanted: WantedEndpoints { endpoints: endpoints.to_vec(), partners: Vec::new(), most: 100 },
        selection,
        per_second: None,
        actor: "operator".into(),
        key: None,
        most_running: 100,
        request: None,
    }
}

#[track_caller]
pub fn begin(world: &mut World, scope: &Scope, endpoint: EndpointId, selection: ReplaySelection) -> ReplayId {
    let new = new(scope, &[endpoint], selection);
    world.commit(|transaction| transaction.create_replay(&new)).expect("nothing stands against it").replay.id
}

fn slice(world: &mut World, replay: ReplayId, endpoint: EndpointId, room: usize) -> Replayed {
    let slice = ReplaySlice { replay, endpoint, room };
    world.commit(|transaction| transaction.carry_on_replay(&slice))
}

/// Carries a replay out to its end, and answers how many deliveries it made on the way.
#[track_caller]
pub fn carry_out(world: &mut World, replay: ReplayId, endpoint: EndpointId, room: usize) -> usize {
    let mut all = 0;
    for _ in 0..1_000 {
        match slice(world, replay, endpoint, room) {
            Replayed::Looked { made, is_done } => {
                assert!(made <= room, "{made} are more than {room}");
                all += made;
                if is_done {
                    assert_eq!(slice(world, replay, endpoint, room), Replayed::Over);
                    return all;
                }
            }
            Replayed::Over => panic!("it is not over yet"),
        }
    }
    panic!("it comes to no end");
}

/// Begins one and carries it out.
#[track_caller]
fn replay(world: &mut World, scope: &Scope, endpoint: EndpointId, selection: ReplaySelection) -> (ReplayId, usize) {
    let replay = begin(world, scope, endpoint, selection);
    let made = carry_out(world, replay, endpoint, 100);
    (replay, made)
}

#[track_caller]
fn progress(world: &World, scope: &Scope, replay: ReplayId) -> ReplayProgress {
    world.store().replay(scope, replay).expect("readable").expect("it is there")
}

/// An event whose only delivery has ended so.
#[track_caller]
fn ended(world: &mut World, scope: &Scope, event_type: &str, verdict: Verdict) -> EventId {
    let event = world.accept(scope, event_type).id;
    for delivery in world.deliveries_of(scope, event) {
        world.record(&world.attempt(delivery.id, 0, verdict));
    }
    event
}

/// The deliveries that a replay made, in the order they were made.
fn made_by(world: &World, scope: &Scope, replay: ReplayId) -> Vec<Delivery> {
    let filter = DeliveryFilter { replay: Some(replay), ..DeliveryFilter::default() };
    let mut made = world.deliveries(scope, &filter);
    made.reverse();
    made
}

fn events_by(world: &World, scope: &Scope, replay: ReplayId) -> Vec<EventId> {
    made_by(world, scope, replay).into_iter().map(|delivery| delivery.event).collect()
}

fn what_is_exhausted_is_made_again_and_shown_where_one_looks(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let lost = ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    ended(world, &acme, "campaign.updated", Verdict::Delivered);
    let waiting = world.accept(&acme, "campaign.updated").id;
    let [first] = &world.deliveries_of(&acme, lost)[..] else { panic!("one endpoint wants it") };
    let first = first.clone();
    world.advance(HOUR);
    let id = begin(world, &acme, endpoint, exhausted());
    let known = progress(world, &acme, id);
    assert_eq!((known.summary.replay.state, known.summary.targets, known.summary.made), (ReplayState::Running, 1, 0));
    assert_eq!(known.summary.replay.created_at, world.now);
    assert_eq!(slice(world, id, endpoint, 10), Replayed::Looked { made: 1, is_done: true });
    let told: Vec<_> = world
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Replayed { endpoint, made } => Some((*endpoint, *made)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(endpoint, 1)]);
    let made = made_by(world, &acme, id);
    let [again] = &made[..] else { panic!("{made:?}") };
    assert_eq!((again.event, again.replay, again.status), (lost, Some(id), DeliveryStatus::Pending));
    assert_eq!((again.created_at, again.attempt_count), (world.now, 0), "it begins anew");
    assert_eq!(world.delivery(&acme, first.id), first, "and what was is as it was");
    // Whoever sends finds it, behind what was accepted before, with the bytes of the event.
    let due = world.due(endpoint, Lane::Fresh);
    assert_eq!(due.iter().map(|due| due.event).collect::<Vec<_>>(), [waiting, lost]);
    assert_eq!(world.store().payloads(&[lost]).expect("readable").len(), 1);
    // Whoever looks finds both.
    assert_eq!(world.deliveries_of(&acme, lost), [first.clone(), again.clone()]);
    let event = world.store().event(&acme, lost).expect("readable").expect("it is there");
    let shown: Vec<_> = world
        .store()
        .event_outcomes(&acme, &event, None, posthaste::store::OUTCOMES_MOST)
        .expect("readable")
        .into_iter()
        .map(|outcome| match outcome {
            EventOutcome::Delivery { delivery, .. } => delivery.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, [first.id, again.id]);
    // It goes as any other does.
    let again = again.id;
    world.record(&world.attempt(again, 0, Verdict::RetryAt(world.now + HOUR)));
    assert_eq!((progress(world, &acme, id).pending, progress(world, &acme, id).failed), (1, 0));
    world.record(&world.attempt(again, 1, Verdict::Exhausted));
    let known = progress(world, &acme, id);
    assert_eq!((known.pending, known.failed, known.at_least), (0, 1, false));
    assert_eq!((known.summary.replay.state, known.summary.replay.finished_at), (ReplayState::Done, Some(world.now)));
    assert_eq!(world.attempts(again).len(), 2);
}

fn what_is_on_its_way_or_has_arrived_since_is_not_made_again(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let lost = ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    let (first, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!(made, 1);
    let again = made_by(world, &acme, first)[0].id;
    assert_eq!(replay(world, &acme, endpoint, exhausted()).1, 0, "it is on its way");
    world.record(&world.attempt(again, 0, Verdict::Exhausted));
    let (second, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!((made, events_by(world, &acme, second)), (1, vec![lost]), "it has failed again, and once more");
    let third = made_by(world, &acme, second)[0].id;
    world.record(&world.attempt(third, 0, Verdict::Delivered));
    assert_eq!(replay(world, &acme, endpoint, exhausted()).1, 0, "it has arrived");
    let delivered = ReplaySelection { statuses: vec![Replayable::Delivered], ..ReplaySelection::default() };
    assert_eq!(replay(world, &acme, endpoint, delivered).1, 1, "once, whatever came before");
}

fn what_is_accepted_later_is_no_part_of_it(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let before = ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    let selection = ReplaySelection { missing: true, ..exhausted() };
    let id = begin(world, &acme, endpoint, selection);
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    world.advance(HOUR);
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    assert_eq!(carry_out(world, id, endpoint, 1), 1);
    assert_eq!(events_by(world, &acme, id), [before]);
}

fn times_types_and_states_are_kept_to(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let mut events = Vec::new();
    for (event_type, verdict) in [
        ("campaign.updated", Verdict::Exhausted),
        ("order.paid", Verdict::Expired),
        ("campaign.created", Verdict::Delivered),
        ("order.sent", Verdict::Exhausted),
    ] {
        events.push(ended(world, &acme, event_type, verdict));
        world.advance(HOUR);
    }
    let all = ReplaySelection { statuses: Replayable::ALL.to_vec(), ..ReplaySelection::default() };
    let of = |types: &[&str]| types.iter().map(|text| text.parse().expect("a pattern")).collect();
    for (selection, expected) in [
        (ReplaySelection { statuses: vec![Replayable::Discarded], ..ReplaySelection::default() }, vec![events[1]]),
        (ReplaySelection { types: of(&["order.*"]), ..all.clone() }, vec![events[1], events[3]]),
        (ReplaySelection { since: Some(START + HOUR), ..exhausted() }, vec![events[3]]),
        (
            ReplaySelection { since: Some(START + HOUR), until: Some(START + 3 * HOUR), ..all.clone() },
            vec![events[1], events[2]],
        ),
        (
            ReplaySelection { until: Some(START + HOUR), types: of(&["campaign.created", "order.*"]), ..all.clone() },
            vec![],
        ),
        (all, events.clone()),
    ] {
        let mut beside = begin(world, &acme, endpoint, selection.clone());
        carry_out(world, beside, endpoint, 2);
        assert_eq!(events_by(world, &acme, beside), expected, "{selection:?}");
        // As it was, for the next.
        for delivery in made_by(world, &acme, beside) {
            let verdict = match world.deliveries_of(&acme, delivery.event)[0].status {
                DeliveryStatus::Delivered => Verdict::Delivered,
                DeliveryStatus::RetriesExhausted => Verdict::Exhausted,
                _ => Verdict::Expired,
            };
            world.record(&world.attempt(delivery.id, 0, verdict));
        }
        beside = begin(world, &acme, endpoint, ReplaySelection { until: Some(START), ..selection });
        assert_eq!(carry_out(world, beside, endpoint, 2), 0, "nothing is from before the beginning");
    }
}

fn what_was_missed_is_made(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let everyone = Scope::all(acme.environment);
    let mut missed = Vec::new();
    missed.push(world.accept(&acme, "campaign.updated").id);
    world.accept(&acme, "order.paid");
    missed.push(world.accept(&everyone, "campaign.created").id);
    world.accept(&other, "campaign.updated");
    world.accept(&in_sandbox(&acme), "campaign.updated");
    let endpoint = world.endpoint(&acme, "late", &["campaign.*"]).id;
    let waiting = world.accept(&acme, "campaign.updated").id;
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    let (id, made) = replay(world, &acme, endpoint, missing());
    assert_eq!((made, events_by(world, &acme, id)), (2, missed.clone()));
    assert_eq!(replay(world, &acme, endpoint, missing()).1, 0, "it is not missing any more");
    // From here on it wants less, and then everything.
    world.change(&acme, endpoint, |settings| settings.events = vec!["order.*".parse().expect("a pattern")]);
    let unsubscribed = world.accept(&acme, "campaign.updated").id;
    world.change(&acme, endpoint, |settings| settings.events = vec!["*".parse().expect("a pattern")]);
    let campaigns = ReplaySelection { types: vec!["campaign.*".parse().expect("a pattern")], ..missing() };
    let (id, _) = replay(world, &acme, endpoint, campaigns);
    assert_eq!(events_by(world, &acme, id), [unsubscribed]);
    let both = ReplaySelection { missing: true, ..exhausted() };
    let (id, made) = replay(world, &acme, endpoint, both);
    assert_eq!(made, 2, "the order that it wants by now, and what is exhausted");
    assert!(!events_by(world, &acme, id).contains(&waiting));
    let of_all = new(&everyone, &[], missing());
    let of_all = NewReplay { wanted: WantedEndpoints { endpoints: vec![endpoint], ..of_all.wanted.clone() }, ..of_all };
    let begun = world.commit(|transaction| transaction.create_replay(&of_all)).expect("an operator may name it");
    assert_eq!(begun.replay.partner, acme.partner, "what is about one partner is that partner's");
}

fn what_is_for_later_is_not_made_any_earlier(world: &mut World) {
    let acme = world.partner("acme");
    let mut request = world.request(&acme, &["campaign.later", "campaign.now"]);
    let times = DeliveryTimes { deliver_at: Some(START + DAY), expires_at: None };
    request.events[0] = request.events[0].clone().delivered_at(times);
    world.accept_all(&[&request]);
    let endpoint = world.endpoint(&acme, "late", &["*"]).id;
    let (_, made) = replay(world, &acme, endpoint, missing());
    assert_eq!(made, 2);
    let [later] = &world.due(endpoint, Lane::Retry)[..] else { panic!("one is for later") };
    assert_eq!((later.due_at, later.scheduled_attempts), (START + DAY, 0));
    assert_eq!(world.due(endpoint, Lane::Fresh).len(), 1, "and the other is not");
    world.record(&world.attempt(later.delivery, 0, Verdict::Exhausted));
    world.advance(2 * DAY);
    replay(world, &acme, endpoint, exhausted());
    assert_eq!(world.due(endpoint, Lane::Fresh).len(), 2, "its time has come");
}

fn what_waits_is_told_apart_from_what_is_due(world: &mut World) {
    let acme = world.partner("acme");
    let mut request = world.request(&acme, &["campaign.later", "campaign.one", "campaign.two", "campaign.left"]);
    let times = DeliveryTimes { deliver_at: Some(START + DAY), expires_at: None };
    request.events[0] = request.events[0].clone().delivered_at(times);
    world.accept_all(&[&request]);
    let endpoint = world.endpoint(&acme, "late", &["*"]).id;
    let id = begin(world, &acme, endpoint, missing());
    assert_eq!(slice(world, id, endpoint, 3), Replayed::Looked { made: 3, is_done: false });
    let counts = |world: &World| {
        let target = running(world, None, &HashMap::new(), (10, 10))[0].targets[0];
        (target.under_way, target.waiting)
    };
    assert_eq!(counts(world), (2, 1), "one is for later");
    let [one, _] = &world.due(endpoint, Lane::Fresh)[..] else { panic!("two are due") };
    let retry = Verdict::RetryAt(world.now + SECOND);
    world.record(&world.attempt(one.delivery, 0, retry));
    assert_eq!(counts(world), (1, 2), "and another is tried again");
    world.advance(2 * SECOND);
    assert_eq!(counts(world), (1, 2), "which is a retry also when it is due");
    world.advance(DAY);
    assert_eq!(counts(world), (2, 1), "what was for later is due like any other");
    assert_eq!(progress(world, &acme, id).pending, 3);
}

fn what_earlier_replays_made_is_passed_over_piece_by_piece(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let types = ["campaign.updated"; 150];
    let request = world.request(&acme, &types);
    world.accept_all(&[&request]);
    for due in world.due(endpoint, Lane::Fresh) {
        world.record(&world.attempt(due.delivery, 0, Verdict::Exhausted));
    }
    world.advance(SECOND);
    let since = Some(world.now);
    let (earlier, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!(made, types.len());
    for delivery in made_by(world, &acme, earlier) {
        world.record(&world.attempt(delivery.id, 0, Verdict::Exhausted));
    }
    let lost = ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    for statuses in [vec![Replayable::RetriesExhausted], vec![Replayable::Discarded], vec![Replayable::Delivered]] {
        let is_selected = statuses == [Replayable::RetriesExhausted];
        let id = begin(world, &acme, endpoint, ReplaySelection { since, statuses, ..ReplaySelection::default() });
        let piece = Replayed::Looked { made: 0, is_done: false };
        assert_eq!(slice(world, id, endpoint, 1), piece, "they are read, though nothing of them is selected");
        assert_eq!(slice(world, id, endpoint, 1), piece);
        assert_eq!(carry_out(world, id, endpoint, 1), usize::from(is_selected));
        if is_selected {
            assert_eq!(events_by(world, &acme, id), [lost]);
        }
    }
}

fn what_was_missed_among_much_is_made(world: &mut World) {
    let acme = world.partner("acme");
    let there = world.endpoint(&acme, "there", &["order.*"]).id;
    world.endpoint(&acme, "beside", &["*"]);
    // More than one look takes, each event with several deliveries or with one.
    let mut missed = Vec::new();
    for round in 0..6 {
        let types: Vec<&str> =
            (0..40).map(|index| if (index + round) % 3 == 0 { "campaign.updated" } else { "order.paid" }).collect();
        let request = world.request(&acme, &types);
        let events = events_of(world.accept_all(&[&request]).remove(0));
        missed.extend(events.iter().zip(types).filter(|(_, of)| *of == "campaign.updated").map(|(event, _)| event.id));
        if round == 2 {
            world.advance(SECOND);
        }
    }
    world.change(&acme, there, |settings| settings.events = vec!["*".parse().expect("a pattern")]);
    for room in [3, 100] {
        let id = begin(world, &acme, there, missing());
        let wanted = if room == 3 { missed.len() } else { 0 };
        assert_eq!(carry_out(world, id, there, room), wanted);
        if room == 3 {
            assert_eq!(events_by(world, &acme, id), missed, "each once, in the order of acceptance");
        }
    }
}

fn a_partner_that_is_erased_keeps_no_replay_of_others_running(world: &mut World) {
    let (acme, globex) = (world.partner("acme"), world.partner("globex"));
    let endpoints = [&acme, &globex].map(|scope| world.endpoint(scope, "all", &["*"]).id);
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    ended(world, &globex, "campaign.updated", Verdict::Exhausted);
    let everyone = Scope::all(acme.environment);
    let new = new(&everyone, &endpoints, exhausted());
    let id = world.commit(|transaction| transaction.create_replay(&new)).expect("they are there").replay.id;
    assert_eq!(carry_out(world, id, endpoints[0], 10), 1);
    assert!(!world.commit(|transaction| transaction.finish_replay(id)), "one has not had its part");
    let name = globex.partner.clone().expect("it is somebody's");
    world.commit(|transaction| transaction.begin_erasing(&name)).expect("there is such a partner");
    world.advance(HOUR);
    for _ in 0..100 {
        let done = world.commit(|transaction| transaction.erase_partners(Slice { rows: 1_000, bytes: 1 << 20 }));
        if !done.gone.is_empty() {
            break;
        }
    }
    let [left] = &running(world, None, &HashMap::new(), (10, 10))[..] else { panic!("it is not over") };
    assert_eq!((left.replay, &left.targets[..]), (id, &[][..]), "it has nobody left, and says so");
    assert!(world.commit(|transaction| transaction.finish_replay(id)));
    assert_eq!(running(world, None, &HashMap::new(), (10, 10)), []);
    assert_eq!(progress(world, &everyone, id).summary.replay.state, ReplayState::Done);
    assert!(!world.commit(|transaction| transaction.finish_replay(id)), "once is enough");
}

fn a_filter_is_asked_about_what_was_missed(world: &mut World) {
    let acme = world.partner("acme");
    let mut accepted = Vec::new();
    for number in 0..6 {
        let mut request = world.request(&acme, &[]);
        request.events = vec![event_with("campaign.updated", &json!({ "number": number }))];
        accepted.push(events_of(world.accept_all(&[&request]).remove(0)).remove(0).id);
    }
    let endpoint = world.endpoint(&acme, "late", &["*"]).id;
    world.change(&acme, endpoint, |settings| {
        settings.filter = Some(r#"{"properties":{"number":{"minimum":3}}}"#.parse().expect("a filter"));
    });
    let id = begin(world, &acme, endpoint, missing());
    assert_eq!(carry_out(world, id, endpoint, 1), 3);
    assert_eq!(events_by(world, &acme, id), accepted[3..]);
}

fn what_there_is_nothing_left_of_is_skipped(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    ended(world, &acme, "campaign.erased", Verdict::Exhausted);
    world.place().execute("UPDATE events SET body = ''");
    let mut request = world.request(&acme, &["campaign.brief"]);
    let times = DeliveryTimes { deliver_at: None, expires_at: Some(world.now + HOUR) };
    request.events[0] = request.events[0].clone().delivered_at(times);
    let brief = events_of(world.accept_all(&[&request]).remove(0)).remove(0).id;
    let delivery = world.deliveries_of(&acme, brief)[0].id;
    world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
    let kept = ended(world, &acme, "campaign.kept", Verdict::Exhausted);
    let (id, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!((made, progress(world, &acme, id).summary.skipped), (2, 1));
    for delivery in made_by(world, &acme, id) {
        world.record(&world.attempt(delivery.id, 0, Verdict::Exhausted));
    }
    world.advance(2 * HOUR);
    let (id, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!((made, events_by(world, &acme, id)), (1, vec![kept]));
    assert_eq!(progress(world, &acme, id).summary.skipped, 2);
    let types = vec!["campaign.kept".parse().expect("a pattern")];
    let (id, _) = replay(world, &acme, endpoint, ReplaySelection { types, ..exhausted() });
    assert_eq!(progress(world, &acme, id).summary.skipped, 0, "nobody asked for the others");
}

fn a_process_that_is_killed_makes_nothing_twice(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let lost: Vec<EventId> = (0..7).map(|_| ended(world, &acme, "campaign.updated", Verdict::Exhausted)).collect();
    let id = begin(world, &acme, endpoint, exhausted());
    let running = |world: &World| running(world, None, &HashMap::new(), (10, 10));
    assert_eq!(slice(world, id, endpoint, 2), Replayed::Looked { made: 2, is_done: false });
    world.kill();
    let left = RunningReplay {
        replay: id,
        per_second: None,
        targets: vec![RunningTarget { endpoint, under_way: 2, waiting: 0 }],
    };
    assert_eq!(running(world), [left]);
    assert_eq!(slice(world, id, endpoint, 3), Replayed::Looked { made: 3, is_done: false });
    // What it made ends meanwhile, and is exhausted as it was.
    for delivery in made_by(world, &acme, id) {
        world.record(&world.attempt(delivery.id, 0, Verdict::Exhausted));
    }
    world.kill();
    assert_eq!(running(world)[0].targets[0].under_way, 0);
    assert_eq!(carry_out(world, id, endpoint, 100), 2);
    assert_eq!(events_by(world, &acme, id), lost, "each once, in the order of acceptance");
    assert_eq!(running(world), []);
    let known = progress(world, &acme, id);
    assert_eq!((known.summary.made, known.pending, known.failed), (7, 2, 5));
    // A key that is taken after a restart is behind the replay's.
    world.kill();
    let after = world.accept(&acme, "campaign.updated").id;
    assert!(after.uuid() > id.uuid());
}

fn running(
    world: &World,
    after: Option<ReplayId>,
    turns: &HashMap<ReplayId, EndpointId>,
    limits: (usize, usize),
) -> Vec<RunningReplay> {
    world.store().running_replays(after, turns, limits, world.now).expect("readable")
}

fn endpoints_of_a_replay_have_their_turns(world: &mut World) {
    let acme = world.partner("acme");
    let all: Vec<EndpointId> =
        (0..5).map(|number| world.endpoint(&acme, &format!("e{number}"), &["order.*"]).id).collect();
    let begin = |world: &mut World, endpoints: &[EndpointId]| {
        let new = new(&acme, endpoints, exhausted());
        world.commit(|transaction| transaction.create_replay(&new)).expect("they are there").replay.id
    };
    let (many, one) = (begin(world, &all), begin(world, &all[..1]));
    let whose = |running: &RunningReplay| running.targets.iter().map(|target| target.endpoint).collect::<Vec<_>>();
    let mut turns = HashMap::new();
    for expected in [[0, 1], [2, 3], [4, 0], [1, 2]] {
        let found = running(world, None, &turns, (10, 2));
        assert_eq!((found[0].replay, whose(&found[0])), (many, expected.map(|number| all[number]).to_vec()));
        assert_eq!((found[1].replay, whose(&found[1])), (one, vec![all[0]]), "each once, also where there are fewer");
        turns = found.iter().map(|found| (found.replay, *whose(found).last().expect("it is not done"))).collect();
    }
    assert_eq!(running(world, Some(many), &turns, (10, 2)).len(), 1);
    assert_eq!(running(world, None, &turns, (1, 2)).len(), 1);
    slice(world, many, all[3], 10);
    let found = running(world, None, &turns, (1, 9));
    assert_eq!(whose(&found[0]), [4, 0, 1, 2].map(|number| all[number]), "who is done has no turn");
}

fn what_is_cancelled_makes_nothing_more(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    for _ in 0..3 {
        ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    }
    let id = begin(world, &acme, endpoint, exhausted());
    slice(world, id, endpoint, 1);
    let cancel = |world: &mut World, scope: &Scope| world.commit(|transaction| transaction.cancel_replay(scope, id));
    assert_eq!(cancel(world, &other), None);
    assert_eq!(cancel(world, &in_sandbox(&acme)), None);
    world.advance(SECOND);
    assert_eq!(cancel(world, &acme), Some(Effect::Changed(ReplayState::Cancelled)));
    assert_eq!(cancel(world, &acme), Some(Effect::AsBefore(ReplayState::Cancelled)));
    assert_eq!(slice(world, id, endpoint, 10), Replayed::Over);
    let known = progress(world, &acme, id);
    assert_eq!((known.summary.made, known.pending), (1, 1), "what was made stays");
    assert_eq!(known.summary.replay.finished_at, Some(world.now));
    let (done, _) = replay(world, &acme, endpoint, exhausted());
    let too_late = world.commit(|transaction| transaction.cancel_replay(&acme, done));
    assert_eq!(too_late, Some(Effect::AsBefore(ReplayState::Done)));
}

fn a_deleted_endpoint_ends_its_part(world: &mut World) {
    let acme = world.partner("acme");
    let (gone, kept) = (world.endpoint(&acme, "gone", &["*"]).id, world.endpoint(&acme, "kept", &["*"]).id);
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    let new = new(&acme, &[gone, kept, gone], exhausted());
    let begun = world.commit(|transaction| transaction.create_replay(&new)).expect("both are there");
    assert_eq!(begun.targets, 2, "each once");
    let id = begun.replay.id;
    world.delete(&acme, gone);
    assert_eq!(slice(world, id, gone, 10), Replayed::Looked { made: 0, is_done: true });
    assert_eq!(progress(world, &acme, id).summary.replay.state, ReplayState::Running);
    assert_eq!(slice(world, id, kept, 10), Replayed::Looked { made: 1, is_done: true });
    assert_eq!(progress(world, &acme, id).summary.replay.state, ReplayState::Done);
    let again = world.commit(|transaction| transaction.create_replay(&new));
    assert_eq!(again.err(), Some(ReplayConflict::NoEndpoint(gone)));
}

fn whoever_is_not_meant_is_not_there(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let everyone = Scope::all(acme.environment);
    let (ours, theirs) = (world.endpoint(&acme, "a", &["*"]).id, world.endpoint(&other, "b", &["*"]).id);
    let hearing = world.endpoint(&everyone, "c", &["posthaste.*"]).id;
    let mut attempt = |scope: &Scope, endpoints: &[EndpointId], partners: &[&str], selection| {
        let partners = partners.iter().map(|name| name.parse().expect("a name")).collect();
        let wanted = WantedEndpoints { endpoints: endpoints.to_vec(), partners, most: 3 };
        let new = NewReplay { wanted, ..new(scope, &[], selection) };
        world.commit(|transaction| transaction.create_replay(&new))
    };
    let refused = |found: Result<ReplaySummary, ReplayConflict>| found.err();
    assert_eq!(refused(attempt(&acme, &[theirs], &[], exhausted())), Some(ReplayConflict::NoEndpoint(theirs)));
    let sandbox = in_sandbox(&acme);
    assert_eq!(refused(attempt(&sandbox, &[ours], &[], exhausted())), Some(ReplayConflict::NoEndpoint(ours)));
    let missed = attempt(&everyone, &[hearing], &[], missing());
    assert_eq!(refused(missed), Some(ReplayConflict::ForAllPartners(hearing)));
    let stranger: posthaste::domain::PartnerName = "other".parse().expect("a name");
    let named = attempt(&acme, &[], &["other"], exhausted());
    assert_eq!(refused(named), Some(ReplayConflict::NoPartner(stranger)));
    assert!(matches!(refused(attempt(&everyone, &[], &["nobody"], exhausted())), Some(ReplayConflict::NoPartner(_))));
    assert_eq!(refused(attempt(&everyone, &[], &[], exhausted())), Some(ReplayConflict::Nobody));
    let several = attempt(&everyone, &[hearing], &["acme", "other"], exhausted()).expect("three are not too many");
    assert_eq!((several.targets, several.replay.partner), (3, None));
    world.endpoint(&acme, "d", &["*"]);
    let wanted = WantedEndpoints {
        endpoints: vec![hearing],
        partners: vec!["acme".parse().expect("a name"), "other".parse().expect("a name")],
        most: 3,
    };
    let too_many = NewReplay { wanted, ..new(&everyone, &[], exhausted()) };
    let refused = world.commit(|transaction| transaction.create_replay(&too_many)).err();
    assert_eq!(refused, Some(ReplayConflict::TooManyEndpoints { most: 3 }));
    // What several partners' endpoints are part of, none of them sees; operators do.
    let listed = |scope: &Scope| {
        world.store().replays(scope, &PageRequest { after: None, limit: 10 }).expect("readable").items.len()
    };
    assert_eq!((listed(&acme), listed(&other), listed(&everyone), listed(&in_sandbox(&everyone))), (0, 0, 1, 0));
    let seen = |scope: &Scope| world.store().replay(scope, several.replay.id).expect("readable").is_some();
    assert_eq!((seen(&acme), seen(&everyone), seen(&in_sandbox(&everyone))), (false, true, false));
}

fn the_same_request_begins_one(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let request = |key: &str, digest: &str| Some(ReplayRequest { key: key.into(), digest: digest.into() });
    let asked = |key, digest| NewReplay { request: request(key, digest), ..new(&acme, &[endpoint], exhausted()) };
    let ask = |world: &mut World, asked: NewReplay| world.commit(|transaction| transaction.create_replay(&asked));
    let first = ask(world, asked("one", "that")).expect("nothing stands against it");
    assert_eq!(ask(world, asked("one", "that")), Err(ReplayConflict::AskedBefore(Box::new(first.clone()))));
    assert_eq!(ask(world, asked("one", "else")), Err(ReplayConflict::AnotherRequest));
    let second = ask(world, asked("two", "that")).expect("it is another");
    assert_ne!(first.replay.id, second.replay.id);
    // Neither how it stands nor whether its endpoint is still there matters.
    carry_out(world, first.replay.id, endpoint, 100);
    world.delete(&acme, endpoint);
    let Err(ReplayConflict::AskedBefore(before)) = ask(world, asked("one", "that")) else { panic!("it was asked") };
    assert_eq!((before.replay.id, before.replay.state), (first.replay.id, ReplayState::Done));
    let page = PageRequest { after: None, limit: 10 };
    assert_eq!(world.store().replays(&acme, &page).expect("readable").items.len(), 2);
}

fn only_so_many_run_at_once(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let (ours, theirs) = (world.endpoint(&acme, "a", &["*"]).id, world.endpoint(&other, "b", &["*"]).id);
    let one_more = |world: &mut World, scope: &Scope, endpoint| {
        let new = NewReplay { most_running: 2, ..new(scope, &[endpoint], exhausted()) };
        world.commit(|transaction| transaction.create_replay(&new)).map(|begun| begun.replay.id)
    };
    let first = one_more(world, &acme, ours).expect("there is room");
    one_more(world, &acme, ours).expect("there is room");
    assert_eq!(one_more(world, &acme, ours), Err(ReplayConflict::TooManyRunning { most: 2 }));
    one_more(world, &other, theirs).expect("others have room of their own");
    carry_out(world, first, ours, 10);
    one_more(world, &acme, ours).expect("one is done");
}

fn a_preview_counts_what_would_be_made(world: &mut World) {
    let acme = world.partner("acme");
    let early = world.accept(&acme, "campaign.updated").id;
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    world.advance(HOUR);
    for verdict in [Verdict::Exhausted, Verdict::Delivered, Verdict::Exhausted] {
        ended(world, &acme, "campaign.updated", verdict);
    }
    let selection = ReplaySelection { missing: true, ..exhausted() };
    let wanted = WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 };
    let look = |world: &World| {
        world.store().preview_replay(&acme, &wanted, &selection, world.now).expect("readable").expect("it is there")
    };
    let preview = look(world);
    let counts: Vec<_> = preview.counts.into_iter().map(|((_, kind, ended), count)| (kind, ended, count)).collect();
    let kind = "campaign.updated".to_owned();
    assert_eq!(counts, [(kind.clone(), None, 1), (kind, Some("retries_exhausted"), 2)]);
    assert_eq!((preview.span, preview.at_least, preview.skipped), (Some((START, START + HOUR)), false, 0));
    assert_eq!((preview.samples.len(), preview.samples[0].event), (3, early));
    let before: Vec<_> = world.deliveries(&acme, &DeliveryFilter::default());
    assert_eq!(before.len(), 3, "nothing was made");
    assert_eq!(replay(world, &acme, endpoint, selection.clone()).1, 3);
    assert!(look(world).counts.is_empty());
    let nobody = WantedEndpoints { most: 1, ..WantedEndpoints::default() };
    let found = world.store().preview_replay(&acme, &nobody, &selection, world.now).expect("readable");
    assert_eq!(found, Err(ReplayConflict::Nobody));
}

fn lists_show_what_replays_made(world: &mut World) {
    let acme = world.partner("acme");
    let everyone = Scope::all(acme.environment);
    let (one, two) = (world.endpoint(&acme, "one", &["*"]).id, world.endpoint(&acme, "two", &["*"]).id);
    for _ in 0..5 {
        ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    }
    let new = new(&everyone, &[one, two], exhausted());
    let id = world.commit(|transaction| transaction.create_replay(&new)).expect("both are there").replay.id;
    let (made, _) = (carry_out(world, id, one, 2), carry_out(world, id, two, 3));
    assert_eq!(made, 5);
    let all = made_by(world, &everyone, id);
    assert_eq!(all.len(), 10);
    world.record(&world.attempt(all[3].id, 0, Verdict::Delivered));
    world.record(&world.attempt(all[7].id, 0, Verdict::Exhausted));
    let filter = |status, endpoint, event| DeliveryFilter {
        replay: Some(id),
        status,
        endpoint,
        event,
        ..DeliveryFilter::default()
    };
    for scope in [&acme, &everyone] {
        let count = |status, endpoint, event| world.deliveries(scope, &filter(status, endpoint, event)).len();
        assert_eq!((count(None, None, None), count(None, Some(one), None)), (10, 5));
        assert_eq!(
            (count(Some(StatusFilter::Pending), None, None), count(Some(StatusFilter::Pending), Some(two), None)),
            (8, 4)
        );
        assert_eq!(count(Some(StatusFilter::Delivered), None, None), 1);
        assert_eq!(count(Some(StatusFilter::RetriesExhausted), Some(one), None), 0);
        assert_eq!(count(None, None, Some(all[0].event)), 2);
        let of_event = |status| DeliveryFilter { event: Some(all[7].event), status, ..DeliveryFilter::default() };
        assert_eq!(world.deliveries(scope, &of_event(None)).len(), 4);
        assert_eq!(world.deliveries(scope, &of_event(Some(StatusFilter::RetriesExhausted))).len(), 3);
        assert_eq!(world.deliveries(scope, &of_event(Some(StatusFilter::Pending))).len(), 1);
    }
    // Page by page, newest first, with and without a state.
    for status in [None, Some(StatusFilter::Pending)] {
        let whole: Vec<_> = world.deliveries(&acme, &filter(status, None, None));
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = world
                .store()
                .deliveries(&acme, &filter(status, None, None), &PageRequest { after, limit: 3 })
                .expect("readable");
            paged.extend(page.items);
            after = paged.last().map(|delivery: &Delivery| delivery.id);
            if !page.more {
                break;
            }
        }
        assert_eq!(paged, whole);
        assert!(whole.is_sorted_by(|one, other| one.id > other.id));
    }
    let other = world.partner("other");
    assert_eq!(world.deliveries(&other, &filter(None, None, None)), []);
    // They are ordinary deliveries to whoever asks for no replay.
    assert_eq!(world.deliveries(&acme, &DeliveryFilter::default()).len(), 20);
    world.pause(&acme, two);
    assert_eq!(world.deliveries(&acme, &filter(Some(StatusFilter::Held), None, None)).len(), 4);
}

fn retire(world: &mut World, horizon: Timestamp) {
    world.commit(|transaction| {
        transaction.drop_history(horizon)?;
        transaction.retire_replays(horizon, 1_000)?;
        transaction.retire(horizon, None, 1_000)
    });
}

fn an_event_stays_as_long_as_what_a_replay_made_of_it(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let replayed = ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    let other = ended(world, &acme, "campaign.updated", Verdict::Delivered);
    world.now = START + 20 * DAY;
    let (id, _) = replay(world, &acme, endpoint, exhausted());
    let again = made_by(world, &acme, id)[0].id;
    let is_there = |world: &World, event| world.store().event(&acme, event).expect("readable").is_some();
    world.now = START + 40 * DAY;
    let horizon = START + 10 * DAY;
    retire(world, horizon);
    assert_eq!((is_there(world, replayed), is_there(world, other)), (true, false), "its bytes are still to be sent");
    assert_eq!(world.store().payloads(&[replayed]).expect("readable").len(), 1);
    world.record(&world.attempt(again, 0, Verdict::Delivered));
    world.commit(|transaction| transaction.request_attempt(again));
    retire(world, horizon);
    assert!(is_there(world, replayed), "what became of it can still be seen");
    assert_eq!(world.delivery(&acme, again).status, DeliveryStatus::Delivered);
    world.now = START + 90 * DAY;
    let horizon = START + 60 * DAY;
    retire(world, horizon);
    retire(world, horizon);
    assert!(!is_there(world, replayed));
    assert_eq!(world.store().delivery(&acme, again).expect("readable"), None);
    assert_eq!(world.attempts(again), []);
    assert_eq!(world.store().replay(&acme, id).expect("readable"), None, "nothing is left of it");
    assert_eq!(world.due(endpoint, Lane::Manual), []);
}

fn what_a_replay_made_is_held_no_longer_than_anything_else(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    ended(world, &acme, "campaign.updated", Verdict::Exhausted);
    world.pause(&acme, endpoint);
    let (id, made) = replay(world, &acme, endpoint, exhausted());
    assert_eq!(made, 1);
    let held = made_by(world, &acme, id)[0].id;
    assert_eq!(world.delivery(&acme, held).status, DeliveryStatus::Held);
    world.now = START + 40 * DAY;
    retire(world, START + 10 * DAY);
    assert_eq!(world.delivery(&acme, held).status, DeliveryStatus::Discarded(DiscardReason::Retention));
    assert!(world.store().replay(&acme, id).expect("readable").is_some());
}

/// Numbers that look drawn, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Random histories against what anybody would say who reads the lists.
fn whatever_happened_the_newest_delivery_counts(world: &mut World) {
    for seed in 0..4 {
        let mut world = world.beside();
        let mut dice = Dice(seed);
        let acme = world.partner("acme");
        let mut events: Vec<EventId> = (0..8).map(|_| world.accept(&acme, "campaign.early").id).collect();
        let endpoint = world.endpoint(&acme, "all", &["*"]).id;
        for _ in 0..20 {
            world.advance(SECOND);
            events.push(world.accept(&acme, "campaign.updated").id);
        }
        for round in 0..6 {
            // Some of what is on its way comes to some end.
            for delivery in world.deliveries(&acme, &DeliveryFilter::default()) {
                if delivery.finished_at.is_none() && dice.below(3) > 0 {
                    let verdict = [Verdict::Delivered, Verdict::Exhausted, Verdict::Expired][dice.below(3) as usize];
                    world.record(&world.attempt(delivery.id, 0, verdict));
                }
            }
            world.advance(HOUR);
            let selection = ReplaySelection {
                statuses: Replayable::ALL.into_iter().filter(|_| dice.below(2) == 0).collect(),
                missing: dice.below(2) == 0,
                since: (dice.below(2) == 0).then(|| START + 7 * SECOND),
                until: (dice.below(2) == 0).then(|| START + 15 * SECOND),
                types: Vec::new(),
            };
            let newest: BTreeMap<EventId, Option<DeliveryStatus>> = events
                .iter()
                .map(|event| (*event, world.deliveries_of(&acme, *event).last().map(|delivery| delivery.status)))
                .collect();
            let expected: Vec<EventId> = newest
                .into_iter()
                .filter(|(event, status)| {
                    let at = event.made_at();
                    let is_in_time = selection.since.is_none_or(|since| at >= since)
                        && selection.until.is_none_or(|until| at < until);
                    is_in_time
                        && match status {
                            None => selection.missing,
                            Some(DeliveryStatus::Delivered) => selection.statuses.contains(&Replayable::Delivered),
                            Some(DeliveryStatus::RetriesExhausted) => {
                                selection.statuses.contains(&Replayable::RetriesExhausted)
                            }
                            Some(DeliveryStatus::Discarded(_)) => selection.statuses.contains(&Replayable::Discarded),
                            Some(_) => false,
                        }
                })
                .map(|(event, _)| event)
                .collect();
            let id = begin(&mut world, &acme, endpoint, selection.clone());
            // In slices of any size, between which something of it may end.
            loop {
                let Replayed::Looked { is_done, .. } = slice(&mut world, id, endpoint, 1 + dice.below(5) as usize)
                else {
                    panic!("it is not over yet")
                };
                if is_done {
                    break;
                }
                if let Some(delivery) =
                    made_by(&world, &acme, id).into_iter().find(|delivery| delivery.finished_at.is_none())
                {
                    let verdict = if dice.below(2) == 0 { Verdict::Delivered } else { Verdict::Exhausted };
                    world.record(&world.attempt(delivery.id, 0, verdict));
                }
            }
            assert_eq!(events_by(&world, &acme, id), expected, "seed {seed}, round {round}: {selection:?}");
        }
        let all = world.deliveries(&acme, &DeliveryFilter::default());
        let by_replay: BTreeSet<(EventId, Option<ReplayId>)> =
            all.iter().map(|delivery| (delivery.event, delivery.replay)).collect();
        assert_eq!(by_replay.len(), all.len(), "each event at most once in each replay");
    }
}
