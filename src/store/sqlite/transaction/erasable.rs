//! What the SQL of retention and erasure has of SQLite alone: where deliveries are.

use diesel::prelude::*;

use crate::store::StoreError;
use crate::store::ids::RowKey;
use crate::store::schema::events;
use crate::store::sqlite::error::translate;

use super::SqliteTransaction;

/// Deliveries `d` with an attempt to come.
pub(super) const UNFINISHED: &str = "deliveries AS d WHERE d.next_at IS NOT NULL AND";
/// Deliveries `d` that have ended.
pub(super) const ENDED: &str = "deliveries AS d WHERE d.next_at IS NULL AND";
/// The table of what has ended.
pub(super) const ENDED_TABLE: &str = "deliveries";
/// The tables that deliveries are in.
pub(super) const DELIVERIES: &[&str] = &["deliveries"];
/// Events whose payload is not to be kept, by the small index over them.
pub(super) const UNRETAINED: &str = "events AS e INDEXED BY events_unretained";

/// Of these events those whose payload is there.
pub(super) fn payloads_there(
    transaction: &mut SqliteTransaction<'_>,
    keys: &[RowKey],
) -> Result<Vec<RowKey>, StoreError> {
    events::table
        .filter(events::id.eq_any(keys))
        .filter(events::erased_at.is_null())
        .select(events::id)
        .load(transaction.connection)
        .map_err(translate)
}
