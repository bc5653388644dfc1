//! `posthaste verify-store`: checks what was promised against what is stored, beside
//! the nodes that work on it, and says what it found. It writes nothing, and needs no
//! keys. 0: all is as it should be; 1: something is not; 2: it could not look.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::clock::Clock;
use crate::cluster::new_node_id;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::domain::Timestamp;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sqlite::SqliteStore;
use crate::store::verifying::{Found, Report, Thoroughness, Walk, verify};
use crate::store::{Store, StoreError};

use super::progress::ProgressLine;

/// Something was found.
const FOUND: u8 = 1;
/// It could not be looked.
const COULD_NOT_LOOK: u8 = 2;

/// What `verify-store` is told.
#[derive(Args)]
pub struct VerifyStoreArgs {
    /// Look up for every event who wanted it, and not only for some. Takes much longer.
    #[arg(long)]
    pub full: bool,
    /// Look only at what came in since then, e.g. 2027-01-31T00:00:00Z.
    #[arg(long)]
    pub since: Option<Timestamp>,
    /// Say what was found as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the store is; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// Does it.
pub fn run(arguments: VerifyStoreArgs) -> ExitCode {
    let is_json = arguments.json;
    match look(arguments) {
        Ok(report) => {
            let text = if is_json { report.json().to_string() } else { told(&report) };
            println!("{text}");
            if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
        }
        Err(error) => {
            eprintln!("error: {}", super::with_sources(error.as_ref()));
            ExitCode::from(COULD_NOT_LOOK)
        }
    }
}

fn look(arguments: VerifyStoreArgs) -> Result<Report, Box<dyn Error>> {
    let config = Config::load(arguments.options)?;
    let store = open(&config)?;
    let mut line = ProgressLine::new();
    let thoroughness = Thoroughness { since: arguments.since, is_full: arguments.full };
    let report = verify(store.as_ref(), thoroughness, &mut |progress| {
        let what = progress.walk.map_or("entries of the audit log", Walk::name);
        line.show(Some(progress.part), &format!("{} {what}", progress.rows));
    });
    drop(line);
    Ok(report.map_err(not_of_this_release)?)
}

fn not_of_this_release(error: StoreError) -> String {
    format!("{error}\nif no node of this release has had this store yet, it has nothing that could be looked at")
}

fn open(config: &Config) -> Result<Box<dyn Store>, Box<dyn Error>> {
    Ok(match &config.store.location {
        StoreLocation::Sqlite(path) => Box::new(SqliteStore::open_beside(path)?),
        StoreLocation::Postgres(url) => Box::new(
            PostgresStore::open_to_read(&PostgresOptions {
                url: url.expose().to_owned(),
                readers: 1,
                statement_cache: config.store.statement_cache,
                node: new_node_id(Clock::system().wall())
                    .map_err(|error| format!("the system has no randomness: {error}"))?,
                metrics: Arc::default(),
                clock: Clock::system(),
            })
            .map_err(not_of_this_release)?,
        ),
    })
}

/// The report, for people.
fn told(report: &Report) -> String {
    let mut text = String::new();
    for found in &report.checks {
        text.push_str(&line_of(found));
        text.push('\n');
        for example in &found.examples {
            text.push_str(&format!("    {example}\n"));
        }
        if found.found > found.examples.len() as u64 {
            text.push_str("    …\n");
        }
    }
    text.push_str(match report.is_whole() {
        true => "the store is as it should be",
        false => "the store is not as it should be",
    });
    text
}

fn line_of(found: &Found) -> String {
    let (name, promise) = (found.check.name(), found.check.promise());
    match found.found {
        0 => format!("ok     {name}: {promise} ({} looked at)", found.looked_at),
        count => format!(
            "BROKEN {name}: {promise}: {}{count} not ({} looked at)",
            if found.has_more { "at least " } else { "" },
            found.looked_at
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::verifying::Check;

    #[test]
    fn what_was_found_is_told_with_some_of_it() {
        let whole = Found { check: Check::Numbers, looked_at: 7, found: 0, has_more: false, examples: Vec::new() };
        let broken = Found {
            check: Check::Attempts,
            looked_at: 9,
            found: 3,
            has_more: true,
            examples: vec!["dlv_1: why".into()],
        };
        let text = told(&Report { checks: vec![whole.clone(), broken] });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ok     numbers: no two deliveries of an endpoint have one number (7 looked at)");
        assert!(
            lines[1].starts_with("BROKEN attempts: ") && lines[1].ends_with(": at least 3 not (9 looked at)"),
            "{text}"
        );
        assert_eq!(&lines[2..], ["    dlv_1: why", "    …", "the store is not as it should be"]);
        assert!(told(&Report { checks: vec![whole] }).ends_with("\nthe store is as it should be"));
    }
}
