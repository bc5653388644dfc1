//! Asking for one more attempt of a delivery, by hand.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::translate;
use super::{Tx, retention};
use crate::domain::DeliveryId;
use crate::store::schema::{deliveries, endpoints, events, manual_attempts};
use crate::store::{Notice, StoreError};

pub(super) fn request_attempt(transaction: &mut Tx<'_>, delivery: DeliveryId) -> Result<bool, StoreError> {
    let Some(key) = transaction.ids.delivery_key(delivery) else { return Ok(false) };
    // An endpoint that was deleted meanwhile gets nothing any more. What has no
    // event is not sealed yet.
    let found: Option<(i64, i64)> = deliveries::table
        .inner_join(endpoints::table)
        .inner_join(events::table)
        .filter(deliveries::id.eq(key))
        .filter(endpoints::deleted_at.is_null())
        .select((deliveries::endpoint, deliveries::event))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((endpoint, event)) = found else { return Ok(false) };
    // There is nothing to send where the payload was erased, and from here on nobody erases it.
    if transaction.lock_payloads(&[event])?.is_empty() {
        return Ok(false);
    }
    let asked = diesel::insert_into(manual_attempts::table)
        .values((
            manual_attempts::delivery.eq(key),
            manual_attempts::endpoint.eq(endpoint),
            manual_attempts::requested_at.eq(transaction.now.as_millis()),
        ))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    retention::look_again(transaction, &[event])?;
    transaction.notices.push(Notice::AttemptRequested(transaction.ids.endpoint(endpoint)));
    Ok(asked > 0)
}
