//! One endpoint: what its actor decides ([`state`], in the words of `step`),
//! how far it has read the store (`reading`), what it sends (`request`), and
//! the actor that carries it out (`actor`).

pub(in crate::engine) mod actor;
mod inbox;
mod reading;
mod request;
pub mod state;
mod step;
