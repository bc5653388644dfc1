//! Events as they were accepted, the names of their types, and the patterns
//! endpoints subscribe with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{Environment, Erasure, EventId, PartnerName, Timestamp};

/// A kind of event, e.g. `campaign.updated`: dotted words of `a-z 0-9 _ -`,
/// at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

/// What the names of Posthaste's own events begin with.
const SYSTEM_PREFIX: &str = "posthaste.";

/// A text that cannot name an event type, or be a pattern of such names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventTypeError {
    /// Not dotted words.
    #[error("`{0}` is not an event type: use words of a-z, 0-9, `_` and `-` joined by dots, at most 128 bytes")]
    Name(String),
    /// A star elsewhere than in place of the last words.
    #[error("`{0}` is not a pattern: use an event type, `*`, or words ending in `.*` such as `campaign.*`")]
    Pattern(String),
}

fn is_dotted_words(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    text.len() <= 128 && text.split('.').all(word)
}

impl EventType {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of Posthaste's own events about itself, which `*`
    /// does not include.
    pub fn is_system(&self) -> bool {
        self.0.starts_with(SYSTEM_PREFIX)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for EventType {
    type Err = EventTypeError;

    fn from_str(text: &str) -> Result<Self, EventTypeError> {
        if is_dotted_words(text) {
            Ok(Self(text.into()))
        } else {
            Err(EventTypeError::Name(text.chars().take(128).collect()))
        }
    }
}

/// What an endpoint subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypePattern {
    /// `*`: every type but the system's own.
    Any,
    /// `campaign.*`: every type below the prefix, which is kept with its dot.
    Below(Arc<str>),
    /// One type by its name.
    Exactly(EventType),
}

impl TypePattern {
    /// Whether it asks for Posthaste's own events, which takes more than a star.
    pub fn is_system(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Below(prefix) => prefix.starts_with(SYSTEM_PREFIX),
            Self::Exactly(name) => name.is_system(),
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Below(prefix) => write!(formatter, "{prefix}*"),
            Self::Exactly(name) => name.fmt(formatter),
        }
    }
}

impl FromStr for TypePattern {
    type Err = EventTypeError;

    fn from_str(text: &str) -> Result<Self, EventTypeError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(words) = text.strip_suffix(".*") {
            return if is_dotted_words(words) {
                Ok(Self::Below(format!("{words}.").into()))
            } else {
                Err(EventTypeError::Pattern(text.chars().take(128).collect()))
            };
        }
        if text.contains('*') {
            return Err(EventTypeError::Pattern(text.chars().take(128).collect()));
        }
        text.parse().map(Self::Exactly)
    }
}

/// When an event is to be delivered, if its producer said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryTimes {
    /// No attempt begins before then.
    pub deliver_at: Option<Timestamp>,
    /// No attempt begins from then on: what is not delivered by then is discarded.
    pub expires_at: Option<Timestamp>,
}

/// One thing that happened. Immutable once accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, which is also the `webhook-id`.
    pub id: EventId,
    /// Where it happened.
    pub environment: Environment,
    /// Whose it is; `None` is an event over all partners (`?partner=*`).
    pub partner: Option<PartnerName>,
    /// Its kind.
    pub event_type: EventType,
    /// The very bytes that were posted.
    pub body: Bytes,
    /// When it was accepted: the time inside the id.
    pub accepted_at: Timestamp,
    /// When it is to be delivered.
    pub times: DeliveryTimes,
    /// The key that it was posted with, if there was one.
    pub idempotency_key: Option<String>,
    /// Whether its producer asked that its payload be kept no longer than it is needed.
    pub is_unretained: bool,
    /// That the payload is not there any more; `body` is empty then.
    pub erased: Option<Erasure>,
    /// The subscriptions it was matched against, see `store::Subscriptions`.
    pub matched_version: i64,
}
