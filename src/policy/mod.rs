//! Decisions, and nothing but decisions: what follows from a failed attempt, for its
//! delivery and for its endpoint, who is told of it, who wants an event, what waits for
//! what, what a signature is, what a replay makes when, where a request may go, whether the audit log is whole, why a delivery is
//! where it is. No I/O, no clock, no HTTP client, no database; time and randomness are arguments, so
//! that every rule can be tested for every input. Acting on a decision is left
//! to the rooms that import this one.

pub mod address;
mod address_ranges;
pub mod allowance;
pub mod announcing;
pub mod audit_chain;
pub mod client_certificate;
pub mod concurrency;
pub mod explaining;
pub mod health;
pub mod masking;
pub mod matching;
pub mod ordering;
pub mod pace;
pub mod replaying;
pub mod retry;
pub mod signature;
mod target_url;
mod url_problem;
