//! Which deliveries of an ordered endpoint are due, and which wait for others: of
//! those with one key, one at a time. Whoever ends a delivery releases the next.
//!
//! Compiled once for each backend, against its own `Tx`; what is written by statements
//! of the backend's own is in its `ordering`.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::super::translate;
use super::{Tx, ordering};
use crate::domain::{EndpointId, EventOrder, StoredStatus};
use crate::store::ids::RowKey;
use crate::store::placing;
use crate::store::schema::endpoint_orders;
use crate::store::{Fence, Placed, Placing, StoreError};

/// What `event_order` says while deliveries are taken out of an order, so that whoever
/// wants that order again begins with taking out the rest.
const UNDOING: &str = "undoing";
/// Deliveries taken out of their order in one commit.
const UNDONE_AT_ONCE: usize = 1_000;

pub(super) fn place(
    transaction: &mut Tx<'_>,
    endpoint: EndpointId,
    order: Option<&EventOrder>,
    placings: &[Placing],
    fence: Option<Fence>,
) -> Result<Placed, StoreError> {
    if !ordering::fence_stands(transaction, fence)? {
        return Ok(Placed::Fenced);
    }
    let endpoint = transaction.endpoint_key(endpoint)?;
    ordering::lock(transaction, &[endpoint])?;
    let found: Option<(Option<String>, i64)> = endpoint_orders::table
        .find(endpoint)
        .select((endpoint_orders::event_order, endpoint_orders::last_sequence))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let (stored, last) = found.unwrap_or((None, 0));
    let wanted = order.map(ToString::to_string);
    if stored != wanted {
        let more = ordering::undo(transaction, endpoint, UNDONE_AT_ONCE)? == UNDONE_AT_ONCE;
        let now = if more { Some(UNDOING.to_owned()) } else { wanted };
        write(transaction, endpoint, now, last)?;
        return Ok(Placed::Undone { more });
    }
    let mut by_key: Vec<(RowKey, Option<i64>)> = Vec::with_capacity(placings.len());
    for Placing { delivery, order_key } in placings {
        by_key.extend(transaction.ids.delivery_key(*delivery).map(|key| (key, *order_key)));
    }
    let (unplaced, taken) = ordering::unplaced(transaction, endpoint, &by_key)?;
    if unplaced.is_empty() {
        return Ok(Placed::Done(0));
    }
    let (placed, end) = placing::places(unplaced, taken, last);
    ordering::write_places(transaction, &placed)?;
    // Whoever ended what these wait for may not have known that they do: an earlier
    // release.
    let waiting = placed.iter().filter(|place| place.status == StoredStatus::Queued);
    let keys: BTreeSet<i64> = waiting.map(|place| place.order_key).collect();
    ordering::release(transaction, endpoint, keys)?;
    if end != last {
        write(transaction, endpoint, wanted, end)?;
    }
    Ok(Placed::Done(placed.len()))
}

fn write(
    transaction: &mut Tx<'_>,
    endpoint: RowKey,
    order: Option<String>,
    last_sequence: i64,
) -> Result<(), StoreError> {
    let columns = (endpoint_orders::event_order.eq(order), endpoint_orders::last_sequence.eq(last_sequence));
    diesel::insert_into(endpoint_orders::table)
        .values((endpoint_orders::endpoint.eq(endpoint), columns.clone()))
        .on_conflict(endpoint_orders::endpoint)
        .do_update()
        .set(columns)
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}
