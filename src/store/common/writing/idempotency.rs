//! Once for each idempotency key: whoever claims it first accepts, and the answer
//! is kept and given again.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;
use diesel::query_dsl::methods::FilterDsl;
use diesel::upsert::excluded;

use super::super::translate;
use super::{IDEMPOTENCY_HOLDS_MS, Tx};
use crate::store::ids::RowKey;
use crate::store::rows::{from_json, parsed, to_json};
use crate::store::schema::idempotency_keys;
use crate::store::{Accepted, AcceptedEvent, Idempotency, ScopeId, StoreError};

/// The first answer, where the key was used before.
pub(super) fn answered_earlier(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    if let Some(earlier) = answered_with_quotes(transaction, scope, idempotency)? {
        return Ok(Some(earlier));
    }
    answer_of(transaction, scope, &idempotency.key, idempotency)
}

/// The same where the key was kept as it came.
fn answered_with_quotes(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    match &idempotency.quoted {
        Some(quoted) => answer_of(transaction, scope, quoted, idempotency),
        None => Ok(None),
    }
}

/// What is kept under a key.
fn answer_of(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    key: &str,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    let row = FilterDsl::filter(
        idempotency_keys::table.find((scope.0, key)),
        idempotency_keys::created_at.gt(transaction.now.as_millis() - IDEMPOTENCY_HOLDS_MS),
    );
    let earlier: Option<(Vec<u8>, String, Vec<u8>)> = row
        .select((idempotency_keys::request, idempotency_keys::events, idempotency_keys::refused))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((request, events, refused)) = earlier else { return Ok(None) };
    if request != idempotency.request {
        return Ok(Some(Accepted::KeyReused));
    }
    let rows: Vec<(RowKey, String, u32)> = from_json(&events)?;
    let events = rows
        .into_iter()
        .map(|(key, name, deliveries)| {
            Ok(AcceptedEvent { id: transaction.ids.event(key), event_type: parsed(&name)?, deliveries })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Some(Accepted::Repeated { events, refused: refused.into() }))
}

/// Takes the key for this transaction, or answers as it was answered before. A
/// transaction elsewhere that has claimed it and not ended yet is waited for; on
/// a hit the row is locked, so that the answer is as durable as the first was.
pub(super) fn claim(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    if let Some(earlier) = answered_with_quotes(transaction, scope, idempotency)? {
        return Ok(Some(earlier));
    }
    let upsert = diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::scope.eq(scope.0),
            idempotency_keys::key.eq(&idempotency.key),
            idempotency_keys::request.eq(idempotency.request.as_slice()),
            idempotency_keys::events.eq("[]"),
            idempotency_keys::refused.eq(idempotency.refused.as_ref()),
            idempotency_keys::created_at.eq(transaction.now.as_millis()),
        ))
        .on_conflict((idempotency_keys::scope, idempotency_keys::key))
        .do_update()
        .set((
            idempotency_keys::request.eq(excluded(idempotency_keys::request)),
            idempotency_keys::events.eq(excluded(idempotency_keys::events)),
            idempotency_keys::refused.eq(excluded(idempotency_keys::refused)),
            idempotency_keys::created_at.eq(excluded(idempotency_keys::created_at)),
        ));
    let no_longer_holds = idempotency_keys::created_at.le(transaction.now.as_millis() - IDEMPOTENCY_HOLDS_MS);
    let claimed = FilterDsl::filter(upsert, no_longer_holds).execute(transaction.connection).map_err(translate)?;
    if claimed > 0 {
        return Ok(None);
    }
    match answered_earlier(transaction, scope, idempotency)? {
        Some(earlier) => Ok(Some(earlier)),
        None => Err(StoreError::Busy("an idempotency key was forgotten just now".into())),
    }
}

/// Keeps the answer of whoever has claimed the key.
pub(super) fn remember(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
    accepted: &[AcceptedEvent],
) -> Result<(), StoreError> {
    let rows = accepted
        .iter()
        .map(|event| Ok((transaction.event_key(event.id)?, event.event_type.as_str(), event.deliveries)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    diesel::update(idempotency_keys::table.find((scope.0, &idempotency.key)))
        .set(idempotency_keys::events.eq(to_json(&rows)))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}
