//! Asking for one more attempt of a delivery, by hand.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::translate;
use super::Tx;
use crate::domain::DeliveryId;
use crate::store::schema::{deliveries, endpoints, events, manual_attempts};
use crate::store::{Notice, StoreError};

pub(super) fn request_attempt(transaction: &mut Tx<'_>, delivery: DeliveryId) -> Result<bool, StoreError> {
    let Some(key) = transaction.ids.delivery_key(delivery) else { return Ok(false) };
    // An endpoint that was deleted meanwhile gets nothing any more. What has no
    // event is not sealed yet.
    let endpoint: Option<i64> = deliveries::table
        .inner_join(endpoints::table)
        .inner_join(events::table)
        .filter(deliveries::id.eq(key))
        .filter(endpoints::deleted_at.is_null())
        .select(deliveries::endpoint)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some(endpoint) = endpoint else { return Ok(false) };
    let asked = diesel::insert_into(manual_attempts::table)
        .values((
            manual_attempts::delivery.eq(key),
            manual_attempts::endpoint.eq(endpoint),
            manual_attempts::requested_at.eq(transaction.now.as_millis()),
        ))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.notices.push(Notice::AttemptRequested(transaction.ids.endpoint(endpoint)));
    Ok(asked > 0)
}
