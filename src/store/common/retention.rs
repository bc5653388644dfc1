//! For how long things are kept.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::reads::scope_id;
use super::{Connection, translate};
use crate::domain::{Kept, RetentionDays};
use crate::store::schema::retentions;
use crate::store::{Retentions, Scope, ScopeId, StoreError};

/// `payload_days`, `attempts_days`, `held_days`, `exhausted_days`.
pub(super) type DaysRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// The columns of a [`DaysRow`].
pub(super) const DAYS: (
    retentions::payload_days,
    retentions::attempts_days,
    retentions::held_days,
    retentions::exhausted_days,
) = (retentions::payload_days, retentions::attempts_days, retentions::held_days, retentions::exhausted_days);

pub(super) fn days_of((payload, attempts, held, exhausted): DaysRow) -> Result<RetentionDays, StoreError> {
    let mut days = RetentionDays::default();
    for (kept, stored) in Kept::ALL.into_iter().zip([payload, attempts, held, exhausted]) {
        let corrupt = |_| StoreError::Corrupt(format!("{} is {stored:?}", kept.setting()));
        days = days.with(kept, stored.map(u32::try_from).transpose().map_err(corrupt)?);
    }
    Ok(days)
}

/// What a scope says itself.
pub(super) fn own(connection: &mut Connection, scope: ScopeId) -> Result<RetentionDays, StoreError> {
    let row: Option<DaysRow> =
        retentions::table.find(scope.0).select(DAYS).get_result(connection).optional().map_err(translate)?;
    row.map_or(Ok(RetentionDays::default()), days_of)
}

/// What a scope says, and what its environment does; `None` where there is no such partner.
pub(super) fn retentions(connection: &mut Connection, scope: &Scope) -> Result<Option<Retentions>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    Ok(Some(Retentions { own: own(connection, id)?, environment: own(connection, id.environment())? }))
}
