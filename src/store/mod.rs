//! What is durable, and the only way to it. [`Store`] reads, [`Transaction`]
//! writes; every method is one domain verb. All writing goes through the
//! [`journal`], which makes many callers' verbs one commit.
//!
//! What this room leaves to others: when to try again (`policy`), who may ask
//! (`auth`), what to say (`routes`). It knows no actix and no HTTP.

#[macro_use]
mod prepared;

mod accept;
pub mod audit;
mod births;
mod brakes;
mod certificate_row;
mod deliveries;
mod effect;
mod encryption;
mod endpoints;
pub mod erasure;
mod error;
mod fan_out;
mod filters;
mod harm;
mod ids;
pub mod journal;
mod keys;
mod leases;
mod marks;
pub mod moving;
mod page;
mod placing;
pub mod postgres;
mod pull;
mod reading;
mod replaying;
mod retention;
mod rows;
mod schema;
mod search;
pub mod sqlite;
mod standing;
mod statistics;
mod subscriptions;
pub mod verifying;
mod versions;

pub use accept::{Accept, Accepted, AcceptedEvent, Idempotency, NewEvent, ReliedOn};
pub use audit::{AuditEnd, AuditEntry, AuditFilter};
pub use brakes::Brake;
pub use deliveries::{
    AttemptKind, Birth, BornSince, DeliveryFilter, Due, EventOutcome, Lane, LastAnswer, OUTCOMES_MOST, OutcomeCounts,
    Payload, Place, Placed, Placing, Record, Recorded, Retired, Sighting, Skipped, Subscribed, Unplaced, Verdict,
    Waiting,
};
pub use effect::Effect;
pub use encryption::{EncryptedPlace, EncryptionCounts, Reencrypted, ReencryptedSlice, reencrypt};
pub use endpoints::{
    EndpointChange, EndpointConflict, EndpointRuntime, NewEndpoint, Rotation, RotationConflict, StoredSecret,
};
pub use error::{CommitError, StoreError};
pub use fan_out::{Begun, FanOut};
pub use harm::{
    AttemptSeen, Backlog, Harm, HarmFilter, HarmPlace, HarmPlaceError, HarmedEndpoint, Health, HealthError,
    PartnerStanding,
};
pub use journal::{Journal, JournalError, Notice};
pub use keys::{KeyRecord, LINKS_KEPT, NewKey, NewPortalLink, PortalLink};
pub use leases::{Fence, Lease, Leases, NodeRecord, NodeReport, Owner, Renewed};
pub use page::{Page, PageRequest};
pub use pull::{PullRequest, Pulled, PulledDelivery};
pub use reading::ReadPool;
pub use replaying::{
    BroughtForward, Dismissal, Dismissed, DismissedSlice, ExhaustedEndpoint, ExhaustedReason, NewReplay,
    ReplayConflict, ReplayPreview, ReplayProgress, ReplayRequest, ReplaySlice, ReplaySummary, Replayed, RunningReplay,
    RunningTarget, SelectedEvent, WantedEndpoints,
};
pub use retention::{Enforced, ErasedPartners, RetentionPlace, Retentions, Slice, StoreUsage, Unretained};
pub use search::{DroppedSegments, EventSearch, IndexEnd, SEGMENT_EVENTS, Segment, SegmentDraft, text_at};
pub use standing::{EndpointStanding, SentSettings};
pub use statistics::{Counted, CountedAbout, CountedTypes, Resolution, StatisticsQuestion};
pub use subscriptions::{Audience, Judged, Scope, ScopeId, SubscriptionCache, Subscriptions};
pub use versions::{Changes, Versions};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::TypeDefinition;
use crate::domain::{
    Attempt, AuditRecord, Delivery, DeliveryId, DisabledReason, Endpoint, EndpointId, Environment, Event, EventId,
    EventOrder, EventType, KeyId, NodeId, PartitionSet, Partner, PartnerName, ReplayId, ReplaySelection, ReplayState,
    RetentionDays, Setback, Timestamp, Trouble,
};
use crate::keyring::{Keyring, RingKeyId};

use verifying::{Inspected, Stretch, Walk};

/// Reads, and the one writer. Methods block: callers on an actor's or a
/// request's thread go through [`blocking`].
pub trait Store: Send + Sync + 'static {
    /// The store's one writer. Taken once, by the journal.
    fn writer(&self) -> Result<Box<dyn Writer>, StoreError>;

    /// The threads that its reads run on.
    fn reading(&self) -> &ReadPool;

    /// What its nodes agree on by, where there can be several; `None` where the
    /// process that opened it is the only one.
    fn leases(&self) -> Option<Arc<dyn Leases>>;

    /// How long a part of history is that goes as a whole: retention keeps what
    /// is finished up to that much longer. `None` where everything goes singly.
    fn history_part(&self) -> Option<Duration>;

    /// How often what is seldom changed has changed.
    fn versions(&self) -> Result<Versions, StoreError>;

    /// The same, and which endpoints changed since an earlier look.
    fn changes(&self, since: &Versions) -> Result<Changes, StoreError>;

    /// Answers when the store can be read.
    fn ping(&self) -> Result<(), StoreError>;

    /// What a scope's events are matched against, as it stands now; `None`
    /// when there is no such partner.
    fn subscriptions(&self, scope: &Scope) -> Result<Option<Subscriptions>, StoreError>;

    /// What an endpoint's actor works by; `None` when it does not exist or is
    /// deleted.
    fn endpoint_runtime(&self, endpoint: EndpointId, now: Timestamp) -> Result<Option<EndpointRuntime>, StoreError>;

    /// What is known of an endpoint's trouble.
    fn trouble(&self, endpoint: EndpointId) -> Result<Trouble, StoreError>;

    /// Up to `limit` unfinished deliveries of an endpoint's lane, earliest
    /// first, due now or later, behind `after` if it is given.
    fn due(&self, endpoint: EndpointId, lane: Lane, after: Option<Place>, limit: usize)
    -> Result<Vec<Due>, StoreError>;

    /// Up to `limit` deliveries of an endpoint that have no place in its order yet and
    /// should: those never tried, as they were accepted, and between them those for
    /// later whose time has come by `now`.
    fn unplaced(&self, endpoint: EndpointId, now: Timestamp, limit: usize) -> Result<Unplaced, StoreError>;

    /// Up to `limit` of an ordered endpoint's [`Lane::Retry`], earliest first, without
    /// those that have no place yet and should.
    fn placed(&self, endpoint: EndpointId, limit: usize) -> Result<Vec<Due>, StoreError>;

    /// The events' types and bytes, in no order; what is gone, or was erased, is left out.
    fn payloads(&self, events: &[EventId]) -> Result<Vec<Payload>, StoreError>;

    /// Endpoints of these partitions that are enabled and have unfinished
    /// deliveries, with the earliest time of each, from about `limit` endpoints
    /// behind `after`; and where to go on, if there are more. In an order of the
    /// store's own. What was never tried is due by `now`, whatever the clock said
    /// when it was accepted.
    fn waiting(
        &self,
        of: &PartitionSet,
        after: Option<EndpointId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<Waiting>, Option<EndpointId>), StoreError>;

    /// The first `limit` deliveries of these partitions that were accepted since
    /// then and never tried, in the order of their ids. What was accepted at the
    /// same time as another may be seen later than that one.
    fn born(&self, of: &PartitionSet, since: BornSince, limit: usize) -> Result<Vec<Sighting>, StoreError>;

    /// An endpoint of a scope, deleted ones left out.
    fn endpoint(&self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Endpoint>, StoreError>;

    /// A scope's endpoints, newest first, deleted ones left out.
    fn endpoints(&self, scope: &Scope, page: &PageRequest<EndpointId>) -> Result<Page<Endpoint>, StoreError>;

    /// Those of them that have one of these ids.
    fn endpoints_named(
        &self,
        scope: &Scope,
        ids: &[EndpointId],
        page: &PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, StoreError>;

    /// Those of them that have this URL, in its normal spelling.
    fn endpoints_at(
        &self,
        scope: &Scope,
        url: &str,
        page: &PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, StoreError>;

    /// A scope's live endpoints that fit, the most harmed first, and of those the newest. A
    /// page may be short of its limit, as with [`found_events`](Self::found_events).
    fn harmed(
        &self,
        scope: &Scope,
        filter: &HarmFilter,
        page: &PageRequest<HarmPlace>,
    ) -> Result<Page<HarmedEndpoint>, StoreError>;

    /// What waits for each of these endpoints, counted up to `limit`.
    fn backlogs(&self, endpoints: &[EndpointId], limit: usize) -> Result<HashMap<EndpointId, Backlog>, StoreError>;

    /// The last attempts, up to `limit`, of an endpoint's newest deliveries that were tried
    /// and of those that wait for their retry; the latest first.
    fn attempts_to(&self, endpoint: EndpointId, limit: usize) -> Result<Vec<AttemptSeen>, StoreError>;

    /// How each of these partners stands in an environment, each count up to `limit`. One
    /// that there is not is left out.
    fn partner_standings(
        &self,
        environment: Environment,
        partners: &[PartnerName],
        limit: usize,
    ) -> Result<HashMap<PartnerName, PartnerStanding>, StoreError>;

    /// The secrets that sign for an endpoint at this time, newest first.
    fn endpoint_secrets(&self, endpoint: EndpointId, now: Timestamp) -> Result<Vec<StoredSecret>, StoreError>;

    /// How many unfinished deliveries an endpoint has, counted up to `limit`.
    fn backlog(&self, endpoint: EndpointId, limit: usize) -> Result<usize, StoreError>;

    /// An event that the scope may see: its own, or one over all partners.
    fn event(&self, scope: &Scope, event: EventId) -> Result<Option<Event>, StoreError>;

    /// What the scope may see, newest first.
    fn events(&self, scope: &Scope, page: &PageRequest<EventId>) -> Result<Page<Event>, StoreError> {
        self.found_events(scope, &EventSearch::default(), page)
    }

    /// What of that fits, newest first. Where a page is short of its limit and says where
    /// the next one begins, so much was looked at that the rest is left to that.
    fn found_events(
        &self,
        scope: &Scope,
        search: &EventSearch,
        page: &PageRequest<EventId>,
    ) -> Result<Page<Event>, StoreError>;

    /// How far the search index has come; `None` where there is none yet.
    fn index_end(&self) -> Result<Option<IndexEnd>, StoreError>;

    /// The beginning of the index's next segment, with nothing in it.
    fn begin_segment(&self) -> Result<SegmentDraft, StoreError>;

    /// A segment with up to `limit` events more, as far as there are some that are
    /// settled: of those nothing can come to be in between any more.
    fn extend_segment(&self, draft: SegmentDraft, now: Timestamp, limit: usize) -> Result<SegmentDraft, StoreError>;

    /// What became of an event for each endpoint of the scope: those that existed
    /// when it was accepted, and then those that were made later and are still
    /// there. At most `limit`, those that got a delivery first; or of this endpoint alone.
    fn event_outcomes(
        &self,
        scope: &Scope,
        event: &Event,
        endpoint: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<EventOutcome>, StoreError>;

    /// How many of each event's endpoints of the scope are where, for a page of events: of
    /// one with very many endpoints, as far as is looked.
    fn outcome_counts(&self, scope: &Scope, events: &[EventId]) -> Result<HashMap<EventId, OutcomeCounts>, StoreError>;

    /// What each of these deliveries was answered last; one that was not tried is left out.
    fn last_answers(&self, deliveries: &[DeliveryId]) -> Result<HashMap<DeliveryId, LastAnswer>, StoreError>;

    /// A scope's deliveries, newest first. A page may be short of its limit, as with
    /// [`found_events`](Self::found_events).
    fn deliveries(
        &self,
        scope: &Scope,
        filter: &DeliveryFilter,
        page: &PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery>, StoreError>;

    /// One delivery of a scope.
    fn delivery(&self, scope: &Scope, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// What an endpoint was sent behind a number, in the order of numbers, whatever has
    /// become of it: nothing is passed over that is committed later. `None` when the scope
    /// has no such endpoint.
    fn pull(&self, scope: &Scope, endpoint: EndpointId, request: &PullRequest) -> Result<Option<Pulled>, StoreError>;

    /// A delivery's attempts, first to last.
    fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError>;

    /// How these endpoints stand, deleted ones too; one that does not exist is left out.
    fn standings(&self, endpoints: &[EndpointId]) -> Result<HashMap<EndpointId, EndpointStanding>, StoreError>;

    /// The delivery that one waits for which is queued in its endpoint's order. `None`
    /// where there is none any more.
    fn first_in_order(&self, delivery: DeliveryId) -> Result<Option<DeliveryId>, StoreError>;

    /// What an endpoint's requests were made of, by the version of its settings.
    fn sent_settings(&self, endpoint: EndpointId, versions: &[u32]) -> Result<HashMap<u32, SentSettings>, StoreError>;
    /// A scope's replays, newest first. Of all partners, those of the whole environment.
    fn replays(&self, scope: &Scope, page: &PageRequest<ReplayId>) -> Result<Page<ReplaySummary>, StoreError>;

    /// Those of them that are for this endpoint, among others or alone.
    fn replays_to(
        &self,
        scope: &Scope,
        endpoint: EndpointId,
        page: &PageRequest<ReplayId>,
    ) -> Result<Page<ReplaySummary>, StoreError>;

    /// One replay of a scope, and what became of what it made.
    fn replay(&self, scope: &Scope, replay: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// What a replay would do, as far as it is looked.
    fn preview_replay(
        &self,
        scope: &Scope,
        wanted: &WantedEndpoints,
        selection: &ReplaySelection,
        now: Timestamp,
    ) -> Result<Result<ReplayPreview, ReplayConflict>, StoreError>;

    /// The first running replays behind one of them, so many, each with so many of the
    /// endpoints that it is not done with: those behind the one that had the last turn, and
    /// then those before it. One without any has only to be finished.
    fn running_replays(
        &self,
        after: Option<ReplayId>,
        turns: &HashMap<ReplayId, EndpointId>,
        limits: (usize, usize),
        now: Timestamp,
    ) -> Result<Vec<RunningReplay>, StoreError>;

    /// A scope's endpoints that have exhausted deliveries, newest first, with their count
    /// by what they failed at.
    fn exhausted(&self, scope: &Scope, page: &PageRequest<EndpointId>) -> Result<Page<ExhaustedEndpoint>, StoreError>;

    /// An environment's catalog, by name.
    fn event_types(&self, environment: Environment) -> Result<Vec<TypeDefinition>, StoreError>;

    /// A partner by name.
    fn partner(&self, name: &PartnerName) -> Result<Option<Partner>, StoreError>;

    /// All partners, newest first; the cursor is the partner's name.
    fn partners(&self, page: &PageRequest<PartnerName>) -> Result<Page<Partner>, StoreError>;

    /// The brakes in force, the longest first.
    fn brakes(&self) -> Result<Vec<Brake>, StoreError>;

    /// For how long things of a scope are kept; `None` when there is no such partner.
    fn retentions(&self, scope: &Scope) -> Result<Option<Retentions>, StoreError>;

    /// How large the store is, and how far back it reaches.
    fn usage(&self) -> Result<StoreUsage, StoreError>;

    /// The key or link with this hash, revoked and expired ones included.
    fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError>;

    /// A key or link by its id.
    fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// All keys, newest first, without the links to the portal.
    fn keys(&self, page: &PageRequest<KeyId>) -> Result<Page<KeyRecord>, StoreError>;

    /// A partner's links to the portal, in both environments, newest first.
    fn portal_links(&self, partner: &PartnerName, page: &PageRequest<KeyId>) -> Result<Page<KeyRecord>, StoreError>;

    /// Entries of the audit log, newest first; the cursor is an entry's number.
    fn audit(&self, filter: &AuditFilter, page: &PageRequest<u64>) -> Result<Page<AuditRecord>, StoreError>;

    /// Up to `limit` entries of the audit log behind this number, in their order.
    fn audit_chain(&self, after: i64, limit: usize) -> Result<Vec<AuditRecord>, StoreError>;

    /// Where the audit log ends.
    fn audit_end(&self) -> Result<AuditEnd, StoreError>;

    /// What was counted for an endpoint or, where none is named, in sum over a scope: by
    /// type, if types were asked for, and time. What has nothing in it is left out.
    fn statistics(
        &self,
        scope: &Scope,
        endpoint: Option<EndpointId>,
        question: &StatisticsQuestion,
    ) -> Result<Vec<Counted>, StoreError>;

    /// What this process seals and opens values with.
    fn keyring(&self) -> &Keyring;

    /// A secret of this store's own for one purpose: the same on each of its nodes and
    /// after every start.
    fn secret_for(&self, purpose: &str) -> [u8; 32];

    /// The keys that values may be sealed with, whoever sealed them: a start needs them.
    fn noted_keys(&self) -> Result<Vec<RingKeyId>, StoreError>;

    /// With what the values of up to `limit` rows behind `after` are sealed, and where
    /// to go on, if there are more.
    fn encryption_counts(
        &self,
        after: Option<EncryptedPlace>,
        limit: usize,
    ) -> Result<(EncryptionCounts, Option<EncryptedPlace>), StoreError>;

    /// When the copy was taken that this store was restored from, if nobody has let it
    /// send since.
    fn restored(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The first and the last key of a walk over the store; `None` where there is
    /// nothing.
    fn span(&self, walk: Walk) -> Result<Option<(i64, i64)>, StoreError>;

    /// Looks at a slice of a walk for what should not be. All of it is seen at one
    /// moment.
    fn inspect(&self, walk: Walk, slice: &Stretch) -> Result<Inspected, StoreError>;
}

/// Turns verbs into commits. One at a time, by one thread.
pub trait Writer: Send {
    /// Runs `verbs` in one transaction, makes it durable, and says what became
    /// true, in order. `verbs` may run again after a failure, and must then do
    /// the same.
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError>;
}

/// What can be written. A verb that refuses for a reason of the domain has
/// written nothing; a [`StoreError`] undoes the whole transaction.
pub trait Transaction {
    /// Accepts events with all their deliveries, in order. Answers one
    /// [`Accepted`] for each [`Accept`].
    fn accept(&mut self, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError>;

    /// Begins to accept events that have too many deliveries for one commit:
    /// matches them against the subscriptions that hold now, and takes their
    /// ids. Until [`seal`](Self::seal) nothing of it is due, listed or counted.
    /// An idempotency key that was used before is answered at once.
    fn begin_large(&mut self, accept: &Accept) -> Result<Begun, StoreError>;

    /// Writes up to `limit` deliveries of what was begun, behind the first
    /// `from`, which were written before, and notes their numbers.
    fn accept_chunk(&mut self, fan_out: &mut FanOut, from: usize, limit: usize) -> Result<(), StoreError>;

    /// Makes what was begun true as a whole, once all its chunks are written:
    /// the events, all their deliveries, the idempotency key. Where somebody
    /// used the key meanwhile, that is the answer, and what was begun stays to
    /// be undone.
    fn seal(&mut self, accept: &Accept, fan_out: &FanOut) -> Result<Accepted, StoreError>;

    /// Whether something was begun and neither sealed nor undone.
    fn has_unsealed(&mut self) -> Result<bool, StoreError>;

    /// Undoes up to `limit` deliveries of what was begun and not sealed.
    /// Answers how many there were: fewer than `limit` means that nothing
    /// unsealed is left.
    fn undo_unsealed(&mut self, limit: usize) -> Result<usize, StoreError>;

    /// Undoes up to `limit` deliveries of what was begun by nodes that are gone.
    /// Answers how many there were.
    fn undo_abandoned(&mut self, limit: usize) -> Result<usize, StoreError>;

    /// Writes down outcomes. Answers one [`Recorded`] for each [`Record`].
    /// Writing the same record twice is the same as once. Those who subscribed to what
    /// one announces get it as an event, which is written along, the first time that
    /// the record is.
    fn record(&mut self, records: &[&Record]) -> Result<Vec<Recorded>, StoreError>;

    /// Makes an endpoint.
    fn create_endpoint(&mut self, new: &NewEndpoint) -> Result<Result<Endpoint, EndpointConflict>, StoreError>;

    /// Gives an endpoint its next version of settings.
    fn change_endpoint(&mut self, change: &EndpointChange) -> Result<Result<Endpoint, EndpointConflict>, StoreError>;

    /// Deletes an endpoint; its unfinished deliveries read as discarded from
    /// now on. False when there is none.
    fn delete_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<bool, StoreError>;

    /// Holds an endpoint's deliveries until [`resume_endpoint`](Self::resume_endpoint),
    /// whatever its settings say; they and their version stay as they are.
    /// Pausing a paused one changes nothing. `None` when there is none.
    fn pause_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError>;

    /// Ends the pause of an endpoint, if it has one: what its settings say holds
    /// again. `None` when there is none.
    fn resume_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError>;

    /// Holds all endpoints of a scope, those made later too, until
    /// [`release_brake`](Self::release_brake), whatever their settings and their
    /// partners say; these stay as they are. One that is set already stays since
    /// when it was, and a reason that is given is its reason from now on. `None`
    /// when there is no such partner.
    fn set_brake(&mut self, scope: &Scope, reason: Option<&str>) -> Result<Option<Effect<Brake>>, StoreError>;

    /// Releases the brake over exactly this scope: what its endpoints' settings and
    /// their partners say holds again, but for what another brake is over. False
    /// when there is none.
    fn release_brake(&mut self, scope: &Scope) -> Result<bool, StoreError>;

    /// Gives an endpoint a new secret; the ones it has sign beside it for a while, none
    /// longer than it would have. Where it signs in another way from now on, it has a new
    /// version of its settings that says so.
    fn rotate_secret(&mut self, rotation: &Rotation) -> Result<Result<(), RotationConflict>, StoreError>;

    /// Gives an endpoint its next version of settings, disabled for a reason that is
    /// kept until it is enabled again. False when it is gone, disabled already, or not
    /// failing although that is the reason. Whoever subscribed to that is told, with
    /// what it failed at last; where that is `None`, nobody is.
    fn disable_endpoint(
        &mut self,
        endpoint: EndpointId,
        reason: DisabledReason,
        setback: Option<&Setback>,
    ) -> Result<bool, StoreError>;

    /// Gives deliveries of an endpoint their places in this order, one
    /// after the other, behind all that have one: of those with the same key the first
    /// is due, and whichever follows becomes so when that has ended, however it does.
    /// What is not there any more, or has its place, is passed over. Where what the
    /// endpoint has is in another order, some of that is undone instead, as it is
    /// where `order` is `None`.
    fn place_deliveries(
        &mut self,
        endpoint: EndpointId,
        order: Option<&EventOrder>,
        placings: &[Placing],
        fence: Option<Fence>,
    ) -> Result<Placed, StoreError>;

    /// Discards an unfinished delivery of a scope by hand.
    fn skip_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Skipped, StoreError>;

    /// Leaves an exhausted delivery of a scope at that: it is discarded.
    fn dismiss_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Dismissed, StoreError>;

    /// Leaves those of an endpoint's exhausted deliveries at that which are meant, among
    /// up to `limit` that come before one of them, the newest first. One that was replayed
    /// since is passed over. `None` where there is no such endpoint.
    fn dismiss_exhausted(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        meant: &Dismissal,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<DismissedSlice>, StoreError>;

    /// Makes up to `limit` of an endpoint's retries due now, behind a place, and has the
    /// next attempt wait neither for the breaker nor for a rest that the receiver asked for.
    /// What is for later stays so.
    fn bring_forward(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<BroughtForward, StoreError>;

    /// Begins a replay: what it selects was accepted before this.
    fn create_replay(&mut self, new: &NewReplay) -> Result<Result<ReplaySummary, ReplayConflict>, StoreError>;

    /// Looks on through an endpoint's events for a replay, makes what it selects, and
    /// remembers how far it has come. What it has made once it never makes again.
    fn carry_on_replay(&mut self, slice: &ReplaySlice) -> Result<Replayed, StoreError>;

    /// Finishes a running replay that is done with all the endpoints that it has left: some
    /// may have been erased. Answers whether it did.
    fn finish_replay(&mut self, replay: ReplayId) -> Result<bool, StoreError>;

    /// Ends a replay of the scope, if it runs; what it has made stays. Answers how it stands;
    /// `None` when there is none.
    fn cancel_replay(&mut self, scope: &Scope, replay: ReplayId) -> Result<Option<Effect<ReplayState>>, StoreError>;

    /// Removes up to about `limit` rows of replays from before `horizon`: deliveries of theirs
    /// that ended before it, and those that have none left. What their endpoints hold is
    /// discarded. Answers how many rows that were.
    fn retire_replays(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Discards an unfinished delivery that nobody should get any more. Answers
    /// where it stands now; `None` while somebody else is about to end it.
    fn expire_delivery(&mut self, delivery: DeliveryId, fence: Option<Fence>) -> Result<Option<Recorded>, StoreError>;

    /// Asks for one more attempt of a delivery, by hand. Asking again before
    /// it was made changes nothing, and is answered with false, as it is where the payload
    /// was erased.
    fn request_attempt(&mut self, delivery: DeliveryId) -> Result<bool, StoreError>;

    /// Writes down up to `limit` deliveries of deleted endpoints as
    /// discarded. Answers how many there were.
    fn discard_deleted(&mut self, limit: usize) -> Result<usize, StoreError>;

    /// Looks at up to `limit` events accepted before `horizon`, behind
    /// `after`, and at fewer once that many rows are gone. Held deliveries
    /// among theirs are discarded; an event of which nothing is unfinished,
    /// and nothing finished since `horizon`, is removed with its deliveries
    /// and attempts.
    fn retire(&mut self, horizon: Timestamp, after: Option<EventId>, limit: usize) -> Result<Retired, StoreError>;

    /// Drops whole parts of history of which all is as old as [`retire`](Self::retire)
    /// asks for, and makes the parts that will be needed next. Answers how many
    /// went. Nothing to do where everything goes singly.
    fn drop_history(&mut self, horizon: Timestamp) -> Result<usize, StoreError>;

    /// Removes up to `limit` idempotency keys that no longer hold. Answers how
    /// many there were.
    fn forget_idempotency_keys(&mut self, limit: usize) -> Result<usize, StoreError>;

    /// Writes down the search index's next segment. False, and nothing written, where
    /// the index has come further since that was begun.
    fn add_segment(&mut self, segment: &Segment) -> Result<bool, StoreError>;

    /// Drops those among up to `limit` of the oldest segments behind `after` of which no
    /// event is left.
    fn drop_segments(&mut self, after: Option<i64>, limit: usize) -> Result<DroppedSegments, StoreError>;
    /// Keeps things of a scope for so long from now on. `None` when there is no such
    /// partner.
    fn set_retention(
        &mut self,
        scope: &Scope,
        days: RetentionDays,
    ) -> Result<Option<Effect<RetentionDays>>, StoreError>;

    /// Goes through a slice of what is kept longer than its scope's settings say, behind a
    /// place: payloads that nobody needs, attempts, held and exhausted deliveries. Settings of
    /// `most_days` or more ask for nothing: that is how long anything is kept.
    fn enforce_retention(
        &mut self,
        most_days: u32,
        after: Option<RetentionPlace>,
        slice: Slice,
    ) -> Result<Enforced, StoreError>;

    /// Erases payloads, behind an event's key, that their producers did not want kept and of
    /// which all is delivered or discarded, with what receivers answered.
    fn erase_unretained(&mut self, after: Option<i64>, slice: Slice) -> Result<Unretained, StoreError>;

    /// Begins to erase a partner, in both environments: from this commit on its keys open
    /// nothing, its endpoints are deleted, and nobody finds or accepts anything of it.
    /// `None` when there is no such partner.
    fn begin_erasing(&mut self, partner: &PartnerName) -> Result<Option<Effect<Partner>>, StoreError>;

    /// Erases a slice of the partners that are being erased. Of those of whom nothing is left
    /// the name is free.
    fn erase_partners(&mut self, slice: Slice) -> Result<ErasedPartners, StoreError>;

    /// What the very first start of a store does: makes the partner `default`
    /// and fills both catalogs. False at any later start, and nothing done, but once
    /// where the store was made before types were indexed by fields.
    fn first_start(&mut self, types: &[TypeDefinition]) -> Result<bool, StoreError>;

    /// Adds event types or replaces them. Answers how many were not there just so.
    fn put_event_types(&mut self, environment: Environment, types: &[TypeDefinition]) -> Result<usize, StoreError>;

    /// Takes an event type out of the catalog. False when there is none.
    fn delete_event_type(&mut self, environment: Environment, name: &EventType) -> Result<bool, StoreError>;

    /// Makes a partner; `None` when the name is taken.
    fn create_partner(&mut self, name: &PartnerName) -> Result<Option<Partner>, StoreError>;

    /// Makes a key.
    fn create_key(&mut self, new: &NewKey) -> Result<KeyRecord, StoreError>;

    /// Makes a link to the portal, and forgets a few that ended long ago.
    fn create_portal_link(&mut self, new: &NewPortalLink) -> Result<KeyRecord, StoreError>;

    /// Opens the link with this hash, for whoever is first where it opens once. `None`
    /// when it opens nothing (any more).
    fn spend_portal_link(&mut self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError>;

    /// Makes a key or link useless from now on. False when there is none, or it
    /// was revoked before.
    fn revoke_key(&mut self, key: KeyId) -> Result<bool, StoreError>;

    /// Notes when keys were last used, unless they are known to have been used later.
    fn note_key_uses(&mut self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;

    /// Writes down what a run of a node has counted in a minute so far, in place of what
    /// it wrote of that minute before.
    fn note_statistics(&mut self, writer: NodeId, counted: &[(CountedAbout, Counted)]) -> Result<(), StoreError>;

    /// Makes up to `limit` counts of minutes before `horizon` part of their hours'.
    /// Answers how many there were.
    fn roll_up_statistics(&mut self, horizon: Timestamp, writer: NodeId, limit: usize) -> Result<usize, StoreError>;

    /// Removes up to `limit` counts of hours before `horizon`. Answers how many there
    /// were.
    fn forget_statistics(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Has this written into the audit log at the end of this transaction, and with it:
    /// whatever undoes the one undoes the other.
    fn audit(&mut self, entry: &AuditEntry);

    /// Seals the secrets in up to `limit` rows behind `after` with the current key,
    /// those of every version of the settings and of deleted endpoints too.
    fn reencrypt(&mut self, after: Option<EncryptedPlace>, limit: usize) -> Result<ReencryptedSlice, StoreError>;

    /// Gives up the keys, but for the current one, that no value is sealed with: a start
    /// needs them no more. Answers which they are.
    fn release_unused_keys(&mut self) -> Result<Vec<RingKeyId>, StoreError>;

    /// Lets a store that was restored from a copy send again. False where it was not,
    /// or somebody has done so already.
    fn forget_restored(&mut self) -> Result<bool, StoreError>;
}

/// A read that takes longer than this has been swallowed somewhere between here and
/// the store.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Runs a read on the store's own threads.
pub async fn blocking<T, F>(store: &Arc<dyn Store>, read: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
{
    let reader = Arc::clone(store);
    let read = store.reading().run(move || read(reader.as_ref()));
    let unanswered = |_| Err(StoreError::Unavailable(format!("no answer within {READ_WITHIN:?}")));
    tokio::time::timeout(READ_WITHIN, read).await.unwrap_or_else(unanswered)
}
