//! Endpoints: their settings as append-only versions, their secrets, and the
//! clock of subscription changes that events are matched against.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::super::translate;
use super::super::{brakes, interests, reads};
use crate::domain::{Endpoint, EndpointId, EndpointSettings, MAX_LISTENERS, Timestamp, TypePattern};
use crate::keyring::Purpose;
use crate::store::encryption::Sealer;
use crate::store::ids::{RowKey, time_of_key};
use crate::store::rows::{SettingsRow, to_json};
use crate::store::schema::{endpoint_secrets, endpoint_versions, endpoints, scopes};
use crate::store::{
    Effect, EndpointChange, EndpointConflict, NewEndpoint, Notice, Rotation, RotationConflict, Scope, ScopeId,
    StoreError,
};

use super::{Tx, signing, trouble};

pub(super) fn create(
    transaction: &mut Tx<'_>,
    new: &NewEndpoint,
) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
    let Some(scope) = reads::scope_id(transaction.connection, &new.scope)? else {
        return Ok(Err(EndpointConflict::NotFound));
    };
    transaction.lock_endpoints(scope)?;
    // Somebody may have begun to erase the partner meanwhile.
    if transaction.stands(scope)?.is_none() {
        return Ok(Err(EndpointConflict::NotFound));
    }
    if let Some(first) = same_url(transaction, scope, &new.settings.url, None)? {
        return Ok(Err(EndpointConflict::SameUrl(first)));
    }
    let count: i64 = endpoints::table
        .filter(endpoints::scope.eq(scope.0))
        .filter(endpoints::deleted_at.is_null())
        .count()
        .get_result(transaction.connection)
        .map_err(translate)?;
    if count >= new.most_endpoints as i64 {
        return Ok(Err(EndpointConflict::TooMany { most: new.most_endpoints }));
    }
    let listens = new.settings.events.iter().any(TypePattern::is_system);
    if listens && has_as_many_listeners_as_it_may(transaction, scope)? {
        return Ok(Err(EndpointConflict::TooManyListeners));
    }
    let key = transaction.take_keys(1)?;
    let since = bump(transaction, scope)?;
    let interest = interests::number_of(transaction.connection, &new.settings.events, new.settings.filter.as_ref())?;
    let is_braked = brakes::are_over(transaction.connection, scope)?;
    diesel::insert_into(endpoints::table)
        .values((
            endpoints::id.eq(key),
            endpoints::scope.eq(scope.0),
            endpoints::url.eq(&new.settings.url),
            endpoints::interest.eq(interest),
            endpoints::version.eq(1),
            endpoints::enabled.eq(new.settings.enabled && !is_braked),
            endpoints::braked_since.eq((new.settings.enabled && is_braked).then(|| transaction.now.as_millis())),
            endpoints::created_version.eq(since),
            endpoints::changed_version.eq(since),
            endpoints::updated_at.eq(time_of_key(key).as_millis()),
            endpoints::listens.eq(listens),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    write_settings(transaction, (scope, key), 1, since, &new.settings)?;
    let secret = Sealer::new(transaction.keyring, scope, key).seal(Purpose::SigningSecret, &new.secret)?;
    diesel::insert_into(endpoint_secrets::table)
        .values((
            endpoint_secrets::endpoint.eq(key),
            endpoint_secrets::number.eq(1),
            endpoint_secrets::secret.eq(secret),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.notices.push(Notice::EndpointChanged(transaction.ids.endpoint(key)));
    read_endpoint(transaction, &new.scope, key).map(Ok)
}

pub(super) fn change(
    transaction: &mut Tx<'_>,
    change: &EndpointChange,
) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
    let Some((scope, key)) = live_endpoint(transaction, &change.scope, change.endpoint)? else {
        return Ok(Err(EndpointConflict::NotFound));
    };
    let before = read_endpoint(transaction, &change.scope, key)?;
    if before.version != change.from_version {
        return Ok(Err(EndpointConflict::Outdated));
    }
    let version = i64::from(before.version);
    if let Some(other) = same_url(transaction, scope, &change.settings.url, Some(key))? {
        return Ok(Err(EndpointConflict::SameUrl(other)));
    }
    let settings = &change.settings;
    let listens = settings.events.iter().any(TypePattern::is_system);
    let listened = before.settings.events.iter().any(TypePattern::is_system);
    if listens && !listened && has_as_many_listeners_as_it_may(transaction, scope)? {
        return Ok(Err(EndpointConflict::TooManyListeners));
    }
    let since = bump(transaction, scope)?;
    let interest = interests::number_of(transaction.connection, &settings.events, settings.filter.as_ref())?;
    // A pause outlives a change of settings, and so does a brake.
    let (goes_out, is_braked) = (settings.enabled && before.paused_at.is_none(), before.braked_at.is_some());
    let braked_since = braked_since(transaction, key, goes_out && is_braked)?;
    diesel::update(endpoints::table.find(key))
        .set((
            endpoints::url.eq(&settings.url),
            endpoints::interest.eq(interest),
            endpoints::version.eq(version + 1),
            endpoints::enabled.eq(goes_out && !is_braked),
            endpoints::braked_since.eq(braked_since),
            endpoints::changed_version.eq(since),
            endpoints::updated_at.eq(transaction.now.as_millis()),
            endpoints::listens.eq(listens),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    write_settings(transaction, (scope, key), version + 1, since, settings)?;
    if settings.enabled && !before.settings.enabled {
        trouble::begin_anew(transaction, key)?;
    }
    transaction.notices.push(Notice::EndpointChanged(change.endpoint));
    read_endpoint(transaction, &change.scope, key).map(Ok)
}

pub(super) fn delete(transaction: &mut Tx<'_>, scope: &Scope, endpoint: EndpointId) -> Result<bool, StoreError> {
    let Some((scope, key)) = live_endpoint(transaction, scope, endpoint)? else { return Ok(false) };
    let version = bump(transaction, scope)?;
    diesel::update(endpoints::table.find(key))
        .set((
            endpoints::deleted_version.eq(version),
            endpoints::changed_version.eq(version),
            endpoints::deleted_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    diesel::delete(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
        .execute(transaction.connection)
        .map_err(translate)?;
    trouble::forget(transaction, key)?;
    transaction.notices.push(Notice::EndpointChanged(endpoint));
    Ok(true)
}

pub(super) fn pause(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
) -> Result<Option<Effect<Endpoint>>, StoreError> {
    let now = transaction.now;
    set_pause(transaction, scope, endpoint, Some(now))
}

pub(super) fn resume(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
) -> Result<Option<Effect<Endpoint>>, StoreError> {
    set_pause(transaction, scope, endpoint, None)
}

/// What holds is the column `enabled`: the settings keep what the partner said
/// there, so that the end of a pause knows where to go back to. The scope is
/// stamped although its events are matched as before: by the version that an
/// event was matched at, whoever sends it knows that there is something to hear.
fn set_pause(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
    paused_at: Option<Timestamp>,
) -> Result<Option<Effect<Endpoint>>, StoreError> {
    let Some((scope_id, key)) = live_endpoint(transaction, scope, endpoint)? else { return Ok(None) };
    let found = read_endpoint(transaction, scope, key)?;
    if found.paused_at.is_some() == paused_at.is_some() {
        return Ok(Some(Effect::AsBefore(found)));
    }
    let changed = bump(transaction, scope_id)?;
    let (goes_out, is_braked) = (found.settings.enabled && paused_at.is_none(), found.braked_at.is_some());
    let braked_since = braked_since(transaction, key, goes_out && is_braked)?;
    diesel::update(endpoints::table.find(key))
        .set((
            endpoints::paused_at.eq(paused_at.map(Timestamp::as_millis)),
            endpoints::enabled.eq(goes_out && !is_braked),
            endpoints::braked_since.eq(braked_since),
            endpoints::changed_version.eq(changed),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    if paused_at.is_none() && found.settings.enabled {
        // What it failed at before the pause is long ago. One that stays disabled
        // keeps the reason.
        trouble::begin_anew(transaction, key)?;
    }
    transaction.notices.push(Notice::EndpointChanged(endpoint));
    Ok(Some(Effect::Changed(Endpoint { paused_at, ..found })))
}

pub(super) fn rotate_secret(
    transaction: &mut Tx<'_>,
    rotation: &Rotation,
) -> Result<Result<(), RotationConflict>, StoreError> {
    let Rotation { scope, endpoint, secret, .. } = rotation;
    let Some((scope, key)) = live_endpoint(transaction, scope, *endpoint)? else {
        return Ok(Err(RotationConflict::NotFound));
    };
    if let Some(conflict) = signing::conflict(transaction, key, rotation)? {
        return Ok(Err(conflict));
    }
    let overlap_until = transaction.now + rotation.overlap;
    transaction.note_key()?;
    let secret = Sealer::new(transaction.keyring, scope, key).seal(Purpose::SigningSecret, secret)?;
    let changed = tick(transaction, scope)?;
    diesel::update(endpoints::table.find(key))
        .set(endpoints::changed_version.eq(changed))
        .execute(transaction.connection)
        .map_err(translate)?;
    signing::change(transaction, (scope, key), rotation, changed)?;
    diesel::update(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
        .filter(endpoint_secrets::expires_at.is_null().or(endpoint_secrets::expires_at.gt(overlap_until.as_millis())))
        .set(endpoint_secrets::expires_at.eq(overlap_until.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)?;
    let number: Option<i64> = endpoint_secrets::table
        .filter(endpoint_secrets::endpoint.eq(key))
        .select(diesel::dsl::max(endpoint_secrets::number))
        .first(transaction.connection)
        .map_err(translate)?;
    // What signs no more is of no use to anyone but a thief.
    diesel::delete(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
        .filter(endpoint_secrets::expires_at.le(transaction.now.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)?;
    diesel::insert_into(endpoint_secrets::table)
        .values((
            endpoint_secrets::endpoint.eq(key),
            endpoint_secrets::number.eq(number.unwrap_or(0) + 1),
            endpoint_secrets::secret.eq(secret),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.notices.push(Notice::EndpointChanged(*endpoint));
    Ok(Ok(()))
}

/// Since when a brake alone holds an endpoint, if one is to: it may do already.
fn braked_since(transaction: &mut Tx<'_>, key: RowKey, is_held: bool) -> Result<Option<i64>, StoreError> {
    if !is_held {
        return Ok(None);
    }
    let known: Option<i64> =
        endpoints::table.find(key).select(endpoints::braked_since).first(transaction.connection).map_err(translate)?;
    Ok(Some(known.unwrap_or(transaction.now.as_millis())))
}

/// Moves an environment's clock on and stamps the scope with it: its events are
/// matched against something else from now on.
pub(super) fn bump(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<i64, StoreError> {
    let version = tick(transaction, scope)?;
    diesel::update(scopes::table.find(scope.0))
        .set(scopes::version.eq(version))
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.learn_version(scope, version);
    Ok(version)
}

/// Moves an environment's clock on: something of an endpoint changed.
pub(super) fn tick(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<i64, StoreError> {
    let all = scope.environment();
    let version = transaction.scope_version(all)? + 1;
    diesel::update(scopes::table.find(all.0))
        .set(scopes::version.eq(version))
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.learn_version(all, version);
    Ok(version)
}

/// Whether one more endpoint that hears of troubles would be too many: what a commit
/// of outcomes writes for each of them has a bound.
fn has_as_many_listeners_as_it_may(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<bool, StoreError> {
    let count: i64 = endpoints::table
        .filter(endpoints::scope.eq(scope.0))
        .filter(sql::<Bool>("endpoints.listens"))
        .filter(endpoints::deleted_at.is_null())
        .count()
        .get_result(transaction.connection)
        .map_err(translate)?;
    Ok(count >= MAX_LISTENERS as i64)
}

/// Another endpoint of the scope with this URL.
pub(super) fn same_url(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    url: &str,
    besides: Option<RowKey>,
) -> Result<Option<EndpointId>, StoreError> {
    let other: Option<i64> = endpoints::table
        .filter(endpoints::scope.eq(scope.0))
        .filter(endpoints::url.eq(url))
        .filter(endpoints::deleted_at.is_null())
        .filter(endpoints::id.ne(besides.unwrap_or(0)))
        .select(endpoints::id)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    Ok(other.map(|key| transaction.ids.endpoint(key)))
}

pub(super) fn write_settings(
    transaction: &mut Tx<'_>,
    (scope, endpoint): (ScopeId, RowKey),
    version: i64,
    since_version: i64,
    settings: &EndpointSettings,
) -> Result<(), StoreError> {
    transaction.note_key()?;
    let row = SettingsRow::from(settings).sealed(&Sealer::new(transaction.keyring, scope, endpoint))?;
    diesel::insert_into(endpoint_versions::table)
        .values((
            endpoint_versions::endpoint.eq(endpoint),
            endpoint_versions::version.eq(version),
            endpoint_versions::since_version.eq(since_version),
            endpoint_versions::settings.eq(to_json(&row)),
            endpoint_versions::since_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// The row of a live endpoint of this scope, which nobody else changes before this
/// transaction ends.
pub(super) fn live_endpoint(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
) -> Result<Option<(ScopeId, RowKey)>, StoreError> {
    let Some(scope) = reads::scope_id(transaction.connection, scope)? else { return Ok(None) };
    let Some(key) = transaction.ids.endpoint_key(endpoint) else { return Ok(None) };
    transaction.lock_endpoints(scope)?;
    let found: Option<i64> = endpoints::table
        .find(key)
        .filter(endpoints::scope.eq(scope.0))
        .filter(endpoints::deleted_at.is_null())
        .select(endpoints::id)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    Ok(found.map(|key| (scope, key)))
}

pub(super) fn read_endpoint(transaction: &mut Tx<'_>, scope: &Scope, key: RowKey) -> Result<Endpoint, StoreError> {
    reads::endpoint(transaction.connection, transaction.ids, transaction.keyring, scope, key)?
        .ok_or_else(|| StoreError::Corrupt("an endpoint just written is not there".into()))
}
