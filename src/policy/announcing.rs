//! When those who subscribed to it are told that an endpoint fails, or that it does not
//! any more. What was told is part of what is stored of its trouble, so that these
//! decisions are the same after a restart. One that flaps is told of about once each
//! time that it has failed for as long as [`Patience::announce_after`] says.

use crate::domain::{Announcement, Timestamp, Trouble};
use crate::policy::health::Patience;

/// What is to be told after another failed attempt, which ended now: that the endpoint
/// has failed for a while, and once more when its operator was warned of it.
pub fn failing(trouble: &Trouble, failures: u32, now: Timestamp, patience: &Patience) -> Option<Announcement> {
    let since = trouble.failing_since?;
    if trouble.announced_at.is_some_and(|told| now.since(told) < patience.announce_after) {
        return None;
    }
    // What was told of an earlier trouble, which somebody ended by hand, is not of this.
    let told = trouble.announced_at.filter(|told| *told >= since);
    let is_due = match told {
        None => now.since(since) >= patience.announce_after,
        Some(told) => trouble.warned_at.is_some_and(|warned| warned > told),
    };
    is_due.then(|| Announcement::Failing {
        since,
        failures,
        is_warning: told.is_some(),
        disables_at: disables_at(trouble, since, now, patience),
    })
}

/// What is to be told when an attempt succeeds.
pub fn recovered(trouble: &Trouble) -> Option<Announcement> {
    trouble.announced_at.map(|_| Announcement::Recovered { failing_since: trouble.failing_since })
}

/// When it will be disabled at the earliest, as `policy::health` has it: the warning
/// comes first, and long enough before.
fn disables_at(trouble: &Trouble, since: Timestamp, now: Timestamp, patience: &Patience) -> Option<Timestamp> {
    let limit = patience.disable_after?;
    let warn_after = patience.warned_after();
    let warned_at = trouble.warned_at.unwrap_or_else(|| now.max(since + warn_after));
    Some((since + limit).max(warned_at + (limit - warn_after)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{DeliveryId, DisabledReason, ErrorClass, Outcome};
    use crate::policy::health::{Advice, Failure, Health};

    const MINUTE: Duration = Duration::from_secs(60);

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Fails,
        /// Nobody is to hear of it: what failed is a system event's own delivery.
        FailsUntold,
        Succeeds,
        /// Somebody pauses it and ends that.
        BeginsAnew,
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, u64, bool)>> {
        let step = prop_oneof![
            8 => Just(Step::Fails), 1 => Just(Step::FailsUntold), 1 => Just(Step::Succeeds), 1 => Just(Step::BeginsAnew)
        ];
        let after = prop_oneof![4 => 1..30_u64, 1 => 1..100_000_u64];
        prop::collection::vec((step, after, any::<bool>()), 1..150)
    }

    fn patience(warn_after: u64, disable_after: Option<u64>) -> Patience {
        let (warn_after, disable_after) = (Duration::from_secs(warn_after), disable_after.map(Duration::from_secs));
        Patience { warn_after, disable_after, ..Patience::default() }
    }

    fn begin() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    /// One life of an endpoint, or several that know of each other what is stored.
    struct Lives {
        health: Health,
        patience: Patience,
        told: Vec<(Timestamp, Announcement)>,
    }

    impl Lives {
        fn step(&mut self, step: Step, now: Timestamp) -> Advice {
            let mut advice = Advice::Wait;
            let announcement = match step {
                Step::Fails | Step::FailsUntold => {
                    let outcome = Outcome::failed(ErrorClass::Connect, "refused");
                    let delivery = DeliveryId::from_uuid(Uuid::from_u128(1));
                    let failure =
                        Failure { delivery, failed_before: 0, ended_at: now, outcome: &outcome, is_probe: false };
                    (_, advice) = self.health.failed(failure, &self.patience, false, 0.5);
                    let is_told = matches!(step, Step::Fails) && !matches!(advice, Advice::Disable(_));
                    is_told.then(|| self.health.announce(now, &self.patience)).flatten()
                }
                Step::Succeeds => {
                    let recovered = recovered(self.health.trouble());
                    self.health.succeeded(now);
                    recovered
                }
                Step::BeginsAnew => {
                    self.health = Health::new(self.health.trouble().begun_anew());
                    None
                }
            };
            self.told.extend(announcement.map(|announcement| (now, announcement)));
            advice
        }
    }

    proptest! {
        #[test]
        fn what_is_told_alternates_is_not_repeated_and_outlives_restarts(
            steps in steps(),
            warn_after in prop_oneof![0..300_u64, Just(86_400)],
            disable_after in prop_oneof![Just(None), (0..200_000_u64).prop_map(Some)],
        ) {
            let patience = patience(warn_after, disable_after);
            let lives = || Lives { health: Health::default(), patience, told: Vec::new() };
            let (mut one, mut several) = (lives(), lives());
            let mut now = begin();
            // The first failure since the last success or the last new beginning.
            let mut first_failed = None;
            // What was told and stands: nothing, that it fails, and that once more.
            let mut standing = 0;
            let mut has_begun_anew = false;
            for (step, after, restarts) in steps {
                now = now + Duration::from_secs(after);
                let before = one.told.len();
                one.step(step, now);
                several.step(step, now);
                let said = one.told.get(before).map(|(_, announcement)| announcement);
                match step {
                    Step::Fails => {
                        let since = *first_failed.get_or_insert(now);
                        if let Some(Announcement::Failing { since: said, is_warning, .. }) = said {
                            prop_assert!(*said == since && now.since(since) >= MINUTE);
                            prop_assert_eq!(*is_warning, standing == 1 && !has_begun_anew);
                            standing = if has_begun_anew { 1 } else { standing + 1 };
                            has_begun_anew = false;
                            prop_assert!(standing <= 2, "the warning, and no more");
                        }
                        prop_assert!(!matches!(said, Some(Announcement::Recovered { .. })), "it failed");
                    }
                    Step::FailsUntold => {
                        first_failed.get_or_insert(now);
                        prop_assert_eq!(said, None);
                    }
                    Step::Succeeds => {
                        let is_recovered = matches!(said, Some(Announcement::Recovered { .. }));
                        prop_assert_eq!(is_recovered, standing > 0, "exactly after it was told that it fails");
                        (first_failed, standing, has_begun_anew) = (None, 0, false);
                    }
                    Step::BeginsAnew => {
                        (first_failed, has_begun_anew) = (None, true);
                        prop_assert_eq!(said, None);
                    }
                }
                // What is counted before it is trouble is not stored.
                if restarts && (several.health.trouble().failing_since.is_some() || first_failed.is_none()) {
                    several.health = Health::new(several.health.trouble().clone());
                }
            }
            let failing = |(_, told): &&(Timestamp, Announcement)| matches!(told, Announcement::Failing { .. });
            let times: Vec<Timestamp> = one.told.iter().filter(failing).map(|(at, _)| *at).collect();
            for pair in times.windows(2) {
                prop_assert!(pair[1].since(pair[0]) >= MINUTE, "{pair:?}");
            }
            let brief = |(at, told): &(Timestamp, Announcement)| {
                let uncounted = match told.clone() {
                    Announcement::Failing { since, is_warning, disables_at, .. } =>
                        Announcement::Failing { since, is_warning, disables_at, failures: 0 },
                    other => other,
                };
                (*at, uncounted)
            };
            let brief = |lives: &Lives| lives.told.iter().map(brief).collect::<Vec<_>>();
            prop_assert_eq!(brief(&one), brief(&several));
        }

        /// It fails each minute and does nothing else.
        #[test]
        fn it_is_disabled_when_that_was_told(warn_after in 0..10_000_u64, disable_after in 200..10_000_u64) {
            let mut lives =
                Lives { health: Health::default(), patience: patience(warn_after, Some(disable_after)), told: Vec::new() };
            let mut now = begin();
            while lives.step(Step::Fails, now) != Advice::Disable(DisabledReason::Failing) {
                now = now + MINUTE;
            }
            let Some((_, Announcement::Failing { disables_at: Some(told), .. })) = lives.told.last() else {
                return Err(TestCaseError::fail("nobody was told"));
            };
            prop_assert!(now >= *told && now.since(*told) < 2 * MINUTE, "told {told}, disabled {now}");
        }
    }
}
