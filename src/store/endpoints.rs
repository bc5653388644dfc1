//! What is asked of the store about endpoints, and what it answers.

use std::fmt;
use std::time::Duration;

use crate::domain::{EndpointId, EndpointSettings, Signing, Timestamp, Trouble};
use crate::store::{Scope, ScopeId};

/// An endpoint to be made.
#[derive(Clone)]
pub struct NewEndpoint {
    /// Whose: one partner's; or all partners', for one that hears of all their troubles
    /// and nothing else.
    pub scope: Scope,
    /// Its first settings.
    pub settings: EndpointSettings,
    /// Its first secret, as `whsec_…`; or key pair, as `whsk_…`, where it signs by `v1a`.
    pub secret: String,
    /// Most endpoints the scope may have.
    pub most_endpoints: usize,
}

/// An endpoint's next settings.
#[derive(Debug, Clone)]
pub struct EndpointChange {
    /// Whose, as it was made.
    pub scope: Scope,
    /// Which.
    pub endpoint: EndpointId,
    /// The version the new settings were made from: if it is no longer
    /// current, the change is refused and its maker looks again.
    pub from_version: u32,
    /// What it is to have.
    pub settings: EndpointSettings,
}

/// Why an endpoint was not made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointConflict {
    /// There is no such partner, or no such endpoint of it.
    NotFound,
    /// The URL is another endpoint's of the same partner.
    SameUrl(EndpointId),
    /// The partner has as many endpoints as it may.
    TooMany {
        /// How many that is.
        most: usize,
    },
    /// As many of its endpoints as may already ask for Posthaste's own events.
    TooManyListeners,
    /// The settings were changed meanwhile.
    Outdated,
}

/// A new secret for an endpoint.
#[derive(Clone)]
pub struct Rotation {
    /// Whose, as it was made.
    pub scope: Scope,
    /// Which.
    pub endpoint: EndpointId,
    /// How the endpoint signed when the secret was made: if it no longer does, the
    /// rotation is refused and its maker looks again.
    pub from_signing: Signing,
    /// How it is to sign from now on, which is what the secret is for.
    pub signing: Signing,
    /// As `whsec_…` or `whsk_…`.
    pub secret: String,
    /// How long those it has sign beside it, at most. None of them does where it is zero.
    pub overlap: Duration,
}

/// Why an endpoint got no new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationConflict {
    /// There is no such endpoint.
    NotFound,
    /// It was changed meanwhile to sign in another way.
    Outdated,
    /// The secret that was given signs for it already.
    SignsAlready,
    /// As many secrets as may already sign for it.
    TooMany {
        /// When the first of them ends.
        until: Timestamp,
    },
}

/// A secret that signs for an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// As `whsec_…` or `whsk_…`.
    pub secret: String,
    /// Until when it signs; `None` is the current one.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoredSecret").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What an endpoint's actor works by.
#[derive(Debug, Clone)]
pub struct EndpointRuntime {
    /// Whose it is: the partner, in its environment.
    pub scope: ScopeId,
    /// The settings in force.
    pub settings: EndpointSettings,
    /// Which version of them that is.
    pub version: u32,
    /// Whether it holds its deliveries: its settings disable it, it is paused, or a
    /// brake is over it.
    pub is_holding: bool,
    /// The secrets that sign, newest first.
    pub secrets: Vec<StoredSecret>,
    /// What is known of its trouble.
    pub trouble: Trouble,
    /// What it has is in the order that its settings want.
    pub is_in_order: bool,
    /// How many of its deliveries were discarded by hand so far.
    pub discards: i64,
    /// How often somebody asked that its retries be tried now.
    pub hurries: i64,
}
