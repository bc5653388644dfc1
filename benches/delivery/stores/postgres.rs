//! PostgreSQL: one server of the benchmark's own on this machine, durable as it
//! comes, and a database on it for each directory. It is gone when the benchmark
//! is, however that ends.

mod usage;

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, OnceLock};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, SmallInt, Text};
use posthaste::clock::Clock;
use posthaste::domain::{NodeId, Partition};
use posthaste::store::postgres::{PostgresOptions, PostgresStore};
use posthaste::store::{Store, StoreError};
use uuid::Uuid;

use super::{Backend, BulkError, Copies};
use crate::event::EVENT_BYTES;
use crate::usage::StoreUsage;

/// See the module.
pub struct Postgres;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/throwaway-postgres");
/// What whoever runs such a server would set: memory for what is hot, and
/// checkpoints that are not the benchmark. Every commit is flushed.
const SETTINGS: [&str; 4] =
    ["shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min", "max_connections=100"];
const READERS: u32 = 2;
const COUNTER_BITS: u32 = 21;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Copies between two lines that say how far it is.
const REPORTS: usize = 10;

/// The server, as long as its input is open.
struct Running {
    url: String,
    _script: Child,
    _input: Option<ChildStdin>,
}

fn server() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| start().expect("a server can be started: see scripts/throwaway-postgres"))
}

fn start() -> io::Result<Running> {
    let mut script = Command::new(SCRIPT).args(SETTINGS).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    let output = script.stdout.take().ok_or_else(|| io::Error::other("its output is not there"))?;
    BufReader::new(output).read_line(&mut url)?;
    let url = url.trim_end().to_owned();
    if url.is_empty() {
        return Err(io::Error::other("it did not start"));
    }
    let input = script.stdin.take();
    Ok(Running { url, _script: script, _input: input })
}

/// A directory's database, made when it is first asked for.
fn database(directory: &Path) -> QueryResult<String> {
    let name = directory.file_name().map(|name| name.to_string_lossy().replace('-', "_")).unwrap_or_default();
    let mut connection = connect(&server().url)?;
    let found: Number = diesel::sql_query("SELECT count(*) AS number FROM pg_database WHERE datname = $1")
        .bind::<Text, _>(&name)
        .get_result(&mut connection)?;
    if found.number == 0 {
        connection.batch_execute(&format!("CREATE DATABASE {name}"))?;
    }
    let (before, _) = server().url.rsplit_once('/').unwrap_or((&server().url, ""));
    Ok(format!("{before}/{name}"))
}

fn connect(url: &str) -> QueryResult<PgConnection> {
    PgConnection::establish(url).map_err(|error| diesel::result::Error::QueryBuilderError(error.into()))
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

impl Backend for Postgres {
    fn url(&self, directory: &Path) -> String {
        database(directory).expect("the benchmark's own server makes a database")
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(PostgresStore::open(&PostgresOptions {
            url: self.url(directory),
            readers: READERS,
            statement_cache: true,
            node: NodeId::from_uuid(Uuid::from_u128(1)),
            clock: Clock::system(),
            metrics: Arc::default(),
        })?))
    }

    fn repeat_events(&self, directory: &Path, copies: Copies) -> Result<(), BulkError> {
        let mut connection = connect(&self.url(directory))?;
        let last = |table: &str, column: &str| format!("(SELECT COALESCE(MAX({column}), 0) FROM {table})");
        let found: Number =
            diesel::sql_query(format!("SELECT {} AS number", last("finished", "id"))).get_result(&mut connection)?;
        let whole: Number =
            diesel::sql_query(format!("SELECT {} AS number", last("events", "id"))).get_result(&mut connection)?;
        let last = found.number.max(whole.number);
        let report_every = copies.count.div_ceil(REPORTS).max(1);
        for copy in 1..=copies.count {
            let later_ms = copies.later_ms * copy as i64;
            make_days(&mut connection, last, later_ms)?;
            for (table, keys, times) in [
                ("events", &["id"][..], &[][..]),
                ("finished", &["id", "event", "number"], &["finished_at"]),
                ("attempts", &["delivery"], &["started_at"]),
            ] {
                let statement = copy_statement(&mut connection, table, keys, times, &[], last, copy, later_ms)?;
                connection.batch_execute(&statement)?;
            }
            if copy % report_every == 0 {
                eprintln!("  {} % of the store is filled", copy * 100 / copies.count);
            }
        }
        settle(&mut connection)
    }

    fn repeat_endpoints(&self, directory: &Path, mark: &str, copies: Copies) -> Result<(), BulkError> {
        let mut connection = connect(&self.url(directory))?;
        let marked = |what: &str| format!("SELECT {what}(id) AS number FROM endpoints WHERE strpos(url, '{mark}') > 0");
        let first: Number = diesel::sql_query(marked("MIN")).get_result(&mut connection)?;
        let last: Number = diesel::sql_query(marked("MAX")).get_result(&mut connection)?;
        for copy in 1..=copies.count {
            let later_ms = copies.later_ms * copy as i64;
            for (table, key, texts) in [
                ("endpoints", "id", &["url"][..]),
                ("endpoint_versions", "endpoint", &[]),
                ("endpoint_secrets", "endpoint", &[]),
            ] {
                let all = copy_statement(&mut connection, table, &[key], &[], texts, last.number, copy, later_ms)?;
                connection.batch_execute(&format!("{all} AND {key} >= {}", first.number))?;
            }
        }
        settle(&mut connection)
    }

    fn rewrite_oldest_event(
        &self,
        directory: &Path,
        event_type: &str,
        idempotency_key: &str,
        body: &[u8],
    ) -> Result<(), BulkError> {
        let mut connection = connect(&self.url(directory))?;
        diesel::sql_query(
            "UPDATE events SET event_type = $1, idempotency_key = $2, body = $3 WHERE id = (SELECT MIN(id) FROM events)",
        )
        .bind::<Text, _>(event_type)
        .bind::<Text, _>(idempotency_key)
        .bind::<Binary, _>(body)
        .execute(&mut connection)?;
        Ok(())
    }

    fn delivery_bytes(&self, deliveries_per_event: usize) -> u64 {
        const ROWS_AND_INDEXES: u64 = 400;
        ROWS_AND_INDEXES + (EVENT_BYTES as u64 + 150) / deliveries_per_event as u64
    }

    fn usage(&self, directory: &Path) -> Option<StoreUsage> {
        usage::of(&mut connect(&self.url(directory)).ok()?)
    }

    fn owner_address(&self, directory: &Path, partition: Partition) -> Result<Option<String>, BulkError> {
        let owner = diesel::sql_query(
            "SELECT nodes.address AS name FROM leases JOIN nodes ON nodes.id = leases.owner \
             WHERE leases.partition = $1 AND nodes.address IS NOT NULL",
        );
        let owner = owner.bind::<SmallInt, _>(i16::from(partition.number()));
        let found: Option<Name> = owner.get_result(&mut connect(&self.url(directory))?).optional()?;
        Ok(found.map(|found| found.name))
    }

    fn table_bytes(&self, directory: &Path, table: &str) -> Result<Option<u64>, BulkError> {
        // The first is 0 for a table in parts, the second for any other.
        let bytes = diesel::sql_query(
            "SELECT (pg_total_relation_size($1::regclass) + COALESCE((SELECT SUM(pg_total_relation_size(relid)) \
             FROM pg_partition_tree($1::regclass)), 0))::bigint AS number",
        );
        let found: Number = bytes.bind::<Text, _>(table).get_result(&mut connect(&self.url(directory))?)?;
        Ok(u64::try_from(found.number).ok())
    }

    fn vacuum(&self, directory: &Path, table: &str) -> Result<(), BulkError> {
        Ok(connect(&self.url(directory))?.batch_execute(&format!("VACUUM {table}"))?)
    }
}

/// Before anything is measured, the server is done with what was written. Two
/// statements in one message would be one transaction, which the first refuses.
fn settle(connection: &mut PgConnection) -> Result<(), BulkError> {
    connection.batch_execute("VACUUM ANALYZE")?;
    Ok(connection.batch_execute("CHECKPOINT")?)
}

/// Makes the days that copies so much later lie in.
fn make_days(connection: &mut PgConnection, last: i64, later_ms: i64) -> QueryResult<()> {
    let first: Number =
        diesel::sql_query("SELECT COALESCE(MIN(id), 0) AS number FROM events").get_result(connection)?;
    let day_of = |key: i64| ((key >> COUNTER_BITS) + later_ms).div_euclid(DAY_MS);
    for day in day_of(first.number)..=day_of(last) {
        let (begin, end) = ((day * DAY_MS) << COUNTER_BITS, ((day + 1) * DAY_MS) << COUNTER_BITS);
        for table in ["events", "finished", "attempts"] {
            let name: Name = diesel::sql_query(format!(
                "SELECT '{table}_' || to_char(to_timestamp({day}::bigint * 86400) AT TIME ZONE 'UTC', 'YYYY_MM_DD') AS name"
            ))
            .get_result(connection)?;
            let found: Number =
                diesel::sql_query("SELECT count(*) AS number FROM pg_class WHERE oid = to_regclass($1)")
                    .bind::<Text, _>(&name.name)
                    .get_result(connection)?;
            if found.number == 0 {
                connection.batch_execute(&format!(
                    "CREATE TABLE {0} PARTITION OF {table} FOR VALUES FROM ({begin}) TO ({end})",
                    name.name
                ))?;
            }
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "one argument a kind of column")]
fn copy_statement(
    connection: &mut PgConnection,
    table: &str,
    keys: &[&str],
    times: &[&str],
    texts: &[&str],
    last: i64,
    copy: usize,
    later_ms: i64,
) -> QueryResult<String> {
    let columns: Vec<Name> = diesel::sql_query(
        "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
    )
    .bind::<Text, _>(table)
    .load(connection)?;
    let later_key = later_ms << COUNTER_BITS;
    let values = columns.iter().map(|Name { name }| {
        let is_in = |names: &[&str]| names.contains(&name.as_str());
        if is_in(keys) {
            format!("{name} + {later_key}")
        } else if is_in(times) {
            format!("{name} + {later_ms}")
        } else if is_in(texts) {
            format!("{name} || '-{copy}'")
        } else {
            name.clone()
        }
    });
    let values: Vec<String> = values.collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let (names, values, key) = (names.join(", "), values.join(", "), keys[0]);
    Ok(format!("INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE {key} <= {last}"))
}
