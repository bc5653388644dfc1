//! A brake: it holds what its scope has and will have, whatever settings and
//! pauses say, and its release leaves all of that as it was.

use posthaste::domain::{
    DeliveryStatus, DisabledReason, DiscardReason, Endpoint, EndpointId, EndpointSettings, EndpointStatus, Environment,
    PartitionSet, PausedBy, StatusFilter, Trouble,
};
use posthaste::policy::announcing;
use posthaste::policy::health::Patience;
use posthaste::store::{Brake, DeliveryFilter, Effect, Lane, NewEndpoint, Notice, Record, Scope, Verdict};

use super::world::{DAY, HOUR, SECOND, START, World, in_sandbox, new_endpoint, settings};

for_every_backend! {
    a_brake_holds_a_partner_and_nobody_else
    a_brake_holds_an_environment_and_not_the_other
    everything_is_two_brakes_in_one_transaction
    braking_twice_is_braking_once
    a_release_leaves_what_another_brake_holds
    what_is_made_under_a_brake_is_held
    a_change_of_settings_lets_nothing_go
    a_pause_and_a_brake_end_apart
    what_is_disabled_under_a_brake_stays_disabled
    a_release_forgets_no_trouble
    what_two_brakes_held_is_forgiven_once_and_whole
    what_was_told_before_a_brake_is_not_told_after_it
    an_endpoint_deleted_under_a_brake_is_gone
    what_a_brake_holds_too_long_is_discarded
    there_is_no_brake_over_nobody
    very_many_changes_are_told_without_names
}

const PRODUCTION: Scope = Scope { environment: Environment::Production, partner: None };
const SANDBOX: Scope = Scope { environment: Environment::Sandbox, partner: None };

fn is_holding(world: &World, id: EndpointId) -> bool {
    world.store().endpoint_runtime(id, world.now).expect("readable").expect("it is there").is_holding
}

fn shown(world: &World, scope: &Scope, id: EndpointId) -> Endpoint {
    world.store().endpoint(scope, id).expect("readable").expect("it is there")
}

/// Who waits for an attempt, as the engine sees it.
fn waiting(world: &World) -> Vec<EndpointId> {
    let (waiting, _) = world.store().waiting(&PartitionSet::ALL, None, 10, world.now).expect("readable");
    waiting.iter().map(|waiting| waiting.endpoint).collect()
}

fn brakes(world: &World) -> Vec<Brake> {
    world.store().brakes().expect("readable")
}

/// What the last commit said of brakes: how many are in force.
fn told(world: &World) -> Vec<usize> {
    let brakes = |notice: &Notice| match notice {
        Notice::BrakesChanged { in_force } => *in_force,
        other => panic!("one notice for all, not {other:?}"),
    };
    world.notices.iter().map(brakes).collect()
}

fn a_brake_holds_a_partner_and_nobody_else(world: &mut World) {
    use DeliveryStatus::{Delivered, Held, Pending, Retrying};
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let mine = world.endpoint(&acme, "mine", &["*"]);
    let (theirs, elsewhere) =
        (world.endpoint(&other, "theirs", &["*"]).id, world.endpoint(&in_sandbox(&acme), "elsewhere", &["*"]).id);
    let [pending, retrying, delivered] = ["a.a", "b.b", "c.c"].map(|name| world.deliver(&acme, name));
    world.record(&world.attempt(retrying, 0, Verdict::RetryAt(START + HOUR)));
    world.record(&world.attempt(delivered, 0, Verdict::Delivered));
    world.deliver(&other, "a.a");
    let (matched, versions) = (world.subscriptions(&acme), world.store().versions().expect("readable"));

    world.advance(SECOND);
    let since = world.now;
    let brake = world.brake(&acme);
    assert_eq!(brake, Brake { scope: acme.clone(), since, reason: None });
    assert_eq!(told(world), [1]);
    world.kill();
    assert_eq!(brakes(world), [brake]);
    let changes = world.store().changes(&versions).expect("readable");
    assert_eq!((changes.endpoints, changes.are_too_many, changes.brakes), (vec![mine.id], false, Some(1)));
    let stamped = world.subscriptions(&acme);
    assert!(stamped.version > matched.version, "an event accepted now tells its sender to look");
    assert_eq!(stamped.matching(&"a.a".parse().expect("a type"))[..], [mine.id], "it is matched as before");

    let meanwhile = world.deliver(&acme, "d.d");
    let statuses = |world: &World| [pending, retrying, delivered, meanwhile].map(|id| world.delivery(&acme, id).status);
    assert_eq!(statuses(world), [Held, Held, Delivered, Held]);
    let held = DeliveryFilter { status: Some(StatusFilter::Held), ..DeliveryFilter::default() };
    assert_eq!(world.deliveries(&acme, &held).len(), 3);
    assert_eq!(world.store().backlog(mine.id, 10).expect("readable"), 3, "it is counted");
    assert_eq!(waiting(world), [theirs], "nobody starts it");
    assert_eq!([mine.id, theirs, elsewhere].map(|id| is_holding(world, id)), [true, false, false]);
    let seen = shown(world, &acme, mine.id);
    assert_eq!((seen.status(), seen.paused_by()), (EndpointStatus::Paused, Some(PausedBy::Operator)));
    assert_eq!(seen, Endpoint { braked_at: Some(since), ..mine.clone() }, "no change of settings");

    world.release(&acme);
    assert_eq!((told(world), brakes(world)), (vec![0], vec![]));
    assert_eq!(statuses(world), [Pending, Retrying, Delivered, Pending]);
    assert_eq!(world.delivery(&acme, retrying).next_attempt_at, Some(START + HOUR), "a brake moves nothing");
    assert_eq!(world.due(mine.id, Lane::Fresh).len(), 2);
    assert_eq!(shown(world, &acme, mine.id), mine, "as if nothing had been");
    let mut both = waiting(world);
    both.sort();
    assert_eq!(both, [mine.id, theirs]);
}

fn a_brake_holds_an_environment_and_not_the_other(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let scopes = [acme.clone(), other, in_sandbox(&acme)];
    let ids = scopes.clone().map(|scope| world.endpoint(&scope, "all", &["*"]).id);
    let matched = scopes.clone().map(|scope| world.subscriptions(&scope).version);
    world.brake(&PRODUCTION);
    assert_eq!(told(world), [1]);
    assert_eq!(ids.map(|id| is_holding(world, id)), [true, true, false]);
    let stamped = scopes.clone().map(|scope| world.subscriptions(&scope).version);
    assert!(stamped[0] > matched[0] && stamped[1] > matched[1], "of every partner");
    assert_eq!(stamped[2], matched[2]);
    world.release(&PRODUCTION);
    world.brake(&SANDBOX);
    assert_eq!(ids.map(|id| is_holding(world, id)), [false, false, true]);
    assert_eq!(brakes(world).iter().map(|brake| brake.scope.clone()).collect::<Vec<_>>(), [SANDBOX]);
}

fn everything_is_two_brakes_in_one_transaction(world: &mut World) {
    let acme = world.partner("acme");
    let ids = [acme.clone(), in_sandbox(&acme)].map(|scope| world.endpoint(&scope, "all", &["*"]).id);
    world.commit(|transaction| {
        for scope in [&SANDBOX, &PRODUCTION] {
            transaction.set_brake(scope, Some("the data are wrong"))?;
        }
        Ok(())
    });
    assert_eq!(told(world), [1, 2]);
    assert_eq!(ids.map(|id| is_holding(world, id)), [true, true]);
    assert!(brakes(world).iter().all(|brake| brake.reason.as_deref() == Some("the data are wrong")));
    let failed = world.try_commit(|transaction| {
        transaction.release_brake(&SANDBOX)?;
        transaction.release_brake(&PRODUCTION)?;
        Err::<(), _>(posthaste::store::StoreError::Constraint("a case's own".into()))
    });
    assert!(failed.is_err());
    assert_eq!((brakes(world).len(), ids.map(|id| is_holding(world, id))), (2, [true, true]), "both or none");
}

fn braking_twice_is_braking_once(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let first = world.brake(&acme);
    let versions = world.store().versions().expect("readable");
    world.advance(SECOND);
    assert_eq!(world.brake(&acme), first, "in force since then");
    assert_eq!((told(world), world.store().versions().expect("readable")), (vec![], versions));
    let explained = world.commit(|transaction| transaction.set_brake(&acme, Some("a storm of retries")));
    let expected = Brake { reason: Some("a storm of retries".into()), ..first };
    assert_eq!(explained, Some(Effect::Changed(expected.clone())));
    assert_eq!(world.brake(&acme), expected, "what is said of it stays when nothing is");
    assert_eq!(brakes(world), [expected]);
    world.release(&acme);
    assert!(!world.commit(|transaction| transaction.release_brake(&acme)), "it is released");
    assert!(told(world).is_empty());
    assert!(!is_holding(world, id));
}

fn a_release_leaves_what_another_brake_holds(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let ids = [&acme, &other].map(|scope| world.endpoint(scope, "all", &["*"]).id);
    let holding = |world: &World| ids.map(|id| is_holding(world, id));
    // Either may come first, and either may go first.
    for [first, second] in [[&acme, &PRODUCTION], [&PRODUCTION, &acme]] {
        world.advance(SECOND);
        let since = world.brake(first).since;
        world.advance(SECOND);
        world.brake(second);
        assert_eq!(holding(world), [true, true]);
        assert_eq!(shown(world, &acme, ids[0]).braked_at, Some(since), "the longest");
        world.release(&PRODUCTION);
        assert_eq!(holding(world), [true, false], "the partner's own stays");
        world.brake(&PRODUCTION);
        assert_eq!(holding(world), [true, true]);
        world.release(&acme);
        assert_eq!(holding(world), [true, true], "the environment's stays");
        world.release(&PRODUCTION);
        assert_eq!(holding(world), [false, false]);
    }
}

fn what_is_made_under_a_brake_is_held(world: &mut World) {
    for scope in [None, Some(PRODUCTION)] {
        let acme = world.partner(if scope.is_some() { "acme" } else { "other" });
        let brake = scope.unwrap_or_else(|| acme.clone());
        world.brake(&brake);
        let made = world.endpoint(&acme, "all", &["a.*"]);
        assert_eq!(made.paused_by(), Some(PausedBy::Operator));
        let disabled = EndpointSettings { enabled: false, ..settings("disabled", &["b.*"]) };
        let disabled = world.try_endpoint(&acme, disabled).expect("nothing stands against it");
        let delivery = world.deliver(&acme, "a.a");
        assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Held);
        world.release(&brake);
        assert_eq!(world.delivery(&acme, delivery).status, DeliveryStatus::Pending);
        assert_eq!((is_holding(world, made.id), is_holding(world, disabled.id)), (false, true));
        assert_eq!(shown(world, &acme, disabled.id).status(), EndpointStatus::Disabled);
    }
}

fn a_change_of_settings_lets_nothing_go(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    world.brake(&acme);
    for enabled in [true, false, true] {
        world.advance(SECOND);
        let changed = world.change(&acme, id, |settings| {
            settings.description = Some("another".into());
            settings.enabled = enabled;
        });
        let status = if enabled { EndpointStatus::Paused } else { EndpointStatus::Disabled };
        assert_eq!((changed.status(), changed.paused_by()), (status, Some(PausedBy::Operator)));
        assert!(is_holding(world, id));
    }
    world.release(&acme);
    assert!(!is_holding(world, id), "enabled under it");
    world.brake(&acme);
    world.enable(&acme, id, false);
    world.release(&acme);
    assert!(is_holding(world, id), "disabled under it");
}

fn a_pause_and_a_brake_end_apart(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let by = |endpoint: &Endpoint| endpoint.paused_by();
    // Paused before the brake, and resumed under it.
    world.pause(&acme, id);
    world.brake(&acme);
    assert_eq!(by(&shown(world, &acme, id)), Some(PausedBy::Both));
    let resumed = world.resume(&acme, id);
    assert_eq!((by(&resumed), resumed.status()), (Some(PausedBy::Operator), EndpointStatus::Paused));
    assert_eq!(shown(world, &acme, id), resumed);
    assert!(is_holding(world, id));
    world.release(&acme);
    assert!(!is_holding(world, id));
    // Paused under it, and resumed after.
    world.brake(&acme);
    assert_eq!(by(&world.pause(&acme, id)), Some(PausedBy::Both));
    world.release(&acme);
    assert_eq!((by(&shown(world, &acme, id)), is_holding(world, id)), (Some(PausedBy::Partner), true));
    world.resume(&acme, id);
    assert!(!is_holding(world, id));
}

fn what_is_disabled_under_a_brake_stays_disabled(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    world.brake(&acme);
    // An attempt was under way when the brake came, and was answered 410.
    assert!(world.commit(|transaction| transaction.disable_endpoint(id, DisabledReason::Gone, None)));
    world.release(&acme);
    assert!(is_holding(world, id));
    assert_eq!(shown(world, &acme, id).status(), EndpointStatus::Disabled);
    world.enable(&acme, id, true);
    assert!(!is_holding(world, id));
}

fn a_release_forgets_no_trouble(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    let trouble = Trouble {
        failing_since: Some(START),
        warned_at: Some(START + HOUR),
        not_before: Some(START + HOUR),
        ..Trouble::default()
    };
    world.advance(HOUR);
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble.clone()), ..failed });
    // Another's is no concern of the brake.
    let bolt = world.partner("bolt");
    let other = world.endpoint(&bolt, "all", &["*"]).id;
    let delivery = world.deliver(&bolt, "a.a");
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble.clone()), ..failed });
    world.brake(&acme);
    world.advance(DAY * 4);
    world.release(&acme);
    let known = |id| world.store().trouble(id).expect("readable");
    assert_eq!(known(other), trouble);
    // Nobody has mended it meanwhile, but nor has it failed for four days.
    let (failing_since, warned_at) = (Some(START + DAY * 4), Some(START + HOUR + DAY * 4));
    assert_eq!(known(id), Trouble { failing_since, warned_at, ..trouble });
}

fn an_endpoint_deleted_under_a_brake_is_gone(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    world.brake(&acme);
    world.delete(&acme, id);
    world.release(&acme);
    let gone = DeliveryStatus::Discarded(DiscardReason::EndpointDeleted);
    assert_eq!(world.delivery(&acme, delivery).status, gone);
    assert_eq!(waiting(world), []);
    assert_eq!(world.commit(|transaction| transaction.discard_deleted(10)), 1);
}

fn what_a_brake_holds_too_long_is_discarded(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let old = world.deliver(&acme, "a.a");
    world.advance(DAY);
    let horizon = world.now;
    let young = world.deliver(&acme, "b.b");
    world.brake(&acme);
    world.advance(DAY);
    assert_eq!(world.commit(|transaction| transaction.retire(horizon, None, 100)).rows, 1);
    assert_eq!(world.delivery(&acme, old).status, DeliveryStatus::Discarded(DiscardReason::Retention));
    assert_eq!(world.delivery(&acme, young).status, DeliveryStatus::Held, "and nothing before its time");
}

fn there_is_no_brake_over_nobody(world: &mut World) {
    let nobody = Scope::of(Environment::Production, "nobody".parse().expect("a name"));
    let versions = world.store().versions().expect("readable");
    let found =
        world.commit(|transaction| Ok((transaction.set_brake(&nobody, None)?, transaction.release_brake(&nobody)?)));
    assert_eq!((found, told(world)), ((None, false), vec![]));
    assert_eq!((brakes(world), world.store().versions().expect("readable")), (vec![], versions));
    let changes = world.store().changes(&versions).expect("readable");
    assert_eq!(changes.brakes, None, "nobody need count them again");
}

/// Whoever hears of it looks at everything instead.
fn very_many_changes_are_told_without_names(world: &mut World) {
    let acme = world.partner("acme");
    world.commit(|transaction| {
        for number in 0..1_001 {
            let new =
                NewEndpoint { most_endpoints: 10_000, ..new_endpoint(&acme, settings(&format!("{number}"), &["*"])) };
            transaction.create_endpoint(&new)?.expect("nothing stands against it");
        }
        Ok(())
    });
    let versions = world.store().versions().expect("readable");
    world.brake(&acme);
    assert_eq!(told(world), [1], "one for all");
    let changes = world.store().changes(&versions).expect("readable");
    assert!(changes.are_too_many && changes.endpoints.len() <= 1_001);
}

/// An endpoint of a partner that has failed since the start and was warned of it.
fn troubled(world: &mut World, acme: &Scope) -> (EndpointId, Trouble) {
    let id = world.endpoint(acme, "all", &["*"]).id;
    let delivery = world.deliver(acme, "a.a");
    let trouble = Trouble { failing_since: Some(START), warned_at: Some(START + HOUR), ..Trouble::default() };
    world.advance(HOUR * 2);
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble.clone()), ..failed });
    (id, trouble)
}

fn what_two_brakes_held_is_forgiven_once_and_whole(world: &mut World) {
    // Whichever came first, and whichever goes first.
    for (number, (is_partner_first, does_partner_go_first)) in
        [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate()
    {
        let start = world.now;
        let acme = world.partner(&format!("acme-{number}"));
        let id = world.endpoint(&acme, "all", &["*"]).id;
        let delivery = world.deliver(&acme, "a.a");
        let trouble = Trouble { failing_since: Some(start), warned_at: Some(start + HOUR), ..Trouble::default() };
        let failed = world.attempt(delivery, 0, Verdict::RetryAt(start + DAY * 20));
        world.record(&Record { trouble: Some(trouble), ..failed });
        world.advance(HOUR * 2);
        let in_order = |is_first: bool| if is_first { [&acme, &PRODUCTION] } else { [&PRODUCTION, &acme] };
        for scope in in_order(is_partner_first) {
            world.brake(scope);
            world.advance(DAY);
        }
        for scope in in_order(does_partner_go_first) {
            assert!(is_holding(world, id));
            world.advance(HOUR);
            world.release(scope);
        }
        assert!(!is_holding(world, id));
        let held = DAY * 2 + HOUR * 2;
        let known = world.store().trouble(id).expect("readable");
        assert_eq!(
            (known.failing_since, known.warned_at),
            (Some(start + held), Some(start + HOUR + held)),
            "{is_partner_first} {does_partner_go_first}"
        );
    }
}

fn what_was_told_before_a_brake_is_not_told_after_it(world: &mut World) {
    let acme = world.partner("acme");
    let (id, trouble) = troubled(world, &acme);
    let minute = SECOND * 60;
    let told = Trouble { announced_at: Some(START + minute), warned_at: None, ..trouble };
    let delivery = world.deliver(&acme, "a.a");
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(told), ..failed });
    let next = |world: &World| {
        let known = world.store().trouble(id).expect("readable");
        announcing::failing(&known, 10, world.now, &Patience::default())
    };
    assert_eq!(next(world), None, "it was told");
    world.brake(&acme);
    world.advance(HOUR);
    world.release(&acme);
    world.advance(minute * 2);
    assert_eq!(next(world), None, "it was told");
}
