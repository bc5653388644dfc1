//! Rotations: how many secrets may sign at once, and an endpoint that signs in
//! another way from then on.

use std::time::Duration;

use posthaste::domain::{EndpointId, MAX_SECRETS, Signing, Timestamp};
use posthaste::store::{Rotation, RotationConflict, Scope};

use super::world::{HOUR, SECOND, START, World, new_endpoint, rotation, settings};

for_every_backend! {
    one_secret_too_many_is_refused_until_the_first_ends
    a_rotation_without_overlap_always_works
    a_rotation_to_another_way_of_signing_is_a_version
    a_rotation_made_for_another_way_of_signing_is_refused
}

/// What signs, newest first, and until when.
fn live(world: &World, endpoint: EndpointId) -> Vec<(String, Option<Timestamp>)> {
    let secrets = world.store().endpoint_secrets(endpoint, world.now).expect("readable");
    secrets.into_iter().map(|secret| (secret.secret, secret.expires_at)).collect()
}

/// An endpoint with as many secrets as may be: the first ends after an hour, each later
/// one an hour after the one before it.
fn full(world: &mut World) -> (Scope, EndpointId) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    for number in 1..MAX_SECRETS as u32 {
        world.rotate(&rotation(&acme, endpoint, &format!("secret {number}"), number * HOUR));
    }
    assert_eq!(live(world, endpoint).len(), MAX_SECRETS);
    (acme, endpoint)
}

fn one_secret_too_many_is_refused_until_the_first_ends(world: &mut World) {
    let (acme, endpoint) = full(world);
    let before = live(world, endpoint);
    let sixth = rotation(&acme, endpoint, "sixth", 24 * HOUR);
    let first_ends = START + HOUR;
    assert_eq!(before.last().expect("five").1, Some(first_ends), "a longer overlap lengthens nothing");
    assert_eq!(world.try_rotate(&sixth), Err(RotationConflict::TooMany { until: first_ends }));
    assert_eq!(world.notices.len(), 0);
    world.advance(HOUR - SECOND);
    assert_eq!(world.try_rotate(&sixth), Err(RotationConflict::TooMany { until: first_ends }));
    assert_eq!(live(world, endpoint), before, "what was refused changed nothing");
    world.advance(SECOND);
    world.rotate(&sixth);
    let after = live(world, endpoint);
    assert_eq!((after.len(), after[0].clone()), (MAX_SECRETS, ("sixth".to_owned(), None)));
}

fn a_rotation_without_overlap_always_works(world: &mut World) {
    let (acme, endpoint) = full(world);
    world.rotate(&rotation(&acme, endpoint, "after a leak", Duration::ZERO));
    assert_eq!(live(world, endpoint), [("after a leak".to_owned(), None)]);
    // There is room again.
    world.rotate(&rotation(&acme, endpoint, "next", HOUR));
    assert_eq!(live(world, endpoint).len(), 2);
}

fn a_rotation_to_another_way_of_signing_is_a_version(world: &mut World) {
    let acme = world.partner("acme");
    let made = world.endpoint(&acme, "one", &["*"]);
    let wanted = world.subscriptions(&acme);
    world.advance(HOUR);
    let to_pairs = Rotation { signing: Signing::V1a, ..rotation(&acme, made.id, "pair", HOUR) };
    world.rotate(&to_pairs);
    assert_eq!(world.notices.len(), 1);
    let found = world.store().endpoint(&acme, made.id).expect("readable").expect("it is there");
    let mut expected = made.clone();
    expected.settings.signing = Signing::V1a;
    (expected.version, expected.updated_at) = (2, world.now);
    assert_eq!(found, expected, "nothing else of it changed");
    let runtime = world.store().endpoint_runtime(made.id, world.now).expect("readable").expect("it is there");
    assert_eq!(runtime.settings.signing, Signing::V1a);
    let old = "whsec_https://example.com/one".to_owned();
    assert_eq!(live(world, made.id), [("pair".to_owned(), None), (old, Some(world.now + HOUR))]);
    world.kill();
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(found));
    assert_eq!(world.subscriptions(&acme).len(), wanted.len());

    // A rotation that stays with it is no version.
    let same = Rotation { from_signing: Signing::V1a, ..to_pairs };
    assert_eq!(world.try_rotate(&same), Err(RotationConflict::SignsAlready));
    let same = Rotation { secret: "another".to_owned(), ..same };
    world.rotate(&same);
    let found = world.store().endpoint(&acme, made.id).expect("readable").expect("it is there");
    assert_eq!((found.version, found.settings.signing), (2, Signing::V1a));

    // A change that was made from the version before it looks again, and keeps it.
    let changed = world.change(&acme, made.id, |settings| settings.max_concurrency = 3);
    assert_eq!((changed.version, changed.settings.signing), (3, Signing::V1a));

    let mut own = settings("two", &["*"]);
    own.signing = Signing::V1a;
    let second = world.commit(|transaction| transaction.create_endpoint(&new_endpoint(&acme, own.clone())));
    assert_eq!(second.expect("nothing stands against it").settings, own);
}

fn a_rotation_made_for_another_way_of_signing_is_refused(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let stale = rotation(&acme, endpoint, "shared", HOUR);
    world.rotate(&Rotation { signing: Signing::V1a, ..rotation(&acme, endpoint, "pair", HOUR) });
    let before = live(world, endpoint);
    assert_eq!(world.try_rotate(&stale), Err(RotationConflict::Outdated), "it would have gone back silently");
    assert_eq!((live(world, endpoint), world.notices.len()), (before, 0));
    let found = world.store().endpoint(&acme, endpoint).expect("readable").expect("it is there");
    assert_eq!((found.version, found.settings.signing), (2, Signing::V1a));
}
