//! What lists say beside their rows.

use posthaste::domain::{Environment, ErrorClass, EventId, ReplaySelection, Replayable};
use posthaste::store::{Lane, LastAnswer, OutcomeCounts, Scope, Verdict};

use super::replaying;
use super::world::{HOUR, START, World, in_sandbox};

for_every_backend! {
    where_an_events_endpoints_are_is_counted
    a_replay_counts_in_place_of_what_it_replays
    of_very_many_only_the_first_are_counted
    a_partner_sees_its_part_of_what_went_to_very_many
    the_last_answer_is_that_of_the_last_attempt
}

#[track_caller]
fn counts(world: &World, scope: &Scope, event: EventId) -> OutcomeCounts {
    let found = world.store().outcome_counts(scope, &[event]).expect("readable");
    *found.get(&event).expect("it is there")
}

fn complete(counts: OutcomeCounts) -> OutcomeCounts {
    OutcomeCounts { is_complete: true, ..counts }
}

fn where_an_events_endpoints_are_is_counted(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let everyone = Scope::all(Environment::Production);
    let words = ["delivered", "retrying", "exhausted", "pending", "disabled", "deleted"];
    let endpoints = words.map(|word| world.endpoint(&acme, word, &["*"]).id);
    world.endpoint(&other, "theirs", &["*"]);
    let nobodys = world.accept(&in_sandbox(&acme), "campaign.created").id;
    let event = world.accept(&everyone, "campaign.created").id;
    let own = world.accept(&acme, "campaign.created").id;
    let deliveries = world.deliveries_of(&acme, event);
    let of = |at: usize| deliveries.iter().find(|delivery| delivery.endpoint == endpoints[at]).expect("it is there").id;
    let (delivered, retrying, exhausted) = (of(0), of(1), of(2));
    world.record(&world.attempt(delivered, 0, Verdict::Delivered));
    world.record(&world.attempt(retrying, 0, Verdict::RetryAt(START + HOUR)));
    world.record(&world.attempt(exhausted, 0, Verdict::Exhausted));
    world.enable(&acme, endpoints[4], false);
    world.delete(&acme, endpoints[5]);

    let each = OutcomeCounts {
        pending: 1,
        retrying: 1,
        held: 1,
        delivered: 1,
        retries_exhausted: 1,
        discarded: 1,
        is_complete: true,
    };
    assert_eq!(counts(world, &acme, event), each);
    assert_eq!(counts(world, &everyone, event), OutcomeCounts { pending: 2, ..each });
    assert_eq!(counts(world, &other, event), complete(OutcomeCounts { pending: 1, ..OutcomeCounts::default() }));
    assert_eq!(counts(world, &in_sandbox(&acme), nobodys), complete(OutcomeCounts::default()));
    // Several are told of at once, each by itself.
    let both = world.store().outcome_counts(&acme, &[event, own]).expect("readable");
    assert_eq!(both[&event], each);
    assert_eq!((both[&own].pending, both[&own].held, both[&own].discarded), (4, 1, 1));
    let nobody = Scope::of(Environment::Production, "nobody".parse().expect("a name"));
    assert_eq!(world.store().outcome_counts(&nobody, &[event]).expect("readable").len(), 0);
    assert_eq!(world.store().outcome_counts(&acme, &[]).expect("readable").len(), 0);
}

fn a_replay_counts_in_place_of_what_it_replays(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "hook", &["*"]).id;
    let event = world.accept(&acme, "campaign.created").id;
    let first = world.due(endpoint, Lane::Fresh)[0].delivery;
    world.record(&world.attempt(first, 0, Verdict::Exhausted));
    assert_eq!(counts(world, &acme, event).retries_exhausted, 1);
    let selection = ReplaySelection { statuses: vec![Replayable::RetriesExhausted], ..ReplaySelection::default() };
    let replay = replaying::begin(world, &acme, endpoint, selection);
    assert_eq!(replaying::carry_out(world, replay, endpoint, 10), 1);
    let pending = complete(OutcomeCounts { pending: 1, ..OutcomeCounts::default() });
    for scope in [&acme, &Scope::all(Environment::Production)] {
        assert_eq!(counts(world, scope, event), pending);
    }
}

fn of_very_many_only_the_first_are_counted(world: &mut World) {
    let acme = world.partner("acme");
    for number in 0..101 {
        world.endpoint(&acme, &format!("hook-{number}"), &["*"]);
    }
    let event = world.accept(&acme, "campaign.created").id;
    assert_eq!(counts(world, &acme, event), OutcomeCounts { pending: 100, ..OutcomeCounts::default() });
}

/// Of what went to very many partners' endpoints each sees its own.
fn a_partner_sees_its_part_of_what_went_to_very_many(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let everyone = Scope::all(Environment::Production);
    for number in 0..120 {
        world.endpoint(&other, &format!("hook-{number}"), &["*"]);
    }
    let own = world.endpoint(&acme, "own", &["*"]).id;
    let event = world.accept(&everyone, "campaign.created").id;
    let pending = complete(OutcomeCounts { pending: 1, ..OutcomeCounts::default() });
    assert_eq!(counts(world, &acme, event), pending);
    let delivery = world.due(own, Lane::Fresh)[0].delivery;
    world.record(&world.attempt(delivery, 0, Verdict::Delivered));
    let delivered = complete(OutcomeCounts { delivered: 1, ..OutcomeCounts::default() });
    assert_eq!(counts(world, &acme, event), delivered);
    assert!(!counts(world, &other, event).is_complete && !counts(world, &everyone, event).is_complete);
}

fn the_last_answer_is_that_of_the_last_attempt(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "hook", &["*"]);
    let [untried, failed, mended] = ["a.a", "b.b", "c.c"].map(|name| world.deliver(&acme, name));
    for delivery in [failed, mended] {
        world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)));
    }
    world.record(&world.attempt(mended, 1, Verdict::Delivered));
    let answers = world.store().last_answers(&[untried, failed, mended]).expect("readable");
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(answers[&failed], LastAnswer { status_code: None, error: Some(ErrorClass::Connect) });
    assert_eq!(answers[&mended], LastAnswer { status_code: Some(200), error: None });
    assert_eq!(world.store().last_answers(&[]).expect("readable").len(), 0);
}
