//! The statements of the hot path, each prepared once and kept. diesel never
//! caches an UPDATE, and building a query anew for each row costs more than
//! running it; a [`statement!`] is a text with a type for every `?`.

use std::marker::PhantomData;

use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

macro_rules! statement {
    ($(#[$doc:meta])* fn $name:ident($($field:ident: $rust:ty => $sql:ty),* $(,)?) $text:literal) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, clippy::extra_unused_lifetimes, reason = "one argument a column, and not all borrow")]
        pub(super) fn $name<'a>(connection: &mut SqliteConnection, $($field: $rust),*) -> QueryResult<usize> {
            struct Statement<'a> {
                $($field: $rust,)*
                lifetime: PhantomData<&'a ()>,
            }

            impl QueryId for Statement<'_> {
                type QueryId = Statement<'static>;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl<'a> QueryFragment<Sqlite> for Statement<'a> {
                fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                    let mut pieces = $text.split('?');
                    out.push_sql(pieces.next().unwrap_or_default());
                    $(
                        out.push_bind_param::<$sql, _>(&self.$field)?;
                        out.push_sql(pieces.next().unwrap_or_default());
                    )*
                    Ok(())
                }
            }

            impl RunQueryDsl<SqliteConnection> for Statement<'_> {}

            Statement::<'a> { $($field,)* lifetime: PhantomData }.execute(connection)
        }
    };
}

statement! {
    /// Writes an event down.
    fn insert_event(
        id: i64 => BigInt,
        scope: i64 => BigInt,
        event_type: &'a str => Text,
        deliveries: i64 => BigInt,
        matched_version: i64 => BigInt,
        body: &'a [u8] => Binary,
    )
    "INSERT INTO events (id, scope, event_type, deliveries, matched_version, body) VALUES (?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Makes a delivery that was never tried and is due.
    fn insert_delivery(
        id: i64 => BigInt,
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
        next_at: i64 => BigInt,
    )
    "INSERT INTO deliveries (id, event, endpoint, status, attempt_count, scheduled_attempts, next_at) \
     VALUES (?, ?, ?, 0, 0, 0, ?)"
}

statement! {
    /// Moves an unfinished delivery on, if it stands where the attempt found it.
    fn advance_delivery(
        status: i64 => BigInt,
        next_at: Option<i64> => Nullable<BigInt>,
        finished_at: Option<i64> => Nullable<BigInt>,
        id: i64 => BigInt,
        attempts_before: i64 => BigInt,
    )
    "UPDATE deliveries SET status = ?, attempt_count = attempt_count + 1, \
     scheduled_attempts = scheduled_attempts + 1, next_at = ?, finished_at = ? \
     WHERE id = ? AND attempt_count = ? AND next_at IS NOT NULL"
}

statement! {
    /// Writes an attempt down.
    fn insert_attempt(
        delivery: i64 => BigInt,
        number: i64 => BigInt,
        started_at: i64 => BigInt,
        duration_ms: i64 => BigInt,
        status_code: Option<i64> => Nullable<BigInt>,
        error_class: Option<&'a str> => Nullable<Text>,
        error_message: Option<&'a str> => Nullable<Text>,
        response_body: Option<&'a [u8]> => Nullable<Binary>,
    )
    "INSERT INTO attempts (delivery, number, started_at, duration_ms, status_code, error_class, error_message, \
     response_body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
}
