//! Whether a changed schema suits those who wrote against the old one: whose events would
//! be refused that were not, and what receivers may get that they could not. It compares
//! keyword by keyword, and says of what it cannot compare that it cannot. Nothing is
//! forbidden here: people decide. Pure.

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::catalog::explain::short;
use crate::catalog::{DefinitionError, FieldError, TypeDefinition, body, explain, pointer_below};

/// Most breaks that are told.
const BREAKS_MAX: usize = 50;
/// Deeper than any schema that is taken.
const DEPTH_MAX: usize = 64;
/// Values that are named of a list.
const NAMED_MAX: usize = 5;

/// Something that somebody may have to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where in the new schema.
    pub pointer: String,
    /// What is other than before.
    pub detail: String,
    /// Who has to look.
    pub whom: Whom,
}

/// Whom a change may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Those who post: what was accepted is refused.
    Producers,
    /// Those who receive: what could not come may come, or what always came may not.
    Receivers,
    /// One of them or both: this cannot be told by comparing.
    Either,
}

impl Whom {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producers => "producers",
            Self::Receivers => "receivers",
            Self::Either => "either",
        }
    }
}

/// What of a new schema may break somebody who wrote against the old one, in the order of
/// the schema; the first 50.
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    let mut found = Found(Vec::new());
    found.compare(old, new, "", 0);
    found.0.truncate(BREAKS_MAX);
    found.0
}

/// A definition that is tried on events that there are.
pub struct Trial(Validator);

impl Trial {
    /// Of one that was [checked](TypeDefinition::checked).
    pub fn of(definition: &TypeDefinition) -> Result<Self, DefinitionError> {
        definition.validator().map(Self)
    }

    /// What it would refuse this event for; `None` where it would take it.
    pub fn objections(&self, event: &[u8]) -> Option<Vec<FieldError>> {
        match body::read(event) {
            Err(refusal) => Some(vec![FieldError { pointer: String::new(), detail: refusal.to_string() }]),
            Ok(event) if self.0.is_valid(&event) => None,
            Ok(event) => Some(explain::errors(&self.0, &event)),
        }
    }
}

/// Which way a bound narrows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrows {
    Upwards,
    Downwards,
}

/// Bounds, and which way each narrows.
const BOUNDS: [(&str, Narrows); 10] = [
    ("minimum", Narrows::Upwards),
    ("exclusiveMinimum", Narrows::Upwards),
    ("minLength", Narrows::Upwards),
    ("minItems", Narrows::Upwards),
    ("minProperties", Narrows::Upwards),
    ("maximum", Narrows::Downwards),
    ("exclusiveMaximum", Narrows::Downwards),
    ("maxLength", Narrows::Downwards),
    ("maxItems", Narrows::Downwards),
    ("maxProperties", Narrows::Downwards),
];

/// Keywords that are compared, or say nothing of what is valid. All others are only found
/// to be the same or not.
const UNDERSTOOD: [&str; 12] = [
    "type",
    "const",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "title",
    "description",
    "examples",
    "default",
    "$comment",
];

struct Found(Vec<Break>);

impl Found {
    fn note(&mut self, whom: Whom, pointer: String, detail: String) {
        self.0.push(Break { pointer, detail, whom });
    }

    fn compare(&mut self, old: &Value, new: &Value, at: &str, depth: usize) {
        if old == new || depth > DEPTH_MAX || self.0.len() >= BREAKS_MAX {
            return;
        }
        let (Value::Object(before), Value::Object(after)) = (old, new) else {
            // `true` is a schema as well, of anything; `false` is of nothing.
            match (old, new) {
                (_, Value::Bool(false)) => {
                    self.note(Whom::Producers, at.to_owned(), "nothing is accepted here any more".to_owned())
                }
                (Value::Bool(true), Value::Object(_)) => self.compare(&Value::Object(Map::new()), new, at, depth + 1),
                (Value::Object(_), Value::Bool(true)) => self.compare(old, &Value::Object(Map::new()), at, depth + 1),
                _ => self.note(Whom::Receivers, at.to_owned(), "something may come where nothing could".to_owned()),
            }
            return;
        };
        self.types(before, after, at);
        self.values(before, after, at);
        self.required(before, after, at);
        self.properties(before, after, at, depth);
        match (before.get("items"), after.get("items")) {
            (None, None) => {}
            (old, new) => {
                let anything = Value::Bool(true);
                let (old, new) = (old.unwrap_or(&anything), new.unwrap_or(&anything));
                self.compare(old, new, &format!("{at}/items"), depth + 1);
            }
        }
        for (keyword, narrows) in BOUNDS {
            self.bound(before, after, at, keyword, narrows);
        }
        self.the_rest(before, after, at);
    }

    fn types(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &str) {
        let (old, new) = (types_of(before), types_of(after));
        let pointer = format!("{at}/type");
        match (old, new) {
            (None, Some(new)) => self.note(Whom::Producers, pointer, format!("must be {} now", new.join(" or "))),
            (Some(old), None) => {
                self.note(Whom::Receivers, pointer, format!("was {}, and may be anything now", old.join(" or ")))
            }
            (Some(old), Some(new)) => {
                let lost = not_among(&old, &new);
                if !lost.is_empty() {
                    self.note(Whom::Producers, pointer.clone(), format!("may not be {} any more", lost.join(" or ")));
                }
                let gained = not_among(&new, &old);
                if !gained.is_empty() {
                    self.note(Whom::Receivers, pointer, format!("may be {} as well", gained.join(" or ")));
                }
            }
            (None, None) => {}
        }
    }

    fn values(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &str) {
        let pointer = format!(
            "{at}/{}",
            if after.contains_key("const") || before.contains_key("const") { "const" } else { "enum" }
        );
        match (values_of(before), values_of(after)) {
            (None, Some(new)) => self.note(Whom::Producers, pointer, format!("must be {} now", named(&new))),
            (Some(old), None) => {
                self.note(Whom::Receivers, pointer, format!("was {}, and may be something else now", named(&old)))
            }
            (Some(old), Some(new)) => {
                let lost: Vec<&Value> = old.iter().copied().filter(|value| !new.contains(value)).collect();
                if !lost.is_empty() {
                    self.note(Whom::Producers, pointer.clone(), format!("may not be {} any more", named(&lost)));
                }
                let gained: Vec<&Value> = new.iter().copied().filter(|value| !old.contains(value)).collect();
                if !gained.is_empty() {
                    self.note(Whom::Receivers, pointer, format!("may be {} as well", named(&gained)));
                }
            }
            (None, None) => {}
        }
    }

    fn required(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &str) {
        let (old, new) = (words(before.get("required")), words(after.get("required")));
        for name in new.iter().filter(|name| !old.contains(name)) {
            self.note(Whom::Producers, format!("{at}/required"), format!("`{}` is required now", short(name)));
        }
        for name in old.iter().filter(|name| !new.contains(name)) {
            self.note(Whom::Receivers, format!("{at}/required"), format!("`{}` may be missing now", short(name)));
        }
    }

    fn properties(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &str, depth: usize) {
        let none = Map::new();
        let fields = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
        let (old, new) = (fields(before).unwrap_or_else(|| none.clone()), fields(after).unwrap_or(none));
        let is_closed = |schema: &Map<String, Value>| schema.get("additionalProperties") == Some(&Value::Bool(false));
        if is_closed(after) && !is_closed(before) {
            self.note(
                Whom::Producers,
                format!("{at}/additionalProperties"),
                "fields that are not named are refused now".to_owned(),
            );
        } else if before.get("additionalProperties").is_some_and(Value::is_object)
            || after.get("additionalProperties").is_some_and(Value::is_object)
        {
            let anything = Value::Bool(true);
            let of = |schema: &Map<String, Value>| schema.get("additionalProperties").unwrap_or(&anything).clone();
            self.compare(&of(before), &of(after), &format!("{at}/additionalProperties"), depth + 1);
        }
        for (name, field) in &old {
            let pointer = pointer_below(&format!("{at}/properties"), name);
            match new.get(name) {
                Some(now) => self.compare(field, now, &pointer, depth + 1),
                None if is_closed(after) => {
                    self.note(Whom::Producers, pointer, format!("`{}` is refused now", short(name)))
                }
                None => self.note(
                    Whom::Receivers,
                    pointer,
                    format!("`{}` is not described any more, and may be anything", short(name)),
                ),
            }
        }
        // A field that is new is described, and breaks nobody unless it is required; events
        // that have had it all along in another form are found among the recent ones.
        if is_closed(before) {
            for name in new.keys().filter(|name| !old.contains_key(*name)) {
                let pointer = pointer_below(&format!("{at}/properties"), name);
                self.note(
                    Whom::Receivers,
                    pointer,
                    format!("`{}` may come now, where no other field could", short(name)),
                );
            }
        }
    }

    fn bound(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        at: &str,
        keyword: &str,
        narrows: Narrows,
    ) {
        let of = |schema: &Map<String, Value>| schema.get(keyword).and_then(Value::as_f64);
        let (old, new) = (of(before), of(after));
        let pointer = format!("{at}/{keyword}");
        let shown = |schema: &Map<String, Value>| {
            schema.get(keyword).map(|value| short(&value.to_string())).unwrap_or_default()
        };
        match (old, new) {
            (None, Some(_)) => self.note(Whom::Producers, pointer, format!("is bounded now: {}", shown(after))),
            (Some(_), None) => self.note(Whom::Receivers, pointer, format!("was bounded: {}", shown(before))),
            (Some(old), Some(new)) if old != new => {
                let is_narrower = if narrows == Narrows::Upwards { new > old } else { new < old };
                let whom = if is_narrower { Whom::Producers } else { Whom::Receivers };
                self.note(whom, pointer, format!("was {}, and is {} now", shown(before), shown(after)));
            }
            _ => {}
        }
    }

    fn the_rest(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &str) {
        let is_compared =
            |keyword: &str| UNDERSTOOD.contains(&keyword) || BOUNDS.iter().any(|(bound, _)| *bound == keyword);
        let mut keywords: Vec<&String> =
            after.keys().chain(before.keys().filter(|keyword| !after.contains_key(*keyword))).collect();
        keywords.retain(|keyword| !is_compared(keyword) && before.get(*keyword) != after.get(*keyword));
        for keyword in keywords {
            let detail = "is another rule than before: whom that suits cannot be told by comparing".to_owned();
            self.note(Whom::Either, pointer_below(at, keyword), detail);
        }
    }
}

fn types_of(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(word) => Some(vec![word.as_str()]),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Those that none of the others covers.
fn not_among<'a>(these: &[&'a str], those: &[&str]) -> Vec<&'a str> {
    let covered = |word: &str| those.contains(&word) || (word == "integer" && those.contains(&"number"));
    these.iter().copied().filter(|word| !covered(word)).collect()
}

/// The values that are all there may be.
fn values_of(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

fn words(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn named(values: &[&Value]) -> String {
    let mut named: Vec<String> = values.iter().take(NAMED_MAX).map(|value| short(&value.to_string())).collect();
    if values.len() > NAMED_MAX {
        named.push(format!("one of {} more", values.len() - NAMED_MAX));
    }
    named.join(" or ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::EventType;

    #[track_caller]
    fn check(old: Value, new: Value, expected: &[(&str, &str, Whom)]) {
        let found = breaks(&old, &new);
        let found: Vec<(&str, &str, Whom)> =
            found.iter().map(|found| (found.pointer.as_str(), found.detail.as_str(), found.whom)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_change_is_told_with_its_place_and_whom_it_breaks() {
        let of = |field: Value| json!({ "properties": { "a": field } });
        check(of(json!({ "type": "string" })), of(json!({ "type": "string", "description": "b" })), &[]);
        check(
            of(json!({ "type": ["string", "integer"] })),
            of(json!({ "type": ["string", "null"] })),
            &[
                ("/properties/a/type", "may not be integer any more", Whom::Producers),
                ("/properties/a/type", "may be null as well", Whom::Receivers),
            ],
        );
        check(
            of(json!({ "type": "integer" })),
            of(json!({ "type": "number" })),
            &[("/properties/a/type", "may be number as well", Whom::Receivers)],
        );
        check(
            of(json!({ "enum": ["A", "B"] })),
            of(json!({ "enum": ["B", "C"] })),
            &[
                ("/properties/a/enum", "may not be \"A\" any more", Whom::Producers),
                ("/properties/a/enum", "may be \"C\" as well", Whom::Receivers),
            ],
        );
        check(
            json!({ "required": ["a"] }),
            json!({ "required": ["b"] }),
            &[
                ("/required", "`b` is required now", Whom::Producers),
                ("/required", "`a` may be missing now", Whom::Receivers),
            ],
        );
        check(
            of(json!({ "minimum": 1, "maxLength": 5 })),
            of(json!({ "minimum": 2, "maxLength": 6 })),
            &[
                ("/properties/a/minimum", "was 1, and is 2 now", Whom::Producers),
                ("/properties/a/maxLength", "was 5, and is 6 now", Whom::Receivers),
            ],
        );
        check(
            json!({ "properties": { "a": {}, "b": {} } }),
            json!({ "properties": { "b": {}, "c": {} }, "additionalProperties": false }),
            &[
                ("/additionalProperties", "fields that are not named are refused now", Whom::Producers),
                ("/properties/a", "`a` is refused now", Whom::Producers),
            ],
        );
        check(
            json!({ "items": { "type": "string" }, "allOf": [] }),
            json!({ "items": { "type": "null" }, "if": {} }),
            &[
                ("/items/type", "may not be string any more", Whom::Producers),
                ("/items/type", "may be null as well", Whom::Receivers),
                ("/if", "is another rule than before: whom that suits cannot be told by comparing", Whom::Either),
                ("/allOf", "is another rule than before: whom that suits cannot be told by comparing", Whom::Either),
            ],
        );
        check(json!(true), json!(false), &[("", "nothing is accepted here any more", Whom::Producers)]);
        // Another field, optional, breaks nobody.
        check(of(json!({})), json!({ "properties": { "a": {}, "b": { "type": "string" } } }), &[]);
    }

    #[test]
    fn a_definition_is_tried_on_an_event() {
        let name: EventType = "a.b".parse().expect("a name");
        let schema = json!({ "properties": { "n": { "maximum": 5 } } });
        let example = json!({ "event": "a.b" });
        let definition =
            TypeDefinition { name, description: String::new(), schema, example, retry: None, indexed: Vec::new() };
        let trial = Trial::of(&definition).expect("it compiles");
        assert_eq!(trial.objections(br#"{"event": "a.b", "n": 5}"#), None);
        let objections = trial.objections(br#"{"event": "a.b", "n": 6}"#).expect("it is refused");
        assert_eq!(objections[0].pointer, "/n");
        assert!(trial.objections(b"{").is_some());
    }

    fn field() -> impl Strategy<Value = Value> {
        let kind = prop::option::of(prop::sample::subsequence(vec!["string", "integer", "number", "null"], 1..4));
        let values =
            prop::option::of(prop::sample::subsequence(vec![json!("x"), json!(1), json!(2), json!(null)], 1..4));
        (kind, values, prop::option::of(0..4_i64), prop::option::of(0..4_i64), prop::option::of(0..3_u64)).prop_map(
            |(kind, values, minimum, maximum, longest)| {
                let mut schema = Map::new();
                let parts = [
                    ("type", kind.map(|kind| json!(kind))),
                    ("enum", values.map(|values| json!(values))),
                    ("minimum", minimum.map(|bound| json!(bound))),
                    ("maximum", maximum.map(|bound| json!(bound))),
                    ("maxLength", longest.map(|bound| json!(bound))),
                ];
                schema.extend(parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
                Value::Object(schema)
            },
        )
    }

    fn schema() -> impl Strategy<Value = Value> {
        let required = prop::sample::subsequence(vec!["a", "b"], 0..=2);
        (field(), field(), required, any::<bool>()).prop_map(|(a, b, required, open)| {
            json!({ "type": "object", "properties": { "a": a, "b": b }, "required": required, "additionalProperties": open })
        })
    }

    fn event() -> impl Strategy<Value = Value> {
        let leaf =
            prop::sample::select(vec![json!("x"), json!("xyz"), json!(0), json!(1), json!(2.5), json!(3), json!(null)]);
        prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), leaf, 0..3)
            .prop_map(|fields| json!(fields))
    }

    proptest! {
        /// Where nothing is told, nothing is broken: for producers, what was valid stays so;
        /// for receivers, what is valid was so before.
        #[test]
        fn what_is_broken_is_told(old in schema(), new in schema(), event in event()) {
            let accepts = |schema: &Value| jsonschema::validator_for(schema).expect("a schema").is_valid(&event);
            let found = breaks(&old, &new);
            let tells = |whom: Whom| found.iter().any(|found| found.whom == whom || found.whom == Whom::Either);
            if accepts(&old) && !accepts(&new) {
                prop_assert!(tells(Whom::Producers), "{old} {new} {event}");
            }
            // Fields beyond those that are named were never promised not to come.
            let is_named = event.get("c").is_none();
            if accepts(&new) && !accepts(&old) && is_named {
                prop_assert!(tells(Whom::Receivers), "{old} {new} {event}");
            }
        }

        #[test]
        fn the_same_breaks_nobody(schema in schema()) {
            prop_assert_eq!(breaks(&schema, &schema), []);
        }
    }
}
