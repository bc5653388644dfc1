//! What keeps a system busy for a while: calls to a server, or, for the limits
//! that have no server in front, the same work done directly.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::client::Client;
use crate::journal::Callers;
use crate::ledger::{Ledger, Nanos, nanos};
use crate::load::{Load, Tally};

/// One of them.
pub enum Driver {
    Load(Load),
    Client(Client),
    Journal(Callers),
}

impl Driver {
    /// Works for so long, with the events from `first` on.
    pub async fn run(&self, duration: Duration, first: usize) -> io::Result<Tally> {
        match self {
            Self::Load(load) => Load { duration, first, ..load.clone() }.run().await,
            Self::Client(client) => client.run(duration, first).await,
            Self::Journal(callers) => callers.run(duration, first).await,
        }
    }

    /// How many do so at once.
    pub fn connections(&self) -> usize {
        match self {
            Self::Load(load) => load.connections,
            Self::Client(client) => client.lanes,
            Self::Journal(callers) => callers.count,
        }
    }
}

/// Hands out events to workers on any thread, until time or room is up.
pub struct Claims {
    ledger: Arc<Ledger>,
    ends: Nanos,
    events_per_call: usize,
    next: AtomicUsize,
    failed: AtomicU64,
}

impl Claims {
    /// Events from `first` on, from now until then.
    pub fn new(ledger: Arc<Ledger>, duration: Duration, first: usize, events_per_call: usize) -> Self {
        let ends = ledger.now() + nanos(duration);
        Self { ledger, ends, events_per_call, next: AtomicUsize::new(first), failed: AtomicU64::new(0) }
    }

    /// The first event of the next call. They count as posted now.
    pub fn claim(&self) -> Option<usize> {
        let now = self.ledger.now();
        if now >= self.ends {
            return None;
        }
        let step = |next| Some(next + self.events_per_call).filter(|end| *end <= self.ledger.events());
        let first = self.next.fetch_update(Relaxed, Relaxed, step).ok()?;
        for sequence in first..first + self.events_per_call {
            self.ledger.post(sequence, now);
        }
        Some(first)
    }

    /// One call came to nothing.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// What became of them, once nobody claims any more.
    pub fn tally(&self) -> Tally {
        Tally { next: self.next.load(Relaxed), failed: self.failed.load(Relaxed), ..Tally::default() }
    }
}
