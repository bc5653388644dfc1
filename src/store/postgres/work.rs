//! What the engine reads of endpoints' work: the hot statements, and the walk
//! over all that waits.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt};

use crate::domain::{EndpointId, Environment, EventId, Partition, PartitionSet, Timestamp};
use crate::store::ids::{IdCodec, RowKey, first_key_at, time_of_key};
use crate::store::postgres::{number_of, statements, translate};
use crate::store::pull::{self, NumberedRow, Running};
use crate::store::rows::{DueRow, due_of, environment_number, parsed, unplaced_of};
use crate::store::{
    BornSince, Due, Lane, Payload, Place, Sighting, StoreError, StoreUsage, Unplaced, Versions, Waiting,
};

pub(super) fn due(
    connection: &mut PgConnection,
    ids: &IdCodec,
    endpoint: (EndpointId, RowKey),
    lane: Lane,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let (time, key) = match after {
        Some((time, delivery)) => (time.as_millis(), ids.delivery_key(delivery).unwrap_or(0)),
        None => (i64::MIN, 0),
    };
    let (partition, endpoint) = (number_of(Partition::of(endpoint.0)), endpoint.1);
    let limit = limit as i64;
    let rows: Vec<DueRow> = match lane {
        Lane::Fresh => statements::fresh(connection, partition, endpoint, key, limit),
        Lane::Retry => statements::retries(connection, partition, endpoint, time, key, limit),
        Lane::Manual => statements::asked_for(connection, endpoint, time, key, limit),
    }
    .map_err(translate)?;
    rows.into_iter().map(|row| due_of(ids, row)).collect()
}

pub(super) fn unplaced(
    connection: &mut PgConnection,
    ids: &IdCodec,
    endpoint: (EndpointId, RowKey),
    now: Timestamp,
    limit: usize,
) -> Result<Unplaced, StoreError> {
    let (partition, endpoint) = (number_of(Partition::of(endpoint.0)), endpoint.1);
    let mut rows = statements::fresh(connection, partition, endpoint, 0, limit as i64).map_err(translate)?;
    let due = statements::due_without_place(connection, endpoint, now.as_millis(), limit as i64).map_err(translate)?;
    rows.extend(due);
    let next = statements::next_for_later(connection, endpoint, now.as_millis()).map_err(translate)?;
    unplaced_of(ids, rows, next, limit)
}

pub(super) fn placed(
    connection: &mut PgConnection,
    ids: &IdCodec,
    endpoint: (EndpointId, RowKey),
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let (partition, endpoint) = (number_of(Partition::of(endpoint.0)), endpoint.1);
    let rows = statements::placed(connection, partition, endpoint, limit as i64).map_err(translate)?;
    rows.into_iter().map(|row| due_of(ids, row)).collect()
}

/// An endpoint's deliveries behind a number, in their order.
pub(super) fn numbered(
    connection: &mut PgConnection,
    endpoint: RowKey,
    after: i64,
    limit: usize,
) -> Result<Vec<NumberedRow>, StoreError> {
    let limit = limit as i64;
    statements::numbered(connection, endpoint, after, limit, endpoint, after, limit, limit).map_err(translate)
}

/// Up to which of an endpoint's numbers everything is there that ever will be. The marks
/// are read first: of what was given since, they say nothing.
pub(super) fn settled_up_to(connection: &mut PgConnection, endpoint: RowKey) -> Result<i64, StoreError> {
    let marks = statements::marks(connection, endpoint).map_err(translate)?;
    let Some((last, last_at, newer, newer_at, older, older_at)) = marks.first().copied() else { return Ok(0) };
    let running = statements::running(connection).map_err(translate)?;
    let Some((oldest, oldest_writing, some_are_hidden, hidden_write, now)) = running.first().copied() else {
        return Ok(0);
    };
    let running = Running {
        oldest: if some_are_hidden { Some(i64::MIN) } else { oldest },
        oldest_writing: if hidden_write { Some(i64::MIN) } else { oldest_writing },
        now,
    };
    Ok(pull::settled_up_to(&[(last, last_at), (newer, newer_at), (older, older_at)], &running))
}

pub(super) fn payloads(
    connection: &mut PgConnection,
    ids: &IdCodec,
    wanted: &[EventId],
) -> Result<Vec<Payload>, StoreError> {
    let keys: Vec<RowKey> = wanted.iter().filter_map(|event| ids.event_key(*event)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = statements::payloads(connection, &keys).map_err(translate)?;
    rows.into_iter()
        .map(|(key, event_type, body, expires_at)| {
            let expires_at = expires_at.map(Timestamp::from_millis);
            Ok(Payload { event: ids.event(key), event_type: parsed(&event_type)?, body: body.into(), expires_at })
        })
        .collect()
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    /// Not there when all it has is unsealed, or when it holds.
    #[diesel(sql_type = Nullable<BigInt>)]
    due_at: Option<i64>,
}

/// Jumps from endpoint to endpoint in the indexes of one partition's work, instead
/// of reading every delivery that waits. Only what was never tried by its schedule
/// can be unsealed.
const WAITING: &str = "
    WITH RECURSIVE due (endpoint) AS (
      SELECT LEAST(
        (SELECT endpoint FROM pending WHERE status = 0 AND partition = $1 AND endpoint > $2 ORDER BY endpoint LIMIT 1),
        (SELECT endpoint FROM pending WHERE status = 1 AND partition = $1 AND endpoint > $2 ORDER BY endpoint LIMIT 1))
      UNION ALL
      SELECT LEAST(
        (SELECT endpoint FROM pending
         WHERE status = 0 AND partition = $1 AND endpoint > due.endpoint ORDER BY endpoint LIMIT 1),
        (SELECT endpoint FROM pending
         WHERE status = 1 AND partition = $1 AND endpoint > due.endpoint ORDER BY endpoint LIMIT 1))
      FROM due WHERE due.endpoint IS NOT NULL)
    SELECT endpoint, CASE WHEN EXISTS (
        SELECT 1 FROM endpoints WHERE endpoints.id = listed.endpoint AND enabled AND deleted_at IS NULL)
      THEN LEAST(
        (SELECT LEAST(next_at, $4) FROM pending
         WHERE status = 0 AND partition = $1 AND pending.endpoint = listed.endpoint
           AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key)
         ORDER BY id LIMIT 1),
        (SELECT next_at FROM pending
         WHERE status = 1 AND partition = $1 AND pending.endpoint = listed.endpoint
           AND (scheduled_attempts > 0 OR NOT EXISTS (
             SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key))
         ORDER BY next_at, id LIMIT 1))
      END AS due_at
    FROM (SELECT endpoint FROM due WHERE endpoint IS NOT NULL LIMIT $3) listed";

/// Endpoints of which somebody asked for an attempt: few, and read whole.
const ASKED: &str = "
    SELECT endpoint, MIN(requested_at) AS due_at FROM manual_attempts
    JOIN endpoints ON endpoints.id = endpoint AND enabled AND deleted_at IS NULL
    GROUP BY endpoint";

/// Partition by partition, and in each by key: `after` is where the last look
/// ended.
pub(super) fn waiting(
    connection: &mut PgConnection,
    ids: &IdCodec,
    of: &PartitionSet,
    after: Option<EndpointId>,
    limit: usize,
    now: Timestamp,
) -> Result<(Vec<Waiting>, Option<EndpointId>), StoreError> {
    let mut found: BTreeMap<EndpointId, Waiting> = BTreeMap::new();
    let mut take = |row: &WaitingRow, is_asked: bool| {
        let endpoint = ids.endpoint(row.endpoint);
        if let Some(due_at) = row.due_at.map(Timestamp::from_millis)
            && of.contains(Partition::of(endpoint))
        {
            let asked_at = is_asked.then_some(due_at);
            let first = found.entry(endpoint).or_insert(Waiting { endpoint, due_at, asked_at });
            first.due_at = due_at.min(first.due_at);
        }
    };
    if after.is_none() {
        let asked: Vec<WaitingRow> = diesel::sql_query(ASKED).load(connection).map_err(translate)?;
        asked.iter().for_each(|row| take(row, true));
    }
    let begin = after.map(|endpoint| (Partition::of(endpoint), ids.endpoint_key(endpoint).unwrap_or(0)));
    let mut walked = 0;
    let mut next = None;
    for partition in of.iter() {
        let after_key = match begin {
            Some((first, _)) if partition < first => continue,
            Some((first, key)) if partition == first => key,
            Some(_) | None => 0,
        };
        let rows: Vec<WaitingRow> = diesel::sql_query(WAITING)
            .bind::<SmallInt, _>(number_of(partition))
            .bind::<BigInt, _>(after_key)
            .bind::<BigInt, _>((limit - walked) as i64)
            .bind::<BigInt, _>(now.as_millis())
            .load(connection)
            .map_err(translate)?;
        rows.iter().for_each(|row| take(row, false));
        walked += rows.len();
        if walked >= limit {
            next = rows.last().map(|row| ids.endpoint(row.endpoint));
            break;
        }
    }
    Ok((found.into_values().collect(), next))
}

pub(super) fn born(
    connection: &mut PgConnection,
    ids: &IdCodec,
    of: &PartitionSet,
    since: BornSince,
    limit: usize,
) -> Result<Vec<Sighting>, StoreError> {
    let after = match since {
        BornSince::Time(time) => first_key_at(time) - 1,
        BornSince::Delivery(delivery) => ids.delivery_key(delivery).unwrap_or(0),
    };
    let partitions: Vec<i16> = of.iter().map(number_of).collect();
    let rows = statements::born(connection, after, &partitions, limit as i64).map_err(translate)?;
    let sighting = |(endpoint, delivery, event)| Sighting {
        endpoint: ids.endpoint(endpoint),
        delivery: ids.delivery(delivery),
        event: ids.event(event),
    };
    Ok(rows.into_iter().map(sighting).collect())
}

/// What `versions::versions` reads, in one round trip: it is asked for with every
/// page.
pub(super) fn versions(connection: &mut PgConnection) -> Result<Versions, StoreError> {
    let clocks = Environment::ALL.map(environment_number);
    let rows = statements::versions(connection, &clocks).map_err(translate)?;
    let of = |subject: i64| rows.iter().find(|(known, _)| *known == subject).map_or(0, |(_, version)| *version);
    Ok(Versions { keys: of(-1), catalogs: [of(-2), of(-3)], endpoints: clocks.map(of) })
}

#[derive(QueryableByName)]
struct UnfinishedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    scheduled_attempts: i64,
}

/// Some of an endpoint's unfinished deliveries in a stored state, in no order, with how
/// often the schedule has tried them. Each state has an index of its own, which is found
/// by the very words that it is over.
pub(super) fn some_unfinished(
    connection: &mut PgConnection,
    (id, endpoint): (EndpointId, RowKey),
    state: i64,
    limit: usize,
) -> Result<Vec<(RowKey, i64)>, StoreError> {
    let words = match state {
        0 => "status = 0 AND partition = $1",
        1 => "status = 1 AND partition = $1",
        _ => "order_key IS NOT NULL AND status = -1 AND partition = $1",
    };
    let rows: Vec<UnfinishedRow> = diesel::sql_query(format!(
        "SELECT id, scheduled_attempts::BIGINT AS scheduled_attempts FROM pending
         WHERE {words} AND endpoint = $2
           AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) LIMIT $3"
    ))
    .bind::<SmallInt, _>(number_of(Partition::of(id)))
    .bind::<BigInt, _>(endpoint)
    .bind::<BigInt, _>(limit as i64)
    .load(connection)
    .map_err(translate)?;
    Ok(rows.into_iter().map(|row| (row.id, row.scheduled_attempts)).collect())
}

#[derive(QueryableByName)]
struct EndpointRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
}

/// The first of those endpoints that have something unfinished.
pub(super) fn with_unfinished(connection: &mut PgConnection, limit: usize) -> Result<Vec<RowKey>, StoreError> {
    const JUMP: &str = "
        WITH RECURSIVE due (endpoint) AS (
          (SELECT endpoint FROM pending ORDER BY endpoint LIMIT 1)
          UNION ALL
          SELECT (SELECT endpoint FROM pending WHERE endpoint > due.endpoint ORDER BY endpoint LIMIT 1)
          FROM due WHERE due.endpoint IS NOT NULL)
        SELECT endpoint FROM due WHERE endpoint IS NOT NULL LIMIT $1";
    let rows: Vec<EndpointRow> =
        diesel::sql_query(JUMP).bind::<BigInt, _>(limit as i64).load(connection).map_err(translate)?;
    Ok(rows.into_iter().map(|row| row.endpoint).collect())
}

#[derive(QueryableByName)]
struct UsageRow {
    #[diesel(sql_type = BigInt)]
    database_bytes: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
}

/// How large the database is, and how far back it reaches.
pub(super) fn usage(connection: &mut PgConnection) -> Result<StoreUsage, StoreError> {
    let row: UsageRow = diesel::sql_query(
        "SELECT pg_database_size(current_database()) AS database_bytes, (SELECT min(id) FROM events) AS oldest",
    )
    .get_result(connection)
    .map_err(translate)?;
    Ok(StoreUsage {
        database_bytes: u64::try_from(row.database_bytes).unwrap_or(0),
        log_bytes: None,
        free_bytes: None,
        disk_free_bytes: None,
        oldest_event: row.oldest.map(time_of_key),
    })
}
