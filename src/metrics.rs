//! Every metric, declared once, with the words `/metrics` explains it by.
//! A leaf: anyone may count.

mod breakers;
mod lately;
mod process;

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use breakers::OpenBreakers;
pub use lately::{Lately, Moved};
pub use process::resident_bytes;

/// Endpoints that are named at most, where nobody said otherwise.
const NAMED: usize = 100;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    /// `delivered`, or the error's class.
    pub outcome: &'static str,
}

/// What became of a posted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Durable.
    Accepted,
    /// The client must change something.
    Refused,
    /// The client may come again.
    Overloaded,
}

/// Labels of [`Metrics::events`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AdmissionLabels {
    /// `accepted`, `refused` or `overloaded`.
    pub outcome: &'static str,
}

/// Why a client's connection was closed by this side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClosingLabels {
    /// `idle`, `slow_head`, `no_room` and so on.
    pub reason: &'static str,
}

/// Which limit a request was refused by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    /// The option's name.
    pub limit: &'static str,
}

/// Why a payload was erased.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErasureLabels {
    /// `retention` or `retain_none`.
    pub by: &'static str,
}

/// Which part of the store takes up bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StorePartLabels {
    /// `database`, `log` or `free`.
    pub part: &'static str,
}

/// The process's counters. Cheap to count on; read by `/metrics`.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Events posted, by what became of them.
    pub events: Family<AdmissionLabels, Counter>,
    /// Deliveries made for accepted events.
    pub deliveries_created: Counter,
    /// Attempts made, by outcome.
    pub attempts: Family<AttemptLabels, Counter>,
    /// Seconds an attempt took.
    pub attempt_seconds: Histogram,
    /// Seconds from accepting to a 2xx.
    pub delivery_seconds: Histogram,
    /// Deliveries whose schedule ended without success.
    pub deliveries_exhausted: Counter,
    /// Deliveries discarded because their time was over.
    pub deliveries_expired: Counter,
    /// Requests in flight to endpoints.
    pub attempts_in_flight: Gauge,
    /// Attempts that wait for their place among those.
    pub attempts_waiting: Gauge,
    /// Places among those that endpoints hold which hang or fail.
    pub attempts_in_trouble: Gauge,
    /// Endpoint actors in memory.
    pub endpoint_actors: Gauge,
    /// Endpoint actors that panicked and were started anew.
    pub endpoint_actor_panics: Counter,
    /// Endpoints of which the log warned that they have failed for long.
    pub endpoint_warnings: Counter,
    /// Endpoints that were disabled because they failed for too long, or are gone.
    pub endpoints_disabled: Counter,
    /// Endpoints whose breaker is open, as far as something waits for them here.
    pub breakers_open: Gauge,
    /// Endpoints that have failed for long enough to speak of trouble, likewise.
    pub endpoints_failing: Gauge,
    /// Live endpoints that keep a pace of their own.
    pub endpoints_paced: Gauge,
    /// Deliveries that wait in the memory of actors.
    pub deliveries_in_windows: Gauge,
    /// Requests that all live endpoints together are given at once.
    pub concurrency_allowed: Gauge,
    /// Breakers that opened.
    pub breaker_openings: Counter,
    /// Probes that ended.
    pub breaker_probes: Counter,
    /// Probes that failed.
    pub breaker_probes_failed: Counter,
    /// Which endpoints' breakers are open.
    pub open_breakers: OpenBreakers,
    /// For how long the delivery is due that has been due longest.
    pub oldest_overdue_seconds: Gauge<f64, AtomicU64>,
    /// Hints to actors that found no room; a sweep of the store makes up for them.
    pub hints_lost: Counter,
    /// Hints for other nodes that found no way to them; they poll the store.
    pub node_hints_dropped: Counter,
    /// Bytes of event bodies held in memory for deliveries.
    pub body_bytes_held: Gauge<i64>,
    /// Seconds a commit took, flush included.
    pub journal_commit_seconds: Histogram,
    /// Callers served by one commit.
    pub journal_batch_entries: Histogram,
    /// Batches that were undone.
    pub journal_rollbacks: Counter,
    /// Deliveries that replays made.
    pub deliveries_replayed: Counter<u64, AtomicU64>,
    /// Rows that retention removed or changed.
    pub rows_retired: Counter<u64, AtomicU64>,
    /// Events that the search index has come to.
    pub events_indexed: Counter<u64, AtomicU64>,
    /// Payloads that were erased before their events, by why.
    pub payloads_erased: Family<ErasureLabels, Counter>,
    /// What the store takes up, at the last look.
    pub store_bytes: Family<StorePartLabels, Gauge>,
    /// What the store's file system has left, at the last look; not a number where that is not known.
    pub disk_free_bytes: Gauge<f64, AtomicU64>,
    /// When the oldest event was accepted that is kept; not a number where there is none.
    pub oldest_event_timestamp: Gauge<f64, AtomicU64>,
    /// Brakes in force, over partners and environments.
    pub brakes: Gauge,
    /// Whether this node is held, and sends nothing: 1 or 0.
    pub node_held: Gauge,
    /// Partitions that this node works for.
    pub partitions_owned: Gauge,
    /// Partitions taken because nobody owned them, or nobody any more.
    pub lease_takeovers: Counter,
    /// Partitions lost: refused, or not renewed in time.
    pub leases_lost: Counter,
    /// Outcomes that the store refused because their partition had another owner.
    pub fenced_writes: Counter,
    /// Connections to the database that had to be made anew.
    pub database_reconnects: Counter,
    /// Hints sent to the nodes that own what was accepted here.
    pub node_hints_sent: Counter,
    /// Hints taken from other nodes.
    pub node_hints_received: Counter,
    /// Clients' connections that are open.
    pub connections: Gauge,
    /// Clients' connections that were closed by this side, by why.
    pub connections_closed: Family<ClosingLabels, Counter>,
    /// Requests refused because there were too many, by limit.
    pub requests_limited: Family<LimitLabels, Counter>,
    /// Requests whose handler panicked.
    pub request_panics: Counter,
    /// What is kept of the last while for people, and is no metric.
    pub lately: Lately,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::naming(NAMED)
    }
}

impl Metrics {
    /// Names so many endpoints at most.
    pub fn naming(most: usize) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 18));
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("posthaste")),
            events: Family::default(),
            deliveries_created: Counter::default(),
            attempts: Family::default(),
            attempt_seconds: seconds(),
            delivery_seconds: seconds(),
            deliveries_exhausted: Counter::default(),
            deliveries_expired: Counter::default(),
            attempts_in_flight: Gauge::default(),
            attempts_waiting: Gauge::default(),
            attempts_in_trouble: Gauge::default(),
            endpoint_actors: Gauge::default(),
            endpoint_actor_panics: Counter::default(),
            endpoint_warnings: Counter::default(),
            endpoints_disabled: Counter::default(),
            breakers_open: Gauge::default(),
            endpoints_failing: Gauge::default(),
            endpoints_paced: Gauge::default(),
            deliveries_in_windows: Gauge::default(),
            concurrency_allowed: Gauge::default(),
            breaker_openings: Counter::default(),
            breaker_probes: Counter::default(),
            breaker_probes_failed: Counter::default(),
            open_breakers: OpenBreakers::naming(most),
            oldest_overdue_seconds: Gauge::default(),
            hints_lost: Counter::default(),
            node_hints_dropped: Counter::default(),
            body_bytes_held: Gauge::default(),
            journal_commit_seconds: seconds(),
            journal_batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            journal_rollbacks: Counter::default(),
            deliveries_replayed: Counter::default(),
            rows_retired: Counter::default(),
            events_indexed: Counter::default(),
            payloads_erased: Family::default(),
            store_bytes: Family::default(),
            disk_free_bytes: Gauge::default(),
            oldest_event_timestamp: Gauge::default(),
            brakes: Gauge::default(),
            node_held: Gauge::default(),
            partitions_owned: Gauge::default(),
            lease_takeovers: Counter::default(),
            leases_lost: Counter::default(),
            fenced_writes: Counter::default(),
            database_reconnects: Counter::default(),
            node_hints_sent: Counter::default(),
            node_hints_received: Counter::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            requests_limited: Family::default(),
            request_panics: Counter::default(),
            lately: Lately::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().expect("no holder of this lock can panic");
        registry.register("events", "Events posted, by what became of them", self.events.clone());
        registry.register("deliveries_created", "Deliveries made for accepted events", self.deliveries_created.clone());
        registry.register("attempts", "Attempts made, by outcome", self.attempts.clone());
        registry.register_with_unit("attempt", "Time an attempt took", Unit::Seconds, self.attempt_seconds.clone());
        registry.register_with_unit(
            "delivery",
            "Time from accepting an event to a 2xx",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        registry.register(
            "deliveries_exhausted",
            "Deliveries whose schedule ended without success",
            self.deliveries_exhausted.clone(),
        );
        registry.register(
            "deliveries_expired",
            "Deliveries discarded because their time was over",
            self.deliveries_expired.clone(),
        );
        registry.register("attempts_in_flight", "Requests in flight to endpoints", self.attempts_in_flight.clone());
        registry.register(
            "attempts_waiting",
            "Attempts that wait for their place among those in flight",
            self.attempts_waiting.clone(),
        );
        registry.register(
            "attempts_in_trouble",
            "Places among those in flight that endpoints hold which hang or fail",
            self.attempts_in_trouble.clone(),
        );
        registry.register("endpoint_actors", "Endpoint actors in memory", self.endpoint_actors.clone());
        registry.register(
            "endpoint_actor_panics",
            "Endpoint actors that panicked and were started anew",
            self.endpoint_actor_panics.clone(),
        );
        registry.register(
            "endpoint_warnings",
            "Endpoints of which the log warned that they have failed for long",
            self.endpoint_warnings.clone(),
        );
        registry.register(
            "endpoints_disabled",
            "Endpoints disabled because they failed for too long or are gone",
            self.endpoints_disabled.clone(),
        );
        registry.register(
            "hints_lost",
            "Hints to actors that found no room; a sweep of the store makes up for them",
            self.hints_lost.clone(),
        );
        registry.register(
            "node_hints_dropped",
            "Hints for other nodes that found no way to them; they poll the store",
            self.node_hints_dropped.clone(),
        );
        registry.register_with_unit(
            "body_held",
            "Event bodies held in memory for deliveries",
            Unit::Bytes,
            self.body_bytes_held.clone(),
        );
        registry.register_with_unit(
            "journal_commit",
            "Time a commit took, flush included",
            Unit::Seconds,
            self.journal_commit_seconds.clone(),
        );
        registry.register("journal_batch_entries", "Callers served by one commit", self.journal_batch_entries.clone());
        registry.register("journal_rollbacks", "Batches that were undone", self.journal_rollbacks.clone());
        registry.register(
            "deliveries_replayed",
            "Deliveries that replays made, also counted as created",
            self.deliveries_replayed.clone(),
        );
        registry.register("rows_retired", "Rows that retention removed or changed", self.rows_retired.clone());
        registry.register("events_indexed", "Events that search has been told of", self.events_indexed.clone());
        drop(registry);
        self.register_store();
        self.register_endpoints();
        self.register_nodes();
        self.register_clients();
    }

    /// What those who call are watched by.
    fn register_clients(&self) {
        let mut registry = self.registry.lock().expect("no holder of this lock can panic");
        registry.register("connections", "Clients' connections that are open", self.connections.clone());
        registry.register(
            "connections_closed",
            "Clients' connections that were closed by this side, by why",
            self.connections_closed.clone(),
        );
        registry.register(
            "requests_limited",
            "Requests refused because there were too many, by limit",
            self.requests_limited.clone(),
        );
        registry.register("request_panics", "Requests whose handler panicked", self.request_panics.clone());
    }

    /// What is kept, and for how long.
    fn register_store(&self) {
        // Nobody has looked yet.
        self.oldest_event_timestamp.set(f64::NAN);
        self.disk_free_bytes.set(f64::NAN);
        let mut registry = self.registry.lock().expect("no holder of this lock can panic");
        registry.register(
            "payloads_erased",
            "Payloads erased before the whole of their events went, by why",
            self.payloads_erased.clone(),
        );
        registry.register_with_unit(
            "store",
            "What the store takes up, at the last look",
            Unit::Bytes,
            self.store_bytes.clone(),
        );
        registry.register_with_unit(
            "disk_free",
            "What the store's file system has left, at the last look; of a store in a file",
            Unit::Bytes,
            self.disk_free_bytes.clone(),
        );
        registry.register_with_unit(
            "oldest_event_timestamp",
            "When the oldest event was accepted that is kept, at the last look",
            Unit::Seconds,
            self.oldest_event_timestamp.clone(),
        );
    }

    /// How the endpoints fare, by what their actors know.
    fn register_endpoints(&self) {
        let mut registry = self.registry.lock().expect("no holder of this lock can panic");
        registry.register(
            "breakers_open",
            "Endpoints with deliveries waiting whose breaker is open",
            self.breakers_open.clone(),
        );
        registry.register(
            "endpoints_failing",
            "Endpoints with deliveries waiting that have only failed of late",
            self.endpoints_failing.clone(),
        );
        registry.register(
            "endpoints_paced",
            "Endpoints with a live actor and a rate limit",
            self.endpoints_paced.clone(),
        );
        registry.register(
            "deliveries_in_windows",
            "Deliveries that wait in the memory of endpoint actors",
            self.deliveries_in_windows.clone(),
        );
        registry.register(
            "concurrency_allowed",
            "Requests that all live endpoints together are given at once as they keep up",
            self.concurrency_allowed.clone(),
        );
        registry.register("breaker_openings", "Breakers that opened", self.breaker_openings.clone());
        registry.register("breaker_probes", "Probes of open breakers that ended", self.breaker_probes.clone());
        registry.register("breaker_probes_failed", "Those of them that failed", self.breaker_probes_failed.clone());
        registry.register_with_unit(
            "oldest_overdue",
            "How long the delivery was due that had been due longest, at the last look through the store",
            Unit::Seconds,
            self.oldest_overdue_seconds.clone(),
        );
        registry.register_collector(Box::new(self.open_breakers.clone()));
    }

    /// What several nodes on one database are watched by.
    fn register_nodes(&self) {
        let mut registry = self.registry.lock().expect("no holder of this lock can panic");
        registry.register("brakes", "Brakes in force, over partners and environments", self.brakes.clone());
        registry.register("node_held", "Whether this node is held, and sends nothing", self.node_held.clone());
        registry.register("partitions_owned", "Partitions that this node works for", self.partitions_owned.clone());
        registry.register(
            "lease_takeovers",
            "Partitions taken because nobody owned them, or nobody any more",
            self.lease_takeovers.clone(),
        );
        registry.register("leases_lost", "Partitions lost: refused, or not renewed in time", self.leases_lost.clone());
        registry.register(
            "fenced_writes",
            "Outcomes that the store refused because their partition had another owner",
            self.fenced_writes.clone(),
        );
        registry.register(
            "database_reconnects",
            "Connections to the database that had to be made anew",
            self.database_reconnects.clone(),
        );
        registry.register(
            "node_hints_sent",
            "Hints sent to the nodes that own what was accepted here",
            self.node_hints_sent.clone(),
        );
        registry.register("node_hints_received", "Hints taken from other nodes", self.node_hints_received.clone());
    }

    /// Counts an event that was posted.
    pub fn count_events(&self, admission: Admission, count: usize) {
        let outcome = match admission {
            Admission::Accepted => "accepted",
            Admission::Refused => "refused",
            Admission::Overloaded => "overloaded",
        };
        self.events.get_or_create(&AdmissionLabels { outcome }).inc_by(count as u64);
    }

    /// Counts a connection that this side closed.
    pub fn count_closed(&self, reason: &'static str) {
        self.connections_closed.get_or_create(&ClosingLabels { reason }).inc();
    }

    /// Counts a request that was one too many.
    pub fn count_limited(&self, limit: &'static str) {
        self.requests_limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// Says how many brakes are in force.
    pub fn count_brakes(&self, in_force: usize) {
        self.brakes.set(i64::try_from(in_force).unwrap_or(i64::MAX));
    }

    /// Counts payloads that were erased.
    pub fn count_erased(&self, by: &'static str, payloads: usize) {
        if payloads > 0 {
            self.payloads_erased.get_or_create(&ErasureLabels { by }).inc_by(payloads as u64);
        }
    }

    /// Says what the store takes up, and when its oldest event was accepted, in milliseconds.
    pub fn show_store(&self, database: u64, log: Option<u64>, free: Option<u64>, oldest_event_ms: Option<i64>) {
        for (part, bytes) in [("database", Some(database)), ("log", log), ("free", free)] {
            if let Some(bytes) = bytes {
                let gauge = self.store_bytes.get_or_create(&StorePartLabels { part });
                gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
        self.oldest_event_timestamp.set(oldest_event_ms.map_or(f64::NAN, |millis| millis as f64 / 1_000.0));
    }

    /// What the store's file system has left, where that is known.
    pub fn show_disk(&self, free: Option<u64>) {
        self.disk_free_bytes.set(free.map_or(f64::NAN, |bytes| bytes as f64));
    }

    /// All of it in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect("no holder of this lock can panic");
        encode(&mut text, &registry).expect("writing to a string cannot fail");
        text
    }
}
