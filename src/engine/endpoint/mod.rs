//! One endpoint: what its actor decides ([`state`]), what it sends
//! (`request`), and the actor that carries it out (`actor`).

pub(in crate::engine) mod actor;
mod request;
pub mod state;
