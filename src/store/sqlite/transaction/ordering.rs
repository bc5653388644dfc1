//! Which deliveries of an ordered endpoint are due, and which wait for others: of
//! those with one key, one at a time. Whoever ends a delivery releases the next.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::domain::{DiscardReason, EndpointId, EventOrder, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::placing::{self, Unplaced};
use crate::store::rows::status_number;
use crate::store::schema::{deliveries, endpoint_orders, manual_attempts};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{Placed, Placing, Skipped, StoreError};

use super::SqliteTransaction;

/// Deliveries taken out of their order in one commit.
const UNDONE_AT_ONCE: usize = 1_000;

/// See [`Transaction::place_deliveries`](crate::store::Transaction::place_deliveries).
pub(super) fn place(
    transaction: &mut SqliteTransaction<'_>,
    endpoint: EndpointId,
    order: Option<&EventOrder>,
    placings: &[Placing],
) -> Result<Placed, StoreError> {
    let endpoint = transaction.endpoint_key(endpoint)?;
    let found: Option<(Option<String>, i64)> = endpoint_orders::table
        .find(endpoint)
        .select((endpoint_orders::event_order, endpoint_orders::last_sequence))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let (stored, last) = found.unwrap_or((None, 0));
    let wanted = order.map(ToString::to_string);
    if stored != wanted {
        let more = undo(transaction, endpoint)? == UNDONE_AT_ONCE;
        if !more {
            write(transaction, endpoint, wanted, last)?;
        }
        return Ok(Placed::Undone { more });
    }
    let (mut unplaced, mut taken) = (Vec::with_capacity(placings.len()), HashSet::new());
    for Placing { delivery, order_key } in placings {
        let Some(key) = transaction.ids.delivery_key(*delivery) else { continue };
        let rows = statements::without_place(transaction.connection, key, endpoint).map_err(translate)?;
        for (delivery, sequence) in rows {
            unplaced.push(Unplaced { delivery, order_key: *order_key, sequence });
            if let Some(key) = order_key
                && !taken.contains(key)
                && !statements::has_key(transaction.connection, endpoint, *key).map_err(translate)?.is_empty()
            {
                taken.insert(*key);
            }
        }
    }
    let (placed, end) = placing::places(&unplaced, taken, last);
    for place in &placed {
        let (status, now) = (status_number(place.status), transaction.now.as_millis());
        statements::place(transaction.connection, status, place.sequence, place.order_key, now, place.delivery)
            .map_err(translate)?;
    }
    if end != last {
        write(transaction, endpoint, wanted, end)?;
    }
    Ok(Placed::Done(placed.len()))
}

fn write(
    transaction: &mut SqliteTransaction<'_>,
    endpoint: RowKey,
    order: Option<String>,
    last_sequence: i64,
) -> Result<(), StoreError> {
    let columns = (endpoint_orders::event_order.eq(order), endpoint_orders::last_sequence.eq(last_sequence));
    diesel::insert_into(endpoint_orders::table)
        .values((endpoint_orders::endpoint.eq(endpoint), columns.clone()))
        .on_conflict(endpoint_orders::endpoint)
        .do_update()
        .set(columns)
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.has_orders = Some(true);
    Ok(())
}

/// Takes deliveries out of the order they are in: what was not tried is as if it had
/// just been accepted, by the time in its key, and keeps its number. Answers how many
/// there were.
fn undo(transaction: &mut SqliteTransaction<'_>, endpoint: RowKey) -> Result<usize, StoreError> {
    diesel::sql_query(
        "UPDATE deliveries SET order_key = NULL, status = CASE WHEN scheduled_attempts = 0 THEN 0 ELSE 1 END,
           next_at = CASE WHEN scheduled_attempts = 0 THEN id >> 21 ELSE next_at END
         WHERE id IN (
           SELECT id FROM deliveries INDEXED BY deliveries_in_order
           WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? LIMIT ?)",
    )
    .bind::<BigInt, _>(endpoint)
    .bind::<BigInt, _>(UNDONE_AT_ONCE as i64)
    .execute(transaction.connection)
    .map_err(translate)
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
        let now = transaction.now.as_millis();
        statements::release(transaction.connection, now, endpoint, key, endpoint, key).map_err(translate)?;
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

/// Nobody else could own the endpoint.
pub(super) fn fence_stands(_: &mut SqliteTransaction<'_>, _: Option<crate::store::Fence>) -> Result<bool, StoreError> {
    Ok(true)
}
