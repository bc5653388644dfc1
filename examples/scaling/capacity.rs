//! What a load needs of the machines, and which of them is the first not to
//! have it. The load is `simulation`'s, the price of each thing `costs`'.

use serde::Serialize;

use crate::costs::*;
use crate::options::Options;
use crate::simulation::{Counts, MINUTE_SECONDS, Minute};

/// Of a disk, what may be full: the rest is for WAL, vacuum and mistakes.
const DISK_FULL_SHARE: f64 = 0.8;

/// What one minute asks for, all a second.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Demand {
    pub events: f64,
    pub attempts: f64,
    /// What the journals write: events and outcomes.
    pub entries: f64,
    pub rows: f64,
    pub dead_rows: f64,
    pub wal_bytes: f64,
    /// WAL, and the rows once more when a checkpoint writes their pages.
    pub disk_bytes: f64,
    pub in_flight: f64,
    pub node_cores: f64,
    pub database_cores: f64,
    /// What stays for as long as it is retained.
    pub kept_bytes: f64,
    pub kept_rows: f64,
}

impl Demand {
    /// The mean demand of these counts over so many seconds.
    pub fn of(counts: &Counts, seconds: f64, options: &Options) -> Self {
        let a_second = |count: u64| count as f64 / seconds;
        let (events, born) = (a_second(counts.events), a_second(counts.born));
        let attempts = a_second(counts.attempts());
        let (ends, put_off) = (a_second(counts.delivered + counts.exhausted), a_second(counts.put_off));
        let failures = a_second(counts.exhausted + counts.put_off);
        let wal_bytes = events * (WAL_BYTES_PER_EVENT + options.body_bytes)
            + born * WAL_BYTES_PER_BIRTH
            + ends * WAL_BYTES_PER_END
            + put_off * WAL_BYTES_PER_RETRY;
        let kept_bytes = events * (KEPT_BYTES_PER_EVENT + options.body_bytes)
            + born * KEPT_BYTES_PER_DELIVERY
            + attempts * KEPT_BYTES_PER_ATTEMPT;
        Self {
            events,
            attempts,
            entries: events + attempts,
            rows: events * ROWS_PER_EVENT + born * ROWS_PER_BIRTH + ends * ROWS_PER_END + put_off * ROWS_PER_RETRY,
            dead_rows: attempts * DEAD_ROWS_PER_OUTCOME,
            wal_bytes,
            disk_bytes: wal_bytes + kept_bytes,
            in_flight: a_second(counts.delivered) * options.delivery_ms / 1_000.0
                + failures * options.failing_seconds as f64,
            node_cores: events * NODE_SECONDS_PER_EVENT
                + born * NODE_SECONDS_PER_BIRTH
                + attempts * NODE_SECONDS_PER_ATTEMPT,
            database_cores: events * DATABASE_SECONDS_PER_EVENT
                + born * DATABASE_SECONDS_PER_BIRTH
                + ends * DATABASE_SECONDS_PER_END
                + put_off * DATABASE_SECONDS_PER_RETRY,
            kept_bytes,
            kept_rows: events + born + attempts,
        }
    }

    /// The same day with so many times the traffic.
    pub fn scaled(&self, factor: f64) -> Self {
        self.merged(self, |one, _| one * factor)
    }

    /// The larger of both, for each thing alone.
    pub fn most(&self, other: &Self) -> Self {
        self.merged(other, f64::max)
    }

    fn merged(&self, other: &Self, merge: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            events: merge(self.events, other.events),
            attempts: merge(self.attempts, other.attempts),
            entries: merge(self.entries, other.entries),
            rows: merge(self.rows, other.rows),
            dead_rows: merge(self.dead_rows, other.dead_rows),
            wal_bytes: merge(self.wal_bytes, other.wal_bytes),
            disk_bytes: merge(self.disk_bytes, other.disk_bytes),
            in_flight: merge(self.in_flight, other.in_flight),
            node_cores: merge(self.node_cores, other.node_cores),
            database_cores: merge(self.database_cores, other.database_cores),
            kept_bytes: merge(self.kept_bytes, other.kept_bytes),
            kept_rows: merge(self.kept_rows, other.kept_rows),
        }
    }
}

/// A day in two demands, and its largest backlog.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Day {
    pub mean: Demand,
    /// Of each thing, its busiest minute.
    pub peak: Demand,
    pub waiting_most: f64,
}

impl Day {
    pub fn of(minutes: &[Minute], options: &Options) -> Self {
        let mut total = Counts::default();
        let mut peak = Demand::default();
        for minute in minutes {
            total.add(&minute.counts);
            peak = peak.most(&Demand::of(&minute.counts, MINUTE_SECONDS as f64, options));
        }
        let mean = Demand::of(&total, (minutes.len() as u64 * MINUTE_SECONDS) as f64, options);
        let waiting_most = minutes.iter().map(|minute| minute.waiting).max().unwrap_or(0) as f64;
        Self { mean, peak, waiting_most }
    }

    pub fn scaled(&self, factor: f64) -> Self {
        let (mean, peak) = (self.mean.scaled(factor), self.peak.scaled(factor));
        Self { mean, peak, waiting_most: self.waiting_most * factor }
    }
}

/// How many nodes, and why.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nodes {
    pub for_cpu: u32,
    /// A node's journal is one connection, and so one core of the database.
    pub for_journals: u32,
    pub for_in_flight: u32,
    /// The most of these, and one that may be lost.
    pub needed: u32,
}

impl Nodes {
    pub fn of(peak: &Demand, options: &Options) -> Self {
        let [cpu, journals, in_flight] =
            node_shares(peak, options).map(|share| (share / options.busy_target).ceil().max(1.0) as u32);
        Self {
            for_cpu: cpu,
            for_journals: journals,
            for_in_flight: in_flight,
            needed: cpu.max(journals).max(in_flight) + 1,
        }
    }
}

/// Which share of one node this would take: its CPU, its journal's connection,
/// its places in flight. More than 1 is more than one node.
pub fn node_shares(demand: &Demand, options: &Options) -> [f64; 3] {
    [
        demand.node_cores / options.node_cores,
        demand.database_cores + demand.entries / ENTRIES_PER_COMMIT * commit_seconds(options),
        demand.in_flight / options.node_in_flight,
    ]
}

/// What a commit takes beside the work on its rows.
fn commit_seconds(options: &Options) -> f64 {
    options.flush_ms / 1_000.0 + ROUND_TRIPS_PER_COMMIT * ROUND_TRIP_SECONDS
}

/// Something of which a database has only so much.
#[derive(Debug, Clone, Serialize)]
pub struct Limit {
    pub name: &'static str,
    /// What the day takes of what may be used; more than 1 is too much.
    pub used_share: f64,
    /// Mean events a second, in days of this shape, at which it is used up.
    pub breaks_at_events_per_second: f64,
}

/// What one database and its nodes have to be for a day.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub nodes: Nodes,
    pub connections: u32,
    pub database_cores_busy: f64,
    pub database_cores_needed: f64,
    /// Commits a second at the peak: each journal begins one when the last has
    /// ended, with all that came meanwhile.
    pub commits_per_second: f64,
    /// How many it would be if each held as much as it may.
    pub commits_per_second_needed: f64,
    /// What the disk does if it does nothing else. Commits that coincide share
    /// one, so that there may be more of them than this.
    pub flushes_per_second_possible: f64,
    pub disk_bytes: f64,
    pub partitions_kept: u32,
    pub kept_rows_per_day: f64,
    pub hot_rows: f64,
    /// Dead rows that gather in the hot table between two looks of autovacuum.
    pub dead_rows_between_vacuums: f64,
    pub vacuum_share: f64,
    /// Fullest first.
    pub limits: Vec<Limit>,
}

impl Plan {
    pub fn of(day: &Day, options: &Options) -> Self {
        let peak = &day.peak;
        let nodes = Nodes::of(peak, options);
        let count = f64::from(nodes.needed);
        let database_cores_busy = database_cores(peak, nodes);
        let commits_per_second = commits(peak, count, options);
        Self {
            nodes,
            connections: connections(nodes, options),
            database_cores_busy,
            database_cores_needed: (database_cores_busy / options.busy_target).ceil().max(1.0),
            commits_per_second,
            commits_per_second_needed: peak.entries / ENTRIES_PER_COMMIT,
            flushes_per_second_possible: 1_000.0 / options.flush_ms,
            disk_bytes: disk_bytes(day, options),
            partitions_kept: DAILY_TABLES * (options.retention_days + 1),
            kept_rows_per_day: day.mean.kept_rows * 86_400.0,
            hot_rows: day.waiting_most + peak.in_flight,
            dead_rows_between_vacuums: peak.dead_rows * VACUUM_NAP_SECONDS,
            vacuum_share: peak.dead_rows / VACUUMED_ROWS_PER_SECOND,
            limits: limits(day, options),
        }
    }

    /// What gives way first as traffic grows.
    pub fn first(&self) -> &Limit {
        self.limits.first().expect("the list of limits is written above")
    }

    pub fn is_enough(&self) -> bool {
        self.limits.iter().all(|limit| limit.used_share <= 1.0)
    }
}

/// What there is only so much of, and the share that a day takes of what may be
/// used of it.
fn used_shares(day: &Day, options: &Options) -> [(&'static str, f64); 6] {
    let peak = &day.peak;
    let nodes = Nodes::of(peak, options);
    let busy = options.busy_target;
    let flushes = peak.entries / ENTRIES_PER_COMMIT * options.flush_ms / 1_000.0;
    [
        ("database CPU", database_cores(peak, nodes) / (options.database_cores * busy)),
        ("disk writes", peak.disk_bytes / (options.disk_mb_per_second * 1e6 * busy)),
        ("flushes", flushes / busy),
        ("vacuum", peak.dead_rows / (VACUUMED_ROWS_PER_SECOND * busy)),
        ("disk size", disk_bytes(day, options) / (options.disk_tb * 1e12 * DISK_FULL_SHARE)),
        ("connections", f64::from(connections(nodes, options)) / f64::from(options.max_connections)),
    ]
}

fn limits(day: &Day, options: &Options) -> Vec<Limit> {
    let limit = |(index, (name, used_share)): (usize, (&'static str, f64))| {
        let fits = |factor: f64| used_shares(&day.scaled(factor), options)[index].1 <= 1.0;
        Limit { name, used_share, breaks_at_events_per_second: day.mean.events * most_that_fits(fits) }
    };
    let mut limits: Vec<Limit> = used_shares(day, options).into_iter().enumerate().map(limit).collect();
    limits.sort_by(|one, other| one.breaks_at_events_per_second.total_cmp(&other.breaks_at_events_per_second));
    limits
}

/// The largest factor that fits, looked for by halving: nodes come one at a
/// time, so that it cannot be computed.
fn most_that_fits(fits: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while fits(high) && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

/// Commits a second of so many nodes: what waits for a commit is what came
/// during the last, and never less than one entry.
fn commits(peak: &Demand, nodes: f64, options: &Options) -> f64 {
    let (entries, busy) = (peak.entries / nodes, peak.database_cores / nodes);
    let of_one = (1.0 - busy).max(0.0) / commit_seconds(options);
    // A journal that is used up still commits, with as much as a commit holds.
    nodes * of_one.min(entries).max(entries / ENTRIES_PER_COMMIT)
}

fn disk_bytes(day: &Day, options: &Options) -> f64 {
    day.mean.kept_bytes * 86_400.0 * f64::from(options.retention_days)
        + (day.waiting_most + day.peak.in_flight + day.peak.dead_rows * VACUUM_NAP_SECONDS) * PENDING_ROW_BYTES
}

fn connections(nodes: Nodes, options: &Options) -> u32 {
    nodes.needed * (CONNECTIONS_BESIDE_READERS + options.readers) + CONNECTIONS_RESERVED
}

fn database_cores(peak: &Demand, nodes: Nodes) -> f64 {
    peak.database_cores + f64::from(nodes.needed) * DATABASE_CORES_PER_IDLE_NODE
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn counts(events: u64, put_off: u64) -> Counts {
        let (born, delivered) = (events, events);
        Counts { events, born, first_attempts: born, retries: put_off, delivered, exhausted: 0, put_off }
    }

    fn day(events: u64, put_off: u64, options: &Options) -> Day {
        let minute = Minute { counts: counts(events * 60, put_off * 60), waiting: 0, endpoints_waiting: 0.0 };
        Day::of(&[minute; 3], options)
    }

    #[test]
    fn a_delivery_that_succeeds_at_once_costs_what_was_measured() {
        let options = Options::parse_from(["scaling", "--body-bytes", &BODY_BYTES_THEN.to_string()]);
        let demand = day(1_000, 0, &options).peak;
        assert!((demand.database_cores - 1_000.0 * DATABASE_SECONDS_PER_LIFE).abs() < 1e-9);
        assert!((demand.node_cores - 1_000.0 * NODE_SECONDS_PER_LIFE).abs() < 1e-9);
        assert!((demand.wal_bytes - 1_000.0 * WAL_BYTES_PER_LIFE).abs() < 1e-6);
        assert!((demand.kept_bytes - 1_000.0 * KEPT_BYTES_PER_LIFE).abs() < 1e-6);
    }

    #[test]
    fn more_traffic_and_more_retries_never_need_less() {
        let options = Options::parse_from(["scaling"]);
        let mut before: Option<Plan> = None;
        for (events, put_off) in [(10, 0), (500, 0), (500, 100), (5_000, 100), (5_000, 9_000), (60_000, 9_000)] {
            let plan = Plan::of(&day(events, put_off, &options), &options);
            if let Some(before) = before {
                assert!(plan.nodes.needed >= before.nodes.needed);
                assert!(plan.database_cores_busy > before.database_cores_busy);
                assert!(plan.disk_bytes > before.disk_bytes);
                assert!(plan.connections >= before.connections);
            }
            before = Some(plan);
        }
    }

    #[test]
    fn every_limit_is_full_where_it_is_said_to_break() {
        let options = Options::parse_from(["scaling"]);
        let day = day(2_000, 500, &options);
        let plan = Plan::of(&day, &options);
        assert!(plan.limits.is_sorted_by_key(|limit| limit.breaks_at_events_per_second));
        for limit in &plan.limits {
            let at = |share: f64| {
                let day = day.scaled(share * limit.breaks_at_events_per_second / day.mean.events);
                let limits = Plan::of(&day, &options).limits;
                limits.into_iter().find(|other| other.name == limit.name).unwrap().used_share
            };
            assert!(at(0.9) <= 1.0 && at(1.1) > 1.0, "{}: {} and {}", limit.name, at(0.9), at(1.1));
        }
    }

    #[test]
    fn the_loss_of_a_node_leaves_the_rest_within_the_target() {
        let options = Options::parse_from(["scaling"]);
        for events in [10, 3_000, 20_000, 90_000] {
            let peak = day(events, events / 3, &options).peak;
            let rest = f64::from(Nodes::of(&peak, &options).needed - 1);
            assert!(node_shares(&peak, &options).iter().all(|share| share / rest <= options.busy_target));
        }
    }
}
