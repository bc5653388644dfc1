//! Who is asking, and what they may do. Keys are random, shown once, and
//! stored as their SHA-256; what a role may do stands in one table.

mod key;
mod permission;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::clock::Clock;
use crate::domain::{Environment, PartnerName, Role};
use crate::store::{self, KeyRecord, Store, StoreError};

pub use key::{ApiKey, hash_key};
pub use permission::Permission;

/// Whoever holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may do.
    pub role: Role,
    /// The environment the key belongs to; `None` is an operator's, who names one.
    pub environment: Option<Environment>,
    /// The partner the key is bound to; `None` is all of them.
    pub partner: Option<PartnerName>,
}

/// Keys that a cache keeps; beyond it, it starts over.
const CACHED_KEYS: usize = 100_000;

/// Recognises keys.
pub struct Authenticator {
    store: Arc<dyn Store>,
    clock: Clock,
    /// The operator key of the configuration, which no store knows.
    configured: Option<[u8; 32]>,
    known: RwLock<HashMap<[u8; 32], Arc<Known>>>,
    /// Counts changes of keys, so that nothing read before one is kept after it.
    changes: AtomicU64,
}

struct Known {
    record: KeyRecord,
    principal: Arc<Principal>,
}

impl Authenticator {
    /// An authenticator over the store's keys and, if there is one, the
    /// configuration's.
    pub fn new(store: Arc<dyn Store>, clock: Clock, configured: Option<&str>) -> Self {
        Self {
            store,
            clock,
            configured: configured.map(hash_key),
            known: RwLock::default(),
            changes: AtomicU64::new(0),
        }
    }

    /// Whose key this is; `None` when it opens nothing.
    pub async fn authenticate(&self, key: &str) -> Result<Option<Arc<Principal>>, StoreError> {
        let hash = hash_key(key);
        if self.configured == Some(hash) {
            return Ok(Some(Arc::new(Principal { role: Role::Operator, environment: None, partner: None })));
        }
        let now = self.clock.wall();
        let kept = self.known.read().expect("no holder of this lock can panic").get(&hash).cloned();
        if let Some(known) = kept {
            return Ok(known.record.is_live(now).then(|| Arc::clone(&known.principal)));
        }
        let changes = self.changes.load(Ordering::Acquire);
        let Some(record) = store::blocking(&self.store, move |store| store.key_by_hash(&hash)).await? else {
            return Ok(None);
        };
        let live = record.is_live(now);
        let principal =
            Arc::new(Principal { role: record.role, environment: record.environment, partner: record.partner.clone() });
        if live {
            let mut known = self.known.write().expect("no holder of this lock can panic");
            if known.len() >= CACHED_KEYS {
                known.clear();
            }
            if self.changes.load(Ordering::Acquire) == changes {
                known.insert(hash, Arc::new(Known { record, principal: Arc::clone(&principal) }));
            }
        }
        Ok(live.then_some(principal))
    }

    /// Forgets what was read of keys: to be called when one was revoked,
    /// before anyone is told so.
    pub fn keys_changed(&self) {
        let mut known = self.known.write().expect("no holder of this lock can panic");
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.clear();
    }
}
