//! What a replay selects: whose endpoints, and of each the events whose newest delivery
//! ended as somebody asked, or that it never had. The same for what is made and for what
//! is only counted.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::reads::{partner_number, scope_id};
use super::{Connection, statements, translate};
use crate::catalog::{self, Filter};
use crate::domain::{EventType, ReplaySelection, Replayable, Timestamp, TypePattern};
use crate::policy::matching;
use crate::policy::replaying::{self as policy, Standing};
use crate::store::ids::{IdCodec, RowKey, first_key_at, time_of_key};
use crate::store::replaying::{Read, standings};
use crate::store::rows::{SettingsRow, from_json, parsed};
use crate::store::schema::{endpoint_versions, endpoints, events};
use crate::store::{ReplayConflict, ReplayPreview, Scope, SelectedEvent, StoreError, WantedEndpoints, filters};

/// Rows read for one slice, of all kinds together.
const ROWS_AT_ONCE: usize = 1_000;
/// Bytes of bodies that one slice reads to ask a filter.
const BYTES_AT_ONCE: usize = 4 << 20;
/// Deliveries of one request lie no further apart in key than this: the most that the
/// option `max_fan_out` can be.
const LARGEST_FAN_OUT: i64 = 1_000_000_000;
/// Events that are looked at to say what a replay would do, and bytes of theirs.
const PREVIEWED_ROWS: usize = 20_000;
const PREVIEWED_BYTES: usize = 32 << 20;
/// Events that are shown of it.
const SAMPLES: usize = 5;

/// An endpoint that a replay is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) endpoint: RowKey,
    /// Whose it is.
    pub(super) scope: i64,
}

/// The live endpoints that somebody names.
pub(super) fn targets(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    wanted: &WantedEndpoints,
    is_missing_asked: bool,
) -> Result<Result<Vec<Target>, ReplayConflict>, StoreError> {
    let Some(within) = scope_id(connection, scope)? else { return Ok(Err(ReplayConflict::Nobody)) };
    let is_within = |of: i64| if scope.partner.is_some() { of == within.0 } else { of % 2 == within.0 };
    let mut found: Vec<Target> = Vec::new();
    for endpoint in &wanted.endpoints {
        let key = ids.endpoint_key(*endpoint).unwrap_or(0);
        let of: Option<i64> = endpoints::table
            .find(key)
            .filter(endpoints::deleted_at.is_null())
            .select(endpoints::scope)
            .first(connection)
            .optional()
            .map_err(translate)?;
        match of {
            Some(of) if is_within(of) && of <= 1 && is_missing_asked => {
                return Ok(Err(ReplayConflict::ForAllPartners(*endpoint)));
            }
            Some(of) if is_within(of) => found.push(Target { endpoint: key, scope: of }),
            _ => return Ok(Err(ReplayConflict::NoEndpoint(*endpoint))),
        }
    }
    for partner in &wanted.partners {
        let is_meant = scope.partner.as_ref().is_none_or(|own| own == partner);
        let Some(number) = partner_number(connection, partner)?.filter(|_| is_meant) else {
            return Ok(Err(ReplayConflict::NoPartner(partner.clone())));
        };
        let of = number * 2 + within.environment().0;
        let keys: Vec<RowKey> = endpoints::table
            .filter(endpoints::scope.eq(of))
            .filter(endpoints::deleted_at.is_null())
            .order(endpoints::id)
            .limit(wanted.most as i64 + 1)
            .select(endpoints::id)
            .load(connection)
            .map_err(translate)?;
        found.extend(keys.into_iter().map(|endpoint| Target { endpoint, scope: of }));
        if found.len() > 2 * wanted.most {
            // Too many, also if each was named twice.
            break;
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|target| seen.insert(target.endpoint));
    Ok(match found.len() {
        0 => Err(ReplayConflict::Nobody),
        count if count > wanted.most => Err(ReplayConflict::TooManyEndpoints { most: wanted.most }),
        _ => Ok(found),
    })
}

/// From where to where a replay looks, both left out.
pub(super) fn range(selection: &ReplaySelection, before: RowKey) -> (RowKey, RowKey) {
    let since = selection.since.map_or(0, |since| first_key_at(since) - 1);
    (since, selection.until.map_or(before, |until| first_key_at(until).min(before)))
}

/// One look at an endpoint's events.
pub(super) struct Look<'a> {
    pub(super) target: Target,
    pub(super) selection: &'a ReplaySelection,
    /// Events behind this one, and before the other.
    pub(super) after: RowKey,
    pub(super) before: RowKey,
    /// The replay that looks; what it has made is not selected again.
    pub(super) own: Option<RowKey>,
    /// Most to select.
    pub(super) room: usize,
    pub(super) now: Timestamp,
}

/// An event that is to be delivered again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) event: RowKey,
    pub(super) event_type: EventType,
    /// How it ended; `None` is not at all.
    pub(super) ended: Option<Replayable>,
    /// No attempt begins before then, whoever asks.
    pub(super) deliver_at: Option<Timestamp>,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// What is to be delivered, in the order of acceptance.
    pub(super) events: Vec<Again>,
    /// Events of which there is nothing to deliver, or nothing worth it any more.
    pub(super) skipped: usize,
    /// The first event that was looked at.
    pub(super) first: Option<RowKey>,
    /// Everything up to there was looked at.
    pub(super) up_to: RowKey,
    /// And there is nothing behind it.
    pub(super) is_end: bool,
    /// Rows and bytes that were read for it.
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Looks at as many events as one commit has time for.
pub(super) fn select(connection: &mut Connection, look: &Look<'_>) -> Result<Selected, StoreError> {
    let read = read(connection, look)?;
    let standings = standings(&read, look.own)?;
    let mut selected = Selected {
        first: standings.first().map(|(event, _)| *event),
        rows: read.originals_read + read.again.len() + read.events.len(),
        up_to: read.up_to.unwrap_or(look.before - 1).max(look.after),
        is_end: read.up_to.is_none(),
        ..Selected::default()
    };
    let is_meant = |standing: Standing| match standing {
        Standing::Missing => look.selection.missing,
        Standing::Unfinished => false,
        Standing::Ended(how) => look.selection.statuses.contains(&how),
    };
    let meant: Vec<(RowKey, Standing)> = standings.into_iter().filter(|(_, standing)| is_meant(*standing)).collect();
    let known = events_of(connection, &meant)?;
    let wish = match look.selection.missing {
        true => wish_of(connection, look.target.endpoint)?,
        false => Wish::default(),
    };
    for (event, standing) in meant {
        if selected.events.len() == look.room || selected.bytes > BYTES_AT_ONCE {
            selected.up_to = event - 1;
            selected.is_end = false;
            break;
        }
        // One that has gone since the rows were read has no type to ask for.
        let Some(Known { event_type, has_body, expires_at, deliver_at }) = known.get(&event) else {
            selected.skipped += 1;
            continue;
        };
        if !policy::selects(look.selection, event_type, standing) {
            continue;
        }
        let is_worth_it = *has_body && expires_at.is_none_or(|at| at > look.now);
        if standing == Standing::Missing
            && !wish.wants(connection, event, event_type, *has_body, &mut selected.bytes)?
        {
            continue;
        }
        if !is_worth_it {
            selected.skipped += 1;
            continue;
        }
        let ended = match standing {
            Standing::Ended(how) => Some(how),
            Standing::Missing | Standing::Unfinished => None,
        };
        let deliver_at = deliver_at.filter(|at| *at > look.now);
        selected.events.push(Again { event, event_type: event_type.clone(), ended, deliver_at });
    }
    Ok(selected)
}

/// Reads each kind of row up to its share of what one look may read.
fn read(connection: &mut Connection, look: &Look<'_>) -> Result<Read, StoreError> {
    let Look { target: Target { endpoint, scope }, selection, after, before, .. } = *look;
    let mut read = Read::default();
    if after + 1 >= before {
        return Ok(read);
    }
    // Of somebody who has little room not much more is read than he is given.
    let kinds = if selection.missing { 4 } else { 2 };
    let limit = (ROWS_AT_ONCE / kinds).min((look.room * 4).max(64));
    let mut known_up_to = |event: RowKey| read.up_to = Some(read.up_to.map_or(event, |up_to: RowKey| up_to.min(event)));
    // First what bounds the rest: of events behind the last one nothing has to be read.
    let mut events = Vec::new();
    let mut last_event = None;
    if selection.missing {
        // Its partner's own, and those over all partners.
        for of in BTreeSet::from([scope, scope % 2]) {
            let found = statements::events_of_scope(connection, of, after, before, limit as i64).map_err(translate)?;
            if let Some((event,)) = found.last().filter(|_| found.len() == limit) {
                known_up_to(*event);
                last_event = Some(last_event.map_or(*event, |last: RowKey| last.min(*event)));
            }
            events.extend(found.into_iter().map(|(event,)| event));
        }
    }
    let last_id = match last_event {
        Some(event) => event.saturating_add(fan_out_of(connection, event)?),
        None => before.saturating_add(LARGEST_FAN_OUT),
    };
    let read_originals = match selection.statuses.as_slice() {
        _ if selection.missing => statements::originals,
        [Replayable::RetriesExhausted] => statements::exhausted_originals,
        statuses if statuses.contains(&Replayable::Delivered) => statements::originals,
        _ => statements::given_up_originals,
    };
    let found =
        read_originals(connection, endpoint, after, last_id.saturating_add(1), limit as i64).map_err(translate)?;
    // Keys of an event and its own deliveries follow each other, and nothing comes between
    // them: up to the last key that was read, whoever made it, every event is known.
    if let Some((last, ..)) = found.last().filter(|(last, ..)| found.len() == limit && *last < before - 1) {
        known_up_to(*last);
    }
    read.originals_read = found.len();
    let is_original = |event: RowKey, replay: Option<RowKey>| replay.is_none() && after < event && event < before;
    let originals = found
        .into_iter()
        .filter(|(_, event, _, replay)| is_original(*event, *replay))
        .map(|(_, event, status, _)| (event, status))
        .collect();
    let mut again = statements::replayed_to(connection, endpoint, after, before, limit as i64).map_err(translate)?;
    if let (Some((first, ..)), Some((last, ..)), true) =
        (again.first().copied(), again.last().copied(), again.len() == limit)
    {
        // The last one's may not all be there.
        if first == last {
            again = statements::replays_of(connection, last, endpoint).map_err(translate)?;
            known_up_to(last);
        } else {
            again.retain(|(event, ..)| *event != last);
            known_up_to(last - 1);
        }
    }
    (read.originals, read.again, read.events) = (originals, again, events);
    Ok(read)
}

/// How far its own deliveries' keys go behind an event's.
fn fan_out_of(connection: &mut Connection, event: RowKey) -> Result<i64, StoreError> {
    let deliveries: Option<i64> =
        events::table.find(event).select(events::deliveries).first(connection).optional().map_err(translate)?;
    Ok(deliveries.unwrap_or(LARGEST_FAN_OUT))
}

/// What is known of an event, but for its bytes.
struct Known {
    event_type: EventType,
    /// There is something left of it.
    has_body: bool,
    expires_at: Option<Timestamp>,
    deliver_at: Option<Timestamp>,
}

fn events_of(connection: &mut Connection, wanted: &[(RowKey, Standing)]) -> Result<HashMap<RowKey, Known>, StoreError> {
    let keys: Vec<RowKey> = wanted.iter().map(|(event, _)| *event).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    type Row = (RowKey, String, i64, Option<i64>, Option<i64>);
    let rows: Vec<Row> = events::table
        .filter(events::id.eq_any(&keys))
        .select((
            events::id,
            events::event_type,
            sql::<BigInt>("CAST(length(body) AS BIGINT)"),
            events::expires_at,
            events::deliver_at,
        ))
        .load(connection)
        .map_err(translate)?;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    rows.into_iter()
        .map(|(event, event_type, bytes, expires_at, deliver_at)| {
            let (expires_at, deliver_at) = (time(expires_at), time(deliver_at));
            Ok((event, Known { event_type: parsed(&event_type)?, has_body: bytes > 0, expires_at, deliver_at }))
        })
        .collect()
}

/// What an endpoint wants now.
#[derive(Default)]
struct Wish {
    patterns: Vec<TypePattern>,
    filter: Option<Arc<Filter>>,
}

fn wish_of(connection: &mut Connection, endpoint: RowKey) -> Result<Wish, StoreError> {
    let settings: Option<String> =
        endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::id.eq(endpoint))
            .select(endpoint_versions::settings)
            .first(connection)
            .optional()
            .map_err(translate)?;
    let Some(settings) = settings else { return Ok(Wish::default()) };
    let (patterns, filter) = from_json::<SettingsRow>(&settings)?.wanted()?;
    Ok(Wish { patterns, filter: filter.and_then(|filter| filters::compiled(&filter)) })
}

impl Wish {
    /// Whether it would get the event now. A filter is asked with the event's bytes, one
    /// event after the other; of one that has none left, nobody knows, and it is wanted.
    fn wants(
        &self,
        connection: &mut Connection,
        event: RowKey,
        event_type: &EventType,
        has_body: bool,
        bytes: &mut usize,
    ) -> Result<bool, StoreError> {
        if !matching::wants(&self.patterns, event_type) {
            return Ok(false);
        }
        let Some(filter) = self.filter.as_ref().filter(|_| has_body) else { return Ok(true) };
        let body: Option<Vec<u8>> =
            events::table.find(event).select(events::body).first(connection).optional().map_err(translate)?;
        let body = body.unwrap_or_default();
        *bytes += body.len();
        Ok(catalog::read_json(&body).map_or(true, |event| filter.accepts(&event)))
    }
}

/// What a replay would do. Looks at so much and no more, endpoint by endpoint.
pub(super) fn preview(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    wanted: &WantedEndpoints,
    selection: &ReplaySelection,
    now: Timestamp,
) -> Result<Result<ReplayPreview, ReplayConflict>, StoreError> {
    let targets = match targets(connection, ids, scope, wanted, selection.missing)? {
        Ok(targets) => targets,
        Err(conflict) => return Ok(Err(conflict)),
    };
    let mut preview = ReplayPreview { targets: targets.len(), ..ReplayPreview::default() };
    let (mut rows, mut bytes) = (0, 0);
    for target in targets {
        let endpoint = ids.endpoint(target.endpoint);
        let (mut after, before) = range(selection, RowKey::MAX);
        let mut is_first = true;
        loop {
            if rows >= PREVIEWED_ROWS || bytes >= PREVIEWED_BYTES {
                preview.at_least = true;
                return Ok(Ok(preview));
            }
            let room = ROWS_AT_ONCE;
            let found = select(connection, &Look { target, selection, after, before, own: None, room, now })?;
            // Looking at nothing is not for nothing, either.
            rows += found.rows + 1;
            bytes += found.bytes;
            preview.skipped += found.skipped as u64;
            for Again { event, event_type, ended, .. } in found.events {
                let accepted_at = time_of_key(event);
                let (first, last) = preview.span.unwrap_or((accepted_at, accepted_at));
                preview.span = Some((first.min(accepted_at), last.max(accepted_at)));
                let kind = (endpoint, event_type.as_str().to_owned(), ended.map(Replayable::as_str));
                *preview.counts.entry(kind).or_default() += 1;
                if preview.samples.len() < SAMPLES && (is_first || preview.targets == 1) {
                    is_first = false;
                    let event = ids.event(event);
                    preview.samples.push(SelectedEvent { endpoint, event, event_type, accepted_at, ended });
                }
            }
            if found.is_end {
                break;
            }
            after = found.up_to;
        }
    }
    Ok(Ok(preview))
}
