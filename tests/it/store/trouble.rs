//! What is kept of endpoints in trouble: with the outcomes that taught it, over
//! restarts, until they are well again or begin anew.

use posthaste::domain::{DeliveryId, DisabledReason, EndpointId, OpenBreaker, Trouble};
use posthaste::store::{Notice, Record, Recorded, Verdict};

use super::world::{HOUR, SECOND, START, World};

for_every_backend! {
    trouble_is_kept_with_the_outcome_that_taught_it
    of_one_endpoint_the_latest_counts
    a_disabled_endpoint_has_a_version_a_reason_and_its_deliveries
    what_is_well_again_is_not_disabled_for_failing
    whoever_enables_it_begins_anew
    the_end_of_a_pause_begins_anew_but_keeps_the_reason_of_what_stays_disabled
    a_deleted_endpoint_leaves_nothing
}

fn trouble() -> Trouble {
    Trouble {
        failing_since: Some(START),
        breaker: Some(OpenBreaker { opened_at: START + SECOND, probes: 3, probe_at: START + HOUR }),
        not_before: Some(START + HOUR),
        warned_at: Some(START + SECOND),
        announced_at: None,
        disabled: None,
    }
}

fn failing(world: &World, delivery: DeliveryId, before: u32, trouble: Option<Trouble>) -> Record {
    Record { trouble, ..world.attempt(delivery, before, Verdict::RetryAt(START + HOUR)) }
}

fn known(world: &World, endpoint: EndpointId) -> Trouble {
    let known = world.store().trouble(endpoint).expect("readable");
    if let Some(runtime) = world.store().endpoint_runtime(endpoint, world.now).expect("readable") {
        assert_eq!(runtime.trouble, known, "its actor knows the same");
    }
    known
}

fn trouble_is_kept_with_the_outcome_that_taught_it(world: &mut World) {
    let acme = world.partner("acme");
    let (endpoint, other) = (world.endpoint(&acme, "one", &["order.*"]).id, world.endpoint(&acme, "two", &["a.b"]).id);
    let delivery = world.deliver(&acme, "order.paid");
    assert_eq!(known(world, endpoint), Trouble::default());
    world.record(&failing(world, delivery, 0, Some(trouble())));
    assert_eq!(known(world, endpoint), trouble());
    assert_eq!(known(world, other), Trouble::default());
    world.kill();
    assert_eq!(known(world, endpoint), trouble(), "after a crash");
    world.record(&failing(world, delivery, 1, None));
    assert_eq!(known(world, endpoint), trouble(), "nothing new was learnt");
    let success = Record { trouble: Some(Trouble::default()), ..world.attempt(delivery, 2, Verdict::Delivered) };
    world.record(&success);
    assert_eq!(known(world, endpoint), Trouble::default());
}

fn of_one_endpoint_the_latest_counts(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let deliveries: Vec<_> = (0..3).map(|_| world.deliver(&acme, "order.paid")).collect();
    let records: Vec<Record> = deliveries
        .iter()
        .enumerate()
        .map(|(probes, delivery)| {
            let mut trouble = trouble();
            trouble.breaker = trouble.breaker.map(|open| OpenBreaker { probes: probes as u32, ..open });
            failing(world, *delivery, 0, Some(trouble))
        })
        .collect();
    let records: Vec<&Record> = records.iter().collect();
    let recorded = world.commit(|transaction| transaction.record(&records));
    assert!(recorded.iter().all(|recorded| matches!(recorded, Recorded::Written(_))));
    assert_eq!(known(world, endpoint).breaker.map(|open| open.probes), Some(2));
}

fn a_disabled_endpoint_has_a_version_a_reason_and_its_deliveries(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    world.record(&failing(world, delivery, 0, Some(trouble())));
    world.advance(HOUR);
    for (reason, first) in [(DisabledReason::Failing, true), (DisabledReason::Gone, false)] {
        assert_eq!(world.commit(|transaction| transaction.disable_endpoint(endpoint, reason, None)), first);
        let told = world.notices.iter().any(|notice| matches!(notice, Notice::EndpointChanged(id) if *id == endpoint));
        assert_eq!(told, first);
    }
    let shown = world.store().endpoint(&acme, endpoint).expect("readable").expect("it is there");
    assert_eq!((shown.settings.enabled, shown.version, shown.updated_at), (false, 2, world.now));
    let expected =
        Trouble { breaker: None, not_before: None, disabled: Some((world.now, DisabledReason::Failing)), ..trouble() };
    assert_eq!(known(world, endpoint), expected);
    assert_eq!(world.delivery(&acme, delivery).status.as_str(), "held", "nothing is lost by it");
    world.record(&failing(world, delivery, 1, Some(trouble())));
    assert_eq!(known(world, endpoint), expected, "an attempt that was under way changes none of it");
}

fn what_is_well_again_is_not_disabled_for_failing(world: &mut World) {
    let acme = world.partner("acme");
    let made = world.endpoint(&acme, "one", &["*"]);
    world.advance(HOUR);
    assert!(!world.commit(|transaction| transaction.disable_endpoint(made.id, DisabledReason::Failing, None)));
    assert!(world.notices.is_empty(), "nothing happened: {:?}", world.notices);
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(made.clone()), "no version, no change");
    let runtime = world.store().endpoint_runtime(made.id, world.now).expect("readable").expect("it is there");
    assert!(!runtime.is_holding);
    assert_eq!(known(world, made.id), Trouble::default());
    // A 410 is the receiver's own word.
    assert!(world.commit(|transaction| transaction.disable_endpoint(made.id, DisabledReason::Gone, None)));
}

fn the_end_of_a_pause_begins_anew_but_keeps_the_reason_of_what_stays_disabled(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    let paused = |world: &mut World| {
        world.commit(|transaction| transaction.pause_endpoint(&acme, endpoint)).expect("it is there");
    };
    let resumed = |world: &mut World| {
        world.commit(|transaction| transaction.resume_endpoint(&acme, endpoint)).expect("it is there");
    };
    world.record(&failing(world, delivery, 0, Some(trouble())));
    paused(world);
    assert_eq!(known(world, endpoint), trouble());
    resumed(world);
    assert_eq!(known(world, endpoint), Trouble::default());
    world.record(&failing(world, delivery, 1, Some(trouble())));
    assert!(world.commit(|transaction| transaction.disable_endpoint(endpoint, DisabledReason::Failing, None)));
    let disabled = known(world, endpoint);
    paused(world);
    resumed(world);
    assert_eq!(known(world, endpoint), disabled, "it is still disabled, and somebody will ask why");
}

fn whoever_enables_it_begins_anew(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    assert!(world.commit(|transaction| transaction.disable_endpoint(endpoint, DisabledReason::Gone, None)));
    world.change(&acme, endpoint, |settings| settings.max_concurrency = 3);
    assert!(known(world, endpoint).disabled.is_some(), "another setting enables nothing");
    world.enable(&acme, endpoint, true);
    assert_eq!(known(world, endpoint), Trouble::default());
    // While it is only in trouble, a setting forgives nothing.
    let delivery = world.deliver(&acme, "order.paid");
    world.record(&failing(world, delivery, 0, Some(trouble())));
    world.change(&acme, endpoint, |settings| settings.max_concurrency = 4);
    assert_eq!(known(world, endpoint), trouble());
}

fn a_deleted_endpoint_leaves_nothing(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let delivery = world.deliver(&acme, "order.paid");
    world.record(&failing(world, delivery, 0, Some(trouble())));
    assert!(world.commit(|transaction| transaction.delete_endpoint(&acme, endpoint)));
    assert_eq!(known(world, endpoint), Trouble::default());
    assert!(!world.commit(|transaction| transaction.disable_endpoint(endpoint, DisabledReason::Failing, None)));
}
