//! Days of deliveries, second by second: what is born, attempted, put off and
//! ended. The schedule is the product's own (`policy::retry`). Deliveries of
//! one group that are on the same attempt in the same second are one number, so
//! that a busy day takes no longer than a quiet one.
//!
//! Not modelled: an endpoint's own limit of attempts in flight, endpoints that
//! their owners disable or pause, and a store that is too slow for the load.
//! What the load needs is `capacity`'s to say.

use std::time::Duration;

use fastrand::Rng;
use posthaste::domain::RetryPolicy;
use posthaste::policy::retry::{Next, after_failure};

use crate::load::{Curve, DAY_SECONDS, Group, groups};
use crate::options::Options;
use crate::random::{binomial, poisson};

/// Failures of one second, group and attempt get this many draws of jitter
/// between them: the seconds around them blur the rest.
const DRAWS: u64 = 8;
pub const MINUTE_SECONDS: u64 = 60;

/// Counts of a minute, or of any longer time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub events: u64,
    pub born: u64,
    /// First attempts; as many as were born.
    pub first_attempts: u64,
    pub retries: u64,
    pub delivered: u64,
    pub exhausted: u64,
    /// Failed attempts that another follows.
    pub put_off: u64,
}

impl Counts {
    pub fn attempts(&self) -> u64 {
        self.first_attempts + self.retries
    }

    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.born += other.born;
        self.first_attempts += other.first_attempts;
        self.retries += other.retries;
        self.delivered += other.delivered;
        self.exhausted += other.exhausted;
        self.put_off += other.put_off;
    }
}

/// A minute of the last day.
#[derive(Debug, Clone, Copy)]
pub struct Minute {
    pub counts: Counts,
    /// Deliveries that wait for a retry, at its end.
    pub waiting: u64,
    /// Endpoints with such a delivery, at its end.
    pub endpoints_waiting: f64,
}

/// Deliveries that wait for their next attempt, by the second it is due in.
struct Waiting {
    /// For each attempt from the second on, a ring as long as the longest wait
    /// before it.
    rings: Vec<Vec<u32>>,
    count: u64,
}

impl Waiting {
    fn new(policy: &RetryPolicy, failing_seconds: u64) -> Self {
        let ring = |retry_number| {
            let wait = policy.wait(retry_number).unwrap_or_default().mul_f64(1.0 + policy.jitter());
            vec![0; (failing_seconds + whole_seconds(wait)) as usize + 2]
        };
        Self { rings: (1..=policy.retries()).map(ring).collect(), count: 0 }
    }

    fn put(&mut self, retry_number: u32, second: u64, count: u64) {
        let ring = &mut self.rings[retry_number as usize - 1];
        let place = (second % ring.len() as u64) as usize;
        ring[place] += u32::try_from(count).expect("a second has fewer than 4 billion failures");
        self.count += count;
    }

    fn take(&mut self, retry_number: u32, second: u64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let ring = &mut self.rings[retry_number as usize - 1];
        let place = (second % ring.len() as u64) as usize;
        let count = u64::from(std::mem::take(&mut ring[place]));
        self.count -= count;
        count
    }
}

/// An attempt is due when the whole wait is over, never earlier.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// All groups, between two seconds.
pub struct Simulation {
    policy: RetryPolicy,
    groups: Vec<(Group, Waiting)>,
    transient_share: f64,
    failing_seconds: u64,
    fan_out: f64,
    /// The fraction of a delivery that the fan-out has left over.
    fraction: f64,
    second: u64,
    rng: Rng,
}

impl Simulation {
    pub fn new(options: &Options) -> Self {
        let policy = RetryPolicy::default();
        let mut rng = Rng::with_seed(options.seed);
        let groups = groups(options, &mut rng)
            .into_iter()
            .map(|group| (group, Waiting::new(&policy, options.failing_seconds)))
            .collect();
        Self {
            policy,
            groups,
            transient_share: options.transient_share,
            failing_seconds: options.failing_seconds,
            fan_out: options.fan_out,
            fraction: 0.0,
            second: 0,
            rng,
        }
    }

    /// One second in which this many events come in.
    pub fn step(&mut self, events: u64) -> Counts {
        let exact = events as f64 * self.fan_out + self.fraction;
        self.fraction = exact.fract();
        let mut counts = Counts { events, born: exact as u64, ..Counts::default() };
        let mut unassigned = counts.born;
        for (group, waiting) in &mut self.groups {
            let born = binomial(&mut self.rng, unassigned, group.share_of_rest);
            unassigned -= born;
            let failure = if group.fails(self.second, &mut self.rng) { 1.0 } else { self.transient_share };
            counts.first_attempts += born;
            for attempt in 1..=self.policy.retries() + 1 {
                let made = if attempt == 1 { born } else { waiting.take(attempt - 1, self.second) };
                if made == 0 {
                    continue;
                }
                if attempt > 1 {
                    counts.retries += made;
                }
                let failed = binomial(&mut self.rng, made, failure);
                counts.delivered += made - failed;
                let draws = failed.min(DRAWS);
                for draw in 0..draws {
                    // The parts differ by one at most and add up.
                    let part = failed * (draw + 1) / draws - failed * draw / draws;
                    match after_failure(&self.policy, attempt, self.rng.f64()) {
                        Next::Exhausted => counts.exhausted += part,
                        Next::RetryAfter(wait) => {
                            counts.put_off += part;
                            let due = self.second + self.failing_seconds + whole_seconds(wait);
                            waiting.put(attempt, due, part);
                        }
                    }
                }
            }
        }
        self.second += 1;
        counts
    }

    pub fn waiting(&self) -> u64 {
        self.groups.iter().map(|(_, waiting)| waiting.count).sum()
    }

    /// Endpoints that have a delivery waiting, if these are spread by chance.
    pub fn endpoints_waiting(&self) -> f64 {
        let some = |(group, waiting): &(Group, Waiting)| {
            if group.endpoints > 0.0 {
                group.endpoints * (1.0 - (-(waiting.count as f64) / group.endpoints).exp())
            } else {
                0.0
            }
        };
        self.groups.iter().map(some).sum()
    }
}

/// Simulates all days and returns the minutes of the last.
pub fn last_day(options: &Options) -> Vec<Minute> {
    let mut simulation = Simulation::new(options);
    let mut rng = Rng::with_seed(options.seed.wrapping_add(1));
    let curve = Curve::new(options.peak_factor);
    let last_day = u64::from(options.days - 1) * DAY_SECONDS;
    let mut minutes = Vec::new();
    let mut counts = Counts::default();
    for second in 0..u64::from(options.days) * DAY_SECONDS {
        let events = poisson(&mut rng, options.events_per_second * curve.at(second));
        counts.add(&simulation.step(events));
        if (second + 1) % MINUTE_SECONDS == 0 {
            if second >= last_day {
                let waiting = simulation.waiting();
                minutes.push(Minute { counts, waiting, endpoints_waiting: simulation.endpoints_waiting() });
            }
            counts = Counts::default();
        }
    }
    minutes
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn options(given: &[&str]) -> Options {
        Options::parse_from([&["scaling"], given].concat()).checked().unwrap()
    }

    /// Events for as long as said, then silence for as long as said.
    fn run(options: &Options, busy_seconds: u64, quiet_seconds: u64) -> (Counts, Simulation) {
        let mut simulation = Simulation::new(options);
        let mut counts = Counts::default();
        for second in 0..busy_seconds + quiet_seconds {
            counts.add(&simulation.step(if second < busy_seconds { 40 } else { 0 }));
        }
        (counts, simulation)
    }

    /// What the rings hold, counted anew.
    fn counted(simulation: &Simulation) -> u64 {
        simulation.groups.iter().flat_map(|(_, waiting)| waiting.rings.iter().flatten()).map(|&n| u64::from(n)).sum()
    }

    #[test]
    fn every_delivery_is_delivered_exhausted_or_waiting() {
        let options = options(&[
            "--dead-share=0.1",
            "--flaky-share=0.3",
            "--mass-outage-share=0.2",
            "--mass-outage-at-hour=1",
            "--transient-share=0.02",
            "--fan-out=2.3",
            "--days=1",
            "--outages-per-day=40",
        ]);
        let (counts, simulation) = run(&options, 6 * 3_600, 600);
        assert_eq!(counts.born, (counts.events as f64 * 2.3).round() as u64);
        assert_eq!(counts.first_attempts, counts.born);
        assert_eq!(counts.delivered + counts.exhausted + counted(&simulation), counts.born);
        assert_eq!(simulation.waiting(), counted(&simulation));
        assert_eq!(counts.attempts(), counts.delivered + counts.exhausted + counts.put_off);
        assert!(counts.retries > 0 && simulation.waiting() > 0);
    }

    #[test]
    fn a_delivery_to_a_dead_endpoint_is_attempted_fifteen_times_within_26_hours() {
        let options = options(&["--dead-share=1", "--flaky-share=0"]);
        let (counts, simulation) = run(&options, 600, 26 * 3_600);
        assert_eq!(counts.attempts(), 15 * counts.born);
        assert_eq!(counts.exhausted, counts.born);
        assert_eq!((counts.delivered, counted(&simulation)), (0, 0));
    }

    #[test]
    fn no_delivery_is_exhausted_before_its_schedule_has_passed() {
        let options = options(&["--dead-share=1", "--flaky-share=0"]);
        // The shortest schedule is 5 s × 16,383, and each failure takes a second.
        let (counts, _) = run(&options, 600, 5 * 16_383 - 600);
        assert_eq!(counts.exhausted, 0);
    }

    #[test]
    fn an_outage_that_ends_leaves_nothing_behind_but_attempts() {
        let options = options(&[
            "--dead-share=0",
            "--flaky-share=0",
            "--transient-share=0",
            "--mass-outage-share=0.9",
            "--days=1",
            "--mass-outage-at-hour=0",
            "--mass-outage-minutes=30",
        ]);
        let (counts, _) = run(&options, 3_600, 3_600);
        assert_eq!((counts.delivered, counts.exhausted), (counts.born, 0));
        assert!(counts.retries > counts.born, "{counts:?}");
    }

    #[test]
    fn more_failures_are_never_fewer_attempts() {
        let attempts = |name: &str, share: f64| {
            let shares = ["dead-share", "transient-share", "flaky-share"]
                .map(|other| format!("--{other}={}", if other == name { share } else { 0.0 }));
            run(&options(&shares.each_ref().map(String::as_str)), 7_200, 7_200).0.attempts()
        };
        for name in ["dead-share", "transient-share", "flaky-share"] {
            let counts: Vec<u64> = [0.0, 0.02, 0.1, 0.5, 0.9].into_iter().map(|share| attempts(name, share)).collect();
            assert!(counts.is_sorted_by(|fewer, more| fewer < more), "{name}: {counts:?}");
        }
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        let options = options(&["--days=1", "--events-per-second=20"]);
        let attempts = |minutes: Vec<Minute>| minutes.iter().map(|minute| minute.counts.attempts()).collect::<Vec<_>>();
        let once = attempts(last_day(&options));
        assert_eq!(once.len(), 1_440);
        assert_eq!(once, attempts(last_day(&options)));
    }
}
