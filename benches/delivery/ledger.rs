//! What happened to every event and when: posted, accepted, received. The load
//! generator and the sink write it while they run, one atomic store each, and
//! the arithmetic is left to `measured` when they have stopped.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use posthaste::clock::Clock;

use crate::audience::Audience;

/// The times of a fixed number of events, in nanoseconds of one clock; 0 is not
/// yet. An event is named by its sequence number.
pub struct Ledger {
    clock: Clock,
    audience: Audience,
    posted: Vec<AtomicU64>,
    accepted: Vec<AtomicU64>,
    /// One for each endpoint of each event's partner.
    received: Vec<AtomicU64>,
    accepted_events: AtomicU64,
    received_deliveries: AtomicU64,
    duplicates: AtomicU64,
    strays: AtomicU64,
}

/// An event's or a delivery's time on the ledger's clock.
pub type Nanos = u64;

impl Ledger {
    /// An empty ledger for so many events.
    pub fn new(clock: Clock, events: usize, audience: Audience) -> Self {
        let column = |entries: usize| (0..entries).map(|_| AtomicU64::new(0)).collect();
        Self {
            clock,
            audience,
            posted: column(events),
            accepted: column(events),
            received: column(events * audience.fan_out),
            accepted_events: AtomicU64::new(0),
            received_deliveries: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    /// The time; never 0.
    pub fn now(&self) -> Nanos {
        nanos(self.clock.now().monotonic.since_start()).max(1)
    }

    /// The clock it reads.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who its events are for.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// How many events it has room for.
    pub fn events(&self) -> usize {
        self.posted.len()
    }

    /// An event is about to be posted.
    pub fn post(&self, sequence: usize, at: Nanos) {
        self.posted[sequence].store(at, Relaxed);
    }

    /// The answer to a post was yes.
    pub fn accept(&self, sequence: usize, at: Nanos) {
        self.accepted[sequence].store(at, Relaxed);
        if self.audience.counts(sequence) {
            self.accepted_events.fetch_add(1, Relaxed);
        }
    }

    /// An event has come to an endpoint.
    pub fn receive(&self, sequence: usize, endpoint: usize, at: Nanos) {
        let place = self.audience.place(sequence, endpoint).filter(|_| sequence < self.events());
        let Some(place) = place else { return self.stray() };
        let entry = &self.received[sequence * self.audience.fan_out + place];
        if entry.compare_exchange(0, at, Relaxed, Relaxed).is_err() {
            self.duplicates.fetch_add(1, Relaxed);
        } else if self.audience.counts(sequence) {
            self.received_deliveries.fetch_add(1, Relaxed);
        }
    }

    /// Something has come that was never posted like that.
    pub fn stray(&self) {
        self.strays.fetch_add(1, Relaxed);
    }

    /// Deliveries that came a second time.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }

    /// Requests that were no event, or an altered one.
    pub fn strays(&self) -> u64 {
        self.strays.load(Relaxed)
    }

    /// Whether every accepted event that counts has come to every endpoint. Counting is
    /// cheap and done first; it is not enough, because an event whose answer was
    /// no, or lost, may have come as well.
    pub fn settled(&self) -> bool {
        let expected = self.accepted_events.load(Relaxed) * self.audience.fan_out as u64;
        self.received_deliveries.load(Relaxed) >= expected && self.missing() == 0
    }

    /// Deliveries of accepted events that have not come.
    pub fn missing(&self) -> u64 {
        let missing = |event: &Entry<'_>| event.received().filter(Option::is_none).count() as u64;
        self.entries(0).filter(|event| event.accepted().is_some()).map(|event| missing(&event)).sum()
    }

    /// Every event that counts, from a sequence number on.
    pub fn entries(&self, from: usize) -> impl Iterator<Item = Entry<'_>> {
        let counted = (from..self.events()).filter(|sequence| self.audience.counts(*sequence));
        counted.map(|sequence| Entry { ledger: self, sequence })
    }
}

/// One event's times.
pub struct Entry<'a> {
    ledger: &'a Ledger,
    sequence: usize,
}

impl<'a> Entry<'a> {
    /// Which event it is.
    pub fn sequence(&self) -> usize {
        self.sequence
    }

    /// When it was about to be posted.
    pub fn posted(&self) -> Option<Nanos> {
        read(&self.ledger.posted[self.sequence])
    }

    /// When the yes came.
    pub fn accepted(&self) -> Option<Nanos> {
        read(&self.ledger.accepted[self.sequence])
    }

    /// When it came to each endpoint.
    pub fn received(&self) -> impl Iterator<Item = Option<Nanos>> + use<'a> {
        let fan_out = self.ledger.audience.fan_out;
        self.ledger.received[self.sequence * fan_out..][..fan_out].iter().map(read)
    }
}

fn read(time: &AtomicU64) -> Option<Nanos> {
    Some(time.load(Relaxed)).filter(|nanos| *nanos != 0)
}

/// A duration as the ledger counts.
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
