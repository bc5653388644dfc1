//! The embedded store: one SQLite file in WAL mode, one process, one writer,
//! a few readers. Every commit is flushed to disk before it returns
//! (`synchronous=FULL`).

#[path = "../common/administration.rs"]
mod administration;
#[path = "../common/audit.rs"]
mod audit;
mod backup;
#[path = "../common/brakes.rs"]
mod brakes;
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

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
use diesel::sql_types::{BigInt, Nullable};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::domain::Timestamp;
use crate::keyring::{self, KeySource, Keyring, Origin};
use crate::store::ids::{IdCodec, KeySequence};
use crate::store::marks::{MOVED, moved_away};
use crate::store::schema::meta;
use crate::store::{CommitError, Notice, ReadPool, StoreError, Transaction, Writer};

pub use backup::{BackupOptions, BackupStep, Copied, backup};
pub(in crate::store) use moving::Source;

use error::translate;
use numbers::Numbers;
use transaction::{Given, SqliteTransaction};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// What the files shared with other backends call it.
type Connection = SqliteConnection;

/// What SQL calls the place of one text in another.
const POSITION_OF: &str = "instr";

/// Where deliveries stand that have ended.
const HISTORY: &str = "deliveries";

/// Those that are exhausted, by the index that has no others.
const EXHAUSTED_AS_ENDED: &str = "deliveries AS ended INDEXED BY deliveries_exhausted";

/// How SQL names, beside each endpoint `own`, up to `limit` rows of a table that are like
/// this. SQLite keeps to the order of a cross join.
fn beside_own(table: &str, _: &str, which: &str, _: usize) -> String {
    format!("CROSS JOIN {table} WHERE {which}")
}

/// Those that have an attempt to come, by the index that has no others.
const UNFINISHED_AS_WAITING: &str = "deliveries AS waiting INDEXED BY deliveries_due";

/// Those that replays made, as what came later.
const REPLAYED_AS_LATER: &str = "deliveries AS later INDEXED BY deliveries_replayed";

/// How SQL passes over rows that somebody else is about to change: nobody is.
const SKIP_LOCKED: &str = "";

/// How long a reader waits for the file, and the writer for a reader.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A SQLite store that this process alone has open.
pub struct SqliteStore {
    ids: IdCodec,
    keyring: Arc<Keyring>,
    readers: Pool<ConnectionManager<SqliteConnection>>,
    reading: ReadPool,
    writer: Mutex<Option<SqliteWriter>>,
    path: PathBuf,
    /// Held as long as the store or its writer is: a second process on the
    /// same file would know nothing of what this one has in flight. Whoever only
    /// looks, beside that one, has none.
    _lock: Option<Arc<File>>,
}

impl SqliteStore {
    /// The same as [`open_with`](Self::open_with) where values are to be stored as they
    /// are, and none is sealed.
    pub fn open(path: &Path, readers: u32) -> Result<Self, StoreError> {
        Self::open_with(path, readers, &KeySource::Given(Arc::new(Keyring::clear())))
    }

    /// Opens the file or makes it, and brings its tables up to date. Turns keys away
    /// that are not those that its values are sealed with.
    pub fn open_with(path: &Path, readers: u32, keys: &KeySource) -> Result<Self, StoreError> {
        Self::open_as(path, readers, keys, Purpose::Use)
    }

    fn open_as(path: &Path, readers: u32, keys: &KeySource, purpose: Purpose) -> Result<Self, StoreError> {
        let lock = Arc::new(lock_file(path)?);
        let text = text_of(path)?;
        let mut connection = SqliteConnection::establish(text)
            .map_err(|error| StoreError::Configuration(format!("cannot open {}: {error}", path.display())))?;
        prepare_writer(&mut connection).map_err(translate)?;
        connection.run_pending_migrations(MIGRATIONS).map_err(|error| {
            StoreError::Configuration(format!("cannot bring {} up to date: {error}", path.display()))
        })?;
        if let (Purpose::Use, Some(moved)) = (purpose, marks::moved(&mut connection, MOVED)?) {
            return Err(moved_away(text, &moved));
        }
        let ids = IdCodec::new(&id_secret(&mut connection)?);
        let keyring = keyring(&mut connection, path, keys)?;
        let sequence = KeySequence::after(largest_key(&mut connection)?);
        let reading = ReadPool::start(readers.max(1) as usize)
            .map_err(|error| StoreError::Unavailable(format!("no thread to read on: {error}")))?;
        let readers = reader_pool(text, readers)?;
        let writer = SqliteWriter {
            connection,
            ids: ids.clone(),
            keyring: Arc::clone(&keyring),
            sequence,
            numbers: Numbers::default(),
            _lock: Arc::clone(&lock),
        };
        let writer = Mutex::new(Some(writer));
        Ok(Self { ids, keyring, readers, reading, writer, path: path.to_owned(), _lock: Some(lock) })
    }

    /// Opens a file that is there, to read it: nothing of it is brought up to date, and
    /// nobody can have its writer, nor what is sealed in it.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        is_there(path)?;
        let lock = Arc::new(lock_file(path)?);
        Self::reading(text_of(path)?, path, Some(lock))
    }

    /// The same beside the process that has it open, if there is one. Each read that
    /// takes long keeps that one's log from being written over.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        is_there(path)?;
        Self::reading(&read_only(path)?, path, None)
    }

    fn reading(name: &str, path: &Path, lock: Option<Arc<File>>) -> Result<Self, StoreError> {
        let reading =
            ReadPool::start(1).map_err(|error| StoreError::Unavailable(format!("no thread to read on: {error}")))?;
        let readers = reader_pool(name, 1)?;
        let mut reader = readers.get().map_err(|error| StoreError::Busy(format!("no free reader: {error}")))?;
        let secret = stored_id_secret(&mut reader)?.ok_or_else(|| no_store(path))?;
        drop(reader);
        let (ids, keyring) = (IdCodec::new(&secret), Arc::new(Keyring::clear()));
        Ok(Self { ids, keyring, readers, reading, writer: Mutex::new(None), path: path.to_owned(), _lock: lock })
    }

    /// Runs a query on a reader of the pool, waiting for a free one.
    fn read<T>(&self, query: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut reader = self.readers.get().map_err(|error| StoreError::Busy(format!("no free reader: {error}")))?;
        query(&mut reader)
    }

    /// Runs queries that belong together on one snapshot of the file: what is
    /// committed between them is seen by all of them or by none.
    fn read_at_once<T>(
        &self,
        queries: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read(|reader| {
            reader.transaction(|reader| queries(reader).map_err(ReadError)).map_err(|ReadError(error)| error)
        })
    }

    fn idle_writer(&self) -> MutexGuard<'_, Option<SqliteWriter>> {
        self.writer.lock().expect("no holder of this lock can panic")
    }
}

/// Lets diesel end a read transaction with an error of ours.
struct ReadError(StoreError);

impl From<diesel::result::Error> for ReadError {
    fn from(error: diesel::result::Error) -> Self {
        Self(translate(error))
    }
}

/// What a store is opened for.
#[derive(Clone, Copy)]
enum Purpose {
    /// By a node, or a command that changes it.
    Use,
    /// To be moved elsewhere, also where that has begun already.
    Move,
}

fn text_of(path: &Path) -> Result<&str, StoreError> {
    path.to_str().ok_or_else(|| StoreError::Configuration(format!("{} is not a UTF-8 path", path.display())))
}

fn is_there(path: &Path) -> Result<(), StoreError> {
    match path.is_file() {
        true => Ok(()),
        false => Err(StoreError::Configuration(format!("there is no store at {}", path.display()))),
    }
}

fn no_store(path: &Path) -> StoreError {
    StoreError::Configuration(format!("{} is no store of posthaste's", path.display()))
}

/// What SQLite is told so that it writes nothing to the file, not even when it closes it.
fn read_only(path: &Path) -> Result<String, StoreError> {
    let text = text_of(path)?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file:{text}?mode=ro"))
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let refuse = |error: std::io::Error| {
        StoreError::Configuration(format!("cannot open {} for writing: {error}", name.display()))
    };
    let lock = File::options().create(true).truncate(false).write(true).open(&name).map_err(refuse)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Configuration(format!(
            "another posthaste has {} open; stop it first, or give this one a store of its own",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
    }
}

/// The log is checkpointed before its index outgrows its first region (about
/// 4,060 pages): growing it comes after the flush of a commit, and failing
/// there, on a full disk, would leave that commit's outcome unknown.
fn prepare_writer(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA cache_size = -16384;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;",
        BUSY_TIMEOUT.as_millis()
    ))
}

fn reader_pool(path: &str, readers: u32) -> Result<Pool<ConnectionManager<SqliteConnection>>, StoreError> {
    Pool::builder()
        .max_size(readers.max(1))
        .min_idle(Some(1))
        .connection_timeout(BUSY_TIMEOUT)
        .test_on_check_out(false)
        .connection_customizer(Box::new(ReaderPragmas))
        .build(ConnectionManager::new(path))
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

#[derive(Debug)]
struct ReaderPragmas;

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for ReaderPragmas {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = {};
                 PRAGMA query_only = ON;
                 PRAGMA cache_size = -2048;
                 PRAGMA mmap_size = 0;",
                BUSY_TIMEOUT.as_millis()
            ))
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

/// Where the secret of ids is kept.
const ID_SECRET: &str = "id_secret";

/// The secret that this store's ids are made with, if it was drawn.
fn stored_id_secret(connection: &mut SqliteConnection) -> Result<Option<[u8; 16]>, StoreError> {
    let stored: Option<Vec<u8>> =
        meta::table.find(ID_SECRET).select(meta::value).first(connection).optional().map_err(translate)?;
    let of_length = |_| StoreError::Corrupt("the secret of ids has another length".into());
    stored.map(|stored| stored.try_into().map_err(of_length)).transpose()
}

/// The keys of this store, from where they are, checked against its values.
fn keyring(connection: &mut SqliteConnection, path: &Path, keys: &KeySource) -> Result<Arc<Keyring>, StoreError> {
    let noted = encryption::noted(connection)?;
    let (keyring, origin) =
        keys.of_one(&keyring::beside(path), &noted).map_err(|error| StoreError::Configuration(error.to_string()))?;
    if let Origin::Made(file) = &origin {
        log::info!(
            "secrets are sealed with a key that was made in {}: keep a copy of it, without it they are lost",
            file.display()
        );
        if !encryption::rows(connection, None, None, 1)?.is_empty() {
            log::warn!("the store has secrets from before: `posthaste secrets reencrypt` seals them");
        }
    }
    encryption::settle(connection, &keyring)?;
    Ok(keyring)
}

/// The secret that this store's ids are made with, drawn once.
fn id_secret(connection: &mut SqliteConnection) -> Result<[u8; 16], StoreError> {
    if let Some(stored) = stored_id_secret(connection)? {
        return Ok(stored);
    }
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
    diesel::insert_into(meta::table)
        .values((meta::name.eq(ID_SECRET), meta::value.eq(secret.to_vec())))
        .execute(connection)
        .map_err(translate)?;
    Ok(secret)
}

#[derive(QueryableByName)]
struct LargestKey {
    #[diesel(sql_type = Nullable<BigInt>)]
    key: Option<i64>,
}

/// Keys of what was begun and never sealed count as well, written or not: a row
/// that took one would be hidden and undone with it.
fn largest_key(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let found: LargestKey = diesel::sql_query(
        "SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM events), (SELECT COALESCE(MAX(id), 0) FROM deliveries),
                    (SELECT COALESCE(MAX(id), 0) FROM endpoints), (SELECT COALESCE(MAX(id), 0) FROM api_keys),
                    (SELECT COALESCE(MAX(id), 0) FROM replays), (SELECT COALESCE(MAX(last_key), 0) FROM unsealed)) AS key",
    )
    .get_result(connection)
    .map_err(translate)?;
    Ok(found.key.unwrap_or(0))
}

/// The connection that writes.
pub(in crate::store) struct SqliteWriter {
    connection: SqliteConnection,
    ids: IdCodec,
    keyring: Arc<Keyring>,
    sequence: KeySequence,
    numbers: Numbers,
    _lock: Arc<File>,
}

impl SqliteWriter {
    /// Undoes what is open. When even that cannot be had, nobody knows what
    /// the next commit would contain.
    fn roll_back(&mut self) -> Result<(), CommitError> {
        self.numbers.forget();
        // SQLite undoes some failures by itself, and then has nothing to roll
        // back: what counts is that a new transaction can begin.
        let _ = self.connection.batch_execute("ROLLBACK");
        self.connection
            .batch_execute("BEGIN; ROLLBACK")
            .map_err(|error| CommitError::Unknown(format!("cannot roll back: {error}")))
    }
}

impl Writer for SqliteWriter {
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        self.connection.batch_execute("BEGIN IMMEDIATE").map_err(|error| CommitError::RolledBack(translate(error)))?;
        self.numbers.keep_in_bounds();
        let given = Given { keys: &mut self.sequence, numbers: &mut self.numbers };
        let mut transaction = SqliteTransaction::new(&mut self.connection, &self.ids, &self.keyring, given, now);
        let done = verbs(&mut transaction).and_then(|()| transaction.finish());
        let notices = transaction.into_notices();
        if let Err(error) = done {
            self.roll_back()?;
            return Err(CommitError::RolledBack(error));
        }
        match self.connection.batch_execute("COMMIT").map_err(translate) {
            Ok(()) => Ok(notices),
            Err(error @ (StoreError::Busy(_) | StoreError::Full(_))) => {
                self.roll_back()?;
                Err(CommitError::RolledBack(error))
            }
            // An I/O error may have come after the frames reached the disk:
            // the next opening of the file may find them there, or not.
            Err(error) => Err(CommitError::Unknown(error.to_string())),
        }
    }
}
