//! What the parts do together, over real sockets, files and processes. One
//! binary; each area is a folder.

mod cli;
mod engine;
mod store;
mod support;
mod transport;
