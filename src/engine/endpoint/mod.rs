//! One endpoint: what its actor decides ([`state`], in the words of `step`),
//! how far it has read the store (`reading`), and the actor that carries it out
//! (`actor`): what it reads (`pages`), what it sends (`request`, `attempt`), by
//! what right (`right`), how it hears of both (`inbox`), and what the node's gauges
//! show of it (`shown`). A test is sent past
//! all of them (`trial`).

pub(in crate::engine) mod actor;
mod attempt;
mod inbox;
mod pages;
mod reading;
pub(in crate::engine) mod request;
mod right;
pub(in crate::engine) mod shown;
pub mod state;
mod step;
pub(in crate::engine) mod trial;
