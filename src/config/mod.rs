//! The configuration: defaults ← file ← environment ← flags. This room reads
//! the layers, lays them over each other and checks the sum; what the values
//! do is decided by the rooms that take them. Only `app` and `cli` import it.
//!
//! An option is declared once, in `options.rs`, and explained once, in
//! `defaults.toml`, which is the lowest layer.

mod areas;
mod file;
mod inbound;
mod options;
mod outbound;
mod portal;
mod postgres_url;
mod telling;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use areas::{
    AddressConfig, ClusterConfig, EngineConfig, JournalConfig, LimitConfig, ServerConfig, StoreConfig, StoreLocation,
    TransportConfig,
};
pub use inbound::{InboundConfig, TlsFiles};
pub use options::{AddressList, AddressListError, DEFAULTS, Flags, OptionArgs, Options, Secret};
pub use outbound::{
    NameServerList, NameServerListError, OutboundConfig, PortList, PortListError, ProxyUrl, ProxyUrlProblem,
    SourceList, SourceListError,
};
pub use portal::PortalConfig;
pub use postgres_url::{PostgresUrl, PostgresUrlProblem};
pub use telling::{Setting, Telling};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "posthaste.toml";

/// What the process was told, complete and within bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The store.
    pub store: StoreConfig,
    /// Connections and requests.
    pub inbound: InboundConfig,
    /// How nodes work together.
    pub cluster: ClusterConfig,
    /// What may be dialled.
    pub addresses: AddressConfig,
    /// Limits of requests.
    pub limits: LimitConfig,
    /// The partner portal.
    pub portal: PortalConfig,
    /// Attempts.
    pub transport: TransportConfig,
    /// How connections to receivers are opened.
    pub outbound: OutboundConfig,
    /// Endpoint actors.
    pub engine: EngineConfig,
    /// The journal.
    pub journal: JournalConfig,
    /// All of it once more, for people: what holds, and who said so.
    pub told: Vec<Setting>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there or was asked for, and cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// The file has an option that does not exist.
    #[error("{}:{line}: there is no option `{name}`; {}", .path.display(), suggestion(.nearest))]
    UnknownOption {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was written.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A value in the file has the wrong type or form.
    #[error("{}:{line}: `{name}`: {message}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The option.
        name: String,
        /// What was expected.
        message: String,
    },
    /// A value is out of bounds, wherever it came from.
    #[error("`{name}` {reason} ({origin})")]
    Refused {
        /// The option.
        name: &'static str,
        /// What it must be.
        reason: String,
        /// Who said it.
        origin: Origin,
    },
}

/// The layer that a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `defaults.toml`.
    Defaults,
    /// A line of a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => formatter.write_str("by default"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment(name) => write!(formatter, "POSTHASTE_{}", name.to_uppercase()),
            Self::Flag(name) => write!(formatter, "--{}", name.replace('_', "-")),
        }
    }
}

/// Where each value came from.
#[derive(Debug, Default)]
struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    fn of(&self, name: &str) -> Origin {
        self.0.get(name).cloned().unwrap_or(Origin::Defaults)
    }
}

impl Config {
    /// Reads the file and lays it under what the command line and the
    /// environment said.
    pub fn load(flags: OptionArgs) -> Result<Self, ConfigError> {
        Self::load_in(Path::new(""), flags)
    }

    /// [`Config::load`] with the default file looked for in `directory`.
    fn load_in(directory: &Path, flags: OptionArgs) -> Result<Self, ConfigError> {
        let file = match flags.config {
            Some(path) => Some((read(&path)?, path)),
            None => {
                let path = directory.join(DEFAULT_FILE);
                read_if_there(&path)?.map(|text| (text, path))
            }
        };
        let defaults = file::parse(Path::new("defaults.toml"), DEFAULTS)?.options;
        let complete = "a test holds that defaults.toml has every option";
        let by_default = defaults.clone().settle().expect(complete);
        let mut layers = defaults;
        let mut origins = Origins::default();
        if let Some((text, path)) = file {
            let layer = file::parse(&path, &text)?;
            for name in layer.options.names_set() {
                let line = layer.lines.get(name).copied().unwrap_or(1);
                origins.0.insert(name, Origin::File { path: path.clone(), line });
            }
            layers = layer.options.over(layers);
        }
        for name in flags.options.names_set() {
            let is_flag = flags.flags.0.contains(&name);
            origins.0.insert(name, if is_flag { Origin::Flag(name) } else { Origin::Environment(name) });
        }
        let values = flags.options.over(layers).settle().expect(complete);

        let check = areas::Check { origins: &origins };
        Ok(Self {
            server: check.server(&values)?,
            store: check.store(&values)?,
            inbound: check.inbound(&values)?,
            cluster: check.cluster(&values)?,
            addresses: check.addresses(&values),
            limits: check.limits(&values)?,
            portal: check.portal(&values)?,
            transport: check.transport(&values)?,
            outbound: check.outbound(&values)?,
            engine: check.engine(&values)?,
            journal: check.journal(&values)?,
            told: telling::settings(&values, &by_default, |name| origins.of(name), options::explanation),
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn read_if_there(path: &Path) -> Result<Option<String>, ConfigError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`posthaste serve --help` lists all of them".to_owned(),
    }
}

#[cfg(test)]
mod tests;
