//! What an endpoint was sent, by its numbers. Which of it may be given is decided in
//! `store/pull.rs`.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::reads::scope_id;
use super::{Connection, translate, work};
use crate::domain::{DeliveryStatus, EventId};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::pull::{NumberedRow, PullRequest, Pulled, PulledDelivery, may_be_given};
use crate::store::rows::{ordinal_of, status_of};
use crate::store::schema::{endpoints, events};
use crate::store::{Payload, Scope, StoreError};

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
        let event = ids.event(*event);
        // It was removed while this was read.
        let Some(payload) = payloads.get(&event) else { continue };
        items.push(PulledDelivery {
            sequence: ordinal_of(Some(*number))?.unwrap_or_default(),
            delivery: ids.delivery(*key),
            event,
            event_type: payload.event_type.clone(),
            status: DeliveryStatus::seen(status_of(*status)?, *scheduled_attempts > 0, enabled, false),
            accepted_at: time_of_key(*key),
            body: Some(payload.body.clone()).filter(|body| !body.is_empty()),
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

/// The payloads of a page's events, and the page as long as they have room in so many
/// bytes. The first has it always.
fn payloads(
    connection: &mut Connection,
    ids: &IdCodec,
    page: &mut &[NumberedRow],
    bytes: usize,
) -> Result<HashMap<EventId, Payload>, StoreError> {
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
    let mut wanted: Vec<EventId> = page.iter().map(|row| ids.event(row.1)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let read = work::payloads(connection, ids, &wanted)?;
    Ok(read.into_iter().map(|payload| (payload.event, payload)).collect())
}
