//! How fast events get from upstream to subscribers, end to end: a load
//! generator, the real server and a sink on this machine, over real sockets.
//! Every figure stands beside its limit: what a bare forwarder, which signs and
//! sends but stores nothing, does in the same run. It prints and never asserts.
//!
//! `cargo bench --bench delivery -- --help` lists scenarios and options.

mod event;
mod forwarder;
mod ledger;
mod load;
mod measured;
mod report;
mod run;
mod scenario;
mod server;
mod sink;
mod usage;
mod wire;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser};
use futures_util::future::{Either, select};
use posthaste::cli::stop_signal;

use measured::Measured;
use scenario::{SCENARIOS, Scenario};
use server::System;

/// The forwarder runs in this executable, and would not be the server's limit
/// with a slower allocator than the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures deliveries end to end. `POSTHASTE_…` variables other than those that
/// the benchmark itself sets reach the server, so that options can be compared.
#[derive(Parser)]
#[command(name = "delivery")]
struct Arguments {
    /// What to measure; repeat it for several [default: all].
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario_names())]
    scenarios: Vec<String>,
    /// How long events are posted for.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How long events are posted for beforehand, unmeasured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=600))]
    warm_up_seconds: u32,
    /// How long to wait, after the last post, for what was accepted.
    #[arg(long, default_value_t = 120)]
    drain_seconds: u32,
    /// Kept-alive connections of the load generator, instead of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    connections: Option<u32>,
    /// Measure this alone; a ratio needs both.
    #[arg(long)]
    system: Option<System>,
    /// Where the server keeps things.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// Where that is; a directory in memory would make its flushes free.
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    directory: PathBuf,
    /// The server's executable, to measure another build than this one's.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_posthaste"))]
    program: PathBuf,
    /// Write every figure to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Be the forwarder, at this address.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    forwarder: Option<SocketAddr>,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The backends of `POSTHASTE_STORE`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Store {
    Sqlite,
}

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        // This is how `cargo test --all-targets` runs benchmarks.
        println!("nothing measured: run `cargo bench --bench delivery`");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let result = match arguments.forwarder {
        Some(address) => forwarder::run(address).map_err(Into::into),
        None => measure(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Whoever stops the benchmark drops what it does, and the children and
        // directories with it.
        let stopped = std::pin::pin!(stop_signal()?);
        let done = std::pin::pin!(measure_all(&arguments));
        match select(done, stopped).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err("stopped before the end".into()),
        }
    })
}

async fn measure_all(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let systems: Vec<System> =
        arguments.system.map_or_else(|| vec![System::Forwarder, System::Posthaste], |one| vec![one]);
    let options = run::Options::new(arguments);
    let mut rows = Vec::new();
    let result = measure_into(&mut rows, arguments, &systems, &options).await;
    // What took minutes to measure is shown even if the rest could not be.
    let report = report::Report::new(rows);
    print!("{report}");
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    result
}

async fn measure_into(
    rows: &mut Vec<Measured>,
    arguments: &Arguments,
    systems: &[System],
    options: &run::Options,
) -> Result<(), Box<dyn Error>> {
    for scenario in chosen(arguments) {
        for system in systems {
            eprintln!("{} of {}: {}", scenario.name, system.name(), scenario.about);
            rows.push(run::measure(scenario, *system, options).await?);
        }
    }
    Ok(())
}

fn chosen(arguments: &Arguments) -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().filter(|scenario| {
        arguments.scenarios.is_empty() || arguments.scenarios.iter().any(|name| name == scenario.name)
    })
}

fn scenario_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.iter().map(|scenario| PossibleValue::new(scenario.name).help(scenario.about)))
}
