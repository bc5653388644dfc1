//! Every public error: RFC 9457 problems with a stable `type`, a `detail` that
//! says how to mend it, and pointers into the body. The only file that knows
//! status codes of errors.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::catalog::{FieldError, Refusal};
use crate::domain::{MAX_LISTENERS, MAX_SECRETS};
use crate::store::{EndpointConflict, JournalError, RotationConflict, StoreError};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a client that found no room may come again.
const RETRY_AFTER_SECONDS: u32 = 1;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// A kind of error. Its `type` never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The HTTP status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The last part of its `type`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// Its `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problems! {
    /// The body is not JSON.
    InvalidJson = BAD_REQUEST, "invalid-json", "The body is not valid JSON";
    /// The request itself cannot be read.
    BadRequest = BAD_REQUEST, "bad-request", "The request cannot be read";
    /// There is no key, or it opens nothing.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid API key is needed";
    /// The key's role may not do this.
    Forbidden = FORBIDDEN, "forbidden", "The key may not do this";
    /// There is no such thing, or it is someone else's.
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    /// The route does not know the method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The route does not take this method";
    /// The client sent its body too slowly.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The body took too long to arrive";
    /// The client sent its head too slowly.
    HeadTimeout = REQUEST_TIMEOUT, "head-timeout", "The request's head took too long to arrive";
    /// Request line and headers are larger than they may be.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The request's head is too large";
    /// One request more than a rate allows.
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// Another endpoint has this URL.
    DuplicateUrl = CONFLICT, "duplicate-url", "The URL is registered already";
    /// The name is taken.
    AlreadyExists = CONFLICT, "already-exists", "The name is taken";
    /// The thing is in a state in which this cannot be done.
    Conflict = CONFLICT, "conflict", "This cannot be done now";
    /// The body is larger than it may be.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// The body is not of a type that is read here.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is not of a type read here";
    /// The body or the query breaks a rule.
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "Something in the request breaks a rule";
    /// The event breaks its type's schema.
    InvalidEvent = UNPROCESSABLE_ENTITY, "invalid-event", "The event breaks the schema of its type";
    /// The event's type is not in the catalog.
    UnknownEventType = UNPROCESSABLE_ENTITY, "unknown-event-type", "The event type is not in the catalog";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The idempotency key was used before";
    /// A limit on how many is reached.
    LimitReached = UNPROCESSABLE_ENTITY, "limit-reached", "A limit is reached";
    /// There is no room to wait in.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded";
    /// The store does not take or give anything now.
    StoreUnavailable = SERVICE_UNAVAILABLE, "store-unavailable", "The store is not available";
    /// The store has no space left.
    StoreFull = INSUFFICIENT_STORAGE, "store-full", "The store is full";
    /// Whether the request took effect is not known.
    OutcomeUnknown = INTERNAL_SERVER_ERROR, "outcome-unknown", "Whether this took effect is not known";
    /// A fault of ours.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side";
}

impl Kind {
    /// Its `type`.
    pub fn uri(self) -> String {
        format!("urn:posthaste:problem:{}", self.slug())
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Where in the body, as an RFC 6901 pointer.
    pub pointer: String,
    /// What was expected, and what was found.
    pub detail: String,
}

impl FieldProblem {
    /// A problem at a pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { pointer: error.pointer, detail: error.detail }
    }
}

/// One error, ready to be answered.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// How to mend it.
    pub detail: String,
    /// Where in the body.
    pub errors: Vec<FieldProblem>,
    /// The methods that the route does take.
    pub allow: Option<HeaderValue>,
    /// Seconds after which to come again, where that is known.
    pub retry_after: Option<u64>,
}

/// What a route answers.
pub type Answer = Result<HttpResponse, Problem>;

impl Problem {
    /// An error that a sentence explains.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), allow: None, retry_after: None }
    }

    /// Something that is not there, or not theirs.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} here that this key may see"))
    }

    /// A body that breaks rules.
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("`{}`: {}", only.pointer, only.detail),
            several => format!("{} fields are wrong: `errors` names each", several.len()),
        };
        Self { kind: Kind::Invalid, detail, errors, allow: None, retry_after: None }
    }

    /// One rule broken, at a pointer.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::new(pointer, detail)])
    }

    /// A query parameter that breaks a rule.
    pub fn invalid_query(name: &str, detail: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, format!("query parameter `{name}`: {detail}"))
    }

    /// A body over a limit.
    pub fn too_large(limit: &str, bytes: usize) -> Self {
        Self::new(Kind::TooLarge, format!("the limit `{limit}` is {bytes} bytes"))
    }

    /// One request more than an option allows, until so long from now.
    pub fn rate_limited(limit: &str, rate: impl fmt::Display, wait: Duration) -> Self {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
        let detail = format!("the limit `{limit}` is {rate}; nothing was done, come again in {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(Kind::RateLimited, detail) }
    }

    /// The whole of an answer that no request was read for, and that ends the connection.
    pub fn last_words(&self) -> Vec<u8> {
        let (status, body) = (self.kind.status(), self.to_json().to_string());
        let reason = status.canonical_reason().unwrap_or_default();
        format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            status.as_u16(),
            body.len(),
        )
        .into_bytes()
    }

    /// As JSON, for the body or for a line of a batch's answer.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "type": self.kind.uri(),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            value["errors"] = json!(self.errors);
        }
        value
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.slug(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.kind.status());
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        match self.kind {
            Kind::Overloaded | Kind::StoreUnavailable | Kind::StoreFull => {
                response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            Kind::Unauthorized => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(methods) = &self.allow {
            response.insert_header((ALLOW, methods.clone()));
        }
        response.body(self.to_json().to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Busy(_) | StoreError::Unavailable(_) | StoreError::Stopped(_) => {
                log::warn!("answering 503: {error}");
                Self::new(Kind::StoreUnavailable, "nothing was changed; try again in a moment")
            }
            StoreError::Full(_) => {
                log::error!("answering 507: {error}");
                Self::new(Kind::StoreFull, "nothing was changed; the operator has to make room first")
            }
            StoreError::Constraint(_) | StoreError::Corrupt(_) | StoreError::Configuration(_) => {
                log::error!("answering 500: {error}");
                Self::new(Kind::Internal, "nothing was changed; the operator's log says more")
            }
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full(what) => Self::new(Kind::Overloaded, format!("{what}; nothing was kept, send it again")),
            JournalError::Closed => Self::new(Kind::StoreUnavailable, "the server is stopping; nothing was kept"),
            JournalError::Unknown => Self::new(
                Kind::OutcomeUnknown,
                "the commit failed in a way that leaves it open; send it again with the same `Idempotency-Key`",
            ),
            JournalError::Lost => Self::new(
                Kind::StoreUnavailable,
                "the database went away before it answered, so this may be kept or not; send it again with the same \
                 `Idempotency-Key`",
            ),
            JournalError::Store(error) => error.into(),
        }
    }
}

impl From<EndpointConflict> for Problem {
    fn from(conflict: EndpointConflict) -> Self {
        match conflict {
            EndpointConflict::NotFound => Self::not_found("endpoint"),
            EndpointConflict::SameUrl(first) => Self {
                errors: vec![FieldProblem::new("/url", format!("endpoint {first} has this URL"))],
                ..Self::new(Kind::DuplicateUrl, format!("endpoint {first} has this URL; change that one instead"))
            },
            EndpointConflict::TooMany { most } => Self::new(
                Kind::LimitReached,
                format!("the limit `endpoints_per_partner` is {most}; delete an endpoint first"),
            ),
            EndpointConflict::TooManyListeners => Self::new(
                Kind::LimitReached,
                format!("at most {MAX_LISTENERS} endpoints may ask for `posthaste.` events; use patterns, or filters"),
            ),
            EndpointConflict::Outdated => {
                Self::new(Kind::Conflict, "the endpoint was changed at the same time; read it and try again")
            }
        }
    }
}

impl From<RotationConflict> for Problem {
    fn from(conflict: RotationConflict) -> Self {
        match conflict {
            RotationConflict::NotFound => Self::not_found("endpoint"),
            RotationConflict::Outdated => EndpointConflict::Outdated.into(),
            RotationConflict::SignsAlready => Self::invalid_field(
                "/secret",
                "this secret signs for the endpoint already: give another, or leave `secret` out to have one made",
            ),
            RotationConflict::TooMany { until } => Self::new(
                Kind::Conflict,
                format!(
                    "at most {MAX_SECRETS} secrets sign for an endpoint, and the first of its {MAX_SECRETS} ends at \
                     {until}; rotate then, or with `\"overlap_seconds\": 0`, which ends all others at once"
                ),
            ),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::NotJson { .. } => Kind::InvalidJson,
            Refusal::UnknownEventType { .. } => Kind::UnknownEventType,
            Refusal::NotAnObject { .. }
            | Refusal::NoEventType { .. }
            | Refusal::Reserved { .. }
            | Refusal::Invalid { .. } => Kind::InvalidEvent,
        };
        let errors = refusal.field_errors().into_iter().map(FieldProblem::from).collect();
        Self { errors, ..Self::new(kind, refusal.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_is_one_of_a_kind() {
        let slugs: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
        }
    }
}
