//! Keeps the store tidy in small slices on the journal: deliveries of deleted
//! endpoints are written down as discarded, what is older than retention goes,
//! and so do idempotency keys that no longer hold and what nodes left that are gone;
//! statistics of minutes become part of their hours'. What goes earlier than
//! the rest is in `erasing`. It takes at most a twentieth of the time, so that nobody notices.

use std::time::Duration;

use actix::prelude::*;

use crate::domain::{EventId, Monotonic, Partition, Timestamp};
use crate::engine::Engine;
use crate::engine::erasing::{self, Walks};
use crate::store::JournalError;

/// How long what is finished is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events, their deliveries and attempts.
    pub keep: Duration,
}

/// Rows or events looked at in one slice.
const SLICE: usize = 500;
/// How long statistics tell minutes apart.
pub const MINUTES_KEPT: Duration = Duration::from_secs(48 * 3600);
/// The pause when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// A slice is followed by a pause this many times as long.
const PAUSE_FACTOR: u32 = 20;

/// See the module.
pub struct Janitor {
    engine: Engine,
    retention: Retention,
    /// Where it goes on.
    places: Places,
}

/// Where each walk goes on.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    /// Through old events.
    after: Option<EventId>,
    /// Through what goes earlier.
    walks: Walks,
    /// When the store's size is looked at again.
    measure_at: Option<Monotonic>,
}

impl Janitor {
    /// Starts it on the arbiter that calls.
    pub fn start(engine: Engine, retention: Retention) -> Addr<Self> {
        Self { engine, retention, places: Places::default() }.start()
    }

    fn schedule(&self, pause: Duration, context: &mut Context<Self>) {
        context.run_later(pause, |janitor, context| {
            let work = slice(janitor.engine.clone(), janitor.retention, janitor.places);
            context.spawn(work.into_actor(janitor).map(|done, janitor, context| {
                let pause = match done {
                    Ok(done) => {
                        janitor.places = done.places;
                        done.pause
                    }
                    Err(JournalError::Closed | JournalError::Unknown) => return,
                    Err(error) => {
                        log::warn!("retention waits: {error}");
                        IDLE
                    }
                };
                janitor.schedule(pause, context);
            }));
        });
    }
}

struct Done {
    places: Places,
    pause: Duration,
}

async fn slice(engine: Engine, retention: Retention, places: Places) -> Result<Done, JournalError> {
    let measure_at = erasing::measure(&engine, places.measure_at).await;
    let begun = engine.clock.now();
    // One node is enough, and which one that is does not matter.
    if engine.ownership.lease(Partition::numbered(0)).is_none() {
        return Ok(Done { places: Places { measure_at, ..Places::default() }, pause: IDLE });
    }
    let Places { after, walks, .. } = places;
    let horizon = begun.wall - retention.keep;
    // What goes in parts is left to them until all of a part is old enough.
    let singly = match engine.store.history_part() {
        Some(part) => Timestamp::from_millis(horizon.as_millis().div_euclid(millis(part)) * millis(part)),
        None => horizon,
    };
    let (minutes, writer) = (begun.wall - MINUTES_KEPT, engine.statistics.writer());
    let (rows, next) = engine
        .journal
        .change(move |transaction| {
            transaction.drop_history(singly)?;
            let mut rows = transaction.discard_deleted(SLICE)?;
            rows += transaction.undo_abandoned(SLICE)?;
            rows += transaction.forget_idempotency_keys(SLICE)?;
            // What a replay made goes before the event that it was made of.
            rows += transaction.retire_replays(singly, SLICE)?;
            rows += transaction.roll_up_statistics(minutes, writer, SLICE)?;
            rows += transaction.forget_statistics(horizon, SLICE)?;
            let retired = transaction.retire(singly, after, SLICE)?;
            Ok((rows + retired.rows, retired.next))
        })
        .await?;
    engine.metrics.rows_retired.inc_by(rows as u64);
    let turn = erasing::turn(&engine, retention.keep, walks).await?;
    let took = engine.clock.now().monotonic.since(begun.monotonic);
    let more = rows >= SLICE || next.is_some() || turn.more;
    let pause = if more { took * PAUSE_FACTOR } else { IDLE.max(took * PAUSE_FACTOR) };
    Ok(Done { places: Places { after: next, walks: turn.walks, measure_at }, pause })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.schedule(Duration::ZERO, context);
    }
}
