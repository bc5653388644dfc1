//! Writing down what attempts came to.

use diesel::prelude::*;

use crate::domain::{DiscardReason, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::rows::{exchange_text, status_number, status_of};
use crate::store::schema::{attempts, deliveries, endpoints, manual_attempts};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{AttemptKind, Record, Recorded, StoreError, Verdict};

use super::SqliteTransaction;
use super::ordering::release_behind;

pub(super) fn record(transaction: &mut SqliteTransaction<'_>, record: &Record) -> Result<Recorded, StoreError> {
    let Some(key) = transaction.ids.delivery_key(record.delivery) else { return Ok(Recorded::Superseded) };
    if record.kind == AttemptKind::Scheduled {
        let (status, next_at, finished_at) = match record.verdict {
            Verdict::Delivered => (StoredStatus::Delivered, None, Some(record.finished_at.as_millis())),
            Verdict::RetryAt(at) if is_deleted(transaction, key)? => {
                log::debug!("delivery {} will not be tried at {at}: its endpoint is gone", record.delivery);
                let status = StoredStatus::Discarded(DiscardReason::EndpointDeleted);
                (status, None, Some(record.finished_at.as_millis()))
            }
            Verdict::RetryAt(at) => (StoredStatus::Retrying, Some(at.as_millis()), None),
            Verdict::Exhausted => (StoredStatus::RetriesExhausted, None, Some(record.finished_at.as_millis())),
            Verdict::Expired => {
                let status = StoredStatus::Discarded(DiscardReason::Expired);
                (status, None, Some(record.finished_at.as_millis()))
            }
            Verdict::Unchanged => {
                return Err(StoreError::Constraint("a scheduled attempt always changes its delivery".into()));
            }
        };
        let moved = statements::advance_delivery(
            transaction.connection,
            status == StoredStatus::Retrying,
            status_number(status),
            next_at,
            finished_at,
            key,
            i64::from(record.attempts_before),
        )
        .map_err(translate)?;
        if moved == 1 {
            insert_attempt(transaction, key, record)?;
            if !status.is_unfinished() {
                release_behind(transaction, key)?;
            }
            return Ok(Recorded::Written(status));
        }
    }
    record_beside_schedule(transaction, key, record)
}

/// An attempt that someone asked for, or one whose delivery was finished
/// while it was under way: it counts, and only success changes the state.
pub(super) fn record_beside_schedule(
    transaction: &mut SqliteTransaction<'_>,
    key: RowKey,
    record: &Record,
) -> Result<Recorded, StoreError> {
    let found: Option<(i64, i64)> = deliveries::table
        .find(key)
        .select((deliveries::status, deliveries::attempt_count))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((status, attempt_count)) = found else { return Ok(Recorded::Superseded) };
    let status = status_of(status)?;
    if attempt_count != i64::from(record.attempts_before) {
        let same: Option<i64> = attempts::table
            .find((key, i64::from(record.attempts_before) + 1))
            .filter(attempts::started_at.eq(record.started_at.as_millis()))
            .select(attempts::number)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        return Ok(if same.is_some() { Recorded::Written(status) } else { Recorded::Superseded });
    }
    insert_attempt(transaction, key, record)?;
    let row = deliveries::table.find(key);
    let counted = deliveries::attempt_count.eq(attempt_count + 1);
    let status = if record.verdict == Verdict::Delivered && status != StoredStatus::Delivered {
        diesel::update(row)
            .set((
                counted,
                deliveries::status.eq(status_number(StoredStatus::Delivered)),
                deliveries::next_at.eq(None::<i64>),
                deliveries::finished_at.eq(record.finished_at.as_millis()),
            ))
            .execute(transaction.connection)
            .map_err(translate)?;
        if status.is_unfinished() {
            release_behind(transaction, key)?;
        }
        StoredStatus::Delivered
    } else {
        diesel::update(row).set(counted).execute(transaction.connection).map_err(translate)?;
        status
    };
    if record.kind == AttemptKind::Manual {
        diesel::delete(manual_attempts::table.find(key)).execute(transaction.connection).map_err(translate)?;
    }
    Ok(Recorded::Written(status))
}

pub(super) fn insert_attempt(
    transaction: &mut SqliteTransaction<'_>,
    delivery: RowKey,
    record: &Record,
) -> Result<(), StoreError> {
    let error = record.outcome.error.as_ref();
    let body = &record.outcome.response_body;
    statements::insert_attempt(
        transaction.connection,
        delivery,
        i64::from(record.attempts_before) + 1,
        record.started_at.as_millis(),
        i64::from(u32::try_from(record.duration.as_millis()).unwrap_or(u32::MAX)),
        record.outcome.status_code.map(i64::from),
        error.map(|error| error.class.as_str()),
        error.map(|error| error.message.as_str()),
        (!body.is_empty()).then_some(body.as_ref()),
        exchange_text(&record.outcome).as_deref(),
    )
    .map_err(translate)?;
    Ok(())
}

pub(super) fn is_deleted(transaction: &mut SqliteTransaction<'_>, delivery: RowKey) -> Result<bool, StoreError> {
    let deleted_at: Option<Option<i64>> = deliveries::table
        .inner_join(endpoints::table)
        .filter(deliveries::id.eq(delivery))
        .select(endpoints::deleted_at)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    Ok(deleted_at.flatten().is_some())
}
