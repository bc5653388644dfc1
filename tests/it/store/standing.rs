//! What explains where a delivery stands: how endpoints stand, what is first in an order,
//! and what requests were made of.

use std::collections::HashMap;
use std::time::Duration;

use posthaste::domain::{DisabledReason, EndpointId, EventOrder, Header, OpenBreaker, RetryPolicy, Trouble};
use posthaste::store::{EndpointStanding, Lane, Placed, Placing, Record, SentSettings, Verdict};
use uuid::Uuid;

use super::world::{HOUR, SECOND, START, World, url};

for_every_backend! {
    how_an_endpoint_stands_is_read_without_its_secrets
    whoever_is_first_in_an_order_is_found
    requests_are_told_of_by_the_settings_that_they_were_made_with
    scheduled_attempts_are_told_apart
}

/// An id that is nobody's.
fn nobody() -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(0x019c_2a5e_7400_7abc_8def_0123_4567_89ab))
}

fn how_an_endpoint_stands_is_read_without_its_secrets(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let plain = world.endpoint(&acme, "plain", &["*"]).id;
    let particular = world.endpoint(&acme, "particular", &["*"]).id;
    let schedule = RetryPolicy::Schedule(vec![Duration::from_secs(7)]);
    let retry = schedule.clone();
    world.change(&acme, particular, |settings| {
        settings.enabled = false;
        settings.retry = Some(retry);
        settings.rate_limit = Some(9);
        settings.order = Some(EventOrder::Fifo);
    });
    let (paused, gone) = (world.endpoint(&other, "paused", &["*"]).id, world.endpoint(&other, "gone", &["*"]).id);
    let paused_at = world.now;
    world.commit(|transaction| transaction.pause_endpoint(&other, paused));
    world.advance(SECOND);
    world.commit(|transaction| transaction.set_brake(&other, Some("trouble")));
    world.delete(&other, gone);
    world.accept(&acme, "a.a");
    let delivery = world.due(plain, Lane::Fresh)[0].delivery;
    let trouble = Trouble {
        failing_since: Some(START),
        breaker: Some(OpenBreaker { opened_at: START, probes: 2, probe_at: START + HOUR }),
        not_before: Some(START + SECOND),
        ..Trouble::default()
    };
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble.clone()), ..failed });

    let standings = world.store().standings(&[plain, particular, paused, gone, nobody()]).expect("readable");
    let enabled = EndpointStanding { is_enabled: true, ..EndpointStanding::default() };
    let particular_one = EndpointStanding {
        is_enabled: false,
        retry: Some(schedule),
        rate_limit: Some(9),
        is_ordered: true,
        ..EndpointStanding::default()
    };
    let braked_at = Some(paused_at + SECOND);
    let expected = HashMap::from([
        (plain, EndpointStanding { trouble, ..enabled.clone() }),
        (particular, particular_one),
        (paused, EndpointStanding { paused_at: Some(paused_at), braked_at, ..enabled.clone() }),
        (gone, EndpointStanding { braked_at, ..enabled }),
    ]);
    assert_eq!(standings, expected);
    assert!(world.commit(|transaction| transaction.disable_endpoint(plain, DisabledReason::Failing, None)));
    let standing = &world.store().standings(&[plain]).expect("readable")[&plain];
    assert!(!standing.is_enabled);
    assert_eq!(standing.trouble.disabled.map(|(_, reason)| reason), Some(DisabledReason::Failing));
    assert_eq!(world.store().standings(&[]).expect("readable"), HashMap::new());
}

fn whoever_is_first_in_an_order_is_found(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "fifo", &["*"]).id;
    world.change(&acme, endpoint, |settings| settings.order = Some(EventOrder::Fifo));
    let placings: Vec<Placing> = (0..4)
        .map(|number| Placing {
            delivery: world.deliver(&acme, "a.a"),
            order_key: Some(if number == 3 { 8 } else { 7 }),
        })
        .collect();
    let place = |world: &mut World| {
        world.commit(|transaction| transaction.place_deliveries(endpoint, Some(&EventOrder::Fifo), &placings, None))
    };
    assert_eq!(place(world), Placed::Undone { more: false });
    assert_eq!(place(world), Placed::Done(4));
    let [first, second, third, other] = [0, 1, 2, 3].map(|number: usize| placings[number].delivery);
    let found = |world: &World, delivery| world.store().first_in_order(delivery).expect("readable");
    assert_eq!([second, third].map(|delivery| found(world, delivery)), [Some(first); 2]);
    assert_eq!(found(world, other), Some(other), "another line");
    let queued = |world: &World| [first, second, third, other].map(|id| world.delivery(&acme, id).is_queued);
    assert_eq!(queued(world), [false, true, true, false]);
    world.record(&Record { is_ordered: true, ..world.attempt(first, 0, Verdict::Delivered) });
    assert_eq!(found(world, third), Some(second));
    assert_eq!(queued(world), [false, false, true, false]);
    let unordered = world.endpoint(&acme, "unordered", &["only.this"]).id;
    world.accept(&acme, "only.this");
    let due = world.due(unordered, Lane::Fresh);
    assert_eq!(found(world, due[0].delivery), None);
    // A deleted endpoint's deliveries wait for nobody.
    world.delete(&acme, endpoint);
    assert_eq!(queued(world), [false; 4]);
}

fn requests_are_told_of_by_the_settings_that_they_were_made_with(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "first", &["*"]).id;
    world.change(&acme, endpoint, |settings| {
        settings.url = url("second");
        settings.headers = vec![Header::new("x-token", "s3cret").expect("a header")];
    });
    world.change(&acme, endpoint, |settings| settings.headers = Vec::new());
    let sent = world.store().sent_settings(endpoint, &[1, 2, 9]).expect("readable");
    let of = |word: &str, names: &[&str]| SentSettings {
        url: url(word),
        header_names: names.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(sent, HashMap::from([(1, of("first", &[])), (2, of("second", &["x-token"]))]));
    assert_eq!(world.store().sent_settings(endpoint, &[]).expect("readable"), HashMap::new());
    assert_eq!(world.store().sent_settings(nobody(), &[1]).expect("readable"), HashMap::new());
    let runtime = world.store().endpoint_runtime(endpoint, world.now).expect("readable").expect("it is there");
    assert_eq!(runtime.version, 3);
}

fn scheduled_attempts_are_told_apart(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "a.a");
    let counts = |world: &World| {
        let seen = world.delivery(&acme, delivery);
        (seen.attempt_count, seen.scheduled_attempts)
    };
    assert_eq!(counts(world), (0, 0));
    world.record(&world.manual_attempt(delivery, 0, Verdict::Unchanged));
    assert_eq!(counts(world), (1, 0));
    world.record(&world.attempt(delivery, 1, Verdict::RetryAt(START + HOUR)));
    assert_eq!(counts(world), (2, 1));
    world.record(&world.attempt(delivery, 2, Verdict::Exhausted));
    assert_eq!(counts(world), (3, 2));
}
