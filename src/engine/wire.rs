//! From the journal's thread to the supervisor: what each commit made true. What
//! is not about this node's endpoints goes to their owners instead. News that
//! cannot be told is remembered as lost, and the store is looked through; a
//! move of partitions is never lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use actix::Addr;

use crate::cluster::{Forward, Hint, Move, Ownership};
use crate::domain::{EndpointId, Partition};
use crate::engine::budget::BodyBudget;
use crate::engine::endpoint::state::Fresh;
use crate::engine::messages::{Hinted, Moved, News, Notices};
use crate::engine::supervisor::Supervisor;
use crate::metrics::Metrics;
use crate::store::{Birth, Notice};

/// Carries the journal's notices to the supervisor. Made before either, since
/// the journal must have someone to tell and the supervisor a journal.
#[derive(Clone)]
pub struct NewsWire(Arc<Wire>);

struct Wire {
    supervisor: OnceLock<Addr<Supervisor>>,
    /// Moves that came before the supervisor did.
    early: Mutex<Vec<Move>>,
    bodies: BodyBudget,
    metrics: Arc<Metrics>,
    ownership: Ownership,
    forward: Arc<dyn Forward>,
    /// Something could not be told: the store must be looked through.
    lost: AtomicBool,
}

const UNPOISONED: &str = "no holder of this lock can panic";

impl NewsWire {
    /// A wire whose other end is not connected yet.
    pub fn new(bodies: BodyBudget, metrics: Arc<Metrics>, ownership: Ownership, forward: Arc<dyn Forward>) -> Self {
        Self(Arc::new(Wire {
            supervisor: OnceLock::new(),
            early: Mutex::default(),
            bodies,
            metrics,
            ownership,
            forward,
            lost: AtomicBool::new(false),
        }))
    }

    /// Tells the supervisor, if it has room, and the owners of what is not this
    /// node's. On the journal's thread.
    pub fn tell(&self, notices: Vec<Notice>) {
        let wire = &self.0;
        let mut created = 0;
        let mut held = None;
        let mut news = Vec::with_capacity(notices.len());
        for notice in notices {
            created += match notice {
                Notice::Born(_) | Notice::Scheduled(_) => 1,
                Notice::Replayed { made, .. } => made as u64,
                Notice::EndpointChanged(_) | Notice::BrakesChanged { .. } | Notice::AttemptRequested(_) => 0,
            };
            // Other nodes look for what was changed: no hint could name it all.
            let is_ours = subject(&notice).is_none_or(|endpoint| wire.is_ours(endpoint));
            // What it was matched against holds for its sending: settings that its
            // owner may not have heard of come first.
            if let Notice::Born(Birth { endpoint, matched: (environment, version), .. }) = &notice
                && wire.ownership.may_be_news(*environment, *version)
            {
                if is_ours {
                    news.push(News::Changed(*endpoint));
                } else {
                    wire.forward.forward(Partition::of(*endpoint), Hint::Changed(*endpoint));
                }
            }
            if !is_ours {
                wire.pass_on(&notice);
                continue;
            }
            news.push(match notice {
                Notice::Born(birth) => {
                    let event = birth.payload.event;
                    // One event's deliveries follow each other and share its bytes.
                    if !matches!(&held, Some((known, _)) if *known == event) {
                        held = Some((event, wire.bodies.try_hold(&birth.payload)));
                    }
                    let payload = held.as_ref().and_then(|(_, payload)| payload.clone());
                    News::Born(
                        birth.endpoint,
                        Fresh { delivery: birth.delivery, event, sequence: birth.sequence, payload },
                    )
                }
                Notice::EndpointChanged(endpoint) => News::Changed(endpoint),
                Notice::BrakesChanged { in_force } => {
                    wire.metrics.count_brakes(in_force);
                    News::ManyChanged
                }
                Notice::AttemptRequested(endpoint) => News::AttemptRequested(endpoint),
                Notice::Scheduled(endpoint) => News::Scheduled(endpoint),
                Notice::Replayed { endpoint, .. } => News::Replayed(endpoint),
            });
        }
        wire.metrics.deliveries_created.inc_by(created);
        if news.is_empty() {
            return;
        }
        let told = wire.supervisor.get().is_some_and(|supervisor| supervisor.try_send(Notices(news)).is_ok());
        wire.note(told);
    }

    /// Tells the supervisor what another node says, if it has room.
    pub fn hinted(&self, hints: Vec<Hint>) {
        let wire = &self.0;
        let told = wire.supervisor.get().is_some_and(|supervisor| supervisor.try_send(Hinted(hints)).is_ok());
        wire.note(told);
    }

    /// Tells the supervisor of partitions that come or go, however much it has
    /// waiting, and also if it has not been started yet.
    pub fn moved(&self, moved: Move) {
        let mut early = self.0.early.lock().expect(UNPOISONED);
        match self.0.supervisor.get() {
            Some(supervisor) => supervisor.do_send(Moved(moved)),
            None => early.push(moved),
        }
    }

    /// Connects the other end.
    pub(in crate::engine) fn connect(&self, supervisor: Addr<Supervisor>) {
        let mut early = self.0.early.lock().expect(UNPOISONED);
        for moved in early.drain(..) {
            supervisor.do_send(Moved(moved));
        }
        // The one address whose bound holds: a clone for each call would each
        // have a slot of its own.
        let _ = self.0.supervisor.set(supervisor);
    }

    /// Whether something could not be told since this was last asked.
    pub(in crate::engine) fn lost_any(&self) -> bool {
        self.0.lost.swap(false, Ordering::AcqRel)
    }
}

impl Wire {
    fn is_ours(&self, endpoint: EndpointId) -> bool {
        self.ownership.is_sole() || self.ownership.lease(Partition::of(endpoint)).is_some()
    }

    fn pass_on(&self, notice: &Notice) {
        let (endpoint, hint) = match notice {
            Notice::Born(Birth { endpoint, delivery, payload, sequence, .. }) => {
                let (event, sequence) = (payload.event, *sequence);
                (endpoint, Hint::Born { endpoint: *endpoint, delivery: *delivery, event, sequence })
            }
            Notice::EndpointChanged(endpoint) => (endpoint, Hint::Changed(*endpoint)),
            Notice::BrakesChanged { .. } => return,
            Notice::AttemptRequested(endpoint) => (endpoint, Hint::AttemptRequested(*endpoint)),
            Notice::Scheduled(endpoint) => (endpoint, Hint::Scheduled(*endpoint)),
            Notice::Replayed { endpoint, .. } => (endpoint, Hint::Replayed(*endpoint)),
        };
        self.forward.forward(Partition::of(*endpoint), hint);
    }

    fn note(&self, told: bool) {
        if !told {
            self.metrics.hints_lost.inc();
            self.lost.store(true, Ordering::Release);
        }
    }
}

/// Whom a notice is about; `None` is many.
fn subject(notice: &Notice) -> Option<EndpointId> {
    match notice {
        Notice::Born(birth) => Some(birth.endpoint),
        Notice::EndpointChanged(endpoint)
        | Notice::AttemptRequested(endpoint)
        | Notice::Scheduled(endpoint)
        | Notice::Replayed { endpoint, .. } => Some(*endpoint),
        Notice::BrakesChanged { .. } => None,
    }
}
