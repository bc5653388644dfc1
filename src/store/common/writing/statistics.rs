//! What was counted, as it is written: minutes by whoever counted them, hours out of
//! minutes that are old.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::super::statistics::WHOLE;
use super::super::{SKIP_LOCKED, translate};
use super::Tx;
use crate::domain::{NodeId, Tally, Timestamp};
use crate::store::schema::scopes;
use crate::store::statistics::{StatisticsKey, StatisticsRow, packed, type_text, unpacked, writer_number};
use crate::store::{Counted, CountedAbout, Resolution, StoreError};

pub(super) fn note(
    transaction: &mut Tx<'_>,
    writer: NodeId,
    counted: &[(CountedAbout, Counted)],
) -> Result<(), StoreError> {
    // Whoever counted may still have what it counted for a partner that is being erased: in a
    // scope that is not there any more, it must not come back.
    let about: BTreeSet<i64> = counted.iter().map(|(about, _)| about.scope.0).collect();
    let there: HashSet<i64> = scopes::table
        .filter(scopes::id.eq_any(about))
        .select(scopes::id)
        .load::<i64>(transaction.connection)
        .map_err(translate)?
        .into_iter()
        .collect();
    let mut rows = Vec::with_capacity(counted.len());
    for (about, Counted { bucket, event_type, tally }) in counted {
        if !there.contains(&about.scope.0) {
            continue;
        }
        let endpoint = match about.endpoint {
            None => WHOLE,
            Some(endpoint) => match transaction.ids.endpoint_key(endpoint) {
                Some(key) => key,
                None => continue,
            },
        };
        let key = StatisticsKey {
            resolution: Resolution::Minute.number(),
            scope: about.scope.0,
            endpoint,
            bucket: bucket.as_millis(),
            event_type: type_text(event_type.as_ref()).to_owned(),
            writer: writer_number(writer),
        };
        rows.push(StatisticsRow { key, tally: packed(tally) });
    }
    transaction.put_statistics(&rows)
}

/// A row that became part of another.
#[derive(QueryableByName)]
struct Gone {
    #[diesel(sql_type = BigInt)]
    scope: i64,
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    #[diesel(sql_type = BigInt)]
    bucket: i64,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Binary)]
    tally: Vec<u8>,
}

pub(super) fn roll_up(
    transaction: &mut Tx<'_>,
    horizon: Timestamp,
    writer: NodeId,
    limit: usize,
) -> Result<usize, StoreError> {
    // An hour is whole before any of it is rolled up.
    let before = Resolution::Hour.bucket_of(horizon);
    let gone: Vec<Gone> = diesel::sql_query(format!(
        "{} RETURNING scope, endpoint, bucket, event_type, tally",
        delete(Resolution::Minute, before, limit)
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    let mut hours: BTreeMap<StatisticsKey, Tally> = BTreeMap::new();
    for minute in &gone {
        let bucket = Resolution::Hour.bucket_of(Timestamp::from_millis(minute.bucket));
        let key = StatisticsKey {
            resolution: Resolution::Hour.number(),
            scope: minute.scope,
            endpoint: minute.endpoint,
            bucket: bucket.as_millis(),
            event_type: minute.event_type.clone(),
            // Whoever else rolls up has rows of its own.
            writer: writer_number(writer),
        };
        add(&mut hours, key, &minute.tally);
    }
    let keys: Vec<StatisticsKey> = hours.keys().cloned().collect();
    for before in transaction.stored_statistics(&keys)? {
        add(&mut hours, before.key, &before.tally);
    }
    let rows: Vec<StatisticsRow> =
        hours.into_iter().map(|(key, tally)| StatisticsRow { key, tally: packed(&tally) }).collect();
    if !rows.is_empty() {
        transaction.put_statistics(&rows)?;
    }
    Ok(gone.len())
}

/// Counts what was written down. What cannot be read must not keep all else, and retention
/// with it, from going on.
fn add(hours: &mut BTreeMap<StatisticsKey, Tally>, key: StatisticsKey, written: &[u8]) {
    match unpacked(written) {
        Ok(tally) => hours.entry(key).or_default().merge(&tally),
        Err(error) => log::error!("what was counted in a stretch of time is given up: {error}"),
    }
}

pub(super) fn forget(transaction: &mut Tx<'_>, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let before = Resolution::Hour.bucket_of(horizon);
    diesel::sql_query(delete(Resolution::Hour, before, limit)).execute(transaction.connection).map_err(translate)
}

/// Takes the oldest rows away. Numbers of our own stand in it, and nothing else.
fn delete(resolution: Resolution, before: Timestamp, limit: usize) -> String {
    const KEY: &str = "resolution, scope, endpoint, bucket, event_type, writer";
    format!(
        "DELETE FROM statistics WHERE ({KEY}) IN \
         (SELECT {KEY} FROM statistics WHERE resolution = {} AND bucket < {} ORDER BY bucket LIMIT {limit} {SKIP_LOCKED})",
        resolution.number(),
        before.as_millis(),
    )
}
