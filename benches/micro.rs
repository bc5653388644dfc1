//! The pure hot parts, one by one: what a delivery costs before a socket or a
//! disk is touched. `cargo bench --bench micro` measures them all, and a word
//! behind `--` only those whose names have it in them.
//!
//! The parts are called as the engine and the routes call them, on the same
//! 500-byte event as the end-to-end benchmark. What they cost together with
//! everything else is that benchmark's to say.

#[allow(dead_code, reason = "only the end-to-end benchmark has a sink")]
#[path = "delivery/event.rs"]
mod event;

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use posthaste::catalog::{Catalog, shipped};
use posthaste::domain::{
    DeliveryId, EndpointSettings, Environment, EventId, EventType, Moment, Monotonic, Outcome, PartnerName,
    RetryPolicy, StoredStatus, Timestamp, TypePattern,
};
use posthaste::engine::BodyBudget;
use posthaste::engine::budget::HeldPayload;
use posthaste::engine::endpoint::state::{Effect, Fresh, Input, Limits, Plan, State};
use posthaste::metrics::Metrics;
use posthaste::policy::health::Patience;
use posthaste::policy::signature::{KeyPair, SEED_BYTES, SigningKey, SigningSecret, sign};
use posthaste::policy::{matching, retry};
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{Lane, NewEndpoint, Payload, Recorded, Scope, Store, Subscriptions};
use uuid::Uuid;

/// The one that the binary has.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SCREENSHOTS: &str = "screenshot_set.approved";
/// What one fan-out goes to.
const ENDPOINTS: usize = 100;
/// What an endpoint wants that wants more than one thing.
const PATTERNS: [&str; 3] = ["campaign.created", "screenshot_set.*", "campaign.updated"];
/// Deliveries that stand behind the one that is measured.
const WAITING: u128 = 64;
/// The default of `window`.
const LIMITS: Limits = Limits {
    window: 128,
    passivate_after: Duration::from_secs(30),
    patience: Patience {
        opens_after: Some(5),
        warn_after: Duration::from_secs(86_400),
        disable_after: None,
        announce_after: Duration::from_secs(60),
    },
};
const BEGIN: Moment = Moment {
    wall: Timestamp::from_millis(1_900_000_000_000),
    monotonic: Monotonic::from_start(Duration::from_secs(1_000)),
};

fn signature(criterion: &mut Criterion) {
    let keys: [(&str, SigningKey); 2] = [("v1", secret().into()), ("v1a", KeyPair::from_seed(&[7; SEED_BYTES]).into())];
    let id = event_id(1).to_string();
    let mut group = criterion.benchmark_group("signature");
    for (name, bytes) in [("500 B", event::EVENT_BYTES), ("64 KiB", 64 << 10)] {
        let body = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        for (version, key) in &keys {
            group.bench_function(format!("{version} {name}"), |bencher| {
                bencher.iter(|| sign([key], black_box(&id), BEGIN.wall.as_seconds(), black_box(&body)));
            });
        }
    }
    group.finish();
}

fn validation(criterion: &mut Criterion) {
    let catalog = Catalog::compile(shipped()).expect("the shipped catalogs compile");
    let screenshots = &catalog.get(&event_type(SCREENSHOTS)).expect("it is shipped").example;
    let bodies =
        [(event::EVENT_TYPE, event::Template::new().body(1)), (SCREENSHOTS, screenshots.to_string().into_bytes())];
    let mut group = criterion.benchmark_group("catalog");
    for (name, body) in bodies {
        assert_eq!(catalog.validate(&body).expect("it is as its schema says").as_str(), name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| catalog.validate(black_box(&body))));
    }
    group.finish();
}

/// The first event of a type is matched pattern by pattern; what is found is
/// remembered for those that come after it.
fn subscriptions(criterion: &mut Criterion) {
    let wanted = event_type(event::EVENT_TYPE);
    let endpoints: Vec<Vec<TypePattern>> = vec![patterns(); ENDPOINTS];
    let subscriptions = subscribed();
    assert_eq!(subscriptions.matching(&wanted).len(), ENDPOINTS);
    let mut group = criterion.benchmark_group("matching 100 endpoints");
    group.bench_function("remembered", |bencher| bencher.iter(|| subscriptions.matching(black_box(&wanted))));
    group.throughput(Throughput::Elements(ENDPOINTS as u64));
    group.bench_function("pattern by pattern", |bencher| {
        bencher.iter(|| endpoints.iter().filter(|patterns| matching::wants(patterns, black_box(&wanted))).count());
    });
    group.finish();
}

fn retries(criterion: &mut Criterion) {
    let policy = RetryPolicy::default();
    criterion.bench_function("retry after the 7th failure", |bencher| {
        bencher.iter(|| retry::after_failure(black_box(&policy), black_box(7), black_box(0.5)));
    });
}

/// One delivery's whole way through its endpoint's state, the timer that the
/// actor sets after each step included. Others wait before and behind it, so
/// that it is born into the window, and its end lets the next one go.
fn state(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoint state");
    group.throughput(Throughput::Elements(1));
    for (name, outcome, status) in [
        ("delivered", Outcome::answered(204, Bytes::new()), StoredStatus::Delivered),
        ("exhausted", Outcome::answered(500, Bytes::new()), StoredStatus::RetriesExhausted),
    ] {
        let payload = held_payload();
        let fresh = |number: u128| Fresh {
            delivery: delivery_id(number),
            event: event_id(number),
            sequence: u64::try_from(number).ok(),
            payload: Some(Arc::clone(&payload)),
        };
        let mut state = busy_state();
        state.step(Input::Born((1..=WAITING).map(fresh).collect()), BEGIN);
        let mut number = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                let delivery = delivery_id(number);
                step(&mut state, Input::Born(vec![fresh(WAITING + number)]));
                let ended = Input::Attempted {
                    delivery,
                    started: BEGIN,
                    ended: BEGIN,
                    outcome: outcome.clone(),
                    random: 0.5,
                    retry: None,
                    expires_at: None,
                    is_system: false,
                };
                let effects = step(&mut state, ended);
                assert!(matches!(effects[..], [Effect::Record(_), Effect::Send(_)]), "{effects:?}");
                step(&mut state, Input::Recorded { delivery, recorded: Recorded::Written(status) });
            });
        });
    }
    group.finish();
}

fn ids(criterion: &mut Criterion) {
    let id = event_id(1);
    let text = id.to_string();
    let mut group = criterion.benchmark_group("webhook-id");
    group.bench_function("written", |bencher| bencher.iter(|| black_box(id).to_string()));
    group.bench_function("read", |bencher| bencher.iter(|| black_box(text.as_str()).parse::<EventId>()));
    group.finish();
}

fn step(state: &mut State, input: Input) -> Vec<Effect> {
    let effects = state.step(input, BEGIN);
    black_box(state.wake_at());
    black_box(effects)
}

/// A state that has read its settings and an empty store, and sends one at a
/// time.
fn busy_state() -> State {
    let mut state = State::new(LIMITS);
    state.step(Input::Timer, BEGIN);
    let retry = RetryPolicy::Schedule(Vec::new());
    state.step(Input::Settings(Some(Plan::new(1, retry))), BEGIN);
    for lane in [Lane::Fresh, Lane::Retry, Lane::Manual] {
        let page = Input::Page { lane, limit: LIMITS.window, due: Vec::new(), payloads: Default::default() };
        state.step(page, BEGIN);
    }
    state
}

fn held_payload() -> Arc<HeldPayload> {
    let body = Bytes::from(event::Template::new().body(1));
    let payload = Payload { event: event_id(1), event_type: event_type(event::EVENT_TYPE), body, expires_at: None };
    let budget = BodyBudget::new(event::EVENT_BYTES, Arc::new(Metrics::default()));
    budget.try_hold(&Arc::new(payload)).expect("there is room for one event")
}

/// A snapshot of a partner with as many endpoints, which only a store can make.
fn subscribed() -> Subscriptions {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.0.join("micro.db"), 1).expect("a new store opens");
    let partner: PartnerName = "fan-out".parse().expect("a name");
    let scope = Scope::of(Environment::Production, partner.clone());
    let made = store.writer().expect("nobody took it before").commit(BEGIN.wall, &mut |transaction| {
        transaction.create_partner(&partner)?.expect("the name is free");
        for number in 0..ENDPOINTS {
            let settings = EndpointSettings::new(format!("https://example.com/{number}"), patterns());
            let scope = scope.clone();
            let new = NewEndpoint { scope, settings, secret: secret().reveal(), most_endpoints: ENDPOINTS };
            transaction.create_endpoint(&new)?.expect("nothing stands against it");
        }
        Ok(())
    });
    made.expect("a new store takes a commit");
    store.subscriptions(&scope).expect("it can be read").expect("there is such a partner")
}

/// Gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("posthaste-micro-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written to");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a nuisance and no failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn secret() -> SigningSecret {
    SigningSecret::from_key(&[7; 32]).expect("32 bytes are a key")
}

fn patterns() -> Vec<TypePattern> {
    PATTERNS.iter().map(|pattern| pattern.parse().expect("a pattern")).collect()
}

fn event_type(name: &str) -> EventType {
    name.parse().expect("a name")
}

/// Ids of one time, which grow with their numbers.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128((BEGIN.wall.as_millis() as u128) << 80 | 0x7000_8000_0000_0000_0000 | number)
}

fn event_id(number: u128) -> EventId {
    EventId::from_uuid(uuid(number))
}

fn delivery_id(number: u128) -> DeliveryId {
    DeliveryId::from_uuid(uuid(number))
}

/// A dozen measurements in about half a minute.
fn quickly() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = micro;
    config = quickly();
    targets = signature, validation, subscriptions, retries, state, ids
}
criterion_main!(micro);
