//! Keeping the store tidy: whole days that nobody needs any more are dropped, and
//! what is left over goes in bounded slices.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, SmallInt};

use crate::domain::{DiscardReason, EventId, Partition, StoredStatus, Timestamp};
use crate::store::ids::{RowKey, first_key_at};
use crate::store::postgres::days::{self, Day};
use crate::store::postgres::{number_of, translate};
use crate::store::rows::status_number;
use crate::store::schema::{endpoint_orders, endpoints, manual_attempts};
use crate::store::{Retired, StoreError};

use super::{IDEMPOTENCY_HOLDS_MS, PostgresTransaction, ordering};

/// A deleted endpoint counts as drained so long after it was deleted: an accept that
/// was under way on another node has ended by then.
const DRAINED_AFTER_MS: i64 = 60_000;
/// Deleted endpoints looked at in one slice.
const DELETED_AT_ONCE: i64 = 100;

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Ends deliveries whose endpoint is gone: nothing waits for them.
fn discard_with_endpoint(
    transaction: &mut PostgresTransaction<'_>,
    keys: &[RowKey],
    finished_at: i64,
) -> Result<usize, StoreError> {
    diesel::sql_query(
        "WITH ended AS (DELETE FROM pending WHERE id = ANY($1) RETURNING *)
         INSERT INTO finished
           (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts, sequence, replay, number)
         SELECT id, event, endpoint, $2, $3, attempt_count, scheduled_attempts, sequence, replay, number FROM ended",
    )
    .bind::<Array<BigInt>, _>(keys)
    .bind::<BigInt, _>(finished_at)
    .bind::<SmallInt, _>(status_number(StoredStatus::Discarded(DiscardReason::EndpointDeleted)) as i16)
    .execute(transaction.connection)
    .map_err(translate)
}

pub(super) fn discard_deleted(transaction: &mut PostgresTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
    let deleted: Vec<(i64, Option<i64>)> = endpoints::table
        .filter(endpoints::deleted_at.is_not_null())
        .filter(diesel::dsl::not(endpoints::drained))
        // One that was deleted while something large is being accepted may have
        // more deliveries to come: it is not empty before that is sealed.
        .filter(diesel::dsl::sql::<Bool>(
            "NOT EXISTS (SELECT 1 FROM unsealed WHERE matched_version < endpoints.deleted_version)",
        ))
        .order(endpoints::deleted_at)
        .select((endpoints::id, endpoints::deleted_at))
        .limit(DELETED_AT_ONCE)
        .load(transaction.connection)
        .map_err(translate)?;
    let mut discarded = 0;
    for (endpoint, deleted_at) in deleted {
        let room = limit - discarded;
        if room == 0 {
            break;
        }
        let deleted_at = deleted_at.unwrap_or_default();
        let unfinished: Vec<Key> = diesel::sql_query(
            "(SELECT id FROM pending WHERE status = 0 AND partition = $1 AND endpoint = $2 LIMIT $3)
             UNION ALL
             (SELECT id FROM pending WHERE status = 1 AND partition = $1 AND endpoint = $2 LIMIT $3)
             UNION ALL
             (SELECT id FROM pending WHERE status = -1 AND order_key IS NOT NULL AND endpoint = $2 LIMIT $3) LIMIT $3",
        )
        .bind::<SmallInt, _>(number_of(Partition::of(transaction.ids.endpoint(endpoint))))
        .bind::<BigInt, _>(endpoint)
        .bind::<BigInt, _>(room as i64)
        .load(transaction.connection)
        .map_err(translate)?;
        let keys: Vec<RowKey> = unfinished.iter().map(|row| row.id).collect();
        if !keys.is_empty() {
            // They ended with their endpoint, and have read so ever since.
            discarded += discard_with_endpoint(transaction, &keys, deleted_at)?;
        }
        if keys.len() == room {
            break;
        }
        diesel::delete(manual_attempts::table.filter(manual_attempts::endpoint.eq(endpoint)))
            .execute(transaction.connection)
            .map_err(translate)?;
        if deleted_at < transaction.now.as_millis() - DRAINED_AFTER_MS {
            diesel::delete(endpoint_orders::table.find(endpoint)).execute(transaction.connection).map_err(translate)?;
            diesel::update(endpoints::table.find(endpoint))
                .set(endpoints::drained.eq(true))
                .execute(transaction.connection)
                .map_err(translate)?;
        }
    }
    Ok(discarded)
}

/// What stands against an event's going, and how much would go with it.
#[derive(QueryableByName)]
struct Old {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    deliveries: i64,
    /// Unfinished ones that a disabled endpoint holds.
    #[diesel(sql_type = Array<BigInt>)]
    held: Vec<i64>,
    #[diesel(sql_type = Bool)]
    is_needed: bool,
    /// Rows of finished deliveries and of attempts.
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// From an event's few deliveries to their endpoints, and never the other way
/// round. What a deleted endpoint left behind is not held. What is for later is as old
/// as the time that it was for. What a replay made of it goes first.
const OLD: &str = "
    SELECT e.id, e.deliveries, held.ids AS held,
      EXISTS (SELECT 1 FROM pending p WHERE p.id > e.id AND p.id <= e.id + e.deliveries AND p.id <> ALL(held.ids))
      OR EXISTS (SELECT 1 FROM finished f WHERE f.id > e.id AND f.id <= e.id + e.deliveries AND f.finished_at >= $3)
      OR EXISTS (SELECT 1 FROM pending p WHERE p.event = e.id AND p.replay IS NOT NULL)
      OR EXISTS (SELECT 1 FROM finished f WHERE f.event = e.id AND f.replay IS NOT NULL)
        AS is_needed,
      (SELECT count(*) FROM finished f WHERE f.id > e.id AND f.id <= e.id + e.deliveries)
      + (SELECT count(*) FROM attempts a WHERE a.delivery > e.id AND a.delivery <= e.id + e.deliveries) AS rows
    FROM (SELECT id, deliveries FROM events WHERE id > $1 AND id < $2 AND (deliver_at IS NULL OR deliver_at < $3)
          ORDER BY id LIMIT $4) e,
    LATERAL (
      SELECT ARRAY(
        SELECT p.id FROM pending p JOIN endpoints x ON x.id = p.endpoint AND NOT x.enabled AND x.deleted_at IS NULL
        WHERE p.id > e.id AND p.id <= e.id + e.deliveries) AS ids) held
    ORDER BY e.id";

pub(super) fn retire(
    transaction: &mut PostgresTransaction<'_>,
    horizon: Timestamp,
    after: Option<EventId>,
    limit: usize,
) -> Result<Retired, StoreError> {
    let begin = after.and_then(|event| transaction.ids.event_key(event)).unwrap_or(0);
    let old: Vec<Old> = diesel::sql_query(OLD)
        .bind::<BigInt, _>(begin)
        .bind::<BigInt, _>(first_key_at(horizon))
        .bind::<BigInt, _>(horizon.as_millis())
        .bind::<BigInt, _>(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    let (mut rows, mut last) = (0, None);
    let (mut held, mut gone, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for event in &old {
        // Some events have many deliveries: others wait for this commit.
        if rows >= limit {
            break;
        }
        last = Some(event.id);
        rows += event.held.len();
        held.extend_from_slice(&event.held);
        if event.held.is_empty() && !event.is_needed {
            gone.push(event.id);
            ends.push(event.id + event.deliveries);
            rows += event.rows as usize + 1;
        }
    }
    if !held.is_empty() {
        ordering::discard_all(transaction, &held, DiscardReason::Retention)?;
    }
    if !gone.is_empty() {
        forget(transaction, &gone, &ends)?;
    }
    let looked_at_all = last == old.last().map(|event| event.id);
    let next = if looked_at_all && old.len() < limit { None } else { last.map(|event| transaction.ids.event(event)) };
    Ok(Retired { rows, next })
}

/// Removes events with all that belongs to them: each is followed by its
/// deliveries, up to its end.
fn forget(transaction: &mut PostgresTransaction<'_>, events: &[RowKey], ends: &[RowKey]) -> Result<(), StoreError> {
    for (table, column) in [("attempts", "delivery"), ("manual_attempts", "delivery"), ("finished", "id")] {
        diesel::sql_query(format!(
            "DELETE FROM {table} USING unnest($1, $2) AS gone (first, last)
             WHERE {table}.{column} > gone.first AND {table}.{column} <= gone.last"
        ))
        .bind::<Array<BigInt>, _>(events)
        .bind::<Array<BigInt>, _>(ends)
        .execute(transaction.connection)
        .map_err(translate)?;
    }
    diesel::sql_query("DELETE FROM events WHERE id = ANY($1)")
        .bind::<Array<BigInt>, _>(events)
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Removes up to `limit` deliveries that this replay made and that ended before `horizon`,
/// with their attempts; what was held since before then is discarded. Answers how many
/// rows that were.
pub(super) fn retire_deliveries_of(
    transaction: &mut PostgresTransaction<'_>,
    replay: RowKey,
    horizon: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let held: Vec<Key> = diesel::sql_query(
        "SELECT p.id FROM pending p JOIN endpoints x ON x.id = p.endpoint AND NOT x.enabled AND x.deleted_at IS NULL
         WHERE p.replay IS NOT NULL AND p.replay = $1 AND p.id < $2 LIMIT $3",
    )
    .bind::<BigInt, _>(replay)
    .bind::<BigInt, _>(first_key_at(horizon))
    .bind::<BigInt, _>(limit as i64)
    .load(transaction.connection)
    .map_err(translate)?;
    let held: Vec<RowKey> = held.iter().map(|row| row.id).collect();
    let mut rows = 0;
    if !held.is_empty() {
        rows += ordering::discard_all(transaction, &held, DiscardReason::Retention)?;
    }
    let gone: Count = diesel::sql_query(
        "WITH old AS MATERIALIZED (
           SELECT id FROM finished WHERE replay IS NOT NULL AND replay = $1 AND id < $2 AND finished_at < $3 LIMIT $4),
         asked AS (DELETE FROM manual_attempts USING old WHERE delivery = old.id),
         tried AS (DELETE FROM attempts USING old WHERE delivery = old.id RETURNING 1),
         ended AS (DELETE FROM finished USING old WHERE finished.id = old.id RETURNING 1)
         SELECT (SELECT count(*) FROM tried) + (SELECT count(*) FROM ended) AS count",
    )
    .bind::<BigInt, _>(replay)
    .bind::<BigInt, _>(first_key_at(horizon))
    .bind::<BigInt, _>(horizon.as_millis())
    .bind::<BigInt, _>(limit as i64)
    .get_result(transaction.connection)
    .map_err(translate)?;
    Ok(rows + usize::try_from(gone.count).unwrap_or(0))
}

/// Whether anything is left that this replay made.
pub(super) fn has_deliveries(transaction: &mut PostgresTransaction<'_>, replay: RowKey) -> Result<bool, StoreError> {
    let left: Vec<Key> =
        diesel::sql_query("SELECT id FROM deliveries WHERE replay IS NOT NULL AND replay = $1 LIMIT 1")
            .bind::<BigInt, _>(replay)
            .load(transaction.connection)
            .map_err(translate)?;
    Ok(!left.is_empty())
}

/// Makes today's and tomorrow's parts, and drops the oldest day if all of it is old
/// enough.
pub(super) fn drop_history(transaction: &mut PostgresTransaction<'_>, horizon: Timestamp) -> Result<usize, StoreError> {
    let today = Day::at(transaction.now);
    let (first, _) = today.keys();
    let (_, end) = today.next().keys();
    transaction.beside.make_days(first, end - 1)?;
    for day in days::older_than(transaction.connection, horizon).map_err(translate)? {
        if transaction.beside.drop_day(day, horizon, transaction.now)? {
            return Ok(1);
        }
    }
    Ok(0)
}

pub(super) fn forget_idempotency_keys(
    transaction: &mut PostgresTransaction<'_>,
    limit: usize,
) -> Result<usize, StoreError> {
    diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE (scope, key) IN (
           SELECT scope, key FROM idempotency_keys WHERE created_at <= $1 LIMIT $2)",
    )
    .bind::<BigInt, _>(transaction.now.as_millis() - IDEMPOTENCY_HOLDS_MS)
    .bind::<BigInt, _>(limit as i64)
    .execute(transaction.connection)
    .map_err(translate)
}
