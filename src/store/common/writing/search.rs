//! Writing segments of the search index, and dropping those of which no event is left.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::super::segments;
use super::super::translate;
use super::Tx;
use crate::store::schema::{events, search_entries, search_layouts, search_segments};
use crate::store::search::entry_id;
use crate::store::{DroppedSegments, Segment, StoreError};

/// Rows that one statement writes.
const ROWS: usize = 64;

/// False, and nothing written, where the index has come further meanwhile, by whoever.
pub(super) fn add_segment(transaction: &mut Tx<'_>, segment: &Segment) -> Result<bool, StoreError> {
    if segments::newest(transaction.connection)? != segment.behind {
        return Ok(false);
    }
    let id = segment.behind.0 + 1;
    let layout = layout_id(transaction, &segment.layout)?;
    let written = diesel::insert_into(search_segments::table)
        .values((
            search_segments::id.eq(id),
            search_segments::first_key.eq(segment.first_key),
            search_segments::last_key.eq(segment.last_key),
            search_segments::events.eq(segment.events as i64),
            search_segments::layout.eq(layout),
        ))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    if written == 0 {
        return Ok(false);
    }
    let rows: Vec<_> = segment
        .buckets
        .iter()
        .map(|(bucket, bytes)| {
            (search_entries::id.eq(entry_id(*bucket, id)), search_entries::entries.eq(bytes.as_slice()))
        })
        .collect();
    for some in rows.chunks(ROWS) {
        diesel::insert_into(search_entries::table).values(some).execute(transaction.connection).map_err(translate)?;
    }
    Ok(true)
}

fn layout_id(transaction: &mut Tx<'_>, fields: &str) -> Result<i64, StoreError> {
    diesel::insert_into(search_layouts::table)
        .values(search_layouts::fields.eq(fields))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    search_layouts::table
        .filter(search_layouts::fields.eq(fields))
        .select(search_layouts::id)
        .first(transaction.connection)
        .map_err(translate)
}

/// Looks at up to `limit` segments behind one. The newest stays: the index goes on
/// behind it.
pub(super) fn drop_segments(
    transaction: &mut Tx<'_>,
    after: Option<i64>,
    limit: usize,
) -> Result<DroppedSegments, StoreError> {
    let (newest, _) = segments::newest(transaction.connection)?;
    let looked_at: Vec<(i64, i64, i64)> = search_segments::table
        .filter(search_segments::id.gt(after.unwrap_or(0)).and(search_segments::id.lt(newest)))
        .order(search_segments::id)
        .limit(limit as i64)
        .select((search_segments::id, search_segments::first_key, search_segments::last_key))
        .load(transaction.connection)
        .map_err(translate)?;
    let mut dropped = 0;
    for (id, first_key, last_key) in &looked_at {
        let of_segment = events::table.filter(events::id.between(*first_key, *last_key)).select(events::id);
        let is_needed: bool =
            diesel::select(exists(of_segment)).get_result(transaction.connection).map_err(translate)?;
        if is_needed {
            continue;
        }
        let entries: Vec<i64> = (0..=u8::MAX).map(|bucket| entry_id(bucket, *id)).collect();
        diesel::delete(search_entries::table.filter(search_entries::id.eq_any(entries)))
            .execute(transaction.connection)
            .map_err(translate)?;
        diesel::delete(search_segments::table.find(*id)).execute(transaction.connection).map_err(translate)?;
        dropped += 1;
    }
    let next = looked_at.last().filter(|_| looked_at.len() == limit).map(|(id, ..)| *id);
    Ok(DroppedSegments { segments: dropped, next })
}
