//! Who asks for a place, and what its endpoint's actor knows of the endpoint:
//! whether attempts lately went well.

use std::time::Duration;

use crate::domain::{EndpointId, Monotonic};
use crate::store::ScopeId;

/// An endpoint that has given no place back for so long is slow, and an attempt
/// that took longer proves nothing.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long a success speaks for an endpoint.
const PROVEN_FOR: Duration = Duration::from_secs(60);
/// So many failures in a row, and an endpoint is failing.
const FAILING_AFTER: u32 = 3;

/// Who asks for a place.
#[derive(Debug, Clone, Copy)]
pub struct Claimant {
    /// The endpoint that the request goes to.
    pub endpoint: EndpointId,
    /// The partner and environment it belongs to: places are shared among these.
    pub partner: ScopeId,
    /// What is known of the endpoint.
    pub standing: Standing,
    /// What the place is for.
    pub urgency: Urgency,
}

/// What is known of an endpoint that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its last attempt was a timely success, not long ago.
    Proven,
    /// Nothing that would speak for or against it.
    Unproven,
    /// Its attempts fail.
    Failing,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A delivery's first attempt.
    First,
    /// A later one.
    Retry,
}

impl Urgency {
    pub(super) const ALL: [Self; 2] = [Self::First, Self::Retry];
}

/// What came of the attempt that a place was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It was delivered.
    Succeeded,
    /// It was not.
    Failed,
    /// It was never begun, or cut off: this says nothing of the endpoint.
    Unknown,
}

/// How an endpoint's attempts lately went, as its actor saw them end. Gone with
/// the actor: an endpoint that comes back proves itself anew.
#[derive(Debug, Default)]
pub struct Reputation {
    /// When the last attempt ended, if it was a timely success.
    proven_at: Option<Monotonic>,
    failures: u32,
    has_tried: bool,
}

impl Reputation {
    /// An attempt has ended.
    pub fn attempted(&mut self, succeeded: bool, started: Monotonic, ended: Monotonic) {
        let is_timely = ended.since(started) <= SLOW_AFTER;
        self.has_tried = true;
        self.proven_at = (succeeded && is_timely).then_some(ended);
        self.failures = if succeeded { 0 } else { self.failures.saturating_add(1) };
    }

    /// What is to be thought of the endpoint when it asks for such a place.
    pub fn standing(&self, urgency: Urgency, now: Monotonic) -> Standing {
        // Whatever is tried again has failed before, and nothing since then
        // says that the next attempt will not.
        let came_back_to_retry = !self.has_tried && urgency == Urgency::Retry;
        if self.failures >= FAILING_AFTER || came_back_to_retry {
            Standing::Failing
        } else if self.proven_at.is_some_and(|at| now.since(at) <= PROVEN_FOR) {
            Standing::Proven
        } else {
            Standing::Unproven
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_timely_success_speaks_for_a_minute() {
        let mut reputation = Reputation::default();
        assert_eq!(reputation.standing(Urgency::First, at(0)), Standing::Unproven);
        reputation.attempted(true, at(0), at(1_000));
        assert_eq!(reputation.standing(Urgency::Retry, at(61_000)), Standing::Proven);
        assert_eq!(reputation.standing(Urgency::First, at(61_001)), Standing::Unproven);
        reputation.attempted(true, at(0), at(1_001));
        assert_eq!(reputation.standing(Urgency::First, at(1_001)), Standing::Unproven, "it took too long");
    }

    #[test]
    fn failures_in_a_row_speak_against_it_until_a_success() {
        let mut reputation = Reputation::default();
        for _ in 0..2 {
            reputation.attempted(false, at(0), at(10));
            assert_eq!(reputation.standing(Urgency::Retry, at(10)), Standing::Unproven);
        }
        reputation.attempted(false, at(0), at(10));
        assert_eq!(reputation.standing(Urgency::First, at(10)), Standing::Failing);
        reputation.attempted(true, at(10), at(20));
        assert_eq!(reputation.standing(Urgency::Retry, at(20)), Standing::Proven);
    }

    #[test]
    fn who_comes_back_to_try_again_has_failed_before() {
        let reputation = Reputation::default();
        assert_eq!(reputation.standing(Urgency::Retry, at(0)), Standing::Failing);
    }
}
