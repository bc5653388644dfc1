//! The engine: what an endpoint's state decides, on a clock that the test
//! moves, and what the actors make of it, on a real store.

mod actors;
mod announcing;
mod brakes;
mod fairness;
mod health;
mod histories;
mod house;
mod indexing;
mod model;
mod ordered;
mod owning;
mod replays;
mod script;
mod shelf;
mod sightings;
mod state;
mod stops;
mod timing;
mod watching;
mod writer;
