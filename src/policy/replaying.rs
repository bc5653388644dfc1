//! What a replay selects, and how much of it is made at once: no faster than the endpoint
//! drains, and no faster than was asked for. What the store has of it, and who makes it, is
//! for others.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::{EventType, Monotonic, ReplaySelection, Replayable};
use crate::policy::matching;

/// Fewest deliveries that a replay may have under way to an endpoint: what an endpoint
/// that takes none, or takes its time, is given at all.
pub const FEWEST_UNDER_WAY: usize = 32;
/// Most of them, however fast it is.
pub const MOST_UNDER_WAY: usize = 1_000;
/// Most that wait for a retry or for later: how fast they end says nothing of how fast the
/// endpoint drains, and so they keep no other waiting before they are so many.
pub const MOST_WAITING: usize = 10_000;
/// Over which time it is looked how fast an endpoint drains.
const WINDOW: Duration = Duration::from_secs(1);
/// What a rate saves up for a while in which nothing could be made.
const SAVED_AT_MOST: Duration = Duration::from_millis(200);

/// What has become of an event for an endpoint, by its newest delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has none, and the endpoint would get it now.
    Missing,
    /// It is on its way.
    Unfinished,
    /// It ended so.
    Ended(Replayable),
}

/// Whether an event is to be delivered again.
pub fn selects(selection: &ReplaySelection, event_type: &EventType, standing: Standing) -> bool {
    let is_meant = match standing {
        Standing::Missing => selection.missing,
        Standing::Unfinished => false,
        Standing::Ended(how) => selection.statuses.contains(&how),
    };
    is_meant && takes(selection, event_type)
}

/// Whether a replay is about events of this type at all.
pub fn takes(selection: &ReplaySelection, event_type: &EventType) -> bool {
    selection.types.is_empty() || matching::wants(&selection.types, event_type)
}

/// How many deliveries of a replay an endpoint may have under way, due and never tried:
/// twice as many as it tried in the last second, within bounds. It knows what it is told; whoever begins anew
/// begins with the fewest.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    /// When deliveries had ended, and how many.
    ended: VecDeque<(Monotonic, usize)>,
    under_way: usize,
}

impl Drain {
    /// So many are under way now, so many wait, and so many may be made in addition.
    pub fn room(&mut self, under_way: usize, waiting: usize, now: Monotonic) -> usize {
        let ended = self.under_way.saturating_sub(under_way);
        self.under_way = under_way;
        if ended > 0 {
            self.ended.push_back((now, ended));
        }
        while self.ended.front().is_some_and(|(then, _)| now.since(*then) >= WINDOW) {
            self.ended.pop_front();
        }
        self.most().saturating_sub(under_way).min(MOST_WAITING.saturating_sub(waiting))
    }

    /// So many more were made.
    pub fn made(&mut self, count: usize) {
        self.under_way += count;
    }

    fn most(&self) -> usize {
        let lately: usize = self.ended.iter().map(|(_, count)| count).sum();
        lately.saturating_mul(2).clamp(FEWEST_UNDER_WAY, MOST_UNDER_WAY)
    }
}

/// How many deliveries a replay may make by the rate that was asked for, all its
/// endpoints together. It begins with none.
#[derive(Debug, Clone)]
pub struct Ration {
    /// What there is, in parts of a delivery: nanoseconds times deliveries a second.
    saved: u128,
    since: Monotonic,
}

const WHOLE: u128 = Duration::from_secs(1).as_nanos();

impl Ration {
    /// Nothing yet.
    pub fn beginning(now: Monotonic) -> Self {
        Self { saved: 0, since: now }
    }

    /// How many may be made now.
    pub fn left(&mut self, per_second: u32, now: Monotonic) -> usize {
        let rate = u128::from(per_second.max(1));
        let most = (rate * SAVED_AT_MOST.as_nanos()).max(WHOLE);
        self.saved = (self.saved + rate * now.since(self.since).as_nanos()).min(most);
        self.since = self.since.max(now);
        usize::try_from(self.saved / WHOLE).unwrap_or(usize::MAX)
    }

    /// How many of them the next of so many endpoints may have: what it does not take is
    /// left to those behind it. `None` when there is nothing for anybody.
    pub fn share(&mut self, per_second: u32, endpoints: usize, now: Monotonic) -> Option<usize> {
        let left = self.left(per_second, now);
        (left > 0).then(|| left.div_ceil(endpoints.max(1)))
    }

    /// So many were made.
    pub fn made(&mut self, count: usize) {
        self.saved = self.saved.saturating_sub(count as u128 * WHOLE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TypePattern;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::Missing),
            Just(Standing::Unfinished),
            prop::sample::select(&Replayable::ALL[..]).prop_map(Standing::Ended),
        ]
    }

    proptest! {
        #[test]
        fn what_is_on_its_way_is_never_selected(
            standing in standings(),
            statuses in prop::sample::subsequence(&Replayable::ALL[..], 0..=3),
            missing: bool,
            by_type in prop::sample::select(vec![None, Some("*"), Some("campaign.*"), Some("other.thing")]),
        ) {
            let types: Vec<TypePattern> = by_type.iter().map(|text| text.parse().expect("a pattern")).collect();
            let selection = ReplaySelection { types, statuses: statuses.clone(), missing, ..ReplaySelection::default() };
            let is_selected = selects(&selection, &"campaign.updated".parse().expect("a type"), standing);
            let expected = match standing {
                Standing::Missing => missing,
                Standing::Unfinished => false,
                Standing::Ended(how) => statuses.contains(&how),
            };
            prop_assert_eq!(is_selected, expected && by_type != Some("other.thing"));
        }

        /// Whatever an endpoint does, it never has more under way than twice what it lately
        /// ended, and always as much as one that takes nothing may have.
        #[test]
        fn an_endpoint_is_never_given_more_than_it_drains(
            steps in prop::collection::vec((0usize..2_000, 0usize..12_000, 1u64..700), 1..60),
        ) {
            let (mut drain, mut under_way, mut now) = (Drain::default(), 0usize, 0);
            let mut ended: Vec<(u64, usize)> = Vec::new();
            for (ends, waiting, pause) in steps {
                now += pause;
                let ends = ends.min(under_way);
                under_way -= ends;
                ended.push((now, ends));
                let room = drain.room(under_way, waiting, at(now));
                let lately: usize =
                    ended.iter().filter(|(then, _)| now - then < 1_000).map(|(_, count)| count).sum();
                let most = (2 * lately).clamp(FEWEST_UNDER_WAY, MOST_UNDER_WAY);
                prop_assert_eq!(room, most.saturating_sub(under_way).min(MOST_WAITING.saturating_sub(waiting)));
                drain.made(room);
                under_way += room;
                prop_assert!(under_way <= most.max(under_way - room));
            }
        }

        /// Over any time no more is made than the rate, and what a fifth of a second saves up.
        #[test]
        fn a_rate_is_kept(
            per_second in 1u32..5_000,
            steps in prop::collection::vec((0u64..1_500, 0usize..500), 1..60),
        ) {
            let (mut now, mut made) = (0, Vec::new());
            let mut ration = Ration::beginning(at(now));
            for (pause, wanted) in steps {
                now += pause;
                let count = ration.left(per_second, at(now)).min(wanted);
                ration.made(count);
                made.push((now, count));
            }
            for (index, (from, _)) in made.iter().enumerate() {
                let mut sum = 0;
                for (then, count) in &made[index..] {
                    sum += count;
                    let most = f64::from(per_second) * ((then - from) as f64 / 1_000.0 + 0.2);
                    prop_assert!(sum as f64 <= most.max(1.0 + f64::from(per_second) * (then - from) as f64 / 1_000.0) + 1e-6);
                }
            }
            prop_assert!(ration.left(per_second, at(now + 2_000)) >= 1, "and it never stands still");
        }
    }

    #[test]
    fn what_waits_bounds_only_when_it_is_very_much() {
        let mut drain = Drain::default();
        assert_eq!(drain.room(0, MOST_UNDER_WAY, at(0)), FEWEST_UNDER_WAY);
        assert_eq!(drain.room(0, MOST_WAITING - 5, at(1)), 5);
        assert_eq!(drain.room(0, MOST_WAITING + 5, at(2)), 0);
    }

    #[test]
    fn what_a_rate_leaves_is_divided() {
        let mut ration = Ration::beginning(at(0));
        assert_eq!(ration.share(50, 3, at(0)), None, "it begins with nothing");
        assert_eq!(ration.share(50, 3, at(200)), Some(4), "a third of ten, and what is left over");
        ration.made(4);
        assert_eq!(ration.share(50, 2, at(200)), Some(3));
        // That one takes nothing.
        assert_eq!(ration.share(50, 1, at(200)), Some(6));
        ration.made(6);
        assert_eq!(ration.share(50, 3, at(200)), None);
    }

    #[test]
    fn an_endpoint_that_drains_fast_is_given_more_and_more() {
        let (mut drain, mut under_way) = (Drain::default(), 0);
        for tick in 0..40 {
            // All that was given has arrived when it is looked at again.
            let room = drain.room(0, 0, at(tick * 100));
            drain.made(room);
            under_way = room;
        }
        assert_eq!(under_way, MOST_UNDER_WAY);
        let _ = drain.room(under_way, 0, at(10_000));
        assert_eq!(drain.room(0, 0, at(20_000)), MOST_UNDER_WAY, "those have ended just now");
        assert_eq!(drain.room(0, 0, at(30_000)), FEWEST_UNDER_WAY, "and then nothing did");
    }
}
