//! Who owns which partition, on a real PostgreSQL: what the store grants, and
//! what keepers on threads of their own make of it.

mod hints;
mod keepers;
mod leases;

use std::sync::Arc;

use posthaste::clock::Clock;
use posthaste::cluster::new_node_id;
use posthaste::domain::NodeId;
use posthaste::store::postgres::{PostgresLeases, PostgresOptions, PostgresStore};

fn leases(url: &str) -> PostgresLeases {
    PostgresLeases::new(&options(url))
}

fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        url: url.to_owned(),
        readers: 1,
        statement_cache: true,
        node: new_node(),
        clock: Clock::system(),
        metrics: Arc::default(),
    }
}

/// Makes the tables.
fn prepare(url: &str) {
    PostgresStore::open(&options(url)).expect("the database is ours");
}

fn new_node() -> NodeId {
    new_node_id(Clock::system().wall()).unwrap()
}
