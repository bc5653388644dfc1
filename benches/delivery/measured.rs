//! The arithmetic: what a ledger and two looks at the processes say about one
//! scenario of one system.

use std::time::Duration;

use crate::ledger::{Ledger, Nanos};
use crate::load::Tally;
use crate::server::System;
use crate::usage::{Machine, StoreUsage, Usage};

/// What was measured.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Subject {
    pub scenario: &'static str,
    pub system: System,
    /// Under which circumstances, where a scenario compares some.
    pub case: Option<&'static str>,
}

/// The figures of one subject.
#[derive(serde::Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub subject: Subject,
    pub connections: usize,
    /// Deliveries of the measured load, each counted once.
    pub deliveries: u64,
    /// From the first post to the last receipt, the backlog's end included.
    pub elapsed_seconds: f64,
    pub deliveries_per_second: f64,
    /// Over the time in which events were posted.
    pub accepted_events_per_second: f64,
    /// From just before the post (when it was due, if it was paced and late) to
    /// the 202.
    pub post_to_accept_ms: Option<Spread>,
    /// From the same moment to the sink. Where more is accepted than delivered,
    /// as under a closed loop, this and the next measure the backlog.
    pub post_to_receipt_ms: Option<Spread>,
    /// From the 202 to the sink; 0 where the sink was first.
    pub accept_to_receipt_ms: Option<Spread>,
    /// From being started to being ready.
    pub ready_seconds: Option<f64>,
    /// Resident at the end, in millions of bytes.
    pub memory_mb: Option<f64>,
    /// The most that ever was.
    pub peak_memory_mb: Option<f64>,
    /// What the system took, where it is a process of its own.
    pub cpu_seconds: Option<f64>,
    /// What load generator and sink took of the same machine.
    pub harness_cpu_seconds: Option<f64>,
    /// What the store's server did, where there is one.
    pub store: Option<StoreUsage>,
    /// Commits of the nodes' journals.
    pub commits: u64,
    /// Attempts that each node made.
    pub attempts_of_nodes: Vec<u64>,
    /// What everybody else took of it, the kernel's writing to disk included: the
    /// figures are as good as this is low.
    pub foreign_cpu_seconds: Option<f64>,
    /// Accepted and not received, warm-up included: must be 0.
    pub lost: u64,
    pub duplicates: u64,
    /// Received, but never posted like that: must be 0.
    pub strays: u64,
    #[serde(flatten)]
    pub calls: Tally,
}

/// A look at everybody's usage.
pub struct Look {
    /// `None` if it is no process of its own.
    pub system: Option<Usage>,
    /// The benchmark's own.
    pub harness: Usage,
    pub machine: Machine,
    /// `None` if its store has no server of its own.
    pub store: Option<StoreUsage>,
    /// Of each node.
    pub attempts: Vec<u64>,
    /// Of all nodes' journals.
    pub commits: u64,
}

impl Look {
    /// What the store's server did since an earlier look.
    pub fn store_since(&self, earlier: &Self) -> Option<StoreUsage> {
        Some(self.store?.since(&earlier.store?))
    }

    /// Attempts that each node made since an earlier look.
    pub fn attempts_since(&self, earlier: &Self) -> Vec<u64> {
        self.attempts.iter().zip(&earlier.attempts).map(|(now, then)| now - then).collect()
    }
}

/// How a time is spread, in milliseconds.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Measured {
    /// Works out the figures of the events from sequence number `from` on.
    #[allow(clippy::too_many_arguments, reason = "one caller, which has them all at hand")]
    pub fn new(
        subject: Subject,
        connections: usize,
        ready_seconds: Option<f64>,
        ledger: &Ledger,
        from: usize,
        calls: Tally,
        before: Look,
        after: Look,
    ) -> Self {
        let mut times = Times::default();
        for event in ledger.entries(from) {
            let Some(posted) = event.posted() else { break };
            times.post(posted, event.accepted());
            for received in event.received().flatten() {
                times.receive(posted, event.accepted(), received);
            }
        }
        let elapsed_seconds = times.elapsed_seconds();
        let deliveries = times.post_to_receipt.len() as u64;
        let events = times.post_to_accept.len() as f64;
        let cpu_seconds = after.system.zip(before.system).and_then(|(after, before)| after.cpu_seconds_since(&before));
        let harness_cpu_seconds = after.harness.cpu_seconds_since(&before.harness);
        let busy_seconds = after.machine.busy_seconds_since(&before.machine);
        let store = after.store_since(&before);
        let system_and_store = cpu_seconds.unwrap_or_default() + store.map_or(0.0, |store| store.cpu_seconds);
        let ours = harness_cpu_seconds.map(|harness| harness + system_and_store);
        // The counts are rounded differently and may cross by a tick or two.
        let foreign_cpu_seconds = busy_seconds.zip(ours).map(|(busy, ours)| (busy - ours).max(0.0));
        Self {
            subject,
            connections,
            deliveries,
            elapsed_seconds,
            deliveries_per_second: per_second(deliveries as f64, elapsed_seconds),
            accepted_events_per_second: per_second(events, times.posting_seconds()),
            post_to_accept_ms: Spread::of(times.post_to_accept),
            post_to_receipt_ms: Spread::of(times.post_to_receipt),
            accept_to_receipt_ms: Spread::of(times.accept_to_receipt),
            ready_seconds,
            memory_mb: after.system.and_then(|usage| usage.memory_mb()),
            peak_memory_mb: after.system.and_then(|usage| usage.peak_memory_mb()),
            cpu_seconds,
            harness_cpu_seconds,
            store,
            commits: after.commits - before.commits,
            attempts_of_nodes: after.attempts_since(&before),
            foreign_cpu_seconds,
            lost: ledger.missing(),
            duplicates: ledger.duplicates(),
            strays: ledger.strays(),
            calls,
        }
    }
}

#[derive(Default)]
struct Times {
    first_post: Option<Nanos>,
    last_accept: Nanos,
    last_receipt: Nanos,
    post_to_accept: Vec<Nanos>,
    post_to_receipt: Vec<Nanos>,
    accept_to_receipt: Vec<Nanos>,
}

impl Times {
    fn post(&mut self, posted: Nanos, accepted: Option<Nanos>) {
        self.first_post = Some(self.first_post.map_or(posted, |first| first.min(posted)));
        if let Some(accepted) = accepted {
            self.last_accept = self.last_accept.max(accepted);
            self.post_to_accept.push(accepted.saturating_sub(posted));
        }
    }

    fn receive(&mut self, posted: Nanos, accepted: Option<Nanos>, received: Nanos) {
        self.last_receipt = self.last_receipt.max(received);
        self.post_to_receipt.push(received.saturating_sub(posted));
        if let Some(accepted) = accepted {
            self.accept_to_receipt.push(received.saturating_sub(accepted));
        }
    }

    fn posting_seconds(&self) -> f64 {
        self.since_first_post(self.last_accept)
    }

    fn elapsed_seconds(&self) -> f64 {
        self.since_first_post(self.last_receipt)
    }

    fn since_first_post(&self, end: Nanos) -> f64 {
        Duration::from_nanos(end.saturating_sub(self.first_post.unwrap_or(end))).as_secs_f64()
    }
}

impl Spread {
    /// Exact, from every time measured; `None` if none was.
    pub fn of(mut nanos: Vec<Nanos>) -> Option<Self> {
        nanos.sort_unstable();
        let last = nanos.len().checked_sub(1)?;
        let at = |percent: usize| nanos[last * percent / 100] as f64 / 1e6;
        Some(Self { p50: at(50), p99: at(99), max: at(100) })
    }
}

fn per_second(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}
