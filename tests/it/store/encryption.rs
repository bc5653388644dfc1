//! Secrets at rest: sealed where they are stored, opened where they are read, bound to
//! their place, and sealed anew without ever being lost.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use posthaste::domain::{ClientCertificate, DisabledReason, Endpoint, EndpointSettings, Header, PrivateKey};
use posthaste::keyring::{Keyring, KeysText};
use posthaste::store::{EncryptedPlace, EncryptionCounts, PageRequest, ReencryptedSlice, Scope, StoreError};

use super::world::{HOUR, World, new_endpoint, rotation, settings};

for_every_backend! {
    secrets_are_sealed_where_they_are_stored
    what_needs_no_secret_opens_none
    a_value_that_was_moved_does_not_open
    keys_that_do_not_fit_are_turned_away
    everything_is_sealed_anew_in_slices
    a_key_that_seals_nothing_is_released
    what_looks_like_a_sealed_value_is_none
    sealing_ends_with_clear_in_front
    a_value_that_does_not_open_keeps_no_other_from_being_sealed
    the_key_of_a_client_certificate_is_sealed
}

const TOKEN: &str = "Bearer a-token-that-nobody-sees";
const SECRET: &str = "whsec_a-secret-that-nobody-sees";

/// Keys by their names; each name has a key of its own.
pub fn ring(names: &[&str]) -> Keyring {
    let key = |name: &&str| match *name {
        "clear" => "clear".to_owned(),
        name => format!("{name}:{}=", name[..1].repeat(42) + "A"),
    };
    let text = names.iter().map(key).collect::<Vec<String>>().join(",");
    KeysText::Option(&text).keyring().expect("a case's own keys")
}

/// Settings with a secret in a header.
fn guarded(word: &str) -> EndpointSettings {
    EndpointSettings {
        headers: vec![Header::new("authorization", TOKEN).expect("plain"), Header::new("x-a", "b").expect("plain")],
        ..settings(word, &["*"])
    }
}

/// An endpoint with a secret in a header, and one that signs.
#[track_caller]
fn endpoint(world: &mut World, scope: &Scope, word: &str) -> Endpoint {
    let mut new = new_endpoint(scope, guarded(word));
    new.secret = SECRET.to_owned();
    world.commit(|transaction| transaction.create_endpoint(&new)).expect("nothing stands against it")
}

/// All that is stored of settings and secrets.
fn stored(world: &World) -> Vec<String> {
    let mut texts = world.place().texts("endpoint_versions", "settings");
    texts.extend(world.place().texts("endpoint_secrets", "secret"));
    texts
}

#[track_caller]
fn shows(world: &World, text: &str) -> bool {
    let texts = stored(world);
    assert!(!texts.is_empty());
    texts.iter().any(|stored| stored.contains(text))
}

/// It reads as it was made, by every way that there is.
#[track_caller]
fn reads_as_made(world: &World, scope: &Scope, made: &Endpoint) {
    let store = world.store();
    assert_eq!(store.endpoint(scope, made.id).expect("readable").as_ref(), Some(made));
    let all = store.endpoints(scope, &PageRequest { after: None, limit: 100 }).expect("readable");
    assert!(all.items.contains(made));
    let runtime = store.endpoint_runtime(made.id, world.now).expect("readable").expect("it is there");
    assert_eq!(runtime.settings, made.settings);
    assert!(runtime.secrets.iter().any(|secret| secret.secret == SECRET));
    assert!(store.endpoint_secrets(made.id, world.now).expect("readable") == runtime.secrets);
}

#[track_caller]
fn counts(world: &World) -> EncryptionCounts {
    let (mut counts, mut after) = (EncryptionCounts::default(), None);
    loop {
        let (some, next) = world.store().encryption_counts(after, 2).expect("readable");
        counts.add(some);
        match next {
            Some(next) => after = Some(next),
            None => return counts,
        }
    }
}

/// So many values as they are, and so many by each key.
#[track_caller]
fn assert_counts(world: &World, clear: u64, by_key: &[(&str, u64)]) {
    let found = counts(world);
    let keys: Vec<(&str, u64)> = found.by_key.iter().map(|(key, count)| (key.as_str(), *count)).collect();
    assert_eq!((found.clear, keys.as_slice()), (clear, by_key));
}

#[track_caller]
fn reencrypt(world: &mut World, after: Option<EncryptedPlace>, limit: usize) -> ReencryptedSlice {
    world.commit(|transaction| transaction.reencrypt(after, limit))
}

#[track_caller]
fn reencrypt_all(world: &mut World) -> usize {
    let all = reencrypt(world, None, 1_000);
    assert_eq!((all.unreadable, all.next), (0, None));
    all.values
}

#[track_caller]
fn release(world: &mut World) -> Vec<String> {
    let released = world.commit(|transaction| transaction.release_unused_keys());
    released.iter().map(ToString::to_string).collect()
}

fn noted(world: &World) -> Vec<String> {
    world.store().noted_keys().expect("readable").iter().map(ToString::to_string).collect()
}

fn secrets_are_sealed_where_they_are_stored(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed yet");
    let acme = world.partner("acme");
    let made = endpoint(world, &acme, "a");
    reads_as_made(world, &acme, &made);
    let changed = world.change(&acme, made.id, |settings| settings.description = Some("new".into()));
    reads_as_made(world, &acme, &changed);
    assert!(!shows(world, "a-token-that-nobody-sees") && !shows(world, SECRET));
    assert!(shows(world, "authorization") && shows(world, "https://example.com/a"), "what is no secret stays readable");

    // What is written by the way is sealed as well.
    let rotated = "whsec_the-next-one";
    world.rotate(&rotation(&acme, made.id, rotated, HOUR));
    assert!(world.commit(|transaction| transaction.disable_endpoint(made.id, DisabledReason::Gone, None)));
    let secrets = world.store().endpoint_secrets(made.id, world.now).expect("readable");
    let secrets: Vec<&str> = secrets.iter().map(|secret| secret.secret.as_str()).collect();
    assert_eq!(secrets, [rotated, SECRET]);
    let disabled = world.store().endpoint(&acme, made.id).expect("readable").expect("it is there");
    assert_eq!(disabled.settings, EndpointSettings { enabled: false, ..changed.settings });
    assert!(!shows(world, "a-token-that-nobody-sees") && !shows(world, SECRET) && !shows(world, rotated));
    // Two headers in three versions, and two secrets.
    assert_counts(world, 0, &[("one", 8)]);
    world.reopen_with(ring(&["one"])).expect("it is its key");
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(disabled));
}

fn what_needs_no_secret_opens_none(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed yet");
    let acme = world.partner("acme");
    endpoint(world, &acme, "a");
    world.place().execute("UPDATE endpoint_versions SET settings = replace(settings, 'sealed:v1', 'sealed:v9')");
    let event = world.accept(&acme, "order.paid");
    assert_eq!(world.deliveries_of(&acme, event.id).len(), 1, "it is matched");
    let event = world.store().event(&acme, event.id).expect("readable").expect("it is there");
    assert_eq!(
        world.store().event_outcomes(&acme, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable").len(),
        1
    );
}

fn a_value_that_was_moved_does_not_open(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed yet");
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let mine = endpoint(world, &acme, "a");
    let swap = "CREATE TABLE held AS SELECT endpoint, COLUMN AS text FROM OF_ALL;
                UPDATE OF_ALL SET COLUMN = (SELECT held.text FROM held WHERE held.endpoint <> OF_ALL.endpoint);
                DROP TABLE held";
    for (table, column) in [("endpoint_secrets", "secret"), ("endpoint_versions", "settings")] {
        // Of another endpoint of the same partner, and of another partner's.
        for scope in [&acme, &other] {
            let theirs = endpoint(world, scope, "b");
            reads_as_made(world, scope, &theirs);
            let swap = swap.replace("OF_ALL", table).replace("COLUMN", column);
            // Both at once, and back again.
            world.place().execute(&swap);
            for id in [mine.id, theirs.id] {
                let refused = world.store().endpoint_runtime(id, world.now);
                assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{table}: {refused:?}");
                let text = refused.expect_err("it was moved").to_string();
                assert!(text.contains("`one`") && !text.contains("§"), "{text}");
            }
            world.place().execute(&swap);
            reads_as_made(world, &acme, &mine);
            world.delete(scope, theirs.id);
            let of_deleted = "endpoint IN (SELECT id FROM endpoints WHERE deleted_at IS NOT NULL)";
            world.place().execute(&format!("DELETE FROM endpoint_versions WHERE {of_deleted}"));
        }
    }
    // Headers of one endpoint do not take each other's place.
    world.place().execute("UPDATE endpoint_versions SET settings = replace(settings, 'x-a', 'x-b')");
    let refused = world.store().endpoint(&acme, mine.id);
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    world.close();
}

#[track_caller]
fn turned_away(world: &mut World, names: &[&str]) -> String {
    reason(world.reopen_with(ring(names)))
}

#[track_caller]
fn reason(refused: Result<(), StoreError>) -> String {
    match refused {
        Err(StoreError::Configuration(reason)) => reason,
        other => panic!("not turned away: {other:?}"),
    }
}

fn keys_that_do_not_fit_are_turned_away(world: &mut World) {
    // As long as nothing is sealed there is nothing to fit.
    assert_eq!(noted(world), [""; 0]);
    world.reopen_with(ring(&["clear", "one"])).expect("nothing is sealed");
    let acme = world.partner("acme");
    let made = endpoint(world, &acme, "a");
    assert!(shows(world, TOKEN) && noted(world).is_empty());
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    reads_as_made(world, &acme, &made);
    assert_eq!(noted(world), ["one"], "before anything is sealed with it");

    for names in [&["two"][..], &["clear"], &["clear", "two"], &["two", "three"]] {
        let reason = turned_away(world, names);
        assert!(reason.contains("`one`") && reason.contains("encryption_keys"), "{reason}");
    }
    let impostor = KeysText::Option(&format!("one:{}=", "z".repeat(42) + "A")).keyring().expect("a key");
    let reason = reason(world.reopen_with(impostor));
    assert!(reason.contains("`one`") && reason.contains("is not the one"), "{reason}");
    // Whoever was turned away has left nothing behind.
    for names in [&["one"][..], &["two", "one"], &["clear", "two", "one"]] {
        world.reopen_with(ring(names)).expect("its key is among them");
        reads_as_made(world, &acme, &made);
    }
    assert_eq!(noted(world), ["one", "two"]);
}

fn everything_is_sealed_anew_in_slices(world: &mut World) {
    let acme = world.partner("acme");
    let kept = endpoint(world, &acme, "kept");
    let kept = world.change(&acme, kept.id, |settings| settings.description = Some("second".into()));
    let gone = endpoint(world, &acme, "gone");
    world.delete(&acme, gone.id);
    let last = endpoint(world, &acme, "last");
    // Two headers in four versions, and the secrets of those that are left.
    assert_counts(world, 10, &[]);
    world.reopen_with(ring(&["two", "one"])).expect("nothing is sealed");
    let (mut after, mut values, mut slices) = (None, 0, 0);
    loop {
        let slice = reencrypt(world, after, 1);
        (values, slices) = (values + slice.values, slices + 1);
        // Whatever ends it here, all of it reads as it was.
        for made in [&kept, &last] {
            reads_as_made(world, &acme, made);
        }
        if slices == 3 {
            // What is changed meanwhile is not undone.
            world.rotate(&rotation(&acme, last.id, "whsec_new", HOUR));
            world.kill_with(ring(&["two", "one"]));
        }
        match slice.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(values, 10);
    assert_eq!(slices, 8, "four versions, three secrets, and a look that finds no more");
    let secrets = world.store().endpoint_secrets(last.id, world.now).expect("readable");
    assert_eq!(secrets.iter().map(|secret| secret.secret.as_str()).collect::<Vec<_>>(), ["whsec_new", SECRET]);
    assert!(!shows(world, "a-token-that-nobody-sees") && !shows(world, SECRET));
    assert_counts(world, 0, &[("two", 11)]);
    assert_eq!(reencrypt_all(world), 0, "there is nothing left to do");
}

fn a_key_that_seals_nothing_is_released(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    let acme = world.partner("acme");
    let made = endpoint(world, &acme, "a");
    assert_eq!(release(world), [""; 0], "the current one stays");
    world.reopen_with(ring(&["two", "one"])).expect("its key is among them");
    let other = endpoint(world, &acme, "b");
    assert_counts(world, 0, &[("one", 3), ("two", 3)]);
    assert_eq!(release(world), [""; 0], "it seals something");
    assert_eq!(reencrypt_all(world), 3);
    assert_eq!(release(world), ["one"]);
    assert_eq!(noted(world), ["two"]);
    world.reopen_with(ring(&["two"])).expect("the old one is needed no more");
    for made in [&made, &other] {
        reads_as_made(world, &acme, made);
    }
}

fn what_looks_like_a_sealed_value_is_none(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    let acme = world.partner("acme");
    let mut described = guarded("a");
    described.description = Some("§sealed:v1:one:AAAA".into());
    let new = new_endpoint(&acme, described);
    let made = world.commit(|transaction| transaction.create_endpoint(&new)).expect("nothing stands against it");
    world.reopen_with(ring(&["two", "one"])).expect("its key is among them");
    assert_eq!(reencrypt_all(world), 3);
    assert_eq!(release(world), ["one"], "a description is no value");
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(made));
}

fn sealing_ends_with_clear_in_front(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    let acme = world.partner("acme");
    let made = endpoint(world, &acme, "a");
    world.reopen_with(ring(&["clear", "one"])).expect("its key is among them");
    reads_as_made(world, &acme, &made);
    assert_eq!(reencrypt_all(world), 3);
    assert!(shows(world, TOKEN) && shows(world, SECRET));
    assert_eq!(release(world), ["one"]);
    world.reopen_with(Keyring::clear()).expect("nothing is sealed any more");
    reads_as_made(world, &acme, &made);
}

fn a_value_that_does_not_open_keeps_no_other_from_being_sealed(world: &mut World) {
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    let acme = world.partner("acme");
    endpoint(world, &acme, "a");
    // The secret of nobody, in the row of the first; the second is whole.
    world.place().execute("UPDATE endpoint_secrets SET secret = '§sealed:v1:one:AAAA'");
    let whole = endpoint(world, &acme, "b");
    world.reopen_with(ring(&["two", "one"])).expect("its key is among them");
    let all = reencrypt(world, None, 1_000);
    assert_eq!((all.values, all.unreadable, all.next), (5, 1, None));
    reads_as_made(world, &acme, &whole);
    assert_counts(world, 0, &[("one", 1), ("two", 5)]);
    assert_eq!(release(world), [""; 0], "it may open again one day");
}

fn the_key_of_a_client_certificate_is_sealed(world: &mut World) {
    const KEY: &[u8] = b"a key that nobody sees";
    world.reopen_with(ring(&["one"])).expect("nothing is sealed yet");
    let acme = world.partner("acme");
    let made = endpoint(world, &acme, "a");
    let certificate = ClientCertificate {
        chain: vec![vec![1, 2, 3]],
        key: PrivateKey::new(KEY.to_vec()),
        sha256: [7; 32],
        subject: Some("CN=acme".to_owned()),
        not_after: world.now + HOUR,
    };
    let changed =
        world.change(&acme, made.id, |settings| settings.client_certificate = Some(Arc::new(certificate.clone())));
    reads_as_made(world, &acme, &changed);
    assert!(shows(world, "CN=acme") && !shows(world, &BASE64_STANDARD.encode(KEY)));
    // Two versions with two headers each, a secret, and the key.
    assert_counts(world, 0, &[("one", 6)]);
    world.reopen_with(ring(&["two", "one"])).expect("both are there");
    assert_eq!(reencrypt_all(world), 6);
    reads_as_made(world, &acme, &changed);
    assert_counts(world, 0, &[("two", 6)]);
}
