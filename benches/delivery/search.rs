//! How long it takes to find something in a large store: asked of the store itself, as
//! the routes ask it, one question at a time. What it stands beside is one event looked
//! up by its key, which is the least that any of it could take. Nothing is in anybody's
//! memory but what the questions before have left there.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::{Endpoint, Environment, EventId, StatusFilter, Timestamp};
use posthaste::store::{
    CommitError, DeliveryFilter, EventSearch, PageRequest, SEGMENT_EVENTS, Scope, Store, StoreError,
};

use crate::audience::Audience;
use crate::big_store::BigStore;
use crate::event::Template;
use crate::reach::{Finding, Reach, Reaches};
use crate::run::{Options, Stage};
use crate::seed::{in_background, scope};
use crate::stores::Backend;

const AUDIENCE: Audience = Audience { partners: 10, fan_out: 4, counted: 10 };
const DAYS: u64 = 29;
/// Questions of each kind.
const QUESTIONS: usize = 200;
/// Before those, unmeasured.
const WARM_UP: usize = 5;
/// A page.
const PAGE: usize = 50;
/// Of the one event that is unlike all others, the oldest: whoever looks for it comes
/// past everything.
const RARE_TYPE: &str = "campaign.failed";
const RARE_KEY: &str = "the-one";
const RARE_ID: &str = "needle";
/// Events read into a segment by one statement.
const SLICE: usize = 1_024;
/// Segments between two lines that say how far it is.
const SEGMENTS_A_LINE: usize = 100;

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let (store, deliveries) = (options.installation.store, options.sizes.rows);
    let stage = Stage::set(options, 0, AUDIENCE)?;
    let span = Duration::from_secs(DAYS * 24 * 3_600);
    let begin = Clock::system().wall() - span;
    let big = BigStore { audience: AUDIENCE, deliveries, begin, span };
    big.fits(store, &stage.directory, "--rows")?;
    eprintln!("  writing {deliveries} deliveries of {DAYS} days");
    in_background(&stage.directory, move |directory| {
        big.fill(store, directory)?;
        let body = format!(
            r#"{{"event":"{RARE_TYPE}","provider":"facebook","type":"link_clicks","id":"{RARE_ID}","status":"FAILED"}}"#
        );
        Ok(store.rewrite_oldest_event(directory, RARE_TYPE, RARE_KEY, body.as_bytes())?)
    })
    .await?;
    let path = stage.directory.path().to_owned();
    let asked = tokio::task::spawn_blocking(move || ask_all(store, &path, begin, span)).await?;
    asked.map_err(|error| -> Box<dyn Error> { error })
}

fn ask_all(
    backend: &dyn Backend,
    directory: &Path,
    begin: Timestamp,
    span: Duration,
) -> Result<Vec<Finding>, Box<dyn Error + Send + Sync>> {
    let store = backend.open(directory)?;
    let indexed_per_second = index(&store, begin + span)?;
    let mut asking = Asking::new(Arc::clone(&store), begin, span)?;
    let all = Scope::all(Environment::Production);
    let nothing = EventSearch::default;
    let rare_type = || RARE_TYPE.parse().ok();
    let field = |value: &str| "/id".parse().ok().map(|pointer| (pointer, value.to_owned()));

    let key = asking.time(|asking| {
        let event = asking.some_event();
        asking.store.event(&asking.scope, event).map(|found| usize::from(found.is_some()))
    })?;
    let mut findings = vec![
        Finding::new("indexed, events/s", 0, indexed_per_second),
        Finding::new("one event by its key, p50 ms", 3, key.p50),
        Finding::new("one event by its key, p99 ms", 3, key.p99),
    ];
    let mut add = |names: [&'static str; 3], times: Times| {
        findings.push(Finding::new(names[0], 3, times.p50));
        findings.push(Finding::new(names[1], 3, times.p99).reaching(Reaches::everywhere(Reach::AtMost(1_000.0))));
        findings.push(Finding::new(names[2], 1, times.p50 / key.p50));
    };
    macro_rules! named {
        ($name:literal) => {
            [concat!($name, ", p50 ms"), concat!($name, ", p99 ms"), concat!($name, ", times a key")]
        };
    }
    let events = |asking: &Asking, scope: &Scope, search: &EventSearch| {
        asking.store.found_events(scope, search, &PageRequest { after: None, limit: PAGE }).map(|page| page.items.len())
    };
    let deliveries = |asking: &Asking, scope: &Scope, filter: &DeliveryFilter| {
        asking.store.deliveries(scope, filter, &PageRequest { after: None, limit: PAGE }).map(|page| page.items.len())
    };
    let some_id = asking.time(|asking| {
        let search = EventSearch { field: field(&asking.some_id()), ..nothing() };
        events(asking, &asking.scope, &search)
    })?;
    add(named!("events by a field, some"), some_id);
    let oldest = asking.time(|asking| events(asking, &all, &EventSearch { field: field(RARE_ID), ..nothing() }))?;
    add(named!("events by a field, the oldest one"), oldest);
    let none = asking.time(|asking| {
        let search = EventSearch { field: field(&format!("nobody-{}", asking.random.u64(..))), ..nothing() };
        events(asking, &asking.scope, &search)
    })?;
    add(named!("events by a field, none"), none);
    let by_type = asking.time(|asking| events(asking, &all, &EventSearch { types: rare_type(), ..nothing() }))?;
    add(named!("events by a type, the oldest one"), by_type);
    let by_key = asking.time(|asking| {
        events(asking, &all, &EventSearch { idempotency_key: Some(RARE_KEY.to_owned()), ..nothing() })
    })?;
    add(named!("events by an idempotency key"), by_key);
    let before = asking.time(|asking| {
        let search = EventSearch { types: "campaign.*".parse().ok(), until: Some(asking.some_time()), ..nothing() };
        events(asking, &asking.scope, &search)
    })?;
    add(named!("events by a pattern and a time"), before);
    let of_endpoint = asking.time(|asking| {
        let until = Some(asking.some_time());
        let filter = DeliveryFilter { endpoint: Some(asking.some_endpoint()), until, ..DeliveryFilter::default() };
        deliveries(asking, &asking.scope, &filter)
    })?;
    add(named!("deliveries of an endpoint before a time"), of_endpoint);
    let of_type = asking
        .time(|asking| deliveries(asking, &all, &DeliveryFilter { types: rare_type(), ..DeliveryFilter::default() }))?;
    add(named!("deliveries of a type, the oldest ones"), of_type);
    let given_up = DeliveryFilter { status: Some(StatusFilter::RetriesExhausted), ..DeliveryFilter::default() };
    let exhausted = asking.time(|asking| deliveries(asking, &asking.scope, &given_up))?;
    add(named!("exhausted deliveries of a partner, none"), exhausted);
    let exhausted = asking.time(|asking| deliveries(asking, &all, &given_up))?;
    add(named!("exhausted deliveries of all, none"), exhausted);
    Ok(findings)
}

/// Makes the whole index, and answers how many events a second that were.
fn index(store: &Arc<dyn Store>, end: Timestamp) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let clock = Clock::system();
    let mut writer = store.writer()?;
    // Whatever was written is settled an hour later.
    let settled = end + Duration::from_secs(3_600);
    let (mut events, mut segments) = (0, 0);
    loop {
        let mut draft = store.begin_segment()?;
        loop {
            let before = draft.events();
            draft = store.extend_segment(draft, settled, SLICE.min(SEGMENT_EVENTS - before))?;
            if draft.events() == before || draft.events() == SEGMENT_EVENTS {
                break;
            }
        }
        let Some(segment) = draft.packed() else { break };
        writer
            .commit(clock.wall(), &mut |transaction| transaction.add_segment(&segment).map(drop))
            .map_err(|error: CommitError| -> Box<dyn Error + Send + Sync> { error.into() })?;
        events += segment.events();
        segments += 1;
        if segments % SEGMENTS_A_LINE == 0 {
            eprintln!("  {events} events are indexed");
        }
    }
    Ok(events as f64 / clock.now().monotonic.since_start().as_secs_f64())
}

/// Who asks.
struct Asking {
    store: Arc<dyn Store>,
    scope: Scope,
    endpoints: Vec<Endpoint>,
    events: Vec<EventId>,
    begin: Timestamp,
    span: Duration,
    random: fastrand::Rng,
}

/// What a question took, in milliseconds.
struct Times {
    p50: f64,
    p99: f64,
}

impl Asking {
    fn new(store: Arc<dyn Store>, begin: Timestamp, span: Duration) -> Result<Self, StoreError> {
        let scope = scope(AUDIENCE, AUDIENCE.partners / 2);
        let page = |limit| PageRequest { after: None, limit };
        let endpoints = store.endpoints(&scope, &page(AUDIENCE.fan_out))?.items;
        let mut asking =
            Self { store, scope, endpoints, events: Vec::new(), begin, span, random: fastrand::Rng::with_seed(1) };
        // Events of all times.
        for _ in 0..QUESTIONS {
            let until = Some(asking.some_time());
            let search = EventSearch { until, ..EventSearch::default() };
            let found = asking.store.found_events(&asking.scope, &search, &PageRequest { after: None, limit: 1 })?;
            asking.events.extend(found.items.first().map(|event| event.id));
        }
        Ok(asking)
    }

    fn some_time(&mut self) -> Timestamp {
        self.begin + self.span.mul_f64(0.05 + 0.95 * self.random.f64())
    }

    fn some_event(&mut self) -> EventId {
        self.random.choice(&self.events).copied().expect("every store of this benchmark has events")
    }

    fn some_endpoint(&mut self) -> posthaste::domain::EndpointId {
        let endpoint = self.random.choice(&self.endpoints);
        endpoint.map(|endpoint| endpoint.id).expect("every partner of this benchmark has endpoints")
    }

    /// The id of an event that the library wrote.
    fn some_id(&mut self) -> String {
        let body = Template::new().event(self.random.usize(..1_000));
        let event: serde_json::Value = serde_json::from_slice(&body).expect("the benchmark's events are JSON");
        event["id"].to_string()
    }

    fn time(&mut self, mut question: impl FnMut(&mut Self) -> Result<usize, StoreError>) -> Result<Times, StoreError> {
        let clock = Clock::system();
        let mut took = Vec::with_capacity(QUESTIONS);
        for number in 0..QUESTIONS + WARM_UP {
            let begun = clock.now().monotonic;
            question(self)?;
            if number >= WARM_UP {
                took.push(clock.now().monotonic.since(begun).as_secs_f64() * 1e3);
            }
        }
        took.sort_unstable_by(f64::total_cmp);
        Ok(Times { p50: took[QUESTIONS / 2], p99: took[QUESTIONS * 99 / 100] })
    }
}
