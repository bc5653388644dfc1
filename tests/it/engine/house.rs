//! An engine in a house of its own: real actors and a real store in a folder
//! that goes with the test, and a transport that does what the test says.
//!
//! A house can be lived in several times: what one [`Life`] leaves in the
//! store, the next one finds.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use actix::Addr;
use actix_rt::System;
use bytes::Bytes;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use posthaste::clock::Clock;
use posthaste::cluster::{Forward, Hint, Hold, Ownership};
use posthaste::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, DeliveryTimes, EndpointId, EndpointSettings, Environment, EventId,
    NodeId, Partition, PartnerName, RetryPolicy, TypePattern,
};
use posthaste::engine::{
    BodyBudget, Drain, Engine, EngineOptions, Inspect, NewsWire, Places, Snapshot, Statistics, Supervisor,
};
use posthaste::metrics::Metrics;
use posthaste::policy::health::Patience;
use posthaste::store::journal::JournalOptions;
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{
    Accept, Accepted, DeliveryFilter, EndpointChange, Journal, Lease, NewEndpoint, NewEvent, PageRequest, Scope,
    Skipped, Store,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use super::script::{Answer, Call};
use super::script::{Crowds, Script, ScriptedFactory};
use super::writer::TellingWriter;
use crate::support::folder::Folder;

/// Waits for something that must happen, so that a test fails and never hangs.
pub async fn within<F: Future>(happening: F) -> F::Output {
    actix_rt::time::timeout(Duration::from_secs(10), happening).await.expect("it happens within 10 s")
}

pub fn options() -> EngineOptions {
    EngineOptions {
        arbiters: 2,
        window: 16,
        max_in_flight: 1_000,
        passivate_after: Duration::from_secs(30),
        patience: Patience::default(),
        body_budget_bytes: 1 << 20,
    }
}

pub struct House(Folder, Hold);

/// A running engine.
pub struct Life {
    pub engine: Engine,
    pub supervisor: Addr<Supervisor>,
    pub wire: NewsWire,
    pub calls: mpsc::UnboundedReceiver<Call>,
    /// What other nodes were to be told.
    pub forwarded: mpsc::UnboundedReceiver<Hint>,
    /// Leases that were said to be free to go.
    pub handed_over: mpsc::UnboundedReceiver<Vec<Lease>>,
    /// The store refuses outcomes.
    pub is_fenced: Arc<AtomicBool>,
    /// Nobody is told of what is committed, as if another node had done it.
    pub is_elsewhere: Arc<AtomicBool>,
    commits: mpsc::UnboundedReceiver<()>,
    in_flight: Crowds,
    scope: Scope,
}

impl House {
    pub fn new() -> Self {
        Self(Folder::new(), Hold::new(false))
    }

    /// One whose node starts held.
    pub fn held() -> Self {
        Self(Folder::new(), Hold::new(true))
    }

    /// Runs SQL on what is stored, between two lives.
    pub fn execute(&self, sql: &str) {
        let file = self.0.file("posthaste.db");
        let mut connection = SqliteConnection::establish(file.to_str().expect("a UTF-8 name")).expect("it is there");
        connection.batch_execute(sql).expect("it is well-formed");
    }

    /// Lives in it once: everything is stopped where it stands when the story
    /// ends, and all of it is gone when this returns.
    pub fn live<T>(
        &self,
        options: EngineOptions,
        answer: impl Fn(&Call) -> Answer + Send + Sync + 'static,
        story: impl AsyncFnOnce(&mut Life) -> T,
    ) -> T {
        self.live_owning(|_| Ownership::sole(), options, answer, story)
    }

    /// The same as one node of several, which is granted nothing yet.
    pub fn share<T>(
        &self,
        options: EngineOptions,
        answer: impl Fn(&Call) -> Answer + Send + Sync + 'static,
        story: impl AsyncFnOnce(&mut Life) -> T,
    ) -> T {
        self.live_owning(|clock| Ownership::shared(clock.clone()), options, answer, story)
    }

    fn live_owning<T>(
        &self,
        ownership: impl FnOnce(&Clock) -> Ownership,
        options: EngineOptions,
        answer: impl Fn(&Call) -> Answer + Send + Sync + 'static,
        story: impl AsyncFnOnce(&mut Life) -> T,
    ) -> T {
        let clock = Clock::system();
        let ownership = ownership(&clock);
        let metrics = Arc::new(Metrics::default());
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&self.0.file("posthaste.db"), 4).expect("a folder of our own"));
        let bodies = BodyBudget::new(options.body_budget_bytes, Arc::clone(&metrics));
        let (forward, forwarded) = mpsc::unbounded_channel();
        let wire =
            NewsWire::new(bodies.clone(), Arc::clone(&metrics), ownership.clone(), Arc::new(Forwarding(forward)));
        let (told, commits) = mpsc::unbounded_channel();
        let is_fenced = Arc::new(AtomicBool::new(false));
        let is_elsewhere = Arc::new(AtomicBool::new(false));
        let writer = TellingWriter {
            writer: store.writer().expect("nobody else took it"),
            commits: told,
            is_fenced: Arc::clone(&is_fenced),
        };
        let (journal, journal_thread) = Journal::start(
            Box::new(writer),
            JournalOptions { queue: 10_000, queue_bytes: 1 << 24, batch: 512 },
            clock.clone(),
            Arc::clone(&metrics),
            {
                let (wire, is_elsewhere) = (wire.clone(), Arc::clone(&is_elsewhere));
                Box::new(move |notices| {
                    if !is_elsewhere.load(Ordering::Acquire) {
                        wire.tell(notices);
                    }
                })
            },
            oneshot::channel().0,
        )
        .expect("a thread");
        let (alive, gone) = blocking::channel();
        let (report, calls) = mpsc::unbounded_channel();
        let in_flight = Arc::default();
        let script = Script {
            answer: Box::new(answer),
            calls: report,
            clock: clock.clone(),
            in_flight: Arc::clone(&in_flight),
            _alive: alive,
        };
        let (free, handed_over) = mpsc::unbounded_channel();
        let engine = Engine {
            store,
            journal,
            transport: Arc::new(ScriptedFactory(Arc::new(script))),
            in_flight: Places::new(options.max_in_flight, clock.clone(), Arc::clone(&metrics)),
            clock,
            metrics,
            ownership,
            hold: self.1.clone(),
            // The test may be over.
            handed_over: Arc::new(move |leases| drop(free.send(leases))),
            schedule_of_type: Arc::new(|_, _| None),
            options,
            bodies,
            statistics: Arc::new(Statistics::new(NodeId::from_uuid(Uuid::from_u128(1)), 100)),
        };
        let system = System::new();
        let told = system.block_on(async move {
            let scope = Scope::of(Environment::Production, PartnerName::default_partner());
            engine.journal.change(|transaction| transaction.first_start(&[])).await.expect("the store opens");
            let supervisor = Supervisor::start(engine.clone(), wire.clone());
            let mut life = Life {
                engine,
                supervisor,
                wire,
                calls,
                forwarded,
                handed_over,
                is_fenced,
                is_elsewhere,
                commits,
                in_flight,
                scope,
            };
            story(&mut life).await
        });
        drop(system);
        let gone = gone.recv_timeout(Duration::from_secs(10));
        assert_eq!(gone, Err(blocking::RecvTimeoutError::Disconnected), "the engine's threads have ended");
        journal_thread.finish();
        told
    }
}

impl Life {
    /// In whose name it goes on.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Goes on in the name of another partner.
    pub async fn act_for(&mut self, name: &str) {
        let partner: PartnerName = name.parse().expect("a plain name");
        let scope = Scope::of(Environment::Production, partner.clone());
        let made = self.engine.journal.change(move |transaction| transaction.create_partner(&partner)).await;
        made.expect("the journal writes").expect("a new name");
        self.scope = scope;
    }

    /// An endpoint that wants every event, with one waiting place after another.
    pub async fn endpoint(&self, path: &str, change: impl FnOnce(&mut EndpointSettings)) -> EndpointId {
        let mut settings = EndpointSettings::new(format!("https://example.com/{path}"), vec![TypePattern::Any]);
        change(&mut settings);
        let new = NewEndpoint {
            scope: self.scope.clone(),
            settings,
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            most_endpoints: 1_000,
        };
        let made = self.engine.journal.change(move |transaction| transaction.create_endpoint(&new)).await;
        made.expect("the journal writes").expect("a new URL").id
    }

    pub async fn change_endpoint(&self, endpoint: EndpointId, change: impl FnOnce(&mut EndpointSettings)) {
        let known = self.engine.store.endpoint(&self.scope, endpoint).expect("a read").expect("it is there");
        let mut settings = known.settings;
        change(&mut settings);
        let change = EndpointChange { scope: self.scope.clone(), endpoint, from_version: known.version, settings };
        let changed = self.engine.journal.change(move |transaction| transaction.change_endpoint(&change)).await;
        changed.expect("the journal writes").expect("nobody else changes it");
    }

    /// Brakes the partner, or releases it.
    pub async fn brake(&self, is_set: bool) {
        let scope = self.scope.clone();
        let changed = self.engine.journal.change(move |transaction| {
            if is_set {
                transaction.set_brake(&scope, None).map(|brake| brake.is_some())
            } else {
                transaction.release_brake(&scope)
            }
        });
        assert!(changed.await.expect("the journal writes"));
    }

    pub async fn delete_endpoint(&self, endpoint: EndpointId) {
        let scope = self.scope.clone();
        let deleted =
            self.engine.journal.change(move |transaction| transaction.delete_endpoint(&scope, endpoint)).await;
        assert!(deleted.expect("the journal writes"));
    }

    pub async fn ask_for_attempt(&self, delivery: DeliveryId) {
        let asked = self.engine.journal.change(move |transaction| transaction.request_attempt(delivery)).await;
        asked.expect("the journal writes");
    }

    /// Discards a delivery by hand.
    pub async fn skip(&self, delivery: DeliveryId) -> Skipped {
        let scope = self.scope.clone();
        let skipped = self.engine.journal.change(move |transaction| transaction.skip_delivery(&scope, delivery)).await;
        skipped.expect("the journal writes")
    }

    /// Posts events in one request; each says its number.
    pub async fn post(&self, count: usize) -> Vec<EventId> {
        self.post_at(count, DeliveryTimes::default()).await
    }

    /// The same, to be delivered then.
    pub async fn post_at(&self, count: usize, times: DeliveryTimes) -> Vec<EventId> {
        let bodies = (0..count).map(|number| format!("{{\"number\":{number}}}"));
        self.post_bodies(bodies, times).await
    }

    /// Posts events with these bodies in one request.
    pub async fn post_bodies(&self, bodies: impl Iterator<Item = String>, times: DeliveryTimes) -> Vec<EventId> {
        let subscriptions =
            self.engine.store.subscriptions(&self.scope).expect("a read").expect("the partner is there");
        let events = bodies.map(|body| {
            let event_type = "thing.happened".parse().expect("a plain name");
            NewEvent::new(event_type, Bytes::from(body)).delivered_at(times)
        });
        let accept = Accept {
            subscriptions: Arc::new(subscriptions),
            events: events.collect(),
            idempotency: None,
            relied_on: None,
        };
        match self.engine.journal.accept(accept).await.expect("the journal writes") {
            Accepted::New(events) => events.into_iter().map(|event| event.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn call(&mut self) -> Call {
        within(self.calls.recv()).await.expect("the transport lives as long as the test")
    }

    /// Waits until the store, looked at after each commit, is as it should be.
    pub async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                self.commits.recv().await.expect("the journal lives as long as the test");
            }
        };
        within(waiting).await;
    }

    /// Waits until the last actor has ended: one that was told to is at rest, and counted
    /// until it has. In between it asks for one that is at rest.
    pub async fn until_nobody_is_left(&self, at_rest: EndpointId) {
        let waiting = async {
            while self.engine.metrics.endpoint_actors.get() > 0 {
                self.inspect(at_rest).await;
            }
        };
        within(waiting).await;
    }

    /// Waits until an endpoint's actor has left memory.
    pub async fn until_at_rest(&self, endpoint: EndpointId) {
        let waiting = async {
            while self.inspect(endpoint).await.is_some() {
                actix_rt::task::yield_now().await;
            }
        };
        within(waiting).await;
    }

    /// Waits until an endpoint's actor is in memory and shows this.
    pub async fn until_it_shows(&self, endpoint: EndpointId, is_so: impl Fn(&Snapshot) -> bool) {
        let waiting = async {
            while !self.inspect(endpoint).await.as_ref().is_some_and(&is_so) {
                actix_rt::task::yield_now().await;
            }
        };
        within(waiting).await;
    }

    pub async fn inspect(&self, endpoint: EndpointId) -> Option<Snapshot> {
        within(self.supervisor.send(Inspect(endpoint, None))).await.expect("the supervisor lives").live()
    }

    /// Waits until the supervisor has heard of everything that is committed.
    pub async fn until_heard(&self) {
        assert_eq!(self.inspect(EndpointId::from_uuid(Uuid::nil())).await, None);
    }

    pub async fn drain(&self) {
        within(self.supervisor.send(Drain)).await.expect("the supervisor lives");
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut found = Vec::new();
        let mut request = PageRequest { after: None, limit: 250 };
        loop {
            let filter = DeliveryFilter::default();
            let page = self.engine.store.deliveries(&self.scope, &filter, &request).expect("a read");
            found.extend(page.items);
            if !page.more {
                return found;
            }
            request.after = found.last().map(|delivery| delivery.id);
        }
    }

    /// The only delivery there is.
    pub fn delivery(&self) -> Delivery {
        let mut found = self.deliveries();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    pub fn all_are(&self, status: DeliveryStatus) -> bool {
        self.deliveries().iter().all(|delivery| delivery.status == status)
    }

    pub fn attempts(&self, delivery: DeliveryId) -> Vec<Attempt> {
        self.engine.store.attempts(delivery).expect("a read")
    }

    /// The most requests that were ever in flight to a URL.
    pub fn most_in_flight(&self, path: &str) -> usize {
        let in_flight = self.in_flight.lock().expect("no holder of this lock can panic");
        in_flight.get(format!("https://example.com/{path}").as_str()).map_or(0, |(_, most)| *most)
    }
}

/// Hands the test what other nodes were to be told.
struct Forwarding(mpsc::UnboundedSender<Hint>);

impl Forward for Forwarding {
    fn forward(&self, _: Partition, hint: Hint) {
        // The test may be over.
        let _ = self.0.send(hint);
    }
}

/// A schedule of these waits.
pub fn schedule(millis: &[u64]) -> Option<RetryPolicy> {
    Some(RetryPolicy::schedule(millis.iter().copied().map(Duration::from_millis).collect()).expect("a short schedule"))
}
