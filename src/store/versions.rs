//! What is kept in memory because it seldom changes, and how a change of it is
//! noticed, whichever node made it.

use crate::domain::EndpointId;

/// How often each of these has changed. What was read at other versions may be
/// outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// Keys: one was revoked.
    pub keys: i64,
    /// The environments' catalogs, by [`Environment::ALL`](crate::domain::Environment::ALL)'s order.
    pub catalogs: [i64; 2],
    /// The environments' clocks of endpoint changes, in the same order.
    pub endpoints: [i64; 2],
}

/// Endpoints that changed between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What was true at this look.
    pub versions: Versions,
    /// Endpoints made, changed or deleted since the last, or whose secrets were.
    pub endpoints: Vec<EndpointId>,
    /// There were so many of them that only some are named.
    pub are_too_many: bool,
    /// How many brakes are in force, where that may have changed.
    pub brakes: Option<usize>,
}
