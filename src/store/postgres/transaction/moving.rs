//! Retries of an endpoint, and when they are due, as PostgreSQL reads and writes it. Why
//! is in `hurrying`.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

use super::PostgresTransaction;
use crate::domain::{EndpointId, Partition};
use crate::store::StoreError;
use crate::store::ids::RowKey;
use crate::store::postgres::{number_of, statements, translate};
use crate::store::rows::DueRow;

/// The first of an endpoint's retries behind a place, earliest first.
pub(super) fn retries(
    transaction: &mut PostgresTransaction<'_>,
    (id, endpoint): (EndpointId, RowKey),
    (time, key): (i64, RowKey),
    limit: usize,
) -> Result<Vec<DueRow>, StoreError> {
    let partition = number_of(Partition::of(id));
    statements::tried(transaction.connection, partition, endpoint, time, key, limit as i64).map_err(translate)
}

/// Makes these due now, but for those whose outcome somebody is writing. Answers how many
/// there were.
pub(super) fn to_now(transaction: &mut PostgresTransaction<'_>, retries: &[RowKey]) -> Result<usize, StoreError> {
    diesel::sql_query(
        "WITH free AS MATERIALIZED (
           SELECT id FROM pending WHERE id = ANY($1) AND status = 1 ORDER BY id FOR UPDATE SKIP LOCKED)
         UPDATE pending SET next_at = $2 FROM free WHERE pending.id = free.id",
    )
    .bind::<Array<BigInt>, _>(retries)
    .bind::<BigInt, _>(transaction.now.as_millis())
    .execute(transaction.connection)
    .map_err(translate)
}
