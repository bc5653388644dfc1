//! The store as one would write it without a database: lists in memory, and
//! every rule in one line. Histories are played to both, and both are asked.

use posthaste::domain::{
    Delivery, DeliveryId, DeliveryStatus, DiscardReason, EndpointId, EventId, EventType, StatusFilter, StoredStatus,
    Timestamp, TypePattern,
};
use posthaste::policy::matching;
use posthaste::store::{AttemptKind, DeliveryFilter, EventSearch, Verdict};

/// See the module. Scopes are numbers: 0 and 1 are partners, 2 is all of them.
#[derive(Default)]
pub struct Model {
    /// Counts what was done: the order of things.
    clock: usize,
    pub endpoints: Vec<ModelEndpoint>,
    pub events: Vec<ModelEvent>,
    pub deliveries: Vec<ModelDelivery>,
}

pub const ALL_PARTNERS: usize = 2;

pub struct ModelEndpoint {
    pub id: EndpointId,
    pub partner: usize,
    pub patterns: Vec<TypePattern>,
    pub enabled: bool,
    pub deleted_at: Option<Timestamp>,
    made: usize,
    deleted: Option<usize>,
    last_sequence: u64,
}

pub struct ModelEvent {
    pub id: EventId,
    pub scope: usize,
    pub event_type: EventType,
    accepted_at: Timestamp,
    accepted: usize,
}

pub struct ModelDelivery {
    pub id: DeliveryId,
    pub event: usize,
    pub endpoint: usize,
    sequence: u64,
    pub attempts: u32,
    pub scheduled_attempts: u32,
    status: StoredStatus,
    next_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

impl Model {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    pub fn create(&mut self, id: EndpointId, partner: usize, patterns: Vec<TypePattern>) {
        let made = self.tick();
        let endpoint = ModelEndpoint {
            id,
            partner,
            patterns,
            enabled: true,
            deleted_at: None,
            made,
            deleted: None,
            last_sequence: 0,
        };
        self.endpoints.push(endpoint);
    }

    pub fn delete(&mut self, endpoint: usize, now: Timestamp) {
        let deleted = self.tick();
        let endpoint = &mut self.endpoints[endpoint];
        (endpoint.deleted, endpoint.deleted_at) = (Some(deleted), Some(now));
    }

    /// The endpoints that get an event, in the order they were made.
    pub fn wanting(&self, scope: usize, event_type: &EventType) -> Vec<usize> {
        let wants = |endpoint: &ModelEndpoint| {
            endpoint.deleted.is_none()
                && [endpoint.partner, ALL_PARTNERS].contains(&scope)
                && matching::wants(&endpoint.patterns, event_type)
        };
        (0..self.endpoints.len()).filter(|number| wants(&self.endpoints[*number])).collect()
    }

    pub fn accept(
        &mut self,
        id: EventId,
        scope: usize,
        event_type: EventType,
        deliveries: Vec<DeliveryId>,
        now: Timestamp,
    ) {
        let wanting = self.wanting(scope, &event_type);
        let accepted = self.tick();
        assert_eq!(deliveries.len(), wanting.len(), "one delivery for each endpoint that wants it");
        let event = self.events.len();
        self.events.push(ModelEvent { id, scope, event_type, accepted_at: now, accepted });
        for (id, endpoint) in deliveries.into_iter().zip(wanting) {
            let last = &mut self.endpoints[endpoint].last_sequence;
            *last += 1;
            let sequence = *last;
            self.deliveries.push(ModelDelivery {
                id,
                event,
                endpoint,
                sequence,
                attempts: 0,
                scheduled_attempts: 0,
                status: StoredStatus::Pending,
                next_at: Some(now),
                finished_at: None,
            });
        }
    }

    pub fn record(&mut self, delivery: usize, kind: AttemptKind, verdict: Verdict, finished_at: Timestamp) {
        let deleted = self.endpoints[self.deliveries[delivery].endpoint].deleted.is_some();
        let delivery = &mut self.deliveries[delivery];
        delivery.attempts += 1;
        let scheduled = kind == AttemptKind::Scheduled && delivery.status.is_unfinished();
        delivery.scheduled_attempts += u32::from(scheduled);
        let status = match verdict {
            Verdict::Delivered if delivery.status == StoredStatus::Delivered => return,
            Verdict::Delivered => StoredStatus::Delivered,
            Verdict::RetryAt(_) if scheduled && deleted => StoredStatus::Discarded(DiscardReason::EndpointDeleted),
            Verdict::RetryAt(_) if scheduled => StoredStatus::Retrying,
            Verdict::Exhausted if scheduled => StoredStatus::RetriesExhausted,
            _ => return,
        };
        delivery.status = status;
        (delivery.next_at, delivery.finished_at) = match verdict {
            Verdict::RetryAt(at) if status == StoredStatus::Retrying => (Some(at), None),
            _ => (None, Some(finished_at)),
        };
    }

    /// Writes down what deleted endpoints left unfinished.
    pub fn drain(&mut self) {
        for delivery in &mut self.deliveries {
            let deleted_at = self.endpoints[delivery.endpoint].deleted_at;
            if delivery.status.is_unfinished() && deleted_at.is_some() {
                delivery.status = StoredStatus::Discarded(DiscardReason::EndpointDeleted);
                (delivery.next_at, delivery.finished_at) = (None, deleted_at);
            }
        }
    }

    pub fn retire(&mut self, horizon: Timestamp, now: Timestamp) {
        let old = |model: &Self, event: usize| model.events[event].accepted_at < horizon;
        for number in 0..self.deliveries.len() {
            let endpoint = &self.endpoints[self.deliveries[number].endpoint];
            let held = !endpoint.enabled && endpoint.deleted.is_none();
            if held && self.deliveries[number].status.is_unfinished() && old(self, self.deliveries[number].event) {
                let delivery = &mut self.deliveries[number];
                delivery.status = StoredStatus::Discarded(DiscardReason::Retention);
                (delivery.next_at, delivery.finished_at) = (None, Some(now));
            }
        }
        let needed = |delivery: &ModelDelivery| delivery.finished_at.is_none_or(|finished| finished >= horizon);
        let goes: Vec<bool> = (0..self.events.len())
            .map(|event| {
                old(self, event) && !self.deliveries.iter().any(|delivery| delivery.event == event && needed(delivery))
            })
            .collect();
        self.deliveries.retain(|delivery| !goes[delivery.event]);
        let mut kept = 0;
        let renumbered: Vec<usize> = goes
            .iter()
            .map(|goes| {
                kept += usize::from(!goes);
                kept.saturating_sub(1)
            })
            .collect();
        for delivery in &mut self.deliveries {
            delivery.event = renumbered[delivery.event];
        }
        let mut number = 0;
        self.events.retain(|_| {
            number += 1;
            !goes[number - 1]
        });
    }

    /// A delivery as it is shown.
    pub fn shown(&self, delivery: &ModelDelivery) -> Delivery {
        let (endpoint, event) = (&self.endpoints[delivery.endpoint], &self.events[delivery.event]);
        let left_behind = delivery.status.is_unfinished() && endpoint.deleted.is_some();
        Delivery {
            id: delivery.id,
            endpoint: endpoint.id,
            event: event.id,
            event_type: event.event_type.clone(),
            status: DeliveryStatus::seen(delivery.status, true, endpoint.enabled, endpoint.deleted.is_some()),
            attempt_count: delivery.attempts,
            scheduled_attempts: delivery.scheduled_attempts,
            is_queued: false,
            next_attempt_at: if left_behind { None } else { delivery.next_at },
            sequence: Some(delivery.sequence),
            place: None,
            replay: None,
            created_at: event.accepted_at,
            finished_at: if left_behind { endpoint.deleted_at } else { delivery.finished_at },
        }
    }

    /// A scope's deliveries, newest first.
    pub fn deliveries(&self, scope: usize, filter: &DeliveryFilter) -> Vec<Delivery> {
        let of_scope =
            |delivery: &&ModelDelivery| [self.endpoints[delivery.endpoint].partner, ALL_PARTNERS].contains(&scope);
        let passes = |delivery: &Delivery| {
            filter.status.is_none_or(|status| status == word_of(delivery.status))
                && filter.endpoint.is_none_or(|endpoint| endpoint == delivery.endpoint)
                && filter.event.is_none_or(|event| event == delivery.event)
                && filter.types.as_ref().is_none_or(|types| matching::covers(types, &delivery.event_type))
                && filter.since.is_none_or(|since| delivery.created_at >= since)
                && filter.until.is_none_or(|until| delivery.created_at < until)
        };
        self.deliveries.iter().rev().filter(of_scope).map(|delivery| self.shown(delivery)).filter(passes).collect()
    }

    /// What a scope sees of the events, newest first.
    pub fn events(&self, scope: usize) -> Vec<EventId> {
        let seen = |event: &&ModelEvent| [event.scope, ALL_PARTNERS].contains(&scope) || event.scope == ALL_PARTNERS;
        self.events.iter().rev().filter(seen).map(|event| event.id).collect()
    }

    /// The partner's live endpoints that were made after an event, and whether they take
    /// such events.
    pub fn not_yet_created(&self, partner: usize, event: usize) -> Vec<(EndpointId, bool)> {
        let event = &self.events[event];
        let is_later = |endpoint: &&ModelEndpoint| {
            endpoint.partner == partner && endpoint.made > event.accepted && endpoint.deleted.is_none()
        };
        let later = self.endpoints.iter().filter(is_later);
        later.map(|endpoint| (endpoint.id, matching::wants(&endpoint.patterns, &event.event_type))).collect()
    }

    /// Those of them that fit, as far as the model knows of it.
    pub fn found(&self, scope: usize, search: &EventSearch) -> Vec<EventId> {
        let fits = |event: &&ModelEvent| [event.scope, ALL_PARTNERS].contains(&scope) || event.scope == ALL_PARTNERS;
        let passes = |event: &&ModelEvent| {
            search.types.as_ref().is_none_or(|types| matching::covers(types, &event.event_type))
                && search.since.is_none_or(|since| event.id.made_at() >= since)
                && search.until.is_none_or(|until| event.id.made_at() < until)
        };
        self.events.iter().rev().filter(fits).filter(passes).map(|event| event.id).collect()
    }

    /// The partner's endpoints that an event passed by.
    pub fn passed_by(&self, partner: usize, event: usize) -> Vec<EndpointId> {
        let reached = |number: usize| {
            self.deliveries.iter().any(|delivery| delivery.event == event && delivery.endpoint == number)
        };
        let accepted = self.events[event].accepted;
        let there = |endpoint: &ModelEndpoint| {
            endpoint.made < accepted && endpoint.deleted.is_none_or(|deleted| deleted > accepted)
        };
        self.endpoints
            .iter()
            .enumerate()
            .filter(|(number, endpoint)| endpoint.partner == partner && there(endpoint) && !reached(*number))
            .map(|(_, endpoint)| endpoint.id)
            .collect()
    }
}

fn word_of(status: DeliveryStatus) -> StatusFilter {
    status.as_str().parse().expect("a list can be filtered by every status there is")
}
