//! The file as what a move takes from. It is taken as a node takes it, so that none can
//! work on it meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use diesel::connection::DefaultLoadingMode;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use sha2::{Digest, Sha256};

use super::{BUSY_TIMEOUT, Purpose, SqliteStore, is_there, largest_key, marks, stored_id_secret, text_of, translate};
use crate::domain::{EndpointId, Timestamp};
use crate::keyring::{KeySource, RingKeyId};
use crate::store::ids::RowKey;
use crate::store::marks::{MOVED, Moved};
use crate::store::moving::form::{fields, line, quoted};
use crate::store::moving::plan::{Found, Part, Table};
use crate::store::moving::{NumbersGiven, SourceSlice};
use crate::store::{Store as _, StoreError};

/// Deliveries undone in one commit.
const UNDONE_AT_ONCE: usize = 1_000;

/// See the module.
pub(in crate::store) struct Source {
    store: SqliteStore,
    /// What reads rows and sets marks.
    connection: SqliteConnection,
    known_as: String,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared: String,
    #[diesel(sql_type = Bool)]
    is_optional: bool,
    #[diesel(sql_type = BigInt)]
    key_place: i64,
}

#[derive(QueryableByName)]
struct RowText {
    #[diesel(sql_type = Text)]
    row: String,
}

#[derive(QueryableByName)]
struct Given {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = BigInt)]
    endpoint: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

impl Source {
    /// Brings the file up to date, too: what is moved is of this release.
    pub(in crate::store) fn open(path: &Path, keys: &KeySource) -> Result<Self, StoreError> {
        is_there(path)?;
        let store = SqliteStore::open_as(path, 1, keys, Purpose::Move)?;
        let mut connection = SqliteConnection::establish(text_of(path)?)
            .map_err(|error| StoreError::Configuration(format!("cannot open {}: {error}", path.display())))?;
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = {}; PRAGMA synchronous = FULL; PRAGMA mmap_size = 0",
                BUSY_TIMEOUT.as_millis()
            ))
            .map_err(translate)?;
        let secret = stored_id_secret(&mut connection)?.expect("an opened store has drawn it");
        let known_as = Sha256::digest(secret)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { store, connection, known_as })
    }

    /// By what it is known again; nobody can make its ids with that.
    pub(in crate::store) fn known_as(&self) -> String {
        self.known_as.clone()
    }

    /// The keys that its values are sealed with. Opening it has found that they fit.
    pub(in crate::store) fn noted_keys(&self) -> Result<Vec<RingKeyId>, StoreError> {
        self.store.noted_keys()
    }

    pub(in crate::store) fn endpoint(&self, key: RowKey) -> EndpointId {
        self.store.ids.endpoint(key)
    }

    /// Undoes what a process left that was killed while it accepted something large.
    pub(in crate::store) fn undo_unsealed(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut writer = self.store.writer()?;
        loop {
            let mut undone = 0;
            let committed = writer.commit(now, &mut |transaction| {
                undone = transaction.undo_unsealed(UNDONE_AT_ONCE)?;
                Ok(())
            });
            committed.map_err(|error| StoreError::Unavailable(format!("what was half accepted stays: {error}")))?;
            if undone < UNDONE_AT_ONCE {
                return Ok(());
            }
        }
    }

    pub(in crate::store) fn mark(&mut self, moved: &Moved) -> Result<(), StoreError> {
        let text = serde_json::to_vec(moved).expect("it has texts and a truth");
        marks::write(&mut self.connection, MOVED, &text)
    }

    pub(in crate::store) fn moved(&mut self) -> Result<Option<Moved>, StoreError> {
        marks::moved(&mut self.connection, MOVED)
    }

    pub(in crate::store) fn unmark(&mut self) -> Result<Option<Moved>, StoreError> {
        let moved = self.moved()?;
        marks::clear(&mut self.connection, MOVED)?;
        Ok(moved)
    }

    /// All tables but SQLite's own.
    pub(in crate::store) fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let names: Vec<Name> = diesel::sql_query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
        )
        .load(&mut self.connection)
        .map_err(translate)?;
        let mut tables = Vec::with_capacity(names.len());
        for Name { name } in names {
            let mut columns: Vec<ColumnRow> = diesel::sql_query(
                "SELECT name, type AS declared, \"notnull\" = 0 AND pk = 0 OR dflt_value IS NOT NULL AS is_optional, \
                 pk AS key_place FROM pragma_table_info(?)",
            )
            .bind::<Text, _>(&name)
            .load(&mut self.connection)
            .map_err(translate)?;
            let found = columns.iter().map(|column| Found {
                name: column.name.clone(),
                declared: column.declared.clone(),
                is_optional: column.is_optional,
            });
            let found = found.collect();
            columns.retain(|column| column.key_place > 0);
            columns.sort_by_key(|column| column.key_place);
            let key = columns.into_iter().map(|column| column.name).collect();
            tables.push(Table { name, columns: found, key });
        }
        Ok(tables)
    }

    /// The next rows of a part, as many as are asked for, or fewer of large ones.
    pub(in crate::store) fn rows(
        &mut self,
        part: &Part,
        after: Option<&[String]>,
        limit: usize,
        bytes: usize,
    ) -> Result<SourceSlice, StoreError> {
        let row = line(part.columns.iter().map(|column| column.sqlite_field()));
        let key: Vec<&_> = part.key.iter().map(|place| &part.columns[*place]).collect();
        let names: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
        let names = names.join(", ");
        let mut conditions: Vec<String> = part.only.iter().cloned().collect();
        if let Some(after) = after {
            let values: Vec<String> = key.iter().zip(after).map(|(column, field)| column.sqlite_value(field)).collect();
            conditions.push(format!("({names}) > ({})", values.join(", ")));
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let text =
            format!("SELECT {row} AS row FROM {} {condition} ORDER BY {names} LIMIT {limit}", quoted(&part.from));
        let mut slice = SourceSlice { rows: Vec::new(), is_last: true };
        let mut taken = 0;
        let found = diesel::sql_query(text)
            .load_iter::<RowText, DefaultLoadingMode>(&mut self.connection)
            .map_err(translate)?;
        for row in found {
            let RowText { row } = row.map_err(translate)?;
            debug_assert_eq!(fields(&row).count(), part.columns.len());
            taken += row.len();
            slice.rows.push(row);
            if taken >= bytes {
                slice.is_last = false;
                break;
            }
        }
        if slice.rows.len() == limit {
            slice.is_last = false;
        }
        Ok(slice)
    }

    pub(in crate::store) fn numbers_given(&mut self) -> Result<NumbersGiven, StoreError> {
        let given: Vec<Given> =
            diesel::sql_query("SELECT name, seq FROM sqlite_sequence").load(&mut self.connection).map_err(translate)?;
        let by_table: BTreeMap<String, i64> = given.into_iter().map(|given| (given.name, given.seq)).collect();
        let numbered: Vec<Numbered> = diesel::sql_query("SELECT endpoint, last FROM endpoint_numbers")
            .load(&mut self.connection)
            .map_err(translate)?;
        let by_endpoint = numbered.into_iter().map(|numbered| (numbered.endpoint, numbered.last)).collect();
        Ok(NumbersGiven { row_key: largest_key(&mut self.connection)?, by_table, by_endpoint })
    }
}
