//! Links to the partner portal: keys that nobody sends, each opened once or until it ends.

use posthaste::domain::{Environment, KeyId, Role};
use posthaste::store::{KeyRecord, LINKS_KEPT, NewKey, NewPortalLink, PageRequest, PortalLink, Scope, StoreError};

use super::world::{DAY, HOUR, World};

for_every_backend! {
    a_link_is_a_key_and_is_not_listed_as_one
    a_link_opens_once
    a_link_that_opens_often_opens_until_it_ends
    what_has_ended_opens_nothing
    links_are_listed_by_whose_they_are
    links_that_ended_long_ago_are_forgotten
    an_erased_partners_links_open_nothing_and_go
}

fn link(scope: &Scope, number: u8, ends_after: std::time::Duration, world: &World) -> NewPortalLink {
    NewPortalLink {
        hash: [number; 32],
        prefix: format!("phl_{number}"),
        environment: scope.environment,
        partner: scope.partner.clone().expect("a partner's scope"),
        description: Some(format!("the {number}th")),
        expires_at: world.now + ends_after,
        single_use: true,
    }
}

fn made(world: &mut World, new: &NewPortalLink) -> KeyRecord {
    world.commit(|transaction| transaction.create_portal_link(new))
}

fn spent(world: &mut World, number: u8) -> Option<KeyRecord> {
    world.commit(|transaction| transaction.spend_portal_link(&[number; 32]))
}

fn listed(world: &World, scope: &Scope) -> Vec<KeyId> {
    let partner = scope.partner.as_ref().expect("a partner's scope");
    let page = world.store().portal_links(partner, &PageRequest { after: None, limit: 99 }).expect("readable");
    page.items.into_iter().map(|link| link.id).collect()
}

fn a_link_is_a_key_and_is_not_listed_as_one(world: &mut World) {
    let acme = world.partner("acme");
    let new = link(&acme, 1, HOUR, world);
    let record = made(world, &new);
    let expected = KeyRecord {
        id: record.id,
        prefix: "phl_1".to_owned(),
        role: Role::Partner,
        environment: Some(acme.environment),
        partner: acme.partner.clone(),
        description: Some("the 1th".to_owned()),
        created_at: world.now,
        expires_at: Some(world.now + HOUR),
        revoked_at: None,
        last_used_at: None,
        link: Some(PortalLink { single_use: true, spent_at: None }),
    };
    assert_eq!(record, expected);
    assert_eq!(world.store().key(record.id).expect("readable"), Some(expected.clone()));
    assert_eq!(world.store().key_by_hash(&[1; 32]).expect("readable"), Some(expected));
    let keys = world.store().keys(&PageRequest { after: None, limit: 9 }).expect("readable");
    assert_eq!(keys.items, []);
    // A hash is taken once, whoever has it.
    let twice = world.try_commit(|transaction| transaction.create_portal_link(&new));
    assert!(twice.is_err(), "{twice:?}");
    let nobody = NewPortalLink { partner: "nobody".parse().expect("a name"), hash: [9; 32], ..new };
    let refused = world.try_commit(|transaction| transaction.create_portal_link(&nobody));
    assert!(
        matches!(refused, Err(posthaste::store::CommitError::RolledBack(StoreError::Constraint(_)))),
        "{refused:?}"
    );
}

fn a_link_opens_once(world: &mut World) {
    let acme = world.partner("acme");
    let new = link(&acme, 1, DAY, world);
    let record = made(world, &new);
    assert!(record.can_be_opened(world.now) && !record.can_be_opened(world.now + DAY));
    world.advance(HOUR);
    let opened = spent(world, 1).expect("it was not opened before");
    let expected =
        KeyRecord { link: Some(PortalLink { single_use: true, spent_at: Some(world.now) }), ..record.clone() };
    assert_eq!(opened, expected);
    assert!(opened.is_live(world.now) && !opened.can_be_opened(world.now), "its session lasts");
    world.advance(HOUR);
    assert_eq!(spent(world, 1), None);
    // Also in one transaction, and after a restart.
    let second = link(&acme, 2, DAY, world);
    made(world, &second);
    let both = world.commit(|transaction| {
        Ok([transaction.spend_portal_link(&[2; 32])?.is_some(), transaction.spend_portal_link(&[2; 32])?.is_some()])
    });
    assert_eq!(both, [true, false]);
    world.kill();
    assert_eq!(spent(world, 2), None);
    assert_eq!(world.store().key(record.id).expect("readable"), Some(expected), "it says when it was opened");
}

fn a_link_that_opens_often_opens_until_it_ends(world: &mut World) {
    let acme = world.partner("acme");
    let new = NewPortalLink { single_use: false, ..link(&acme, 1, DAY, world) };
    let record = made(world, &new);
    for _ in 0..3 {
        world.advance(HOUR);
        let opened = spent(world, 1).expect("it opens again and again");
        assert_eq!(opened.link, Some(PortalLink { single_use: false, spent_at: Some(world.now) }));
        assert!(opened.can_be_opened(world.now));
    }
    assert!(world.commit(|transaction| transaction.revoke_key(record.id)));
    assert_eq!(spent(world, 1), None);
}

fn what_has_ended_opens_nothing(world: &mut World) {
    let acme = world.partner("acme");
    let new = link(&acme, 1, HOUR, world);
    made(world, &new);
    let new = link(&acme, 2, DAY, world);
    let revoked = made(world, &new);
    assert!(world.commit(|transaction| transaction.revoke_key(revoked.id)));
    let key = NewKey {
        hash: [3; 32],
        prefix: "ph_3".to_owned(),
        role: Role::Partner,
        environment: Some(Environment::Production),
        partner: acme.partner.clone(),
        description: None,
        expires_at: None,
    };
    world.commit(|transaction| transaction.create_key(&key));
    world.advance(HOUR);
    for (number, why) in [(1, "expired"), (2, "revoked"), (3, "a key proper"), (4, "unknown")] {
        assert_eq!(spent(world, number), None, "{why}");
    }
    let key = world.store().key_by_hash(&[3; 32]).expect("readable").expect("it is there");
    assert!(key.is_live(world.now) && key.link.is_none() && !key.can_be_opened(world.now));
}

fn links_are_listed_by_whose_they_are(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let sandbox = Scope { environment: Environment::Sandbox, ..acme.clone() };
    let mut ids = Vec::new();
    for (number, scope) in [(1, &acme), (2, &other), (3, &sandbox), (4, &acme), (5, &acme)] {
        let new = link(scope, number, DAY, world);
        ids.push(made(world, &new).id);
    }
    assert_eq!(listed(world, &acme), [ids[4], ids[3], ids[2], ids[0]], "of both environments, newest first");
    assert_eq!(listed(world, &other), [ids[1]]);
    let partner = acme.partner.clone().expect("a partner's scope");
    let first = world.store().portal_links(&partner, &PageRequest { after: None, limit: 3 }).expect("readable");
    assert!(first.more && first.items.len() == 3);
    let rest = PageRequest { after: Some(first.items[2].id), limit: 3 };
    let rest = world.store().portal_links(&partner, &rest).expect("readable");
    assert!(!rest.more && rest.items.iter().map(|link| link.id).eq([ids[0]]));
    let nobody = "nobody".parse().expect("a name");
    let none = world.store().portal_links(&nobody, &PageRequest { after: None, limit: 3 }).expect("readable");
    assert_eq!(none.items, []);
}

fn links_that_ended_long_ago_are_forgotten(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    for number in 1..=15 {
        let new = link(&acme, number, HOUR, world);
        made(world, &new);
    }
    let new = link(&other, 16, HOUR, world);
    made(world, &new);
    let new = link(&acme, 17, 40 * DAY, world);
    let long = made(world, &new).id;
    world.advance(HOUR + LINKS_KEPT);
    assert_eq!(listed(world, &acme).len(), 16, "nobody has made another");
    let new = link(&acme, 18, HOUR, world);
    let late = made(world, &new).id;
    assert_eq!(listed(world, &acme).len(), 17, "to the moment is not yet longer ago");
    world.advance(HOUR);
    let new = link(&acme, 19, HOUR, world);
    let last = made(world, &new).id;
    assert_eq!(listed(world, &acme).len(), 8, "ten went, one came");
    let new = link(&acme, 20, HOUR, world);
    let newest = made(world, &new).id;
    assert_eq!(listed(world, &acme), [newest, last, late, long], "what has not ended long ago stays");
    assert_eq!(listed(world, &other).len(), 1, "another's go when that makes one");
}

fn an_erased_partners_links_open_nothing_and_go(world: &mut World) {
    let acme = world.partner("acme");
    let new = link(&acme, 1, DAY, world);
    let record = made(world, &new);
    let name = acme.partner.clone().expect("a partner's scope");
    world.commit(|transaction| transaction.begin_erasing(&name));
    assert_eq!(spent(world, 1), None);
    assert_eq!(listed(world, &acme), []);
    let ended = world.store().key(record.id).expect("readable").expect("it is not erased yet");
    assert!(!ended.is_live(world.now));
}
