//! The audit log, as it is read: newest first by those who look, and first to last
//! by those who check it.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::{Connection, translate};
use crate::domain::{AuditHash, AuditHead, AuditRecord};
use crate::store::rows::{AuditRow, environment_number};
use crate::store::schema::{audit_head, audit_log};
use crate::store::{AuditEnd, AuditFilter, Page, PageRequest, StoreError};

pub(super) fn entries(
    connection: &mut Connection,
    filter: &AuditFilter,
    page: &PageRequest<u64>,
) -> Result<Page<AuditRecord>, StoreError> {
    let before = page.after.map_or(i64::MAX, |after| i64::try_from(after).unwrap_or(i64::MAX));
    let mut query = audit_log::table.select(AuditRow::as_select()).filter(audit_log::number.lt(before)).into_boxed();
    if let Some(partner) = &filter.partner {
        query = query.filter(audit_log::partner.eq(partner.as_str()));
    }
    if let Some(environment) = filter.environment {
        query = query.filter(audit_log::environment.eq(environment_number(environment)));
    }
    if let Some(action) = filter.action {
        query = query.filter(audit_log::action.eq(action.as_str()));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(audit_log::subject.eq(subject));
    }
    if let Some(actor) = &filter.actor {
        query = query.filter(audit_log::actor.eq(actor));
    }
    if let Some(key) = filter.key {
        query = query.filter(audit_log::actor_key.eq(key.to_string()));
    }
    if let Some(since) = filter.since {
        query = query.filter(audit_log::at.ge(since.as_millis()));
    }
    if let Some(until) = filter.until {
        query = query.filter(audit_log::at.lt(until.as_millis()));
    }
    let rows: Vec<AuditRow> =
        query.order(audit_log::number.desc()).limit(page.limit as i64 + 1).load(connection).map_err(translate)?;
    Page::from_overread(rows, page.limit).try_map(AuditRow::record)
}

pub(super) fn chain(connection: &mut Connection, after: i64, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
    let rows: Vec<AuditRow> = audit_log::table
        .filter(audit_log::number.gt(after))
        .order(audit_log::number)
        .limit(limit as i64)
        .select(AuditRow::as_select())
        .load(connection)
        .map_err(translate)?;
    rows.into_iter().map(AuditRow::record).collect()
}

/// To be read at once: the one is about the other.
pub(super) fn end(connection: &mut Connection) -> Result<AuditEnd, StoreError> {
    let row: Option<(i64, Vec<u8>)> = audit_head::table
        .select((audit_head::number, audit_head::hash))
        .first(connection)
        .optional()
        .map_err(translate)?;
    let last: Option<i64> =
        audit_log::table.select(diesel::dsl::max(audit_log::number)).get_result(connection).map_err(translate)?;
    Ok(AuditEnd { head: head_of(row)?, last: last.unwrap_or(0) })
}

/// The head that a row shows.
pub(super) fn head_of(row: Option<(i64, Vec<u8>)>) -> Result<AuditHead, StoreError> {
    let sound = row.and_then(|(number, hash)| Some((number, <[u8; 32]>::try_from(hash).ok()?)));
    let (number, hash) = sound.ok_or_else(|| StoreError::Corrupt("the audit log has lost its head".into()))?;
    Ok(AuditHead { number, hash: AuditHash::from_bytes(hash) })
}
