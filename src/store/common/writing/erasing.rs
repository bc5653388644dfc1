//! Erasing a partner: at once it is nobody, and takes nothing any more; then everything of
//! it goes in slices, by the list in `store/erasure.rs`; at last the partner's own row, and its
//! name is free.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::super::{translate, versions as versions_read};
use super::erasable::{DELIVERIES, UNFINISHED};
use super::payloads::listed;
use super::retention::{deliveries_of, those};
use super::{Tx, administration, endpoints, ordering, payloads, trouble};
use crate::domain::{Actor, AuditAction, DiscardReason, Environment, Partner, PartnerName, Timestamp};
use crate::store::erasure::{Belongs, ERASABLE, Erasable};
use crate::store::ids::RowKey;
use crate::store::rows::{environment_number, parsed};
use crate::store::schema::{api_keys, endpoint_secrets, endpoints as endpoint_rows, partners, scopes};
use crate::store::{AuditEntry, Effect, ErasedPartners, Notice, ScopeId, Slice, StoreError};

/// Partners that are looked at in one slice.
const PARTNERS_AT_ONCE: i64 = 100;

/// From here on the partner is nobody: its keys open nothing, its endpoints are deleted, and
/// without its scopes nothing is accepted for it, on whichever node.
pub(super) fn begin(transaction: &mut Tx<'_>, name: &PartnerName) -> Result<Option<Effect<Partner>>, StoreError> {
    for environment in Environment::ALL {
        transaction.lock_endpoints(ScopeId(environment_number(environment)))?;
    }
    let row: Option<(i64, i64, Option<i64>)> = partners::table
        .filter(partners::name.eq(name.as_str()))
        .select((partners::id, partners::created_at, partners::erasing_since))
        .get_result(transaction.connection)
        .optional()
        .map_err(translate)?;
    let Some((number, created_at, since)) = row else { return Ok(None) };
    let partner = |since: Timestamp| Partner {
        name: name.clone(),
        created_at: Timestamp::from_millis(created_at),
        erasing_since: Some(since),
    };
    if let Some(since) = since {
        return Ok(Some(Effect::AsBefore(partner(Timestamp::from_millis(since)))));
    }
    diesel::update(partners::table.find(number))
        .set(partners::erasing_since.eq(transaction.now.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)?;
    for scope in scopes_of(number) {
        delete_endpoints(transaction, scope)?;
        diesel::delete(scopes::table.find(scope.0)).execute(transaction.connection).map_err(translate)?;
    }
    transaction.forget_scopes();
    diesel::update(api_keys::table.filter(api_keys::partner.eq(number)))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(transaction.now.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)?;
    administration::count_change(transaction, versions_read::KEYS)?;
    Ok(Some(Effect::Changed(partner(transaction.now))))
}

fn scopes_of(partner: i64) -> [ScopeId; 2] {
    Environment::ALL.map(|environment| ScopeId(partner * 2 + environment_number(environment)))
}

/// Deletes every endpoint of a scope that is not deleted, as its partner could one by one.
fn delete_endpoints(transaction: &mut Tx<'_>, scope: ScopeId) -> Result<(), StoreError> {
    let live: Vec<RowKey> = endpoint_rows::table
        .filter(endpoint_rows::scope.eq(scope.0))
        .filter(endpoint_rows::deleted_at.is_null())
        .select(endpoint_rows::id)
        .load(transaction.connection)
        .map_err(translate)?;
    let version = endpoints::tick(transaction, scope)?;
    diesel::update(endpoint_rows::table.filter(endpoint_rows::scope.eq(scope.0)))
        .filter(endpoint_rows::deleted_at.is_null())
        .set((
            endpoint_rows::deleted_version.eq(version),
            endpoint_rows::changed_version.eq(version),
            endpoint_rows::deleted_at.eq(transaction.now.as_millis()),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    for key in live {
        diesel::delete(endpoint_secrets::table.filter(endpoint_secrets::endpoint.eq(key)))
            .execute(transaction.connection)
            .map_err(translate)?;
        trouble::forget(transaction, key)?;
        transaction.notices.push(Notice::EndpointChanged(transaction.ids.endpoint(key)));
    }
    Ok(())
}

/// What a slice has left to take on.
struct Room {
    rows: usize,
    bytes: usize,
    erased: usize,
}

impl Room {
    fn take(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.erased += rows;
    }

    fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }
}

/// Whether there was nothing left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// One slice of everything that is being erased.
pub(super) fn erase(transaction: &mut Tx<'_>, slice: Slice) -> Result<ErasedPartners, StoreError> {
    let erasing: Vec<(i64, String, Option<i64>)> = partners::table
        .filter(partners::erasing_since.is_not_null())
        .order(partners::id)
        .select((partners::id, partners::name, partners::erasing_since))
        .limit(PARTNERS_AT_ONCE)
        .load(transaction.connection)
        .map_err(translate)?;
    let mut done = ErasedPartners::default();
    if erasing.is_empty() {
        return Ok(done);
    }
    let mut room = Room { rows: slice.rows, bytes: slice.bytes, erased: 0 };
    // What stood here is not to be found in the file afterwards.
    transaction.begin_wiping()?;
    let erased = erase_all(transaction, &erasing, &mut room, &mut done);
    transaction.end_wiping()?;
    erased?;
    done.rows = room.erased;
    done.more = room.is_used_up();
    Ok(done)
}

fn erase_all(
    transaction: &mut Tx<'_>,
    erasing: &[(i64, String, Option<i64>)],
    room: &mut Room,
    done: &mut ErasedPartners,
) -> Result<(), StoreError> {
    for (number, name, since) in erasing {
        let since = Timestamp::from_millis(since.unwrap_or_default());
        if !transaction.has_settled(since) {
            continue;
        }
        if erase_one(transaction, *number, room)? == Left::Nothing {
            diesel::delete(partners::table.find(number)).execute(transaction.connection).map_err(translate)?;
            room.take(1);
            let name: PartnerName = parsed(name)?;
            let entry = AuditEntry::new(Actor::Posthaste, AuditAction::PartnerErased);
            transaction.audits.push(entry.belonging_to(None, Some(name.clone())).about(&name));
            done.gone.push(name);
        }
        if room.is_used_up() {
            break;
        }
    }
    Ok(())
}

fn erase_one(transaction: &mut Tx<'_>, partner: i64, room: &mut Room) -> Result<Left, StoreError> {
    for scope in scopes_of(partner) {
        // In this order: what is under way for an endpoint is found by it, and for
        // others by the event.
        if erase_endpoints(transaction, scope, room)? == Left::Something
            || erase_events(transaction, scope, room)? == Left::Something
            || erase_rows(transaction, Belongs::Scope, scope.0, room)? == Left::Something
        {
            return Ok(Left::Something);
        }
    }
    let before = room.erased;
    let left = erase_rows(transaction, Belongs::Partner, partner, room)?;
    if room.erased > before {
        // Whoever has read one of its keys meanwhile forgets it.
        administration::count_change(transaction, versions_read::KEYS)?;
    }
    Ok(left)
}

#[derive(QueryableByName)]
struct DeliveryRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    attempt_count: i64,
}

/// Erases the endpoints of a scope, each with its deliveries, also those of events over all
/// partners.
fn erase_endpoints(transaction: &mut Tx<'_>, scope: ScopeId, room: &mut Room) -> Result<Left, StoreError> {
    loop {
        if room.is_used_up() {
            return Ok(Left::Something);
        }
        let found: Option<(RowKey, Option<i64>)> = endpoint_rows::table
            .filter(endpoint_rows::scope.eq(scope.0))
            .order(endpoint_rows::id)
            .select((endpoint_rows::id, endpoint_rows::deleted_at))
            .first(transaction.connection)
            .optional()
            .map_err(translate)?;
        let Some((endpoint, deleted_at)) = found else { return Ok(Left::Nothing) };
        if deleted_at.is_none() {
            // Somebody made it at the very moment.
            transaction.lock_endpoints(scope)?;
            delete_endpoints(transaction, scope)?;
            return Ok(Left::Something);
        }
        let deliveries: Vec<DeliveryRow> = diesel::sql_query(format!(
            "SELECT id, attempt_count FROM deliveries WHERE endpoint = {endpoint} LIMIT {}",
            room.rows
        ))
        .load(transaction.connection)
        .map_err(translate)?;
        let mut rows = 0;
        let fits = |delivery: &&DeliveryRow| {
            let first = rows == 0;
            rows += 1 + usize::try_from(delivery.attempt_count).unwrap_or(0);
            first || rows <= room.rows
        };
        let keys: Vec<RowKey> = deliveries.iter().take_while(fits).map(|delivery| delivery.id).collect();
        room.take(erase_deliveries(transaction, &keys)?);
        if room.is_used_up() || keys.len() < deliveries.len() {
            return Ok(Left::Something);
        }
        // What is being accepted in chunks may have more deliveries to come.
        let is_quiet = endpoint_rows::table
            .find(endpoint)
            .filter(sql::<Bool>(
                "NOT EXISTS (SELECT 1 FROM unsealed WHERE matched_version < endpoints.deleted_version)",
            ))
            .select(endpoint_rows::id)
            .first::<RowKey>(transaction.connection)
            .optional()
            .map_err(translate)?;
        if is_quiet.is_none() || erase_rows(transaction, Belongs::Endpoint, endpoint, room)? == Left::Something {
            return Ok(Left::Something);
        }
        diesel::delete(endpoint_rows::table.find(endpoint)).execute(transaction.connection).map_err(translate)?;
        room.take(1);
    }
}

/// Removes these deliveries with all that belongs to them. Answers how many rows went.
fn erase_deliveries(transaction: &mut Tx<'_>, keys: &[RowKey]) -> Result<usize, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let list = listed(keys.iter().copied());
    let belonging = ERASABLE.iter().filter(|erasable| erasable.belongs == Belongs::Delivery);
    let own = DELIVERIES.iter().map(|table| (*table, "id"));
    let mut rows = 0;
    for (table, column) in belonging.map(|erasable| (erasable.table, erasable.column)).chain(own) {
        rows += diesel::sql_query(format!("DELETE FROM {table} WHERE {column} IN ({list})"))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(rows)
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// Erases the events of a scope, each with whatever deliveries it still has: those to whoever
/// hears of all partners.
fn erase_events(transaction: &mut Tx<'_>, scope: ScopeId, room: &mut Room) -> Result<Left, StoreError> {
    if room.is_used_up() {
        return Ok(Left::Something);
    }
    let found: Vec<EventRow> = diesel::sql_query(format!(
        "SELECT e.id, CAST(length(e.body) AS BIGINT) AS bytes FROM events AS e WHERE e.scope = {} LIMIT {}",
        scope.0, room.rows
    ))
    .load(transaction.connection)
    .map_err(translate)?;
    if found.is_empty() {
        return Ok(Left::Nothing);
    }
    let mut keys = Vec::new();
    for event in &found {
        if room.bytes == 0 {
            break;
        }
        room.bytes = room.bytes.saturating_sub(usize::try_from(event.bytes).unwrap_or(0));
        keys.push(event.id);
    }
    keys.sort_unstable();
    // What waits behind one of them in another's order goes on.
    let (unfinished, _) = deliveries_of(transaction, &keys, (UNFINISHED, "1 = 1"), room.rows)?;
    if !unfinished.is_empty() {
        room.take(ordering::discard_all(transaction, &unfinished, DiscardReason::EndpointDeleted)?);
        let busy = those(transaction, &keys, &payloads::is_unfinished())?;
        keys.retain(|event| !busy.contains(event));
    }
    if keys.is_empty() || room.rows == 0 {
        return Ok(Left::Something);
    }
    let (deliveries, end) = deliveries_of(transaction, &keys, ("deliveries AS d WHERE", "1 = 1"), room.rows)?;
    room.take(erase_deliveries(transaction, &deliveries)?);
    keys.retain(|event| end.is_none_or(|end| *event < end));
    let list = listed(keys.iter().copied());
    if !list.is_empty() {
        for Erasable { table, column, .. } in ERASABLE.iter().filter(|erasable| erasable.belongs == Belongs::Event) {
            let rows = diesel::sql_query(format!("DELETE FROM {table} WHERE {column} IN ({list})"));
            room.take(rows.execute(transaction.connection).map_err(translate)?);
        }
        let rows = diesel::sql_query(format!("DELETE FROM events WHERE id IN ({list})"));
        room.take(rows.execute(transaction.connection).map_err(translate)?);
    }
    // There may be more: the next look says whether there is.
    Ok(if keys.len() < found.len() { Left::Something } else { erase_events(transaction, scope, room)? })
}

/// Removes what belongs to something, as far as there is room.
fn erase_rows(transaction: &mut Tx<'_>, belongs: Belongs, to: i64, room: &mut Room) -> Result<Left, StoreError> {
    for Erasable { table, column, key, found_by, .. } in ERASABLE.iter().filter(|erasable| erasable.belongs == belongs)
    {
        if room.is_used_up() {
            return Ok(Left::Something);
        }
        let rows = diesel::sql_query(format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {found_by} AND {column} = {to} LIMIT {})",
            room.rows
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
        room.take(rows);
    }
    Ok(if room.is_used_up() { Left::Something } else { Left::Nothing })
}
