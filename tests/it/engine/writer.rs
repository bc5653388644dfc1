//! A writer that tells the test of each commit, and refuses outcomes when the
//! test says so: as a store does whose partition another node owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use posthaste::catalog::TypeDefinition;
use posthaste::domain::{
    DeliveryId, DisabledReason, Endpoint, EndpointId, Environment, EventId, EventOrder, EventType, KeyId, NodeId,
    Partner, PartnerName, ReplayId, ReplayState, RetentionDays, Setback, Timestamp,
};
use posthaste::keyring::RingKeyId;
use posthaste::store::{
    Accept, Accepted, AuditEntry, Begun, Brake, BroughtForward, CommitError, Counted, CountedAbout, Dismissal,
    Dismissed, DismissedSlice, DroppedSegments, Effect, EncryptedPlace, EndpointChange, EndpointConflict, Enforced,
    ErasedPartners, FanOut, Fence, KeyRecord, NewEndpoint, NewKey, NewPortalLink, NewReplay, Notice, Place, Placed,
    Placing, Record, Recorded, ReencryptedSlice, ReplayConflict, ReplaySlice, ReplaySummary, Replayed, RetentionPlace,
    Retired, Rotation, RotationConflict, Scope, Segment, Skipped, Slice, StoreError, Transaction, Unretained, Writer,
};
use tokio::sync::mpsc;

pub struct TellingWriter {
    pub writer: Box<dyn Writer>,
    pub commits: mpsc::UnboundedSender<()>,
    pub is_fenced: Arc<AtomicBool>,
}

impl Writer for TellingWriter {
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        let is_fenced = self.is_fenced.load(Ordering::Acquire);
        let done = self.writer.commit(now, &mut |transaction| {
            if is_fenced { verbs(&mut Fencing(transaction)) } else { verbs(transaction) }
        });
        // The test may be over.
        let _ = self.commits.send(());
        done
    }
}

/// Writes everything but outcomes.
struct Fencing<'a>(&'a mut dyn Transaction);

impl Transaction for Fencing<'_> {
    fn accept(&mut self, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError> {
        self.0.accept(accepts)
    }

    fn begin_large(&mut self, accept: &Accept) -> Result<Begun, StoreError> {
        self.0.begin_large(accept)
    }

    fn accept_chunk(&mut self, fan_out: &mut FanOut, from: usize, limit: usize) -> Result<(), StoreError> {
        self.0.accept_chunk(fan_out, from, limit)
    }

    fn seal(&mut self, accept: &Accept, fan_out: &FanOut) -> Result<Accepted, StoreError> {
        self.0.seal(accept, fan_out)
    }

    fn has_unsealed(&mut self) -> Result<bool, StoreError> {
        self.0.has_unsealed()
    }

    fn undo_unsealed(&mut self, limit: usize) -> Result<usize, StoreError> {
        self.0.undo_unsealed(limit)
    }

    fn undo_abandoned(&mut self, limit: usize) -> Result<usize, StoreError> {
        self.0.undo_abandoned(limit)
    }

    fn record(&mut self, records: &[&Record]) -> Result<Vec<Recorded>, StoreError> {
        Ok(records.iter().map(|_| Recorded::Fenced).collect())
    }

    fn create_endpoint(&mut self, new: &NewEndpoint) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        self.0.create_endpoint(new)
    }

    fn change_endpoint(&mut self, change: &EndpointChange) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        self.0.change_endpoint(change)
    }

    fn delete_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<bool, StoreError> {
        self.0.delete_endpoint(scope, endpoint)
    }

    fn pause_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError> {
        self.0.pause_endpoint(scope, endpoint)
    }

    fn resume_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<Effect<Endpoint>>, StoreError> {
        self.0.resume_endpoint(scope, endpoint)
    }

    fn set_brake(&mut self, scope: &Scope, reason: Option<&str>) -> Result<Option<Effect<Brake>>, StoreError> {
        self.0.set_brake(scope, reason)
    }

    fn release_brake(&mut self, scope: &Scope) -> Result<bool, StoreError> {
        self.0.release_brake(scope)
    }

    fn rotate_secret(&mut self, rotation: &Rotation) -> Result<Result<(), RotationConflict>, StoreError> {
        self.0.rotate_secret(rotation)
    }

    fn disable_endpoint(
        &mut self,
        endpoint: EndpointId,
        reason: DisabledReason,
        setback: Option<&Setback>,
    ) -> Result<bool, StoreError> {
        self.0.disable_endpoint(endpoint, reason, setback)
    }

    fn place_deliveries(
        &mut self,
        _: EndpointId,
        _: Option<&EventOrder>,
        _: &[Placing],
        _: Option<Fence>,
    ) -> Result<Placed, StoreError> {
        Ok(Placed::Fenced)
    }

    fn skip_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Skipped, StoreError> {
        self.0.skip_delivery(scope, delivery)
    }

    fn dismiss_delivery(&mut self, scope: &Scope, delivery: DeliveryId) -> Result<Dismissed, StoreError> {
        self.0.dismiss_delivery(scope, delivery)
    }

    fn dismiss_exhausted(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        meant: &Dismissal,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<DismissedSlice>, StoreError> {
        self.0.dismiss_exhausted(scope, endpoint, meant, before, limit)
    }

    fn bring_forward(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        after: Option<Place>,
        limit: usize,
    ) -> Result<BroughtForward, StoreError> {
        self.0.bring_forward(scope, endpoint, after, limit)
    }

    fn create_replay(&mut self, new: &NewReplay) -> Result<Result<ReplaySummary, ReplayConflict>, StoreError> {
        self.0.create_replay(new)
    }

    fn carry_on_replay(&mut self, slice: &ReplaySlice) -> Result<Replayed, StoreError> {
        self.0.carry_on_replay(slice)
    }

    fn finish_replay(&mut self, replay: ReplayId) -> Result<bool, StoreError> {
        self.0.finish_replay(replay)
    }

    fn cancel_replay(&mut self, scope: &Scope, replay: ReplayId) -> Result<Option<Effect<ReplayState>>, StoreError> {
        self.0.cancel_replay(scope, replay)
    }

    fn retire_replays(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.0.retire_replays(horizon, limit)
    }

    fn expire_delivery(&mut self, _: DeliveryId, _: Option<Fence>) -> Result<Option<Recorded>, StoreError> {
        Ok(Some(Recorded::Fenced))
    }

    fn request_attempt(&mut self, delivery: DeliveryId) -> Result<bool, StoreError> {
        self.0.request_attempt(delivery)
    }

    fn discard_deleted(&mut self, limit: usize) -> Result<usize, StoreError> {
        self.0.discard_deleted(limit)
    }

    fn retire(&mut self, horizon: Timestamp, after: Option<EventId>, limit: usize) -> Result<Retired, StoreError> {
        self.0.retire(horizon, after, limit)
    }

    fn drop_history(&mut self, horizon: Timestamp) -> Result<usize, StoreError> {
        self.0.drop_history(horizon)
    }

    fn forget_idempotency_keys(&mut self, limit: usize) -> Result<usize, StoreError> {
        self.0.forget_idempotency_keys(limit)
    }

    fn add_segment(&mut self, segment: &Segment) -> Result<bool, StoreError> {
        self.0.add_segment(segment)
    }

    fn drop_segments(&mut self, after: Option<i64>, limit: usize) -> Result<DroppedSegments, StoreError> {
        self.0.drop_segments(after, limit)
    }

    fn set_retention(
        &mut self,
        scope: &Scope,
        days: RetentionDays,
    ) -> Result<Option<Effect<RetentionDays>>, StoreError> {
        self.0.set_retention(scope, days)
    }

    fn enforce_retention(
        &mut self,
        most_days: u32,
        after: Option<RetentionPlace>,
        slice: Slice,
    ) -> Result<Enforced, StoreError> {
        self.0.enforce_retention(most_days, after, slice)
    }

    fn erase_unretained(&mut self, after: Option<i64>, slice: Slice) -> Result<Unretained, StoreError> {
        self.0.erase_unretained(after, slice)
    }

    fn begin_erasing(&mut self, partner: &PartnerName) -> Result<Option<Effect<Partner>>, StoreError> {
        self.0.begin_erasing(partner)
    }

    fn erase_partners(&mut self, slice: Slice) -> Result<ErasedPartners, StoreError> {
        self.0.erase_partners(slice)
    }

    fn first_start(&mut self, types: &[TypeDefinition]) -> Result<bool, StoreError> {
        self.0.first_start(types)
    }

    fn put_event_types(&mut self, environment: Environment, types: &[TypeDefinition]) -> Result<usize, StoreError> {
        self.0.put_event_types(environment, types)
    }

    fn delete_event_type(&mut self, environment: Environment, name: &EventType) -> Result<bool, StoreError> {
        self.0.delete_event_type(environment, name)
    }

    fn create_partner(&mut self, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
        self.0.create_partner(name)
    }

    fn create_key(&mut self, new: &NewKey) -> Result<KeyRecord, StoreError> {
        self.0.create_key(new)
    }

    fn create_portal_link(&mut self, new: &NewPortalLink) -> Result<KeyRecord, StoreError> {
        self.0.create_portal_link(new)
    }

    fn spend_portal_link(&mut self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
        self.0.spend_portal_link(hash)
    }

    fn revoke_key(&mut self, key: KeyId) -> Result<bool, StoreError> {
        self.0.revoke_key(key)
    }

    fn note_key_uses(&mut self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.0.note_key_uses(uses)
    }

    fn note_statistics(&mut self, writer: NodeId, counted: &[(CountedAbout, Counted)]) -> Result<(), StoreError> {
        self.0.note_statistics(writer, counted)
    }

    fn roll_up_statistics(&mut self, horizon: Timestamp, writer: NodeId, limit: usize) -> Result<usize, StoreError> {
        self.0.roll_up_statistics(horizon, writer, limit)
    }

    fn forget_statistics(&mut self, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.0.forget_statistics(horizon, limit)
    }

    fn audit(&mut self, entry: &AuditEntry) {
        self.0.audit(entry);
    }

    fn reencrypt(&mut self, after: Option<EncryptedPlace>, limit: usize) -> Result<ReencryptedSlice, StoreError> {
        self.0.reencrypt(after, limit)
    }

    fn release_unused_keys(&mut self) -> Result<Vec<RingKeyId>, StoreError> {
        self.0.release_unused_keys()
    }

    fn forget_restored(&mut self) -> Result<bool, StoreError> {
        self.0.forget_restored()
    }
}
