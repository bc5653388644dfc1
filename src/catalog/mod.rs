//! Which event types there are, and whether a posted event is one of them.
//!
//! A [`Catalog`] is compiled once from its definitions and then only read: a
//! change makes a new one. It decides what is refused at the door and which
//! field is to blame; where definitions are kept is the store's business, and
//! how a refusal is answered is the routes'. Nothing here reads a file, a
//! clock or the network.

mod body;
mod compatibility;
mod definition;
mod explain;
mod filter;
mod refusal;
mod schema;
mod shipped;
pub mod system;
mod weight;

use jsonschema::Validator;
use serde_json::Value;

use crate::domain::{EventType, TypePattern};

pub use body::read as read_json;
pub use compatibility::{Break, Trial, Whom, breaks};
pub use definition::{CatalogLimits, DefinitionError, DefinitionProblem, MAX_INDEXED, TypeDefinition};
pub use filter::Filter;
pub use refusal::{FieldError, Refusal, pointer_below};
pub use shipped::shipped;

/// The event types of one environment, by name.
pub struct Catalog {
    // Sorted by name, no name twice: a posted name is found in place, without
    // being copied, and the types below a prefix stand together.
    entries: Vec<Entry>,
}

/// A posted event that is one of the catalog's.
pub struct Recognised {
    /// Its kind.
    pub event_type: EventType,
    /// Its body, as it was read.
    pub event: Value,
}

struct Entry {
    definition: TypeDefinition,
    validator: Validator,
}

impl Entry {
    fn name(&self) -> &EventType {
        &self.definition.name
    }
}

impl Catalog {
    /// Compiles every definition. They are taken to have been
    /// [checked](TypeDefinition::checked) when they were stored, so that
    /// limits lowered later do not keep a node from starting.
    pub fn compile(definitions: Vec<TypeDefinition>) -> Result<Self, DefinitionError> {
        let mut entries = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let validator = definition.validator()?;
            entries.push(Entry { definition, validator });
        }
        entries.sort_by(|one, other| one.name().cmp(other.name()));
        for pair in entries.windows(2) {
            if pair[0].name() == pair[1].name() {
                return Err(DefinitionProblem::Twice.of(pair[0].name()));
            }
        }
        Ok(Self { entries })
    }

    /// The same, and Posthaste's own types beside them. Of these names they are the only
    /// ones; others that begin like them were let in by nobody, and are left alone.
    pub fn compile_whole(mut stored: Vec<TypeDefinition>) -> Result<Self, DefinitionError> {
        stored.retain(|definition| !system::is_built_in(definition.name.as_str()));
        stored.extend(system::system());
        Self::compile(stored)
    }

    /// Reads the body of a posted event once and says which type it is of, or
    /// why it is none.
    pub fn validate(&self, body: &[u8]) -> Result<EventType, Refusal> {
        self.recognise(body).map(|recognised| recognised.event_type)
    }

    /// The same, for whoever has to look into the event as well.
    pub fn recognise(&self, body: &[u8]) -> Result<Recognised, Refusal> {
        let event = body::read(body)?;
        let Value::Object(fields) = &event else {
            return Err(Refusal::NotAnObject { found: explain::found(&event) });
        };
        let name = match fields.get("event") {
            Some(Value::String(name)) => name,
            other => return Err(Refusal::NoEventType { found: other.map(explain::found) }),
        };
        let Some(entry) = self.find(name) else {
            return Err(if is_reserved(name) { Refusal::reserved(name) } else { Refusal::unknown(name, self.names()) });
        };
        if system::is_built_in(name) {
            return Err(Refusal::reserved(name));
        }
        let event_type = entry.name().clone();
        if entry.validator.is_valid(&event) {
            return Ok(Recognised { event_type, event });
        }
        Err(Refusal::Invalid { event_type, errors: explain::errors(&entry.validator, &event) })
    }

    /// The definition of a type.
    pub fn get(&self, name: &EventType) -> Option<&TypeDefinition> {
        self.find(name.as_str()).map(|entry| &entry.definition)
    }

    /// Every definition, by name.
    pub fn iter(&self) -> impl Iterator<Item = &TypeDefinition> {
        self.entries.iter().map(|entry| &entry.definition)
    }

    /// Whether an endpoint that subscribes with this pattern could ever get
    /// an event of today's catalog.
    pub fn knows(&self, pattern: &TypePattern) -> bool {
        match pattern {
            TypePattern::Any => self.names().next().is_some(),
            TypePattern::Exactly(name) => self.get(name).is_some(),
            TypePattern::Below(prefix) => {
                let first = self.entries.partition_point(|entry| entry.name().as_str() < &**prefix);
                self.entries.get(first).is_some_and(|entry| entry.name().as_str().starts_with(&**prefix))
            }
        }
    }

    /// Whether there is no type at all, so that every event is refused.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        let place = self.entries.binary_search_by(|entry| entry.name().as_str().cmp(name)).ok()?;
        self.entries.get(place)
    }

    /// Of those that may be posted.
    fn names(&self) -> impl Iterator<Item = &EventType> + Clone {
        self.entries.iter().map(Entry::name).filter(|name| !name.is_system())
    }
}

fn is_reserved(name: &str) -> bool {
    name.parse::<EventType>().is_ok_and(|name| name.is_system())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    static SHIPPED: LazyLock<Catalog> =
        LazyLock::new(|| Catalog::compile(shipped()).expect("the shipped catalogs compile"));

    fn definition(name: &str, schema: Value) -> TypeDefinition {
        let name: EventType = name.parse().expect("a name");
        let example = json!({ "event": name.as_str() });
        TypeDefinition { name, description: String::new(), schema, example, retry: None, indexed: Vec::new() }
    }

    fn refusal(body: impl AsRef<[u8]>) -> Refusal {
        SHIPPED.validate(body.as_ref()).expect_err("this body is refused")
    }

    #[test]
    fn a_catalog_is_read_by_name() {
        let catalog = Catalog::compile(vec![definition("b.one", json!({})), definition("a", json!({}))]).expect("both");
        let names: Vec<_> = catalog.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names, ["a", "b.one"]);
        assert!(catalog.get(&"b.one".parse().expect("a name")).is_some());
        assert!(catalog.get(&"b".parse().expect("a name")).is_none());
        let twice = Catalog::compile(vec![definition("a", json!({})), definition("a", json!({}))]);
        assert_eq!(twice.err().map(|error| error.problem), Some(DefinitionProblem::Twice));
    }

    #[test]
    fn a_pattern_is_known_when_a_type_matches_it() {
        let known = |pattern: &str| SHIPPED.knows(&pattern.parse().expect("a pattern"));
        for pattern in ["*", "campaign.*", "campaign.updated", "screenshot_set.*", "screenshot_set.approved"] {
            assert!(known(pattern), "{pattern}");
        }
        for pattern in ["campaign", "campaign.update", "campaign.updated.*", "camp.*", "zebra.*", "a.*", "posthaste.*"]
        {
            assert!(!known(pattern), "{pattern}");
        }
        let empty = Catalog::compile(Vec::new()).expect("nothing to compile");
        assert!(empty.is_empty() && !empty.knows(&TypePattern::Any));
    }

    #[test]
    fn an_event_says_its_type_at_the_root() {
        assert_eq!(refusal("[]"), Refusal::NotAnObject { found: "an array".into() });
        assert_eq!(refusal("\"campaign.created\""), Refusal::NotAnObject { found: "\"campaign.created\"".into() });
        assert_eq!(refusal("{}"), Refusal::NoEventType { found: None });
        for (body, found) in [(r#"{"event":null}"#, "null"), (r#"{"event":7}"#, "7"), (r#"{"event":{}}"#, "an object")]
        {
            assert_eq!(refusal(body), Refusal::NoEventType { found: Some(found.into()) });
        }
        let nested = r#"{"data":{"event":"campaign.created"}}"#;
        assert_eq!(refusal(nested), Refusal::NoEventType { found: None });
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        let catalog = Catalog::compile(vec![definition("a.b", json!({}))]).expect("one type");
        let event_type = catalog.validate(br#" {"\u0065vent":"a\u002eb"} "#);
        assert_eq!(event_type.map(|name| name.to_string()), Ok("a.b".to_owned()));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            prop_oneof![Just("facebook"), Just("symphony"), Just("uploaded"), Just("ACTIVE"), Just("link_clicks")]
                .prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("provider".to_owned()),
            Just("type".to_owned()),
            Just("id".to_owned()),
            Just("status".to_owned()),
            Just("ad".to_owned()),
            Just("screenshots".to_owned()),
            "[a-z/~]{0,4}",
        ];
        leaf.prop_recursive(4, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(SHIPPED.validate(&body).is_err(), "noise is no event");
        }

        #[test]
        fn whatever_is_refused_is_explained(
            mut event in any_json(),
            name in prop_oneof![Just("campaign.updated"), Just("screenshot_set.approved"), Just("campaign.deleted")],
        ) {
            if let Value::Object(fields) = &mut event {
                fields.insert("event".to_owned(), name.into());
            }
            let verdict = SHIPPED.validate(event.to_string().as_bytes());
            if let Err(refusal) = verdict {
                let errors = refusal.field_errors();
                prop_assert!(!errors.is_empty(), "{refusal}");
                for error in errors {
                    // A pointer leads to what is wrong, or to where what is missing belongs.
                    let parent = error.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                    prop_assert!(event.pointer(parent).is_some(), "{} of {event}", error.pointer);
                    prop_assert!(!error.detail.is_empty());
                }
            }
        }
    }
}
