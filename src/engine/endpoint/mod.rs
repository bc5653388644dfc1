//! One endpoint: what its actor decides ([`state`], in the words of `step`),
//! how far it has read the store (`reading`), and the actor that carries it out
//! (`actor`): what it reads (`pages`), what it sends (`request`, `attempt`), and
//! how it hears of both (`inbox`).

pub(in crate::engine) mod actor;
mod attempt;
mod inbox;
mod pages;
mod reading;
mod request;
pub mod state;
mod step;
