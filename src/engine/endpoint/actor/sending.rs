//! How the actor sends: each attempt has its place among all that may be in
//! flight, and its bytes, before it begins.

use std::collections::HashMap;
use std::sync::Arc;

use super::{EndpointActor, Report};
use crate::domain::EventId;
use crate::engine::endpoint::attempt::{make_attempt, places};
use crate::engine::endpoint::request::Target;
use crate::engine::endpoint::state::{Input, Sending};
use crate::engine::places::Place;
use crate::store::{self, Payload};

impl EndpointActor {
    /// Fetches the bytes of attempts that memory had no room for. Each has its
    /// place in the node's limit before its bytes are read: those that wait
    /// hold none.
    pub(super) fn read_and_send(&mut self, mut unread: Vec<Sending>) {
        if unread.is_empty() {
            return;
        }
        let (engine, reports, endpoint) = (self.engine.clone(), self.inbox.outbox(), self.endpoint);
        self.begin(async move {
            let input = |input| reports.send(Report::Input(Box::new(input)));
            let unsent = |sending: Sending| input(Input::Unsent(sending.delivery));
            while !unread.is_empty() {
                let places = places(&engine.in_flight, endpoint, unread.len()).await;
                if places.is_empty() {
                    unread.drain(..).for_each(unsent);
                    return None;
                }
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

    /// Makes an attempt as soon as the node's limit has a place for it.
    pub(super) fn send_in_turn(&mut self, sending: Sending, payload: Arc<Payload>) {
        let (target, engine, right) = (self.target(), self.engine.clone(), self.right.clone());
        let endpoint = self.endpoint;
        self.begin(async move {
            Some(match engine.in_flight.take(endpoint).await {
                Some(place) => make_attempt(engine, right, target, sending, payload, place).await,
                // The engine is stopping.
                None => Input::Unsent(sending.delivery),
            })
        });
    }

    pub(super) fn send(&mut self, sending: Sending, payload: Arc<Payload>, place: Place) {
        let (target, engine, right) = (self.target(), self.engine.clone(), self.right.clone());
        self.begin(async move { Some(make_attempt(engine, right, target, sending, payload, place).await) });
    }
}
