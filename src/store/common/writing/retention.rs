//! For how long things are kept, set and carried out: a walk over each scope's events for
//! each of what goes early, whose place is stored, and another look at what it had to leave.
//! Never a scan: each event is looked at once, and again only while something of it is
//! needed. Where nobody has settings, one look says so.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::HashSet;
use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use super::super::retention::{self as read, DAYS, DaysRow, days_of};
use super::super::{marks, reads, translate};
use super::erasable::{ENDED, ENDED_TABLE, UNFINISHED};
use super::payloads::{self, attempts_of, has_exhausted, is_asked_for, is_unfinished, is_why_exhausted, listed, pairs};
use super::{Tx, ordering};
use crate::domain::{DiscardReason, Kept, RetentionDays, StoredStatus, Timestamp};
use crate::store::ids::{RowKey, first_key_at};
use crate::store::marks::ATTEMPTS_GO_EARLY;
use crate::store::rows::status_number;
use crate::store::schema::{events, retention_left, retention_walks, retentions, scopes};
use crate::store::{Effect, Enforced, RetentionPlace, Scope, ScopeId, Slice, StoreError};

/// Scopes, or places of one, that are looked at in one slice.
const PLACES_AT_ONCE: i64 = 100;
/// Rows that a look costs as much as, where there is nothing to do: many partners are many looks.
const WALK_COSTS: usize = 25;
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn set(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    days: RetentionDays,
) -> Result<Option<Effect<RetentionDays>>, StoreError> {
    let Some(id) = reads::scope_id(transaction.connection, scope)? else { return Ok(None) };
    // Whoever sets the same at the same time, or erases the partner, waits.
    transaction.lock_endpoints(id)?;
    if transaction.stands(id)?.is_none() {
        return Ok(None);
    }
    if read::own(transaction.connection, id)? == days {
        return Ok(Some(Effect::AsBefore(days)));
    }
    diesel::delete(retentions::table.find(id.0)).execute(transaction.connection).map_err(translate)?;
    if days.of(Kept::Attempts).is_some() && marks::read(transaction.connection, ATTEMPTS_GO_EARLY)?.is_none() {
        marks::write(transaction.connection, ATTEMPTS_GO_EARLY, b"")?;
    }
    if !days.is_silent() {
        let of = |kept| days.of(kept).map(i64::from);
        diesel::insert_into(retentions::table)
            .values((
                retentions::scope.eq(id.0),
                retentions::payload_days.eq(of(Kept::Payloads)),
                retentions::attempts_days.eq(of(Kept::Attempts)),
                retentions::held_days.eq(of(Kept::Held)),
                retentions::exhausted_days.eq(of(Kept::Exhausted)),
            ))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    // What the walks passed while nothing was to be done about it is looked at after all.
    let walks = retention_walks::table.filter(retention_walks::scope.eq(id.0));
    if id == id.environment() {
        diesel::delete(retention_walks::table)
            .filter(sql::<Bool>("retention_walks.scope & 1 = ").bind::<BigInt, _>(id.0))
            .execute(transaction.connection)
    } else {
        diesel::delete(walks).execute(transaction.connection)
    }
    .map_err(translate)?;
    Ok(Some(Effect::Changed(days)))
}

/// Has the walks look at an event again that they may have passed: something of it has
/// begun once more.
pub(super) fn look_again(transaction: &mut Tx<'_>, keys: &[RowKey]) -> Result<(), StoreError> {
    if keys.is_empty() || !is_set_anywhere(transaction)? {
        return Ok(());
    }
    let rows: Vec<(i64, i64)> = events::table
        .filter(events::id.eq_any(keys))
        .select((events::scope, events::id))
        .load(transaction.connection)
        .map_err(translate)?;
    note_left(transaction, rows)
}

fn is_set_anywhere(transaction: &mut Tx<'_>) -> Result<bool, StoreError> {
    let any: Option<i64> =
        retentions::table.select(retentions::scope).first(transaction.connection).optional().map_err(translate)?;
    Ok(any.is_some())
}

/// What a slice has left to take on.
struct Room {
    rows: usize,
    bytes: usize,
    /// Rows that went or were changed, and payloads erased.
    done: Enforced,
}

impl Room {
    fn take(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }

    fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }
}

/// One slice: goes through the scopes that have settings, and then through what was left.
pub(super) fn enforce(
    transaction: &mut Tx<'_>,
    most_days: u32,
    after: Option<RetentionPlace>,
    slice: Slice,
) -> Result<Enforced, StoreError> {
    let mut room = Room { rows: slice.rows, bytes: slice.bytes, done: Enforced::default() };
    let mut place = after.unwrap_or(RetentionPlace::Walk { scope: 0, kept: 0 });
    if let RetentionPlace::Walk { scope, kept } = place {
        match walk_scopes(transaction, most_days, (scope, kept), &mut room)? {
            Some(next) => {
                room.done.next = Some(next);
                return Ok(room.done);
            }
            None => place = RetentionPlace::Left { scope: 0, event: 0 },
        }
    }
    if let RetentionPlace::Left { scope, event } = place {
        room.done.next = look_at_left(transaction, most_days, (scope, event), &mut room)?;
    }
    Ok(room.done)
}

/// Answers where to go on; `None` behind the last scope.
fn walk_scopes(
    transaction: &mut Tx<'_>,
    most_days: u32,
    (from, kept): (i64, usize),
    room: &mut Room,
) -> Result<Option<RetentionPlace>, StoreError> {
    let found = scopes_from(transaction, from)?;
    let is_all = found.len() < PLACES_AT_ONCE as usize;
    let last = found.last().map(|(scope, _)| *scope);
    for (scope, days) in found {
        let days = days.shorter_than(most_days);
        // Where the last slice stopped in the middle of this scope.
        let begun = if scope == from { kept } else { 0 };
        for (number, kept) in Kept::ALL.into_iter().enumerate().skip(begun) {
            let Some(days) = days.of(kept) else { continue };
            let horizon = transaction.now - DAY * days;
            let is_over = walk(transaction, (scope, number), horizon, room)?;
            room.take(WALK_COSTS);
            if !is_over || room.is_used_up() {
                return Ok(Some(RetentionPlace::Walk { scope, kept: number + usize::from(is_over) }));
            }
        }
    }
    let next = last.filter(|_| !is_all).map(|scope| RetentionPlace::Walk { scope: scope + 1, kept: 0 });
    Ok(next)
}

/// The next scopes, and what holds for them: all of an environment where that has
/// settings, otherwise those that have their own.
fn scopes_from(transaction: &mut Tx<'_>, from: i64) -> Result<Vec<(i64, RetentionDays)>, StoreError> {
    let mut environments = [RetentionDays::default(); 2];
    for (number, days) in (0..).zip(&mut environments) {
        *days = read::own(transaction.connection, ScopeId(number))?;
    }
    let rows: Vec<(i64, Option<DaysRow>)> = if environments.iter().all(RetentionDays::is_silent) {
        retentions::table
            .filter(retentions::scope.ge(from))
            .order(retentions::scope)
            .select((retentions::scope, DAYS.nullable()))
            .limit(PLACES_AT_ONCE)
            .load(transaction.connection)
    } else {
        scopes::table
            .left_join(retentions::table.on(retentions::scope.eq(scopes::id)))
            .filter(scopes::id.ge(from))
            .order(scopes::id)
            .select((scopes::id, DAYS.nullable()))
            .limit(PLACES_AT_ONCE)
            .load(transaction.connection)
    }
    .map_err(translate)?;
    rows.into_iter()
        .map(|(scope, own)| {
            let own = own.map_or(Ok(RetentionDays::default()), days_of)?;
            Ok((scope, own.or(environments[(scope & 1) as usize])))
        })
        .collect()
}

/// An event as a walk comes to it.
#[derive(QueryableByName, Clone, Copy)]
struct Passed {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    deliveries: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    deliver_at: Option<i64>,
    #[diesel(sql_type = Bool)]
    is_erased: bool,
}

const PASSED: &str = "e.id, e.deliveries, CAST(length(e.body) AS BIGINT) AS bytes, e.deliver_at, \
                      e.erased_at IS NOT NULL AS is_erased";

impl Passed {
    /// Whether it is as old as that. What is for later is as old as the time that it is for.
    fn is_from_before(&self, horizon: Timestamp) -> bool {
        self.id < first_key_at(horizon) && self.deliver_at.is_none_or(|at| at < horizon.as_millis())
    }
}

/// One stretch of a walk. Answers whether it has come to its end.
fn walk(
    transaction: &mut Tx<'_>,
    (scope, number): (i64, usize),
    horizon: Timestamp,
    room: &mut Room,
) -> Result<bool, StoreError> {
    let row = retention_walks::table.find((scope, number as i64));
    let after: Option<i64> =
        row.select(retention_walks::after).get_result(transaction.connection).optional().map_err(translate)?;
    let wanted = room.rows;
    let passed: Vec<Passed> = diesel::sql_query(format!(
        "SELECT {PASSED} FROM events AS e WHERE e.scope = {scope} AND e.id > {} AND e.id < {} ORDER BY e.id LIMIT {wanted}",
        after.unwrap_or(0),
        first_key_at(horizon),
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    let is_last = passed.len() < wanted;
    let all = passed.len();
    let visited = visit(transaction, Kept::ALL[number], horizon, &passed, room)?;
    leave(transaction, scope, &visited.left)?;
    if let Some(last) = visited.done.checked_sub(1).and_then(|last| passed.get(last)) {
        diesel::insert_into(retention_walks::table)
            .values((
                retention_walks::scope.eq(scope),
                retention_walks::kept.eq(number as i64),
                retention_walks::after.eq(last.id),
            ))
            .on_conflict((retention_walks::scope, retention_walks::kept))
            .do_update()
            .set(retention_walks::after.eq(last.id))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(is_last && visited.done == all)
}

/// Notes events of which something is still needed.
fn leave(transaction: &mut Tx<'_>, scope: i64, left: &[RowKey]) -> Result<(), StoreError> {
    note_left(transaction, left.iter().map(|event| (scope, *event)).collect())
}

/// Notes events with their scopes, in one statement: many may be noted at once. Whoever notes
/// the same at the same time does so in the same order, so that nobody waits for another who
/// waits for them.
fn note_left(transaction: &mut Tx<'_>, mut left: Vec<(i64, RowKey)>) -> Result<(), StoreError> {
    if left.is_empty() {
        return Ok(());
    }
    left.sort_unstable();
    diesel::sql_query(format!(
        "INSERT INTO retention_left (scope, event) VALUES {} ON CONFLICT DO NOTHING",
        pairs(&left)
    ))
    .execute(transaction.connection)
    .map_err(translate)?;
    Ok(())
}

/// What became of some events.
struct Visited {
    /// So many of them, from the first, are done with for now.
    done: usize,
    /// Of those, the ones to be looked at again.
    left: Vec<RowKey>,
}

/// Does what is to be done about these events, as far as there is room for it.
fn visit(
    transaction: &mut Tx<'_>,
    kept: Kept,
    horizon: Timestamp,
    passed: &[Passed],
    room: &mut Room,
) -> Result<Visited, StoreError> {
    // At least one, however many deliveries it has.
    let (mut rows, mut count) = (0, 0);
    for event in passed {
        rows += 1 + usize::try_from(event.deliveries).unwrap_or(0);
        if count > 0 && rows > room.rows {
            break;
        }
        count += 1;
    }
    let passed = &passed[..count];
    let (old, young): (Vec<&Passed>, Vec<&Passed>) = passed.iter().partition(|event| event.is_from_before(horizon));
    let keys: Vec<RowKey> = old.iter().map(|event| event.id).collect();
    let (end, mut left) = match kept {
        Kept::Payloads => visit_payloads(transaction, &old, room)?,
        Kept::Attempts => visit_attempts(transaction, &keys, horizon, room)?,
        Kept::Held => visit_held(transaction, &keys, horizon, room)?,
        Kept::Exhausted => visit_exhausted(transaction, &keys, horizon, room)?,
    };
    left.extend(young.iter().map(|event| event.id));
    let done = end.map_or(passed.len(), |end| passed.iter().take_while(|event| event.id < end).count());
    left.retain(|event| passed[..done].iter().any(|passed| passed.id == *event));
    room.take(done);
    Ok(Visited { done, left })
}

/// Where a visit had to stop, and what it left before that.
type Stopped = (Option<RowKey>, Vec<RowKey>);

fn visit_payloads(transaction: &mut Tx<'_>, old: &[&Passed], room: &mut Room) -> Result<Stopped, StoreError> {
    let (mut end, mut wanted) = (None, Vec::new());
    for event in old.iter().filter(|event| !event.is_erased) {
        if room.bytes == 0 {
            end = Some(event.id);
            break;
        }
        room.bytes = room.bytes.saturating_sub(usize::try_from(event.bytes).unwrap_or(0));
        wanted.push(event.id);
    }
    let erased = payloads::erase_old(transaction, &wanted)?;
    room.done.payloads += erased.len();
    room.done.rows += erased.len();
    Ok((end, wanted.into_iter().filter(|event| !erased.contains(event)).collect()))
}

fn visit_attempts(
    transaction: &mut Tx<'_>,
    keys: &[RowKey],
    horizon: Timestamp,
    room: &mut Room,
) -> Result<Stopped, StoreError> {
    // What an exhausted delivery failed at last is told as long as it is exhausted.
    let old = format!("a.started_at < {} AND NOT {}", horizon.as_millis(), is_why_exhausted());
    let found = attempts_of(transaction, keys, &old, room.rows)?;
    if !found.attempts.is_empty() {
        room.done.rows += diesel::sql_query(format!(
            "DELETE FROM attempts WHERE (delivery, number) IN (VALUES {})",
            pairs(&found.attempts)
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
        room.take(found.attempts.len());
    }
    let later = format!(
        "EXISTS (SELECT 1 FROM attempts AS a WHERE a.delivery > e.id AND a.delivery <= e.id + e.deliveries) \
         OR EXISTS (SELECT 1 FROM deliveries AS d CROSS JOIN attempts AS a \
         WHERE d.event = e.id AND d.replay IS NOT NULL AND a.delivery = d.id) OR {} OR {}",
        is_unfinished(),
        is_asked_for()
    );
    Ok((found.goes_on_with, those(transaction, keys, &later)?))
}

/// Deliveries `d` of these events from a table, with the event of each.
pub(super) fn deliveries_of(
    transaction: &mut Tx<'_>,
    keys: &[RowKey],
    (source, which): (&str, &str),
    limit: usize,
) -> Result<(Vec<RowKey>, Option<RowKey>), StoreError> {
    let (mut found, mut end) = (Vec::new(), None);
    if keys.is_empty() {
        return Ok((found, end));
    }
    let (table, condition) = source.split_once(" AS d WHERE").unwrap_or((source, ""));
    let events = listed(keys.iter().copied());
    let own = format!(
        "SELECT e.id AS event, d.id FROM events AS e CROSS JOIN {table} AS d \
         WHERE {condition} d.id > e.id AND d.id <= e.id + e.deliveries AND e.id IN ({events}) AND {which} \
         ORDER BY e.id LIMIT {limit}"
    );
    let replayed = format!(
        "SELECT d.event, d.id FROM {table} AS d \
         WHERE {condition} d.event IN ({events}) AND d.replay IS NOT NULL AND {which} ORDER BY d.event LIMIT {limit}"
    );
    for query in [own, replayed] {
        let rows: Vec<OfEvent> = diesel::sql_query(query).load(transaction.connection).map_err(translate)?;
        if rows.len() == limit {
            end = [end, rows.last().map(|row| row.event)].into_iter().flatten().min();
        }
        found.extend(rows.into_iter().map(|row| row.id));
    }
    Ok((found, end))
}

#[derive(QueryableByName)]
struct OfEvent {
    #[diesel(sql_type = BigInt)]
    event: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

fn visit_held(
    transaction: &mut Tx<'_>,
    keys: &[RowKey],
    horizon: Timestamp,
    room: &mut Room,
) -> Result<Stopped, StoreError> {
    // What a replay made is as old as itself, however old its event is.
    let held = format!(
        "EXISTS (SELECT 1 FROM endpoints AS x WHERE x.id = d.endpoint AND NOT x.enabled AND x.deleted_at IS NULL) \
         AND (d.replay IS NULL OR d.id < {})",
        first_key_at(horizon)
    );
    let (found, end) = deliveries_of(transaction, keys, (UNFINISHED, &held), room.rows)?;
    if !found.is_empty() {
        room.done.rows += ordering::discard_all(transaction, &found, DiscardReason::Retention)?;
        room.take(found.len());
    }
    // Whatever is unfinished may be held later.
    Ok((end, those(transaction, keys, &is_unfinished())?))
}

fn visit_exhausted(
    transaction: &mut Tx<'_>,
    keys: &[RowKey],
    horizon: Timestamp,
    room: &mut Room,
) -> Result<Stopped, StoreError> {
    let exhausted = status_number(StoredStatus::RetriesExhausted);
    let old = format!("d.status = {exhausted} AND d.finished_at < {}", horizon.as_millis());
    let (found, end) = deliveries_of(transaction, keys, (ENDED, &old), room.rows)?;
    if !found.is_empty() {
        // When it ended stays: its event goes with the rest.
        room.done.rows += diesel::sql_query(format!(
            "UPDATE {ENDED_TABLE} SET status = {} WHERE id IN ({}) AND status = {exhausted}",
            status_number(StoredStatus::Discarded(DiscardReason::Retention)),
            listed(found.iter().copied())
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
        room.take(found.len());
    }
    let later = format!("{} OR {} OR {}", is_unfinished(), is_asked_for(), has_exhausted());
    Ok((end, those(transaction, keys, &later)?))
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Those of these events `e` of which something is true.
pub(super) fn those(transaction: &mut Tx<'_>, keys: &[RowKey], which: &str) -> Result<Vec<RowKey>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys = listed(keys.iter().copied());
    let rows: Vec<Key> =
        diesel::sql_query(format!("SELECT e.id FROM events AS e WHERE e.id IN ({keys}) AND ({which}) ORDER BY e.id"))
            .load(transaction.connection)
            .map_err(translate)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Looks at some of what walks left, of one scope at a time. Answers where to go on.
fn look_at_left(
    transaction: &mut Tx<'_>,
    most_days: u32,
    (scope, event): (i64, i64),
    room: &mut Room,
) -> Result<Option<RetentionPlace>, StoreError> {
    let left: Vec<i64> = retention_left::table
        .filter(retention_left::scope.eq(scope).and(retention_left::event.gt(event)))
        .order(retention_left::event)
        .select(retention_left::event)
        .limit(PLACES_AT_ONCE)
        .load(transaction.connection)
        .map_err(translate)?;
    if left.is_empty() {
        let next: Option<i64> = retention_left::table
            .filter(retention_left::scope.gt(scope))
            .order((retention_left::scope, retention_left::event))
            .select(retention_left::scope)
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        return Ok(next.map(|scope| RetentionPlace::Left { scope, event: 0 }));
    }
    let passed: Vec<Passed> = diesel::sql_query(format!(
        "SELECT {PASSED} FROM events AS e WHERE e.id IN ({}) ORDER BY e.id",
        listed(left.iter().copied())
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    let days = own_or_larger(transaction, ScopeId(scope))?.shorter_than(most_days);
    let (mut done, mut again) = (passed.len(), HashSet::new());
    for kept in Kept::ALL {
        let Some(days) = days.of(kept) else { continue };
        let horizon = transaction.now - DAY * days;
        // What is younger the walk has not come to.
        let reached: Vec<Passed> =
            passed[..done].iter().copied().filter(|event| event.id < first_key_at(horizon)).collect();
        let visited = visit(transaction, kept, horizon, &reached, room)?;
        again.extend(visited.left);
        if let Some(end) = reached.get(visited.done) {
            done = passed.iter().take_while(|event| event.id < end.id).count();
        }
    }
    let end = passed.get(done).map_or(i64::MAX, |event| event.id);
    // What is not there any more, or needs no other look, is let go.
    let over: Vec<i64> = left.iter().copied().filter(|event| *event < end && !again.contains(event)).collect();
    diesel::delete(
        retention_left::table.filter(retention_left::scope.eq(scope)).filter(retention_left::event.eq_any(over)),
    )
    .execute(transaction.connection)
    .map_err(translate)?;
    let seen = left.iter().copied().filter(|event| *event < end).max().unwrap_or(event);
    Ok(Some(RetentionPlace::Left { scope, event: seen }))
}

fn own_or_larger(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<RetentionDays, StoreError> {
    let own = read::own(transaction.connection, scope)?;
    Ok(own.or(read::own(transaction.connection, scope.environment())?))
}
