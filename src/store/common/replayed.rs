//! Lists of deliveries that replays made: of one event, and of one replay. Their keys are of
//! the time they were made at, so that no range of keys has them.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::views::{StoredState, stored_states};
use super::{Connection, statements, translate};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::schema::{deliveries, endpoints, replay_targets, replays};
use crate::store::{DeliveryFilter, Scope, ScopeId, StoreError};

/// Every stored state, where none is asked for.
const ALL_STATES: &[StoredState] = &[
    (-1, EITHER),
    (0, EITHER),
    (1, EITHER),
    (2, EITHER),
    (3, EITHER),
    (4, EITHER),
    (5, EITHER),
    (6, EITHER),
    (7, EITHER),
    (8, EITHER),
];
const EITHER: (i64, i64) = (0, i64::MAX);

/// Deliveries that replays made of an event, between two keys, in no order. Few events
/// were replayed often.
pub(super) fn keys_of_event(
    connection: &mut Connection,
    ids: &IdCodec,
    (id, scope): (ScopeId, &Scope),
    event: RowKey,
    filter: &DeliveryFilter,
    (above, below): (RowKey, RowKey),
) -> Result<Vec<RowKey>, StoreError> {
    let mut query = deliveries::table
        .inner_join(endpoints::table)
        .filter(deliveries::event.eq(event))
        .filter(deliveries::replay.is_not_null())
        .filter(deliveries::id.gt(above).and(deliveries::id.lt(below)))
        .select((
            deliveries::id,
            deliveries::status,
            deliveries::scheduled_attempts,
            endpoints::enabled,
            endpoints::deleted_at.is_not_null(),
        ))
        .into_boxed();
    query = match scope.partner {
        Some(_) => query.filter(endpoints::scope.eq(id.0)),
        None => query.filter(sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0)),
    };
    if let Some(endpoint) = filter.endpoint {
        query = query.filter(deliveries::endpoint.eq(ids.endpoint_key(endpoint).unwrap_or(0)));
    }
    let rows: Vec<(RowKey, i64, i64, bool, bool)> = query.load(connection).map_err(translate)?;
    let is_asked_for = |(_, status, tried, enabled, deleted): &(RowKey, i64, i64, bool, bool)| {
        filter.status.is_none()
            || stored_states(filter.status, *enabled, *deleted)
                .iter()
                .any(|(state, (least, most))| state == status && least <= tried && tried <= most)
    };
    Ok(rows.into_iter().filter(is_asked_for).map(|row| row.0).collect())
}

/// A replay's deliveries that the scope may see, between two keys, newest first, up to
/// `limit`.
pub(super) fn keys_in_replay(
    connection: &mut Connection,
    ids: &IdCodec,
    (id, scope): (ScopeId, &Scope),
    filter: &DeliveryFilter,
    (above, below): (RowKey, RowKey),
    limit: usize,
) -> Result<Vec<RowKey>, StoreError> {
    let Some(replay) = filter.replay.and_then(|replay| ids.replay_key(replay)) else { return Ok(Vec::new()) };
    let event = filter.event.map(|event| ids.event_key(event).unwrap_or(0));
    let owner: Option<i64> =
        replays::table.find(replay).select(replays::scope).first(connection).optional().map_err(translate)?;
    let sees_all = owner.is_some_and(|owner| owner == id.0 || (scope.partner.is_none() && owner % 2 == id.0));
    if sees_all && filter.status.is_none() && filter.endpoint.is_none() && event.is_none() {
        let rows = statements::in_replay(connection, replay, above, below, limit as i64).map_err(translate)?;
        return Ok(rows.into_iter().map(|(key,)| key).collect());
    }
    // Endpoint by endpoint and state by state, each down one index.
    let mut query = replay_targets::table
        .inner_join(endpoints::table.on(endpoints::id.eq(replay_targets::endpoint)))
        .filter(replay_targets::replay.eq(replay))
        .select((endpoints::id, endpoints::enabled, endpoints::deleted_at.is_not_null()))
        .into_boxed();
    query = match scope.partner {
        Some(_) => query.filter(endpoints::scope.eq(id.0)),
        None => query.filter(sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0)),
    };
    if let Some(endpoint) = filter.endpoint {
        query = query.filter(endpoints::id.eq(ids.endpoint_key(endpoint).unwrap_or(0)));
    }
    let targets: Vec<(RowKey, bool, bool)> = query.load(connection).map_err(translate)?;
    let mut keys: Vec<RowKey> = Vec::new();
    for (endpoint, enabled, deleted) in targets {
        let states = match filter.status {
            None => ALL_STATES,
            asked => stored_states(asked, enabled, deleted),
        };
        for (state, (least, most)) in states {
            let mut of_state = deliveries::table
                .filter(deliveries::replay.eq(replay))
                .filter(deliveries::endpoint.eq(endpoint))
                .filter(deliveries::status.eq(*state))
                .filter(deliveries::id.gt(above).and(deliveries::id.lt(below)))
                .order(deliveries::id.desc())
                .limit(limit as i64)
                .select(deliveries::id)
                .into_boxed();
            if (*least, *most) != EITHER {
                of_state = of_state.filter(deliveries::scheduled_attempts.between(*least, *most));
            }
            if let Some(event) = event {
                of_state = of_state.filter(deliveries::event.eq(event));
            }
            let found: Vec<RowKey> = of_state.load(connection).map_err(translate)?;
            keys.extend(found);
        }
    }
    keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
    keys.truncate(limit);
    Ok(keys)
}
