//! SQLite as a backend of the suite, and what only it can be asked.

mod audit;
mod backup;
mod durability;
mod encryption;
mod flushing;
mod listening;
mod moments;
mod opening;
mod ordering;
mod plans;

use std::path::PathBuf;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use posthaste::keyring::{KeySource, Keyring};
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{Store, StoreError};

use crate::store::world::Place;
use crate::support::folder::Folder;

/// A folder with a file in it.
pub struct SqlitePlace {
    folder: Folder,
}

pub fn place() -> Box<dyn Place> {
    Box::new(SqlitePlace::new())
}

impl SqlitePlace {
    pub fn new() -> Self {
        Self { folder: Folder::new() }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.file("store.db")
    }

    /// Where what is committed goes first.
    pub fn log(&self) -> PathBuf {
        self.folder.file("store.db-wal")
    }
}

impl Place for SqlitePlace {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.file(), 2).expect("the folder is ours"))
    }

    fn open_with(&self, keyring: Keyring) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open_with(&self.file(), 2, &KeySource::Given(Arc::new(keyring)))?))
    }

    fn execute(&self, sql: &str) {
        self.connection().batch_execute(sql).expect(sql);
    }

    fn texts(&self, table: &str, column: &str) -> Vec<String> {
        let select = format!("SELECT {column} AS text FROM {table}");
        let rows: Vec<Row> = diesel::sql_query(&select).load(&mut self.connection()).expect(&select);
        rows.into_iter().map(|row| row.text).collect()
    }

    fn another(&self) -> Box<dyn Place> {
        place()
    }

    fn histories(&self, wished: u32) -> u32 {
        wished
    }

    fn as_if_killed(&self) -> Box<dyn Place> {
        Box::new(self.copy())
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

impl SqlitePlace {
    fn connection(&self) -> SqliteConnection {
        let mut connection =
            SqliteConnection::establish(self.file().to_str().expect("a name of ours")).expect("it is there");
        connection.batch_execute("PRAGMA busy_timeout = 5000").expect("it is open");
        connection
    }

    /// A copy of the file and of its log as the kernel has them now, which is
    /// what stays of them when a process ends without a word. The `-shm` file
    /// is left out: it holds nothing that is not in the log.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for name in ["store.db", "store.db-wal"] {
            let from = self.folder.file(name);
            if from.exists() {
                std::fs::copy(from, copy.folder.file(name)).expect("both folders are ours");
            }
        }
        copy
    }
}
