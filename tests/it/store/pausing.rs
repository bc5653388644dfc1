//! A pause: it holds what a disabled endpoint would hold, leaves the settings
//! alone, and ends with nothing lost.

use posthaste::domain::{
    DeliveryId, DeliveryStatus, DiscardReason, EndpointId, EndpointStatus, Environment, PartitionSet, StatusFilter,
};
use posthaste::store::{DeliveryFilter, EndpointRuntime, Lane, Notice, Scope, Verdict};

use super::world::{HOUR, SECOND, START, World, in_sandbox};

for_every_backend! {
    a_pause_holds_everything_and_its_end_lets_it_go
    a_pause_is_no_change_of_settings
    pausing_twice_is_pausing_once
    a_change_of_settings_ends_no_pause
    the_end_of_a_pause_enables_nothing_that_is_disabled
    nobody_pauses_what_is_not_theirs
    a_paused_endpoint_can_be_deleted
    what_is_paused_too_long_is_discarded
}

fn runtime(world: &World, id: EndpointId) -> EndpointRuntime {
    world.store().endpoint_runtime(id, world.now).expect("readable").expect("it is there")
}

/// Who waits for an attempt, as the engine sees it.
fn waiting(world: &World) -> Vec<EndpointId> {
    let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 10, world.now).expect("readable");
    waiting.iter().map(|waiting| waiting.endpoint).collect()
}

fn a_pause_holds_everything_and_its_end_lets_it_go(world: &mut World) {
    use DeliveryStatus::{Delivered, Held, Pending, Retrying};
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let [pending, retrying, delivered] = ["a.a", "b.b", "c.c"].map(|name| world.deliver(&acme, name));
    world.record(&world.attempt(retrying, 0, Verdict::RetryAt(START + HOUR)));
    world.record(&world.attempt(delivered, 0, Verdict::Delivered));
    let statuses = |world: &World| [pending, retrying, delivered].map(|id| world.delivery(&acme, id).status);
    let listed = |world: &World, status| -> Vec<DeliveryId> {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        world.deliveries(&acme, &filter).iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!((waiting(world), runtime(world, id).is_holding), (vec![id], false));

    world.pause(&acme, id);
    world.kill();
    let meanwhile = world.deliver(&acme, "d.d");
    assert_eq!(statuses(world), [Held, Held, Delivered]);
    assert_eq!(world.delivery(&acme, meanwhile).status, Held, "what comes is taken in");
    assert_eq!(listed(world, StatusFilter::Held), [meanwhile, retrying, pending]);
    assert_eq!((listed(world, StatusFilter::Pending), listed(world, StatusFilter::Retrying)), (vec![], vec![]));
    assert_eq!(world.store().backlog(id, 10).expect("readable"), 3, "it is counted");
    assert_eq!(waiting(world), [], "nobody starts it");
    let held = runtime(world, id);
    assert!(held.is_holding && held.settings.enabled, "whoever has started it knows");

    world.resume(&acme, id);
    assert_eq!(statuses(world), [Pending, Retrying, Delivered]);
    assert_eq!(world.delivery(&acme, retrying).next_attempt_at, Some(START + HOUR), "a pause moves nothing");
    assert_eq!((waiting(world), runtime(world, id).is_holding), (vec![id], false));
    let due: Vec<DeliveryId> = world.due(id, Lane::Fresh).iter().map(|due| due.delivery).collect();
    assert_eq!(due, [pending, meanwhile], "in the order in which it came");
}

fn a_pause_is_no_change_of_settings(world: &mut World) {
    for scope in [world.partner("acme"), in_sandbox(&world.partner("other"))] {
        let made = world.endpoint(&scope, "all", &["*"]);
        assert_eq!(runtime(world, made.id).scope.lies_in(), scope.environment);
        let (matched, versions) = (world.subscriptions(&scope), world.store().versions().expect("readable"));
        world.advance(HOUR);
        let paused = world.pause(&scope, made.id);
        assert_eq!((paused.paused_at, paused.status()), (Some(world.now), EndpointStatus::Paused));
        assert_eq!((paused.version, paused.updated_at), (1, made.updated_at));
        assert_eq!(paused.settings, made.settings);
        assert_eq!(world.store().endpoint(&scope, made.id).expect("readable"), Some(paused));
        let stamped = world.subscriptions(&scope);
        assert!(stamped.version > matched.version, "an event accepted now tells its sender to look");
        assert_eq!(stamped.matching(&"a.a".parse().expect("a type"))[..], [made.id], "it is matched as before");
        assert_eq!(world.resume(&scope, made.id), made, "as if nothing had been");
        // Whoever keeps settings hears of it all the same.
        let changes = world.store().changes(&versions).expect("readable");
        assert_eq!(changes.endpoints, [made.id]);
    }
}

fn pausing_twice_is_pausing_once(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let told = |world: &World| world.notices.len();
    world.resume(&acme, id);
    assert_eq!(told(world), 0, "it was not paused");
    let first = world.pause(&acme, id);
    assert!(matches!(world.notices[..], [Notice::EndpointChanged(changed)] if changed == id));
    let versions = world.store().versions().expect("readable");
    world.advance(SECOND);
    assert_eq!(world.pause(&acme, id), first, "paused since then");
    assert_eq!((told(world), world.store().versions().expect("readable")), (0, versions));
    world.resume(&acme, id);
    assert!(matches!(world.notices[..], [Notice::EndpointChanged(changed)] if changed == id));
    world.resume(&acme, id);
    assert_eq!(told(world), 0);
}

fn a_change_of_settings_ends_no_pause(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    let paused_at = world.pause(&acme, id).paused_at;
    for enabled in [true, false, true] {
        world.advance(SECOND);
        let changed = world.change(&acme, id, |settings| {
            settings.description = Some("another".into());
            settings.enabled = enabled;
        });
        let status = if enabled { EndpointStatus::Paused } else { EndpointStatus::Disabled };
        assert_eq!((changed.paused_at, changed.status()), (paused_at, status));
        assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Held);
        assert!(runtime(world, id).is_holding);
    }
    world.resume(&acme, id);
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Pending);
}

fn the_end_of_a_pause_enables_nothing_that_is_disabled(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    world.pause(&acme, id);
    world.enable(&acme, id, false);
    let resumed = world.resume(&acme, id);
    assert_eq!((resumed.paused_at, resumed.status()), (None, EndpointStatus::Disabled));
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Held);
    assert!(runtime(world, id).is_holding);
    // The other way about.
    world.pause(&acme, id);
    world.enable(&acme, id, true);
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Held);
    world.resume(&acme, id);
    assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Pending);
}

fn nobody_pauses_what_is_not_theirs(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let versions = world.store().versions().expect("readable");
    let strangers = [other, in_sandbox(&acme), Scope::of(Environment::Production, "nobody".parse().expect("a name"))];
    for scope in &strangers {
        let found = world.commit(|transaction| {
            Ok((transaction.pause_endpoint(scope, id)?, transaction.resume_endpoint(scope, id)?))
        });
        assert_eq!(found, (None, None), "{scope:?}");
        assert_eq!(world.notices.len(), 0);
    }
    assert_eq!(world.store().versions().expect("readable"), versions);
    world.delete(&acme, id);
    assert_eq!(world.commit(|transaction| transaction.pause_endpoint(&acme, id)), None, "it is gone");
}

fn a_paused_endpoint_can_be_deleted(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    world.pause(&acme, id);
    world.delete(&acme, id);
    let gone = DeliveryStatus::Discarded(DiscardReason::EndpointDeleted);
    assert_eq!(world.delivery(&acme, delivery).status, gone);
    assert_eq!(world.commit(|transaction| transaction.discard_deleted(10)), 1);
    assert_eq!(world.delivery(&acme, delivery).status, gone);
}

fn what_is_paused_too_long_is_discarded(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let old = world.deliver(&acme, "a.a");
    world.advance(24 * HOUR);
    let horizon = world.now;
    let young = world.deliver(&acme, "b.b");
    world.pause(&acme, id);
    world.advance(24 * HOUR);
    assert_eq!(world.commit(|transaction| transaction.retire(horizon, None, 100)).rows, 1);
    assert_eq!(world.delivery(&acme, old).status, DeliveryStatus::Discarded(DiscardReason::Retention));
    assert_eq!(world.delivery(&acme, young).status, DeliveryStatus::Held, "and nothing before its time");
}
