//! Finding events again: by type, by fields that the catalog marks, by idempotency key.
//!
//! Nothing is indexed when an event is accepted. Some thousands of events at a time, once
//! nothing can come to be among them any more, are made a [`Segment`]: a few hundred rows
//! that are written at once. A search asks segment after segment, the newest first, and
//! looks through what lies behind the last one. What is found is looked at before it is
//! answered, so that the index only has to lead to everything that fits, not to nothing
//! else. The SQL is in `common/search.rs` and `common/segments.rs`; when a segment is made
//! is the engine's to say.

pub(in crate::store) mod layout;
pub(in crate::store) mod packing;
pub(in crate::store) mod terms;

use std::collections::BTreeMap;

use crate::domain::{EventId, FieldPointer, Timestamp, TypePattern};
use crate::store::StoreError;
use crate::store::ids::RowKey;
use packing::Packed;

pub use terms::text_at;

/// Events of one segment.
pub const SEGMENT_EVENTS: usize = 8_192;

/// Rows that one request looks at, at most, where no index leads to what it asks for.
/// What it finds by then is its page, and the next one goes on.
pub(in crate::store) const LOOKED_AT: usize = 10_000;
/// The same of rows that are read whole.
pub(in crate::store) const READ_WHOLE: usize = 1_000;
/// Events that one search looks at, at most, where no index leads to what it asks for. What
/// is not indexed yet is less than a segment and what has not settled: all of it must fit,
/// or no segment would ever be asked.
pub(in crate::store) const TAIL_EVENTS: usize = 2 * SEGMENT_EVENTS;
/// Bytes of the payloads among them, at most; the last few that are read may go beyond it.
pub(in crate::store) const TAIL_BYTES: usize = 32 << 20;
/// Segments that one request asks, at most.
pub(in crate::store) const ASKED_SEGMENTS: usize = 50_000;

/// Which events a list shows. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSearch {
    /// Of a type that this covers.
    pub types: Option<TypePattern>,
    /// Accepted then or later.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Posted with this key.
    pub idempotency_key: Option<String>,
    /// Of a type that is indexed by this field, and with this value there, as text.
    pub field: Option<(FieldPointer, String)>,
}

/// How far the index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEnd {
    /// The last event that is in it.
    pub event: EventId,
    /// Segments that there are.
    pub segments: usize,
}

/// A segment in the making.
#[derive(Debug, Clone)]
pub struct SegmentDraft {
    /// The segment that it follows, and the last key of that.
    pub(in crate::store) behind: (i64, RowKey),
    pub(in crate::store) keys: Option<(RowKey, RowKey)>,
    pub(in crate::store) events: usize,
    pub(in crate::store) layout: Option<String>,
    /// Hashes, with the events that have them.
    pub(in crate::store) entries: Vec<(u64, RowKey)>,
}

impl SegmentDraft {
    /// With nothing in it yet.
    pub(in crate::store) fn behind(segment: i64, last_key: RowKey) -> Self {
        Self { behind: (segment, last_key), keys: None, events: 0, layout: None, entries: Vec::new() }
    }

    /// The last key that is in it or before it.
    pub(in crate::store) fn end(&self) -> RowKey {
        self.keys.map_or(self.behind.1, |(_, last)| last)
    }

    /// How many events are in it.
    pub fn events(&self) -> usize {
        self.events
    }

    /// What of it is to be written; `None` where nothing is in it.
    pub fn packed(self) -> Option<Segment> {
        let (first_key, last_key) = self.keys?;
        Some(Segment {
            behind: self.behind,
            first_key,
            last_key,
            events: self.events,
            layout: self.layout.unwrap_or_default(),
            buckets: packing::pack(first_key, self.entries),
        })
    }
}

/// Events that are indexed together, ready to be written.
#[derive(Debug, Clone)]
pub struct Segment {
    pub(in crate::store) behind: (i64, RowKey),
    pub(in crate::store) first_key: RowKey,
    pub(in crate::store) last_key: RowKey,
    pub(in crate::store) events: usize,
    pub(in crate::store) layout: String,
    pub(in crate::store) buckets: BTreeMap<u8, Packed>,
}

impl Segment {
    /// How many events are in it.
    pub fn events(&self) -> usize {
        self.events
    }
}

/// What one slice of dropping old segments did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedSegments {
    /// Segments that went.
    pub segments: usize,
    /// Behind which one to go on; `None` where all were looked at.
    pub next: Option<i64>,
}

/// Bits of an entry's id that say which segment it is of.
const SEGMENT_BITS: u32 = 40;

/// The id of what a segment has in a bucket.
pub(in crate::store) fn entry_id(bucket: u8, segment: i64) -> i64 {
    (i64::from(bucket) << SEGMENT_BITS) | segment
}

/// The segment that an entry is of.
pub(in crate::store) fn segment_of(entry: i64) -> i64 {
    entry & ((1 << SEGMENT_BITS) - 1)
}

/// What cannot be read of an index that we wrote.
pub(in crate::store) fn unreadable(entry: i64) -> StoreError {
    StoreError::Corrupt(format!("entry {entry} of the search index cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_its_segment_and_buckets_are_ranges() {
        for (bucket, segment) in [(0, 1), (7, 1), (255, 1), (255, (1 << 40) - 1)] {
            assert_eq!(segment_of(entry_id(bucket, segment)), segment);
            assert!(entry_id(bucket, segment) >= 0);
        }
        assert!(entry_id(3, (1 << 40) - 1) < entry_id(4, 0));
    }
}
