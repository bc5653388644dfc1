//! What the database spends on each sort of work, one sort at a time, in sets as
//! large as commits are under load: the figures that a simulation of large
//! installations reckons with. The store is filled by the library, without a node,
//! and nothing else is on its server.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, ErrorClass, Outcome, Timestamp};
use posthaste::store::{AttemptKind, Record, Subscriptions, Verdict};

use crate::audience::Audience;
use crate::event::EVENT_TYPE;
use crate::reach::Finding;
use crate::run::{Options, Stage};
use crate::seed::{Seed, in_background};
use crate::stores::Backend;
use crate::usage::StoreUsage;

/// Deliveries that each sort of work is done for.
const DELIVERIES: usize = 50_000;
/// Deliveries in a commit.
const SET: usize = 100;
/// Deliveries of one event, where what an event costs is to vanish.
const FAN_OUT: usize = 100;
const ATTEMPT: Duration = Duration::from_millis(5);
/// When what failed is tried again: not while this runs.
const RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let (alone, many) = (Audience::of_default_partner(1), Audience::of_default_partner(FAN_OUT));
    let one = work(options, alone).await?;
    let fanned_out = work(options, many).await?;
    let mut findings = Vec::new();
    for (names, decimals, read) in UNITS {
        // An event costs e, its delivery b: e + b is what one to one took for each
        // delivery, and e / FAN_OUT + b what the other took.
        let (both, mostly_birth) = (read(&one.birth), read(&fanned_out.birth));
        let birth = (FAN_OUT as f64 * mostly_birth - both) / (FAN_OUT - 1) as f64;
        let [event_name, birth_name, end_name, retry_name, again_name] = names;
        findings.push(Finding::new(event_name, decimals, both - birth));
        findings.push(Finding::new(birth_name, decimals, birth));
        findings.push(Finding::new(end_name, decimals, read(&one.end)));
        findings.push(Finding::new(retry_name, decimals, read(&one.first_retry)));
        findings.push(Finding::new(again_name, decimals, read(&one.later_retry)));
    }
    findings.extend([
        Finding::new("event on disk, bytes", 0, one.event_bytes),
        Finding::new("finished delivery on disk, bytes", 0, one.finished_bytes),
        Finding::new("attempt on disk, bytes", 0, one.attempt_bytes),
        Finding::new("pending row on disk, bytes", 0, one.pending_bytes),
        Finding::new("vacuum, dead rows/s", 0, one.vacuumed_per_second),
        Finding::new("deliveries/s, whole life, one connection", 0, one.lives_per_second),
    ]);
    Ok(findings)
}

type Read = fn(&StoreUsage) -> f64;
const UNITS: [([&str; 5], usize, Read); 2] = [
    (
        ["event, us of CPU", "birth, us of CPU", "end, us of CPU", "first retry, us of CPU", "later retry, us of CPU"],
        1,
        |it| 1e6 * it.cpu_seconds,
    ),
    (
        ["event, WAL bytes", "birth, WAL bytes", "end, WAL bytes", "first retry, WAL bytes", "later retry, WAL bytes"],
        0,
        |it| it.wal_bytes,
    ),
];

/// Of one delivery each, but for the last two.
struct Costs {
    birth: StoreUsage,
    end: StoreUsage,
    first_retry: StoreUsage,
    later_retry: StoreUsage,
    event_bytes: f64,
    finished_bytes: f64,
    attempt_bytes: f64,
    pending_bytes: f64,
    vacuumed_per_second: f64,
    lives_per_second: f64,
}

async fn work(options: &Options, audience: Audience) -> Result<Costs, Box<dyn Error>> {
    let stage = Stage::set(options, 0, audience)?;
    let store = options.installation.store;
    let (answer, costs) = std::sync::mpsc::channel();
    in_background(&stage.directory, move |directory| {
        // The other end waits until this function is through.
        let _ = answer.send(all_work(store, directory, audience)?);
        Ok(())
    })
    .await?;
    Ok(costs.recv()?)
}

fn all_work(store: &dyn Backend, directory: &Path, audience: Audience) -> Result<Costs, Failure> {
    let clock = Clock::system();
    let mut seed = Seed::open(store, directory, clock.wall())?;
    seed.endpoints(audience, |number| format!("http://127.0.0.1:9/{number}"), EVENT_TYPE, clock.wall())?;
    let subscriptions = seed.subscriptions(audience)?;
    // What is prepared, cached and made by the first commits is no part of it.
    let warm_up = accept_all(&mut seed, &subscriptions, audience, 10 * SET, &clock)?;
    record_all(&mut seed, &warm_up, 0, None, &clock)?;

    let bytes = |table| {
        let bytes = store.table_bytes(directory, table)?;
        bytes.map(|bytes| bytes as f64).ok_or(Failure::from("the store does not say how large its tables are"))
    };
    let usage = || store.usage(directory).ok_or(Failure::from("what the store's server does cannot be seen"));
    let tables = ["events", "finished", "attempts", "pending"];
    let sizes = || tables.into_iter().map(bytes).collect::<Result<Vec<f64>, Failure>>();
    let (sizes_before, before, started) = (sizes()?, usage()?, clock.now().monotonic);
    let born = accept_all(&mut seed, &subscriptions, audience, DELIVERIES, &clock)?;
    let birth = usage()?.since(&before);
    let pending_bytes = bytes("pending")? - sizes_before[3];
    let before = usage()?;
    record_all(&mut seed, &born, 0, None, &clock)?;
    let end = usage()?.since(&before);
    let lives_seconds = clock.now().monotonic.since(started).as_secs_f64();
    let grown: Vec<f64> = sizes()?.iter().zip(&sizes_before).map(|(now, then)| now - then).collect();
    let started = clock.now().monotonic;
    store.vacuum(directory, "pending")?;
    let vacuum_seconds = clock.now().monotonic.since(started).as_secs_f64();

    let born = accept_all(&mut seed, &subscriptions, audience, DELIVERIES, &clock)?;
    let mut retries = Vec::new();
    for attempts_before in 0..2 {
        let before = usage()?;
        record_all(&mut seed, &born, attempts_before, Some(RETRY_AFTER), &clock)?;
        retries.push(usage()?.since(&before));
    }
    let deliveries = DELIVERIES as f64;
    let each = |usage: StoreUsage| StoreUsage {
        cpu_seconds: usage.cpu_seconds / deliveries,
        wal_bytes: usage.wal_bytes / deliveries,
        transactions: usage.transactions / deliveries,
        rows: usage.rows / deliveries,
    };
    Ok(Costs {
        birth: each(birth),
        end: each(end),
        first_retry: each(retries[0]),
        later_retry: each(retries[1]),
        event_bytes: grown[0] * audience.fan_out as f64 / deliveries,
        finished_bytes: grown[1] / deliveries,
        attempt_bytes: grown[2] / deliveries,
        pending_bytes: pending_bytes / deliveries,
        vacuumed_per_second: deliveries / vacuum_seconds,
        lives_per_second: deliveries / lives_seconds,
    })
}

type Failure = Box<dyn Error + Send + Sync>;

fn accept_all(
    seed: &mut Seed,
    subscriptions: &[Arc<Subscriptions>],
    audience: Audience,
    deliveries: usize,
    clock: &Clock,
) -> Result<Vec<DeliveryId>, Failure> {
    let (events, events_of_set) = (deliveries / audience.fan_out, (SET / audience.fan_out).max(1));
    let mut born = Vec::new();
    for first in (0..events).step_by(events_of_set) {
        let until = (first + events_of_set).min(events);
        born.extend(seed.accept(subscriptions, first..until, clock.wall())?);
    }
    Ok(born)
}

/// Writes an attempt of each: a success, or a failure that is tried again later.
fn record_all(
    seed: &mut Seed,
    deliveries: &[DeliveryId],
    attempts_before: u32,
    retry_after: Option<Duration>,
    clock: &Clock,
) -> Result<(), Failure> {
    for set in deliveries.chunks(SET) {
        let now = clock.wall();
        let record = |delivery: &DeliveryId| attempt(*delivery, attempts_before, retry_after, now);
        seed.record(&set.iter().map(record).collect::<Vec<_>>(), now)?;
    }
    Ok(())
}

fn attempt(delivery: DeliveryId, attempts_before: u32, retry_after: Option<Duration>, now: Timestamp) -> Record {
    let (outcome, verdict) = match retry_after {
        None => (Outcome::answered(204, Bytes::new()), Verdict::Delivered),
        Some(wait) => (Outcome::failed(ErrorClass::Connect, "connection refused"), Verdict::RetryAt(now + wait)),
    };
    Record {
        is_ordered: false,
        trouble: None,
        announcements: Vec::new(),
        delivery,
        kind: AttemptKind::Scheduled,
        attempts_before,
        started_at: now,
        finished_at: now + ATTEMPT,
        duration: ATTEMPT,
        outcome,
        verdict,
        fence: None,
    }
}
