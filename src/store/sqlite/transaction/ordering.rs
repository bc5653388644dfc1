//! The order of an endpoint's deliveries as SQLite writes it. What it means is in
//! `placing`; whoever ends a delivery releases the next.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::domain::{DiscardReason, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::placing::{Place, WithoutPlace};
use crate::store::rows::status_number;
use crate::store::schema::{deliveries, manual_attempts};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{Fence, Skipped, StoreError};

use super::SqliteTransaction;

/// Nobody else writes while a transaction is open.
pub(super) fn lock(_: &mut SqliteTransaction<'_>, _: &[RowKey]) -> Result<(), StoreError> {
    Ok(())
}

/// Nobody else could own the endpoint.
pub(super) fn fence_stands(_: &mut SqliteTransaction<'_>, _: Option<Fence>) -> Result<bool, StoreError> {
    Ok(true)
}

/// Of these deliveries and what they wait by, those without a place, in this order,
/// and the keys that others have.
pub(super) fn unplaced(
    transaction: &mut SqliteTransaction<'_>,
    endpoint: RowKey,
    by_key: &[(RowKey, Option<i64>)],
) -> Result<(Vec<WithoutPlace>, HashSet<i64>), StoreError> {
    let (mut unplaced, mut taken) = (Vec::with_capacity(by_key.len()), HashSet::new());
    for (delivery, order_key) in by_key {
        let rows = statements::without_place(transaction.connection, *delivery, endpoint).map_err(translate)?;
        for (delivery, sequence) in rows {
            unplaced.push(WithoutPlace { delivery, order_key: *order_key, sequence });
            if let Some(key) = order_key
                && !taken.contains(key)
                && !statements::has_key(transaction.connection, endpoint, *key).map_err(translate)?.is_empty()
            {
                taken.insert(*key);
            }
        }
    }
    Ok((unplaced, taken))
}

pub(super) fn write_places(transaction: &mut SqliteTransaction<'_>, places: &[Place]) -> Result<(), StoreError> {
    for place in places {
        let (status, now) = (status_number(place.status), transaction.now.as_millis());
        statements::place(transaction.connection, status, place.sequence, place.order_key, now, place.delivery)
            .map_err(translate)?;
    }
    transaction.has_orders = Some(true);
    Ok(())
}

/// Takes up to `limit` deliveries out of the order they are in: what was not tried is as if it had
/// just been accepted, by the time in its key, and keeps its place. Answers how many
/// there were.
pub(super) fn undo(
    transaction: &mut SqliteTransaction<'_>,
    endpoint: RowKey,
    limit: usize,
) -> Result<usize, StoreError> {
    diesel::sql_query(
        "UPDATE deliveries SET order_key = NULL, status = CASE WHEN scheduled_attempts = 0 THEN 0 ELSE 1 END,
           next_at = CASE WHEN scheduled_attempts = 0 THEN id >> 21 ELSE next_at END
         WHERE id IN (
           SELECT id FROM deliveries INDEXED BY deliveries_in_order
           WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? LIMIT ?)",
    )
    .bind::<BigInt, _>(endpoint)
    .bind::<BigInt, _>(limit as i64)
    .execute(transaction.connection)
    .map_err(translate)
}

/// Makes the first that waits by each of these keys due, where nothing is.
pub(super) fn release(
    transaction: &mut SqliteTransaction<'_>,
    endpoint: RowKey,
    keys: impl IntoIterator<Item = i64>,
) -> Result<(), StoreError> {
    let now = transaction.now.as_millis();
    for key in keys {
        statements::release(transaction.connection, now, endpoint, key, endpoint, key).map_err(translate)?;
    }
    Ok(())
}

/// This delivery has ended: what waited for it is due, if there is anything.
pub(super) fn release_behind(transaction: &mut SqliteTransaction<'_>, delivery: RowKey) -> Result<(), StoreError> {
    if !has_orders(transaction)? {
        return Ok(());
    }
    let found: Option<(i64, Option<i64>)> = deliveries::table
        .find(delivery)
        .select((deliveries::endpoint, deliveries::order_key))
        .get_result(transaction.connection)
        .optional()
        .map_err(translate)?;
    if let Some((endpoint, Some(key))) = found {
        release(transaction, endpoint, [key])?;
    }
    Ok(())
}

/// Whether any endpoint has an order: mostly none has, and nobody need look further.
fn has_orders(transaction: &mut SqliteTransaction<'_>) -> Result<bool, StoreError> {
    if let Some(known) = transaction.has_orders {
        return Ok(known);
    }
    let any = !statements::any_order(transaction.connection).map_err(translate)?.is_empty();
    transaction.has_orders = Some(any);
    Ok(any)
}

/// Ends an unfinished delivery without an attempt.
pub(super) fn discard(
    transaction: &mut SqliteTransaction<'_>,
    delivery: RowKey,
    reason: DiscardReason,
) -> Result<Skipped, StoreError> {
    let ended = diesel::update(deliveries::table.find(delivery))
        .filter(deliveries::next_at.is_not_null())
        .set((
            deliveries::status.eq(status_number(StoredStatus::Discarded(reason))),
            deliveries::next_at.eq(None::<i64>),
            deliveries::finished_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    if ended == 0 {
        return Ok(Skipped::Ended);
    }
    diesel::delete(manual_attempts::table.find(delivery)).execute(transaction.connection).map_err(translate)?;
    release_behind(transaction, delivery)?;
    Ok(Skipped::Done)
}

/// Ends these without an attempt, and releases what waited for them. Answers how many
/// that were.
pub(super) fn discard_all(
    transaction: &mut SqliteTransaction<'_>,
    deliveries: &[RowKey],
    reason: DiscardReason,
) -> Result<usize, StoreError> {
    let mut ended = 0;
    for delivery in deliveries {
        ended += usize::from(discard(transaction, *delivery, reason)? == Skipped::Done);
    }
    Ok(ended)
}
