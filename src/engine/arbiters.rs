//! The threads that endpoint actors live on. An endpoint always lives on the
//! same one, so that its connections are found again; each has a transport of
//! its own, because connections cannot cross threads.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Arbiter, ArbiterHandle};

use crate::domain::EndpointId;
use crate::transport::{Transport, TransportFactory};

thread_local! {
    static TRANSPORT: RefCell<Option<Rc<dyn Transport>>> = const { RefCell::new(None) };
}

/// The transport of the arbiter that asks.
///
/// # Panics
/// On a thread that is none of the engine's arbiters.
pub(in crate::engine) fn transport() -> Rc<dyn Transport> {
    TRANSPORT.with_borrow(|transport| transport.clone().expect("endpoint actors live on the engine's arbiters"))
}

/// A set of arbiters, stopped when it is dropped.
pub(in crate::engine) struct Arbiters(Vec<Arbiter>);

impl Arbiters {
    pub(in crate::engine) fn start(count: usize, factory: &Arc<dyn TransportFactory>) -> Self {
        let start = |_| {
            let arbiter = Arbiter::new();
            let factory = Arc::clone(factory);
            arbiter.spawn_fn(move || TRANSPORT.set(Some(factory.open())));
            arbiter
        };
        Self((0..count.max(1)).map(start).collect())
    }

    pub(in crate::engine) fn of(&self, endpoint: EndpointId) -> ArbiterHandle {
        let mut hasher = DefaultHasher::new();
        endpoint.hash(&mut hasher);
        self.0[(hasher.finish() % self.0.len() as u64) as usize].handle()
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        for arbiter in &self.0 {
            arbiter.stop();
        }
    }
}
