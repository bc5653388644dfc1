//! Which keys the store's values are sealed with: the notes that a start is checked
//! against, and the walk over every value.
//!
//! A key is noted before anything is sealed with it, with a check value that only this
//! very key opens, and its note stays as long as there may be such a value: a node that
//! lacks the key, or has another one of its name, is turned away at its start.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::{Connection, POSITION_OF, translate};
use crate::keyring::{self, Keyring, RingKeyId};
use crate::store::encryption::{EncryptedPart, EncryptedPlace, not_to_be_had};
use crate::store::rows::{SettingsRow, from_json};
use crate::store::schema::{endpoint_secrets, endpoint_versions, endpoints, meta};
use crate::store::{EncryptionCounts, ScopeId, StoreError};

/// How the notes are called: this, and the key's id.
const NOTE: &str = "encryption key ";

/// The name of a key's note.
pub(super) fn note_of(key: &RingKeyId) -> String {
    format!("{NOTE}{key}")
}

fn notes(connection: &mut Connection) -> Result<Vec<(RingKeyId, String)>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> =
        meta::table.select((meta::name, meta::value)).order(meta::name).load(connection).map_err(translate)?;
    let mut found = Vec::new();
    for (name, value) in rows {
        let Some(id) = name.strip_prefix(NOTE) else { continue };
        let unreadable = || StoreError::Corrupt(format!("the note of an encryption key: `{name}`"));
        let id: RingKeyId = id.parse().map_err(|_| unreadable())?;
        found.push((id, String::from_utf8(value).map_err(|_| unreadable())?));
    }
    Ok(found)
}

/// The keys that values may be sealed with.
pub(super) fn noted(connection: &mut Connection) -> Result<Vec<RingKeyId>, StoreError> {
    Ok(notes(connection)?.into_iter().map(|(id, _)| id).collect())
}

/// Turns a ring away that cannot open what is or may be sealed here, and notes the key
/// that it seals with.
pub(super) fn settle(connection: &mut Connection, keyring: &Keyring) -> Result<(), StoreError> {
    for (id, check_value) in notes(connection)? {
        check(keyring, &id, &check_value)?;
    }
    let Some((id, _)) = note(connection, keyring)? else { return Ok(()) };
    // Another node may have come first, with another key of this name.
    let stored: Option<Vec<u8>> =
        meta::table.find(note_of(&id)).select(meta::value).first(connection).optional().map_err(translate)?;
    match stored.map(String::from_utf8) {
        Some(Ok(check_value)) => check(keyring, &id, &check_value),
        Some(Err(_)) => Err(StoreError::Corrupt(format!("the note of encryption key `{id}`"))),
        // A re-encryption elsewhere has found nothing that it seals. It is noted again
        // when it does.
        None => Ok(()),
    }
}

/// Notes the key that seals, if any does and it is not noted yet.
pub(super) fn note(connection: &mut Connection, keyring: &Keyring) -> Result<Option<(RingKeyId, String)>, StoreError> {
    let Some((id, check_value)) = keyring.check_value().map_err(not_to_be_had)? else { return Ok(None) };
    diesel::insert_into(meta::table)
        .values((meta::name.eq(note_of(id)), meta::value.eq(check_value.as_bytes())))
        .on_conflict_do_nothing()
        .execute(connection)
        .map_err(translate)?;
    Ok(Some((id.clone(), check_value)))
}

fn check(keyring: &Keyring, id: &RingKeyId, check_value: &str) -> Result<(), StoreError> {
    if !keyring.has(id) {
        return Err(StoreError::Configuration(format!(
            "values in the store are sealed with key `{id}`, and the key ring has no such key: add it to \
             `encryption_keys` or to the key file, behind the first one if it is to be replaced; it can be taken out \
             when a re-encryption has said so"
        )));
    }
    match keyring.is_the_key_of(check_value).map_err(not_to_be_had)? {
        true => Ok(()),
        false => Err(StoreError::Configuration(format!(
            "the key ring's key `{id}` is not the one that values in the store are sealed with: bring that one back \
             under this id, and give the new one an id of its own"
        ))),
    }
}

/// A row with values that are sealed, or should be.
pub(super) struct EncryptedRow {
    pub(super) place: EncryptedPlace,
    pub(super) scope: ScopeId,
    /// The settings as JSON, or a secret.
    pub(super) text: String,
}

type Found = (i64, i64, i64, String);

/// The next rows of the walk, deleted endpoints' too; only those that may have values
/// sealed with a key, where one is named. The walk is over when there are fewer than
/// `limit`.
pub(super) fn rows(
    connection: &mut Connection,
    after: Option<EncryptedPlace>,
    only: Option<&RingKeyId>,
    limit: usize,
) -> Result<Vec<EncryptedRow>, StoreError> {
    let beginning = only.map(keyring::beginning);
    let after = after.unwrap_or(EncryptedPlace { part: EncryptedPart::Settings, endpoint: 0, number: 0 });
    let mut found = Vec::new();
    let mut take = |part: EncryptedPart, rows: Vec<Found>| {
        found.extend(rows.into_iter().map(|(endpoint, number, scope, text)| EncryptedRow {
            place: EncryptedPlace { part, endpoint, number },
            scope: ScopeId(scope),
            text,
        }));
        found.len()
    };
    let (mut left, mut behind) = (limit, after);
    if after.part == EncryptedPart::Settings {
        let rows = settings(connection, after, beginning.as_deref(), left)?;
        left -= take(EncryptedPart::Settings, rows);
        behind = EncryptedPlace { part: EncryptedPart::Secrets, endpoint: 0, number: 0 };
    }
    if left > 0 {
        take(EncryptedPart::Secrets, secrets(connection, behind, beginning.as_deref(), left)?);
    }
    Ok(found)
}

fn settings(
    connection: &mut Connection,
    after: EncryptedPlace,
    beginning: Option<&str>,
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    let mut query = endpoint_versions::table
        .inner_join(endpoints::table.on(endpoints::id.eq(endpoint_versions::endpoint)))
        .filter(
            sql::<Bool>("(endpoint_versions.endpoint, endpoint_versions.version) > (")
                .bind::<BigInt, _>(after.endpoint)
                .sql(", ")
                .bind::<BigInt, _>(after.number)
                .sql(")"),
        )
        .order((endpoint_versions::endpoint, endpoint_versions::version))
        .limit(limit as i64)
        .select((
            endpoint_versions::endpoint,
            endpoint_versions::version,
            endpoints::scope,
            endpoint_versions::settings,
        ))
        .into_boxed();
    if let Some(beginning) = beginning {
        query = query.filter(
            sql::<Bool>(&format!("{POSITION_OF}(endpoint_versions.settings, "))
                .bind::<Text, _>(beginning.to_owned())
                .sql(") > 0"),
        );
    }
    query.load(connection).map_err(translate)
}

fn secrets(
    connection: &mut Connection,
    after: EncryptedPlace,
    beginning: Option<&str>,
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    let mut query = endpoint_secrets::table
        .inner_join(endpoints::table.on(endpoints::id.eq(endpoint_secrets::endpoint)))
        .filter(
            sql::<Bool>("(endpoint_secrets.endpoint, endpoint_secrets.number) > (")
                .bind::<BigInt, _>(after.endpoint)
                .sql(", ")
                .bind::<BigInt, _>(after.number)
                .sql(")"),
        )
        .order((endpoint_secrets::endpoint, endpoint_secrets::number))
        .limit(limit as i64)
        .select((endpoint_secrets::endpoint, endpoint_secrets::number, endpoints::scope, endpoint_secrets::secret))
        .into_boxed();
    if let Some(beginning) = beginning {
        query = query.filter(
            sql::<Bool>(&format!("{POSITION_OF}(endpoint_secrets.secret, "))
                .bind::<Text, _>(beginning.to_owned())
                .sql(") > 0"),
        );
    }
    query.load(connection).map_err(translate)
}

/// With which key each value of a row is sealed.
fn keys_of(row: &EncryptedRow) -> Result<Vec<Option<RingKeyId>>, StoreError> {
    match row.place.part {
        EncryptedPart::Settings => from_json::<SettingsRow>(&row.text)?.sealed_with(),
        EncryptedPart::Secrets => Ok(vec![keyring::sealed_with(&row.text).map_err(not_to_be_had)?]),
    }
}

/// Counts the values of up to `limit` rows of the walk, and says where to go on.
pub(super) fn counts(
    connection: &mut Connection,
    after: Option<EncryptedPlace>,
    limit: usize,
) -> Result<(EncryptionCounts, Option<EncryptedPlace>), StoreError> {
    let rows = rows(connection, after, None, limit)?;
    let mut counts = EncryptionCounts::default();
    for row in &rows {
        keys_of(row)?.into_iter().for_each(|key| counts.count(key));
    }
    Ok((counts, rows.last().filter(|_| rows.len() == limit).map(|row| row.place)))
}

/// Rows looked at together for a key that may not be used any more.
const LOOKED_AT: usize = 500;

/// Whether any value is sealed with this key.
pub(super) fn is_used(connection: &mut Connection, key: &RingKeyId) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        // A partner can write what looks like a sealed value into a description.
        let rows = rows(connection, after, Some(key), LOOKED_AT)?;
        for row in &rows {
            if keys_of(row)?.iter().any(|sealed_with| sealed_with.as_ref() == Some(key)) {
                return Ok(true);
            }
        }
        match rows.last().filter(|_| rows.len() == LOOKED_AT) {
            Some(last) => after = Some(last.place),
            None => return Ok(false),
        }
    }
}
