//! How long deliveries wait between attempts, as a partner chose it for an
//! endpoint or an operator for an event type. What follows from it for one
//! failed attempt is `policy::retry`'s to decide.

use std::time::Duration;

/// Longest wait between two attempts: 7 days.
pub const MAX_WAIT_MS: u64 = 7 * 24 * 3600 * 1000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How much a schedule may ask for; an operator's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBounds {
    /// Most entries of a schedule, and most retries of the parametric form.
    pub retries: u32,
    /// All waits together, each with its largest jitter.
    pub span: Duration,
}

impl Default for RetryBounds {
    fn default() -> Self {
        Self { retries: 30, span: 30 * DAY }
    }
}

/// A retry schedule (`product.md`: `retry`).
#[derive(Debug, Clone, PartialEq)]
pub enum RetryPolicy {
    /// These waits, in this order, and no jitter. Empty means no retry.
    Schedule(Vec<Duration>),
    /// Retry `k` (from 1) waits `base × factor^(k-1)`, at most `max`, plus a
    /// jitter drawn uniformly from 0 to `jitter` of the wait.
    Exponential {
        /// How many retries after the first attempt.
        retries: u32,
        /// The wait before the first retry.
        base: Duration,
        /// What each further wait is multiplied by, at least 1.
        factor: f64,
        /// The longest wait, before jitter.
        max: Duration,
        /// The share of a wait that jitter may add, 0 to 1.
        jitter: f64,
    },
}

/// A retry policy outside its bounds.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RetryPolicyError {
    /// Too many waits.
    #[error("at most {most} retries are possible")]
    TooMany {
        /// How many are.
        most: u32,
    },
    /// One wait too long.
    #[error("a wait is at most {MAX_WAIT_MS} ms (7 days)")]
    WaitTooLong,
    /// The whole schedule takes too long.
    #[error("all waits together, jitter included, are at most {} ms ({} days)", .most.as_millis(), .most.div_duration_f64(DAY))]
    SpanTooLong {
        /// How long it may take.
        most: Duration,
    },
    /// No wait at all between attempts.
    #[error("`base_ms` is at least 1")]
    BaseTooShort,
    /// A wait that shrinks, or is no number.
    #[error("`factor` is a number from 1 to 100")]
    Factor,
    /// A jitter that is no share.
    #[error("`jitter` is a number from 0 to 1")]
    Jitter,
    /// The cap lies below the first wait.
    #[error("`max_ms` is at least `base_ms`")]
    MaxBelowBase,
}

impl Default for RetryPolicy {
    /// 14 retries over about 24 hours: `5 s × 2^(k-1)` and up to 10 % jitter.
    fn default() -> Self {
        Self::Exponential {
            retries: 14,
            base: Duration::from_secs(5),
            factor: 2.0,
            max: Duration::from_millis(MAX_WAIT_MS),
            jitter: 0.1,
        }
    }
}

impl RetryPolicy {
    /// These waits, if they keep the bounds that hold by default.
    pub fn schedule(waits: Vec<Duration>) -> Result<Self, RetryPolicyError> {
        Self::Schedule(waits).checked(&RetryBounds::default())
    }

    /// How many scheduled attempts follow the first.
    pub fn retries(&self) -> u32 {
        match self {
            Self::Schedule(waits) => u32::try_from(waits.len()).unwrap_or(u32::MAX),
            Self::Exponential { retries, .. } => *retries,
        }
    }

    /// The wait before retry `number` (from 1), without jitter; `None` past
    /// the last.
    pub fn wait(&self, number: u32) -> Option<Duration> {
        if number == 0 || number > self.retries() {
            return None;
        }
        match self {
            Self::Schedule(waits) => waits.get(number as usize - 1).copied(),
            Self::Exponential { base, factor, max, .. } => {
                let millis = base.as_secs_f64() * 1000.0 * factor.powf(f64::from(number - 1));
                Some(max.min(&Duration::from_millis(millis.min(MAX_WAIT_MS as f64).round() as u64)).to_owned())
            }
        }
    }

    /// The share of a wait that jitter may add.
    pub fn jitter(&self) -> f64 {
        match self {
            Self::Schedule(_) => 0.0,
            Self::Exponential { jitter, .. } => *jitter,
        }
    }

    /// This policy, if it makes sense and keeps these bounds.
    pub fn checked(self, bounds: &RetryBounds) -> Result<Self, RetryPolicyError> {
        if self.retries() > bounds.retries {
            return Err(RetryPolicyError::TooMany { most: bounds.retries });
        }
        match &self {
            Self::Schedule(waits) => {
                if waits.iter().any(|wait| wait.as_millis() > u128::from(MAX_WAIT_MS)) {
                    return Err(RetryPolicyError::WaitTooLong);
                }
            }
            Self::Exponential { base, factor, max, jitter, .. } => {
                if base.is_zero() {
                    return Err(RetryPolicyError::BaseTooShort);
                }
                if !(1.0..=100.0).contains(factor) {
                    return Err(RetryPolicyError::Factor);
                }
                if !(0.0..=1.0).contains(jitter) {
                    return Err(RetryPolicyError::Jitter);
                }
                if max.as_millis() > u128::from(MAX_WAIT_MS) {
                    return Err(RetryPolicyError::WaitTooLong);
                }
                if max < base {
                    return Err(RetryPolicyError::MaxBelowBase);
                }
            }
        }
        if self.longest_span() > bounds.span {
            return Err(RetryPolicyError::SpanTooLong { most: bounds.span });
        }
        Ok(self)
    }

    /// All waits together, each with its largest jitter.
    pub fn longest_span(&self) -> Duration {
        (1..=self.retries()).filter_map(|number| self.wait(number)).map(|wait| wait.mul_f64(1.0 + self.jitter())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_fourteen_retries_over_about_a_day() {
        let policy = RetryPolicy::default();
        let shortest: Duration = (1..=14).filter_map(|number| policy.wait(number)).sum();
        assert_eq!(policy.retries(), 14);
        assert_eq!(policy.wait(1), Some(Duration::from_secs(5)));
        assert_eq!(policy.wait(14), Some(Duration::from_secs(5 * 8192)));
        assert_eq!(policy.wait(15), None);
        assert_eq!(shortest, Duration::from_secs(5 * 16383), "22 h 45 min");
        assert!(policy.longest_span() < Duration::from_secs(25 * 3600 + 120), "25 h");
        assert!(policy.checked(&RetryBounds::default()).is_ok());
    }

    #[test]
    fn bounds_are_held() {
        assert_eq!(RetryPolicy::schedule(vec![DAY; 31]), Err(RetryPolicyError::TooMany { most: 30 }));
        assert_eq!(RetryPolicy::schedule(vec![8 * DAY]), Err(RetryPolicyError::WaitTooLong));
        let too_long = RetryPolicyError::SpanTooLong { most: 30 * DAY };
        assert_eq!(RetryPolicy::schedule(vec![7 * DAY; 5]), Err(too_long.clone()));
        assert_eq!(too_long.to_string(), "all waits together, jitter included, are at most 2592000000 ms (30 days)");
        assert!(RetryPolicy::schedule(Vec::new()).is_ok(), "no retry at all is a choice");
        assert!(RetryPolicy::schedule(vec![6 * DAY; 5]).is_ok(), "just as long as it may be");
    }

    #[test]
    fn an_operator_may_ask_for_less_and_for_more() {
        let checked = |waits: Vec<Duration>, retries, span| {
            RetryPolicy::Schedule(waits).checked(&RetryBounds { retries, span }).map(|policy| policy.retries())
        };
        assert_eq!(checked(vec![DAY; 3], 2, 30 * DAY), Err(RetryPolicyError::TooMany { most: 2 }));
        assert_eq!(checked(vec![DAY; 2], 2, 30 * DAY), Ok(2));
        assert_eq!(checked(vec![DAY; 3], 30, 2 * DAY), Err(RetryPolicyError::SpanTooLong { most: 2 * DAY }));
        assert_eq!(checked(vec![DAY; 40], 40, 40 * DAY), Ok(40));
        // Jitter may make the longest of all waits of it.
        let jittered = |span| {
            RetryPolicy::Exponential { retries: 2, base: DAY, factor: 1.0, max: DAY, jitter: 0.5 }
                .checked(&RetryBounds { retries: 30, span })
                .is_ok()
        };
        assert!(jittered(3 * DAY) && !jittered(3 * DAY - Duration::from_secs(1)));
    }
}
