//! What is known of partners and endpoints. The lists that people look at are in
//! `views`, an endpoint's work in `work`.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use super::brakes::BRAKED_AT;
use super::{Connection, interests, translate};
use crate::catalog::Filter;
use crate::domain::{DisabledReason, Endpoint, EndpointId, EventOrder, OpenBreaker, PartnerName, Timestamp, Trouble};
use crate::keyring::{Keyring, Purpose};
use crate::store::encryption::Sealer;
use crate::store::filters::{self, FilterWord};
use crate::store::ids::{IdCodec, RowKey, time_of_key};
use crate::store::rows::{SettingsRow, count_of, environment_number, environment_of, from_json, parsed};
use crate::store::schema::{
    deliveries, endpoint_health, endpoint_orders, endpoint_secrets, endpoint_versions, endpoints, partners, scopes,
};
use crate::store::{
    Audience, EndpointRuntime, Page, PageRequest, Scope, ScopeId, StoreError, StoredSecret, Subscriptions,
};

/// Whether a delivery is there for anybody yet: not before the whole of what
/// it was accepted with is.
pub(super) const IS_SEALED: &str =
    "NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key)";

/// The number of a partner that is not being erased: one that is, is nobody.
pub(super) fn partner_number(connection: &mut Connection, name: &PartnerName) -> Result<Option<i64>, StoreError> {
    partners::table
        .filter(partners::name.eq(name.as_str()))
        .filter(partners::erasing_since.is_null())
        .select(partners::id)
        .get_result(connection)
        .optional()
        .map_err(translate)
}

/// The number of a scope; `None` when there is no such partner.
pub(super) fn scope_id(connection: &mut Connection, scope: &Scope) -> Result<Option<ScopeId>, StoreError> {
    let environment = environment_number(scope.environment);
    match &scope.partner {
        None => Ok(Some(ScopeId(environment))),
        Some(name) => Ok(partner_number(connection, name)?.map(|partner| ScopeId(partner * 2 + environment))),
    }
}

/// The partner a scope is of, with its environment.
pub(super) fn scope_of(connection: &mut Connection, id: ScopeId) -> Result<Scope, StoreError> {
    let environment = environment_of(id.0 % 2)?;
    let partner = match id.0 / 2 {
        0 => None,
        number => {
            let name: String =
                partners::table.find(number).select(partners::name).first(connection).map_err(translate)?;
            Some(parsed(&name)?)
        }
    };
    Ok(Scope { environment, partner })
}

/// To be read at once: a version is only worth something with the endpoints
/// that belong to it.
pub(super) fn subscriptions(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
) -> Result<Option<Subscriptions>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(None) };
    let version = scope_version(connection, id)?;
    version.map(|version| subscriptions_of(connection, ids, id, version)).transpose()
}

/// The version of a scope; `None` where its partner is erased, or is being.
pub(super) fn scope_version(connection: &mut Connection, id: ScopeId) -> Result<Option<i64>, StoreError> {
    // In every commit, and `first` would have its LIMIT planned anew each time.
    scopes::table.find(id.0).select(scopes::version).get_result(connection).optional().map_err(translate)
}

/// The endpoints of a scope as this connection sees them. One index has all
/// of it but the few lists of patterns, in the order of those.
pub(super) fn subscriptions_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: ScopeId,
    version: i64,
) -> Result<Subscriptions, StoreError> {
    let live = endpoints::table.filter(endpoints::deleted_at.is_null()).select((endpoints::interest, endpoints::id));
    let mut interested: BTreeMap<i64, Vec<EndpointId>> = BTreeMap::new();
    let mut take = |row: QueryResult<(i64, RowKey)>| -> Result<(), StoreError> {
        let (interest, key) = row.map_err(translate)?;
        interested.entry(interest).or_default().push(ids.endpoint(key));
        Ok(())
    };
    if scope.0 > 1 {
        let of_partner = live.filter(endpoints::scope.eq(scope.0)).order((endpoints::interest, endpoints::id));
        of_partner.load_iter::<_, DefaultLoadingMode>(connection).map_err(translate)?.try_for_each(&mut take)?;
    } else {
        let scopes_of_environment =
            scopes::table.filter(sql::<Bool>("scopes.id & 1 = ").bind::<BigInt, _>(scope.0)).select(scopes::id);
        let of_all = live.filter(endpoints::scope.eq_any(scopes_of_environment));
        of_all.load_iter::<_, DefaultLoadingMode>(connection).map_err(translate)?.try_for_each(&mut take)?;
    }
    let mut audiences = Vec::with_capacity(interested.len());
    for (interest, endpoints) in interested {
        let interest = interests::interest(connection, interest)?;
        let filter = match interest.filter {
            Some(word) => filter_of(connection, ids, &word, &endpoints)?,
            None => None,
        };
        audiences.push(Audience::new(interest.patterns, endpoints).filtered_by(filter));
    }
    Ok(Subscriptions::new(scope, version, audiences))
}

/// The endpoints that hear of these scopes' troubles, as this connection sees them: for
/// each scope those of its own and those of all partners. The versions are of the
/// environments' clocks.
pub(super) fn listeners_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scopes: &[ScopeId],
    versions: &HashMap<ScopeId, i64>,
) -> Result<HashMap<ScopeId, Subscriptions>, StoreError> {
    let asked = scopes.iter().chain(versions.keys()).map(|scope| scope.0);
    let rows: Vec<(i64, i64, RowKey)> = endpoints::table
        .filter(endpoints::scope.eq_any(asked))
        .filter(sql::<Bool>("endpoints.listens"))
        .filter(endpoints::deleted_at.is_null())
        .select((endpoints::scope, endpoints::interest, endpoints::id))
        .load(connection)
        .map_err(translate)?;
    let mut interested: BTreeMap<(i64, i64), Vec<EndpointId>> = BTreeMap::new();
    for (scope, interest, key) in rows {
        interested.entry((scope, interest)).or_default().push(ids.endpoint(key));
    }
    let numbers = interested.keys().map(|(_, number)| *number).collect();
    let interests = interests::interests(connection, &numbers)?;
    let mut audiences: HashMap<i64, Vec<Audience>> = HashMap::new();
    for ((scope, number), endpoints) in interested {
        let Some(interest) = interests.get(&number) else { continue };
        let filter = match &interest.filter {
            Some(word) => filter_of(connection, ids, word, &endpoints)?,
            None => None,
        };
        let audience = Audience::new(interest.patterns.clone(), endpoints).filtered_by(filter);
        audiences.entry(scope).or_default().push(audience);
    }
    let of = |scope: ScopeId| audiences.get(&scope.0).into_iter().flatten().cloned();
    let mut found = HashMap::with_capacity(scopes.len());
    for scope in scopes {
        let version = versions.get(&scope.environment()).copied();
        let version = version.ok_or_else(|| StoreError::Corrupt(format!("no version of {scope:?}")))?;
        let audiences = of(*scope).chain(of(scope.environment())).collect();
        found.insert(*scope, Subscriptions::new(*scope, version, audiences));
    }
    Ok(found)
}

/// The filter that goes by this word, from the settings of one of the endpoints
/// that have it. `None` where there is none that can be used.
fn filter_of(
    connection: &mut Connection,
    ids: &IdCodec,
    word: &FilterWord,
    endpoints: &[EndpointId],
) -> Result<Option<Arc<Filter>>, StoreError> {
    if let Some(known) = filters::known(word) {
        return Ok(Some(known));
    }
    let Some(key) = endpoints.first().and_then(|endpoint| ids.endpoint_key(*endpoint)) else { return Ok(None) };
    let settings: String =
        endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::id.eq(key))
            .select(endpoint_versions::settings)
            .first(connection)
            .map_err(translate)?;
    match from_json::<SettingsRow>(&settings).and_then(SettingsRow::wanted) {
        Ok((_, filter)) => Ok(filter.and_then(|filter| filters::compiled(&filter))),
        Err(error) => {
            log::error!(
                "the settings of {:?} cannot be read, and nothing is filtered by them: {error}",
                endpoints.first()
            );
            Ok(None)
        }
    }
}

/// To be read at once: a deleted endpoint has no secrets, and nothing may be
/// sent unsigned.
pub(super) fn endpoint_runtime(
    connection: &mut Connection,
    keyring: &Keyring,
    key: RowKey,
    now: Timestamp,
) -> Result<Option<EndpointRuntime>, StoreError> {
    let found: Option<(i64, i64, bool, i64, i64, String)> =
        endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::id.eq(key))
            .filter(endpoints::deleted_at.is_null())
            .select((
                endpoints::scope,
                endpoints::version,
                endpoints::enabled,
                endpoints::discards,
                sql::<BigInt>("endpoints.hurries"),
                endpoint_versions::settings,
            ))
            .first(connection)
            .optional()
            .map_err(translate)?;
    let Some((scope, version, enabled, discards, hurries, settings)) = found else { return Ok(None) };
    let sealer = Sealer::new(keyring, ScopeId(scope), key);
    let settings = from_json::<SettingsRow>(&settings)?.opened(&sealer)?.settings()?;
    Ok(Some(EndpointRuntime {
        scope: ScopeId(scope),
        version: count_of(version)?,
        is_holding: !enabled,
        secrets: secrets(connection, keyring, key, now)?,
        trouble: trouble(connection, key)?,
        is_in_order: is_in_order(connection, key, settings.order.as_ref())?,
        settings,
        discards,
        hurries,
    }))
}

/// Whether what an endpoint has is in this order.
fn is_in_order(connection: &mut Connection, endpoint: RowKey, order: Option<&EventOrder>) -> Result<bool, StoreError> {
    let stored: Option<Option<String>> = endpoint_orders::table
        .find(endpoint)
        .select(endpoint_orders::event_order)
        .get_result(connection)
        .optional()
        .map_err(translate)?;
    Ok(stored.flatten() == order.map(ToString::to_string))
}

pub(super) type TroubleRow =
    (Option<i64>, Option<i64>, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<String>);

pub(super) const TROUBLE_COLUMNS: (
    endpoint_health::failing_since,
    endpoint_health::opened_at,
    endpoint_health::probes,
    endpoint_health::probe_at,
    endpoint_health::not_before,
    endpoint_health::warned_at,
    endpoint_health::announced_at,
    endpoint_health::disabled_at,
    endpoint_health::disabled_reason,
) = (
    endpoint_health::failing_since,
    endpoint_health::opened_at,
    endpoint_health::probes,
    endpoint_health::probe_at,
    endpoint_health::not_before,
    endpoint_health::warned_at,
    endpoint_health::announced_at,
    endpoint_health::disabled_at,
    endpoint_health::disabled_reason,
);

/// What is known of an endpoint's trouble.
pub(super) fn trouble(connection: &mut Connection, endpoint: RowKey) -> Result<Trouble, StoreError> {
    let row: Option<TroubleRow> = endpoint_health::table
        .filter(endpoint_health::endpoint.eq(endpoint))
        .select(TROUBLE_COLUMNS)
        .first(connection)
        .optional()
        .map_err(translate)?;
    row.map_or_else(|| Ok(Trouble::default()), trouble_of)
}

pub(super) fn trouble_of(row: TroubleRow) -> Result<Trouble, StoreError> {
    let (failing_since, opened_at, probes, probe_at, not_before, warned_at, announced_at, disabled_at, reason) = row;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    let reason = reason.map(|word| {
        let known = DisabledReason::ALL.into_iter().find(|known| known.as_str() == word);
        known.ok_or_else(|| StoreError::Corrupt(format!("disabled because of `{word}`")))
    });
    let breaker = opened_at.zip(probe_at).map(|(opened_at, probe_at)| {
        let probes = count_of(probes)?;
        let (opened_at, probe_at) = (Timestamp::from_millis(opened_at), Timestamp::from_millis(probe_at));
        Ok::<_, StoreError>(OpenBreaker { opened_at, probes, probe_at })
    });
    Ok(Trouble {
        failing_since: time(failing_since),
        breaker: breaker.transpose()?,
        not_before: time(not_before),
        warned_at: time(warned_at),
        announced_at: time(announced_at),
        disabled: time(disabled_at).zip(reason.transpose()?),
    })
}

pub(super) fn secrets(
    connection: &mut Connection,
    keyring: &Keyring,
    endpoint: RowKey,
    now: Timestamp,
) -> Result<Vec<StoredSecret>, StoreError> {
    let rows: Vec<(i64, String, Option<i64>)> = endpoint_secrets::table
        .inner_join(endpoints::table.on(endpoints::id.eq(endpoint_secrets::endpoint)))
        .filter(endpoint_secrets::endpoint.eq(endpoint))
        .filter(endpoint_secrets::expires_at.is_null().or(endpoint_secrets::expires_at.gt(now.as_millis())))
        .order(endpoint_secrets::number.desc())
        .select((endpoints::scope, endpoint_secrets::secret, endpoint_secrets::expires_at))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter()
        .map(|(scope, secret, expires_at)| {
            let mut secret = Sealer::new(keyring, ScopeId(scope), endpoint).open(Purpose::SigningSecret, &secret)?;
            Ok(StoredSecret {
                secret: std::mem::take(&mut *secret),
                expires_at: expires_at.map(Timestamp::from_millis),
            })
        })
        .collect()
}

type EndpointRow = (i64, i64, i64, Option<i64>, Option<i64>, Option<i64>, String);

fn endpoint_of(
    ids: &IdCodec,
    keyring: &Keyring,
    (id, scope): (ScopeId, Scope),
    row: EndpointRow,
) -> Result<Endpoint, StoreError> {
    let (key, version, updated_at, paused_at, braked_at, deleted_at, settings) = row;
    let settings: SettingsRow = from_json(&settings)?;
    Ok(Endpoint {
        id: ids.endpoint(key),
        partner: scope.partner,
        environment: scope.environment,
        version: count_of(version)?,
        settings: settings
            .opened(&Sealer::new(keyring, id, key))
            .map_err(|error| error.of(ids.endpoint(key)))?
            .settings()?,
        created_at: time_of_key(key),
        updated_at: Timestamp::from_millis(updated_at),
        paused_at: paused_at.map(Timestamp::from_millis),
        braked_at: braked_at.map(Timestamp::from_millis),
        deleted_at: deleted_at.map(Timestamp::from_millis),
    })
}

/// A live endpoint of a scope.
pub(super) fn endpoint(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    key: RowKey,
) -> Result<Option<Endpoint>, StoreError> {
    let page = PageRequest { after: None, limit: 1 };
    Ok(endpoints_where(connection, ids, keyring, scope, &Only::Endpoint(key), &page)?.pop())
}

/// Which of a scope's live endpoints.
enum Only<'a> {
    All,
    Endpoint(RowKey),
    Among(&'a [RowKey]),
    Url(&'a str),
}

/// Those of a scope's live endpoints that are among these, newest first.
pub(super) fn endpoints_among(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    keys: &[RowKey],
) -> Result<Vec<Endpoint>, StoreError> {
    let page = PageRequest { after: None, limit: keys.len() };
    endpoints_where(connection, ids, keyring, scope, &Only::Among(keys), &page)
}

/// A scope's live endpoints, newest first, up to one more than the page.
pub(super) fn endpoints_of(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    page: &PageRequest<EndpointId>,
) -> Result<Page<Endpoint>, StoreError> {
    let found = endpoints_where(connection, ids, keyring, scope, &Only::All, page)?;
    Ok(Page::from_overread(found, page.limit))
}

/// Those of a scope's live endpoints that have one of these ids.
pub(super) fn endpoints_named(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    names: &[EndpointId],
    page: &PageRequest<EndpointId>,
) -> Result<Page<Endpoint>, StoreError> {
    let keys: Vec<RowKey> = names.iter().filter_map(|id| ids.endpoint_key(*id)).collect();
    let found = endpoints_where(connection, ids, keyring, scope, &Only::Among(&keys), page)?;
    Ok(Page::from_overread(found, page.limit))
}

/// Those of a scope's live endpoints that have this URL.
pub(super) fn endpoints_at(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    url: &str,
    page: &PageRequest<EndpointId>,
) -> Result<Page<Endpoint>, StoreError> {
    let found = endpoints_where(connection, ids, keyring, scope, &Only::Url(url), page)?;
    Ok(Page::from_overread(found, page.limit))
}

fn endpoints_where(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    only: &Only<'_>,
    page: &PageRequest<EndpointId>,
) -> Result<Vec<Endpoint>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Vec::new()) };
    let mut query =
        endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::deleted_at.is_null())
            .filter(endpoints::id.lt(page.after.map_or(RowKey::MAX, |after| ids.endpoint_key(after).unwrap_or(0))))
            .order(endpoints::id.desc())
            .limit(page.limit as i64 + 1)
            .select((
                endpoints::scope,
                (
                    endpoints::id,
                    endpoints::version,
                    endpoints::updated_at,
                    endpoints::paused_at,
                    sql::<Nullable<BigInt>>(BRAKED_AT),
                    endpoints::deleted_at,
                    endpoint_versions::settings,
                ),
            ))
            .into_boxed();
    query = match only {
        Only::All => query,
        Only::Endpoint(key) => query.filter(endpoints::id.eq(*key)),
        Only::Among(keys) => query.filter(endpoints::id.eq_any(*keys)),
        Only::Url(url) => query.filter(endpoints::url.eq(*url)),
    };
    query = if scope.partner.is_some() {
        query.filter(endpoints::scope.eq(id.0))
    } else {
        let scopes_of_environment =
            scopes::table.filter(sql::<Bool>("scopes.id & 1 = ").bind::<BigInt, _>(id.0)).select(scopes::id);
        query.filter(endpoints::scope.eq_any(scopes_of_environment))
    };
    let rows: Vec<(i64, EndpointRow)> = query.load(connection).map_err(translate)?;
    rows.into_iter()
        .map(|(of, row)| {
            let owner = if scope.partner.is_some() { scope.clone() } else { scope_of(connection, ScopeId(of))? };
            endpoint_of(ids, keyring, (ScopeId(of), owner), row)
        })
        .collect()
}

/// How many of an endpoint's deliveries have an attempt to come, at most `limit`. In no
/// order: any index that begins with the endpoint will do.
pub(super) fn backlog(connection: &mut Connection, endpoint: RowKey, limit: usize) -> Result<usize, StoreError> {
    let waiting: Vec<RowKey> = deliveries::table
        .filter(deliveries::endpoint.eq(endpoint))
        .filter(deliveries::next_at.is_not_null())
        .filter(sql::<Bool>(IS_SEALED))
        .select(deliveries::id)
        .limit(limit as i64)
        .load(connection)
        .map_err(translate)?;
    Ok(waiting.len())
}
