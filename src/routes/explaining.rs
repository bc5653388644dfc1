//! Gathers what explains where deliveries stand, from the store and from the nodes that
//! own their endpoints, for `policy::explaining` to decide. What it costs is bounded:
//! only so many owners are asked, all at once, and nobody is waited for that does not
//! answer in time.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::domain::{
    Attempt, AttemptError, Delivery, DeliveryId, DeliveryStatus, EndpointId, Environment, NodeId, Timestamp,
};
use crate::engine;
use crate::policy::explaining::{self, Absence, Actor, After, Ahead, Doing, Facts, WaitsFor};
use crate::routes::Api;
use crate::routes::actors::{self, Found};
use crate::routes::problem::Problem;
use crate::store::{self, EndpointStanding, Lane, Store, StoreError};

/// Endpoints whose owners are asked for one answer.
const ASKED: usize = 20;
/// Deliveries that are counted before one, over all that are explained together.
const COUNTED_AHEAD: usize = 1_000;

/// Why a delivery is where it is.
pub(super) struct Explained {
    pub sentence: String,
    /// `None` where it has ended.
    pub waits_for: Option<WaitsFor>,
    /// Attempts that its schedule has left; `None` where it has ended.
    pub attempts_left: Option<u32>,
    /// When these are due if each before them fails at once.
    pub planned: Vec<Timestamp>,
}

impl Explained {
    /// One of its attempts as a sentence. The last says what comes next.
    pub fn attempt(&self, attempt: &Attempt, delivery: &Delivery, now: Timestamp) -> String {
        let is_last = attempt.number >= delivery.attempt_count;
        let next_at = match self.waits_for {
            Some(
                WaitsFor::Schedule { until }
                | WaitsFor::DeliverAt { until }
                | WaitsFor::Breaker { until, .. }
                | WaitsFor::RetryAfter { until }
                | WaitsFor::RateLimit { until },
            ) => Some(until),
            _ => delivery.next_attempt_at,
        };
        let after = After { status: delivery.status, next_at, attempts_left: self.attempts_left };
        explaining::attempt(attempt, is_last.then_some(after), now)
    }
}

/// A delivery to be explained.
pub(super) struct Subject<'a> {
    pub delivery: &'a Delivery,
    /// What its last attempt failed at.
    pub last_error: Option<&'a AttemptError>,
}

/// Explains the deliveries of one event, in their order. Of the event it takes the
/// time that it is for, and the time at which its payload was erased.
pub(super) async fn explain(
    api: &Api,
    environment: Environment,
    (deliver_at, erased_at): (Option<Timestamp>, Option<Timestamp>),
    subjects: &[Subject<'_>],
) -> Result<Vec<Explained>, Problem> {
    let unfinished: Vec<&Delivery> =
        subjects.iter().map(|subject| subject.delivery).filter(|delivery| is_unfinished(delivery)).collect();
    let endpoints: Vec<EndpointId> = unfinished.iter().map(|delivery| delivery.endpoint).collect();
    let queued: Vec<DeliveryId> =
        unfinished.iter().filter(|delivery| delivery.is_queued).map(|delivery| delivery.id).take(ASKED).collect();
    let (standings, first_in_order) = if unfinished.is_empty() {
        Default::default()
    } else {
        store::blocking(&api.store, move |store| Ok((store.standings(&endpoints)?, firsts(store, &queued)?))).await?
    };
    let asked = unfinished.iter().filter(|delivery| delivery.status != DeliveryStatus::Held).take(ASKED);
    let heard: HashMap<DeliveryId, Actor> =
        join_all(asked.map(|delivery| hear(api, delivery))).await.into_iter().collect();
    let now = api.clock.wall();
    let mut explained = Vec::with_capacity(subjects.len());
    let mut due = Vec::new();
    let nothing = EndpointStanding::default();
    for Subject { delivery, last_error } in subjects {
        if let Some(sentence) = explaining::delivery(delivery, *last_error, erased_at) {
            explained.push(Explained { sentence, waits_for: None, attempts_left: None, planned: Vec::new() });
            continue;
        }
        // Nobody removes an endpoint that has deliveries.
        let standing = standings.get(&delivery.endpoint).unwrap_or(&nothing);
        let facts = Facts {
            status: delivery.status,
            due_at: delivery.next_attempt_at,
            was_tried: delivery.scheduled_attempts > 0,
            deliver_at,
            is_queued: delivery.is_queued,
            first_in_order: first_in_order.get(&delivery.id).copied(),
            has_place: delivery.place.is_some(),
            is_ordered: standing.is_ordered,
            is_enabled: standing.is_enabled,
            paused_at: standing.paused_at,
            braked_at: standing.braked_at,
            trouble: &standing.trouble,
            actor: heard.get(&delivery.id).cloned().unwrap_or_default(),
        };
        let waits_for = WaitsFor::of(&facts, now);
        if matches!(waits_for, WaitsFor::Queue { .. }) && heard.contains_key(&delivery.id) {
            due.push((explained.len(), delivery.id, delivery.endpoint, lane_of(delivery)));
        }
        let policy = standing.retry.clone().or_else(|| api.catalogs.retry_of(environment, &delivery.event_type));
        let policy = policy.unwrap_or_default();
        let left = explaining::attempts_left(&policy, delivery.scheduled_attempts);
        let first = delivery.next_attempt_at.unwrap_or(now).max(now);
        // Its sentence is made when the last of it is known.
        explained.push(Explained {
            sentence: String::new(),
            waits_for: Some(waits_for),
            attempts_left: Some(left),
            planned: explaining::planned(&policy, delivery.scheduled_attempts, first),
        });
    }
    for (place, count) in before_these(&api.store, due).await? {
        if let Some(WaitsFor::Queue { ahead, .. }) = &mut explained[place].waits_for {
            *ahead = Some(count);
        }
    }
    for (explained, subject) in explained.iter_mut().zip(subjects) {
        if let Some(waits_for) = &explained.waits_for {
            let ids = (subject.delivery.id, subject.delivery.endpoint);
            explained.sentence = explaining::waiting(waits_for, ids, explained.attempts_left, now);
        }
    }
    Ok(explained)
}

/// Whether it has an attempt to come.
pub(super) fn is_unfinished(delivery: &Delivery) -> bool {
    matches!(delivery.status, DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Held)
}

/// Which lane a delivery that is due stands in.
fn lane_of(delivery: &Delivery) -> Lane {
    let is_fresh = delivery.scheduled_attempts == 0 && delivery.place.is_none();
    if is_fresh { Lane::Fresh } else { Lane::Retry }
}

fn firsts(store: &dyn Store, queued: &[DeliveryId]) -> Result<HashMap<DeliveryId, DeliveryId>, StoreError> {
    let mut firsts = HashMap::with_capacity(queued.len());
    for delivery in queued {
        firsts.extend(store.first_in_order(*delivery)?.map(|first| (*delivery, first)));
    }
    Ok(firsts)
}

/// Counts what stands before each of these in its lane.
async fn before_these(
    store: &Arc<dyn Store>,
    due: Vec<(usize, DeliveryId, EndpointId, Lane)>,
) -> Result<Vec<(usize, Ahead)>, Problem> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let limit = (COUNTED_AHEAD / due.len()).max(1);
    let counted = store::blocking(store, move |store| {
        let mut counted = Vec::with_capacity(due.len());
        for (place, delivery, endpoint, lane) in due {
            let lane = store.due(endpoint, lane, None, limit)?;
            let ahead = match lane.iter().position(|due| due.delivery == delivery) {
                Some(count) => Ahead { count, has_more: false },
                None if lane.len() == limit => Ahead { count: limit, has_more: true },
                // It has just gone, or is for later and due by now.
                None => Ahead { count: 0, has_more: false },
            };
            counted.push((place, ahead));
        }
        Ok(counted)
    });
    Ok(counted.await?)
}

/// What the owner of a delivery's endpoint says of both.
async fn hear(api: &Api, delivery: &Delivery) -> (DeliveryId, Actor) {
    let found = actors::find(api, delivery.endpoint, Some(delivery.id)).await;
    (delivery.id, told(found, api.hold.is_on(), api.node.id))
}

fn told(found: Found, is_held_here: bool, here: NodeId) -> Actor {
    if is_held_here && found.is_at(here) {
        return Actor::Absent(Absence::Held(here.to_string()));
    }
    match (found.reachable, found.node) {
        (false, None) => Actor::Absent(Absence::Nobody),
        (false, Some(node)) => Actor::Absent(Absence::Silent(node)),
        (true, _) => Actor::Told {
            doing: found.doing.map(|doing| match doing {
                engine::Doing::Sending => Doing::Sending,
                engine::Doing::Recording => Doing::Recording,
                engine::Doing::Waiting => Doing::Waiting,
            }),
            paced_until: found.activity.paced_until.and_then(|text| text.parse().ok()),
            is_busy: found.activity.in_flight.zip(found.activity.concurrency).is_some_and(|(now, most)| now >= most),
        },
    }
}
