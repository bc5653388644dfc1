//! Which deliveries of an ordered endpoint are due, and which wait for others: of
//! those with one key, one at a time. Whoever ends a delivery releases the next.
//!
//! Several nodes may end deliveries of one endpoint at once: its owner by their
//! outcomes, any by hand. What is released is decided under a lock on the endpoint's
//! row of `endpoint_orders`. Whoever holds that waits for no delivery's row that
//! somebody may hold who wants the lock: it passes such a row over.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt};

use crate::domain::{DiscardReason, EndpointId, EventOrder, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::placing::{self, Unplaced};
use crate::store::postgres::{statements, translate};
use crate::store::rows::status_number;
use crate::store::schema::{endpoint_orders, manual_attempts};
use crate::store::{Fence, Placed, Placing, Skipped, StoreError};

use super::{PostgresTransaction, recording};

/// Deliveries taken out of their order in one commit.
const UNDONE_AT_ONCE: usize = 1_000;

/// An endpoint, and a key of which a delivery has ended.
pub(super) type Freed = (RowKey, i64);

/// See [`Transaction::place_deliveries`](crate::store::Transaction::place_deliveries).
pub(super) fn place(
    transaction: &mut PostgresTransaction<'_>,
    endpoint: EndpointId,
    order: Option<&EventOrder>,
    placings: &[Placing],
) -> Result<Placed, StoreError> {
    let endpoint = transaction.endpoint_key(endpoint)?;
    let found: Option<(Option<String>, i64)> = endpoint_orders::table
        .find(endpoint)
        .select((endpoint_orders::event_order, endpoint_orders::last_sequence))
        .for_update()
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
    let mut in_order: Vec<(RowKey, Option<i64>)> = Vec::with_capacity(placings.len());
    for Placing { delivery, order_key } in placings {
        in_order.extend(transaction.ids.delivery_key(*delivery).map(|key| (key, *order_key)));
    }
    let ids: Vec<RowKey> = in_order.iter().map(|(key, _)| *key).collect();
    let standing = statements::without_place(transaction.connection, &ids, endpoint).map_err(translate)?;
    let unplaced: Vec<Unplaced> = in_order
        .iter()
        .filter_map(|(delivery, order_key)| {
            let (_, sequence) = standing.iter().find(|(standing, _)| standing == delivery)?;
            Some(Unplaced { delivery: *delivery, order_key: *order_key, sequence: *sequence })
        })
        .collect();
    if unplaced.is_empty() {
        return Ok(Placed::Done(0));
    }
    let keys: HashSet<i64> = unplaced.iter().filter_map(|unplaced| unplaced.order_key).collect();
    let keys: Vec<i64> = keys.into_iter().collect();
    let taken = statements::taken_keys(transaction.connection, &keys, endpoint).map_err(translate)?;
    let (placed, end) = placing::places(&unplaced, taken.into_iter().map(|(key,)| key).collect(), last);
    statements::place(
        transaction.connection,
        transaction.now.as_millis(),
        &placed.iter().map(|place| place.delivery).collect::<Vec<_>>(),
        &placed.iter().map(|place| status_number(place.status) as i16).collect::<Vec<_>>(),
        &placed.iter().map(|place| place.sequence).collect::<Vec<_>>(),
        &placed.iter().map(|place| place.order_key).collect::<Vec<_>>(),
    )
    .map_err(translate)?;
    if end != last {
        write(transaction, endpoint, wanted, end)?;
    }
    Ok(Placed::Done(placed.len()))
}

fn write(
    transaction: &mut PostgresTransaction<'_>,
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
    Ok(())
}

/// Takes deliveries out of the order they are in: what was not tried is as if it had
/// just been accepted, by the time in its key, and keeps its number. Answers how many
/// there were.
fn undo(transaction: &mut PostgresTransaction<'_>, endpoint: RowKey) -> Result<usize, StoreError> {
    diesel::sql_query(
        "UPDATE pending SET order_key = NULL, status = CASE WHEN scheduled_attempts = 0 THEN 0 ELSE 1 END,
           next_at = CASE WHEN scheduled_attempts = 0 THEN id >> 21 ELSE next_at END
         WHERE id IN (SELECT id FROM pending WHERE endpoint = $1 AND order_key IS NOT NULL LIMIT $2)",
    )
    .bind::<BigInt, _>(endpoint)
    .bind::<BigInt, _>(UNDONE_AT_ONCE as i64)
    .execute(transaction.connection)
    .map_err(translate)
}

/// Takes the locks under which it is decided what is due next at these endpoints.
fn lock(transaction: &mut PostgresTransaction<'_>, endpoints: &[RowKey]) -> Result<(), StoreError> {
    diesel::sql_query(
        "SELECT endpoint FROM endpoint_orders WHERE endpoint = ANY($1) ORDER BY endpoint FOR NO KEY UPDATE",
    )
    .bind::<Array<BigInt>, _>(endpoints)
    .execute(transaction.connection)
    .map_err(translate)?;
    Ok(())
}

/// Deliveries with these keys have ended: what waited for them is due, if there is
/// anything.
pub(super) fn release_behind(transaction: &mut PostgresTransaction<'_>, freed: &[Freed]) -> Result<(), StoreError> {
    if freed.is_empty() {
        return Ok(());
    }
    let (endpoints, keys): (Vec<i64>, Vec<i64>) = freed.iter().copied().unzip();
    lock(transaction, &endpoints)?;
    // A statement of its own: it sees what others have ended before it had the locks.
    statements::release(transaction.connection, transaction.now.as_millis(), &endpoints, &keys).map_err(translate)?;
    Ok(())
}

#[derive(QueryableByName)]
struct EndedRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    order_key: Option<i64>,
}

#[derive(QueryableByName)]
struct EndpointRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
}

/// Ends these without an attempt, if nobody else is about to, and releases what
/// waited for them. Answers how many that were.
pub(super) fn discard_all(
    transaction: &mut PostgresTransaction<'_>,
    deliveries: &[RowKey],
    reason: DiscardReason,
) -> Result<usize, StoreError> {
    let endpoints: Vec<EndpointRow> =
        diesel::sql_query("SELECT DISTINCT endpoint FROM pending WHERE id = ANY($1) ORDER BY endpoint")
            .bind::<Array<BigInt>, _>(deliveries)
            .load(transaction.connection)
            .map_err(translate)?;
    if endpoints.is_empty() {
        return Ok(0);
    }
    lock(transaction, &endpoints.iter().map(|row| row.endpoint).collect::<Vec<_>>())?;
    let ended: Vec<EndedRow> = diesel::sql_query(
        "WITH free AS MATERIALIZED (
           SELECT id FROM pending WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED),
         ended AS (DELETE FROM pending USING free WHERE pending.id = free.id RETURNING pending.*),
         history AS (
           INSERT INTO finished (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts, sequence)
           SELECT id, event, endpoint, $2, $3, attempt_count, scheduled_attempts, sequence FROM ended)
         SELECT endpoint, order_key FROM ended",
    )
    .bind::<Array<BigInt>, _>(deliveries)
    .bind::<BigInt, _>(transaction.now.as_millis())
    .bind::<SmallInt, _>(status_number(StoredStatus::Discarded(reason)) as i16)
    .load(transaction.connection)
    .map_err(translate)?;
    let freed: Vec<Freed> = ended.iter().filter_map(|row| Some((row.endpoint, row.order_key?))).collect();
    release_behind(transaction, &freed)?;
    Ok(ended.len())
}

/// Ends an unfinished delivery without an attempt.
pub(super) fn discard(
    transaction: &mut PostgresTransaction<'_>,
    delivery: RowKey,
    reason: DiscardReason,
) -> Result<Skipped, StoreError> {
    if discard_all(transaction, &[delivery], reason)? == 0 {
        let still_there: Vec<EndpointRow> = diesel::sql_query("SELECT endpoint FROM pending WHERE id = $1")
            .bind::<BigInt, _>(delivery)
            .load(transaction.connection)
            .map_err(translate)?;
        return Ok(if still_there.is_empty() { Skipped::Ended } else { Skipped::Busy });
    }
    diesel::delete(manual_attempts::table.find(delivery)).execute(transaction.connection).map_err(translate)?;
    Ok(Skipped::Done)
}

/// Whether this fence stands; it goes on to until the transaction has ended.
pub(super) fn fence_stands(
    transaction: &mut PostgresTransaction<'_>,
    fence: Option<Fence>,
) -> Result<bool, StoreError> {
    let Some(fence) = fence else { return Ok(true) };
    Ok(recording::standing(transaction, &[fence.0])?.contains(&fence.0))
}
