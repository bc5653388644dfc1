//! The body of `POST /webhook` and `PATCH /webhook/{id}`: each field by its
//! own rule, every problem named at once, nothing silently ignored.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::catalog::{self, Catalog, FieldError, Filter, pointer_below};
use crate::domain::{
    DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_MS, EndpointSettings, Environment, EventOrder, Header, MAX_CONCURRENCY,
    MAX_DESCRIPTION_CHARS, MAX_EVENT_TYPES, MAX_HEADERS, MAX_RATE, MAX_TIMEOUT_MS, MIN_TIMEOUT_MS, Signing, Timestamp,
    TypePattern,
};
use crate::policy::address::AddressPolicy;
use crate::policy::signature::{self, SigningKey};
use crate::routes::certificate;
use crate::routes::problem::{FieldProblem, Kind, Problem};
use crate::routes::retry::{self, RetryLimits};
use crate::routes::show::REDACTED;
use crate::routes::signing;

/// Fields that this route knows.
pub(super) const KNOWN: [&str; 17] = [
    "url",
    "events",
    "description",
    "enabled",
    "headers",
    "secret",
    "format",
    "ordering",
    "rate_limit",
    "max_concurrency",
    "timeout_ms",
    "retry",
    "disable_on_gone",
    "filter",
    "partners",
    "signing",
    "client_certificate",
];

/// What is said to whoever sends back what was shown.
const SHOWN_REDACTED: &str = "`(redacted)` stands for a value that is not shown: leave `headers` out to keep all of \
                              them, or give every value anew";

/// What a body's fields are judged by.
pub struct Rules<'a> {
    /// Which URLs may be registered.
    pub addresses: &'a AddressPolicy,
    /// Which event types there are.
    pub catalog: &'a Catalog,
    /// Where the endpoint is.
    pub environment: Environment,
    /// How much a schedule of retries may ask for.
    pub retries: &'a RetryLimits,
    /// Whether the endpoint is for all partners: it hears of their troubles, and of
    /// nothing else.
    pub for_all_partners: bool,
    /// What a certificate must not have ended by.
    pub now: Timestamp,
}

/// Whether the body of a new endpoint says that it is for all partners.
pub fn is_for_all_partners(fields: &Map<String, Value>) -> bool {
    fields.get("partners").is_some_and(|partners| partners == "*")
}

/// What is wrong with a description that not every store can keep.
pub fn not_text(description: &str) -> Option<FieldProblem> {
    description.contains('\0').then(|| FieldProblem::new("/description", "must not contain the character U+0000"))
}

/// A JSON object's fields.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match catalog::read_json(body)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::new(Kind::Invalid, "the body is a JSON object")),
    }
}

/// The settings of a new endpoint, and the secret or key pair it asks for.
pub fn new_endpoint(
    fields: Map<String, Value>,
    rules: &Rules<'_>,
) -> Result<(EndpointSettings, Option<SigningKey>), Problem> {
    let mut reader = Reader { errors: Vec::new(), rules };
    for required in ["url", "events"] {
        if !fields.contains_key(required) {
            reader.wrong(required, format!("`{required}` is required"));
        }
    }
    let mut settings = EndpointSettings::new("", Vec::new());
    let secret = reader.apply(&mut settings, fields);
    let secret = reader.secret(secret, settings.signing);
    reader.finish()?;
    Ok((settings, secret))
}

/// An endpoint's settings with some of them changed; `null` sets a field back
/// to its default.
pub fn changed(
    mut settings: EndpointSettings,
    fields: Map<String, Value>,
    rules: &Rules<'_>,
) -> Result<EndpointSettings, Problem> {
    let mut reader = Reader { errors: Vec::new(), rules };
    if fields.contains_key("secret") {
        reader.wrong("secret", "a secret is changed by `POST /webhook/{id}/secret/rotate`");
    }
    let signing = settings.signing;
    reader.apply(&mut settings, fields);
    if settings.signing != signing {
        let detail = format!(
            "it signs by {signing}; `POST /webhook/{{id}}/secret/rotate` with {{\"signing\": \"{}\"}} changes that, and \
             for a while both sign",
            settings.signing,
        );
        reader.wrong("signing", detail);
    }
    reader.finish()?;
    Ok(settings)
}

struct Reader<'a> {
    errors: Vec<FieldProblem>,
    rules: &'a Rules<'a>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.errors.push(FieldProblem::new(pointer_below("", field), detail));
    }

    fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// Gives back the secret that is asked for, which is judged by how it is to sign.
    fn apply(&mut self, settings: &mut EndpointSettings, fields: Map<String, Value>) -> Option<Value> {
        let mut secret = None;
        for (field, value) in fields {
            match field.as_str() {
                "url" => self.url(settings, &value),
                "events" => self.events(settings, &value),
                "description" => self.description(settings, value),
                "enabled" => match value {
                    Value::Null => settings.enabled = true,
                    Value::Bool(enabled) => settings.enabled = enabled,
                    _ => self.wrong("enabled", "expected true or false"),
                },
                "headers" => self.headers(settings, &value),
                "secret" => secret = Some(value),
                "signing" => match signing::read(&value) {
                    Ok(signing) => settings.signing = signing.unwrap_or_default(),
                    Err(detail) => self.wrong("signing", detail),
                },
                "max_concurrency" => {
                    let most = u64::from(MAX_CONCURRENCY);
                    if let Some(number) = self.number("max_concurrency", &value, 1, most, DEFAULT_CONCURRENCY.into()) {
                        settings.max_concurrency = u32::try_from(number).unwrap_or(MAX_CONCURRENCY);
                    }
                }
                "timeout_ms" => {
                    let bounds = (MIN_TIMEOUT_MS, MAX_TIMEOUT_MS);
                    if let Some(millis) = self.number("timeout_ms", &value, bounds.0, bounds.1, DEFAULT_TIMEOUT_MS) {
                        settings.timeout = Duration::from_millis(millis);
                    }
                }
                "retry" => match retry::read(&value, self.rules.retries) {
                    Ok(policy) => settings.retry = policy,
                    Err(problems) => self.errors.extend(problems),
                },
                "disable_on_gone" => match value {
                    Value::Null => settings.disable_on_gone = false,
                    Value::Bool(disable) => settings.disable_on_gone = disable,
                    _ => self.wrong("disable_on_gone", "expected true or false"),
                },
                "format" => self.only_default("format", &value, "flat"),
                "ordering" => self.ordering(settings, &value),
                "rate_limit" => self.rate_limit(settings, &value),
                "filter" => self.filter(settings, &value),
                "partners" => self.partners(&value),
                "client_certificate" => match certificate::read(&value, self.rules.now) {
                    Ok(certificate) => settings.client_certificate = certificate.map(Arc::new),
                    Err(problems) => self.errors.extend(problems),
                },
                unknown => {
                    let known = KNOWN.map(|name| format!("`{name}`")).join(", ");
                    self.wrong(unknown, format!("unknown field; there is {known}"));
                }
            }
        }
        if settings.client_certificate.is_some() && settings.url.starts_with("http:") {
            self.wrong("client_certificate", "an http URL is sent no certificate: use https, or leave this out");
        }
        secret
    }

    fn url(&mut self, settings: &mut EndpointSettings, value: &Value) {
        let Value::String(text) = value else { return self.wrong("url", "expected a string") };
        match self.rules.addresses.check_url(text, self.rules.environment) {
            Ok(url) => settings.url = url.as_str().to_owned(),
            Err(problem) => self.wrong("url", problem.to_string()),
        }
    }

    fn events(&mut self, settings: &mut EndpointSettings, value: &Value) {
        let Value::Array(items) = value else {
            return self.wrong("events", "expected an array of event types or patterns such as `campaign.*` and `*`");
        };
        if items.is_empty() {
            return self.wrong("events", "name at least one event type, or use `*` for all");
        }
        if items.len() > MAX_EVENT_TYPES {
            return self.wrong("events", format!("the limit is {MAX_EVENT_TYPES} event types; use patterns"));
        }
        let mut patterns: Vec<TypePattern> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let field = || format!("/events/{index}");
            let Value::String(text) = item else {
                self.errors.push(FieldProblem::new(field(), "expected a string"));
                continue;
            };
            match text.parse::<TypePattern>() {
                Err(error) => self.errors.push(FieldProblem::new(field(), error.to_string())),
                Ok(pattern) if !self.rules.catalog.knows(&pattern) => {
                    let detail = format!("no event type of the catalog is `{text}`; `GET /event-types` lists them");
                    self.errors.push(FieldProblem::new(field(), detail));
                }
                Ok(pattern) if self.rules.for_all_partners && !pattern.is_system() => {
                    let detail = format!("an endpoint for all partners gets `posthaste.` events only, not `{text}`");
                    self.errors.push(FieldProblem::new(field(), detail));
                }
                Ok(pattern) => {
                    if !patterns.contains(&pattern) {
                        patterns.push(pattern);
                    }
                }
            }
        }
        settings.events = patterns;
    }

    fn description(&mut self, settings: &mut EndpointSettings, value: Value) {
        match value {
            Value::Null => settings.description = None,
            Value::String(text) if text.chars().count() <= MAX_DESCRIPTION_CHARS => settings.description = Some(text),
            Value::String(_) => {
                self.wrong("description", format!("the limit is {MAX_DESCRIPTION_CHARS} characters"));
            }
            _ => self.wrong("description", "expected a string"),
        }
    }

    fn headers(&mut self, settings: &mut EndpointSettings, value: &Value) {
        let fields = match value {
            Value::Null => return settings.headers.clear(),
            Value::Object(fields) => fields,
            _ => return self.wrong("headers", "expected an object of names and values"),
        };
        if fields.len() > MAX_HEADERS {
            return self.wrong("headers", format!("the limit is {MAX_HEADERS} headers"));
        }
        let mut headers: Vec<Header> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let pointer = pointer_below("/headers", name);
            let Value::String(value) = value else {
                self.errors.push(FieldProblem::new(pointer, "expected a string"));
                continue;
            };
            if value == REDACTED {
                self.errors.push(FieldProblem::new(pointer, SHOWN_REDACTED));
                continue;
            }
            match Header::new(name, value) {
                Ok(header) if headers.iter().any(|known| known.name == header.name) => {
                    self.errors.push(FieldProblem::new(pointer, "given twice: names have no case"));
                }
                Ok(header) => headers.push(header),
                Err(problem) => self.errors.push(FieldProblem::new(pointer, problem.to_string())),
            }
        }
        settings.headers = headers;
    }

    fn secret(&mut self, value: Option<Value>, signing: Signing) -> Option<SigningKey> {
        // Of which kind it has to be is not known where that is wrong.
        if self.errors.iter().any(|error| error.pointer == "/signing") {
            return None;
        }
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match signature::given(&text, signing) {
                Ok(key) => Some(key),
                Err(error) => {
                    self.wrong("secret", error.to_string());
                    None
                }
            },
            Some(_) => {
                self.wrong("secret", "expected a string");
                None
            }
        }
    }

    fn number(&mut self, field: &str, value: &Value, least: u64, most: u64, default: u64) -> Option<u64> {
        if value.is_null() {
            return Some(default);
        }
        let found = value.as_u64().filter(|number| (least..=most).contains(number));
        if found.is_none() {
            self.wrong(field, format!("expected a whole number from {least} to {most}"));
        }
        found
    }

    fn rate_limit(&mut self, settings: &mut EndpointSettings, value: &Value) {
        let fields = match value {
            Value::Null => return settings.rate_limit = None,
            Value::Object(fields) => fields,
            _ => return self.wrong("rate_limit", "expected an object such as {\"per_second\": 10}"),
        };
        for unknown in fields.keys().filter(|name| name.as_str() != "per_second") {
            let pointer = pointer_below("/rate_limit", unknown);
            self.errors.push(FieldProblem::new(pointer, "unknown field; there is `per_second`"));
        }
        let number = fields.get("per_second").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| (1..=MAX_RATE).contains(number)) {
            Some(number) => settings.rate_limit = Some(number),
            None => {
                let detail = format!("expected a whole number from 1 to {MAX_RATE}");
                self.errors.push(FieldProblem::new("/rate_limit/per_second", detail));
            }
        }
    }

    fn filter(&mut self, settings: &mut EndpointSettings, value: &Value) {
        if value.is_null() {
            settings.filter = None;
            return;
        }
        match Filter::checked(value) {
            Ok(filter) => settings.filter = Some(filter),
            Err(FieldError { pointer, detail }) => {
                self.errors.push(FieldProblem::new(format!("/filter{pointer}"), detail));
            }
        }
    }

    fn ordering(&mut self, settings: &mut EndpointSettings, value: &Value) {
        let expected = "expected `none`, `fifo`, or an object with a JSON pointer such as {\"by\": \"/id\"}";
        match value {
            Value::Null => settings.order = None,
            Value::String(word) if word == "none" => settings.order = None,
            Value::String(word) if word == "fifo" => settings.order = Some(EventOrder::Fifo),
            Value::Object(fields) => {
                for unknown in fields.keys().filter(|name| name.as_str() != "by") {
                    let pointer = pointer_below("/ordering", unknown);
                    self.errors.push(FieldProblem::new(pointer, "unknown field; there is `by`"));
                }
                match fields.get("by").map(|by| by.as_str().map(str::parse)) {
                    Some(Some(Ok(pointer))) => settings.order = Some(EventOrder::By(pointer)),
                    Some(Some(Err(error))) => {
                        self.errors.push(FieldProblem::new("/ordering/by", error.to_string()));
                    }
                    Some(None) | None => self.errors.push(FieldProblem::new("/ordering/by", expected)),
                }
            }
            _ => self.wrong("ordering", expected),
        }
    }

    /// Said once, when it is made.
    fn partners(&mut self, value: &Value) {
        let expected = if self.rules.for_all_partners { Value::from("*") } else { Value::Null };
        if *value != expected {
            self.wrong(
                "partners",
                "`*`, for all partners, or left out when the endpoint is made; it cannot be changed",
            );
        }
    }

    fn only_default(&mut self, field: &str, value: &Value, default: &str) {
        if !value.is_null() && value != default {
            self.wrong(field, format!("only `{default}` is available in this version"));
        }
    }
}
