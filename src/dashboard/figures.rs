//! What this node has done of late: its counters, looked at once a second and kept for
//! five minutes, so that the overview can say rates; and, of each minute of a week, how
//! much waited, which nobody else keeps. Of the node alone; memory is bounded by both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
/// Takeovers that are remembered.
const TAKEOVERS_KEPT: usize = 100;

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
    takeovers: u64,
}

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Accepted events a second, just now.
    pub accepted_rate: f64,
    /// Deliveries a second that were delivered, just now.
    pub delivered_rate: f64,
    /// Attempts in the last five minutes, or since the start.
    pub attempts: u64,
    /// Those of them that delivered.
    pub delivered: u64,
    /// Half of them took at most this.
    pub median: Option<Duration>,
    /// 99 % of them took at most this.
    pub p99: Option<Duration>,
    /// Requests in flight.
    pub in_flight: u64,
    /// For how long the delivery is due that has been due longest.
    pub overdue: Duration,
    /// Deliveries that wait in the memory of actors.
    pub in_memory: u64,
    /// Endpoints that have only failed of late.
    pub failing: u64,
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
    /// How many breakers are open.
    pub breakers_open: u64,
    /// Whose, as far as they are named.
    pub open_breakers: Vec<String>,
}

/// What is kept.
#[derive(Default)]
struct Kept {
    /// When it was begun to look.
    since: Option<Timestamp>,
    looks: VecDeque<Look>,
    /// Minutes since the epoch, and the most that waited in each.
    minutes: VecDeque<(i64, u64)>,
    /// When partitions were taken over, and how many.
    takeovers: VecDeque<(Timestamp, u64)>,
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
        kept.since.get_or_insert(now);
        let taken = kept.looks.back().map_or(0, |last| look.takeovers.saturating_sub(last.takeovers));
        if taken > 0 {
            push(&mut kept.takeovers, TAKEOVERS_KEPT, (now, taken));
        }
        let minute = now.as_millis().div_euclid(MINUTE_MS);
        match kept.minutes.back_mut().filter(|(last, _)| *last == minute) {
            Some((_, most)) => *most = look.in_memory.max(*most),
            None => push(&mut kept.minutes, MINUTES_KEPT, (minute, look.in_memory)),
        }
        push(&mut kept.looks, KEPT, look);
    }

    /// Since when it has looked: the node's start.
    pub fn since(&self) -> Option<Timestamp> {
        self.0.lock().expect(UNPOISONED).since
    }

    /// When partitions were taken over from other nodes, and how many.
    pub fn takeovers(&self) -> Vec<(Timestamp, u64)> {
        self.0.lock().expect(UNPOISONED).takeovers.iter().copied().collect()
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
        let took = |share| quantile(&first.took, &last.took, share);
        let all = |counts: &[(f64, u64)]| counts.last().map_or(0, |(_, count)| *count);
        let before = kept.minutes.len().checked_sub(GROWS_WITHIN + 1).and_then(|at| kept.minutes.get(at));
        Figures {
            accepted_rate: rate(last.accepted, recent.accepted),
            delivered_rate: rate(last.delivered, recent.delivered),
            attempts: last.attempts.saturating_sub(first.attempts),
            delivered: last.delivered.saturating_sub(first.delivered),
            median: took(0.5),
            p99: took(0.99),
            in_flight: last.in_flight,
            in_memory: last.in_memory,
            in_memory_before: before.map(|(_, waited)| *waited),
            failing: last.failing,
            overdue: Duration::try_from_secs_f64(last.overdue_seconds).unwrap_or_default(),
            breakers_open: last.breakers_open,
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
            "posthaste_lease_takeovers_total" => look.takeovers = whole,
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
        assert_eq!(watch.figures(), Figures::default(), "nothing has happened");
        assert_eq!(watch.since(), Some(Timestamp::from_millis(0)));
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
        metrics.lease_takeovers.inc_by(3);
        metrics.show_disk(Some(5_000_000_000));
        metrics.show_store(1_000, Some(200), Some(70), None);
        metrics.attempts_in_flight.set(4);
        metrics.oldest_overdue_seconds.set(1.5);
        metrics.open_breakers.open(1_000, &Arc::from("ep_1"));
        clock.advance(Duration::from_secs(2));
        look();
        let figures = watch.figures();
        assert_eq!((figures.accepted_rate, figures.delivered_rate), (10.0, 4.5));
        assert_eq!((figures.attempts, figures.delivered, figures.in_flight), (10, 9, 4));
        assert_eq!((figures.in_memory, figures.failing, figures.in_memory_before), (7, 2, None));
        assert_eq!((figures.commits, figures.rollbacks, figures.store_bytes), (1, 1, 1_200));
        assert!(figures.commit_p99.is_some_and(|took| took > Duration::from_millis(500)), "{figures:?}");
        assert_eq!(figures.disk_free_bytes, Some(5_000_000_000));
        assert_eq!(watch.takeovers(), [(clock.wall(), 3)]);
        assert_eq!((figures.breakers_open, figures.open_breakers), (1, vec!["ep_1".to_owned()]));
        assert_eq!(figures.overdue, Duration::from_millis(1_500));
        let median = figures.median.expect("there were attempts");
        assert!(median > Duration::from_millis(2) && median <= Duration::from_millis(4), "{median:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let watch = Watch::default();
        for minute in 0..MINUTES_KEPT as i64 + 500 {
            let look = Look { takeovers: minute as u64, ..Look::default() };
            watch.note(Timestamp::from_millis(minute * MINUTE_MS), look);
        }
        let kept = watch.0.lock().expect(UNPOISONED);
        assert_eq!((kept.looks.len(), kept.minutes.len(), kept.takeovers.len()), (KEPT, MINUTES_KEPT, TAKEOVERS_KEPT));
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
