//! What an endpoint's actor knows, as it is shown: asked of this node's engine where
//! the endpoint is this node's, and otherwise of the node that owns it, which answers
//! `POST /cluster/actors`. An owner that does not answer is said not to be reachable;
//! nothing is made up for it.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::ACTORS_PATH;
use crate::domain::{DeliveryId, EndpointId, Moment, Monotonic, NodeId, Partition};
use crate::engine::{Doing, Inspect, Seen, Snapshot};
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, cluster, extract, no_such_route, not_the_method};

/// The largest question that is taken: it holds an id.
const QUESTION_BYTES_MAX: usize = 1_024;

/// What a node is asked by another.
#[derive(Serialize, Deserialize)]
struct Question {
    endpoint: String,
    /// Of which something is to be told beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
}

/// What it answers. A newer release may say more, and an older one less.
#[derive(Serialize, Deserialize)]
struct Said {
    /// Whether the endpoint is its.
    is_here: bool,
    actor: Activity,
    /// What it does with the delivery that was asked about: a word of [`word_of`].
    #[serde(default)]
    doing: Option<String>,
}

/// What an actor is doing. Each is `None` where nobody knows, and none of them is
/// ever left out of an answer.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Activity {
    /// Whether there is one: an endpoint without work has none.
    pub live: Option<bool>,
    /// Requests in flight, or waiting for their place among those of the node.
    pub in_flight: Option<usize>,
    /// Outcomes on their way to the store.
    recording: Option<usize>,
    /// Requests that it is given at once just now.
    pub concurrency: Option<usize>,
    /// Requests that its settings give it.
    max_concurrency: Option<usize>,
    /// Whether it is given fewer than that: it has just begun, come back or been
    /// overloaded.
    slow_start: Option<bool>,
    /// Whether an attempt is under way that finds out how it is.
    probing: Option<bool>,
    /// When its rate limit permits the next request; `None` without one, too.
    pub paced_until: Option<String>,
    /// Before then no scheduled attempt begins: breaker, `Retry-After` and rate limit
    /// together; `None` if nothing is in the way, too.
    not_before: Option<String>,
    /// When the first retry that it knows of is due; `None` without one, too.
    next_retry_at: Option<String>,
    window: Window,
}

/// Deliveries that wait in its memory.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Window {
    fresh: Option<usize>,
    retries: Option<usize>,
    manual: Option<usize>,
    /// Whether the store may have more.
    more_in_store: Option<bool>,
}

/// An actor, and whose it is.
pub(super) struct Found {
    /// The node that owns the endpoint, as far as this one knows.
    pub node: Option<String>,
    /// Whether it has answered.
    pub reachable: bool,
    pub activity: Activity,
    /// What it does with the delivery that was asked about.
    pub doing: Option<Doing>,
}

impl Found {
    /// Whether this node owns the endpoint, as far as the one knows that was asked.
    pub fn is_at(&self, node: NodeId) -> bool {
        self.node.as_ref().is_some_and(|owner| *owner == node.to_string())
    }
}

impl Activity {
    fn of(snapshot: &Snapshot, now: Moment) -> Self {
        let time = |at: Monotonic| (now.wall + at.since(now.monotonic)).to_string();
        let in_lanes = snapshot.window_retries + snapshot.window_manual;
        Self {
            live: Some(true),
            in_flight: Some(snapshot.in_flight),
            recording: Some(snapshot.recording),
            concurrency: Some(snapshot.allowed),
            // Before its settings are read, it does not know.
            max_concurrency: Some(snapshot.most).filter(|most| *most > 0),
            slow_start: Some(snapshot.allowed < snapshot.most).filter(|_| snapshot.most > 0),
            probing: Some(snapshot.is_probing),
            // What is past permits a request now.
            paced_until: snapshot.paced_until.map(time),
            not_before: snapshot.not_before.filter(|at| *at > now.monotonic).map(time),
            next_retry_at: snapshot.next_retry.map(time),
            window: Window {
                fresh: Some(snapshot.window - in_lanes),
                retries: Some(snapshot.window_retries),
                manual: Some(snapshot.window_manual),
                more_in_store: Some(snapshot.more_in_store),
            },
        }
    }

    /// An endpoint that sleeps has nothing under way, and its actor no memory.
    fn asleep() -> Self {
        Self {
            live: Some(false),
            in_flight: Some(0),
            recording: Some(0),
            probing: Some(false),
            window: Window { fresh: Some(0), retries: Some(0), manual: Some(0), more_in_store: None },
            ..Self::default()
        }
    }
}

impl Found {
    /// As it is shown: always the same fields.
    pub(super) fn show(&self) -> Value {
        let mut value = json!({ "node": self.node, "reachable": self.reachable });
        if let (Value::Object(value), Ok(Value::Object(activity))) = (&mut value, serde_json::to_value(&self.activity))
        {
            value.extend(activity);
        }
        value
    }
}

/// What one node tells another of a delivery.
const fn word_of(doing: Doing) -> &'static str {
    match doing {
        Doing::Sending => "sending",
        Doing::Recording => "recording",
        Doing::Waiting => "waiting",
    }
}

/// What this node's engine says of an endpoint and a delivery; `None` when it is not this
/// node's.
async fn look_here(api: &Api, endpoint: EndpointId, delivery: Option<DeliveryId>) -> Option<(Activity, Option<Doing>)> {
    match api.supervisor.send(Inspect(endpoint, delivery)).await {
        Ok(Seen::Live(snapshot)) => Some((Activity::of(&snapshot, api.clock.now()), snapshot.doing)),
        Ok(Seen::Asleep) => Some((Activity::asleep(), None)),
        // Whoever has no supervisor any more is stopping.
        Ok(Seen::Elsewhere) | Err(_) => None,
    }
}

/// What the endpoint's actor is doing, wherever it is, and what with this delivery.
pub(super) async fn find(api: &Api, endpoint: EndpointId, delivery: Option<DeliveryId>) -> Found {
    if let Some((activity, doing)) = look_here(api, endpoint, delivery).await {
        return Found { node: Some(api.node.id.to_string()), reachable: true, activity, doing };
    }
    let unknown = |node| Found { node, reachable: false, activity: Activity::default(), doing: None };
    let owner = api.neighbours.as_ref().and_then(|neighbours| neighbours.owner_of(Partition::of(endpoint)));
    let (Some(neighbours), Some(owner)) = (&api.neighbours, owner) else { return unknown(None) };
    let question = Question { endpoint: endpoint.to_string(), delivery: delivery.map(|id| id.to_string()) };
    let body = serde_json::to_vec(&question).expect("a text can be written as JSON");
    let answer = neighbours.ask(&owner, ACTORS_PATH, body.into()).await;
    let node = Some(owner.node.to_string());
    match answer.map_err(|error| error.to_string()).and_then(|said| read(&said)) {
        Ok(Said { is_here: true, actor, doing }) => {
            let known = [Doing::Sending, Doing::Recording, Doing::Waiting];
            let doing = doing.and_then(|word| known.into_iter().find(|known| word_of(*known) == word));
            Found { node, reachable: true, activity: actor, doing }
        }
        // It has just gone to another node, and who that is, is not known here yet.
        Ok(Said { is_here: false, .. }) => unknown(None),
        Err(why) => {
            log::debug!("{endpoint}: {} does not say what its actor is doing: {why}", owner.node);
            unknown(node)
        }
    }
}

fn read(said: &Bytes) -> Result<Said, String> {
    serde_json::from_slice(said).map_err(|error| format!("its answer is not to be understood: {error}"))
}

/// `POST /cluster/actors`: what this node's engine says to another node, for every
/// method.
pub(super) async fn answer(api: web::Data<Api>, request: HttpRequest, mut payload: web::Payload) -> Answer {
    let Some(nodes) = api.hints.as_ref() else { return Err(no_such_route(&request)) };
    if request.method() != Method::POST {
        return Err(not_the_method(&request, "POST"));
    }
    cluster::authorize(nodes, &request)?;
    let limit = QUESTION_BYTES_MAX;
    let body = extract::body(&request, &mut payload, &["application/json"], "cluster_question_bytes", limit).await?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Problem::new(Kind::InvalidJson, error.to_string()))?;
    let endpoint = question.endpoint.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let delivery = question.delivery.map(|text| text.parse().map_err(|_| Problem::not_found("delivery")));
    let found = look_here(&api, endpoint, delivery.transpose()?).await;
    let is_here = found.is_some();
    let (actor, doing) = found.unwrap_or_default();
    let said = Said { is_here, actor, doing: doing.map(|doing| word_of(doing).to_owned()) };
    Ok(HttpResponse::Ok().json(said))
}
