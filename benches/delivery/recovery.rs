//! A mass recovery: of many endpoints that are posted to in turn, nine in ten refuse
//! everything until each has an open breaker and a backlog, and then all of them
//! take what comes at once, while events go on being posted. What is asked is
//! whether anybody sees a herd: whether an endpoint that is back ever gets more than
//! its slow start permits, and whether those that were well all the time are served
//! as before. And whether everything comes in the end, and nothing before it is due.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use posthaste::clock::Clock;
use tokio::time::{sleep, timeout};

use crate::audience::Audience;
use crate::event::EVENT_TYPE;
use crate::ledger::{Ledger, Nanos};
use crate::load::{Load, Tally};
use crate::measured::{Look, Spread};
use crate::outage::{Outage, Sightings};
use crate::reach::{Finding, Reach, Reaches};
use crate::run::{Options, Stage, drain, look};
use crate::scenario::Pace;
use crate::seed::{Seed, in_background};
use crate::server::Server;

/// One in so many endpoints is well all the time.
const WELL_ONE_IN: usize = 10;
/// Events for each endpoint in a second: five failures come soon, and a backlog.
const EVENTS_PER_ENDPOINT: usize = 2;
const CONNECTIONS: usize = 64;
/// Warmed up no shorter than this.
const WARM_UP_AT_LEAST: Duration = Duration::from_secs(3);
/// The outage, and the time after it in which events are still posted, in times of
/// what is measured before.
const TIMES: u32 = 3;
/// No shorter than this, or the breakers of those that are posted to last stay closed.
const OUTAGE_AT_LEAST: Duration = Duration::from_secs(10);
const BREAKERS_OPEN: &str = "posthaste_breakers_open";
/// What the last breakers may take to open when nothing is posted any more.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const SECOND: Nanos = 1_000_000_000;

/// A phase of the load: the events that were posted in it.
struct Phase {
    events: std::ops::Range<usize>,
    began: Nanos,
    ended: Nanos,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let audience = Audience::of_partners(options.sizes.recovering);
    let well = (audience.partners / WELL_ONE_IN).max(1);
    let troubled = audience.partners - well;
    let events_per_second = (EVENTS_PER_ENDPOINT * audience.partners) as u32;
    let before = options.duration;
    let (outage_for, recovery_for) = ((before * TIMES).max(OUTAGE_AT_LEAST), before * TIMES);
    let warm_up = options.warm_up.max(WARM_UP_AT_LEAST);
    let seconds = (warm_up + before + outage_for + recovery_for).as_secs() as usize + 1;
    let events = seconds * events_per_second as usize;
    let outage = Arc::new(Outage::new(Clock::system(), well, audience.partners, events));
    let stage = Stage::set_with(options, events, audience, Some(Arc::clone(&outage)))?;
    register(&stage, options).await?;

    let mut server = Server::start(&options.installation, &stage.directory).await?;
    let load = Load {
        addresses: vec![server.address()],
        authorization: Server::authorization(),
        connections: options.connections.unwrap_or(CONNECTIONS),
        events_per_call: 1,
        pace: Pace::Open { events_per_second },
        duration: Duration::ZERO,
        first: 0,
        ledger: Arc::clone(&stage.ledger),
    };
    let mut refused = 0;
    let (warmed_up, _) = post(&load, warm_up, 0).await?;
    let store = Some((&options.installation, &stage.directory));
    let at_first = look(std::slice::from_ref(&server), store).await?;
    let (steady, tally) = post(&load, before, warmed_up.events.end).await?;
    refused += answers_of(&tally);
    eprintln!("  {troubled} of {} endpoints refuse", audience.partners);
    outage.set(true);
    let (out, tally) = post(&load, outage_for, steady.events.end).await?;
    refused += answers_of(&tally);
    let open = until_open(&server, troubled).await?;
    let backlog = stage.ledger.missing();
    eprintln!("  {open} breakers are open, {backlog} deliveries wait; all take what comes again");
    outage.set(false);
    let back_at = stage.ledger.now();
    let (back, tally) = post(&load, recovery_for, out.events.end).await?;
    refused += answers_of(&tally);
    drain(&stage.ledger, options.drain).await;
    server.check_alive()?;
    let at_last = look(std::slice::from_ref(&server), store).await?;
    drop((server, stage.sink));

    let ledger = &stage.ledger;
    let seen = outage.sightings();
    let mut findings = vec![
        Finding::new("endpoints that refused", 0, troubled as f64),
        Finding::new("breakers open when all were back", 0, open as f64)
            .reaching(Reaches::everywhere(Reach::AtLeast(troubled as f64))),
        Finding::new("backlog then, deliveries", 0, backlog as f64),
        Finding::new("endpoints that took something again", 0, seen.back as f64)
            .reaching(Reaches::everywhere(Reach::AtLeast(troubled as f64))),
        Finding::new("beyond slow start, requests at once", 0, seen.excess as f64)
            .reaching(Reaches::everywhere(Reach::AtMost(0.0))),
        Finding::new("ahead of slow start, ms", 2, seen.ahead_ms).reaching(Reaches::everywhere(Reach::AtMost(1.0))),
        Finding::new("requests by the end of each 50 ms, of what slow start permits", 3, seen.share)
            .reaching(Reaches::everywhere(Reach::AtMost(1.0))),
        Finding::new("most requests at once to one endpoint", 0, seen.most_in_flight as f64),
        Finding::new("most requests to one endpoint in a second", 0, seen.most_in_second as f64),
    ];
    findings.extend(herd(&seen, &steady, back_at));
    findings.push(Finding::new("backlog gone after, s", 1, gone_after(ledger, out.events.end, back_at)));
    findings.extend(latencies(ledger, well, [&steady, &out, &back]));
    findings.extend([
        Finding::new("lost", 0, ledger.missing() as f64).reaching(Reaches::everywhere(Reach::AtMost(0.0))),
        Finding::new("too early", 0, seen.early as f64).reaching(Reaches::everywhere(Reach::AtMost(0.0))),
        Finding::new("twice", 0, ledger.duplicates() as f64),
        Finding::new("never posted, or altered", 0, ledger.strays() as f64)
            .reaching(Reaches::everywhere(Reach::AtMost(0.0))),
        Finding::new("posts that were not accepted", 0, refused as f64),
        Finding::new("peak memory, MB", 1, at_last.system.and_then(|usage| usage.peak_memory_mb())),
        Finding::new("CPU, s", 2, at_last.system.and_then(|usage| usage.cpu_seconds)),
        Finding::new("others' CPU, s", 2, others(&at_first, &at_last)),
    ]);
    Ok(findings)
}

async fn register(stage: &Stage, options: &Options) -> Result<(), Box<dyn Error>> {
    let (store, audience) = (options.installation.store, stage.ledger.audience());
    let urls: Vec<String> = (0..audience.endpoints()).map(|number| stage.sink.url(number)).collect();
    in_background(&stage.directory, move |directory| {
        let now = Clock::system().wall();
        let mut seed = Seed::open(store, directory, now)?;
        seed.partners(audience, now)?;
        Ok(seed.endpoints(audience, |number| urls[number].clone(), EVENT_TYPE, now)?)
    })
    .await
}

async fn post(load: &Load, duration: Duration, first: usize) -> Result<(Phase, Tally), Box<dyn Error>> {
    let began = load.ledger.now();
    let tally = Load { duration, first, ..load.clone() }.run().await?;
    Ok((Phase { events: first..tally.next, began, ended: load.ledger.now() }, tally))
}

/// Posts that were answered with a no, or not at all.
fn answers_of(tally: &Tally) -> u64 {
    tally.failed + tally.refused.values().sum::<u64>()
}

/// Waits until all of them have an open breaker, and answers how many do.
async fn until_open(server: &Server, troubled: usize) -> Result<u64, Box<dyn Error>> {
    let waiting = async {
        while server.counter(BREAKERS_OPEN).await? < troubled as u64 {
            sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    if let Ok(failed) = timeout(OPEN_WITHIN, waiting).await {
        failed?;
    }
    Ok(server.counter(BREAKERS_OPEN).await?)
}

/// What all endpoints get in the busiest second after, beside the average before.
fn herd(seen: &Sightings, steady: &Phase, back_at: Nanos) -> Vec<Finding> {
    // Whole seconds of the sink's.
    let (from, until) = (steady.began.div_ceil(SECOND) as usize, (steady.ended / SECOND) as usize);
    let within = seen.requests.get(from..until).unwrap_or_default();
    let average = within.iter().sum::<u64>() as f64 / within.len().max(1) as f64;
    let after = seen.requests.get((back_at / SECOND) as usize..).unwrap_or_default();
    let peak = after.iter().max().copied().unwrap_or(0) as f64;
    vec![
        Finding::new("requests/s to all before", 0, average),
        Finding::new("requests/s to all, busiest second after", 0, peak),
        Finding::new("the same in times of before", 2, Some(peak / average).filter(|times| times.is_finite())),
    ]
}

/// How long after all were back the last of what waited then was received.
fn gone_after(ledger: &Ledger, until: usize, back_at: Nanos) -> Option<f64> {
    let waited = ledger.entries(0).take_while(|event| event.sequence() < until);
    let last = waited.flat_map(|event| event.received().flatten().max()).max()?;
    Some(Duration::from_nanos(last.saturating_sub(back_at)).as_secs_f64())
}

/// How soon those that were well all the time got what was posted in a phase.
struct Latencies {
    post_to_sink: Option<Spread>,
    post_to_accept: Option<Spread>,
    accept_to_sink: Option<Spread>,
}

impl Latencies {
    fn of(ledger: &Ledger, well: usize, phase: &Phase) -> Self {
        let (mut all, mut accepting, mut delivering) = (Vec::new(), Vec::new(), Vec::new());
        let events = ledger.entries(phase.events.start).take_while(|event| event.sequence() < phase.events.end);
        for event in events.filter(|event| ledger.audience().partner_of(event.sequence()) < well) {
            let received = event.received().flatten().max();
            let (Some(posted), Some(accepted), Some(received)) = (event.posted(), event.accepted(), received) else {
                continue;
            };
            all.push(received.saturating_sub(posted));
            accepting.push(accepted.saturating_sub(posted));
            delivering.push(received.saturating_sub(accepted));
        }
        Self {
            post_to_sink: Spread::of(all),
            post_to_accept: Spread::of(accepting),
            accept_to_sink: Spread::of(delivering),
        }
    }
}

/// The same in each phase, beside the first.
fn latencies(ledger: &Ledger, well: usize, phases: [&Phase; 3]) -> Vec<Finding> {
    let [before, during, after] = phases.map(|phase| Latencies::of(ledger, well, phase));
    let p99 = |of: Option<Spread>| of.map(|spread| spread.p99);
    let times = |of: &Latencies| Some(of.post_to_sink?.p99 / before.post_to_sink?.p99).filter(|it| it.is_finite());
    let no_more_than_twice = Reaches::everywhere(Reach::AtMost(2.0));
    vec![
        Finding::new("the well: post to sink before, p99 ms", 2, p99(before.post_to_sink)),
        Finding::new("the well: post to sink in the outage, p99 ms", 2, p99(during.post_to_sink)),
        Finding::new("the same in times of before", 2, times(&during)).reaching(no_more_than_twice),
        Finding::new("the well: post to sink in the recovery, p99 ms", 2, p99(after.post_to_sink)),
        Finding::new("the same in times of before", 2, times(&after)).reaching(no_more_than_twice),
        Finding::new("of that, post to 202, p99 ms", 2, p99(after.post_to_accept)),
        Finding::new("of that, 202 to sink, p99 ms", 2, p99(after.accept_to_sink)),
        Finding::new("the well: post to 202 in the outage, p99 ms", 2, p99(during.post_to_accept)),
        Finding::new("the well: 202 to sink in the outage, p99 ms", 2, p99(during.accept_to_sink)),
    ]
}

/// What everybody else took of the machine: the figures are as good as this is low.
fn others(before: &Look, after: &Look) -> Option<f64> {
    let system = after.system?.cpu_seconds_since(&before.system?)?;
    let harness = after.harness.cpu_seconds_since(&before.harness)?;
    let store = after.store_since(before).map_or(0.0, |spent| spent.cpu_seconds);
    Some((after.machine.busy_seconds_since(&before.machine)? - system - harness - store).max(0.0))
}
