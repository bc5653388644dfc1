//! What the search index is made of: reading events into a segment, slice by slice, and
//! where the index ends. Of a slice everything is settled: nothing can come to be among
//! its events any more.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::{Connection, translate};
use crate::catalog::read_json;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::from_json;
use crate::store::schema::{event_types, events, search_segments, unsealed};
use crate::store::search::layout::Layout;
use crate::store::search::terms::{self, Term, TermHasher};
use crate::store::{IndexEnd, SegmentDraft, StoreError};

/// Bodies that are in memory at once.
const BODIES: usize = 64;

/// The newest segment, and the last key of it; zeros where there is none.
pub(super) fn newest(connection: &mut Connection) -> Result<(i64, RowKey), StoreError> {
    let found: Option<(i64, RowKey)> = search_segments::table
        .order(search_segments::id.desc())
        .select((search_segments::id, search_segments::last_key))
        .first(connection)
        .optional()
        .map_err(translate)?;
    Ok(found.unwrap_or((0, 0)))
}

pub(super) fn end(connection: &mut Connection, ids: &IdCodec) -> Result<Option<IndexEnd>, StoreError> {
    let (newest, last_key) = newest(connection)?;
    let oldest: Option<i64> = search_segments::table
        .order(search_segments::id)
        .select(search_segments::id)
        .first(connection)
        .optional()
        .map_err(translate)?;
    let segments = |oldest: i64| usize::try_from(newest - oldest + 1).unwrap_or(0);
    Ok(oldest.map(|oldest| IndexEnd { event: ids.event(last_key), segments: segments(oldest) }))
}

/// Which fields are indexed, as both catalogs say it now.
pub(super) fn layout(connection: &mut Connection) -> Result<Layout, StoreError> {
    let rows: Vec<(i64, String, Option<String>)> = event_types::table
        .filter(event_types::indexed.is_not_null())
        .order((event_types::environment, event_types::name))
        .select((event_types::environment, event_types::name, event_types::indexed))
        .load(connection)
        .map_err(translate)?;
    let mut layout = Layout::default();
    for (environment, name, indexed) in rows {
        let pointers: Vec<String> = indexed.as_deref().map(from_json).transpose()?.unwrap_or_default();
        layout.add(environment, name, pointers);
    }
    Ok(layout)
}

pub(super) fn draft(connection: &mut Connection) -> Result<SegmentDraft, StoreError> {
    let (segment, last_key) = newest(connection)?;
    Ok(SegmentDraft::behind(segment, last_key))
}

type IndexedRow = (RowKey, i64, String, Option<String>);

/// The draft with up to `limit` events more, all of keys below `settled`. One that was
/// begun by another catalog is begun anew. To be read at once: what is unsealed, and what
/// is there.
pub(super) fn extend(
    connection: &mut Connection,
    ids: &IdCodec,
    mut draft: SegmentDraft,
    settled: RowKey,
    limit: usize,
) -> Result<SegmentDraft, StoreError> {
    let layout = layout(connection)?;
    let text = layout.text();
    if draft.layout.as_ref().is_some_and(|begun| *begun != text) {
        draft = SegmentDraft::behind(draft.behind.0, draft.behind.1);
    }
    draft.layout = Some(text);
    // Events of what is written in several commits come to be there all at once, and late.
    let first_unsealed: Option<RowKey> = unsealed::table
        .order(unsealed::first_key)
        .select(unsealed::first_key)
        .first(connection)
        .optional()
        .map_err(translate)?;
    let below = first_unsealed.map_or(settled, |first| first.min(settled));
    let rows: Vec<IndexedRow> = events::table
        .filter(events::id.gt(draft.end()).and(events::id.lt(below)))
        .order(events::id)
        .limit(limit as i64)
        .select((events::id, events::scope, events::event_type, events::idempotency_key))
        .load(connection)
        .map_err(translate)?;
    let hasher = TermHasher::of(ids);
    let mut with_fields = Vec::new();
    for (key, scope, name, idempotency_key) in rows {
        let terms: Vec<Term<'_>> =
            terms::of_type(&name).chain(idempotency_key.as_deref().map(Term::IdempotencyKey)).collect();
        hasher.hashes_of(scope, &terms, |hash| draft.entries.push((hash, key)));
        let pointers = layout.pointers(scope & 1, &name)?;
        if !pointers.is_empty() {
            with_fields.push((key, scope, pointers));
        }
        draft.keys = Some((draft.keys.map_or(key, |(first, _)| first), key));
        draft.events += 1;
    }
    for some in with_fields.chunks(BODIES) {
        let keys = some.iter().map(|(key, ..)| *key);
        let bodies: Vec<(RowKey, Vec<u8>)> = events::table
            .filter(events::id.eq_any(keys))
            .select((events::id, events::body))
            .load(connection)
            .map_err(translate)?;
        for (key, body) in bodies {
            // An event that does not read was let in by nobody, and has no fields.
            let (Some((_, scope, pointers)), Ok(event)) =
                (some.iter().find(|(known, ..)| *known == key), read_json(&body))
            else {
                continue;
            };
            for pointer in pointers {
                if let Some(value) = terms::text_at(pointer, &event) {
                    hasher.hashes_of(*scope, &[Term::Field(pointer.as_str(), &value)], |hash| {
                        draft.entries.push((hash, key));
                    });
                }
            }
        }
    }
    Ok(draft)
}
