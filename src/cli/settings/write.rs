//! Writes settings into a file's text, TOML or JSON, so that reading it again gives the
//! same.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::file::Format;
use super::{Entry, SECTIONS, Settings};

/// What stands at the top of a TOML file that was exported.
const HEAD: &str = "\
# The settings of one environment, for `posthaste apply`. What is left out is its default.
# Secrets are not in here. A header's value is `(redacted)`: as it is. To make the endpoint
# elsewhere, give it as a text, { env = \"NAME\" } or { file = \"PATH\" }.
";

/// The text of a file.
pub fn text(settings: &Settings, format: Format) -> String {
    match format {
        Format::Toml => toml(settings),
        Format::Json => {
            let mut value = json!({ "environment": settings.environment.as_str() });
            for (section, entries) in sections(settings) {
                value[section] = entries.iter().map(|entry| Value::Object(entry.fields.clone())).collect();
            }
            let mut text = serde_json::to_string_pretty(&value).expect("a JSON value prints as JSON");
            text.push('\n');
            text
        }
    }
}

fn sections(settings: &Settings) -> impl Iterator<Item = (&'static str, &[Entry])> {
    SECTIONS.into_iter().zip([&*settings.event_types, &*settings.partners, &*settings.endpoints])
}

fn toml(settings: &Settings) -> String {
    let mut text = format!("{HEAD}environment = {}\n", quoted(settings.environment.as_str()));
    for (section, entries) in sections(settings) {
        for Entry { fields, .. } in entries {
            let _ = write!(text, "\n[[{section}]]\n");
            for (name, value) in fields {
                let _ = match json_text(name, value) {
                    Some(json) => writeln!(text, "{name} = {json}"),
                    None => writeln!(text, "{} = {}", key(name), inline(value)),
                };
            }
        }
    }
    text
}

/// What is JSON in its own right stands in the file as a text of it: it may be long, and
/// have what TOML has not.
fn json_text(name: &str, value: &Value) -> Option<String> {
    if !matches!(name, "schema" | "example" | "filter") {
        return None;
    }
    let json = serde_json::to_string_pretty(value).expect("a JSON value prints as JSON");
    let fits_as_it_is = !json.contains("'''") && !json.contains('\u{7f}');
    Some(if fits_as_it_is { format!("'''\n{json}'''") } else { quoted(&value.to_string()) })
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// JSON's escapes are TOML's, but for one character that JSON leaves as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn inline(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        // Only a text of JSON can say it; entries have no such field.
        Value::Null => quoted("null"),
        Value::String(text) => quoted(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(inline).collect())),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{} = {}", key(name), inline(value));
            format!("{{ {} }}", list(fields.iter().map(field).collect()))
        }
    }
}

/// An entry with these fields, in this order, without those that are their default.
pub fn entry(fields: &Map<String, Value>, defaults: &Map<String, Value>, order: &[&str]) -> Entry {
    let named = order.iter().filter_map(|name| fields.get(*name).map(|value| ((*name).to_owned(), value.clone())));
    let fields = named.filter(|(name, value)| !value.is_null() && defaults.get(name) != Some(value)).collect();
    Entry { place: String::new(), fields }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::settings::file::parse;
    use crate::domain::Environment;

    /// Any JSON, of what TOML may say and of what it may not.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            "\\PC*".prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Value::from),
            Just(json!("'''")),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z.' \"\\\\]{0,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn named(name: &str, fields: Value) -> Entry {
        let Value::Object(fields) = fields else { panic!("an object") };
        let mut all = Map::from_iter([("name".to_owned(), json!(name))]);
        all.extend(fields);
        Entry { place: String::new(), fields: all }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            schema in json().prop_filter("null is nothing", |value| !value.is_null()),
            description in "\\PC{0,20}",
            header in "[a-z-]{1,5}",
            url in "https://[a-z]{1,8}\\.com/[a-z]{0,5}",
        ) {
            // A schema that is a text would be read as JSON; there is no such schema.
            let schema = json!({ "const": schema });
            let endpoint = json!({
                "partner": "acme", "url": url, "events": ["a", "b.*"], "description": description,
                "headers": { header: "(redacted)" }, "retry": { "retries": 3, "factor": 1.5 },
                "ordering": { "by": "/id" }, "filter": schema,
            });
            let settings = Settings {
                environment: Environment::Sandbox,
                event_types: vec![named("a.b", json!({ "schema": schema, "example": { "event": "a.b" } }))],
                partners: vec![named("acme", json!({}))],
                endpoints: vec![Entry { place: String::new(), fields: crate::cli::settings::file::fields_of(endpoint) }],
            };
            for format in [Format::Toml, Format::Json] {
                let text = text(&settings, format);
                let mut read = match parse("t", &text, format) {
                    Ok(read) => read,
                    Err(error) => return Err(TestCaseError::fail(format!("{error}:\n{text}"))),
                };
                for entry in read.event_types.iter_mut().chain(&mut read.partners).chain(&mut read.endpoints) {
                    entry.place.clear();
                }
                prop_assert_eq!(&read, &settings, "{}", text);
            }
        }
    }
}
