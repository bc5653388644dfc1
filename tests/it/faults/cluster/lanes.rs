//! Who subscribes: many endpoints, so that every node has some of them, each
//! with a type of events that nobody else wants. An event is a number; its lane
//! is told by it, and so is whatever of it turns up at a receiver.

use std::time::Duration;

use awc::http::Method;
use futures_util::future;
use posthaste::cli::receiver::{Behaviour, Received};
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::subscriber::Subscriber;

/// So many that a node of three has none of them once in twenty thousand times.
pub const LANES: u64 = 24;
/// What a slow receiver takes: longer than most, shorter than a hand-over waits.
const SLOW: Duration = Duration::from_millis(400);
/// The part of requests that a flaky one refuses.
const FLAKINESS: f64 = 0.3;

/// What kind of receiver a lane leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Steady,
    Flaky,
    Slow,
}

/// All lanes, and the receivers at their ends.
pub struct Lanes {
    pub steady: Subscriber,
    pub flaky: Subscriber,
    pub slow: Subscriber,
    /// Endpoints, by lane.
    endpoints: Vec<String>,
}

impl Lanes {
    /// Makes the types of events and the endpoints.
    pub async fn open(api: &Api) -> Self {
        let slow = Behaviour { delay: SLOW, ..Behaviour::default() };
        let flaky = Behaviour { fail_rate: FLAKINESS, ..Behaviour::default() };
        let mut lanes = Self {
            steady: Subscriber::start(Behaviour::default()),
            flaky: Subscriber::start(flaky),
            slow: Subscriber::start(slow),
            endpoints: Vec::new(),
        };
        let waits: Vec<u128> = schedule().iter().map(Duration::as_millis).collect();
        for lane in 0..LANES {
            define(api, &event_type(lane)).await;
            let url = format!("{}/{lane}", lanes.subscriber(kind(lane)).url());
            let settings = json!({ "retry": { "schedule_ms": waits } });
            let endpoint = api.subscribe(&url, &[&event_type(lane)], settings).await;
            lanes.endpoints.push(endpoint);
        }
        lanes
    }

    pub fn subscriber(&self, kind: Kind) -> &Subscriber {
        match kind {
            Kind::Steady => &self.steady,
            Kind::Flaky => &self.flaky,
            Kind::Slow => &self.slow,
        }
    }

    pub fn endpoint(&self, number: u64) -> &str {
        &self.endpoints[(number % LANES) as usize]
    }

    /// Waits until all has been read that was sent so far.
    pub async fn catch_up(&self) {
        future::join_all([&self.steady, &self.flaky, &self.slow].map(Subscriber::catch_up)).await;
    }

    /// All that came so far, everywhere.
    pub fn received(&self) -> Vec<Received> {
        let kinds = [&self.steady, &self.flaky, &self.slow];
        kinds.iter().flat_map(|subscriber| subscriber.received()).collect()
    }
}

/// Which lanes lead where. Neighbours differ, so that any few events meet all.
pub fn kind(number: u64) -> Kind {
    match number % LANES % 4 {
        1 => Kind::Flaky,
        3 => Kind::Slow,
        _ => Kind::Steady,
    }
}

/// The wait after each failed attempt, on every lane.
pub fn schedule() -> Vec<Duration> {
    (0..30).map(|retry| Duration::from_millis(50 << retry.min(5))).collect()
}

pub fn event_type(number: u64) -> String {
    format!("lane.number_{}", number % LANES)
}

pub fn body(number: u64) -> Value {
    json!({ "event": event_type(number), "id": number })
}

/// Adds a type of events, or replaces it.
pub async fn define(api: &Api, event_type: &str) {
    let definition = json!({
        "schema": {
            "type": "object", "required": ["event", "id"],
            "properties": { "event": { "const": event_type }, "id": { "type": "integer" } },
        },
        "example": { "event": event_type, "id": 1 },
    });
    let answer = api.send(Method::PUT, &format!("/event-types/{event_type}"), definition.to_string(), None).await;
    let answer = answer.expect("a running node answers");
    assert!(matches!(answer.status, 200 | 201), "{}", answer.json);
}
