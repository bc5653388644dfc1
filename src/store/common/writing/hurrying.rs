//! Retries that are not to wait, because somebody has mended the receiver: they are due
//! at once, and neither the breaker nor a rest that the receiver asked for keeps the next
//! attempt waiting. Whoever has them in memory, on whichever node, hears that there is
//! something to read anew, as it would of a pause.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::translate;
use super::{Tx, endpoints as endpoint_verbs, moving};
use crate::domain::{EndpointId, Timestamp};
use crate::store::ids::RowKey;
use crate::store::schema::{endpoint_health, endpoints};
use crate::store::{BroughtForward, Notice, Place, Scope, StoreError};

pub(super) fn bring_forward(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    endpoint: EndpointId,
    after: Option<Place>,
    limit: usize,
) -> Result<BroughtForward, StoreError> {
    let Some((scope, key)) = endpoint_verbs::live_endpoint(transaction, scope, endpoint)? else {
        return Ok(BroughtForward::NotFound);
    };
    let goes_out: bool =
        endpoints::table.find(key).select(endpoints::enabled).first(transaction.connection).map_err(translate)?;
    if !goes_out {
        return Ok(BroughtForward::Holding);
    }
    let now = transaction.now.as_millis();
    let (time, behind) = match after {
        Some((time, delivery)) => (time.as_millis(), transaction.ids.delivery_key(delivery).unwrap_or(0)),
        None => (now, RowKey::MAX),
    };
    let waiting = moving::retries(transaction, (endpoint, key), (time, behind), limit)?;
    let next = waiting.last().filter(|_| waiting.len() == limit);
    let next = next.map(|row| (Timestamp::from_millis(row.7), transaction.ids.delivery(row.0)));
    let retries: Vec<RowKey> = waiting.iter().map(|row| row.0).collect();
    let moved = if retries.is_empty() { 0 } else { moving::to_now(transaction, &retries)? };
    if moved > 0 || after.is_none() {
        // A probe goes out at once, and a rest is over.
        diesel::update(endpoint_health::table.filter(endpoint_health::endpoint.eq(key)))
            .filter(endpoint_health::probe_at.gt(now))
            .set(endpoint_health::probe_at.eq(now))
            .execute(transaction.connection)
            .map_err(translate)?;
        diesel::update(endpoint_health::table.filter(endpoint_health::endpoint.eq(key)))
            .set(endpoint_health::not_before.eq(None::<i64>))
            .execute(transaction.connection)
            .map_err(translate)?;
        let changed = endpoint_verbs::tick(transaction, scope)?;
        diesel::sql_query(format!(
            "UPDATE endpoints SET hurries = hurries + 1, changed_version = {changed} WHERE id = {key}"
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
        transaction.notices.push(Notice::EndpointChanged(endpoint));
    }
    Ok(BroughtForward::Done { moved, next })
}
