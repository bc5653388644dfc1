//! How many machines a load needs, and how far one database goes: a simulation
//! of days of webhooks, second by second, with their failures, retries and lost
//! nodes. docs/scaling.md explains it; `costs.rs` holds what it knows of real
//! machines.
//!
//! `cargo run --release --example scaling -- --help`

mod capacity;
mod cells;
mod chart;
mod costs;
mod load;
mod options;
mod random;
mod report;
mod simulation;
mod takeover;

use std::process::ExitCode;

use clap::Parser;
use fastrand::Rng;

use capacity::{Day, Plan};
use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = match Options::parse().checked() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let json = options.json;
    let report = simulated(options);
    if !json {
        println!("{}", report.text());
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&report) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the report cannot be written as JSON: {error}");
            ExitCode::FAILURE
        }
    }
}

fn simulated(options: Options) -> Report {
    let minutes = simulation::last_day(&options);
    let day = Day::of(&minutes, &options);
    let plan = Plan::of(&day, &options);
    let cells = cells::cells(&day, &options);
    let mut rng = Rng::with_seed(options.seed.wrapping_add(2));
    let kill = |hour: &f64| takeover::takeover(*hour, plan.nodes.needed, &minutes, &options, &mut rng);
    let takeovers = options.kill_at_hours.iter().map(kill).collect();
    Report::new(options, &minutes, day, plan, takeovers, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run_is_text_and_json() {
        let options = Options::parse_from(["scaling", "--days=1", "--events-per-second=20", "--kills=10"]);
        let report = simulated(options);
        let text = report.text();
        assert!(text.contains("one database is enough") && text.contains("What breaks first"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(json["hours"].as_array().map(Vec::len), Some(24));
        assert!(json["one_database"]["nodes"]["needed"].as_u64() >= Some(2));
    }
}
