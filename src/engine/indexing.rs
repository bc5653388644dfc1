//! Keeps the search index: reads what was accepted lately in slices, on the store's own
//! threads, makes segments of it, and writes each with one small commit. It is one node's
//! work, and takes at most a twentieth of the time. Where it is behind, whoever searches
//! looks through what it has not come to.

use std::time::Duration;

use actix::prelude::*;

use crate::domain::Partition;
use crate::engine::Engine;
use crate::store::{JournalError, SEGMENT_EVENTS, Segment, SegmentDraft, StoreError, blocking};

/// Events read in one slice.
const SLICE: usize = 256;
/// Segments looked at in one slice, whether anything of them is left.
const OLD_SEGMENTS: usize = 16;
/// Old segments are looked at when there was so often nothing to do.
const IDLE_LOOKS: u32 = 12;
/// The pause when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// A slice is followed by a pause this many times as long.
const PAUSE_FACTOR: u32 = 20;

/// How much it makes at once.
#[derive(Debug, Clone, Copy)]
pub struct Indexing {
    /// Events of a segment.
    pub segment_events: usize,
    /// The pause when there is nothing to do.
    pub idle: Duration,
}

impl Default for Indexing {
    fn default() -> Self {
        Self { segment_events: SEGMENT_EVENTS, idle: IDLE }
    }
}

/// See the module.
pub struct Indexer {
    engine: Engine,
    indexing: Indexing,
    progress: Progress,
}

/// Where it goes on.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The segment in the making.
    draft: Option<SegmentDraft>,
    /// The last old segment that was looked at.
    after: Option<i64>,
    /// How often in a row there was nothing to do.
    idle: u32,
}

/// Why a slice came to nothing.
#[derive(Debug, thiserror::Error)]
enum IndexingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Indexer {
    /// Starts it on the arbiter that calls.
    pub fn start(engine: Engine, indexing: Indexing) -> Addr<Self> {
        Self { engine, indexing, progress: Progress::default() }.start()
    }

    fn schedule(&self, pause: Duration, context: &mut Context<Self>) {
        context.run_later(pause, |indexer, context| {
            let work = slice(indexer.engine.clone(), indexer.indexing, std::mem::take(&mut indexer.progress));
            context.spawn(work.into_actor(indexer).map(|done, indexer, context| {
                let pause = match done {
                    Ok((progress, pause)) => {
                        indexer.progress = progress;
                        pause
                    }
                    Err(IndexingError::Journal(JournalError::Closed | JournalError::Unknown)) => return,
                    Err(error) => {
                        // What was read of a segment is read again.
                        log::warn!("the search index waits: {error}");
                        indexer.indexing.idle
                    }
                };
                indexer.schedule(pause, context);
            }));
        });
    }
}

async fn slice(engine: Engine, indexing: Indexing, progress: Progress) -> Result<(Progress, Duration), IndexingError> {
    let begun = engine.clock.now();
    // One node is enough, and which one that is does not matter.
    if engine.ownership.lease(Partition::numbered(0)).is_none() {
        return Ok((Progress::default(), indexing.idle));
    }
    let Progress { draft, mut after, idle } = progress;
    let now = begun.wall;
    let (draft, has_all) = blocking(&engine.store, move |store| {
        let draft = match draft {
            Some(draft) => draft,
            None => store.begin_segment()?,
        };
        let before = draft.events();
        let room = indexing.segment_events.saturating_sub(before).min(SLICE);
        let draft = store.extend_segment(draft, now, room)?;
        let has_all = draft.events() < before + room;
        Ok((draft, has_all))
    })
    .await?;
    let pause = |idle: Duration| {
        let took = engine.clock.now().monotonic.since(begun.monotonic);
        idle.max(took * PAUSE_FACTOR)
    };
    if draft.events() < indexing.segment_events && !has_all {
        return Ok((Progress { draft: Some(draft), after, idle: 0 }, pause(Duration::ZERO)));
    }
    let idle = if has_all { idle + 1 } else { 0 };
    let is_full = draft.events() >= indexing.segment_events;
    if !is_full && !idle.is_multiple_of(IDLE_LOOKS) {
        return Ok((Progress { draft: Some(draft), after, idle }, pause(indexing.idle)));
    }
    let (draft, segment) =
        blocking(&engine.store, move |_| Ok(if is_full { (None, draft.packed()) } else { (Some(draft), None) }))
            .await?;
    let looked_from = after;
    let (indexed, dropped) = engine
        .journal
        .change(move |transaction| {
            let is_added = match &segment {
                Some(segment) => transaction.add_segment(segment)?,
                None => false,
            };
            let indexed = segment.as_ref().filter(|_| is_added).map_or(0, Segment::events);
            Ok((indexed, transaction.drop_segments(looked_from, OLD_SEGMENTS)?))
        })
        .await?;
    after = dropped.next;
    engine.metrics.events_indexed.inc_by(indexed as u64);
    let rest = if is_full { Duration::ZERO } else { indexing.idle };
    Ok((Progress { draft, after, idle }, pause(rest)))
}

impl Actor for Indexer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.schedule(Duration::ZERO, context);
    }
}
