//! A store that has been in use for as long as it keeps things: deliveries that were
//! all made, spread evenly over a time. The first of them the library writes itself; the
//! rest are copies that the database makes of those.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{DeliveryId, Outcome, Timestamp};
use posthaste::store::{AttemptKind, Record, Verdict};

use crate::audience::Audience;
use crate::directory::Directory;
use crate::event::EVENT_TYPE;
use crate::seed::{COMMIT, Seed};
use crate::stores::{Backend, Copies};

/// Deliveries that the library writes.
const ORIGINALS: usize = 20_000;
const ATTEMPT: Duration = Duration::from_millis(5);

/// What is to be in it.
#[derive(Debug, Clone, Copy)]
pub struct BigStore {
    /// Whose deliveries.
    pub audience: Audience,
    /// How many, more or less.
    pub deliveries: usize,
    /// When the first was accepted.
    pub begin: Timestamp,
    /// And the last so long after.
    pub span: Duration,
}

impl BigStore {
    /// Refuses where there is no room; `option` is what asks for less.
    pub fn fits(&self, store: &dyn Backend, directory: &Directory, option: &str) -> Result<(), String> {
        let needed_bytes = store.delivery_bytes(self.audience.fan_out) * self.deliveries as u64;
        let Some(free_bytes) = directory.free_bytes().filter(|free| *free < needed_bytes) else { return Ok(()) };
        Err(format!(
            "{} deliveries need {:.1} GB in {}, and {:.1} are free: \
             ask for fewer with {option}, or for another place with --directory",
            self.deliveries,
            needed_bytes as f64 / 1e9,
            directory.path().display(),
            free_bytes as f64 / 1e9
        ))
    }

    /// Fills the store in this directory, which is closed afterwards.
    pub fn fill(self, store: &dyn Backend, directory: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { audience, deliveries, begin, span } = self;
        let originals = ORIGINALS.min(deliveries).next_multiple_of(audience.fan_out);
        let blocks = deliveries.div_ceil(originals).max(1);
        let block = span / blocks as u32;
        let mut seed = Seed::open(store, directory, begin)?;
        seed.partners(audience, begin)?;
        seed.endpoints(audience, |number| format!("http://127.0.0.1:9/{number}"), EVENT_TYPE, begin)?;
        let subscriptions = seed.subscriptions(audience)?;
        let events = originals / audience.fan_out;
        let commits = events.div_ceil(COMMIT / audience.fan_out);
        for commit in 0..commits {
            let at = begin + block * commit as u32 / commits as u32;
            let sequences = commit * events / commits..(commit + 1) * events / commits;
            let made = seed.accept(&subscriptions, sequences, at)?;
            let records: Vec<Record> = made.into_iter().map(|delivery| delivered(delivery, at)).collect();
            seed.record(&records, at + ATTEMPT)?;
        }
        drop(seed);
        let later_ms = i64::try_from(block.as_millis()).expect("30 days are few enough milliseconds");
        Ok(store.repeat_events(directory, Copies { count: blocks - 1, later_ms })?)
    }
}

fn delivered(delivery: DeliveryId, at: Timestamp) -> Record {
    Record {
        is_ordered: false,
        trouble: None,
        announcements: Vec::new(),
        delivery,
        kind: AttemptKind::Scheduled,
        attempts_before: 0,
        started_at: at,
        finished_at: at + ATTEMPT,
        duration: ATTEMPT,
        outcome: Outcome::answered(204, Bytes::new()),
        verdict: Verdict::Delivered,
        fence: None,
    }
}
