//! The same request twice is one request: for 24 hours, in its own scope, and
//! only if it was accepted.

use std::time::Duration;

use posthaste::domain::Environment;
use posthaste::store::{Accept, Accepted, Begun, PageRequest, Scope, StoreError};

use super::world::{DAY, World, events_of, idempotency, in_sandbox};

for_every_backend! {
    a_repeated_request_gets_the_first_answer
    the_same_key_with_another_request_is_refused
    twins_in_one_commit_are_one_request
    a_key_holds_for_a_day
    a_key_belongs_to_one_environment_and_partner
    what_was_undone_is_not_remembered
    a_request_of_which_nothing_was_kept_is_remembered
    a_key_that_was_kept_with_its_quotes_is_known
}

fn keyed(world: &World, scope: &Scope, key: &str, request: u8) -> Accept {
    Accept { idempotency: idempotency(key, request), ..world.request(scope, &["campaign.created", "order.paid"]) }
}

fn events_in_store(world: &World, scope: &Scope) -> usize {
    world.store().events(scope, &PageRequest { after: None, limit: 100 }).expect("readable").items.len()
}

#[track_caller]
fn assert_repeats(answer: Accepted, first: &[posthaste::store::AcceptedEvent]) {
    let Accepted::Repeated { events, refused } = answer else { panic!("not repeated: {answer:?}") };
    assert_eq!(events, first);
    assert_eq!(refused, idempotency("", 0).expect("one").refused);
}

fn a_repeated_request_gets_the_first_answer(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "campaigns", &["campaign.*"]);
    let first = events_of(world.accept_all(&[&keyed(world, &acme, "k", 1)]).remove(0));
    assert_eq!(first.iter().map(|event| event.deliveries).collect::<Vec<_>>(), [1, 0]);

    // Also when it would be matched otherwise by now, and after a restart.
    world.endpoint(&acme, "all", &["*"]);
    for _ in 0..2 {
        let again = keyed(world, &acme, "k", 1);
        assert_repeats(world.accept_all(&[&again]).remove(0), &first);
        assert_eq!((world.notices.len(), events_in_store(world, &acme)), (0, 2));
        world.kill();
    }
}

fn the_same_key_with_another_request_is_refused(world: &mut World) {
    let acme = world.partner("acme");
    let first = events_of(world.accept_all(&[&keyed(world, &acme, "k", 1)]).remove(0));
    assert_eq!(world.accept_all(&[&keyed(world, &acme, "k", 2)]), [Accepted::KeyReused]);
    assert_eq!((world.notices.len(), events_in_store(world, &acme)), (0, 2));
    assert_repeats(world.accept_all(&[&keyed(world, &acme, "k", 1)]).remove(0), &first);
    assert!(matches!(world.accept_all(&[&keyed(world, &acme, "K", 2)])[..], [Accepted::New(_)]), "keys are exact");
}

fn twins_in_one_commit_are_one_request(world: &mut World) {
    let acme = world.partner("acme");
    let (one, twin, other) = (keyed(world, &acme, "k", 1), keyed(world, &acme, "k", 1), keyed(world, &acme, "k", 2));
    let mut answers = world.accept_all(&[&one, &other, &twin]).into_iter();
    let first = events_of(answers.next().expect("three answers"));
    assert_eq!(answers.next(), Some(Accepted::KeyReused));
    assert_repeats(answers.next().expect("three answers"), &first);
    assert_eq!(events_in_store(world, &acme), 2);
}

fn a_key_holds_for_a_day(world: &mut World) {
    let acme = world.partner("acme");
    let first = events_of(world.accept_all(&[&keyed(world, &acme, "k", 1)]).remove(0));
    world.advance(DAY - Duration::from_millis(1));
    assert_eq!(world.commit(|transaction| transaction.forget_idempotency_keys(10)), 0, "it still holds");
    assert_repeats(world.accept_all(&[&keyed(world, &acme, "k", 1)]).remove(0), &first);

    // Past its day it is free, forgotten or not, for any request; and the day
    // begins anew.
    world.advance(Duration::from_millis(1));
    let second = events_of(world.accept_all(&[&keyed(world, &acme, "k", 2)]).remove(0));
    world.advance(DAY - Duration::from_millis(1));
    assert_repeats(world.accept_all(&[&keyed(world, &acme, "k", 2)]).remove(0), &second);
    assert_eq!(events_in_store(world, &acme), 4);
}

fn a_key_belongs_to_one_environment_and_partner(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let scopes =
        [acme.clone(), in_sandbox(&acme), other, Scope::all(Environment::Production), Scope::all(Environment::Sandbox)];
    for (number, scope) in scopes.iter().enumerate() {
        let request = keyed(world, scope, "k", number as u8);
        assert!(matches!(world.accept_all(&[&request])[..], [Accepted::New(_)]), "{scope:?}");
    }
    for (number, scope) in scopes.iter().enumerate() {
        let request = keyed(world, scope, "k", number as u8);
        assert!(matches!(world.accept_all(&[&request])[..], [Accepted::Repeated { .. }]), "{scope:?}");
    }
}

fn what_was_undone_is_not_remembered(world: &mut World) {
    let acme = world.partner("acme");
    let request = keyed(world, &acme, "k", 1);
    let undone = world.try_commit(|transaction| -> Result<(), StoreError> {
        transaction.accept(&[&request])?;
        Err(StoreError::Full("as if".into()))
    });
    assert!(undone.is_err());
    let other = keyed(world, &acme, "k", 2);
    events_of(world.accept_all(&[&other]).remove(0));
    assert_eq!(events_in_store(world, &acme), 2);
}

fn a_request_of_which_nothing_was_kept_is_remembered(world: &mut World) {
    let acme = world.partner("acme");
    let empty = Accept { events: Vec::new(), ..keyed(world, &acme, "k", 1) };
    assert_eq!(world.accept_all(&[&empty]), [Accepted::New(Vec::new())]);
    assert_repeats(world.accept_all(&[&empty]).remove(0), &[]);
}

/// As a release before kept it.
fn a_key_that_was_kept_with_its_quotes_is_known(world: &mut World) {
    let acme = world.partner("acme");
    let first = events_of(world.accept_all(&[&keyed(world, &acme, "\"k\"", 1)]).remove(0));
    let quoted = |world: &World, request| {
        let mut accept = keyed(world, &acme, "k", request);
        if let Some(idempotency) = &mut accept.idempotency {
            idempotency.quoted = Some("\"k\"".into());
        }
        accept
    };
    assert_repeats(world.accept_all(&[&quoted(world, 1)]).remove(0), &first);
    assert_eq!(world.accept_all(&[&quoted(world, 2)]), [Accepted::KeyReused]);
    let large = quoted(world, 1);
    let begun = world.commit(|transaction| transaction.begin_large(&large));
    let Begun::Answered(answer) = begun else { panic!("begun: {begun:?}") };
    assert_repeats(answer, &first);
    // Without them it was another key, and is from now on the same.
    world.advance(DAY);
    events_of(world.accept_all(&[&quoted(world, 3)]).remove(0));
    assert!(matches!(world.accept_all(&[&keyed(world, &acme, "k", 3)])[..], [Accepted::Repeated { .. }]));
}
