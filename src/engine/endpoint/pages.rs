//! What one step wants from the store, and how it is read: in one visit.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::{EndpointId, EventId};
use crate::engine::budget::{BodyBudget, HeldPayload};
use crate::store::{Due, Lane, Place, Store, StoreError};

/// What one step wants from the store.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) settings: bool,
    pub(super) pages: Vec<PageRead>,
}

#[derive(Clone, Copy)]
pub(super) struct PageRead {
    pub(super) lane: Lane,
    pub(super) after: Option<Place>,
    pub(super) limit: usize,
    pub(super) only_placed: bool,
}

/// What a page holds, with the bytes that were read along.
pub(super) type PageFound = (Vec<Due>, HashMap<EventId, Arc<HeldPayload>>);

impl PageRead {
    /// Reads the page; with the bytes of what is new, as far as the budget
    /// goes, since those are sent as soon as there is a place for them.
    pub(super) fn read(
        self,
        endpoint: EndpointId,
        store: &dyn Store,
        bodies: &BodyBudget,
    ) -> Result<PageFound, StoreError> {
        let due = match self.only_placed {
            true => store.placed(endpoint, self.limit)?,
            false => store.due(endpoint, self.lane, self.after, self.limit)?,
        };
        // From the beginning of a lane, much of what is read is in flight and
        // has its bytes.
        if self.lane != Lane::Fresh || self.after.is_none() {
            return Ok((due, HashMap::new()));
        }
        let events: Vec<EventId> = due.iter().map(|due| due.event).collect();
        let payloads = store.payloads(&events)?;
        let held = payloads
            .into_iter()
            .filter_map(|payload| Some((payload.event, bodies.try_hold(&Arc::new(payload))?)))
            .collect();
        Ok((due, held))
    }
}
