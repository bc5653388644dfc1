//! What is asked of the store about deliveries, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::FieldError;
use crate::domain::{
    Announcement, Attempt, Delivery, DeliveryId, EndpointId, Environment, ErrorClass, EventId, EventType, Outcome,
    ReplayId, StatusFilter, StoredStatus, Timestamp, Trouble, TypePattern,
};
use crate::store::Fence;

/// An event's part in its deliveries, shared by all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The event.
    pub event: EventId,
    /// Its kind.
    pub event_type: EventType,
    /// The very bytes that were posted.
    pub body: Bytes,
    /// No attempt begins from then on.
    pub expires_at: Option<Timestamp>,
}

/// A delivery that a commit has just made.
#[derive(Debug, Clone)]
pub struct Birth {
    /// Whose actor should know.
    pub endpoint: EndpointId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it carries.
    pub payload: Arc<Payload>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its number among all of its endpoint's.
    pub sequence: Option<u64>,
    /// The environment, and the version of its endpoints that it was matched
    /// against: whoever sends it must know settings at least as late.
    pub matched: (Environment, i64),
}

/// Which of an endpoint's unfinished deliveries: old failures never stand in
/// front of new events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Never tried. Where the endpoint wants an order, without a place in it.
    Fresh,
    /// With a time for the next attempt: failed before, to be delivered later, or
    /// first in its endpoint's order.
    Retry,
    /// Asked for by hand.
    Manual,
}

/// Where a delivery stands in its lane: by time, and by id where times agree.
pub type Place = (Timestamp, DeliveryId);

/// A delivery with an attempt to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it carries.
    pub event: EventId,
    /// Where it stands.
    pub status: StoredStatus,
    /// Attempts recorded so far.
    pub attempt_count: u32,
    /// Those among them that the schedule made.
    pub scheduled_attempts: u32,
    /// Its place in its endpoint's order, if it has one.
    pub place: Option<u64>,
    /// Its number among all of its endpoint's; `None` for what was accepted before there
    /// were numbers.
    pub sequence: Option<u64>,
    /// When the attempt is due: for one asked for by hand, when it was asked.
    pub due_at: Timestamp,
}

/// An endpoint with unfinished deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When its first attempt is due.
    pub due_at: Timestamp,
    /// When somebody first asked for one that has not been made yet.
    pub asked_at: Option<Timestamp>,
}

/// A delivery that was never tried, as a look over what was lately accepted shows
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Whose.
    pub endpoint: EndpointId,
    /// Which.
    pub delivery: DeliveryId,
    /// What it carries.
    pub event: EventId,
}

/// Where a look over what was lately accepted begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BornSince {
    /// With what was accepted then.
    Time(Timestamp),
    /// Behind this one.
    Delivery(DeliveryId),
}

/// Who asked for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// The schedule: the first attempt, or a retry.
    Scheduled,
    /// A person. It counts as an attempt and moves no scheduled one.
    Manual,
}

/// What an attempt means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered.
    Delivered,
    /// The next scheduled attempt is due then.
    RetryAt(Timestamp),
    /// The schedule is at its end.
    Exhausted,
    /// The next scheduled attempt would come too late to be worth anything.
    Expired,
    /// An attempt by hand failed: the delivery stays as it was.
    Unchanged,
}

/// One attempt's outcome, to be written down.
#[derive(Debug, Clone)]
pub struct Record {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Who asked for the attempt.
    pub kind: AttemptKind,
    /// Attempts recorded when this one began: its number is one more, and a
    /// record that comes twice is known by it.
    pub attempts_before: u32,
    /// When the request began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// From the one to the other, by the monotonic clock.
    pub duration: Duration,
    /// What the receiver did.
    pub outcome: Outcome,
    /// What follows.
    pub verdict: Verdict,
    /// Whether others may wait for the delivery: it has a place in an order.
    pub is_ordered: bool,
    /// What is to be known of the endpoint from now on, if the attempt changed it.
    pub trouble: Option<Trouble>,
    /// What is to be told to those who subscribed to it, once this is durable.
    pub announcements: Vec<Announcement>,
    /// What proves that its maker still owns the endpoint; `None` where nobody
    /// else could.
    pub fence: Option<Fence>,
}

/// What became of one [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It stands in the store; this is where the delivery stands now.
    Written(StoredStatus),
    /// The delivery has moved on or is gone: whoever wrote this should read
    /// the store again.
    Superseded,
    /// Refused: another node owns the endpoint now. Nothing was written.
    Fenced,
}

/// Deliveries without a place in their endpoint's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// Those that should have one, in their order.
    pub due: Vec<Due>,
    /// When the next should that is for later.
    pub next: Option<Timestamp>,
}

/// A delivery that is to get its place in its endpoint's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placing {
    /// Which.
    pub delivery: DeliveryId,
    /// What it waits for others by; `None` waits for nobody.
    pub order_key: Option<i64>,
}

/// What became of deliveries that were to be put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Those that were still there have their places; so many.
    Done(usize),
    /// What the endpoint has was in another order, or in one that is no longer
    /// wanted: some of it was taken out of that.
    Undone {
        /// There is more of it.
        more: bool,
    },
    /// Refused: another node owns the endpoint now. Nothing was written.
    Fenced,
}

/// What became of a delivery that was to be discarded by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// It is discarded.
    Done,
    /// It had ended before.
    Ended,
    /// There is no such delivery.
    NotFound,
    /// Its attempt's outcome is being written at this moment: ask again.
    Busy,
}

/// What one slice of retention did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// Rows that went or were discarded.
    pub rows: usize,
    /// Where the next slice goes on; `None` when there is no more that old.
    pub next: Option<EventId>,
}

/// Which deliveries a list shows. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// In this state.
    pub status: Option<StatusFilter>,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Made by this replay.
    pub replay: Option<ReplayId>,
    /// Of an event of a type that this covers.
    pub types: Option<TypePattern>,
    /// Created then or later.
    pub since: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
}

/// Outcomes of an event that one answer lists.
pub const OUTCOMES_MOST: usize = 1_000;

/// What became of an event for one endpoint.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most are deliveries, and nobody holds many")]
pub enum EventOutcome {
    /// A delivery was made.
    Delivery {
        /// As it stands.
        delivery: Delivery,
        /// Its last attempt, if there was one.
        last_attempt: Option<Box<Attempt>>,
    },
    /// The endpoint was there and subscribed to the type, and its filter did not
    /// accept the event.
    Filtered {
        /// Whose.
        endpoint: EndpointId,
        /// What the filter objected to, in the event.
        objections: Vec<FieldError>,
    },
    /// The endpoint was there, and its subscription took no such event.
    NotSubscribed {
        /// Whose.
        endpoint: EndpointId,
        /// The first of its later settings that take such an event, if any do.
        later: Option<Subscribed>,
    },
    /// The endpoint was made when the event had been accepted.
    NotYetCreated {
        /// Whose.
        endpoint: EndpointId,
        /// When that was.
        created_at: Timestamp,
        /// Whether it takes such events now.
        is_subscribed: bool,
    },
}

/// Settings by which an endpoint came to take a type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// Which version.
    pub version: u32,
    /// Since when they are in force; `None` where that is not on record.
    pub since: Option<Timestamp>,
}

/// How many of an event's endpoints are where. What a replay made of it counts in place of
/// what was there before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Never tried.
    pub pending: u32,
    /// Tried in vain, and to be tried again.
    pub retrying: u32,
    /// Held by their endpoint.
    pub held: u32,
    /// Delivered.
    pub delivered: u32,
    /// Given up.
    pub retries_exhausted: u32,
    /// Discarded.
    pub discarded: u32,
    /// Whether all of them were looked at.
    pub is_complete: bool,
}

/// What a delivery was answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAnswer {
    /// The status, if there was an answer.
    pub status_code: Option<u16>,
    /// What was wrong, unless that delivered it.
    pub error: Option<ErrorClass>,
}
