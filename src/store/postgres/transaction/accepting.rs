//! Accepting events: each with all its deliveries, against the subscriptions that
//! hold now, once for each idempotency key. All of a batch is written by two
//! statements.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::{EndpointId, Partition, Timestamp};
use crate::store::births::{Beginning, answer, birth, payload};
use crate::store::ids::RowKey;
use crate::store::postgres::{number_of, statements, translate};
use crate::store::rows::{retain_number, status_number};
use crate::store::{Accept, Accepted, NewEvent, ScopeId, StoreError};

use super::announcing::OwnEvent;
use super::idempotency::{answered_earlier, claim, remember};
use super::{PostgresTransaction, Taken, Wanted};

pub(super) fn accept(
    transaction: &mut PostgresTransaction<'_>,
    accepts: &[&Accept],
) -> Result<Vec<Accepted>, StoreError> {
    if accepts.is_empty() {
        return Ok(Vec::new());
    }
    let taken = look_and_take(transaction, accepts)?;
    let mut answers: Vec<Option<Accepted>> = Vec::with_capacity(accepts.len());
    for accept in accepts {
        let scope = accept.subscriptions.id;
        let is_there = transaction.stands(scope)?.is_some();
        if !is_there {
            accept.subscriptions.mark_outdated();
        }
        let holds = is_there && transaction.still_holds(scope, accept.relied_on)?;
        answers.push((!holds).then_some(Accepted::Outdated));
    }
    let repeated = claim_keys(transaction, accepts, &mut answers)?;
    write(transaction, accepts, &mut answers, &repeated, taken)?;
    for index in repeated {
        let accept = accepts[index];
        if let Some(idempotency) = &accept.idempotency {
            answers[index] = answered_earlier(transaction, accept.subscriptions.id, idempotency)?;
        }
    }
    let missing = || StoreError::Corrupt("a request was neither accepted nor answered".into());
    answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
}

/// Sees the versions that these requests depend on, and takes as many keys and numbers
/// as they need if those have not moved on.
fn look_and_take(transaction: &mut PostgresTransaction<'_>, accepts: &[&Accept]) -> Result<Option<Taken>, StoreError> {
    let scopes: HashSet<i64> = accepts.iter().map(|accept| accept.subscriptions.id.0).collect();
    let scopes: Vec<i64> = scopes.into_iter().collect();
    let (mut count, mut wanted) = (0, Wanted::default());
    for accept in accepts {
        for event in &accept.events {
            let endpoints = accept.subscriptions.recipients(event);
            count += 1 + endpoints.len();
            for endpoint in endpoints.iter() {
                wanted.add(*endpoint, || transaction.endpoint_key(*endpoint))?;
            }
        }
    }
    // What this transaction has changed itself, nobody else sees yet.
    if count == 0 || transaction.has_changed_versions {
        transaction.see_versions(&scopes)?;
        return Ok(None);
    }
    let taken = transaction.beside.take(transaction.now, count, &wanted, &scopes)?;
    transaction.versions.extend(&taken.versions);
    Ok(Some(taken))
}

/// Claims the requests' idempotency keys, always in the same order, so that two
/// nodes never wait for each other. Answers which requests repeat another one of
/// this batch: those are answered once that one is.
fn claim_keys(
    transaction: &mut PostgresTransaction<'_>,
    accepts: &[&Accept],
    answers: &mut [Option<Accepted>],
) -> Result<HashSet<usize>, StoreError> {
    let mut keyed: Vec<(ScopeId, &str, usize)> = Vec::new();
    for (index, accept) in accepts.iter().enumerate() {
        if let (Some(idempotency), None) = (&accept.idempotency, &answers[index]) {
            keyed.push((accept.subscriptions.id, &idempotency.key, index));
        }
    }
    keyed.sort_by_key(|(scope, key, index)| (scope.0, *key, *index));
    let (mut repeated, mut claimed) = (HashSet::new(), None);
    for (scope, key, index) in keyed {
        if claimed == Some((scope, key)) {
            repeated.insert(index);
            continue;
        }
        let Some(idempotency) = &accepts[index].idempotency else { continue };
        answers[index] = claim(transaction, scope, idempotency)?;
        if answers[index].is_none() {
            claimed = Some((scope, key));
        }
    }
    Ok(repeated)
}

/// Writes what has no answer yet, and answers it.
fn write(
    transaction: &mut PostgresTransaction<'_>,
    accepts: &[&Accept],
    answers: &mut [Option<Accepted>],
    repeated: &HashSet<usize>,
    taken: Option<Taken>,
) -> Result<(), StoreError> {
    let mut matched = Vec::new();
    let mut keys = 0;
    for (index, accept) in accepts.iter().enumerate() {
        if answers[index].is_some() || repeated.contains(&index) {
            continue;
        }
        let Some(subscriptions) = transaction.current(&accept.subscriptions)? else {
            answers[index] = Some(Accepted::Outdated);
            continue;
        };
        let endpoints: Vec<Arc<[EndpointId]>> =
            accept.events.iter().map(|event| subscriptions.recipients(event)).collect();
        keys += endpoints.iter().map(|endpoints| 1 + endpoints.len()).sum::<usize>();
        matched.push((index, subscriptions.version, endpoints));
    }
    if keys == 0 {
        for (index, ..) in matched {
            answers[index] = Some(Accepted::New(Vec::new()));
        }
        return Ok(());
    }
    let wanted =
        transaction.wanted(matched.iter().flat_map(|(_, _, events)| events.iter().flat_map(|all| all.iter())))?;
    // Where others are concerned than was thought, what was taken is left: numbers grow
    // with keys.
    let suffices = |taken: &Taken| taken.keys.is_some_and(|of| keys <= of.count) && taken.numbers.suffice(&wanted);
    let taken = match taken.filter(suffices) {
        Some(taken) => taken,
        None => transaction.beside.take(transaction.now, keys, &wanted, &[])?,
    };
    let (mut key, mut numbers) = (taken.keys.map_or(0, |keys| keys.first), taken.numbers);
    let (mut events, mut deliveries) = (EventRows::default(), DeliveryRows::default());
    for (index, version, endpoints) in matched {
        let accept = accepts[index];
        let matched = (accept.subscriptions.id.lies_in(), version);
        let mut accepted = Vec::with_capacity(accept.events.len());
        for (event, endpoints) in accept.events.iter().zip(endpoints) {
            let begins = Beginning::of(event, transaction.now);
            let posted_with = accept.idempotency.as_ref().map(|idempotency| idempotency.key.as_str());
            events.push(key, accept.subscriptions.id, event, posted_with, endpoints.len(), version);
            let payload = payload(transaction.ids, key, event);
            for (endpoint, delivery) in endpoints.iter().zip(key + 1..) {
                let number = numbers.next(*endpoint)?;
                deliveries.push(transaction, key, (delivery, number), *endpoint, begins)?;
                let born = birth(transaction.ids, *endpoint, (delivery, number), &payload, matched, begins);
                transaction.notices.push(born);
            }
            accepted.push(answer(&payload, endpoints.len()));
            key += 1 + endpoints.len() as RowKey;
        }
        if let Some(idempotency) = &accept.idempotency {
            remember(transaction, accept.subscriptions.id, idempotency, &accepted)?;
        }
        answers[index] = Some(Accepted::New(accepted));
    }
    events.insert(transaction, &deliveries)
}

/// Writes events of our own down with all their deliveries.
pub(super) fn write_own(transaction: &mut PostgresTransaction<'_>, own: &[OwnEvent]) -> Result<(), StoreError> {
    let count = own.iter().map(|event| 1 + event.endpoints.len()).sum();
    if count == 0 {
        return Ok(());
    }
    let endpoints: Vec<EndpointId> = own.iter().flat_map(|event| event.endpoints.iter().copied()).collect();
    let (mut key, numbers) = transaction.take_keys_and_numbers(count, &endpoints)?;
    let mut numbers = numbers.into_iter();
    let (mut events, mut deliveries) = (EventRows::default(), DeliveryRows::default());
    for OwnEvent { scope, version, event, endpoints } in own {
        events.push(key, *scope, event, None, endpoints.len(), *version);
        let payload = payload(transaction.ids, key, event);
        let (matched, begins) = ((scope.lies_in(), *version), Beginning::AtOnce);
        for (delivery, (endpoint, number)) in (key + 1..).zip(endpoints.iter().zip(numbers.by_ref())) {
            deliveries.push(transaction, key, (delivery, number), *endpoint, begins)?;
            let born = birth(transaction.ids, *endpoint, (delivery, number), &payload, matched, begins);
            transaction.notices.push(born);
        }
        key += 1 + endpoints.len() as RowKey;
    }
    events.insert(transaction, &deliveries)
}

/// Events to be written together.
#[derive(Default)]
pub(super) struct EventRows<'a> {
    ids: Vec<i64>,
    scopes: Vec<i64>,
    event_types: Vec<&'a str>,
    deliveries: Vec<i64>,
    matched_versions: Vec<i64>,
    bodies: Vec<&'a [u8]>,
    deliver_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    idempotency_keys: Vec<Option<&'a str>>,
    retain: Vec<Option<i64>>,
}

impl<'a> EventRows<'a> {
    pub(super) fn push(
        &mut self,
        key: RowKey,
        scope: ScopeId,
        event: &'a NewEvent,
        idempotency_key: Option<&'a str>,
        deliveries: usize,
        version: i64,
    ) {
        self.ids.push(key);
        self.scopes.push(scope.0);
        self.event_types.push(event.event_type.as_str());
        self.deliveries.push(deliveries as i64);
        self.matched_versions.push(version);
        self.bodies.push(&event.body);
        self.deliver_at.push(event.times.deliver_at.map(Timestamp::as_millis));
        self.expires_at.push(event.times.expires_at.map(Timestamp::as_millis));
        self.idempotency_keys.push(idempotency_key);
        self.retain.push(retain_number(event.is_unretained));
    }

    /// With these deliveries, all in one go.
    pub(super) fn insert(
        &self,
        transaction: &mut PostgresTransaction<'_>,
        deliveries: &DeliveryRows,
    ) -> Result<(), StoreError> {
        statements::insert_events(
            transaction.connection,
            &self.ids,
            &self.scopes,
            &self.event_types,
            &self.deliveries,
            &self.matched_versions,
            &self.bodies,
            &self.deliver_at,
            &self.expires_at,
            &self.idempotency_keys,
            &self.retain,
            &deliveries.ids,
            &deliveries.events,
            &deliveries.endpoints,
            &deliveries.next_at,
            &deliveries.partitions,
            &deliveries.statuses,
            &deliveries.numbers,
        )
        .map_err(translate)?;
        Ok(())
    }
}

/// Deliveries to be made together.
#[derive(Default)]
pub(super) struct DeliveryRows {
    ids: Vec<i64>,
    events: Vec<i64>,
    endpoints: Vec<i64>,
    next_at: Vec<i64>,
    partitions: Vec<i16>,
    statuses: Vec<i16>,
    numbers: Vec<i64>,
}

impl DeliveryRows {
    pub(super) fn push(
        &mut self,
        transaction: &PostgresTransaction<'_>,
        event: RowKey,
        (delivery, number): (RowKey, i64),
        endpoint: EndpointId,
        begins: Beginning,
    ) -> Result<(), StoreError> {
        let (status, due_at) = begins.of_delivery(delivery);
        self.ids.push(delivery);
        self.numbers.push(number);
        self.events.push(event);
        self.endpoints.push(transaction.endpoint_key(endpoint)?);
        self.next_at.push(due_at.as_millis());
        self.statuses.push(status_number(status) as i16);
        self.partitions.push(number_of(Partition::of(endpoint)));
        Ok(())
    }

    pub(super) fn insert(&self, transaction: &mut PostgresTransaction<'_>) -> Result<(), StoreError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        statements::insert_pending(
            transaction.connection,
            &self.ids,
            &self.events,
            &self.endpoints,
            &self.next_at,
            &self.partitions,
            &self.statuses,
            &self.numbers,
        )
        .map_err(translate)?;
        Ok(())
    }
}

/// Makes deliveries of events that were accepted earlier, each with the key that was
/// taken for it, for a replay. The one place that writes them.
pub(super) fn write_replayed(
    transaction: &mut PostgresTransaction<'_>,
    replay: RowKey,
    endpoint: EndpointId,
    deliveries: &[(RowKey, RowKey, Beginning)],
    numbers: &[i64],
) -> Result<(), StoreError> {
    let (partition, endpoint) = (number_of(Partition::of(endpoint)), transaction.endpoint_key(endpoint)?);
    let (mut ids, mut events, mut statuses, mut next_at) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (delivery, event, begins) in deliveries {
        let (status, due_at) = begins.of_delivery(*delivery);
        ids.push(*delivery);
        events.push(*event);
        statuses.push(status_number(status) as i16);
        next_at.push(due_at.as_millis());
    }
    statements::insert_replayed(
        transaction.connection,
        endpoint,
        partition,
        replay,
        &ids,
        &events,
        &next_at,
        &statuses,
        numbers,
    )
    .map_err(translate)?;
    Ok(())
}
