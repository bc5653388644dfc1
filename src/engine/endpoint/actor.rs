//! The one live owner of an endpoint. It carries out what
//! [`state`](super::state) decides: reads the store off its thread, sends
//! through its arbiter's transport, has outcomes written down.
//!
//! All that it waits for is one [`Work`]: actix polls every future of an actor
//! at each wake, `FuturesUnordered` only those that can go on. What comes of
//! them is handed to the state together, as many as there are.

mod arranging;
mod counting;
mod reading;
mod recording;
mod sending;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll, Waker};

use actix::fut::ActorFuture;
use actix::prelude::*;
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::domain::{EndpointId, Moment, Monotonic};
use crate::engine::Engine;
use crate::engine::endpoint::inbox::Inbox;
use crate::engine::endpoint::pages::{PageRead, Reads};
use crate::engine::endpoint::request::Target;
use crate::engine::endpoint::right::Right;
use crate::engine::endpoint::shown::Shown;
use crate::engine::endpoint::state::{Effect, Input, Limits, Plan, Sending, Snapshot, State};
use crate::engine::messages::{End, Ended, Generation, Legacy, Look, Rest, Resting, Staying, Tell};
use crate::engine::places::{Place, Reputation};
use crate::store::{EndpointRuntime, JournalError, Lease, Payload, Record, Recorded, StoreError};

use counting::OnTheirWay;

/// Messages an actor may have waiting: more only remind it of the store.
const MAILBOX: usize = 64;
/// Most attempts whose outcomes one step takes in.
const INPUTS_AT_ONCE: usize = 64;
/// Most steps before other actors of the thread have their turn.
const STEPS_AT_ONCE: usize = 16;

/// One endpoint's actor.
pub(in crate::engine) struct EndpointActor {
    endpoint: EndpointId,
    engine: Engine,
    right: Right,
    state: State,
    target: Option<Arc<Target>>,
    /// What speaks for this endpoint where places are scarce.
    reputation: Reputation,
    inbox: Inbox<Report>,
    on_their_way: OnTheirWay,
    /// Attempts, reads, waits for room in the journal. They end with the actor.
    under_way: FuturesUnordered<LocalBoxFuture<'static, Option<Input>>>,
    /// Wakes [`Work`], which does not notice by itself that there is more of it.
    waker: Option<Waker>,
    timer: Option<(Monotonic, SpawnHandle)>,
    farewell: Farewell,
}

/// What the actor hears of something that it does not await itself, or that says
/// more than one thing.
enum Report {
    /// For the state to judge.
    Input(Box<Input>),
    /// What the journal said of an outcome.
    Recorded(Arc<Record>, Result<Recorded, Box<JournalError>>),
    /// The settings, read.
    Runtime(Box<Result<Option<EndpointRuntime>, StoreError>>),
    /// The bytes of an attempt that memory had no room for, and its place
    /// among all that may be in flight.
    Payload(Box<(Sending, Arc<Payload>, Place)>),
}

/// The ways to the supervisor.
pub(in crate::engine) struct Supervised {
    pub resting: Recipient<Resting>,
    pub staying: Recipient<Staying>,
    pub ended: Recipient<Ended>,
    /// Set when the store shows something that the actor had not heard of.
    pub overlooked: Arc<AtomicBool>,
}

/// Tells the supervisor how the actor ended, also when it did not get to say
/// so itself: dropping is the one thing that always happens.
struct Farewell {
    endpoint: EndpointId,
    generation: Generation,
    supervisor: Supervised,
    how: End,
    /// `None` only when it has been handed on.
    shown: Option<Shown>,
    open_since: Option<Moment>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // The supervisor must hear of it: this one message may pass its limit.
        let Self { endpoint, generation, how, open_since, .. } = *self;
        let legacy = match how {
            End::Rested(Rest { until: Some(_), .. }) => {
                Legacy { shown: self.shown.take().and_then(Shown::asleep), open_since }
            }
            _ => Legacy::default(),
        };
        self.supervisor.ended.do_send(Ended { endpoint, generation, how, legacy });
    }
}

impl EndpointActor {
    pub(in crate::engine) fn new(
        endpoint: EndpointId,
        generation: Generation,
        lease: Lease,
        engine: Engine,
        supervisor: Supervised,
        legacy: Legacy,
    ) -> Self {
        let options = &engine.options;
        let limits =
            Limits { window: options.window, passivate_after: options.passivate_after, patience: options.patience };
        Self {
            endpoint,
            right: Right::new(engine.ownership.clone(), lease),
            state: State::new(limits).fenced_by(lease.fence).open_since(legacy.open_since),
            target: None,
            reputation: Reputation::default(),
            inbox: Inbox::new(),
            on_their_way: OnTheirWay::default(),
            under_way: FuturesUnordered::new(),
            waker: None,
            timer: None,
            farewell: Farewell {
                endpoint,
                generation,
                supervisor,
                how: End::Panicked,
                shown: Some(legacy.shown.unwrap_or_else(|| Shown::new(Arc::clone(&engine.metrics), endpoint))),
                open_since: None,
            },
            engine,
        }
    }

    fn step(&mut self, inputs: impl IntoIterator<Item = Input>, context: &mut Context<Self>) {
        let now = self.engine.clock.now();
        let (reputation, on_their_way) = (&mut self.reputation, &mut self.on_their_way);
        let inputs = inputs.into_iter().inspect(|input| {
            on_their_way.hears(input);
            if let Input::Attempted { started, ended, outcome, .. } = input {
                reputation.attempted(outcome.is_delivered(), started.monotonic, ended.monotonic);
            }
        });
        let effects = self.state.step_all(inputs, now);
        self.right.go_by(self.state.order(), self.state.halts());
        if let (Some(shown), Some(vitals)) = (&mut self.farewell.shown, self.state.vitals()) {
            shown.show(vitals);
        }
        let mut reads = Reads::default();
        let mut unread = Vec::new();
        for effect in effects {
            match effect {
                Effect::ReadSettings => reads.settings = true,
                Effect::ReadPage { lane, after, limit, only_placed } => {
                    reads.pages.push(PageRead { lane, after, limit, only_placed });
                }
                Effect::Send(sending) => match &sending.payload {
                    Some(held) => {
                        let payload = Arc::clone(held.payload());
                        self.send_in_turn(sending, payload);
                    }
                    None => unread.push(sending),
                },
                Effect::Arrange { order, is_stored } => self.arrange(order, is_stored),
                Effect::Record(record) => self.record(record),
                Effect::Expire(delivery) => self.expire(delivery),
                Effect::Warn(since) => self.warn(since),
                Effect::Disable(reason, setback) => self.disable(reason, setback),
                Effect::Rest => self.ask_to_rest(),
                Effect::Gone => self.end(End::Gone, context),
                Effect::Drained => self.end(End::Drained, context),
                Effect::Fenced => self.end_fenced(context),
            }
        }
        self.read(reads);
        self.read_and_send(unread);
        self.set_timer(now, context);
    }

    fn end(&mut self, how: End, context: &mut Context<Self>) {
        self.farewell.how = how;
        context.stop();
    }

    /// Another node owns the endpoint: the outcome was refused, and so would
    /// all others be that are on their way.
    fn end_fenced(&mut self, context: &mut Context<Self>) {
        let Lease { partition, epoch, .. } = self.right.lease;
        log::warn!("{}: partition {partition} was lost after epoch {epoch}: an outcome was refused", self.endpoint);
        self.right.withdraw();
        self.end(End::Fenced, context);
    }

    fn ask_to_rest(&self) {
        let Farewell { endpoint, generation, .. } = self.farewell;
        // Asked again later if the supervisor has no room for it now.
        let _ = self.farewell.supervisor.resting.try_send(Resting { endpoint, generation });
    }

    fn rest(&mut self, context: &mut Context<Self>) {
        if let Some(until) = self.state.rest_until() {
            self.farewell.open_since = self.state.is_open_since();
            let behind_gate = self.state.due_behind_gate();
            return self.end(End::Rested(Rest { until, behind_gate }), context);
        }
        // Something came before the supervisor stopped routing here: ending
        // now would cut off requests in mid-flight.
        let Farewell { endpoint, generation, .. } = self.farewell;
        self.farewell.supervisor.staying.do_send(Staying { endpoint, generation });
    }

    /// Sets something under way.
    fn begin(&mut self, work: impl Future<Output = Option<Input>> + 'static) {
        self.under_way.push(Box::pin(work));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// One timer for whatever comes first.
    fn set_timer(&mut self, now: Moment, context: &mut Context<Self>) {
        let wanted = self.state.wake_at();
        if self.timer.map(|(time, _)| time) == wanted {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            context.cancel_future(handle);
        }
        if let Some(time) = wanted {
            let handle = context.run_later(time.since(now.monotonic), |actor, context| {
                actor.timer = None;
                actor.step([Input::Timer], context);
            });
            self.timer = Some((time, handle));
        }
    }

    /// What there is to tell the state now; and whether there was anything at all.
    fn poll_inputs(&mut self, context: &mut task::Context<'_>) -> (Vec<Input>, bool) {
        let reports = self.inbox.poll(context);
        let mut left = INPUTS_AT_ONCE;
        let mut any = !reports.is_empty();
        let mut inputs: Vec<Input> = reports.into_iter().filter_map(|report| self.input(report)).collect();
        while left > 0
            && let Poll::Ready(Some(input)) = self.under_way.poll_next_unpin(context)
        {
            any = true;
            left -= 1;
            inputs.extend(input);
        }
        (inputs, any)
    }

    /// What a report means to the state, if it means anything to it.
    fn input(&mut self, report: Report) -> Option<Input> {
        match report {
            Report::Input(input) => Some(*input),
            Report::Recorded(record, outcome) => self.recorded(&record, outcome),
            Report::Payload(read) => {
                let (sending, payload, place) = *read;
                if self.engine.in_flight.is_closed() {
                    // The engine is stopping, and this one has not begun.
                    return Some(Input::Unsent(sending.delivery));
                }
                self.send(sending, payload, place);
                None
            }
            Report::Runtime(read) => {
                let prepared = (*read).and_then(|found| found.map(|runtime| prepare(&runtime)).transpose());
                Some(match prepared {
                    Ok(Some((plan, target))) => {
                        self.target = Some(Arc::new(target));
                        Input::Settings(Some(plan))
                    }
                    Ok(None) => Input::Settings(None),
                    Err(error) => {
                        log::error!("{}: cannot read its settings: {error}", self.endpoint);
                        Input::SettingsFailed
                    }
                })
            }
        }
    }
}

/// Goes on with whatever the actor has under way, and hands what comes of it to
/// the state. A panic in there is the actor's: it starts anew from the store,
/// where everything that is durable still stands.
struct Work;

impl ActorFuture<EndpointActor> for Work {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut EndpointActor,
        context: &mut Context<EndpointActor>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        for _ in 0..STEPS_AT_ONCE {
            // What is begun from here on is polled in the next turn.
            actor.waker = None;
            let (inputs, any) = actor.poll_inputs(task);
            if !any {
                actor.waker = Some(task.waker().clone());
                return Poll::Pending;
            }
            actor.step(inputs, context);
            if context.state() == ActorState::Stopping {
                return Poll::Pending;
            }
        }
        // Others live on this thread, too.
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

fn prepare(runtime: &EndpointRuntime) -> Result<(Plan, Target), StoreError> {
    let settings = &runtime.settings;
    let plan = Plan {
        enabled: !runtime.is_holding,
        max_concurrency: settings.max_concurrency as usize,
        retry: settings.retry.clone(),
        rate_limit: settings.rate_limit,
        disable_on_gone: settings.disable_on_gone,
        trouble: runtime.trouble.clone(),
        order: settings.order.clone(),
        is_in_order: runtime.is_in_order,
        discards: runtime.discards,
        hurries: runtime.hurries,
    };
    Ok((plan, Target::new(runtime)?))
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        self.engine.metrics.endpoint_actors.inc();
        context.spawn(Work);
        self.step([Input::Timer], context);
    }
}

impl Drop for EndpointActor {
    fn drop(&mut self) {
        self.engine.metrics.endpoint_actors.dec();
    }
}

impl Handler<Tell> for EndpointActor {
    type Result = ();

    fn handle(&mut self, tell: Tell, context: &mut Context<Self>) {
        let input = match tell {
            Tell::Born(births) => Input::Born(births),
            Tell::Hint(lane) => Input::Hint(lane),
            Tell::Sighted(deliveries) => {
                if !self.state.overlooks(&deliveries) {
                    return;
                }
                self.farewell.supervisor.overlooked.store(true, Ordering::Release);
                Input::Sighted(deliveries)
            }
            Tell::Changed => Input::Changed,
            Tell::Halt => Input::Halt,
            Tell::Drain => {
                // Nor may what waits for its place begin.
                self.right.give_up();
                Input::Drain
            }
            Tell::Rest => return self.rest(context),
            Tell::Abort => return self.end(End::Aborted, context),
        };
        self.step([input], context);
    }
}

impl Handler<Look> for EndpointActor {
    type Result = MessageResult<Look>;

    fn handle(&mut self, Look(delivery): Look, _: &mut Context<Self>) -> Self::Result {
        let doing = delivery.and_then(|delivery| self.state.doing(delivery));
        MessageResult(Snapshot { doing, ..self.state.snapshot() })
    }
}
