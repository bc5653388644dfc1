//! Posthaste: a durable webhook delivery engine.
//!
//! The rooms, in reading order; imports run from the bottom of this list to
//! its top and never back (`ARCHITECTURE.md` has the map and the invariants).

pub mod domain;

pub mod policy;

pub mod clock;
pub mod keyring;
pub mod metrics;

pub mod catalog;

pub mod store;

pub mod auth;
pub mod transport;

pub mod cluster;

pub mod engine;

pub mod routes;

pub mod server;

pub mod dashboard;

pub mod config;

pub mod app;

pub mod cli;
