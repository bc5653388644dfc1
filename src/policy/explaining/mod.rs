//! Why a delivery is where it is: what it waits for, and in plain sentences what that
//! means and how to mend it. Every state there is has an explanation, and nothing is
//! guessed: what nobody could be asked about is said not to be known. Where the facts
//! come from is the caller's business.

mod attempts;
mod outcomes;
mod waiting;

use std::time::Duration;

pub use attempts::{After, attempt};
pub use outcomes::{delivery, filtered, not_subscribed, not_yet_created, superseded};
pub use waiting::waiting;

use crate::domain::{DeliveryId, DeliveryStatus, DisabledReason, PausedBy, RetryPolicy, Timestamp, Trouble};

/// What an unfinished delivery waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// A request that is under way.
    Attempt {
        /// It has ended, and its outcome is being written down.
        is_over: bool,
    },
    /// The time of its next attempt.
    Schedule {
        /// When that is.
        until: Timestamp,
    },
    /// The time before which its event is not to be delivered.
    DeliverAt {
        /// When that is.
        until: Timestamp,
    },
    /// Its endpoint's breaker, which lets one attempt at a time through.
    Breaker {
        /// When it opened.
        since: Timestamp,
        /// When the next probe may begin.
        until: Timestamp,
    },
    /// The receiver asked for no request before then.
    RetryAfter {
        /// When that is.
        until: Timestamp,
    },
    /// Its endpoint's `rate_limit`.
    RateLimit {
        /// When the next request may begin.
        until: Timestamp,
    },
    /// Its turn in its endpoint's order.
    Order {
        /// The delivery that everything of its kind waits for; `None` where it is still to
        /// be given its place, or nobody looked.
        first: Option<DeliveryId>,
        /// Whether it has its place.
        has_place: bool,
    },
    /// Somebody holds its endpoint.
    Hold {
        /// Who.
        by: Holder,
        /// Since when, where that is known.
        since: Option<Timestamp>,
    },
    /// A node that sends it.
    OwnerNode(Absence),
    /// Its turn among what its endpoint has.
    Queue {
        /// What is known to go before it.
        ahead: Option<Ahead>,
        /// Its endpoint has as many requests in flight as it is given.
        is_busy: bool,
    },
}

/// Who holds an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Its settings, by its partner's hand.
    Settings,
    /// Its settings, because it was disabled for this.
    Disabled(DisabledReason),
    /// A pause or a brake.
    Paused(PausedBy),
}

/// Why no node sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// None owns its endpoint.
    Nobody,
    /// The one that does is held.
    Held(String),
    /// The one that does has not said what it is doing.
    Silent(String),
}

/// Deliveries of the same endpoint that go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// How many were counted.
    pub count: usize,
    /// Whether there may be more.
    pub has_more: bool,
}

/// What an unfinished delivery's endpoint has to do with its waiting.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Where it stands.
    pub status: DeliveryStatus,
    /// When its next attempt is due, as far as its schedule goes.
    pub due_at: Option<Timestamp>,
    /// Whether its schedule has made an attempt.
    pub was_tried: bool,
    /// Its event is not to be delivered before then.
    pub deliver_at: Option<Timestamp>,
    /// It waits for others in its endpoint's order.
    pub is_queued: bool,
    /// The one that they all wait for.
    pub first_in_order: Option<DeliveryId>,
    /// It has its place in that order.
    pub has_place: bool,
    /// Whether its endpoint wants an order.
    pub is_ordered: bool,
    /// Whether its endpoint's settings let it go.
    pub is_enabled: bool,
    /// Since when its endpoint is paused.
    pub paused_at: Option<Timestamp>,
    /// Since when a brake is over its endpoint.
    pub braked_at: Option<Timestamp>,
    /// What is known of its endpoint's trouble.
    pub trouble: &'a Trouble,
    /// What its endpoint's actor has to say.
    pub actor: Actor,
}

/// What was heard of an endpoint's actor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Actor {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// Nobody could be asked, or sends anything.
    Absent(Absence),
    /// It answered, or sleeps.
    Told {
        /// What it does with the delivery; `None` where it does not have it in memory.
        doing: Option<Doing>,
        /// When its endpoint's pace permits the next request.
        paced_until: Option<Timestamp>,
        /// It has as many requests in flight as it is given.
        is_busy: bool,
    },
}

/// What an actor does with a delivery just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// A request is in flight.
    Sending,
    /// Its outcome is being written down.
    Recording,
    /// Nothing yet.
    Waiting,
}

impl WaitsFor {
    /// What a delivery with an attempt to come waits for: of all that keeps it, what
    /// keeps it longest, and what somebody could do something about before what passes
    /// by itself.
    pub fn of(facts: &Facts<'_>, now: Timestamp) -> Self {
        if facts.status == DeliveryStatus::Held {
            return Self::hold(facts);
        }
        match facts.actor {
            Actor::Told { doing: Some(Doing::Sending), .. } => return Self::Attempt { is_over: false },
            Actor::Told { doing: Some(Doing::Recording), .. } => return Self::Attempt { is_over: true },
            _ => {}
        }
        if facts.is_queued {
            return Self::Order { first: facts.first_in_order, has_place: true };
        }
        let due_at = facts.due_at.unwrap_or(now);
        if due_at <= now
            && let Actor::Absent(absence) = &facts.actor
        {
            return Self::OwnerNode(absence.clone());
        }
        let rests_until = facts.trouble.not_before.filter(|until| *until > now.max(due_at));
        let breaker = facts.trouble.breaker.filter(|open| open.probe_at > due_at || due_at <= now);
        match (breaker, rests_until) {
            (Some(open), until) if until.is_none_or(|until| until <= open.probe_at) => {
                return Self::Breaker { since: open.opened_at, until: open.probe_at };
            }
            (_, Some(until)) => return Self::RetryAfter { until },
            (_, None) => {}
        }
        if due_at > now {
            let is_for_later = !facts.was_tried && facts.deliver_at.is_some_and(|at| at > now);
            return if is_for_later { Self::DeliverAt { until: due_at } } else { Self::Schedule { until: due_at } };
        }
        if facts.is_ordered && !facts.has_place && !facts.was_tried {
            return Self::Order { first: None, has_place: false };
        }
        match facts.actor {
            Actor::Told { paced_until: Some(until), .. } if until > now => Self::RateLimit { until },
            Actor::Told { is_busy, .. } => Self::Queue { ahead: None, is_busy },
            Actor::NotAsked | Actor::Absent(_) => Self::Queue { ahead: None, is_busy: false },
        }
    }

    fn hold(facts: &Facts<'_>) -> Self {
        let paused = match (facts.paused_at, facts.braked_at) {
            (None, None) => None,
            (Some(at), None) => Some((PausedBy::Partner, at)),
            (None, Some(at)) => Some((PausedBy::Operator, at)),
            (Some(paused), Some(braked)) => Some((PausedBy::Both, paused.min(braked))),
        };
        match (facts.is_enabled, facts.trouble.disabled, paused) {
            (true, _, Some((by, since))) => Self::Hold { by: Holder::Paused(by), since: Some(since) },
            (_, Some((since, reason)), _) => Self::Hold { by: Holder::Disabled(reason), since: Some(since) },
            (_, None, _) => Self::Hold { by: Holder::Settings, since: None },
        }
    }

    /// The word used in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Attempt { .. } => "attempt",
            Self::Schedule { .. } => "schedule",
            Self::DeliverAt { .. } => "deliver_at",
            Self::Breaker { .. } => "breaker",
            Self::RetryAfter { .. } => "retry_after",
            Self::RateLimit { .. } => "rate_limit",
            Self::Order { .. } => "order",
            Self::Hold { .. } => "hold",
            Self::OwnerNode(_) => "owner_node",
            Self::Queue { .. } => "queue",
        }
    }
}

/// How many attempts a schedule has left after so many.
pub fn attempts_left(policy: &RetryPolicy, scheduled_attempts: u32) -> u32 {
    policy.retries().saturating_add(1).saturating_sub(scheduled_attempts)
}

/// When the attempts that a schedule has left are due, the first of them at `first`, if each
/// fails as it begins and no jitter is added.
pub fn planned(policy: &RetryPolicy, scheduled_attempts: u32, first: Timestamp) -> Vec<Timestamp> {
    let left = attempts_left(policy, scheduled_attempts);
    let waits = (1..left).map_while(|behind| policy.wait(scheduled_attempts + behind));
    let mut at = first;
    let mut planned: Vec<Timestamp> = (left > 0).then_some(first).into_iter().collect();
    for wait in waits {
        at = at + wait;
        planned.push(at);
    }
    planned
}

/// A span as a person says it: in its two largest units at most.
fn span(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => two(seconds / 60, "min", seconds % 60, "s"),
        7_200..172_800 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "days", seconds / 3_600 % 24, "h"),
    }
}

/// When something is, from now.
fn until(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(at.since(now))) } else { "now".into() }
}

#[cfg(test)]
mod tests;
