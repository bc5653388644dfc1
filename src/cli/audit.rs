//! `posthaste audit verify`: checks the audit log of a store without a node: an
//! SQLite file that no node has open, or a PostgreSQL database, beside its nodes.
//! Beside a node on SQLite, `GET /audit/verify` does the same.

use std::error::Error;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::clock::Clock;
use crate::cluster::new_node_id;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::domain::{AuditHash, AuditHead};
use crate::policy::audit_chain::Verdict;
use crate::store::Store;
use crate::store::audit::{begin_check, check_more};
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sqlite::SqliteStore;

/// After so many entries it says how far it is.
const TELL_EVERY: i64 = 50_000;

/// What `audit` is told.
#[derive(Args)]
pub struct AuditArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: AuditCommand,
    /// Where the store is; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that every entry is still what was written. Nothing is written.
    Verify {
        /// An entry that was in the log before, such as the last at an earlier check.
        #[arg(long, requires = "head", value_parser = clap::value_parser!(i64).range(0..))]
        number: Option<i64>,
        /// The hash that this entry had.
        #[arg(long, requires = "number")]
        head: Option<AuditHash>,
    },
}

/// Does it.
pub fn run(arguments: AuditArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::load(arguments.options)?;
    let AuditCommand::Verify { number, head } = arguments.command;
    let noted = number.zip(head).map(|(number, hash)| AuditHead { number, hash });
    let store = open(&config)?;
    let mut check = begin_check(store.as_ref(), noted).map_err(|error| {
        format!("{error}\nif no node of this release has had this store yet, it has no audit log to check")
    })?;
    while !check.is_over() {
        let told = check.checked() / TELL_EVERY;
        check_more(store.as_ref(), &mut check)?;
        if check.checked() / TELL_EVERY > told {
            eprintln!("checked {} of {} entries", check.checked(), check.entries());
        }
    }
    match check.verdict() {
        Verdict { head, broken: None } => {
            println!("the audit log is intact: {} entries, head {}", head.number, head.hash);
            if let Some(noted) = noted {
                println!("entry {} is still the one that was noted", noted.number);
            }
            Ok(())
        }
        Verdict { broken: Some((number, why)), .. } => {
            Err(format!("the audit log is broken at entry {number}: {why}").into())
        }
    }
}

fn open(config: &Config) -> Result<Box<dyn Store>, Box<dyn Error>> {
    match &config.store.location {
        StoreLocation::Sqlite(path) => Ok(Box::new(
            SqliteStore::open_to_read(path)
                .map_err(|error| format!("{error}\nbeside a running node use its API: `GET /audit/verify`"))?,
        )),
        StoreLocation::Postgres(url) => Ok(Box::new(PostgresStore::open_to_read(&PostgresOptions {
            url: url.expose().to_owned(),
            readers: 1,
            statement_cache: config.store.statement_cache,
            node: new_node_id(Clock::system().wall())
                .map_err(|error| format!("the system has no randomness: {error}"))?,
            clock: Clock::system(),
            metrics: Arc::default(),
        })?)),
    }
}
