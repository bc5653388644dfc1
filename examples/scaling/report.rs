//! What is shown of it all: tables for people, JSON for programs.

use serde::Serialize;

use crate::capacity::{Day, Plan};
use crate::cells::Cells;
use crate::chart::{chart, rates};
use crate::options::Options;
use crate::simulation::{Counts, Minute};
use crate::takeover::{Spread, Takeover};

/// An hour of the last day, attempts a second.
#[derive(Serialize)]
struct Hour {
    hour: usize,
    first_attempts_per_second: f64,
    retries_per_second: f64,
    waiting: u64,
}

/// All that a run comes to.
#[derive(Serialize)]
pub struct Report {
    options: Options,
    day: Day,
    attempts_per_delivery: f64,
    exhausted_per_day: u64,
    one_database: Plan,
    takeovers: Vec<Takeover>,
    cells: Cells,
    hours: Vec<Hour>,
    #[serde(skip)]
    chart: String,
}

impl Report {
    pub fn new(
        options: Options,
        minutes: &[Minute],
        day: Day,
        plan: Plan,
        takeovers: Vec<Takeover>,
        cells: Cells,
    ) -> Self {
        let mut total = Counts::default();
        for minute in minutes {
            total.add(&minute.counts);
        }
        let hour = |(hour, minutes): (usize, &[Minute])| {
            let (first_attempts_per_second, retries_per_second) = rates(minutes);
            let waiting = minutes.last().map_or(0, |minute| minute.waiting);
            Hour { hour, first_attempts_per_second, retries_per_second, waiting }
        };
        Self {
            options,
            day,
            attempts_per_delivery: total.attempts() as f64 / (total.born as f64).max(1.0),
            exhausted_per_day: total.exhausted,
            one_database: plan,
            takeovers,
            cells,
            hours: minutes.chunks(60).enumerate().map(hour).collect(),
            chart: chart(minutes),
        }
    }

    pub fn text(&self) -> String {
        let mut lines = vec![self.chart.clone()];
        self.add_load(&mut lines);
        add_plan(&mut lines, "One database", &self.one_database, &self.options);
        add_limits(&mut lines, &self.one_database);
        self.add_takeovers(&mut lines);
        self.add_cells(&mut lines);
        lines.join("\n")
    }

    fn add_load(&self, lines: &mut Vec<String>) {
        let (mean, peak) = (&self.day.mean, &self.day.peak);
        lines.push(format!("Load {:>26} {:>14}", "mean", "busiest minute"));
        let mut row = |name: &str, mean: f64, peak: f64| {
            lines.push(format!("  {name:<18}{:>11} {:>14}", count(mean), count(peak)));
        };
        row("events/s", mean.events, peak.events);
        row("attempts/s", mean.attempts, peak.attempts);
        row("in flight", mean.in_flight, peak.in_flight);
        row("rows written/s", mean.rows, peak.rows);
        row("WAL kB/s", mean.wal_bytes / 1e3, peak.wal_bytes / 1e3);
        row("disk writes kB/s", mean.disk_bytes / 1e3, peak.disk_bytes / 1e3);
        row("dead hot rows/s", mean.dead_rows, peak.dead_rows);
        lines.push(format!(
            "  {:.2} attempts a delivery; {} waiting for a retry at most; {} exhausted a day\n",
            self.attempts_per_delivery,
            count(self.day.waiting_most),
            count(self.exhausted_per_day as f64)
        ));
    }

    fn add_takeovers(&self, lines: &mut Vec<String>) {
        let Some(nodes) = self.takeovers.first().map(|takeover| takeover.nodes) else { return };
        let kills = self.options.kills;
        let heading = format!("A node of {nodes} is killed ({} times each)", count(f64::from(kills)));
        lines.push(format!("{heading:<44}{:>8} {:>8} {:>8} {:>8}", "min", "p50", "p99", "max"));
        for takeover in &self.takeovers {
            let (hour, rate) = (takeover.at_hour, count(takeover.attempts_per_second));
            lines.push(format!(
                "  at {hour:.1} h, {rate} attempts/s, {:.0} in flight repeated",
                takeover.attempts_repeated
            ));
            let mut row = |name: &str, spread: &Spread, show: fn(f64) -> String| {
                let [min, p50, p99, max] = [spread.min, spread.p50, spread.p99, spread.max].map(show);
                lines.push(format!("    {name:<40}{min:>8} {p50:>8} {p99:>8} {max:>8}"));
            };
            row("a partition without owner, s", &takeover.partition_seconds, seconds);
            row("until the last has one, s", &takeover.complete_seconds, seconds);
            row("attempts overdue then", &takeover.backlog, count);
            match &takeover.drained_seconds {
                Some(drained) => row("until nothing is overdue, s", drained, seconds),
                None => lines.push("    the remaining nodes cannot catch up within an hour".to_owned()),
            }
        }
        lines.push(String::new());
    }

    fn add_cells(&self, lines: &mut Vec<String>) {
        let cells = &self.cells;
        if cells.count == 1 {
            lines.push("Cells: one database is enough".to_owned());
            return;
        }
        lines.push(format!("Cells: {}", cells.count));
        if !cells.is_enough {
            let share = cells.largest_partner_share * 100.0;
            lines.push(format!("  not enough even so: the largest partner alone has {share:.1} % of the load"));
        }
        let (partners, by_hand) = (count(f64::from(self.options.partners)), self.options.placed_by_hand);
        lines.push(format!(
            "  {partners} partners, the largest with {:.1} % of the load; {} to {} in a cell",
            cells.largest_partner_share * 100.0,
            cells.partners_fewest,
            cells.partners_most
        ));
        lines.push(format!(
            "  fullest cell over the mean: {:.2} by hashing alone, {:.2} with the {by_hand} largest placed by hand",
            cells.unevenness_hashed, cells.unevenness_placed
        ));
        lines.push(format!(
            "  one more cell moves {} partners with {:.1} % of the load\n",
            cells.partners_moved,
            cells.load_moved * 100.0
        ));
        let events = count(self.day.mean.events * cells.fullest_share);
        add_plan(lines, &format!("The fullest cell ({events} events/s)"), &cells.fullest, &self.options);
        add_limits(lines, &cells.fullest);
    }
}

fn add_plan(lines: &mut Vec<String>, title: &str, plan: &Plan, options: &Options) {
    let nodes = &plan.nodes;
    lines.push(title.to_owned());
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<18}{value}"));
    row(
        "nodes",
        format!(
            "{}, of {} cores each ({} for CPU, {} for journals, {} for attempts in flight; 1 to lose)",
            nodes.needed, options.node_cores, nodes.for_cpu, nodes.for_journals, nodes.for_in_flight
        ),
    );
    row(
        "database",
        format!(
            "cores: {} ({:.1} busy at the peak), connections: {}",
            plan.database_cores_needed, plan.database_cores_busy, plan.connections
        ),
    );
    row(
        "commits/s",
        format!(
            "{} as they come, {} if all were full; the disk can flush {} times",
            count(plan.commits_per_second),
            count(plan.commits_per_second_needed.ceil()),
            count(plan.flushes_per_second_possible)
        ),
    );
    row(
        "disk",
        format!(
            "{:.2} TB after {} days: {} rows a day, {} daily partitions",
            plan.disk_bytes / 1e12,
            options.retention_days,
            count(plan.kept_rows_per_day),
            plan.partitions_kept
        ),
    );
    row(
        "hot table",
        format!(
            "{} rows, {} dead ones between two vacuums, which work {:.1} % of the time\n",
            count(plan.hot_rows),
            count(plan.dead_rows_between_vacuums),
            plan.vacuum_share * 100.0
        ),
    );
}

fn add_limits(lines: &mut Vec<String>, plan: &Plan) {
    lines.push(format!("{:<20}{:>18}{:>22}", "What breaks first", "used of allowed", "breaks at events/s"));
    for limit in &plan.limits {
        let used = format!("{:.1} %", limit.used_share * 100.0);
        lines.push(format!("  {:<18}{used:>18}{:>22}", limit.name, count(limit.breaks_at_events_per_second)));
    }
    let first = plan.first();
    let verdict = if first.used_share > 1.0 { "is too small for this load" } else { "is what breaks first" };
    lines.push(format!("  {} {verdict}\n", first.name));
}

fn seconds(value: f64) -> String {
    format!("{value:.1}")
}

/// A number to be read: no fractions, thousands apart.
fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (value, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(count(value), text);
        }
    }
}
