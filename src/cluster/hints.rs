//! What a node tells the owner of an endpoint about it. A hint may be lost: the
//! owner looks for itself, a little later.

use crate::domain::{DeliveryId, EndpointId, EventId, Partition};

/// Something that became true of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A delivery was born.
    Born {
        /// Whose.
        endpoint: EndpointId,
        /// Which.
        delivery: DeliveryId,
        /// What it carries.
        event: EventId,
    },
    /// Settings or secrets changed.
    Changed(EndpointId),
    /// An attempt was asked for.
    AttemptRequested(EndpointId),
}

/// The way to the nodes that own what this one does not.
pub trait Forward: Send + Sync {
    /// Passes a hint on to the partition's owner, if that is easily done. On the
    /// journal's thread: it waits for nothing.
    fn forward(&self, partition: Partition, hint: Hint);
}

/// No way at all, for a node that owns everything.
pub struct NoForward;

impl Forward for NoForward {
    fn forward(&self, _: Partition, _: Hint) {}
}
