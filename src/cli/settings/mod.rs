//! Settings as a file says them: partners, event types and endpoints of an environment.
//! `file` reads one and `write` writes one, `normal` says what is the same, `plan` what has to
//! be done, `node` asks a node and tells it. What commands do with all that is in the
//! files of their names.
//!
//! A file has sections, in the order in which they are applied. A new one is a name in
//! [`SECTIONS`], its fields in `file`, and its part of `plan`.

pub mod file;
pub mod node;
mod normal;
pub mod plan;
pub mod write;

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::domain::Environment;

/// The sections of a file.
pub const SECTIONS: [&str; 3] = ["event_type", "partner", "endpoint"];

/// What stands in place of a value that is not shown, and says: as it is.
pub const REDACTED: &str = "(redacted)";

/// What a file says, or what a node has.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where.
    pub environment: Environment,
    /// Event types, each with its name and all else of it.
    pub event_types: Vec<Entry>,
    /// Partners by name.
    pub partners: Vec<Entry>,
    /// Endpoints, each with its partner, its URL and all else of it.
    pub endpoints: Vec<Entry>,
}

impl Settings {
    /// Whether a node is erasing this partner. It is there until nothing of it is left; then
    /// its name is free.
    pub(super) fn is_erasing(&self, partner: &str) -> bool {
        self.partners.iter().any(|entry| entry.text("name") == partner && entry.is_erasing())
    }

    /// All but the partners that are being erased, and what is theirs.
    fn without_erased(&self) -> Self {
        let mut rest = self.clone();
        rest.partners.retain(|entry| !entry.is_erasing());
        rest.endpoints.retain(|entry| !self.is_erasing(entry.text("partner")));
        rest
    }
}

/// One thing: an event type, a partner or an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands in the file, for whoever has to mend it.
    pub place: String,
    /// Its fields, as the API has them.
    pub fields: Map<String, Value>,
}

impl Entry {
    /// A field that is a text; empty where it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is a partner that is being erased.
    fn is_erasing(&self) -> bool {
        self.fields.get("erasing").is_some_and(|erasing| !erasing.is_null())
    }

    /// What is known of an endpoint: whose it is, and the normal spelling of its URL.
    /// What is no URL is its own spelling, and the node refuses it.
    pub fn endpoint_key(&self) -> (String, String) {
        let url = self.text("url");
        let url = url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.to_string());
        (self.text("partner").to_owned(), url)
    }
}

/// Why settings cannot be read, planned or applied.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}", .path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{place}: {detail}")]
    Wrong {
        /// Where.
        place: String,
        /// What, and how to mend it.
        detail: String,
    },
    /// The node does not answer, or not as it should.
    #[error("{0}")]
    Node(String),
    /// The node refuses something.
    #[error("the node refuses {what}: {detail}")]
    Refused {
        /// The request.
        what: String,
        /// What it says.
        detail: String,
    },
}

impl SettingsError {
    pub(super) fn wrong(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Wrong { place: place.into(), detail: detail.into() }
    }
}
