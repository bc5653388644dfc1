//! What this node has done of late: its counters, looked at once a second and kept for
//! five minutes, so that the overview can say rates. Of the node alone; memory is the
//! five minutes' and no more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::Monotonic;
use crate::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Looks that are kept.
const KEPT: usize = 301;
/// Over so many looks a rate is taken that is to follow what happens.
const RECENT: usize = 6;

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
    exhausted: u64,
    overdue_seconds: f64,
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
    /// Deliveries given up since the start.
    pub exhausted: u64,
    /// How many breakers are open.
    pub breakers_open: u64,
    /// Whose, as far as they are named.
    pub open_breakers: Vec<String>,
}

/// The last five minutes. A clone is the same.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<VecDeque<Look>>>);

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
                looks.note(Look { at: Some(clock.now().monotonic), ..read(&metrics.render()) });
            }
        });
        watch
    }

    fn note(&self, look: Look) {
        let mut looks = self.0.lock().expect(UNPOISONED);
        if looks.len() >= KEPT {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    /// What they come to.
    pub fn figures(&self) -> Figures {
        let looks = self.0.lock().expect(UNPOISONED);
        let (Some(first), Some(last)) = (looks.front(), looks.back()) else { return Figures::default() };
        let recent = looks.get(looks.len().saturating_sub(RECENT)).unwrap_or(first);
        let apart = match (recent.at, last.at) {
            (Some(from), Some(to)) => to.since(from).as_secs_f64(),
            _ => 0.0,
        };
        let rate = |to: u64, from: u64| if apart > 0.0 { to.saturating_sub(from) as f64 / apart } else { 0.0 };
        let quantile = |share| quantile(&first.took, &last.took, share);
        Figures {
            accepted_rate: rate(last.accepted, recent.accepted),
            delivered_rate: rate(last.delivered, recent.delivered),
            attempts: last.attempts.saturating_sub(first.attempts),
            delivered: last.delivered.saturating_sub(first.delivered),
            median: quantile(0.5),
            p99: quantile(0.99),
            in_flight: last.in_flight,
            in_memory: last.in_memory,
            failing: last.failing,
            exhausted: last.exhausted,
            overdue: Duration::try_from_secs_f64(last.overdue_seconds).unwrap_or_default(),
            breakers_open: last.breakers_open,
            open_breakers: last.open_breakers.clone(),
        }
    }
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
            "posthaste_attempt_seconds_bucket" => {
                let bound = labels.split('"').nth(1).unwrap_or_default();
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::INFINITY) };
                look.took.push((bound, whole));
            }
            "posthaste_attempts_in_flight" => look.in_flight = whole,
            "posthaste_deliveries_in_windows" => look.in_memory = whole,
            "posthaste_endpoints_failing" => look.failing = whole,
            "posthaste_deliveries_exhausted_total" => look.exhausted = whole,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::domain::Timestamp;
    use crate::metrics::{Admission, AttemptLabels};

    use super::*;

    #[test]
    fn rates_are_of_the_metrics_that_there_are() {
        let (metrics, watch) = (Metrics::default(), Watch::default());
        let clock = Clock::manual(Timestamp::from_millis(0));
        let look = || watch.note(Look { at: Some(clock.now().monotonic), ..read(&metrics.render()) });
        look();
        assert_eq!(watch.figures(), Figures::default(), "nothing has happened");
        metrics.count_events(Admission::Accepted, 20);
        metrics.attempts.get_or_create(&AttemptLabels { outcome: "delivered" }).inc_by(9);
        metrics.attempts.get_or_create(&AttemptLabels { outcome: "timeout" }).inc_by(1);
        for _ in 0..10 {
            metrics.attempt_seconds.observe(0.003);
        }
        metrics.breakers_open.set(1);
        metrics.deliveries_in_windows.set(7);
        metrics.endpoints_failing.set(2);
        metrics.deliveries_exhausted.inc_by(3);
        metrics.attempts_in_flight.set(4);
        metrics.oldest_overdue_seconds.set(1.5);
        metrics.open_breakers.open(1_000, &Arc::from("ep_1"));
        clock.advance(Duration::from_secs(2));
        look();
        let figures = watch.figures();
        assert_eq!((figures.accepted_rate, figures.delivered_rate), (10.0, 4.5));
        assert_eq!((figures.attempts, figures.delivered, figures.in_flight), (10, 9, 4));
        assert_eq!((figures.in_memory, figures.failing, figures.exhausted), (7, 2, 3));
        assert_eq!((figures.breakers_open, figures.open_breakers), (1, vec!["ep_1".to_owned()]));
        assert_eq!(figures.overdue, Duration::from_millis(1_500));
        let median = figures.median.expect("there were attempts");
        assert!(median > Duration::from_millis(2) && median <= Duration::from_millis(4), "{median:?}");
    }

    #[test]
    fn memory_is_five_minutes() {
        let watch = Watch::default();
        (0..1_000).for_each(|_| watch.note(Look::default()));
        assert_eq!(watch.0.lock().expect(UNPOISONED).len(), KEPT);
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
