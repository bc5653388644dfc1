//! What was counted, as it is read: a stretch of one subject's rows, and no others.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::BTreeMap;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;

use super::reads::scope_id;
use super::{Connection, translate};
use crate::domain::{EventType, Tally, Timestamp};
use crate::store::ids::RowKey;
use crate::store::schema::statistics;
use crate::store::statistics::{type_of, unpacked};
use crate::store::{Counted, CountedTypes, Resolution, Scope, StatisticsQuestion, StoreError};

/// In place of an endpoint, the sum over a scope.
pub(super) const WHOLE: RowKey = 0;

/// Each count of an hour is told with those of its minutes that have not become part of
/// it: one statement sees all of them at once.
pub(super) fn counted(
    connection: &mut Connection,
    scope: &Scope,
    endpoint: RowKey,
    question: &StatisticsQuestion,
) -> Result<Vec<Counted>, StoreError> {
    let Some(scope) = scope_id(connection, scope)? else { return Ok(Vec::new()) };
    let resolutions: &[i64] = match question.resolution {
        Resolution::Minute => &[0],
        Resolution::Hour => &[0, 1],
    };
    let mut query = statistics::table
        .filter(statistics::resolution.eq_any(resolutions.iter().copied()))
        .filter(statistics::scope.eq(scope.0))
        .filter(statistics::endpoint.eq(endpoint))
        .filter(statistics::bucket.ge(question.since.as_millis()))
        .filter(statistics::bucket.lt(question.until.as_millis()))
        .select((statistics::bucket, statistics::event_type, statistics::tally))
        .into_boxed();
    if let CountedTypes::Only(event_type) = &question.types {
        query = query.filter(statistics::event_type.eq(event_type.as_str()));
    }
    let mut sums = Sums::default();
    let rows = query.load_iter::<(i64, String, Vec<u8>), DefaultLoadingMode>(connection).map_err(translate)?;
    for row in rows {
        let (bucket, event_type, tally) = row.map_err(translate)?;
        let bucket = question.resolution.bucket_of(Timestamp::from_millis(bucket));
        let event_type = match &question.types {
            CountedTypes::Sum => None,
            CountedTypes::Only(_) | CountedTypes::Each { .. } => type_of(&event_type)?,
        };
        if let CountedTypes::Each { after: Some(after), .. } = &question.types
            && event_type <= *after
        {
            continue;
        }
        sums.add(event_type, bucket, &unpacked(&tally)?);
        if let CountedTypes::Each { limit, .. } = question.types {
            sums.keep(limit);
        }
    }
    Ok(sums.counted())
}

/// Adds up what writers and minutes have counted.
#[derive(Default)]
struct Sums(BTreeMap<Option<EventType>, BTreeMap<Timestamp, Tally>>);

impl Sums {
    fn add(&mut self, event_type: Option<EventType>, bucket: Timestamp, tally: &Tally) {
        self.0.entry(event_type).or_default().entry(bucket).or_default().merge(tally);
    }

    /// Of more types than these nobody needs to know: memory is not to follow them.
    fn keep(&mut self, types: usize) {
        while self.0.len() > types {
            self.0.pop_last();
        }
    }

    fn counted(self) -> Vec<Counted> {
        let of_type = |(event_type, buckets): (Option<EventType>, BTreeMap<Timestamp, Tally>)| {
            buckets.into_iter().map(move |(bucket, tally)| Counted { bucket, event_type: event_type.clone(), tally })
        };
        self.0.into_iter().flat_map(of_type).collect()
    }
}
