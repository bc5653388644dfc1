//! Accepting what has too many deliveries for one commit. Until the sealing
//! its keys stand in `unsealed` and its events are nowhere: whoever reads
//! deliveries leaves those keys out.

use diesel::prelude::*;

use crate::store::births::{Beginning, answer, birth};
use crate::store::schema::{deliveries, unsealed};
use crate::store::sqlite::error::translate;
use crate::store::{Accept, Accepted, Begun, FanOut, StoreError};

use super::SqliteTransaction;
use super::accepting::{write_delivery, write_event};
use super::idempotency::{answered_earlier, claim, remember};

pub(super) fn begin(transaction: &mut SqliteTransaction<'_>, accept: &Accept) -> Result<Begun, StoreError> {
    if !transaction.still_holds(accept.subscriptions.id, accept.relied_on)? {
        return Ok(Begun::Answered(Accepted::Outdated));
    }
    if let Some(idempotency) = &accept.idempotency
        && let Some(earlier) = answered_earlier(transaction, accept.subscriptions.id, idempotency)?
    {
        return Ok(Begun::Answered(earlier));
    }
    let Some(subscriptions) = transaction.current(&accept.subscriptions)? else {
        return Ok(Begun::Answered(Accepted::Outdated));
    };
    let matches: Vec<_> = accept.events.iter().map(|event| subscriptions.recipients(event)).collect();
    let first = transaction.take_keys(FanOut::keys(&matches))?;
    let begins = accept.events.iter().map(|event| Beginning::of(event, transaction.now)).collect();
    let fan_out = FanOut::new(first, subscriptions.version, matches, begins);
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

pub(super) fn write_chunk(
    transaction: &mut SqliteTransaction<'_>,
    fan_out: &mut FanOut,
    from: usize,
    limit: usize,
) -> Result<(), StoreError> {
    let mut numbers = Vec::new();
    for planned in fan_out.chunk(from, limit) {
        numbers.push(write_delivery(transaction, planned.event, planned.delivery, planned.endpoint, planned.begins)?);
    }
    fan_out.have_numbers(from, numbers);
    Ok(())
}

pub(super) fn seal(
    transaction: &mut SqliteTransaction<'_>,
    accept: &Accept,
    fan_out: &FanOut,
) -> Result<Accepted, StoreError> {
    let scope = accept.subscriptions.id;
    // Somebody may have begun to erase the partner meanwhile.
    if transaction.stands(scope)?.is_none() {
        return Ok(Accepted::Outdated);
    }
    if let Some(idempotency) = &accept.idempotency
        && let Some(earlier) = claim(transaction, scope, idempotency)?
    {
        return Ok(earlier);
    }
    let (first_key, _) = fan_out.range();
    let sealed = diesel::delete(unsealed::table.find(first_key)).execute(transaction.connection).map_err(translate)?;
    if sealed != 1 {
        return Err(StoreError::Constraint("what is sealed was begun and not undone".into()));
    }
    let matched = (scope.lies_in(), fan_out.matched_version());
    let mut accepted = Vec::with_capacity(accept.events.len());
    let mut numbers = fan_out.numbers().iter();
    for (event, (key, endpoints, begins)) in accept.events.iter().zip(fan_out.events()) {
        let posted_with = accept.idempotency.as_ref().map(|idempotency| idempotency.key.as_str());
        let written =
            write_event(transaction, scope, key, event, posted_with, endpoints.len(), fan_out.matched_version())?;
        for (delivery, (endpoint, number)) in (key + 1..).zip(endpoints.iter().zip(numbers.by_ref())) {
            let born = birth(transaction.ids, *endpoint, (delivery, *number), &written, matched, begins);
            transaction.notices.push(born);
        }
        accepted.push(answer(&written, endpoints.len()));
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
