//! Who lives where. The supervisor is the only one that knows the endpoints'
//! actors: it routes to them, starts them when there is work, lets them leave
//! memory when there is none, and starts them anew from the store when one
//! panics. What sleeps is an id and a time.
//!
//! Whose endpoints it works for is `partitions`, what it finds in the store by
//! itself `sweeping` and `polling`, what it answers `asked`.

mod asked;
mod partitions;
mod polling;
mod sweeping;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::cluster::Hint;
use crate::domain::{EndpointId, EventId, Monotonic};
use crate::engine::Engine;
use crate::engine::arbiters::Arbiters;
use crate::engine::endpoint::actor::{EndpointActor, Supervised};
use crate::engine::endpoint::state::Fresh;
use crate::engine::messages::{
    End, Ended, Generation, Hinted, Legacy, Moved, News, Notices, Rest, Resting, Staying, Tell,
};
use crate::engine::sleepers::Sleepers;
use crate::engine::wire::NewsWire;
use crate::store::{self, Lane, Payload, StoreError};
use partitions::Territory;
use polling::Polling;
use sweeping::Sweeping;

/// Batches of news that may wait for the supervisor.
const MAILBOX: usize = 1_024;
/// How often sleepers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long before its time a sleeper is woken, so that its own timer rings in
/// time.
const LEAD: Duration = Duration::from_millis(250);
/// Most sleepers woken in a tick: after a long stop, the first attempts are
/// spread instead of coming all at once.
const WAKES_PER_TICK: usize = 256;
/// The wait before a panicked actor starts anew; doubled each time.
const RESPAWN_AFTER: Duration = Duration::from_secs(1);
/// The longest such wait.
const RESPAWN_AT_MOST: Duration = Duration::from_secs(60);

enum Route {
    Live {
        address: Addr<EndpointActor>,
        generation: Generation,
    },
    /// Told to rest; started anew afterwards if something came in between.
    Ending {
        address: Addr<EndpointActor>,
        generation: Generation,
        wake: bool,
    },
    /// Told to drain or to end at once, because its partition goes to another
    /// node; started anew afterwards if that has come back.
    Leaving {
        address: Addr<EndpointActor>,
        generation: Generation,
        wake: bool,
    },
}

impl Route {
    fn generation(&self) -> Generation {
        match self {
            Self::Live { generation, .. } | Self::Ending { generation, .. } | Self::Leaving { generation, .. } => {
                *generation
            }
        }
    }

    fn address(&self) -> &Addr<EndpointActor> {
        match self {
            Self::Live { address, .. } | Self::Ending { address, .. } | Self::Leaving { address, .. } => address,
        }
    }

    /// Whether something came for an actor that is about to end.
    fn is_awaited(&self) -> bool {
        matches!(self, Self::Ending { wake: true, .. } | Self::Leaving { wake: true, .. })
    }
}

/// See the module.
pub struct Supervisor {
    engine: Engine,
    wire: NewsWire,
    arbiters: Arbiters,
    routes: HashMap<EndpointId, Route>,
    sleeping: Sleepers,
    /// Live actors whose mailbox was full when there was something to say.
    nudges: HashSet<EndpointId>,
    panics: HashMap<EndpointId, Panics>,
    /// What is still to be known of endpoints in trouble that sleep until they have
    /// work.
    troubled: HashMap<EndpointId, Legacy>,
    last_generation: Generation,
    territory: Territory,
    sweeping: Sweeping,
    polling: Polling,
    draining: Option<Vec<oneshot::Sender<()>>>,
}

/// What keeps an actor that only ever panics from doing nothing else.
struct Panics {
    count: u32,
    /// It is not started anew before then, whoever asks.
    not_before: Monotonic,
}

impl Supervisor {
    /// Starts the supervisor on the arbiter that calls, and connects the wire.
    pub fn start(engine: Engine, wire: NewsWire) -> Addr<Self> {
        let address = Self::create(|_| Self {
            arbiters: Arbiters::start(engine.options.arbiters, &engine.transport),
            territory: Territory::new(engine.ownership.clone()),
            sweeping: Sweeping::begin(engine.clock.now().monotonic),
            polling: Polling::begin(engine.clock.now().monotonic),
            wire: wire.clone(),
            routes: HashMap::new(),
            sleeping: Sleepers::default(),
            nudges: HashSet::new(),
            panics: HashMap::new(),
            troubled: HashMap::new(),
            last_generation: 0,
            draining: None,
            engine,
        });
        wire.connect(address.clone());
        address
    }

    fn now(&self) -> Monotonic {
        self.engine.clock.now().monotonic
    }

    /// The endpoint's actor, started if it was not live; `None` while the last
    /// one is still ending, or has panicked a moment ago, and for an endpoint
    /// that is another node's.
    fn wake(&mut self, endpoint: EndpointId, context: &Context<Self>) -> Option<&Addr<EndpointActor>> {
        if self.draining.is_some() || self.engine.hold.is_on() {
            return None;
        }
        if let Some(Route::Ending { wake, .. } | Route::Leaving { wake, .. }) = self.routes.get_mut(&endpoint) {
            *wake = true;
            return None;
        }
        let lease = self.territory.lease_of(endpoint)?;
        if let Some(Panics { not_before, .. }) = self.panics.get(&endpoint)
            && *not_before > self.now() + LEAD
        {
            self.sleeping.until(endpoint, *not_before);
            return None;
        }
        self.sleeping.remove(endpoint);
        let route = self.routes.entry(endpoint).or_insert_with(|| {
            self.last_generation += 1;
            let generation = self.last_generation;
            let engine = self.engine.clone();
            let supervisor = Supervised {
                resting: context.address().recipient(),
                staying: context.address().recipient(),
                ended: context.address().recipient(),
                overlooked: self.polling.overlooked(),
            };
            let legacy = self.troubled.remove(&endpoint).unwrap_or_default();
            let address = EndpointActor::start_in_arbiter(&self.arbiters.of(endpoint), move |_| {
                EndpointActor::new(endpoint, generation, lease, engine, supervisor, legacy)
            });
            Route::Live { address, generation }
        });
        match route {
            Route::Live { address, .. } => Some(address),
            Route::Ending { .. } | Route::Leaving { .. } => None,
        }
    }

    /// Tells an endpoint's actor, or wakes it: a new one reads all of it from
    /// the store.
    fn tell(&mut self, endpoint: EndpointId, tell: Tell, context: &Context<Self>) {
        let Some(Route::Live { address, .. }) = self.routes.get(&endpoint) else {
            self.wake(endpoint, context);
            return;
        };
        match address.try_send(tell) {
            Ok(()) => {}
            Err(SendError::Full(_)) => {
                self.engine.metrics.hints_lost.inc();
                self.nudges.insert(endpoint);
            }
            // It has panicked; its farewell is on the way.
            Err(SendError::Closed(_)) => {}
        }
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        self.watch_leases(context);
        if self.draining.is_some() {
            return;
        }
        let now = self.now();
        for _ in 0..WAKES_PER_TICK {
            let Some(endpoint) = self.sleeping.pop_before(now + LEAD) else { break };
            self.wake(endpoint, context);
        }
        for endpoint in std::mem::take(&mut self.nudges) {
            self.remind(endpoint, context);
        }
        self.look_for_lost(context);
        self.poll(context);
    }

    /// Tells the actors what happened to their endpoints.
    fn hear(&mut self, news: impl IntoIterator<Item = News>, context: &mut Context<Self>) {
        let mut births: HashMap<EndpointId, Vec<Fresh>> = HashMap::new();
        let mut for_later = HashSet::new();
        let mut have_many_changed = false;
        for item in news {
            match item {
                News::Born(endpoint, fresh) => births.entry(endpoint).or_default().push(fresh),
                // One without an actor may have been enabled again.
                News::Changed(endpoint) => self.tell(endpoint, Tell::Changed, context),
                News::ManyChanged => have_many_changed = true,
                News::AttemptRequested(endpoint) => self.tell(endpoint, Tell::Hint(Lane::Manual), context),
                News::Scheduled(endpoint) => drop(for_later.insert(endpoint)),
                News::Replayed(endpoint) => self.tell(endpoint, Tell::Hint(Lane::Fresh), context),
            }
        }
        for endpoint in for_later {
            self.tell(endpoint, Tell::Hint(Lane::Retry), context);
        }
        if have_many_changed {
            self.many_changed(context);
        }
        for (endpoint, fresh) in births {
            self.tell(endpoint, Tell::Born(fresh), context);
        }
    }

    /// Reads the bytes of what was born through another node: once for all that one
    /// hint tells of, and not once for each endpoint.
    fn read_hinted(&mut self, born: Vec<(EndpointId, Fresh)>, context: &mut Context<Self>) {
        let mut events: Vec<EventId> = born.iter().map(|(_, fresh)| fresh.event).collect();
        events.sort_unstable();
        events.dedup();
        let (store, bodies) = (Arc::clone(&self.engine.store), self.engine.bodies.clone());
        let read = async move { store::blocking(&store, move |store| store.payloads(&events)).await };
        let tell = move |read: Result<Vec<Payload>, StoreError>, supervisor: &mut Self, context: &mut Context<Self>| {
            // What is not read now, or has no room, its actor reads when it sends it.
            let held: HashMap<EventId, _> = read
                .unwrap_or_default()
                .into_iter()
                .filter_map(|payload| Some((payload.event, bodies.try_hold(&Arc::new(payload))?)))
                .collect();
            let news = born.into_iter().map(|(endpoint, mut fresh)| {
                fresh.payload = held.get(&fresh.event).cloned();
                News::Born(endpoint, fresh)
            });
            supervisor.hear(news, context);
        };
        context.spawn(read.into_actor(self).map(tell));
    }

    /// Tells a live actor again whatever a message it did not get may have
    /// said.
    fn remind(&mut self, endpoint: EndpointId, context: &Context<Self>) {
        for tell in [Tell::Changed, Tell::Hint(Lane::Fresh), Tell::Hint(Lane::Manual)] {
            self.tell(endpoint, tell, context);
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(TICK, Self::tick);
        self.sweep(&self.territory.held(), context);
    }
}

impl Handler<Notices> for Supervisor {
    type Result = ();

    fn handle(&mut self, Notices(news): Notices, context: &mut Context<Self>) {
        self.hear(news, context);
    }
}

impl Handler<Hinted> for Supervisor {
    type Result = ();

    fn handle(&mut self, Hinted(hints): Hinted, context: &mut Context<Self>) {
        let mut born = Vec::new();
        let mut news = Vec::new();
        for hint in hints {
            match hint {
                Hint::Born { endpoint, delivery, event, sequence } if self.territory.lease_of(endpoint).is_some() => {
                    born.push((endpoint, Fresh { delivery, event, sequence, payload: None }));
                }
                Hint::Born { .. } => {}
                Hint::Changed(endpoint) => news.push(News::Changed(endpoint)),
                Hint::AttemptRequested(endpoint) => news.push(News::AttemptRequested(endpoint)),
                Hint::Scheduled(endpoint) => news.push(News::Scheduled(endpoint)),
                Hint::Replayed(endpoint) => news.push(News::Replayed(endpoint)),
            }
        }
        self.hear(news, context);
        if !born.is_empty() {
            self.read_hinted(born, context);
        }
    }
}

impl Handler<Moved> for Supervisor {
    type Result = ();

    fn handle(&mut self, Moved(moved): Moved, context: &mut Context<Self>) {
        self.take_move(moved, context);
    }
}

impl Handler<Resting> for Supervisor {
    type Result = ();

    fn handle(&mut self, Resting { endpoint, generation }: Resting, _: &mut Context<Self>) {
        let Some(Route::Live { address, generation: live }) = self.routes.get(&endpoint) else { return };
        // Whatever was sent before this stands before it in the mailbox; from
        // here on nothing is sent until the actor has said what it did.
        if *live == generation && address.try_send(Tell::Rest).is_ok() {
            let address = address.clone();
            self.routes.insert(endpoint, Route::Ending { address, generation, wake: false });
        }
    }
}

impl Handler<Staying> for Supervisor {
    type Result = ();

    fn handle(&mut self, Staying { endpoint, generation }: Staying, context: &mut Context<Self>) {
        let Some(Route::Ending { address, generation: ending, wake }) = self.routes.get(&endpoint) else { return };
        if *ending != generation {
            return;
        }
        let (address, missed) = (address.clone(), *wake);
        if self.draining.is_some() {
            address.do_send(Tell::Drain);
        }
        self.routes.insert(endpoint, Route::Live { address, generation });
        if missed {
            self.remind(endpoint, context);
        }
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, Ended { endpoint, generation, how, legacy }: Ended, context: &mut Context<Self>) {
        let wake = match self.routes.get(&endpoint) {
            Some(route) if route.generation() == generation => route.is_awaited(),
            _ => return,
        };
        self.routes.remove(&endpoint);
        self.has_left(endpoint);
        if self.draining.is_some() {
            self.answer_drained();
            return;
        }
        match how {
            End::Panicked => {
                let now = self.now();
                let panics = self.panics.entry(endpoint).or_insert(Panics { count: 0, not_before: now });
                let wait = RESPAWN_AFTER.saturating_mul(1 << panics.count.min(6)).min(RESPAWN_AT_MOST);
                panics.count += 1;
                panics.not_before = now + wait;
                self.engine.metrics.endpoint_actor_panics.inc();
                log::error!("{endpoint}: its actor panicked and starts anew from the store in {wait:?}");
                self.sleeping.until(endpoint, now + wait);
            }
            End::Rested(Rest { until, behind_gate }) => {
                self.panics.remove(&endpoint);
                let is_troubled = legacy.shown.is_some() || legacy.open_since.is_some();
                // It may have become another node's meanwhile, and so has its trouble.
                if is_troubled && self.territory.lease_of(endpoint).is_some() {
                    self.troubled.insert(endpoint, legacy);
                }
                match (until, behind_gate) {
                    _ if wake => drop(self.wake(endpoint, context)),
                    (Some(until), Some(due)) => self.sleeping.until_gate_opens(endpoint, until, due),
                    (Some(until), None) => self.sleeping.until(endpoint, until),
                    (None, _) => {}
                }
            }
            // Something was meant for the next actor: the endpoint may be ours
            // again by now.
            End::Drained | End::Aborted | End::Fenced => {
                self.panics.remove(&endpoint);
                if wake {
                    self.wake(endpoint, context);
                }
            }
            End::Gone => drop(self.panics.remove(&endpoint)),
        }
    }
}
