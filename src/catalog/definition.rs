//! What may become a catalog entry: a schema that compiles by itself, within
//! bounds, and an example that it accepts. Whether a changed definition suits
//! those who wrote against the old one is told by `compatibility`, and decided by people.

use jsonschema::{PatternOptions, Regex, Validator};
use serde_json::Value;

use crate::catalog::schema::{self, SchemaProblem};
use crate::catalog::{FieldError, explain, weight};
use crate::domain::{EventType, FieldPointer, MAX_DESCRIPTION_CHARS, RetryPolicy};

/// Most places of a type by which its events are found.
pub const MAX_INDEXED: usize = 8;

/// One entry of a catalog as stored and shown.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeDefinition {
    /// The type.
    pub name: EventType,
    /// What has happened when it is posted.
    pub description: String,
    /// A JSON Schema of the whole body; draft 2020-12 unless it says otherwise.
    pub schema: Value,
    /// A body that the schema accepts, sent when a partner tries an endpoint.
    pub example: Value,
    /// When events of the type are tried again at endpoints that have no
    /// schedule of their own; `None` is the default one.
    pub retry: Option<RetryPolicy>,
    /// Places by whose values its events are found: strings, whole numbers and booleans.
    pub indexed: Vec<FieldPointer>,
}

/// How large a definition may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Longest schema, as compact JSON.
    pub schema_bytes: usize,
    /// Longest example, as compact JSON.
    pub example_bytes: usize,
    /// Deepest nesting of arrays and objects in either.
    pub depth: usize,
    /// Longest description.
    pub description_chars: usize,
}

impl Default for CatalogLimits {
    fn default() -> Self {
        Self { schema_bytes: 64 * 1024, example_bytes: 64 * 1024, depth: 64, description_chars: MAX_DESCRIPTION_CHARS }
    }
}

/// A definition that cannot be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event type `{name}`: {problem}")]
pub struct DefinitionError {
    /// Whose definition.
    pub name: EventType,
    /// What is wrong with it.
    pub problem: DefinitionProblem,
}

/// What can be wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionProblem {
    /// A name that belongs to Posthaste's own events.
    #[error("names beginning with `posthaste.` are reserved for posthaste's own events; choose another")]
    SystemName,
    /// A name that is defined already.
    #[error("it is defined twice")]
    Twice,
    /// More than the limit of one part.
    #[error("its {part} is longer than {limit} {unit}")]
    TooLong {
        /// `description`, `schema` or `example`.
        part: &'static str,
        /// The limit.
        limit: usize,
        /// What it counts.
        unit: &'static str,
    },
    /// Nested past the limit.
    #[error("its {part} nests arrays and objects more than {limit} deep")]
    TooDeep {
        /// `schema` or `example`.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A schema that would have to be fetched.
    #[error("its schema refers to `{reference}`, and nothing is ever fetched: put what it needs under `$defs`")]
    RemoteReference {
        /// What it refers to, made absolute.
        reference: String,
    },
    /// No valid JSON Schema.
    #[error("its schema cannot be used{}", at(.0))]
    Schema(FieldError),
    /// More places to find it by than there may be.
    #[error("it is indexed by more than {MAX_INDEXED} fields")]
    TooManyIndexed,
    /// A place that is named twice, or has no value that is indexed.
    #[error("it cannot be indexed by `{}`: {}", .0.pointer, .0.detail)]
    Indexed(FieldError),
    /// An example that is no event of this type.
    #[error("its example is not such an event{}", .0.first().map(at).unwrap_or_default())]
    Example(Vec<FieldError>),
}

fn at(error: &FieldError) -> String {
    let place = if error.pointer.is_empty() { "" } else { " at " };
    format!("{place}{}: {}", error.pointer, error.detail)
}

impl DefinitionProblem {
    pub(super) fn of(self, name: &EventType) -> DefinitionError {
        DefinitionError { name: name.clone(), problem: self }
    }
}

impl From<SchemaProblem> for DefinitionProblem {
    fn from(problem: SchemaProblem) -> Self {
        match problem {
            SchemaProblem::RemoteReference { reference } => Self::RemoteReference { reference },
            SchemaProblem::Unusable(error) => Self::Schema(error),
        }
    }
}

impl TypeDefinition {
    /// This definition, if it keeps its bounds, its schema compiles and its
    /// example is an event that the schema accepts.
    pub fn checked(self, limits: &CatalogLimits) -> Result<Self, DefinitionError> {
        if self.name.is_system() {
            return Err(DefinitionProblem::SystemName.of(&self.name));
        }
        self.keeps(limits).map_err(|problem| problem.of(&self.name))?;
        // Compiling takes as long as what is compiled: what has no end is refused first.
        weight::check(&self.schema).map_err(|error| DefinitionProblem::Schema(error).of(&self.name))?;
        let largest = weight::MAX_PATTERN_BYTES;
        let patterns = PatternOptions::regex().size_limit(largest).dfa_size_limit(largest);
        let errors = self.example_errors(&self.compiled(patterns)?);
        if errors.is_empty() { Ok(self) } else { Err(DefinitionProblem::Example(errors).of(&self.name)) }
    }

    /// The compiled schema of a definition that was checked when it was stored.
    pub(super) fn validator(&self) -> Result<Validator, DefinitionError> {
        self.compiled(PatternOptions::regex())
    }

    fn compiled(&self, patterns: PatternOptions<Regex>) -> Result<Validator, DefinitionError> {
        let compiled = schema::compile(&self.schema, patterns);
        compiled.map_err(|problem| DefinitionProblem::from(problem).of(&self.name))
    }

    pub(super) fn keeps(&self, limits: &CatalogLimits) -> Result<(), DefinitionProblem> {
        self.indexes_leaves()?;
        let limit = limits.description_chars;
        if self.description.chars().count() > limit {
            return Err(DefinitionProblem::TooLong { part: "description", limit, unit: "characters" });
        }
        let parts = [("schema", &self.schema, limits.schema_bytes), ("example", &self.example, limits.example_bytes)];
        for (part, value, limit) in parts {
            // Depth first: what follows goes down the value by recursion.
            if !schema::fits_depth(value, limits.depth) {
                return Err(DefinitionProblem::TooDeep { part, limit: limits.depth });
            }
            if value.to_string().len() > limit {
                return Err(DefinitionProblem::TooLong { part, limit, unit: "bytes" });
            }
        }
        Ok(())
    }

    /// Whether each place it is found by is named once and is, as far as the example has
    /// it, no object and no array.
    fn indexes_leaves(&self) -> Result<(), DefinitionProblem> {
        if self.indexed.len() > MAX_INDEXED {
            return Err(DefinitionProblem::TooManyIndexed);
        }
        for (place, pointer) in self.indexed.iter().enumerate() {
            let unfit = |detail: String| {
                DefinitionProblem::Indexed(FieldError { pointer: pointer.as_str().to_owned(), detail })
            };
            if self.indexed[..place].contains(pointer) {
                return Err(unfit("it is named twice".to_owned()));
            }
            if let Some(value @ (Value::Object(_) | Value::Array(_))) = pointer.lead(&self.example) {
                let found = explain::found(value);
                return Err(unfit(format!(
                    "only strings, whole numbers and booleans are, and the example has {found}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn example_errors(&self, validator: &Validator) -> Vec<FieldError> {
        let Value::Object(fields) = &self.example else {
            let detail = format!("expected an object; found {}", explain::found(&self.example));
            return vec![FieldError { pointer: String::new(), detail }];
        };
        let event = fields.get("event");
        if event.and_then(Value::as_str) != Some(self.name.as_str()) {
            let found = event.map_or_else(|| "nothing".to_owned(), explain::found);
            let detail = format!("expected \"{}\", the name of the type; found {found}", self.name);
            return vec![FieldError { pointer: "/event".to_owned(), detail }];
        }
        if validator.is_valid(&self.example) { Vec::new() } else { explain::errors(validator, &self.example) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn definition(schema: Value) -> TypeDefinition {
        let name = "order.paid".parse().expect("a name");
        let example = json!({"event": "order.paid", "id": 1});
        TypeDefinition { name, description: "Paid.".into(), schema, example, retry: None, indexed: Vec::new() }
    }

    fn problem(definition: TypeDefinition) -> DefinitionProblem {
        definition.checked(&CatalogLimits::default()).expect_err("this definition is refused").problem
    }

    #[test]
    fn a_sound_definition_is_taken_as_it_is() {
        for schema in [
            json!({}),
            json!({"type": "object", "properties": {"id": {"$ref": "#/$defs/id"}}, "$defs": {"id": {"type": "integer"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": true}}),
            json!({"$id": "https://example.com/order", "$anchor": "top", "properties": {"parent": {"$ref": "#top"}}}),
            json!({"properties": {"at": {"pattern": "^\\d{4}-\\p{L}+$"}}}),
        ] {
            let sound = definition(schema);
            assert_eq!(sound.clone().checked(&CatalogLimits::default()), Ok(sound));
        }
    }

    #[test]
    fn a_system_name_is_refused() {
        let mut ours = definition(json!({}));
        ours.name = "posthaste.endpoint_disabled".parse().expect("a name");
        ours.example = json!({"event": "posthaste.endpoint_disabled"});
        assert_eq!(problem(ours), DefinitionProblem::SystemName);
    }

    #[test]
    fn nothing_is_fetched() {
        for (schema, expected) in [
            (json!({"$ref": "http://127.0.0.1:9/a.json"}), "http://127.0.0.1:9/a.json"),
            (json!({"properties": {"a": {"$ref": "https://example.com/a.json#/b"}}}), "https://example.com/a.json"),
            (json!({"items": {"$ref": "file:///etc/passwd"}}), "file:///etc/passwd"),
            (json!({"$dynamicRef": "https://example.com/a.json"}), "https://example.com/a.json"),
            (json!({"$id": "https://example.com/dir/", "allOf": [{"$ref": "other"}]}), "https://example.com/dir/other"),
            (json!({"$ref": "neighbour.json"}), "neighbour.json"),
        ] {
            match problem(definition(schema.clone())) {
                DefinitionProblem::RemoteReference { reference } => assert_eq!(reference, expected),
                other => panic!("{schema}: {other}"),
            }
        }
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_refused_with_its_place() {
        for (schema, pointer, part) in [
            (json!(true), "", "expected an object; found true"),
            (json!({"type": "strin"}), "/type", "strin"),
            (json!({"properties": {"a/b": {"minLength": -1}}}), "/properties/a~1b/minLength", "at least 0; found -1"),
            (json!({"required": "id"}), "/required", "expected an array; found \"id\""),
            (json!({"properties": {"a": {"pattern": "("}}}), "/properties/a/pattern", "not a regular expression"),
            (json!({"properties": {"a": {"pattern": "(?=b)b"}}}), "/properties/a/pattern", "look-around"),
            (json!({"patternProperties": {"(": true}}), "/patternProperties/(", "regular expression"),
            (json!({"$ref": "#/$defs/nowhere"}), "", "nowhere"),
            (json!({"$schema": "https://example.com/my-own-draft"}), "", "my-own-draft"),
        ] {
            match problem(definition(schema.clone())) {
                DefinitionProblem::Schema(error) => {
                    assert_eq!(error.pointer, pointer, "{schema}: {}", error.detail);
                    assert!(error.detail.contains(part), "{schema}: {}", error.detail);
                }
                other => panic!("{schema}: {other}"),
            }
        }
    }

    #[test]
    fn an_example_must_be_such_an_event() {
        let schema = json!({"properties": {"id": {"type": "integer"}}, "required": ["id"]});
        for (example, pointer, detail) in [
            (json!([]), "", "expected an object; found an array"),
            (json!({"id": 1}), "/event", "expected \"order.paid\", the name of the type; found nothing"),
            (
                json!({"event": "order", "id": 1}),
                "/event",
                "expected \"order.paid\", the name of the type; found \"order\"",
            ),
            (json!({"event": "order.paid"}), "/id", "`id` is required"),
            (json!({"event": "order.paid", "id": "1"}), "/id", "expected an integer; found \"1\""),
        ] {
            let error = FieldError { pointer: pointer.into(), detail: detail.into() };
            let unfit = TypeDefinition { example, ..definition(schema.clone()) };
            assert_eq!(problem(unfit), DefinitionProblem::Example(vec![error]));
        }
    }

    #[test]
    fn events_are_found_by_few_leaves() {
        let indexed_by = |pointers: &[&str]| {
            let indexed = pointers.iter().map(|text| text.parse().expect("a pointer")).collect();
            let example = json!({"event": "order.paid", "id": 1, "lines": [{"sku": "a"}], "paid": true});
            TypeDefinition { indexed, example, ..definition(json!({})) }
        };
        for sound in [&["/id", "/lines/0/sku", "/paid", "/not/there"][..], &[]] {
            let sound = indexed_by(sound);
            assert_eq!(sound.clone().checked(&CatalogLimits::default()), Ok(sound));
        }
        let eight: Vec<String> = (0..8).map(|number| format!("/{number}")).collect();
        let mut eight: Vec<&str> = eight.iter().map(String::as_str).collect();
        assert!(indexed_by(&eight).checked(&CatalogLimits::default()).is_ok());
        eight.push("/id");
        assert_eq!(problem(indexed_by(&eight)), DefinitionProblem::TooManyIndexed);
        assert!(problem(indexed_by(&["/id", "/id"])).to_string().contains("`/id`: it is named twice"));
        assert!(problem(indexed_by(&["/lines"])).to_string().contains("the example has an array"));
        assert!(problem(indexed_by(&["/lines/0"])).to_string().contains("the example has an object"));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let sized = |bytes: usize| definition(json!({ "$comment": "x".repeat(bytes - r#"{"$comment":""}"#.len()) }));
        let limit = 64 * 1024;
        assert!(sized(limit).checked(&CatalogLimits::default()).is_ok());
        let too_long = DefinitionProblem::TooLong { part: "schema", limit, unit: "bytes" };
        assert_eq!(problem(sized(limit + 1)), too_long);
        assert_eq!(too_long.to_string(), "its schema is longer than 65536 bytes");

        let nested = |depth: usize| (1..depth).fold(json!({}), |schema, _| json!({ "not": schema }));
        let deep = |depth: usize| definition(json!({ "$defs": { "deep": nested(depth - 2) } }));
        assert!(deep(64).checked(&CatalogLimits::default()).is_ok());
        assert_eq!(problem(deep(65)), DefinitionProblem::TooDeep { part: "schema", limit: 64 });

        let example = json!({"event": "order.paid", "id": "x".repeat(limit)});
        let long_example = TypeDefinition { example, ..definition(json!({})) };
        assert_eq!(problem(long_example), DefinitionProblem::TooLong { part: "example", limit, unit: "bytes" });
        let wordy = TypeDefinition { description: "é".repeat(1_025), ..definition(json!({})) };
        assert!(matches!(problem(wordy), DefinitionProblem::TooLong { part: "description", limit: 1_024, .. }));
    }

    #[test]
    fn an_error_names_the_type_and_says_how_to_mend_it() {
        let remote = definition(json!({"$ref": "https://example.com/a"})).checked(&CatalogLimits::default());
        assert_eq!(
            remote.expect_err("nothing is fetched").to_string(),
            "event type `order.paid`: its schema refers to `https://example.com/a`, and nothing is ever fetched: put \
             what it needs under `$defs`"
        );
        let schema = definition(json!({"required": "id"})).checked(&CatalogLimits::default());
        assert_eq!(
            schema.expect_err("no schema").to_string(),
            "event type `order.paid`: its schema cannot be used at /required: expected an array; found \"id\""
        );
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            prop::sample::select(vec!["#", "#/$defs/a", "string", "integer", "(", "http://127.0.0.1:9/", "#a", "a"])
                .prop_map(Value::from),
        ];
        let keyword = prop::sample::select(vec![
            "$ref",
            "$dynamicRef",
            "$id",
            "$anchor",
            "$defs",
            "a",
            "type",
            "properties",
            "items",
            "not",
            "allOf",
            "anyOf",
            "oneOf",
            "if",
            "then",
            "else",
            "enum",
            "const",
            "pattern",
            "patternProperties",
            "required",
            "additionalProperties",
            "unevaluatedProperties",
            "propertyNames",
            "contains",
            "minLength",
            "format",
        ]);
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(keyword.clone().prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_schema_brings_it_down(schema in any_schema()) {
            let verdict = definition(schema).checked(&CatalogLimits::default());
            if let Err(error) = verdict {
                prop_assert!(error.to_string().len() < 4_096);
            }
        }
    }
}
