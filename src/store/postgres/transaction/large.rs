//! Accepting what has too many deliveries for one commit. Until the sealing its
//! keys stand in `unsealed` and its events are nowhere: whoever reads deliveries
//! leaves those keys out. Each node undoes what it began itself; what a node left
//! that is gone, anyone undoes.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::EndpointId;
use crate::store::births::{Beginning, answer, birth, payload};
use crate::store::fan_out::Planned;
use crate::store::postgres::translate;
use crate::store::{Accept, Accepted, Begun, FanOut, StoreError};

use super::PostgresTransaction;
use super::accepting::{DeliveryRows, EventRows};
use super::idempotency::{answered_earlier, claim, remember};

/// The rule that is broken when a range was taken away meanwhile.
const NOT_OURS: &str = "what is written in chunks was begun here and not undone";

pub(super) fn begin(transaction: &mut PostgresTransaction<'_>, accept: &Accept) -> Result<Begun, StoreError> {
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
    diesel::sql_query("INSERT INTO unsealed (first_key, last_key, matched_version, node) VALUES ($1, $2, $3, $4)")
        .bind::<BigInt, _>(first_key)
        .bind::<BigInt, _>(last_key)
        .bind::<BigInt, _>(fan_out.matched_version())
        .bind::<Text, _>(transaction.node.to_string())
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(Begun::FanOut(fan_out))
}

pub(super) fn write_chunk(
    transaction: &mut PostgresTransaction<'_>,
    fan_out: &mut FanOut,
    from: usize,
    limit: usize,
) -> Result<(), StoreError> {
    // Whoever thinks that this node is gone takes the range away before anything
    // else: what is written from then on would be nobody's.
    let (first_key, _) = fan_out.range();
    let still_ours: Vec<Range> =
        diesel::sql_query("SELECT first_key, last_key FROM unsealed WHERE first_key = $1 AND node = $2 FOR SHARE")
            .bind::<BigInt, _>(first_key)
            .bind::<Text, _>(transaction.node.to_string())
            .load(transaction.connection)
            .map_err(translate)?;
    if still_ours.len() != 1 {
        return Err(StoreError::Constraint(NOT_OURS.into()));
    }
    let planned: Vec<Planned> = fan_out.chunk(from, limit).collect();
    let endpoints: Vec<EndpointId> = planned.iter().map(|planned| planned.endpoint).collect();
    let (_, numbers) = transaction.take_keys_and_numbers(0, &endpoints)?;
    let mut deliveries = DeliveryRows::default();
    for (planned, number) in planned.into_iter().zip(&numbers) {
        let Planned { event, delivery, endpoint, begins } = planned;
        deliveries.push(transaction, event, (delivery, *number), endpoint, begins)?;
    }
    fan_out.have_numbers(from, numbers);
    deliveries.insert(transaction)
}

pub(super) fn seal(
    transaction: &mut PostgresTransaction<'_>,
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
    let sealed = diesel::sql_query("DELETE FROM unsealed WHERE first_key = $1 AND node = $2")
        .bind::<BigInt, _>(first_key)
        .bind::<Text, _>(transaction.node.to_string())
        .execute(transaction.connection)
        .map_err(translate)?;
    if sealed != 1 {
        return Err(StoreError::Constraint(NOT_OURS.into()));
    }
    let mut events = EventRows::default();
    let matched = (scope.lies_in(), fan_out.matched_version());
    let mut accepted = Vec::with_capacity(accept.events.len());
    let mut numbers = fan_out.numbers().iter();
    for (event, (key, endpoints, begins)) in accept.events.iter().zip(fan_out.events()) {
        let posted_with = accept.idempotency.as_ref().map(|idempotency| idempotency.key.as_str());
        events.push(key, scope, event, posted_with, endpoints.len(), fan_out.matched_version());
        let payload = payload(transaction.ids, key, event);
        for (delivery, (endpoint, number)) in (key + 1..).zip(endpoints.iter().zip(numbers.by_ref())) {
            let born = birth(transaction.ids, *endpoint, (delivery, *number), &payload, matched, begins);
            transaction.notices.push(born);
        }
        accepted.push(answer(&payload, endpoints.len()));
    }
    // Its deliveries were written before.
    events.insert(transaction, &DeliveryRows::default())?;
    if let Some(idempotency) = &accept.idempotency {
        remember(transaction, scope, idempotency, &accepted)?;
    }
    Ok(Accepted::New(accepted))
}

/// Whose leftovers are undone.
#[derive(Clone, Copy)]
enum Leftovers {
    /// This node's own.
    Own,
    /// Those of nodes that are gone.
    Abandoned,
}

#[derive(QueryableByName)]
struct Range {
    #[diesel(sql_type = BigInt)]
    first_key: i64,
    #[diesel(sql_type = BigInt)]
    last_key: i64,
}

impl Leftovers {
    fn ranges(self, transaction: &mut PostgresTransaction<'_>) -> Result<Vec<Range>, StoreError> {
        let which = match self {
            Self::Own => "node = $1",
            Self::Abandoned => "node <> $1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = unsealed.node)",
        };
        diesel::sql_query(format!("SELECT first_key, last_key FROM unsealed WHERE {which} ORDER BY first_key"))
            .bind::<Text, _>(transaction.node.to_string())
            .load(transaction.connection)
            .map_err(translate)
    }

    /// What stands for the node while a range is undone: nobody, where it was
    /// somebody else's, so that anyone may go on with it.
    fn undone_by(self, transaction: &PostgresTransaction<'_>) -> String {
        match self {
            Self::Own => transaction.node.to_string(),
            Self::Abandoned => "nobody".to_owned(),
        }
    }

    fn undo(self, transaction: &mut PostgresTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
        let mut undone = 0;
        for Range { first_key, last_key } in self.ranges(transaction)? {
            let room = limit - undone;
            // From here on nobody writes to it or seals it, whoever comes back.
            diesel::sql_query("UPDATE unsealed SET node = $2 WHERE first_key = $1")
                .bind::<BigInt, _>(first_key)
                .bind::<Text, _>(self.undone_by(transaction))
                .execute(transaction.connection)
                .map_err(translate)?;
            let slice = diesel::sql_query(
                "DELETE FROM pending WHERE id IN (SELECT id FROM pending WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3)",
            )
            .bind::<BigInt, _>(first_key)
            .bind::<BigInt, _>(last_key)
            .bind::<BigInt, _>(room as i64)
            .execute(transaction.connection)
            .map_err(translate)?;
            undone += slice;
            if slice == room {
                break;
            }
            diesel::sql_query("DELETE FROM unsealed WHERE first_key = $1")
                .bind::<BigInt, _>(first_key)
                .execute(transaction.connection)
                .map_err(translate)?;
        }
        Ok(undone)
    }
}

pub(super) fn has_unsealed(transaction: &mut PostgresTransaction<'_>) -> Result<bool, StoreError> {
    Leftovers::Own.ranges(transaction).map(|ranges| !ranges.is_empty())
}

pub(super) fn undo(transaction: &mut PostgresTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
    Leftovers::Own.undo(transaction, limit)
}

pub(super) fn undo_abandoned(transaction: &mut PostgresTransaction<'_>, limit: usize) -> Result<usize, StoreError> {
    Leftovers::Abandoned.undo(transaction, limit)
}
