//! Telling of trouble: what an outcome or a disabling announces becomes an event with
//! its deliveries, in the transaction that makes it true, for whoever subscribed to it.
//! Never for the endpoint that it is about, and where nobody subscribed, nothing is
//! written.
//!
//! The event is its partner's, whose events and deliveries others do not see; those
//! who hear of all partners get deliveries of it.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::{HashMap, HashSet};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::super::translate;
use super::{Tx, accepting};
use crate::catalog::system::{Subject, SystemEvent};
use crate::domain::{Announcement, EndpointId, PartnerName, Setback, StoredStatus, Timestamp, Trouble};
use crate::store::ids::RowKey;
use crate::store::rows::{SettingsRow, from_json, parsed};
use crate::store::schema::{attempts, deliveries, endpoint_versions, endpoints as endpoint_rows, events, partners};
use crate::store::{NewEvent, Record, Recorded, ScopeId, StoreError, Subscriptions};

/// An event of our own, and whom it is for.
pub(super) struct OwnEvent {
    pub(super) scope: ScopeId,
    /// What it was matched against.
    pub(super) version: i64,
    pub(super) event: NewEvent,
    pub(super) endpoints: Vec<EndpointId>,
}

/// A record that announces something, and somebody listens.
pub(super) struct HeardOf {
    /// Its place among the records.
    index: usize,
    event: RowKey,
    event_type: String,
    endpoint: RowKey,
    scope: ScopeId,
}

/// Somebody else than the endpoint itself subscribed to some event of our own: in its
/// scope, or for all partners. The words of an index that has nothing but listeners;
/// those in front end the look at once where there are none at all.
const IS_LISTENED_TO: &str = "EXISTS (SELECT 1 FROM endpoints AS any_listening \
    WHERE any_listening.listens AND any_listening.deleted_at IS NULL) \
    AND EXISTS (SELECT 1 FROM endpoints AS listening \
    WHERE listening.scope IN (endpoints.scope, endpoints.scope & 1) AND listening.listens \
    AND listening.deleted_at IS NULL AND listening.id <> endpoints.id)";

/// Which records have something to tell to somebody, before they are written: those
/// that were written earlier have told it. One look where nobody listens, and none
/// where there is nothing to tell.
pub(super) fn heard_of(transaction: &mut Tx<'_>, records: &[&Record]) -> Result<Vec<HeardOf>, StoreError> {
    let mut announcing: HashMap<RowKey, usize> = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        if let (false, Some(key)) = (record.announcements.is_empty(), transaction.ids.delivery_key(record.delivery)) {
            // The same record may be there twice.
            announcing.entry(key).or_insert(index);
        }
    }
    if announcing.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<RowKey> = announcing.keys().copied().collect();
    let listened_to: Vec<(RowKey, RowKey, RowKey, i64)> = deliveries::table
        .inner_join(endpoint_rows::table)
        .filter(deliveries::id.eq_any(&keys))
        .filter(sql::<Bool>(IS_LISTENED_TO))
        .select((deliveries::id, deliveries::event, deliveries::endpoint, endpoint_rows::scope))
        .load(transaction.connection)
        .map_err(translate)?;
    if listened_to.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<RowKey> = listened_to.iter().map(|(key, ..)| *key).collect();
    let written: Vec<(RowKey, i64)> = attempts::table
        .filter(attempts::delivery.eq_any(&keys))
        .select((attempts::delivery, attempts::number))
        .load(transaction.connection)
        .map_err(translate)?;
    let written: HashSet<(RowKey, i64)> = written.into_iter().collect();
    let carried: Vec<RowKey> = listened_to.iter().map(|(_, event, ..)| *event).collect();
    let types: Vec<(RowKey, String)> = events::table
        .filter(events::id.eq_any(carried))
        .select((events::id, events::event_type))
        .load(transaction.connection)
        .map_err(translate)?;
    let types: HashMap<RowKey, String> = types.into_iter().collect();
    let mut found = Vec::with_capacity(listened_to.len());
    for (key, event, endpoint, scope) in listened_to {
        let (Some(index), Some(event_type)) = (announcing.get(&key).copied(), types.get(&event).cloned()) else {
            continue;
        };
        if !written.contains(&(key, i64::from(records[index].attempts_before) + 1)) {
            found.push(HeardOf { index, event, event_type, endpoint, scope: ScopeId(scope) });
        }
    }
    // As the outcomes came.
    found.sort_by_key(|heard| heard.index);
    Ok(found)
}

/// Tells what these records announce, now that they are written: of an endpoint only
/// what was learnt of it, of a delivery only that it ended. However many there are, in
/// as many statements.
pub(super) fn announce(
    transaction: &mut Tx<'_>,
    heard_of: &[HeardOf],
    records: &[&Record],
    recorded: &[Recorded],
    learnt: &HashSet<usize>,
) -> Result<(), StoreError> {
    let mut telling: Vec<(&HeardOf, SystemEvent)> = Vec::new();
    for heard in heard_of {
        let (record, recorded) = (records[heard.index], recorded[heard.index]);
        let is_learnt = matches!(recorded, Recorded::Written(_)) && learnt.contains(&heard.index);
        let is_exhausted = recorded == Recorded::Written(StoredStatus::RetriesExhausted);
        let setback = |failures| Setback::new(failures, &record.outcome);
        for announcement in &record.announcements {
            let event = match *announcement {
                Announcement::Failing { since, failures, is_warning, disables_at } if is_learnt => {
                    SystemEvent::Failing { since, is_warning, disables_at, last: setback(failures) }
                }
                Announcement::Recovered { failing_since } if is_learnt => SystemEvent::Recovered { failing_since },
                Announcement::Exhausted if is_exhausted => SystemEvent::Exhausted {
                    delivery: record.delivery,
                    event: transaction.ids.event(heard.event),
                    event_type: parsed(&heard.event_type)?,
                    attempt_count: record.attempts_before.saturating_add(1),
                    last: setback(0),
                },
                _ => continue,
            };
            telling.push((heard, event));
        }
    }
    let scopes = telling.iter().map(|(heard, _)| heard.scope).collect();
    let listeners = listeners(transaction, scopes)?;
    let wanting = |heard: &HeardOf, event: &SystemEvent| {
        listeners.get(&heard.scope).is_some_and(|listeners| listeners.may_want(&event.event_type()))
    };
    telling.retain(|(heard, event)| wanting(heard, event));
    let concerned = telling.iter().map(|(heard, _)| (heard.endpoint, heard.scope)).collect();
    let concerned = concerned_by(transaction, concerned)?;
    let mut own = Vec::new();
    for (heard, event) in &telling {
        if let (Some(about), Some(listeners)) = (concerned.get(&heard.endpoint), listeners.get(&heard.scope)) {
            own.extend(to_be_told(listeners, about, event, records[heard.index].finished_at));
        }
    }
    accepting::write_own(transaction, &own)
}

/// Tells that an endpoint was disabled, for the reason that is known of its trouble.
pub(super) fn announce_disabled(
    transaction: &mut Tx<'_>,
    scope: ScopeId,
    endpoint: RowKey,
    trouble: &Trouble,
    setback: &Setback,
) -> Result<(), StoreError> {
    let Some((disabled_at, reason)) = trouble.disabled else { return Ok(()) };
    let event = SystemEvent::Disabled { reason, failing_since: trouble.failing_since, last: setback.clone() };
    let listeners = listeners(transaction, HashSet::from([scope]))?;
    let concerned = concerned_by(transaction, HashMap::from([(endpoint, scope)]))?;
    if let (Some(about), Some(listeners)) = (concerned.get(&endpoint), listeners.get(&scope)) {
        let own: Vec<OwnEvent> = to_be_told(listeners, about, &event, disabled_at).into_iter().collect();
        accepting::write_own(transaction, &own)?;
    }
    Ok(())
}

/// Who hears of these scopes. Of what is told to those who hear of all partners,
/// nothing is told.
fn listeners(
    transaction: &mut Tx<'_>,
    scopes: HashSet<ScopeId>,
) -> Result<HashMap<ScopeId, Subscriptions>, StoreError> {
    let scopes: Vec<ScopeId> = scopes.into_iter().filter(|scope| *scope != scope.environment()).collect();
    if scopes.is_empty() { Ok(HashMap::new()) } else { transaction.listeners(&scopes) }
}

/// An endpoint that something is told of.
struct Concerned {
    endpoint: EndpointId,
    partner: PartnerName,
    url: String,
}

/// The endpoints that it is about, each of its scope. None that was deleted: nobody
/// asks for it any more.
fn concerned_by(
    transaction: &mut Tx<'_>,
    endpoints: HashMap<RowKey, ScopeId>,
) -> Result<HashMap<RowKey, Concerned>, StoreError> {
    if endpoints.is_empty() {
        return Ok(HashMap::new());
    }
    let partners: HashSet<i64> = endpoints.values().map(|scope| scope.0 / 2).collect();
    let names: Vec<(i64, String)> = partners::table
        .filter(partners::id.eq_any(partners))
        .select((partners::id, partners::name))
        .load(transaction.connection)
        .map_err(translate)?;
    let names: HashMap<i64, String> = names.into_iter().collect();
    let settings: Vec<(RowKey, String)> = endpoint_rows::table
        .inner_join(
            endpoint_versions::table.on(endpoint_versions::endpoint
                .eq(endpoint_rows::id)
                .and(endpoint_versions::version.eq(endpoint_rows::version))),
        )
        .filter(endpoint_rows::id.eq_any(endpoints.keys()))
        .filter(endpoint_rows::deleted_at.is_null())
        .select((endpoint_rows::id, endpoint_versions::settings))
        .load(transaction.connection)
        .map_err(translate)?;
    let mut concerned = HashMap::with_capacity(settings.len());
    for (key, settings) in settings {
        let name = endpoints.get(&key).and_then(|scope| names.get(&(scope.0 / 2)));
        let Some(name) = name else { continue };
        let url = from_json::<SettingsRow>(&settings)?.url();
        concerned.insert(key, Concerned { endpoint: transaction.ids.endpoint(key), partner: parsed(name)?, url });
    }
    Ok(concerned)
}

/// The event, for those who subscribed to it; `None` where nobody did.
fn to_be_told(
    listeners: &Subscriptions,
    about: &Concerned,
    event: &SystemEvent,
    occurred_at: Timestamp,
) -> Option<OwnEvent> {
    let subject = Subject {
        endpoint: about.endpoint,
        partner: &about.partner,
        environment: listeners.id.lies_in(),
        url: &about.url,
        occurred_at,
    };
    let event = NewEvent::new(event.event_type(), event.body(&subject));
    let endpoints: Vec<EndpointId> =
        listeners.recipients(&event).iter().copied().filter(|listener| *listener != about.endpoint).collect();
    let (scope, version) = (listeners.id, listeners.version);
    (!endpoints.is_empty()).then_some(OwnEvent { scope, version, event, endpoints })
}
