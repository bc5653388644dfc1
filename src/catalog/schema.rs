//! How a JSON Schema that somebody gave is compiled: by itself, so that nothing
//! is ever fetched, and with patterns that take time linear in the text. How
//! large one may be is for its users to say, [event types](super::definition)
//! and [filters](super::filter).

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, Regex, Validator};
use serde_json::Value;

use crate::catalog::{FieldError, explain};

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SchemaProblem {
    /// It would have to be fetched.
    RemoteReference {
        /// What it refers to, made absolute.
        reference: String,
    },
    /// It is no valid schema.
    Unusable(FieldError),
}

/// The compiled schema.
pub(super) fn compile(schema: &Value, patterns: PatternOptions<Regex>) -> Result<Validator, SchemaProblem> {
    if !schema.is_object() {
        let detail = format!("expected an object; found {}", explain::found(schema));
        return Err(SchemaProblem::Unusable(FieldError { pointer: String::new(), detail }));
    }
    let built = jsonschema::options()
        .offline()
        // Linear in the text, whatever the pattern: a schema runs on each
        // event that is posted. The price is look-around and back-references.
        .with_pattern_options(patterns)
        .build(schema);
    built.map_err(|error| match error.kind() {
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => {
            SchemaProblem::RemoteReference { reference: explain::short(uri) }
        }
        _ => SchemaProblem::Unusable(explain::schema_error(&error)),
    })
}

/// Whether arrays and objects are nested no deeper than this.
pub(super) fn fits_depth(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| fits_depth(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| fits_depth(field, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
