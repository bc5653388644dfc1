//! What stands in `meta` of the store as a whole: that it is a copy that was restored
//! and not released yet, that it was moved elsewhere, that a move into it has not ended.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;
use serde_json::Value;

use super::{Connection, translate};
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::marks::{Moved, RESTORED, moved_of};
use crate::store::schema::meta;

/// A mark as it stands.
pub(super) fn read(connection: &mut Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    meta::table.find(name).select(meta::value).first(connection).optional().map_err(translate)
}

/// Sets a mark, in the place of whatever it was.
pub(super) fn write(connection: &mut Connection, name: &str, value: &[u8]) -> Result<(), StoreError> {
    diesel::insert_into(meta::table)
        .values((meta::name.eq(name), meta::value.eq(value)))
        .on_conflict(meta::name)
        .do_update()
        .set(meta::value.eq(value))
        .execute(connection)
        .map_err(translate)?;
    Ok(())
}

/// Removes a mark. False when there was none.
pub(super) fn clear(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    let cleared = diesel::delete(meta::table.find(name)).execute(connection).map_err(translate)?;
    Ok(cleared > 0)
}

/// When the copy was taken that this is, if nobody has released it since.
pub(super) fn restored(connection: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    let Some(text) = read(connection, RESTORED)? else { return Ok(None) };
    let taken_at = serde_json::from_slice::<Value>(&text).ok().and_then(|mark| mark["taken_at"].as_i64());
    // One that cannot be read holds all the same.
    Ok(Some(Timestamp::from_millis(taken_at.unwrap_or(0))))
}

/// Where it was moved to, or from, if it was.
pub(super) fn moved(connection: &mut Connection, name: &str) -> Result<Option<Moved>, StoreError> {
    read(connection, name)?.map(|text| moved_of(name, &text)).transpose()
}
