//! What explains where a delivery stands: its endpoint's pauses, schedule and trouble,
//! what is before it in its order, and what requests were made of.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::brakes::BRAKED_AT;
use super::reads::{self, TroubleRow};
use super::statements;
use super::{Connection, translate};
use crate::domain::{DeliveryId, EndpointId, Timestamp, Trouble};
use crate::store::ids::{IdCodec, RowKey};
use crate::store::rows::{SettingsRow, count_of, from_json};
use crate::store::schema::{deliveries, endpoint_health, endpoint_versions, endpoints};
use crate::store::{EndpointStanding, SentSettings, StoreError};

/// Endpoints that are read by one statement.
const READ_TOGETHER: usize = 500;

type StandingRow = (RowKey, Option<i64>, Option<i64>, String);

pub(super) fn standings(
    connection: &mut Connection,
    ids: &IdCodec,
    asked: &[EndpointId],
) -> Result<HashMap<EndpointId, EndpointStanding>, StoreError> {
    let keys: Vec<RowKey> = asked.iter().filter_map(|endpoint| ids.endpoint_key(*endpoint)).collect();
    let mut standings = HashMap::with_capacity(keys.len());
    for some in keys.chunks(READ_TOGETHER) {
        let mut troubles = troubles(connection, some)?;
        let rows: Vec<StandingRow> = endpoints::table
            .inner_join(endpoint_versions::table.on(
                endpoint_versions::endpoint.eq(endpoints::id).and(endpoint_versions::version.eq(endpoints::version)),
            ))
            .filter(endpoints::id.eq_any(some))
            .select((
                endpoints::id,
                endpoints::paused_at,
                sql::<Nullable<BigInt>>(BRAKED_AT),
                endpoint_versions::settings,
            ))
            .load(connection)
            .map_err(translate)?;
        for (key, paused_at, braked_at, settings) in rows {
            let standing = EndpointStanding {
                paused_at: paused_at.map(Timestamp::from_millis),
                braked_at: braked_at.map(Timestamp::from_millis),
                trouble: troubles.remove(&key).unwrap_or_default(),
                ..from_json::<SettingsRow>(&settings)?.standing()
            };
            standings.insert(ids.endpoint(key), standing);
        }
    }
    Ok(standings)
}

/// What is known of these endpoints' trouble; those without any are left out.
pub(super) fn troubles(
    connection: &mut Connection,
    endpoints: &[RowKey],
) -> Result<HashMap<RowKey, Trouble>, StoreError> {
    let rows: Vec<(RowKey, TroubleRow)> = endpoint_health::table
        .filter(endpoint_health::endpoint.eq_any(endpoints))
        .select((endpoint_health::endpoint, reads::TROUBLE_COLUMNS))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter().map(|(key, row)| Ok((key, reads::trouble_of(row)?))).collect()
}

/// The delivery that the others with its key in an endpoint's order wait for.
pub(super) fn first_in_order(
    connection: &mut Connection,
    ids: &IdCodec,
    delivery: DeliveryId,
) -> Result<Option<DeliveryId>, StoreError> {
    let Some(key) = ids.delivery_key(delivery) else { return Ok(None) };
    let found: Option<(RowKey, Option<i64>)> = deliveries::table
        .filter(deliveries::id.eq(key))
        .select((deliveries::endpoint, deliveries::order_key))
        .first(connection)
        .optional()
        .map_err(translate)?;
    let Some((endpoint, Some(order_key))) = found else { return Ok(None) };
    let first = statements::first_in_order(connection, endpoint, order_key).map_err(translate)?;
    Ok(first.into_iter().next().map(|(first,)| ids.delivery(first)))
}

/// What requests of an endpoint were made of, by the version of its settings.
pub(super) fn sent_settings(
    connection: &mut Connection,
    ids: &IdCodec,
    endpoint: EndpointId,
    versions: &[u32],
) -> Result<HashMap<u32, SentSettings>, StoreError> {
    let Some(key) = ids.endpoint_key(endpoint) else { return Ok(HashMap::new()) };
    if versions.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, String)> = endpoint_versions::table
        .filter(endpoint_versions::endpoint.eq(key))
        .filter(endpoint_versions::version.eq_any(versions.iter().copied().map(i64::from)))
        .select((endpoint_versions::version, endpoint_versions::settings))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter()
        .map(|(version, settings)| Ok((count_of(version)?, from_json::<SettingsRow>(&settings)?.sent())))
        .collect()
}
