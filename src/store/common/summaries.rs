//! What a list says beside each of its rows: where an event's endpoints are with it, what a
//! delivery was answered last. For all rows of a page at once, and of each no more than is
//! looked at in a moment.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::reads::scope_id;
use super::{Connection, translate};
use crate::domain::{DeliveryId, DeliveryStatus, EventId};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::{attempt_error, status_of};
use crate::store::schema::{attempts, deliveries, endpoints, events};
use crate::store::{LastAnswer, OutcomeCounts, Scope, StoreError};

/// Deliveries of one event that are looked at.
const OF_AN_EVENT: i64 = 100;
/// Endpoints of one partner that are looked for among those of a wide event.
const OF_A_PARTNER: i64 = 500;
/// Deliveries that replays made of a page's events, over all of them.
const REPLAYED: i64 = 2_000;
/// Rows that one statement asks for by their keys.
const AT_ONCE: usize = 5_000;

/// Of a delivery: `id`, `event`, `endpoint`; `status`, `scheduled_attempts`; whether its
/// endpoint is enabled, and when it was deleted.
type Row = ((RowKey, RowKey, RowKey), (i64, i64), (bool, Option<i64>));

#[diesel::dsl::auto_type]
fn rows() -> _ {
    deliveries::table.inner_join(endpoints::table).select((
        (deliveries::id, deliveries::event, deliveries::endpoint),
        (deliveries::status, deliveries::scheduled_attempts),
        (endpoints::enabled, endpoints::deleted_at),
    ))
}

pub(super) fn outcome_counts(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    asked: &[EventId],
) -> Result<HashMap<EventId, OutcomeCounts>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(HashMap::new()) };
    let keys: Vec<RowKey> = asked.iter().filter_map(|event| ids.event_key(*event)).collect();
    let fan_outs: Vec<(RowKey, i64)> = events::table
        .filter(events::id.eq_any(&keys))
        .select((events::id, events::deliveries))
        .load(connection)
        .map_err(translate)?;
    // An event's deliveries follow it in key.
    let whose = scope.partner.is_some().then_some(id.0);
    // Of what went to very many, those of one partner are looked for among them.
    let (wide, narrow): (Vec<_>, Vec<_>) =
        fan_outs.iter().copied().partition(|(_, fan_out)| whose.is_some() && *fan_out > OF_AN_EVENT);
    let own: Vec<RowKey> =
        narrow.iter().flat_map(|(event, fan_out)| event + 1..=event + fan_out.min(&OF_AN_EVENT)).collect();
    let mut found: Vec<Row> = Vec::with_capacity(own.len());
    for some in own.chunks(AT_ONCE) {
        let mut query = rows().filter(deliveries::id.eq_any(some)).into_boxed();
        if let Some(scope) = whose {
            query = query.filter(endpoints::scope.eq(scope));
        }
        found.extend(query.load::<Row>(connection).map_err(translate)?);
    }
    let mut is_cut: HashSet<RowKey> = HashSet::new();
    if let Some(scope) = whose.filter(|_| !wide.is_empty()) {
        let theirs: Vec<RowKey> = endpoints::table
            .filter(endpoints::scope.eq(scope))
            .order(endpoints::id)
            .limit(OF_A_PARTNER)
            .select(endpoints::id)
            .load(connection)
            .map_err(translate)?;
        for (event, fan_out) in &wide {
            let got: Vec<Row> = rows()
                .filter(deliveries::endpoint.eq_any(&theirs))
                .filter(deliveries::id.between(event + 1, event + fan_out))
                .limit(OF_AN_EVENT)
                .load(connection)
                .map_err(translate)?;
            let may_be_cut = got.len() as i64 >= OF_AN_EVENT || theirs.len() as i64 >= OF_A_PARTNER;
            if may_be_cut {
                is_cut.insert(*event);
            }
            found.extend(got);
        }
    }
    let mut query = rows()
        .filter(deliveries::event.eq_any(&keys))
        .filter(deliveries::replay.is_not_null())
        .limit(REPLAYED)
        .into_boxed();
    if let Some(scope) = whose {
        query = query.filter(endpoints::scope.eq(scope));
    }
    let replayed: Vec<Row> = query.load(connection).map_err(translate)?;
    let has_all_replayed = i64::try_from(replayed.len()).is_ok_and(|count| count < REPLAYED);
    found.extend(replayed);

    // What a replay made is how the endpoint stands now.
    let mut newest: HashMap<(RowKey, RowKey), Row> = HashMap::with_capacity(found.len());
    for row in found {
        let (key, event, endpoint) = row.0;
        let kept = newest.entry((event, endpoint)).or_insert(row);
        if kept.0.0 < key {
            *kept = row;
        }
    }
    let mut counts: HashMap<RowKey, OutcomeCounts> = fan_outs
        .iter()
        .map(|(event, fan_out)| {
            let has_all = if whose.is_some() { !is_cut.contains(event) } else { *fan_out <= OF_AN_EVENT };
            let is_complete = has_all_replayed && has_all;
            (*event, OutcomeCounts { is_complete, ..OutcomeCounts::default() })
        })
        .collect();
    for ((_, event, _), (status, scheduled_attempts), (is_enabled, deleted_at)) in newest.into_values() {
        let seen = DeliveryStatus::seen(status_of(status)?, scheduled_attempts > 0, is_enabled, deleted_at.is_some());
        let Some(counts) = counts.get_mut(&event) else { continue };
        *match seen {
            DeliveryStatus::Pending => &mut counts.pending,
            DeliveryStatus::Retrying => &mut counts.retrying,
            DeliveryStatus::Held => &mut counts.held,
            DeliveryStatus::Delivered => &mut counts.delivered,
            DeliveryStatus::RetriesExhausted => &mut counts.retries_exhausted,
            DeliveryStatus::Discarded(_) => &mut counts.discarded,
        } += 1;
    }
    Ok(counts.into_iter().map(|(event, counts)| (ids.event(event), counts)).collect())
}

pub(super) fn last_answers(
    connection: &mut Connection,
    ids: &IdCodec,
    asked: &[DeliveryId],
) -> Result<HashMap<DeliveryId, LastAnswer>, StoreError> {
    let keys: Vec<RowKey> = asked.iter().filter_map(|delivery| ids.delivery_key(*delivery)).collect();
    let mut answers = HashMap::with_capacity(keys.len());
    for some in keys.chunks(AT_ONCE) {
        let last = attempts::delivery.eq(deliveries::id).and(attempts::number.eq(deliveries::attempt_count));
        let rows: Vec<(RowKey, Option<i64>, Option<String>)> = deliveries::table
            .inner_join(attempts::table.on(last))
            .filter(deliveries::id.eq_any(some))
            // Said of both, so that neither is looked at but at these.
            .filter(attempts::delivery.eq_any(some))
            .select((deliveries::id, attempts::status_code, attempts::error_class))
            .load(connection)
            .map_err(translate)?;
        for (key, status_code, class) in rows {
            let status_code = status_code.and_then(|code| u16::try_from(code).ok());
            let error = attempt_error(class.as_deref(), None)?.map(|error| error.class);
            answers.insert(ids.delivery(key), LastAnswer { status_code, error });
        }
    }
    Ok(answers)
}
