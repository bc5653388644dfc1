//! `posthaste secrets`: seals what is in the store with the key that is current now. On
//! SQLite while no node has the store open; on PostgreSQL beside nodes that run, which
//! have the same keys.

use std::error::Error;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::sync::oneshot;

use crate::app::keys;
use crate::clock::Clock;
use crate::cluster::new_node_id;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::domain::{Actor, AuditAction};
use crate::keyring::RingKeyId;
use crate::metrics::Metrics;
use crate::store::journal::JournalOptions;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditEntry, Journal, Reencrypted, Store, reencrypt};

/// Rows between two lines that say how far it is.
const TOLD_EVERY: u64 = 10_000;

/// What `secrets` is told.
#[derive(Args)]
pub struct SecretsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: SecretsCommand,
    /// Where the store and the keys are; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Seal everything with the first of the keys: what stands in the store as it is, and
    /// what is sealed with another one. It can be broken off, and goes on the next time.
    Reencrypt,
}

/// Does it.
pub fn run(arguments: SecretsArgs) -> Result<(), Box<dyn Error>> {
    let SecretsCommand::Reencrypt = arguments.command;
    let config = Config::load(arguments.options)?;
    let (clock, metrics) = (Clock::system(), Arc::new(Metrics::default()));
    let store: Box<dyn Store> = match &config.store.location {
        StoreLocation::Sqlite(path) => {
            Box::new(SqliteStore::open_with(path, 1, &config.store.keys).map_err(|error| {
                format!("{error}\nbeside a running node use its API: `POST /encryption/reencrypt`, `GET /encryption`")
            })?)
        }
        StoreLocation::Postgres(url) => {
            let shared = PostgresOptions {
                url: url.expose().to_owned(),
                readers: 1,
                statement_cache: config.store.statement_cache,
                node: new_node_id(clock.wall()).map_err(|error| format!("the system has no randomness: {error}"))?,
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
            };
            Box::new(PostgresStore::open_with(&shared, keys::of_many(&config.store.keys)?)?)
        }
    };
    let (failed, _) = oneshot::channel();
    let options = JournalOptions { queue: 1, queue_bytes: 0, batch: 1 };
    let (journal, thread) = Journal::start(store.writer()?, options, clock, metrics, Box::new(|_| ()), failed)?;
    let mut told = 0;
    let current = store.keyring().current().map_or("clear", RingKeyId::as_str);
    let entry = AuditEntry::new(Actor::Command, AuditAction::SecretsReencrypted).about(current);
    let done = actix_rt::System::new().block_on(reencrypt(&journal, entry, |done| {
        if done.rows - told >= TOLD_EVERY {
            told = done.rows;
            eprintln!("{} rows looked at, {} values sealed anew", done.rows, done.values);
        }
    }));
    thread.finish();
    let done = done.map_err(|error| {
        format!("{error}\nwhat was sealed anew until then stays so, and everything can be read; run it again to go on")
    })?;
    println!("{}", summary(&done, store.as_ref()));
    Ok(())
}

fn summary(done: &Reencrypted, store: &dyn Store) -> String {
    let mut text = format!("{} rows looked at, {} values ", done.rows, done.values);
    match store.keyring().current() {
        Some(key) => text.push_str(&format!("sealed anew with key `{key}`")),
        None => text.push_str("opened: they are stored as they are"),
    }
    if done.unreadable > 0 {
        text.push_str(&format!(
            "\n{} rows were left as they are, because a value in them does not open: the log says whose they are",
            done.unreadable
        ));
    }
    for key in &done.released {
        text.push_str(&format!("\nkey `{key}` seals nothing any more: it can be taken out of the keys"));
    }
    text
}
