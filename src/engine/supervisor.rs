//! Who lives where. The supervisor is the only one that knows the endpoints'
//! actors: it routes to them, starts them when there is work, lets them leave
//! memory when there is none, and starts them anew from the store when one
//! panics. What sleeps is an id and a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::{EndpointId, Monotonic, PartitionSet};
use crate::engine::Engine;
use crate::engine::arbiters::Arbiters;
use crate::engine::endpoint::actor::{EndpointActor, Supervised};
use crate::engine::endpoint::state::{Fresh, Snapshot};
use crate::engine::messages::{
    Drain, End, Ended, Generation, Inspect, Look, News, Notices, Resting, SendTest, Staying, Tell, Test, TestOutcome,
};
use crate::engine::sleepers::Sleepers;
use crate::engine::wire::NewsWire;
use crate::store::{self, Lane, Store, StoreError, Waiting};

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
/// Endpoints read from the store at once.
const WAITING_PAGE: usize = 1_000;
/// Between two looks through the store for work that no actor holds, when no
/// hint is known to be lost.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// A live actor's delivery that is this late was perhaps never told of.
const LATE: Duration = Duration::from_secs(5);
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
    last_generation: Generation,
    sweeping: bool,
    next_sweep: Monotonic,
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
            next_sweep: engine.clock.now().monotonic,
            wire: wire.clone(),
            routes: HashMap::new(),
            sleeping: Sleepers::default(),
            nudges: HashSet::new(),
            panics: HashMap::new(),
            last_generation: 0,
            sweeping: false,
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
    /// one is still ending, or has panicked a moment ago.
    fn wake(&mut self, endpoint: EndpointId, context: &Context<Self>) -> Option<&Addr<EndpointActor>> {
        if self.draining.is_some() {
            return None;
        }
        if let Some(Route::Ending { wake, .. }) = self.routes.get_mut(&endpoint) {
            *wake = true;
            return None;
        }
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
            };
            let address = EndpointActor::start_in_arbiter(&self.arbiters.of(endpoint), move |_| {
                EndpointActor::new(endpoint, generation, engine, supervisor)
            });
            Route::Live { address, generation }
        });
        match route {
            Route::Live { address, .. } => Some(address),
            Route::Ending { .. } => None,
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
        if self.sweeping {
            // What is lost now may have come behind the reading that is under
            // way: it waits for the next one.
            return;
        }
        let lost = self.wire.lost_any();
        if lost {
            let live: Vec<EndpointId> = self.routes.keys().copied().collect();
            for endpoint in live {
                self.remind(endpoint, context);
            }
        }
        if lost || now >= self.next_sweep {
            self.sweep(context);
        }
    }

    /// Tells a live actor again whatever a message it did not get may have
    /// said.
    fn remind(&mut self, endpoint: EndpointId, context: &Context<Self>) {
        for tell in [Tell::Changed, Tell::Hint(Lane::Fresh), Tell::Hint(Lane::Manual)] {
            self.tell(endpoint, tell, context);
        }
    }

    /// Looks through the store for work that no actor holds: all of it at the
    /// start, whatever a lost hint left behind later.
    fn sweep(&mut self, context: &mut Context<Self>) {
        self.sweeping = true;
        self.next_sweep = self.now() + SWEEP_EVERY;
        let store = Arc::clone(&self.engine.store);
        let look = |store: &dyn Store| {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let (page, next) = store.waiting(&PartitionSet::ALL, after, WAITING_PAGE)?;
                found.extend(page);
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(found),
                }
            }
        };
        let read = async move { store::blocking(&store, look).await };
        context.spawn(read.into_actor(self).map(|found, supervisor, context| supervisor.swept(found, context)));
    }

    fn swept(&mut self, found: Result<Vec<Waiting>, StoreError>, context: &Context<Self>) {
        self.sweeping = false;
        let now = self.engine.clock.now();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("cannot look through the store for waiting deliveries: {error}");
                self.next_sweep = now.monotonic + Duration::from_secs(1);
                return;
            }
        };
        for Waiting { endpoint, due_at } in found {
            match self.routes.get(&endpoint) {
                None => self.sleeping.until(endpoint, now.anchor(due_at)),
                Some(Route::Live { .. }) if now.wall.since(due_at) > LATE => {
                    self.remind(endpoint, context);
                    self.tell(endpoint, Tell::Hint(Lane::Retry), context);
                }
                Some(Route::Live { .. } | Route::Ending { .. }) => {}
            }
        }
    }

    fn answer_drained(&mut self) {
        if self.routes.is_empty()
            && let Some(waiting) = &mut self.draining
        {
            for answer in waiting.drain(..) {
                // Whoever asked may have lost patience.
                let _ = answer.send(());
            }
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(TICK, Self::tick);
        self.sweep(context);
    }
}

impl Handler<Notices> for Supervisor {
    type Result = ();

    fn handle(&mut self, Notices(news): Notices, context: &mut Context<Self>) {
        let mut births: HashMap<EndpointId, Vec<Fresh>> = HashMap::new();
        for item in news {
            match item {
                News::Born(endpoint, fresh) => births.entry(endpoint).or_default().push(fresh),
                News::Changed(endpoint) => match self.routes.get(&endpoint) {
                    Some(_) => self.tell(endpoint, Tell::Changed, context),
                    // Enabled again, it may have been holding.
                    None => drop(self.wake(endpoint, context)),
                },
                News::AttemptRequested(endpoint) => self.tell(endpoint, Tell::Hint(Lane::Manual), context),
            }
        }
        for (endpoint, fresh) in births {
            self.tell(endpoint, Tell::Born(fresh), context);
        }
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

    fn handle(&mut self, Ended { endpoint, generation, how }: Ended, context: &mut Context<Self>) {
        let wake = match self.routes.get(&endpoint) {
            Some(Route::Live { generation: live, .. }) if *live == generation => false,
            Some(Route::Ending { generation: ending, wake, .. }) if *ending == generation => *wake,
            _ => return,
        };
        self.routes.remove(&endpoint);
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
            End::Rested(until) => {
                self.panics.remove(&endpoint);
                if wake {
                    self.wake(endpoint, context);
                } else if let Some(until) = until {
                    self.sleeping.until(endpoint, until);
                }
            }
            End::Gone | End::Drained => drop(self.panics.remove(&endpoint)),
        }
    }
}

impl Handler<Inspect> for Supervisor {
    type Result = ResponseFuture<Option<Snapshot>>;

    fn handle(&mut self, Inspect(endpoint): Inspect, _: &mut Context<Self>) -> Self::Result {
        let look = match self.routes.get(&endpoint) {
            Some(Route::Live { address, .. }) => Some(address.send(Look)),
            _ => None,
        };
        Box::pin(async move {
            match look {
                Some(look) => look.await.ok(),
                None => None,
            }
        })
    }
}

impl Handler<SendTest> for Supervisor {
    type Result = ResponseFuture<TestOutcome>;

    fn handle(&mut self, test: SendTest, context: &mut Context<Self>) -> Self::Result {
        let sent = self.wake(test.endpoint, context).map(|address| address.send(Test(test)));
        Box::pin(async move {
            match sent {
                Some(sent) => sent.await.unwrap_or(TestOutcome::Unavailable),
                None => TestOutcome::Unavailable,
            }
        })
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (answer, drained) = oneshot::channel();
        if self.draining.is_none() {
            self.draining = Some(Vec::new());
            // Attempts that wait for their turn do not begin any more.
            self.engine.in_flight.close();
            for route in self.routes.values() {
                if let Route::Live { address, .. } = route {
                    // It must hear this, however full its mailbox is.
                    address.do_send(Tell::Drain);
                }
            }
        }
        if let Some(waiting) = &mut self.draining {
            waiting.push(answer);
        }
        self.answer_drained();
        Box::pin(async move {
            let _ = drained.await;
        })
    }
}
