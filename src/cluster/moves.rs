//! What changes about the partitions that a node owns, in the words in which
//! whoever works for their endpoints is told.

use crate::domain::EndpointId;
use crate::store::Lease;

/// Told in the order in which it became so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// These partitions are ours from now on.
    Gained(Vec<Lease>),
    /// These are not ours any more: whatever is under way by them is dropped.
    Lost(Vec<Lease>),
    /// These are to go to another node: what is in flight may end, nothing new
    /// begins, and whoever works for them says when they are free.
    HandOver(Vec<Lease>),
    /// Settings or secrets of these endpoints changed, on whichever node.
    Changed(Vec<EndpointId>),
    /// The same of so many that none is named.
    ManyChanged,
}
