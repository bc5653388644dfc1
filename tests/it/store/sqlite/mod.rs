//! SQLite as a backend of the suite, and what only it can be asked.

mod audit;
mod durability;
mod flushing;
mod listening;
mod moments;
mod opening;
mod ordering;
mod plans;

use std::path::PathBuf;
use std::sync::Arc;

use posthaste::store::Store;
use posthaste::store::sqlite::SqliteStore;

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

    fn another(&self) -> Box<dyn Place> {
        place()
    }

    fn as_if_killed(&self) -> Box<dyn Place> {
        Box::new(self.copy())
    }
}

impl SqlitePlace {
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
