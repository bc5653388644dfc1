//! What a node tells the owner of an endpoint about it, so that the owner need
//! not wait until it looks for itself. Decides what can be said and how it
//! travels: best effort, in memory that is bounded. Every hint may be lost,
//! come twice or come too late; the store is the truth, and owners poll it.

mod json;
pub(super) mod network;
mod peer;
mod queues;
mod sender;

pub use json::{DecodeError, decode, encode};
pub use sender::{HintOptions, HintSender, OwnerOf};

use crate::domain::{DeliveryId, EndpointId, EventId, Partition};

/// Where a node takes hints, below the address that it advertises.
pub const HINTS_PATH: &str = "/cluster/hints";
/// The largest request that is taken: several times what [`HintSender`] makes.
pub const HINTS_BYTES_MAX: usize = 1024 * 1024;

/// Something that became true of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A delivery was born.
    Born {
        /// Whose.
        endpoint: EndpointId,
        /// Which.
        delivery: DeliveryId,
        /// What it carries.
        event: EventId,
        /// Its number among all of the endpoint's; a release that knew of none did not say.
        sequence: Option<u64>,
    },
    /// Settings or secrets changed.
    Changed(EndpointId),
    /// An attempt was asked for.
    AttemptRequested(EndpointId),
    /// A delivery was made that is due later.
    Scheduled(EndpointId),
    /// A replay made deliveries, which stand in the store.
    Replayed(EndpointId),
}

/// The way to the nodes that own what this one does not.
pub trait Forward: Send + Sync + 'static {
    /// Passes a hint on to the partition's owner, if that is easily done. Called
    /// on the journal's thread: it waits for nothing.
    fn forward(&self, partition: Partition, hint: Hint);
}

/// No way at all, for a node that owns everything.
pub struct NoForward;

impl Forward for NoForward {
    fn forward(&self, _: Partition, _: Hint) {}
}
