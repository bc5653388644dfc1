//! What one transaction writes. Hot verbs (accept, record) come first; the
//! rare ones are in plain diesel.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::dsl::not;
use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::catalog::TypeDefinition;
use crate::domain::{
    DeliveryId, DiscardReason, Endpoint, EndpointId, EndpointSettings, Environment, EventId, EventType, KeyId, Partner,
    PartnerName, StoredStatus, Timestamp,
};
use crate::store::ids::{IdCodec, KeySequence, RowKey, first_key_at, time_of_key};
use crate::store::rows::{SettingsRow, environment_number, from_json, parsed, status_number, status_of, to_json};
use crate::store::schema::{
    api_keys, attempts, deliveries, endpoint_secrets, endpoint_versions, endpoints, event_types, events,
    idempotency_keys, manual_attempts, meta, partners, scopes,
};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::{reads, statements};
use crate::store::{
    Accept, Accepted, AcceptedEvent, AttemptKind, Birth, EndpointChange, EndpointConflict, Idempotency, KeyRecord,
    NewEndpoint, NewKey, Notice, Payload, Record, Recorded, Retired, Scope, ScopeId, StoreError, Subscriptions,
    Transaction, Verdict,
};

/// How long an idempotency key holds (`product.md`: 24 h).
const IDEMPOTENCY_HOLDS_MS: i64 = 24 * 3600 * 1000;

/// One open transaction.
pub(super) struct SqliteTransaction<'a> {
    connection: &'a mut SqliteConnection,
    ids: &'a IdCodec,
    sequence: &'a mut KeySequence,
    now: Timestamp,
    notices: Vec<Notice>,
    /// Versions of the scopes this transaction has looked at.
    versions: HashMap<ScopeId, i64>,
    /// What was loaded anew because a request's snapshot was outdated.
    reloaded: HashMap<ScopeId, Arc<Subscriptions>>,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn new(
        connection: &'a mut SqliteConnection,
        ids: &'a IdCodec,
        sequence: &'a mut KeySequence,
        now: Timestamp,
    ) -> Self {
        Self { connection, ids, sequence, now, notices: Vec::new(), versions: HashMap::new(), reloaded: HashMap::new() }
    }

    pub(super) fn into_notices(self) -> Vec<Notice> {
        self.notices
    }

    fn scope_version(&mut self, scope: ScopeId) -> Result<i64, StoreError> {
        if let Some(version) = self.versions.get(&scope) {
            return Ok(*version);
        }
        let version = scopes::table.find(scope.0).select(scopes::version).first(self.connection).map_err(translate)?;
        self.versions.insert(scope, version);
        Ok(version)
    }

    /// The subscriptions that hold now: the caller's, unless they changed
    /// since it looked.
    fn current(&mut self, seen: &Arc<Subscriptions>) -> Result<Arc<Subscriptions>, StoreError> {
        let version = self.scope_version(seen.id)?;
        if version == seen.version {
            return Ok(Arc::clone(seen));
        }
        seen.mark_outdated();
        if let Some(reloaded) = self.reloaded.get(&seen.id) {
            return Ok(Arc::clone(reloaded));
        }
        let reloaded = Arc::new(reads::subscriptions_of(self.connection, self.ids, seen.id, version)?);
        self.reloaded.insert(seen.id, Arc::clone(&reloaded));
        Ok(reloaded)
    }

    fn accept_one(&mut self, accept: &Accept) -> Result<Accepted, StoreError> {
        let scope = accept.subscriptions.id;
        if let Some(idempotency) = &accept.idempotency
            && let Some(earlier) = self.accepted_earlier(scope, idempotency)?
        {
            return Ok(earlier);
        }
        let subscriptions = self.current(&accept.subscriptions)?;
        let mut accepted = Vec::with_capacity(accept.events.len());
        for event in &accept.events {
            let endpoints = subscriptions.matching(&event.event_type);
            let key = self.sequence.take(self.now, 1 + endpoints.len());
            statements::insert_event(
                self.connection,
                key,
                scope.0,
                event.event_type.as_str(),
                endpoints.len() as i64,
                subscriptions.version,
                &event.body,
            )
            .map_err(translate)?;
            let payload = Arc::new(Payload {
                event: self.ids.event(key),
                event_type: event.event_type.clone(),
                body: event.body.clone(),
            });
            for (endpoint, delivery) in endpoints.iter().zip(key + 1..) {
                let created_at = time_of_key(delivery);
                // Keys only grow, so that they run ahead of a clock that was
                // set back; the first attempt does not wait for it.
                let due_at = created_at.min(self.now);
                statements::insert_delivery(
                    self.connection,
                    delivery,
                    key,
                    self.endpoint_key(*endpoint)?,
                    due_at.as_millis(),
                )
                .map_err(translate)?;
                self.notices.push(Notice::Born(Birth {
                    endpoint: *endpoint,
                    delivery: self.ids.delivery(delivery),
                    payload: Arc::clone(&payload),
                    created_at,
                }));
            }
            accepted.push(AcceptedEvent {
                id: payload.event,
                event_type: event.event_type.clone(),
                deliveries: endpoints.len() as u32,
            });
        }
        if let Some(idempotency) = &accept.idempotency {
            self.remember(scope, idempotency, &accepted)?;
        }
        Ok(Accepted::New(accepted))
    }

    fn accepted_earlier(&mut self, scope: ScopeId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        let earlier: Option<(Vec<u8>, String, Vec<u8>)> = idempotency_keys::table
            .find((scope.0, &idempotency.key))
            .filter(idempotency_keys::created_at.gt(self.now.as_millis() - IDEMPOTENCY_HOLDS_MS))
            .select((idempotency_keys::request, idempotency_keys::events, idempotency_keys::refused))
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        let Some((request, events, refused)) = earlier else { return Ok(None) };
        if request != idempotency.request {
            return Ok(Some(Accepted::KeyReused));
        }
        let rows: Vec<(RowKey, String, u32)> = from_json(&events)?;
        let events = rows
            .into_iter()
            .map(|(key, name, deliveries)| {
                Ok(AcceptedEvent { id: self.ids.event(key), event_type: parsed(&name)?, deliveries })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(Accepted::Repeated { events, refused: refused.into() }))
    }

    fn remember(
        &mut self,
        scope: ScopeId,
        idempotency: &Idempotency,
        accepted: &[AcceptedEvent],
    ) -> Result<(), StoreError> {
        let rows = accepted
            .iter()
            .map(|event| Ok((self.event_key(event.id)?, event.event_type.as_str(), event.deliveries)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        diesel::replace_into(idempotency_keys::table)
            .values((
                idempotency_keys::scope.eq(scope.0),
                idempotency_keys::key.eq(&idempotency.key),
                idempotency_keys::request.eq(idempotency.request.as_slice()),
                idempotency_keys::events.eq(to_json(&rows)),
                idempotency_keys::refused.eq(idempotency.refused.as_ref()),
                idempotency_keys::created_at.eq(self.now.as_millis()),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        Ok(())
    }

    fn record_one(&mut self, record: &Record) -> Result<Recorded, StoreError> {
        let Some(key) = self.ids.delivery_key(record.delivery) else { return Ok(Recorded::Superseded) };
        if record.kind == AttemptKind::Scheduled {
            let (status, next_at, finished_at) = match record.verdict {
                Verdict::Delivered => (StoredStatus::Delivered, None, Some(record.finished_at.as_millis())),
                Verdict::RetryAt(at) if self.is_deleted(key)? => {
                    log::debug!("delivery {} will not be tried at {at}: its endpoint is gone", record.delivery);
                    let status = StoredStatus::Discarded(DiscardReason::EndpointDeleted);
                    (status, None, Some(record.finished_at.as_millis()))
                }
                Verdict::RetryAt(at) => (StoredStatus::Retrying, Some(at.as_millis()), None),
                Verdict::Exhausted => (StoredStatus::RetriesExhausted, None, Some(record.finished_at.as_millis())),
                Verdict::Unchanged => {
                    return Err(StoreError::Constraint("a scheduled attempt always changes its delivery".into()));
                }
            };
            let moved = statements::advance_delivery(
                self.connection,
                status_number(status),
                next_at,
                finished_at,
                key,
                i64::from(record.attempts_before),
            )
            .map_err(translate)?;
            if moved == 1 {
                self.insert_attempt(key, record)?;
                return Ok(Recorded::Written(status));
            }
        }
        self.record_beside_schedule(key, record)
    }

    /// An attempt that someone asked for, or one whose delivery was finished
    /// while it was under way: it counts, and only success changes the state.
    fn record_beside_schedule(&mut self, key: RowKey, record: &Record) -> Result<Recorded, StoreError> {
        let found: Option<(i64, i64)> = deliveries::table
            .find(key)
            .select((deliveries::status, deliveries::attempt_count))
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        let Some((status, attempt_count)) = found else { return Ok(Recorded::Superseded) };
        let status = status_of(status)?;
        if attempt_count != i64::from(record.attempts_before) {
            let same: Option<i64> = attempts::table
                .find((key, i64::from(record.attempts_before) + 1))
                .filter(attempts::started_at.eq(record.started_at.as_millis()))
                .select(attempts::number)
                .first(self.connection)
                .optional()
                .map_err(translate)?;
            return Ok(if same.is_some() { Recorded::Written(status) } else { Recorded::Superseded });
        }
        self.insert_attempt(key, record)?;
        let row = deliveries::table.find(key);
        let counted = deliveries::attempt_count.eq(attempt_count + 1);
        let status = if record.verdict == Verdict::Delivered && status != StoredStatus::Delivered {
            diesel::update(row)
                .set((
                    counted,
                    deliveries::status.eq(status_number(StoredStatus::Delivered)),
                    deliveries::next_at.eq(None::<i64>),
                    deliveries::finished_at.eq(record.finished_at.as_millis()),
                ))
                .execute(self.connection)
                .map_err(translate)?;
            StoredStatus::Delivered
        } else {
            diesel::update(row).set(counted).execute(self.connection).map_err(translate)?;
            status
        };
        if record.kind == AttemptKind::Manual {
            diesel::delete(manual_attempts::table.find(key)).execute(self.connection).map_err(translate)?;
        }
        Ok(Recorded::Written(status))
    }

    fn insert_attempt(&mut self, delivery: RowKey, record: &Record) -> Result<(), StoreError> {
        let error = record.outcome.error.as_ref();
        let body = &record.outcome.response_body;
        statements::insert_attempt(
            self.connection,
            delivery,
            i64::from(record.attempts_before) + 1,
            record.started_at.as_millis(),
            i64::from(u32::try_from(record.duration.as_millis()).unwrap_or(u32::MAX)),
            record.outcome.status_code.map(i64::from),
            error.map(|error| error.class.as_str()),
            error.map(|error| error.message.as_str()),
            (!body.is_empty()).then_some(body.as_ref()),
        )
        .map_err(translate)?;
        Ok(())
    }

    fn is_deleted(&mut self, delivery: RowKey) -> Result<bool, StoreError> {
        let deleted_at: Option<Option<i64>> = deliveries::table
            .inner_join(endpoints::table)
            .filter(deliveries::id.eq(delivery))
            .select(endpoints::deleted_at)
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        Ok(deleted_at.flatten().is_some())
    }

    fn endpoint_key(&self, endpoint: EndpointId) -> Result<RowKey, StoreError> {
        self.ids
            .endpoint_key(endpoint)
            .ok_or_else(|| StoreError::Constraint(format!("{endpoint} is not of this store")))
    }

    fn event_key(&self, event: EventId) -> Result<RowKey, StoreError> {
        self.ids.event_key(event).ok_or_else(|| StoreError::Constraint(format!("{event} is not of this store")))
    }

    /// Moves an environment's clock on and stamps the scope with it.
    fn bump(&mut self, scope: ScopeId) -> Result<i64, StoreError> {
        let all = ScopeId(scope.0 % 2);
        let version = self.scope_version(all)? + 1;
        diesel::update(scopes::table.filter(scopes::id.eq_any([all.0, scope.0])))
            .set(scopes::version.eq(version))
            .execute(self.connection)
            .map_err(translate)?;
        for changed in [all, scope] {
            self.versions.insert(changed, version);
            self.reloaded.remove(&changed);
        }
        Ok(version)
    }

    /// Another endpoint of the scope with this URL.
    fn same_url(
        &mut self,
        scope: ScopeId,
        url: &str,
        besides: Option<RowKey>,
    ) -> Result<Option<EndpointId>, StoreError> {
        let other: Option<i64> = endpoints::table
            .filter(endpoints::scope.eq(scope.0))
            .filter(endpoints::url.eq(url))
            .filter(endpoints::deleted_at.is_null())
            .filter(endpoints::id.ne(besides.unwrap_or(0)))
            .select(endpoints::id)
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        Ok(other.map(|key| self.ids.endpoint(key)))
    }

    fn write_settings(
        &mut self,
        endpoint: RowKey,
        version: i64,
        since_version: i64,
        settings: &EndpointSettings,
    ) -> Result<(), StoreError> {
        diesel::insert_into(endpoint_versions::table)
            .values((
                endpoint_versions::endpoint.eq(endpoint),
                endpoint_versions::version.eq(version),
                endpoint_versions::since_version.eq(since_version),
                endpoint_versions::settings.eq(to_json(&SettingsRow::from(settings))),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        Ok(())
    }

    /// The row of a live endpoint of this scope.
    fn live_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<Option<(ScopeId, RowKey)>, StoreError> {
        let Some(scope) = reads::scope_id(self.connection, scope)? else { return Ok(None) };
        let Some(key) = self.ids.endpoint_key(endpoint) else { return Ok(None) };
        let found: Option<i64> = endpoints::table
            .find(key)
            .filter(endpoints::scope.eq(scope.0))
            .filter(endpoints::deleted_at.is_null())
            .select(endpoints::id)
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        Ok(found.map(|key| (scope, key)))
    }

    fn read_endpoint(&mut self, scope: &Scope, key: RowKey) -> Result<Endpoint, StoreError> {
        reads::endpoint(self.connection, self.ids, scope, key)?
            .ok_or_else(|| StoreError::Corrupt("an endpoint just written is not there".into()))
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn accept(&mut self, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError> {
        accepts.iter().map(|accept| self.accept_one(accept)).collect()
    }

    fn record(&mut self, records: &[&Record]) -> Result<Vec<Recorded>, StoreError> {
        records.iter().map(|record| self.record_one(record)).collect()
    }

    fn create_endpoint(&mut self, new: &NewEndpoint) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        let Some(scope) = reads::scope_id(self.connection, &new.scope)? else {
            return Ok(Err(EndpointConflict::NotFound));
        };
        if let Some(first) = self.same_url(scope, &new.settings.url, None)? {
            return Ok(Err(EndpointConflict::SameUrl(first)));
        }
        let count: i64 = endpoints::table
            .filter(endpoints::scope.eq(scope.0))
            .filter(endpoints::deleted_at.is_null())
            .count()
            .get_result(self.connection)
            .map_err(translate)?;
        if count >= new.most_endpoints as i64 {
            return Ok(Err(EndpointConflict::TooMany { most: new.most_endpoints }));
        }
        let key = self.sequence.take(self.now, 1);
        let since = self.bump(scope)?;
        diesel::insert_into(endpoints::table)
            .values((
                endpoints::id.eq(key),
                endpoints::scope.eq(scope.0),
                endpoints::url.eq(&new.settings.url),
                endpoints::version.eq(1),
                endpoints::enabled.eq(new.settings.enabled),
                endpoints::created_version.eq(since),
                endpoints::updated_at.eq(time_of_key(key).as_millis()),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        self.write_settings(key, 1, since, &new.settings)?;
        diesel::insert_into(endpoint_secrets::table)
            .values((
                endpoint_secrets::endpoint.eq(key),
                endpoint_secrets::number.eq(1),
                endpoint_secrets::secret.eq(&new.secret),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        self.notices.push(Notice::EndpointChanged(self.ids.endpoint(key)));
        self.read_endpoint(&new.scope, key).map(Ok)
    }

    fn change_endpoint(&mut self, change: &EndpointChange) -> Result<Result<Endpoint, EndpointConflict>, StoreError> {
        let Some((scope, key)) = self.live_endpoint(&change.scope, change.endpoint)? else {
            return Ok(Err(EndpointConflict::NotFound));
        };
        let version: i64 =
            endpoints::table.find(key).select(endpoints::version).first(self.connection).map_err(translate)?;
        if version != i64::from(change.from_version) {
            return Ok(Err(EndpointConflict::Outdated));
        }
        if let Some(other) = self.same_url(scope, &change.settings.url, Some(key))? {
            return Ok(Err(EndpointConflict::SameUrl(other)));
        }
        let since = self.bump(scope)?;
        diesel::update(endpoints::table.find(key))
            .set((
                endpoints::url.eq(&change.settings.url),
                endpoints::version.eq(version + 1),
                endpoints::enabled.eq(change.settings.enabled),
                endpoints::updated_at.eq(self.now.as_millis()),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        self.write_settings(key, version + 1, since, &change.settings)?;
        self.notices.push(Notice::EndpointChanged(change.endpoint));
        self.read_endpoint(&change.scope, key).map(Ok)
    }

    fn delete_endpoint(&mut self, scope: &Scope, endpoint: EndpointId) -> Result<bool, StoreError> {
        let Some((scope, key)) = self.live_endpoint(scope, endpoint)? else { return Ok(false) };
        let version = self.bump(scope)?;
        diesel::update(endpoints::table.find(key))
            .set((endpoints::deleted_version.eq(version), endpoints::deleted_at.eq(self.now.as_millis())))
            .execute(self.connection)
            .map_err(translate)?;
        diesel::delete(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
            .execute(self.connection)
            .map_err(translate)?;
        self.notices.push(Notice::EndpointChanged(endpoint));
        Ok(true)
    }

    fn rotate_secret(
        &mut self,
        scope: &Scope,
        endpoint: EndpointId,
        secret: &str,
        overlap_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some((_, key)) = self.live_endpoint(scope, endpoint)? else { return Ok(false) };
        diesel::update(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
            .filter(
                endpoint_secrets::expires_at.is_null().or(endpoint_secrets::expires_at.gt(overlap_until.as_millis())),
            )
            .set(endpoint_secrets::expires_at.eq(overlap_until.as_millis()))
            .execute(self.connection)
            .map_err(translate)?;
        let number: Option<i64> = endpoint_secrets::table
            .filter(endpoint_secrets::endpoint.eq(key))
            .select(diesel::dsl::max(endpoint_secrets::number))
            .first(self.connection)
            .map_err(translate)?;
        // What signs no more is of no use to anyone but a thief.
        diesel::delete(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
            .filter(endpoint_secrets::expires_at.le(self.now.as_millis()))
            .execute(self.connection)
            .map_err(translate)?;
        diesel::insert_into(endpoint_secrets::table)
            .values((
                endpoint_secrets::endpoint.eq(key),
                endpoint_secrets::number.eq(number.unwrap_or(0) + 1),
                endpoint_secrets::secret.eq(secret),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        self.notices.push(Notice::EndpointChanged(endpoint));
        Ok(true)
    }

    fn request_attempt(&mut self, delivery: DeliveryId) -> Result<(), StoreError> {
        let Some(key) = self.ids.delivery_key(delivery) else { return Ok(()) };
        let endpoint: Option<i64> = deliveries::table
            .find(key)
            .select(deliveries::endpoint)
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        let Some(endpoint) = endpoint else { return Ok(()) };
        diesel::insert_or_ignore_into(manual_attempts::table)
            .values((
                manual_attempts::delivery.eq(key),
                manual_attempts::endpoint.eq(endpoint),
                manual_attempts::requested_at.eq(self.now.as_millis()),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        self.notices.push(Notice::AttemptRequested(self.ids.endpoint(endpoint)));
        Ok(())
    }

    fn discard_deleted(&mut self, limit: usize) -> Result<usize, StoreError> {
        let found: Option<(i64, Option<i64>)> = endpoints::table
            .filter(endpoints::deleted_at.is_not_null())
            .filter(not(endpoints::drained))
            .select((endpoints::id, endpoints::deleted_at))
            .first(self.connection)
            .optional()
            .map_err(translate)?;
        let Some((endpoint, deleted_at)) = found else { return Ok(0) };
        let unfinished: Vec<i64> = deliveries::table
            .filter(deliveries::endpoint.eq(endpoint))
            .filter(deliveries::status.eq_any([0, 1]))
            .filter(deliveries::next_at.is_not_null())
            .select(deliveries::id)
            .limit(limit as i64)
            .load(self.connection)
            .map_err(translate)?;
        diesel::update(deliveries::table.filter(deliveries::id.eq_any(&unfinished)))
            .set((
                deliveries::status.eq(status_number(StoredStatus::Discarded(DiscardReason::EndpointDeleted))),
                deliveries::next_at.eq(None::<i64>),
                // It ended with its endpoint, and has read so ever since.
                deliveries::finished_at.eq(deleted_at),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        if unfinished.len() < limit {
            diesel::delete(manual_attempts::table.filter(manual_attempts::endpoint.eq(endpoint)))
                .execute(self.connection)
                .map_err(translate)?;
            diesel::update(endpoints::table.find(endpoint))
                .set(endpoints::drained.eq(true))
                .execute(self.connection)
                .map_err(translate)?;
        }
        Ok(unfinished.len())
    }

    fn retire(&mut self, horizon: Timestamp, after: Option<EventId>, limit: usize) -> Result<Retired, StoreError> {
        let begin = after.and_then(|event| self.ids.event_key(event)).unwrap_or(0);
        let old: Vec<(i64, i64)> = events::table
            .filter(events::id.gt(begin).and(events::id.lt(first_key_at(horizon))))
            .order(events::id)
            .select((events::id, events::deliveries))
            .limit(limit as i64)
            .load(self.connection)
            .map_err(translate)?;
        let mut rows = 0;
        let mut last = None;
        for (event, fan_out) in &old {
            // Some events have many deliveries: others wait for this commit.
            if rows >= limit {
                break;
            }
            last = Some(*event);
            let end = event + fan_out;
            let of_event = || deliveries::id.gt(*event).and(deliveries::id.le(end));
            // From the event's few deliveries to their endpoints, and never the
            // other way round. What a deleted endpoint left behind is not held.
            let held: Vec<i64> = deliveries::table
                .inner_join(endpoints::table)
                .filter(of_event())
                .filter(deliveries::next_at.is_not_null())
                .filter(endpoints::enabled.eq(false).and(endpoints::deleted_at.is_null()))
                .select(deliveries::id)
                .load(self.connection)
                .map_err(translate)?;
            for delivery in held {
                rows += diesel::update(deliveries::table.find(delivery))
                    .set((
                        deliveries::status.eq(status_number(StoredStatus::Discarded(DiscardReason::Retention))),
                        deliveries::next_at.eq(None::<i64>),
                        deliveries::finished_at.eq(self.now.as_millis()),
                    ))
                    .execute(self.connection)
                    .map_err(translate)?;
            }
            let still_needed: Option<i64> = deliveries::table
                .filter(of_event())
                .filter(deliveries::next_at.is_not_null().or(deliveries::finished_at.ge(horizon.as_millis())))
                .select(deliveries::id)
                .first(self.connection)
                .optional()
                .map_err(translate)?;
            if still_needed.is_some() {
                continue;
            }
            rows += diesel::delete(attempts::table)
                .filter(attempts::delivery.gt(*event).and(attempts::delivery.le(end)))
                .execute(self.connection)
                .map_err(translate)?;
            diesel::delete(manual_attempts::table)
                .filter(manual_attempts::delivery.gt(*event).and(manual_attempts::delivery.le(end)))
                .execute(self.connection)
                .map_err(translate)?;
            rows += diesel::delete(deliveries::table.filter(of_event())).execute(self.connection).map_err(translate)?;
            rows += diesel::delete(events::table.find(*event)).execute(self.connection).map_err(translate)?;
        }
        let looked_at_all = last == old.last().map(|(event, _)| *event);
        let next = if looked_at_all && old.len() < limit { None } else { last.map(|event| self.ids.event(event)) };
        Ok(Retired { rows, next })
    }

    fn forget_idempotency_keys(&mut self, limit: usize) -> Result<usize, StoreError> {
        let old: Vec<(i64, String)> = idempotency_keys::table
            .filter(idempotency_keys::created_at.le(self.now.as_millis() - IDEMPOTENCY_HOLDS_MS))
            .select((idempotency_keys::scope, idempotency_keys::key))
            .limit(limit as i64)
            .load(self.connection)
            .map_err(translate)?;
        for (scope, key) in &old {
            diesel::delete(idempotency_keys::table.find((scope, key))).execute(self.connection).map_err(translate)?;
        }
        Ok(old.len())
    }

    fn first_start(&mut self, types: &[TypeDefinition]) -> Result<bool, StoreError> {
        const NAME: &str = "first_start";
        let done = diesel::insert_or_ignore_into(meta::table)
            .values((meta::name.eq(NAME), meta::value.eq(self.now.to_string().into_bytes())))
            .execute(self.connection)
            .map_err(translate)?;
        if done == 0 {
            return Ok(false);
        }
        self.create_partner(&PartnerName::default_partner())?;
        for environment in Environment::ALL {
            self.put_event_types(environment, types)?;
        }
        Ok(true)
    }

    fn put_event_types(&mut self, environment: Environment, types: &[TypeDefinition]) -> Result<(), StoreError> {
        for definition in types {
            diesel::insert_into(event_types::table)
                .values((
                    event_types::environment.eq(environment_number(environment)),
                    event_types::name.eq(definition.name.as_str()),
                    event_types::description.eq(&definition.description),
                    event_types::schema.eq(to_json(&definition.schema)),
                    event_types::example.eq(to_json(&definition.example)),
                ))
                .on_conflict((event_types::environment, event_types::name))
                .do_update()
                .set((
                    event_types::description.eq(excluded(event_types::description)),
                    event_types::schema.eq(excluded(event_types::schema)),
                    event_types::example.eq(excluded(event_types::example)),
                ))
                .execute(self.connection)
                .map_err(translate)?;
        }
        Ok(())
    }

    fn delete_event_type(&mut self, environment: Environment, name: &EventType) -> Result<bool, StoreError> {
        let gone = diesel::delete(event_types::table.find((environment_number(environment), name.as_str())))
            .execute(self.connection)
            .map_err(translate)?;
        Ok(gone > 0)
    }

    fn create_partner(&mut self, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
        let made = diesel::insert_or_ignore_into(partners::table)
            .values((partners::name.eq(name.as_str()), partners::created_at.eq(self.now.as_millis())))
            .execute(self.connection)
            .map_err(translate)?;
        if made == 0 {
            return Ok(None);
        }
        for environment in Environment::ALL {
            let scope = Scope::of(environment, name.clone());
            let id = reads::scope_id(self.connection, &scope)?
                .ok_or_else(|| StoreError::Corrupt("a partner just written is not there".into()))?;
            let version = self.scope_version(ScopeId(environment_number(environment)))?;
            diesel::insert_into(scopes::table)
                .values((scopes::id.eq(id.0), scopes::version.eq(version)))
                .execute(self.connection)
                .map_err(translate)?;
        }
        Ok(Some(Partner { name: name.clone(), created_at: self.now }))
    }

    fn create_key(&mut self, new: &NewKey) -> Result<KeyRecord, StoreError> {
        let key = self.sequence.take(self.now, 1);
        let partner = match &new.partner {
            Some(name) => Some(
                reads::partner_number(self.connection, name)?
                    .ok_or_else(|| StoreError::Constraint(format!("there is no partner {name}")))?,
            ),
            None => None,
        };
        diesel::insert_into(api_keys::table)
            .values((
                api_keys::id.eq(key),
                api_keys::hash.eq(new.hash.as_slice()),
                api_keys::prefix.eq(&new.prefix),
                api_keys::role.eq(new.role.as_str()),
                api_keys::environment.eq(new.environment.map(environment_number)),
                api_keys::partner.eq(partner),
                api_keys::description.eq(new.description.as_deref()),
                api_keys::expires_at.eq(new.expires_at.map(Timestamp::as_millis)),
            ))
            .execute(self.connection)
            .map_err(translate)?;
        Ok(KeyRecord {
            id: self.ids.api_key(key),
            prefix: new.prefix.clone(),
            role: new.role,
            environment: new.environment,
            partner: new.partner.clone(),
            description: new.description.clone(),
            created_at: time_of_key(key),
            expires_at: new.expires_at,
            revoked_at: None,
        })
    }

    fn revoke_key(&mut self, key: KeyId) -> Result<bool, StoreError> {
        let Some(key) = self.ids.api_key_key(key) else { return Ok(false) };
        let revoked = diesel::update(api_keys::table.find(key))
            .filter(api_keys::revoked_at.is_null())
            .set(api_keys::revoked_at.eq(self.now.as_millis()))
            .execute(self.connection)
            .map_err(translate)?;
        Ok(revoked > 0)
    }
}
