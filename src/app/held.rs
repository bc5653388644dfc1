//! What the log says at a start about what is not going to be sent.

use std::sync::Arc;

use crate::domain::{Actor, AuditAction, NodeId, PartitionSet, Timestamp};
use crate::store::{self, AuditEntry, Journal, JournalError, Store, StoreError};

/// Endpoints read from the store at once.
const PAGE: usize = 1_000;
/// Most pages that are read: with more, the log says that there are.
const MOST_PAGES: usize = 100;

/// Deliveries of one endpoint that are counted.
const MOST_OF_ONE: usize = 10_000;
/// Deliveries that are counted of all of them.
const MOST: usize = 1_000_000;

/// What waits in the store.
struct Waiting {
    endpoints: usize,
    deliveries: usize,
    earliest: Option<Timestamp>,
    has_more: bool,
}

/// A brake outlives a restart, and whoever starts the node may not know of it.
pub(super) fn warn_of_brakes(in_force: usize) {
    if in_force > 0 {
        log::warn!("{in_force} brakes are in force: what they are over is held; `GET /brakes` lists them");
    }
}

/// Lets a store send that was restored from a copy, because an operator said so when the
/// node was started.
pub(super) async fn release_copy(journal: &Journal, node: NodeId) -> Result<(), JournalError> {
    let entry = AuditEntry::new(Actor::Command, AuditAction::NodeReleased).about(node);
    let released = journal.change(move |transaction| {
        let released = transaction.forget_restored()?;
        if released {
            transaction.audit(&entry);
        }
        Ok(released)
    });
    if released.await? {
        log::warn!("this store was restored from a copy, and is released: what was sent since then is sent again");
    }
    Ok(())
}

/// Says that this node is held, why, and how that ends, and then, once it is counted,
/// what waits.
pub(super) fn tell_what_waits(
    store: Arc<dyn Store>,
    node: NodeId,
    base: &str,
    now: Timestamp,
    restored: Option<Timestamp>,
) {
    if let Some(taken_at) = restored {
        log::warn!(
            "this store was restored from a copy taken at {taken_at}: what was accepted since then is not in it, and what \
             was delivered since then would be sent again"
        );
    }
    log::warn!(
        "this node is held: it takes events and answers, and sends nothing; release it with an operator's key by \
         `POST {base}/nodes/{node}/release`"
    );
    actix_rt::spawn(async move {
        match count(&store, now).await {
            Ok(Waiting { endpoints, deliveries, earliest: Some(earliest), has_more }) => log::warn!(
                "{}{endpoints} endpoints have deliveries waiting, the earliest due at {earliest}: {deliveries} in all",
                if has_more { "at least " } else { "" }
            ),
            Ok(Waiting { earliest: None, .. }) => log::info!("no endpoint has deliveries waiting"),
            Err(error) => log::error!("what waits cannot be counted: {error}"),
        }
    });
}

/// Page by page, so that others who read have their turn.
async fn count(store: &Arc<dyn Store>, now: Timestamp) -> Result<Waiting, StoreError> {
    let mut seen = Waiting { endpoints: 0, deliveries: 0, earliest: None, has_more: false };
    let mut after = None;
    for _ in 0..MOST_PAGES {
        let look = move |store: &dyn Store| store.waiting(&PartitionSet::ALL, after, PAGE, now);
        let (page, next) = store::blocking(store, look).await?;
        seen.endpoints += page.len();
        seen.earliest = page.iter().map(|waiting| waiting.due_at).chain(seen.earliest).min();
        for waiting in page {
            if seen.deliveries >= MOST {
                seen.has_more = true;
                break;
            }
            let look = move |store: &dyn Store| store.backlog(waiting.endpoint, MOST_OF_ONE);
            let deliveries = store::blocking(store, look).await?;
            seen.deliveries += deliveries;
            seen.has_more |= deliveries >= MOST_OF_ONE;
        }
        seen.has_more |= next.is_some();
        after = next;
        if next.is_none() {
            break;
        }
    }
    Ok(seen)
}
