//! A store that has been in use for as long as it keeps things: deliveries that
//! were all made, spread evenly over the last 30 days. The oldest of them fall due
//! for retention while the benchmark runs, as they would.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, Outcome, Timestamp};
use posthaste::store::{AttemptKind, Record, Verdict};

use crate::audience::Audience;
use crate::directory::Directory;
use crate::event::EVENT_TYPE;
use crate::run::Options;
use crate::seed::{COMMIT, Seed, in_background};
use crate::stores::Copies;

/// Whose deliveries they were.
const AUDIENCE: Audience = Audience { partners: 10, fan_out: 4, counted: 10 };
/// What retention keeps by default.
const DAYS: u64 = 30;
/// Deliveries that the library writes, of which the rest are copies.
const ORIGINALS: usize = 20_000;
const ATTEMPT: Duration = Duration::from_millis(5);

/// Fills the store in this directory.
pub async fn write(directory: &Directory, options: &Options) -> Result<(), Box<dyn Error>> {
    let (store, deliveries) = (options.installation.store, options.sizes.history);
    let needed_bytes = store.delivery_bytes(AUDIENCE.fan_out) * deliveries as u64;
    if let Some(free_bytes) = directory.free_bytes().filter(|free| *free < needed_bytes) {
        return Err(format!(
            "{deliveries} deliveries of history need {:.1} GB in {}, and {:.1} are free: \
             ask for fewer with --history, or for another place with --directory",
            needed_bytes as f64 / 1e9,
            directory.path().display(),
            free_bytes as f64 / 1e9
        )
        .into());
    }
    let originals = ORIGINALS.min(deliveries).next_multiple_of(AUDIENCE.fan_out);
    let blocks = deliveries.div_ceil(originals).max(1);
    let span = Duration::from_secs(DAYS * 24 * 3_600);
    let block = span / blocks as u32;
    let begin = Clock::system().wall() - span;
    eprintln!("  writing {deliveries} deliveries of {DAYS} days");
    in_background(directory, move |directory| {
        let mut seed = Seed::open(store, directory, begin)?;
        seed.partners(AUDIENCE, begin)?;
        seed.endpoints(AUDIENCE, |number| format!("http://127.0.0.1:9/{number}"), EVENT_TYPE, begin)?;
        let subscriptions = seed.subscriptions(AUDIENCE)?;
        let events = originals / AUDIENCE.fan_out;
        let commits = events.div_ceil(COMMIT / AUDIENCE.fan_out);
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
    })
    .await
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
