//! Several nodes on one database, at the same time: each has a store and a writer
//! of its own, and they know nothing of each other but what is in there.

use std::collections::{BTreeSet, HashSet};
use std::sync::Barrier;
use std::thread;

use posthaste::domain::EventId;
use posthaste::store::{Accept, Accepted, Begun, CommitError, EndpointConflict, StoreError};

use super::{PostgresPlace, node};
use crate::store::world::{World, events_of, idempotency, settings};

/// Two nodes, each with something to do on a thread of its own; all begin at once.
pub fn at_once<T: Send>(worlds: &mut [World], work: impl Fn(usize, &mut World) -> T + Sync) -> Vec<T> {
    let together = Barrier::new(worlds.len());
    thread::scope(|scope| {
        let running: Vec<_> = worlds
            .iter_mut()
            .enumerate()
            .map(|(number, world)| {
                let (together, work) = (&together, &work);
                scope.spawn(move || {
                    together.wait();
                    work(number, world)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("its own assertions hold")).collect()
    })
}

pub fn nodes(count: u128) -> Vec<World> {
    let place = PostgresPlace::new();
    (1..=count).map(|number| World::new(Box::new(place.as_node(number)))).collect()
}

#[test]
fn nodes_that_start_at_once_bring_one_database_up_to_date() {
    let place = PostgresPlace::new();
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for number in 1..=4 {
            let (place, together) = (place.as_node(number), &together);
            scope.spawn(move || {
                together.wait();
                let mut world = World::new(Box::new(place));
                world.commit(|transaction| transaction.first_start(&[]));
            });
        }
    });
    assert_eq!(place.database().value("SELECT count(*) FROM partners"), "1", "one of them made the first partner");
}

#[test]
fn no_two_nodes_give_the_same_id() {
    let mut worlds = nodes(3);
    let acme = worlds[0].partner("acme");
    for name in ["one", "two"] {
        worlds[0].endpoint(&acme, name, &["*"]);
    }
    let accepted = at_once(&mut worlds, |_, world| {
        (0..60).map(|_| world.accept(&acme, "campaign.updated").id).collect::<Vec<EventId>>()
    });
    let all: HashSet<EventId> = accepted.iter().flatten().copied().collect();
    assert_eq!(all.len(), 180);
    assert!(accepted.iter().all(|ids| ids.is_sorted()), "each node's grow");
    for id in all {
        assert_eq!(worlds[0].deliveries_of(&acme, id).len(), 2);
    }
}

#[test]
fn what_is_accepted_later_has_a_larger_id_whichever_node_it_came_to() {
    let mut worlds = nodes(2);
    let acme = worlds[0].partner("acme");
    let mut last = None;
    for turn in 0..20 {
        let id = worlds[turn % 2].accept(&acme, "campaign.updated").id;
        assert!(last.replace(id).is_none_or(|last| last < id), "also within a millisecond");
    }
}

#[test]
fn twins_on_two_nodes_are_one_request() {
    let mut worlds = nodes(2);
    let acme = worlds[0].partner("acme");
    worlds[0].endpoint(&acme, "all", &["*"]);
    const KEYS: usize = 40;
    let answers = at_once(&mut worlds, |number, world| {
        let request = |world: &World, key: usize| Accept {
            idempotency: idempotency(&format!("key-{key:02}"), 1),
            ..world.request(&acme, &["campaign.updated"])
        };
        // The one from the first to the last, the other the other way round, a few
        // in each commit: whoever comes second to a key waits for the first.
        let mut keys: Vec<usize> = (0..KEYS).collect();
        if number == 1 {
            keys.reverse();
        }
        let mut answers = vec![None; KEYS];
        for some in keys.chunks(4) {
            let requests: Vec<Accept> = some.iter().map(|key| request(world, *key)).collect();
            let accepted = world.accept_all(&requests.iter().collect::<Vec<_>>());
            for (key, answer) in some.iter().zip(accepted) {
                answers[*key] = Some(answer);
            }
        }
        answers
    });
    for key in 0..KEYS {
        let both: Vec<&Accepted> = answers.iter().filter_map(|answers| answers[key].as_ref()).collect();
        let ids = |answer: &Accepted| match answer {
            Accepted::New(events) | Accepted::Repeated { events, .. } => events[0].id,
            other => panic!("{other:?}"),
        };
        let new = both.iter().filter(|answer| matches!(answer, Accepted::New(_))).count();
        assert_eq!((both.len(), new), (2, 1), "{both:?}");
        assert_eq!(ids(both[0]), ids(both[1]), "and both are told the same");
    }
    let stored = worlds[0].deliveries(&acme, &Default::default());
    assert_eq!(stored.len(), KEYS);
}

#[test]
fn a_url_is_taken_once_by_whichever_node() {
    let mut worlds = nodes(3);
    let acme = worlds[0].partner("acme");
    let made = at_once(&mut worlds, |_, world| {
        let word = |number: usize| format!("word-{number}");
        (0..10).map(|number| world.try_endpoint(&acme, settings(&word(number), &["*"]))).collect::<Vec<_>>()
    });
    for number in 0..10 {
        let outcomes: Vec<_> = made.iter().map(|made| &made[number]).collect();
        let won: BTreeSet<_> = outcomes.iter().filter_map(|made| made.as_ref().ok().map(|made| made.id)).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        for lost in outcomes.iter().filter_map(|made| made.as_ref().err()) {
            assert!(matches!(lost, EndpointConflict::SameUrl(first) if won.contains(first)), "{lost:?}");
        }
    }
    assert_eq!(worlds[1].subscriptions(&acme).len(), 10);
}

#[test]
fn a_change_through_one_node_holds_for_the_next_event_of_another() {
    let mut worlds = nodes(2);
    let acme = worlds[0].partner("acme");
    for round in 0..5 {
        let before = worlds[1].request(&acme, &["campaign.updated"]);
        let endpoint = worlds[0].endpoint(&acme, &format!("round-{round}"), &["campaign.*"]);
        let made = events_of(worlds[1].accept_all(&[&before]).remove(0));
        assert_eq!(made[0].deliveries, 1, "the snapshot was outdated, and matched anew");
        let before = worlds[1].request(&acme, &["campaign.updated"]);
        worlds[0].delete(&acme, endpoint.id);
        let made = events_of(worlds[1].accept_all(&[&before]).remove(0));
        assert_eq!(made[0].deliveries, 0);
    }
}

#[test]
fn changes_of_one_endpoint_by_several_nodes_come_one_after_the_other() {
    let mut worlds = nodes(3);
    let acme = worlds[0].partner("acme");
    let endpoint = worlds[0].endpoint(&acme, "all", &["*"]).id;
    let done = at_once(&mut worlds, |_, world| {
        let mut done = 0;
        for _ in 0..10 {
            let change = world.changed(&acme, endpoint, |settings| settings.max_concurrency += 1);
            match world.commit(|transaction| transaction.change_endpoint(&change)) {
                Ok(_) => done += 1,
                Err(refused) => assert_eq!(refused, EndpointConflict::Outdated),
            }
        }
        done
    });
    let changed = worlds[0].store().endpoint(&acme, endpoint).expect("readable").expect("it is there");
    let done: u32 = done.into_iter().sum();
    assert!(done >= 10, "whoever comes first is not refused");
    assert_eq!(changed.version, 1 + done, "no change is lost, and none overwritten unseen");
    assert_eq!(changed.settings.max_concurrency, settings("x", &[]).max_concurrency + done);
}

#[test]
fn what_another_node_is_writing_is_its_own_as_long_as_it_lives() {
    let place = PostgresPlace::new();
    let [mut one, mut other] = [1, 2].map(|number| World::new(Box::new(place.as_node(number))));
    let acme = one.partner("acme");
    for number in 0..6 {
        one.endpoint(&acme, &format!("number-{number}"), &["*"]);
    }
    let request = one.request(&acme, &["campaign.updated"]);
    let begun = |world: &mut World| match world.commit(|transaction| transaction.begin_large(&request)) {
        Begun::FanOut(fan_out) => fan_out,
        Begun::Answered(answer) => panic!("{answer:?}"),
    };
    let report = |number| {
        format!(
            "INSERT INTO nodes (id, version, in_flight, seen_at, live_until, is_leaving)
             VALUES ('{}', '1', 0, 0, 0, FALSE)",
            node(number)
        )
    };
    place.database().sql(&report(1));
    let mut fan_out = begun(&mut one);
    one.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 4));
    assert!(!other.commit(|transaction| transaction.has_unsealed()));
    for _ in 0..2 {
        assert_eq!(other.commit(|transaction| transaction.undo_abandoned(100)), 0);
        assert_eq!(other.commit(|transaction| transaction.undo_unsealed(100)), 0);
    }
    one.commit(|transaction| transaction.accept_chunk(&mut fan_out, 4, 4));
    let sealed = events_of(one.commit(|transaction| transaction.seal(&request, &fan_out)));
    assert_eq!(other.deliveries_of(&acme, sealed[0].id).len(), 6);

    // Now it is thought to be gone in the middle, and comes back.
    let mut fan_out = begun(&mut one);
    one.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 4));
    place.database().sql("DELETE FROM nodes");
    assert_eq!(other.commit(|transaction| transaction.undo_abandoned(2)), 2, "a part of it is undone");
    place.database().sql(&report(1));
    let chunk = one.try_commit(|transaction| transaction.accept_chunk(&mut fan_out, 4, 4));
    assert!(matches!(chunk, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{chunk:?}");
    let seal = one.try_commit(|transaction| transaction.seal(&request, &fan_out));
    assert!(matches!(seal, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{seal:?}");
    assert_eq!(other.commit(|transaction| transaction.undo_abandoned(100)), 2, "and the rest as well");
    assert_eq!(place.database().value("SELECT count(*) FROM unsealed"), "0");
    assert_eq!(place.database().value("SELECT count(*) FROM pending"), "6");
}
