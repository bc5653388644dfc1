//! Versions of what is kept in memory: every change that a node must hear of
//! moves them, whoever made it, and what need not be read anew does not.

use posthaste::catalog::TypeDefinition;
use posthaste::domain::{EndpointId, Environment, Role};
use posthaste::store::{Changes, CommitError, NewKey, Scope, StoreError, Verdict, Versions};
use serde_json::json;

use super::world::{DAY, World, in_sandbox, new_endpoint, rotation, settings};

for_every_backend! {
    a_revoked_key_moves_the_version_of_the_keys
    a_changed_catalog_moves_the_version_of_its_own
    every_change_of_an_endpoint_moves_the_clock_of_its_environment
    traffic_moves_nothing
    what_was_undone_moved_nothing
    changes_are_told_from_any_look_on
    versions_survive_a_restart
}

/// A key of a partner's, one for each number.
pub fn api_key(scope: &Scope, number: u8) -> NewKey {
    NewKey {
        hash: [number; 32],
        prefix: format!("ph_{number}"),
        role: Role::Producer,
        environment: Some(scope.environment),
        partner: scope.partner.clone(),
        description: None,
        expires_at: None,
    }
}

/// A type of which every event is good.
pub fn event_type(name: &str) -> TypeDefinition {
    TypeDefinition {
        name: name.parse().expect("a case's own event type"),
        description: String::new(),
        schema: json!({}),
        example: json!({ "event": name }),
        retry: None,
        indexed: Vec::new(),
    }
}

#[track_caller]
fn versions(world: &World) -> Versions {
    world.store().versions().expect("readable")
}

#[track_caller]
fn changes(world: &World, since: &Versions) -> Changes {
    let mut changes = world.store().changes(since).expect("readable");
    assert_eq!(changes.versions, versions(world), "both say the same of the same moment");
    changes.endpoints.sort();
    changes
}

/// What one change moved: which versions differ, and which endpoints are named.
#[track_caller]
fn moved(world: &mut World, change: impl FnOnce(&mut World)) -> (Vec<&'static str>, Vec<EndpointId>) {
    let before = versions(world);
    change(world);
    let changes = changes(world, &before);
    let after = changes.versions;
    let pairs = [
        ("keys", before.keys, after.keys),
        ("catalog of the sandbox", before.catalogs[0], after.catalogs[0]),
        ("catalog of production", before.catalogs[1], after.catalogs[1]),
        ("endpoints of the sandbox", before.endpoints[0], after.endpoints[0]),
        ("endpoints of production", before.endpoints[1], after.endpoints[1]),
    ];
    for (name, before, after) in pairs {
        assert!(before <= after, "{name} went from {before} back to {after}");
    }
    (pairs.iter().filter(|(_, before, after)| before != after).map(|(name, ..)| *name).collect(), changes.endpoints)
}

fn nothing() -> (Vec<&'static str>, Vec<EndpointId>) {
    (Vec::new(), Vec::new())
}

fn a_revoked_key_moves_the_version_of_the_keys(world: &mut World) {
    let acme = world.partner("acme");
    let key = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    world.commit(|transaction| transaction.create_key(&api_key(&acme, 2)));
    let revoked = moved(world, |world| {
        assert!(world.commit(|transaction| transaction.revoke_key(key.id)));
    });
    assert_eq!(revoked, (vec!["keys"], vec![]));
}

fn a_changed_catalog_moves_the_version_of_its_own(world: &mut World) {
    for (environment, name) in Environment::ALL.into_iter().zip(["catalog of the sandbox", "catalog of production"]) {
        for types in [vec![event_type("a.one"), event_type("a.two")], vec![event_type("a.one")]] {
            let put = moved(world, |world| {
                world.commit(|transaction| transaction.put_event_types(environment, &types));
            });
            assert_eq!(put, (vec![name], vec![]));
        }
        let deleted = moved(world, |world| {
            let name = event_type("a.one").name;
            assert!(world.commit(|transaction| transaction.delete_event_type(environment, &name)));
        });
        assert_eq!(deleted, (vec![name], vec![]));
    }
}

fn every_change_of_an_endpoint_moves_the_clock_of_its_environment(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    world.endpoint(&other, "bystander", &["*"]);
    world.endpoint(&in_sandbox(&other), "bystander", &["*"]);
    for (scope, clock) in [(in_sandbox(&acme), "endpoints of the sandbox"), (acme, "endpoints of production")] {
        let mut made = None;
        let created = moved(world, |world| made = Some(world.endpoint(&scope, "mine", &["*"]).id));
        let id = made.expect("it was made");
        assert_eq!(created, (vec![clock], vec![id]));

        let told = (vec![clock], vec![id]);
        assert_eq!(moved(world, |world| world.enable(&scope, id, false)), told, "it was switched off");
        assert_eq!(moved(world, |world| drop(world.pause(&scope, id))), told, "it was paused");
        assert_eq!(moved(world, |world| drop(world.pause(&scope, id))), nothing(), "it was already");
        assert_eq!(moved(world, |world| drop(world.resume(&scope, id))), told, "it was resumed");
        let patterns = vec!["order.*".parse().expect("a pattern")];
        let rewritten = moved(world, |world| {
            world.change(&scope, id, |settings| settings.events = patterns);
        });
        assert_eq!(rewritten, told, "it wants something else");
        let rotated = moved(world, |world| world.rotate(&rotation(&scope, id, "whsec_next", DAY)));
        assert_eq!(rotated, told, "its secret is another");
        assert_eq!(moved(world, |world| world.delete(&scope, id)), told, "it is gone");
    }
}

fn traffic_moves_nothing(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "order.paid");
    assert_eq!(moved(world, |world| drop(world.accept(&acme, "order.paid"))), nothing());
    let record = world.attempt(delivery, 0, Verdict::Delivered);
    let recorded = moved(world, |world| {
        world.record(&record);
    });
    assert_eq!(recorded, nothing());
    let asked = moved(world, |world| world.commit(|transaction| transaction.request_attempt(delivery).map(drop)));
    assert_eq!(asked, nothing());
    assert_eq!(moved(world, |world| drop(world.partner("next"))), nothing(), "nobody keeps partners");
}

fn what_was_undone_moved_nothing(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "mine", &["*"]);
    let key = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    let narrowed = world.changed(&acme, endpoint.id, |settings| settings.enabled = false);
    let new = new_endpoint(&acme, settings("new", &["*"]));
    let rotation = rotation(&acme, endpoint.id, "whsec_next", DAY);
    let undone = moved(world, |world| {
        let undone = world.try_commit(|transaction| -> Result<(), StoreError> {
            assert!(transaction.revoke_key(key.id)?);
            transaction.put_event_types(Environment::Production, &[event_type("a.one")])?;
            transaction.create_endpoint(&new)?.expect("nothing stands against it");
            transaction.change_endpoint(&narrowed)?.expect("nobody changed it meanwhile");
            transaction.rotate_secret(&rotation)?.expect("there is room for it");
            assert!(transaction.delete_endpoint(&acme, endpoint.id)?);
            Err(StoreError::Busy("as if".into()))
        });
        assert!(matches!(undone, Err(CommitError::RolledBack(StoreError::Busy(_)))), "{undone:?}");
    });
    assert_eq!(undone, nothing());

    // Nor does what was refused, or had nothing to change.
    let refused = moved(world, |world| {
        world.try_endpoint(&acme, settings("mine", &["*"])).expect_err("the URL is taken");
        let elsewhere = in_sandbox(&acme);
        assert!(!world.commit(|transaction| transaction.delete_endpoint(&elsewhere, endpoint.id)));
    });
    assert_eq!(refused, nothing());
}

fn changes_are_told_from_any_look_on(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let first = world.endpoint(&acme, "first", &["*"]).id;
    let look_1 = changes(world, &Versions::default());
    assert_eq!(look_1.endpoints, [first], "whoever has never looked is told of all");
    let second = world.endpoint(&other, "second", &["*"]).id;
    let look_2 = changes(world, &look_1.versions);
    let third = world.endpoint(&in_sandbox(&acme), "third", &["*"]).id;
    // Changed twice, and told once.
    world.enable(&acme, first, false);
    world.enable(&acme, first, true);
    let look_3 = changes(world, &look_2.versions);
    world.delete(&other, second);
    let look_4 = changes(world, &look_3.versions);

    let sorted = |mut ids: Vec<EndpointId>| {
        ids.sort();
        ids
    };
    assert_eq!(look_2.endpoints, [second]);
    assert_eq!(look_3.endpoints, sorted(vec![first, third]));
    assert_eq!(look_4.endpoints, [second]);
    assert_eq!(changes(world, &look_4.versions).endpoints, []);
    // Whoever missed looks misses nothing.
    assert_eq!(changes(world, &look_1.versions).endpoints, sorted(vec![first, second, third]));
    assert_eq!(changes(world, &look_2.versions).endpoints, sorted(vec![first, second, third]));
}

fn versions_survive_a_restart(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "mine", &["*"]).id;
    world.commit(|transaction| transaction.put_event_types(Environment::Sandbox, &[event_type("a.one")]));
    let key = world.commit(|transaction| transaction.create_key(&api_key(&acme, 1)));
    assert!(world.commit(|transaction| transaction.revoke_key(key.id)));
    let before = versions(world);
    world.reopen();
    assert_eq!(versions(world), before);
    world.enable(&acme, endpoint, false);
    world.kill();
    assert_eq!(changes(world, &before).endpoints, [endpoint]);
}
