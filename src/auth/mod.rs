//! Who is asking, and what they may do. Keys are random, shown once, and
//! stored as their SHA-256; what a role may do stands in one table.

mod key;
mod pass;
mod permission;
mod told;
mod uses;

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Clock;
use crate::domain::{Environment, KeyId, PartnerName, Role};
use crate::store::{self, KeyRecord, Store, StoreError};

pub use key::{ApiKey, LinkToken, hash_key, hash_link};
pub use pass::Pass;
pub use permission::Permission;
pub use told::{told_of_key, told_of_link};

use uses::{LastUse, LeftUses};

/// Whoever holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may do.
    pub role: Role,
    /// The environment the key belongs to; `None` is an operator's, who names one.
    pub environment: Option<Environment>,
    /// The partner the key is bound to; `None` is all of them.
    pub partner: Option<PartnerName>,
    /// The key's id; `None` is the configuration's, which has none.
    pub key: Option<KeyId>,
}

/// Someone whose key opens something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// A version of the keys at which, or after which, this was true.
    pub keys_version: i64,
}

/// Keys that a cache keeps; beyond it, it starts over.
const CACHED_KEYS: usize = 100_000;

/// Recognises keys.
pub struct Authenticator {
    store: Arc<dyn Store>,
    clock: Clock,
    /// The operator key of the configuration, which no store knows.
    configured: Option<[u8; 32]>,
    kept: RwLock<Kept>,
}

/// What is kept in memory of keys: only those that open something, so that one
/// that was made a moment ago is never taken for unknown.
#[derive(Default)]
struct Kept {
    known: HashMap<[u8; 32], Arc<Known>>,
    /// The version of the keys that all of it was read at or after. At first
    /// there is nothing, to which the least of all versions is true.
    version: i64,
    /// How often it was emptied, so that nothing read before is put in after.
    emptied: u64,
    /// Uses of keys that were forgotten before they were written down.
    left: LeftUses,
}

struct Known {
    record: KeyRecord,
    principal: Arc<Principal>,
    last_use: LastUse,
}

impl Kept {
    fn empty(&mut self) {
        self.forget_keys();
        self.emptied += 1;
    }
}

impl Authenticator {
    /// An authenticator over the store's keys and, if there is one, the
    /// configuration's.
    pub fn new(store: Arc<dyn Store>, clock: Clock, configured: Option<&str>) -> Self {
        Self { store, clock, configured: configured.map(hash_key), kept: RwLock::default() }
    }

    /// Whose key this is; `None` when it opens nothing.
    pub async fn authenticate(&self, key: &str) -> Result<Option<Recognised>, StoreError> {
        let (hash, now) = (hash_key(key), self.clock.wall());
        let (kept, keys_version, emptied) = {
            let kept = self.kept();
            let known = kept.known.get(&hash).cloned();
            // While nobody can forget it, so that no use is lost.
            if let Some(known) = known.as_ref().filter(|known| known.record.is_live(now)) {
                known.last_use.note(now);
            }
            (known, kept.version, kept.emptied)
        };
        let recognised = |principal: &Arc<Principal>| Recognised { principal: Arc::clone(principal), keys_version };
        if self.configured == Some(hash) {
            let principal = Principal { role: Role::Operator, environment: None, partner: None, key: None };
            return Ok(Some(recognised(&Arc::new(principal))));
        }
        if let Some(known) = kept {
            return Ok(known.record.is_live(now).then(|| recognised(&known.principal)));
        }
        let found = store::blocking(&self.store, move |store| store.key_by_hash(&hash)).await?;
        // A link's hash is over other bytes than a key's. Nobody sends one as a key, all the same.
        let found = found.filter(|record| record.is_live(now) && record.link.is_none());
        let Some(record) = found else { return Ok(None) };
        let principal = Arc::new(Principal {
            role: record.role,
            environment: record.environment,
            partner: record.partner.clone(),
            key: Some(record.id),
        });
        let mut kept = self.kept_to_change();
        if kept.known.len() >= CACHED_KEYS {
            kept.forget_keys();
        }
        if kept.emptied == emptied {
            let last_use = LastUse::new(now, record.last_used_at);
            kept.known.insert(hash, Arc::new(Known { record, principal: Arc::clone(&principal), last_use }));
        } else {
            kept.left.leave(record.id, now);
        }
        Ok(Some(recognised(&principal)))
    }

    /// The version of the keys that whoever is recognised now relies on.
    pub fn keys_version(&self) -> i64 {
        self.kept().version
    }

    /// To be called when keys were changed through this node, before anyone is
    /// told so: forgets what was read of them, and then reads which version it
    /// goes on with.
    pub async fn keys_changed(&self) {
        // First of all, and whether the store can be read or not.
        self.kept_to_change().empty();
        match store::blocking(&self.store, |store| store.versions()).await {
            Ok(versions) => self.keys_seen(versions.keys),
            Err(error) => log::warn!("the version of the keys is to be read again, by whoever relies on it: {error}"),
        }
    }

    /// Forgets what was read of keys unless it is of this version, which the
    /// caller has read just now. What is read from here on is at least as late.
    pub fn keys_seen(&self, version: i64) {
        if self.keys_version() == version {
            return;
        }
        let mut kept = self.kept_to_change();
        kept.empty();
        kept.version = version;
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().expect("no holder of this lock can panic")
    }

    fn kept_to_change(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().expect("no holder of this lock can panic")
    }
}
