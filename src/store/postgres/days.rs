//! History by days: each day's events, finished deliveries and attempts are
//! tables of their own, made before they are needed and dropped whole.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use crate::domain::Timestamp;
use crate::store::ids::{RowKey, first_key_at, time_of_key};

/// The tables that are made of days, with the column that a day is found by.
const TABLES: [&str; 3] = ["events", "finished", "attempts"];

/// Whether this table is made of days.
pub(super) fn is_made_of(table: &str) -> bool {
    TABLES.contains(&table)
}

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Whoever makes or drops days waits for the others: an advisory lock, held for
/// as long as the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(731003312, 2)";

/// A day of history, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    pub(super) fn at(time: Timestamp) -> Self {
        Self(time.as_millis().div_euclid(DAY_MS))
    }

    pub(super) fn of(key: RowKey) -> Self {
        Self::at(time_of_key(key))
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(super) fn begins_at(self) -> Timestamp {
        Timestamp::from_millis(self.0 * DAY_MS)
    }

    /// The first key of the day, and the first behind it.
    pub(super) fn keys(self) -> (RowKey, RowKey) {
        (first_key_at(self.begins_at()), first_key_at(self.next().begins_at()))
    }

    /// As part of a table's name: `2026_11_22`.
    fn name(self) -> String {
        let text = self.begins_at().to_string();
        text.chars()
            .take_while(|letter| *letter != 'T')
            .map(|letter| if letter == '-' { '_' } else { letter })
            .collect()
    }

    /// The day's part of a table.
    pub(super) fn part_of(self, table: &str) -> String {
        format!("{table}_{}", self.name())
    }
}

/// The days that are known to be there.
#[derive(Debug, Default)]
pub(super) struct KnownDays(BTreeSet<Day>);

impl KnownDays {
    /// Those of these keys that may be missing.
    pub(super) fn missing(&self, first: RowKey, last: RowKey) -> Vec<Day> {
        let mut missing = Vec::new();
        let mut day = Day::of(first);
        while day <= Day::of(last) {
            if !self.0.contains(&day) {
                missing.push(day);
            }
            day = day.next();
        }
        missing
    }

    pub(super) fn are_there(&mut self, days: &[Day]) {
        self.0.extend(days);
    }

    pub(super) fn is_gone(&mut self, day: Day) {
        self.0.remove(&day);
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    is_there: bool,
}

/// Makes the parts of these days that are not there. In a transaction of its own;
/// who inserts or reads meanwhile is not held up.
pub(super) fn make(connection: &mut PgConnection, days: &[Day]) -> QueryResult<()> {
    connection.transaction(|connection| {
        connection.batch_execute(LOCK)?;
        for day in days {
            let (first, end) = day.keys();
            for table in TABLES {
                let part = day.part_of(table);
                let found: Found = diesel::sql_query("SELECT to_regclass($1) IS NOT NULL AS is_there")
                    .bind::<Text, _>(&part)
                    .get_result(connection)?;
                if !found.is_there {
                    connection.batch_execute(&format!(
                        "CREATE TABLE {part} (LIKE {table} INCLUDING ALL);
                         ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({first}) TO ({end})"
                    ))?;
                }
            }
        }
        Ok(())
    })
}

#[derive(QueryableByName)]
struct Bound {
    #[diesel(sql_type = BigInt)]
    first: i64,
}

/// The days of which all is older than a time, oldest first.
pub(super) fn older_than(connection: &mut PgConnection, time: Timestamp) -> QueryResult<Vec<Day>> {
    let bounds: Vec<Bound> = diesel::sql_query(
        "SELECT (regexp_match(pg_get_expr(part.relpartbound, part.oid), '\\((?:'')?(\\d+)'))[1]::bigint AS first
         FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
         WHERE inhparent = 'events'::regclass ORDER BY 1",
    )
    .load(connection)?;
    let days = bounds.into_iter().map(|bound| Day::of(bound.first));
    Ok(days.filter(|day| day.next().begins_at() <= time).collect())
}

/// Whether anything of a day is unfinished, has finished since the horizon, or was made
/// of its events by a replay of a later day.
fn is_needed(connection: &mut PgConnection, day: Day, horizon: Timestamp) -> QueryResult<bool> {
    let (first, end) = day.keys();
    let needed: Found = diesel::sql_query(format!(
        "SELECT EXISTS (SELECT 1 FROM pending WHERE id >= $1 AND id < $2)
             OR EXISTS (SELECT 1 FROM unsealed WHERE last_key >= $1 AND first_key < $2)
             OR EXISTS (SELECT 1 FROM {} WHERE finished_at >= $3)
             OR EXISTS (SELECT 1 FROM pending WHERE replay IS NOT NULL AND event >= $1 AND event < $2)
             OR EXISTS (SELECT 1 FROM finished WHERE replay IS NOT NULL AND event >= $1 AND event < $2 AND id >= $2)
               AS is_there",
        day.part_of("finished")
    ))
    .bind::<BigInt, _>(first)
    .bind::<BigInt, _>(end)
    .bind::<BigInt, _>(horizon.as_millis())
    .get_result(connection)?;
    Ok(needed.is_there)
}

/// Drops a day, if nothing of it is unfinished and nothing has finished since the
/// horizon, and no replay of a later day has made anything of its events. Waits for nobody:
/// with a reader in the way it fails.
pub(super) fn drop_whole(connection: &mut PgConnection, day: Day, horizon: Timestamp) -> QueryResult<bool> {
    let (first, end) = day.keys();
    connection.transaction(|connection| {
        connection.batch_execute("SET LOCAL lock_timeout = '100ms'")?;
        connection.batch_execute(LOCK)?;
        if is_needed(connection, day, horizon)? {
            return Ok(false);
        }
        // Whoever has a payload of the day in hand, for a replay or a retry, has committed by
        // the time that this is had, and what he began is seen by another look.
        for table in TABLES {
            connection.batch_execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", day.part_of(table)))?;
        }
        if is_needed(connection, day, horizon)? {
            return Ok(false);
        }
        diesel::sql_query("DELETE FROM manual_attempts WHERE delivery >= $1 AND delivery < $2")
            .bind::<BigInt, _>(first)
            .bind::<BigInt, _>(end)
            .execute(connection)?;
        for table in TABLES {
            connection.batch_execute(&format!("DROP TABLE IF EXISTS {}", day.part_of(table)))?;
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_called_by_its_date() {
        let day = Day::at(Timestamp::from_millis(1_795_305_600_000));
        assert_eq!(day.part_of("events"), "events_2026_11_22");
        assert_eq!(day.begins_at().as_millis(), 1_795_305_600_000);
    }

    proptest! {
        #[test]
        fn a_key_is_within_its_day(key in 0..i64::MAX / 2) {
            let (first, end) = Day::of(key).keys();
            prop_assert!(first <= key && key < end);
            prop_assert_eq!(Day::of(first), Day::of(end - 1));
            prop_assert_eq!(Day::of(end), Day::of(key).next());
        }
    }
}
