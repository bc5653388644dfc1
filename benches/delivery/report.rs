//! How the figures are shown: each against its limit first, then all of them,
//! then whatever must be 0 and is not. The same goes into a file as JSON.

use std::fmt;

use crate::measured::{Measured, Spread};
use crate::scenario::{Figure, SCENARIOS};
use crate::server::System;

/// The part of one core that other processes may take before it is remarked on.
const QUIET_SHARE: f64 = 0.1;

/// All that was measured in one run of the benchmark.
#[derive(serde::Serialize)]
pub struct Report {
    version: &'static str,
    cores: Option<usize>,
    summary: Vec<Judgement>,
    rows: Vec<Measured>,
}

/// A figure and its limit.
#[derive(serde::Serialize)]
struct Judgement {
    scenario: &'static str,
    figure: &'static str,
    /// The server's; absent if it was not measured, as with the next.
    posthaste: Option<f64>,
    /// The forwarder's, in the same run.
    limit: Option<f64>,
    /// The server's part of the limit, or for times how many times the limit.
    ratio: Option<f64>,
}

type Reading = (&'static str, fn(&Measured) -> Option<f64>);

impl Report {
    pub fn new(rows: Vec<Measured>) -> Self {
        let mut summary = Vec::new();
        for scenario in &SCENARIOS {
            let of = |system| rows.iter().find(|row| row.scenario == scenario.name && row.system == system);
            let (server, forwarder) = (of(System::Posthaste), of(System::Forwarder));
            if server.is_none() && forwarder.is_none() {
                continue;
            }
            for (figure, read) in readings(scenario.figure) {
                let (posthaste, limit) = (server.and_then(read), forwarder.and_then(read));
                let ratio = posthaste.zip(limit).filter(|(_, limit)| *limit > 0.0);
                let ratio = ratio.map(|(figure, limit)| figure / limit);
                summary.push(Judgement { scenario: scenario.name, figure, posthaste, limit, ratio });
            }
        }
        let cores = std::thread::available_parallelism().ok().map(usize::from);
        Self { version: env!("CARGO_PKG_VERSION"), cores, summary, rows }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers can be written as JSON")
    }
}

fn readings(figure: Figure) -> Vec<Reading> {
    match figure {
        Figure::DeliveriesPerSecond => vec![("deliveries/s", |row| Some(row.deliveries_per_second))],
        Figure::Latency => vec![
            ("post to sink, p50 ms", |row| row.post_to_receipt_ms.map(|spread| spread.p50)),
            ("post to sink, p99 ms", |row| row.post_to_receipt_ms.map(|spread| spread.p99)),
        ],
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = self.cores.map_or("?".into(), |cores| cores.to_string());
        writeln!(formatter, "\nposthaste {} with load generator and sink on {cores} cores", self.version)?;
        writeln!(formatter, "the limit is a bare forwarder's figure in the same run\n")?;
        let titles = ["scenario", "figure", "posthaste", "limit", "ratio"];
        table(formatter, &titles, 2, self.summary.iter().map(Judgement::cells).collect())?;
        writeln!(formatter)?;
        let titles = [
            "scenario",
            "system",
            "deliveries",
            "per s",
            "accepted/s",
            "post-202 p50/p99 ms",
            "post-sink p50/p99 ms",
            "202-sink p50/p99 ms",
            "peak MiB",
            "CPU s",
            "harness's",
            "others'",
            "lost",
            "twice",
        ];
        table(formatter, &titles, 2, self.rows.iter().map(cells).collect())?;
        for row in &self.rows {
            remark(formatter, row)?;
        }
        Ok(())
    }
}

impl Judgement {
    fn cells(&self) -> Vec<String> {
        let number = |value: Option<f64>, decimals| value.map_or("-".into(), |value| grouped(value, decimals));
        let decimals = if self.figure == "deliveries/s" { 0 } else { 2 };
        vec![
            self.scenario.into(),
            self.figure.into(),
            number(self.posthaste, decimals),
            number(self.limit, decimals),
            number(self.ratio, 3),
        ]
    }
}

fn cells(row: &Measured) -> Vec<String> {
    let spread = |spread: Option<Spread>| spread.map_or("-".into(), |it| format!("{:.2} / {:.2}", it.p50, it.p99));
    let seconds = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    // The forwarder answers after it has sent, so that this would always be 0.
    let after_accept = (row.system == System::Posthaste).then_some(row.accept_to_receipt_ms).flatten();
    vec![
        row.scenario.into(),
        row.system.name().into(),
        grouped(row.deliveries as f64, 0),
        grouped(row.deliveries_per_second, 0),
        grouped(row.accepted_events_per_second, 0),
        spread(row.post_to_accept_ms),
        spread(row.post_to_receipt_ms),
        spread(after_accept),
        row.peak_memory_bytes.map_or("-".into(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20))),
        seconds(row.cpu_seconds),
        seconds(row.harness_cpu_seconds),
        seconds(row.foreign_cpu_seconds),
        row.lost.to_string(),
        row.duplicates.to_string(),
    ]
}

fn remark(formatter: &mut fmt::Formatter<'_>, row: &Measured) -> fmt::Result {
    let (name, system) = (row.scenario, row.system.name());
    for (count, what) in [
        (row.lost, "deliveries of accepted events were not received: LOST, or later than --drain-seconds"),
        (row.strays, "requests at the sink were no event that was posted, or an altered one"),
        (row.calls.failed, "calls had no answer"),
    ] {
        if count > 0 {
            writeln!(formatter, "{name}, {system}: {} {what}", grouped(count as f64, 0))?;
        }
    }
    for (status, count) in &row.calls.refused {
        writeln!(formatter, "{name}, {system}: {} answers were {status}", grouped(*count as f64, 0))?;
    }
    let foreign = row.foreign_cpu_seconds.unwrap_or_default();
    if foreign > QUIET_SHARE * row.elapsed_seconds {
        let elapsed = row.elapsed_seconds;
        writeln!(formatter, "{name}, {system}: others took {foreign:.1} s of CPU in {elapsed:.1} s: measure again")?;
    }
    if row.calls.worst_lateness_ms > 1.0 {
        let late = row.calls.worst_lateness_ms;
        writeln!(formatter, "{name}, {system}: for want of a free connection, a call was up to {late:.1} ms late")?;
    }
    Ok(())
}

/// Writes columns as wide as they need to be; from the one after `words` on they
/// are numbers and stand to the right.
fn table(formatter: &mut fmt::Formatter<'_>, titles: &[&str], words: usize, rows: Vec<Vec<String>>) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.chain([titles[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(titles).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(formatter, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A number with a comma between thousands.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut digits = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            digits.push(',');
        }
        digits.push(digit);
    }
    digits + rest
}
