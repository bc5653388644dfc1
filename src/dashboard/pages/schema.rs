//! A JSON Schema as a table that people read: each field, what it may be, and whether
//! it must be there. What a table cannot say, it says that it does not. Pure.

use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::words;

/// Most rows.
const ROWS_MAX: usize = 200;
/// How deep fields of fields are listed.
const DEPTH_MAX: usize = 6;
/// Rules between fields, which a table has no place for.
const RULES: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "dependentRequired", "dependentSchemas", "$ref", "patternProperties"];

/// A field.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    kind: String,
    values: String,
    is_required: bool,
    description: String,
}

/// The table.
pub fn table(schema: &str) -> Markup {
    let Ok(schema) = serde_json::from_str::<Value>(schema) else {
        return html! { p { "This schema is only readable raw." } };
    };
    let mut rows = Vec::new();
    let has_rules = fields(&schema, "", 0, &mut rows);
    html! {
        div.list {
            table {
                caption { "Each field of the event." }
                thead { tr { th scope="col" { "Field" } th scope="col" { "Type" } th scope="col" { "Values" } th scope="col" { "Required" } } }
                tbody {
                    @for row in rows.iter().take(ROWS_MAX) {
                        tr {
                            td { code { (row.name) } @if !row.description.is_empty() { br; span.muted.small { (words::marked(&row.description)) } } }
                            td { (row.kind) }
                            td.line2 { (row.values) }
                            td.last.nowrap { @if row.is_required { "required" } @else { span.muted { "optional" } } }
                        }
                    }
                }
            }
        }
        @if rows.len() > ROWS_MAX { p.muted { "There are more fields: see it raw." } }
        @if has_rules { p.muted { "It has rules between fields as well: see it raw." } }
    }
}

/// The fields of an object's schema; whether there are rules that no row says.
fn fields(schema: &Value, before: &str, depth: usize, rows: &mut Vec<Row>) -> bool {
    let mut has_rules = RULES.iter().any(|rule| schema.get(rule).is_some());
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return has_rules };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in properties {
        if rows.len() > ROWS_MAX {
            return has_rules;
        }
        let path = format!("{before}{name}");
        rows.push(Row {
            name: path.clone(),
            kind: kind(field),
            values: values(field),
            is_required: required.contains(&name.as_str()),
            description: field.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        });
        if depth < DEPTH_MAX {
            has_rules |= fields(field, &format!("{path}."), depth + 1, rows);
            if let Some(items) = field.get("items") {
                has_rules |= fields(items, &format!("{path}[]."), depth + 1, rows);
            }
        }
    }
    has_rules
}

fn kind(field: &Value) -> String {
    match field.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ if has_only_texts(field) => "string".to_owned(),
        _ => "any".to_owned(),
    }
}

/// Whether it lists the values that there may be, and all are texts.
fn has_only_texts(field: &Value) -> bool {
    let values = field.get("enum").and_then(Value::as_array);
    values.is_some_and(|values| !values.is_empty() && values.iter().all(Value::is_string))
}

fn values(field: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(only) = field.get("const") {
        return plain(only);
    }
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        return values.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    let mut bounds = Vec::new();
    for (name, word) in [
        ("minimum", "at least"),
        ("exclusiveMinimum", "more than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
        ("minLength", "characters, at least"),
        ("maxLength", "characters, at most"),
        ("minItems", "items, at least"),
        ("maxItems", "items, at most"),
        ("format", ""),
        ("pattern", "like"),
    ] {
        if let Some(bound) = field.get(name) {
            bounds.push(format!("{word} {}", plain(bound)).trim().to_owned());
        }
    }
    bounds.join("; ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_fields_are_listed() {
        let schema = json!({
            "required": ["id"],
            "properties": {
                "id": { "type": ["string", "integer"], "description": "which" },
                "ad": { "type": "object", "required": ["status"], "properties": { "status": { "enum": ["a", 1] } } },
                "shots": { "type": "array", "items": { "properties": { "n": { "minimum": 1 } }, "if": {} } },
                "unit": { "enum": ["s", "ms"] },
            },
        });
        let mut rows = Vec::new();
        assert!(fields(&schema, "", 0, &mut rows), "a rule is not shown");
        let said: Vec<(&str, &str, &str, bool)> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.kind.as_str(), row.values.as_str(), row.is_required))
            .collect();
        assert_eq!(
            said,
            [
                ("id", "string or integer", "", true),
                ("ad", "object", "", false),
                ("ad.status", "any", "a, 1", true),
                ("shots", "array", "", false),
                ("shots[].n", "any", "at least 1", false),
                ("unit", "string", "s, ms", false),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_schema_is_too_odd(text in "\\PC{0,60}") {
            let _ = table(&text);
            let _ = table(&json!({ "properties": { text.clone(): { "type": text.clone(), "enum": [text] } }, "required": 3 }).to_string());
        }
    }
}
