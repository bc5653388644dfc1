//! Partners, keys and catalogs.

use std::time::Duration;

use posthaste::catalog::{TypeDefinition, shipped};
use posthaste::domain::{Environment, KeyId, PartnerName, RetryPolicy, Role};
use posthaste::store::{CommitError, KeyRecord, NewKey, PageRequest, StoreError};
use serde_json::json;

use super::world::{HOUR, World, in_sandbox};

for_every_backend! {
    a_partners_name_is_taken_once
    partners_are_listed_newest_first
    the_first_start_happens_once
    a_catalog_belongs_to_one_environment
    a_key_is_found_by_its_hash
    a_key_is_revoked_once
    keys_are_listed_newest_first
    a_key_cannot_be_bound_to_nobody
    a_keys_last_use_only_grows
    a_type_that_is_put_as_it_is_is_no_change
    the_store_answers
}

fn name(text: &str) -> PartnerName {
    text.parse().expect("a case's own name")
}

fn a_partners_name_is_taken_once(world: &mut World) {
    let acme = world.partner("acme");
    let made = world.store().partner(&name("acme")).expect("readable").expect("it was made");
    assert_eq!((made.name, made.created_at), (name("acme"), world.now));
    world.advance(HOUR);
    assert_eq!(world.commit(|transaction| transaction.create_partner(&name("acme"))), None);
    let still = world.store().partner(&name("acme")).expect("readable").expect("it is there");
    assert_eq!(still.created_at, world.now - HOUR);
    assert_eq!(world.store().partner(&name("nobody")).expect("readable"), None);
    for scope in [acme.clone(), in_sandbox(&acme)] {
        assert!(world.subscriptions(&scope).is_empty(), "it exists in both environments at once");
    }
}

fn partners_are_listed_newest_first(world: &mut World) {
    // Not in the order of their names.
    for text in ["m", "z", "a", "k", "b"] {
        world.partner(text);
    }
    let mut walked: Vec<PartnerName> = Vec::new();
    loop {
        let page = PageRequest { after: walked.last().cloned(), limit: 2 };
        let page = world.store().partners(&page).expect("readable");
        walked.extend(page.items.into_iter().map(|partner| partner.name));
        if !page.more {
            break;
        }
    }
    assert_eq!(walked, ["b", "k", "a", "z", "m"].map(name));
    let behind_nobody = PageRequest { after: Some(name("nobody")), limit: 2 };
    assert_eq!(world.store().partners(&behind_nobody).expect("readable").items, []);
}

fn definition(text: &str, description: &str) -> TypeDefinition {
    TypeDefinition {
        name: text.parse().expect("a case's own type"),
        description: description.into(),
        schema: json!({"type": "object", "properties": {"n": {"maximum": 1e300, "minimum": -0.5}}}),
        example: json!({"event": text, "n": 7, "text": "\u{1f980} \" \\ \u{0}"}),
        retry: None,
        indexed: Vec::new(),
    }
}

fn the_first_start_happens_once(world: &mut World) {
    let types = shipped();
    assert!(world.commit(|transaction| transaction.first_start(&types)));
    let mut sorted = types.clone();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    for environment in Environment::ALL {
        assert_eq!(world.store().event_types(environment).expect("readable"), sorted);
    }
    assert!(world.store().partner(&PartnerName::default_partner()).expect("readable").is_some());

    // What an operator did since stays, also when a new release ships more.
    let edited = definition("campaign.created", "ours");
    world.commit(|transaction| {
        transaction.put_event_types(Environment::Production, std::slice::from_ref(&edited))?;
        transaction.delete_event_type(Environment::Sandbox, &edited.name)
    });
    world.kill();
    let more = [types, vec![definition("new.release", "new")]].concat();
    assert!(!world.commit(|transaction| transaction.first_start(&more)));
    let production = world.store().event_types(Environment::Production).expect("readable");
    assert!(production.contains(&edited) && production.len() == sorted.len());
    let sandbox = world.store().event_types(Environment::Sandbox).expect("readable");
    assert!(sandbox.iter().all(|known| known.name != edited.name) && sandbox.len() == sorted.len() - 1);
}

fn a_catalog_belongs_to_one_environment(world: &mut World) {
    let [a, b] = [definition("a.type", "one"), definition("b.type", "two")];
    world.commit(|transaction| transaction.put_event_types(Environment::Sandbox, &[b.clone(), a.clone()]));
    assert_eq!(world.store().event_types(Environment::Sandbox).expect("readable"), [a.clone(), b.clone()]);
    assert_eq!(world.store().event_types(Environment::Production).expect("readable"), []);

    let replaced =
        TypeDefinition { schema: json!(true), retry: Some(RetryPolicy::default()), ..definition("a.type", "three") };
    world.commit(|transaction| {
        transaction.put_event_types(Environment::Sandbox, std::slice::from_ref(&replaced))?;
        transaction.put_event_types(Environment::Production, std::slice::from_ref(&a))
    });
    assert_eq!(world.store().event_types(Environment::Sandbox).expect("readable"), [replaced, b.clone()]);

    // A schedule is replaced like all else, and also by none.
    for waits in [vec![], vec![Duration::ZERO, 24 * HOUR]] {
        let scheduled = TypeDefinition { retry: Some(RetryPolicy::Schedule(waits)), ..a.clone() };
        world.commit(|transaction| {
            transaction.put_event_types(Environment::Production, std::slice::from_ref(&scheduled))
        });
        assert_eq!(world.store().event_types(Environment::Production).expect("readable"), [scheduled]);
    }
    world.commit(|transaction| transaction.put_event_types(Environment::Production, std::slice::from_ref(&a)));
    let gone = world.commit(|transaction| {
        Ok([
            transaction.delete_event_type(Environment::Production, &b.name)?,
            transaction.delete_event_type(Environment::Sandbox, &b.name)?,
            transaction.delete_event_type(Environment::Sandbox, &b.name)?,
        ])
    });
    assert_eq!(gone, [false, true, false]);
    assert_eq!(world.store().event_types(Environment::Production).expect("readable"), [a]);
}

fn new_key(number: u8) -> NewKey {
    NewKey {
        hash: [number; 32],
        prefix: format!("ph_{number}"),
        role: Role::Operator,
        environment: None,
        partner: None,
        description: None,
        expires_at: None,
    }
}

fn a_key_is_found_by_its_hash(world: &mut World) {
    world.partner("other");
    world.partner("acme");
    let bound = NewKey {
        role: Role::Partner,
        environment: Some(Environment::Sandbox),
        partner: Some(name("acme")),
        description: Some("for \u{fc}ber".into()),
        expires_at: Some(world.now + HOUR),
        ..new_key(1)
    };
    let producer = NewKey { role: Role::Producer, environment: Some(Environment::Production), ..new_key(2) };
    for new in [bound, producer, new_key(3)] {
        let made = world.commit(|transaction| transaction.create_key(&new));
        let expected = KeyRecord {
            id: made.id,
            prefix: new.prefix.clone(),
            role: new.role,
            environment: new.environment,
            partner: new.partner.clone(),
            description: new.description.clone(),
            created_at: world.now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
            link: None,
        };
        assert_eq!(made, expected);
        assert_eq!(world.store().key_by_hash(&new.hash).expect("readable"), Some(expected.clone()));
        assert_eq!(world.store().key(made.id).expect("readable"), Some(expected.clone()));
        assert_eq!(made.is_live(world.now + HOUR), new.expires_at.is_none());
        world.advance(HOUR);
    }
    assert_eq!(world.store().key_by_hash(&[9; 32]).expect("readable"), None);
}

fn a_key_is_revoked_once(world: &mut World) {
    let made = world.commit(|transaction| transaction.create_key(&new_key(1)));
    world.advance(HOUR);
    assert!(world.commit(|transaction| transaction.revoke_key(made.id)));
    let revoked = world.store().key_by_hash(&[1; 32]).expect("readable").expect("it is still known");
    assert_eq!(revoked.revoked_at, Some(world.now));
    assert!(!revoked.is_live(world.now));
    world.advance(HOUR);
    assert!(!world.commit(|transaction| transaction.revoke_key(made.id)));
    assert_eq!(world.store().key(made.id).expect("readable"), Some(revoked));
    let unknown = KeyId::from_uuid(uuid::Uuid::from_u128(7));
    assert!(!world.commit(|transaction| transaction.revoke_key(unknown)));
}

fn keys_are_listed_newest_first(world: &mut World) {
    let made: Vec<KeyId> =
        (1..=5).map(|number| world.commit(|transaction| transaction.create_key(&new_key(number))).id).collect();
    world.commit(|transaction| transaction.revoke_key(made[2]));
    let mut walked: Vec<KeyId> = Vec::new();
    loop {
        let page = world.store().keys(&PageRequest { after: walked.last().copied(), limit: 2 }).expect("readable");
        walked.extend(page.items.iter().map(|key| key.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(walked, made.into_iter().rev().collect::<Vec<_>>(), "the revoked one too");
}

fn a_key_cannot_be_bound_to_nobody(world: &mut World) {
    let bound = NewKey { partner: Some(name("nobody")), ..new_key(1) };
    let refused = world.try_commit(|transaction| transaction.create_key(&bound));
    assert!(matches!(refused, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{refused:?}");
    let twice = world.try_commit(|transaction| {
        transaction.create_key(&new_key(1))?;
        transaction.create_key(&new_key(1))
    });
    assert!(matches!(twice, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{twice:?}");
    assert_eq!(world.store().key_by_hash(&[1; 32]).expect("readable"), None);
}

fn a_keys_last_use_only_grows(world: &mut World) {
    let [one, other] = [1, 2].map(|number| world.commit(|transaction| transaction.create_key(&new_key(number))).id);
    let unknown = KeyId::from_uuid(uuid::Uuid::from_u128(7));
    let now = world.now;
    let versions = world.store().versions().expect("readable");
    for (uses, expected) in [
        (vec![], [None, None]),
        (vec![(other, now), (unknown, now)], [None, Some(now)]),
        (vec![(other, now - HOUR), (one, now - HOUR)], [Some(now - HOUR), Some(now)]),
        (vec![(one, now + HOUR), (other, now + HOUR)], [Some(now + HOUR), Some(now + HOUR)]),
    ] {
        world.commit(|transaction| transaction.note_key_uses(&uses));
        let used = |id| world.store().key(id).expect("readable").expect("it is there").last_used_at;
        assert_eq!([one, other].map(used), expected, "{uses:?}");
    }
    let listed = world.store().keys(&PageRequest { after: None, limit: 9 }).expect("readable").items;
    assert!(listed.iter().all(|key| key.last_used_at == Some(now + HOUR)));
    assert_eq!(world.store().versions().expect("readable"), versions, "nobody need read keys anew for that");
}

fn a_type_that_is_put_as_it_is_is_no_change(world: &mut World) {
    let first = definition("a.type", "one");
    let other = definition("b.type", "one");
    let mut put =
        |types: &[TypeDefinition]| world.commit(|transaction| transaction.put_event_types(Environment::Sandbox, types));
    assert_eq!(put(&[first.clone(), other.clone()]), 2);
    assert_eq!(put(&[first.clone(), other.clone()]), 0);
    let changed = [
        TypeDefinition { description: "two".into(), ..first.clone() },
        TypeDefinition { schema: json!(true), ..first.clone() },
        TypeDefinition { example: json!({ "event": "a.type" }), ..first.clone() },
        TypeDefinition { retry: Some(RetryPolicy::default()), ..first.clone() },
        first.clone(),
    ];
    for changed in changed {
        assert_eq!(put(&[changed.clone(), other.clone()]), 1, "{changed:?}");
        assert_eq!(put(&[changed]), 0);
    }
}

fn the_store_answers(world: &mut World) {
    world.store().ping().expect("it is open");
}
