//! What is asked of the store to explain where a delivery stands, and what it answers.

use crate::domain::{RetryPolicy, Timestamp, Trouble};

/// How an endpoint stands, as far as its deliveries have to wait for that. Nothing of it
/// is secret, and nothing has to be opened for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointStanding {
    /// Whether its settings let its deliveries go.
    pub is_enabled: bool,
    /// Since when its partner has paused it, if it has.
    pub paused_at: Option<Timestamp>,
    /// Since when an operator's brake is over it, if one is.
    pub braked_at: Option<Timestamp>,
    /// When to try again; `None` leaves it to the event's type.
    pub retry: Option<RetryPolicy>,
    /// Most requests a second.
    pub rate_limit: Option<u32>,
    /// Whether it wants its events in an order.
    pub is_ordered: bool,
    /// What is known of its trouble.
    pub trouble: Trouble,
}

/// What of an endpoint's settings its requests were made of, as far as they may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentSettings {
    /// Where they went.
    pub url: String,
    /// The names of the endpoint's own headers.
    pub header_names: Vec<String>,
}
