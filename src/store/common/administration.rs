//! What operators administer: catalogs, partners, keys.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::reads::{partner_number, scope_of};
use super::{Connection, translate};
use crate::catalog::TypeDefinition;
use crate::domain::{Environment, FieldPointer, KeyId, Partner, PartnerName, Role, Timestamp};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::rows::{RetryRow, environment_number, environment_of, from_json, parsed};
use crate::store::schema::{api_keys, event_types, partners};
use crate::store::{KeyRecord, Page, PageRequest, PortalLink, ScopeId, StoreError};

type EventTypeRow = (String, String, String, String, Option<String>, Option<String>);

fn pointers_of(indexed: Option<&str>) -> Result<Vec<FieldPointer>, StoreError> {
    let texts: Vec<String> = indexed.map(from_json).transpose()?.unwrap_or_default();
    texts.iter().map(|text| parsed(text)).collect()
}

pub(super) fn event_types_of(
    connection: &mut Connection,
    environment: Environment,
) -> Result<Vec<TypeDefinition>, StoreError> {
    let rows: Vec<EventTypeRow> = event_types::table
        .filter(event_types::environment.eq(environment_number(environment)))
        .order(event_types::name)
        .select((
            event_types::name,
            event_types::description,
            event_types::schema,
            event_types::example,
            event_types::retry,
            event_types::indexed,
        ))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter()
        .map(|(name, description, schema, example, retry, indexed)| {
            Ok(TypeDefinition {
                name: parsed(&name)?,
                description,
                schema: from_json(&schema)?,
                example: from_json(&example)?,
                retry: retry.as_deref().map(from_json).transpose()?.map(RetryRow::policy),
                indexed: pointers_of(indexed.as_deref())?,
            })
        })
        .collect()
}

pub(super) fn partner(connection: &mut Connection, name: &PartnerName) -> Result<Option<Partner>, StoreError> {
    let row: Option<(i64, Option<i64>)> = partners::table
        .filter(partners::name.eq(name.as_str()))
        .select((partners::created_at, partners::erasing_since))
        .first(connection)
        .optional()
        .map_err(translate)?;
    Ok(row.map(|row| partner_of(name.clone(), row)))
}

fn partner_of(name: PartnerName, (created_at, erasing_since): (i64, Option<i64>)) -> Partner {
    let erasing_since = erasing_since.map(Timestamp::from_millis);
    Partner { name, created_at: Timestamp::from_millis(created_at), erasing_since }
}

pub(super) fn partners(
    connection: &mut Connection,
    page: &PageRequest<PartnerName>,
) -> Result<Page<Partner>, StoreError> {
    let before = match &page.after {
        Some(name) => {
            let row = partners::table.filter(partners::name.eq(name.as_str())).select(partners::id);
            row.get_result(connection).optional().map_err(translate)?.unwrap_or(0)
        }
        None => i64::MAX,
    };
    let rows: Vec<(String, (i64, Option<i64>))> = partners::table
        .filter(partners::id.lt(before))
        .order(partners::id.desc())
        .limit(page.limit as i64 + 1)
        .select((partners::name, (partners::created_at, partners::erasing_since)))
        .load(connection)
        .map_err(translate)?;
    Page::from_overread(rows, page.limit).try_map(|(name, row)| Ok(partner_of(parsed(&name)?, row)))
}

type KeyRow = (
    i64,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

const KEY_COLUMNS: (
    api_keys::id,
    api_keys::prefix,
    api_keys::role,
    api_keys::environment,
    api_keys::partner,
    api_keys::description,
    api_keys::expires_at,
    api_keys::revoked_at,
    api_keys::last_used_at,
    api_keys::portal_link,
    api_keys::spent_at,
) = (
    api_keys::id,
    api_keys::prefix,
    api_keys::role,
    api_keys::environment,
    api_keys::partner,
    api_keys::description,
    api_keys::expires_at,
    api_keys::revoked_at,
    api_keys::last_used_at,
    api_keys::portal_link,
    api_keys::spent_at,
);

fn key_of(connection: &mut Connection, ids: &IdCodec, row: KeyRow) -> Result<KeyRecord, StoreError> {
    let (key, prefix, role, environment, partner, description, expires_at, revoked_at, last_used_at, link, spent_at) =
        row;
    let partner = match partner {
        Some(number) => scope_of(connection, ScopeId(number * 2))?.partner,
        None => None,
    };
    Ok(KeyRecord {
        id: ids.api_key(key),
        prefix,
        role: parsed::<Role>(&role)?,
        environment: environment.map(environment_of).transpose()?,
        partner,
        description,
        created_at: time_of_key(key),
        expires_at: expires_at.map(Timestamp::from_millis),
        revoked_at: revoked_at.map(Timestamp::from_millis),
        last_used_at: last_used_at.map(Timestamp::from_millis),
        link: link.map(|uses| PortalLink { single_use: uses == 1, spent_at: spent_at.map(Timestamp::from_millis) }),
    })
}

pub(super) fn key_by_hash(
    connection: &mut Connection,
    ids: &IdCodec,
    hash: &[u8; 32],
) -> Result<Option<KeyRecord>, StoreError> {
    let row: Option<KeyRow> = api_keys::table
        .filter(api_keys::hash.eq(hash.as_slice()))
        .select(KEY_COLUMNS)
        .first(connection)
        .optional()
        .map_err(translate)?;
    row.map(|row| key_of(connection, ids, row)).transpose()
}

pub(super) fn keys(
    connection: &mut Connection,
    ids: &IdCodec,
    page: &PageRequest<KeyId>,
) -> Result<Page<KeyRecord>, StoreError> {
    let before = page.after.map_or(RowKey::MAX, |after| ids.api_key_key(after).unwrap_or(0));
    let rows: Vec<KeyRow> = api_keys::table
        .filter(api_keys::portal_link.is_null())
        .filter(api_keys::id.lt(before))
        .order(api_keys::id.desc())
        .limit(page.limit as i64 + 1)
        .select(KEY_COLUMNS)
        .load(connection)
        .map_err(translate)?;
    Page::from_overread(rows, page.limit).try_map(|row| key_of(connection, ids, row))
}

pub(super) fn portal_links(
    connection: &mut Connection,
    ids: &IdCodec,
    partner: &PartnerName,
    page: &PageRequest<KeyId>,
) -> Result<Page<KeyRecord>, StoreError> {
    let Some(number) = partner_number(connection, partner)? else {
        return Ok(Page::empty());
    };
    let before = page.after.map_or(RowKey::MAX, |after| ids.api_key_key(after).unwrap_or(0));
    let rows: Vec<KeyRow> = api_keys::table
        .filter(api_keys::partner.eq(number))
        .filter(api_keys::portal_link.is_not_null())
        .filter(api_keys::id.lt(before))
        .order(api_keys::id.desc())
        .limit(page.limit as i64 + 1)
        .select(KEY_COLUMNS)
        .load(connection)
        .map_err(translate)?;
    Page::from_overread(rows, page.limit).try_map(|row| key_of(connection, ids, row))
}

pub(super) fn key(connection: &mut Connection, ids: &IdCodec, key: RowKey) -> Result<Option<KeyRecord>, StoreError> {
    let row: Option<KeyRow> =
        api_keys::table.find(key).select(KEY_COLUMNS).first(connection).optional().map_err(translate)?;
    row.map(|row| key_of(connection, ids, row)).transpose()
}
