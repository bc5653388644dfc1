//! SQLite. Rows are copied by whatever columns their tables have: only those that
//! must differ are named here, so that most changes of the schema change nothing
//! in this file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use posthaste::domain::Partition;
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{Store, StoreError};

use super::{Backend, BulkError, Copies};
use crate::event::EVENT_BYTES;
use crate::usage::StoreUsage;

/// See the module.
pub struct Sqlite;

/// What becomes of one table's rows. What a table lacks of this is passed over.
struct Table {
    name: &'static str,
    /// Row keys, its own and those it refers to: 42 bits of milliseconds above
    /// [`COUNTER_BITS`] of counting.
    keys: &'static [&'static str],
    /// Milliseconds.
    times: &'static [&'static str],
    /// Texts that must not be the same twice.
    texts: &'static [&'static str],
    /// Which rows: a condition.
    rows: String,
}

const COUNTER_BITS: u32 = 21;
const READERS: u32 = 2;
/// Pages of what is being filled that stay in memory.
const PREPARE: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
                       PRAGMA cache_size = -524288; PRAGMA mmap_size = 0;";
/// Copies between two lines that say how far it is.
const REPORTS: usize = 10;

impl Backend for Sqlite {
    fn url(&self, directory: &Path) -> String {
        format!("sqlite://{}", file(directory).display())
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&file(directory), READERS)?))
    }

    fn repeat_events(&self, directory: &Path, copies: Copies) -> Result<(), BulkError> {
        let mut connection = open(directory)?;
        let times = &["created_at", "started_at", "finished_at"];
        let mut tables = Vec::new();
        for (name, keys) in
            [("events", &["id"][..]), ("deliveries", &["id", "event", "number"][..]), ("attempts", &["delivery"][..])]
        {
            let Some(key) = keys.first() else { continue };
            // By key, and so in the order in which they stand in the table.
            let last: i64 = scalar(&mut connection, &format!("SELECT COALESCE(MAX({key}), 0) FROM {name}"))?;
            tables.push(Table { name, keys, times, texts: &[], rows: format!("{key} <= {last}") });
        }
        repeat(&mut connection, &tables, copies)?;
        flush(directory, connection)
    }

    fn repeat_endpoints(&self, directory: &Path, mark: &str, copies: Copies) -> Result<(), BulkError> {
        let mut connection = open(directory)?;
        let marked = format!("endpoints WHERE instr(url, '{mark}') > 0");
        let first: i64 = scalar(&mut connection, &format!("SELECT MIN(id) FROM {marked}"))?;
        let last: i64 = scalar(&mut connection, &format!("SELECT MAX(id) FROM {marked}"))?;
        let table = |name, keys: &'static [&'static str], texts| {
            let key = keys[0];
            Table { name, keys, times: &[], texts, rows: format!("{key} BETWEEN {first} AND {last}") }
        };
        let tables = [
            table("endpoints", &["id"], &["url"]),
            // What an idle endpoint's settings say of its URL, nobody reads.
            table("endpoint_versions", &["endpoint"], &[]),
            table("endpoint_secrets", &["endpoint"], &[]),
        ];
        repeat(&mut connection, &tables, copies)?;
        flush(directory, connection)
    }

    fn rewrite_oldest_event(
        &self,
        directory: &Path,
        event_type: &str,
        idempotency_key: &str,
        body: &[u8],
    ) -> Result<(), BulkError> {
        let mut connection = open(directory)?;
        diesel::sql_query(
            "UPDATE events SET event_type = ?, idempotency_key = ?, body = ? WHERE id = (SELECT MIN(id) FROM events)",
        )
        .bind::<Text, _>(event_type)
        .bind::<Text, _>(idempotency_key)
        .bind::<Binary, _>(body)
        .execute(&mut connection)?;
        flush(directory, connection)
    }

    fn delivery_bytes(&self, deliveries_per_event: usize) -> u64 {
        const ROWS_AND_INDEXES: u64 = 150;
        ROWS_AND_INDEXES + (EVENT_BYTES as u64 + 100) / deliveries_per_event as u64
    }

    fn usage(&self, _: &Path) -> Option<StoreUsage> {
        None
    }

    fn owner_address(&self, _: &Path, _: Partition) -> Result<Option<String>, BulkError> {
        Ok(None)
    }

    fn table_bytes(&self, _: &Path, _: &str) -> Result<Option<u64>, BulkError> {
        Ok(None)
    }

    fn vacuum(&self, _: &Path, _: &str) -> Result<(), BulkError> {
        Ok(())
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("bench.db")
}

fn open(directory: &Path) -> Result<SqliteConnection, BulkError> {
    let mut connection = SqliteConnection::establish(&file(directory).to_string_lossy())?;
    connection.batch_execute(PREPARE)?;
    Ok(connection)
}

/// Before anything is measured, the disk is done with what was written.
fn flush(directory: &Path, connection: SqliteConnection) -> Result<(), BulkError> {
    drop(connection);
    Ok(File::options().write(true).open(file(directory))?.sync_all()?)
}

fn repeat(connection: &mut SqliteConnection, tables: &[Table], copies: Copies) -> Result<(), BulkError> {
    let mut columns = Vec::new();
    for table in tables {
        columns.push(columns_of(connection, table.name)?);
    }
    let report_every = copies.count.div_ceil(REPORTS).max(1);
    connection.batch_execute("BEGIN")?;
    for copy in 1..=copies.count {
        let later_ms = copies.later_ms * copy as i64;
        for (table, columns) in tables.iter().zip(&columns) {
            connection.batch_execute(&copy_statement(table, columns, copy, later_ms))?;
        }
        if copy % report_every == 0 {
            connection.batch_execute("COMMIT; BEGIN")?;
            eprintln!("  {} % of the store is filled", copy * 100 / copies.count);
        }
    }
    Ok(connection.batch_execute("COMMIT")?)
}

fn copy_statement(table: &Table, columns: &[String], copy: usize, later_ms: i64) -> String {
    let later_key = later_ms << COUNTER_BITS;
    let values = columns.iter().map(|column| {
        let is_in = |names: &[&str]| names.contains(&column.as_str());
        if is_in(table.keys) {
            format!("{column} + {later_key}")
        } else if is_in(table.times) {
            format!("{column} + {later_ms}")
        } else if is_in(table.texts) {
            format!("{column} || '-{copy}'")
        } else {
            column.clone()
        }
    });
    let values: Vec<String> = values.collect();
    let Table { name, rows, .. } = table;
    let (columns, values) = (columns.join(", "), values.join(", "));
    format!("INSERT INTO {name} ({columns}) SELECT {values} FROM {name} WHERE {rows}")
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

fn columns_of(connection: &mut SqliteConnection, table: &str) -> QueryResult<Vec<String>> {
    let columns: Vec<Column> =
        diesel::sql_query("SELECT name FROM pragma_table_info(?)").bind::<Text, _>(table).load(connection)?;
    Ok(columns.into_iter().map(|column| column.name).collect())
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

fn scalar(connection: &mut SqliteConnection, query: &str) -> QueryResult<i64> {
    let found: Number = diesel::sql_query(format!("SELECT ({query}) AS number")).get_result(connection)?;
    Ok(found.number)
}
