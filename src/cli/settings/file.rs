//! Reads settings out of a file, TOML or JSON by its name's end, and says where in it a
//! mistake is. Whether values may be is the node's to say; here is only what could not be
//! sent to it, or would be passed over.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};
use toml::de::DeTable;

use super::{Entry, SECTIONS, Settings, SettingsError};
use crate::catalog;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A name that ends in `.toml`.
    Toml,
    /// A name that ends in `.json`.
    Json,
}

impl Format {
    /// By a file's name.
    pub fn of(path: &Path) -> Result<Self, SettingsError> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("toml") => Ok(Self::Toml),
            Some("json") => Ok(Self::Json),
            _ => Err(SettingsError::wrong(path.display().to_string(), "the name must end in `.toml` or `.json`")),
        }
    }
}

/// The fields of each section: what there is, and what must be there.
const FIELDS: [(&str, &[&str], &[&str]); 3] = [
    ("event_type", &["name", "description", "schema", "example", "retry", "indexed"], &["name", "schema", "example"]),
    ("partner", &["name"], &["name"]),
    (
        "endpoint",
        &[
            "partner",
            "url",
            "events",
            "description",
            "enabled",
            "headers",
            "secret",
            "signing",
            "client_certificate",
            "format",
            "ordering",
            "rate_limit",
            "max_concurrency",
            "timeout_ms",
            "retry",
            "disable_on_gone",
            "filter",
        ],
        &["partner", "url", "events"],
    ),
];

/// Fields that are JSON themselves, and may stand in the file as a text of it.
const JSON_TEXTS: [&str; 3] = ["schema", "example", "filter"];

/// Reads the file.
pub fn read(path: &Path) -> Result<Settings, SettingsError> {
    let format = Format::of(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    })?;
    parse(&path.display().to_string(), &text, format)
}

/// Reads a file's text.
pub fn parse(name: &str, text: &str, format: Format) -> Result<Settings, SettingsError> {
    let (value, lines) = match format {
        Format::Toml => from_toml(name, text)?,
        Format::Json => (from_json(name, text)?, HashMap::new()),
    };
    let Value::Object(mut fields) = value else {
        return Err(SettingsError::wrong(name, "the file is an object with `environment` and sections"));
    };
    let environment = match fields.remove("environment") {
        Some(Value::String(text)) => {
            text.parse().map_err(|error| SettingsError::wrong(format!("{name}: /environment"), format!("{error}")))?
        }
        _ => {
            let detail = "`environment` is required: \"production\" or \"sandbox\"";
            return Err(SettingsError::wrong(format!("{name}: /environment"), detail));
        }
    };
    let mut section = |section: &'static str| -> Result<Vec<Entry>, SettingsError> {
        let items = match fields.remove(section) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => {
                let detail = format!("expected a list: `[[{section}]]` before each, or an array in JSON");
                return Err(SettingsError::wrong(format!("{name}: /{section}"), detail));
            }
        };
        let entry = |(index, item): (usize, Value)| {
            let place = match lines.get(&(section.to_owned(), index)) {
                Some(line) => format!("{name}:{line}: /{section}/{index}"),
                None => format!("{name}: /{section}/{index}"),
            };
            entry(section, place, item)
        };
        items.into_iter().enumerate().map(entry).collect()
    };
    let settings = Settings {
        environment,
        event_types: section("event_type")?,
        partners: section("partner")?,
        endpoints: section("endpoint")?,
    };
    if let Some(unknown) = fields.keys().next() {
        let known = SECTIONS.map(|known| format!("`{known}`")).join(", ");
        let place = format!("{name}: /{unknown}");
        return Err(SettingsError::wrong(place, format!("unknown; there is `environment`, and the sections {known}")));
    }
    once_each(&settings)?;
    Ok(settings)
}

fn entry(section: &str, place: String, item: Value) -> Result<Entry, SettingsError> {
    let Value::Object(mut fields) = item else {
        return Err(SettingsError::wrong(place, "expected a table of fields, an object in JSON"));
    };
    let (known, required) = FIELDS
        .iter()
        .find(|(name, _, _)| *name == section)
        .map_or((&[][..], &[][..]), |(_, known, required)| (*known, *required));
    if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) {
        let known = known.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        return Err(SettingsError::wrong(format!("{place}/{unknown}"), format!("unknown field; there is {known}")));
    }
    // What is null is what it is by default, as in the API.
    fields.retain(|_, value| !value.is_null());
    if let Some(missing) = required.iter().find(|field| !fields.contains_key(**field)) {
        return Err(SettingsError::wrong(format!("{place}/{missing}"), format!("`{missing}` is required")));
    }
    for field in ["name", "partner", "url"] {
        if fields.get(field).is_some_and(|value| !value.is_string()) {
            return Err(SettingsError::wrong(format!("{place}/{field}"), "expected a text"));
        }
    }
    for field in JSON_TEXTS {
        if let Some(Value::String(text)) = fields.get(field) {
            let read = catalog::read_json(text.as_bytes());
            let read = read.map_err(|error| SettingsError::wrong(format!("{place}/{field}"), format!("{error}")))?;
            fields.insert(field.to_owned(), read);
        }
    }
    let entry = Entry { place, fields };
    check_references(&entry)?;
    Ok(entry)
}

/// What may be named instead of written down.
fn check_references(entry: &Entry) -> Result<(), SettingsError> {
    let certificate = entry.fields.get("client_certificate");
    let members = |field: &str, value: Option<&Value>| -> Vec<(String, Value)> {
        let fields = value.and_then(Value::as_object).into_iter().flatten();
        fields.map(|(name, value)| (format!("{field}/{name}"), value.clone())).collect()
    };
    let mut values = members("headers", entry.fields.get("headers"));
    values.extend(members("client_certificate", certificate));
    values.extend(entry.fields.get("secret").map(|secret| ("secret".to_owned(), secret.clone())));
    for (field, value) in values {
        Given::of(&value).map_err(|detail| SettingsError::wrong(format!("{}/{field}", entry.place), detail))?;
    }
    if let Some(certificate) = certificate {
        fingerprint(certificate)
            .map_err(|detail| SettingsError::wrong(format!("{}/client_certificate", entry.place), detail))?;
    }
    Ok(())
}

/// A value that may be a secret, and how the file gives it.
pub(super) enum Given {
    /// As it is.
    Text(String),
    /// In a variable of the environment.
    Variable(String),
    /// In a file.
    File(String),
}

impl Given {
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let expected = "expected a text, { env = \"NAME\" } or { file = \"PATH\" }";
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Object(fields) if fields.len() == 1 => match (fields.get("env"), fields.get("file")) {
                (Some(Value::String(name)), None) => Ok(Self::Variable(name.clone())),
                (None, Some(Value::String(path))) => Ok(Self::File(path.clone())),
                _ => Err(expected.to_owned()),
            },
            _ => Err(expected.to_owned()),
        }
    }

    /// The value itself. No error repeats it.
    pub(super) fn reveal(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Variable(name) => std::env::var(&name)
                .map_err(|_| format!("the environment has no variable `{name}` that is UTF-8: set it")),
            Self::File(path) => std::fs::read_to_string(&path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("cannot read `{path}`: {error}")),
        }
    }
}

/// Which certificate that is: by what the file gives, or by the fingerprint that stands
/// there instead.
pub(super) fn fingerprint(certificate: &Value) -> Result<String, String> {
    use sha2::Digest as _;

    let Value::Object(fields) = certificate else {
        return Err("expected a table with `certificate` and `key`, or with the `sha256` of the one that is set".into());
    };
    if let Some(unknown) = fields.keys().find(|field| !["certificate", "key", "sha256"].contains(&field.as_str())) {
        return Err(format!("unknown field `{unknown}`; there is `certificate` and `key`, or `sha256`"));
    }
    match (fields.get("certificate"), fields.get("key"), fields.get("sha256")) {
        (None, None, Some(Value::String(sha256))) => Ok(sha256.to_ascii_lowercase()),
        (Some(certificate), Some(_), None) => {
            let text = Given::of(certificate)?.reveal()?;
            let first = CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|error| format!("`certificate` is no PEM of a certificate: {error}"))?;
            Ok(sha2::Sha256::digest(&first).iter().map(|byte| format!("{byte:02x}")).collect())
        }
        _ => Err("expected `certificate` and `key`, or `sha256` alone for the one that is set".into()),
    }
}

/// Refuses what is there twice: which of them holds would be anybody's guess.
fn once_each(settings: &Settings) -> Result<(), SettingsError> {
    let mut seen: HashSet<(&str, String, String)> = HashSet::new();
    let named = |section, entries: &[Entry]| {
        entries
            .iter()
            .map(|entry| (section, entry.text("name").to_owned(), String::new(), entry.place.clone()))
            .collect()
    };
    let mut all: Vec<(&str, String, String, String)> = named("event type", &settings.event_types);
    all.extend::<Vec<_>>(named("partner", &settings.partners));
    all.extend(settings.endpoints.iter().map(|entry| {
        let (partner, url) = entry.endpoint_key();
        ("endpoint", partner, url, entry.place.clone())
    }));
    for (section, name, url, place) in all {
        let shown = if url.is_empty() { format!("`{name}`") } else { format!("{url} of `{name}`") };
        if !seen.insert((section, name, url)) {
            return Err(SettingsError::wrong(place, format!("the {section} {shown} is there twice: leave one out")));
        }
    }
    Ok(())
}

fn from_json(name: &str, text: &str) -> Result<Value, SettingsError> {
    catalog::read_json(text.as_bytes()).map_err(|error| SettingsError::wrong(name, format!("{error}")))
}

/// A file's value, and the line on which each entry of a section begins.
type WithLines = (Value, HashMap<(String, usize), usize>);

fn from_toml(name: &str, text: &str) -> Result<WithLines, SettingsError> {
    let at = |error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        SettingsError::wrong(format!("{name}:{line}"), error.message().to_owned())
    };
    let table = DeTable::parse(text).map_err(|error| at(&error))?;
    let mut lines = HashMap::new();
    for (key, value) in table.get_ref() {
        for (index, item) in value.get_ref().as_array().into_iter().flatten().enumerate() {
            lines.insert((key.get_ref().to_string(), index), line_at(text, item.span().start));
        }
    }
    let value: Value = toml::from_str(text).map_err(|error| at(&error))?;
    // TOML has what JSON has not, and reading would make something else of it.
    if let Some(pointer) = foreign(&value) {
        let detail = "neither times without quotes, nor `nan` and `inf`, can be sent as JSON: write a text or a number";
        return Err(SettingsError::wrong(format!("{name}: {pointer}"), detail));
    }
    Ok((value, lines))
}

/// The first value that TOML has and JSON has not.
fn foreign(value: &Value) -> Option<String> {
    let below = |step: String, value: &Value| foreign(value).map(|rest| format!("/{step}{rest}"));
    match value {
        Value::Null => Some(String::new()),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| below(index.to_string(), item)),
        Value::Object(fields) if fields.keys().any(|key| key.starts_with("$__toml_private")) => Some(String::new()),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| below(key.clone(), value)),
        _ => None,
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// An object's fields, of what is known to be one.
pub(super) fn fields_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse("settings.toml", text, Format::Toml).expect_err("something is wrong with it").to_string()
    }

    #[test]
    fn a_mistake_is_pointed_to() {
        let head = "environment = \"production\"\n";
        for (text, said) in [
            ("", "settings.toml: /environment: `environment` is required"),
            ("environment = \"test\"\n", "settings.toml: /environment: "),
            ("environment = \n", "settings.toml:1: "),
            (
                "environment = \"production\"\n\n[[partner]]\nnam = \"a\"\n",
                "settings.toml:3: /partner/0/nam: unknown field",
            ),
            ("environment = \"production\"\n[partner]\nname = \"a\"\n", "settings.toml: /partner: expected a list"),
            ("environment = \"production\"\ncolour = 3\n", "settings.toml: /colour: unknown"),
            ("environment = \"production\"\n[[partner]]\nname = 3\n", "/partner/0/name: expected a text"),
            (
                "environment = \"production\"\n[[partner]]\nname = \"a\"\n[[partner]]\nname = \"a\"\n",
                "settings.toml:4: /partner/1: the partner `a` is there twice",
            ),
        ] {
            let found = refused(text);
            assert!(found.contains(said), "{text}: {found}");
        }
        let endpoint = |more: &str| {
            refused(&format!("{head}[[endpoint]]\npartner = \"a\"\nurl = \"https://e.com\"\nevents = [\"*\"]\n{more}"))
        };
        for (more, said) in [
            ("filter = \"{\"\n", "/endpoint/0/filter: "),
            ("headers = { x = 3 }\n", "/endpoint/0/headers/x: expected a text, { env"),
            ("headers = { x = { env = \"A\", file = \"b\" } }\n", "/endpoint/0/headers/x: expected a text, { env"),
            (
                "client_certificate = { key = \"a\" }\n",
                "/endpoint/0/client_certificate: expected `certificate` and `key`",
            ),
            ("timeout_ms = nan\n", "/endpoint/0/timeout_ms: neither times"),
            ("description = 1979-05-27\n", "/endpoint/0/description: neither times"),
            (
                "[[endpoint]]\npartner = \"a\"\nurl = \"HTTPS://E.com:443/\"\nevents = [\"a\"]\n",
                "settings.toml:6: /endpoint/1: the endpoint https://e.com/ of `a` is there twice",
            ),
        ] {
            let found = endpoint(more);
            assert!(found.contains(said), "{more}: {found}");
        }
        let json = parse("settings.json", "{\"environment\": \"sandbox\", \"environment\": \"sandbox\"}", Format::Json);
        assert!(json.is_err(), "a key twice");
        assert!(Format::of(Path::new("settings.yaml")).is_err());
    }

    #[test]
    fn json_may_stand_in_a_text() {
        let text = "environment = \"sandbox\"\n[[event_type]]\nname = \"a.b\"\nschema = '''{\"enum\": [null]}'''\nexample = { event = \"a.b\" }\n";
        let settings = parse("settings.toml", text, Format::Toml).expect("nothing is wrong with it");
        assert_eq!(settings.event_types[0].fields["schema"], serde_json::json!({ "enum": [null] }));
        assert_eq!(settings.event_types[0].place, "settings.toml:2: /event_type/0");
    }
}
