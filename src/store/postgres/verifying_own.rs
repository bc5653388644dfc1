//! What only a store that nodes share is asked, when it is verified: that what has ended
//! has left what waits, that what waits is where its owner looks, and that nobody owns
//! what another does.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text};

use crate::domain::{PARTITIONS, Partition};
use crate::store::StoreError;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::postgres::verifying::{Rule, breaking};
use crate::store::postgres::{Connection, number_of, translate};
use crate::store::verifying::{Check, Inspected, Suspect};

const ONE_PLACE: Rule = Rule {
    check: Check::OnePlace,
    breaking: "
        SELECT p.id AS key, CAST(NULL AS BIGINT) AS one, CAST(NULL AS BIGINT) AS other FROM pending p
        WHERE p.id BETWEEN {first} AND {last}
          AND EXISTS (SELECT 1 FROM finished f WHERE f.id = p.id AND f.id BETWEEN {first} AND {last})",
    tell: |ids, row| format!("{}: it waits for an attempt, and has ended", ids.delivery(row.key)),
};

#[derive(QueryableByName)]
struct Placed {
    #[diesel(sql_type = BigInt)]
    key: RowKey,
    #[diesel(sql_type = BigInt)]
    endpoint: RowKey,
    #[diesel(sql_type = SmallInt)]
    partition: i16,
}

pub(super) fn deliveries(
    connection: &mut Connection,
    ids: &IdCodec,
    first: RowKey,
    last: RowKey,
    inspected: &mut Inspected,
) -> Result<(), StoreError> {
    inspected.suspects.extend(breaking(connection, ids, &ONE_PLACE, first, last)?);
    let text = format!("SELECT id AS key, endpoint, partition FROM pending WHERE id BETWEEN {first} AND {last}");
    let rows: Vec<Placed> = diesel::sql_query(text).load(connection).map_err(translate)?;
    for Placed { key, endpoint, partition } in rows {
        let expected = number_of(Partition::of(ids.endpoint(endpoint)));
        if partition != expected {
            inspected.suspects.push(Suspect {
                check: Check::Partitions,
                key,
                what: format!("{}: in partition {partition} instead of {expected}", ids.delivery(key)),
            });
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Wrong {
    #[diesel(sql_type = BigInt)]
    partition: i64,
    #[diesel(sql_type = Text)]
    why: String,
}

/// A node that is gone has left its leases, or they run out, before it is forgotten.
const OWNERS: &str = "
    SELECT number::BIGINT AS partition, 'it has ' || count(l.partition) || ' leases' AS why
    FROM generate_series(0, $1 - 1) AS number LEFT JOIN leases l ON l.partition = number
    GROUP BY number HAVING count(l.partition) <> 1
    UNION ALL
    SELECT partition, 'its token is that of another lease as well' FROM leases l
    WHERE EXISTS (SELECT 1 FROM leases o WHERE o.token = l.token AND o.ctid <> l.ctid)
    UNION ALL
    SELECT partition, 'its owner ' || owner || ' is not there' FROM leases
    WHERE owner IS NOT NULL AND lease_until > extract(epoch FROM clock_timestamp()) * 1000
      AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = leases.owner)
    ORDER BY 1";

pub(super) fn owners(connection: &mut Connection) -> Result<Inspected, StoreError> {
    let wrong: Vec<Wrong> =
        diesel::sql_query(OWNERS).bind::<BigInt, _>(PARTITIONS as i64).load(connection).map_err(translate)?;
    let suspect = |Wrong { partition, why }| Suspect {
        check: Check::Owners,
        key: partition,
        what: format!("partition {partition}: {why}"),
    };
    Ok(Inspected {
        rows: PARTITIONS as u64,
        suspects: wrong.into_iter().map(suspect).collect(),
        ..Inspected::default()
    })
}
