//! How the figures are shown: each beside its limits and what it is to reach
//! first, then all of them, then whatever must be 0 and is not. The same goes into
//! a file as JSON.

use std::fmt;

use crate::judgement::Judgement;
use crate::measured::{Measured, Spread};
use crate::run::{Options, Sizes};
use crate::server::System;
use crate::stores::BackendName;
use crate::table::{grouped, number, table};

/// The part of one core that other processes may take before it is remarked on.
const QUIET_SHARE: f64 = 0.1;

/// All that was measured in one run of the benchmark.
#[derive(Default, serde::Serialize)]
pub struct Report {
    summary: Vec<Judgement>,
    rows: Vec<Measured>,
}

/// What the JSON says beside that.
#[derive(serde::Serialize)]
struct Document<'a> {
    version: &'static str,
    store: BackendName,
    cores: Option<usize>,
    seconds: f64,
    sizes: Sizes,
    #[serde(flatten)]
    report: &'a Report,
}

impl Report {
    /// Adds what a scenario came to.
    pub fn add(&mut self, rows: Vec<Measured>, judgements: Vec<Judgement>) {
        self.rows.extend(rows);
        self.summary.extend(judgements);
    }

    pub fn json(&self, options: &Options) -> String {
        let document = Document {
            version: env!("CARGO_PKG_VERSION"),
            store: options.backend,
            cores: cores(),
            seconds: options.duration.as_secs_f64(),
            sizes: options.sizes,
            report: self,
        };
        serde_json::to_string_pretty(&document).expect("names and numbers can be written as JSON")
    }
}

fn cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, cores) = (env!("CARGO_PKG_VERSION"), cores().map_or("?".into(), |cores| cores.to_string()));
        writeln!(formatter, "\nposthaste {version} with load generator and sink on {cores} cores")?;
        writeln!(
            formatter,
            "limits, in the same run: the client alone (signs and sends), the journal alone (stores),"
        )?;
        writeln!(formatter, "a bare forwarder (takes, signs and sends), or the server itself without the burden;")?;
        writeln!(formatter, "the ratio is to one of the last two\n")?;
        table(formatter, &Judgement::TITLES, 2, self.summary.iter().map(Judgement::cells).collect())?;
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(formatter)?;
        table(formatter, &TITLES, 2, self.rows.iter().map(cells).collect())?;
        let with_server: Vec<Vec<String>> = self.rows.iter().filter_map(store_cells).collect();
        if !with_server.is_empty() {
            writeln!(formatter, "\nwhat a delivery cost the nodes and the database\n")?;
            table(formatter, &STORE_TITLES, 2, with_server)?;
        }
        self.rows.iter().try_for_each(|row| remark(formatter, row))
    }
}

const TITLES: [&str; 15] = [
    "scenario",
    "system",
    "deliveries",
    "per s",
    "accepted/s",
    "post-202 p50/p99 ms",
    "post-sink p50/p99 ms",
    "202-sink p50/p99 ms",
    "MB at end/peak",
    "CPU s",
    "harness's",
    "database's",
    "others'",
    "lost",
    "twice",
];

fn cells(row: &Measured) -> Vec<String> {
    let spread = |spread: Option<Spread>| spread.map_or("-".into(), |it| format!("{:.2} / {:.2}", it.p50, it.p99));
    // The other two answer after they have sent, so that this would always be 0.
    let answers_first = matches!(row.subject.system, System::Posthaste | System::Journal);
    let after_accept = row.accept_to_receipt_ms.filter(|_| answers_first);
    let memory = row.memory_mb.zip(row.peak_memory_mb);
    vec![
        row.subject.scenario.into(),
        name(row),
        grouped(row.deliveries as f64, 0),
        grouped(row.deliveries_per_second, 0),
        grouped(row.accepted_events_per_second, 0),
        spread(row.post_to_accept_ms),
        spread(row.post_to_receipt_ms),
        spread(after_accept),
        memory.map_or("-".into(), |(end, peak)| format!("{end:.1} / {peak:.1}")),
        number(row.cpu_seconds, 2),
        number(row.harness_cpu_seconds, 2),
        number(row.store.map(|store| store.cpu_seconds), 2),
        number(row.foreign_cpu_seconds, 2),
        row.lost.to_string(),
        row.duplicates.to_string(),
    ]
}

const STORE_TITLES: [&str; 10] = [
    "scenario",
    "system",
    "CPU us",
    "database's",
    "WAL bytes",
    "rows",
    "database's cores",
    "rows/s",
    "commits/s",
    "transactions/s",
];

/// Columns three to six are of one delivery.
fn store_cells(row: &Measured) -> Option<Vec<String>> {
    let store = row.store?;
    let of_delivery = |sum: f64| sum / row.deliveries.max(1) as f64;
    let per_second = |count: f64| grouped(count / row.elapsed_seconds.max(f64::MIN_POSITIVE), 0);
    let commits = Some(row.commits as f64).filter(|commits| *commits > 0.0);
    Some(vec![
        row.subject.scenario.into(),
        name(row),
        number(row.cpu_seconds.map(|cpu| 1e6 * of_delivery(cpu)), 1),
        grouped(1e6 * of_delivery(store.cpu_seconds), 1),
        grouped(of_delivery(store.wal_bytes), 0),
        grouped(of_delivery(store.rows), 2),
        grouped(store.cpu_seconds / row.elapsed_seconds.max(f64::MIN_POSITIVE), 2),
        per_second(store.rows),
        commits.map_or("-".into(), per_second),
        per_second(store.transactions),
    ])
}

fn name(row: &Measured) -> String {
    let system = row.subject.system.name();
    row.subject.case.map_or(system.into(), |case| format!("{system}, {case}"))
}

fn remark(formatter: &mut fmt::Formatter<'_>, row: &Measured) -> fmt::Result {
    let (scenario, system) = (row.subject.scenario, name(row));
    for (count, what) in [
        (row.lost, "deliveries of accepted events were not received: LOST, or later than --drain-seconds"),
        (row.strays, "requests at the sink were no event that was posted, or an altered one"),
        (row.calls.failed, "calls had no answer"),
    ] {
        if count > 0 {
            writeln!(formatter, "{scenario}, {system}: {} {what}", grouped(count as f64, 0))?;
        }
    }
    for (status, count) in &row.calls.refused {
        writeln!(formatter, "{scenario}, {system}: {} answers were {status}", grouped(*count as f64, 0))?;
    }
    let foreign = row.foreign_cpu_seconds.unwrap_or_default();
    if foreign > QUIET_SHARE * row.elapsed_seconds {
        let elapsed = row.elapsed_seconds;
        writeln!(
            formatter,
            "{scenario}, {system}: others took {foreign:.1} s of CPU in {elapsed:.1} s: measure again"
        )?;
    }
    if row.calls.worst_lateness_ms > 1.0 {
        let late = row.calls.worst_lateness_ms;
        writeln!(formatter, "{scenario}, {system}: for want of a free connection, a call was up to {late:.1} ms late")?;
    }
    Ok(())
}
