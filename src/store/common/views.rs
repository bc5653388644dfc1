//! What people look at: events, deliveries, attempts. Their lists are in `search` and
//! `listing`, and what became of one event in `outcomes`.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::reads::{scope_id, scope_of};
use super::{Connection, translate};
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, DeliveryTimes, Event, EventId, Exchange, Outcome, StoredStatus,
    Timestamp,
};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::rows::{attempt_error, count_of, erasure_of, ordinal_of, parsed, status_of};
use crate::store::schema::{attempts, deliveries, endpoints, events};
use crate::store::{Scope, ScopeId, StoreError};

/// Of an event: `id`, `scope`, `event_type`, `matched_version`, `body`; `deliver_at`, `expires_at`; `idempotency_key`; `retain`,
/// `erased_at`, `erased_by`.
pub(super) type EventRow = (
    i64,
    i64,
    String,
    i64,
    Vec<u8>,
    (Option<i64>, Option<i64>),
    Option<String>,
    (Option<i64>, Option<i64>, Option<i64>),
);

pub(super) fn event_of(connection: &mut Connection, ids: &IdCodec, row: EventRow) -> Result<Event, StoreError> {
    let (key, scope, event_type, matched_version, body, (deliver_at, expires_at), idempotency_key, kept) = row;
    let (retain, erased_at, erased_by) = kept;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    let scope = scope_of(connection, ScopeId(scope))?;
    Ok(Event {
        id: ids.event(key),
        environment: scope.environment,
        partner: scope.partner,
        event_type: parsed(&event_type)?,
        body: body.into(),
        accepted_at: time_of_key(key),
        times: DeliveryTimes { deliver_at: time(deliver_at), expires_at: time(expires_at) },
        idempotency_key,
        is_unretained: retain.is_some(),
        erased: erasure_of(erased_at, erased_by)?,
        matched_version,
    })
}

/// The columns of [`EventRow`].
type EventColumns = (
    events::id,
    events::scope,
    events::event_type,
    events::matched_version,
    events::body,
    (events::deliver_at, events::expires_at),
    events::idempotency_key,
    (events::retain, events::erased_at, events::erased_by),
);

pub(super) const EVENT_COLUMNS: EventColumns = (
    events::id,
    events::scope,
    events::event_type,
    events::matched_version,
    events::body,
    (events::deliver_at, events::expires_at),
    events::idempotency_key,
    (events::retain, events::erased_at, events::erased_by),
);

/// An event's own scope and the one over all partners: what a partner sees.
pub(super) fn visible_scopes(id: ScopeId) -> [i64; 2] {
    [id.0, id.0 % 2]
}

pub(super) fn event(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    event: EventId,
) -> Result<Option<Event>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    let Some(key) = ids.event_key(event) else { return Ok(None) };
    let row: Option<EventRow> =
        events::table.find(key).select(EVENT_COLUMNS).first(connection).optional().map_err(translate)?;
    let seen = |row: &EventRow| match scope.partner {
        Some(_) => visible_scopes(id).contains(&row.1),
        None => row.1 % 2 == id.0,
    };
    row.filter(seen).map(|row| event_of(connection, ids, row)).transpose()
}

/// Of a delivery: `id`, `event`, `endpoint`, `replay`; `status`, `attempt_count`,
/// `scheduled_attempts`; `next_at`, `finished_at`; `sequence` (its place), `number`. Then its event's type,
/// and whether its endpoint is enabled, and when it was deleted.
pub(super) type DeliveryRow = (
    (i64, i64, i64, Option<i64>),
    (i64, i64, i64),
    (Option<i64>, Option<i64>),
    (Option<i64>, Option<i64>),
    String,
    bool,
    Option<i64>,
);

#[diesel::dsl::auto_type]
pub(super) fn delivery_query() -> _ {
    deliveries::table.inner_join(events::table).inner_join(endpoints::table).select((
        (deliveries::id, deliveries::event, deliveries::endpoint, deliveries::replay),
        (deliveries::status, deliveries::attempt_count, deliveries::scheduled_attempts),
        (deliveries::next_at, deliveries::finished_at),
        (deliveries::sequence, deliveries::number),
        events::event_type,
        endpoints::enabled,
        endpoints::deleted_at,
    ))
}

pub(super) fn delivery_of(ids: &IdCodec, row: DeliveryRow) -> Result<Delivery, StoreError> {
    let (
        (key, event, endpoint, replay),
        standing,
        (next_at, finished_at),
        (place, number),
        event_type,
        enabled,
        deleted_at,
    ) = row;
    let (status, attempt_count, scheduled_attempts) = standing;
    let stored = status_of(status)?;
    let status = DeliveryStatus::seen(stored, scheduled_attempts > 0, enabled, deleted_at.is_some());
    // What waits for others has no time of its own.
    let has_time = !ended_with(status, stored) && stored != StoredStatus::Queued;
    // A deleted endpoint's deliveries end with it, also those that no sweep
    // has written down yet.
    let ended_with_endpoint = ended_with(status, stored);
    Ok(Delivery {
        id: ids.delivery(key),
        endpoint: ids.endpoint(endpoint),
        event: ids.event(event),
        event_type: parsed(&event_type)?,
        status,
        attempt_count: count_of(attempt_count)?,
        next_attempt_at: next_at.filter(|_| has_time).map(Timestamp::from_millis),
        scheduled_attempts: count_of(scheduled_attempts)?,
        is_queued: stored == StoredStatus::Queued && !ended_with_endpoint,
        sequence: ordinal_of(number)?,
        place: ordinal_of(place)?,
        replay: replay.map(|replay| ids.replay(replay)),
        created_at: time_of_key(key),
        finished_at: if ended_with_endpoint { deleted_at } else { finished_at }.map(Timestamp::from_millis),
    })
}

/// Whether it ended with its endpoint.
const fn ended_with(status: DeliveryStatus, stored: StoredStatus) -> bool {
    matches!(status, DeliveryStatus::Discarded(_)) && stored.is_unfinished()
}

pub(super) fn delivery(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    delivery: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    let Some(key) = ids.delivery_key(delivery) else { return Ok(None) };
    let mut query = delivery_query().filter(deliveries::id.eq(key)).into_boxed();
    query = if scope.partner.is_some() {
        query.filter(endpoints::scope.eq(id.0))
    } else {
        query.filter(diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0))
    };
    let row: Option<DeliveryRow> = query.first(connection).optional().map_err(translate)?;
    row.map(|row| delivery_of(ids, row)).transpose()
}

pub(super) type AttemptRow =
    (i64, i64, i64, Option<i64>, Option<String>, Option<String>, Option<Vec<u8>>, Option<String>);

pub(super) const ATTEMPT_COLUMNS: (
    attempts::number,
    attempts::started_at,
    attempts::duration_ms,
    attempts::status_code,
    attempts::error_class,
    attempts::error_message,
    attempts::response_body,
    attempts::exchange,
) = (
    attempts::number,
    attempts::started_at,
    attempts::duration_ms,
    attempts::status_code,
    attempts::error_class,
    attempts::error_message,
    attempts::response_body,
    attempts::exchange,
);

pub(super) fn attempt_of(row: AttemptRow) -> Result<Attempt, StoreError> {
    let (number, started_at, duration_ms, status_code, error_class, error_message, response_body, exchange) = row;
    let status_code = status_code
        .map(|code| u16::try_from(code).map_err(|_| StoreError::Corrupt(format!("HTTP status {code}"))))
        .transpose()?;
    Ok(Attempt {
        number: count_of(number)?,
        started_at: Timestamp::from_millis(started_at),
        duration_ms: count_of(duration_ms)?,
        outcome: Outcome {
            status_code,
            error: attempt_error(error_class.as_deref(), error_message)?,
            response_body: response_body.unwrap_or_default().into(),
            retry_after: None,
            exchange: exchange.map(|text| Box::new(Exchange::from_text(&text))),
        },
    })
}

pub(super) fn attempts_of(connection: &mut Connection, delivery: RowKey) -> Result<Vec<Attempt>, StoreError> {
    let rows: Vec<AttemptRow> = attempts::table
        .filter(attempts::delivery.eq(delivery))
        .order(attempts::number)
        .select(ATTEMPT_COLUMNS)
        .load(connection)
        .map_err(translate)?;
    rows.into_iter().map(attempt_of).collect()
}
