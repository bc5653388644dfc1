//! Brakes: what operators hold, over a partner or a whole environment.
//!
//! What holds is the column `enabled` of endpoints, as for a pause. `braked_since` says
//! which of them a brake alone holds, so that a release knows what to enable
//! without reading any settings: of every live endpoint, `enabled` is true or
//! `braked_since` known where its settings say so and its partner has not paused it, the one
//! without a brake over it and the other with one.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::super::{brakes as brakes_read, reads, translate};
use super::{Tx, endpoints as endpoint_verbs};
use crate::domain::Timestamp;
use crate::store::schema::{brakes, endpoints, scopes};
use crate::store::{Brake, Effect, Notice, Scope, ScopeId, StoreError};

pub(super) fn set(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    reason: Option<&str>,
) -> Result<Option<Effect<Brake>>, StoreError> {
    let Some(id) = reads::scope_id(transaction.connection, scope)? else { return Ok(None) };
    transaction.lock_endpoints(id)?;
    let known: Option<(i64, Option<String>)> = brakes::table
        .find(id.0)
        .select((brakes::since, brakes::reason))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let brake = |since: i64, reason: Option<String>| Brake {
        scope: scope.clone(),
        since: Timestamp::from_millis(since),
        reason,
    };
    if let Some((since, before)) = known {
        // It is in force since the first time; what is said of it may change.
        let Some(reason) = reason.filter(|reason| before.as_deref() != Some(*reason)) else {
            return Ok(Some(Effect::AsBefore(brake(since, before))));
        };
        diesel::update(brakes::table.find(id.0))
            .set(brakes::reason.eq(reason))
            .execute(transaction.connection)
            .map_err(translate)?;
        return Ok(Some(Effect::Changed(brake(since, Some(reason.to_owned())))));
    }
    let since = transaction.now.as_millis();
    diesel::insert_into(brakes::table)
        .values((brakes::scope.eq(id.0), brakes::since.eq(since), brakes::reason.eq(reason)))
        .execute(transaction.connection)
        .map_err(translate)?;
    let changed = stamp(transaction, id)?;
    diesel::update(endpoints::table)
        .filter(sql::<Bool>(of(id)).bind::<BigInt, _>(id.0))
        .filter(endpoints::deleted_at.is_null())
        .filter(endpoints::enabled.eq(true))
        .set((endpoints::enabled.eq(false), endpoints::braked_since.eq(since), endpoints::changed_version.eq(changed)))
        .execute(transaction.connection)
        .map_err(translate)?;
    tell(transaction)?;
    Ok(Some(Effect::Changed(brake(since, reason.map(str::to_owned)))))
}

pub(super) fn release(transaction: &mut Tx<'_>, scope: &Scope) -> Result<bool, StoreError> {
    let Some(id) = reads::scope_id(transaction.connection, scope)? else { return Ok(false) };
    transaction.lock_endpoints(id)?;
    if diesel::delete(brakes::table.find(id.0)).execute(transaction.connection).map_err(translate)? == 0 {
        return Ok(false);
    }
    let changed = stamp(transaction, id)?;
    if !brakes_read::are_over(transaction.connection, id.environment())? {
        forgive(transaction, id)?;
        diesel::update(endpoints::table)
            .filter(sql::<Bool>(of(id)).bind::<BigInt, _>(id.0))
            .filter(sql::<Bool>(HELD_BY_NO_OTHER))
            .set((
                endpoints::enabled.eq(true),
                endpoints::braked_since.eq(None::<i64>),
                endpoints::changed_version.eq(changed),
            ))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    tell(transaction)?;
    Ok(true)
}

/// Which endpoints a release lets go where no brake over the whole environment is left.
const HELD_BY_NO_OTHER: &str = "endpoints.braked_since IS NOT NULL AND endpoints.deleted_at IS NULL \
                                AND endpoints.scope NOT IN (SELECT scope FROM brakes)";

/// What is known of the trouble of those that are released stays, since nobody has
/// mended them meanwhile; but they have not failed for as long as they were held, and
/// are neither warned of nor disabled for that, nor is told again what was told.
fn forgive(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<(), StoreError> {
    let now = transaction.now.as_millis();
    let later = |time: &str| {
        // What an attempt under way told after the brake came is not of the time to come.
        format!(
            "{time} = CASE WHEN {time} < braked_since THEN {time} + {now} - braked_since \
                   WHEN {time} >= braked_since THEN {now} END"
        )
    };
    diesel::sql_query(format!(
        "UPDATE endpoint_health SET {}, {}, {} FROM endpoints \
         WHERE endpoints.id = endpoint_health.endpoint AND failing_since IS NOT NULL \
         AND {} {} AND {HELD_BY_NO_OTHER}",
        later("failing_since"),
        later("warned_at"),
        later("announced_at"),
        of(scope),
        scope.0,
    ))
    .execute(transaction.connection)
    .map_err(translate)?;
    Ok(())
}

/// Whose endpoints: of one partner, or of all in the environment.
fn of(scope: ScopeId) -> &'static str {
    if scope == scope.environment() { "endpoints.scope & 1 = " } else { "endpoints.scope = " }
}

/// Stamps the scope, or all scopes of the environment, for the same reason as a
/// pause does: whoever sends what was accepted later knows that there is something
/// to hear first.
fn stamp(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<i64, StoreError> {
    let version = endpoint_verbs::bump(transaction, scope)?;
    if scope == scope.environment() {
        diesel::update(scopes::table)
            .filter(sql::<Bool>("scopes.id & 1 = ").bind::<BigInt, _>(scope.0))
            .set(scopes::version.eq(version))
            .execute(transaction.connection)
            .map_err(translate)?;
        transaction.forget_scopes();
    }
    Ok(version)
}

/// One notice for all endpoints, however many they are.
fn tell(transaction: &mut Tx<'_>) -> Result<(), StoreError> {
    let in_force = brakes_read::in_force(transaction.connection)?;
    transaction.notices.push(Notice::BrakesChanged { in_force });
    Ok(())
}
