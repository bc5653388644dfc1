//! What an event is found by, as numbers: a hash of whose it is, what is asked and the
//! value. Made with a secret of the store, so that nobody can make values that meet on
//! purpose, and an index that gets into wrong hands tells nothing of what is in it.

use std::borrow::Cow;
use std::hash::Hasher;

use serde_json::Value;
use siphasher::sip::SipHasher13;

use crate::domain::{FieldPointer, TypePattern};
use crate::store::ids::IdCodec;

/// Something that an event is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Term<'a> {
    /// Its type.
    Type(&'a str),
    /// Words that its type begins with, with the dot behind them.
    Below(&'a str),
    /// A value at a place in it.
    Field(&'a str, &'a str),
    /// The key it was posted with.
    IdempotencyKey(&'a str),
}

/// Among whose events it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Whose {
    /// Those of one scope.
    Scope(i64),
    /// Those of a whole environment.
    Environment(i64),
}

/// Makes the hashes of one store.
#[derive(Debug, Clone)]
pub(in crate::store) struct TermHasher(SipHasher13);

impl TermHasher {
    pub(in crate::store) fn of(ids: &IdCodec) -> Self {
        Self(ids.keyed_hasher())
    }

    pub(in crate::store) fn hash(&self, whose: Whose, term: Term<'_>) -> u64 {
        let mut hasher = self.0;
        // No id is made of something that begins so.
        hasher.write(b"term");
        let (kind, number) = match whose {
            Whose::Scope(number) => (0, number),
            Whose::Environment(number) => (1, number),
        };
        hasher.write_u8(kind);
        hasher.write_i64(number);
        let mut write = |kind: u8, texts: &[&str]| {
            hasher.write_u8(kind);
            for text in texts {
                hasher.write_u64(text.len() as u64);
                hasher.write(text.as_bytes());
            }
        };
        match term {
            Term::Type(name) => write(0, &[name]),
            Term::Below(prefix) => write(1, &[prefix]),
            Term::Field(pointer, value) => write(2, &[pointer, value]),
            Term::IdempotencyKey(key) => write(3, &[key]),
        }
        hasher.finish()
    }

    /// What an event of this scope is found by: each term among its own scope's events,
    /// and among all of the environment.
    pub(in crate::store) fn hashes_of(&self, scope: i64, terms: &[Term<'_>], mut take: impl FnMut(u64)) {
        for term in terms {
            take(self.hash(Whose::Scope(scope), *term));
            take(self.hash(Whose::Environment(scope & 1), *term));
        }
    }
}

/// The terms of a type's name: itself, and all that a pattern can say of it.
pub(in crate::store) fn of_type(name: &str) -> impl Iterator<Item = Term<'_>> {
    let below = name.match_indices('.').map(|(dot, _)| Term::Below(&name[..=dot]));
    std::iter::once(Term::Type(name)).chain(below)
}

/// The term of a pattern; `None` of one that nearly everything fits.
pub(in crate::store) fn of_pattern(pattern: &TypePattern) -> Option<Term<'_>> {
    match pattern {
        TypePattern::Any => None,
        TypePattern::Below(prefix) => Some(Term::Below(prefix)),
        TypePattern::Exactly(name) => Some(Term::Type(name.as_str())),
    }
}

/// A value as it is asked for; `None` where it is not one that is found. A number and a
/// string that read alike are found by the same text.
pub(in crate::store) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is at this place of an event, as it is asked for.
pub fn text_at<'a>(pointer: &FieldPointer, event: &'a Value) -> Option<Cow<'a, str>> {
    text_of(pointer.lead(event)?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_found_by_its_name_and_by_what_is_above_it() {
        let terms: Vec<Term<'_>> = of_type("a.b.c").collect();
        assert_eq!(terms, [Term::Type("a.b.c"), Term::Below("a."), Term::Below("a.b.")]);
        assert_eq!(of_type("a").collect::<Vec<_>>(), [Term::Type("a")]);
        for (pattern, covered) in [("a.*", true), ("a.b.*", true), ("a.b.c", true), ("a.b.c.*", false), ("b.*", false)]
        {
            let pattern: TypePattern = pattern.parse().expect("a pattern");
            let term = of_pattern(&pattern).expect("one that is indexed");
            assert_eq!(terms.contains(&term), covered, "{pattern}");
        }
        assert_eq!(of_pattern(&TypePattern::Any), None);
    }

    #[test]
    fn a_value_is_found_by_its_text() {
        for (value, text) in [
            (json!("cmp_1"), Some("cmp_1")),
            (json!(""), Some("")),
            (json!(7), Some("7")),
            (json!(-7), Some("-7")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(true), Some("true")),
            (json!(7.5), None),
            (json!(7.0), None),
            (json!(null), None),
            (json!([7]), None),
            (json!({}), None),
        ] {
            assert_eq!(text_of(&value).as_deref(), text, "{value}");
        }
    }

    #[test]
    fn what_is_not_the_same_question_has_another_hash() {
        let hasher = TermHasher::of(&IdCodec::new(&[7; 16]));
        let terms = [
            Term::Type("ab"),
            Term::Below("ab"),
            Term::IdempotencyKey("ab"),
            Term::Field("a", "b"),
            Term::Field("ab", ""),
            Term::Field("", "ab"),
        ];
        let whose = [Whose::Scope(0), Whose::Scope(1), Whose::Scope(5), Whose::Environment(0), Whose::Environment(1)];
        let hashes: HashSet<u64> = whose.iter().flat_map(|whose| terms.map(|term| hasher.hash(*whose, term))).collect();
        assert_eq!(hashes.len(), whose.len() * terms.len());
        let elsewhere = TermHasher::of(&IdCodec::new(&[8; 16]));
        assert_ne!(hasher.hash(whose[0], terms[0]), elsewhere.hash(whose[0], terms[0]));
    }

    proptest! {
        #[test]
        fn an_event_is_found_by_whoever_sees_it(scope in 0i64..1_000, name in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}") {
            let hasher = TermHasher::of(&IdCodec::new(&[7; 16]));
            let mut hashes = HashSet::new();
            hasher.hashes_of(scope, &of_type(&name).collect::<Vec<_>>(), |hash| {
                hashes.insert(hash);
            });
            for whose in [Whose::Scope(scope), Whose::Environment(scope % 2)] {
                prop_assert!(hashes.contains(&hasher.hash(whose, Term::Type(&name))));
            }
            prop_assert!(!hashes.contains(&hasher.hash(Whose::Environment(1 - scope % 2), Term::Type(&name))));
        }
    }
}
