//! The janitor's other half: what goes before the whole of its event does, and everything
//! of partners that are being erased. Each is a slice of its own on the journal, so
//! that whoever writes waits for one at most.

use std::time::Duration;

use crate::domain::{ErasedBy, Monotonic};
use crate::engine::Engine;
use crate::store::{self, JournalError, RetentionPlace, Slice};

/// What one slice takes on: about as long as a full batch of the journal's others.
const SLICE: Slice = Slice { rows: 500, bytes: 4 * 1024 * 1024 };
/// Settings are in days: nobody waits for the next round through everything that has some.
const ROUND_EVERY: Duration = Duration::from_secs(60);
/// How often the store's size is looked at.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 24 * 3600;

/// How far each walk has come. Whoever begins anew finds the rest in the store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walks {
    unretained: Option<i64>,
    enforcing: Option<RetentionPlace>,
    next_round: Option<Monotonic>,
}

/// What one turn came to.
pub(super) struct Turn {
    pub(super) walks: Walks,
    /// Whether there is more to do at once.
    pub(super) more: bool,
}

/// A slice of each.
pub(super) async fn turn(engine: &Engine, keep: Duration, walks: Walks) -> Result<Turn, JournalError> {
    let (mut walks, mut more) = (walks, false);
    let after = walks.unretained;
    let unretained = engine.journal.change(move |transaction| transaction.erase_unretained(after, SLICE)).await?;
    engine.metrics.count_erased(ErasedBy::RetainNone.as_str(), unretained.payloads);
    walks.unretained = unretained.next;
    more |= unretained.next.is_some();

    if walks.next_round.is_none_or(|time| engine.clock.now().monotonic >= time) {
        let days = u32::try_from(keep.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX);
        let place = walks.enforcing;
        let enforced = engine.journal.change(move |transaction| transaction.enforce_retention(days, place, SLICE));
        let enforced = enforced.await?;
        engine.metrics.count_erased(ErasedBy::Retention.as_str(), enforced.payloads);
        engine.metrics.rows_retired.inc_by(enforced.rows as u64);
        walks.enforcing = enforced.next;
        walks.next_round = enforced.next.is_none().then(|| engine.clock.now().monotonic + ROUND_EVERY);
        more |= enforced.next.is_some();
    }

    let erased = engine.journal.change(move |transaction| transaction.erase_partners(SLICE)).await?;
    engine.metrics.rows_retired.inc_by(erased.rows as u64);
    for partner in &erased.gone {
        log::info!("partner {partner} is erased: nothing of it is left but the audit log");
    }
    more |= erased.more;
    Ok(Turn { walks, more })
}

/// Looks at the store's size, if that was not done lately. Answers when to look again.
pub(super) async fn measure(engine: &Engine, not_before: Option<Monotonic>) -> Option<Monotonic> {
    let now = engine.clock.now().monotonic;
    if not_before.is_some_and(|time| now < time) {
        return not_before;
    }
    match store::blocking(&engine.store, |store| store.usage()).await {
        Ok(usage) => {
            let oldest = usage.oldest_event.map(|time| time.as_millis());
            engine.metrics.show_store(usage.database_bytes, usage.log_bytes, usage.free_bytes, oldest);
            engine.metrics.show_disk(usage.disk_free_bytes);
        }
        Err(error) => log::debug!("the store's size is not known: {error}"),
    }
    Some(now + MEASURE_EVERY)
}
