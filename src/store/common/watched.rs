//! What is looked at of many at once: what waits for each endpoint of a page, how each
//! partner of one stands, and an endpoint's last attempts. However many are asked about, it
//! is one statement, or a few, and each count ends at a limit.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use super::reads::{IS_SEALED, scope_id};
use super::{Connection, EXHAUSTED_AS_ENDED, REPLAYED_AS_LATER, UNFINISHED_AS_WAITING, beside_own, translate, work};
use crate::domain::{EndpointId, Environment, PartnerName, Timestamp};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::{attempt_error, count_of};
use crate::store::schema::{attempts, deliveries};
use crate::store::{AttemptSeen, Backlog, PartnerStanding, Scope, StoreError};

/// An endpoint's deliveries that are looked at for those that were tried: a large backlog
/// stands in front of them.
const LOOKED_AT: usize = 2_000;
/// Attempts of the deliveries that were found which are read at most.
const READ: i64 = 10_000;

#[derive(QueryableByName)]
struct BacklogRow {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
}

/// Rows of numbers, to be asked about together. They are ours, so that they may stand in
/// the text.
fn rows_of(numbers: &[i64]) -> String {
    numbers.iter().map(|number| format!("({number})")).collect::<Vec<_>>().join(", ")
}

/// What waits for each of these endpoints, counted up to a limit.
pub(super) fn backlogs(
    connection: &mut Connection,
    ids: &IdCodec,
    asked: &[EndpointId],
    limit: usize,
) -> Result<HashMap<EndpointId, Backlog>, StoreError> {
    let keys: Vec<RowKey> = asked.iter().filter_map(|endpoint| ids.endpoint_key(*endpoint)).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let some = format!(
        "SELECT waiting.id AS id FROM {UNFINISHED_AS_WAITING} \
         WHERE waiting.endpoint = asked.endpoint AND waiting.next_at IS NOT NULL \
           AND NOT EXISTS (SELECT 1 FROM unsealed WHERE waiting.id BETWEEN first_key AND last_key) LIMIT {limit}"
    );
    let rows: Vec<BacklogRow> = diesel::sql_query(format!(
        "WITH asked (endpoint) AS (VALUES {}) \
         SELECT CAST(asked.endpoint AS BIGINT) AS endpoint, (SELECT COUNT(*) FROM ({some}) AS counted) AS count, \
           (SELECT MIN(counted.id) FROM ({some}) AS counted) AS oldest \
         FROM asked",
        rows_of(&keys)
    ))
    .load(connection)
    .map_err(translate)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let count = usize::try_from(row.count).unwrap_or(0);
            (ids.endpoint(row.endpoint), Backlog { count, oldest: row.oldest.map(|key| ids.delivery(key)) })
        })
        .collect())
}

#[derive(QueryableByName)]
struct PartnerRow {
    #[diesel(sql_type = BigInt)]
    scope: i64,
    #[diesel(sql_type = BigInt)]
    endpoints: i64,
    #[diesel(sql_type = BigInt)]
    backlog: i64,
    #[diesel(sql_type = BigInt)]
    exhausted: i64,
    #[diesel(sql_type = BigInt)]
    looked_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_event: Option<i64>,
}

/// How each of these partners stands in an environment. One that there is not is left out.
pub(super) fn partner_standings(
    connection: &mut Connection,
    ids: &IdCodec,
    environment: Environment,
    asked: &[PartnerName],
    limit: usize,
) -> Result<HashMap<PartnerName, PartnerStanding>, StoreError> {
    let mut scopes: HashMap<i64, PartnerName> = HashMap::with_capacity(asked.len());
    for name in asked {
        if let Some(scope) = scope_id(connection, &Scope::of(environment, name.clone()))? {
            scopes.insert(scope.0, name.clone());
        }
    }
    if scopes.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers: Vec<i64> = scopes.keys().copied().collect();
    let own = "own.scope = asked.scope AND own.deleted_at IS NULL";
    // The endpoints first: they are few, and what they have is found by index.
    let ended = beside_own(EXHAUSTED_AS_ENDED, "ended", "ended.endpoint = own.id AND ended.status = 3", limit);
    let ended = format!(
        "SELECT ended.id AS id, ended.event AS event, ended.endpoint AS endpoint \
         FROM endpoints AS own {ended} AND {own} LIMIT {limit}"
    );
    let waits = "waiting.endpoint = own.id AND waiting.next_at IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM unsealed WHERE waiting.id BETWEEN first_key AND last_key)";
    let waiting = beside_own(UNFINISHED_AS_WAITING, "waiting", waits, limit);
    let rows: Vec<PartnerRow> = diesel::sql_query(format!(
        "WITH asked (scope) AS (VALUES {}) SELECT CAST(asked.scope AS BIGINT) AS scope, \
           (SELECT COUNT(*) FROM (SELECT 1 AS one FROM endpoints AS own WHERE {own} LIMIT {limit}) AS counted) AS endpoints, \
           (SELECT COUNT(*) FROM ( \
             SELECT 1 AS one FROM endpoints AS own {waiting} AND {own} LIMIT {limit}) AS counted) AS backlog, \
           (SELECT COUNT(*) FROM ({ended}) AS looked WHERE NOT EXISTS ( \
             SELECT 1 FROM {REPLAYED_AS_LATER} \
             WHERE later.replay IS NOT NULL AND later.event = looked.event AND later.endpoint = looked.endpoint \
               AND later.id > looked.id)) AS exhausted, \
           (SELECT COUNT(*) FROM ({ended}) AS looked) AS looked_at, \
           (SELECT id FROM events WHERE events.scope = asked.scope ORDER BY id DESC LIMIT 1) AS last_event \
         FROM asked",
        rows_of(&numbers)
    ))
    .load(connection)
    .map_err(translate)?;
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let standing = PartnerStanding {
                endpoints: count(row.endpoints),
                backlog: count(row.backlog),
                exhausted: count(row.exhausted),
                exhausted_has_more: count(row.looked_at) >= limit,
                last_event: row.last_event.map(|key| ids.event(key)),
            };
            Some((scopes.remove(&row.scope)?, standing))
        })
        .collect())
}

/// Of an attempt: `delivery`, `number`, `started_at`, `duration_ms`, `status_code`, `error_class`.
type SeenRow = (RowKey, i64, i64, i64, Option<i64>, Option<String>);

/// The last attempts of an endpoint's newest deliveries that were tried and of those that
/// wait for their retry, the latest first. An index by endpoint and time would cost every
/// attempt; so what was lately tried of older deliveries and has ended is not among them.
pub(super) fn attempts_to(
    connection: &mut Connection,
    ids: &IdCodec,
    (endpoint, key): (EndpointId, RowKey),
    limit: usize,
) -> Result<Vec<AttemptSeen>, StoreError> {
    let mut tried = newest_tried(connection, key, limit)?;
    let retrying = work::some_unfinished(connection, (endpoint, key), 1, limit)?;
    tried.extend(retrying.into_iter().filter(|(_, scheduled)| *scheduled > 0).map(|(delivery, _)| delivery));
    tried.sort_unstable_by_key(|delivery| std::cmp::Reverse(*delivery));
    tried.dedup();
    let mut rows: Vec<SeenRow> = attempts::table
        .filter(attempts::delivery.eq_any(&tried))
        .limit(READ)
        .select((
            attempts::delivery,
            attempts::number,
            attempts::started_at,
            attempts::duration_ms,
            attempts::status_code,
            attempts::error_class,
        ))
        .load(connection)
        .map_err(translate)?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.2, row.0, row.1)));
    rows.truncate(limit);
    let seen = rows.into_iter().map(|(delivery, number, started_at, duration_ms, status_code, error_class)| {
        Ok(AttemptSeen {
            delivery: ids.delivery(delivery),
            number: count_of(number)?,
            started_at: Timestamp::from_millis(started_at),
            duration_ms: count_of(duration_ms)?,
            status_code: status_code.and_then(|code| u16::try_from(code).ok()),
            error_class: attempt_error(error_class.as_deref(), None)?.map(|error| error.class),
        })
    });
    seen.collect()
}

/// An endpoint's newest deliveries that were tried.
fn newest_tried(connection: &mut Connection, endpoint: RowKey, limit: usize) -> Result<Vec<RowKey>, StoreError> {
    let (mut found, mut below, mut left) = (Vec::new(), RowKey::MAX, LOOKED_AT.max(limit));
    while found.len() < limit && left > 0 {
        let most = limit.max(500).min(left);
        let rows: Vec<(RowKey, i64)> = deliveries::table
            .filter(deliveries::endpoint.eq(endpoint))
            .filter(deliveries::id.lt(below))
            .filter(sql::<Bool>(IS_SEALED))
            .order(deliveries::id.desc())
            .limit(most as i64)
            .select((deliveries::id, deliveries::attempt_count))
            .load(connection)
            .map_err(translate)?;
        left -= rows.len();
        found.extend(rows.iter().filter(|(_, attempts)| *attempts > 0).map(|(delivery, _)| *delivery));
        match rows.last() {
            Some((last, _)) if rows.len() == most => below = *last,
            _ => break,
        }
    }
    found.truncate(limit);
    Ok(found)
}
