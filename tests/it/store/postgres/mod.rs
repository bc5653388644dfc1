//! PostgreSQL as a backend of the suite, and what only it can be asked.

mod announcing;
mod audit;
mod days;
mod encryption;
mod erasing;
mod moving;
mod nodes;
mod numbers;
mod ordering;
mod pooler;
mod searching;
mod trouble;

use std::process::{Command, Stdio};
use std::sync::Arc;

use posthaste::clock::Clock;
use posthaste::domain::NodeId;
use posthaste::keyring::Keyring;
use posthaste::store::postgres::{PostgresOptions, PostgresStore};
use posthaste::store::{Store, StoreError};
use uuid::Uuid;

use crate::store::world::Place;
use crate::support::postgres::{Database, Postgres};

/// A database of a case's own on the server of all tests, as one node opens it.
#[derive(Clone)]
pub struct PostgresPlace {
    database: Arc<Database>,
    options: PostgresOptions,
    /// What this one was copied from: somebody may still write to it.
    _original: Option<Arc<Database>>,
}

pub fn place() -> Box<dyn Place> {
    Box::new(PostgresPlace::new())
}

/// How the first node opens a database. A node that is started again is another
/// run, and undoes what the last one left only once that is known to be gone: here
/// it is the same, so that it finds it at once.
pub fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        url: url.to_owned(),
        readers: 2,
        statement_cache: true,
        node: node(1),
        clock: Clock::system(),
        metrics: Arc::default(),
    }
}

pub fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

impl PostgresPlace {
    pub fn new() -> Self {
        Self::at(Postgres::migrated())
    }

    /// One without even the tables.
    pub fn empty() -> Self {
        Self::at(Postgres::database())
    }

    fn at(database: Database) -> Self {
        Self { options: options(&database.url()), database: Arc::new(database), _original: None }
    }

    /// The same database, opened otherwise.
    pub fn opened(&self, change: impl FnOnce(&mut PostgresOptions)) -> Self {
        let mut place = self.clone();
        change(&mut place.options);
        place
    }

    /// The same database, as another node opens it.
    pub fn as_node(&self, number: u128) -> Self {
        self.opened(|options| options.node = node(number))
    }

    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Place for PostgresPlace {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.options).expect("the database is ours"))
    }

    fn open_with(&self, keyring: Keyring) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(PostgresStore::open_with(&self.options, Arc::new(keyring))?))
    }

    fn execute(&self, sql: &str) {
        self.database.sql(sql);
    }

    fn texts(&self, table: &str, column: &str) -> Vec<String> {
        let all = self.database.value(&format!("SELECT coalesce(json_agg({column}), '[]') FROM {table}"));
        serde_json::from_str(&all).expect("the server makes JSON")
    }

    fn another(&self) -> Box<dyn Place> {
        place()
    }

    // To make a database and to ask a server takes many times as long as it does with a file. What is the
    // same for both stores is looked for in that one.
    fn histories(&self, wished: u32) -> u32 {
        wished.div_ceil(16)
    }

    fn as_if_killed(&self) -> Box<dyn Place> {
        // What is committed now, and nothing of what is under way.
        let copy = Self { _original: Some(Arc::clone(&self.database)), ..Self::empty() };
        let mut dump = Command::new("pg_dump")
            .args(["--no-owner", "--dbname", &self.database.url()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client tools are where the server is");
        let into = Command::new("psql")
            .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", &copy.database.url()])
            .stdin(dump.stdout.take().expect("it is piped"))
            .stdout(Stdio::null())
            .status()
            .expect("the client tools are where the server is");
        assert!(dump.wait().expect("it is ours").success() && into.success());
        Box::new(copy)
    }
}
