//! How often what is kept in memory has changed, and which endpoints did.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{Connection, brakes, translate};
use crate::domain::{EndpointId, Environment};
use crate::store::ids::IdCodec;
use crate::store::rows::environment_number;
use crate::store::schema::{endpoints, scopes, versions};
use crate::store::{Changes, StoreError, Versions};

/// What the versions in the table are of.
pub(super) const KEYS: &str = "keys";

/// The same for an environment's catalog.
pub(super) fn catalog(environment: Environment) -> &'static str {
    match environment {
        Environment::Sandbox => "catalog sandbox",
        Environment::Production => "catalog production",
    }
}

pub(super) fn versions(connection: &mut Connection) -> Result<Versions, StoreError> {
    let rows: Vec<(String, i64)> =
        versions::table.select((versions::subject, versions::version)).load(connection).map_err(translate)?;
    let of = |subject: &str| rows.iter().find(|(known, _)| known == subject).map_or(0, |(_, version)| *version);
    let clocks: Vec<(i64, i64)> = scopes::table
        .filter(scopes::id.le(1))
        .select((scopes::id, scopes::version))
        .load(connection)
        .map_err(translate)?;
    let clock = |environment| {
        let number = environment_number(environment);
        clocks.iter().find(|(known, _)| *known == number).map_or(0, |(_, version)| *version)
    };
    Ok(Versions {
        keys: of(KEYS),
        catalogs: Environment::ALL.map(|environment| of(catalog(environment))),
        endpoints: Environment::ALL.map(clock),
    })
}

/// Most endpoints of an environment that are named: whoever hears of more looks
/// at all of them.
const MOST_NAMED: i64 = 1_000;

/// To be read at once: an endpoint that changed behind the versions that are
/// answered would not be found by the next look.
pub(super) fn changes(connection: &mut Connection, ids: &IdCodec, since: &Versions) -> Result<Changes, StoreError> {
    let now = versions(connection)?;
    let mut changed: Vec<EndpointId> = Vec::new();
    let mut are_too_many = false;
    for (index, environment) in Environment::ALL.into_iter().enumerate() {
        if now.endpoints[index] == since.endpoints[index] {
            continue;
        }
        let found: Vec<i64> = endpoints::table
            .filter(endpoints::changed_version.gt(since.endpoints[index]))
            .filter(sql::<Bool>("endpoints.scope & 1 = ").bind::<BigInt, _>(environment_number(environment)))
            .select(endpoints::id)
            .limit(MOST_NAMED + 1)
            .load(connection)
            .map_err(translate)?;
        are_too_many |= found.len() as i64 > MOST_NAMED;
        changed.extend(found.into_iter().map(|key| ids.endpoint(key)));
    }
    // Whoever sets a brake moves a clock on.
    let brakes = if now.endpoints == since.endpoints { None } else { Some(brakes::in_force(connection)?) };
    Ok(Changes { versions: now, endpoints: changed, are_too_many, brakes })
}
