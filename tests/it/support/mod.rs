//! What tests of several areas need.

pub mod folder;
