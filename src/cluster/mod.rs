//! Who owns what. An endpoint is in a partition for ever; a partition belongs to
//! one node at a time, by a lease that the store keeps (`store::Leases`). Here
//! is what a node makes of that: which leases it trusts right now.
//!
//! On SQLite one process owns everything, and nothing here costs anything.
//! What is done with a partition that is gained or lost is the engine's affair.

mod hints;
mod moves;
mod ownership;

pub use hints::{Forward, Hint, NoForward};
pub use moves::Move;
pub use ownership::Ownership;
