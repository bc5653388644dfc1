//! When the next scheduled attempt may begin: the breaker, the receiver's
//! `Retry-After`, the endpoint's pace, and how many requests it keeps up with. What
//! outcomes lead to is decided in `policy`; here it is applied to what waits.
//! Attempts by hand pass, and are counted.

use std::time::Duration;

use super::{Plan, State};
use crate::domain::{Announcement, DeliveryId, Moment, Monotonic, Outcome, Timestamp, Trouble};
use crate::engine::endpoint::step::{Effect, Vitals};
use crate::policy::announcing;
use crate::policy::concurrency::Allowance;
use crate::policy::health::{self, Advice, Failure, Health, Patience};
use crate::policy::pace::{Pace, Turn};
use crate::store::AttemptKind;

/// What a life begins with, until successes allow more: a backlog is not let loose on
/// an endpoint of which nothing is known.
const FIRST_REQUESTS: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gate {
    health: Health,
    /// `None` before the settings are known.
    allowance: Option<Allowance>,
    pace: Option<Pace>,
    /// The attempt that finds out how the endpoint is.
    probe: Option<DeliveryId>,
    /// When the next probe may begin, and when the receiver's rest ends, on the clock
    /// that nobody sets.
    probe_at: Option<Monotonic>,
    rest_until: Option<Monotonic>,
    /// Since when the breaker keeps deliveries waiting, as far as this life knows.
    open_since: Option<Moment>,
    /// The same, as the last life knew it that rested on this node.
    inherited: Option<Moment>,
    /// How often what had been handed out was not to begin any more.
    order: u64,
    /// How often the breaker opened, probes that ended, and those that failed.
    openings: u64,
    probes: u64,
    failed_probes: u64,
}

/// An attempt that ended.
pub(super) struct Ended<'a> {
    pub(super) delivery: DeliveryId,
    pub(super) kind: AttemptKind,
    pub(super) failed_before: u32,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) outcome: &'a Outcome,
    /// It was of an event of Posthaste's own: its failure makes no other.
    pub(super) is_system: bool,
}

/// What an attempt taught of the endpoint.
#[derive(Default)]
pub(super) struct Learnt {
    /// What is to be stored, if that changed.
    pub(super) trouble: Option<Trouble>,
    /// What is to be told.
    pub(super) announcement: Option<Announcement>,
}

impl Gate {
    /// The settings were read. What is known of trouble counts from the store when a
    /// life begins, and when the endpoint was enabled anew.
    pub(super) fn adopt(&mut self, plan: &Plan, before: Option<&Plan>, now: Moment) {
        let is_resumed = before.is_some_and(|before| !before.enabled && plan.enabled);
        if before.is_none() || is_resumed {
            let requests = if plan.trouble == plan.trouble.begun_anew() { FIRST_REQUESTS } else { 1 };
            self.health = Health::new(plan.trouble.clone());
            // A pause may lie between two lives, and is no wait for the breaker.
            let inherited = self.inherited.take().filter(|_| plan.enabled);
            self.open_since = self.health.is_open().then_some(inherited.unwrap_or(now));
            self.probe = None;
            self.anchor(now);
            self.allowance = Some(Allowance::beginning(plan.max_concurrency, requests));
        }
        if before.is_some_and(|before| before.hurries != plan.hurries) && self.health.hurry(now.wall) {
            self.anchor(now);
        }
        if let Some(allowance) = &mut self.allowance {
            allowance.set_most(plan.max_concurrency);
        }
        match (plan.rate_limit, &mut self.pace) {
            (Some(per_second), Some(pace)) => pace.set(per_second, now.monotonic),
            (Some(per_second), None) => self.pace = Some(Pace::new(per_second, now.monotonic)),
            (None, _) => self.pace = None,
        }
    }

    /// The last life rested while the breaker was open: since then it has kept waiting
    /// whatever is due, because nothing else would have let it sleep.
    pub(super) fn inherit(&mut self, open_since: Option<Moment>) {
        self.inherited = open_since;
    }

    pub(super) fn is_open(&self) -> bool {
        self.health.is_open()
    }

    /// Most requests at once.
    pub(super) fn allowed(&self) -> usize {
        if self.is_open() { 1 } else { self.allowance.as_ref().map_or(0, Allowance::requests) }
    }

    /// Before then no scheduled attempt begins, whatever else allows it.
    pub(super) fn not_before(&self) -> Option<Monotonic> {
        [self.probe_at, self.rest_until, self.paced_until()].into_iter().flatten().max()
    }

    /// When the pace permits the next request.
    pub(super) fn paced_until(&self) -> Option<Monotonic> {
        self.pace.as_ref().map(Pace::next)
    }

    /// Whether a probe is under way.
    pub(super) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// What is counted of it over all actors, the windows left out.
    pub(super) fn vitals(&self) -> Vitals {
        let trouble = self.health.trouble();
        Vitals {
            open_since: trouble.breaker.map(|open| open.opened_at),
            is_failing: trouble.failing_since.is_some(),
            is_paced: self.pace.is_some(),
            window: 0,
            allowed: self.allowed(),
            openings: self.openings,
            probes: self.probes,
            failed_probes: self.failed_probes,
        }
    }

    /// For how long the breaker alone has kept waiting what was due then.
    pub(super) fn kept_waiting(&self, due_at: Timestamp, now: Moment) -> Duration {
        self.open_since.map_or(Duration::ZERO, |open_since| {
            // By both clocks: a jump of the one is nobody's wait.
            now.wall.since(due_at.max(open_since.wall)).min(now.monotonic.since(open_since.monotonic))
        })
    }

    /// An attempt begins. Answers its turn, where there is a pace to keep.
    pub(super) fn took(&mut self, delivery: DeliveryId, kind: AttemptKind, now: Moment) -> Option<Turn> {
        if kind == AttemptKind::Manual {
            if let Some(pace) = &mut self.pace {
                pace.passed(now.monotonic);
            }
            return None;
        }
        if self.is_open() {
            self.probe = Some(delivery);
        }
        self.pace.as_mut().map(|pace| pace.took(now.monotonic))
    }

    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// What was handed out and has not begun is not to begin.
    pub(super) fn countermand(&mut self) {
        self.order += 1;
    }

    /// What is known of trouble now.
    pub(super) fn trouble(&self) -> &Trouble {
        self.health.trouble()
    }

    /// An attempt has ended or, with its turn, will not begin.
    pub(super) fn forget(&mut self, delivery: DeliveryId, turn: Option<Turn>) {
        self.probe.take_if(|probe| *probe == delivery);
        if let (Some(pace), Some(turn)) = (&mut self.pace, turn) {
            pace.gave_back(turn);
        }
    }

    /// What was to be told of the endpoint was never written.
    pub(super) fn unannounce(&mut self) {
        self.health.unannounce();
    }

    /// An attempt ended. Answers what is to be stored and told about the endpoint.
    pub(super) fn heard(
        &mut self,
        attempt: &Ended<'_>,
        patience: &Patience,
        plan: Option<&Plan>,
        random: f64,
        effects: &mut Vec<Effect>,
    ) -> Learnt {
        let is_probe = self.probe == Some(attempt.delivery);
        self.forget(attempt.delivery, None);
        if is_probe {
            self.probes += 1;
            self.failed_probes += u64::from(!attempt.outcome.is_delivered());
        }
        if attempt.outcome.is_delivered() {
            self.succeeded(attempt.ended)
        } else if attempt.kind == AttemptKind::Scheduled {
            self.failed(attempt, is_probe, patience, plan, random, effects)
        } else {
            Learnt::default()
        }
    }

    fn succeeded(&mut self, ended: Moment) -> Learnt {
        let was_open = self.is_open();
        let announcement = announcing::recovered(self.health.trouble());
        let has_changed = self.health.succeeded(ended.wall);
        // A probe that is still under way is one of many now.
        (self.probe, self.open_since) = (None, None);
        if has_changed {
            self.anchor(ended);
        }
        if let Some(allowance) = &mut self.allowance {
            if was_open {
                allowance.begin_with(1);
            } else {
                allowance.succeeded();
            }
        }
        Learnt { trouble: has_changed.then(|| self.health.trouble().clone()), announcement }
    }

    fn failed(
        &mut self,
        attempt: &Ended<'_>,
        is_probe: bool,
        patience: &Patience,
        plan: Option<&Plan>,
        random: f64,
        effects: &mut Vec<Effect>,
    ) -> Learnt {
        let Ended { delivery, started, ended, outcome, is_system, .. } = *attempt;
        if health::is_overload(outcome)
            && let Some(allowance) = &mut self.allowance
        {
            allowance.overloaded(started.monotonic, ended.monotonic);
        }
        let failure =
            Failure { delivery, failed_before: attempt.failed_before, ended_at: ended.wall, outcome, is_probe };
        let disables_on_gone = plan.is_some_and(|plan| plan.disable_on_gone);
        let before = (self.is_open(), self.health.trouble().not_before);
        let (has_changed, advice) = self.health.failed(failure, patience, disables_on_gone, random);
        if has_changed {
            if self.is_open() {
                self.open_since.get_or_insert(ended);
                self.openings += u64::from(!before.0);
            }
            self.anchor(ended);
            if before != (self.is_open(), self.health.trouble().not_before) {
                self.countermand();
            }
        }
        match advice {
            Advice::Wait => {}
            Advice::Warn => effects.push(Effect::Warn(self.health.trouble().failing_since.unwrap_or(ended.wall))),
            Advice::Disable(reason) => {
                // Whoever heard that it fails hears of this, whatever it failed at last.
                let is_told = !is_system || self.health.trouble().announced_at.is_some();
                effects.push(Effect::Disable(reason, is_told.then(|| self.health.setback(outcome))));
            }
        }
        let is_told = !is_system && !matches!(advice, Advice::Disable(_));
        let announcement = is_told.then(|| self.health.announce(ended.wall, patience)).flatten();
        let has_changed = has_changed || announcement.is_some();
        Learnt { trouble: has_changed.then(|| self.health.trouble().clone()), announcement }
    }

    fn anchor(&mut self, now: Moment) {
        let trouble = self.health.trouble();
        // A clock that was set back keeps nobody waiting for longer than that.
        let within = |time: Timestamp, most: Duration| now.anchor(time).min(now.monotonic + most);
        self.probe_at = trouble.breaker.map(|open| within(open.probe_at, health::LONGEST_PROBE_WAIT));
        self.rest_until = trouble.not_before.map(|time| within(time, health::LONGEST_REST));
    }
}

impl State {
    /// Which scheduled attempts may still begin: those that carry this number.
    pub fn order(&self) -> u64 {
        self.gate.order()
    }

    /// Since when the breaker is open, as far as lives on this node know.
    pub fn is_open_since(&self) -> Option<Moment> {
        self.gate.open_since
    }

    /// Which attempts may still begin at all: those that carry this number.
    pub fn halts(&self) -> u64 {
        self.halts
    }

    /// Whether the breaker is open.
    pub fn sends_probes(&self) -> bool {
        self.gate.is_open()
    }

    /// Whether a scheduled attempt may be under way beside those that are.
    pub(super) fn has_room_at_gate(&self) -> bool {
        self.may_send() && self.order.is_stored() && self.sending < self.gate.allowed() && self.gate.probe.is_none()
    }

    /// When the next scheduled attempt begins, if nothing else happens before.
    pub(super) fn scheduled_at(&self) -> Option<Monotonic> {
        if !self.has_room_at_gate() {
            return None;
        }
        let gate = self.gate.not_before();
        if !self.fresh.is_empty() {
            return gate;
        }
        let due = self.retries.first_key_value().map(|((due, _), _)| *due)?;
        Some(gate.map_or(due, |gate| gate.max(due)))
    }
}
