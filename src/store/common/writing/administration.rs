//! What operators administer: the first start, catalogs, partners, keys.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::query_dsl::methods::FilterDsl;
use diesel::sql_types::Bool;
use diesel::upsert::excluded;

use super::super::translate;
use super::super::{reads, versions as versions_read};
use crate::catalog::TypeDefinition;
use crate::domain::{Environment, EventType, FieldPointer, KeyId, Partner, PartnerName, Timestamp};
use crate::store::ids::time_of_key;
use crate::store::rows::{RetryRow, environment_number, to_json};
use crate::store::schema::{api_keys, event_types, meta, partners, scopes, versions};
use crate::store::{KeyRecord, NewKey, Scope, ScopeId, StoreError};

use super::Tx;

pub(super) fn first_start(transaction: &mut Tx<'_>, types: &[TypeDefinition]) -> Result<bool, StoreError> {
    let is_first = is_done_for_the_first_time(transaction, "first_start")?;
    let is_unindexed = is_done_for_the_first_time(transaction, "indexed_fields")?;
    if !is_first {
        if is_unindexed {
            index_as_shipped(transaction, types)?;
        }
        return Ok(false);
    }
    create_partner(transaction, &PartnerName::default_partner())?;
    for environment in Environment::ALL {
        put_event_types(transaction, environment, types)?;
    }
    Ok(true)
}

/// Notes that something was done that is done once.
fn is_done_for_the_first_time(transaction: &mut Tx<'_>, name: &str) -> Result<bool, StoreError> {
    let done = diesel::insert_into(meta::table)
        .values((meta::name.eq(name), meta::value.eq(transaction.now.to_string().into_bytes())))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(done > 0)
}

/// Has the types of a store that was made before there were indexed fields indexed by
/// what they are shipped with, as far as nobody has edited them.
fn index_as_shipped(transaction: &mut Tx<'_>, types: &[TypeDefinition]) -> Result<(), StoreError> {
    for environment in Environment::ALL {
        for definition in types {
            diesel::update(event_types::table.find((environment_number(environment), definition.name.as_str())))
                .filter(event_types::indexed.is_null())
                .filter(event_types::description.eq(&definition.description))
                .filter(event_types::schema.eq(to_json(&definition.schema)))
                .filter(event_types::example.eq(to_json(&definition.example)))
                .set(event_types::indexed.eq(indexed_text(definition)))
                .execute(transaction.connection)
                .map_err(translate)?;
        }
        count_change(transaction, versions_read::catalog(environment))?;
    }
    Ok(())
}

/// What a type is indexed by, as its row has it.
fn indexed_text(definition: &TypeDefinition) -> Option<String> {
    let pointers: Vec<&str> = definition.indexed.iter().map(FieldPointer::as_str).collect();
    (!pointers.is_empty()).then(|| to_json(&pointers))
}

pub(super) fn put_event_types(
    transaction: &mut Tx<'_>,
    environment: Environment,
    types: &[TypeDefinition],
) -> Result<usize, StoreError> {
    let mut changed = 0;
    for definition in types {
        let put = diesel::insert_into(event_types::table)
            .values((
                event_types::environment.eq(environment_number(environment)),
                event_types::name.eq(definition.name.as_str()),
                event_types::description.eq(&definition.description),
                event_types::schema.eq(to_json(&definition.schema)),
                event_types::example.eq(to_json(&definition.example)),
                event_types::retry.eq(definition.retry.as_ref().map(|policy| to_json(&RetryRow::from(policy)))),
                event_types::indexed.eq(indexed_text(definition)),
            ))
            .on_conflict((event_types::environment, event_types::name))
            .do_update()
            .set((
                event_types::description.eq(excluded(event_types::description)),
                event_types::schema.eq(excluded(event_types::schema)),
                event_types::example.eq(excluded(event_types::example)),
                event_types::retry.eq(excluded(event_types::retry)),
                event_types::indexed.eq(excluded(event_types::indexed)),
            ));
        changed += FilterDsl::filter(put, sql::<Bool>(IS_OTHER)).execute(transaction.connection).map_err(translate)?;
    }
    count_change(transaction, versions_read::catalog(environment))?;
    Ok(changed)
}

/// Whether a definition that is put is not the one that is there.
const IS_OTHER: &str = "event_types.description <> excluded.description OR event_types.schema <> excluded.schema \
                        OR event_types.example <> excluded.example \
                        OR COALESCE(event_types.retry, '') <> COALESCE(excluded.retry, '') \
                        OR COALESCE(event_types.indexed, '') <> COALESCE(excluded.indexed, '')";

/// Says that something has changed to whoever keeps it in memory.
pub(super) fn count_change(transaction: &mut Tx<'_>, subject: &str) -> Result<(), StoreError> {
    diesel::update(versions::table.find(subject))
        .set(versions::version.eq(versions::version + 1))
        .execute(transaction.connection)
        .map_err(translate)?;
    transaction.forget_versions();
    Ok(())
}

pub(super) fn delete_event_type(
    transaction: &mut Tx<'_>,
    environment: Environment,
    name: &EventType,
) -> Result<bool, StoreError> {
    let gone = diesel::delete(event_types::table.find((environment_number(environment), name.as_str())))
        .execute(transaction.connection)
        .map_err(translate)?;
    count_change(transaction, versions_read::catalog(environment))?;
    Ok(gone > 0)
}

pub(super) fn create_partner(transaction: &mut Tx<'_>, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
    let made = diesel::insert_into(partners::table)
        .values((partners::name.eq(name.as_str()), partners::created_at.eq(transaction.now.as_millis())))
        .on_conflict_do_nothing()
        .execute(transaction.connection)
        .map_err(translate)?;
    if made == 0 {
        return Ok(None);
    }
    for environment in Environment::ALL {
        let scope = Scope::of(environment, name.clone());
        let id = reads::scope_id(transaction.connection, &scope)?
            .ok_or_else(|| StoreError::Corrupt("a partner just written is not there".into()))?;
        let version = transaction.scope_version(ScopeId(environment_number(environment)))?;
        diesel::insert_into(scopes::table)
            .values((scopes::id.eq(id.0), scopes::version.eq(version)))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(Some(Partner { name: name.clone(), created_at: transaction.now, erasing_since: None }))
}

pub(super) fn create_key(transaction: &mut Tx<'_>, new: &NewKey) -> Result<KeyRecord, StoreError> {
    let key = transaction.take_keys(1)?;
    let partner = match &new.partner {
        Some(name) => Some(
            reads::partner_number(transaction.connection, name)?
                .ok_or_else(|| StoreError::Constraint(format!("there is no partner {name}")))?,
        ),
        None => None,
    };
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key),
            api_keys::hash.eq(new.hash.as_slice()),
            api_keys::prefix.eq(&new.prefix),
            api_keys::role.eq(new.role.as_str()),
            api_keys::environment.eq(new.environment.map(environment_number)),
            api_keys::partner.eq(partner),
            api_keys::description.eq(new.description.as_deref()),
            api_keys::expires_at.eq(new.expires_at.map(Timestamp::as_millis)),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(KeyRecord {
        id: transaction.ids.api_key(key),
        prefix: new.prefix.clone(),
        role: new.role,
        environment: new.environment,
        partner: new.partner.clone(),
        description: new.description.clone(),
        created_at: time_of_key(key),
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
        link: None,
    })
}

pub(super) fn revoke_key(transaction: &mut Tx<'_>, key: KeyId) -> Result<bool, StoreError> {
    let Some(key) = transaction.ids.api_key_key(key) else { return Ok(false) };
    let revoked = diesel::update(api_keys::table.find(key))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(transaction.now.as_millis()))
        .execute(transaction.connection)
        .map_err(translate)?;
    count_change(transaction, versions_read::KEYS)?;
    Ok(revoked > 0)
}

/// In the order of their rows: two nodes that note the same keys do not wait for each
/// other in a circle.
pub(super) fn note_key_uses(transaction: &mut Tx<'_>, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
    let mut rows: Vec<(i64, i64)> =
        uses.iter().filter_map(|(id, at)| Some((transaction.ids.api_key_key(*id)?, at.as_millis()))).collect();
    rows.sort_unstable();
    // Another node notes those that it has in hand as well, or revokes them.
    let free = transaction.lock_keys(&rows.iter().map(|(key, _)| *key).collect::<Vec<_>>())?;
    for (key, at) in rows.into_iter().filter(|(key, _)| free.contains(key)) {
        diesel::update(api_keys::table.find(key))
            .filter(api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(at)))
            .set(api_keys::last_used_at.eq(at))
            .execute(transaction.connection)
            .map_err(translate)?;
    }
    Ok(())
}
