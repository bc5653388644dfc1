//! An endpoint's filter: a JSON Schema that runs on every event that the
//! endpoint subscribed to, on the way in. Whoever registers one is not its
//! operator, so that a filter is bounded more tightly than a type's schema is: in
//! what it takes to keep, and in what it takes to look at an event.

mod cost;

use std::fmt;

use jsonschema::{PatternOptions, Regex, Validator};
use serde_json::Value;

use crate::catalog::schema::{self, SchemaProblem};
use crate::catalog::{FieldError, explain, pointer_below};
use crate::domain::{EventFilter, MAX_FILTER_BYTES};

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;
/// Largest regular expression, compiled; and what each thread may take to run it. With
/// the size grows the time that one look at a long text takes.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// What a schema may have at its root. Something else is a schema that says
/// nothing, and most likely a field of the event.
const KEYWORDS: [&str; 50] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// A compiled filter.
pub struct Filter {
    validator: Validator,
    bytes: usize,
}

impl Filter {
    /// The schema as an endpoint's filter, if it may be one; if not, where in it
    /// and why.
    pub fn checked(schema: &Value) -> Result<EventFilter, FieldError> {
        let at_root = |detail: String| FieldError { pointer: String::new(), detail };
        let Value::Object(fields) = schema else {
            let detail =
                format!("expected a JSON Schema, which is an object, or null; found {}", explain::found(schema));
            return Err(at_root(detail));
        };
        // Depth first: what follows goes down the value by recursion.
        if !schema::fits_depth(schema, MAX_DEPTH) {
            return Err(at_root(format!("arrays and objects are nested more than {MAX_DEPTH} deep")));
        }
        let filter = EventFilter::from(fields);
        if filter.as_str().len() > MAX_FILTER_BYTES {
            return Err(at_root(format!("the limit is {MAX_FILTER_BYTES} bytes, written without spaces")));
        }
        if let Some(unknown) = fields.keys().find(|key| !is_keyword(key)) {
            let detail = format!(
                "`{}` is no keyword of JSON Schema; a field of the event goes below `properties`",
                explain::short(unknown)
            );
            return Err(FieldError { pointer: pointer_below("", unknown), detail });
        }
        // Compiling takes as long as what is compiled: what has no end is refused first.
        cost::check(schema)?;
        Self::compile(schema)?;
        Ok(filter)
    }

    /// A filter that was [checked](Self::checked) when it was stored. An error
    /// says where in the schema it cannot be used.
    pub fn compile(schema: &Value) -> Result<Self, FieldError> {
        let patterns = PatternOptions::<Regex>::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        let validator = schema::compile(schema, patterns).map_err(|problem| match problem {
            SchemaProblem::Unusable(error) => error,
            SchemaProblem::RemoteReference { reference } => FieldError {
                pointer: String::new(),
                detail: format!(
                    "it refers to `{reference}`, and nothing is ever fetched: put what it needs under `$defs`"
                ),
            },
        })?;
        Ok(Self { validator, bytes: footprint(schema) })
    }

    /// Whether the event is delivered.
    pub fn accepts(&self, event: &Value) -> bool {
        self.validator.is_valid(event)
    }

    /// Why it is not, at least one thing; nothing where it is.
    pub fn objections(&self, event: &Value) -> Vec<FieldError> {
        if self.accepts(event) { Vec::new() } else { explain::errors(&self.validator, event) }
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Filter").finish_non_exhaustive()
    }
}

fn is_keyword(key: &str) -> bool {
    KEYWORDS.contains(&key) || key.starts_with('$') || key.starts_with("x-")
}

/// As measured: a small compiled schema takes some 23 KiB, a large one about 29
/// times its text. What a regular expression takes depends on what it has seen.
fn footprint(schema: &Value) -> usize {
    24 * 1024 + 32 * schema.to_string().len() + 32 * 1024 * cost::patterns(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::cost::DOUBLING;
    use super::*;

    #[track_caller]
    fn refused(schema: Value, pointer: &str, part: &str) {
        let error = Filter::checked(&schema).expect_err("this filter is refused");
        assert_eq!(error.pointer, pointer, "{}", error.detail);
        assert!(error.detail.contains(part), "{}", error.detail);
    }

    #[test]
    fn a_sound_filter_is_taken() {
        for schema in [
            json!({}),
            json!({"properties": {"status": {"enum": ["ACTIVE", "PAUSED"]}}, "required": ["status"]}),
            json!({"$id": "https://example.com/mine", "title": "mine", "x-note": 1, "$comment": "ours"}),
            json!({"properties": {"at": {"$ref": "#/$defs/day"}}, "$defs": {"day": {"pattern": "^\\d{4}-\\d\\d-\\d\\d$"}}}),
            json!({"properties": {"name": {"pattern": "^\\p{L}+( \\w+)*@[\\w.]{1,64}$"}, "$ref": {"type": "string"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "if": {"required": ["a"]}, "then": {"required": ["b"]}}),
        ] {
            assert!(Filter::checked(&schema).is_ok_and(|filter| filter.schema() == schema), "{schema}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place() {
        for value in [json!(true), json!(false), json!("a"), json!([])] {
            refused(value, "", "expected a JSON Schema");
        }
        refused(json!({"type": "strin"}), "/type", "strin");
        refused(json!({"properties": {"a/b": {"minLength": -1}}}), "/properties/a~1b/minLength", "at least 0");
        refused(json!({"properties": {"a": {"pattern": "(?=b)b"}}}), "/properties/a/pattern", "look-around");
        refused(json!({"properties": {"a": {"$ref": "#/$defs/no"}}}), "/properties/a/$ref", "into the filter itself");
        refused(json!({"$ref": "http://127.0.0.1:9/a.json"}), "/$ref", "nothing is ever fetched");
        refused(json!({"status": "ACTIVE"}), "/status", "below `properties`");
    }

    #[test]
    fn what_it_takes_to_keep_and_to_run_is_bounded() {
        let sized = |bytes: usize| json!({ "$comment": "x".repeat(bytes - r#"{"$comment":""}"#.len()) });
        assert!(Filter::checked(&sized(MAX_FILTER_BYTES)).is_ok());
        refused(sized(MAX_FILTER_BYTES + 1), "", "the limit is 16384 bytes");
        let nested = |depth: usize| (1..depth).fold(json!({}), |schema, _| json!({ "not": schema }));
        assert!(Filter::checked(&nested(64)).is_ok());
        refused(nested(65), "", "more than 64 deep");
        refused(
            json!({"properties": {"a": {"pattern": "a\\p{L}{90}b"}}}),
            "/properties/a/pattern",
            "regular expression",
        );
        let patterns = |count: usize| {
            let fields = (0..count).map(|number| (format!("a{number}"), json!({"pattern": "b+"})));
            json!({ "properties": fields.collect::<serde_json::Map<_, _>>() })
        };
        assert!(Filter::checked(&patterns(16)).is_ok());
        refused(patterns(17), "/properties/a16/pattern", "16 regular expressions");
        refused(json!({ "enum": vec![json!([]); 1_000] }), "", "1000 arrays and objects");
    }

    /// All of these take a time that doubles with each nesting, to compile or for each
    /// event, and are refused before they are compiled.
    #[test]
    fn what_doubles_is_refused() {
        for word in DOUBLING {
            refused(json!({"not": {word: {"minLength": 0}}}), &format!("/not/{word}"), "cannot be used in a filter");
        }
        let twice = |next: &str| json!({"allOf": [{"$ref": next}, {"$ref": next}]});
        let decoy = json!({"$ref": "#/$defs/k0", "$defs": {"%6B%31": {}, "k1": {}, "k0": twice("#/$defs/%6B%31")}});
        refused(decoy, "/$defs/k0/allOf/0/$ref", "a reference into the filter itself");
        let below =
            json!({"properties": {"q": {"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://x/a"}}});
        refused(below, "/properties/q/$schema", "at the root of a filter");
        let pattern = json!({"$ref": "#/$defs/p"});
        let often = json!({"allOf": vec![pattern; 20], "$defs": {"p": {"pattern": "a"}}});
        let error = Filter::checked(&often).expect_err("one expression, looked at twenty times");
        assert!(error.detail.contains("each time a `$ref` leads to it"), "{}", error.detail);
        let large = json!({"pattern": "(0|1)*1(0|1){3000}[2-9]"});
        assert_eq!(Filter::checked(&large).expect_err("it is too large").pointer, "/pattern");
    }

    /// Each definition refers to the next one twice: 2^30 steps for an event.
    #[test]
    fn references_cannot_multiply() {
        let twice = |next: usize| {
            let next = json!({ "$ref": format!("#/$defs/{next}") });
            json!({ "allOf": [next, next] })
        };
        let mut definitions: serde_json::Map<_, _> =
            (0..30).map(|number| (number.to_string(), twice(number + 1))).collect();
        definitions.insert("30".into(), json!({}));
        refused(json!({ "$defs": definitions, "$ref": "#/$defs/0" }), "", "counting what a `$ref` leads to");
        refused(json!({"properties": {"child": {"$ref": "#"}}}), "", "refers to itself");
        for (name, value) in [("$anchor", json!("a")), ("$id", json!("b")), ("$dynamicAnchor", json!("c"))] {
            refused(json!({"$defs": {"a": {name: value}}}), &format!("/$defs/a/{name}"), "cannot be used in a filter");
        }
        let draft_4 = json!({
            "$schema": "http://json-schema.org/draft-04/schema#", "definitions": {"a": {"id": "http://example.com/b"}},
        });
        refused(draft_4, "/definitions/a/id", "cannot be used in a filter");
    }

    #[test]
    fn an_event_is_accepted_or_objected_to() {
        let filter = Filter::compile(&json!({"properties": {"amount": {"minimum": 100}}, "required": ["amount"]}));
        let filter = filter.expect("a schema");
        assert!(filter.accepts(&json!({"amount": 100})));
        assert_eq!(filter.objections(&json!({"amount": 100})), []);
        assert!(!filter.accepts(&json!({"amount": 5})));
        let told = filter.objections(&json!({"amount": 5}));
        assert_eq!((told[0].pointer.as_str(), told[0].detail.as_str()), ("/amount", "expected at least 100; found 5"));
        assert_eq!(filter.objections(&json!({}))[0].pointer, "/amount");
    }
}
