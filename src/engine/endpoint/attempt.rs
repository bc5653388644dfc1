//! One attempt, from its place among all that may be in flight to its outcome.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::arbiters;
use crate::engine::endpoint::request::{AttemptHeaders, Target};
use crate::engine::endpoint::right::Right;
use crate::engine::endpoint::step::{Input, Sending};
use crate::engine::places::{Claimant, Held, Place, Places};
use crate::metrics::{AttemptLabels, Metrics};
use crate::store::{AttemptKind, Payload};

/// Places among all that may be in flight, for the first of these claimants: for
/// one, as soon as there is one, and for as many more as there are then. None
/// when the engine is stopping.
pub(super) async fn places(in_flight: &Places, claimants: &[Claimant]) -> Vec<Place> {
    let Some((first, others)) = claimants.split_first() else { return Vec::new() };
    let mut places: Vec<Place> = in_flight.take(*first).await.into_iter().collect();
    if !places.is_empty() {
        places.extend(others.iter().map_while(|claimant| in_flight.try_take(*claimant)));
    }
    places
}

/// One attempt, from its request to its outcome; none, if the endpoint is not
/// this node's any more.
pub(super) async fn make_attempt(
    engine: Engine,
    right: Right,
    target: Arc<Target>,
    sending: Sending,
    payload: Arc<Payload>,
    place: Place,
) -> Input {
    let started = engine.clock.now();
    let is_late = payload.expires_at.is_some_and(|end| started.wall >= end);
    // Whoever asks for an attempt by hand knows what time it is.
    if is_late && sending.kind == AttemptKind::Scheduled {
        return if right.may_send() { Input::Expired(sending.delivery) } else { Input::Unsent(sending.delivery) };
    }
    let headers = AttemptHeaders {
        event: sending.event,
        delivery: Some(sending.delivery),
        sequence: sending.sequence,
        number: sending.number,
        at: started.wall,
    };
    let request = target.request(&headers, payload.body.clone());
    // The last moment: it may have waited long for its place.
    if !right.may_begin(&sending) {
        return Input::Unsent(sending.delivery);
    }
    engine.metrics.attempts_in_flight.inc();
    let in_flight = InFlight(&engine.metrics);
    let outcome = target.told_of(arbiters::transport().send(request).await);
    drop(in_flight);
    place.give_back(if outcome.is_delivered() { Held::Succeeded } else { Held::Failed });
    let (ended, metrics) = (engine.clock.now(), &engine.metrics);
    let label = outcome.error.as_ref().map_or("delivered", |error| error.class.as_str());
    metrics.attempts.get_or_create(&AttemptLabels { outcome: label }).inc();
    metrics.attempt_seconds.observe(ended.monotonic.since(started.monotonic).as_secs_f64());
    if outcome.is_delivered() {
        metrics.delivery_seconds.observe(ended.wall.since(sending.delivery.made_at()).as_secs_f64());
    }
    let retry = if outcome.is_delivered() {
        None
    } else {
        (engine.schedule_of_type)(target.partner.lies_in(), &payload.event_type)
    };
    let (delivery, random, expires_at) = (sending.delivery, fastrand::f64(), payload.expires_at);
    let is_system = payload.event_type.is_system();
    Input::Attempted { delivery, started, ended, outcome, random, retry, expires_at, is_system }
}

/// Counts a request out again, also when it is aborted.
struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.attempts_in_flight.dec();
    }
}
