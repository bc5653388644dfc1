//! Who owns what. An endpoint is in a partition for ever; a partition belongs to
//! one node at a time, by a lease that the store keeps (`store::Leases`). Here
//! is what a node makes of that: which leases it trusts right now, how it gets
//! and gives up its share, how it hears of what other nodes changed, and how it
//! tells and asks them what concerns them.
//!
//! On SQLite one process owns everything, and nothing here costs anything.
//! What is done with a partition that is gained or lost is the engine's affair.

mod asking;
mod hints;
mod hold;
mod keeper;
mod moves;
mod node;
mod owners;
mod ownership;
mod plan;
mod pulse;
mod shares;
#[cfg(test)]
mod simulation;

pub use asking::{ACTORS_PATH, NODE_PATH, Neighbour, Neighbours, NoAnswer};
pub use hints::{
    DecodeError, Forward, HINTS_BYTES_MAX, HINTS_PATH, Hint, HintOptions, HintSender, NoForward, OwnerOf, decode,
    encode,
};
pub use hold::Hold;
pub use keeper::{Keeper, KeeperHandle, KeeperOptions, Orders, orders};
pub use moves::Move;
pub use node::new_node_id;
pub use owners::Owners;
pub use ownership::{Ownership, SETTINGS_HOLD};
pub use pulse::{Observers, Pulse};
