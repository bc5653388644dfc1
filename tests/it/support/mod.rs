//! What tests of several areas need.

pub mod folder;
pub mod http;
pub mod node;
pub mod receiver;
