//! The journal on each backend: many callers' verbs in one commit, observers
//! before callers, and an end that nobody can miss. What the cases share is
//! here.

mod batching;
mod ending;
mod large;
mod large_failing;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use posthaste::clock::Clock;
use posthaste::domain::{EventId, Timestamp};
use posthaste::metrics::Metrics;
use posthaste::store::journal::{JournalOptions, JournalThread, Observer};
use posthaste::store::{
    Audience, CommitError, Journal, Notice, PageRequest, Scope, StoreError, Subscriptions, Transaction, Writer,
};
use tokio::sync::{mpsc as async_mpsc, oneshot};

use super::world::{START, World};

const OPTIONS: JournalOptions = JournalOptions { queue: 256, queue_bytes: 1 << 20, batch: 256 };

/// A writer that says when it is about to commit, and waits for leave: one
/// `()` for each commit, or the end of the gate.
struct Gated {
    inner: Box<dyn Writer>,
    arrived: async_mpsc::UnboundedSender<()>,
    gate: mpsc::Receiver<()>,
    /// What the next commits say instead of committing, the last first; `None`
    /// for one that is to succeed.
    failures: Vec<Option<CommitError>>,
}

impl Writer for Gated {
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        let _ = self.arrived.send(());
        let _ = self.gate.recv();
        match self.failures.pop().flatten() {
            Some(failure) => Err(failure),
            None => self.inner.commit(now, verbs),
        }
    }
}

/// A journal under watch.
struct Watched {
    journal: Journal,
    thread: JournalThread,
    arrived: async_mpsc::UnboundedReceiver<()>,
    gate: mpsc::Sender<()>,
    failed: oneshot::Receiver<String>,
}

impl Watched {
    fn start(world: &mut World, options: JournalOptions) -> Self {
        Self::start_failing(world, options, Vec::new(), Box::new(|_| {}))
    }

    fn start_failing(
        world: &mut World,
        options: JournalOptions,
        failures: Vec<CommitError>,
        observer: Observer,
    ) -> Self {
        Self::start_scripted(world, options, failures.into_iter().map(Some).collect(), observer)
    }

    fn start_scripted(
        world: &mut World,
        options: JournalOptions,
        mut failures: Vec<Option<CommitError>>,
        observer: Observer,
    ) -> Self {
        failures.reverse();
        let (arrived_sender, arrived) = async_mpsc::unbounded_channel();
        let (gate, gate_receiver) = mpsc::channel();
        let writer = Gated { inner: world.take_writer(), arrived: arrived_sender, gate: gate_receiver, failures };
        let (failed_sender, failed) = oneshot::channel();
        let (journal, thread) = Journal::start(
            Box::new(writer),
            options,
            Clock::manual(START),
            Arc::new(Metrics::default()),
            observer,
            failed_sender,
        )
        .expect("a thread can be started");
        Self { journal, thread, arrived, gate, failed }
    }

    /// Waits until a commit stands at the gate.
    async fn arrival(&mut self) {
        self.arrived.recv().await.expect("the journal's thread lives");
    }

    /// Lets one commit pass, which may not have come yet.
    fn pass(&self) {
        self.gate.send(()).expect("the journal lives");
    }

    /// Opens the gate for good, and answers how many commits passed it after
    /// the ones that were waited for.
    async fn open(self) -> usize {
        let Self { journal, thread, mut arrived, gate, failed } = self;
        drop(gate);
        finish(thread).await;
        drop((journal, failed));
        let mut commits = 0;
        while arrived.recv().await.is_some() {
            commits += 1;
        }
        commits
    }
}

async fn finish(thread: JournalThread) {
    tokio::task::spawn_blocking(move || thread.finish()).await.expect("finishing does not panic");
}

/// Runs a case; one that hangs fails.
fn run<F: Future>(case: F) -> F::Output {
    let case = async { actix_rt::time::timeout(Duration::from_secs(20), case).await };
    actix_rt::System::new().block_on(case).expect("it ends within 20 s")
}

/// Has a call take its place in the queue, which it does when first polled.
#[track_caller]
fn queued<'a, T>(call: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    let mut call = Box::pin(call);
    assert!(call.as_mut().now_or_never().is_none(), "it cannot have been answered yet");
    call
}

fn acme_with_an_endpoint(world: &mut World) -> Scope {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    acme
}

fn events_in_store(world: &World, scope: &Scope) -> Vec<EventId> {
    let page = PageRequest { after: None, limit: 1_000 };
    world.store().events(scope, &page).expect("readable").items.iter().map(|event| event.id).collect()
}

/// Subscriptions in which a scope's newest endpoint stands for so many.
fn crowd(world: &World, scope: &Scope, count: usize) -> Arc<Subscriptions> {
    let current = world.subscriptions(scope);
    let newest =
        world.store().endpoints(scope, &PageRequest { after: None, limit: 1 }).expect("readable").items.remove(0);
    let crowd = Audience::new(newest.settings.events, vec![newest.id; count]);
    Arc::new(Subscriptions::new(current.id, current.version, vec![crowd]))
}
