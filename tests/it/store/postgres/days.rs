//! History by days: made before they are needed, dropped as a whole once nobody
//! needs any of it.

use posthaste::store::{Lane, Verdict};

use super::PostgresPlace;
use crate::store::world::{DAY, HOUR, START, World};

/// The days of events that there are.
fn days(place: &PostgresPlace) -> String {
    place.database().value(
        "SELECT count(*) FROM pg_inherits WHERE inhparent IN ('events'::regclass, 'finished'::regclass, 'attempts'::regclass)",
    )
}

#[test]
fn a_day_goes_whole_once_nothing_of_it_is_needed() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let mut kept = Vec::new();
    for day in 0..4 {
        world.now = START + day * DAY;
        let delivered = world.deliver(&acme, "campaign.updated");
        world.record(&world.attempt(delivered, 0, Verdict::Delivered));
        let late = world.deliver(&acme, "campaign.updated");
        world.commit(|transaction| transaction.request_attempt(delivered));
        kept.push((delivered, late));
    }
    world.now = START + 40 * DAY;
    let horizon = START + 10 * DAY;
    let drop_all = |world: &mut World| {
        let mut dropped = 0;
        // One at a time, and at most as often as there are days.
        for _ in 0..10 {
            dropped += world.commit(|transaction| transaction.drop_history(horizon));
        }
        dropped
    };
    assert_eq!(drop_all(&mut world), 0, "in each day something is unfinished");
    for (_, late) in &kept[..2] {
        world.record(&world.attempt(*late, 0, Verdict::Exhausted));
    }
    world.now = world.now + 2 * HOUR;
    assert_eq!(drop_all(&mut world), 0, "what has just finished is kept as long as anything else");
    let before: usize = days(&place).parse().expect("a count");
    world.now = world.now + 40 * DAY;
    let horizon = START + 60 * DAY;
    let mut dropped = 0;
    for _ in 0..10 {
        dropped += world.commit(|transaction| transaction.drop_history(horizon));
    }
    assert_eq!(dropped, 2 + 2, "the first two, and two that were made for nothing 40 days ago");
    let after: usize = days(&place).parse().expect("a count");
    assert_eq!(after, before + 2 * 3 - 4 * 3, "today's and tomorrow's were made");
    for (number, (delivered, late)) in kept.iter().enumerate() {
        let stays = number >= 2;
        for delivery in [delivered, late] {
            assert_eq!(world.store().delivery(&acme, *delivery).expect("readable").is_some(), stays);
        }
        assert_eq!(world.attempts(*delivered).len(), usize::from(stays));
    }
    assert_eq!(world.due(endpoint.id, Lane::Manual).len(), 2, "and nobody is asked for what is gone");
    assert_eq!(world.due(endpoint.id, Lane::Fresh).len(), 2);
    // What is left over in old days goes singly, as ever.
    for (_, late) in &kept[2..] {
        world.record(&world.attempt(*late, 0, Verdict::Delivered));
    }
    world.deliver(&acme, "campaign.updated");
}

#[test]
fn days_are_made_before_they_are_needed() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    world.commit(|transaction| transaction.drop_history(START - 30 * DAY));
    assert_eq!(days(&place), "6", "today and tomorrow, of three tables");
    let mut other = World::new(Box::new(place.as_node(2)));
    other.commit(|transaction| transaction.drop_history(START - 30 * DAY));
    assert_eq!(days(&place), "6");
}
