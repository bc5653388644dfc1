//! What an endpoint's state is told, what it answers, and what it shows: the
//! words between [`state`](super::state) and whoever carries it out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    DeliveryId, DisabledReason, EventId, EventOrder, Moment, Monotonic, Outcome, RetryPolicy, Setback, Timestamp,
    Trouble,
};
use crate::engine::budget::HeldPayload;
use crate::policy::health::Patience;
use crate::store::{AttemptKind, Due, Lane, Place, Placed, Record, Recorded};

/// The part of an endpoint's settings that decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// `false` holds everything.
    pub enabled: bool,
    /// Most requests in flight.
    pub max_concurrency: usize,
    /// When to try again; `None` leaves it to the event's type.
    pub retry: Option<RetryPolicy>,
    /// Most requests a second.
    pub rate_limit: Option<u32>,
    /// Whether a 410 disables it.
    pub disable_on_gone: bool,
    /// What the store knows of trouble it has had.
    pub trouble: Trouble,
    /// In which order it wants its events.
    pub order: Option<EventOrder>,
    /// What it has is in that order.
    pub is_in_order: bool,
    /// How many of its deliveries were discarded by hand so far.
    pub discards: i64,
    /// How often somebody asked that its retries be tried now.
    pub hurries: i64,
}

impl Plan {
    /// That of an enabled endpoint that never was in trouble.
    pub fn new(max_concurrency: usize, retry: RetryPolicy) -> Self {
        Self {
            enabled: true,
            max_concurrency,
            retry: Some(retry),
            rate_limit: None,
            disable_on_gone: false,
            trouble: Trouble::default(),
            order: None,
            is_in_order: true,
            discards: 0,
            hurries: 0,
        }
    }
}

/// A delivery that was just born.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it carries.
    pub event: EventId,
    /// Its number among all of the endpoint's.
    pub sequence: Option<u64>,
    /// Its bytes, if memory had room for them.
    pub payload: Option<Arc<HeldPayload>>,
}

/// What happens to an endpoint.
#[derive(Debug)]
pub enum Input {
    /// Its settings were read; `None` is an endpoint that is gone.
    Settings(Option<Plan>),
    /// Its settings could not be read.
    SettingsFailed,
    /// Its settings, or its secrets, may have changed.
    Changed,
    /// It may be held by now, with many others: nothing begins, not even what was handed
    /// out, before its settings are read.
    Halt,
    /// Deliveries were born for it.
    Born(Vec<Fresh>),
    /// The store has work that no message told of.
    Hint(Lane),
    /// The store showed these as new a moment ago, whoever accepted them.
    Sighted(Vec<DeliveryId>),
    /// A read of the store came back: up to `limit` of a lane's earliest.
    Page {
        /// Which lane.
        lane: Lane,
        /// What was asked for.
        limit: usize,
        /// What there is.
        due: Vec<Due>,
        /// The bytes of some of it, read along because they are sent at once.
        payloads: HashMap<EventId, Arc<HeldPayload>>,
    },
    /// A read of the store failed.
    PageFailed(Lane),
    /// An attempt ended.
    Attempted {
        /// Whose.
        delivery: DeliveryId,
        /// When the request began.
        started: Moment,
        /// When it ended: retries count from there.
        ended: Moment,
        /// What came of it.
        outcome: Outcome,
        /// The jitter to draw, in 0..1.
        random: f64,
        /// When the event's type is tried again, if its catalog says so and the
        /// attempt failed.
        retry: Option<RetryPolicy>,
        /// No attempt begins from then on.
        expires_at: Option<Timestamp>,
        /// Whether the event is one of Posthaste's own: its failure makes no other.
        is_system: bool,
    },
    /// What had no place in the endpoint's order was given one.
    Arranged {
        /// By this order.
        order: Option<EventOrder>,
        /// There was as much of it as was looked for.
        is_page_full: bool,
        /// When something for later should have its place.
        next: Option<Timestamp>,
        /// What the store said.
        placed: Placed,
    },
    /// An attempt was not begun: its event is worth nothing any more.
    Expired(DeliveryId),
    /// An event's bytes are no longer in the store, so there is nothing to send.
    PayloadGone(DeliveryId),
    /// An attempt was not begun: its bytes could not be read.
    Unsent(DeliveryId),
    /// An outcome is durable.
    Recorded {
        /// Whose.
        delivery: DeliveryId,
        /// What the store said.
        recorded: Recorded,
    },
    /// An outcome could not be written.
    RecordFailed(DeliveryId),
    /// The timer rang.
    Timer,
    /// No new attempts from now on.
    Drain,
}

/// What the actor is to do.
#[derive(Debug)]
pub enum Effect {
    /// Read the settings; answer with [`Input::Settings`].
    ReadSettings,
    /// Read the store; answer with [`Input::Page`].
    ReadPage {
        /// Which lane.
        lane: Lane,
        /// Behind this one, in the lane's order.
        after: Option<Place>,
        /// How many.
        limit: usize,
        /// Of an ordered endpoint's retries, only those that have their place.
        only_placed: bool,
    },
    /// Give what has no place in this order one, or undo another order; answer with
    /// [`Input::Arranged`], or with [`Input::PageFailed`] of the fresh lane.
    Arrange {
        /// The order.
        order: Option<EventOrder>,
        /// It is the one that what the endpoint has is in: where nothing is without a
        /// place, there is nothing to write.
        is_stored: bool,
    },
    /// Make an attempt; answer with [`Input::Attempted`].
    Send(Sending),
    /// Discard what nobody should get any more; answer with [`Input::Recorded`].
    Expire(DeliveryId),
    /// Write an outcome down; answer with [`Input::Recorded`].
    Record(Arc<Record>),
    /// Warn whoever operates it: it has failed since then.
    Warn(Timestamp),
    /// Disable the endpoint; its settings will have changed. With what it failed at
    /// last, if those who subscribed to that are to be told.
    Disable(DisabledReason, Option<Setback>),
    /// Nothing is left to do for a while: leave memory. [`State::rest_until`]
    /// says for how long.
    Rest,
    /// The endpoint is gone: leave memory for good.
    Gone,
    /// Every attempt is over and written down, as [`Input::Drain`] asked.
    Drained,
    /// The endpoint is another node's: end, and drop what is under way.
    Fenced,
}

/// One attempt to be made.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it carries.
    pub event: EventId,
    /// Its bytes; `None` reads them from the store.
    pub payload: Option<Arc<HeldPayload>>,
    /// The number it will have if nothing crashes in between.
    pub number: u32,
    /// Who asked for it.
    pub kind: AttemptKind,
    /// Its number among all of the endpoint's.
    pub sequence: Option<u64>,
    /// What [`State::order`] was then: if that has moved on before a scheduled attempt
    /// begins, it is [not to](Input::Unsent).
    pub order: u64,
    /// What [`State::halts`] was then: the same, whoever asked for the attempt.
    pub halts: u64,
}

/// Limits that come from configuration.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most deliveries of a lane in memory.
    pub window: usize,
    /// How long an actor with nothing due stays in memory.
    pub passivate_after: Duration,
    /// How long an endpoint may fail.
    pub patience: Patience,
}

/// What an endpoint's actor is doing, for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests in flight.
    pub in_flight: usize,
    /// Most that the endpoint is given at once, as it keeps up just now.
    pub allowed: usize,
    /// Most that its settings give it; 0 before they are known.
    pub most: usize,
    /// Whether an attempt is under way that finds out how the endpoint is.
    pub is_probing: bool,
    /// Outcomes on their way to the store.
    pub recording: usize,
    /// Deliveries in memory that wait.
    pub window: usize,
    /// Those of them that are retries by the schedule.
    pub window_retries: usize,
    /// Those of them that somebody asked for.
    pub window_manual: usize,
    /// Whether the store may have more than that.
    pub more_in_store: bool,
    /// When the first known retry is due.
    pub next_retry: Option<Monotonic>,
    /// When its pace permits the next request, if it has one.
    pub paced_until: Option<Monotonic>,
    /// Before then no scheduled attempt begins: breaker, rest and pace together.
    pub not_before: Option<Monotonic>,
    /// What it does with the delivery that was asked about; `None` where that is not in
    /// its memory, or none was asked about.
    pub doing: Option<Doing>,
}

/// What an actor does with a delivery in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// A request is in flight, or waits for its place among those of the node.
    Sending,
    /// Its outcome is on its way to the store.
    Recording,
    /// It waits.
    Waiting,
}

/// What is counted of an endpoint over all actors of the node. Looked at after each
/// step, so it is put together of numbers that are at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Since when its breaker is open.
    pub open_since: Option<Timestamp>,
    /// Whether it has failed for long enough to speak of trouble.
    pub is_failing: bool,
    /// Whether it keeps a pace.
    pub is_paced: bool,
    /// Deliveries in memory that wait.
    pub window: usize,
    /// Most requests that it is given at once just now.
    pub allowed: usize,
    /// How often its breaker has opened in this life.
    pub openings: u64,
    /// Probes that have ended in this life.
    pub probes: u64,
    /// Those of them that failed.
    pub failed_probes: u64,
}
