//! One endpoint: what its actor decides ([`state`], in the words of `step`),
//! how far it has read the store (`reading`), and the actor that carries it out
//! (`actor`): what it reads (`pages`), what it sends (`request`, `attempt`), by
//! what right (`right`), and how it hears of both (`inbox`). A test is sent past
//! all of them (`trial`).

pub(in crate::engine) mod actor;
mod attempt;
mod inbox;
mod pages;
mod reading;
mod request;
mod right;
pub mod state;
mod step;
pub(in crate::engine) mod trial;
