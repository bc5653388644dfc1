//! How the actor sends: each attempt has its place among all that may be in
//! flight, and its bytes, before it begins.

use std::collections::HashMap;
use std::sync::Arc;

use super::{EndpointActor, Report};
use crate::domain::EventId;
use crate::engine::endpoint::attempt::{make_attempt, places};
use crate::engine::endpoint::request::Target;
use crate::engine::endpoint::state::{Input, Sending};
use crate::engine::places::{Claimant, Place, Standing, Urgency};
use crate::store::{self, AttemptKind, Payload};

impl EndpointActor {
    /// Fetches the bytes of attempts that memory had no room for. Each has its
    /// place in the node's limit before its bytes are read: those that wait
    /// hold none.
    pub(super) fn read_and_send(&mut self, mut unread: Vec<Sending>) {
        if unread.is_empty() {
            return;
        }
        // Nor does a first attempt wait behind a retry here.
        unread.sort_by_key(|sending| sending.number > 1);
        let mut claimants: Vec<Claimant> = unread.iter().map(|sending| self.claimant(sending)).collect();
        let (engine, reports, endpoint) = (self.engine.clone(), self.inbox.outbox(), self.endpoint);
        self.begin(async move {
            let input = |input| reports.send(Report::Input(Box::new(input)));
            let unsent = |sending: Sending| input(Input::Unsent(sending.delivery));
            while !unread.is_empty() {
                let places = places(&engine.in_flight, &claimants).await;
                if places.is_empty() {
                    unread.drain(..).for_each(unsent);
                    return None;
                }
                claimants.drain(..places.len());
                let next: Vec<Sending> = unread.drain(..places.len()).collect();
                let events: Vec<_> = next.iter().map(|sending| sending.event).collect();
                let read = store::blocking(&engine.store, move |store| store.payloads(&events)).await;
                let payloads: HashMap<EventId, Arc<Payload>> = match read {
                    Ok(payloads) => payloads.into_iter().map(|payload| (payload.event, Arc::new(payload))).collect(),
                    Err(error) => {
                        log::warn!("{endpoint}: cannot read what is to be sent: {error}");
                        next.into_iter().for_each(unsent);
                        continue;
                    }
                };
                for (sending, place) in next.into_iter().zip(places) {
                    if let Some(payload) = payloads.get(&sending.event) {
                        reports.send(Report::Payload(Box::new((sending, Arc::clone(payload), place))));
                    } else {
                        log::error!("{endpoint}: the event of {} is not in the store", sending.delivery);
                        input(Input::PayloadGone(sending.delivery));
                    }
                }
            }
            None
        });
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(self.target.as_ref().expect("the state sends only by a plan, and a plan comes with its target"))
    }

    fn claimant(&self, sending: &Sending) -> Claimant {
        // Whoever asked for an attempt by hand waits for it.
        let is_retry = sending.number > 1 && sending.kind == AttemptKind::Scheduled;
        let urgency = if is_retry { Urgency::Retry } else { Urgency::First };
        let standing = if self.state.sends_probes() {
            Standing::Failing
        } else {
            self.reputation.standing(urgency, self.engine.clock.now().monotonic)
        };
        Claimant { endpoint: self.endpoint, partner: self.target().partner, standing, urgency }
    }

    /// Makes an attempt as soon as the node's limit has a place for it.
    pub(super) fn send_in_turn(&mut self, sending: Sending, payload: Arc<Payload>) {
        let (target, engine, right) = (self.target(), self.engine.clone(), self.right.clone());
        self.on_their_way.begins(sending.delivery, &payload);
        let claimant = self.claimant(&sending);
        self.begin(async move {
            Some(match engine.in_flight.take(claimant).await {
                Some(place) => make_attempt(engine, right, target, sending, payload, place).await,
                // The engine is stopping.
                None => Input::Unsent(sending.delivery),
            })
        });
    }

    pub(super) fn send(&mut self, sending: Sending, payload: Arc<Payload>, place: Place) {
        let (target, engine, right) = (self.target(), self.engine.clone(), self.right.clone());
        self.on_their_way.begins(sending.delivery, &payload);
        self.begin(async move { Some(make_attempt(engine, right, target, sending, payload, place).await) });
    }
}
