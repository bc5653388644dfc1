//! `posthaste move`: carries a store over from SQLite to PostgreSQL while no node runs
//! on either. It can be broken off, and goes on the next time.

use std::error::Error;
use std::sync::Arc;

use clap::Args;

use crate::clock::Clock;
use crate::cluster::new_node_id;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::keyring::RingKeyId;
use crate::store::moving::{MoveOptions, MovedStore, move_store, take_back};
use crate::store::postgres::PostgresOptions;

use super::progress::ProgressLine;

/// What `move` is told.
#[derive(Args)]
pub struct MoveArgs {
    /// The store as it is, e.g. sqlite://posthaste.db.
    #[arg(long, value_name = "STORE")]
    pub from: String,
    /// An empty database, e.g. postgres://posthaste@db.internal/posthaste.
    #[arg(long, value_name = "STORE", required_unless_present = "take_back", conflicts_with = "take_back")]
    pub to: Option<String>,
    /// Let nodes start again on a store that was moved, or half moved. Only where none
    /// has run on what it was moved to.
    #[arg(long)]
    pub take_back: bool,
    /// Rows that are carried over together.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rows: u32,
    /// Where the keys are that the source's secrets are sealed with; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// Does it.
pub fn run(arguments: MoveArgs) -> Result<(), Box<dyn Error>> {
    let located = |store: &str| {
        let mut options = arguments.options.clone();
        options.options.store = Some(store.to_owned());
        Config::load(options)
    };
    let source = located(&arguments.from)?;
    let StoreLocation::Sqlite(from) = &source.store.location else {
        return Err(
            "--from must be an SQLite store: a store on PostgreSQL is moved by `pg_dump` and `pg_restore`, and not to \
                    SQLite at all"
                .into(),
        );
    };
    let Some(to) = &arguments.to else {
        match take_back(from, &source.store.keys)? {
            Some(place) => println!("nodes start on {} again; what is in {place} is not to be used", from.display()),
            None => println!("{} was not moved: nothing to take back", from.display()),
        }
        return Ok(());
    };
    let target = located(to)?;
    let StoreLocation::Postgres(url) = &target.store.location else {
        return Err("--to must be a PostgreSQL database: an SQLite store is copied by `posthaste backup`".into());
    };
    let now = Clock::system().wall();
    let to = PostgresOptions {
        url: url.expose().to_owned(),
        readers: 1,
        statement_cache: target.store.statement_cache,
        node: new_node_id(now).map_err(|error| format!("the system has no randomness: {error}"))?,
        metrics: Arc::default(),
        clock: Clock::system(),
    };
    let to_shown = shown(&to.url);
    let options =
        MoveOptions { from, keys: &source.store.keys, to: &to, to_shown: &to_shown, rows: arguments.rows as usize };
    let mut line = ProgressLine::new();
    let moved = move_store(&options, now, &mut |progress| {
        let what = if progress.is_check { "compared" } else { "carried over" };
        line.show(None, &format!("{}: {} rows {what}", progress.table, progress.rows));
        Ok(())
    });
    drop(line);
    let moved = moved.map_err(|error| {
        format!(
            "{error}\nnothing is lost: {} has everything, and the same command goes on where it was",
            from.display()
        )
    })?;
    println!("{}", told(&moved, &from.display().to_string(), &to_shown));
    Ok(())
}

fn told(moved: &MovedStore, from: &str, to: &str) -> String {
    let mut text = String::new();
    if moved.was_done {
        text.push_str("it was moved before; nothing was left to do\n");
    }
    for (table, sum) in &moved.tables {
        text.push_str(&format!(
            "{table:<20} {:>12} rows  checksum {}  the same on both sides\n",
            sum.rows,
            sum.checksum()
        ));
    }
    text.push_str(&format!("{from} was moved to {to}: start nodes on that; none starts on {from} any more\n"));
    let keys: Vec<&str> = moved.keys.iter().map(RingKeyId::as_str).collect();
    text.push_str(&match keys.as_slice() {
        [] => "no value is sealed: nodes need no keys".to_owned(),
        keys => format!(
            "secrets are sealed as they were: give every node the key `{}` by `encryption_keys` or `encryption_keys_file`, \
             such as a copy of the file {from}.keys",
            keys.join("`, `")
        ),
    });
    text
}

/// The URL without what nobody is to see: neither a password, nor what may have one
/// among its parameters.
fn shown(url: &str) -> String {
    let without = url.split('?').next().unwrap_or_default();
    match without.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, place))) => {
            format!("{scheme}://{}@{place}", user.split(':').next().unwrap_or_default())
        }
        None => without.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_a_password() {
        for (url, expected) in [
            ("postgres://me:se@cret@db.internal:5432/store?password=x", "postgres://me@db.internal:5432/store"),
            ("postgres://me@db.internal/store", "postgres://me@db.internal/store"),
            ("postgres://db.internal/store", "postgres://db.internal/store"),
            ("postgres:///store?host=/tmp", "postgres:///store"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
