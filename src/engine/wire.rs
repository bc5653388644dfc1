//! From the journal's thread to the supervisor: what each commit made true. What
//! cannot be told is remembered as lost, and the store is looked through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use actix::Addr;

use crate::engine::budget::BodyBudget;
use crate::engine::endpoint::state::Fresh;
use crate::engine::messages::{News, Notices};
use crate::engine::supervisor::Supervisor;
use crate::metrics::Metrics;
use crate::store::Notice;

/// Carries the journal's notices to the supervisor. Made before either, since
/// the journal must have someone to tell and the supervisor a journal.
#[derive(Clone)]
pub struct NewsWire(Arc<Wire>);

struct Wire {
    supervisor: OnceLock<Addr<Supervisor>>,
    bodies: BodyBudget,
    metrics: Arc<Metrics>,
    /// Something could not be told: the store must be looked through.
    lost: AtomicBool,
}

impl NewsWire {
    /// A wire whose other end is not connected yet.
    pub fn new(bodies: BodyBudget, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Wire { supervisor: OnceLock::new(), bodies, metrics, lost: AtomicBool::new(false) }))
    }

    /// Tells the supervisor, if it has room. On the journal's thread.
    pub fn tell(&self, notices: Vec<Notice>) {
        let wire = &self.0;
        let mut created = 0;
        let mut held = None;
        let mut news = Vec::with_capacity(notices.len());
        for notice in notices {
            news.push(match notice {
                Notice::Born(birth) => {
                    created += 1;
                    let event = birth.payload.event;
                    // One event's deliveries follow each other and share its bytes.
                    if !matches!(&held, Some((known, _)) if *known == event) {
                        held = Some((event, wire.bodies.try_hold(&birth.payload)));
                    }
                    let payload = held.as_ref().and_then(|(_, payload)| payload.clone());
                    News::Born(birth.endpoint, Fresh { delivery: birth.delivery, event, payload })
                }
                Notice::EndpointChanged(endpoint) => News::Changed(endpoint),
                Notice::AttemptRequested(endpoint) => News::AttemptRequested(endpoint),
            });
        }
        wire.metrics.deliveries_created.inc_by(created);
        let told = wire.supervisor.get().is_some_and(|supervisor| supervisor.try_send(Notices(news)).is_ok());
        if !told {
            wire.metrics.hints_lost.inc();
            wire.lost.store(true, Ordering::Release);
        }
    }

    /// Connects the other end.
    pub(in crate::engine) fn connect(&self, supervisor: Addr<Supervisor>) {
        // The one address whose bound holds: a clone for each call would each
        // have a slot of its own.
        let _ = self.0.supervisor.set(supervisor);
    }

    /// Whether something could not be told since this was last asked.
    pub(in crate::engine) fn lost_any(&self) -> bool {
        self.0.lost.swap(false, Ordering::AcqRel)
    }
}
