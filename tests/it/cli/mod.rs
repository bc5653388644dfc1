//! The commands, as a user meets them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod listen;
mod settings;
mod stores;
mod verify;
