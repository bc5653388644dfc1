//! One endpoint's state, and everything that can lie between it and its store:
//! reads that come back late, outcomes written but not yet acknowledged, births
//! told late, twice or never. Every step is checked against the `promises`;
//! `histories` says what is done with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{
    DeliveryId, DiscardReason, ErrorClass, EventOrder, Moment, Monotonic, Outcome, RetryPolicy, StoredStatus,
    Timestamp, Trouble,
};
use posthaste::engine::endpoint::state::{Fresh, Input, Limits, Plan, State};
use posthaste::policy::health::Patience;
use posthaste::store::{AttemptKind, Due, Fence, Lane, Place, Placed, Record, Recorded};

use super::shelf::{Row, Shelf, delivery, event};

mod promises;

pub const LANES: [Lane; 3] = [Lane::Fresh, Lane::Retry, Lane::Manual];
pub const LIMITS: Limits = Limits {
    window: 4,
    passivate_after: Duration::from_secs(5),
    patience: Patience {
        opens_after: Some(5),
        warn_after: Duration::from_secs(40),
        disable_after: None,
        announce_after: Duration::from_secs(60),
    },
};
/// Long enough for everything that is tried again soon and for the next probe, shorter
/// than the last waits of [`policy`].
const SOON: Duration = Duration::from_secs(40);

/// Whole milliseconds and no jitter: what is stored is exactly what was decided.
pub fn policy() -> RetryPolicy {
    RetryPolicy::Schedule([0, 100, 3_000, 60_000].map(Duration::from_millis).to_vec())
}

pub fn begin() -> Moment {
    Moment {
        wall: Timestamp::from_millis(1_700_000_000_000),
        monotonic: Monotonic::from_start(Duration::from_secs(1_000)),
    }
}

pub fn delivered() -> Outcome {
    Outcome::answered(204, Bytes::new())
}

pub fn failed() -> Outcome {
    Outcome::failed(ErrorClass::Connect, "refused")
}

pub fn fresh(number: u128) -> Fresh {
    Fresh { delivery: delivery(number), event: event(number), sequence: u64::try_from(number).ok(), payload: None }
}

/// As one of several nodes has it: what it does alone is less.
fn new_state() -> State {
    State::new(LIMITS).fenced_by(Some(Fence(1)))
}

struct Read {
    lane: Lane,
    after: Option<Place>,
    limit: usize,
    only_placed: bool,
    /// What the store said, once it was asked.
    page: Option<Vec<Due>>,
}

struct Writing {
    record: Arc<Record>,
    /// What the store said, once it was written.
    recorded: Option<Recorded>,
}

/// Deliveries that get their places at once, and that are taken out of an order.
const PLACED_AT_ONCE: usize = 3;

/// What has no place is being put in order.
struct Arranging {
    order: Option<EventOrder>,
    /// What the store said, once it was asked: whether there was as much as was looked
    /// for, when there is more, and what became of it.
    placed: Option<(bool, Option<Timestamp>, Placed)>,
}

/// The store, the way to it, and one life of the endpoint's state.
pub struct World {
    pub now: Moment,
    pub plan: Plan,
    shelf: Shelf,
    state: State,
    /// The settings this life was last told of.
    heard: Option<Plan>,
    settings_read: Option<Option<Plan>>,
    reads: Vec<Read>,
    arranging: Option<Arranging>,
    sending: BTreeMap<DeliveryId, (Moment, AttemptKind)>,
    writing: Vec<Writing>,
    expiring: Vec<DeliveryId>,
    /// Births that nobody has told of yet, and those told of already.
    untold: Vec<u128>,
    told: Vec<u128>,
    /// Something was never told: only a sweep finds it.
    lost: bool,
    /// Births were never told of: a look over what was lately born shows them.
    lost_births: bool,
    /// What such a look has shown, and nobody was told yet.
    seen: Option<Vec<DeliveryId>>,
    /// What an earlier life left in the journal's queue.
    left_behind: Vec<Arc<Record>>,
    /// Deliveries such a record has moved on, which this life may have read
    /// before that.
    outdated: BTreeSet<DeliveryId>,
    draining: bool,
    pub drained: bool,
    pub sent: usize,
}

impl World {
    pub fn new(max_concurrency: usize) -> Self {
        let mut world = Self {
            now: begin(),
            plan: Plan::new(max_concurrency, policy()),
            shelf: Shelf::default(),
            state: new_state(),
            heard: None,
            settings_read: None,
            reads: Vec::new(),
            arranging: None,
            sending: BTreeMap::new(),
            writing: Vec::new(),
            expiring: Vec::new(),
            untold: Vec::new(),
            told: Vec::new(),
            lost: false,
            lost_births: false,
            seen: None,
            left_behind: Vec::new(),
            outdated: BTreeSet::new(),
            draining: false,
            drained: false,
            sent: 0,
        };
        world.step(Input::Timer);
        world
    }

    // What happens outside the actor.

    pub fn accept(&mut self, count: usize) {
        for _ in 0..count {
            // Nothing is made before its time.
            let made_at = self.now.anchor(delivery(self.shelf.next()).made_at());
            if made_at > self.now.monotonic {
                self.advance(made_at.since(self.now.monotonic));
            }
            self.untold.push(self.shelf.accept());
        }
    }

    /// Accepts one that is due in so long.
    pub fn accept_for_later(&mut self, wait: Duration, told: bool) {
        let made_at = self.now.anchor(delivery(self.shelf.next()).made_at());
        if made_at > self.now.monotonic {
            self.advance(made_at.since(self.now.monotonic));
        }
        self.shelf.accept_for_later(self.now.wall + wait);
        if told {
            self.step(Input::Hint(Lane::Retry));
        } else {
            self.lost = true;
        }
    }

    /// Somebody discards any delivery there is.
    pub fn skip(&mut self, choice: usize) {
        let Some(delivery) = self.shelf.rows.keys().nth(choice % self.shelf.rows.len().max(1)).copied() else { return };
        if self.shelf.discard(delivery, DiscardReason::Skipped, self.now.wall) {
            self.shelf.discards += 1;
            self.step(Input::Changed);
        }
    }

    /// Tells of the first `count` births that nobody was told of yet.
    pub fn tell(&mut self, count: usize) {
        let births: Vec<u128> = self.untold.drain(..count.min(self.untold.len())).collect();
        self.told.extend(&births);
        self.born(&births);
    }

    /// One that was born later is told of first.
    pub fn tell_out_of_turn(&mut self, choice: usize) {
        if !self.untold.is_empty() {
            let birth = self.untold.remove(choice % self.untold.len());
            self.told.push(birth);
            self.born(&[birth]);
        }
    }

    pub fn tell_again(&mut self, choice: usize) {
        if !self.told.is_empty() {
            self.born(&[self.told[choice % self.told.len()]]);
        }
    }

    pub fn lose_births(&mut self) {
        self.lost_births |= !self.untold.is_empty();
        self.untold.clear();
    }

    /// Looks over what is new, and tells of it later.
    pub fn look_for_new(&mut self) {
        let is_new = |row: &&Row| row.status == StoredStatus::Pending && row.next_at.is_some();
        self.seen = Some(self.shelf.rows.values().filter(is_new).map(|row| delivery(row.number)).collect());
    }

    /// Tells of what the last look has shown, or of a new one.
    pub fn tell_what_is_new(&mut self) {
        if self.seen.is_none() {
            self.look_for_new();
            self.lost_births = false;
        }
        let seen = self.seen.take().unwrap_or_default();
        if !self.drained && self.state.overlooks(&seen) {
            self.step(Input::Sighted(seen.clone()));
            // A read that was begun because of it is not known to show it.
            self.step(Input::Sighted(seen.clone()));
            assert!(!self.state.overlooks(&seen), "what was told of is taken care of");
        }
    }

    fn born(&mut self, numbers: &[u128]) {
        self.step(Input::Born(numbers.iter().copied().map(fresh).collect()));
    }

    /// Asks for an attempt by hand of any delivery there ever was.
    pub fn ask(&mut self, choice: usize, told: bool) {
        let Some(delivery) = self.shelf.rows.keys().nth(choice % self.shelf.rows.len().max(1)).copied() else { return };
        self.shelf.asked.entry(delivery).or_insert(self.now.wall);
        if told {
            self.step(Input::Hint(Lane::Manual));
        } else {
            self.lost = true;
        }
    }

    pub fn change(&mut self, enabled: bool, max_concurrency: usize) {
        let rate_limit = (max_concurrency == 2).then_some(5);
        let order = self.plan.order.clone();
        self.plan = Plan { enabled, rate_limit, order, ..Plan::new(max_concurrency, policy()) };
        self.step(Input::Changed);
    }

    /// Wants another order.
    pub fn reorder(&mut self, order: Option<EventOrder>) {
        self.plan.order = order;
        self.step(Input::Changed);
    }

    pub fn sweep(&mut self) {
        for lane in LANES {
            self.step(Input::Hint(lane));
        }
    }

    pub fn advance(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        if self.state.wake_at().is_some_and(|time| time <= self.now.monotonic) {
            self.step(Input::Timer);
        }
    }

    /// The actor dies, with requests under way and outcomes on their way to
    /// the journal, and begins anew.
    pub fn die(&mut self) {
        self.left_behind
            .extend(self.writing.drain(..).filter(|writing| writing.recorded.is_none()).map(|writing| writing.record));
        self.live_again();
    }

    pub fn write_what_was_left_behind(&mut self, choice: usize) {
        if !self.left_behind.is_empty() {
            let record = self.left_behind.remove(choice % self.left_behind.len());
            self.outdated.insert(record.delivery);
            // It may come between the reads of two lanes, and be in neither.
            self.lost = true;
            self.shelf.record(&record);
        }
    }

    /// Leaves memory if the state agrees, and comes back when it must.
    pub fn rest(&mut self) {
        if self.drained {
            return;
        }
        let Some(until) = self.state.rest_until() else { return };
        assert!(
            self.sending.is_empty() && self.writing.is_empty() && self.expiring.is_empty(),
            "work under way is not left alone"
        );
        if self.plan.enabled
            && self.heard.as_ref() == Some(&self.plan)
            && !self.is_anything_lost()
            && self.outdated.is_empty()
        {
            // What waits for others is not due.
            let told = |row: &&Row| !self.untold.contains(&row.number) && row.status != StoredStatus::Queued;
            let first = self.shelf.rows.values().filter(told).filter_map(|row| row.next_at).min();
            if let Some(first) = first {
                assert!(until.is_some_and(|until| until <= self.now.anchor(first)), "{until:?} oversleeps {first}");
            }
            assert!(self.shelf.asked.is_empty(), "an attempt by hand was asked for");
        }
        self.live_again();
    }

    fn is_anything_lost(&self) -> bool {
        self.lost || self.lost_births
    }

    fn live_again(&mut self) {
        self.state = new_state();
        (self.heard, self.settings_read) = (None, None);
        self.outdated.clear();
        self.reads.clear();
        self.arranging = None;
        self.sending.clear();
        self.writing.clear();
        self.expiring.clear();
        (self.draining, self.drained) = (false, false);
        self.step(Input::Timer);
    }

    pub fn drain(&mut self) {
        self.draining = true;
        self.step(Input::Drain);
    }

    // What the actor carries out.

    pub fn settings(&mut self, read: bool) {
        let Some(plan) = self.settings_read.take() else { return };
        if read {
            let known = |plan| Plan { trouble: Trouble::default(), is_in_order: true, discards: 0, ..plan };
            self.heard = plan.clone().map(known);
            self.step(Input::Settings(plan));
        } else {
            self.step(Input::SettingsFailed);
        }
    }

    /// The store answers a read, and its answer is not there yet.
    pub fn look(&mut self, choice: usize) {
        if self.reads.is_empty() {
            return;
        }
        let index = choice % self.reads.len();
        let Read { lane, after, limit, only_placed, .. } = self.reads[index];
        if self.reads[index].page.is_none() {
            self.reads[index].page = Some(match only_placed {
                true => self.shelf.placed(limit),
                false => self.shelf.due(lane, after, limit),
            });
        }
    }

    pub fn page(&mut self, choice: usize, read: bool) {
        if self.reads.is_empty() {
            return;
        }
        self.look(choice);
        let read_index = choice % self.reads.len();
        let Read { lane, limit, page, .. } = self.reads.remove(read_index);
        match page {
            Some(due) if read => self.step(Input::Page { lane, limit, due, payloads: HashMap::new() }),
            _ => self.step(Input::PageFailed(lane)),
        }
    }

    /// The store puts in order what it has, and nobody has said so yet.
    pub fn arrange(&mut self) {
        let Some(Arranging { order, placed: placed @ None }) = &mut self.arranging else { return };
        let placings = match order {
            Some(order) => self.shelf.unplaced(self.now.wall, order, PLACED_AT_ONCE),
            None => Vec::new(),
        };
        let is_page_full = placings.len() == PLACED_AT_ONCE;
        let next = self.shelf.next_for_later(self.now.wall);
        *placed = Some((is_page_full, next, self.shelf.place(order.as_ref(), &placings, PLACED_AT_ONCE)));
    }

    pub fn arranged(&mut self, is_heard: bool) {
        self.arrange();
        let Some(Arranging { order, placed: Some((is_page_full, next, placed)) }) = self.arranging.take() else {
            return;
        };
        self.step(match is_heard {
            true => Input::Arranged { order, is_page_full, next, placed },
            false => Input::PageFailed(Lane::Fresh),
        });
    }

    /// An attempt was not begun: its event is worth nothing any more.
    pub fn attempt_expires(&mut self, choice: usize) {
        let scheduled = self.sending.iter().filter(|(_, (_, kind))| *kind == AttemptKind::Scheduled);
        let scheduled: Vec<DeliveryId> = scheduled.map(|(delivery, _)| *delivery).collect();
        let Some(delivery) = scheduled.get(choice % scheduled.len().max(1)) else { return };
        self.sending.remove(delivery);
        self.step(Input::Expired(*delivery));
    }

    pub fn expiry_is_written(&mut self, choice: usize, is_written: bool) {
        if self.expiring.is_empty() {
            return;
        }
        let delivery = self.expiring.remove(choice % self.expiring.len());
        if is_written {
            self.shelf.discard(delivery, DiscardReason::Expired, self.now.wall);
            let recorded = Recorded::Written(self.shelf.rows[&delivery].status);
            self.step(Input::Recorded { delivery, recorded });
        } else {
            self.step(Input::RecordFailed(delivery));
        }
    }

    pub fn attempt_ends(&mut self, choice: usize, outcome: Outcome) {
        let Some(delivery) = self.sending.keys().nth(choice % self.sending.len().max(1)).copied() else { return };
        let Some((started, _)) = self.sending.remove(&delivery) else { return };
        self.step(Input::Attempted {
            delivery,
            started,
            ended: self.now,
            outcome,
            random: 0.5,
            retry: None,
            expires_at: None,
            is_system: false,
        });
    }

    /// An attempt was not begun: its bytes could not be read.
    pub fn attempt_fails_to_begin(&mut self, choice: usize) {
        let Some(delivery) = self.sending.keys().nth(choice % self.sending.len().max(1)).copied() else { return };
        self.sending.remove(&delivery);
        self.step(Input::Unsent(delivery));
    }

    /// An outcome becomes durable, and nobody has said so yet.
    pub fn write(&mut self, choice: usize) {
        if self.writing.is_empty() {
            return;
        }
        let index = choice % self.writing.len();
        if self.writing[index].recorded.is_none() {
            let record = Arc::clone(&self.writing[index].record);
            self.writing[index].recorded = Some(self.shelf.record(&record));
        }
    }

    pub fn acknowledge(&mut self, choice: usize) {
        if self.writing.is_empty() {
            return;
        }
        self.write(choice);
        let index = choice % self.writing.len();
        let Writing { record, recorded } = self.writing.remove(index);
        if let Some(recorded) = recorded {
            self.step(Input::Recorded { delivery: record.delivery, recorded });
        }
    }

    pub fn writing_fails(&mut self, choice: usize) {
        if self.writing.is_empty() {
            return;
        }
        let index = choice % self.writing.len();
        if self.writing[index].recorded.is_none() {
            let delivery = self.writing.remove(index).record.delivery;
            self.step(Input::RecordFailed(delivery));
        }
    }
}
