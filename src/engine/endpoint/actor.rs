//! The one live owner of an endpoint. It carries out what
//! [`state`](super::state) decides: reads the store off its thread, sends
//! through its arbiter's transport, has outcomes written down.
//!
//! Each attempt is a task of its own that reports back through one channel: an
//! actor polls all it waits for at every wake, so it waits for one thing.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::{Attempt, EndpointId, EventId, Moment, Monotonic};
use crate::engine::Engine;
use crate::engine::arbiters;
use crate::engine::budget::{BodyBudget, HeldPayload};
use crate::engine::endpoint::request::{AttemptHeaders, Target};
use crate::engine::endpoint::state::{Effect, Input, Limits, Plan, Sending, State};
use crate::engine::messages::{End, Ended, Generation, Look, Resting, Tell, Test, TestOutcome};
use crate::metrics::AttemptLabels;
use crate::store::{self, Due, EndpointRuntime, JournalError, Lane, Payload, Place, Record, Store, StoreError};

/// Messages an actor may have waiting: more only remind it of the store.
const MAILBOX: usize = 64;

/// One endpoint's actor.
pub(in crate::engine) struct EndpointActor {
    endpoint: EndpointId,
    engine: Engine,
    state: State,
    target: Option<Arc<Target>>,
    reports: mpsc::UnboundedSender<Report>,
    inbox: Option<mpsc::UnboundedReceiver<Report>>,
    tasks: JoinSet<()>,
    timer: Option<(Monotonic, SpawnHandle)>,
    farewell: Farewell,
}

/// What a task of the actor's has to say.
enum Report {
    /// For the state to judge.
    Input(Input),
    /// The settings, read.
    Runtime(Result<Option<EndpointRuntime>, StoreError>),
}

/// Tells the supervisor how the actor ended, also when it did not get to say
/// so itself: dropping is the one thing that always happens.
struct Farewell {
    endpoint: EndpointId,
    generation: Generation,
    supervisor: Recipient<Ended>,
    resting: Recipient<Resting>,
    how: End,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // The supervisor must hear of it: this one message may pass its limit.
        self.supervisor.do_send(Ended { endpoint: self.endpoint, generation: self.generation, how: self.how });
    }
}

impl EndpointActor {
    pub(in crate::engine) fn new(
        endpoint: EndpointId,
        generation: Generation,
        engine: Engine,
        supervisor: Recipient<Ended>,
        resting: Recipient<Resting>,
    ) -> Self {
        let (reports, inbox) = mpsc::unbounded_channel();
        let limits = Limits { window: engine.options.window, passivate_after: engine.options.passivate_after };
        Self {
            endpoint,
            state: State::new(limits),
            target: None,
            reports,
            inbox: Some(inbox),
            tasks: JoinSet::new(),
            timer: None,
            farewell: Farewell { endpoint, generation, supervisor, resting, how: End::Panicked },
            engine,
        }
    }

    fn step(&mut self, input: Input, context: &mut Context<Self>) {
        let now = self.engine.clock.now();
        let effects = self.state.step(input, now);
        let mut reads = Reads::default();
        let mut unread = Vec::new();
        for effect in effects {
            match effect {
                Effect::ReadSettings => reads.settings = true,
                Effect::ReadPage { lane, after, limit } => reads.pages.push(PageRead { lane, after, limit }),
                Effect::Send(sending) => match &sending.payload {
                    Some(held) => {
                        let payload = Arc::clone(held.payload());
                        self.send(sending, payload);
                    }
                    None => unread.push(sending),
                },
                Effect::Record(record) => self.record(record),
                Effect::Rest => self.ask_to_rest(),
                Effect::Gone => self.end(End::Gone, context),
                Effect::Drained => self.end(End::Drained, context),
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

    fn ask_to_rest(&self) {
        let Farewell { endpoint, generation, .. } = self.farewell;
        // Asked again later if the supervisor has no room for it now.
        let _ = self.farewell.resting.try_send(Resting { endpoint, generation });
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
                actor.step(Input::Timer, context);
            });
            self.timer = Some((time, handle));
        }
    }

    /// Reads what one step asked for in one visit to the store.
    fn read(&mut self, reads: Reads) {
        if !reads.settings && reads.pages.is_empty() {
            return;
        }
        let (endpoint, now, bodies) = (self.endpoint, self.engine.clock.wall(), self.engine.bodies.clone());
        let (store, reports) = (Arc::clone(&self.engine.store), self.reports.clone());
        self.tasks.spawn_local(async move {
            let Reads { settings, pages } = reads;
            let wanted = pages.clone();
            let answer = store::blocking(&store, move |store| {
                let runtime = settings.then(|| store.endpoint_runtime(endpoint, now));
                let read: Vec<_> = wanted.into_iter().map(|page| page.read(endpoint, store, &bodies)).collect();
                Ok((runtime, read))
            })
            .await;
            let (runtime, read) = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    (settings.then(|| Err(error.clone())), pages.iter().map(|_| Err(error.clone())).collect())
                }
            };
            // The actor may be gone; then nobody needs the answer.
            if let Some(runtime) = runtime {
                drop(reports.send(Report::Runtime(runtime)));
            }
            for (PageRead { lane, limit, .. }, read) in pages.into_iter().zip(read) {
                drop(reports.send(Report::Input(match read {
                    Ok((due, payloads)) => Input::Page { lane, limit, due, payloads },
                    Err(error) => {
                        log::warn!("{endpoint}: cannot read its deliveries: {error}");
                        Input::PageFailed(lane)
                    }
                })));
            }
        });
    }

    /// Fetches the bytes of attempts whose memory had no room, then sends.
    fn read_and_send(&mut self, unread: Vec<Sending>) {
        if unread.is_empty() {
            return;
        }
        let target = self.target();
        let (engine, reports, endpoint) = (self.engine.clone(), self.reports.clone(), self.endpoint);
        let events: Vec<_> = unread.iter().map(|sending| sending.event).collect();
        self.tasks.spawn_local(async move {
            let read = store::blocking(&engine.store, move |store| store.payloads(&events)).await;
            let payloads = match read {
                Ok(payloads) => payloads,
                Err(error) => {
                    log::warn!("{endpoint}: cannot read what is to be sent: {error}");
                    for sending in unread {
                        drop(reports.send(Report::Input(Input::Unsent(sending.delivery))));
                    }
                    return;
                }
            };
            let mut attempts = JoinSet::new();
            for sending in unread {
                let payload = payloads.iter().find(|payload| payload.event == sending.event).cloned();
                match payload {
                    Some(payload) => {
                        let attempt = make_attempt(
                            engine.clone(),
                            Arc::clone(&target),
                            sending,
                            Arc::new(payload),
                            reports.clone(),
                        );
                        attempts.spawn_local(attempt);
                    }
                    None => {
                        log::error!("{endpoint}: the event of {} is not in the store", sending.delivery);
                        drop(reports.send(Report::Input(Input::PayloadGone(sending.delivery))));
                    }
                }
            }
            while let Some(ended) = attempts.join_next().await {
                if let Err(error) = ended
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
        });
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(self.target.as_ref().expect("the state sends only by a plan, and a plan comes with its target"))
    }

    fn send(&mut self, sending: Sending, payload: Arc<Payload>) {
        let target = self.target();
        self.tasks.spawn_local(make_attempt(self.engine.clone(), target, sending, payload, self.reports.clone()));
    }

    fn record(&mut self, record: Arc<Record>) {
        let outcome = record.outcome.error.as_ref().map_or("delivered", |error| error.class.as_str());
        let metrics = &self.engine.metrics;
        metrics.attempts.get_or_create(&AttemptLabels { outcome }).inc();
        metrics.attempt_seconds.observe(record.duration.as_secs_f64());
        let (journal, reports, endpoint) = (self.engine.journal.clone(), self.reports.clone(), self.endpoint);
        let metrics = Arc::clone(metrics);
        self.tasks.spawn_local(async move {
            let delivery = record.delivery;
            let input = match journal.record(Arc::clone(&record)).await {
                Ok(recorded) => {
                    if let store::Verdict::Exhausted = record.verdict {
                        metrics.deliveries_exhausted.inc();
                        log::warn!("{delivery} to {endpoint}: retries exhausted after {}", record.attempts_before + 1);
                    }
                    Input::Recorded { delivery, recorded }
                }
                Err(error @ (JournalError::Full(_) | JournalError::Store(_))) => {
                    log::warn!("{delivery} to {endpoint}: its outcome is not written yet: {error}");
                    Input::RecordFailed(delivery)
                }
                // The process is ending; the next one repeats the attempt.
                Err(JournalError::Unknown | JournalError::Closed) => return,
            };
            drop(reports.send(Report::Input(input)));
        });
    }

    fn take(&mut self, report: Report, context: &mut Context<Self>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                // One attempt's fault is the actor's: it starts anew from the
                // store, where everything that is durable still stands.
                std::panic::resume_unwind(panic);
            }
        }
        let input = match report {
            Report::Input(input) => input,
            Report::Runtime(read) => match read.and_then(|found| found.map(|runtime| prepare(&runtime)).transpose()) {
                Ok(Some((plan, target))) => {
                    self.target = Some(Arc::new(target));
                    Input::Settings(Some(plan))
                }
                Ok(None) => Input::Settings(None),
                Err(error) => {
                    log::error!("{}: cannot read its settings: {error}", self.endpoint);
                    Input::SettingsFailed
                }
            },
        };
        self.step(input, context);
    }
}

/// What one step wants from the store.
#[derive(Default)]
struct Reads {
    settings: bool,
    pages: Vec<PageRead>,
}

#[derive(Clone, Copy)]
struct PageRead {
    lane: Lane,
    after: Option<Place>,
    limit: usize,
}

impl PageRead {
    /// Reads the page; with the bytes of what is new, as far as the budget
    /// goes, since those are sent as soon as there is a place for them.
    fn read(
        self,
        endpoint: EndpointId,
        store: &dyn Store,
        bodies: &BodyBudget,
    ) -> Result<(Vec<Due>, HashMap<EventId, Arc<HeldPayload>>), StoreError> {
        let due = store.due(endpoint, self.lane, self.after, self.limit)?;
        // From the beginning of a lane, much of what is read is in flight and
        // has its bytes.
        if self.lane != Lane::Fresh || self.after.is_none() {
            return Ok((due, HashMap::new()));
        }
        let events: Vec<EventId> = due.iter().map(|due| due.event).collect();
        let payloads = store.payloads(&events)?;
        let held = payloads
            .into_iter()
            .filter_map(|payload| Some((payload.event, bodies.try_hold(&Arc::new(payload))?)))
            .collect();
        Ok((due, held))
    }
}

fn prepare(runtime: &EndpointRuntime) -> Result<(Plan, Target), StoreError> {
    let settings = &runtime.settings;
    let plan = Plan {
        enabled: settings.enabled,
        max_concurrency: settings.max_concurrency as usize,
        retry: settings.retry_policy(),
    };
    Ok((plan, Target::new(runtime)?))
}

/// One attempt, from its place in the node's limit to its outcome.
async fn make_attempt(
    engine: Engine,
    target: Arc<Target>,
    sending: Sending,
    payload: Arc<Payload>,
    reports: mpsc::UnboundedSender<Report>,
) {
    let Ok(_place) = engine.in_flight.acquire().await else { return };
    let started = engine.clock.now();
    let headers = AttemptHeaders {
        event: sending.event,
        delivery: Some(sending.delivery),
        number: sending.number,
        at: started.wall,
    };
    let request = target.request(&headers, payload.body.clone());
    engine.metrics.attempts_in_flight.inc();
    let in_flight = InFlight(&engine.metrics);
    let outcome = arbiters::transport().send(request).await;
    drop(in_flight);
    if outcome.is_delivered() {
        let age = engine.clock.wall().since(sending.delivery.made_at());
        engine.metrics.delivery_seconds.observe(age.as_secs_f64());
    }
    let input = Input::Attempted { delivery: sending.delivery, started, outcome, random: fastrand::f64() };
    drop(reports.send(Report::Input(input)));
}

/// Counts a request out again, also when it is aborted.
struct InFlight<'a>(&'a crate::metrics::Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.attempts_in_flight.dec();
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        self.engine.metrics.endpoint_actors.inc();
        if let Some(inbox) = self.inbox.take() {
            let reports = futures_util::stream::unfold(inbox, |mut inbox| async move {
                let report = inbox.recv().await?;
                Some((report, inbox))
            });
            context.add_stream(reports);
        }
        self.step(Input::Timer, context);
    }
}

impl Drop for EndpointActor {
    fn drop(&mut self) {
        self.engine.metrics.endpoint_actors.dec();
    }
}

impl StreamHandler<Report> for EndpointActor {
    fn handle(&mut self, report: Report, context: &mut Context<Self>) {
        self.take(report, context);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Tell> for EndpointActor {
    type Result = ();

    fn handle(&mut self, tell: Tell, context: &mut Context<Self>) {
        let input = match tell {
            Tell::Born(births) => Input::Born(births),
            Tell::Hint(lane) => Input::Hint(lane),
            Tell::Changed => Input::Changed,
            Tell::Drain => Input::Drain,
            Tell::Rest => {
                let how = self.state.rest_until().map_or(End::Busy, End::Rested);
                return self.end(how, context);
            }
        };
        self.step(input, context);
    }
}

impl Handler<Look> for EndpointActor {
    type Result = MessageResult<Look>;

    fn handle(&mut self, _: Look, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.state.snapshot())
    }
}

impl Handler<Test> for EndpointActor {
    type Result = ResponseFuture<TestOutcome>;

    fn handle(&mut self, Test(test): Test, _: &mut Context<Self>) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(async move {
            // A test shows what is stored now, also to an actor that has not
            // caught up with a change yet, or holds.
            let (endpoint, now) = (test.endpoint, engine.clock.wall());
            let read = store::blocking(&engine.store, move |store| store.endpoint_runtime(endpoint, now)).await;
            let target = match read.and_then(|found| found.map(|runtime| Target::new(&runtime)).transpose()) {
                Ok(Some(target)) => target,
                Ok(None) => return TestOutcome::Gone,
                Err(error) => {
                    log::error!("{endpoint}: cannot read its settings for a test: {error}");
                    return TestOutcome::Unavailable;
                }
            };
            let started = engine.clock.now();
            let headers = AttemptHeaders { event: test.event, delivery: None, number: 1, at: started.wall };
            log::debug!("{endpoint}: sending a test {}", test.event_type);
            let outcome = arbiters::transport().send(target.request(&headers, test.body)).await;
            let duration = engine.clock.now().monotonic.since(started.monotonic);
            TestOutcome::Attempted(Attempt {
                number: 1,
                started_at: started.wall,
                duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
                outcome,
            })
        })
    }
}
