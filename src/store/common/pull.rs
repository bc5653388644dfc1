//! What an endpoint was sent, by its numbers. Which of it may be given is decided in
//! `store/pull.rs`.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::reads::scope_id;
use super::{Connection, translate, work};
use crate::domain::{DeliveryStatus, EventId, EventType, Timestamp};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::pull::{NumberedRow, PullRequest, Pulled, PulledDelivery, may_be_given};
use crate::store::rows::{ordinal_of, parsed, status_of};
use crate::store::schema::{endpoints, events};
use crate::store::{Scope, StoreError};

/// `id`, `event_type`, `body`, `erased_at` and `deliver_at`.
type EventRow = (RowKey, String, Vec<u8>, Option<i64>, Option<i64>);

/// What a page shows of an event.
struct EventRead {
    event_type: EventType,
    body: Option<Bytes>,
    is_erased: bool,
    deliver_at: Option<Timestamp>,
}

/// A page for a live endpoint of a scope; `None` when there is none.
pub(super) fn pull(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    endpoint: RowKey,
    request: &PullRequest,
) -> Result<Option<Pulled>, StoreError> {
    let Some(enabled) = standing(connection, scope, endpoint)? else { return Ok(None) };
    let after = i64::try_from(request.after).unwrap_or(i64::MAX);
    let (rows, given) = rows(connection, endpoint, after, request.limit + 1)?;
    let is_settling = given < rows.len() && given <= request.limit;
    let mut page = &rows[..given.min(request.limit)];
    let payloads = payloads(connection, ids, &mut page, request.bytes)?;
    let oldest = work::numbered(connection, endpoint, 0, 1)?.first().map(|row| row.4);
    let mut items = Vec::with_capacity(page.len());
    for (key, event, status, scheduled_attempts, number, _) in page {
        let (accepted_at, event) = (time_of_key(*event), ids.event(*event));
        // It was removed while this was read.
        let Some(EventRead { event_type, body, is_erased, deliver_at }) = payloads.get(&event) else { continue };
        // What is for later is nobody's before then, however it is fetched.
        let deliver_at = deliver_at.filter(|at| *at > request.now);
        items.push(PulledDelivery {
            sequence: ordinal_of(Some(*number))?.unwrap_or_default(),
            delivery: ids.delivery(*key),
            event,
            event_type: event_type.clone(),
            status: DeliveryStatus::seen(status_of(*status)?, *scheduled_attempts > 0, enabled, false),
            accepted_at,
            is_erased: *is_erased,
            body: body.clone().filter(|_| deliver_at.is_none()),
            deliver_at,
        });
    }
    Ok(Some(Pulled {
        items,
        next_after: ordinal_of(page.last().map(|row| row.4))?.unwrap_or(request.after),
        oldest: ordinal_of(oldest)?,
        more: page.len() < rows.len(),
        is_settling: is_settling && page.len() == given,
    }))
}

/// Whether a live endpoint of the scope lets its deliveries go.
fn standing(connection: &mut Connection, scope: &Scope, endpoint: RowKey) -> Result<Option<bool>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    let found: Option<(i64, bool)> = endpoints::table
        .filter(endpoints::id.eq(endpoint))
        .filter(endpoints::deleted_at.is_null())
        .select((endpoints::scope, endpoints::enabled))
        .get_result(connection)
        .optional()
        .map_err(translate)?;
    let is_of_scope = |of: i64| if scope.partner.is_some() { of == id.0 } else { of % 2 == id.0 };
    Ok(found.filter(|(of, _)| is_of_scope(*of)).map(|(_, enabled)| enabled))
}

/// The endpoint's next rows, and how many of them may be given. What has settled is looked
/// up only where a number is missing, and before the rows are read that are given by it.
fn rows(
    connection: &mut Connection,
    endpoint: RowKey,
    after: i64,
    limit: usize,
) -> Result<(Vec<NumberedRow>, usize), StoreError> {
    let rows = work::numbered(connection, endpoint, after, limit)?;
    let given = may_be_given(&rows, after, 0);
    if given == rows.len() {
        return Ok((rows, given));
    }
    let settled = work::settled_up_to(connection, endpoint)?;
    let rows = work::numbered(connection, endpoint, after, limit)?;
    let given = may_be_given(&rows, after, settled);
    Ok((rows, given))
}

/// Of a page's events their types, and the payloads that are still kept; and the page as
/// long as they have room in so many bytes. The first has it always.
fn payloads(
    connection: &mut Connection,
    ids: &IdCodec,
    page: &mut &[NumberedRow],
    bytes: usize,
) -> Result<HashMap<EventId, EventRead>, StoreError> {
    let keys: HashSet<RowKey> = page.iter().map(|row| row.1).collect();
    let sizes: HashMap<RowKey, i64> = events::table
        .filter(events::id.eq_any(keys))
        .select((events::id, sql::<BigInt>("CAST(length(events.body) AS BIGINT)")))
        .load(connection)
        .map_err(translate)?
        .into_iter()
        .collect();
    let mut total: usize = 0;
    let has_room = |row: &&NumberedRow| {
        let size = sizes.get(&row.1).copied().unwrap_or_default();
        total = total.saturating_add(usize::try_from(size).unwrap_or_default());
        total <= bytes
    };
    let room = page.iter().take_while(has_room).count();
    *page = &page[..room.max(1).min(page.len())];
    let keys: HashSet<RowKey> = page.iter().map(|row| row.1).collect();
    let rows: Vec<EventRow> = events::table
        .filter(events::id.eq_any(keys))
        .select((events::id, events::event_type, events::body, events::erased_at, events::deliver_at))
        .load(connection)
        .map_err(translate)?;
    let mut read = HashMap::with_capacity(rows.len());
    for (event, event_type, body, erased_at, deliver_at) in rows {
        let is_erased = erased_at.is_some();
        let body = (!is_erased).then(|| Bytes::from(body));
        let deliver_at = deliver_at.map(Timestamp::from_millis);
        read.insert(ids.event(event), EventRead { event_type: parsed(&event_type)?, body, is_erased, deliver_at });
    }
    Ok(read)
}
