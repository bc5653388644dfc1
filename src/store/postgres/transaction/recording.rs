//! Writing down what attempts came to. A batch of outcomes is one statement; what
//! that one does not find where it should be is looked at one by one.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

use crate::domain::{DiscardReason, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::postgres::{statements, translate};
use crate::store::rows::{exchange_text, status_number, status_of};
use crate::store::schema::{attempts, deliveries, endpoints, manual_attempts};
use crate::store::{AttemptKind, Fence, Record, Recorded, StoreError, Verdict};

use super::PostgresTransaction;
use super::ordering::{self, Freed, release_behind};

pub(super) fn record(
    transaction: &mut PostgresTransaction<'_>,
    records: &[&Record],
) -> Result<Vec<Recorded>, StoreError> {
    let mut answers: Vec<Option<Recorded>> = vec![None; records.len()];
    let keys: Vec<Option<RowKey>> =
        records.iter().map(|record| transaction.ids.delivery_key(record.delivery)).collect();
    let ordered = records.iter().zip(&keys).filter(|(record, _)| record.is_ordered);
    ordering::lock_for(transaction, &ordered.filter_map(|(_, key)| *key).collect::<Vec<_>>())?;
    // Of one delivery the first goes with the others; a second is looked at when
    // the first is written.
    let mut rows = OutcomeRows::default();
    let mut taken: HashMap<RowKey, (usize, StoredStatus)> = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        if let (Some(key), AttemptKind::Scheduled) = (keys[index], record.kind)
            && !taken.contains_key(&key)
        {
            let status = planned_status(record)?;
            rows.push(key, record, status);
            taken.insert(key, (index, status));
        }
    }
    let mut freed = Vec::new();
    for (key, is_written, endpoint, order_key) in rows.advance(transaction)? {
        if let Some((index, status)) = taken.get(&key) {
            answers[*index] = Some(if is_written { Recorded::Written(*status) } else { Recorded::Fenced });
        }
        freed.extend(endpoint.zip(order_key));
    }
    let rest = || records.iter().zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(record, _)| *record);
    let standing = standing_fences(transaction, rest())?;
    let mut written = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        written.push(match (answers[index], keys[index]) {
            (Some(answer), _) => answer,
            (None, _) if record.fence.is_some_and(|fence| !standing.contains(&fence.0)) => Recorded::Fenced,
            (None, None) => Recorded::Superseded,
            (None, Some(key)) => record_singly(transaction, key, record, &mut freed)?,
        });
    }
    release_behind(transaction, &freed)?;
    Ok(written)
}

/// Of the fences that these records name, those that still stand, locked until
/// the transaction ends.
fn standing_fences<'a>(
    transaction: &mut PostgresTransaction<'_>,
    records: impl Iterator<Item = &'a Record>,
) -> Result<HashSet<i64>, StoreError> {
    let tokens: Vec<i64> = distinct(records.filter_map(|record| record.fence));
    if tokens.is_empty() {
        return Ok(HashSet::new());
    }
    standing(transaction, &tokens)
}

/// Those of these tokens that still stand, locked until the transaction ends.
pub(super) fn standing(transaction: &mut PostgresTransaction<'_>, tokens: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let standing: Vec<Token> =
        diesel::sql_query("SELECT token FROM leases WHERE token = ANY($1) ORDER BY partition FOR KEY SHARE")
            .bind::<Array<BigInt>, _>(tokens)
            .load(transaction.connection)
            .map_err(translate)?;
    Ok(standing.into_iter().map(|row| row.token).collect())
}

fn distinct(fences: impl Iterator<Item = Fence>) -> Vec<i64> {
    let tokens: HashSet<i64> = fences.map(|Fence(token)| token).collect();
    tokens.into_iter().collect()
}

#[derive(QueryableByName)]
struct Token {
    #[diesel(sql_type = BigInt)]
    token: i64,
}

/// Where a scheduled attempt leaves its delivery.
fn planned_status(record: &Record) -> Result<StoredStatus, StoreError> {
    match record.verdict {
        Verdict::Delivered => Ok(StoredStatus::Delivered),
        Verdict::RetryAt(_) => Ok(StoredStatus::Retrying),
        Verdict::Exhausted => Ok(StoredStatus::RetriesExhausted),
        Verdict::Expired => Ok(StoredStatus::Discarded(DiscardReason::Expired)),
        Verdict::Unchanged => Err(StoreError::Constraint("a scheduled attempt always changes its delivery".into())),
    }
}

/// A delivery, whether its outcome was written, and what [`Freed`] says.
type Advanced = (RowKey, bool, Option<i64>, Option<i64>);

/// Outcomes to be written together.
#[derive(Default)]
struct OutcomeRows<'a> {
    ids: Vec<i64>,
    attempts_before: Vec<i32>,
    statuses: Vec<i16>,
    next_at: Vec<Option<i64>>,
    finished_at: Vec<Option<i64>>,
    started_at: Vec<i64>,
    durations_ms: Vec<i64>,
    status_codes: Vec<Option<i64>>,
    error_classes: Vec<Option<&'a str>>,
    error_messages: Vec<Option<String>>,
    response_bodies: Vec<Option<&'a [u8]>>,
    exchanges: Vec<Option<String>>,
    fences: Vec<Option<Fence>>,
}

impl<'a> OutcomeRows<'a> {
    fn push(&mut self, key: RowKey, record: &'a Record, status: StoredStatus) {
        let next_at = match (status, record.verdict) {
            (StoredStatus::Retrying, Verdict::RetryAt(at)) => Some(at.as_millis()),
            _ => None,
        };
        self.ids.push(key);
        self.attempts_before.push(i32::try_from(record.attempts_before).unwrap_or(i32::MAX));
        self.statuses.push(status_number(status) as i16);
        self.next_at.push(next_at);
        self.finished_at.push(next_at.is_none().then_some(record.finished_at.as_millis()));
        let attempt = AttemptRow::of(record);
        self.started_at.push(attempt.started_at);
        self.durations_ms.push(attempt.duration_ms);
        self.status_codes.push(attempt.status_code);
        self.error_classes.push(attempt.error_class);
        self.error_messages.push(attempt.error_message);
        self.response_bodies.push(attempt.response_body);
        self.exchanges.push(attempt.exchange);
        self.fences.push(record.fence);
    }

    /// Answers which of them were written, and which refused; and of what ended and
    /// others wait for, the endpoint and the key.
    fn advance(&self, transaction: &mut PostgresTransaction<'_>) -> Result<Vec<Advanced>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let error_messages: Vec<Option<&str>> = self.error_messages.iter().map(Option::as_deref).collect();
        let exchanges: Vec<Option<&str>> = self.exchanges.iter().map(Option::as_deref).collect();
        statements::advance(
            transaction.connection,
            &self.ids,
            &self.attempts_before,
            &self.statuses,
            &self.next_at,
            &self.finished_at,
            &self.started_at,
            &self.durations_ms,
            &self.status_codes,
            &self.error_classes,
            &error_messages,
            &self.response_bodies,
            &exchanges,
            &self.fences.iter().map(|fence| fence.map(|Fence(token)| token)).collect::<Vec<_>>(),
            &distinct(self.fences.iter().copied().flatten()),
        )
        .map_err(translate)
    }
}

/// An attempt's columns beside its delivery and number.
struct AttemptRow<'a> {
    started_at: i64,
    duration_ms: i64,
    status_code: Option<i64>,
    error_class: Option<&'a str>,
    error_message: Option<String>,
    response_body: Option<&'a [u8]>,
    exchange: Option<String>,
}

impl<'a> AttemptRow<'a> {
    fn of(record: &'a Record) -> Self {
        let error = record.outcome.error.as_ref();
        let body = &record.outcome.response_body;
        Self {
            started_at: record.started_at.as_millis(),
            duration_ms: i64::from(u32::try_from(record.duration.as_millis()).unwrap_or(u32::MAX)),
            status_code: record.outcome.status_code.map(i64::from),
            error_class: error.map(|error| error.class.as_str()),
            // The server's text has no room for a NUL, wherever that came from.
            error_message: error.map(|error| error.message.replace('\0', "\u{fffd}")),
            response_body: (!body.is_empty()).then_some(body.as_ref()),
            exchange: exchange_text(&record.outcome),
        }
    }
}

/// Where a delivery stands, in which of the two tables, and in its endpoint's order.
struct Standing {
    status: StoredStatus,
    attempt_count: i64,
    is_pending: bool,
    endpoint_is_deleted: bool,
    endpoint: RowKey,
    order_key: Option<i64>,
}

fn stands(transaction: &mut PostgresTransaction<'_>, key: RowKey) -> Result<Option<Standing>, StoreError> {
    type Found = (i64, i64, Option<i64>, Option<i64>, i64, Option<i64>);
    let found: Option<Found> = deliveries::table
        .inner_join(endpoints::table)
        .filter(deliveries::id.eq(key))
        .select((
            deliveries::status,
            deliveries::attempt_count,
            deliveries::next_at,
            endpoints::deleted_at,
            deliveries::endpoint,
            deliveries::order_key,
        ))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((status, attempt_count, next_at, deleted_at, endpoint, order_key)) = found else { return Ok(None) };
    Ok(Some(Standing {
        status: status_of(status)?,
        attempt_count,
        is_pending: next_at.is_some(),
        endpoint_is_deleted: deleted_at.is_some(),
        endpoint,
        order_key,
    }))
}

/// What the one statement left: an attempt that someone asked for, one whose
/// delivery was finished while it was under way or whose endpoint is gone, and one
/// that is written for the second time.
fn record_singly(
    transaction: &mut PostgresTransaction<'_>,
    key: RowKey,
    record: &Record,
    freed: &mut Vec<Freed>,
) -> Result<Recorded, StoreError> {
    // Somebody may be about to end it by hand.
    diesel::sql_query("SELECT id FROM pending WHERE id = $1 FOR UPDATE")
        .bind::<BigInt, _>(key)
        .execute(transaction.connection)
        .map_err(translate)?;
    let Some(standing) = stands(transaction, key)? else { return Ok(Recorded::Superseded) };
    if standing.attempt_count != i64::from(record.attempts_before) {
        let same: Option<i64> = attempts::table
            .find((key, i64::from(record.attempts_before) + 1))
            .filter(attempts::started_at.eq(record.started_at.as_millis()))
            .select(attempts::number)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        let is_same = same.is_some();
        return Ok(if is_same { Recorded::Written(standing.status) } else { Recorded::Superseded });
    }
    let is_scheduled = record.kind == AttemptKind::Scheduled;
    if is_scheduled && standing.is_pending {
        if let Verdict::RetryAt(at) = record.verdict
            && standing.endpoint_is_deleted
        {
            log::debug!("delivery {} will not be tried at {at}: its endpoint is gone", record.delivery);
        }
        let status = match planned_status(record)? {
            StoredStatus::Retrying if standing.endpoint_is_deleted => {
                StoredStatus::Discarded(DiscardReason::EndpointDeleted)
            }
            status => status,
        };
        let mut rows = OutcomeRows::default();
        rows.push(key, record, status);
        let advanced = rows.advance(transaction)?;
        let is_written = advanced.iter().any(|(_, is_written, ..)| *is_written);
        freed.extend(advanced.iter().filter_map(|(_, _, endpoint, order_key)| endpoint.zip(*order_key)));
        return Ok(if is_written { Recorded::Written(status) } else { Recorded::Superseded });
    }
    insert_attempt(transaction, key, record)?;
    let status = count_beside_schedule(transaction, key, record, &standing)?;
    if standing.status.is_unfinished() && !status.is_unfinished() {
        freed.extend(standing.order_key.map(|key| (standing.endpoint, key)));
    }
    if record.kind == AttemptKind::Manual {
        diesel::delete(manual_attempts::table.find(key)).execute(transaction.connection).map_err(translate)?;
    }
    Ok(Recorded::Written(status))
}

/// An attempt beside the schedule counts, and only success changes the state.
fn count_beside_schedule(
    transaction: &mut PostgresTransaction<'_>,
    key: RowKey,
    record: &Record,
    standing: &Standing,
) -> Result<StoredStatus, StoreError> {
    let succeeded = record.verdict == Verdict::Delivered && standing.status != StoredStatus::Delivered;
    let (statement, status) = match (succeeded, standing.is_pending) {
        (true, true) => (
            "WITH ended AS (DELETE FROM pending WHERE id = $1 RETURNING *)
             INSERT INTO finished
               (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts, sequence, replay, number)
             SELECT id, event, endpoint, $2, 2, attempt_count + 1, scheduled_attempts, sequence, replay, number FROM ended",
            StoredStatus::Delivered,
        ),
        (true, false) => (
            "UPDATE finished SET status = 2, finished_at = $2, attempt_count = attempt_count + 1 WHERE id = $1",
            StoredStatus::Delivered,
        ),
        (false, true) => {
            ("UPDATE pending SET attempt_count = attempt_count + 1 WHERE id = $1 AND $2 > 0", standing.status)
        }
        (false, false) => {
            ("UPDATE finished SET attempt_count = attempt_count + 1 WHERE id = $1 AND $2 > 0", standing.status)
        }
    };
    diesel::sql_query(statement)
        .bind::<BigInt, _>(key)
        .bind::<BigInt, _>(record.finished_at.as_millis())
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(status)
}

fn insert_attempt(
    transaction: &mut PostgresTransaction<'_>,
    delivery: RowKey,
    record: &Record,
) -> Result<(), StoreError> {
    let attempt = AttemptRow::of(record);
    diesel::insert_into(attempts::table)
        .values((
            attempts::delivery.eq(delivery),
            attempts::number.eq(i64::from(record.attempts_before) + 1),
            attempts::started_at.eq(attempt.started_at),
            attempts::duration_ms.eq(attempt.duration_ms),
            attempts::status_code.eq(attempt.status_code),
            attempts::error_class.eq(attempt.error_class),
            attempts::error_message.eq(attempt.error_message),
            attempts::response_body.eq(attempt.response_body),
            attempts::exchange.eq(attempt.exchange),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}
