//! Whose keys a store that nodes share is opened with, and what is said where there
//! are none.

use std::sync::Arc;

use crate::keyring::{KeySource, Keyring, Origin};
use crate::store::StoreError;

/// The keys for a database that several nodes share: no file can be made for all.
pub fn of_many(keys: &KeySource) -> Result<Arc<Keyring>, StoreError> {
    let (keyring, origin) = keys.of_many().map_err(|error| StoreError::Configuration(error.to_string()))?;
    if origin == Origin::Nowhere {
        log::warn!(
            "secrets are stored as they are: give every node the same `encryption_keys` or `encryption_keys_file` to \
             have them sealed"
        );
    }
    Ok(keyring)
}
