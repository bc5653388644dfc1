//! Ending deliveries without an attempt: by hand, and because nobody should get them
//! any more.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::super::{HISTORY, reads, statements, translate, views};
use super::{Tx, endpoints, ordering};
use crate::domain::{DeliveryId, DiscardReason, EndpointId, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::rows::{status_number, status_of};
use crate::store::schema::{deliveries, endpoints as endpoint_rows, events, manual_attempts};
use crate::store::{
    Dismissal, Dismissed, DismissedSlice, Fence, Notice, Recorded, Scope, ScopeId, Skipped, StoreError,
};

/// Whoever has the delivery in memory, on whichever node, hears that there is
/// something to read anew, as it would of a pause.
pub(super) fn skip(transaction: &mut Tx<'_>, scope: &Scope, delivery: DeliveryId) -> Result<Skipped, StoreError> {
    let Some(id) = reads::scope_id(transaction.connection, scope)? else { return Ok(Skipped::NotFound) };
    let Some(key) = transaction.ids.delivery_key(delivery) else { return Ok(Skipped::NotFound) };
    transaction.lock_endpoints(id)?;
    // What has no event is not sealed yet, and nobody knows of it.
    let mut query = deliveries::table
        .inner_join(endpoint_rows::table)
        .inner_join(events::table)
        .filter(deliveries::id.eq(key))
        .select((deliveries::endpoint, endpoint_rows::scope, endpoint_rows::deleted_at))
        .into_boxed();
    query = match scope.partner {
        Some(_) => query.filter(endpoint_rows::scope.eq(id.0)),
        None => query.filter(diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0)),
    };
    let found: Option<(i64, i64, Option<i64>)> = query.first(transaction.connection).optional().map_err(translate)?;
    let Some((endpoint, scope, deleted_at)) = found else { return Ok(Skipped::NotFound) };
    if deleted_at.is_some() {
        return Ok(Skipped::Ended);
    }
    let skipped = ordering::discard(transaction, key, DiscardReason::Skipped)?;
    if skipped == Skipped::Done {
        let changed = endpoints::tick(transaction, ScopeId(scope))?;
        diesel::update(endpoint_rows::table.find(endpoint))
            .set((endpoint_rows::discards.eq(endpoint_rows::discards + 1), endpoint_rows::changed_version.eq(changed)))
            .execute(transaction.connection)
            .map_err(translate)?;
        transaction.notices.push(Notice::EndpointChanged(transaction.ids.endpoint(endpoint)));
    }
    Ok(skipped)
}

/// Leaves an exhausted delivery of a scope at that.
pub(super) fn dismiss(transaction: &mut Tx<'_>, scope: &Scope, delivery: DeliveryId) -> Result<Dismissed, StoreError> {
    let found = views::delivery(transaction.connection, transaction.ids, scope, delivery)?;
    let (Some(_), Some(key)) = (found, transaction.ids.delivery_key(delivery)) else { return Ok(Dismissed::NotFound) };
    let from = status_number(StoredStatus::RetriesExhausted);
    let to = status_number(StoredStatus::Discarded(DiscardReason::Dismissed));
    let dismissed =
        diesel::sql_query(format!("UPDATE {HISTORY} SET status = {to} WHERE id = {key} AND status = {from}"))
            .execute(transaction.connection)
            .map_err(translate)?;
    if dismissed == 0 {
        return Ok(Dismissed::NotExhausted);
    }
    // An attempt that somebody asked for before is not made any more, unless it is on its way.
    diesel::delete(manual_attempts::table.find(key)).execute(transaction.connection).map_err(translate)?;
    Ok(Dismissed::Done)
}

/// Leaves some of an endpoint's at that.
pub(super) fn dismiss_exhausted(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
    meant: &Dismissal,
    before: Option<DeliveryId>,
    limit: usize,
) -> Result<Option<DismissedSlice>, StoreError> {
    let Some((_, key)) = endpoints::live_endpoint(transaction, scope, endpoint)? else { return Ok(None) };
    let before = before.map_or(RowKey::MAX, |before| transaction.ids.delivery_key(before).unwrap_or(0));
    let rows = statements::exhausted_of(transaction.connection, key, before, limit as i64).map_err(translate)?;
    let last = rows.iter().map(|row| row.0).min().filter(|_| rows.len() == limit);
    let (until, next) = (meant.until.as_millis(), last.map(|last| transaction.ids.delivery(last)));
    let is_meant = |class: &Option<String>, code: Option<i64>| {
        meant.reason.as_ref().is_none_or(|(named, status)| named == class && status.map(i64::from) == code)
    };
    let rows = rows.into_iter().filter(|(_, finished_at, class, code, is_replayed)| {
        !is_replayed && finished_at.is_some_and(|at| at < until) && is_meant(class, *code)
    });
    let keys: Vec<RowKey> = rows.map(|row| row.0).collect();
    if keys.is_empty() {
        return Ok(Some(DismissedSlice { dismissed: 0, next }));
    }
    let from = status_number(StoredStatus::RetriesExhausted);
    let to = status_number(StoredStatus::Discarded(DiscardReason::Dismissed));
    let list = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let dismissed =
        diesel::sql_query(format!("UPDATE {HISTORY} SET status = {to} WHERE id IN ({list}) AND status = {from}"))
            .execute(transaction.connection)
            .map_err(translate)?;
    // As of one: what somebody asked for before is not made any more.
    diesel::delete(manual_attempts::table.filter(manual_attempts::delivery.eq_any(&keys)))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(Some(DismissedSlice { dismissed, next }))
}

pub(super) fn expire(
    transaction: &mut Tx<'_>,
    delivery: DeliveryId,
    fence: Option<Fence>,
) -> Result<Option<Recorded>, StoreError> {
    let Some(key) = transaction.ids.delivery_key(delivery) else { return Ok(Some(Recorded::Superseded)) };
    if !ordering::fence_stands(transaction, fence)? {
        return Ok(Some(Recorded::Fenced));
    }
    match ordering::discard(transaction, key, DiscardReason::Expired)? {
        Skipped::Done => Ok(Some(Recorded::Written(StoredStatus::Discarded(DiscardReason::Expired)))),
        Skipped::Busy => Ok(None),
        Skipped::Ended | Skipped::NotFound => {
            let status: Option<i64> = deliveries::table
                .filter(deliveries::id.eq(key))
                .select(deliveries::status)
                .first(transaction.connection)
                .optional()
                .map_err(translate)?;
            let stands = status.map_or(Ok(Recorded::Superseded), |status| status_of(status).map(Recorded::Written));
            stands.map(Some)
        }
    }
}
