//! How the actor has deliveries put in order: what they wait by is read off their
//! events on the store's reading threads, and written in one commit.

use super::EndpointActor;
use crate::catalog;
use crate::domain::{DeliveryId, DiscardReason, EndpointId, EventId, EventOrder, StoredStatus, Timestamp};
use crate::engine::endpoint::state::Input;
use crate::policy::ordering;
use crate::store::{self, JournalError, Lane, Placed, Placing, Recorded, Store, StoreError, Unplaced};

/// Deliveries that get their places in one commit.
const PLACED_AT_ONCE: usize = 256;
/// Events whose bytes are in memory at once to find what their deliveries wait by.
const READ_AT_ONCE: usize = 16;

impl EndpointActor {
    pub(super) fn arrange(&mut self, order: Option<EventOrder>, is_stored: bool) {
        let (engine, endpoint, fence) = (self.engine.clone(), self.endpoint, self.right.lease.fence);
        self.begin(async move {
            let (wanted, now) = (order.clone(), engine.clock.wall());
            let read = store::blocking(&engine.store, move |store| match &wanted {
                Some(order) => placings(store, endpoint, order, now),
                None => Ok((Vec::new(), None)),
            });
            let (placings, next) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    log::warn!("{endpoint}: cannot read what is to be put in order: {error}");
                    return Some(Input::PageFailed(Lane::Fresh));
                }
            };
            let is_page_full = placings.len() >= PLACED_AT_ONCE;
            if is_stored && placings.is_empty() {
                return Some(Input::Arranged { order, is_page_full, next, placed: Placed::Done(0) });
            }
            let by = order.clone();
            let placing = move |transaction: &mut dyn store::Transaction| {
                transaction.place_deliveries(endpoint, by.as_ref(), &placings, fence)
            };
            match engine.journal.change(placing).await {
                Ok(placed) => {
                    if placed == Placed::Fenced {
                        engine.metrics.fenced_writes.inc();
                    }
                    Some(Input::Arranged { order, is_page_full, next, placed })
                }
                Err(error) => {
                    log::warn!("{endpoint}: its deliveries are not put in order yet: {error}");
                    Some(Input::PageFailed(Lane::Fresh))
                }
            }
        });
    }

    /// Has a delivery discarded that came too late.
    pub(super) fn expire(&mut self, delivery: DeliveryId) {
        let (engine, endpoint, fence) = (self.engine.clone(), self.endpoint, self.right.lease.fence);
        let count = self.counts_expiry(delivery);
        self.begin(async move {
            match engine.journal.change(move |transaction| transaction.expire_delivery(delivery, fence)).await {
                // Somebody else is about to end it; it is looked at again then.
                Ok(None) => Some(Input::RecordFailed(delivery)),
                Ok(Some(recorded)) => {
                    match recorded {
                        Recorded::Fenced => {
                            engine.metrics.fenced_writes.inc();
                        }
                        Recorded::Written(StoredStatus::Discarded(DiscardReason::Expired)) => {
                            engine.metrics.deliveries_expired.inc();
                            count();
                            log::info!("{delivery} to {endpoint}: expired before it was delivered");
                        }
                        // Somebody ended it in another way meanwhile.
                        Recorded::Written(_) | Recorded::Superseded => {}
                    }
                    Some(Input::Recorded { delivery, recorded })
                }
                Err(JournalError::Unknown | JournalError::Closed) => None,
                Err(error) => {
                    log::warn!("{delivery} to {endpoint}: it is not discarded yet: {error}");
                    Some(Input::RecordFailed(delivery))
                }
            }
        });
    }
}

/// What has no place yet, with what each waits by; and when the next thing should that
/// is for later.
fn placings(
    store: &dyn Store,
    endpoint: EndpointId,
    order: &EventOrder,
    now: Timestamp,
) -> Result<(Vec<Placing>, Option<Timestamp>), StoreError> {
    let Unplaced { due: unplaced, next } = store.unplaced(endpoint, now, PLACED_AT_ONCE)?;
    if let EventOrder::Fifo = order {
        let order_key = ordering::order_key(order, None);
        return Ok((unplaced.iter().map(|due| Placing { delivery: due.delivery, order_key }).collect(), next));
    }
    let mut placings = Vec::with_capacity(unplaced.len());
    for some in unplaced.chunks(READ_AT_ONCE) {
        let events: Vec<EventId> = some.iter().map(|due| due.event).collect();
        let payloads = store.payloads(&events)?;
        for due in some {
            let payload = payloads.iter().find(|payload| payload.event == due.event);
            let event = payload.and_then(|payload| catalog::read_json(&payload.body).ok());
            placings.push(Placing { delivery: due.delivery, order_key: ordering::order_key(order, event.as_ref()) });
        }
    }
    Ok((placings, next))
}
