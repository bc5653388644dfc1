//! What was counted: each run of a node writes its own, readers add it up, and what is
//! old becomes hours without anything being lost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{Ending, EndpointId, EventType, NodeId, Outcome, Tally, Timestamp};
use posthaste::store::{
    Counted, CountedAbout, CountedTypes, Resolution, Scope, Slice, StatisticsQuestion, StoreError, Transaction,
};
use uuid::Uuid;

use super::world::{DAY, HOUR, SECOND, World, in_sandbox};

for_every_backend! {
    what_is_written_again_stands_in_place_of_what_was
    runs_of_nodes_add_up
    each_subject_has_its_own
    types_are_told_singly_or_in_sum_and_in_pages
    minutes_become_hours_and_nothing_is_lost
    a_slice_is_no_larger_than_it_may_be
    hours_go_in_slices
    of_an_erased_partner_nothing_comes_back
}

/// When an hour begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_900_000_800_000);
const PLENTY: Slice = Slice { rows: 500, bytes: 1 << 20 };
const MINUTE: Duration = Duration::from_secs(60);
pub const ONE: NodeId = NodeId::from_uuid(Uuid::from_u128(1));
const OTHER: NodeId = NodeId::from_uuid(Uuid::from_u128(2));

pub fn order() -> EventType {
    "order.paid".parse().expect("a plain name")
}

fn refund() -> EventType {
    "order.refunded".parse().expect("a plain name")
}

/// Whom something is counted for, by the store's own number of the scope.
pub fn about(world: &World, scope: &Scope, endpoint: Option<EndpointId>) -> CountedAbout {
    let subscriptions = world.store().subscriptions(scope).expect("readable").expect("the partner is there");
    CountedAbout { scope: subscriptions.id, endpoint }
}

/// So many events of a type, in the minute that begins then.
pub fn events(about: CountedAbout, bucket: Timestamp, event_type: &EventType, events: u64) -> (CountedAbout, Counted) {
    let tally = Tally { events, ..Tally::default() };
    (about, Counted { bucket, event_type: Some(event_type.clone()), tally })
}

fn note(world: &mut World, writer: NodeId, counted: &[(CountedAbout, Counted)]) {
    world.commit(|transaction| transaction.note_statistics(writer, counted));
}

fn asked(resolution: Resolution, since: Timestamp, until: Timestamp, types: CountedTypes) -> StatisticsQuestion {
    StatisticsQuestion { resolution, since, until, types }
}

/// By the minute, in sum over types, on the first day.
fn minutes() -> StatisticsQuestion {
    asked(Resolution::Minute, BEGIN, BEGIN + DAY, CountedTypes::Sum)
}

#[track_caller]
fn told(world: &World, scope: &Scope, endpoint: Option<EndpointId>, question: &StatisticsQuestion) -> Vec<Counted> {
    world.store().statistics(scope, endpoint, question).expect("readable")
}

/// Events by the time they are told for.
fn events_of(counted: &[Counted]) -> Vec<(Timestamp, u64)> {
    counted.iter().map(|counted| (counted.bucket, counted.tally.events)).collect()
}

fn what_is_written_again_stands_in_place_of_what_was(world: &mut World) {
    let acme = world.partner("acme");
    let whole = about(world, &acme, None);
    for count in [1, 5, 7] {
        note(world, ONE, &[events(whole, BEGIN, &order(), count)]);
        assert_eq!(events_of(&told(world, &acme, None, &minutes())), [(BEGIN, count)]);
    }
    // What is undone was never there.
    let undone = world.try_commit(|transaction| {
        transaction.note_statistics(ONE, &[events(whole, BEGIN, &order(), 9)])?;
        Err::<(), _>(StoreError::Constraint("a case's own".into()))
    });
    assert!(undone.is_err());
    assert_eq!(events_of(&told(world, &acme, None, &minutes())), [(BEGIN, 7)]);
    world.reopen();
    assert_eq!(events_of(&told(world, &acme, None, &minutes())), [(BEGIN, 7)]);
}

fn of_an_erased_partner_nothing_comes_back(world: &mut World) {
    let (acme, zoe) = (world.partner("acme"), world.partner("zoe"));
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let its = [about(world, &acme, None), about(world, &acme, Some(endpoint))];
    let others = [about(world, &zoe, None), about(world, &Scope::all(acme.environment), None)];
    let name = acme.partner.clone().expect("a partner");
    world.commit(|transaction| transaction.begin_erasing(&name)).expect("there is such a partner");
    // A node writes down what it had counted, while the partner is erased and afterwards.
    for _ in 0..2 {
        let counted: Vec<_> = its.into_iter().chain(others).map(|about| events(about, BEGIN, &order(), 3)).collect();
        note(world, ONE, &counted);
        world.advance(HOUR);
        while world.commit(|transaction| transaction.erase_partners(PLENTY)).rows > 0 {}
        let scopes = "(SELECT CAST(scope AS TEXT) AS scope FROM statistics) AS s";
        assert_eq!(world.place().texts(scopes, "scope").len(), others.len());
        for scope in [&zoe, &Scope::all(acme.environment)] {
            assert_eq!(events_of(&told(world, scope, None, &minutes())), [(BEGIN, 3)]);
        }
    }
}

fn runs_of_nodes_add_up(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let its = about(world, &acme, Some(endpoint));
    let attempted = |status: u16, took: u64, times: usize| {
        let mut tally = Tally::default();
        for _ in 0..times {
            let outcome = Outcome::answered(status, Bytes::new());
            let ending = outcome.is_delivered().then_some(Ending::Delivered(SECOND));
            tally.attempted(&outcome, Duration::from_millis(took), ending);
        }
        tally
    };
    let counted = |tally| (its, Counted { bucket: BEGIN, event_type: Some(order()), tally });
    let (quick, slow) = (attempted(200, 4, 9), attempted(503, 1_000, 1));
    note(world, ONE, &[counted(quick.clone())]);
    note(world, OTHER, &[counted(slow.clone())]);
    let [found] = &told(world, &acme, Some(endpoint), &minutes())[..] else { panic!("one minute") };
    let mut sum = quick;
    sum.merge(&slow);
    assert_eq!(found.tally, sum);
    assert_eq!((found.tally.attempts(), found.tally.failed(), found.tally.delivered), (10, 1, 9));
    assert_eq!(found.tally.success_rate(), Some(0.9));
    assert_eq!(found.tally.attempt_ms.percentile(90), Some(4));
}

fn each_subject_has_its_own(world: &mut World) {
    let (acme, zoe) = (world.partner("acme"), world.partner("zoe"));
    let sandbox = in_sandbox(&acme);
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let stranger = world.endpoint(&zoe, "all", &["*"]).id;
    let subjects = [(&acme, None, 1), (&acme, Some(endpoint), 2), (&zoe, None, 4), (&sandbox, None, 8)];
    let rows: Vec<_> = subjects
        .iter()
        .map(|(scope, endpoint, count)| events(about(world, scope, *endpoint), BEGIN, &order(), *count))
        .collect();
    note(world, ONE, &rows);
    let sum = |scope: &Scope, endpoint| {
        told(world, scope, endpoint, &minutes()).iter().map(|counted| counted.tally.events).sum::<u64>()
    };
    for (scope, endpoint, count) in subjects {
        assert_eq!(sum(scope, endpoint), count, "{scope:?} {endpoint:?}");
    }
    assert_eq!(sum(&zoe, Some(stranger)), 0);
    assert_eq!(sum(&zoe, Some(endpoint)), 0, "another partner's endpoint");
    assert_eq!(sum(&Scope::all(acme.environment), None), 0, "nobody wrote of all of them");
    // From the stretch that begins then, up to the one that begins then.
    let span = |since, until| asked(Resolution::Minute, since, until, CountedTypes::Sum);
    assert_eq!(told(world, &acme, None, &span(BEGIN, BEGIN + MINUTE)).len(), 1);
    assert_eq!(told(world, &acme, None, &span(BEGIN + MINUTE, BEGIN + DAY)), []);
    assert_eq!(told(world, &acme, None, &span(BEGIN - DAY, BEGIN)), []);
}

fn types_are_told_singly_or_in_sum_and_in_pages(world: &mut World) {
    let acme = world.partner("acme");
    let whole = about(world, &acme, None);
    let no_room = (whole, Counted { event_type: None, ..events(whole, BEGIN, &order(), 4).1 });
    note(
        world,
        ONE,
        &[
            events(whole, BEGIN, &order(), 1),
            events(whole, BEGIN + MINUTE, &order(), 16),
            events(whole, BEGIN, &refund(), 2),
            no_room,
        ],
    );
    let ask = |types| {
        let question = asked(Resolution::Minute, BEGIN, BEGIN + DAY, types);
        let counted = told(world, &acme, None, &question);
        counted.into_iter().map(|counted| (counted.event_type, counted.tally.events)).collect::<Vec<_>>()
    };
    assert_eq!(ask(CountedTypes::Sum), [(None, 7), (None, 16)]);
    assert_eq!(ask(CountedTypes::Only(refund())), [(Some(refund()), 2)]);
    let each = [(None, 4), (Some(order()), 1), (Some(order()), 16), (Some(refund()), 2)];
    assert_eq!(ask(CountedTypes::Each { after: None, limit: 3 }), each);
    assert_eq!(ask(CountedTypes::Each { after: None, limit: 2 }), each[..3]);
    assert_eq!(ask(CountedTypes::Each { after: Some(None), limit: 1 }), each[1..3]);
    assert_eq!(ask(CountedTypes::Each { after: Some(Some(order())), limit: 5 }), each[3..]);
    assert_eq!(ask(CountedTypes::Each { after: Some(Some(refund())), limit: 5 }), []);
}

fn minutes_become_hours_and_nothing_is_lost(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let (whole, its) = (about(world, &acme, None), about(world, &acme, Some(endpoint)));
    // Two runs, two types, every ten minutes of five hours: each count is another power.
    let mut expected: BTreeMap<(EventType, Timestamp), Tally> = BTreeMap::new();
    for step in 0..30u32 {
        let bucket = BEGIN + MINUTE * (step * 10);
        for (writer, event_type) in [(ONE, order()), (OTHER, order()), (ONE, refund())] {
            let mut tally = Tally { events: 1 << step, ..Tally::default() };
            let outcome = Outcome::answered(if step % 3 == 0 { 500 } else { 200 }, Bytes::new());
            tally.attempted(&outcome, Duration::from_millis(u64::from(step) * 37), None);
            expected.entry((event_type.clone(), Resolution::Hour.bucket_of(bucket))).or_default().merge(&tally);
            let counted = Counted { bucket, event_type: Some(event_type), tally };
            note(world, writer, &[(whole, counted.clone()), (its, counted)]);
        }
    }
    let hours = asked(Resolution::Hour, BEGIN, BEGIN + DAY, CountedTypes::Each { after: None, limit: 10 });
    let by_hour = |world: &World, endpoint| {
        let counted = told(world, &acme, endpoint, &hours).into_iter();
        let row = |counted: Counted| ((counted.event_type.expect("each had room"), counted.bucket), counted.tally);
        counted.map(row).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(by_hour(world, None), expected, "hours are told before there are any");
    // In slices that cut hours into pieces, by two nodes, and in between everything is told.
    let horizon = BEGIN + 3 * HOUR + MINUTE * 30;
    let mut turn = 0;
    loop {
        let writer = if turn % 2 == 0 { ONE } else { OTHER };
        let rows = world.commit(|transaction| transaction.roll_up_statistics(horizon, writer, 7));
        for endpoint in [None, Some(endpoint)] {
            assert_eq!(by_hour(world, endpoint), expected, "after slice {turn}");
        }
        if rows < 7 {
            break;
        }
        turn += 1;
    }
    assert_eq!(turn, 15, "three whole hours of 18 minutes each, for two subjects, by sevens");
    // What was rolled up is no minute any more; the hour that the horizon lies in is not cut.
    let left = asked(Resolution::Minute, BEGIN, BEGIN + DAY, CountedTypes::Sum);
    let left = told(world, &acme, None, &left);
    assert_eq!(left.first().map(|counted| counted.bucket), Some(BEGIN + 3 * HOUR));
    // A minute that comes late, for an hour that is written, is added to it.
    let late = events(whole, BEGIN, &order(), 1 << 40);
    note(world, OTHER, &[late]);
    let of_first = |world: &World| by_hour(world, None)[&(order(), BEGIN)].events;
    let with_late = of_first(world);
    assert_eq!(with_late, expected[&(order(), BEGIN)].events + (1 << 40));
    assert_eq!(world.commit(|transaction| transaction.roll_up_statistics(horizon, ONE, 100)), 1);
    assert_eq!(of_first(world), with_late);
}

fn a_slice_is_no_larger_than_it_may_be(world: &mut World) {
    let acme = world.partner("acme");
    let whole = about(world, &acme, None);
    let rows: Vec<_> = (0..10).map(|minute| events(whole, BEGIN + MINUTE * minute, &order(), 1)).collect();
    note(world, ONE, &rows);
    let roll_up = |transaction: &mut dyn Transaction| transaction.roll_up_statistics(BEGIN + DAY, ONE, 6);
    assert_eq!((world.commit(roll_up), world.commit(roll_up), world.commit(roll_up)), (6, 4, 0));
}

fn hours_go_in_slices(world: &mut World) {
    let acme = world.partner("acme");
    let whole = about(world, &acme, None);
    let rows: Vec<_> = (0..5).map(|hour| events(whole, BEGIN + HOUR * hour, &order(), 1)).collect();
    note(world, ONE, &rows);
    world.commit(|transaction| transaction.roll_up_statistics(BEGIN + DAY, ONE, 100));
    let forget = |transaction: &mut dyn Transaction| transaction.forget_statistics(BEGIN + 3 * HOUR + MINUTE, 2);
    assert_eq!((world.commit(forget), world.commit(forget), world.commit(forget)), (2, 1, 0));
    let question = asked(Resolution::Hour, BEGIN, BEGIN + DAY, CountedTypes::Sum);
    assert_eq!(events_of(&told(world, &acme, None, &question)), [(BEGIN + 3 * HOUR, 1), (BEGIN + 4 * HOUR, 1)]);
}
