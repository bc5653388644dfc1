//! Lists of the deliveries that one replay made. Their keys are of
//! the time they were made at, so that no range of keys has them.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{Connection, statements, translate};
use crate::domain::StatusFilter;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::schema::{deliveries, endpoints, replay_targets, replays};
use crate::store::{DeliveryFilter, Scope, ScopeId, StoreError};

/// A stored state, and how often the schedule has tried what counts.
type StoredState = (i64, (i64, i64));

const UNTRIED: (i64, i64) = (0, 0);
const TRIED: (i64, i64) = (1, i64::MAX);
const EITHER: (i64, i64) = (0, i64::MAX);

/// The stored states that look like this, for an endpoint as it is now.
fn stored_states(filter: Option<StatusFilter>, enabled: bool, deleted: bool) -> &'static [StoredState] {
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
