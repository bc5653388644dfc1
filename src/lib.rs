//! Posthaste: a durable webhook delivery engine.
//!
//! The rooms, in reading order; imports run from the top of this list to its
//! end and never back (`ARCHITECTURE.md` has the map and the invariants).

pub mod clock;
pub mod domain;
