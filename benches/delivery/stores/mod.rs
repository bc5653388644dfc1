//! What the benchmark must know of a backend: how the server is pointed at one,
//! how it is opened without a server, and how a little that the library wrote
//! into it is made a lot, faster than the library would write it.

mod postgres;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use posthaste::domain::Partition;
use posthaste::store::{Store, StoreError};

use crate::usage::StoreUsage;

/// A backend of the server. Each directory has a store of its own.
pub trait Backend: Sync {
    /// What `POSTHASTE_STORE` is to say.
    fn url(&self, directory: &Path) -> String;

    /// Opens the store, or makes it.
    fn open(&self, directory: &Path) -> Result<Arc<dyn Store>, StoreError>;

    /// Writes all events with their deliveries and attempts again and again: each
    /// copy so much later than the one before it. Nobody may have the store open.
    fn repeat_events(&self, directory: &Path, copies: Copies) -> Result<(), BulkError>;

    /// Writes the endpoints whose URL contains `mark` again and again, each copy
    /// with a URL of its own. Nobody may have the store open.
    fn repeat_endpoints(&self, directory: &Path, mark: &str, copies: Copies) -> Result<(), BulkError>;

    /// Gives the oldest event another type and body, and the key it was posted with.
    /// Nobody may have the store open.
    fn rewrite_oldest_event(
        &self,
        directory: &Path,
        event_type: &str,
        idempotency_key: &str,
        body: &[u8],
    ) -> Result<(), BulkError>;

    /// About how many bytes a finished delivery comes to, its part of the event
    /// included, where each event has this many.
    fn delivery_bytes(&self, deliveries_per_event: usize) -> u64;

    /// What the store's server has done so far, and what it has done in this store;
    /// `None` if it has none of its own.
    fn usage(&self, directory: &Path) -> Option<StoreUsage>;

    /// Where the node is reached that owns a partition, if several can share the
    /// store and one owns it.
    fn owner_address(&self, directory: &Path, partition: Partition) -> Result<Option<String>, BulkError>;

    /// Bytes of a table with its indexes and all its parts; `None` where that is
    /// not asked.
    fn table_bytes(&self, directory: &Path, table: &str) -> Result<Option<u64>, BulkError>;

    /// Makes the room of a table's dead rows usable again, where that is work of
    /// its own.
    fn vacuum(&self, directory: &Path, table: &str) -> Result<(), BulkError>;
}

/// How often something is written again.
#[derive(Debug, Clone, Copy)]
pub struct Copies {
    /// How often, beside the first.
    pub count: usize,
    /// By how much each is later than the last.
    pub later_ms: i64,
}

/// Why a store could not be filled in bulk.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    #[error("cannot open the store to fill it: {0}")]
    Open(#[from] diesel::ConnectionError),
    #[error("cannot fill the store: {0}; has its schema changed?")]
    Query(#[from] diesel::result::Error),
    #[error("cannot flush the store: {0}")]
    Flush(#[from] std::io::Error),
}

/// The backends of `POSTHASTE_STORE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    Sqlite,
    Postgres,
}

impl BackendName {
    /// Its name where people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    pub fn backend(self) -> &'static dyn Backend {
        match self {
            Self::Sqlite => &sqlite::Sqlite,
            Self::Postgres => &postgres::Postgres,
        }
    }
}
