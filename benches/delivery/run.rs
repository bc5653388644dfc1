//! One measurement: a fresh sink, a fresh store, a system, a warm-up, the load,
//! and a wait for the last of what was accepted.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use posthaste::clock::Clock;
use tokio::time::{sleep, timeout};

use crate::Arguments;
use crate::audience::Audience;
use crate::client::Client;
use crate::directory::Directory;
use crate::driver::Driver;
use crate::event::MAX_EVENTS;
use crate::journal::Callers;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::measured::{Look, Measured, Subject};
use crate::outage::Outage;
use crate::scenario::{Pace, Shape};
use crate::server::{Installation, Server, ServerError, System};
use crate::sink::Sink;
use crate::stores::BackendName;
use crate::usage::{Machine, Usage};

/// Room in the ledger for each second of load: more than any system here does.
const MAX_DELIVERIES_PER_SECOND: usize = 100_000;
const ATTEMPTS: &str = "posthaste_attempts_total";
const COMMITS: &str = "posthaste_journal_commit_seconds_count";
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What is the same for all scenarios.
pub struct Options {
    pub duration: Duration,
    pub warm_up: Duration,
    pub drain: Duration,
    pub connections: Option<usize>,
    pub installation: Installation,
    pub sizes: Sizes,
    pub backend: BackendName,
}

/// How much of what a scenario is about; each is an option.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Sizes {
    pub queued: usize,
    pub due_per_second: usize,
    pub registered: usize,
    pub history: usize,
    pub serving: usize,
    pub dead: usize,
    pub recovering: usize,
    pub rows: usize,
    pub shown: usize,
}

/// What one measurement takes place on.
pub struct Stage {
    pub ledger: Arc<Ledger>,
    pub sink: Sink,
    pub directory: Directory,
}

impl Options {
    pub fn new(arguments: &Arguments) -> Self {
        let seconds = |count: u32| Duration::from_secs(count.into());
        Self {
            duration: seconds(arguments.seconds),
            warm_up: seconds(arguments.warm_up_seconds),
            drain: seconds(arguments.drain_seconds),
            connections: arguments.connections.map(|count| count as usize),
            installation: Installation {
                program: arguments.program.clone(),
                store: arguments.store.backend(),
                parent: arguments.directory.clone(),
            },
            sizes: arguments.sizes(),
            backend: arguments.store,
        }
    }

    /// How long a load is warmed up and measured for.
    fn durations(&self, shape: &Shape) -> (Duration, Duration) {
        (self.warm_up.max(shape.warm_up_at_least), self.duration.max(shape.at_least))
    }

    /// Events that a load can come to, or a little more than it will.
    fn events(&self, shape: &Shape) -> usize {
        let (warm_up, duration) = self.durations(shape);
        let seconds = (warm_up + duration).as_secs() as usize;
        let events = match shape.pace {
            Pace::Closed => seconds * MAX_DELIVERIES_PER_SECOND / shape.endpoints,
            Pace::Open { events_per_second } => seconds * events_per_second as usize,
        };
        events.next_multiple_of(shape.events_per_call).min(MAX_EVENTS)
    }
}

impl Stage {
    /// A sink and an empty directory, with room for so many events.
    pub fn set(options: &Options, events: usize, audience: Audience) -> std::io::Result<Self> {
        Self::set_with(options, events, audience, None)
    }

    /// The same with subscribers that can be out.
    pub fn set_with(
        options: &Options,
        events: usize,
        audience: Audience,
        outage: Option<Arc<Outage>>,
    ) -> std::io::Result<Self> {
        let clock = outage.as_ref().map_or_else(Clock::system, |outage| outage.clock().clone());
        let ledger = Arc::new(Ledger::new(clock, events, audience));
        let sink = Sink::start(Arc::clone(&ledger), outage)?;
        Ok(Self { ledger, sink, directory: Directory::create(&options.installation.parent)? })
    }

    /// The same, with room for what this load can come to.
    pub fn for_load(options: &Options, shape: &Shape, audience: Audience) -> std::io::Result<Self> {
        Self::set(options, options.events(shape), audience)
    }
}

/// Measures what one system does with a load.
pub async fn measure(
    scenario: &'static str,
    shape: &Shape,
    system: System,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let stage = Stage::for_load(options, shape, Audience::of_default_partner(shape.endpoints))?;
    let subject = Subject { scenario, system, case: None };
    let urls = (0..shape.endpoints).map(|endpoint| stage.sink.url(endpoint));
    let (ledger, connections) = (Arc::clone(&stage.ledger), options.connections.unwrap_or(shape.connections));
    let server = match system {
        System::Client => {
            let urls = urls.map(|url| url.parse()).collect::<Result<_, _>>()?;
            let client = Client::new(urls, connections, shape.events_per_call, ledger);
            return drive(subject, Driver::Client(client), Vec::new(), stage, shape, options).await;
        }
        System::Journal => {
            let store = options.installation.store;
            let callers = Callers::start(store, stage.directory.path(), connections, shape.events_per_call, ledger)?;
            return drive(subject, Driver::Journal(callers), Vec::new(), stage, shape, options).await;
        }
        System::Forwarder => Server::start_forwarder(&stage.directory).await?,
        System::Posthaste => Server::start(&options.installation, &stage.directory).await?,
    };
    for url in urls {
        server.subscribe(None, &url).await?;
    }
    post(subject, vec![server], 1, stage, shape, options).await
}

/// Measures what servers that are set up already do with a load: posted to the
/// first so many of them in turn.
pub async fn post(
    subject: Subject,
    servers: Vec<Server>,
    posted_to: usize,
    stage: Stage,
    shape: &Shape,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let load = Load {
        addresses: servers.iter().take(posted_to).map(Server::address).collect(),
        authorization: Server::authorization(),
        connections: options.connections.unwrap_or(shape.connections),
        events_per_call: shape.events_per_call,
        pace: shape.pace,
        duration: Duration::ZERO,
        first: 0,
        ledger: Arc::clone(&stage.ledger),
    };
    drive(subject, Driver::Load(load), servers, stage, shape, options).await
}

async fn drive(
    subject: Subject,
    driver: Driver,
    mut servers: Vec<Server>,
    stage: Stage,
    shape: &Shape,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let (warm_up, duration) = options.durations(shape);
    let warmed_up = driver.run(warm_up, 0).await?;
    // Under an open pace there is no backlog that the load would have to wait
    // for, and a burden must not get time to recover.
    if shape.pace == Pace::Closed {
        drain(&stage.ledger, options.drain).await;
    }

    let store = subject.system.uses_store().then_some((&options.installation, &stage.directory));
    let before = look(&servers, store).await?;
    let tally = driver.run(duration, warmed_up.next).await?;
    servers.iter_mut().try_for_each(Server::check_alive)?;
    drain(&stage.ledger, options.drain).await;
    servers.iter_mut().try_for_each(Server::check_alive)?;
    let after = look(&servers, store).await?;

    let connections = driver.connections();
    let ready_after = servers.iter().filter(|_| subject.system == System::Posthaste).map(Server::ready_after).max();
    // Only when all have stopped is the ledger complete.
    drop((driver, servers, stage.sink));
    let ready_seconds = ready_after.map(|time| time.as_secs_f64());
    Ok(Measured::new(subject, connections, ready_seconds, &stage.ledger, warmed_up.next, tally, before, after))
}

/// A system without a process of its own is part of the harness, and one without
/// a store has none that could be asked.
pub async fn look(servers: &[Server], store: Option<(&Installation, &Directory)>) -> Result<Look, ServerError> {
    let (mut attempts, mut commits) = (Vec::new(), 0);
    for server in servers.iter().filter(|_| store.is_some()) {
        attempts.push(server.counter(ATTEMPTS).await?);
        commits += server.counter(COMMITS).await?;
    }
    Ok(Look {
        system: Usage::sum(servers.iter().map(Server::usage)),
        harness: Usage::of(std::process::id()),
        machine: Machine::now(),
        store: store.and_then(|(installation, directory)| installation.store.usage(directory.path())),
        attempts,
        commits,
    })
}

/// Waits until everything accepted has come, but not for ever: what is missing
/// then is reported.
pub async fn drain(ledger: &Ledger, limit: Duration) {
    let waiting = async {
        while !ledger.settled() {
            sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    if timeout(limit, waiting).await.is_err() {
        eprintln!("not everything accepted was received within {limit:?}");
    }
}
