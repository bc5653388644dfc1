//! What became of an event for each endpoint: from its deliveries, and for those
//! that have none from the settings that held when it was accepted. Nothing is
//! written of an event that a filter did not accept; the filter is asked again. Who was
//! not there yet is told too.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use serde_json::Value;

use super::reads::scope_id;
use super::views::{ATTEMPT_COLUMNS, AttemptRow, DeliveryRow, attempt_of, delivery_of, delivery_query};
use super::{Connection, translate};
use crate::catalog::{self, FieldError};
use crate::domain::{EndpointId, Event, EventFilter, Timestamp, TypePattern};
use crate::policy::matching;
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::rows::{SettingsRow, count_of, from_json};
use crate::store::schema::{attempts, deliveries, endpoint_versions, endpoints, events};
use crate::store::{EventOutcome, Scope, ScopeId, StoreError, Subscribed, filters};

/// Endpoints whose settings are read by one statement.
const READ_TOGETHER: usize = 500;
/// Later settings that are looked through for one that takes the event, over all of
/// those endpoints.
const LATER_SETTINGS: i64 = 2_000;

pub(super) fn event_outcomes(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    event: &Event,
    endpoint: Option<EndpointId>,
    limit: usize,
) -> Result<Vec<EventOutcome>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Vec::new()) };
    let Some(key) = ids.event_key(event.id) else { return Ok(Vec::new()) };
    let only = match endpoint.map(|endpoint| ids.endpoint_key(endpoint)) {
        Some(None) => return Ok(Vec::new()),
        known => known.flatten(),
    };
    let fan_out: Option<i64> =
        events::table.find(key).select(events::deliveries).first(connection).optional().map_err(translate)?;
    let Some(fan_out) = fan_out else { return Ok(Vec::new()) };
    let mut own = delivery_query().filter(deliveries::id.gt(key).and(deliveries::id.le(key + fan_out))).into_boxed();
    // What replays made of it is not in its range.
    let mut replayed =
        delivery_query().filter(deliveries::event.eq(key)).filter(deliveries::replay.is_not_null()).into_boxed();
    if scope.partner.is_some() {
        own = own.filter(endpoints::scope.eq(id.0));
        replayed = replayed.filter(endpoints::scope.eq(id.0));
    }
    if let Some(only) = only {
        own = own.filter(deliveries::endpoint.eq(only));
        replayed = replayed.filter(deliveries::endpoint.eq(only));
    }
    // An event may have gone to a million endpoints: memory is the limit's.
    let room = |taken: usize| i64::try_from(limit.saturating_sub(taken)).unwrap_or(i64::MAX);
    let own = own.order(deliveries::id).limit(room(0));
    let mut rows: Vec<DeliveryRow> = own.load(connection).map_err(translate)?;
    let replayed = replayed.order(deliveries::id).limit(room(rows.len()));
    rows.extend(replayed.load::<DeliveryRow>(connection).map_err(translate)?);
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut reached = Vec::with_capacity(rows.len());
    for row in rows {
        let (delivery, _, endpoint, _) = row.0;
        reached.push(endpoint);
        let last: Option<AttemptRow> = attempts::table
            .filter(attempts::delivery.eq(delivery))
            .order(attempts::number.desc())
            .select(ATTEMPT_COLUMNS)
            .first(connection)
            .optional()
            .map_err(translate)?;
        outcomes.push(EventOutcome::Delivery {
            delivery: delivery_of(ids, row)?,
            last_attempt: last.map(attempt_of).transpose()?.map(Box::new),
        });
    }
    // Over all partners, who was not subscribed is every other endpoint there
    // is: that list answers nobody's question. Who got none is known once all are that did.
    if scope.partner.is_some() && outcomes.len() < limit {
        reached.sort_unstable();
        let others = Others { scope: id, only, reached: &reached };
        outcomes.extend(passed_by(connection, ids, event, &others, limit - outcomes.len())?);
        outcomes.extend(not_yet_created(connection, ids, event, &others, limit - outcomes.len())?);
    }
    Ok(outcomes)
}

/// Those endpoints of a scope that got no delivery.
struct Others<'a> {
    scope: ScopeId,
    /// This one alone, if it is among them.
    only: Option<RowKey>,
    /// Those that got one, in order.
    reached: &'a [RowKey],
}

/// What kept the event from the scope's other endpoints, in the order of their ids.
fn passed_by(
    connection: &mut Connection,
    ids: &IdCodec,
    event: &Event,
    others: &Others<'_>,
    limit: usize,
) -> Result<Vec<EventOutcome>, StoreError> {
    let mut query = endpoints::table
        .filter(endpoints::scope.eq(others.scope.0))
        .filter(endpoints::created_version.le(event.matched_version))
        .filter(endpoints::deleted_version.is_null().or(endpoints::deleted_version.gt(event.matched_version)))
        .order(endpoints::id)
        .select(endpoints::id)
        .into_boxed();
    if let Some(only) = others.only {
        query = query.filter(endpoints::id.eq(only));
    }
    let mut found: Vec<RowKey> = query.load(connection).map_err(translate)?;
    found.retain(|endpoint| others.reached.binary_search(endpoint).is_err());
    found.truncate(limit);
    let body = OnceCell::new();
    let mut outcomes = Vec::with_capacity(found.len());
    for some in found.chunks(READ_TOGETHER) {
        let mut unsubscribed = Vec::new();
        let first = outcomes.len();
        for (key, settings) in settings_then(connection, some, event.matched_version)? {
            let (patterns, filter) = from_json::<SettingsRow>(&settings)?.wanted()?;
            let objections = objections(&patterns, filter.as_ref(), event, &body);
            let endpoint = ids.endpoint(key);
            outcomes.push(match objections.is_empty() {
                true => {
                    unsubscribed.push(key);
                    EventOutcome::NotSubscribed { endpoint, later: None }
                }
                false => EventOutcome::Filtered { endpoint, objections },
            });
        }
        let subscribed = subscribed_later(connection, ids, &unsubscribed, event)?;
        for outcome in &mut outcomes[first..] {
            if let EventOutcome::NotSubscribed { endpoint, later } = outcome {
                *later = subscribed.get(endpoint).copied();
            }
        }
    }
    Ok(outcomes)
}

/// Of endpoints that did not take an event, by which of their later settings they would.
fn subscribed_later(
    connection: &mut Connection,
    ids: &IdCodec,
    unsubscribed: &[RowKey],
    event: &Event,
) -> Result<HashMap<EndpointId, Subscribed>, StoreError> {
    let rows: Vec<(RowKey, i64, Option<i64>, String)> = endpoint_versions::table
        .filter(endpoint_versions::endpoint.eq_any(unsubscribed))
        .filter(endpoint_versions::since_version.gt(event.matched_version))
        .order((endpoint_versions::endpoint, endpoint_versions::version))
        .limit(LATER_SETTINGS)
        .select((
            endpoint_versions::endpoint,
            endpoint_versions::version,
            endpoint_versions::since_at,
            endpoint_versions::settings,
        ))
        .load(connection)
        .map_err(translate)?;
    let mut subscribed = HashMap::new();
    for (key, version, since_at, settings) in rows {
        if let Entry::Vacant(entry) = subscribed.entry(ids.endpoint(key)) {
            let (patterns, _) = from_json::<SettingsRow>(&settings)?.wanted()?;
            if matching::wants(&patterns, &event.event_type) {
                let since = since_at.map(Timestamp::from_millis);
                entry.insert(Subscribed { version: count_of(version)?, since });
            }
        }
    }
    Ok(subscribed)
}

/// The scope's endpoints that were made when the event had been matched, and are still
/// there, in the order of their ids.
fn not_yet_created(
    connection: &mut Connection,
    ids: &IdCodec,
    event: &Event,
    others: &Others<'_>,
    limit: usize,
) -> Result<Vec<EventOutcome>, StoreError> {
    let mut query =
        endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::scope.eq(others.scope.0))
            .filter(endpoints::created_version.gt(event.matched_version))
            .filter(endpoints::deleted_at.is_null())
            .order(endpoints::id)
            // Some of these a replay has reached.
            .limit(i64::try_from(limit.saturating_add(others.reached.len())).unwrap_or(i64::MAX))
            .select((endpoints::id, endpoint_versions::settings))
            .into_boxed();
    if let Some(only) = others.only {
        query = query.filter(endpoints::id.eq(only));
    }
    let rows: Vec<(RowKey, String)> = query.load(connection).map_err(translate)?;
    let mut outcomes = Vec::new();
    let missed = rows.into_iter().filter(|(key, _)| others.reached.binary_search(key).is_err());
    for (key, settings) in missed.take(limit) {
        let (patterns, _) = from_json::<SettingsRow>(&settings)?.wanted()?;
        outcomes.push(EventOutcome::NotYetCreated {
            endpoint: ids.endpoint(key),
            created_at: time_of_key(key),
            is_subscribed: matching::wants(&patterns, &event.event_type),
        });
    }
    Ok(outcomes)
}

/// The settings that these endpoints had at a version of their environment's clock.
pub(super) fn settings_then(
    connection: &mut Connection,
    endpoints: &[RowKey],
    matched_version: i64,
) -> Result<Vec<(RowKey, String)>, StoreError> {
    let held_then = diesel::dsl::sql::<Bool>(
        "endpoint_versions.version = (SELECT max(held.version) FROM endpoint_versions AS held \
         WHERE held.endpoint = endpoint_versions.endpoint AND held.since_version <= ",
    )
    .bind::<BigInt, _>(matched_version)
    .sql(")");
    endpoint_versions::table
        .filter(endpoint_versions::endpoint.eq_any(endpoints))
        .filter(held_then)
        .order(endpoint_versions::endpoint)
        .select((endpoint_versions::endpoint, endpoint_versions::settings))
        .load(connection)
        .map_err(translate)
}

/// What the filter objected to, if it was the filter that kept the event away.
fn objections(
    patterns: &[TypePattern],
    filter: Option<&EventFilter>,
    event: &Event,
    body: &OnceCell<Option<Value>>,
) -> Vec<FieldError> {
    let Some(filter) = filter else { return Vec::new() };
    if !matching::wants(patterns, &event.event_type) {
        return Vec::new();
    }
    // It wanted the type and got none: what else should have kept it away?
    if event.erased.is_some() {
        let detail = "the filter did not accept the event, whose payload was erased since".to_owned();
        return vec![FieldError { pointer: String::new(), detail }];
    }
    let body = body.get_or_init(|| catalog::read_json(&event.body).ok());
    match (filters::compiled(filter), body) {
        (Some(filter), Some(body)) => filter.objections(body),
        // Neither keeps an event from anybody.
        (None, _) | (_, None) => Vec::new(),
    }
}
