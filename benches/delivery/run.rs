//! One measurement: a fresh sink, a fresh server, a warm-up, the load, and a wait
//! for the last of what was accepted.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use posthaste::clock::Clock;
use tokio::time::{sleep, timeout};

use crate::Arguments;
use crate::event::MAX_EVENTS;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::measured::{Look, Measured};
use crate::scenario::{Pace, Scenario};
use crate::server::{Installation, Server, System};
use crate::sink::Sink;
use crate::usage::{Machine, Usage};

/// Room in the ledger for each second of load: more than any server here does.
const MAX_DELIVERIES_PER_SECOND: usize = 100_000;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What is the same for all scenarios.
pub struct Options {
    duration: Duration,
    warm_up: Duration,
    drain: Duration,
    connections: Option<usize>,
    installation: Installation,
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
                store: arguments.store,
                parent: arguments.directory.clone(),
            },
        }
    }

    /// Events that the load can come to, or a little more than it will.
    fn events(&self, scenario: &Scenario) -> usize {
        let seconds = (self.duration + self.warm_up).as_secs() as usize;
        let events = match scenario.pace {
            Pace::Closed => seconds * MAX_DELIVERIES_PER_SECOND / scenario.endpoints,
            Pace::Open { events_per_second } => seconds * events_per_second as usize,
        };
        events.next_multiple_of(scenario.events_per_call).min(MAX_EVENTS)
    }
}

/// Measures one scenario of one system.
pub async fn measure(scenario: &Scenario, system: System, options: &Options) -> Result<Measured, Box<dyn Error>> {
    let ledger = Arc::new(Ledger::new(Clock::system(), options.events(scenario), scenario.endpoints));
    let sink = Sink::start(Arc::clone(&ledger))?;
    let mut server = Server::start(system, &options.installation).await?;
    for endpoint in 0..scenario.endpoints {
        server.subscribe(&sink.url(endpoint)).await?;
    }
    let load = Load {
        address: server.address(),
        authorization: Server::authorization(),
        connections: options.connections.unwrap_or(scenario.connections),
        events_per_call: scenario.events_per_call,
        pace: scenario.pace,
        duration: options.warm_up,
        first: 0,
        ledger: Arc::clone(&ledger),
    };
    let warmed_up = load.clone().run().await?;
    drain(&ledger, options.drain).await;

    let before = look(&server);
    let load = Load { duration: options.duration, first: warmed_up.next, ..load };
    let connections = load.connections;
    let tally = load.run().await?;
    server.check_alive()?;
    drain(&ledger, options.drain).await;
    server.check_alive()?;
    let after = look(&server);

    // Only when both have stopped is the ledger complete.
    drop(server);
    drop(sink);
    Ok(Measured::new(scenario, system, connections, &ledger, warmed_up.next, tally, before, after))
}

fn look(server: &Server) -> Look {
    Look { system: server.usage(), harness: Usage::of(std::process::id()), machine: Machine::now() }
}

/// Waits until everything accepted has come, but not for ever: what is missing
/// then is reported.
async fn drain(ledger: &Ledger, limit: Duration) {
    let waiting = async {
        while !ledger.settled() {
            sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    if timeout(limit, waiting).await.is_err() {
        eprintln!("not everything accepted was received within {limit:?}");
    }
}
