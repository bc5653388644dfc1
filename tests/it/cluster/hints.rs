//! Hints between nodes: what is sent, when, and how much of it; and the route
//! that takes them.

mod peer;
mod receiving;
mod sending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste::cluster::Hint;
use posthaste::domain::{DeliveryId, EndpointId, EventId};
use uuid::Uuid;

/// A word that no other test uses.
const TOKEN: &str = "the-nodes-of-this-test-know-each-other";

/// The birth of a delivery of its own.
fn born(number: u128) -> Hint {
    let uuid = Uuid::from_u128(number);
    Hint::Born {
        endpoint: EndpointId::from_uuid(uuid),
        delivery: DeliveryId::from_uuid(uuid),
        event: EventId::from_uuid(uuid),
        sequence: u64::try_from(number).ok(),
    }
}

/// Births in their order.
fn births(numbers: std::ops::Range<u128>) -> Vec<Hint> {
    numbers.map(born).collect()
}

/// Waits until something is so that nothing reports.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "a test's patience is in real time")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} within 20 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An address that nothing listens on.
fn nowhere() -> Arc<str> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap()).into()
}
