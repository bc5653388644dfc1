//! What a node keeps in memory of keys and catalogs holds on every node at once:
//! when it is compared with what the store says, and what is read anew. Where
//! one process has the store to itself, its own changes are all there are, and
//! nothing of this runs.
//!
//! Ingest relies on what is kept and lets the accepting transaction judge; every
//! other route catches up before it looks at a key.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::domain::Environment;
use crate::routes::Api;
use crate::routes::shared_read::SharedRead;
use crate::store::{self, ReliedOn, Store, StoreError, Versions};

/// Whether others change what this node keeps, and how it hears of that.
pub struct Coherence(Option<AmongNodes>);

struct AmongNodes {
    /// Requests that ask at the same time catch up together.
    catching_up: SharedRead<Result<(), StoreError>>,
    /// Where reading goes on that a plain thread has started.
    runtime: Handle,
}

impl Coherence {
    /// As the store is shared or not. To be called on a tokio runtime that lasts.
    pub fn of(store: &dyn Store) -> Self {
        if store.leases().is_some() { Self::among_nodes() } else { Self::alone() }
    }

    /// For the one process that has the store.
    pub fn alone() -> Self {
        Self(None)
    }

    /// For one of several nodes. To be called on a tokio runtime that lasts.
    pub fn among_nodes() -> Self {
        Self(Some(AmongNodes { catching_up: SharedRead::default(), runtime: Handle::current() }))
    }
}

impl Api {
    /// Makes what is kept at least as late as what was stored when this was
    /// called.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        let Some(nodes) = &self.coherence.0 else { return Ok(()) };
        let read = async || {
            let versions = store::blocking(&self.store, |store| store.versions()).await?;
            self.auth.keys_seen(versions.keys);
            self.catalogs.versions_seen(&self.store, &versions).await
        };
        nodes.catching_up.read(read).await
    }

    /// What the accepting transaction is to compare with what it finds; nothing
    /// where nobody else could have changed it.
    pub(super) fn to_be_compared(&self, relied_on: ReliedOn) -> Option<ReliedOn> {
        self.coherence.0.is_some().then_some(relied_on)
    }

    /// Catches up, and says whether what a request relied on is still what
    /// others will rely on.
    pub(super) async fn still_holds(&self, environment: Environment, relied_on: ReliedOn) -> Result<bool, StoreError> {
        if self.coherence.0.is_none() {
            return Ok(true);
        }
        self.catch_up().await?;
        let catalog = self.catalogs.dated(environment).version;
        Ok(relied_on == ReliedOn { keys: self.auth.keys_version(), catalog })
    }

    /// Begins to read anew what is kept and not of these versions, which
    /// somebody has read just now. Waits for nothing, and may be called on any
    /// thread. What fails is made up for by the next request that needs it.
    pub fn versions_seen(&self, versions: &Versions) {
        let Some(nodes) = &self.coherence.0 else { return };
        self.auth.keys_seen(versions.keys);
        let kept = Environment::ALL.map(|environment| self.catalogs.dated(environment).version);
        if kept == versions.catalogs {
            return;
        }
        let (catalogs, store, versions) = (Arc::clone(&self.catalogs), Arc::clone(&self.store), *versions);
        nodes.runtime.spawn(async move {
            if let Err(error) = catalogs.versions_seen(&store, &versions).await {
                log::warn!("a catalog that has changed cannot be read yet: {error}");
            }
        });
    }
}
