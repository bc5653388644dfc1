//! The database as what a move writes into. It must have been empty when the move began,
//! and no node starts on it before the move has ended.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};

use super::connection::refused;
use super::days::{self, Day, KnownDays};
use super::{PostgresOptions, marks, migrate, translate};
use crate::store::StoreError;
use crate::store::marks::{MOVED_FROM, MOVING, Moved};
use crate::store::moving::form::{NULL, fields, line, number, quoted};
use crate::store::moving::plan::{Found, Part, Table};
use crate::store::moving::{Journey, NumbersGiven, Standing};

/// What a node or a person has written first in a database that is not empty.
const WRITTEN_FIRST: [&str; 7] = ["partners", "endpoints", "events", "pending", "finished", "api_keys", "audit_log"];

/// See the module.
pub(in crate::store) struct Target {
    connection: PgConnection,
    known_days: KnownDays,
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared: String,
    #[diesel(sql_type = Bool)]
    is_optional: bool,
}

#[derive(QueryableByName)]
struct RowText {
    #[diesel(sql_type = Text)]
    row: String,
}

/// A table that numbers its rows itself.
#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Something {
    #[diesel(sql_type = Bool)]
    is_there: bool,
}

/// Lets diesel end a transaction with an error of ours.
struct MoveError(StoreError);

impl From<diesel::result::Error> for MoveError {
    fn from(error: diesel::result::Error) -> Self {
        Self(translate(error))
    }
}

impl From<StoreError> for MoveError {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

/// The last number of each endpoint, which the source has in its deliveries.
const NUMBER_ENDPOINTS: &str = "
    INSERT INTO endpoint_numbers (endpoint, generation, changes, last, last_at, newer, newer_at, older, older_at)
    SELECT endpoint, 0, 0, max(number), 0, 0, 0, 0, 0
    FROM (SELECT endpoint, number FROM pending WHERE number IS NOT NULL
          UNION ALL SELECT endpoint, number FROM finished WHERE number IS NOT NULL
          UNION ALL SELECT * FROM unnest($1, $2)) AS given (endpoint, number)
    GROUP BY endpoint";

impl Target {
    /// Makes the tables, too.
    pub(in crate::store) fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let mut connection = options.connect().map_err(|error| refused(&error))?;
        migrate(&mut connection)?;
        // Nobody waits for what a move does, and it waits for nobody.
        connection
            .batch_execute("SET statement_timeout = '120s'; SET idle_in_transaction_session_timeout = '120s'")
            .map_err(translate)?;
        Ok(Self { connection, known_days: KnownDays::default() })
    }

    /// All tables, those that are made of days as one.
    pub(in crate::store) fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let rows: Vec<ColumnRow> = diesel::sql_query(
            "SELECT c.relname::text AS table, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS declared,
                    NOT a.attnotnull OR a.atthasdef OR a.attidentity <> '' AS is_optional
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             ORDER BY c.relname, a.attnum",
        )
        .load(&mut self.connection)
        .map_err(translate)?;
        let mut tables: Vec<Table> = Vec::new();
        for ColumnRow { table, name, declared, is_optional } in rows {
            let found = Found { name, declared, is_optional };
            match tables.last_mut().filter(|last| last.name == table) {
                Some(last) => last.columns.push(found),
                None => tables.push(Table { name: table, columns: vec![found], key: Vec::new() }),
            }
        }
        Ok(tables)
    }

    /// How it stands to this source. Another's, or one with something of its own in it,
    /// is refused.
    pub(in crate::store) fn standing(&mut self, source: &str) -> Result<Standing, StoreError> {
        if let Some(text) = marks::read(&mut self.connection, MOVING)? {
            let journey: Journey = serde_json::from_slice(&text)
                .map_err(|error| StoreError::Corrupt(format!("the mark `{MOVING}` in `meta`: {error}")))?;
            return match journey.source == source {
                true => Ok(Standing::Begun(journey)),
                false => Err(StoreError::Configuration(
                    "the target is half of another store that is being moved into it: name another database".into(),
                )),
            };
        }
        if marks::moved(&mut self.connection, MOVED_FROM)?.is_some_and(|moved| moved.source == source) {
            return Ok(Standing::Done);
        }
        for table in WRITTEN_FIRST {
            let found: Something = diesel::sql_query(format!("SELECT EXISTS (SELECT 1 FROM {table}) AS is_there"))
                .get_result(&mut self.connection)
                .map_err(translate)?;
            if found.is_there {
                return Err(StoreError::Configuration(format!(
                    "the target is not empty: there is something in its table `{table}`; name a new database, on which \
                     no node has been started"
                )));
            }
        }
        Ok(Standing::Empty)
    }

    /// Takes out what a new database has of its own, and notes the move.
    pub(in crate::store) fn begin(&mut self, parts: &[Part], journey: &Journey) -> Result<(), StoreError> {
        let begun = self.connection.transaction(|connection| {
            for part in parts {
                connection.batch_execute(&format!("DELETE FROM {}", quoted(&part.to)))?;
            }
            marks::write(connection, MOVING, &text_of(journey)).map_err(MoveError)
        });
        begun.map_err(|MoveError(error)| error)
    }

    /// Writes rows and how far that is, together.
    pub(in crate::store) fn write(
        &mut self,
        part: &Part,
        rows: &[String],
        journey: &Journey,
    ) -> Result<(), StoreError> {
        if days::is_made_of(&part.to) {
            self.make_days(rows)?;
        }
        let columns = part.written();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let values = columns.iter().zip(1..).map(|(column, place)| column.postgres_value(&format!("f[{place}]")));
        let values: Vec<String> = values.collect();
        let text = format!(
            "INSERT INTO {} ({}) SELECT {} FROM (SELECT string_to_array(row, '|') AS f FROM unnest($1) AS given (row)) AS rows",
            quoted(&part.to),
            names.join(", "),
            values.join(", ")
        );
        let written = self.connection.transaction(|connection| {
            if !rows.is_empty() {
                let inserted = diesel::sql_query(text).bind::<Array<Text>, _>(rows).execute(connection)?;
                debug_assert_eq!(inserted, rows.len());
            }
            marks::write(connection, MOVING, &text_of(journey)).map_err(MoveError)
        });
        written.map_err(|MoveError(error)| match error {
            StoreError::Constraint(why) => StoreError::Constraint(format!(
                "a row of the source's `{}` is not as it should be: {why}; `posthaste verify-store` says more",
                part.from
            )),
            other => other,
        })
    }

    fn make_days(&mut self, rows: &[String]) -> Result<(), StoreError> {
        let mut wanted = BTreeSet::new();
        for row in rows {
            // The key is the first field of each of these tables.
            wanted.insert(number(fields(row).next().unwrap_or(NULL))?);
        }
        let mut missing: Vec<Day> = wanted.into_iter().flat_map(|key| self.known_days.missing(key, key)).collect();
        missing.dedup();
        if !missing.is_empty() {
            days::make(&mut self.connection, &missing).map_err(translate)?;
            self.known_days.are_there(&missing);
        }
        Ok(())
    }

    /// The next rows of a part, in an order of the server's own.
    pub(in crate::store) fn rows(
        &mut self,
        part: &Part,
        after: Option<&[String]>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let columns = part.written();
        let row = line(columns.iter().map(|column| column.postgres_field()));
        let key: Vec<&_> = part.key.iter().map(|place| &part.columns[*place]).collect();
        let names: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
        let names = names.join(", ");
        let mut conditions = Vec::new();
        // What tells the halves of a table apart holds of every row of either.
        conditions.extend(part.only.iter().filter(|_| part.from == part.to).cloned());
        if let Some(after) = after {
            let literal = |field: &String| format!("'{field}'");
            let values: Vec<String> =
                key.iter().zip(after).map(|(column, field)| column.postgres_value(&literal(field))).collect();
            conditions.push(format!("({names}) > ({})", values.join(", ")));
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let text = format!("SELECT {row} AS row FROM {} {condition} ORDER BY {names} LIMIT {limit}", quoted(&part.to));
        let rows: Vec<RowText> = diesel::sql_query(text).load(&mut self.connection).map_err(translate)?;
        Ok(rows.into_iter().map(|row| row.row).collect())
    }

    /// Has numbers go on behind those that the source gave, and lets nodes start.
    pub(in crate::store) fn finish(
        &mut self,
        parts: &[Part],
        given: &NumbersGiven,
        moved: &Moved,
    ) -> Result<(), StoreError> {
        // Plans are made by what the server knows of its tables, which it has not looked at yet.
        self.connection.batch_execute("SET statement_timeout = 0; ANALYZE").map_err(translate)?;
        let numbering: Vec<Name> = diesel::sql_query(
            "SELECT attrelid::regclass::text AS name FROM pg_attribute WHERE attidentity <> '' AND attname = 'id'",
        )
        .load(&mut self.connection)
        .map_err(translate)?;
        let finished = self.connection.transaction(|connection| {
            if given.row_key > 0 {
                diesel::sql_query("SELECT setval('row_keys', $1)")
                    .bind::<BigInt, _>(given.row_key)
                    .execute(connection)?;
            }
            for part in parts.iter().filter(|part| numbering.iter().any(|numbering| numbering.name == part.to)) {
                let table = quoted(&part.to);
                diesel::sql_query(format!(
                    "SELECT setval(pg_get_serial_sequence($1, 'id'),
                                   greatest($2, (SELECT coalesce(max(id), 0) FROM {table}), 1))"
                ))
                .bind::<Text, _>(&part.to)
                .bind::<BigInt, _>(given.by_table.get(&part.from).copied().unwrap_or(0))
                .execute(connection)?;
            }
            let (endpoints, last): (Vec<i64>, Vec<i64>) = given.by_endpoint.iter().copied().unzip();
            diesel::sql_query(NUMBER_ENDPOINTS)
                .bind::<Array<BigInt>, _>(endpoints)
                .bind::<Array<BigInt>, _>(last)
                .execute(connection)?;
            let text = serde_json::to_vec(moved).expect("it has texts and a truth");
            marks::write(connection, MOVED_FROM, &text)?;
            marks::clear(connection, MOVING)?;
            Ok::<(), MoveError>(())
        });
        finished.map_err(|MoveError(error)| error)
    }
}

fn text_of(journey: &Journey) -> Vec<u8> {
    serde_json::to_vec(journey).expect("it has texts and numbers")
}
