//! Erasing payloads: never one that a delivery still needs. The event stays, with its
//! deliveries and attempts.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::super::translate;
use super::Tx;
use super::erasable::{ENDED, UNFINISHED, UNRETAINED};
use crate::domain::ErasedBy;
use crate::store::ids::RowKey;
use crate::store::rows::erased_number;
use crate::store::schema::events;
use crate::store::{Slice, StoreError, Unretained};

/// Keys as SQL lists them. They are numbers, and can be written out.
pub(super) fn listed(keys: impl IntoIterator<Item = RowKey>) -> String {
    keys.into_iter().map(|key| key.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether an event `e` has a delivery with an attempt to come.
pub(super) fn is_unfinished() -> String {
    format!(
        "(EXISTS (SELECT 1 FROM {UNFINISHED} d.id > e.id AND d.id <= e.id + e.deliveries) \
         OR EXISTS (SELECT 1 FROM {UNFINISHED} d.event = e.id AND d.replay IS NOT NULL))"
    )
}

/// Whether somebody asked for an attempt of an event `e` that was not made yet.
pub(super) fn is_asked_for() -> &'static str {
    "(EXISTS (SELECT 1 FROM manual_attempts AS m WHERE m.delivery > e.id AND m.delivery <= e.id + e.deliveries) \
     OR EXISTS (SELECT 1 FROM deliveries AS d CROSS JOIN manual_attempts AS m \
     WHERE d.event = e.id AND d.replay IS NOT NULL AND m.delivery = d.id))"
}

/// Whether an event `e` has an exhausted delivery, whatever was replayed since.
pub(super) fn has_exhausted() -> String {
    has_ended_with("d.status = 3")
}

/// Whether an event `e` is exhausted for an endpoint: of several deliveries to it the newest
/// counts.
pub(super) fn is_exhausted() -> String {
    has_ended_with(
        "d.status = 3 AND NOT EXISTS (SELECT 1 FROM deliveries AS l WHERE l.event = e.id \
         AND l.endpoint = d.endpoint AND l.replay IS NOT NULL AND l.id > d.id)",
    )
}

/// Whether an event `e` has a delivery `d` that has ended and is like this.
fn has_ended_with(which: &str) -> String {
    format!(
        "(EXISTS (SELECT 1 FROM {ENDED} {which} AND d.id > e.id AND d.id <= e.id + e.deliveries) \
         OR EXISTS (SELECT 1 FROM {ENDED} {which} AND d.event = e.id AND d.replay IS NOT NULL))"
    )
}

/// Whether an attempt `a` is what an exhausted delivery failed at last.
pub(super) fn is_why_exhausted() -> String {
    format!("EXISTS (SELECT 1 FROM {ENDED} d.status = 3 AND d.id = a.delivery AND d.attempt_count = a.number)")
}

#[derive(QueryableByName)]
struct Needed {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Bool)]
    is_needed: bool,
}

/// Of these events those whose payload may be erased: it is there, nobody needs it, and
/// from here on nobody can begin to. To be asked just before they are.
fn free(transaction: &mut Tx<'_>, keys: &[RowKey], needed: &str) -> Result<Vec<RowKey>, StoreError> {
    let claimed = transaction.claim_payloads(keys)?;
    if claimed.is_empty() {
        return Ok(claimed);
    }
    // A statement of its own: it sees what had the payloads locked before this.
    let looked: Vec<Needed> = diesel::sql_query(format!(
        "SELECT e.id, {needed} AS is_needed FROM events AS e WHERE e.id IN ({}) ORDER BY e.id",
        listed(claimed)
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    Ok(looked.iter().filter(|row| !row.is_needed).map(|row| row.id).collect())
}

/// Erases the payloads of these events, which nobody needs. Whatever else is made of a
/// payload goes here too.
fn erase(transaction: &mut Tx<'_>, keys: &[RowKey], by: ErasedBy) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    // What stood here is not to be found in the file afterwards.
    transaction.begin_wiping()?;
    let erased = diesel::update(events::table.filter(events::id.eq_any(keys)))
        .set((
            events::body.eq(Vec::<u8>::new()),
            events::erased_at.eq(transaction.now.as_millis()),
            events::erased_by.eq(erased_number(by)),
        ))
        .execute(transaction.connection)
        .map_err(translate);
    transaction.end_wiping()?;
    erased.map(drop)
}

/// Erases the payloads of these events that nobody needs. Answers which.
pub(super) fn erase_old(transaction: &mut Tx<'_>, keys: &[RowKey]) -> Result<HashSet<RowKey>, StoreError> {
    let needed = format!("({} OR {})", is_unfinished(), is_asked_for());
    let free = free(transaction, keys, &needed)?;
    erase(transaction, &free, ErasedBy::Retention)?;
    Ok(free.into_iter().collect())
}

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// Looks at events whose payload is not to be kept, behind a key, and erases those of
/// which everything is delivered or discarded; with what receivers answered.
pub(super) fn erase_unretained(
    transaction: &mut Tx<'_>,
    after: Option<i64>,
    slice: Slice,
) -> Result<Unretained, StoreError> {
    let waiting: Vec<Waiting> = diesel::sql_query(format!(
        "SELECT e.id, CAST(length(e.body) AS BIGINT) AS bytes FROM {UNRETAINED} \
         WHERE e.retain IS NOT NULL AND e.erased_at IS NULL AND e.id > {} ORDER BY e.id LIMIT {}",
        after.unwrap_or(0),
        slice.rows
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    let needed = format!("({} OR {} OR {})", is_unfinished(), is_asked_for(), is_exhausted());
    let free = free(transaction, &waiting.iter().map(|row| row.id).collect::<Vec<_>>(), &needed)?;
    // What does not fit into this slice is where the next begins.
    let (mut bytes, mut erasing, mut end) = (0, Vec::new(), None);
    for row in waiting.iter().filter(|row| free.binary_search(&row.id).is_ok()) {
        if bytes >= slice.bytes {
            end = Some(row.id - 1);
            break;
        }
        bytes += usize::try_from(row.bytes).unwrap_or(0);
        erasing.push(row.id);
    }
    let answers = attempts_of(transaction, &erasing, "a.response_body IS NOT NULL", slice.rows)?;
    forget_answers(transaction, &answers.attempts)?;
    if let Some(unfinished) = answers.goes_on_with {
        erasing.retain(|event| *event < unfinished);
        end = Some(unfinished - 1);
    }
    erase(transaction, &erasing, ErasedBy::RetainNone)?;
    let full = waiting.last().filter(|_| waiting.len() == slice.rows).map(|row| row.id);
    Ok(Unretained { payloads: erasing.len(), next: end.or(full) })
}

fn forget_answers(transaction: &mut Tx<'_>, attempts: &[(RowKey, i64)]) -> Result<(), StoreError> {
    if attempts.is_empty() {
        return Ok(());
    }
    transaction.begin_wiping()?;
    let forgotten = diesel::sql_query(format!(
        "UPDATE attempts SET response_body = NULL, exchange = NULL WHERE (delivery, number) IN (VALUES {})",
        pairs(attempts)
    ))
    .execute(transaction.connection)
    .map_err(translate);
    transaction.end_wiping()?;
    forgotten.map(drop)
}

/// Pairs of keys as SQL lists them.
pub(super) fn pairs(keys: &[(RowKey, i64)]) -> String {
    keys.iter().map(|(one, other)| format!("({one}, {other})")).collect::<Vec<_>>().join(", ")
}

/// Attempts of some events.
pub(super) struct AttemptsFound {
    /// By delivery and number.
    pub(super) attempts: Vec<(RowKey, i64)>,
    /// There are more than were asked for: those of this event may not be all, and of those
    /// behind it there may be others.
    pub(super) goes_on_with: Option<RowKey>,
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = BigInt)]
    event: i64,
    #[diesel(sql_type = BigInt)]
    delivery: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Up to `limit` attempts `a` of these events, those of replays behind the others.
pub(super) fn attempts_of(
    transaction: &mut Tx<'_>,
    events: &[RowKey],
    which: &str,
    limit: usize,
) -> Result<AttemptsFound, StoreError> {
    let mut found = AttemptsFound { attempts: Vec::new(), goes_on_with: None };
    if events.is_empty() {
        return Ok(found);
    }
    let events = listed(events.iter().copied());
    let own = format!(
        "SELECT e.id AS event, a.delivery, a.number FROM events AS e CROSS JOIN attempts AS a \
         WHERE e.id IN ({events}) AND a.delivery > e.id AND a.delivery <= e.id + e.deliveries AND {which} \
         ORDER BY e.id, a.delivery LIMIT {limit}"
    );
    let replayed = format!(
        "SELECT d.event, a.delivery, a.number FROM deliveries AS d CROSS JOIN attempts AS a \
         WHERE d.event IN ({events}) AND d.replay IS NOT NULL AND a.delivery = d.id AND {which} \
         ORDER BY d.event LIMIT {limit}"
    );
    for query in [own, replayed] {
        let rows: Vec<AttemptRow> = diesel::sql_query(query).load(transaction.connection).map_err(translate)?;
        if rows.len() == limit {
            let last = rows.last().map(|row| row.event);
            found.goes_on_with = [found.goes_on_with, last].into_iter().flatten().min();
        }
        found.attempts.extend(rows.into_iter().map(|row| (row.delivery, row.number)));
    }
    Ok(found)
}
