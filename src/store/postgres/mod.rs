//! The store that several nodes share: one PostgreSQL database, reached by every
//! node with one connection that writes, one that takes row keys, and a few that
//! read. Nothing is held between two transactions, so that a pooler may stand in
//! between and the server may go away at any time.

#[path = "../common/administration.rs"]
mod administration;
#[path = "../common/audit.rs"]
mod audit;
#[path = "../common/brakes.rs"]
mod brakes;
mod connection;
mod days;
#[path = "../common/encryption.rs"]
mod encryption;
mod error;
#[path = "../common/exhausted.rs"]
mod exhausted;
#[path = "../common/explained.rs"]
mod explained;
#[path = "../common/harm.rs"]
mod harm;
#[path = "../common/interests.rs"]
mod interests;
mod leases;
mod line;
#[path = "../common/listing.rs"]
mod listing;
#[path = "../common/marks.rs"]
mod marks;
mod moving;
mod numbers;
#[path = "../common/outcomes.rs"]
mod outcomes;
#[path = "../common/pull.rs"]
mod pull;
#[path = "../common/reads.rs"]
mod reads;
#[path = "../common/replayed.rs"]
mod replayed;
#[path = "../common/replaying.rs"]
mod replaying;
#[path = "../common/replays.rs"]
mod replays;
#[path = "../common/retention.rs"]
mod retention;
#[path = "../common/search.rs"]
mod search;
#[path = "../common/segments.rs"]
mod segments;
#[path = "../common/standing.rs"]
mod standing;
mod statements;
#[path = "../common/statistics.rs"]
mod statistics;
mod store;
#[path = "../common/summaries.rs"]
mod summaries;
mod transaction;
#[path = "../common/verifying.rs"]
mod verifying;
mod verifying_own;
#[path = "../common/versions.rs"]
mod versions;
#[path = "../common/views.rs"]
mod views;
#[path = "../common/watched.rs"]
mod watched;
mod work;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::domain::Partition;
use crate::keyring::Keyring;
use crate::store::ids::IdCodec;
use crate::store::marks::{MOVING, half_moved};
use crate::store::schema::meta;
use crate::store::{ReadPool, StoreError};

pub use connection::PostgresOptions;
pub use leases::PostgresLeases;
pub(in crate::store) use moving::Target;

use connection::{Readers, readers, refused};
use error::translate;
use line::Line;
use writer::PostgresWriter;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// How long a read waits for a connection.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// What the files shared with other backends call it.
type Connection = PgConnection;

/// What SQL calls the place of one text in another.
const POSITION_OF: &str = "strpos";

/// Where deliveries stand that have ended.
const HISTORY: &str = "finished";

/// Those that are exhausted, by the index that has no others.
const EXHAUSTED_AS_ENDED: &str = "finished AS ended";

/// How SQL names, beside each endpoint `own`, up to `limit` rows of a table that are like
/// this, the newest ones: PostgreSQL would otherwise join the whole of it, whoever's it is.
fn beside_own(table: &str, name: &str, which: &str, limit: usize) -> String {
    format!(
        "CROSS JOIN LATERAL (SELECT {name}.* FROM {table} WHERE {which} ORDER BY {name}.id DESC LIMIT {limit}) AS {name} \
         WHERE TRUE"
    )
}

/// Those that have an attempt to come.
const UNFINISHED_AS_WAITING: &str = "pending AS waiting";

/// Those that replays made, as what came later.
const REPLAYED_AS_LATER: &str = "deliveries AS later";

/// How SQL passes over rows that somebody else is about to change.
const SKIP_LOCKED: &str = "FOR UPDATE SKIP LOCKED";

/// A PostgreSQL store as one node has it open.
pub struct PostgresStore {
    ids: IdCodec,
    keyring: Arc<Keyring>,
    readers: Readers,
    reading: ReadPool,
    leases: Arc<PostgresLeases>,
    /// What looks for changes: reads that take their time are not in its way.
    watching: Line,
    writer: Mutex<Option<PostgresWriter>>,
}

impl PostgresStore {
    /// The same as [`open_with`](Self::open_with) where values are to be stored as they
    /// are, and none is sealed.
    pub fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        Self::open_with(options, Arc::new(Keyring::clear()))
    }

    /// Connects, and brings the tables up to date. Nodes that start at the same
    /// time wait for each other. Turns keys away that are not those that values are
    /// sealed with.
    pub fn open_with(options: &PostgresOptions, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        let mut connection = options.connect().map_err(|error| refused(&error))?;
        migrate(&mut connection)?;
        if marks::read(&mut connection, MOVING)?.is_some() {
            return Err(half_moved());
        }
        let ids = IdCodec::new(&id_secret(&mut connection)?);
        encryption::settle(&mut connection, &keyring)?;
        Self::with_ids(options, ids, keyring)
    }

    /// Connects to read, beside the nodes: nothing is brought up to date, and nothing
    /// opened that is sealed.
    pub fn open_to_read(options: &PostgresOptions) -> Result<Self, StoreError> {
        let mut connection = options.connect().map_err(|error| refused(&error))?;
        let ids = IdCodec::new(&stored_id_secret(&mut connection)?);
        let store = Self::with_ids(options, ids, Arc::new(Keyring::clear()))?;
        *store.idle_writer() = None;
        Ok(store)
    }

    fn with_ids(options: &PostgresOptions, ids: IdCodec, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        let reading = ReadPool::start(options.readers.max(1) as usize)
            .map_err(|error| StoreError::Unavailable(format!("no thread to read on: {error}")))?;
        Ok(Self {
            readers: readers(options)?,
            reading,
            leases: Arc::new(PostgresLeases::new(options)),
            watching: Line::new(options),
            writer: Mutex::new(Some(PostgresWriter::new(options, ids.clone(), Arc::clone(&keyring)))),
            ids,
            keyring,
        })
    }

    /// Runs a query on a reader of the pool. One whose connection turns out to be
    /// gone is given another: it has changed nothing.
    fn read<T>(&self, query: impl Fn(&mut PgConnection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let mut reader = self
                .readers
                .get()
                .map_err(|error| StoreError::Unavailable(format!("no connection to read on: {error}")))?;
            let was_used = std::mem::replace(&mut reader.was_used, true);
            match query(&mut reader.connection) {
                Err(StoreError::Unavailable(why)) => {
                    reader.is_broken = true;
                    if !was_used {
                        return Err(StoreError::Unavailable(why));
                    }
                }
                answer => return answer,
            }
        }
    }

    /// Runs queries that belong together on one snapshot: what is committed between
    /// them is seen by all of them or by none.
    fn read_at_once<T>(&self, queries: impl Fn(&mut PgConnection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.read(|reader| at_once(reader, &queries))
    }

    fn idle_writer(&self) -> MutexGuard<'_, Option<PostgresWriter>> {
        self.writer.lock().expect("no holder of this lock can panic")
    }
}

fn at_once<T>(
    reader: &mut PgConnection,
    queries: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut transaction = reader.build_transaction().repeatable_read().read_only();
    transaction.run(|reader| queries(reader).map_err(ReadError)).map_err(|ReadError(error)| error)
}

/// Lets diesel end a read transaction with an error of ours.
struct ReadError(StoreError);

impl From<diesel::result::Error> for ReadError {
    fn from(error: diesel::result::Error) -> Self {
        Self(translate(error))
    }
}

/// The number of a partition, in the type that the server has for it.
fn number_of(partition: Partition) -> i16 {
    i16::from(partition.number())
}

/// All of it is one transaction, and one node's at a time.
fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let failed = |error: String| StoreError::Configuration(format!("cannot bring the database up to date: {error}"));
    connection
        .transaction(|connection| {
            connection.batch_execute(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
                 SELECT pg_advisory_xact_lock(731003312, 0)",
            )?;
            match connection.run_pending_migrations(MIGRATIONS) {
                Ok(_) => Ok(()),
                Err(error) => Err(diesel::result::Error::QueryBuilderError(error)),
            }
        })
        .map_err(|error| failed(error.to_string()))
}

/// Where the secret of ids is kept.
const ID_SECRET: &str = "id_secret";

/// The secret that this store's ids are made with, drawn once for all nodes.
fn id_secret(connection: &mut PgConnection) -> Result<[u8; 16], StoreError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
    diesel::insert_into(meta::table)
        .values((meta::name.eq(ID_SECRET), meta::value.eq(secret.to_vec())))
        .on_conflict_do_nothing()
        .execute(connection)
        .map_err(translate)?;
    stored_id_secret(connection)
}

fn stored_id_secret(connection: &mut PgConnection) -> Result<[u8; 16], StoreError> {
    let stored: Vec<u8> = meta::table.find(ID_SECRET).select(meta::value).first(connection).map_err(translate)?;
    stored.try_into().map_err(|_| StoreError::Corrupt("the secret of ids has another length".into()))
}
