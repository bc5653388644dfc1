//! The audit log, as it is written: what a transaction did is kept until its end, and
//! then numbered, chained and written in one go, as the last thing before the commit.
//! Whoever writes waits for the head of the chain there, and for nobody afterwards:
//! nobody waits in a circle.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::translate;
use super::Tx;
use crate::domain::{AuditHash, AuditRecord};
use crate::policy::audit_chain;
use crate::store::rows::AuditRow;
use crate::store::schema::{audit_head, audit_log};
use crate::store::{AuditEntry, StoreError};

/// Rows of one statement: each has 13 values, and no backend takes more than 32,766.
const ROWS_AT_ONCE: usize = 1_000;

/// Writes down what was done. Nothing else may be written after it.
pub(super) fn write(transaction: &mut Tx<'_>) -> Result<(), StoreError> {
    let entries = std::mem::take(&mut transaction.audits);
    if entries.is_empty() {
        return Ok(());
    }
    let mut head = transaction.lock_audit_head()?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut record = record_of(transaction, entry)?;
        head = audit_chain::append(&mut record, head);
        rows.push(AuditRow::from(record));
    }
    for rows in rows.chunks(ROWS_AT_ONCE) {
        diesel::insert_into(audit_log::table).values(rows).execute(transaction.connection).map_err(translate)?;
    }
    diesel::update(audit_head::table)
        .set((audit_head::number.eq(head.number), audit_head::hash.eq(head.hash.as_bytes().as_slice())))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// An entry without its place.
fn record_of(transaction: &Tx<'_>, entry: AuditEntry) -> Result<AuditRecord, StoreError> {
    let AuditEntry { actor, key, address, action, subject, environment, partner, detail } = entry;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
    Ok(AuditRecord {
        number: 0,
        at: transaction.now,
        environment,
        partner: partner.map(|name| name.to_string()),
        actor: actor.as_str().to_owned(),
        key: key.map(|id| id.to_string()),
        address: address.map(|address| address.to_canonical().to_string()),
        action: action.as_str().to_owned(),
        subject,
        detail,
        salt,
        previous_hash: AuditHash::GENESIS,
        hash: AuditHash::GENESIS,
    })
}
