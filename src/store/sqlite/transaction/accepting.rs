//! Accepting events: each with all its deliveries, against the subscriptions that
//! hold now, once for each idempotency key.

use std::sync::Arc;

use crate::domain::{EndpointId, Timestamp};
use crate::store::births::{Beginning, answer, birth, payload};
use crate::store::ids::RowKey;
use crate::store::rows::{retain_number, status_number};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{Accept, Accepted, NewEvent, Payload, ScopeId, StoreError};

use super::SqliteTransaction;
use super::announcing::OwnEvent;
use super::idempotency::{claim, remember};

pub(super) fn accept(transaction: &mut SqliteTransaction<'_>, accept: &Accept) -> Result<Accepted, StoreError> {
    let scope = accept.subscriptions.id;
    if !transaction.still_holds(scope, accept.relied_on)? {
        return Ok(Accepted::Outdated);
    }
    let Some(subscriptions) = transaction.current(&accept.subscriptions)? else { return Ok(Accepted::Outdated) };
    if let Some(idempotency) = &accept.idempotency
        && let Some(earlier) = claim(transaction, scope, idempotency)?
    {
        return Ok(earlier);
    }
    let matched = (scope.lies_in(), subscriptions.version);
    let mut accepted = Vec::with_capacity(accept.events.len());
    for event in &accept.events {
        let endpoints = subscriptions.recipients(event);
        let key = transaction.take_keys(1 + endpoints.len())?;
        let posted_with = accept.idempotency.as_ref().map(|idempotency| idempotency.key.as_str());
        let written = write_event(transaction, scope, key, event, posted_with, endpoints.len(), subscriptions.version)?;
        let begins = Beginning::of(event, transaction.now);
        for (endpoint, delivery) in endpoints.iter().zip(key + 1..) {
            let number = write_delivery(transaction, key, delivery, *endpoint, begins)?;
            let born = birth(transaction.ids, *endpoint, (delivery, number), &written, matched, begins);
            transaction.notices.push(born);
        }
        accepted.push(answer(&written, endpoints.len()));
    }
    if let Some(idempotency) = &accept.idempotency {
        remember(transaction, scope, idempotency, &accepted)?;
    }
    Ok(Accepted::New(accepted))
}

/// Writes events of our own down with all their deliveries.
pub(super) fn write_own(transaction: &mut SqliteTransaction<'_>, events: &[OwnEvent]) -> Result<(), StoreError> {
    for OwnEvent { scope, version, event, endpoints } in events {
        let (key, numbers) = transaction.take_keys_and_numbers(1 + endpoints.len(), endpoints)?;
        let written = write_event(transaction, *scope, key, event, None, endpoints.len(), *version)?;
        let (matched, begins) = ((scope.lies_in(), *version), Beginning::AtOnce);
        for (delivery, (endpoint, number)) in (key + 1..).zip(endpoints.iter().zip(numbers)) {
            let to = transaction.endpoint_key(*endpoint)?;
            write_numbered(transaction, key, (delivery, number), to, begins)?;
            let born = birth(transaction.ids, *endpoint, (delivery, number), &written, matched, begins);
            transaction.notices.push(born);
        }
    }
    Ok(())
}

/// Writes an event down, and says what its deliveries carry.
pub(super) fn write_event(
    transaction: &mut SqliteTransaction<'_>,
    scope: ScopeId,
    key: RowKey,
    event: &NewEvent,
    idempotency_key: Option<&str>,
    deliveries: usize,
    matched_version: i64,
) -> Result<Arc<Payload>, StoreError> {
    statements::insert_event(
        transaction.connection,
        key,
        scope.0,
        event.event_type.as_str(),
        deliveries as i64,
        matched_version,
        &event.body,
        event.times.deliver_at.map(Timestamp::as_millis),
        event.times.expires_at.map(Timestamp::as_millis),
        idempotency_key,
        retain_number(event.is_unretained),
    )
    .map_err(translate)?;
    Ok(payload(transaction.ids, key, event))
}

/// Makes a delivery that was never tried. Answers its number.
pub(super) fn write_delivery(
    transaction: &mut SqliteTransaction<'_>,
    event: RowKey,
    delivery: RowKey,
    endpoint: EndpointId,
    begins: Beginning,
) -> Result<i64, StoreError> {
    let endpoint = transaction.endpoint_key(endpoint)?;
    let number = transaction.given.numbers.next(transaction.connection, endpoint)?;
    write_numbered(transaction, event, (delivery, number), endpoint, begins)?;
    Ok(number)
}

/// The same of one that has its number.
fn write_numbered(
    transaction: &mut SqliteTransaction<'_>,
    event: RowKey,
    (delivery, number): (RowKey, i64),
    endpoint: RowKey,
    begins: Beginning,
) -> Result<(), StoreError> {
    let (status, due_at) = begins.of_delivery(delivery);
    let (status, due_at) = (status_number(status), due_at.as_millis());
    statements::insert_delivery(transaction.connection, delivery, event, endpoint, status, due_at, number)
        .map_err(translate)?;
    Ok(())
}

/// Makes deliveries of events that were accepted earlier, each with the key that was
/// taken for it, for a replay. The one place that writes them.
pub(super) fn write_replayed(
    transaction: &mut SqliteTransaction<'_>,
    replay: RowKey,
    endpoint: EndpointId,
    deliveries: &[(RowKey, RowKey, Beginning)],
    numbers: &[i64],
) -> Result<(), StoreError> {
    let endpoint = transaction.endpoint_key(endpoint)?;
    for ((delivery, event, begins), number) in deliveries.iter().zip(numbers) {
        let (status, due_at) = begins.of_delivery(*delivery);
        let (status, due_at) = (status_number(status), due_at.as_millis());
        statements::insert_replayed(
            transaction.connection,
            *delivery,
            *event,
            endpoint,
            status,
            due_at,
            replay,
            *number,
        )
        .map_err(translate)?;
    }
    Ok(())
}
