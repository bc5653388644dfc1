//! A replay: what somebody asked to have delivered again, or at last. It makes new
//! deliveries that name it; the events, and with them `webhook-id`, are the old ones.

use std::fmt;
use std::str::FromStr;

use crate::domain::{EndpointId, Environment, PartnerName, ReplayId, Timestamp, TypePattern};

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// It looks for what it is to make, and makes it as its endpoints keep up.
    Running,
    /// It has looked at everything. What it made may still be on its way.
    Done,
    /// Somebody ended it before that. What it had made stays.
    Cancelled,
}

impl ReplayState {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How an event has ended for an endpoint, where that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replayable {
    /// Answered 2xx.
    Delivered,
    /// Failed as often as its schedule allows.
    RetriesExhausted,
    /// Given up for another reason.
    Discarded,
}

impl Replayable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::RetriesExhausted, Self::Discarded];

    /// The word used in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Discarded => "discarded",
        }
    }
}

/// A word that names nothing that can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayableError {
    /// It is still to come.
    #[error(
        "what is `{0}` is still to come and needs no replay; `POST /webhook/{{id}}/retry-now` brings retries forward"
    )]
    Unfinished(String),
    /// There is no such status.
    #[error("`{0}` cannot be replayed: use `delivered`, `retries_exhausted` or `discarded`")]
    Unknown(String),
}

impl FromStr for Replayable {
    type Err = ReplayableError;

    fn from_str(text: &str) -> Result<Self, ReplayableError> {
        if let Some(found) = Self::ALL.into_iter().find(|known| known.as_str() == text) {
            return Ok(found);
        }
        let text: String = text.chars().take(64).collect();
        Err(match text.as_str() {
            "pending" | "retrying" | "held" => ReplayableError::Unfinished(text),
            _ => ReplayableError::Unknown(text),
        })
    }
}

impl fmt::Display for Replayable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which events a replay is about, for each of its endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySelection {
    /// Accepted then or later.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Of these types; empty is all.
    pub types: Vec<TypePattern>,
    /// Those whose newest delivery to the endpoint ended so.
    pub statuses: Vec<Replayable>,
    /// And those that the endpoint wants now and has no delivery of.
    pub missing: bool,
}

/// A replay as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Its id, which its deliveries name.
    pub id: ReplayId,
    /// Where.
    pub environment: Environment,
    /// Whose endpoints; `None` is those of several partners.
    pub partner: Option<PartnerName>,
    /// Where it stands.
    pub state: ReplayState,
    /// What is replayed.
    pub selection: ReplaySelection,
    /// Most deliveries that it makes a second.
    pub per_second: Option<u32>,
    /// Who asked for it: the words of the audit log.
    pub actor: String,
    /// The id of the key by which it was asked for.
    pub key: Option<String>,
    /// When it was asked for: what was accepted later is not selected.
    pub created_at: Timestamp,
    /// When it had looked at everything, or was cancelled.
    pub finished_at: Option<Timestamp>,
}

/// How far a replay has come for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayTarget {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Deliveries that were made.
    pub made: u64,
    /// Selected events of which nothing is left to deliver, or nothing worth it.
    pub skipped: u64,
    /// Nothing more is made.
    pub done: bool,
    /// Events accepted before then were looked at, and the first of them was accepted
    /// at the other time; `None` before there was any.
    pub looked: Option<(Timestamp, Timestamp)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_replayed_goes_by_the_words_of_the_api() {
        for status in Replayable::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for word in ["pending", "retrying", "held"] {
            let error = word.parse::<Replayable>().expect_err("it is still to come");
            assert!(error.to_string().contains("/retry-now"), "{error}");
        }
        assert!("DELIVERED".parse::<Replayable>().is_err());
    }
}
