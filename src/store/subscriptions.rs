//! What a partner's events are matched against: a snapshot with a version,
//! which the accepting transaction checks (`product.md`, promise 5).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crate::domain::{EndpointId, Environment, EventType, PartnerName, TypePattern};
use crate::policy::matching;

/// A partner in an environment, or all of its partners.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The environment.
    pub environment: Environment,
    /// The partner; `None` is all of them.
    pub partner: Option<PartnerName>,
}

impl Scope {
    /// One partner's part of an environment.
    pub fn of(environment: Environment, partner: PartnerName) -> Self {
        Self { environment, partner: Some(partner) }
    }

    /// A whole environment.
    pub fn all(environment: Environment) -> Self {
        Self { environment, partner: None }
    }
}

/// The store's own number for a [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeId(pub(in crate::store) i64);

/// One endpoint and what it wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its patterns.
    pub events: Vec<TypePattern>,
}

/// Most event types whose matches a snapshot remembers. A catalog larger than
/// this is still matched, a little slower.
const REMEMBERED_TYPES: usize = 1_024;

/// A scope's endpoints at one version. Versions grow within an environment:
/// an endpoint's settings and an event's matching carry the same numbers, so
/// that "not subscribed at the time" can be answered later.
pub struct Subscriptions {
    /// Where.
    pub id: ScopeId,
    /// The version of the scope's last change.
    pub version: i64,
    endpoints: Vec<Subscription>,
    matches: RwLock<HashMap<EventType, Arc<[EndpointId]>>>,
    outdated: AtomicBool,
}

impl Subscriptions {
    /// A snapshot of these endpoints.
    pub fn new(id: ScopeId, version: i64, endpoints: Vec<Subscription>) -> Self {
        Self { id, version, endpoints, matches: RwLock::default(), outdated: AtomicBool::new(false) }
    }

    /// The endpoints that want this type, worked out once for each type.
    pub fn matching(&self, event_type: &EventType) -> Arc<[EndpointId]> {
        const UNPOISONED: &str = "no holder of this lock can panic";
        if let Some(known) = self.matches.read().expect(UNPOISONED).get(event_type) {
            return Arc::clone(known);
        }
        let found: Arc<[EndpointId]> = self
            .endpoints
            .iter()
            .filter(|subscription| matching::wants(&subscription.events, event_type))
            .map(|subscription| subscription.endpoint)
            .collect();
        let mut matches = self.matches.write().expect(UNPOISONED);
        if matches.len() < REMEMBERED_TYPES {
            matches.insert(event_type.clone(), Arc::clone(&found));
        }
        found
    }

    /// Says that a transaction has seen a later version: whoever keeps this
    /// should load it anew.
    pub fn mark_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Whether a later version has been seen.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is no endpoint at all.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// Most endpoints that a cache keeps, over all its scopes.
const CACHED_ENDPOINTS: usize = 200_000;

/// Snapshots of the scopes that events were lately posted to. It may be
/// behind: the accepting transaction notices, and marks what it was given as
/// outdated.
#[derive(Default)]
pub struct SubscriptionCache {
    scopes: RwLock<HashMap<Scope, Arc<Subscriptions>>>,
}

impl SubscriptionCache {
    /// The scope's snapshot, if one is kept that nobody has found outdated.
    pub fn get(&self, scope: &Scope) -> Option<Arc<Subscriptions>> {
        let scopes = self.scopes.read().expect("no holder of this lock can panic");
        scopes.get(scope).filter(|subscriptions| !subscriptions.is_outdated()).cloned()
    }

    /// Keeps a snapshot.
    pub fn put(&self, scope: Scope, subscriptions: Arc<Subscriptions>) {
        let mut scopes = self.scopes.write().expect("no holder of this lock can panic");
        let kept: usize = scopes.values().map(|kept| kept.len() + 1).sum();
        if kept + subscriptions.len() > CACHED_ENDPOINTS {
            // Rare, and whoever is still active is back in a moment.
            scopes.clear();
        }
        scopes.insert(scope, subscriptions);
    }
}
