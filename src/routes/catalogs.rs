//! Both environments' catalogs, compiled, swapped whole when one changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::domain::Environment;
use crate::store::{self, Store, StoreError};

/// See the module.
pub struct Catalogs {
    sandbox: ArcSwap<Catalog>,
    production: ArcSwap<Catalog>,
    /// One reload at a time, so that an older reading never replaces a newer.
    reloading: Mutex<()>,
}

impl Catalogs {
    /// Reads and compiles both. Blocks.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            sandbox: ArcSwap::from(compile(store, Environment::Sandbox)?),
            production: ArcSwap::from(compile(store, Environment::Production)?),
            reloading: Mutex::new(()),
        })
    }

    fn slot(&self, environment: Environment) -> &ArcSwap<Catalog> {
        match environment {
            Environment::Sandbox => &self.sandbox,
            Environment::Production => &self.production,
        }
    }

    /// The catalog in force.
    pub fn of(&self, environment: Environment) -> Arc<Catalog> {
        self.slot(environment).load_full()
    }

    /// Reads an environment's catalog anew.
    pub async fn reload(&self, store: &Arc<dyn Store>, environment: Environment) -> Result<(), StoreError> {
        let _one = self.reloading.lock().await;
        let catalog = store::blocking(store, move |store| compile(store, environment)).await?;
        self.slot(environment).store(catalog);
        Ok(())
    }
}

fn compile(store: &dyn Store, environment: Environment) -> Result<Arc<Catalog>, StoreError> {
    let definitions = store.event_types(environment)?;
    // Each was compiled before it was stored.
    Catalog::compile(definitions).map(Arc::new).map_err(|error| StoreError::Corrupt(error.to_string()))
}
