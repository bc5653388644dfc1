//! What one transaction writes. Each verb is in the file of its noun; hot ones
//! (accept, record) run prepared statements, the rare ones are plain diesel.

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

use std::collections::HashMap;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use crate::catalog::TypeDefinition;
use crate::domain::{
    AuditHead, DeliveryId, DisabledReason, Endpoint, EndpointId, Environment, EventId, EventOrder, EventType, KeyId,
    NodeId, Partner, PartnerName, ReplayId, ReplayState, RetentionDays, Setback, Timestamp,
};
use crate::keyring::{Keyring, RingKeyId};
use crate::store::ids::{IdCodec, KeySequence, RowKey};
use crate::store::marks::RESTORED;
use crate::store::schema::audit_head;
use crate::store::sqlite::error::translate;
use crate::store::sqlite::numbers::Numbers;
use crate::store::sqlite::{audit as read_audit, marks, reads, statements, versions};
use crate::store::statistics::{StatisticsKey, StatisticsRow};
use crate::store::{
    Accept, Accepted, AuditEntry, Begun, Brake, BroughtForward, Counted, CountedAbout, Dismissal, Dismissed,
    DismissedSlice, DroppedSegments, Effect, EncryptedPlace, EndpointChange, EndpointConflict, Enforced,
    ErasedPartners, FanOut, Fence, KeyRecord, NewEndpoint, NewKey, NewPortalLink, NewReplay, Notice, Place, Placed,
    Placing, Record, Recorded, ReencryptedSlice, ReliedOn, ReplayConflict, ReplaySlice, ReplaySummary, Replayed,
    RetentionPlace, Retired, Rotation, RotationConflict, Scope, ScopeId, Segment, Skipped, Slice, StoreError,
    Subscriptions, Transaction, Unretained, Versions,
};

/// How long an idempotency key holds (`product.md`: 24 h).
const IDEMPOTENCY_HOLDS_MS: i64 = 24 * 3600 * 1000;

/// What the files shared with other backends call it.
type Tx<'a> = SqliteTransaction<'a>;

/// What transactions give, one after the other.
pub(super) struct Given<'a> {
    pub(super) keys: &'a mut KeySequence,
    pub(super) numbers: &'a mut Numbers,
}

/// One open transaction.
pub(super) struct SqliteTransaction<'a> {
    connection: &'a mut SqliteConnection,
    ids: &'a IdCodec,
    keyring: &'a Keyring,
    given: Given<'a>,
    now: Timestamp,
    notices: Vec<Notice>,
    /// What it did that is to be known later; written last.
    audits: Vec<AuditEntry>,
    /// Versions of the scopes this transaction has looked at.
    versions: HashMap<ScopeId, i64>,
    /// What is kept in memory elsewhere, as it stands in this transaction.
    kept: Option<Versions>,
    /// What was loaded anew because a request's snapshot was outdated.
    reloaded: HashMap<ScopeId, Arc<Subscriptions>>,
    /// Whether any endpoint wants an order, once somebody has looked.
    has_orders: Option<bool>,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn new(
        connection: &'a mut SqliteConnection,
        ids: &'a IdCodec,
        keyring: &'a Keyring,
        given: Given<'a>,
        now: Timestamp,
    ) -> Self {
        Self {
            connection,
            ids,
            keyring,
            given,
            now,
            notices: Vec::new(),
            audits: Vec::new(),
            versions: HashMap::new(),
            kept: None,
            reloaded: HashMap::new(),
            has_orders: None,
        }
    }

    /// Writes what only the whole transaction can say. Nothing is to be done after it.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        audit::write(self)
    }

    pub(super) fn into_notices(self) -> Vec<Notice> {
        self.notices
    }

    fn scope_version(&mut self, scope: ScopeId) -> Result<i64, StoreError> {
        let missing = || StoreError::Corrupt(format!("no version of {scope:?}"));
        self.stands(scope)?.ok_or_else(missing)
    }

    /// The version of a scope; `None` where its partner is erased, or is being.
    fn stands(&mut self, scope: ScopeId) -> Result<Option<i64>, StoreError> {
        if let Some(version) = self.versions.get(&scope) {
            return Ok(Some(*version));
        }
        let version = reads::scope_version(self.connection, scope)?;
        if let Some(version) = version {
            self.versions.insert(scope, version);
        }
        Ok(version)
    }

    /// What changed here holds for the rest of the transaction.
    fn learn_version(&mut self, scope: ScopeId, version: i64) {
        self.versions.insert(scope, version);
        self.reloaded.remove(&scope);
    }

    /// Many scopes changed here: they are looked at anew.
    fn forget_scopes(&mut self) {
        self.versions.clear();
        self.reloaded.clear();
    }

    /// Whether what a request relied on still holds.
    fn still_holds(&mut self, scope: ScopeId, relied_on: Option<ReliedOn>) -> Result<bool, StoreError> {
        let Some(relied_on) = relied_on else { return Ok(true) };
        let versions = match self.kept {
            Some(versions) => versions,
            None => *self.kept.insert(versions::versions(self.connection)?),
        };
        Ok(versions.keys == relied_on.keys && versions.catalogs[scope.environment().0 as usize] == relied_on.catalog)
    }

    fn forget_versions(&mut self) {
        self.kept = None;
    }

    /// Nobody else writes while a transaction is open.
    fn lock_endpoints(&mut self, _: ScopeId) -> Result<(), StoreError> {
        Ok(())
    }

    /// Nobody else writes while a transaction is open.
    fn lock_keys(&mut self, keys: &[i64]) -> Result<Vec<i64>, StoreError> {
        Ok(keys.to_vec())
    }

    /// What is written down under these keys.
    fn stored_statistics(&mut self, keys: &[StatisticsKey]) -> Result<Vec<StatisticsRow>, StoreError> {
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let found = statements::statistics_row(
                self.connection,
                key.resolution,
                key.scope,
                key.endpoint,
                key.bucket,
                &key.event_type,
                key.writer,
            );
            let found = found.map_err(translate)?.into_iter().next();
            rows.extend(found.map(|(tally,)| StatisticsRow { key: key.clone(), tally }));
        }
        Ok(rows)
    }

    /// Writes rows, in place of those that are there under their keys.
    fn put_statistics(&mut self, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        for StatisticsRow { key, tally } in rows {
            statements::put_statistics(
                self.connection,
                key.resolution,
                key.scope,
                key.endpoint,
                key.bucket,
                &key.event_type,
                key.writer,
                tally,
            )
            .map_err(translate)?;
        }
        Ok(())
    }

    /// The head of the audit log. Nobody else writes while a transaction is open.
    fn lock_audit_head(&mut self) -> Result<AuditHead, StoreError> {
        let row = audit_head::table.select((audit_head::number, audit_head::hash)).first(self.connection);
        read_audit::head_of(row.optional().map_err(translate)?)
    }

    /// Nobody gives a key's note up while this transaction is open, and the current
    /// one's stays as long as the store is open.
    fn note_key(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// See [`note_key`](Self::note_key).
    fn lock_note(&mut self, _: &RingKeyId) -> Result<(), StoreError> {
        Ok(())
    }

    /// What is replaced from here on is overwritten in the file.
    fn begin_wiping(&mut self) -> Result<(), StoreError> {
        self.connection.batch_execute("PRAGMA secure_delete = ON").map_err(translate)
    }

    /// From here on only as far as it costs nothing.
    fn end_wiping(&mut self) -> Result<(), StoreError> {
        self.connection.batch_execute("PRAGMA secure_delete = OFF").map_err(translate)
    }

    fn take_keys(&mut self, count: usize) -> Result<RowKey, StoreError> {
        Ok(self.given.keys.take(self.now, count))
    }

    /// So many row keys, and a number for each of these endpoints' next deliveries, in
    /// this order.
    fn take_keys_and_numbers(
        &mut self,
        count: usize,
        endpoints: &[EndpointId],
    ) -> Result<(RowKey, Vec<i64>), StoreError> {
        let mut numbers = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let endpoint = self.endpoint_key(*endpoint)?;
            numbers.push(self.given.numbers.next(self.connection, endpoint)?);
        }
        Ok((self.take_keys(count)?, numbers))
    }

    /// The subscriptions that hold now: the caller's, unless they changed
    /// since it looked. `None` where the partner is erased, or is being.
    fn current(&mut self, seen: &Arc<Subscriptions>) -> Result<Option<Arc<Subscriptions>>, StoreError> {
        let version = self.stands(seen.id)?;
        if version == Some(seen.version) {
            return Ok(Some(Arc::clone(seen)));
        }
        seen.mark_outdated();
        let Some(version) = version else { return Ok(None) };
        if let Some(reloaded) = self.reloaded.get(&seen.id) {
            return Ok(Some(Arc::clone(reloaded)));
        }
        let reloaded = Arc::new(reads::subscriptions_of(self.connection, self.ids, seen.id, version)?);
        self.reloaded.insert(seen.id, Arc::clone(&reloaded));
        Ok(Some(reloaded))
    }

    /// Of these events those whose payload is there. Nobody else writes while a
    /// transaction is open.
    fn lock_payloads(&mut self, events: &[RowKey]) -> Result<Vec<RowKey>, StoreError> {
        erasable::payloads_there(self, events)
    }

    /// The same, for whoever is about to erase them.
    fn claim_payloads(&mut self, events: &[RowKey]) -> Result<Vec<RowKey>, StoreError> {
        erasable::payloads_there(self, events)
    }

    /// Whether what was being accepted for a partner when its erasure began has ended by
    /// now. Nobody else writes while a transaction is open.
    fn has_settled(&self, _: Timestamp) -> bool {
        true
    }

    /// Who of these scopes, and who of all partners, subscribed to Posthaste's own events,
    /// as this transaction sees it.
    fn listeners(&mut self, scopes: &[ScopeId]) -> Result<HashMap<ScopeId, Subscriptions>, StoreError> {
        let mut versions = HashMap::new();
        for clock in scopes.iter().map(|scope| scope.environment()) {
            versions.insert(clock, self.scope_version(clock)?);
        }
        reads::listeners_of(self.connection, self.ids, scopes, &versions)
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

impl Transaction for SqliteTransaction<'_> {
    fn accept(&mut self, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError> {
        accepts.iter().map(|accept| accepting::accept(self, accept)).collect()
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

    fn undo_abandoned(&mut self, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn record(&mut self, records: &[&Record]) -> Result<Vec<Recorded>, StoreError> {
        let heard_of = announcing::heard_of(self, records)?;
        let recorded = records.iter().map(|record| recording::record(self, record)).collect::<Result<Vec<_>, _>>()?;
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

    fn drop_history(&mut self, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
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
