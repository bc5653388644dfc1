//! What follows from a failed attempt: another after a wait, or the end. How
//! long each wait is stands in `domain::RetryPolicy`; from when it counts and
//! which attempts count at all is the caller's business.

use std::time::Duration;

use crate::domain::RetryPolicy;

/// What becomes of a delivery whose attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next attempt is due this long after the failed one ended.
    RetryAfter(Duration),
    /// The schedule is used up.
    Exhausted,
}

/// Decides after a failed attempt.
///
/// `scheduled_attempts_made` counts the attempts of the schedule, the one that
/// has just failed included: 1 after the first. Attempts asked for by hand are
/// not among them. `random`, drawn uniformly from 0 to 1, places the jitter.
///
/// The wait is never shorter than the policy's own: jitter only adds, so that
/// no retry comes early (`product.md`, promise 4).
pub fn after_failure(policy: &RetryPolicy, scheduled_attempts_made: u32, random: f64) -> Next {
    // Something has failed, so zero is a miscount; reading it as the first
    // attempt gives the delivery its schedule instead of ending it.
    let retry_number = scheduled_attempts_made.max(1);
    let Some(wait) = policy.wait(retry_number) else {
        return Next::Exhausted;
    };
    let share = policy.jitter() * random;
    // Written so that a draw which is no number adds nothing.
    let jitter = if share > 0.0 { wait.mul_f64(share.min(1.0)) } else { Duration::ZERO };
    Next::RetryAfter(wait.saturating_add(jitter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::RetryBounds;

    /// Every wait that a delivery which only ever fails goes through.
    fn waits(policy: &RetryPolicy, random: impl Fn(u32) -> f64) -> Vec<Duration> {
        let mut waits = Vec::new();
        for made in 1..1_000 {
            match after_failure(policy, made, random(made)) {
                Next::RetryAfter(wait) => waits.push(wait),
                Next::Exhausted => return waits,
            }
        }
        panic!("the schedule of {policy:?} does not end");
    }

    fn hours(hours: u64, minutes: u64) -> Duration {
        Duration::from_secs(hours * 3_600 + minutes * 60)
    }

    fn policies() -> impl Strategy<Value = RetryPolicy> {
        let schedule = prop::collection::vec(0..86_400_000_u64, 0..=30)
            .prop_map(|waits| RetryPolicy::Schedule(waits.into_iter().map(Duration::from_millis).collect()));
        let exponential = (0..=30_u32, 1..600_000_u64, 1.0..4.0_f64, 0..86_400_000_u64, 0.0..=1.0_f64).prop_map(
            |(retries, base_ms, factor, above_base_ms, jitter)| RetryPolicy::Exponential {
                retries,
                base: Duration::from_millis(base_ms),
                factor,
                max: Duration::from_millis(base_ms + above_base_ms),
                jitter,
            },
        );
        prop_oneof![schedule, exponential]
            .prop_filter("within bounds", |policy| policy.clone().checked(&RetryBounds::default()).is_ok())
    }

    #[test]
    fn the_default_spans_the_day_that_product_md_promises() {
        let policy = RetryPolicy::default();
        let shortest: Duration = waits(&policy, |_| 0.0).iter().sum();
        let longest: Duration = waits(&policy, |_| 1.0).iter().sum();
        let middling: Duration = waits(&policy, |_| 0.5).iter().sum();
        assert_eq!(waits(&policy, |_| 0.0).len() + 1, 15, "attempts");
        assert_eq!(shortest, Duration::from_secs(5 * 16_383));
        assert!(shortest >= hours(22, 45), "{shortest:?}");
        assert!(longest > hours(25, 0) && longest < hours(25, 2), "{longest:?}");
        assert!(middling.abs_diff(hours(23, 54)) < hours(0, 2), "23.9 h expected, not {middling:?}");
    }

    #[test]
    fn the_fifteenth_failure_is_the_last() {
        let policy = RetryPolicy::default();
        assert_eq!(after_failure(&policy, 1, 0.0), Next::RetryAfter(Duration::from_secs(5)));
        assert_eq!(after_failure(&policy, 14, 0.0), Next::RetryAfter(Duration::from_secs(40_960)));
        assert_eq!(after_failure(&policy, 15, 0.0), Next::Exhausted);
        assert_eq!(after_failure(&policy, u32::MAX, 0.0), Next::Exhausted);
    }

    #[test]
    fn an_empty_schedule_is_one_attempt() {
        assert_eq!(after_failure(&RetryPolicy::Schedule(Vec::new()), 1, 0.5), Next::Exhausted);
    }

    #[test]
    fn a_miscount_or_a_bad_draw_costs_nothing() {
        let policy = RetryPolicy::default();
        let first = Next::RetryAfter(Duration::from_secs(5));
        for random in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(after_failure(&policy, 0, random), first, "{random}");
            assert_eq!(after_failure(&policy, 1, random), first, "{random}");
        }
        assert_eq!(after_failure(&policy, 1, f64::INFINITY), Next::RetryAfter(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn each_default_retry_waits_for_its_double_and_up_to_a_tenth_more(number in 1..=14_u32, random in 0.0..1.0_f64) {
            let least = Duration::from_secs(5) * 2_u32.pow(number - 1);
            let Next::RetryAfter(wait) = after_failure(&RetryPolicy::default(), number, random) else {
                return Err(TestCaseError::fail("exhausted too early"));
            };
            prop_assert!(least <= wait && wait <= least * 11 / 10, "{wait:?}");
        }

        #[test]
        fn a_schedule_gives_exactly_its_waits(
            millis in prop::collection::vec(0..604_800_000_u64, 0..=30),
            random in 0.0..1.0_f64,
        ) {
            let given: Vec<Duration> = millis.into_iter().map(Duration::from_millis).collect();
            prop_assert_eq!(waits(&RetryPolicy::Schedule(given.clone()), |_| random), given);
        }

        #[test]
        fn as_many_retries_as_the_policy_says_and_no_more(policy in policies(), random in 0.0..1.0_f64) {
            prop_assert_eq!(waits(&policy, |_| random).len(), policy.retries() as usize);
            for made in policy.retries() + 1..policy.retries() + 5 {
                prop_assert_eq!(after_failure(&policy, made, random), Next::Exhausted);
            }
        }

        #[test]
        fn jitter_only_ever_adds_and_never_more_than_its_share(policy in policies(), random in 0.0..1.0_f64) {
            for (index, wait) in waits(&policy, |_| random).into_iter().enumerate() {
                let least = policy.wait(index as u32 + 1).unwrap();
                prop_assert!(wait >= least);
                // A nanosecond for the rounding of the float.
                prop_assert!(wait <= least.mul_f64(1.0 + policy.jitter()) + Duration::from_nanos(1));
            }
        }

        #[test]
        fn a_later_draw_waits_no_less(policy in policies(), one in 0.0..1.0_f64, other in 0.0..1.0_f64) {
            let (low, high) = (one.min(other), one.max(other));
            for (shorter, longer) in waits(&policy, |_| low).into_iter().zip(waits(&policy, |_| high)) {
                prop_assert!(shorter <= longer);
            }
        }

        #[test]
        fn exponential_waits_do_not_shrink(policy in policies()) {
            if matches!(policy, RetryPolicy::Exponential { .. }) {
                let waits = waits(&policy, |_| 0.0);
                prop_assert!(waits.is_sorted(), "{waits:?}");
            }
        }
    }
}
