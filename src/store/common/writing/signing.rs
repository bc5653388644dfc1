//! What a rotation does beside the secrets themselves: whether there is room
//! for one more, and the endpoint's settings where it signs in another way from
//! then on.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::{reads, translate};
use super::Tx;
use super::endpoints::{read_endpoint, write_settings};
use crate::domain::MAX_SECRETS;
use crate::store::ids::RowKey;
use crate::store::schema::endpoints;
use crate::store::{Rotation, RotationConflict, ScopeId, StoreError};

/// What stands against a rotation, the endpoint being there and nobody else's to change.
pub(super) fn conflict(
    transaction: &mut Tx<'_>,
    endpoint: RowKey,
    rotation: &Rotation,
) -> Result<Option<RotationConflict>, StoreError> {
    let found = read_endpoint(transaction, &rotation.scope, endpoint)?;
    if found.settings.signing != rotation.from_signing {
        return Ok(Some(RotationConflict::Outdated));
    }
    let live = reads::secrets(transaction.connection, transaction.keyring, endpoint, transaction.now)?;
    if live.iter().any(|live| live.secret == rotation.secret) {
        return Ok(Some(RotationConflict::SignsAlready));
    }
    if rotation.overlap.is_zero() {
        return Ok(None);
    }
    let first = live.iter().filter_map(|live| live.expires_at).min();
    Ok(first.filter(|_| live.len() >= MAX_SECRETS).map(|until| RotationConflict::TooMany { until }))
}

/// Gives an endpoint the settings that say how it signs from now on, if it does in
/// another way than before.
pub(super) fn change(
    transaction: &mut Tx<'_>,
    (scope, endpoint): (ScopeId, RowKey),
    rotation: &Rotation,
    since_version: i64,
) -> Result<(), StoreError> {
    if rotation.signing == rotation.from_signing {
        return Ok(());
    }
    let found = read_endpoint(transaction, &rotation.scope, endpoint)?;
    let version = i64::from(found.version) + 1;
    let mut settings = found.settings;
    settings.signing = rotation.signing;
    diesel::update(endpoints::table.find(endpoint))
        .set((endpoints::version.eq(version), endpoints::updated_at.eq(transaction.now.as_millis())))
        .execute(transaction.connection)
        .map_err(translate)?;
    write_settings(transaction, (scope, endpoint), version, since_version, &settings)
}
