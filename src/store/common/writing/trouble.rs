//! What is kept of endpoints that are in trouble: a row for each, and none for those
//! that are well.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::HashSet;

use diesel::prelude::*;

use super::super::{reads, translate};
use super::{Tx, announcing, endpoints};
use crate::domain::{Actor, AuditAction, DisabledReason, EndpointId, Setback, Timestamp, Trouble};
use crate::store::encryption::Sealer;
use crate::store::ids::RowKey;
use crate::store::rows::{SettingsRow, from_json};
use crate::store::schema::{deliveries, endpoint_health, endpoint_versions, endpoints as endpoint_rows};
use crate::store::{AuditEntry, Notice, Record, Recorded, ScopeId, StoreError};

/// Keeps what an attempt taught about its endpoint, unless the attempt was another
/// node's to make. Answers which of the records taught something, by their places.
pub(super) fn learn(
    transaction: &mut Tx<'_>,
    records: &[&Record],
    recorded: &[Recorded],
) -> Result<HashSet<usize>, StoreError> {
    let mut learnt = HashSet::new();
    for (index, (record, recorded)) in records.iter().zip(recorded).enumerate() {
        let (Some(trouble), Some(key)) = (&record.trouble, transaction.ids.delivery_key(record.delivery)) else {
            continue;
        };
        if *recorded == Recorded::Fenced {
            continue;
        }
        let endpoint: Option<i64> = deliveries::table
            .inner_join(endpoint_rows::table.on(endpoint_rows::id.eq(deliveries::endpoint)))
            .filter(deliveries::id.eq(key))
            .filter(endpoint_rows::deleted_at.is_null())
            .select(deliveries::endpoint)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        let Some(endpoint) = endpoint else { continue };
        let known = reads::trouble(transaction.connection, endpoint)?;
        // What was still under way when it was disabled says nothing against that.
        if known.disabled.is_some() {
            continue;
        }
        if *recorded == Recorded::Superseded {
            // What such a record announces, nobody is told.
            write(transaction, endpoint, &Trouble { announced_at: known.announced_at, ..trouble.clone() })?;
        } else {
            write(transaction, endpoint, trouble)?;
            learnt.insert(index);
        }
    }
    Ok(learnt)
}

fn write(transaction: &mut Tx<'_>, endpoint: RowKey, trouble: &Trouble) -> Result<(), StoreError> {
    forget(transaction, endpoint)?;
    if trouble.is_none() {
        return Ok(());
    }
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let breaker = trouble.breaker;
    diesel::insert_into(endpoint_health::table)
        .values((
            endpoint_health::endpoint.eq(endpoint),
            endpoint_health::failing_since.eq(millis(trouble.failing_since)),
            endpoint_health::opened_at.eq(millis(breaker.map(|open| open.opened_at))),
            endpoint_health::probes.eq(breaker.map_or(0, |open| i64::from(open.probes))),
            endpoint_health::probe_at.eq(millis(breaker.map(|open| open.probe_at))),
            endpoint_health::not_before.eq(millis(trouble.not_before)),
            endpoint_health::warned_at.eq(millis(trouble.warned_at)),
            endpoint_health::announced_at.eq(millis(trouble.announced_at)),
            endpoint_health::disabled_at.eq(millis(trouble.disabled.map(|(at, _)| at))),
            endpoint_health::disabled_reason.eq(trouble.disabled.map(|(_, reason)| reason.as_str())),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// It begins anew.
pub(super) fn begin_anew(transaction: &mut Tx<'_>, endpoint: RowKey) -> Result<(), StoreError> {
    let known = reads::trouble(transaction.connection, endpoint)?;
    write(transaction, endpoint, &known.begun_anew())
}

/// It is gone.
pub(super) fn forget(transaction: &mut Tx<'_>, endpoint: RowKey) -> Result<(), StoreError> {
    diesel::delete(endpoint_health::table.filter(endpoint_health::endpoint.eq(endpoint)))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// Gives an endpoint its next version of settings, disabled. False, and nothing is
/// written, when it is gone, disabled already, or not failing although that is the
/// reason.
pub(super) fn disable(
    transaction: &mut Tx<'_>,
    endpoint: EndpointId,
    reason: DisabledReason,
    setback: Option<&Setback>,
) -> Result<bool, StoreError> {
    let Some(key) = transaction.ids.endpoint_key(endpoint) else { return Ok(false) };
    let row = endpoint_rows::table.filter(endpoint_rows::id.eq(key)).filter(endpoint_rows::deleted_at.is_null());
    let scope: Option<i64> =
        row.select(endpoint_rows::scope).first(transaction.connection).optional().map_err(translate)?;
    let Some(scope) = scope.map(ScopeId) else { return Ok(false) };
    transaction.lock_endpoints(scope)?;
    let version: Option<i64> =
        row.select(endpoint_rows::version).first(transaction.connection).optional().map_err(translate)?;
    let Some(version) = version else { return Ok(false) };
    let text: String = endpoint_versions::table
        .filter(endpoint_versions::endpoint.eq(key))
        .filter(endpoint_versions::version.eq(version))
        .select(endpoint_versions::settings)
        .first(transaction.connection)
        .map_err(translate)?;
    let sealer = Sealer::new(transaction.keyring, scope, key);
    let mut settings = from_json::<SettingsRow>(&text)?.opened(&sealer)?.settings()?;
    let mut trouble = reads::trouble(transaction.connection, key)?;
    // Whoever finds it failing may not have heard that it is well again.
    let is_outdated = reason == DisabledReason::Failing && trouble.failing_since.is_none();
    if !settings.enabled || is_outdated {
        return Ok(false);
    }
    settings.enabled = false;
    let since = endpoints::bump(transaction, scope)?;
    diesel::update(endpoint_rows::table.filter(endpoint_rows::id.eq(key)))
        .set((
            endpoint_rows::version.eq(version + 1),
            endpoint_rows::enabled.eq(false),
            endpoint_rows::braked_since.eq(None::<i64>),
            endpoint_rows::changed_version.eq(since),
            endpoint_rows::updated_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    endpoints::write_settings(transaction, (scope, key), version + 1, since, &settings)?;
    // Nothing is probed or waited for while it is held; the rest says why it is.
    (trouble.breaker, trouble.not_before) = (None, None);
    trouble.disabled = Some((transaction.now, reason));
    write(transaction, key, &trouble)?;
    transaction.notices.push(Notice::EndpointChanged(endpoint));
    let owner = reads::scope_of(transaction.connection, scope)?;
    let entry = AuditEntry::new(Actor::Posthaste, AuditAction::EndpointDisabled).of(&owner).about(endpoint);
    transaction.audits.push(entry.with(format!(r#"{{"reason":"{}"}}"#, reason.as_str())));
    if let Some(setback) = setback {
        announcing::announce_disabled(transaction, scope, key, &trouble, setback)?;
    }
    Ok(true)
}
