//! The order of an endpoint's deliveries as PostgreSQL writes it. What it means is in
//! `placing`; whoever ends a delivery releases the next.
//!
//! Several nodes may end deliveries of one endpoint at once: its owner by their
//! outcomes, any by hand. What is released is decided under a lock on the endpoint's
//! row of `endpoint_orders`. The owner takes that before any delivery's row, and waits
//! for it; everybody else takes neither where somebody has it, and says so. So nobody
//! waits for whoever waits for him within one environment, whose clock orders what is
//! asked for. Two nodes that each end the other's in the other environment, and write an
//! outcome of their own in the same commit, may: PostgreSQL rolls one of them back, and its
//! writer begins anew.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt};

use crate::domain::{DiscardReason, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::placing::{Place, WithoutPlace};
use crate::store::postgres::{statements, translate};
use crate::store::rows::status_number;
use crate::store::schema::manual_attempts;
use crate::store::{Fence, Skipped, StoreError};

use super::{PostgresTransaction, recording};

/// An endpoint, and a key of which a delivery has ended.
pub(super) type Freed = (RowKey, i64);

/// Of these deliveries and what they wait by, those without a place, in this order,
/// and the keys that others have.
pub(super) fn unplaced(
    transaction: &mut PostgresTransaction<'_>,
    endpoint: RowKey,
    by_key: &[(RowKey, Option<i64>)],
) -> Result<(Vec<WithoutPlace>, HashSet<i64>), StoreError> {
    let ids: Vec<RowKey> = by_key.iter().map(|(delivery, _)| *delivery).collect();
    let standing = statements::without_place(transaction.connection, &ids, endpoint).map_err(translate)?;
    let standing: HashMap<RowKey, Option<i64>> = standing.into_iter().collect();
    let of = |(delivery, order_key): &(RowKey, Option<i64>)| {
        let sequence = *standing.get(delivery)?;
        Some(WithoutPlace { delivery: *delivery, order_key: *order_key, sequence })
    };
    let unplaced: Vec<WithoutPlace> = by_key.iter().filter_map(of).collect();
    let keys: HashSet<i64> = unplaced.iter().filter_map(|unplaced| unplaced.order_key).collect();
    let keys: Vec<i64> = keys.into_iter().collect();
    let taken = statements::taken_keys(transaction.connection, &keys, endpoint).map_err(translate)?;
    Ok((unplaced, taken.into_iter().map(|(key,)| key).collect()))
}

pub(super) fn write_places(transaction: &mut PostgresTransaction<'_>, places: &[Place]) -> Result<(), StoreError> {
    statements::place(
        transaction.connection,
        transaction.now.as_millis(),
        &places.iter().map(|place| place.delivery).collect::<Vec<_>>(),
        &places.iter().map(|place| status_number(place.status) as i16).collect::<Vec<_>>(),
        &places.iter().map(|place| place.sequence).collect::<Vec<_>>(),
        &places.iter().map(|place| place.order_key).collect::<Vec<_>>(),
    )
    .map_err(translate)?;
    Ok(())
}

/// Takes up to `limit` deliveries out of the order they are in: what was not tried is as if it had
/// just been accepted, by the time in its key, and keeps its place. Answers how many
/// there were.
pub(super) fn undo(
    transaction: &mut PostgresTransaction<'_>,
    endpoint: RowKey,
    limit: usize,
) -> Result<usize, StoreError> {
    diesel::sql_query(
        "UPDATE pending SET order_key = NULL, status = CASE WHEN scheduled_attempts = 0 THEN 0 ELSE 1 END,
           next_at = CASE WHEN scheduled_attempts = 0 THEN id >> 21 ELSE next_at END
         WHERE id IN (SELECT id FROM pending WHERE endpoint = $1 AND order_key IS NOT NULL LIMIT $2)",
    )
    .bind::<BigInt, _>(endpoint)
    .bind::<BigInt, _>(limit as i64)
    .execute(transaction.connection)
    .map_err(translate)
}

/// Takes the locks under which it is decided what is due next at these endpoints.
pub(super) fn lock(transaction: &mut PostgresTransaction<'_>, endpoints: &[RowKey]) -> Result<(), StoreError> {
    diesel::sql_query(
        "SELECT endpoint FROM endpoint_orders WHERE endpoint = ANY($1) ORDER BY endpoint FOR NO KEY UPDATE",
    )
    .bind::<Array<BigInt>, _>(endpoints)
    .execute(transaction.connection)
    .map_err(translate)?;
    Ok(())
}

/// Takes the locks for deliveries whose outcomes are about to be written.
pub(super) fn lock_for(transaction: &mut PostgresTransaction<'_>, deliveries: &[RowKey]) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "SELECT endpoint FROM endpoint_orders WHERE endpoint IN (SELECT endpoint FROM pending WHERE id = ANY($1))
         ORDER BY endpoint FOR NO KEY UPDATE",
    )
    .bind::<Array<BigInt>, _>(deliveries)
    .execute(transaction.connection)
    .map_err(translate)?;
    Ok(())
}

/// Makes the first that waits by each of these keys due, where nothing is.
pub(super) fn release(
    transaction: &mut PostgresTransaction<'_>,
    endpoint: RowKey,
    keys: impl IntoIterator<Item = i64>,
) -> Result<(), StoreError> {
    let freed: Vec<Freed> = keys.into_iter().map(|key| (endpoint, key)).collect();
    release_behind(transaction, &freed)
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
    // Of endpoints whose lock somebody has, nothing is ended now.
    let locked: Vec<EndpointRow> = diesel::sql_query(
        "SELECT endpoint FROM endpoint_orders WHERE endpoint IN (SELECT endpoint FROM pending WHERE id = ANY($1))
         FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind::<Array<BigInt>, _>(deliveries)
    .load(transaction.connection)
    .map_err(translate)?;
    let locked: Vec<i64> = locked.iter().map(|row| row.endpoint).collect();
    let ended: Vec<EndedRow> = diesel::sql_query(
        "WITH free AS MATERIALIZED (
           SELECT id FROM pending WHERE id = ANY($1)
             AND (endpoint = ANY($4) OR NOT EXISTS (
               SELECT 1 FROM endpoint_orders WHERE endpoint_orders.endpoint = pending.endpoint))
           ORDER BY id FOR UPDATE SKIP LOCKED),
         ended AS (DELETE FROM pending USING free WHERE pending.id = free.id RETURNING pending.*),
         history AS (
           INSERT INTO finished
             (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts, sequence, replay, number)
           SELECT id, event, endpoint, $2, $3, attempt_count, scheduled_attempts, sequence, replay, number FROM ended)
         SELECT endpoint, order_key FROM ended",
    )
    .bind::<Array<BigInt>, _>(deliveries)
    .bind::<BigInt, _>(transaction.now.as_millis())
    .bind::<SmallInt, _>(status_number(StoredStatus::Discarded(reason)) as i16)
    .bind::<Array<BigInt>, _>(locked)
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
