//! What is sealed opens where it belongs and nowhere else, and no message tells a key.

use proptest::prelude::*;

use super::*;

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const OTHER: [u8; KEY_BYTES] = [8; KEY_BYTES];

fn item(id: &str, key: &[u8]) -> String {
    format!("{id}:{}", BASE64_STANDARD.encode(key))
}

fn ring(items: &[String]) -> Keyring {
    KeysText::Option(&items.join(",")).keyring().expect("the test's own keys are sound")
}

fn one() -> Keyring {
    ring(&[item("one", &KEY)])
}

fn header(name: &str) -> Binding<'_> {
    Binding::new(Purpose::Header(name), 4, 99)
}

#[test]
fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
    let keyring = one();
    let sealed = keyring.seal("Bearer s3cret", &header("authorization")).expect("there is randomness");
    assert!(sealed.starts_with("§sealed:v1:one:") && !sealed.contains("s3cret"), "{sealed}");
    assert_eq!(keyring.open(&sealed, &header("authorization")).expect("it is its own").as_str(), "Bearer s3cret");
    let elsewhere = [
        Binding::new(Purpose::Header("x-token"), 4, 99),
        Binding::new(Purpose::Header("authorization"), 5, 99),
        Binding::new(Purpose::Header("authorization"), 4, 98),
        Binding::new(Purpose::Header("authorization"), 99, 4),
        Binding::new(Purpose::SigningSecret, 4, 99),
        Binding::new(Purpose::ClientCertificateKey, 4, 99),
        Binding::CHECK,
    ];
    for binding in elsewhere {
        let refused = keyring.open(&sealed, &binding);
        assert!(matches!(refused, Err(KeyringError::DoesNotOpen(_))), "{binding:?}");
    }
}

#[test]
fn no_two_bindings_are_the_same_bytes() {
    let id: RingKeyId = "k".parse().expect("a name");
    let data = |name: &str| Binding::new(Purpose::Header(name), 1, 2).associated_data(&id);
    assert_ne!(data("a"), data("aa"));
    assert_ne!(data(""), Binding::new(Purpose::SigningSecret, 1, 2).associated_data(&id));
    let other: RingKeyId = "kh".parse().expect("a name");
    assert_ne!(data("a"), Binding::new(Purpose::Header("a"), 1, 2).associated_data(&other));
}

#[test]
fn the_same_text_is_sealed_differently_each_time() {
    let keyring = one();
    let seal = || keyring.seal("abc", &header("x-a")).expect("there is randomness");
    assert_ne!(seal(), seal());
}

#[test]
fn a_key_that_only_opens_opens_and_does_not_seal() {
    let sealed = one().seal("abc", &header("x-a")).expect("there is randomness");
    let both = ring(&[item("two", &OTHER), item("one", &KEY)]);
    assert_eq!(both.open(&sealed, &header("x-a")).expect("the key is there").as_str(), "abc");
    assert!(!both.is_current(&sealed).expect("it is sound"));
    let anew = both.seal("abc", &header("x-a")).expect("there is randomness");
    assert_eq!(sealed_with(&anew).expect("it is sound").expect("it is sealed").as_str(), "two");
    assert!(both.is_current(&anew).expect("it is sound"));
    let refused = one().open(&anew, &header("x-a")).expect_err("the key is not there");
    assert_eq!(refused, KeyringError::UnknownKey("two".parse().expect("a name")));
    assert!(refused.to_string().contains("`two`"));
}

#[test]
fn another_key_of_the_same_name_opens_nothing() {
    let keyring = one();
    let impostor = ring(&[item("one", &OTHER)]);
    let sealed = keyring.seal("abc", &header("x-a")).expect("there is randomness");
    assert!(matches!(impostor.open(&sealed, &header("x-a")), Err(KeyringError::DoesNotOpen(_))));
    let (id, check) = keyring.check_value().expect("there is randomness").expect("a key seals");
    assert_eq!(id.as_str(), "one");
    assert!(keyring.is_the_key_of(&check).expect("it is sound"));
    assert!(!impostor.is_the_key_of(&check).expect("it is sound"));
    assert!(matches!(Keyring::clear().is_the_key_of(&check), Err(KeyringError::UnknownKey(_))));
}

#[test]
fn what_was_never_sealed_is_read_as_it_is() {
    for plain in ["", "whsec_abc", "sealed:v1:one:abc", "clear:abc", "-----BEGIN PRIVATE KEY-----\n"] {
        assert_eq!(one().open(plain, &header("x-a")).expect("it stands as it is").as_str(), plain);
        assert_eq!(sealed_with(plain), Ok(None));
        assert!(!one().is_current(plain).expect("it stands as it is"));
        assert!(Keyring::clear().is_current(plain).expect("it stands as it is"));
    }
}

#[test]
fn without_a_key_nothing_is_sealed_and_nothing_is_taken_for_sealed() {
    let clear = Keyring::clear();
    let forged = one().seal("abc", &header("x-a")).expect("there is randomness");
    for plain in ["abc", "§", "§clear:abc", forged.as_str()] {
        let stored = clear.seal(plain, &header("x-a")).expect("nothing is drawn");
        assert_eq!(sealed_with(&stored), Ok(None), "{plain}");
        for keyring in [&clear, &one()] {
            assert_eq!(keyring.open(&stored, &header("x-a")).expect("it stands as it is").as_str(), plain);
        }
    }
    assert_eq!(clear.check_value(), Ok(None));
    let opening = ring(&[CLEAR.to_owned(), item("one", &KEY)]);
    assert_eq!(opening.current(), None);
    assert_eq!(opening.open(&forged, &header("x-a")).expect("the key is there").as_str(), "abc");
    assert!(!opening.is_current(&forged).expect("it is sound"));
    assert_eq!(ring(&[CLEAR.to_owned()]).ids().count(), 0);
}

#[test]
fn what_is_damaged_is_refused() {
    let keyring = one();
    for stored in ["§", "§sealed:", "§sealed:v2:one:AAAA", "§sealed:v1:one", "§sealed:v1:ONE:AAAA", "§sealed:v1:one:*"]
    {
        assert!(matches!(keyring.open(stored, &header("x-a")), Err(KeyringError::Damaged(_))), "{stored}");
    }
    for encoded in ["", "AAAA"] {
        let refused = keyring.open(&format!("§sealed:v1:one:{encoded}"), &header("x-a"));
        assert!(matches!(refused, Err(KeyringError::Damaged(_))), "{encoded}");
    }
    // A nonce and nothing behind it.
    let nonce_only = format!("§sealed:v1:one:{}", BASE64_STANDARD.encode([0; NONCE_BYTES]));
    assert!(matches!(keyring.open(&nonce_only, &header("x-a")), Err(KeyringError::DoesNotOpen(_))));
}

#[test]
fn keys_that_cannot_be_used_are_refused_without_being_repeated() {
    let (key, long) = (BASE64_STANDARD.encode(KEY), BASE64_STANDARD.encode([9; 33]));
    let id = |text: &str| -> RingKeyId { text.parse().expect("a name") };
    let (first, second) = (Place::Item(1), Place::Item(2));
    let cases = [
        (String::new(), KeysProblem::Empty),
        (" , ".to_owned(), KeysProblem::Empty),
        (key.clone(), KeysProblem::NotAKey(first)),
        (format!(":{key}"), KeysProblem::Id(first, RingKeyIdProblem)),
        (format!("Key:{key}"), KeysProblem::Id(first, RingKeyIdProblem)),
        (format!("clear:{key}"), KeysProblem::Id(first, RingKeyIdProblem)),
        (format!("{}:{key}", "k".repeat(33)), KeysProblem::Id(first, RingKeyIdProblem)),
        (format!("{key}:one"), KeysProblem::Id(first, RingKeyIdProblem)),
        (format!("one:{key}!"), KeysProblem::Base64(first, id("one"))),
        (format!("one:{}", key.trim_end_matches('=')), KeysProblem::Base64(first, id("one"))),
        (format!("one:{long}"), KeysProblem::Length { place: first, id: id("one"), found: 33 }),
        ("one:".to_owned(), KeysProblem::Length { place: first, id: id("one"), found: 0 }),
        (format!("one:{key},one:{key}"), KeysProblem::Twice(second, id("one"))),
        (format!("one:{key},clear"), KeysProblem::ClearNotFirst(second)),
    ];
    for (text, expected) in cases {
        let refused = KeysText::Option(&text).keyring().expect_err(&text);
        assert_eq!(refused, expected, "{text}");
        let told = refused.to_string();
        assert!(!told.contains(&key) && !told.contains(&long), "{told}");
    }
    assert!(KeysText::Option(&format!("a:{key}, b-_9:{key} ,")).keyring().is_ok());
}

#[test]
fn a_ring_shows_the_names_of_its_keys_and_nothing_else() {
    let shown = format!("{:?}", ring(&[item("one", &KEY), item("two", &OTHER)]));
    assert!(shown.contains("one") && shown.contains("two"), "{shown}");
    assert!(!shown.contains('7') && !shown.contains("Bwc"), "{shown}");
}

proptest! {
    #[test]
    fn any_text_comes_back(plain in ".*", tenant: i64, endpoint: i64, is_clear: bool) {
        let keyring = if is_clear { Keyring::clear() } else { one() };
        let binding = Binding::new(Purpose::ClientCertificateKey, tenant, endpoint);
        let stored = keyring.seal(&plain, &binding).expect("there is randomness");
        let opened = keyring.open(&stored, &binding).expect("it is its own");
        prop_assert_eq!(opened.as_str(), plain);
        prop_assert!(keyring.is_current(&stored).expect("it is sound"));
    }

    #[test]
    fn a_bit_that_was_changed_is_found(byte: prop::sample::Index, bit in 0..8u8) {
        let keyring = one();
        let sealed = keyring.seal("Bearer s3cret", &header("x-a")).expect("there is randomness");
        let encoded = sealed.strip_prefix("§sealed:v1:one:").expect("it is sealed");
        let mut bytes = BASE64_STANDARD.decode(encoded).expect("it is base64");
        let place = byte.index(bytes.len());
        bytes[place] ^= 1u8 << bit;
        let changed = format!("§sealed:v1:one:{}", BASE64_STANDARD.encode(&bytes));
        prop_assert!(matches!(keyring.open(&changed, &header("x-a")), Err(KeyringError::DoesNotOpen(_))));
    }
}
