//! A partner's webhook subscription and its settings.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    ClientCertificate, EndpointId, Environment, EventFilter, EventOrder, PartnerName, RetryPolicy, Signing, Timestamp,
    TypePattern,
};

/// Most patterns of an endpoint.
pub const MAX_EVENT_TYPES: usize = 100;
/// Most endpoints of a partner, or of an operator for all partners, that hear of troubles.
pub const MAX_LISTENERS: usize = 20;
/// Most headers of an endpoint.
pub const MAX_HEADERS: usize = 20;
/// Longest URL.
pub const MAX_URL_BYTES: usize = 2_048;
/// Longest description.
pub const MAX_DESCRIPTION_CHARS: usize = 1_024;
/// Longest value of a header.
pub const MAX_HEADER_VALUE_BYTES: usize = 4_096;
/// Shortest and longest `timeout_ms`.
pub const MIN_TIMEOUT_MS: u64 = 1_000;
/// See [`MIN_TIMEOUT_MS`].
pub const MAX_TIMEOUT_MS: u64 = 60_000;
/// What an attempt may take when the partner says nothing.
pub const DEFAULT_TIMEOUT_MS: u64 = 15_000;
/// Requests in flight to one endpoint when the partner says nothing.
pub const DEFAULT_CONCURRENCY: u32 = 32;
/// Most requests a second that a partner may ask to be limited to.
pub const MAX_RATE: u32 = 10_000;
/// Most requests in flight that a partner may ask for.
pub const MAX_CONCURRENCY: u32 = 256;

/// A header's name, lower case, that an endpoint may set: a token, and none
/// of those that belong to the connection, the body or to Posthaste.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

/// A setting that cannot be taken, named as the API names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsProblem {
    /// A header name that is no token.
    #[error("`{0}` is not a header name")]
    HeaderName(String),
    /// A header that belongs to the connection, the body or Posthaste.
    #[error("the header `{0}` is set by posthaste or by the connection and cannot be an endpoint's own")]
    ReservedHeader(String),
    /// A header value with other than visible characters, spaces and tabs.
    #[error("the value of header `{0}` is 1 to {MAX_HEADER_VALUE_BYTES} visible ASCII characters, spaces and tabs")]
    HeaderValue(String),
}

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_reserved(name: &str) -> bool {
        const RESERVED: [&str; 15] = [
            "connection",
            "content-encoding",
            "content-length",
            "content-range",
            "content-type",
            "date",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "user-agent",
        ];
        const RESERVED_BEGINNINGS: [&str; 3] = ["posthaste-", "proxy-", "webhook-"];
        // Servers that hand headers on as variables take the one for the other.
        let name = name.replace('_', "-");
        RESERVED.contains(&name.as_str()) || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for HeaderName {
    type Err = SettingsProblem;

    fn from_str(text: &str) -> Result<Self, SettingsProblem> {
        let name = Self::token(text)?;
        if Self::is_reserved(&name.0) { Err(SettingsProblem::ReservedHeader(name.0)) } else { Ok(name) }
    }
}

impl HeaderName {
    fn token(text: &str) -> Result<Self, SettingsProblem> {
        let name = text.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
            return Err(SettingsProblem::HeaderName(text.chars().take(128).collect()));
        }
        Ok(Self(name))
    }
}

/// A header that an endpoint wants on its requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value, which may be a secret: never logged, shown redacted.
    pub value: String,
}

impl Header {
    /// A header, checked.
    pub fn new(name: &str, value: &str) -> Result<Self, SettingsProblem> {
        Self::of(name.parse()?, value)
    }

    /// A header that was taken earlier. More names are reserved in time; what an
    /// endpoint was allowed to send, it goes on sending.
    pub fn taken_earlier(name: &str, value: &str) -> Result<Self, SettingsProblem> {
        Self::of(HeaderName::token(name)?, value)
    }

    fn of(name: HeaderName, value: &str) -> Result<Self, SettingsProblem> {
        let visible = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        let fits = !value.trim().is_empty() && value.len() <= MAX_HEADER_VALUE_BYTES;
        if fits && value.bytes().all(visible) {
            Ok(Self { name, value: value.to_owned() })
        } else {
            Err(SettingsProblem::HeaderValue(name.0))
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: (redacted)", self.name)
    }
}

/// What a partner chose for an endpoint. One value is one version: settings
/// are replaced, never changed in place.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSettings {
    /// Where events go: normalised, checked by `policy::address`.
    pub url: String,
    /// Which events go there; never empty.
    pub events: Vec<TypePattern>,
    /// The partner's own note.
    pub description: Option<String>,
    /// `false` holds deliveries.
    pub enabled: bool,
    /// Sent with each attempt.
    pub headers: Vec<Header>,
    /// Most requests in flight at once.
    pub max_concurrency: u32,
    /// The whole attempt, DNS to last byte read.
    pub timeout: Duration,
    /// `None` leaves it to the event type, and then to the default schedule.
    pub retry: Option<RetryPolicy>,
    /// Most requests a second; `None` is as many as it keeps up with.
    pub rate_limit: Option<u32>,
    /// Whether a receiver's `410 Gone` disables the endpoint. A 410 is a failed
    /// attempt like any other where it does not.
    pub disable_on_gone: bool,
    /// Of those events, only what this accepts goes there; `None` is all.
    pub filter: Option<EventFilter>,
    /// In which order they go there; `None` is none.
    pub order: Option<EventOrder>,
    /// How they are signed; a rotation changes it, with the secret.
    pub signing: Signing,
    /// What its requests show to a receiver that asks who calls; `None` is nothing.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

impl EndpointSettings {
    /// The settings of a new endpoint that says no more than where and what.
    pub fn new(url: impl Into<String>, events: Vec<TypePattern>) -> Self {
        Self {
            url: url.into(),
            events,
            description: None,
            enabled: true,
            headers: Vec::new(),
            max_concurrency: DEFAULT_CONCURRENCY,
            timeout: Duration::from_millis(DEFAULT_TIMEOUT_MS),
            retry: None,
            rate_limit: None,
            disable_on_gone: false,
            filter: None,
            order: None,
            signing: Signing::default(),
            client_certificate: None,
        }
    }
}

/// Whether an endpoint's deliveries go out, and who keeps them from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointStatus {
    /// They go out.
    Active,
    /// Somebody holds it for a while; its settings say nothing of that.
    Paused,
    /// Its settings say so, paused or not: ending the pause would not be enough.
    Disabled,
}

impl EndpointStatus {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// Who paused an endpoint, and so who can end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedBy {
    /// Its partner, this endpoint alone.
    Partner,
    /// An operator, by a brake over its partner or its environment.
    Operator,
    /// Either of them: both have to end it.
    Both,
}

impl PausedBy {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Operator => "operator",
            Self::Both => "both",
        }
    }
}

/// A webhook subscription: a partner's, or an operator's to what is told of all partners.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is; `None` is one that hears of all partners of its environment.
    pub partner: Option<PartnerName>,
    /// Where it is.
    pub environment: Environment,
    /// Counts the settings it has had, from 1.
    pub version: u32,
    /// The settings in force.
    pub settings: EndpointSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
    /// Since when it has been paused, if it is. No setting, but a state: it stays
    /// through changes of the settings, and makes no version of them.
    pub paused_at: Option<Timestamp>,
    /// Since when an operator's brake is over it, if one is: over its partner, or
    /// its whole environment.
    pub braked_at: Option<Timestamp>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
}

impl Endpoint {
    /// Whether its deliveries go out.
    pub fn status(&self) -> EndpointStatus {
        match (self.settings.enabled, self.paused_by()) {
            (false, _) => EndpointStatus::Disabled,
            (true, Some(_)) => EndpointStatus::Paused,
            (true, None) => EndpointStatus::Active,
        }
    }

    /// Who holds its deliveries for a while, whatever its settings say.
    pub fn paused_by(&self) -> Option<PausedBy> {
        match (self.paused_at, self.braked_at) {
            (None, None) => None,
            (Some(_), None) => Some(PausedBy::Partner),
            (None, Some(_)) => Some(PausedBy::Operator),
            (Some(_), Some(_)) => Some(PausedBy::Both),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_not_the_partners_are_refused() {
        // What belongs to one connection (RFC 9110, 7.6.1), to the body and its exchange, and
        // to Posthaste.
        let hop_by_hop =
            ["Connection", "keep-alive", "TE", "trailer", "transfer-encoding", "upgrade", "HTTP2-Settings"];
        let to_a_proxy = ["proxy-authorization", "Proxy-Authenticate", "proxy-connection", "proxy-anything"];
        let of_the_body = ["content-length", "content-type", "content-encoding", "content-range", "content_length"];
        let of_the_exchange = ["Host", "date", "expect", "User-Agent", "user_agent"];
        let ours = ["Webhook-Signature", "webhook-id", "webhook_timestamp", "posthaste-attempt", "posthaste-anything"];
        for name in [&hop_by_hop[..], &to_a_proxy, &of_the_body, &of_the_exchange, &ours].concat() {
            assert!(matches!(Header::new(name, "x"), Err(SettingsProblem::ReservedHeader(_))), "{name}");
            assert!(Header::taken_earlier(name, "x").is_ok(), "{name}");
        }
        for name in
            ["authorization", "cookie", "x-webhook-id", "accept-encoding", "hosts", "x-forwarded-for", "my_header"]
        {
            assert!(Header::new(name, "x").is_ok(), "{name}");
        }
        for name in ["", "a b", "a:b", "é"] {
            assert!(matches!(Header::new(name, "x"), Err(SettingsProblem::HeaderName(_))), "{name}");
        }
        for value in ["", " ", "a\r\nb: c", "\u{e9}", "\0"] {
            assert!(matches!(Header::new("x-token", value), Err(SettingsProblem::HeaderValue(_))), "{value:?}");
        }
        assert_eq!(Header::new("X-Token", "abc").map(|header| header.name.to_string()), Ok("x-token".into()));
    }

    #[test]
    fn header_values_stay_out_of_logs() {
        let header = Header::new("authorization", "Bearer s3cret").expect("an endpoint may authenticate itself");
        assert!(!format!("{header:?}").contains("s3cret"));
    }
}
