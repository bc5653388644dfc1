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

use crate::domain::{DeliveryId, EventId, Moment, Monotonic, Outcome, RetryPolicy};
use crate::engine::budget::HeldPayload;
use crate::engine::endpoint::reading::{READ_AGAIN_AFTER, Reading};
use crate::policy::retry::{self, Next};
use crate::store::{AttemptKind, Due, Lane, Place, Record, Recorded, Verdict};

pub use super::step::{Effect, Fresh, Input, Limits, Plan, Sending, Snapshot};

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
    attempt_count: u32,
    scheduled_attempts: u32,
}

impl From<Fresh> for Ready {
    fn from(birth: Fresh) -> Self {
        Self {
            delivery: birth.delivery,
            event: birth.event,
            payload: birth.payload,
            attempt_count: 0,
            scheduled_attempts: 0,
        }
    }
}

impl From<Due> for Ready {
    fn from(due: Due) -> Self {
        Self {
            delivery: due.delivery,
            event: due.event,
            payload: None,
            attempt_count: due.attempt_count,
            scheduled_attempts: due.scheduled_attempts,
        }
    }
}

#[derive(Debug)]
enum Stage {
    Sending,
    Recording(Arc<Record>),
}

#[derive(Debug)]
struct Flight {
    ready: Ready,
    kind: AttemptKind,
    stage: Stage,
    /// For an attempt by hand: the scheduled retry it must not move.
    scheduled: Option<Monotonic>,
    /// For an attempt by hand: the store showed the wish for it when its
    /// outcome was being written, and this may be the wish for another.
    asked_again: bool,
}

/// One endpoint's live state.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    plan: Option<Plan>,
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
    /// The latest delivery seen. Ids grow as deliveries are made: a birth
    /// announced late, that a read of the store has shown before, is known by
    /// it.
    newest: Option<DeliveryId>,
    /// How far the fresh lane has been read. Whatever stands before it was
    /// taken; when that may no longer be so, it is read from its beginning.
    read_up_to: Option<Place>,
    /// Every delivery in `fresh`, `retries` or `flights`, so that none is
    /// taken from the store twice.
    known: HashSet<DeliveryId>,
    flights: HashMap<DeliveryId, Flight>,
    sending: usize,
    record_again: BTreeMap<Monotonic, Vec<DeliveryId>>,
    idle_since: Option<Monotonic>,
    draining: bool,
    gone: bool,
}

impl State {
    /// The state of an endpoint of which nothing is known yet but that the
    /// store may have work for it.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            plan: None,
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
            known: HashSet::new(),
            flights: HashMap::new(),
            sending: 0,
            record_again: BTreeMap::new(),
            idle_since: None,
            draining: false,
            gone: false,
        }
    }

    /// Takes what happened and says what to do about it.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        self.step_all([input], now)
    }

    /// Takes all that happened, in order, and then says what to do.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Moment) -> Vec<Effect> {
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
                self.plan = plan;
            }
            Input::SettingsFailed => {
                self.reading_settings = false;
                self.settings_changed = true;
                self.settings_not_before = Some(now.monotonic + READ_AGAIN_AFTER);
            }
            Input::Changed => self.settings_changed = true,
            Input::Born(births) => self.take_births(births),
            // What is due in this lane may stand before the whole window.
            Input::Hint(Lane::Retry) => self.lane(Lane::Retry).leave_early_to_store(),
            Input::Hint(Lane::Fresh) => self.read_fresh_anew(),
            Input::Hint(Lane::Manual) => self.lane(Lane::Manual).leave_to_store(),
            Input::Page { lane, limit, due, payloads } => self.take_page(lane, limit, due, &payloads, now),
            Input::PageFailed(lane) => {
                if lane == Lane::Fresh {
                    self.meanwhile.clear();
                }
                self.lane(lane).failed(now.monotonic);
            }
            Input::Attempted { delivery, started, ended, outcome, random } => {
                effects.extend(self.judge(delivery, started, ended, outcome, random));
            }
            Input::PayloadGone(delivery) => {
                self.forget(delivery);
                // The store may show it again, and with it nothing new.
                self.lanes.0.iter_mut().for_each(|reading| reading.pause(now.monotonic));
            }
            Input::Unsent(delivery) => {
                self.forget(delivery);
                self.read_fresh_anew();
                for reading in self.lanes.0.iter_mut() {
                    reading.leave_early_to_store();
                    reading.pause(now.monotonic);
                }
            }
            Input::Recorded { delivery, recorded } => self.settle(delivery, recorded),
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
        let record = self.record_again.first_key_value().map(|(time, _)| *time);
        if self.is_ending() {
            return record;
        }
        let retry = self.retries.first_key_value().map(|((due, _), _)| *due).filter(|_| self.may_send());
        let far = self.far_retry.map(|due| due - FAR_RETRY_LEAD).filter(|_| !self.is_holding());
        let rest = self.idle_since.map(|since| since + self.limits.passivate_after);
        let settings = self.settings_not_before.filter(|_| self.settings_changed && !self.reading_settings);
        let reads = LANES
            .into_iter()
            .map(|lane| (lane, self.lanes.of(lane)))
            .filter(|(lane, reading)| !self.is_holding() && reading.is_wanted(self.has_room(*lane)))
            .filter_map(|(_, reading)| reading.not_before);
        [retry, far, record, rest, settings].into_iter().flatten().chain(reads).min()
    }

    /// Requests in flight, outcomes not yet durable, deliveries in the
    /// windows, and when the next known retry is due.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            in_flight: self.sending,
            recording: self.flights.len() - self.sending,
            window: self.fresh.len() + self.meanwhile.len() + self.retries.len() + self.manual.len(),
            more_in_store: self.lanes.0.iter().any(|reading| reading.more),
            next_retry: [self.retries.first_key_value().map(|((due, _), _)| *due), self.far_retry]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut Reading {
        &mut self.lanes.0[lane as usize]
    }

    /// Something that was taken from the fresh lane may stand there again.
    fn read_fresh_anew(&mut self) {
        self.read_up_to = None;
        self.lane(Lane::Fresh).leave_to_store();
    }

    fn is_ending(&self) -> bool {
        self.gone || self.draining
    }

    fn is_holding(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| !plan.enabled)
    }

    /// Whether another attempt may begin. Outcomes waiting for their commit
    /// hold no connection, but memory.
    fn may_send(&self) -> bool {
        // Whoever was told of a change may rely on it: nothing goes out by
        // settings that may be older.
        let is_current = !self.settings_changed && !self.reading_settings;
        is_current
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
        held <= self.limits.window / 2
    }

    fn take_births(&mut self, births: Vec<Fresh>) {
        for birth in births {
            let reading = self.lanes.of(Lane::Fresh);
            if reading.under_way && !reading.missed && self.meanwhile.len() < self.limits.window {
                self.meanwhile.insert(birth.delivery, birth);
            } else if reading.more || reading.under_way {
                // What is older stands in the store and goes first.
                self.lane(Lane::Fresh).leave_to_store();
            } else {
                self.take_birth(birth);
            }
        }
    }

    /// Takes a birth when everything born before it has been taken.
    fn take_birth(&mut self, birth: Fresh) {
        let announced_late = self.newest.is_some_and(|newest| birth.delivery <= newest);
        if self.known.contains(&birth.delivery) {
            // A page has shown it before the news came.
        } else if announced_late || self.fresh.len() >= self.limits.window {
            self.lane(Lane::Fresh).leave_to_store();
        } else {
            self.known.insert(birth.delivery);
            self.newest = Some(birth.delivery);
            self.read_up_to = self.read_up_to.max(Some((birth.delivery.made_at(), birth.delivery)));
            self.fresh.push_back(birth.into());
        }
    }

    /// Takes what was born while a page was read that reached the lane's end.
    /// `settled` was finished in the meantime and needs nothing more.
    fn take_meanwhile(&mut self, settled: &HashSet<DeliveryId>) {
        for (delivery, birth) in std::mem::take(&mut self.meanwhile) {
            if self.lane(Lane::Fresh).more {
                // The window is full, or one was announced late.
                return;
            }
            if !settled.contains(&delivery) {
                self.take_birth(birth);
            }
        }
    }

    fn take_page(
        &mut self,
        lane: Lane,
        limit: usize,
        due: Vec<Due>,
        payloads: &HashMap<EventId, Arc<HeldPayload>>,
        now: Moment,
    ) {
        let mut more = due.len() >= limit;
        if lane == Lane::Retry {
            self.far_retry = None;
        }
        let settled = std::mem::take(&mut self.lane(lane).settled);
        for due in due {
            self.newest = self.newest.max(Some(due.delivery));
            if settled.contains(&due.delivery) {
                // An attempt by hand may have been asked for before the one
                // that was settled, and wait still.
                more |= lane == Lane::Manual;
                continue;
            }
            match lane {
                Lane::Fresh if self.fresh.len() >= self.limits.window => more = true,
                Lane::Fresh => {
                    self.read_up_to = self.read_up_to.max(Some((due.due_at, due.delivery)));
                    if self.known.insert(due.delivery) {
                        let born = || self.meanwhile.get(&due.delivery)?.payload.clone();
                        let payload = payloads.get(&due.event).cloned().or_else(born);
                        self.fresh.push_back(Ready { payload, ..due.into() });
                    }
                }
                Lane::Retry => {
                    let at = now.anchor(due.due_at);
                    let is_far = at > now.monotonic + self.limits.passivate_after;
                    if is_far && !self.known.contains(&due.delivery) {
                        // The rest of the page is later still.
                        self.far_retry = Some(at);
                        more = false;
                        break;
                    }
                    if self.known.insert(due.delivery) {
                        self.retries.insert((at, due.delivery), due.into());
                    } else if let Some(flight) = self.flights.get_mut(&due.delivery)
                        && flight.kind == AttemptKind::Manual
                    {
                        // Its place in the schedule, which it goes back to.
                        flight.scheduled.get_or_insert(at);
                    }
                }
                Lane::Manual if self.manual.len() >= self.limits.window => more = true,
                Lane::Manual => {
                    let flight =
                        self.flights.get_mut(&due.delivery).filter(|flight| flight.kind == AttemptKind::Manual);
                    if let Some(flight) = flight {
                        flight.asked_again |= matches!(flight.stage, Stage::Recording(_));
                    } else if !self.manual.iter().any(|ready| ready.delivery == due.delivery) {
                        self.manual.push_back(due.into());
                    }
                }
            }
        }
        more |= lane == Lane::Retry && self.trim_retries();
        let is_end = !more;
        if lane == Lane::Fresh && is_end && self.lane(lane).is_continued {
            // The end of the lane, unless the clock was set back meanwhile and
            // something stands before the place it was read from: one look at
            // its beginning tells. What was born meanwhile will be in it.
            self.read_up_to = None;
            more = true;
        }
        // What was left to the store while the page was read came behind what
        // was kept in `meanwhile`, which is therefore taken first.
        let missed = self.lane(lane).finished(more);
        if lane == Lane::Fresh {
            if !is_end {
                self.meanwhile.clear();
            } else if !more {
                self.take_meanwhile(&settled);
            }
        }
        if missed {
            self.lane(lane).leave_to_store();
        }
    }

    /// Leaves the latest retries to the store when there are too many.
    fn trim_retries(&mut self) -> bool {
        let mut trimmed = false;
        while self.retries.len() > self.limits.window {
            if let Some((_, ready)) = self.retries.pop_last() {
                self.known.remove(&ready.delivery);
                trimmed = true;
            }
        }
        trimmed
    }

    /// What an attempt means for its delivery.
    fn judge(
        &mut self,
        delivery: DeliveryId,
        started: Moment,
        ended: Moment,
        outcome: Outcome,
        random: f64,
    ) -> Option<Effect> {
        let flight = self.flights.get_mut(&delivery)?;
        let Stage::Sending = flight.stage else { return None };
        self.sending -= 1;
        let scheduled_attempts = flight.ready.scheduled_attempts + 1;
        let mut wait = None;
        let verdict = if outcome.is_delivered() {
            Verdict::Delivered
        } else if flight.kind == AttemptKind::Manual {
            Verdict::Unchanged
        } else {
            // An endpoint that is gone has no plan; the store knows that, too,
            // and discards what would be retried.
            let next = match &self.plan {
                Some(plan) => retry::after_failure(&plan.retry, scheduled_attempts, random),
                None => retry::after_failure(&RetryPolicy::default(), scheduled_attempts, random),
            };
            match next {
                Next::RetryAfter(after) => {
                    wait = Some(after);
                    Verdict::RetryAt(ended.wall + whole_millis(after))
                }
                Next::Exhausted => Verdict::Exhausted,
            }
        };
        if let Some(wait) = wait {
            flight.scheduled = Some(ended.monotonic + wait);
        }
        let record = Arc::new(Record {
            delivery,
            kind: flight.kind,
            attempts_before: flight.ready.attempt_count,
            started_at: started.wall,
            finished_at: ended.wall,
            duration: ended.monotonic.since(started.monotonic),
            outcome,
            verdict,
        });
        flight.stage = Stage::Recording(Arc::clone(&record));
        // The bytes are not needed for a while: the store has them.
        flight.ready.payload = None;
        Some(Effect::Record(record))
    }

    /// What a durable outcome leaves to do.
    fn settle(&mut self, delivery: DeliveryId, recorded: Recorded) {
        let Some(flight) = self.flights.remove(&delivery) else { return };
        self.known.remove(&delivery);
        for reading in self.lanes.0.iter_mut().filter(|reading| reading.under_way) {
            reading.settled.insert(delivery);
        }
        // An attempt by hand that waits for this one was read before this one
        // counted.
        let asked = self.manual.len();
        self.manual.retain(|ready| ready.delivery != delivery);
        if self.manual.len() < asked || flight.asked_again {
            self.lane(Lane::Manual).leave_to_store();
        }
        let mut ready = flight.ready;
        match recorded {
            Recorded::Superseded => {
                // Whatever moved it on, the store knows where it stands.
                self.read_fresh_anew();
                for reading in self.lanes.0.iter_mut() {
                    reading.leave_early_to_store();
                }
                return;
            }
            Recorded::Written(status) if !status.is_unfinished() => return,
            Recorded::Written(_) => {}
        }
        ready.attempt_count += 1;
        if flight.kind == AttemptKind::Scheduled {
            ready.scheduled_attempts += 1;
        }
        let Some(at) = flight.scheduled else {
            // An attempt by hand of a delivery whose place in the schedule is
            // only in the store.
            self.read_fresh_anew();
            self.lane(Lane::Retry).leave_early_to_store();
            return;
        };
        let beyond_window =
            self.lanes.of(Lane::Retry).more && self.retries.last_key_value().is_none_or(|((last, _), _)| at > *last);
        if beyond_window {
            self.lane(Lane::Retry).leave_to_store();
            return;
        }
        self.known.insert(delivery);
        self.retries.insert((at, delivery), ready);
        if self.trim_retries() {
            self.lane(Lane::Retry).leave_to_store();
        }
    }

    fn forget(&mut self, delivery: DeliveryId) {
        if let Some(flight) = self.flights.remove(&delivery) {
            if matches!(flight.stage, Stage::Sending) {
                self.sending -= 1;
            }
            self.known.remove(&delivery);
        }
    }

    /// Everything that can be done now.
    fn act(&mut self, now: Moment, effects: &mut Vec<Effect>) {
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
            self.hold();
        } else {
            // What goes out makes room for what is read.
            self.send(now, effects);
            self.read_ahead(now, effects);
        }
        self.consider_rest(now, effects);
    }

    fn record_again(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while let Some(entry) = self.record_again.first_entry() {
            if *entry.key() > now.monotonic {
                break;
            }
            for delivery in entry.remove() {
                if let Some(Flight { stage: Stage::Recording(record), .. }) = self.flights.get(&delivery) {
                    effects.push(Effect::Record(Arc::clone(record)));
                }
            }
        }
    }

    /// A held endpoint keeps nothing in memory: the store has it all, and is
    /// read again when the hold ends.
    fn hold(&mut self) {
        let in_flight: HashSet<DeliveryId> = self.flights.keys().copied().collect();
        self.known.retain(|delivery| in_flight.contains(delivery));
        self.fresh.clear();
        self.meanwhile.clear();
        self.read_up_to = None;
        self.retries.clear();
        self.far_retry = None;
        self.manual.clear();
        for reading in self.lanes.0.iter_mut() {
            reading.leave_to_store();
        }
    }

    fn read_ahead(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.far_retry.is_some_and(|due| now.monotonic >= due - FAR_RETRY_LEAD) {
            self.far_retry = None;
            self.lane(Lane::Retry).leave_early_to_store();
        }
        for lane in [Lane::Manual, Lane::Fresh, Lane::Retry] {
            let has_room = self.has_room(lane);
            if !self.lane(lane).begin(has_room, now.monotonic) {
                continue;
            }
            let after = self.read_up_to.filter(|_| lane == Lane::Fresh);
            self.lane(lane).is_continued = after.is_some();
            let limit = match after {
                Some(_) => self.limits.window,
                // Retries come in smaller pages: most wait for hours. What is
                // held or in flight is unfinished in the store, too: the page
                // must reach past it.
                None if lane == Lane::Retry => {
                    RETRY_PAGE.min(self.limits.window) + self.retries.len() + self.flights.len()
                }
                None => self.limits.window + self.flights.len(),
            };
            effects.push(Effect::ReadPage { lane, after, limit });
        }
    }

    fn send(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while self.may_send() {
            let next = self.next_manual().or_else(|| {
                // One old failure for each new event, when both wait.
                self.retries_turn = !self.retries_turn;
                if self.retries_turn {
                    self.next_retry(now).or_else(|| self.next_fresh())
                } else {
                    self.next_fresh().or_else(|| self.next_retry(now))
                }
            });
            let Some((ready, kind, scheduled)) = next else { break };
            effects.push(Effect::Send(Sending {
                delivery: ready.delivery,
                event: ready.event,
                payload: ready.payload.clone(),
                number: ready.attempt_count + 1,
            }));
            self.sending += 1;
            self.known.insert(ready.delivery);
            let delivery = ready.delivery;
            let flight = Flight { ready, kind, stage: Stage::Sending, scheduled, asked_again: false };
            self.flights.insert(delivery, flight);
        }
    }

    /// The first attempt asked for by hand whose delivery is not under way.
    fn next_manual(&mut self) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        let position = self.manual.iter().position(|ready| !self.flights.contains_key(&ready.delivery))?;
        let mut ready = self.manual.remove(position)?;
        // A scheduled attempt of the same delivery waits meanwhile, and may
        // know a later count than the page did.
        let planned = self.retries.iter().find(|(_, planned)| planned.delivery == ready.delivery).map(|(key, _)| *key);
        let mut scheduled = None;
        if let Some(key) = planned
            && let Some(known) = self.retries.remove(&key)
        {
            scheduled = Some(key.0);
            ready.attempt_count = ready.attempt_count.max(known.attempt_count);
            ready.scheduled_attempts = known.scheduled_attempts;
        }
        self.fresh.retain(|fresh| fresh.delivery != ready.delivery);
        Some((ready, AttemptKind::Manual, scheduled))
    }

    fn next_fresh(&mut self) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        self.fresh.pop_front().map(|ready| (ready, AttemptKind::Scheduled, None))
    }

    fn next_retry(&mut self, now: Moment) -> Option<(Ready, AttemptKind, Option<Monotonic>)> {
        let entry = self.retries.first_entry()?;
        if entry.key().0 > now.monotonic {
            return None;
        }
        Some((entry.remove(), AttemptKind::Scheduled, None))
    }

    fn consider_rest(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let next = self.rest_until();
        let soon = |due: Monotonic| due <= now.monotonic + self.limits.passivate_after;
        if next.is_none_or(|next| next.is_some_and(soon)) {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now.monotonic);
        if now.monotonic >= since + self.limits.passivate_after {
            // Asked again after as long, in case nobody hears.
            self.idle_since = Some(now.monotonic);
            effects.push(Effect::Rest);
        }
    }

    /// When there is something to do again; `Some(None)` is never, `None` is
    /// now.
    pub fn rest_until(&self) -> Option<Option<Monotonic>> {
        let read = |lane: Lane| {
            let reading = self.lanes.of(lane);
            !reading.under_way && !reading.is_wanted(self.has_room(lane))
        };
        let at_rest = self.flights.is_empty()
            && self.fresh.is_empty()
            && self.manual.is_empty()
            && (self.is_holding() || LANES.into_iter().all(read))
            && !self.reading_settings
            && !self.settings_changed;
        let next_retry = self.retries.first_key_value().map(|((due, _), _)| *due);
        at_rest.then(|| [next_retry, self.far_retry].into_iter().flatten().min())
    }
}

/// Rounded up: what is stored is never earlier than what was decided.
fn whole_millis(duration: Duration) -> Duration {
    let millis = duration.as_micros().div_ceil(1000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
