//! Ending deliveries without an attempt: by hand, and because nobody should get them
//! any more.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::super::{HISTORY, reads, translate, views};
use super::{Tx, endpoints, ordering};
use crate::domain::{DeliveryId, DiscardReason, StoredStatus};
use crate::store::rows::{status_number, status_of};
use crate::store::schema::{deliveries, endpoints as endpoint_rows, events, manual_attempts};
use crate::store::{Dismissed, Fence, Notice, Recorded, Scope, ScopeId, Skipped, StoreError};

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
