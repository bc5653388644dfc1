//! Replays: begun, carried on slice by slice, ended. A slice looks at some events of one
//! endpoint, makes the deliveries and moves the cursor on, all in one transaction, with the
//! environment's clock in hand: nobody else makes any, and no endpoint comes or goes.
//!
//! Compiled once for each backend, against its own `Tx`.

use std::collections::HashSet;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::super::replaying::{self as reads, Again, Look, Target};
use super::super::{reads as store_reads, replays as views, translate};
use super::{Tx, accepting, retention, upkeep};
use crate::domain::{ReplayId, ReplayState, Timestamp};
use crate::store::births::Beginning;
use crate::store::ids::{RowKey, first_key_at};
use crate::store::replaying::{SelectionRow, selection_of, state_number};
use crate::store::rows::to_json;
use crate::store::schema::{endpoints, replay_targets, replays};
use crate::store::{
    Effect, NewReplay, Notice, ReplayConflict, ReplayRequest, ReplaySlice, ReplaySummary, Replayed, Scope, ScopeId,
    StoreError,
};

/// Rows of one statement.
const TARGETS_AT_ONCE: usize = 500;
/// Old replays looked at in one slice of retention.
const REPLAYS_AT_ONCE: i64 = 20;

pub(super) fn create(
    transaction: &mut Tx<'_>,
    new: &NewReplay,
) -> Result<Result<ReplaySummary, ReplayConflict>, StoreError> {
    let NewReplay { scope, wanted, selection, per_second, actor, key: actor_key, most_running, request } = new;
    let Some(within) = store_reads::scope_id(transaction.connection, scope)? else {
        return Ok(Err(ReplayConflict::Nobody));
    };
    transaction.lock_endpoints(within)?;
    if let Some(request) = request
        && let Some(before) = asked_before(transaction, request)?
    {
        return Ok(Err(before));
    }
    let targets = match reads::targets(transaction.connection, transaction.ids, scope, wanted, selection.missing)? {
        Ok(targets) => targets,
        Err(conflict) => return Ok(Err(conflict)),
    };
    // Those that are all of one partner are that partner's, whoever asked.
    let first = targets[0].scope;
    let owner = if targets.iter().all(|target| target.scope == first) { ScopeId(first) } else { within };
    let running: Vec<RowKey> = replays::table
        .filter(replays::scope.eq(owner.0))
        .filter(sql::<Bool>("replays.state = 0"))
        .select(replays::id)
        .limit(*most_running as i64)
        .load(transaction.connection)
        .map_err(translate)?;
    if running.len() >= *most_running {
        return Ok(Err(ReplayConflict::TooManyRunning { most: *most_running }));
    }
    // Whatever was accepted before has a smaller key, and whatever is accepted later a larger.
    let key = transaction.take_keys(1)?;
    diesel::insert_into(replays::table)
        .values((
            replays::id.eq(key),
            replays::scope.eq(owner.0),
            replays::state.eq(state_number(ReplayState::Running)),
            replays::selection.eq(to_json(&SelectionRow::from(selection))),
            replays::per_second.eq(per_second.map(i64::from)),
            replays::actor.eq(actor),
            replays::actor_key.eq(actor_key.map(|key| key.to_string())),
            replays::request_key.eq(request.as_ref().map(|request| &request.key)),
            replays::request_digest.eq(request.as_ref().map(|request| &request.digest)),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    let (begin, _) = reads::range(selection, key);
    for some in targets.chunks(TARGETS_AT_ONCE) {
        let rows: Vec<_> = some
            .iter()
            .map(|target| {
                (
                    replay_targets::replay.eq(key),
                    replay_targets::endpoint.eq(target.endpoint),
                    replay_targets::cursor.eq(begin),
                    replay_targets::made.eq(0),
                    replay_targets::skipped.eq(0),
                    replay_targets::done.eq(false),
                )
            })
            .collect();
        diesel::insert_into(replay_targets::table).values(rows).execute(transaction.connection).map_err(translate)?;
    }
    let owner = store_reads::scope_of(transaction.connection, owner)?;
    let replay = views::visible(transaction.connection, transaction.ids, &owner, transaction.ids.replay(key))?
        .ok_or_else(|| StoreError::Corrupt("a replay just written is not there".into()))?;
    Ok(Ok(ReplaySummary { replay, targets: targets.len() as u64, made: 0, skipped: 0 }))
}

/// What a request began that came before by the same key.
fn asked_before(transaction: &mut Tx<'_>, request: &ReplayRequest) -> Result<Option<ReplayConflict>, StoreError> {
    let found: Option<(RowKey, Option<String>)> = replays::table
        .filter(replays::request_key.eq(&request.key))
        .select((replays::id, replays::request_digest))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((key, digest)) = found else { return Ok(None) };
    if digest.as_ref() != Some(&request.digest) {
        return Ok(Some(ReplayConflict::AnotherRequest));
    }
    let summary = views::summary(transaction.connection, transaction.ids, key)?;
    Ok(summary.map(|summary| ReplayConflict::AskedBefore(Box::new(summary))))
}

pub(super) fn carry_on(transaction: &mut Tx<'_>, slice: &ReplaySlice) -> Result<Replayed, StoreError> {
    let Some(replay) = transaction.ids.replay_key(slice.replay) else { return Ok(Replayed::Over) };
    let endpoint = transaction.endpoint_key(slice.endpoint)?;
    let Some((scope, _, _)) = row_of(transaction, replay)? else { return Ok(Replayed::Over) };
    transaction.lock_endpoints(ScopeId(scope))?;
    // As it stands now that nobody else changes it.
    let Some((_, state, selection)) = row_of(transaction, replay)? else { return Ok(Replayed::Over) };
    let target: Option<(RowKey, Option<i64>, bool)> = replay_targets::table
        .find((replay, endpoint))
        .select((replay_targets::cursor, replay_targets::first_event, replay_targets::done))
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((cursor, first_event, false)) = target else { return Ok(Replayed::Over) };
    if state != state_number(ReplayState::Running) || slice.room == 0 {
        return Ok(Replayed::Over);
    }
    let of: Option<i64> = endpoints::table
        .find(endpoint)
        .filter(endpoints::deleted_at.is_null())
        .select(endpoints::scope)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some(of) = of else {
        diesel::update(replay_targets::table.find((replay, endpoint)))
            .set(replay_targets::done.eq(true))
            .execute(transaction.connection)
            .map_err(translate)?;
        finish_if_done(transaction, replay)?;
        return Ok(Replayed::Looked { made: 0, is_done: true });
    };
    let selection = selection_of(&selection)?;
    let (_, before) = reads::range(&selection, replay);
    let look = Look {
        target: Target { endpoint, scope: of },
        selection: &selection,
        after: cursor,
        before,
        own: Some(replay),
        room: slice.room,
        now: transaction.now,
    };
    let mut found = reads::select(transaction.connection, &look)?;
    let selected: Vec<RowKey> = found.events.iter().map(|again| again.event).collect();
    // Whoever is about to erase one of them waits, or has done so: then it cannot be sent.
    let there: HashSet<RowKey> = transaction.lock_payloads(&selected)?.into_iter().collect();
    found.events.retain(|again| there.contains(&again.event));
    let made = found.events.len();
    found.skipped += selected.len() - made;
    if made > 0 {
        let (first, numbers) = transaction.take_keys_and_numbers(made, &vec![slice.endpoint; made])?;
        let begins = |again: &Again| again.deliver_at.map_or(Beginning::AtOnce, Beginning::Later);
        let deliveries: Vec<(RowKey, RowKey, Beginning)> =
            (first..).zip(&found.events).map(|(delivery, again)| (delivery, again.event, begins(again))).collect();
        accepting::write_replayed(transaction, replay, slice.endpoint, &deliveries, &numbers)?;
        let events: Vec<RowKey> = found.events.iter().map(|again| again.event).collect();
        retention::look_again(transaction, &events)?;
        let later = deliveries.iter().filter(|(.., begins)| *begins != Beginning::AtOnce).count();
        transaction.notices.extend((0..later).map(|_| Notice::Scheduled(slice.endpoint)));
        if made > later {
            transaction.notices.push(Notice::Replayed { endpoint: slice.endpoint, made: made - later });
        }
    }
    diesel::update(replay_targets::table.find((replay, endpoint)))
        .set((
            replay_targets::cursor.eq(found.up_to),
            replay_targets::first_event.eq(first_event.or(found.first)),
            replay_targets::made.eq(replay_targets::made + made as i64),
            replay_targets::skipped.eq(replay_targets::skipped + found.skipped as i64),
            replay_targets::done.eq(found.is_end),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    if found.is_end {
        finish_if_done(transaction, replay)?;
    }
    Ok(Replayed::Looked { made, is_done: found.is_end })
}

/// `scope`, `state` and `selection`.
fn row_of(transaction: &mut Tx<'_>, replay: RowKey) -> Result<Option<(i64, i64, String)>, StoreError> {
    replays::table
        .find(replay)
        .select((replays::scope, replays::state, replays::selection))
        .first(transaction.connection)
        .optional()
        .map_err(translate)
}

/// It is done once it is with every endpoint.
fn finish_if_done(transaction: &mut Tx<'_>, replay: RowKey) -> Result<bool, StoreError> {
    let left: Option<RowKey> = replay_targets::table
        .filter(replay_targets::replay.eq(replay))
        .filter(replay_targets::done.eq(false))
        .select(replay_targets::endpoint)
        .first(transaction.connection)
        .optional()
        .map_err(translate)?;
    Ok(left.is_none() && end(transaction, replay, ReplayState::Done)?)
}

/// Finishes one of which no endpoint is left: the last that it was not done with was erased.
pub(super) fn finish(transaction: &mut Tx<'_>, replay: ReplayId) -> Result<bool, StoreError> {
    let Some(replay) = transaction.ids.replay_key(replay) else { return Ok(false) };
    let Some((scope, ..)) = row_of(transaction, replay)? else { return Ok(false) };
    transaction.lock_endpoints(ScopeId(scope))?;
    finish_if_done(transaction, replay)
}

/// Ends one that runs. Answers whether it did.
fn end(transaction: &mut Tx<'_>, replay: RowKey, state: ReplayState) -> Result<bool, StoreError> {
    let ended = diesel::update(replays::table.find(replay))
        .filter(replays::state.eq(state_number(ReplayState::Running)))
        .set((replays::state.eq(state_number(state)), replays::finished_at.eq(transaction.now.as_millis())))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(ended > 0)
}

/// Ends a replay of the scope, if it runs.
pub(super) fn cancel(
    transaction: &mut Tx<'_>,
    scope: &Scope,
    replay: ReplayId,
) -> Result<Option<Effect<ReplayState>>, StoreError> {
    let Some(within) = store_reads::scope_id(transaction.connection, scope)? else { return Ok(None) };
    transaction.lock_endpoints(within)?;
    let found = views::visible(transaction.connection, transaction.ids, scope, replay)?;
    let (Some(found), Some(key)) = (found, transaction.ids.replay_key(replay)) else { return Ok(None) };
    Ok(Some(match end(transaction, key, ReplayState::Cancelled)? {
        true => Effect::Changed(ReplayState::Cancelled),
        false => Effect::AsBefore(found.state),
    }))
}

/// Removes replays from before `horizon` of which nothing is left, and what is left of
/// them that has ended before it; what their endpoints hold for so long is discarded. One
/// after the other: most have nothing left but their rows.
pub(super) fn retire(transaction: &mut Tx<'_>, horizon: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let old: Vec<RowKey> = replays::table
        .filter(replays::id.lt(first_key_at(horizon)))
        .filter(replays::state.ne(state_number(ReplayState::Running)))
        .order(replays::id)
        .select(replays::id)
        .limit(REPLAYS_AT_ONCE)
        .load(transaction.connection)
        .map_err(translate)?;
    let mut rows = 0;
    for replay in old {
        if rows >= limit {
            break;
        }
        rows += upkeep::retire_deliveries_of(transaction, replay, horizon, limit)?;
        if !upkeep::has_deliveries(transaction, replay)? {
            rows += diesel::delete(replay_targets::table.filter(replay_targets::replay.eq(replay)))
                .execute(transaction.connection)
                .map_err(translate)?;
            rows += diesel::delete(replays::table.find(replay)).execute(transaction.connection).map_err(translate)?;
        }
    }
    Ok(rows)
}
