//! Replays as people look at them, and as whoever carries them out does.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::reads::{scope_id, scope_of};
use super::{Connection, statements, translate};
use crate::domain::{EndpointId, Replay, ReplayId, ReplayTarget, Timestamp};
use crate::policy::replaying::{MOST_UNDER_WAY, MOST_WAITING};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::replaying::{rate_of, selection_of, state_of};
use crate::store::schema::{replay_targets, replays};
use crate::store::{
    Page, PageRequest, ReplayProgress, ReplaySummary, RunningReplay, RunningTarget, Scope, ScopeId, StoreError,
};

/// Deliveries of a replay that are counted to say what became of them, of each kind.
const COUNTED: usize = 100_000;

type ReplayRow = (i64, i64, i64, Option<i64>, String, Option<i64>, String, Option<String>);

const COLUMNS: (
    replays::id,
    replays::scope,
    replays::state,
    replays::finished_at,
    replays::selection,
    replays::per_second,
    replays::actor,
    replays::actor_key,
) = (
    replays::id,
    replays::scope,
    replays::state,
    replays::finished_at,
    replays::selection,
    replays::per_second,
    replays::actor,
    replays::actor_key,
);

fn replay_of(connection: &mut Connection, ids: &IdCodec, row: ReplayRow) -> Result<Replay, StoreError> {
    let (key, scope, state, finished_at, selection, per_second, actor, actor_key) = row;
    let scope = scope_of(connection, ScopeId(scope))?;
    Ok(Replay {
        id: ids.replay(key),
        environment: scope.environment,
        partner: scope.partner,
        state: state_of(state)?,
        selection: selection_of(&selection)?,
        per_second: rate_of(per_second)?,
        actor,
        key: actor_key,
        created_at: time_of_key(key),
        finished_at: finished_at.map(Timestamp::from_millis),
    })
}

/// A scope's replays, newest first; of all partners, those of the whole environment.
pub(super) fn replays_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    page: &PageRequest<ReplayId>,
) -> Result<Page<ReplaySummary>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let before = page.after.map_or(RowKey::MAX, |after| ids.replay_key(after).unwrap_or(0));
    let mut query = replays::table
        .filter(replays::id.lt(before))
        .order(replays::id.desc())
        .limit(page.limit as i64 + 1)
        .select(COLUMNS)
        .into_boxed();
    query = match scope.partner {
        Some(_) => query.filter(replays::scope.eq(id.0)),
        None => query.filter(sql::<Bool>("replays.scope & 1 = ").bind::<BigInt, _>(id.0)),
    };
    let rows: Vec<ReplayRow> = query.load(connection).map_err(translate)?;
    summaries(connection, ids, Page::from_overread(rows, page.limit))
}

/// A scope's replays that are for this endpoint, newest first: all that it was ever part
/// of, which are as few as those who asked for them had patience for, without the others.
pub(super) fn replays_to(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    endpoint: RowKey,
    page: &PageRequest<ReplayId>,
) -> Result<Page<ReplaySummary>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let before = page.after.map_or(RowKey::MAX, |after| ids.replay_key(after).unwrap_or(0));
    let keys: Vec<RowKey> = replay_targets::table
        .filter(replay_targets::endpoint.eq(endpoint))
        .filter(replay_targets::replay.lt(before))
        .order(replay_targets::replay.desc())
        .limit(page.limit as i64 + 1)
        .select(replay_targets::replay)
        .load(connection)
        .map_err(translate)?;
    let mut rows: Vec<ReplayRow> =
        replays::table.filter(replays::id.eq_any(&keys)).select(COLUMNS).load(connection).map_err(translate)?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    let is_whose = |row: &ReplayRow| match scope.partner {
        Some(_) => row.1 == id.0,
        None => row.1 & 1 == id.0,
    };
    let more = keys.len() > page.limit;
    rows.retain(|row| is_whose(row) && keys.iter().take(page.limit).any(|key| *key == row.0));
    let cursor = keys.get(page.limit.saturating_sub(1)).filter(|_| more).map(|key| ids.replay(*key).to_string());
    summaries(connection, ids, Page { items: rows, more, cursor })
}

fn summaries(
    connection: &mut Connection,
    ids: &IdCodec,
    page: Page<ReplayRow>,
) -> Result<Page<ReplaySummary>, StoreError> {
    let mut sums = sums_of(connection, &page.items.iter().map(|row| row.0).collect::<Vec<_>>())?;
    page.try_map(|row| {
        let (targets, made, skipped) = sums.remove(&row.0).unwrap_or_default();
        Ok(ReplaySummary { replay: replay_of(connection, ids, row)?, targets, made, skipped })
    })
}

/// Of each of these replays how many endpoints it has, and what they come to together.
fn sums_of(connection: &mut Connection, replays: &[RowKey]) -> Result<HashMap<RowKey, (u64, u64, u64)>, StoreError> {
    let rows: Vec<(RowKey, i64, i64, i64)> = replay_targets::table
        .filter(replay_targets::replay.eq_any(replays))
        .group_by(replay_targets::replay)
        .select((
            replay_targets::replay,
            sql::<BigInt>("COUNT(*)"),
            sql::<BigInt>("CAST(SUM(made) AS BIGINT)"),
            sql::<BigInt>("CAST(SUM(skipped) AS BIGINT)"),
        ))
        .load(connection)
        .map_err(translate)?;
    Ok(rows
        .into_iter()
        .map(|(replay, targets, made, skipped)| (replay, (positive(targets), positive(made), positive(skipped))))
        .collect())
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// One replay that the scope may see.
pub(super) fn visible(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    replay: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    let Some(key) = ids.replay_key(replay) else { return Ok(None) };
    let row: Option<ReplayRow> =
        replays::table.find(key).select(COLUMNS).first(connection).optional().map_err(translate)?;
    let is_seen = |row: &ReplayRow| if scope.partner.is_some() { row.1 == id.0 } else { row.1 % 2 == id.0 };
    row.filter(is_seen).map(|row| replay_of(connection, ids, row)).transpose()
}

/// One replay, whoever's it is, and what its endpoints come to together.
pub(super) fn summary(
    connection: &mut Connection,
    ids: &IdCodec,
    key: RowKey,
) -> Result<Option<ReplaySummary>, StoreError> {
    let row: Option<ReplayRow> =
        replays::table.find(key).select(COLUMNS).first(connection).optional().map_err(translate)?;
    let Some(row) = row else { return Ok(None) };
    let (targets, made, skipped) = sums_of(connection, &[key])?.remove(&key).unwrap_or_default();
    Ok(Some(ReplaySummary { replay: replay_of(connection, ids, row)?, targets, made, skipped }))
}

/// One replay, and what became of what it made.
pub(super) fn progress(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    replay: ReplayId,
) -> Result<Option<ReplayProgress>, StoreError> {
    let Some(replay) = visible(connection, ids, scope, replay)? else { return Ok(None) };
    let key = ids.replay_key(replay.id).unwrap_or(0);
    type TargetRow = (RowKey, i64, Option<i64>, i64, i64, bool);
    let rows: Vec<TargetRow> = replay_targets::table
        .filter(replay_targets::replay.eq(key))
        .order(replay_targets::endpoint)
        .select((
            replay_targets::endpoint,
            replay_targets::cursor,
            replay_targets::first_event,
            replay_targets::made,
            replay_targets::skipped,
            replay_targets::done,
        ))
        .load(connection)
        .map_err(translate)?;
    let mut targets = Vec::with_capacity(rows.len());
    let (mut pending, mut failed) = (0, 0);
    let mut is_cut = false;
    for (endpoint, cursor, first_event, made, skipped, done) in rows {
        if made > 0 {
            for (count, sum) in [
                (statements::unfinished_of_replay as fn(&mut Connection, i64, i64, i64) -> _, &mut pending),
                (statements::failed, &mut failed),
            ] {
                let room = (COUNTED - *sum).saturating_add(1);
                let found = count(connection, key, endpoint, room as i64).map_err(translate)?;
                let found = found.first().map_or(0, |(count,): &(i64,)| positive(*count)) as usize;
                is_cut |= found == room;
                *sum = (*sum + found).min(COUNTED);
            }
        }
        targets.push(ReplayTarget {
            endpoint: ids.endpoint(endpoint),
            made: positive(made),
            skipped: positive(skipped),
            done,
            looked: first_event.map(|first| (time_of_key(cursor), time_of_key(first))),
        });
    }
    let sum = |count: fn(&ReplayTarget) -> u64| targets.iter().map(count).sum();
    let (made, skipped) = (sum(|target| target.made), sum(|target| target.skipped));
    let summary = ReplaySummary { replay, targets: targets.len() as u64, made, skipped };
    Ok(Some(ReplayProgress { summary, targets, pending: pending as u64, failed: failed as u64, at_least: is_cut }))
}

/// The first `limit` running replays behind one of them, in the order of their ids, each with
/// up to `each` of the endpoints that it is not done with: those behind the one that had
/// the last turn, and then those before it. One without any has only to be finished.
pub(super) fn running(
    connection: &mut Connection,
    ids: &IdCodec,
    after: Option<ReplayId>,
    turns: &HashMap<ReplayId, EndpointId>,
    (limit, each): (usize, usize),
    now: Timestamp,
) -> Result<Vec<RunningReplay>, StoreError> {
    let after = after.map_or(0, |after| ids.replay_key(after).unwrap_or(0));
    let rows: Vec<(RowKey, Option<i64>)> = replays::table
        .filter(sql::<Bool>("replays.state = 0"))
        .filter(replays::id.gt(after))
        .order(replays::id)
        .limit(limit as i64)
        .select((replays::id, replays::per_second))
        .load(connection)
        .map_err(translate)?;
    let mut running = Vec::with_capacity(rows.len());
    for (key, per_second) in rows {
        let replay = ids.replay(key);
        let turn = turns.get(&replay).map_or(0, |endpoint| ids.endpoint_key(*endpoint).unwrap_or(0));
        let mut endpoints = unfinished(connection, key, (turn, RowKey::MAX), each)?;
        if endpoints.len() < each {
            endpoints.extend(unfinished(connection, key, (0, turn), each - endpoints.len())?);
        }
        let mut targets = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            // Whoever has so many has too many of one or of the other.
            let limit = (MOST_UNDER_WAY + MOST_WAITING) as i64;
            let counts = statements::under_way(connection, now.as_millis(), key, endpoint, limit).map_err(translate)?;
            let (all, under_way) = counts.first().copied().unwrap_or_default();
            targets.push(RunningTarget {
                endpoint: ids.endpoint(endpoint),
                under_way: positive(under_way) as usize,
                waiting: positive(all - under_way) as usize,
            });
        }
        running.push(RunningReplay { replay, per_second: rate_of(per_second)?, targets });
    }
    Ok(running)
}

/// Endpoints that a replay is not done with, behind one, up to another.
fn unfinished(
    connection: &mut Connection,
    replay: RowKey,
    (behind, up_to): (RowKey, RowKey),
    limit: usize,
) -> Result<Vec<RowKey>, StoreError> {
    replay_targets::table
        .filter(replay_targets::replay.eq(replay))
        .filter(replay_targets::endpoint.gt(behind).and(replay_targets::endpoint.le(up_to)))
        .filter(replay_targets::done.eq(false))
        .order(replay_targets::endpoint)
        .limit(limit as i64)
        .select(replay_targets::endpoint)
        .load(connection)
        .map_err(translate)
}
