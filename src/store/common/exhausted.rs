//! What ended badly: exhausted deliveries by endpoint and by what they failed at last. An
//! event that was replayed since is not exhausted by its older delivery.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::reads::{scope_id, scope_of};
use super::{Connection, EXHAUSTED_AS_ENDED, statements, translate};
use crate::domain::{EndpointId, Timestamp};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::schema::endpoints;
use crate::store::{ExhaustedEndpoint, ExhaustedReason, Page, PageRequest, Scope, ScopeId, StoreError};

/// Deliveries of an endpoint that are counted, the newest.
const LOOKED_AT: usize = 1_000;

/// A scope's live endpoints that have exhausted deliveries, newest first. One of which all
/// that are counted were replayed since is left out, unless there are more.
pub(super) fn exhausted(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    page: &PageRequest<EndpointId>,
) -> Result<Page<ExhaustedEndpoint>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let mut before = page.after.map_or(RowKey::MAX, |after| ids.endpoint_key(after).unwrap_or(0));
    let mut found = Vec::new();
    // What is left out makes room for what comes behind it.
    while found.len() <= page.limit {
        let mut query = endpoints::table
            .filter(endpoints::deleted_at.is_null())
            .filter(endpoints::id.lt(before))
            .filter(sql::<Bool>(&format!(
                "EXISTS (SELECT 1 FROM {EXHAUSTED_AS_ENDED} WHERE ended.endpoint = endpoints.id AND ended.status = 3)"
            )))
            .order(endpoints::id.desc())
            .limit(page.limit as i64 + 1)
            .select((endpoints::id, endpoints::scope))
            .into_boxed();
        query = match scope.partner {
            Some(_) => query.filter(endpoints::scope.eq(id.0)),
            None => query.filter(sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(id.0)),
        };
        let some: Vec<(RowKey, i64)> = query.load(connection).map_err(translate)?;
        let is_last = some.len() <= page.limit;
        for (endpoint, of) in some {
            before = endpoint;
            found.extend(exhausted_of(connection, ids, endpoint, of)?);
            if found.len() > page.limit {
                break;
            }
        }
        if is_last {
            break;
        }
    }
    Ok(Page::from_overread(found, page.limit))
}

/// A class of error and a status code.
type Reason = (Option<String>, Option<i64>);
/// How many, when the first and the last of them ended, and the newest.
type Counted = (u64, i64, i64, RowKey);

fn exhausted_of(
    connection: &mut Connection,
    ids: &IdCodec,
    endpoint: RowKey,
    of: i64,
) -> Result<Option<ExhaustedEndpoint>, StoreError> {
    let mut rows =
        statements::exhausted_of(connection, endpoint, RowKey::MAX, LOOKED_AT as i64 + 1).map_err(translate)?;
    let at_least = rows.len() > LOOKED_AT;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    rows.truncate(LOOKED_AT);
    let mut reasons: HashMap<Reason, Counted> = HashMap::new();
    for (delivery, finished_at, class, status_code, is_replayed) in rows {
        if is_replayed {
            continue;
        }
        let finished_at = finished_at.unwrap_or_default();
        let reason = reasons.entry((class, status_code)).or_insert((0, finished_at, finished_at, delivery));
        *reason = (reason.0 + 1, reason.1.min(finished_at), reason.2.max(finished_at), reason.3.max(delivery));
    }
    if reasons.is_empty() && !at_least {
        return Ok(None);
    }
    let mut reasons: Vec<ExhaustedReason> = reasons
        .into_iter()
        .map(|((class, status_code), (count, first, last, sample))| ExhaustedReason {
            class,
            status_code: status_code.and_then(|code| u16::try_from(code).ok()),
            count,
            ended: (Timestamp::from_millis(first), Timestamp::from_millis(last)),
            sample: ids.delivery(sample),
        })
        .collect();
    reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.count), std::cmp::Reverse(reason.sample)));
    let partner = scope_of(connection, ScopeId(of))?.partner;
    Ok(Some(ExhaustedEndpoint { endpoint: ids.endpoint(endpoint), partner, reasons, at_least }))
}
