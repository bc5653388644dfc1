//! Both environments' catalogs, compiled, each with the version it was read at,
//! swapped whole when one changes. When to look whether one has is not decided
//! here.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::domain::{Environment, EventType, RetryPolicy};
use crate::store::{self, Store, StoreError, Versions};

/// See the module.
pub struct Catalogs {
    sandbox: ArcSwap<Dated>,
    production: ArcSwap<Dated>,
    /// One reload at a time, so that an older reading never replaces a newer.
    reloading: Mutex<()>,
}

/// A catalog, and the version it has at least.
#[derive(Clone)]
pub struct Dated {
    /// The event types.
    pub catalog: Arc<Catalog>,
    /// Read before they were: they may be of a later one, never of an earlier.
    pub version: i64,
}

impl Catalogs {
    /// Reads and compiles both. Blocks.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            sandbox: ArcSwap::from_pointee(read(store, Environment::Sandbox)?),
            production: ArcSwap::from_pointee(read(store, Environment::Production)?),
            reloading: Mutex::new(()),
        })
    }

    fn slot(&self, environment: Environment) -> &ArcSwap<Dated> {
        match environment {
            Environment::Sandbox => &self.sandbox,
            Environment::Production => &self.production,
        }
    }

    /// The catalog in force.
    pub fn of(&self, environment: Environment) -> Arc<Catalog> {
        Arc::clone(&self.slot(environment).load().catalog)
    }

    /// The same, with its version.
    pub fn dated(&self, environment: Environment) -> Dated {
        Dated::clone(&self.slot(environment).load())
    }

    /// When events of a type are tried again at endpoints without a schedule of
    /// their own; `None` where the catalog does not say.
    pub fn retry_of(&self, environment: Environment, event_type: &EventType) -> Option<RetryPolicy> {
        self.slot(environment).load().catalog.get(event_type)?.retry.clone()
    }

    /// Reads an environment's catalog anew.
    pub async fn reload(&self, store: &Arc<dyn Store>, environment: Environment) -> Result<(), StoreError> {
        let _one = self.reloading.lock().await;
        self.read_anew(store, environment).await
    }

    /// Reads anew what is not of these versions, which the caller has read just
    /// now.
    pub async fn versions_seen(&self, store: &Arc<dyn Store>, versions: &Versions) -> Result<(), StoreError> {
        for (environment, seen) in Environment::ALL.into_iter().zip(versions.catalogs) {
            let before = self.slot(environment).load().version;
            if before == seen {
                continue;
            }
            let _one = self.reloading.lock().await;
            let now = self.slot(environment).load().version;
            // Somebody read it while this waited, and late enough.
            if now != before && now >= seen {
                continue;
            }
            self.read_anew(store, environment).await?;
        }
        Ok(())
    }

    async fn read_anew(&self, store: &Arc<dyn Store>, environment: Environment) -> Result<(), StoreError> {
        let read = store::blocking(store, move |store| read(store, environment)).await?;
        self.slot(environment).store(Arc::new(read));
        Ok(())
    }
}

fn read(store: &dyn Store, environment: Environment) -> Result<Dated, StoreError> {
    // In this order, so that a change in between is found out and not missed.
    let versions = store.versions()?;
    let definitions = store.event_types(environment)?;
    let (_, version) = Environment::ALL
        .into_iter()
        .zip(versions.catalogs)
        .find(|(known, _)| *known == environment)
        .expect("every environment is among all of them");
    // Each was compiled before it was stored.
    let catalog = Catalog::compile_whole(definitions).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(Dated { catalog: Arc::new(catalog), version })
}
