//! PostgreSQL as a backend of the suite, and what only it can be asked.

use std::process::{Command, Stdio};
use std::sync::Arc;

use posthaste::domain::NodeId;
use posthaste::store::Store;
use posthaste::store::postgres::{PostgresOptions, PostgresStore};
use uuid::Uuid;

use crate::store::world::Place;
use crate::support::postgres::{Database, Postgres};

/// A database of a case's own on the server of all tests.
pub struct PostgresPlace {
    database: Arc<Database>,
    /// What this one was copied from: somebody may still write to it.
    _original: Option<Arc<Database>>,
}

pub fn place() -> Box<dyn Place> {
    Box::new(PostgresPlace { database: Arc::new(Postgres::database()), _original: None })
}

/// How a case's node opens a database.
pub fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        url: url.to_owned(),
        readers: 2,
        statement_cache: true,
        // A node that is started again is another run, and one that is killed has
        // left something behind: here it is the same, so that it finds it at once.
        node: NodeId::from_uuid(Uuid::from_u128(1)),
        metrics: Arc::default(),
    }
}

impl Place for PostgresPlace {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&options(&self.database.url())).expect("the database is ours"))
    }

    fn another(&self) -> Box<dyn Place> {
        place()
    }

    fn as_if_killed(&self) -> Box<dyn Place> {
        // What is committed now, and nothing of what is under way.
        let copy = Self { database: Arc::new(Postgres::database()), _original: Some(Arc::clone(&self.database)) };
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
