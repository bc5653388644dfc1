//! The situations that are measured, as plain data, each with the figures that it
//! is judged by. One that differs only in degree is an entry here; one of another
//! kind has a file of its own.

use std::time::Duration;

use crate::measured::{Measured, Spread};
use crate::reach::{Figure, Reach, Reaches};
use crate::server::System;

/// One situation.
pub struct Scenario {
    /// What `--scenario` calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// How it is measured.
    pub kind: Kind,
}

/// How a scenario is measured.
pub enum Kind {
    /// The server under a load, beside what these systems do under the same.
    Limited { shape: Shape, limits: &'static [System], figures: &'static [Figure] },
    /// The server under a load, without and with something that should not matter.
    Burdened { shape: Shape, burden: Burden, figures: &'static [Figure] },
    /// Two nodes under a load that is posted to one and delivered by the other.
    Foreign { shape: Shape, figures: &'static [Figure] },
    /// A server that is started on a store full of work, and watched.
    Watched(Watched),
}

impl Kind {
    /// Whether it takes a store with a server of its own, which nodes can share.
    pub fn needs_postgres(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. } | Self::Burdened { burden: Burden::SecondNode, .. } | Self::Watched(Watched::Costs)
        )
    }
}

/// A load.
pub struct Shape {
    /// Endpoints that want every event; with several partners, of each of them.
    pub endpoints: usize,
    /// Events in one call; more than one makes it a batch.
    pub events_per_call: usize,
    /// Kept-alive connections of the load generator.
    pub connections: usize,
    /// When the next call is made.
    pub pace: Pace,
    /// Measured no shorter than this, however few `--seconds` are asked for.
    pub at_least: Duration,
    /// Warmed up no shorter than this.
    pub warm_up_at_least: Duration,
}

/// When calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each connection calls again as soon as it has its answer.
    Closed,
    /// By the clock, whatever the answers do.
    Open {
        /// How many.
        events_per_second: u32,
    },
}

/// What should not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burden {
    /// 99 idle endpoints beside each active one.
    IdleEndpoints,
    /// Deliveries of the last 30 days.
    History,
    /// A fifth of the endpoints never answer.
    Hanging,
    /// Another node on the same store and the same cores.
    SecondNode,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Queued retries that fall due.
    Retries,
    /// Deliveries whose endpoints are gone, in the midst of their schedule.
    Dead,
    /// Endpoints that are all back at once.
    Recovery,
    /// The database, while it is given one sort of work at a time.
    Costs,
    /// A large store, while it is asked for what is rare.
    Search,
    /// The dashboard's pages.
    Pages,
}

impl Burden {
    /// What the two measurements are called.
    pub fn cases(self) -> [&'static str; 2] {
        match self {
            Self::IdleEndpoints => ["active alone", "99 % idle"],
            Self::History => ["empty", "history"],
            Self::Hanging => ["none in trouble", "40 % in trouble"],
            Self::SecondNode => ["one node", "two nodes"],
        }
    }
}

/// One call at a time over each of 64 connections, an endpoint for each event.
const ONE_TO_ONE: Shape = Shape {
    endpoints: 1,
    events_per_call: 1,
    connections: 64,
    pace: Pace::Closed,
    at_least: Duration::ZERO,
    warm_up_at_least: Duration::ZERO,
};
const PACED: Shape = Shape { pace: Pace::Open { events_per_second: 2_000 }, ..ONE_TO_ONE };

/// What a second node could help or harm: partners whose endpoints both own.
pub const PARTNERS_OF_NODES: usize = 32;
/// Eight times the 994 deliveries/s that a known server of this kind did on two
/// cores, with a PostgreSQL on the same two.
const EIGHT_TIMES_A_PEER: f64 = 7_952.0;

const ALL_LIMITS: &[System] = &[System::Client, System::Journal, System::Forwarder];

const fn on_sqlite(reach: Reach) -> Reaches {
    Reaches::on_sqlite(reach)
}

const fn on_postgres(reach: Reach) -> Reaches {
    Reaches::on_postgres(reach)
}

const fn throughput(reaches: Reaches) -> Figure {
    Figure { name: "deliveries/s", decimals: 0, read: |row| Some(row.deliveries_per_second), reaches }
}

fn post_to_sink(row: &Measured, read: fn(Spread) -> f64) -> Option<f64> {
    row.post_to_receipt_ms.map(read)
}

const P50: Figure = Figure {
    name: "post to sink, p50 ms",
    decimals: 2,
    read: |row| post_to_sink(row, |it| it.p50),
    reaches: Reaches::NONE,
};
const P99: Figure = Figure {
    name: "post to sink, p99 ms",
    decimals: 2,
    read: |row| post_to_sink(row, |it| it.p99),
    reaches: Reaches::NONE,
};
const INGEST: Figure = Figure {
    name: "accepted/s",
    decimals: 0,
    read: |row| Some(row.accepted_events_per_second),
    reaches: Reaches::NONE,
};
const PEAK: Figure =
    Figure { name: "peak memory, MB", decimals: 1, read: |row| row.peak_memory_mb, reaches: Reaches::NONE };
const READY: Figure =
    Figure { name: "start to ready, s", decimals: 2, read: |row| row.ready_seconds, reaches: Reaches::NONE };

impl Figure {
    const fn reaching(self, reaches: Reaches) -> Self {
        Self { reaches, ..self }
    }
}

/// All of them, in the order they are run.
pub const SCENARIOS: [Scenario; 15] = [
    Scenario {
        name: "one-to-one",
        about: "one event a call, one endpoint, as fast as it goes",
        kind: Kind::Limited {
            shape: ONE_TO_ONE,
            limits: ALL_LIMITS,
            figures: &[throughput(
                on_sqlite(Reach::RatioAtLeast(0.5)).and_on_postgres(Reach::AtLeastAndRatio(EIGHT_TIMES_A_PEER, 0.25)),
            )],
        },
    },
    Scenario {
        name: "batch",
        about: "1,000 events a call, one endpoint, as fast as it goes",
        kind: Kind::Limited {
            shape: Shape { events_per_call: 1_000, connections: 4, ..ONE_TO_ONE },
            limits: ALL_LIMITS,
            figures: &[throughput(on_sqlite(Reach::AtLeast(20_000.0)))],
        },
    },
    Scenario {
        name: "fan-out",
        about: "one event a call, 100 endpoints, as fast as it goes",
        kind: Kind::Limited {
            shape: Shape { endpoints: 100, connections: 8, ..ONE_TO_ONE },
            limits: ALL_LIMITS,
            figures: &[throughput(on_sqlite(Reach::AtLeast(25_000.0)))],
        },
    },
    Scenario {
        name: "latency",
        about: "one event a call, one endpoint, 2,000 events a second",
        kind: Kind::Limited {
            shape: PACED,
            limits: &[System::Forwarder],
            figures: &[P50.reaching(on_sqlite(Reach::AtMost(3.0))), P99.reaching(on_sqlite(Reach::AtMost(20.0)))],
        },
    },
    Scenario {
        name: "retries",
        about: "a start with queued retries over 10,000 endpoints, 2,000 falling due each second (--queued, --due-per-second)",
        kind: Kind::Watched(Watched::Retries),
    },
    Scenario {
        name: "endpoints",
        about: "one event a call, to 1 % of the registered endpoints in turn, as fast as it goes (--registered)",
        kind: Kind::Burdened {
            shape: ONE_TO_ONE,
            burden: Burden::IdleEndpoints,
            figures: &[
                throughput(on_sqlite(Reach::RatioAtLeast(0.8))),
                INGEST.reaching(on_sqlite(Reach::RatioAtLeast(0.8))),
                PEAK.reaching(on_sqlite(Reach::AtMost(300.0))),
                READY,
            ],
        },
    },
    Scenario {
        name: "history",
        about: "one event a call, one endpoint, as fast as it goes, on a store that holds 30 days (--history)",
        kind: Kind::Burdened {
            shape: ONE_TO_ONE,
            burden: Burden::History,
            figures: &[throughput(on_sqlite(Reach::RatioAtLeast(0.8))), PEAK, READY],
        },
    },
    Scenario {
        name: "hanging",
        about: "2,000 events a second to many endpoints in turn, a fifth of which hang and a fifth refuse (--serving)",
        kind: Kind::Burdened {
            shape: Shape {
                // Those that hang hold what they are given until their timeout, which is
                // the default of 15 s.
                warm_up_at_least: Duration::from_secs(10),
                at_least: Duration::from_secs(20),
                ..PACED
            },
            burden: Burden::Hanging,
            figures: &[P50, P99.reaching(on_sqlite(Reach::RatioAtMost(2.0)))],
        },
    },
    Scenario {
        name: "dead",
        about: "a day's retries of deliveries that nobody takes (--dead)",
        kind: Kind::Watched(Watched::Dead),
    },
    Scenario {
        name: "recovery",
        about: "nine in ten endpoints refuse until each has a backlog, and then take what comes at once (--recovering)",
        kind: Kind::Watched(Watched::Recovery),
    },
    Scenario {
        name: "nodes",
        about: "one event a call, 32 endpoints in turn, as fast as it goes, to one node and to two (PostgreSQL)",
        kind: Kind::Burdened {
            shape: ONE_TO_ONE,
            burden: Burden::SecondNode,
            figures: &[throughput(on_postgres(Reach::RatioAtLeast(1.0))), INGEST, P50, P99, PEAK],
        },
    },
    Scenario {
        name: "foreign",
        about: "1,000 events a second to one of two nodes, every endpoint the other one's (PostgreSQL)",
        kind: Kind::Foreign {
            shape: Shape { pace: Pace::Open { events_per_second: 1_000 }, ..ONE_TO_ONE },
            figures: &[P50.reaching(on_postgres(Reach::AtMost(10.0))), P99],
        },
    },
    Scenario {
        name: "costs",
        about: "what the database spends on one event, delivery, outcome and retry (PostgreSQL)",
        kind: Kind::Watched(Watched::Costs),
    },
    Scenario {
        name: "search",
        about: "events and deliveries found in a store that holds 29 days, by index and at its far end (--rows)",
        kind: Kind::Watched(Watched::Search),
    },
    Scenario {
        name: "pages",
        about: "each page of the dashboard, over a store that holds a week (--shown)",
        kind: Kind::Watched(Watched::Pages),
    },
];
