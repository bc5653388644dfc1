//! The read side of [`Store`]: each verb takes a reader from the pool and
//! hands over to the query that answers it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Integer;

use crate::catalog::TypeDefinition;
use crate::domain::{
    Attempt, AuditRecord, Delivery, DeliveryId, Endpoint, EndpointId, Environment, Event, EventId, KeyId, PartitionSet,
    Partner, PartnerName, ReplayId, ReplaySelection, Timestamp, Trouble,
};
use crate::keyring::{Keyring, RingKeyId};
use crate::store::ids::first_key_at;
use crate::store::postgres::error::translate;
use crate::store::postgres::{
    PostgresStore, administration, at_once, audit, brakes, encryption, exhausted, harm, listing, marks, outcomes, pull,
    reads, replaying, replays, retention, search, segments, standing, statistics, summaries, verifying, versions,
    views, watched, work,
};
use crate::store::verifying::{Inspected, Stretch, Walk};
use crate::store::{
    AttemptSeen, AuditEnd, AuditFilter, Backlog, BornSince, Brake, Changes, Counted, DeliveryFilter, Due,
    EncryptedPlace, EncryptionCounts, EndpointRuntime, EndpointStanding, EventOutcome, EventSearch, ExhaustedEndpoint,
    HarmFilter, HarmPlace, HarmedEndpoint, IndexEnd, KeyRecord, Lane, LastAnswer, Leases, OutcomeCounts, Page,
    PageRequest, PartnerStanding, Payload, Place, PullRequest, Pulled, ReadPool, ReplayConflict, ReplayPreview,
    ReplayProgress, ReplaySummary, Retentions, RunningReplay, Scope, SegmentDraft, SentSettings, Sighting,
    StatisticsQuestion, Store, StoreError, StoreUsage, StoredSecret, Subscriptions, Unplaced, Versions, Waiting,
    WantedEndpoints, Writer,
};

/// A transaction that has taken keys has ended so long after: every statement of it has a
/// limit of seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// What history is made of (`days`).
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Store for PostgresStore {
    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        match self.idle_writer().take() {
            Some(writer) => Ok(Box::new(writer)),
            None => Err(StoreError::Configuration("the store has one writer, and it is taken".into())),
        }
    }

    fn reading(&self) -> &ReadPool {
        &self.reading
    }

    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(Arc::clone(&self.leases) as Arc<dyn Leases>)
    }

    fn history_part(&self) -> Option<Duration> {
        Some(DAY)
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.read(work::versions)
    }

    fn changes(&self, since: &Versions) -> Result<Changes, StoreError> {
        let (ids, since) = (self.ids.clone(), *since);
        self.watching.ask(move |reader| at_once(reader, |reader| versions::changes(reader, &ids, &since)))
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.read(|reader| {
            let one: i32 = diesel::select(1.into_sql::<Integer>()).get_result(reader).map_err(translate)?;
            debug_assert_eq!(one, 1);
            Ok(())
        })
    }

    fn subscriptions(&self, scope: &Scope) -> Result<Option<Subscriptions>, StoreError> {
        self.read_at_once(|reader| reads::subscriptions(reader, &self.ids, scope))
    }

    fn endpoint_runtime(&self, endpoint: EndpointId, now: Timestamp) -> Result<Option<EndpointRuntime>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(None) };
        self.read_at_once(|reader| reads::endpoint_runtime(reader, &self.keyring, key, now))
    }

    fn trouble(&self, endpoint: EndpointId) -> Result<Trouble, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Trouble::default()) };
        self.read(|reader| reads::trouble(reader, key))
    }

    fn due(
        &self,
        endpoint: EndpointId,
        lane: Lane,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Vec::new()) };
        self.read(|reader| work::due(reader, &self.ids, (endpoint, key), lane, after, limit))
    }

    fn unplaced(&self, endpoint: EndpointId, now: Timestamp, limit: usize) -> Result<Unplaced, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Unplaced::default()) };
        self.read_at_once(|reader| work::unplaced(reader, &self.ids, (endpoint, key), now, limit))
    }

    fn placed(&self, endpoint: EndpointId, limit: usize) -> Result<Vec<Due>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Vec::new()) };
        self.read(|reader| work::placed(reader, &self.ids, (endpoint, key), limit))
    }

    fn payloads(&self, events: &[EventId]) -> Result<Vec<Payload>, StoreError> {
        self.read(|reader| work::payloads(reader, &self.ids, events))
    }

    fn waiting(
        &self,
        of: &PartitionSet,
        after: Option<EndpointId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<Waiting>, Option<EndpointId>), StoreError> {
        self.read_at_once(|reader| work::waiting(reader, &self.ids, of, after, limit, now))
    }

    fn born(&self, of: &PartitionSet, since: BornSince, limit: usize) -> Result<Vec<Sighting>, StoreError> {
        self.read(|reader| work::born(reader, &self.ids, of, since, limit))
    }

    fn endpoint(&self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(None) };
        self.read(|reader| reads::endpoint(reader, &self.ids, &self.keyring, scope, key))
    }

    fn endpoints(&self, scope: &Scope, page: &PageRequest<EndpointId>) -> Result<Page<Endpoint>, StoreError> {
        self.read_at_once(|reader| reads::endpoints_of(reader, &self.ids, &self.keyring, scope, page))
    }

    fn endpoints_named(
        &self,
        scope: &Scope,
        ids: &[EndpointId],
        page: &PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, StoreError> {
        self.read_at_once(|reader| reads::endpoints_named(reader, &self.ids, &self.keyring, scope, ids, page))
    }

    fn endpoints_at(
        &self,
        scope: &Scope,
        url: &str,
        page: &PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, StoreError> {
        self.read_at_once(|reader| reads::endpoints_at(reader, &self.ids, &self.keyring, scope, url, page))
    }

    fn harmed(
        &self,
        scope: &Scope,
        filter: &HarmFilter,
        page: &PageRequest<HarmPlace>,
    ) -> Result<Page<HarmedEndpoint>, StoreError> {
        self.read_at_once(|reader| harm::harmed(reader, &self.ids, &self.keyring, scope, filter, page))
    }

    fn backlogs(&self, endpoints: &[EndpointId], limit: usize) -> Result<HashMap<EndpointId, Backlog>, StoreError> {
        self.read(|reader| watched::backlogs(reader, &self.ids, endpoints, limit))
    }

    fn attempts_to(&self, endpoint: EndpointId, limit: usize) -> Result<Vec<AttemptSeen>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Vec::new()) };
        self.read_at_once(|reader| watched::attempts_to(reader, &self.ids, (endpoint, key), limit))
    }

    fn partner_standings(
        &self,
        environment: Environment,
        partners: &[PartnerName],
        limit: usize,
    ) -> Result<HashMap<PartnerName, PartnerStanding>, StoreError> {
        self.read_at_once(|reader| watched::partner_standings(reader, &self.ids, environment, partners, limit))
    }

    fn endpoint_secrets(&self, endpoint: EndpointId, now: Timestamp) -> Result<Vec<StoredSecret>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Vec::new()) };
        self.read(|reader| reads::secrets(reader, &self.keyring, key, now))
    }

    fn backlog(&self, endpoint: EndpointId, limit: usize) -> Result<usize, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(0) };
        self.read(|reader| reads::backlog(reader, key, limit))
    }

    fn event(&self, scope: &Scope, event: EventId) -> Result<Option<Event>, StoreError> {
        self.read(|reader| views::event(reader, &self.ids, scope, event))
    }

    fn found_events(
        &self,
        scope: &Scope,
        search: &EventSearch,
        page: &PageRequest<EventId>,
    ) -> Result<Page<Event>, StoreError> {
        self.read_at_once(|reader| search::events_of(reader, &self.ids, scope, search, page))
    }

    fn index_end(&self) -> Result<Option<IndexEnd>, StoreError> {
        self.read_at_once(|reader| segments::end(reader, &self.ids))
    }

    fn begin_segment(&self) -> Result<SegmentDraft, StoreError> {
        self.read(segments::draft)
    }

    fn extend_segment(&self, draft: SegmentDraft, now: Timestamp, limit: usize) -> Result<SegmentDraft, StoreError> {
        let settled = first_key_at(now - SETTLED_AFTER);
        self.read_at_once(|reader| segments::extend(reader, &self.ids, draft.clone(), settled, limit))
    }

    fn event_outcomes(
        &self,
        scope: &Scope,
        event: &Event,
        endpoint: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<EventOutcome>, StoreError> {
        self.read_at_once(|reader| outcomes::event_outcomes(reader, &self.ids, scope, event, endpoint, limit))
    }

    fn outcome_counts(&self, scope: &Scope, events: &[EventId]) -> Result<HashMap<EventId, OutcomeCounts>, StoreError> {
        self.read_at_once(|reader| summaries::outcome_counts(reader, &self.ids, scope, events))
    }

    fn last_answers(&self, deliveries: &[DeliveryId]) -> Result<HashMap<DeliveryId, LastAnswer>, StoreError> {
        self.read(|reader| summaries::last_answers(reader, &self.ids, deliveries))
    }

    fn deliveries(
        &self,
        scope: &Scope,
        filter: &DeliveryFilter,
        page: &PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery>, StoreError> {
        self.read_at_once(|reader| listing::deliveries_of(reader, &self.ids, scope, filter, page))
    }

    fn delivery(&self, scope: &Scope, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(|reader| views::delivery(reader, &self.ids, scope, delivery))
    }

    fn pull(&self, scope: &Scope, endpoint: EndpointId, request: &PullRequest) -> Result<Option<Pulled>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(None) };
        // On no snapshot: what has settled is looked up first, and is there for whoever
        // reads behind that.
        self.read(|reader| pull::pull(reader, &self.ids, scope, key, request))
    }

    fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let Some(key) = self.ids.delivery_key(delivery) else { return Ok(Vec::new()) };
        self.read(|reader| views::attempts_of(reader, key))
    }

    fn standings(&self, endpoints: &[EndpointId]) -> Result<HashMap<EndpointId, EndpointStanding>, StoreError> {
        self.read(|reader| standing::standings(reader, &self.ids, endpoints))
    }

    fn first_in_order(&self, delivery: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
        self.read(|reader| standing::first_in_order(reader, &self.ids, delivery))
    }

    fn sent_settings(&self, endpoint: EndpointId, versions: &[u32]) -> Result<HashMap<u32, SentSettings>, StoreError> {
        self.read(|reader| standing::sent_settings(reader, &self.ids, endpoint, versions))
    }

    fn replays(&self, scope: &Scope, page: &PageRequest<ReplayId>) -> Result<Page<ReplaySummary>, StoreError> {
        self.read_at_once(|reader| replays::replays_of(reader, &self.ids, scope, page))
    }

    fn replays_to(
        &self,
        scope: &Scope,
        endpoint: EndpointId,
        page: &PageRequest<ReplayId>,
    ) -> Result<Page<ReplaySummary>, StoreError> {
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(Page::empty()) };
        self.read_at_once(|reader| replays::replays_to(reader, &self.ids, scope, key, page))
    }

    fn replay(&self, scope: &Scope, replay: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.read_at_once(|reader| replays::progress(reader, &self.ids, scope, replay))
    }

    fn preview_replay(
        &self,
        scope: &Scope,
        wanted: &WantedEndpoints,
        selection: &ReplaySelection,
        now: Timestamp,
    ) -> Result<Result<ReplayPreview, ReplayConflict>, StoreError> {
        self.read_at_once(|reader| replaying::preview(reader, &self.ids, scope, wanted, selection, now))
    }

    fn running_replays(
        &self,
        after: Option<ReplayId>,
        turns: &HashMap<ReplayId, EndpointId>,
        (limit, each): (usize, usize),
        now: Timestamp,
    ) -> Result<Vec<RunningReplay>, StoreError> {
        self.read_at_once(|reader| replays::running(reader, &self.ids, after, turns, (limit, each), now))
    }

    fn exhausted(&self, scope: &Scope, page: &PageRequest<EndpointId>) -> Result<Page<ExhaustedEndpoint>, StoreError> {
        self.read_at_once(|reader| exhausted::exhausted(reader, &self.ids, scope, page))
    }

    fn event_types(&self, environment: Environment) -> Result<Vec<TypeDefinition>, StoreError> {
        self.read(|reader| administration::event_types_of(reader, environment))
    }

    fn partner(&self, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
        self.read(|reader| administration::partner(reader, name))
    }

    fn partners(&self, page: &PageRequest<PartnerName>) -> Result<Page<Partner>, StoreError> {
        self.read(|reader| administration::partners(reader, page))
    }

    fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.read_at_once(brakes::brakes)
    }

    fn retentions(&self, scope: &Scope) -> Result<Option<Retentions>, StoreError> {
        self.read_at_once(|reader| retention::retentions(reader, scope))
    }

    fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.read(work::usage)
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        self.read(|reader| administration::key_by_hash(reader, &self.ids, hash))
    }

    fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let Some(key) = self.ids.api_key_key(id) else { return Ok(None) };
        self.read(|reader| administration::key(reader, &self.ids, key))
    }

    fn keys(&self, page: &PageRequest<KeyId>) -> Result<Page<KeyRecord>, StoreError> {
        self.read(|reader| administration::keys(reader, &self.ids, page))
    }

    fn portal_links(&self, partner: &PartnerName, page: &PageRequest<KeyId>) -> Result<Page<KeyRecord>, StoreError> {
        self.read(|reader| administration::portal_links(reader, &self.ids, partner, page))
    }

    fn audit(&self, filter: &AuditFilter, page: &PageRequest<u64>) -> Result<Page<AuditRecord>, StoreError> {
        self.read(|reader| audit::entries(reader, filter, page))
    }

    fn audit_chain(&self, after: i64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(|reader| audit::chain(reader, after, limit))
    }

    fn audit_end(&self) -> Result<AuditEnd, StoreError> {
        self.read_at_once(audit::end)
    }

    fn statistics(
        &self,
        scope: &Scope,
        endpoint: Option<EndpointId>,
        question: &StatisticsQuestion,
    ) -> Result<Vec<Counted>, StoreError> {
        let key = match endpoint {
            None => statistics::WHOLE,
            Some(endpoint) => match self.ids.endpoint_key(endpoint) {
                Some(key) => key,
                None => return Ok(Vec::new()),
            },
        };
        self.read_at_once(|reader| statistics::counted(reader, scope, key, question))
    }

    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    fn secret_for(&self, purpose: &str) -> [u8; 32] {
        self.ids.secret_for(purpose)
    }

    fn noted_keys(&self) -> Result<Vec<RingKeyId>, StoreError> {
        self.read(encryption::noted)
    }

    fn encryption_counts(
        &self,
        after: Option<EncryptedPlace>,
        limit: usize,
    ) -> Result<(EncryptionCounts, Option<EncryptedPlace>), StoreError> {
        self.read_at_once(|reader| encryption::counts(reader, after, limit))
    }

    fn restored(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(marks::restored)
    }

    fn span(&self, walk: Walk) -> Result<Option<(i64, i64)>, StoreError> {
        self.read_at_once(|reader| verifying::span(reader, walk))
    }

    fn inspect(&self, walk: Walk, slice: &Stretch) -> Result<Inspected, StoreError> {
        self.read_at_once(|reader| verifying::inspect(reader, &self.ids, walk, slice))
    }
}
