//! A start with a long queue: a million deliveries that failed once and wait for
//! their retry, spread over ten thousand endpoints. From the moment on at which
//! the server is to be ready, they fall due at an even pace, well below what it
//! can do, at one endpoint after the other, as long as is measured; the others in
//! the hour after. What is asked is how soon the server is ready, how much memory
//! it takes, and how late the retries come.

use std::error::Error;
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, ErrorClass, Outcome, Timestamp};
use posthaste::store::{AttemptKind, Record, Verdict};
use tokio::time::sleep;

use crate::audience::Audience;
use crate::event::EVENT_TYPE;
use crate::ledger::{Ledger, Nanos, nanos};
use crate::measured::{Look, Spread};
use crate::reach::{Finding, Reach, Reaches};
use crate::run::{Options, Stage, drain, look};
use crate::seed::{COMMIT, Seed, in_background};
use crate::server::Server;

const MAX_ENDPOINTS: usize = 10_000;
/// What a start may take: the first retries are due then.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// When the others are due, from when they are written: no earlier than this, ...
const LATER: Duration = Duration::from_secs(600);
/// ... and spread over this long.
const LATER_OVER: Duration = Duration::from_secs(3_600);
/// How long ago the first attempts were.
const AGE: Duration = Duration::from_secs(60);
/// Commits between two lines that say how far it is.
const COMMITS_A_LINE: usize = 40;
/// What is early by less may be so by the rounding of times to milliseconds.
const ROUNDING_NANOS: Nanos = 1_000_000;

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let queued = options.sizes.queued;
    let due = (options.duration.as_secs() as usize * options.sizes.due_per_second).min(queued / 2);
    let audience = Audience::of_partners(queued.min(MAX_ENDPOINTS));
    let stage = Stage::set(options, due, audience)?;
    let begins = fill(&stage, due, options).await?;

    let clock = stage.ledger.clock();
    sleep(begins.since(clock.wall())).await;
    let first_due = begins + READY_WITHIN;
    expect(&stage.ledger, due, |number| first_due + due_after(options.duration, number, due));
    let mut server = Server::start(&options.installation, &stage.directory).await?;
    let store = Some((&options.installation, &stage.directory));
    let ready = look(std::slice::from_ref(&server), store).await?;
    sleep((first_due + options.duration).since(clock.wall())).await;
    drain(&stage.ledger, options.drain).await;
    server.check_alive()?;
    let after = look(std::slice::from_ref(&server), store).await?;

    let ready_after = server.ready_after();
    drop((server, stage.sink));
    let memory = |look: &Look| look.system.and_then(|usage| usage.memory_mb());
    let mut findings = vec![
        Finding::new("start to ready, s", 2, ready_after.as_secs_f64())
            .reaching(Reaches::on_sqlite(Reach::AtMost(READY_WITHIN.as_secs_f64()))),
        Finding::new("memory when ready, MB", 1, memory(&ready)),
        Finding::new("memory at the end, MB", 1, memory(&after)),
        Finding::new("peak memory, MB", 1, after.system.and_then(|usage| usage.peak_memory_mb()))
            .reaching(Reaches::on_sqlite(Reach::AtMost(150.0))),
    ];
    findings.extend(lateness(&stage.ledger));
    let cpu_seconds = after.system.zip(ready.system).and_then(|(after, ready)| after.cpu_seconds_since(&ready));
    findings.push(Finding::new("CPU, s", 2, cpu_seconds));
    findings.push(Finding::new("database's CPU, s", 2, after.store_since(&ready).map(|spent| spent.cpu_seconds)));
    Ok(findings)
}

/// How late what was due came, and what came that was not due.
fn lateness(ledger: &Ledger) -> Vec<Finding> {
    let (mut late, mut early) = (Vec::new(), 0);
    for event in ledger.entries(0) {
        let Some(due) = event.posted() else { continue };
        for received in event.received().flatten() {
            late.push(received.saturating_sub(due));
            early += usize::from(received + ROUNDING_NANOS < due);
        }
    }
    let received = late.len();
    let late = Spread::of(late);
    vec![
        Finding::new("due in the measured time", 0, ledger.events() as f64),
        Finding::new("received of them", 0, received as f64),
        Finding::new("due to sink, p50 ms", 2, late.map(|late| late.p50)),
        Finding::new("due to sink, p99 ms", 2, late.map(|late| late.p99)),
        Finding::new("due to sink, longest ms", 2, late.map(|late| late.max)),
        Finding::new("too early", 0, early as f64).reaching(Reaches::everywhere(Reach::AtMost(0.0))),
        Finding::new("twice", 0, ledger.duplicates() as f64),
        Finding::new("not due, or altered", 0, ledger.strays() as f64)
            .reaching(Reaches::everywhere(Reach::AtMost(0.0))),
    ]
}

/// Enters what is due in the ledger, as if it were posted and accepted then.
fn expect(ledger: &Ledger, due: usize, due_at: impl Fn(usize) -> Timestamp) {
    let now = ledger.clock().now();
    for number in 0..due {
        let at = nanos(now.anchor(due_at(number)).since_start()).max(1);
        ledger.post(number, at);
        ledger.accept(number, at);
    }
}

fn due_after(duration: Duration, number: usize, of: usize) -> Duration {
    duration.mul_f64(number as f64 / of as f64)
}

/// Fills the store and answers when the server is to be started. What is due soon
/// is written last, when it can be said how soon.
async fn fill(stage: &Stage, due: usize, options: &Options) -> Result<Timestamp, Box<dyn Error>> {
    let (queued, duration, store) = (options.sizes.queued, options.duration, options.installation.store);
    let audience = stage.ledger.audience();
    let urls: Vec<String> = (0..audience.endpoints()).map(|number| stage.sink.url(number)).collect();
    let (begins_at, begins) = std::sync::mpsc::channel();
    eprintln!("  queueing {queued} retries");
    in_background(&stage.directory, move |directory| {
        let clock = Clock::system();
        let made_at = clock.wall() - AGE;
        let mut seed = Seed::open(store, directory, made_at)?;
        seed.partners(audience, made_at)?;
        seed.endpoints(audience, |number| urls[number].clone(), EVENT_TYPE, made_at)?;
        let subscriptions = seed.subscriptions(audience)?;
        let started = clock.now();
        let mut written = 0;
        let mut queue = |from: usize, until: usize, due_at: &dyn Fn(usize) -> Timestamp| {
            for first in (from..until).step_by(COMMIT) {
                let sequences = first..(first + COMMIT).min(until);
                let made = seed.accept(&subscriptions, sequences.clone(), made_at)?;
                let records = made.into_iter().zip(sequences);
                let records: Vec<_> = records.map(|(made, number)| failed(made, made_at, due_at(number))).collect();
                seed.record(&records, made_at)?;
                written += records.len();
                if (first / COMMIT).is_multiple_of(COMMITS_A_LINE) {
                    eprintln!("  {written} of {queued} are queued");
                }
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let later = started.wall + LATER + duration;
        let later_count = queued - due;
        queue(due, queued, &|number| later + due_after(LATER_OVER, number - due, later_count.max(1)))?;
        // Twice what it took so far for as many, and a little for closing the store.
        let took = clock.now().monotonic.since(started.monotonic);
        let margin = Duration::from_secs(3) + took.mul_f64(2.0 * due as f64 / later_count.max(due) as f64);
        let begins = clock.wall() + margin;
        queue(0, due, &|number| begins + READY_WITHIN + due_after(duration, number, due))?;
        // The other end waits until this function is through.
        let _ = begins_at.send(begins);
        Ok(())
    })
    .await?;
    Ok(begins.recv()?)
}

fn failed(delivery: DeliveryId, at: Timestamp, due_at: Timestamp) -> Record {
    Record {
        is_ordered: false,
        trouble: None,
        announcements: Vec::new(),
        delivery,
        kind: AttemptKind::Scheduled,
        attempts_before: 0,
        started_at: at,
        finished_at: at,
        duration: Duration::from_millis(1),
        outcome: Outcome::failed(ErrorClass::Connect, "connection refused"),
        verdict: Verdict::RetryAt(due_at),
        fence: None,
    }
}
