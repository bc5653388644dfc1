//! Asks a running node for its settings by its API, and tells it steps of a plan. Its key
//! comes from a variable or a file, never from the command line, which others can see.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use awc::{Client, Connector};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::plan::{Step, StepKind};
use super::{Entry, Settings, SettingsError, normal, write};
use crate::domain::Environment;
use crate::transport::TlsClient;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer: a page of event types with their schemas.
const ANSWER_BYTES: usize = 256 << 20;
/// Where the key is, if no file is named.
const KEY_VARIABLE: &str = "POSTHASTE_OPERATOR_KEY";

/// How a node is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// Where the node listens.
    #[arg(long, env = "POSTHASTE_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The file that an operator's key is in; without it the key is the variable POSTHASTE_OPERATOR_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Certificates, as PEM, that the node's TLS is checked against instead of the platform's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A node that is spoken to.
pub struct Node {
    client: Client,
    base: String,
    authorization: String,
}

/// What an endpoint that was made has, which is shown this once.
pub struct Made {
    /// Its id.
    pub id: String,
    /// Its signing secret, if it was drawn.
    pub secret: Option<String>,
}

impl Node {
    /// The node that the arguments name. Nothing is asked yet.
    pub fn of(arguments: &NodeArgs) -> Result<Self, SettingsError> {
        let wrong = |detail: &str| SettingsError::wrong("--url", detail);
        let url = url::Url::parse(&arguments.url).map_err(|error| wrong(&format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected `http://` or `https://`, a host and a port"));
        }
        let key = key(arguments.key_file.as_deref())?;
        // http needs no root certificates, and a machine need not have any.
        let tls = match (&arguments.ca_file, url.scheme()) {
            (Some(file), _) => {
                TlsClient::from_ca_file(file).map_err(|error| SettingsError::wrong("--ca-file", error.to_string()))?
            }
            (None, "https") => TlsClient::from_platform(),
            (None, _) => TlsClient::unavailable("http needs none"),
        };
        if url.scheme() == "https"
            && let Some(reason) = tls.unavailable_because()
        {
            return Err(SettingsError::Node(reason.to_owned()));
        }
        let connector = Connector::new().timeout(PATIENCE);
        let connector = match tls.config() {
            Some(config) => connector.rustls_0_23(config),
            None => connector,
        };
        // A redirect would take the key elsewhere.
        let client = Client::builder().connector(connector).timeout(PATIENCE).disable_redirects().finish();
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base, authorization: format!("Bearer {key}") })
    }

    /// All of an environment's settings.
    pub async fn settings(&self, environment: Environment) -> Result<Settings, SettingsError> {
        let everything = [("environment", environment.as_str()), ("partner", "*")];
        let event_types = self.list("/event-types", &everything[..1]).await?;
        let partners = self.list("/partners", &[]).await?;
        let endpoints = self.list("/webhook", &everything).await?;
        let entries = |found: Vec<Map<String, Value>>| {
            found.into_iter().map(|fields| Entry { place: String::new(), fields }).collect::<Vec<_>>()
        };
        Ok(Settings {
            environment,
            event_types: entries(event_types),
            partners: entries(partners),
            endpoints: entries(endpoints),
        })
    }

    /// All pages of a list.
    async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Map<String, Value>>, SettingsError> {
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.iter().map(|cursor| ("cursor", cursor.as_str()));
            let page = self.ask(Method::GET, path, query.iter().copied().chain(after), None).await?;
            let data = page["data"].as_array().cloned().unwrap_or_default();
            all.extend(data.into_iter().map(super::file::fields_of));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }

    /// Does one step of a plan. An endpoint that was made is told.
    pub async fn carry_out(
        &self,
        step: &Step,
        body: Map<String, Value>,
        environment: Environment,
    ) -> Result<Option<Made>, SettingsError> {
        let query = |partner: Option<&str>| {
            let partner = partner.filter(|partner| *partner != "*").map(|partner| ("partner", partner.to_owned()));
            let mut query = vec![("environment", environment.as_str().to_owned())];
            query.extend(partner);
            query
        };
        let (method, path, query) = match &step.kind {
            StepKind::PutEventType { name, .. } => (Method::PUT, format!("/event-types/{name}"), query(None)),
            StepKind::CreatePartner => (Method::POST, "/partners".to_owned(), Vec::new()),
            StepKind::CreateEndpoint { partner } => (Method::POST, "/webhook".to_owned(), query(Some(partner))),
            StepKind::ChangeEndpoint { id, partner } => (Method::PATCH, format!("/webhook/{id}"), query(Some(partner))),
            StepKind::DeleteEndpoint { id, partner } => {
                (Method::DELETE, format!("/webhook/{id}"), query(Some(partner)))
            }
            StepKind::DeleteEventType { name } => (Method::DELETE, format!("/event-types/{name}"), query(None)),
        };
        let body = (method != Method::DELETE).then_some(Value::Object(body));
        let has_own_secret = step.body.contains_key("secret");
        let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
        let answer = self.ask(method, &path, pairs, body).await.map_err(|error| match error {
            SettingsError::Refused { detail, .. } => SettingsError::Refused { what: step.to_string(), detail },
            other => other,
        })?;
        if !matches!(step.kind, StepKind::CreateEndpoint { .. }) {
            return Ok(None);
        }
        let text = |field: &str| answer[field].as_str().map(str::to_owned);
        let id = text("id").ok_or_else(|| SettingsError::Node(format!("{} has no id in the answer", step.subject)))?;
        Ok(Some(Made { id, secret: text("secret").filter(|_| !has_own_secret) }))
    }

    async fn ask<'a>(
        &self,
        method: Method,
        path: &str,
        query: impl Iterator<Item = (&'a str, &'a str)>,
        body: Option<Value>,
    ) -> Result<Value, SettingsError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let what = format!("{method} {path}");
        let url = format!("{}{path}?{query}", self.base);
        let request = self.client.request(method, url.trim_end_matches('?'));
        let request = request.insert_header(("authorization", self.authorization.as_str()));
        let sent = match body {
            Some(body) => request.insert_header(("content-type", "application/json")).send_body(body.to_string()),
            None => request.send(),
        };
        let broken = |error: &dyn std::fmt::Display| {
            SettingsError::Node(format!(
                "{} does not answer {what}: {error}; is a node running there? `--url` names another",
                self.base
            ))
        };
        let mut response = sent.await.map_err(|error| broken(&error))?;
        let bytes = response.body().limit(ANSWER_BYTES).await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(problem) if problem["detail"].is_string() => {
                Err(SettingsError::Refused { what, detail: detail_of(&problem) })
            }
            _ => Err(SettingsError::Node(format!("{what} was answered {status}, and not as a node answers"))),
        }
    }
}

/// What a problem says, with each field that it points to.
fn detail_of(problem: &Value) -> String {
    let mut detail = problem["detail"].as_str().unwrap_or_default().to_owned();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let text = |field: &str| error[field].as_str().unwrap_or_default();
        detail.push_str(&format!("\n    {}: {}", text("pointer"), text("detail")));
    }
    detail
}

fn key(file: Option<&Path>) -> Result<String, SettingsError> {
    let (key, place) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
                verb: "read",
                path: path.to_owned(),
                source,
            })?;
            (text, path.display().to_string())
        }
        None => (std::env::var(KEY_VARIABLE).unwrap_or_default(), KEY_VARIABLE.to_owned()),
    };
    let key = key.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail =
            format!("has no key in it: set {KEY_VARIABLE} to an operator's key, or name a file by `--key-file`");
        return Err(SettingsError::wrong(place, detail));
    }
    Ok(key.to_owned())
}

/// What was found, as a file is to say it: without what is its default, what only the
/// node knows, what is not a setting, and what is being erased. In an order that does not
/// change.
pub fn exported(found: &Settings) -> Settings {
    const OF_TYPE: [&str; 6] = ["name", "description", "retry", "indexed", "schema", "example"];
    const OF_ENDPOINT: [&str; 16] = [
        "partner",
        "url",
        "events",
        "description",
        "enabled",
        "headers",
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
    ];
    let found = &found.without_erased();
    let empty = Map::new();
    let mut defaults = normal::endpoint(&empty);
    // An order of none is a list of names, and what is shown an object of them.
    defaults.insert("headers".to_owned(), json!({}));
    let of_types = super::file::fields_of(json!({ "description": "", "indexed": [] }));
    let mut endpoints: Vec<Entry> =
        found.endpoints.iter().map(|entry| write::entry(&entry.fields, &defaults, &OF_ENDPOINT)).collect();
    for entry in &mut endpoints {
        // Which certificate it is; its key cannot be read.
        if let Some(sha256) = entry.fields.get("client_certificate").map(|certificate| certificate["sha256"].clone()) {
            entry.fields.insert("client_certificate".to_owned(), json!({ "sha256": sha256 }));
        }
    }
    endpoints.sort_by_key(Entry::endpoint_key);
    let named = |entries: &[Entry], defaults: &Map<String, Value>, order: &[&str]| {
        let mut entries: Vec<Entry> =
            entries.iter().map(|entry| write::entry(&entry.fields, defaults, order)).collect();
        entries.sort_by_key(|entry| entry.text("name").to_owned());
        entries
    };
    Settings {
        environment: found.environment,
        event_types: named(&found.event_types, &of_types, &OF_TYPE),
        partners: named(&found.partners, &empty, &["name"]),
        endpoints,
    }
}
