//! The situations that are measured, as plain data. A new one is an entry here;
//! only one that differs in kind needs more than that.

/// One situation.
pub struct Scenario {
    /// What `--scenario` calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Endpoints that want every event.
    pub endpoints: usize,
    /// Events in one call; more than one makes it a batch.
    pub events_per_call: usize,
    /// Kept-alive connections of the load generator.
    pub connections: usize,
    /// When the next call is made.
    pub pace: Pace,
    /// What it is judged by.
    pub figure: Figure,
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

/// What is set against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Deliveries in a second: more is better.
    DeliveriesPerSecond,
    /// From the post to the sink, p50 and p99: less is better.
    Latency,
}

/// All of them, in the order they are run.
pub const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "one-to-one",
        about: "one event a call, one endpoint, as fast as it goes",
        endpoints: 1,
        events_per_call: 1,
        connections: 64,
        pace: Pace::Closed,
        figure: Figure::DeliveriesPerSecond,
    },
    Scenario {
        name: "batch",
        about: "1,000 events a call, one endpoint, as fast as it goes",
        endpoints: 1,
        events_per_call: 1_000,
        connections: 4,
        pace: Pace::Closed,
        figure: Figure::DeliveriesPerSecond,
    },
    Scenario {
        name: "fan-out",
        about: "one event a call, 100 endpoints, as fast as it goes",
        endpoints: 100,
        events_per_call: 1,
        connections: 8,
        pace: Pace::Closed,
        figure: Figure::DeliveriesPerSecond,
    },
    Scenario {
        name: "latency",
        about: "one event a call, one endpoint, 2,000 events a second",
        endpoints: 1,
        events_per_call: 1,
        connections: 64,
        pace: Pace::Open { events_per_second: 2_000 },
        figure: Figure::Latency,
    },
];
