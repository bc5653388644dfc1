//! The command line: which command was asked for, and with what exit code the
//! process ends. What a command does is in the file of its name: a new one is
//! that file, a variant of [`Command`] and its arm in [`Command::run`].

pub mod apply;
pub mod audit;
pub mod backup;
pub mod demo;
pub mod export;
pub mod keys;
pub mod listen;
pub mod moving;
mod progress;
pub mod receiver;
pub mod secrets;
pub mod serve;
pub mod settings;
pub mod verify;
pub mod verify_store;

use std::error::Error;
use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// What `posthaste` alone and `posthaste --some-option` mean.
const DEFAULT_COMMAND: &str = "serve";

/// Delivers webhooks: signed, retried for a day, and accounted for.
#[derive(Parser)]
#[command(name = "posthaste", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Run a node (the default).
    Serve(serve::ServeArgs),
    /// See it work: a node, two receivers, failures, a kill -9, and checks.
    Demo(demo::DemoArgs),
    /// Make, list and revoke API keys while no node is running.
    Keys(keys::KeysArgs),
    /// Check the audit log of a store.
    Audit(audit::AuditArgs),
    /// Check what was promised against what is stored, beside a node that runs.
    VerifyStore(verify_store::VerifyStoreArgs),
    /// Copy the store while a node has it open (SQLite).
    Backup(backup::BackupArgs),
    /// Move a store from SQLite to PostgreSQL.
    Move(moving::MoveArgs),
    /// Seal the secrets in the store anew, with the key that is current now.
    Secrets(secrets::SecretsArgs),
    /// Make partners, event types and endpoints what a file says, with a plan first.
    Apply(apply::ApplyArgs),
    /// Write the partners, event types and endpoints of an environment into a file.
    Export(export::ExportArgs),
    /// Receive webhooks on this machine and print them, for trying things out.
    Listen(listen::ListenArgs),
    /// Tell whether a webhook's signature is good, and if not, why.
    Verify(verify::VerifyArgs),
}

impl Command {
    /// With which code it ends, if nothing went wrong.
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Serve(arguments) => serve::run(arguments)?,
            Self::Demo(arguments) => demo::run(arguments)?,
            Self::Keys(arguments) => keys::run(arguments)?,
            Self::Audit(arguments) => audit::run(arguments)?,
            Self::VerifyStore(arguments) => return Ok(verify_store::run(arguments)),
            Self::Backup(arguments) => return backup::run(arguments),
            Self::Move(arguments) => moving::run(arguments)?,
            Self::Secrets(arguments) => secrets::run(arguments)?,
            Self::Apply(arguments) => apply::run(arguments)?,
            Self::Export(arguments) => export::run(arguments)?,
            Self::Listen(arguments) => listen::run(arguments)?,
            Self::Verify(arguments) => verify::run(arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Does what the arguments, the program's name first, ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(with_default_command(arguments)) {
        Ok(cli) => cli,
        // `--help` and `--version` come here too, with code 0. Nothing can be
        // said where even this cannot be printed.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command.run() {
        Ok(code) => code,
        // To scripts, that there is something to do is not that something went wrong.
        Err(error) if error.is::<apply::Drift>() => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {}", with_sources(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Puts the default command where none was named. clap could instead take the
/// default command's options beside the subcommands, but then a variable such
/// as `POSTHASTE_LISTEN` would count as an option given to every command.
fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let names_none = arguments.get(1).is_none_or(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !["-h", "--help", "-V", "--version"].contains(&first.as_ref())
    });
    if names_none {
        arguments.insert(arguments.len().min(1), DEFAULT_COMMAND.into());
    }
    arguments
}

/// An error and what caused it, on one line.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Catches SIGTERM and SIGINT from now on; the future ends with the first.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let terminate = std::pin::pin!(terminate.recv());
        let interrupt = std::pin::pin!(interrupt.recv());
        futures_util::future::select(terminate, interrupt).await;
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn completed(words: &str) -> String {
        let arguments = with_default_command(words.split_whitespace().map(OsString::from));
        let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_is_done_when_nothing_is_named() {
        assert_eq!(completed("posthaste"), "posthaste serve");
        assert_eq!(completed("posthaste --listen 127.0.0.1:1"), "posthaste serve --listen 127.0.0.1:1");
        assert_eq!(completed("posthaste serve --page 3"), "posthaste serve --page 3");
        assert_eq!(completed("posthaste listen --port 1"), "posthaste listen --port 1");
        for asked in ["posthaste --help", "posthaste -h", "posthaste -V", "posthaste --version", "posthaste help"] {
            assert_eq!(completed(asked), asked);
        }
    }

    #[test]
    fn an_error_tells_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the book")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("it is dark"));
        assert_eq!(with_sources(&error), "cannot read the book: it is dark");
    }
}
