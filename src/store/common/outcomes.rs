//! What became of an event for each endpoint: from its deliveries, and for those
//! that have none from the settings that held when it was accepted. Nothing is
//! written of an event that a filter did not accept; the filter is asked again.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::cell::OnceCell;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use serde_json::Value;

use super::reads::scope_id;
use super::views::{ATTEMPT_COLUMNS, AttemptRow, DeliveryRow, attempt_of, delivery_of, delivery_query};
use super::{Connection, translate};
use crate::catalog::{self, FieldError};
use crate::domain::{Event, EventFilter, TypePattern};
use crate::policy::matching;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::{SettingsRow, from_json};
use crate::store::schema::{attempts, deliveries, endpoint_versions, endpoints, events};
use crate::store::{EventOutcome, Scope, ScopeId, StoreError, filters};

/// Endpoints whose settings are read by one statement.
const READ_TOGETHER: usize = 500;

pub(super) fn event_outcomes(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    event: &Event,
) -> Result<Vec<EventOutcome>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Vec::new()) };
    let Some(key) = ids.event_key(event.id) else { return Ok(Vec::new()) };
    let fan_out: Option<i64> =
        events::table.find(key).select(events::deliveries).first(connection).optional().map_err(translate)?;
    let Some(fan_out) = fan_out else { return Ok(Vec::new()) };
    let mut query = delivery_query().filter(deliveries::id.gt(key).and(deliveries::id.le(key + fan_out))).into_boxed();
    if scope.partner.is_some() {
        query = query.filter(endpoints::scope.eq(id.0));
    }
    let rows: Vec<DeliveryRow> = query.order(deliveries::id).load(connection).map_err(translate)?;
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut reached = Vec::with_capacity(rows.len());
    for row in rows {
        let (delivery, _, endpoint) = row.0;
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
            last_attempt: last.map(attempt_of).transpose()?,
        });
    }
    // Over all partners, who was not subscribed is every other endpoint there
    // is: that list answers nobody's question.
    if scope.partner.is_some() {
        reached.sort_unstable();
        outcomes.extend(passed_by(connection, ids, id, event, &reached)?);
    }
    Ok(outcomes)
}

/// What kept the event from the scope's other endpoints, in the order of their ids.
fn passed_by(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: ScopeId,
    event: &Event,
    reached: &[RowKey],
) -> Result<Vec<EventOutcome>, StoreError> {
    let mut others: Vec<RowKey> = endpoints::table
        .filter(endpoints::scope.eq(scope.0))
        .filter(endpoints::created_version.le(event.matched_version))
        .filter(endpoints::deleted_version.is_null().or(endpoints::deleted_version.gt(event.matched_version)))
        .order(endpoints::id)
        .select(endpoints::id)
        .load(connection)
        .map_err(translate)?;
    others.retain(|endpoint| reached.binary_search(endpoint).is_err());
    let body = OnceCell::new();
    let mut outcomes = Vec::with_capacity(others.len());
    for some in others.chunks(READ_TOGETHER) {
        for (endpoint, settings) in settings_then(connection, some, event.matched_version)? {
            let (patterns, filter) = from_json::<SettingsRow>(&settings)?.wanted()?;
            let objections = objections(&patterns, filter.as_ref(), event, &body);
            let endpoint = ids.endpoint(endpoint);
            outcomes.push(match objections.is_empty() {
                true => EventOutcome::NotSubscribed(endpoint),
                false => EventOutcome::Filtered { endpoint, objections },
            });
        }
    }
    Ok(outcomes)
}

/// The settings that these endpoints had at a version of their environment's clock.
fn settings_then(
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
    let body = body.get_or_init(|| catalog::read_json(&event.body).ok());
    match (filters::compiled(filter), body) {
        (Some(filter), Some(body)) => filter.objections(body),
        // Neither keeps an event from anybody.
        (None, _) | (_, None) => Vec::new(),
    }
}
