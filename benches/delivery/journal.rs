//! A limit: the journal alone. Callers in this process have the server's own
//! journal accept events and record an attempt of every delivery, all of it
//! flushed, on a store like the server's; no network, and nobody parses, matches
//! or signs. In the ledger, a delivery is received when its outcome is durable.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, EventId, Outcome};
use posthaste::metrics::Metrics;
use posthaste::store::journal::{JournalOptions, JournalThread};
use posthaste::store::{
    Accept, Accepted, AttemptKind, Journal, JournalError, NewEvent, Notice, Record, Subscriptions, Verdict,
};
use tokio::sync::oneshot;

use crate::driver::Claims;
use crate::event::{EVENT_TYPE, Template};
use crate::ledger::Ledger;
use crate::load::{REST, Tally};
use crate::seed::{Seed, SeedError, scope};
use crate::stores::Backend;

/// The server's defaults.
const OPTIONS: JournalOptions = JournalOptions { queue: 8_192, queue_bytes: 64 << 20, batch: 1_024 };
/// Entries that are to be waiting at any time, so that every commit is a full one.
const WAITING: usize = 2 * OPTIONS.batch;

/// Callers of a journal.
pub struct Callers {
    /// How many call at once.
    pub count: usize,
    events_per_call: usize,
    ledger: Arc<Ledger>,
    desk: Desk,
    thread: Option<JournalThread>,
    _failed: oneshot::Receiver<String>,
}

/// What a caller works with.
#[derive(Clone)]
struct Desk {
    journal: Journal,
    clock: Clock,
    subscriptions: Arc<Subscriptions>,
    births: Births,
}

/// The deliveries of events that were just accepted; the journal tells of them
/// before it answers.
type Births = Arc<Mutex<HashMap<EventId, Vec<DeliveryId>>>>;

const UNPOISONED: &str = "no holder of this lock can panic";

impl Callers {
    /// Starts a journal on a new store with this audience, which is one partner's.
    pub fn start(
        backend: &dyn Backend,
        directory: &Path,
        connections: usize,
        events_per_call: usize,
        ledger: Arc<Ledger>,
    ) -> Result<Self, SeedError> {
        let (clock, audience) = (Clock::system(), ledger.audience());
        let mut seed = Seed::open(backend, directory, clock.wall())?;
        seed.endpoints(audience, |number| format!("http://127.0.0.1:9/{number}"), EVENT_TYPE, clock.wall())?;
        drop(seed);
        let store = backend.open(directory)?;
        let of_partner = store.subscriptions(&scope(audience, 0))?.expect("the first start made this partner");
        let births = Births::default();
        let (failed, on_failure) = oneshot::channel();
        let (journal, thread) = Journal::start(
            store.writer()?,
            OPTIONS,
            clock.clone(),
            Arc::new(Metrics::default()),
            Box::new({
                let births = Arc::clone(&births);
                move |notices| note(&births, notices)
            }),
            failed,
        )?;
        let desk = Desk { journal, clock, subscriptions: Arc::new(of_partner), births };
        let count = connections.max(WAITING / (events_per_call * audience.fan_out));
        Ok(Self { count, events_per_call, ledger, desk, thread: Some(thread), _failed: on_failure })
    }

    /// Calls for a while.
    pub async fn run(&self, duration: Duration, first: usize) -> io::Result<Tally> {
        let claims = Claims::new(Arc::clone(&self.ledger), duration, first, self.events_per_call);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (count, desk, ledger) = (self.count, self.desk.clone(), Arc::clone(&self.ledger));
        let per_call = self.events_per_call;
        let (done, result) = oneshot::channel();
        std::thread::Builder::new().name("callers".into()).spawn(move || {
            let template = Template::new();
            let caller = || call(&claims, &desk, &ledger, &template, per_call);
            runtime.block_on(join_all((0..count).map(|_| caller())));
            // Nobody waits for it when the benchmark is being stopped.
            let _ = done.send(claims.tally());
        })?;
        result.await.map_err(|_| io::Error::other("the journal's callers panicked"))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // It blocks in a way that no thread of a runtime may.
        if std::thread::spawn(|| thread.finish()).join().is_err() {
            eprintln!("the journal could not be ended");
        }
    }
}

fn note(births: &Births, notices: Vec<Notice>) {
    let mut births = births.lock().expect(UNPOISONED);
    for notice in notices {
        if let Notice::Born(birth) = notice {
            births.entry(birth.payload.event).or_default().push(birth.delivery);
        }
    }
}

/// Accepts and records, one call after the other.
async fn call(claims: &Claims, desk: &Desk, ledger: &Ledger, template: &Template, events_per_call: usize) {
    while let Some(first) = claims.claim() {
        if deliver(desk, ledger, template, first..first + events_per_call).await.is_err() {
            claims.fail();
            tokio::time::sleep(REST).await;
        }
    }
}

async fn deliver(
    desk: &Desk,
    ledger: &Ledger,
    template: &Template,
    sequences: std::ops::Range<usize>,
) -> Result<(), JournalError> {
    let event_type = || EVENT_TYPE.parse().expect("a shipped type is well formed");
    let event = |sequence| NewEvent::new(event_type(), template.event(sequence));
    let accept = Accept {
        subscriptions: Arc::clone(&desk.subscriptions),
        events: sequences.clone().map(event).collect(),
        idempotency: None,
        relied_on: None,
    };
    let Accepted::New(accepted) = desk.journal.accept(accept).await? else { return Ok(()) };
    let at = ledger.now();
    let mut born = Vec::new();
    for (sequence, event) in sequences.zip(accepted) {
        ledger.accept(sequence, at);
        let deliveries = desk.births.lock().expect(UNPOISONED).remove(&event.id).unwrap_or_default();
        born.extend(deliveries.into_iter().enumerate().map(|(endpoint, delivery)| (sequence, endpoint, delivery)));
    }
    let recording = born.into_iter().map(|(sequence, endpoint, delivery)| async move {
        desk.journal.record(Arc::new(delivered(desk, delivery))).await?;
        ledger.receive(sequence, endpoint, ledger.now());
        Ok(())
    });
    join_all(recording).await.into_iter().collect()
}

fn delivered(desk: &Desk, delivery: DeliveryId) -> Record {
    let now = desk.clock.wall();
    Record {
        is_ordered: false,
        trouble: None,
        announcements: Vec::new(),
        delivery,
        kind: AttemptKind::Scheduled,
        attempts_before: 0,
        started_at: now,
        finished_at: now,
        duration: Duration::from_millis(1),
        outcome: Outcome::answered(204, Bytes::new()),
        verdict: Verdict::Delivered,
        fence: None,
    }
}
