//! `posthaste backup FILE`: copies an SQLite store while a node has it open. What it is
//! restored by, and what is not in it, is said at the end.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::clock::Clock;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::keyring::{self, KeySource};
use crate::store::sqlite::{BackupOptions, BackupStep, backup};

use super::progress::ProgressLine;

/// It is not for this command to do.
const NOT_HERE: u8 = 2;

/// What `backup` is told.
#[derive(Args)]
pub struct BackupArgs {
    /// The copy. It is there when all of it is on the disk, and not before.
    pub file: PathBuf,
    /// Put it in the place of a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Give up when the store's -wal file has grown by so much meanwhile.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub log_growth_mib: u32,
    /// Where the store is; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// Does it.
pub fn run(arguments: BackupArgs) -> Result<ExitCode, Box<dyn Error>> {
    let config = Config::load(arguments.options)?;
    let StoreLocation::Sqlite(path) = &config.store.location else {
        eprintln!("error: {POSTGRES}");
        return Ok(ExitCode::from(NOT_HERE));
    };
    let options =
        BackupOptions { replaces: arguments.force, log_growth_bytes: u64::from(arguments.log_growth_mib) << 20 };
    let mut line = ProgressLine::new();
    let copied = backup(path, &arguments.file, options, Clock::system().wall(), &mut |step| match step {
        BackupStep::Copying { bytes, of } => {
            let part = if of == 0 { 0.0 } else { bytes as f64 / of as f64 };
            line.show(Some(part), &format!("{} of at most {} MiB", bytes >> 20, of >> 20));
        }
        BackupStep::Checking => line.show(None, "reading the copy"),
    });
    drop(line);
    let copied = copied?;
    println!(
        "{} is a copy of {} as of {}: {} bytes, read and found whole",
        arguments.file.display(),
        path.display(),
        copied.taken_at,
        copied.bytes
    );
    println!("{}", about_keys(&config.store.keys, path));
    println!("a node that is started on the copy is held, and says what it would send, until it is released");
    Ok(ExitCode::SUCCESS)
}

fn about_keys(keys: &KeySource, store: &std::path::Path) -> String {
    let file = match keys {
        KeySource::Given(_) => {
            return "the keys of `encryption_keys`, without which it cannot be used, are not in it: keep them elsewhere"
                .into();
        }
        KeySource::File(path) => path.clone(),
        KeySource::BesideTheStore => keyring::beside(store),
    };
    format!(
        "the keys in {}, without which it cannot be used, are not in it: keep a copy of that file elsewhere",
        file.display()
    )
}

/// What to do instead.
const POSTGRES: &str = "a store on PostgreSQL is copied by PostgreSQL's own tools: `pg_dump --format=custom --file=FILE URL` \
    for one copy, or `pg_basebackup` with an archive of the write-ahead log for every moment; restore it into a database of \
    its own, and start every node on it with --hold";
