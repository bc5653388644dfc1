//! What one transaction writes. Each verb is in the file of its noun; hot ones
//! (accept, record) write whole batches with one statement each, the rare ones
//! are plain diesel.

mod accepting;
#[path = "../../common/writing/administration.rs"]
mod administration;
#[path = "../../common/writing/announcing.rs"]
mod announcing;
#[path = "../../common/writing/asking.rs"]
mod asking;
#[path = "../../common/writing/audit.rs"]
mod audit;
#[path = "../../common/writing/brakes.rs"]
mod brakes;
#[path = "../../common/writing/discarding.rs"]
mod discarding;
#[path = "../../common/writing/encryption.rs"]
mod encryption;
#[path = "../../common/writing/endpoints.rs"]
mod endpoints;
mod erasable;
#[path = "../../common/writing/erasing.rs"]
mod erasing;
#[path = "../../common/writing/hurrying.rs"]
mod hurrying;
#[path = "../../common/writing/idempotency.rs"]
mod idempotency;
mod large;
mod moving;
mod ordering;
#[path = "../../common/writing/payloads.rs"]
mod payloads;
#[path = "../../common/writing/placing.rs"]
mod placing;
#[path = "../../common/writing/portal_links.rs"]
mod portal_links;
mod recording;
#[path = "../../common/writing/replaying.rs"]
mod replaying;
#[path = "../../common/writing/retention.rs"]
mod retention;
#[path = "../../common/writing/search.rs"]
mod search;
#[path = "../../common/writing/signing.rs"]
mod signing;
#[path = "../../common/writing/statistics.rs"]
mod statistics;
#[path = "../../common/writing/trouble.rs"]
mod trouble;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;

use crate::catalog::TypeDefinition;
use crate::domain::{
    AuditHead, DeliveryId, DisabledReason, Endpoint, EndpointId, Environment, EventId, EventOrder, EventType, KeyId,
    NodeId, Partner, PartnerName, ReplayId, ReplayState, RetentionDays, Setback, Timestamp,
};
use crate::keyring::{Keyring, RingKeyId};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::marks::RESTORED;
use crate::store::postgres::numbers::Wanted;
use crate::store::postgres::writer::{Beside, Taken};
use crate::store::postgres::{
    audit as read_audit, encryption as stored_encryption, marks, reads, statements, translate,
};
use crate::store::schema::{api_keys, audit_head, meta};
use crate::store::statistics::{StatisticsKey, StatisticsRow};
use crate::store::{
    Accept, Accepted, AuditEntry, Begun, Brake, BroughtForward, Counted, CountedAbout, Dismissal, Dismissed,
    DismissedSlice, DroppedSegments, Effect, EncryptedPlace, EndpointChange, EndpointConflict, Enforced,
    ErasedPartners, FanOut, Fence, KeyRecord, NewEndpoint, NewKey, NewPortalLink, NewReplay, Notice, Place, Placed,
    Placing, Record, Recorded, ReencryptedSlice, ReliedOn, ReplayConflict, ReplaySlice, ReplaySummary, Replayed,
    RetentionPlace, Retired, Rotation, RotationConflict, Scope, ScopeId, Segment, Skipped, Slice, StoreError,
    Subscriptions, Transaction, Unretained,
};

/// How long an idempotency key holds (`product.md`: 24 h).
const IDEMPOTENCY_HOLDS_MS: i64 = 24 * 3600 * 1000;

/// A transaction that was under way on another node has ended so long afterwards.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// What the files shared with other backends call it.
type Tx<'a> = PostgresTransaction<'a>;

/// One open transaction.
pub(super) struct PostgresTransaction<'a> {
    connection: &'a mut PgConnection,
    ids: &'a IdCodec,
    keyring: &'a Keyring,
    beside: &'a mut Beside,
    node: NodeId,
    now: Timestamp,
    notices: Vec<Notice>,
    /// What it did that is to be known later; written last.
    audits: Vec<AuditEntry>,
    /// Versions of scopes and of what is kept in memory, as this transaction has
    /// seen them; the latter by the numbers of `statements::versions`.
    versions: HashMap<i64, i64>,
    /// Some of those were changed, or locked, by this transaction.
    has_changed_versions: bool,
    /// What was loaded anew because a request's snapshot was outdated.
    reloaded: HashMap<ScopeId, Arc<Subscriptions>>,
}

impl<'a> PostgresTransaction<'a> {
    pub(super) fn new(
        connection: &'a mut PgConnection,
        ids: &'a IdCodec,
        keyring: &'a Keyring,
        beside: &'a mut Beside,
        node: NodeId,
        now: Timestamp,
    ) -> Self {
        let (notices, audits, versions, reloaded) = (Vec::new(), Vec::new(), HashMap::new(), HashMap::new());
        let has_changed_versions = false;
        Self { connection, ids, keyring, beside, node, now, notices, audits, versions, has_changed_versions, reloaded }
    }

    /// Writes what only the whole transaction can say. Nothing is to be done after it.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        audit::write(self)
    }

    pub(super) fn into_notices(self) -> Vec<Notice> {
        self.notices
    }

    /// Reads the versions of these scopes, and of all that is kept in memory, in
    /// one go.
    fn see_versions(&mut self, scopes: &[i64]) -> Result<(), StoreError> {
        let unseen: Vec<i64> = scopes.iter().copied().filter(|scope| !self.versions.contains_key(scope)).collect();
        if !unseen.is_empty() || !self.versions.contains_key(&-1) {
            let rows = statements::versions(self.connection, &unseen).map_err(translate)?;
            self.versions.extend(rows);
        }
        Ok(())
    }

    fn seen_version(&self, of: i64) -> Result<i64, StoreError> {
        let missing = || StoreError::Corrupt(format!("no version of {of}"));
        self.versions.get(&of).copied().ok_or_else(missing)
    }

    fn scope_version(&mut self, scope: ScopeId) -> Result<i64, StoreError> {
        self.see_versions(&[scope.0])?;
        self.seen_version(scope.0)
    }

    /// The version of a scope; `None` where its partner is erased, or is being.
    fn stands(&mut self, scope: ScopeId) -> Result<Option<i64>, StoreError> {
        self.see_versions(&[scope.0])?;
        Ok(self.versions.get(&scope.0).copied())
    }

    /// What changed here holds for the rest of the transaction.
    fn learn_version(&mut self, scope: ScopeId, version: i64) {
        self.has_changed_versions = true;
        self.versions.insert(scope.0, version);
        self.reloaded.remove(&scope);
    }

    /// Many scopes changed here: they are looked at anew.
    fn forget_scopes(&mut self) {
        self.has_changed_versions = true;
        self.versions.retain(|of, _| *of < 0);
        self.reloaded.clear();
    }

    /// Whether what a request relied on still holds.
    fn still_holds(&mut self, scope: ScopeId, relied_on: Option<ReliedOn>) -> Result<bool, StoreError> {
        let Some(relied_on) = relied_on else { return Ok(true) };
        self.see_versions(&[])?;
        let catalog = self.seen_version(-2 - scope.environment().0)?;
        Ok(self.seen_version(-1)? == relied_on.keys && catalog == relied_on.catalog)
    }

    fn forget_versions(&mut self) {
        self.has_changed_versions = true;
        self.versions.retain(|of, _| *of >= 0);
    }

    /// Waits for whoever else changes endpoints of the environment: from here on
    /// nobody does before this transaction ends.
    fn lock_endpoints(&mut self, scope: ScopeId) -> Result<(), StoreError> {
        let clock = scope.environment();
        self.has_changed_versions = true;
        for (version,) in statements::lock_clock(self.connection, clock.0).map_err(translate)? {
            if self.versions.insert(clock.0, version).is_some_and(|seen| seen != version) {
                // Whatever was seen before it was waited for may be outdated.
                self.versions.retain(|of, _| *of == clock.0 || *of < 0);
                self.reloaded.clear();
            }
        }
        Ok(())
    }

    /// Of these keys those that no other transaction has in hand. Waiting for one could
    /// be waiting for somebody who waits for this one.
    fn lock_keys(&mut self, keys: &[i64]) -> Result<Vec<i64>, StoreError> {
        api_keys::table
            .filter(api_keys::id.eq_any(keys))
            .select(api_keys::id)
            .for_update()
            .skip_locked()
            .load(self.connection)
            .map_err(translate)
    }

    /// What is written down under these keys.
    fn stored_statistics(&mut self, keys: &[StatisticsKey]) -> Result<Vec<StatisticsRow>, StoreError> {
        let found = statements::statistics_rows(
            self.connection,
            &keys.iter().map(|key| key.resolution).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.scope).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.endpoint).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.bucket).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.event_type.as_str()).collect::<Vec<_>>(),
            &keys.iter().map(|key| key.writer).collect::<Vec<_>>(),
        );
        let row = |(resolution, scope, endpoint, bucket, event_type, writer, tally)| StatisticsRow {
            key: StatisticsKey { resolution, scope, endpoint, bucket, event_type, writer },
            tally,
        };
        Ok(found.map_err(translate)?.into_iter().map(row).collect())
    }

    /// Writes rows, in place of those that are there under their keys. Each is this
    /// node's own, so that nobody waits for anybody.
    fn put_statistics(&mut self, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        statements::put_statistics(
            self.connection,
            &rows.iter().map(|row| row.key.resolution).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.key.scope).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.key.endpoint).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.key.bucket).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.key.event_type.as_str()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.key.writer).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.tally.as_slice()).collect::<Vec<_>>(),
        )
        .map_err(translate)?;
        Ok(())
    }

    /// The head of the audit log, once nobody else has it: from here on nobody adds to the
    /// log before this transaction ends.
    fn lock_audit_head(&mut self) -> Result<AuditHead, StoreError> {
        let row = audit_head::table.select((audit_head::number, audit_head::hash)).for_update().first(self.connection);
        read_audit::head_of(row.optional().map_err(translate)?)
    }

    /// Takes the note of the key that seals in hand, making it if it is not there: as
    /// long as this transaction is open, no other node finds that nothing needs it.
    fn note_key(&mut self) -> Result<(), StoreError> {
        let Some(key) = self.keyring.current() else { return Ok(()) };
        let name = stored_encryption::note_of(key);
        loop {
            let held: Option<String> = meta::table
                .find(&name)
                .select(meta::name)
                .for_key_share()
                .first(self.connection)
                .optional()
                .map_err(translate)?;
            if held.is_some() {
                return Ok(());
            }
            stored_encryption::note(self.connection, self.keyring)?;
        }
    }

    /// Waits for whoever seals with a key, and lets nobody else.
    fn lock_note(&mut self, key: &RingKeyId) -> Result<(), StoreError> {
        let note = meta::table.find(stored_encryption::note_of(key)).select(meta::name).for_update();
        let _: Option<String> = note.first(self.connection).optional().map_err(translate)?;
        Ok(())
    }

    /// What is replaced stays in the table's pages until they are cleaned up: that is
    /// the server's to do.
    fn begin_wiping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// See [`begin_wiping`](Self::begin_wiping).
    fn end_wiping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn take_keys(&mut self, count: usize) -> Result<RowKey, StoreError> {
        self.beside.take_keys(self.now, count)
    }

    /// So many row keys, and a number for each of these endpoints' next deliveries, in
    /// this order.
    fn take_keys_and_numbers(
        &mut self,
        count: usize,
        endpoints: &[EndpointId],
    ) -> Result<(RowKey, Vec<i64>), StoreError> {
        let wanted = self.wanted(endpoints)?;
        let Taken { keys, mut numbers, .. } = self.beside.take(self.now, count, &wanted, &[])?;
        let numbers = endpoints.iter().map(|endpoint| numbers.next(*endpoint)).collect::<Result<_, _>>()?;
        Ok((keys.map_or(0, |keys| keys.first), numbers))
    }

    /// How many numbers deliveries to these endpoints take.
    fn wanted<'e>(&self, endpoints: impl IntoIterator<Item = &'e EndpointId>) -> Result<Wanted, StoreError> {
        let mut wanted = Wanted::default();
        for endpoint in endpoints {
            wanted.add(*endpoint, || self.endpoint_key(*endpoint))?;
        }
        Ok(wanted)
    }

    /// The subscriptions that hold now: the caller's, unless they changed since it
    /// looked. `None` where the partner is erased, or is being.
    fn current(&mut self, seen: &Arc<Subscriptions>) -> Result<Option<Arc<Subscriptions>>, StoreError> {
        if self.stands(seen.id)? == Some(seen.version) {
            return Ok(Some(Arc::clone(seen)));
        }
        seen.mark_outdated();
        if let Some(reloaded) = self.reloaded.get(&seen.id) {
            return Ok(Some(Arc::clone(reloaded)));
        }
        // Each statement sees what is committed when it begins: what was read is of
        // one version if that stands before and behind it.
        loop {
            let Some(version) = self.stands(seen.id)? else { return Ok(None) };
            let loaded = reads::subscriptions_of(self.connection, self.ids, seen.id, version)?;
            self.versions.remove(&seen.id.0);
            if self.stands(seen.id)? == Some(version) {
                let loaded = Arc::new(loaded);
                self.reloaded.insert(seen.id, Arc::clone(&loaded));
                return Ok(Some(loaded));
            }
        }
    }

    /// Of these events those whose payload is there: whoever is about to erase one waits
    /// until this transaction has ended, or leaves it.
    fn lock_payloads(&mut self, events: &[RowKey]) -> Result<Vec<RowKey>, StoreError> {
        erasable::payloads_locked(self, events, "FOR SHARE")
    }

    /// The same, for whoever is about to erase them: without those that somebody else has
    /// locked. What needs one of them has committed by now, or waits and finds it gone.
    fn claim_payloads(&mut self, events: &[RowKey]) -> Result<Vec<RowKey>, StoreError> {
        erasable::payloads_locked(self, events, "FOR UPDATE SKIP LOCKED")
    }

    /// Whether what was being accepted for a partner when its erasure began has ended by
    /// now, on whichever node.
    fn has_settled(&self, since: Timestamp) -> bool {
        self.now.since(since) >= SETTLED_AFTER
    }

    /// Who of these scopes, and who of all partners, subscribed to Posthaste's own events:
    /// all who were told so before this is called, by whichever node.
    fn listeners(&mut self, scopes: &[ScopeId]) -> Result<HashMap<ScopeId, Subscriptions>, StoreError> {
        let clocks: HashSet<ScopeId> = scopes.iter().map(|scope| scope.environment()).collect();
        let mut before = self.clocks_now(&clocks)?;
        // What was read is of one version if that stands before and behind it.
        loop {
            let found = reads::listeners_of(self.connection, self.ids, scopes, &before)?;
            let behind = self.clocks_now(&clocks)?;
            if before == behind {
                return Ok(found);
            }
            before = behind;
        }
    }

    /// These environments' clocks, whatever was seen of them earlier.
    fn clocks_now(&mut self, clocks: &HashSet<ScopeId>) -> Result<HashMap<ScopeId, i64>, StoreError> {
        let numbers: Vec<i64> = clocks.iter().map(|clock| clock.0).collect();
        self.versions.retain(|of, _| !numbers.contains(of));
        self.see_versions(&numbers)?;
        clocks.iter().map(|clock| Ok((*clock, self.seen_version(clock.0)?))).collect()
    }

    fn endpoint_key(&self, endpoint: EndpointId) -> Result<RowKey, StoreError> {
        self.ids
            .endpoint_key(endpoint)
            .ok_or_else(|| StoreError::Constraint(format!("{endpoint} is not of this store")))
    }

    fn event_key(&self, event: EventId) -> Result<RowKey, StoreError> {
        self.ids.event_key(event).ok_or_else(|| StoreError::Constraint(format!("{event} is not of this store")))
    }
}

impl Transaction for PostgresTransaction<'_> {
    fn accept(&mut self, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError> {
        accepting::accept(self, accepts)
    }

    fn begin_large(&mut self, accept: &Accept) -> Result<Begun, StoreError> {
        large::begin(self, accept)
    }

    fn accept_chunk(&mut self, fan_out: &mut FanOut, from: usize, limit: usize) -> Result<(), StoreError> {
        large::write_chunk(self, fan_out, from, limit)
    }

    fn seal(&mut self, accept: &Accept, fan_out: &FanOut) -> Result<Accepted, StoreError> {
        large::seal(self, accept, fan_out)
    }

    fn has_unsealed(&mut self) -> Result<bool, StoreError> {
        large::has_unsealed(self)
    }

    fn undo_unsealed(&mut self, limit: usize) -> Result<usize, StoreError> {
        large::undo(self, limit)
    }

    fn undo_abandoned(&mut self, limit: usize) -> Result<usize, StoreError> {
        large::undo_abandoned(self, limit)
    }

    fn record(&mut self, records: &[&Record]) -> Result<Vec<Recorded>, StoreError> {
        let heard_of = announcing::heard_of(self, records)?;
        let recorded = recording::record(self, records)?;
        let learnt = trouble::learn(self, records, &recorded)?;
        announcing::announce(self, &heard_of, records, &recorded, &learnt)?;
        Ok(recorded)
    }

    fn create_endpoint(&mut self, new: &NewEndpoint) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        endpoints::create(self, new)
    }

    fn change_endpoint(&mut self, change: &EndpointChange) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        endpoints::change(self, change)
    }

    fn delete_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<bool, StoreError> {
        endpoints::delete(self, scope, endpoint)
    }

    fn pause_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError> {
        endpoints::pause(self, scope, endpoint)
    }

    fn resume_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError> {
        endpoints::resume(self, scope, endpoint)
    }

    fn set_brake(&mut self, scope: &Scope, reason: Option<&str>) -> Result<Option<Effect<Brake>>, StoreError> {
        brakes::set(self, scope, reason)
    }

    fn release_brake(&mut self, scope: &Scope) -> Result<bool, StoreError> {
        brakes::release(self, scope)
    }

    fn rotate_secret(&mut self, rotation: &Rotation) -> Result<Result<(), RotationConflict>, StoreError> {
        endpoints::rotate_secret(self, rotation)
    }

    fn disable_endpoint(
        &mut self,
        endpoint: EndpointId,
        reason: DisabledReason,
        setback: Option<&Setback>,
    ) -> Result<bool, StoreError> {
        trouble::disable(self, endpoint, reason, setback)
    }

    fn place_deliveries(
        &mut self,
        endpoint: EndpointId,
        order: Option<&EventOrder>,
        placings: &[Placing],
        fence: Option<Fence>,
    ) -> Result<Placed, StoreError> {
        placing::place(self, endpoint, order, placings, fence)
    }

    fn skip_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Skipped, StoreError> {
        discarding::skip(self, scope, delivery)
    }

    fn dismiss_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Dismissed, StoreError> {
        discarding::dismiss(self, scope, delivery)
    }

    fn dismiss_exhausted(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        meant: &Dismissal,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<DismissedSlice>, StoreError> {
        discarding::dismiss_exhausted(self, scope, endpoint, meant, before, limit)
    }

    fn bring_forward(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<BroughtForward, StoreError> {
        hurrying::bring_forward(self, scope, endpoint, after, limit)
    }

    fn create_replay(&mut self, new: &NewReplay) -> Result<Result<ReplaySummary, ReplayConflict>, StoreError> {
        replaying::create(self, new)
    }

    fn carry_on_replay(&mut self, slice: &ReplaySlice) -> Result<Replayed, StoreError> {
        replaying::carry_on(self, slice)
    }

    fn finish_replay(&mut self, replay: ReplayId) -> Result<bool, StoreError> {
        replaying::finish(self, replay)
    }

    fn cancel_replay(&mut self, scope: &Scope, replay: ReplayId) -> Result<Option<Effect<ReplayState>>, StoreError> {
        replaying::cancel(self, scope, replay)
    }

    fn retire_replays(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
        replaying::retire(self, horizon, limit)
    }

    fn expire_delivery(&mut self, delivery: DeliveryId, fence: Option<Fence>) -> Result<Option<Recorded>, StoreError> {
        discarding::expire(self, delivery, fence)
    }

    fn request_attempt(&mut self, delivery: DeliveryId) -> Result<bool, StoreError> {
        asking::request_attempt(self, delivery)
    }

    fn discard_deleted(&mut self, limit: usize) -> Result<usize, StoreError> {
        upkeep::discard_deleted(self, limit)
    }

    fn retire(&mut self, horizon: Timestamp, after: Option<EventId>, limit: usize) -> Result<Retired, StoreError> {
        upkeep::retire(self, horizon, after, limit)
    }

    fn drop_history(&mut self, horizon: Timestamp) -> Result<usize, StoreError> {
        upkeep::drop_history(self, horizon)
    }

    fn forget_idempotency_keys(&mut self, limit: usize) -> Result<usize, StoreError> {
        upkeep::forget_idempotency_keys(self, limit)
    }

    fn add_segment(&mut self, segment: &Segment) -> Result<bool, StoreError> {
        search::add_segment(self, segment)
    }

    fn drop_segments(&mut self, after: Option<i64>, limit: usize) -> Result<DroppedSegments, StoreError> {
        search::drop_segments(self, after, limit)
    }

    fn set_retention(
        &mut self,
        scope: &Scope,
        days: RetentionDays,
    ) -> Result<Option<Effect<RetentionDays>>, StoreError> {
        retention::set(self, scope, days)
    }

    fn enforce_retention(
        &mut self,
        most_days: u32,
        after: Option<RetentionPlace>,
        slice: Slice,
    ) -> Result<Enforced, StoreError> {
        retention::enforce(self, most_days, after, slice)
    }

    fn erase_unretained(&mut self, after: Option<i64>, slice: Slice) -> Result<Unretained, StoreError> {
        payloads::erase_unretained(self, after, slice)
    }

    fn begin_erasing(&mut self, partner: &PartnerName) -> Result<Option<Effect<Partner>>, StoreError> {
        erasing::begin(self, partner)
    }

    fn erase_partners(&mut self, slice: Slice) -> Result<ErasedPartners, StoreError> {
        erasing::erase(self, slice)
    }

    fn first_start(&mut self, types: &[TypeDefinition]) -> Result<bool, StoreError> {
        administration::first_start(self, types)
    }

    fn put_event_types(&mut self, environment: Environment, types: &[TypeDefinition]) -> Result<usize, StoreError> {
        administration::put_event_types(self, environment, types)
    }

    fn delete_event_type(&mut self, environment: Environment, name: &EventType) -> Result<bool, StoreError> {
        administration::delete_event_type(self, environment, name)
    }

    fn create_partner(&mut self, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
        administration::create_partner(self, name)
    }

    fn create_key(&mut self, new: &NewKey) -> Result<KeyRecord, StoreError> {
        administration::create_key(self, new)
    }

    fn create_portal_link(&mut self, new: &NewPortalLink) -> Result<KeyRecord, StoreError> {
        portal_links::create(self, new)
    }

    fn spend_portal_link(&mut self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        portal_links::spend(self, hash)
    }

    fn revoke_key(&mut self, key: KeyId) -> Result<bool, StoreError> {
        administration::revoke_key(self, key)
    }

    fn note_key_uses(&mut self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        administration::note_key_uses(self, uses)
    }

    fn note_statistics(&mut self, writer: NodeId, counted: &[(CountedAbout, Counted)]) -> Result<(), StoreError> {
        statistics::note(self, writer, counted)
    }

    fn roll_up_statistics(&mut self, horizon: Timestamp, writer: NodeId, limit: usize) -> Result<usize, StoreError> {
        statistics::roll_up(self, horizon, writer, limit)
    }

    fn forget_statistics(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
        statistics::forget(self, horizon, limit)
    }

    fn audit(&mut self, entry: &AuditEntry) {
        self.audits.push(entry.clone());
    }

    fn reencrypt(&mut self, after: Option<EncryptedPlace>, limit: usize) -> Result<ReencryptedSlice, StoreError> {
        encryption::reencrypt(self, after, limit)
    }

    fn release_unused_keys(&mut self) -> Result<Vec<RingKeyId>, StoreError> {
        encryption::release_unused_keys(self)
    }

    fn forget_restored(&mut self) -> Result<bool, StoreError> {
        marks::clear(self.connection, RESTORED)
    }
}
