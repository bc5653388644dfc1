//! Retries of an endpoint, and when they are due, as SQLite reads and writes it. Why is in
//! `hurrying`.

use diesel::prelude::*;

use super::SqliteTransaction;
use crate::domain::EndpointId;
use crate::store::StoreError;
use crate::store::ids::RowKey;
use crate::store::rows::DueRow;
use crate::store::schema::deliveries;
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;

/// The first of an endpoint's retries behind a place, earliest first.
pub(super) fn retries(
    transaction: &mut SqliteTransaction<'_>,
    (_, endpoint): (EndpointId, RowKey),
    (time, key): (i64, RowKey),
    limit: usize,
) -> Result<Vec<DueRow>, StoreError> {
    statements::tried(transaction.connection, endpoint, time, key, limit as i64).map_err(translate)
}

/// Makes these due now. Answers how many there were.
pub(super) fn to_now(transaction: &mut SqliteTransaction<'_>, retries: &[RowKey]) -> Result<usize, StoreError> {
    diesel::update(deliveries::table.filter(deliveries::id.eq_any(retries)))
        .set(deliveries::next_at.eq(transaction.now.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)
}
