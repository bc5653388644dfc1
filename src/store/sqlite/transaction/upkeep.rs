//! Keeping the store tidy, in bounded slices.

use diesel::dsl::not;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use crate::domain::{DiscardReason, EventId, StoredStatus, Timestamp};
use crate::store::ids::{RowKey, first_key_at};
use crate::store::rows::status_number;
use crate::store::schema::{
    attempts, deliveries, endpoint_orders, endpoints, events, idempotency_keys, manual_attempts,
};
use crate::store::sqlite::error::translate;
use crate::store::{Retired, StoreError};

use super::ordering::{self, release_behind};
use super::{IDEMPOTENCY_HOLDS_MS, SqliteTransaction};

/// Bytes of events that go in one slice.
const MOST_BYTES: i64 = 4 * 1024 * 1024;

pub(super) fn discard_deleted(transaction: &mut SqliteTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
    let found: Option<(i64, Option<i64>)> = endpoints::table
        .filter(endpoints::deleted_at.is_not_null())
        .filter(not(endpoints::drained))
        // One that was deleted while something large is being accepted may have
        // more deliveries to come: it is not empty before that is sealed.
        .filter(diesel::dsl::sql::<Bool>(
            "NOT EXISTS (SELECT 1 FROM unsealed WHERE matched_version < endpoints.deleted_version)",
        ))
        .select((endpoints::id, endpoints::deleted_at))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((endpoint, deleted_at)) = found else { return Ok(0) };
    let unfinished: Vec<i64> = deliveries::table
        .filter(deliveries::endpoint.eq(endpoint))
        .filter(deliveries::status.eq_any([-1, 0, 1]))
        .filter(deliveries::next_at.is_not_null())
        .select(deliveries::id)
        .limit(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    diesel::update(deliveries::table.filter(deliveries::id.eq_any(&unfinished)))
        .set((
            deliveries::status.eq(status_number(StoredStatus::Discarded(DiscardReason::EndpointDeleted))),
            deliveries::next_at.eq(None::<i64>),
            // It ended with its endpoint, and has read so ever since.
            deliveries::finished_at.eq(deleted_at),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    if unfinished.len() < limit {
        diesel::delete(manual_attempts::table.filter(manual_attempts::endpoint.eq(endpoint)))
            .execute(transaction.connection)
            .map_err(translate)?;
        diesel::delete(endpoint_orders::table.find(endpoint)).execute(transaction.connection).map_err(translate)?;
        diesel::update(endpoints::table.find(endpoint))
            .set(endpoints::drained.eq(true))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(unfinished.len())
}

pub(super) fn retire(
    transaction: &mut SqliteTransaction<'_>,
    horizon: Timestamp,
    after: Option<EventId>,
    limit: usize,
) -> Result<Retired, StoreError> {
    let begin = after.and_then(|event| transaction.ids.event_key(event)).unwrap_or(0);
    let old: Vec<(i64, i64, i64)> = events::table
        .filter(events::id.gt(begin).and(events::id.lt(first_key_at(horizon))))
        // What is for later is as old as the time that it was for.
        .filter(events::deliver_at.is_null().or(events::deliver_at.lt(horizon.as_millis())))
        .order(events::id)
        .select((events::id, events::deliveries, diesel::dsl::sql::<BigInt>("length(events.body)")))
        .limit(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    let (mut rows, mut bytes) = (0, 0);
    let mut last = None;
    for (event, fan_out, length) in &old {
        // Some events have many deliveries, or many bytes, whose pages are all looked at:
        // others wait for this commit.
        if rows >= limit || bytes >= MOST_BYTES {
            break;
        }
        last = Some(*event);
        let end = event + fan_out;
        let of_event = || deliveries::id.gt(*event).and(deliveries::id.le(end));
        // From the event's few deliveries to their endpoints, and never the
        // other way round. What a deleted endpoint left behind is not held.
        let held: Vec<i64> = deliveries::table
            .inner_join(endpoints::table)
            .filter(of_event())
            .filter(deliveries::next_at.is_not_null())
            .filter(endpoints::enabled.eq(false).and(endpoints::deleted_at.is_null()))
            .select(deliveries::id)
            .load(transaction.connection)
            .map_err(translate)?;
        for delivery in held {
            rows += diesel::update(deliveries::table.find(delivery))
                .set((
                    deliveries::status.eq(status_number(StoredStatus::Discarded(DiscardReason::Retention))),
                    deliveries::next_at.eq(None::<i64>),
                    deliveries::finished_at.eq(transaction.now.as_millis()),
                ))
                .execute(transaction.connection)
                .map_err(translate)?;
            release_behind(transaction, delivery)?;
        }
        let still_needed: Option<i64> = deliveries::table
            .filter(of_event())
            .filter(deliveries::next_at.is_not_null().or(deliveries::finished_at.ge(horizon.as_millis())))
            .select(deliveries::id)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        // A delivery that a replay made goes first, whatever it is waiting for.
        let is_replayed: Option<i64> = deliveries::table
            .filter(deliveries::event.eq(event))
            .filter(deliveries::replay.is_not_null())
            .select(deliveries::id)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        if still_needed.is_some() || is_replayed.is_some() {
            continue;
        }
        rows += diesel::delete(attempts::table)
            .filter(attempts::delivery.gt(*event).and(attempts::delivery.le(end)))
            .execute(transaction.connection)
            .map_err(translate)?;
        diesel::delete(manual_attempts::table)
            .filter(manual_attempts::delivery.gt(*event).and(manual_attempts::delivery.le(end)))
            .execute(transaction.connection)
            .map_err(translate)?;
        rows +=
            diesel::delete(deliveries::table.filter(of_event())).execute(transaction.connection).map_err(translate)?;
        bytes += length;
        rows += diesel::delete(events::table.find(*event)).execute(transaction.connection).map_err(translate)?;
    }
    let looked_at_all = last == old.last().map(|(event, ..)| *event);
    let next = if looked_at_all && old.len() < limit { None } else { last.map(|event| transaction.ids.event(event)) };
    Ok(Retired { rows, next })
}

/// Removes up to `limit` deliveries that this replay made and that ended before `horizon`,
/// with their attempts; what was held since before then is discarded. Answers how many
/// rows that were.
pub(super) fn retire_deliveries_of(
    transaction: &mut SqliteTransaction<'_>,
    replay: RowKey,
    horizon: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let held: Vec<i64> = deliveries::table
        .inner_join(endpoints::table)
        .filter(deliveries::replay.eq(replay))
        .filter(deliveries::id.lt(first_key_at(horizon)))
        .filter(deliveries::status.lt(2))
        .filter(endpoints::enabled.eq(false).and(endpoints::deleted_at.is_null()))
        .select(deliveries::id)
        .limit(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    for delivery in &held {
        ordering::discard(transaction, *delivery, DiscardReason::Retention)?;
    }
    let ended: Vec<i64> = deliveries::table
        .filter(deliveries::replay.eq(replay))
        .filter(deliveries::id.lt(first_key_at(horizon)))
        .filter(deliveries::finished_at.lt(horizon.as_millis()))
        .select(deliveries::id)
        .limit(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    diesel::delete(manual_attempts::table.filter(manual_attempts::delivery.eq_any(&ended)))
        .execute(transaction.connection)
        .map_err(translate)?;
    let mut rows = held.len();
    rows += diesel::delete(attempts::table.filter(attempts::delivery.eq_any(&ended)))
        .execute(transaction.connection)
        .map_err(translate)?;
    rows += diesel::delete(deliveries::table.filter(deliveries::id.eq_any(&ended)))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(rows)
}

/// Whether anything is left that this replay made.
pub(super) fn has_deliveries(transaction: &mut SqliteTransaction<'_>, replay: RowKey) -> Result<bool, StoreError> {
    let left: Option<i64> = deliveries::table
        .filter(deliveries::replay.eq(replay))
        .select(deliveries::id)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    Ok(left.is_some())
}

pub(super) fn forget_idempotency_keys(
    transaction: &mut SqliteTransaction<'_>,
    limit: usize,
) -> Result<usize, StoreError> {
    let old: Vec<(i64, String)> = idempotency_keys::table
        .filter(idempotency_keys::created_at.le(transaction.now.as_millis() - IDEMPOTENCY_HOLDS_MS))
        .select((idempotency_keys::scope, idempotency_keys::key))
        .limit(limit as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    for (scope, key) in &old {
        diesel::delete(idempotency_keys::table.find((scope, key)))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(old.len())
}
