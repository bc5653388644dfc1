//! The lists that people look at: events and deliveries. What became of one event
//! is in `outcomes`.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::reads::{IS_SEALED, scope_id, scope_of};
use super::{Connection, replayed, statements, translate};
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, DeliveryTimes, Event, EventId, Exchange, Outcome, StatusFilter,
    StoredStatus, Timestamp,
};
use crate::store::ids::{IdCodec, RowKey, first_key_at, time_of_key};
use crate::store::rows::{attempt_error, count_of, environment_number, ordinal_of, parsed, status_of};
use crate::store::schema::{attempts, deliveries, endpoints, events};
use crate::store::{DeliveryFilter, Page, PageRequest, Scope, ScopeId, StoreError};

type EventRow = (i64, i64, String, i64, Vec<u8>, Option<i64>, Option<i64>);

fn event_of(connection: &mut Connection, ids: &IdCodec, row: EventRow) -> Result<Event, StoreError> {
    let (key, scope, event_type, matched_version, body, deliver_at, expires_at) = row;
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
        matched_version,
    })
}

const EVENT_COLUMNS: (
    events::id,
    events::scope,
    events::event_type,
    events::matched_version,
    events::body,
    events::deliver_at,
    events::expires_at,
) = (
    events::id,
    events::scope,
    events::event_type,
    events::matched_version,
    events::body,
    events::deliver_at,
    events::expires_at,
);

/// An event's own scope and the one over all partners: what a partner sees.
fn visible_scopes(id: ScopeId) -> [i64; 2] {
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

pub(super) fn events_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    page: &PageRequest<EventId>,
) -> Result<Page<Event>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page { items: Vec::new(), more: false }) };
    let before = page.after.map_or(RowKey::MAX, |after| ids.event_key(after).unwrap_or(0));
    let page_of = || {
        events::table
            .filter(events::id.lt(before))
            .order(events::id.desc())
            .limit(page.limit as i64 + 1)
            .select(EVENT_COLUMNS)
            .into_boxed()
    };
    let mut rows: Vec<EventRow> = Vec::new();
    if scope.partner.is_some() {
        // Two walks down one index, merged: an IN with an ORDER BY would sort
        // the partner's whole history.
        for visible in visible_scopes(id) {
            let part: Vec<EventRow> =
                page_of().filter(events::scope.eq(visible)).load(connection).map_err(translate)?;
            rows.extend(part);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    } else {
        let of_environment = diesel::dsl::sql::<Bool>("events.scope & 1 = ").bind::<BigInt, _>(id.0);
        rows = page_of().filter(of_environment).load(connection).map_err(translate)?;
    }
    Page::from_overread(rows, page.limit).try_map(|row| event_of(connection, ids, row))
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

/// A stored state, and how often the schedule has tried what counts.
pub(super) type StoredState = (i64, (i64, i64));

const UNTRIED: (i64, i64) = (0, 0);
const TRIED: (i64, i64) = (1, i64::MAX);
const EITHER: (i64, i64) = (0, i64::MAX);

/// The stored states that look like this, for an endpoint as it is now.
pub(super) fn stored_states(filter: Option<StatusFilter>, enabled: bool, deleted: bool) -> &'static [StoredState] {
    match (filter, enabled, deleted) {
        // Asked for without looking at states.
        (None, ..) => &[],
        (Some(StatusFilter::Delivered), ..) => &[(2, EITHER)],
        (Some(StatusFilter::RetriesExhausted), ..) => &[(3, EITHER)],
        (Some(StatusFilter::Discarded), _, true) => {
            &[(-1, EITHER), (0, EITHER), (1, EITHER), (4, EITHER), (5, EITHER), (6, EITHER), (7, EITHER), (8, EITHER)]
        }
        (Some(StatusFilter::Discarded), _, false) => &[(4, EITHER), (5, EITHER), (6, EITHER), (7, EITHER), (8, EITHER)],
        (Some(StatusFilter::Pending), true, false) => &[(-1, EITHER), (0, EITHER), (1, UNTRIED)],
        (Some(StatusFilter::Retrying), true, false) => &[(1, TRIED)],
        (Some(StatusFilter::Held), false, false) => &[(-1, EITHER), (0, EITHER), (1, EITHER)],
        (Some(StatusFilter::Pending | StatusFilter::Retrying | StatusFilter::Held), ..) => &[],
    }
}

/// Whether it ended with its endpoint.
const fn ended_with(status: DeliveryStatus, stored: StoredStatus) -> bool {
    matches!(status, DeliveryStatus::Discarded(_)) && stored.is_unfinished()
}

/// Keys between which a list lies, both left out.
fn key_range(ids: &IdCodec, filter: &DeliveryFilter, page: &PageRequest<DeliveryId>) -> (RowKey, RowKey) {
    let since = filter.since.map_or(0, |since| first_key_at(since) - 1);
    let until = filter.until.map_or(RowKey::MAX, first_key_at);
    let after = page.after.map_or(RowKey::MAX, |after| ids.delivery_key(after).unwrap_or(0));
    (since, until.min(after))
}

pub(super) fn deliveries_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    filter: &DeliveryFilter,
    page: &PageRequest<DeliveryId>,
) -> Result<Page<Delivery>, StoreError> {
    let nothing = Page { items: Vec::new(), more: false };
    let Some(id) = scope_id(connection, scope)? else { return Ok(nothing) };
    let (mut above, mut below) = key_range(ids, filter, page);
    let within = (above, below);
    if filter.replay.is_some() {
        let keys = replayed::keys_in_replay(connection, ids, (id, scope), filter, within, page.limit + 1)?;
        return page_of_keys(connection, ids, keys, page);
    }
    if let Some(event) = filter.event {
        let Some(key) = ids.event_key(event) else { return Ok(nothing) };
        let fan_out: Option<i64> =
            events::table.find(key).select(events::deliveries).first(connection).optional().map_err(translate)?;
        let Some(fan_out) = fan_out else { return Ok(nothing) };
        above = above.max(key);
        below = below.min(key + fan_out + 1);
    }
    let mut keys: Vec<RowKey> = Vec::new();
    if scope.partner.is_some() || filter.endpoint.is_some() {
        // Endpoint by endpoint down one index each, merged: however large the
        // store, this reads at most a page for every endpoint of the partner.
        let mut of_scope =
            endpoints::table.select((endpoints::id, endpoints::enabled, endpoints::deleted_at)).into_boxed();
        of_scope = if scope.partner.is_some() {
            of_scope.filter(endpoints::scope.eq(id.0))
        } else {
            of_scope.filter(diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0))
        };
        if let Some(endpoint) = filter.endpoint {
            let Some(key) = ids.endpoint_key(endpoint) else { return Ok(nothing) };
            of_scope = of_scope.filter(endpoints::id.eq(key));
        }
        let found: Vec<(i64, bool, Option<i64>)> = of_scope.load(connection).map_err(translate)?;
        for (endpoint, enabled, deleted_at) in found {
            let states = stored_states(filter.status, enabled, deleted_at.is_some());
            keys.extend(keys_of_endpoint(connection, endpoint, filter, states, (above, below), page.limit + 1)?);
        }
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
        keys.truncate(page.limit + 1);
    } else {
        keys = keys_of_environment(connection, scope, filter, (above, below), page.limit + 1)?;
    }
    if let Some(event) = filter.event.and_then(|event| ids.event_key(event)) {
        // What was made of it later has keys of other times.
        keys.extend(replayed::keys_of_event(connection, ids, (id, scope), event, filter, within)?);
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
        keys.truncate(page.limit + 1);
    }
    page_of_keys(connection, ids, keys, page)
}

/// The deliveries with these keys, newest first, of which there is up to one more than the
/// page has.
fn page_of_keys(
    connection: &mut Connection,
    ids: &IdCodec,
    keys: Vec<RowKey>,
    page: &PageRequest<DeliveryId>,
) -> Result<Page<Delivery>, StoreError> {
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let row: Option<DeliveryRow> =
            delivery_query().filter(deliveries::id.eq(key)).first(connection).optional().map_err(translate)?;
        rows.extend(row);
    }
    Page::from_overread(rows, page.limit).try_map(|row| delivery_of(ids, row))
}

/// An endpoint's newest deliveries in these states, in no order. Each state
/// has the index that holds few others, so that three failures are not looked
/// for among millions of successes.
fn keys_of_endpoint(
    connection: &mut Connection,
    endpoint: RowKey,
    filter: &DeliveryFilter,
    states: &[StoredState],
    (above, below): (RowKey, RowKey),
    limit: usize,
) -> Result<Vec<RowKey>, StoreError> {
    let newest = || {
        deliveries::table
            .filter(deliveries::endpoint.eq(endpoint))
            .filter(deliveries::id.gt(above).and(deliveries::id.lt(below)))
            .filter(diesel::dsl::sql::<Bool>(IS_SEALED))
            .order(deliveries::id.desc())
            .limit(limit as i64)
            .select(deliveries::id)
            .into_boxed()
    };
    if filter.status.is_none() {
        return newest().load(connection).map_err(translate);
    }
    if filter.event.is_some() {
        // One event's deliveries are few, whatever their state.
        let mut keys: Vec<RowKey> = Vec::new();
        for (state, (least, most)) in states {
            let found: Vec<RowKey> = newest()
                .filter(deliveries::status.eq(*state))
                .filter(deliveries::scheduled_attempts.between(*least, *most))
                .load(connection)
                .map_err(translate)?;
            keys.extend(found);
        }
        return Ok(keys);
    }
    let mut keys: Vec<RowKey> = Vec::new();
    for (state, (least, most)) in states {
        let found = match state {
            // What is unfinished is sorted here: it may be many, but what was
            // delivered before it is more.
            ..=1 => statements::unfinished(connection, endpoint, *state, *least, *most, above, below, limit as i64)
                .map(|rows| rows.into_iter().map(|(key,)| key).collect()),
            2 => newest().filter(deliveries::status.eq(2)).load(connection),
            // The very words of the index over what was given up.
            _ => newest()
                .filter(diesel::dsl::sql::<Bool>("deliveries.status >= 3"))
                .filter(deliveries::status.eq(*state))
                .load(connection),
        };
        keys.extend(found.map_err(translate)?);
    }
    Ok(keys)
}

/// Newest first through everything: for operators who look over all partners.
fn keys_of_environment(
    connection: &mut Connection,
    scope: &Scope,
    filter: &DeliveryFilter,
    (above, below): (RowKey, RowKey),
    limit: usize,
) -> Result<Vec<RowKey>, StoreError> {
    let live = endpoints::deleted_at.is_null();
    let mut query = deliveries::table
        .inner_join(endpoints::table)
        .filter(deliveries::id.gt(above).and(deliveries::id.lt(below)))
        .filter(diesel::dsl::sql::<Bool>(IS_SEALED))
        .filter(
            diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(environment_number(scope.environment)),
        )
        .order(deliveries::id.desc())
        .limit(limit as i64)
        .select(deliveries::id)
        .into_boxed();
    query = match filter.status {
        None => query,
        Some(StatusFilter::Delivered) => query.filter(deliveries::status.eq(2)),
        Some(StatusFilter::RetriesExhausted) => query.filter(deliveries::status.eq(3)),
        Some(StatusFilter::Pending) => {
            let untried =
                deliveries::status.lt(1).or(deliveries::status.eq(1).and(deliveries::scheduled_attempts.eq(0)));
            query.filter(untried).filter(live).filter(endpoints::enabled.eq(true))
        }
        Some(StatusFilter::Retrying) => {
            let tried = deliveries::status.eq(1).and(deliveries::scheduled_attempts.gt(0));
            query.filter(tried).filter(live).filter(endpoints::enabled.eq(true))
        }
        Some(StatusFilter::Held) => {
            query.filter(deliveries::status.lt(2)).filter(live).filter(endpoints::enabled.eq(false))
        }
        Some(StatusFilter::Discarded) => {
            query.filter(deliveries::status.ge(4).or(deliveries::status.lt(2).and(endpoints::deleted_at.is_not_null())))
        }
    };
    query.load(connection).map_err(translate)
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
