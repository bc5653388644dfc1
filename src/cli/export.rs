//! `posthaste export`: writes down what partners, event types and endpoints an environment of
//! a running node has, so that `posthaste apply` can make another the same. Secrets are
//! never in it.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::settings::SettingsError;
use crate::cli::settings::file::Format;
use crate::cli::settings::node::{Node, NodeArgs, exported};
use crate::cli::settings::write;
use crate::domain::Environment;

/// What `export` is told.
#[derive(Args)]
pub struct ExportArgs {
    /// Where to write: a name that ends in `.toml` or `.json`. Without it, TOML is printed.
    pub file: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "file")]
    pub force: bool,
    /// Which environment.
    #[arg(long, default_value = "production")]
    pub environment: Environment,
    /// How the node is reached.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Does it.
pub fn run(arguments: ExportArgs) -> Result<(), Box<dyn Error>> {
    let format = arguments.file.as_deref().map_or(Ok(Format::Toml), Format::of)?;
    let found =
        actix_rt::System::new().block_on(async { Node::of(&arguments.node)?.settings(arguments.environment).await })?;
    let found = exported(&found);
    let text = write::text(&found, format);
    let Some(path) = arguments.file else {
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    };
    if !arguments.force && path.exists() {
        return Err(format!("{} is there already: name another file, or say `--force`", path.display()).into());
    }
    std::fs::write(&path, text).map_err(|source| SettingsError::File { verb: "write", path: path.clone(), source })?;
    println!(
        "{}: {} event types, {} partners, {} endpoints",
        path.display(),
        found.event_types.len(),
        found.partners.len(),
        found.endpoints.len()
    );
    Ok(())
}
