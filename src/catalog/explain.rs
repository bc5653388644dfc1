//! What a schema objects to, in plain sentences: what was expected, what was
//! found, and a pointer to the field to mend. The library's own messages
//! quote whole values and speak of keywords; these do neither.

use std::fmt::Write as _;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::Location;
use jsonschema::{JsonType, ValidationError, Validator};
use serde_json::Value;

use crate::catalog::FieldError;

/// Most errors told of one event.
const MAX_ERRORS: usize = 20;
/// Most of a list of choices that is spelled out.
const MAX_CHOICES: usize = 20;
/// Most characters of a value or a name that are quoted.
const MAX_QUOTED_CHARS: usize = 60;
/// Longest pointer; a longer one, which takes very long keys, leads to the
/// nearest parent that fits.
const MAX_POINTER_BYTES: usize = 1_024;

/// Everything the schema objects to, at least one thing.
pub(super) fn errors(validator: &Validator, event: &Value) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = Vec::new();
    for error in validator.iter_errors(event) {
        for told in field_errors(&error) {
            // Two rules of a schema may object in the same words.
            if !errors.contains(&told) {
                errors.push(told);
            }
        }
        if errors.len() >= MAX_ERRORS {
            errors.truncate(MAX_ERRORS);
            break;
        }
    }
    if errors.is_empty() {
        errors.push(FieldError { pointer: String::new(), detail: "the schema does not accept this".to_owned() });
    }
    errors
}

/// What keeps a schema from being used; the pointer is into the schema.
pub(super) fn schema_error(error: &ValidationError<'_>) -> FieldError {
    let detail = match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => format!(
            "{} is not a regular expression that can be used: look-around and back-references cannot, nor what is very \
             large once it is compiled",
            found(error.instance())
        ),
        ValidationErrorKind::Referencing(error) => short_by(&error.to_string(), 4 * MAX_QUOTED_CHARS),
        _ => return first(error),
    };
    FieldError { pointer: fitting(error.instance_path().as_str()), detail }
}

/// A value as it is named in a sentence: scalars as JSON, cut short.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => format!("\"{}\"", short(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text cut to what fits a sentence, on one line.
pub(super) fn short(text: &str) -> String {
    short_by(text, MAX_QUOTED_CHARS)
}

fn short_by(text: &str, limit: usize) -> String {
    let visible = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let mut cut: String = text.chars().take(limit).map(visible).collect();
    if text.chars().nth(limit).is_some() {
        cut.push('…');
    }
    cut
}

fn first(error: &ValidationError<'_>) -> FieldError {
    let nameless = || FieldError { pointer: fitting(error.instance_path().as_str()), detail: sentence(error) };
    field_errors(error).into_iter().next().unwrap_or_else(nameless)
}

/// One error of the library as ours: the pointer goes on to a field that is
/// missing or that should not be there.
fn field_errors(error: &ValidationError<'_>) -> Vec<FieldError> {
    let at = error.instance_path();
    let below = |name: &str, detail: String| FieldError { pointer: fitting(at.join(name).as_str()), detail };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![below(name, format!("`{}` is required", short(name)))]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let told = unexpected.iter().take(MAX_ERRORS);
            told.map(|name| below(name, format!("`{}` is not a field that may be here", short(name)))).collect()
        }
        ValidationErrorKind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default();
            vec![below(name, format!("`{}` cannot be the name of a field here: {}", short(name), sentence(error)))]
        }
        _ => vec![FieldError { pointer: fitting(at.as_str()), detail: sentence(error) }],
    }
}

fn sentence(error: &ValidationError<'_>) -> String {
    let found = found(error.instance());
    let expected = match error.kind() {
        ValidationErrorKind::Type { kind } => kinds(kind),
        ValidationErrorKind::Constant { expected_value } => choice(expected_value),
        ValidationErrorKind::Enum { options } => choices(options),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit } => format!("a string of at least {}", counted(*limit, "character")),
        ValidationErrorKind::MaxLength { limit } => format!("a string of at most {}", counted(*limit, "character")),
        ValidationErrorKind::Pattern { pattern } => format!("a string that matches {}", short(pattern)),
        ValidationErrorKind::Format { format } => format!("a string of the format `{}`", short(format)),
        ValidationErrorKind::MinItems { limit } => format!("an array of at least {}", counted(*limit, "item")),
        ValidationErrorKind::MaxItems { limit } => format!("an array of at most {}", counted(*limit, "item")),
        ValidationErrorKind::AdditionalItems { limit } => {
            format!("an array of at most {}", counted(*limit as u64, "item"))
        }
        ValidationErrorKind::UniqueItems => "an array without an item twice".to_owned(),
        ValidationErrorKind::Contains => "an array with the items that the schema asks for".to_owned(),
        ValidationErrorKind::UnevaluatedItems { .. } => "an array without more items than the schema names".to_owned(),
        ValidationErrorKind::MinProperties { limit } => format!("an object of at least {}", counted(*limit, "field")),
        ValidationErrorKind::MaxProperties { limit } => format!("an object of at most {}", counted(*limit, "field")),
        ValidationErrorKind::ContentEncoding { content_encoding } => {
            format!("a string encoded as {}", short(content_encoding))
        }
        ValidationErrorKind::ContentMediaType { content_media_type } => {
            format!("a string holding {}", short(content_media_type))
        }
        ValidationErrorKind::FromUtf8 { .. } => "a string that decodes to UTF-8".to_owned(),
        // A lone `additionalProperties: false` objects at the object and shows
        // its first field.
        ValidationErrorKind::FalseSchema if error.schema_path().as_str().ends_with("/additionalProperties") => {
            return "expected an object without fields".to_owned();
        }
        ValidationErrorKind::FalseSchema => return format!("nothing may be here; found {found}"),
        ValidationErrorKind::Not { schema } => return forbidden(schema, &found),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            return format!(
                "fits none of the {} alternatives{}",
                context.len(),
                nearest(context, error.instance_path())
            );
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            return "fits more than one of the alternatives, and must fit exactly one".to_owned();
        }
        // Those with a pointer of their own get here as part of another sentence.
        ValidationErrorKind::Required { .. }
        | ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. }
        | ValidationErrorKind::PropertyNames { .. } => "an object with other fields".to_owned(),
        ValidationErrorKind::Custom { message, .. } => return short_by(message, 4 * MAX_QUOTED_CHARS),
        ValidationErrorKind::BacktrackLimitExceeded { .. }
        | ValidationErrorKind::RegexEngineFailure { .. }
        | ValidationErrorKind::Referencing(_) => return format!("the schema could not be applied here to {found}"),
    };
    format!("expected {expected}; found {found}")
}

/// `not` says nothing of what was meant, unless the schema in it is described.
fn forbidden(schema: &Value, found: &str) -> String {
    match schema.get("description").and_then(Value::as_str) {
        Some(why) => format!("{found} is not allowed here: {}", short_by(why, 4 * MAX_QUOTED_CHARS)),
        None => format!("{found} is not allowed here"),
    }
}

/// The first complaint of the alternative with the fewest, which is most
/// likely the one that was meant.
fn nearest(alternatives: &[Vec<ValidationError<'static>>], from: &Location) -> String {
    let fewest = alternatives.iter().filter(|errors| !errors.is_empty()).min_by_key(|errors| errors.len());
    let Some(error) = fewest.and_then(|errors| errors.first()) else {
        return String::new();
    };
    let FieldError { pointer, detail } = first(error);
    let place = if pointer == from.as_str() { String::new() } else { format!(" at {}", short(&pointer)) };
    format!("; the nearest says{place}: {}", short_by(&detail, 8 * MAX_QUOTED_CHARS))
}

fn kinds(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => named(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(named).collect::<Vec<_>>().join(" or "),
    }
}

fn named(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
    }
}

fn choices(options: &Value) -> String {
    let all = options.as_array().map_or(&[][..], Vec::as_slice);
    if let [only] = all {
        return choice(only);
    }
    let mut text = "one of ".to_owned();
    for (place, option) in all.iter().take(MAX_CHOICES).enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{}", choice(option));
    }
    if all.len() > MAX_CHOICES {
        let _ = write!(text, " and {} more", all.len() - MAX_CHOICES);
    }
    text
}

fn choice(value: &Value) -> String {
    match value {
        // Words stand bare in a list; what could be misread is quoted.
        Value::String(word) if !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == ',') => {
            short(word)
        }
        Value::Array(_) | Value::Object(_) => short(&value.to_string()),
        scalar => found(scalar),
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn fitting(pointer: &str) -> String {
    let mut fits = pointer;
    while fits.len() > MAX_POINTER_BYTES {
        fits = fits.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    fits.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: Value, event: Value) -> Vec<(String, String)> {
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        assert!(!validator.is_valid(&event), "{event} is accepted");
        errors(&validator, &event).into_iter().map(|error| (error.pointer, error.detail)).collect()
    }

    #[track_caller]
    fn check(schema: Value, event: Value, pointer: &str, detail: &str) {
        assert_eq!(told(schema, event), [(pointer.to_owned(), detail.to_owned())]);
    }

    #[test]
    fn each_keyword_says_what_it_expected_and_what_it_found() {
        for (rule, value, detail) in [
            (json!({"type": "string"}), json!(7), "expected a string; found 7"),
            (json!({"type": ["string", "null"]}), json!([]), "expected null or a string; found an array"),
            (json!({"const": "on"}), json!("off"), "expected on; found \"off\""),
            (json!({"const": {"a": 1}}), json!(null), "expected {\"a\":1}; found null"),
            (json!({"enum": ["a", "b c", "", 3]}), json!({}), "expected one of a, \"b c\", \"\", 3; found an object"),
            (json!({"enum": ["a"]}), json!("b"), "expected a; found \"b\""),
            (json!({"minimum": 2}), json!(1), "expected at least 2; found 1"),
            (json!({"exclusiveMaximum": 2.5}), json!(3), "expected less than 2.5; found 3"),
            (json!({"multipleOf": 5}), json!(7), "expected a multiple of 5; found 7"),
            (json!({"minLength": 1}), json!(""), "expected a string of at least 1 character; found \"\""),
            (json!({"maxLength": 2}), json!("abc"), "expected a string of at most 2 characters; found \"abc\""),
            (
                json!({"pattern": "^[a-z]+$"}),
                json!("A\n"),
                "expected a string that matches ^[a-z]+$; found \"A\u{fffd}\"",
            ),
            (json!({"minItems": 1}), json!([]), "expected an array of at least 1 item; found an array"),
            (json!({"uniqueItems": true}), json!([1, 1]), "expected an array without an item twice; found an array"),
            (json!({"maxProperties": 0}), json!({"a": 1}), "expected an object of at most 0 fields; found an object"),
            (json!(false), json!(1), "nothing may be here; found 1"),
            (json!({"not": {"const": 1}}), json!(1), "1 is not allowed here"),
            (json!({"not": {"const": 1, "description": "why"}}), json!(1), "1 is not allowed here: why"),
        ] {
            check(json!({"properties": {"x": rule}}), json!({"x": value}), "/x", detail);
        }
    }

    #[test]
    fn a_pointer_leads_to_what_is_missing_or_too_much() {
        let schema = json!({"properties": {"a/b": {"items": {"required": ["~c"]}}}});
        check(schema, json!({"a/b": [{"~c": 1}, {}]}), "/a~1b/1/~0c", "`~c` is required");
        let closed = json!({"properties": {"a": true}, "additionalProperties": false});
        let both = told(closed, json!({"a": 1, "b": 2, "c": 3}));
        assert_eq!(both[0], ("/b".to_owned(), "`b` is not a field that may be here".to_owned()));
        assert_eq!(both[1].0, "/c");
        check(json!({"additionalProperties": false}), json!({"b": 2}), "", "expected an object without fields");
        let names = json!({"propertyNames": {"maxLength": 1}});
        let detail =
            "`long` cannot be the name of a field here: expected a string of at most 1 character; found \"long\"";
        check(names, json!({"long": 1}), "/long", detail);
    }

    #[test]
    fn alternatives_name_the_nearest() {
        let by_kind = |kind: &str, field: &str| json!({"required": [field], "properties": {"kind": {"const": kind}}});
        for keyword in ["anyOf", "oneOf"] {
            let schema = json!({"properties": {"x": {keyword: [by_kind("a", "size"), by_kind("b", "weight")]}}});
            let detail = "fits none of the 2 alternatives; the nearest says at /x/weight: `weight` is required";
            check(schema, json!({"x": {"kind": "b"}}), "/x", detail);
        }
        let detail = "fits more than one of the alternatives, and must fit exactly one";
        check(json!({"oneOf": [true, true]}), json!({}), "", detail);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let schema = json!({"items": {"type": "string"}, "patternProperties": {"": {"type": "string"}}});
        assert_eq!(told(schema.clone(), vec![json!(1); 500].into()).len(), 20);
        let long = "k".repeat(5_000);
        assert_eq!(told(schema, json!({long.as_str(): 1}))[0].0, "", "the nearest parent that fits");
        let choices: Vec<_> = (0..500).collect();
        let detail = &told(json!({"enum": choices}), json!(long))[0].1;
        assert!(detail.contains("18, 19 and 480 more; found \"kkk") && detail.len() < 200, "{detail}");
        let closed = json!({"properties": {"a": true}, "additionalProperties": false});
        let many: serde_json::Map<_, _> = (0..500).map(|number| (number.to_string(), json!(1))).collect();
        assert_eq!(told(closed, many.into()).len(), 20);
    }

    #[test]
    fn the_same_objection_is_told_once() {
        check(json!({"type": "object", "allOf": [{"type": "object"}]}), json!(1), "", "expected an object; found 1");
    }
}
