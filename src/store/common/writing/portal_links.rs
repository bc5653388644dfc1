//! Links to the partner portal: made, opened, and forgotten long after their end. They are
//! keys that nobody sends.
//!
//! Compiled once for each backend, against its own `Tx`.

use diesel::prelude::*;

use super::super::{administration, reads, translate};
use crate::domain::Role;
use crate::store::ids::time_of_key;
use crate::store::rows::environment_number;
use crate::store::schema::api_keys;
use crate::store::{KeyRecord, LINKS_KEPT, NewPortalLink, PortalLink, StoreError};

use super::Tx;

/// Links that are looked at whenever one is made, whether they are to be forgotten.
const LINKS_AT_ONCE: i64 = 10;

pub(super) fn create(transaction: &mut Tx<'_>, new: &NewPortalLink) -> Result<KeyRecord, StoreError> {
    let key = transaction.take_keys(1)?;
    let partner = reads::partner_number(transaction.connection, &new.partner)?
        .ok_or_else(|| StoreError::Constraint(format!("there is no partner {}", new.partner)))?;
    forget_old(transaction, partner)?;
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key),
            api_keys::hash.eq(new.hash.as_slice()),
            api_keys::prefix.eq(&new.prefix),
            api_keys::role.eq(Role::Partner.as_str()),
            api_keys::environment.eq(environment_number(new.environment)),
            api_keys::partner.eq(partner),
            api_keys::description.eq(new.description.as_deref()),
            api_keys::expires_at.eq(new.expires_at.as_millis()),
            api_keys::portal_link.eq(i64::from(new.single_use)),
        ))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(KeyRecord {
        id: transaction.ids.api_key(key),
        prefix: new.prefix.clone(),
        role: Role::Partner,
        environment: Some(new.environment),
        partner: Some(new.partner.clone()),
        description: new.description.clone(),
        created_at: time_of_key(key),
        expires_at: Some(new.expires_at),
        revoked_at: None,
        last_used_at: None,
        link: Some(PortalLink { single_use: new.single_use, spent_at: None }),
    })
}

/// A partner may be given a link whenever it looks at its portal: of those that ended
/// long ago more go with each than come.
fn forget_old(transaction: &mut Tx<'_>, partner: i64) -> Result<(), StoreError> {
    let oldest: Vec<i64> = api_keys::table
        .filter(api_keys::partner.eq(partner))
        .filter(api_keys::portal_link.is_not_null())
        .order(api_keys::id)
        .limit(LINKS_AT_ONCE)
        .select(api_keys::id)
        .load(transaction.connection)
        .map_err(translate)?;
    let long_ago = (transaction.now - LINKS_KEPT).as_millis();
    let free = transaction.lock_keys(&oldest)?;
    diesel::delete(api_keys::table.filter(api_keys::id.eq_any(free)).filter(api_keys::expires_at.lt(long_ago)))
        .execute(transaction.connection)
        .map_err(translate)?;
    Ok(())
}

/// One statement: of two who come at once, the second finds it spent.
pub(super) fn spend(transaction: &mut Tx<'_>, hash: &[u8; 32]) -> Result<Option<KeyRecord>, StoreError> {
    let now = transaction.now.as_millis();
    let spent = diesel::update(api_keys::table)
        .filter(api_keys::hash.eq(hash.as_slice()))
        .filter(api_keys::portal_link.eq(0_i64).or(api_keys::portal_link.eq(1_i64).and(api_keys::spent_at.is_null())))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.gt(now))
        .set(api_keys::spent_at.eq(now))
        .execute(transaction.connection)
        .map_err(translate)?;
    if spent == 0 {
        return Ok(None);
    }
    administration::key_by_hash(transaction.connection, transaction.ids, hash)
}
