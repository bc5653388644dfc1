//! When keys were last used: kept in memory, and written down now and then. It is
//! for people who look which keys nobody needs any more, so it may be a little
//! late, and costs a request next to nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::auth::{Authenticator, CACHED_KEYS, Kept, Known};
use crate::domain::{KeyId, Timestamp};
use crate::store::{Journal, JournalError};

/// A use so shortly after another is not noted: threads that serve the same key would
/// hand its cache line to each other all the time.
const APART_MS: i64 = 1_000;
/// Keys that are noted in one transaction: others wait for it.
const AT_ONCE: usize = 100;

/// When a key was last used.
pub(super) struct LastUse {
    at: AtomicI64,
    /// The last use that the store knows of.
    written: AtomicI64,
}

impl LastUse {
    /// Now, of a key of which the store knows this.
    pub(super) fn new(now: Timestamp, written: Option<Timestamp>) -> Self {
        let written = written.map_or(i64::MIN, Timestamp::as_millis);
        Self { at: AtomicI64::new(now.as_millis()), written: AtomicI64::new(written) }
    }

    /// It is used again.
    pub(super) fn note(&self, now: Timestamp) {
        let now = now.as_millis();
        if now >= self.at.load(Ordering::Relaxed).saturating_add(APART_MS) {
            self.at.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn unwritten(&self) -> Option<Timestamp> {
        let at = self.at.load(Ordering::Relaxed);
        (at > self.written.load(Ordering::Relaxed)).then_some(Timestamp::from_millis(at))
    }

    fn is_written(&self, at: Timestamp) {
        self.written.fetch_max(at.as_millis(), Ordering::Relaxed);
    }
}

/// What is to be written of keys that are no longer in memory, for at most as many as
/// may be there.
#[derive(Default)]
pub(super) struct LeftUses(HashMap<KeyId, Timestamp>);

impl LeftUses {
    /// A key was used, and is not kept.
    pub(super) fn leave(&mut self, key: KeyId, at: Timestamp) {
        let has_room = self.0.len() < CACHED_KEYS || self.0.contains_key(&key);
        if has_room {
            let known = self.0.entry(key).or_insert(at);
            *known = at.max(*known);
        }
    }

    fn are_written(&mut self, key: KeyId, at: Timestamp) {
        if self.0.get(&key).is_some_and(|left| *left <= at) {
            self.0.remove(&key);
        }
    }
}

/// A use that the store does not know of.
struct Unwritten {
    key: KeyId,
    at: Timestamp,
    /// Where it is noted, if the key is still in memory.
    known: Option<Arc<Known>>,
}

impl Kept {
    /// Forgets all keys, but not that they were used.
    pub(super) fn forget_keys(&mut self) {
        for known in self.known.values() {
            if let Some(at) = known.last_use.unwritten() {
                self.left.leave(known.record.id, at);
            }
        }
        self.known.clear();
    }

    fn unwritten(&self) -> Vec<Unwritten> {
        let left = self.left.0.iter().map(|(key, at)| Unwritten { key: *key, at: *at, known: None });
        let kept = self.known.values().filter_map(|known| {
            let at = known.last_use.unwritten()?;
            Some(Unwritten { key: known.record.id, at, known: Some(Arc::clone(known)) })
        });
        left.chain(kept).collect()
    }
}

impl Authenticator {
    /// Writes down when keys were last used, where the store does not know it. What is
    /// not written is left for the next time.
    pub async fn write_uses(&self, journal: &Journal) -> Result<(), JournalError> {
        let unwritten = self.kept().unwritten();
        for some in unwritten.chunks(AT_ONCE) {
            let uses: Vec<(KeyId, Timestamp)> = some.iter().map(|unwritten| (unwritten.key, unwritten.at)).collect();
            journal.change(move |transaction| transaction.note_key_uses(&uses)).await?;
            let mut kept = self.kept_to_change();
            for Unwritten { key, at, known } in some {
                match known {
                    Some(known) => known.last_use.is_written(*at),
                    None => kept.left.are_written(*key, *at),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_use_is_to_be_written_until_it_is() {
        let last_use = LastUse::new(at(10), Some(at(9)));
        assert_eq!(last_use.unwritten(), Some(at(10)));
        last_use.note(at(12));
        last_use.is_written(at(10));
        assert_eq!(last_use.unwritten(), Some(at(12)), "what came meanwhile is still to be written");
        last_use.is_written(at(12));
        assert_eq!(last_use.unwritten(), None);
        last_use.note(Timestamp::from_millis(12_999));
        last_use.note(at(3));
        assert_eq!(last_use.unwritten(), None, "hardly later, or earlier");
        assert_eq!(LastUse::new(at(10), None).unwritten(), Some(at(10)));
    }

    #[test]
    fn what_is_left_is_the_latest_and_has_a_bound() {
        let key = |number: usize| KeyId::from_uuid(uuid::Uuid::from_u128(number as u128));
        let mut left = LeftUses::default();
        for (seconds, expected) in [(5, 5), (7, 7), (6, 7)] {
            left.leave(key(0), at(seconds));
            assert_eq!(left.0[&key(0)], at(expected));
        }
        left.are_written(key(0), at(6));
        assert_eq!(left.0.len(), 1, "used again since");
        (1..=CACHED_KEYS).for_each(|number| left.leave(key(number), at(1)));
        assert_eq!(left.0.len(), CACHED_KEYS);
        left.leave(key(0), at(9));
        assert_eq!(left.0[&key(0)], at(9), "what has a place keeps it");
        left.are_written(key(0), at(9));
        assert_eq!(left.0.len(), CACHED_KEYS - 1);
    }
}
