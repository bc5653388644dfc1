//! What an endpoint's actor decides: which delivery goes out next, what an
//! outcome leads to, when to wake up, when to leave memory. Pure: time,
//! randomness and everything from outside come in as [`Input`]s, and what is
//! to be done goes out as [`Effect`]s.
//!
//! The store is the queue; this is a window on it. Fresh deliveries and
//! retries have windows apart, so that old failures never stand in front of
//! new events, and whatever does not fit is only remembered as "there is more
//! in the store".

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{DeliveryId, EventId, Moment, Monotonic, Timestamp};
use crate::engine::budget::HeldPayload;
use crate::engine::endpoint::reading::{READ_AGAIN_AFTER, Reading};
use crate::policy::pace::Turn;
use crate::store::{AttemptKind, Fence, Lane, Place, Record};

mod gate;
mod holding;
mod order;
mod outcome;
mod rest;
mod settled;
mod turn;
mod window;

use gate::Gate;
use order::Order;
use outcome::Attempted;
use settled::Settled;

pub use super::step::{Doing, Effect, Fresh, Input, Limits, Plan, Sending, Snapshot, Vitals};

/// How long to wait before writing an outcome down again that the store would
/// not take.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);

const LANES: [Lane; 3] = [Lane::Fresh, Lane::Retry, Lane::Manual];

/// The reading of each lane, in the order of [`LANES`].
#[derive(Debug)]
struct Lanes([Reading; LANES.len()]);

impl Lanes {
    fn of(&self, lane: Lane) -> &Reading {
        &self.0[lane as usize]
    }
}

/// How long before a retry that was left to the store is due it is read again.
const FAR_RETRY_LEAD: Duration = Duration::from_secs(1);
/// Retries read at once, beyond those that are known.
const RETRY_PAGE: usize = 16;

#[derive(Debug, Clone)]
struct Ready {
    delivery: DeliveryId,
    event: EventId,
    payload: Option<Arc<HeldPayload>>,
    /// When it was due by the wall clock: what it waits beyond that, others cause.
    due_at: Timestamp,
    attempt_count: u32,
    scheduled_attempts: u32,
    /// Whether it has a place in the endpoint's order.
    is_placed: bool,
    /// Its number among all of the endpoint's.
    sequence: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    Sending,
    Recording(Arc<Record>),
    /// It came too late, and is being discarded.
    Expiring,
}

#[derive(Debug)]
struct Flight {
    ready: Ready,
    kind: AttemptKind,
    stage: Stage,
    /// Its place in the endpoint's pace, if it keeps one.
    turn: Option<Turn>,
    /// How often nothing was to begin any more when it was handed out.
    halts: u64,
    /// For an attempt by hand: the scheduled retry it must not move.
    scheduled: Option<Monotonic>,
    /// For how long the breaker alone has kept its delivery waiting.
    waited_for_breaker: Duration,
    /// Something was discarded by hand after its outcome was handed to the store, and
    /// perhaps after it was written: the delivery, it may be.
    may_be_discarded: bool,
    /// For an attempt by hand: the store showed the wish for it when its
    /// outcome was being written, and this may be the wish for another.
    asked_again: bool,
}

/// One endpoint's live state.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    plan: Option<Plan>,
    /// When scheduled attempts may begin, and how many.
    gate: Gate,
    /// How often nothing was to begin any more, whoever asked for it.
    halts: u64,
    order: Order,
    reading_settings: bool,
    settings_changed: bool,
    settings_not_before: Option<Monotonic>,
    fresh: VecDeque<Ready>,
    /// Born while the fresh lane was being read, by id, which is the order of
    /// acceptance. Together with a page that reached the lane's end they are
    /// all there is, and a busy endpoint need not read again for them.
    meanwhile: BTreeMap<DeliveryId, Fresh>,
    retries: BTreeMap<(Monotonic, DeliveryId), Ready>,
    /// When the first retry is due that was seen in the store and left there
    /// because it is far off: what waits for hours takes no memory.
    far_retry: Option<Monotonic>,
    manual: VecDeque<Ready>,
    /// Whose turn it is when both a retry and a new event wait. Kept from one
    /// free place to the next, or retries would never get one of their own.
    retries_turn: bool,
    lanes: Lanes,
    /// The latest delivery seen. Ids grow as deliveries are made: where this node
    /// makes them all, a birth that a read of the store has shown before is known
    /// by it.
    newest: Option<DeliveryId>,
    /// How far the fresh lane has been read. Whatever stands before it was
    /// taken; when that may no longer be so, it is read from its beginning.
    read_up_to: Option<Place>,
    /// That became so while a page was read, which will say how far it went.
    read_anew: bool,
    /// Every delivery in `fresh`, `retries` or `flights`, so that none is
    /// taken from the store twice.
    known: HashSet<DeliveryId>,
    flights: HashMap<DeliveryId, Flight>,
    sending: usize,
    record_again: BTreeMap<Monotonic, Vec<DeliveryId>>,
    idle_since: Option<Monotonic>,
    draining: bool,
    gone: bool,
    /// The store said that another node owns the endpoint.
    fenced: bool,
    /// What was settled lately. Kept only where several nodes share the store.
    settled: Settled,
    /// What proves to the store that the endpoint is ours.
    fence: Option<Fence>,
}

impl State {
    /// The state of an endpoint of which nothing is known yet but that the
    /// store may have work for it.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            plan: None,
            gate: Gate::default(),
            halts: 0,
            order: Order::default(),
            reading_settings: false,
            settings_changed: true,
            settings_not_before: None,
            fresh: VecDeque::new(),
            meanwhile: BTreeMap::new(),
            retries: BTreeMap::new(),
            far_retry: None,
            manual: VecDeque::new(),
            retries_turn: true,
            lanes: Lanes(LANES.map(|_| Reading { more: true, ..Reading::default() })),
            newest: None,
            read_up_to: None,
            read_anew: false,
            known: HashSet::new(),
            flights: HashMap::new(),
            sending: 0,
            record_again: BTreeMap::new(),
            idle_since: None,
            draining: false,
            gone: false,
            fenced: false,
            settled: Settled::default(),
            fence: None,
        }
    }

    /// The same, with what proves to the store that the endpoint is ours.
    pub fn fenced_by(self, fence: Option<Fence>) -> Self {
        Self { fence, ..self }
    }

    /// The same, whose last life on this node rested while the breaker was open.
    pub fn open_since(mut self, open_since: Option<Moment>) -> Self {
        self.gate.inherit(open_since);
        self
    }

    /// Takes what happened and says what to do about it.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        self.step_all([input], now)
    }

    /// Takes all that happened, in order, and then says what to do.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Moment) -> Vec<Effect> {
        self.settled.began(now.wall);
        let mut effects = Vec::new();
        for input in inputs {
            self.take(input, now, &mut effects);
        }
        self.act(now, &mut effects);
        effects
    }

    fn take(&mut self, input: Input, now: Moment, effects: &mut Vec<Effect>) {
        match input {
            Input::Settings(plan) => {
                self.reading_settings = false;
                self.gone = plan.is_none();
                if let Some(plan) = &plan {
                    self.gate.adopt(plan, self.plan.as_ref(), now);
                    self.adopt_order(plan, now);
                }
                self.plan = plan;
            }
            Input::SettingsFailed => {
                self.reading_settings = false;
                self.settings_changed = true;
                self.settings_not_before = Some(now.monotonic + READ_AGAIN_AFTER);
            }
            Input::Changed => self.doubt_settings(),
            Input::Halt => {
                self.doubt_settings();
                self.halts += 1;
                self.gate.countermand();
            }
            Input::Born(births) => self.take_births(births),
            // What is due in this lane may stand before the whole window.
            Input::Hint(Lane::Retry) => self.look_for_later(),
            Input::Hint(Lane::Fresh) => self.read_fresh_anew(),
            Input::Hint(Lane::Manual) => self.lane(Lane::Manual).leave_to_store(),
            Input::Sighted(deliveries) => self.take_sightings(&deliveries),
            Input::Page { lane, limit, due, payloads } => self.take_page(lane, limit, due, &payloads, now),
            Input::PageFailed(lane) => {
                if lane == Lane::Fresh {
                    self.meanwhile.clear();
                    self.read_anew = false;
                    self.order.arranged();
                    if self.order.gives_places() {
                        // Places may have been given whose news were lost.
                        self.lane(Lane::Retry).leave_early_to_store();
                    }
                }
                self.lane(lane).failed(now.monotonic);
            }
            Input::Attempted { delivery, started, ended, outcome, random, retry, expires_at, is_system } => {
                let attempted = Attempted { started, ended, outcome, random, of_type: retry, expires_at, is_system };
                self.judge(delivery, attempted, effects);
            }
            Input::Arranged { order, is_page_full, next, placed } => {
                let next = next.map(|at| now.anchor(at));
                self.take_arranged(order, is_page_full, next, placed);
            }
            Input::Expired(delivery) => self.expire(delivery, effects),
            Input::PayloadGone(delivery) => {
                self.forget(delivery);
                // The store may show it again, and with it nothing new.
                self.lanes.0.iter_mut().for_each(|reading| reading.pause(now.monotonic));
            }
            Input::Unsent(delivery) => {
                // Where this asked for it itself, nothing is wrong with going on.
                let was_halted = self.flights.get(&delivery).is_some_and(|flight| flight.halts < self.halts);
                self.forget(delivery);
                self.read_fresh_anew();
                for reading in self.lanes.0.iter_mut() {
                    reading.leave_early_to_store();
                    if !was_halted {
                        reading.pause(now.monotonic);
                    }
                }
            }
            Input::Recorded { delivery, recorded } => self.settle(delivery, recorded, now),
            Input::RecordFailed(delivery) => {
                self.record_again.entry(now.monotonic + RECORD_AGAIN_AFTER).or_default().push(delivery);
            }
            Input::Timer => {}
            Input::Drain => self.draining = true,
        }
    }

    /// When something is to be done that no other input will bring. Never a
    /// time at which there is nothing to do: a timer that rings for nothing is
    /// set again at once, and never stops.
    pub fn wake_at(&self) -> Option<Monotonic> {
        if self.fenced {
            return None;
        }
        let record = self.record_again.first_key_value().map(|(time, _)| *time);
        if self.is_ending() {
            return record;
        }
        let scheduled = self.scheduled_at();
        let far = self.far_retry.map(|due| due - FAR_RETRY_LEAD).filter(|_| !self.is_holding());
        let unplaced = self.order.unplaced_at.filter(|_| !self.is_holding());
        let rest = self.idle_since.map(|since| since + self.limits.passivate_after);
        let settings = self.settings_not_before.filter(|_| self.settings_changed && !self.reading_settings);
        let reads = LANES
            .into_iter()
            .map(|lane| (lane, self.lanes.of(lane)))
            .filter(|(lane, reading)| self.may_read(*lane) && reading.is_wanted(self.has_room(*lane)))
            .filter_map(|(_, reading)| reading.not_before);
        [scheduled, far, unplaced, record, rest, settings].into_iter().flatten().chain(reads).min()
    }

    /// Requests in flight, outcomes not yet durable, deliveries in the
    /// windows, and when the next known retry is due.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            in_flight: self.sending,
            allowed: self.gate.allowed(),
            most: self.plan.as_ref().map_or(0, |plan| plan.max_concurrency),
            is_probing: self.gate.is_probing(),
            recording: self.flights.len() - self.sending,
            window: self.held(),
            window_retries: self.retries.len(),
            window_manual: self.manual.len(),
            more_in_store: self.lanes.0.iter().any(|reading| reading.more),
            next_retry: [self.retries.first_key_value().map(|((due, _), _)| *due), self.far_retry]
                .into_iter()
                .flatten()
                .min(),
            paced_until: self.gate.paced_until(),
            not_before: self.gate.not_before(),
            doing: None,
        }
    }

    /// What becomes of this delivery; `None` where it is not in memory.
    pub fn doing(&self, delivery: DeliveryId) -> Option<Doing> {
        match self.flights.get(&delivery).map(|flight| &flight.stage) {
            Some(Stage::Sending) => Some(Doing::Sending),
            Some(Stage::Recording(_) | Stage::Expiring) => Some(Doing::Recording),
            None => self.known.contains(&delivery).then_some(Doing::Waiting),
        }
    }

    /// What is counted of it over all actors; `None` before its settings are known.
    /// Where it holds, nothing is tried, and no trouble is anybody's concern.
    pub fn vitals(&self) -> Option<Vitals> {
        let known = Vitals { window: self.held(), ..self.gate.vitals() };
        self.plan.as_ref().map(|plan| {
            if plan.enabled { known } else { Vitals { open_since: None, is_failing: false, allowed: 0, ..known } }
        })
    }

    /// Deliveries in the windows.
    fn held(&self) -> usize {
        self.fresh.len() + self.meanwhile.len() + self.retries.len() + self.manual.len()
    }

    fn lane(&mut self, lane: Lane) -> &mut Reading {
        &mut self.lanes.0[lane as usize]
    }

    /// Something that was taken from the fresh lane may stand there again.
    fn read_fresh_anew(&mut self) {
        self.read_up_to = None;
        self.read_anew = self.lanes.of(Lane::Fresh).under_way;
        self.lane(Lane::Fresh).leave_to_store();
    }

    fn is_ending(&self) -> bool {
        self.gone || self.draining || self.fenced
    }

    fn is_holding(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| !plan.enabled)
    }

    /// Whether a lane's deliveries are of use: nothing is given its place by an order that
    /// may not be wanted any more, and what is due may be so by another order only.
    fn may_read(&self, lane: Lane) -> bool {
        let is_of_use = match lane {
            Lane::Fresh if self.order.gives_places() => {
                // What was begun by another order ends before this one begins.
                self.is_current() && (self.order.is_stored() || self.flights.is_empty())
            }
            Lane::Fresh => true,
            Lane::Retry => self.order.is_stored(),
            Lane::Manual => true,
        };
        is_of_use && !self.is_holding()
    }

    /// Whether the settings are those that somebody may have been told of.
    fn is_current(&self) -> bool {
        !self.settings_changed && !self.reading_settings
    }

    /// Whether another attempt may begin. Outcomes waiting for their commit
    /// hold no connection, but memory.
    fn may_send(&self) -> bool {
        // Whoever was told of a change may rely on it: nothing goes out by
        // settings that may be older.
        self.is_current()
            && !self.is_ending()
            && self.plan.as_ref().is_some_and(|plan| {
                plan.enabled
                    && self.sending < plan.max_concurrency
                    && self.flights.len() < plan.max_concurrency + self.limits.window
            })
    }

    /// Whether a lane's window has run low enough to be filled again.
    fn has_room(&self, lane: Lane) -> bool {
        let held = match lane {
            Lane::Fresh => self.fresh.len(),
            Lane::Retry => self.retries.len(),
            Lane::Manual => self.manual.len(),
        };
        held <= self.window() / 2
    }

    /// Everything that can be done now.
    fn act(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.fenced {
            *effects = vec![Effect::Fenced];
            return;
        }
        self.record_again(now, effects);
        if self.is_ending() {
            if self.flights.is_empty() {
                effects.push(if self.gone { Effect::Gone } else { Effect::Drained });
            }
            return;
        }
        let may_read_settings = self.settings_not_before.is_none_or(|time| now.monotonic >= time);
        if self.settings_changed && !self.reading_settings && may_read_settings {
            self.settings_changed = false;
            self.settings_not_before = None;
            self.reading_settings = true;
            effects.push(Effect::ReadSettings);
        }
        if self.is_holding() {
            self.leave_all_to_store();
        } else {
            self.place_what_is_due(now.monotonic);
            // What goes out makes room for what is read.
            self.send(now, effects);
            self.read_ahead(now, effects);
        }
        self.consider_rest(now, effects);
    }
}
