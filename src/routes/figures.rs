//! What this node has done of late: its counters, looked at once a second and kept for
//! five minutes, so that it can say rates; and, of each minute of a week, how much waited,
//! which nobody else keeps. Of the node alone; memory is bounded by both. What nodes tell
//! each other of it adds up (`JustNow`): the attempts of several are sorted by how long they
//! took before a share of them is taken, as if one node had made them all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::{Monotonic, Timestamp};
use crate::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Looks that are kept.
const KEPT: usize = 301;
/// Over so many looks a rate is taken that is to follow what happens.
const RECENT: usize = 6;
/// Minutes of which it is known how much waited: a week.
const MINUTES_KEPT: usize = 7 * 24 * 60;
/// A minute.
const MINUTE_MS: i64 = 60_000;
/// How long ago a backlog is compared with.
const GROWS_WITHIN: usize = 10;

/// The counters at one time.
#[derive(Debug, Clone, Default, PartialEq)]
struct Look {
    at: Option<Monotonic>,
    accepted: u64,
    attempts: u64,
    delivered: u64,
    /// How many attempts took at most so many seconds.
    took: Vec<(f64, u64)>,
    /// Endpoints whose breaker is open, those longest first.
    open_breakers: Vec<String>,
    breakers_open: u64,
    in_flight: u64,
    in_memory: u64,
    failing: u64,
    overdue_seconds: f64,
    /// How many commits took at most so many seconds.
    commits: Vec<(f64, u64)>,
    rollbacks: u64,
    disk_free_bytes: Option<u64>,
    store_bytes: u64,
}

/// What a node does just now, or several do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JustNow {
    /// Accepted events a second.
    pub accepted_per_second: f64,
    /// Deliveries a second that were delivered.
    pub delivered_per_second: f64,
    /// Attempts in the last five minutes, or since the start.
    pub attempts: u64,
    /// Those of them that delivered.
    pub delivered: u64,
    /// How long they took.
    pub took: Vec<Took>,
    /// Deliveries that wait in the memory of actors.
    pub waiting: u64,
    /// For how many milliseconds the delivery is due that has been due longest.
    pub overdue_ms: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Breakers that are open.
    pub breakers_open: u64,
    /// Endpoints that have only failed of late.
    pub endpoints_failing: u64,
}

/// Attempts that took longer than the step before, and at most so many milliseconds; `None`
/// is without an end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Took {
    pub at_most_ms: Option<f64>,
    pub count: u64,
}

impl JustNow {
    /// What several do together.
    pub fn together<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.accepted_per_second += one.accepted_per_second;
            sum.delivered_per_second += one.delivered_per_second;
            sum.attempts += one.attempts;
            sum.delivered += one.delivered;
            sum.waiting += one.waiting;
            sum.overdue_ms = sum.overdue_ms.max(one.overdue_ms);
            sum.in_flight += one.in_flight;
            sum.breakers_open += one.breakers_open;
            sum.endpoints_failing += one.endpoints_failing;
            for step in &one.took {
                match sum.took.iter_mut().find(|known| known.at_most_ms == step.at_most_ms) {
                    Some(known) => known.count += step.count,
                    None => sum.took.push(*step),
                }
            }
        }
        // Another release may have other steps.
        let end = |step: &Took| step.at_most_ms.unwrap_or(f64::INFINITY);
        sum.took.sort_by(|one, other| end(one).total_cmp(&end(other)));
        sum
    }

    /// What a share of the attempts took at most, within the step that it falls into.
    pub fn took_at_most(&self, share: f64) -> Option<Duration> {
        let mut sum = 0;
        let steps: Vec<(f64, u64)> = self
            .took
            .iter()
            .map(|step| {
                sum += step.count;
                (step.at_most_ms.map_or(f64::INFINITY, |millis| millis / 1e3), sum)
            })
            .collect();
        quantile(&[], &steps, share)
    }
}

/// What only the node itself shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// What others may add up.
    pub now: JustNow,
    /// How many waited ten minutes ago, where that is known.
    pub in_memory_before: Option<u64>,
    /// Commits in the last five minutes.
    pub commits: u64,
    /// 99 % of them took at most this.
    pub commit_p99: Option<Duration>,
    /// Batches that were undone in the last five minutes, because the store was busy or full.
    pub rollbacks: u64,
    /// What the file system of the store has left, where that is known.
    pub disk_free_bytes: Option<u64>,
    /// What the store takes up.
    pub store_bytes: u64,
    /// Whose, as far as they are named.
    pub open_breakers: Vec<String>,
}

/// What is kept.
#[derive(Default)]
struct Kept {
    looks: VecDeque<Look>,
    /// Minutes since the epoch, and the most that waited in each.
    minutes: VecDeque<(i64, u64)>,
}

/// The last five minutes, and what waited in the last week. A clone is the same.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Kept>>);

const UNPOISONED: &str = "no holder of this lock can panic";

impl Watch {
    /// Looks from now on, for as long as the actix system runs.
    pub fn start(metrics: Arc<Metrics>, clock: Clock) -> Self {
        let watch = Self::default();
        let looks = watch.clone();
        actix_rt::spawn(async move {
            let mut ticks = actix_rt::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let now = clock.now();
                looks.note(now.wall, Look { at: Some(now.monotonic), ..read(&metrics.render()) });
            }
        });
        watch
    }

    fn note(&self, now: Timestamp, look: Look) {
        let mut kept = self.0.lock().expect(UNPOISONED);
        let minute = now.as_millis().div_euclid(MINUTE_MS);
        match kept.minutes.back_mut().filter(|(last, _)| *last == minute) {
            Some((_, most)) => *most = look.in_memory.max(*most),
            None => push(&mut kept.minutes, MINUTES_KEPT, (minute, look.in_memory)),
        }
        push(&mut kept.looks, KEPT, look);
    }

    /// The most that waited in each stretch of so many milliseconds since a time, by when
    /// it begins; of stretches in which nobody looked there is none.
    pub fn waited(&self, since: Timestamp, stretch_ms: i64) -> BTreeMap<i64, u64> {
        let mut most = BTreeMap::new();
        for (minute, waited) in &self.0.lock().expect(UNPOISONED).minutes {
            let at = (minute * MINUTE_MS).div_euclid(stretch_ms) * stretch_ms;
            if at >= since.as_millis() {
                let known: &mut u64 = most.entry(at).or_default();
                *known = (*known).max(*waited);
            }
        }
        most
    }

    /// What they come to.
    pub fn figures(&self) -> Figures {
        let kept = self.0.lock().expect(UNPOISONED);
        let looks = &kept.looks;
        let (Some(first), Some(last)) = (looks.front(), looks.back()) else { return Figures::default() };
        let recent = looks.get(looks.len().saturating_sub(RECENT)).unwrap_or(first);
        let apart = match (recent.at, last.at) {
            (Some(from), Some(to)) => to.since(from).as_secs_f64(),
            _ => 0.0,
        };
        let rate = |to: u64, from: u64| if apart > 0.0 { to.saturating_sub(from) as f64 / apart } else { 0.0 };
        let all = |counts: &[(f64, u64)]| counts.last().map_or(0, |(_, count)| *count);
        let before = kept.minutes.len().checked_sub(GROWS_WITHIN + 1).and_then(|at| kept.minutes.get(at));
        Figures {
            now: JustNow {
                accepted_per_second: rate(last.accepted, recent.accepted),
                delivered_per_second: rate(last.delivered, recent.delivered),
                attempts: last.attempts.saturating_sub(first.attempts),
                delivered: last.delivered.saturating_sub(first.delivered),
                took: steps(&first.took, &last.took),
                waiting: last.in_memory,
                overdue_ms: (last.overdue_seconds.max(0.0) * 1e3) as u64,
                in_flight: last.in_flight,
                breakers_open: last.breakers_open,
                endpoints_failing: last.failing,
            },
            in_memory_before: before.map(|(_, waited)| *waited),
            open_breakers: last.open_breakers.clone(),
            commits: all(&last.commits).saturating_sub(all(&first.commits)),
            commit_p99: quantile(&first.commits, &last.commits, 0.99),
            rollbacks: last.rollbacks.saturating_sub(first.rollbacks),
            disk_free_bytes: last.disk_free_bytes,
            store_bytes: last.store_bytes,
        }
    }
}

/// Adds one, and lets the oldest go where there are so many.
fn push<T>(all: &mut VecDeque<T>, most: usize, one: T) {
    if all.len() >= most {
        all.pop_front();
    }
    all.push_back(one);
}

/// How long what came between two looks took, step by step.
fn steps(from: &[(f64, u64)], to: &[(f64, u64)]) -> Vec<Took> {
    let (mut before, mut steps) = (0, Vec::with_capacity(to.len()));
    for (bound, count) in to {
        let known = from.iter().find(|(known, _)| known == bound).map_or(0, |(_, count)| *count);
        let upto = count.saturating_sub(known);
        let at_most_ms = bound.is_finite().then_some(bound * 1e3);
        steps.push(Took { at_most_ms, count: upto.saturating_sub(before) });
        before = upto;
    }
    steps
}

/// What a share of the attempts between two looks took at most, within the bucket that
/// it falls into.
fn quantile(from: &[(f64, u64)], to: &[(f64, u64)], share: f64) -> Option<Duration> {
    let counts: Vec<(f64, u64)> = to
        .iter()
        .map(|(bound, count)| {
            let before = from.iter().find(|(known, _)| known == bound).map_or(0, |(_, count)| *count);
            (*bound, count.saturating_sub(before))
        })
        .collect();
    let all = counts.last().map_or(0, |(_, count)| *count);
    if all == 0 {
        return None;
    }
    let wanted = (all as f64 * share).ceil();
    let mut below = (0.0, 0_u64);
    for (bound, count) in counts {
        if count as f64 >= wanted {
            if bound.is_infinite() {
                return Some(Duration::from_secs_f64(below.0));
            }
            let within = (count - below.1) as f64;
            let part = if within > 0.0 { (wanted - below.1 as f64) / within } else { 1.0 };
            return Some(Duration::from_secs_f64(below.0 + (bound - below.0) * part.clamp(0.0, 1.0)));
        }
        below = (bound, count);
    }
    None
}

/// The counters of `/metrics`: a text that is promised to whoever watches.
fn read(metrics: &str) -> Look {
    let mut look = Look::default();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let number: f64 = value.parse().unwrap_or(0.0);
        let whole = number as u64;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        match name {
            "posthaste_events_total" if labels.contains("\"accepted\"") => look.accepted = whole,
            "posthaste_attempts_total" => {
                look.attempts += whole;
                if labels.contains("outcome=\"delivered\"") {
                    look.delivered = whole;
                }
            }
            "posthaste_attempt_seconds_bucket" => look.took.push((bound_of(labels), whole)),
            "posthaste_journal_commit_seconds_bucket" => look.commits.push((bound_of(labels), whole)),
            "posthaste_journal_rollbacks_total" => look.rollbacks = whole,
            "posthaste_disk_free_bytes" => look.disk_free_bytes = number.is_finite().then_some(whole),
            "posthaste_store_bytes" if !labels.contains("\"free\"") => look.store_bytes += whole,
            "posthaste_attempts_in_flight" => look.in_flight = whole,
            "posthaste_deliveries_in_windows" => look.in_memory = whole,
            "posthaste_endpoints_failing" => look.failing = whole,
            "posthaste_breakers_open" => look.breakers_open = whole,
            "posthaste_oldest_overdue_seconds" => look.overdue_seconds = number,
            "posthaste_endpoint_breaker_opened_timestamp_seconds" => {
                look.open_breakers.extend(labels.split('"').nth(1).map(str::to_owned));
            }
            _ => {}
        }
    }
    look
}

/// The bound of a bucket, by its labels.
fn bound_of(labels: &str) -> f64 {
    let bound = labels.split('"').nth(1).unwrap_or_default();
    if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::INFINITY) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::metrics::{Admission, AttemptLabels};

    use super::*;

    #[test]
    fn rates_are_of_the_metrics_that_there_are() {
        let (metrics, watch) = (Metrics::default(), Watch::default());
        let clock = Clock::manual(Timestamp::from_millis(0));
        let look = || watch.note(clock.wall(), Look { at: Some(clock.now().monotonic), ..read(&metrics.render()) });
        look();
        let nothing = watch.figures();
        assert_eq!((nothing.now.attempts, nothing.now.took_at_most(0.5)), (0, None), "nothing has happened");
        metrics.count_events(Admission::Accepted, 20);
        metrics.attempts.get_or_create(&AttemptLabels { outcome: "delivered" }).inc_by(9);
        metrics.attempts.get_or_create(&AttemptLabels { outcome: "timeout" }).inc_by(1);
        for _ in 0..10 {
            metrics.attempt_seconds.observe(0.003);
        }
        metrics.breakers_open.set(1);
        metrics.deliveries_in_windows.set(7);
        metrics.endpoints_failing.set(2);
        metrics.journal_commit_seconds.observe(0.6);
        metrics.journal_rollbacks.inc();
        metrics.show_disk(Some(5_000_000_000));
        metrics.show_store(1_000, Some(200), Some(70), None);
        metrics.attempts_in_flight.set(4);
        metrics.oldest_overdue_seconds.set(1.5);
        metrics.open_breakers.open(1_000, &Arc::from("ep_1"));
        clock.advance(Duration::from_secs(2));
        look();
        let figures = watch.figures();
        let now = &figures.now;
        assert_eq!((now.accepted_per_second, now.delivered_per_second), (10.0, 4.5));
        assert_eq!((now.attempts, now.delivered, now.in_flight), (10, 9, 4));
        assert_eq!((now.waiting, now.endpoints_failing, figures.in_memory_before), (7, 2, None));
        assert_eq!((figures.commits, figures.rollbacks, figures.store_bytes), (1, 1, 1_200));
        assert!(figures.commit_p99.is_some_and(|took| took > Duration::from_millis(500)), "{figures:?}");
        assert_eq!(figures.disk_free_bytes, Some(5_000_000_000));
        assert_eq!((now.breakers_open, &figures.open_breakers), (1, &vec!["ep_1".to_owned()]));
        assert_eq!(now.overdue_ms, 1_500);
        let median = now.took_at_most(0.5).expect("there were attempts");
        assert!(median > Duration::from_millis(2) && median <= Duration::from_millis(4), "{median:?}");
        // As it is told to others, and read by them.
        let text = serde_json::to_string(now).expect("it is plain");
        assert_eq!(&serde_json::from_str::<JustNow>(&text).expect("it reads back"), now);
    }

    /// The p99 of two nodes is that of all their attempts: neither the worse of both nor their mean.
    #[test]
    fn what_several_do_adds_up() {
        let took = |counts: [u64; 3]| {
            let ends = [Some(10.0), Some(100.0), None];
            ends.into_iter().zip(counts).map(|(at_most_ms, count)| Took { at_most_ms, count }).collect()
        };
        let fast = JustNow {
            delivered_per_second: 2.5,
            attempts: 990,
            delivered: 990,
            took: took([990, 0, 0]),
            waiting: 3,
            overdue_ms: 40,
            breakers_open: 1,
            ..JustNow::default()
        };
        let slow = JustNow {
            delivered_per_second: 0.5,
            attempts: 10,
            took: took([0, 10, 0]),
            overdue_ms: 900,
            ..fast.clone()
        };
        let both = JustNow::together([&fast, &slow]);
        assert_eq!((both.delivered_per_second, both.attempts, both.delivered), (3.0, 1_000, 1_980));
        assert_eq!((both.waiting, both.overdue_ms, both.breakers_open), (6, 900, 2));
        assert_eq!(both.took_at_most(0.99), Some(Duration::from_millis(10)));
        assert_eq!(JustNow::together([&fast]), fast, "one alone is as it is");
        assert_eq!(JustNow::together([]), JustNow::default());
    }

    #[test]
    fn memory_is_bounded() {
        let watch = Watch::default();
        for minute in 0..MINUTES_KEPT as i64 + 500 {
            watch.note(Timestamp::from_millis(minute * MINUTE_MS), Look::default());
        }
        let kept = watch.0.lock().expect(UNPOISONED);
        assert_eq!((kept.looks.len(), kept.minutes.len()), (KEPT, MINUTES_KEPT));
    }

    #[test]
    fn the_most_of_a_stretch_is_told() {
        let watch = Watch::default();
        let look = |seconds: i64, in_memory| {
            watch.note(Timestamp::from_millis(seconds * 1_000), Look { in_memory, ..Look::default() });
        };
        for (seconds, waited) in [(0, 4), (59, 9), (60, 2), (3_700, 7), (3_720, 5)] {
            look(seconds, waited);
        }
        let told = |since: i64, stretch| {
            let since = Timestamp::from_millis(since * 1_000);
            watch.waited(since, stretch).into_iter().map(|(at, most)| (at / 1_000, most)).collect::<Vec<_>>()
        };
        assert_eq!(told(0, MINUTE_MS), [(0, 9), (60, 2), (3_660, 7), (3_720, 5)]);
        assert_eq!(told(0, 3_600_000), [(0, 9), (3_600, 7)]);
        assert_eq!(told(3_600, 3_600_000), [(3_600, 7)]);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_its_bucket(counts in prop::collection::vec(0..50_u64, 3), share in 0.01..1.0_f64) {
            let bounds = [0.1, 0.2, 0.4];
            let mut sum = 0;
            let took: Vec<(f64, u64)> = bounds.iter().zip(&counts).map(|(bound, count)| { sum += count; (*bound, sum) }).collect();
            match quantile(&[], &took, share) {
                None => prop_assert_eq!(sum, 0),
                Some(found) => {
                    let found = found.as_secs_f64();
                    let wanted = (sum as f64 * share).ceil();
                    let at = took.iter().position(|(_, count)| *count as f64 >= wanted).expect("the last has all");
                    let below = at.checked_sub(1).map_or(0.0, |at| bounds[at]);
                    prop_assert!(below <= found + 1e-9 && found <= bounds[at] + 1e-9, "{} {} {}", below, found, bounds[at]);
                }
            }
        }
    }
}
