//! Faults of several nodes on one PostgreSQL: real processes that are killed,
//! stopped, cut off and replaced under load, on a server that is crashed,
//! replaced and robbed of its connections. `nodes` starts them, `lanes` is who
//! subscribes, `load` posts, `judge` says what may have come of it.

mod brakes;
mod coherence;
mod connections;
mod cut_off;
mod database;
mod distance;
mod failover;
mod fences;
mod held;
mod joining;
mod judge;
mod killed;
mod lanes;
mod load;
mod nodes;
mod ordered;
mod paused;
mod rolling;
mod watching;

use std::time::Duration;

/// What a takeover may take with default settings, from the death of a node to
/// the first attempt of its successor.
const TAKEOVER: Duration = Duration::from_secs(10);
