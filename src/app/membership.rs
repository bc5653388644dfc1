//! A node's part in a cluster: what is started for it beside what every node has,
//! and how it leaves.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use crate::clock::Clock;
use crate::cluster::{Hold, Keeper, KeeperHandle, KeeperOptions, Observers, Orders, Owners, Ownership, Pulse};
use crate::engine::NewsWire;
use crate::metrics::Metrics;
use crate::routes::{Api, ThisNode};
use crate::store::{Leases, Store, Versions};

use super::{AppError, on_a_thread};

/// What leaving may take, where the database does not answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What is there before a node takes part.
pub(super) struct Joining {
    pub(super) leases: Arc<dyn Leases>,
    pub(super) ownership: Ownership,
    pub(super) owners: Owners,
    pub(super) handle: KeeperHandle,
    pub(super) orders: Orders,
    pub(super) hold: Hold,
    /// From before anything was read into memory.
    pub(super) since: Versions,
    pub(super) term: Duration,
}

/// A node that takes part.
pub(super) struct Membership {
    keeper: Keeper,
    pulse: Pulse,
}

impl Membership {
    /// From here on other nodes count on this one.
    pub(super) fn start(
        joining: Joining,
        node: &ThisNode,
        store: Arc<dyn Store>,
        clock: Clock,
        metrics: Arc<Metrics>,
        wire: &NewsWire,
        api: web::Data<Api>,
    ) -> Result<Self, AppError> {
        let Joining { leases, ownership, owners, handle, orders, hold, since, term } = joining;
        let (moved, changed, counted) = (wire.clone(), wire.clone(), Arc::clone(&metrics));
        let observers = Observers {
            engine: Box::new(move |told| changed.moved(told)),
            caches: Box::new(move |versions| api.versions_seen(versions)),
            brakes: Box::new(move |in_force| counted.count_brakes(in_force)),
        };
        let pulse = Pulse::start(store, clock.clone(), ownership.clone(), since, observers)?;
        let options = KeeperOptions {
            node: node.id,
            address: node.address.clone(),
            term,
            leases,
            hold,
            ownership,
            owners,
            clock,
            metrics,
        };
        let keeper = Keeper::start(options, handle, orders, Box::new(move |told| moved.moved(told)))?;
        Ok(Self { keeper, pulse })
    }

    /// Others are not to count on this node any more; what it owns it gives up as
    /// soon as nothing of it is in flight.
    pub(super) fn leaving(&self) {
        self.keeper.handle().leaving();
    }

    /// Gives everything up. For when nothing is in flight any more.
    pub(super) async fn leave(self) {
        let leave = move || {
            self.keeper.stop();
            self.pulse.stop();
        };
        if !on_a_thread("leave", LEAVE_WITHIN, leave).await {
            log::warn!("the database does not answer: what this node owned is free when its leases end");
        }
    }
}
