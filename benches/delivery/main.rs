//! How fast events get from upstream to subscribers, end to end: a load
//! generator, the real server and a sink on this machine, over real sockets.
//! Every figure stands beside what limits it in the same run, such as a bare
//! forwarder, which signs and sends but stores nothing, and beside what it is to
//! reach. It prints and never asserts.
//!
//! `cargo bench --bench delivery -- --help` lists scenarios and options.

mod audience;
mod big_store;
mod burden;
mod client;
mod costs;
mod dead;
mod directory;
mod driver;
mod event;
mod forwarder;
mod history;
mod journal;
mod judgement;
mod ledger;
mod load;
mod measured;
mod nodes;
mod outage;
mod pages;
mod reach;
mod recovery;
mod report;
mod retries;
mod run;
mod scenario;
mod search;
mod seed;
mod server;
mod sink;
mod stores;
mod table;
mod usage;
mod wire;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use futures_util::future::{Either, select};
use posthaste::cli::stop_signal;

use judgement::Judgement;
use measured::Measured;
use report::Report;
use run::{Options, Sizes};
use scenario::{Kind, SCENARIOS, Scenario, Watched};
use server::System;
use stores::BackendName;

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
    /// Measure this alone; a ratio needs two.
    #[arg(long)]
    system: Option<System>,
    /// Retries that are queued, in `retries`.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = size(100, 80_000_000))]
    queued: usize,
    /// How many of them fall due each second while it is measured.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = size(1, 100_000))]
    due_per_second: usize,
    /// Endpoints that are registered, in `endpoints`.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = size(1_000, 50_000_000))]
    registered: usize,
    /// Deliveries of the past, in `history`.
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = size(1_000, 1_000_000_000))]
    history: usize,
    /// Endpoints that are delivered to, in `hanging`: by default so many that a
    /// fifth of them could hold every attempt that the server has in flight.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = size(5, 10_000))]
    serving: usize,
    /// Deliveries that nobody takes, in `dead`.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = size(1_000, 10_000_000))]
    dead: usize,
    /// Endpoints that are delivered to, in `recovery`; one in ten is well all the time.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = size(10, 10_000))]
    recovering: usize,
    /// Deliveries of the past, in `search`.
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = size(1_000, 1_000_000_000))]
    rows: usize,
    /// Deliveries of the past, in `pages`.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = size(1_000, 1_000_000_000))]
    shown: usize,
    /// Where the server keeps things.
    #[arg(long, value_enum, default_value_t = BackendName::Sqlite)]
    store: BackendName,
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

impl Arguments {
    fn sizes(&self) -> Sizes {
        let Self { queued, due_per_second, registered, history, serving, dead, recovering, rows, shown, .. } = *self;
        Sizes { queued, due_per_second, registered, history, serving, dead, recovering, rows, shown }
    }
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
    // The sink's side of every connection is here.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Whoever stops the benchmark drops what it does, and the children and
        // directories with it.
        let stopped = std::pin::pin!(stop_signal()?);
        let done = std::pin::pin!(measure_all(&arguments));
        match select(done, stopped).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err("stopped before the end".into()),
        }
    });
    // A store that is still being filled has nobody left who wants it.
    runtime.shutdown_background();
    result
}

async fn measure_all(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let options = Options::new(arguments);
    let mut report = Report::default();
    let mut failed = Vec::new();
    for scenario in chosen(arguments)? {
        // One that cannot be measured here is no reason to go without the others.
        if let Err(error) = measure_into(&mut report, scenario, arguments.system, &options).await {
            eprintln!("{} was not measured: {error}", scenario.name);
            failed.push(scenario.name);
        }
    }
    println!("\nstored in {}", options.backend.name());
    print!("{report}");
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json(&options)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

async fn measure_into(
    report: &mut Report,
    scenario: &Scenario,
    only: Option<System>,
    options: &Options,
) -> Result<(), Box<dyn Error>> {
    let Scenario { name, about, kind } = scenario;
    let is_asked_for = |system| only.is_none_or(|only| only == system);
    let mut rows: Vec<Measured> = Vec::new();
    match kind {
        Kind::Limited { shape, limits, figures } => {
            for system in limits.iter().copied().chain([System::Posthaste]).filter(|system| is_asked_for(*system)) {
                eprintln!("{name} of {}: {about}", system.name());
                rows.push(run::measure(name, shape, system, options).await?);
            }
            let judgements =
                figures.iter().map(|figure| Judgement::limited(name, figure, &rows, options.backend)).collect();
            report.add(rows, judgements);
        }
        _ if !is_asked_for(System::Posthaste) => {}
        Kind::Burdened { shape, burden, figures } => {
            for (burdened, case) in [false, true].into_iter().zip(burden.cases()) {
                eprintln!("{name}, {case}: {about}");
                rows.push(burden::measure(name, shape, *burden, burdened, options).await?);
            }
            let pair = [&rows[0], &rows[1]];
            let judgements =
                figures.iter().map(|figure| Judgement::burdened(name, figure, pair, options.backend)).collect();
            report.add(rows, judgements);
        }
        Kind::Foreign { shape, figures } => {
            eprintln!("{name}: {about}");
            rows.push(nodes::measure_foreign(name, shape, options).await?);
            let judgements =
                figures.iter().map(|figure| Judgement::limited(name, figure, &rows, options.backend)).collect();
            report.add(rows, judgements);
        }
        Kind::Watched(watched) => {
            eprintln!("{name}: {about}");
            let findings = match watched {
                Watched::Retries => retries::measure(options).await?,
                Watched::Dead => dead::measure(options).await?,
                Watched::Recovery => recovery::measure(options).await?,
                Watched::Costs => costs::measure(options).await?,
                Watched::Search => search::measure(options).await?,
                Watched::Pages => pages::measure(options).await?,
            };
            let judgements = findings.iter().map(|finding| Judgement::found(name, finding, options.backend)).collect();
            report.add(rows, judgements);
        }
    }
    Ok(())
}

/// A parser of sizes within these bounds.
fn size(least: u64, most: u64) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(least..=most).map(|size| size as usize)
}

/// What was asked for, or else all that can be measured on this store.
fn chosen(arguments: &Arguments) -> Result<Vec<&'static Scenario>, String> {
    let can_be_measured =
        |scenario: &Scenario| arguments.store == BackendName::Postgres || !scenario.kind.needs_postgres();
    if arguments.scenarios.is_empty() {
        return Ok(SCENARIOS.iter().filter(|scenario| can_be_measured(scenario)).collect());
    }
    let is_asked_for = |scenario: &&Scenario| arguments.scenarios.iter().any(|name| name == scenario.name);
    let asked_for: Vec<_> = SCENARIOS.iter().filter(is_asked_for).collect();
    if let Some(scenario) = asked_for.iter().find(|scenario| !can_be_measured(scenario)) {
        return Err(format!("scenario `{}` can only be measured with `--store postgres`", scenario.name));
    }
    Ok(asked_for)
}

fn scenario_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.iter().map(|scenario| PossibleValue::new(scenario.name).help(scenario.about)))
}
