//! What the SQL of retention and erasure has of PostgreSQL alone: where deliveries are,
//! and who waits for whom over a payload.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

use crate::store::StoreError;
use crate::store::ids::RowKey;
use crate::store::postgres::translate;

use super::PostgresTransaction;

/// Deliveries `d` with an attempt to come.
pub(super) const UNFINISHED: &str = "pending AS d WHERE";
/// Deliveries `d` that have ended.
pub(super) const ENDED: &str = "finished AS d WHERE";
/// The table of what has ended.
pub(super) const ENDED_TABLE: &str = "finished";
/// The tables that deliveries are in.
pub(super) const DELIVERIES: &[&str] = &["pending", "finished"];
/// Events whose payload is not to be kept: there is a small index over them.
pub(super) const UNRETAINED: &str = "events AS e";

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Of these events those whose payload is there, with a lock on each, in the order of
/// their keys.
pub(super) fn payloads_locked(
    transaction: &mut PostgresTransaction<'_>,
    keys: &[RowKey],
    how: &str,
) -> Result<Vec<RowKey>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Locked> =
        diesel::sql_query(format!("SELECT id FROM events WHERE id = ANY($1) AND erased_at IS NULL ORDER BY id {how}"))
            .bind::<Array<BigInt>, _>(keys)
            .load(transaction.connection)
            .map_err(translate)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
