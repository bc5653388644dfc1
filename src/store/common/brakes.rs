//! Which brakes are in force.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::reads::scope_of;
use super::{Connection, translate};
use crate::domain::Timestamp;
use crate::store::schema::brakes;
use crate::store::{Brake, ScopeId, StoreError};

/// Since when a brake is over an endpoint: the longest of those that are.
pub(super) const BRAKED_AT: &str =
    "(SELECT MIN(since) FROM brakes WHERE brakes.scope IN (endpoints.scope, endpoints.scope & 1))";

/// All of them, the longest in force first.
pub(super) fn brakes(connection: &mut Connection) -> Result<Vec<Brake>, StoreError> {
    let rows: Vec<(i64, i64, Option<String>)> = brakes::table
        .order((brakes::since, brakes::scope))
        .select((brakes::scope, brakes::since, brakes::reason))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter()
        .map(|(scope, since, reason)| {
            let scope = scope_of(connection, ScopeId(scope))?;
            Ok(Brake { scope, since: Timestamp::from_millis(since), reason })
        })
        .collect()
}

/// How many there are.
pub(super) fn in_force(connection: &mut Connection) -> Result<usize, StoreError> {
    let count: i64 = brakes::table.count().get_result(connection).map_err(translate)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Whether one is over this partner, or over all of its environment.
pub(super) fn are_over(connection: &mut Connection, scope: ScopeId) -> Result<bool, StoreError> {
    let count: i64 = brakes::table
        .filter(brakes::scope.eq(scope.0).or(brakes::scope.eq(scope.environment().0)))
        .count()
        .get_result(connection)
        .map_err(translate)?;
    Ok(count > 0)
}
