//! What the engine reads of endpoints' work: the hot statements, and the walk
//! over all that waits.

use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::domain::{EndpointId, EventId, Partition, PartitionSet, StoredStatus, Timestamp};
use crate::store::ids::{IdCodec, RowKey, first_key_at, time_of_key};
use crate::store::pull::NumberedRow;
use crate::store::rows::{DueRow, due_of, parsed, status_number, unplaced_of};
use crate::store::schema::endpoints;
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{BornSince, Due, Lane, Payload, Place, Sighting, StoreError, StoreUsage, Unplaced, Waiting};

pub(super) fn due(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    endpoint: RowKey,
    lane: Lane,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let (time, key) = match after {
        Some((time, delivery)) => (time.as_millis(), ids.delivery_key(delivery).unwrap_or(0)),
        None => (i64::MIN, 0),
    };
    let limit = limit as i64;
    let rows: Vec<DueRow> = match lane {
        Lane::Fresh => statements::due(connection, endpoint, status_number(StoredStatus::Pending), time, key, limit),
        Lane::Retry => statements::due(connection, endpoint, status_number(StoredStatus::Retrying), time, key, limit),
        Lane::Manual => statements::asked_for(connection, endpoint, time, key, limit),
    }
    .map_err(translate)?;
    rows.into_iter().map(|row| due_of(ids, row)).collect()
}

pub(super) fn unplaced(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    endpoint: RowKey,
    now: Timestamp,
    limit: usize,
) -> Result<Unplaced, StoreError> {
    let never_tried = status_number(StoredStatus::Pending);
    let mut rows = statements::due(connection, endpoint, never_tried, i64::MIN, 0, limit as i64).map_err(translate)?;
    let due = statements::due_without_place(connection, endpoint, now.as_millis(), limit as i64).map_err(translate)?;
    rows.extend(due);
    let next = statements::next_for_later(connection, endpoint, now.as_millis()).map_err(translate)?;
    unplaced_of(ids, rows, next, limit)
}

pub(super) fn placed(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    endpoint: RowKey,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let rows = statements::placed(connection, endpoint, limit as i64).map_err(translate)?;
    rows.into_iter().map(|row| due_of(ids, row)).collect()
}

/// An endpoint's deliveries behind a number, in their order.
pub(super) fn numbered(
    connection: &mut SqliteConnection,
    endpoint: RowKey,
    after: i64,
    limit: usize,
) -> Result<Vec<NumberedRow>, StoreError> {
    statements::numbered(connection, endpoint, after, limit as i64).map_err(translate)
}

/// What is not there never will be: one writer gives numbers and commits them in their
/// order.
pub(super) fn settled_up_to(_: &mut SqliteConnection, _: RowKey) -> Result<i64, StoreError> {
    Ok(i64::MAX)
}

pub(super) fn payloads(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    wanted: &[EventId],
) -> Result<Vec<Payload>, StoreError> {
    let mut found = Vec::with_capacity(wanted.len());
    for event in wanted {
        let Some(key) = ids.event_key(*event) else { continue };
        for (event_type, body, expires_at) in statements::payload(connection, key).map_err(translate)? {
            let expires_at = expires_at.map(Timestamp::from_millis);
            found.push(Payload { event: *event, event_type: parsed(&event_type)?, body: body.into(), expires_at });
        }
    }
    Ok(found)
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    due_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    asked_at: Option<i64>,
}

/// Jumps from endpoint to endpoint in the index of what is due, instead of
/// reading every delivery that waits. Only what was never tried by its schedule can
/// be unsealed; an endpoint that has nothing else has no time.
const WAITING: &str = "
    WITH RECURSIVE
      due (endpoint) AS (
        SELECT * FROM (
          SELECT endpoint FROM deliveries INDEXED BY deliveries_due
          WHERE next_at IS NOT NULL AND endpoint > ? ORDER BY endpoint LIMIT 1)
        UNION ALL
        SELECT (
          SELECT endpoint FROM deliveries INDEXED BY deliveries_due
          WHERE next_at IS NOT NULL AND endpoint > due.endpoint ORDER BY endpoint LIMIT 1)
        FROM due WHERE due.endpoint IS NOT NULL LIMIT ?),
      asked (endpoint, due_at) AS (
        SELECT endpoint, MIN(requested_at) FROM manual_attempts WHERE endpoint > ? GROUP BY endpoint ORDER BY endpoint
        LIMIT ?),
      found (endpoint, due_at, asked_at) AS (
        SELECT endpoint, (
          SELECT MIN(first) FROM (
            SELECT (SELECT MIN(next_at, ?) FROM deliveries INDEXED BY deliveries_due
                    WHERE next_at IS NOT NULL AND endpoint = due.endpoint AND status = 0
                      AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key)
                    ORDER BY next_at LIMIT 1) AS first
            UNION ALL
            SELECT (SELECT next_at FROM deliveries INDEXED BY deliveries_due
                    WHERE next_at IS NOT NULL AND endpoint = due.endpoint AND status = 1
                      AND (scheduled_attempts > 0 OR NOT EXISTS (
                        SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key))
                    ORDER BY next_at LIMIT 1))),
          NULL
        FROM due WHERE endpoint IS NOT NULL
        UNION ALL
        SELECT endpoint, due_at, due_at FROM asked)
    SELECT endpoint, MIN(due_at) AS due_at, MIN(asked_at) AS asked_at FROM found GROUP BY endpoint ORDER BY endpoint LIMIT ?";

pub(super) fn waiting(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    of: &PartitionSet,
    after: Option<EndpointId>,
    limit: usize,
    now: Timestamp,
) -> Result<(Vec<Waiting>, Option<EndpointId>), StoreError> {
    let begin = after.and_then(|endpoint| ids.endpoint_key(endpoint)).unwrap_or(0);
    let rows: Vec<WaitingRow> = diesel::sql_query(WAITING)
        .bind::<BigInt, _>(begin)
        .bind::<BigInt, _>(limit as i64)
        .bind::<BigInt, _>(begin)
        .bind::<BigInt, _>(limit as i64)
        .bind::<BigInt, _>(now.as_millis())
        .bind::<BigInt, _>(limit as i64)
        .load(connection)
        .map_err(translate)?;
    let next = if rows.len() < limit { None } else { rows.last().map(|row| ids.endpoint(row.endpoint)) };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if !of.contains(Partition::of(ids.endpoint(row.endpoint))) {
            continue;
        }
        let live: Option<i64> = endpoints::table
            .find(row.endpoint)
            .filter(endpoints::enabled.eq(true))
            .filter(endpoints::deleted_at.is_null())
            .select(endpoints::id)
            .first(connection)
            .optional()
            .map_err(translate)?;
        if let (Some(_), Some(due_at)) = (live, row.due_at) {
            found.push(Waiting {
                endpoint: ids.endpoint(row.endpoint),
                due_at: Timestamp::from_millis(due_at),
                asked_at: row.asked_at.map(Timestamp::from_millis),
            });
        }
    }
    Ok((found, next))
}

pub(super) fn born(
    connection: &mut SqliteConnection,
    ids: &IdCodec,
    of: &PartitionSet,
    since: BornSince,
    limit: usize,
) -> Result<Vec<Sighting>, StoreError> {
    let after = match since {
        BornSince::Time(time) => first_key_at(time) - 1,
        BornSince::Delivery(delivery) => ids.delivery_key(delivery).unwrap_or(0),
    };
    let rows = statements::born(connection, after, limit as i64).map_err(translate)?;
    let sightings = rows.into_iter().map(|(endpoint, delivery, event)| Sighting {
        endpoint: ids.endpoint(endpoint),
        delivery: ids.delivery(delivery),
        event: ids.event(event),
    });
    Ok(sightings.filter(|seen| of.contains(Partition::of(seen.endpoint))).collect())
}

/// Some of an endpoint's unfinished deliveries in a stored state, in no order, with how
/// often the schedule has tried them.
pub(super) fn some_unfinished(
    connection: &mut SqliteConnection,
    (_, endpoint): (EndpointId, RowKey),
    state: i64,
    limit: usize,
) -> Result<Vec<(RowKey, i64)>, StoreError> {
    statements::some_unfinished(connection, endpoint, state, limit as i64).map_err(translate)
}

#[derive(QueryableByName)]
struct EndpointRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
}

/// The first of those endpoints that have something unfinished. Every key is above 0: with
/// that bound the first look is a jump, too, and its plan says so.
pub(super) fn with_unfinished(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<RowKey>, StoreError> {
    const JUMP: &str = "
        WITH RECURSIVE due (endpoint) AS (
          SELECT (SELECT endpoint FROM deliveries INDEXED BY deliveries_due
                  WHERE next_at IS NOT NULL AND endpoint > 0 ORDER BY endpoint LIMIT 1)
          UNION ALL
          SELECT (SELECT endpoint FROM deliveries INDEXED BY deliveries_due
                  WHERE next_at IS NOT NULL AND endpoint > due.endpoint ORDER BY endpoint LIMIT 1)
          FROM due WHERE due.endpoint IS NOT NULL LIMIT ?)
        SELECT endpoint FROM due WHERE endpoint IS NOT NULL";
    let rows: Vec<EndpointRow> =
        diesel::sql_query(JUMP).bind::<BigInt, _>(limit as i64).load(connection).map_err(translate)?;
    Ok(rows.into_iter().map(|row| row.endpoint).collect())
}

#[derive(QueryableByName)]
struct UsageRow {
    #[diesel(sql_type = BigInt)]
    free_bytes: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
}

/// What the file system has left for whoever is not root.
fn disk_free(path: &Path) -> Option<u64> {
    let system = nix::sys::statvfs::statvfs(path).ok()?;
    #[allow(clippy::useless_conversion, reason = "they are smaller on some systems")]
    let (blocks, each) = (u64::from(system.blocks_available()), u64::from(system.fragment_size()));
    Some(blocks.saturating_mul(each))
}

/// How large the file is, and how far back it reaches.
pub(super) fn usage(connection: &mut SqliteConnection, path: &Path) -> Result<StoreUsage, StoreError> {
    let row: UsageRow = diesel::sql_query(
        "SELECT (SELECT freelist_count FROM pragma_freelist_count) * (SELECT page_size FROM pragma_page_size) AS free_bytes,
                (SELECT MIN(id) FROM events) AS oldest",
    )
    .get_result(connection)
    .map_err(translate)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // A file that is not there takes nothing.
    let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
    Ok(StoreUsage {
        database_bytes: size(path),
        log_bytes: Some(size(Path::new(&log))),
        free_bytes: Some(u64::try_from(row.free_bytes).unwrap_or(0)),
        disk_free_bytes: disk_free(path),
        oldest_event: row.oldest.map(time_of_key),
    })
}
