//! What the parts do together, over real sockets, files and processes. One
//! binary; each area is a folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers included")]

mod cli;
mod cluster;
mod dashboard;
mod engine;
mod faults;
mod outbound;
mod receivers;
mod routes;
mod store;
mod support;
mod transport;
