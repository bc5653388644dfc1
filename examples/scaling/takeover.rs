//! A node is killed: how long its partitions have no owner, what waits at the
//! end of that, and how long it takes to catch up. One kill is an event-driven
//! run over leases, looks and reads; many of them give the distribution.
//!
//! Not modelled: nodes whose CPU is already used up before the kill, requests
//! of producers that the dead node had not answered (they are repeated), and a
//! database that is itself in trouble.

use fastrand::Rng;
use serde::Serialize;

use crate::capacity::{Demand, node_shares};
use crate::costs::{STEAL_SECONDS, TAKEOVER_ROWS_PER_SECOND};
use crate::options::Options;
use crate::simulation::{MINUTE_SECONDS, Minute};

/// How finely catching up is followed.
const STEP_SECONDS: f64 = 0.01;
/// Nobody waits longer for a backlog to be worked off than this.
const LONGEST_DRAIN_SECONDS: f64 = 3_600.0;

/// Four figures of many.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at = |share: f64| values.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0);
        Self { min: at(0.0), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// What many kills at one hour of the day come to.
#[derive(Debug, Clone, Serialize)]
pub struct Takeover {
    pub at_hour: f64,
    pub nodes: u32,
    pub attempts_per_second: f64,
    /// How long a partition has no owner that attempts its deliveries.
    pub partition_seconds: Spread,
    /// How long until the last partition of a kill has one.
    pub complete_seconds: Spread,
    /// Attempts that are overdue when the last partition is taken.
    pub backlog: Spread,
    /// From the kill until nothing is overdue; `None` if the rest cannot catch up.
    pub drained_seconds: Option<Spread>,
    /// Attempts in flight on the dead node, which are made again.
    pub attempts_repeated: f64,
}

/// The cluster at the moment of a kill.
struct Situation {
    nodes: u32,
    attempts_per_second: f64,
    /// Attempts a second that the remaining nodes can make.
    capacity: f64,
    /// Rows that are read for each partition taken over.
    rows_per_partition: f64,
}

/// Draws the kills of one hour.
pub fn takeover(at_hour: f64, nodes: u32, minutes: &[Minute], options: &Options, rng: &mut Rng) -> Takeover {
    let minute = &minutes[((at_hour * 60.0) as usize).min(minutes.len() - 1)];
    let demand = Demand::of(&minute.counts, MINUTE_SECONDS as f64, options);
    let survivors = f64::from(nodes - 1);
    let busiest = node_shares(&demand, options).into_iter().fold(0.0, f64::max) / survivors;
    let busiest = busiest.max(demand.database_cores / options.database_cores);
    let partitions = f64::from(options.partitions);
    // A healthy endpoint has work only while an attempt is under way.
    let endpoints = (minute.endpoints_waiting + demand.in_flight).min(options.endpoints as f64);
    let situation = Situation {
        nodes,
        attempts_per_second: demand.attempts,
        capacity: if busiest > 0.0 { demand.attempts / busiest } else { f64::MAX },
        rows_per_partition: (endpoints + demand.attempts * options.lease_seconds) / partitions,
    };
    let mut partition_seconds = Vec::new();
    let (mut complete, mut backlogs, mut drained) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.kills {
        let mut taken = kill(&situation, options, rng);
        taken.sort_by(f64::total_cmp);
        complete.extend(taken.last());
        let (backlog, end) = catch_up(&taken, &situation, options);
        backlogs.push(backlog);
        drained.push(end);
        partition_seconds.append(&mut taken);
    }
    let drained: Option<Vec<f64>> = drained.into_iter().collect();
    Takeover {
        at_hour,
        nodes,
        attempts_per_second: demand.attempts,
        partition_seconds: Spread::of(partition_seconds),
        complete_seconds: Spread::of(complete),
        backlog: Spread::of(backlogs),
        drained_seconds: drained.map(Spread::of),
        attempts_repeated: demand.in_flight / f64::from(nodes),
    }
}

/// How many partitions the `index`-th of `nodes` has when all are even.
fn even_share(partitions: u32, nodes: u32, index: u32) -> u32 {
    partitions / nodes + u32::from(index < partitions % nodes)
}

/// Kills one node at a random moment; when each of its partitions has been
/// taken over and read, in seconds after the kill.
fn kill(situation: &Situation, options: &Options, rng: &mut Rng) -> Vec<f64> {
    let nodes = situation.nodes;
    let dead = rng.u32(0..nodes);
    let mut left = even_share(options.partitions, nodes, dead);
    let lease_ends = options.lease_seconds - rng.f64() * options.renew_seconds;
    // Each survivor looks at times of its own; the first after the end counts.
    let mut looks: Vec<(f64, u32)> = (0..nodes)
        .filter(|node| *node != dead)
        .map(|node| {
            let first = rng.f64() * options.look_seconds;
            let looks_before = ((lease_ends - first) / options.look_seconds).ceil().max(0.0);
            (first + looks_before * options.look_seconds, node)
        })
        .collect();
    looks.sort_by(|one, other| one.0.total_cmp(&other.0));
    let survivors = nodes - 1;
    // Whoever comes first may round its share up: no node waits for another.
    let share = options.partitions.div_ceil(survivors);
    let read_seconds = situation.rows_per_partition / TAKEOVER_ROWS_PER_SECOND;
    let mut taken = Vec::new();
    for (look, node) in looks {
        let has = even_share(options.partitions, nodes, node);
        let takes = share.saturating_sub(has).min(left);
        left -= takes;
        taken.extend((1..=takes).map(|place| look + STEAL_SECONDS + f64::from(place) * read_seconds));
    }
    taken
}

/// What is overdue when the last partition is taken, and when nothing is any
/// more. `taken` is in order.
fn catch_up(taken: &[f64], situation: &Situation, options: &Options) -> (f64, Option<f64>) {
    let Some(complete) = taken.last().copied() else { return (0.0, Some(0.0)) };
    let of_partition = situation.attempts_per_second / f64::from(options.partitions);
    let (mut overdue, mut backlog, mut next, mut now) = (0.0, None, 0, 0.0);
    while now < LONGEST_DRAIN_SECONDS {
        now += STEP_SECONDS;
        while next < taken.len() && taken[next] <= now {
            // What came due without an owner is overdue at once.
            overdue += of_partition * taken[next];
            next += 1;
        }
        if now >= complete && backlog.is_none() {
            backlog = Some(overdue);
        }
        let owned = situation.attempts_per_second - of_partition * (taken.len() - next) as f64;
        overdue = (overdue + (owned - situation.capacity) * STEP_SECONDS).max(0.0);
        if next == taken.len() && overdue <= 0.0 {
            return (backlog.unwrap_or(0.0), Some(now));
        }
    }
    (backlog.unwrap_or(overdue), None)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn situation(nodes: u32) -> Situation {
        Situation { nodes, attempts_per_second: 1_000.0, capacity: 2_000.0, rows_per_partition: 100.0 }
    }

    #[test]
    fn every_partition_of_the_dead_node_is_taken_exactly_once() {
        let options = Options::parse_from(["scaling"]);
        let mut rng = Rng::with_seed(5);
        for nodes in [2, 3, 5, 7, 100, 255, 256, 300] {
            let all: u32 = (0..nodes).map(|node| even_share(options.partitions, nodes, node)).sum();
            assert_eq!(all, options.partitions);
            for _ in 0..50 {
                let taken = kill(&situation(nodes), &options, &mut rng).len() as u32;
                let shares = [options.partitions / nodes, options.partitions.div_ceil(nodes)];
                assert!(shares.contains(&taken), "{nodes} nodes: {taken}");
            }
        }
    }

    #[test]
    fn a_takeover_takes_no_less_than_what_is_left_of_the_lease_and_no_more_than_all_its_parts() {
        let options = Options::parse_from(["scaling"]);
        let mut rng = Rng::with_seed(6);
        let reading = 128.0 * 100.0 / TAKEOVER_ROWS_PER_SECOND;
        let mut longest: f64 = 0.0;
        for _ in 0..2_000 {
            for after in kill(&situation(2), &options, &mut rng) {
                assert!(after >= options.lease_seconds - options.renew_seconds);
                assert!(after <= options.lease_seconds + options.look_seconds + STEAL_SECONDS + reading);
                longest = longest.max(after);
            }
        }
        assert!(longest > options.lease_seconds, "the worst case is not drawn: {longest}");
    }

    #[test]
    fn a_backlog_is_what_came_due_and_is_worked_off_with_what_is_spare() {
        let options = Options::parse_from(["scaling", "--partitions", "2"]);
        let (backlog, end) = catch_up(&[5.0], &situation(2), &options);
        // Half of 1,000/s for 5 s; the survivor has 1,000/s to spare.
        assert!((backlog - 2_500.0).abs() < 1.0, "{backlog}");
        assert!((end.unwrap() - 7.5).abs() < 0.1, "{end:?}");
    }

    #[test]
    fn nodes_without_room_never_catch_up() {
        let options = Options::parse_from(["scaling"]);
        let full = Situation { capacity: 900.0, ..situation(2) };
        assert!(catch_up(&[5.0], &full, &options).1.is_none());
    }
}
