//! What the tests lean on, tested itself: a tool that does less than it says
//! would have other tests pass for no reason.

mod fault_proxy;
mod pgbouncer;
mod postgres;
