//! Sealing anew what stands as it is or is sealed with an older key, and giving up keys
//! that seal nothing any more.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::encryption::{self, EncryptedRow};
use super::super::translate;
use super::Tx;
use crate::domain::Environment;
use crate::keyring::{Purpose, RingKeyId};
use crate::store::encryption::{EncryptedPart, EncryptedPlace, ReencryptedSlice, Sealer};
use crate::store::rows::{SettingsRow, environment_number, from_json, to_json};
use crate::store::schema::{endpoint_secrets, endpoint_versions, meta};
use crate::store::{ScopeId, StoreError};

/// Seals the values of up to `limit` rows behind `after` with the key that seals now.
pub(super) fn reencrypt(
    transaction: &mut Tx<'_>,
    after: Option<EncryptedPlace>,
    limit: usize,
) -> Result<ReencryptedSlice, StoreError> {
    wait_for_changes(transaction)?;
    transaction.note_key()?;
    // What stood here in the clear is not to be found in the file afterwards.
    transaction.begin_wiping()?;
    let slice = reencrypt_rows(transaction, after, limit);
    transaction.end_wiping()?;
    slice
}

/// Whoever changes endpoints waits for this to end, and is waited for: they lock an
/// environment's clock, then the note of a key, then rows, and so does this.
fn wait_for_changes(transaction: &mut Tx<'_>) -> Result<(), StoreError> {
    for environment in Environment::ALL {
        transaction.lock_endpoints(ScopeId(environment_number(environment)))?;
    }
    Ok(())
}

fn reencrypt_rows(
    transaction: &mut Tx<'_>,
    after: Option<EncryptedPlace>,
    limit: usize,
) -> Result<ReencryptedSlice, StoreError> {
    let rows = encryption::rows(transaction.connection, after, None, limit)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.place);
    let mut slice = ReencryptedSlice { rows: rows.len(), values: 0, unreadable: 0, next };
    for row in &rows {
        match reencrypt_row(transaction, row) {
            Ok(values) => slice.values += values,
            // It keeps nobody from the others, and its key stays needed.
            Err(StoreError::Corrupt(why)) => {
                let endpoint = transaction.ids.endpoint(row.place.endpoint);
                log::error!("{endpoint}: not sealed anew: {why}");
                slice.unreadable += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(slice)
}

/// Answers how many values were sealed anew.
fn reencrypt_row(transaction: &mut Tx<'_>, row: &EncryptedRow) -> Result<usize, StoreError> {
    let place = row.place;
    let sealer = Sealer::new(transaction.keyring, row.scope, place.endpoint);
    match place.part {
        EncryptedPart::Settings => {
            let mut settings: SettingsRow = from_json(&row.text)?;
            let values = settings.reencrypt(&sealer)?;
            if values > 0 {
                update_settings(transaction, place, &to_json(&settings))?;
            }
            Ok(values)
        }
        EncryptedPart::Secrets => match sealer.reencrypt(Purpose::SigningSecret, &row.text)? {
            Some(sealed) => update_secret(transaction, place, &row.text, &sealed),
            None => Ok(0),
        },
    }
}

/// A version of the settings is never changed otherwise, nor is it deleted.
fn update_settings(transaction: &mut Tx<'_>, place: EncryptedPlace, settings: &str) -> Result<(), StoreError> {
    diesel::update(endpoint_versions::table.find((place.endpoint, place.number)))
        .set(endpoint_versions::settings.eq(settings))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// One that another node has deleted meanwhile is passed over.
fn update_secret(
    transaction: &mut Tx<'_>,
    place: EncryptedPlace,
    was: &str,
    sealed: &str,
) -> Result<usize, StoreError> {
    diesel::update(endpoint_secrets::table.find((place.endpoint, place.number)))
        .filter(endpoint_secrets::secret.eq(was))
        .set(endpoint_secrets::secret.eq(sealed))
        .execute(transaction.connection)
        .map_err(translate)
}

/// Gives up the notes of keys that seal nothing any more and are not to. Answers which.
pub(super) fn release_unused_keys(transaction: &mut Tx<'_>) -> Result<Vec<RingKeyId>, StoreError> {
    wait_for_changes(transaction)?;
    let mut released = Vec::new();
    for key in encryption::noted(transaction.connection)? {
        if transaction.keyring.current() == Some(&key) {
            continue;
        }
        // Whoever seals with it has its note in hand, and waits here or is waited for.
        transaction.lock_note(&key)?;
        if !encryption::is_used(transaction.connection, &key)? {
            diesel::delete(meta::table.find(encryption::note_of(&key)))
                .execute(transaction.connection)
                .map_err(translate)?;
            released.push(key);
        }
    }
    Ok(released)
}
