//! Lists of deliveries, newest first. Each question goes down one index or several, none
//! of which holds much else; where there is none that fits, so many rows are looked at,
//! and the next page goes on behind them.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::reads::{IS_SEALED, scope_id};
use super::search::{self, Budget, Visible};
use super::views::{DeliveryRow, delivery_of, delivery_query};
use super::{Connection, replayed, statements, translate, work};
use crate::domain::{Delivery, DeliveryId, DeliveryStatus, EndpointId, StatusFilter, TypePattern};
use crate::policy::matching;
use crate::store::ids::{IdCodec, RowKey, first_key_at};
use crate::store::rows::{parsed, status_of};
use crate::store::schema::{deliveries, endpoints, events};
use crate::store::search::{LOOKED_AT, READ_WHOLE};
use crate::store::{DeliveryFilter, EventSearch, Page, PageRequest, Scope, ScopeId, StoreError};

/// Endpoints of all partners that are gone through one by one, at most.
const ENDPOINTS_APART: usize = 200;
/// Deliveries of an event that are looked at together, whoever's they are.
const FEW_OF_EVENT: i64 = 1_000;

/// Events that are gone through together.
const EVENTS_AT_ONCE: usize = 256;

/// Keys, both left out.
type Range = (RowKey, RowKey);

/// What was found on the way down: everything from `down_to` on was looked at.
struct Reach {
    keys: Vec<RowKey>,
    down_to: RowKey,
}

impl Reach {
    /// All there is in a range.
    fn whole(keys: Vec<RowKey>, (above, _): Range) -> Self {
        Self { keys, down_to: above + 1 }
    }

    /// What several have found, as far down as all of them went. The newest first.
    fn merged(reaches: Vec<Self>, range: Range) -> Self {
        let down_to = reaches.iter().map(|reach| reach.down_to).max().unwrap_or(range.0 + 1);
        let mut keys: Vec<RowKey> = reaches.into_iter().flat_map(|reach| reach.keys).collect();
        keys.retain(|key| *key >= down_to);
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
        keys.dedup();
        Self { keys, down_to }
    }
}

/// An endpoint as far as its deliveries' states go by it.
#[derive(Debug, Clone, Copy)]
struct Owner {
    endpoint: RowKey,
    is_enabled: bool,
    is_deleted: bool,
}

impl Owner {
    /// Whether a delivery in this stored state is what is asked for.
    fn shows(self, wanted: Option<StatusFilter>, status: i64, scheduled_attempts: i64) -> Result<bool, StoreError> {
        let Some(wanted) = wanted else { return Ok(true) };
        let seen = DeliveryStatus::seen(status_of(status)?, scheduled_attempts > 0, self.is_enabled, self.is_deleted);
        Ok(matches!(
            (wanted, seen),
            (StatusFilter::Pending, DeliveryStatus::Pending)
                | (StatusFilter::Retrying, DeliveryStatus::Retrying)
                | (StatusFilter::Held, DeliveryStatus::Held)
                | (StatusFilter::Delivered, DeliveryStatus::Delivered)
                | (StatusFilter::RetriesExhausted, DeliveryStatus::RetriesExhausted)
                | (StatusFilter::Discarded, DeliveryStatus::Discarded(_))
        ))
    }

    /// The stored states of what is unfinished that look like this here.
    fn unfinished_states(self, wanted: StatusFilter) -> &'static [i64] {
        match (wanted, self.is_enabled, self.is_deleted) {
            (StatusFilter::Discarded, _, true)
            | (StatusFilter::Pending, true, false)
            | (StatusFilter::Held, false, false) => &[-1, 0, 1],
            (StatusFilter::Retrying, true, false) => &[1],
            _ => &[],
        }
    }
}

/// Whose deliveries are asked for, and which.
struct Question<'a> {
    ids: &'a IdCodec,
    scope: &'a Scope,
    id: ScopeId,
    endpoint: Option<RowKey>,
    status: Option<StatusFilter>,
    /// Items that make a page, and one more.
    limit: usize,
}

pub(super) fn deliveries_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    filter: &DeliveryFilter,
    page: &PageRequest<DeliveryId>,
) -> Result<Page<Delivery>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let endpoint = match filter.endpoint.map(|endpoint| ids.endpoint_key(endpoint)) {
        Some(None) => return Ok(Page::empty()),
        found => found.flatten(),
    };
    let since = filter.since.map_or(0, |since| first_key_at(since) - 1);
    let until = filter.until.map_or(RowKey::MAX, first_key_at);
    let after = page.after.map_or(RowKey::MAX, |after| ids.delivery_key(after).unwrap_or(0));
    let range = (since, until.min(after));
    let limit = page.limit + 1;
    let question = Question { ids, scope, id, endpoint, status: filter.status, limit };
    let found = match (filter.event, &filter.types) {
        _ if filter.replay.is_some() => question.of_replay(connection, filter, range)?,
        (Some(event), types) => {
            let Some(event) = ids.event_key(event) else { return Ok(Page::empty()) };
            question.of_event(connection, event, types.as_ref(), range)?
        }
        (None, None) => question.of_anything(connection, range)?,
        (None, Some(types)) if matches!(filter.status, None | Some(StatusFilter::Delivered)) => {
            let of_events = question.by_type(connection, types, range)?;
            let of_replays = question.replayed(connection, types, range)?;
            Reach::merged(vec![of_events, of_replays], range)
        }
        (None, Some(types)) => question.sifted(connection, types, range)?,
    };
    let mut rows = Vec::with_capacity(limit.min(found.keys.len()));
    for key in found.keys.iter().take(limit) {
        let row: Option<DeliveryRow> =
            delivery_query().filter(deliveries::id.eq(*key)).first(connection).optional().map_err(translate)?;
        rows.extend(row);
    }
    let rows = rows.into_iter().map(|row| delivery_of(ids, row)).collect::<Result<Vec<_>, _>>()?;
    if found.keys.len() >= limit || found.down_to <= range.0 + 1 {
        return Ok(Page::from_overread(rows, page.limit));
    }
    Ok(Page::up_to(rows, ids.delivery(found.down_to).to_string()))
}

impl Question<'_> {
    /// Of whatever events.
    fn of_anything(&self, connection: &mut Connection, range: Range) -> Result<Reach, StoreError> {
        if is_narrow(range) && self.scope.partner.is_none() && self.endpoint.is_none() {
            self.look_through(connection, range)
        } else if self.scope.partner.is_some() || self.endpoint.is_some() {
            self.of_endpoints(connection, range)
        } else {
            self.of_environment(connection, range)
        }
    }

    /// Endpoint by endpoint down one index each, merged: however large the store, this
    /// reads little more than a page for every endpoint of the partner.
    fn of_endpoints(&self, connection: &mut Connection, range: Range) -> Result<Reach, StoreError> {
        let mut of_scope =
            endpoints::table.select((endpoints::id, endpoints::enabled, endpoints::deleted_at)).into_boxed();
        of_scope = if self.scope.partner.is_some() {
            of_scope.filter(endpoints::scope.eq(self.id.0))
        } else {
            of_scope.filter(diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(self.id.0))
        };
        if let Some(endpoint) = self.endpoint {
            of_scope = of_scope.filter(endpoints::id.eq(endpoint));
        }
        let found: Vec<(RowKey, bool, Option<i64>)> = of_scope.load(connection).map_err(translate)?;
        let owners: Vec<Owner> = found.into_iter().map(owner_of).collect();
        self.of_owners(connection, &owners, range)
    }

    fn of_owners(&self, connection: &mut Connection, owners: &[Owner], range: Range) -> Result<Reach, StoreError> {
        let looks = self.limit.max(LOOKED_AT / owners.len().max(1));
        let mut reaches = Vec::new();
        for owner in owners {
            reaches.push(self.of_owner(connection, *owner, range, looks)?);
        }
        Ok(Reach::merged(reaches, range))
    }

    /// An endpoint's newest. Each state has the index that holds few others, so that three
    /// failures are not looked for among millions of successes.
    fn of_owner(
        &self,
        connection: &mut Connection,
        owner: Owner,
        range: Range,
        looks: usize,
    ) -> Result<Reach, StoreError> {
        let given_up = |connection: &mut Connection| self.look_down(connection, owner, true, range, looks);
        match self.status {
            None | Some(StatusFilter::Delivered) => self.look_down(connection, owner, false, range, looks),
            // One event's deliveries are few, whatever their state.
            Some(_) if is_narrow(range) => self.look_down(connection, owner, false, range, looks),
            Some(StatusFilter::RetriesExhausted) => given_up(connection),
            Some(wanted @ StatusFilter::Discarded) => {
                let both = vec![given_up(connection)?, self.unfinished(connection, owner, wanted, range, looks)?];
                Ok(Reach::merged(both, range))
            }
            Some(wanted) => self.unfinished(connection, owner, wanted, range, looks),
        }
    }

    /// What is unfinished is read whole where it is little. Where it is much, it is much
    /// of what is newest, too.
    fn unfinished(
        &self,
        connection: &mut Connection,
        owner: Owner,
        wanted: StatusFilter,
        range: Range,
        looks: usize,
    ) -> Result<Reach, StoreError> {
        let mut keys = Vec::new();
        for state in owner.unfinished_states(wanted) {
            let endpoint: (EndpointId, RowKey) = (self.ids.endpoint(owner.endpoint), owner.endpoint);
            let rows = work::some_unfinished(connection, endpoint, *state, looks + 1)?;
            if rows.len() > looks {
                return self.look_down(connection, owner, false, range, looks);
            }
            for (key, scheduled_attempts) in rows {
                if key > range.0 && key < range.1 && owner.shows(Some(wanted), *state, scheduled_attempts)? {
                    keys.push(key);
                }
            }
        }
        Ok(Reach::whole(keys, range))
    }

    /// Looks at an endpoint's deliveries one after the other, or at those that were given
    /// up, until there are enough or it has looked at so many.
    fn look_down(
        &self,
        connection: &mut Connection,
        owner: Owner,
        only_given_up: bool,
        (above, below): Range,
        looks: usize,
    ) -> Result<Reach, StoreError> {
        let mut reach = Reach { keys: Vec::new(), down_to: below };
        let (mut left, mut at_once) = (looks, self.limit);
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > above + 1 {
            let most = at_once.min(left);
            let rows: Vec<(RowKey, i64, i64)> = if only_given_up {
                statements::given_up_of(connection, owner.endpoint, above, reach.down_to, most as i64)
            } else {
                deliveries::table
                    .filter(deliveries::endpoint.eq(owner.endpoint))
                    .filter(deliveries::id.gt(above).and(deliveries::id.lt(reach.down_to)))
                    .filter(diesel::dsl::sql::<Bool>(IS_SEALED))
                    .order(deliveries::id.desc())
                    .limit(most as i64)
                    .select((deliveries::id, deliveries::status, deliveries::scheduled_attempts))
                    .load(connection)
            }
            .map_err(translate)?;
            left -= rows.len();
            reach.down_to = if rows.len() < most { above + 1 } else { rows.last().map_or(above + 1, |row| row.0) };
            for (key, status, scheduled_attempts) in rows {
                if owner.shows(self.status, status, scheduled_attempts)? {
                    reach.keys.push(key);
                }
            }
            at_once *= 4;
        }
        Ok(reach)
    }

    /// For operators who look over all partners.
    fn of_environment(&self, connection: &mut Connection, range: Range) -> Result<Reach, StoreError> {
        match self.status {
            None | Some(StatusFilter::Delivered) => self.look_through(connection, range),
            Some(StatusFilter::RetriesExhausted) => self.given_up(connection, 3, range),
            Some(StatusFilter::Discarded) => {
                let to_drain: Vec<(RowKey, bool, Option<i64>, i64)> = endpoints::table
                    .filter(endpoints::deleted_at.is_not_null())
                    .filter(diesel::dsl::not(endpoints::drained))
                    .limit(ENDPOINTS_APART as i64 + 1)
                    .select((endpoints::id, endpoints::enabled, endpoints::deleted_at, endpoints::scope))
                    .load(connection)
                    .map_err(translate)?;
                let mut reaches = Vec::new();
                if to_drain.len() > ENDPOINTS_APART {
                    return self.look_through(connection, range);
                }
                for state in 4..=8 {
                    reaches.push(self.given_up(connection, state, range)?);
                }
                let looks = self.limit.max(LOOKED_AT / ENDPOINTS_APART);
                for (endpoint, is_enabled, deleted_at, _) in
                    to_drain.into_iter().filter(|(.., scope)| scope & 1 == self.id.0)
                {
                    let owner = owner_of((endpoint, is_enabled, deleted_at));
                    reaches.push(self.unfinished(connection, owner, StatusFilter::Discarded, range, looks)?);
                }
                Ok(Reach::merged(reaches, range))
            }
            Some(StatusFilter::Pending | StatusFilter::Retrying | StatusFilter::Held) => {
                let waiting = work::with_unfinished(connection, ENDPOINTS_APART + 1)?;
                if waiting.len() > ENDPOINTS_APART {
                    return self.look_through(connection, range);
                }
                let found: Vec<(RowKey, bool, Option<i64>)> = endpoints::table
                    .filter(endpoints::id.eq_any(waiting))
                    .filter(diesel::dsl::sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(self.id.0))
                    .select((endpoints::id, endpoints::enabled, endpoints::deleted_at))
                    .load(connection)
                    .map_err(translate)?;
                let owners: Vec<Owner> = found.into_iter().map(owner_of).collect();
                self.of_owners(connection, &owners, range)
            }
        }
    }

    /// Looks at delivery after delivery, whoever's they are.
    fn look_through(&self, connection: &mut Connection, (above, below): Range) -> Result<Reach, StoreError> {
        let mut reach = Reach { keys: Vec::new(), down_to: below };
        let (mut left, mut at_once) = (LOOKED_AT.max(self.limit), self.limit);
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > above + 1 {
            let most = at_once.min(left);
            let rows: Vec<Looked> = looked_at()
                .filter(deliveries::id.gt(above).and(deliveries::id.lt(reach.down_to)))
                .filter(diesel::dsl::sql::<Bool>(IS_SEALED))
                .order(deliveries::id.desc())
                .limit(most as i64)
                .load(connection)
                .map_err(translate)?;
            left -= rows.len();
            reach.down_to = if rows.len() < most { above + 1 } else { rows.last().map_or(above + 1, |row| row.0.0) };
            for row in rows {
                if self.is_asked_for(&row)? {
                    reach.keys.push(row.0.0);
                }
            }
            at_once *= 4;
        }
        Ok(reach)
    }

    /// What was given up, whoever's it was, by its stored state.
    fn given_up(&self, connection: &mut Connection, state: i64, (above, below): Range) -> Result<Reach, StoreError> {
        let mut reach = Reach { keys: Vec::new(), down_to: below };
        let (mut left, mut at_once) = (LOOKED_AT.max(self.limit), self.limit);
        let mut environments: HashMap<RowKey, i64> = HashMap::new();
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > above + 1 {
            let most = at_once.min(left);
            let rows = statements::given_up(connection, state, above, reach.down_to, most as i64).map_err(translate)?;
            left -= rows.len();
            reach.down_to = if rows.len() < most { above + 1 } else { rows.last().map_or(above + 1, |row| row.0) };
            let unknown: Vec<RowKey> =
                rows.iter().map(|row| row.1).filter(|endpoint| !environments.contains_key(endpoint)).collect();
            let found: Vec<(RowKey, i64)> = endpoints::table
                .filter(endpoints::id.eq_any(unknown))
                .select((endpoints::id, endpoints::scope))
                .load(connection)
                .map_err(translate)?;
            environments.extend(found.into_iter().map(|(endpoint, scope)| (endpoint, scope & 1)));
            let here = |endpoint: &RowKey| environments.get(endpoint) == Some(&self.id.0);
            reach.keys.extend(rows.iter().filter(|(_, endpoint)| here(endpoint)).map(|(key, _)| *key));
            at_once *= 4;
        }
        Ok(reach)
    }

    /// Of one event: those that were made when it was accepted follow it in key, those of
    /// replays are anywhere behind.
    fn of_event(
        &self,
        connection: &mut Connection,
        event: RowKey,
        types: Option<&TypePattern>,
        range: Range,
    ) -> Result<Reach, StoreError> {
        let nothing = || Reach::whole(Vec::new(), range);
        let found: Option<(i64, String)> = events::table
            .find(event)
            .select((events::deliveries, events::event_type))
            .first(connection)
            .optional()
            .map_err(translate)?;
        let Some((fan_out, name)) = found else { return Ok(nothing()) };
        if let Some(types) = types
            && !matching::covers(types, &parsed(&name)?)
        {
            return Ok(nothing());
        }
        let own = (range.0.max(event), range.1.min(event + fan_out + 1));
        let of_acceptance = match self.of_anything(connection, own)? {
            // What is below its own range is not the event's.
            Reach { keys, down_to } if down_to <= own.0 + 1 => Reach::whole(keys, range),
            unfinished => unfinished,
        };
        let rows: Vec<Looked> = looked_at()
            .filter(deliveries::event.eq(event))
            .filter(deliveries::replay.is_not_null())
            .filter(deliveries::id.gt(range.0).and(deliveries::id.lt(range.1)))
            .load(connection)
            .map_err(translate)?;
        let mut keys = Vec::new();
        for row in rows {
            if self.is_asked_for(&row)? {
                keys.push(row.0.0);
            }
        }
        Ok(Reach::merged(vec![of_acceptance, Reach::whole(keys, range)], range))
    }

    /// Of events of a type, which are found by the search index, those that were made when
    /// they were accepted.
    fn by_type(&self, connection: &mut Connection, types: &TypePattern, range: Range) -> Result<Reach, StoreError> {
        let search = EventSearch { types: Some(types.clone()), ..EventSearch::default() };
        let visible = Visible::of(self.scope, self.id);
        let mut budget = Budget::of_a_request();
        let mut reach = Reach { keys: Vec::new(), down_to: range.1 };
        let mut left = READ_WHOLE;
        // Of an event that was accepted before, some deliveries may have a later time.
        let above = range.0.saturating_sub(MOST_OF_EVENT).max(0);
        while reach.keys.len() < self.limit && reach.down_to > above + 1 {
            let between = (above, reach.down_to);
            let at_once = EVENTS_AT_ONCE.min(left);
            let walked = search::walk(connection, self.ids, visible, &search, between, at_once, &mut budget)?;
            left -= walked.keys.len();
            for event in walked.keys {
                let found = self.of_its_acceptance(connection, event, range)?;
                reach.keys.extend(found.keys);
                if found.down_to > event + 1 && found.down_to > range.0 + 1 {
                    reach.down_to = found.down_to;
                    return Ok(reach);
                }
                reach.down_to = event;
                if reach.keys.len() >= self.limit {
                    return Ok(reach);
                }
            }
            reach.down_to = walked.down_to;
            if left == 0 || budget.is_spent() {
                break;
            }
        }
        if reach.down_to <= above + 1 {
            reach.down_to = range.0 + 1;
        }
        Ok(reach)
    }

    fn of_its_acceptance(&self, connection: &mut Connection, event: RowKey, range: Range) -> Result<Reach, StoreError> {
        let fan_out: Option<i64> =
            events::table.find(event).select(events::deliveries).first(connection).optional().map_err(translate)?;
        let fan_out = fan_out.unwrap_or(0);
        let own = (range.0.max(event), range.1.min(event + fan_out + 1));
        if self.endpoint.is_some() || (fan_out > FEW_OF_EVENT && self.scope.partner.is_some()) {
            return self.of_endpoints(connection, own);
        }
        self.look_through(connection, own)
    }

    /// What one replay made.
    fn of_replay(
        &self,
        connection: &mut Connection,
        filter: &DeliveryFilter,
        range: Range,
    ) -> Result<Reach, StoreError> {
        let whose = (self.id, self.scope);
        let Some(types) = &filter.types else {
            let keys = replayed::keys_in_replay(connection, self.ids, whose, filter, range, self.limit)?;
            return Ok(Reach::whole(keys, range));
        };
        let mut reach = Reach { keys: Vec::new(), down_to: range.1 };
        let mut left = READ_WHOLE;
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > range.0 + 1 {
            let (most, below) = (self.limit.min(left), (range.0, reach.down_to));
            let some = replayed::keys_in_replay(connection, self.ids, whose, filter, below, most)?;
            left -= some.len();
            reach.keys.extend(self.of_type_among(connection, types, &some)?);
            reach.down_to = if some.len() < most { range.0 + 1 } else { some.last().map_or(range.0 + 1, |key| *key) };
        }
        Ok(reach)
    }

    /// What was made by replays, of events of a type.
    fn replayed(&self, connection: &mut Connection, types: &TypePattern, range: Range) -> Result<Reach, StoreError> {
        let mut reach = Reach { keys: Vec::new(), down_to: range.1 };
        let mut left = READ_WHOLE;
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > range.0 + 1 {
            let most = self.limit.min(left);
            let rows = statements::replayed(connection, range.0, reach.down_to, most as i64).map_err(translate)?;
            left -= rows.len();
            let keys: Vec<RowKey> = rows.iter().map(|(key,)| *key).collect();
            reach.keys.extend(self.of_type_among(connection, types, &keys)?);
            reach.down_to = if keys.len() < most { range.0 + 1 } else { keys.last().map_or(range.0 + 1, |key| *key) };
        }
        Ok(reach)
    }

    /// What is in a state, and of a type: the one by index, the other looked at.
    fn sifted(&self, connection: &mut Connection, types: &TypePattern, range: Range) -> Result<Reach, StoreError> {
        let mut reach = Reach { keys: Vec::new(), down_to: range.1 };
        let mut left = READ_WHOLE;
        while reach.keys.len() < self.limit && left > 0 && reach.down_to > range.0 + 1 {
            let found = self.of_anything(connection, (range.0, reach.down_to))?;
            let some = &found.keys[..found.keys.len().min(left).min(self.limit)];
            left -= some.len();
            reach.keys.extend(self.of_type_among(connection, types, some)?);
            reach.down_to = if some.len() < found.keys.len() {
                some.last().map_or(reach.down_to, |key| *key)
            } else {
                found.down_to
            };
            // Every look costs as much as its index does, whatever it finds.
            if some.is_empty() {
                break;
            }
        }
        Ok(reach)
    }

    /// Of these deliveries those of a type that are asked for.
    fn of_type_among(
        &self,
        connection: &mut Connection,
        types: &TypePattern,
        keys: &[RowKey],
    ) -> Result<Vec<RowKey>, StoreError> {
        let mut found = Vec::new();
        for key in keys {
            let row: Option<(Looked, String)> = deliveries::table
                .inner_join(endpoints::table)
                .inner_join(events::table)
                .filter(deliveries::id.eq(*key))
                .select((
                    (
                        (deliveries::id, deliveries::endpoint),
                        (deliveries::status, deliveries::scheduled_attempts),
                        (endpoints::scope, endpoints::enabled, endpoints::deleted_at),
                    ),
                    events::event_type,
                ))
                .first(connection)
                .optional()
                .map_err(translate)?;
            if let Some((row, name)) = row
                && matching::covers(types, &parsed(&name)?)
                && self.is_asked_for(&row)?
            {
                found.push(*key);
            }
        }
        Ok(found)
    }

    fn is_asked_for(&self, row: &Looked) -> Result<bool, StoreError> {
        let ((_, endpoint), (status, scheduled_attempts), (scope, is_enabled, deleted_at)) = *row;
        let is_whose = if self.scope.partner.is_some() { scope == self.id.0 } else { scope & 1 == self.id.0 };
        let owner = owner_of((endpoint, is_enabled, deleted_at));
        Ok(is_whose
            && self.endpoint.is_none_or(|wanted| wanted == endpoint)
            && owner.shows(self.status, status, scheduled_attempts)?)
    }
}

/// Keys of one millisecond: an event has no more deliveries than that, or few.
const MOST_OF_EVENT: i64 = 1 << 21;

/// Whether a range is no larger than an event's.
fn is_narrow((above, below): Range) -> bool {
    below.saturating_sub(above) <= MOST_OF_EVENT
}

/// Of a delivery: its key and its endpoint's; its state; its endpoint's scope and state.
type Looked = ((RowKey, RowKey), (i64, i64), (i64, bool, Option<i64>));

#[diesel::dsl::auto_type]
fn looked_at() -> _ {
    deliveries::table.inner_join(endpoints::table).select((
        (deliveries::id, deliveries::endpoint),
        (deliveries::status, deliveries::scheduled_attempts),
        (endpoints::scope, endpoints::enabled, endpoints::deleted_at),
    ))
}

fn owner_of((endpoint, is_enabled, deleted_at): (RowKey, bool, Option<i64>)) -> Owner {
    Owner { endpoint, is_enabled, is_deleted: deleted_at.is_some() }
}
