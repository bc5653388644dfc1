//! Accepting events: each with all its deliveries, against the subscriptions that
//! hold now, once for each idempotency key.

use std::sync::Arc;

use diesel::prelude::*;

use crate::store::ids::{RowKey, time_of_key};
use crate::store::rows::{from_json, parsed, to_json};
use crate::store::schema::idempotency_keys;
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{Accept, Accepted, AcceptedEvent, Birth, Idempotency, Notice, Payload, ScopeId, StoreError};

use super::{IDEMPOTENCY_HOLDS_MS, SqliteTransaction};

pub(super) fn accept(transaction: &mut SqliteTransaction<'_>, accept: &Accept) -> Result<Accepted, StoreError> {
    let scope = accept.subscriptions.id;
    if let Some(idempotency) = &accept.idempotency
        && let Some(earlier) = accepted_earlier(transaction, scope, idempotency)?
    {
        return Ok(earlier);
    }
    let subscriptions = transaction.current(&accept.subscriptions)?;
    let mut accepted = Vec::with_capacity(accept.events.len());
    for event in &accept.events {
        let endpoints = subscriptions.matching(&event.event_type);
        let key = transaction.sequence.take(transaction.now, 1 + endpoints.len());
        statements::insert_event(
            transaction.connection,
            key,
            scope.0,
            event.event_type.as_str(),
            endpoints.len() as i64,
            subscriptions.version,
            &event.body,
        )
        .map_err(translate)?;
        let payload = Arc::new(Payload {
            event: transaction.ids.event(key),
            event_type: event.event_type.clone(),
            body: event.body.clone(),
        });
        for (endpoint, delivery) in endpoints.iter().zip(key + 1..) {
            let created_at = time_of_key(delivery);
            // Keys only grow, so that they run ahead of a clock that was
            // set back; the first attempt does not wait for it.
            let due_at = created_at.min(transaction.now);
            statements::insert_delivery(
                transaction.connection,
                delivery,
                key,
                transaction.endpoint_key(*endpoint)?,
                due_at.as_millis(),
            )
            .map_err(translate)?;
            transaction.notices.push(Notice::Born(Birth {
                endpoint: *endpoint,
                delivery: transaction.ids.delivery(delivery),
                payload: Arc::clone(&payload),
                created_at,
            }));
        }
        accepted.push(AcceptedEvent {
            id: payload.event,
            event_type: event.event_type.clone(),
            deliveries: endpoints.len() as u32,
        });
    }
    if let Some(idempotency) = &accept.idempotency {
        remember(transaction, scope, idempotency, &accepted)?;
    }
    Ok(Accepted::New(accepted))
}

pub(super) fn accepted_earlier(
    transaction: &mut SqliteTransaction<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    let earlier: Option<(Vec<u8>, String, Vec<u8>)> = idempotency_keys::table
        .find((scope.0, &idempotency.key))
        .filter(idempotency_keys::created_at.gt(transaction.now.as_millis() - IDEMPOTENCY_HOLDS_MS))
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

pub(super) fn remember(
    transaction: &mut SqliteTransaction<'_>,
    scope: ScopeId,
    idempotency: &Idempotency,
    accepted: &[AcceptedEvent],
) -> Result<(), StoreError> {
    let rows = accepted
        .iter()
        .map(|event| Ok((transaction.event_key(event.id)?, event.event_type.as_str(), event.deliveries)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    diesel::replace_into(idempotency_keys::table)
        .values((
            idempotency_keys::scope.eq(scope.0),
            idempotency_keys::key.eq(&idempotency.key),
            idempotency_keys::request.eq(idempotency.request.as_slice()),
            idempotency_keys::events.eq(to_json(&rows)),
            idempotency_keys::refused.eq(idempotency.refused.as_ref()),
            idempotency_keys::created_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}
