//! What tests of several areas need.

pub mod contract;
pub mod fault_proxy;
pub mod folder;
pub mod forbidden;
pub mod forward_proxy;
pub mod http;
pub mod name_server;
pub mod node;
pub mod pgbouncer;
pub mod postgres;
pub mod receiver;
mod trials;
