//! The HTTP API as product.md promises it, and the two systems it must serve
//! out of the box: the real binary, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod audit;
mod batch;
mod brakes;
mod campaigns;
mod canary;
mod coherence;
mod configuration;
mod encryption;
mod endpoints;
mod event_types;
mod explaining;
mod filters;
mod fuzzing;
mod harm;
mod health;
mod held;
mod idempotency;
mod inbound;
mod isolation;
mod keys;
mod limits;
mod lists;
mod malformed;
mod nodes;
mod openapi;
mod ordering;
mod overload;
mod pausing;
mod permissions;
mod portal_links;
mod pull;
mod refusals;
mod refused;
mod replays;
mod retention;
mod retries;
mod schedules;
mod screenshots;
mod searching;
mod secrets;
mod settings;
mod signing;
mod starting;
mod statistics;
mod stopping;
mod summaries;
mod system_events;
mod timing;
mod trouble;
mod walk;
mod watching;
