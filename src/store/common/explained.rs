//! Whether everybody who wanted an event has a delivery of it: by the settings that
//! held when it was accepted, read and asked anew.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::Value;

use super::{Connection, outcomes, translate};
use crate::catalog;
use crate::domain::{EventFilter, EventType, TypePattern};
use crate::policy::matching;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::{SettingsRow, from_json, parsed};
use crate::store::schema::{deliveries, endpoints, events};
use crate::store::verifying::{Check, Inspected, Suspect};
use crate::store::{StoreError, filters};

/// Endpoints whose settings are looked at together.
const TOGETHER: i64 = 500;
/// Such parts that are kept while a slice is looked at: most events of a time were
/// accepted by the same settings.
const KEPT: usize = 40;

/// `id`, `scope`, `event_type`, `deliveries`, `matched_version` and `body`.
type EventRow = (RowKey, i64, String, i64, i64, Vec<u8>);

/// What an endpoint wanted at some version.
struct Wanting {
    endpoint: RowKey,
    patterns: Vec<TypePattern>,
    filter: Option<EventFilter>,
}

/// Endpoints of a scope at a version, in the order of their keys, behind one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    scope: i64,
    version: i64,
    after: RowKey,
}

/// Looks at up to `most` of these events, spread over all of them. Posthaste's own are
/// left out: they are told to whoever listened at that moment.
pub(super) fn look(
    connection: &mut Connection,
    ids: &IdCodec,
    keys: &[RowKey],
    most: usize,
    inspected: &mut Inspected,
) -> Result<(), StoreError> {
    let mut kept: HashMap<Part, Rc<[Wanting]>> = HashMap::new();
    let step = keys.len().div_ceil(most.clamp(1, keys.len().max(1)));
    for key in keys.iter().step_by(step.max(1)) {
        let found: Option<EventRow> = events::table
            .find(*key)
            .select((
                events::id,
                events::scope,
                events::event_type,
                events::deliveries,
                events::matched_version,
                events::body,
            ))
            .first(connection)
            .optional()
            .map_err(translate)?;
        let Some(event) = found else { continue };
        inspected.explained += 1;
        let event_type: EventType = parsed(&event.2)?;
        if !event_type.is_system() {
            look_at(connection, ids, &event, &event_type, &mut kept, inspected)?;
        }
    }
    Ok(())
}

fn look_at(
    connection: &mut Connection,
    ids: &IdCodec,
    event: &EventRow,
    event_type: &EventType,
    kept: &mut HashMap<Part, Rc<[Wanting]>>,
    inspected: &mut Inspected,
) -> Result<(), StoreError> {
    let (key, scope, _, fan_out, version, body) = event;
    let mut read = None;
    let mut part = Part { scope: *scope, version: *version, after: 0 };
    loop {
        let some = match kept.get(&part) {
            Some(some) => Rc::clone(some),
            None => {
                if kept.len() >= KEPT {
                    kept.clear();
                }
                let some: Rc<[Wanting]> = wanting(connection, part)?.into();
                kept.insert(part, Rc::clone(&some));
                some
            }
        };
        let mut wanted = Vec::new();
        for wanting in some.iter() {
            if wants(&wanting.patterns, wanting.filter.as_ref(), event_type, body, &mut read) {
                wanted.push(wanting.endpoint);
            }
        }
        if !wanted.is_empty() {
            let reached: Vec<RowKey> = deliveries::table
                .filter(deliveries::id.gt(key).and(deliveries::id.le(key + fan_out)))
                .filter(deliveries::endpoint.eq_any(&wanted))
                .select(deliveries::endpoint)
                .load(connection)
                .map_err(translate)?;
            let reached: HashSet<RowKey> = reached.into_iter().collect();
            let missing = wanted.iter().filter(|endpoint| !reached.contains(endpoint)).map(|endpoint| Suspect {
                check: Check::Explained,
                key: *key,
                what: format!("{}: {} wanted it, and has no delivery of it", ids.event(*key), ids.endpoint(*endpoint)),
            });
            inspected.suspects.extend(missing);
        }
        match some.last().filter(|_| some.len() == TOGETHER as usize) {
            Some(last) => part.after = last.endpoint,
            None => return Ok(()),
        }
    }
}

/// The endpoints that were there, with what they wanted. Of one whose settings are gone
/// nobody knows what it wanted: that is another check's to say.
fn wanting(connection: &mut Connection, part: Part) -> Result<Vec<Wanting>, StoreError> {
    let mut query = endpoints::table
        .filter(endpoints::id.gt(part.after))
        // What of a partner is being erased has no scope any more, and may be half gone.
        .filter(sql::<Bool>("EXISTS (SELECT 1 FROM scopes WHERE scopes.id = endpoints.scope)"))
        .filter(endpoints::created_version.le(part.version))
        .filter(endpoints::deleted_version.is_null().or(endpoints::deleted_version.gt(part.version)))
        .order(endpoints::id)
        .limit(TOGETHER)
        .select(endpoints::id)
        .into_boxed();
    // An event over all partners is of nobody's scope, and every partner's endpoints are asked.
    query = match part.scope {
        0 | 1 => {
            let theirs = format!("endpoints.scope > 1 AND endpoints.scope & 1 = {}", part.scope);
            query.filter(sql::<Bool>(&theirs))
        }
        scope => query.filter(endpoints::scope.eq(scope)),
    };
    let some: Vec<RowKey> = query.load(connection).map_err(translate)?;
    let mut settings: HashMap<RowKey, String> =
        outcomes::settings_then(connection, &some, part.version)?.into_iter().collect();
    let mut wanting = Vec::with_capacity(some.len());
    for endpoint in some {
        let (patterns, filter) = match settings.remove(&endpoint) {
            Some(settings) => from_json::<SettingsRow>(&settings)?.wanted()?,
            None => (Vec::new(), None),
        };
        wanting.push(Wanting { endpoint, patterns, filter });
    }
    Ok(wanting)
}

/// Whether these settings wanted the event. A filter whose event is gone cannot be
/// asked any more, and is taken to have refused it; one that is of no use kept nothing
/// away, nor did one that was asked of what is no JSON.
fn wants(
    patterns: &[TypePattern],
    filter: Option<&EventFilter>,
    event_type: &EventType,
    body: &[u8],
    read: &mut Option<Option<Value>>,
) -> bool {
    if !matching::wants(patterns, event_type) {
        return false;
    }
    let Some(filter) = filter.and_then(filters::compiled) else { return true };
    if body.is_empty() {
        return false;
    }
    match read.get_or_insert_with(|| catalog::read_json(body).ok()) {
        Some(value) => filter.accepts(value),
        None => true,
    }
}
