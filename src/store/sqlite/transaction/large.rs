//! Accepting what has too many deliveries for one commit. Until the sealing
//! its keys stand in `unsealed` and its events are nowhere: whoever reads
//! deliveries leaves those keys out.

use std::sync::Arc;

use diesel::prelude::*;

use crate::store::ids::time_of_key;
use crate::store::schema::{deliveries, unsealed};
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;
use crate::store::{Accept, Accepted, AcceptedEvent, Begun, Birth, FanOut, Notice, Payload, StoreError};

use super::SqliteTransaction;
use super::accepting::{accepted_earlier, remember};

pub(super) fn begin(transaction: &mut SqliteTransaction<'_>, accept: &Accept) -> Result<Begun, StoreError> {
    if let Some(earlier) = answered_earlier(transaction, accept)? {
        return Ok(Begun::Answered(earlier));
    }
    let subscriptions = transaction.current(&accept.subscriptions)?;
    let matches: Vec<_> = accept.events.iter().map(|event| subscriptions.matching(&event.event_type)).collect();
    let first = transaction.sequence.take(transaction.now, FanOut::keys(&matches));
    let fan_out = FanOut::new(first, subscriptions.version, matches);
    let (first_key, last_key) = fan_out.range();
    diesel::insert_into(unsealed::table)
        .values((
            unsealed::first_key.eq(first_key),
            unsealed::last_key.eq(last_key),
            unsealed::matched_version.eq(fan_out.matched_version()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(Begun::FanOut(fan_out))
}

fn answered_earlier(transaction: &mut SqliteTransaction<'_>, accept: &Accept) -> Result<Option<Accepted>, StoreError> {
    match &accept.idempotency {
        Some(idempotency) => accepted_earlier(transaction, accept.subscriptions.id, idempotency),
        None => Ok(None),
    }
}

pub(super) fn write_chunk(
    transaction: &mut SqliteTransaction<'_>,
    fan_out: &FanOut,
    from: usize,
    limit: usize,
) -> Result<(), StoreError> {
    for planned in fan_out.chunk(from, limit) {
        // As for any event: a clock that was set back delays nothing.
        let due_at = time_of_key(planned.delivery).min(transaction.now);
        let endpoint = transaction.endpoint_key(planned.endpoint)?;
        statements::insert_delivery(
            transaction.connection,
            planned.delivery,
            planned.event,
            endpoint,
            due_at.as_millis(),
        )
        .map_err(translate)?;
    }
    Ok(())
}

pub(super) fn seal(
    transaction: &mut SqliteTransaction<'_>,
    accept: &Accept,
    fan_out: &FanOut,
) -> Result<Accepted, StoreError> {
    if let Some(earlier) = answered_earlier(transaction, accept)? {
        return Ok(earlier);
    }
    let (first_key, _) = fan_out.range();
    let sealed = diesel::delete(unsealed::table.find(first_key)).execute(transaction.connection).map_err(translate)?;
    if sealed != 1 {
        return Err(StoreError::Constraint("what is sealed was begun and not undone".into()));
    }
    let scope = accept.subscriptions.id;
    let mut accepted = Vec::with_capacity(accept.events.len());
    for (event, (key, endpoints)) in accept.events.iter().zip(fan_out.events()) {
        statements::insert_event(
            transaction.connection,
            key,
            scope.0,
            event.event_type.as_str(),
            endpoints.len() as i64,
            fan_out.matched_version(),
            &event.body,
        )
        .map_err(translate)?;
        let payload = Arc::new(Payload {
            event: transaction.ids.event(key),
            event_type: event.event_type.clone(),
            body: event.body.clone(),
        });
        transaction.notices.extend(endpoints.iter().zip(key + 1..).map(|(endpoint, delivery)| {
            Notice::Born(Birth {
                endpoint: *endpoint,
                delivery: transaction.ids.delivery(delivery),
                payload: Arc::clone(&payload),
                created_at: time_of_key(delivery),
            })
        }));
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

pub(super) fn has_unsealed(transaction: &mut SqliteTransaction<'_>) -> Result<bool, StoreError> {
    let found: Option<i64> =
        unsealed::table.select(unsealed::first_key).first(transaction.connection).optional().map_err(translate)?;
    Ok(found.is_some())
}

pub(super) fn undo(transaction: &mut SqliteTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
    let ranges: Vec<(i64, i64)> = unsealed::table
        .order(unsealed::first_key)
        .select((unsealed::first_key, unsealed::last_key))
        .load(transaction.connection)
        .map_err(translate)?;
    let mut undone = 0;
    for (first_key, last_key) in ranges {
        let room = limit - undone;
        let slice: Vec<i64> = deliveries::table
            .filter(deliveries::id.between(first_key, last_key))
            .order(deliveries::id)
            .select(deliveries::id)
            .limit(room as i64)
            .load(transaction.connection)
            .map_err(translate)?;
        if let (Some(first), Some(last)) = (slice.first(), slice.last()) {
            diesel::delete(deliveries::table.filter(deliveries::id.between(*first, *last)))
                .execute(transaction.connection)
                .map_err(translate)?;
        }
        undone += slice.len();
        if slice.len() == room {
            break;
        }
        diesel::delete(unsealed::table.find(first_key)).execute(transaction.connection).map_err(translate)?;
    }
    Ok(undone)
}
