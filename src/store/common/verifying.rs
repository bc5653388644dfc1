//! How a store is walked over to be verified, and what of it looks wrong: each check
//! is a statement over a range of keys, whose rows are what breaks its promise.
//!
//! Compiled once for each backend, against its own `Connection`; what only one backend
//! has is looked at by its `verifying_own`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::{Connection, explained, translate, verifying_own};
use crate::store::StoreError;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::verifying::{Check, Inspected, Stretch, Suspect, Walk};

/// A check as a statement.
pub(super) struct Rule {
    pub(super) check: Check,
    /// Selects `key`, `one` and `other` of what breaks it, with keys from `{first}` to
    /// `{last}`.
    pub(super) breaking: &'static str,
    pub(super) tell: fn(&IdCodec, &Breaking) -> String,
}

/// A row that breaks a promise.
#[derive(QueryableByName)]
pub(super) struct Breaking {
    #[diesel(sql_type = BigInt)]
    pub(super) key: RowKey,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) one: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) other: Option<i64>,
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    key: RowKey,
}

/// Of events. What of a partner is being erased has no scope any more, and may be half gone;
/// events over all partners stay when one is erased whose deliveries of them go.
const EVENTS: [Rule; 1] = [Rule {
    check: Check::EventDeliveries,
    breaking: "
        SELECT * FROM (
          SELECT e.id AS key, (
            SELECT COUNT(*) FROM deliveries d
            WHERE d.id > e.id AND d.id <= e.id + e.deliveries AND d.event = e.id AND d.replay IS NULL) AS one,
            e.deliveries AS other, e.scope AS scope
          FROM events e WHERE e.id BETWEEN {first} AND {last}) AS counted
        WHERE one <> other AND EXISTS (SELECT 1 FROM scopes s WHERE s.id = counted.scope)
          AND NOT (one < other AND scope < 2 AND (
            EXISTS (SELECT 1 FROM partners p WHERE p.erasing_since IS NOT NULL)
            OR EXISTS (SELECT 1 FROM audit_log a WHERE a.action = 'partner.erased' AND a.at >= (counted.key >> 21))))",
    tell: |ids, row| {
        let (found, expected) = (row.one.unwrap_or(0), row.other.unwrap_or(0));
        format!("{}: {found} of its {expected} deliveries are there", ids.event(row.key))
    },
}];

/// Of deliveries. What is being accepted in several commits is not there for anybody
/// yet, and its events are not there at all.
const DELIVERIES: [Rule; 7] = [
    // A replayed delivery goes by its own age, and may be the last that is left of its event.
    Rule {
        check: Check::DeliveryEvents,
        breaking: "
            SELECT d.id AS key, d.event AS one, CAST(NULL AS BIGINT) AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last}
              AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE d.id BETWEEN u.first_key AND u.last_key)
              AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = d.event
                              AND (d.replay IS NOT NULL OR (d.id > e.id AND d.id <= e.id + e.deliveries)))
              AND (d.replay IS NULL OR d.next_at IS NOT NULL)",
        tell: |ids, row| {
            let event = ids.event(row.one.unwrap_or(0));
            format!("{}: its event {event} is not there, or does not count it", ids.delivery(row.key))
        },
    },
    Rule {
        check: Check::DeliveryEndpoints,
        breaking: "
            SELECT d.id AS key, d.endpoint AS one, CAST(NULL AS BIGINT) AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last}
              AND NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = d.endpoint)",
        tell: |ids, row| {
            let endpoint = ids.endpoint(row.one.unwrap_or(0));
            format!("{}: its endpoint {endpoint} is not there", ids.delivery(row.key))
        },
    },
    Rule {
        check: Check::DeliveryStates,
        breaking: "
            SELECT d.id AS key, d.status AS one, d.attempt_count AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last}
              AND (NOT ((d.status BETWEEN -1 AND 1 AND d.next_at IS NOT NULL AND d.finished_at IS NULL)
                        OR (d.status >= 2 AND d.next_at IS NULL AND d.finished_at IS NOT NULL))
                   OR d.attempt_count < d.scheduled_attempts OR d.scheduled_attempts < 0
                   OR (d.status = 2 AND d.attempt_count = 0))",
        tell: |ids, row| {
            let (status, count) = (row.one.unwrap_or(0), row.other.unwrap_or(0));
            format!("{}: its state {status} does not go with its times and {count} attempts", ids.delivery(row.key))
        },
    },
    // Where attempts go earlier than their deliveries, the first ones go first.
    Rule {
        check: Check::Attempts,
        breaking: "
            SELECT * FROM (
              SELECT d.id AS key, (
                SELECT COUNT(*) FROM attempts a WHERE a.delivery = d.id AND a.number BETWEEN 1 AND d.attempt_count)
                - (SELECT COUNT(*) FROM attempts a WHERE a.delivery = d.id
                   AND (a.number < 1 OR a.number > d.attempt_count)) AS one,
                d.attempt_count AS other,
                (SELECT MIN(a.number) FROM attempts a WHERE a.delivery = d.id) AS first
              FROM deliveries d WHERE d.id BETWEEN {first} AND {last}) AS counted
            WHERE one <> other
              AND NOT (one = other - COALESCE(first - 1, other) AND EXISTS (SELECT 1 FROM meta WHERE name = 'attempts_go_early'))",
        tell: |ids, row| {
            let count = row.other.unwrap_or(0);
            format!("{}: its attempts are not those from 1 to {count}", ids.delivery(row.key))
        },
    },
    Rule {
        check: Check::Payloads,
        breaking: "
            SELECT d.id AS key, d.event AS one, CAST(NULL AS BIGINT) AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last} AND d.next_at IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE d.id BETWEEN u.first_key AND u.last_key)
              AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = d.event AND LENGTH(e.body) > 0)",
        tell: |ids, row| {
            let event = ids.event(row.one.unwrap_or(0));
            format!("{}: unfinished, and the payload of {event} is gone", ids.delivery(row.key))
        },
    },
    // While what an endpoint has is being taken out of an order, or discarded with it,
    // some of that is done.
    Rule {
        check: Check::Order,
        breaking: "
            SELECT d.id AS key, d.order_key AS one, d.status AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last} AND d.order_key IS NOT NULL AND d.next_at IS NOT NULL
              AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = d.endpoint AND e.deleted_at IS NULL)
              AND NOT EXISTS (SELECT 1 FROM endpoint_orders o WHERE o.endpoint = d.endpoint AND o.event_order = 'undoing')
              AND ((d.status = 1 AND EXISTS (
                      SELECT 1 FROM deliveries o WHERE o.endpoint = d.endpoint AND o.order_key = d.order_key
                        AND o.order_key IS NOT NULL AND o.next_at IS NOT NULL AND o.status IN (-1, 1)
                        AND o.sequence < d.sequence))
                   OR (d.status = -1 AND NOT EXISTS (
                      SELECT 1 FROM deliveries o WHERE o.endpoint = d.endpoint AND o.order_key = d.order_key
                        AND o.order_key IS NOT NULL AND o.next_at IS NOT NULL AND o.status = 1)))",
        tell: |ids, row| match row.other {
            Some(1) => format!("{}: due although another one comes first", ids.delivery(row.key)),
            _ => format!("{}: waits for others, and there is none that is due", ids.delivery(row.key)),
        },
    },
    Rule {
        check: Check::Numbers,
        breaking: "
            SELECT d.id AS key, d.endpoint AS one, d.number AS other FROM deliveries d
            WHERE d.id BETWEEN {first} AND {last} AND d.number IS NOT NULL
              AND EXISTS (SELECT 1 FROM deliveries o WHERE o.endpoint = d.endpoint AND o.number = d.number
                          AND o.number IS NOT NULL AND o.id <> d.id)",
        tell: |ids, row| {
            let (endpoint, number) = (ids.endpoint(row.one.unwrap_or(0)), row.other.unwrap_or(0));
            format!("{}: another delivery of {endpoint} has its number {number}", ids.delivery(row.key))
        },
    },
];

/// Of the deliveries that attempts say they are of.
const ATTEMPTS: [Rule; 1] = [Rule {
    check: Check::AttemptDeliveries,
    breaking: "
        SELECT a.delivery AS key, CAST(NULL AS BIGINT) AS one, CAST(NULL AS BIGINT) AS other FROM attempts a
        WHERE a.delivery BETWEEN {first} AND {last}
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = a.delivery AND d.id BETWEEN {first} AND {last})
        GROUP BY a.delivery",
    tell: |ids, row| format!("{}: it has attempts, and is not there", ids.delivery(row.key)),
}];

/// Of the deliveries that an attempt was asked for.
const ASKED_FOR: [Rule; 1] = [Rule {
    check: Check::AskedFor,
    breaking: "
        SELECT m.delivery AS key, CAST(NULL AS BIGINT) AS one, CAST(NULL AS BIGINT) AS other FROM manual_attempts m
        WHERE m.delivery BETWEEN {first} AND {last}
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = m.delivery AND d.endpoint = m.endpoint)",
    tell: |ids, row| format!("{}: an attempt was asked for, and it is not there", ids.delivery(row.key)),
}];

/// Of endpoints.
const ENDPOINTS: [Rule; 1] = [Rule {
    check: Check::Settings,
    breaking: "
        SELECT e.id AS key, e.version AS one, CAST(NULL AS BIGINT) AS other FROM endpoints e
        WHERE e.id BETWEEN {first} AND {last} AND EXISTS (SELECT 1 FROM scopes s WHERE s.id = e.scope)
          AND NOT (EXISTS (SELECT 1 FROM endpoint_versions v WHERE v.endpoint = e.id AND v.version = e.version)
                   AND EXISTS (SELECT 1 FROM interests i WHERE i.id = e.interest))",
    tell: |ids, row| {
        format!("{}: its settings of version {} are not there", ids.endpoint(row.key), row.one.unwrap_or(0))
    },
}];

/// What is walked over, by which key.
fn rows_of(walk: Walk) -> (&'static str, &'static str) {
    match walk {
        Walk::Events => ("events", "id"),
        Walk::Deliveries => ("deliveries", "id"),
        Walk::Attempts => ("attempts", "delivery"),
        Walk::AskedFor => ("manual_attempts", "delivery"),
        Walk::Endpoints => ("endpoints", "id"),
        Walk::Owners => ("leases", "partition"),
    }
}

fn rules_of(walk: Walk) -> &'static [Rule] {
    match walk {
        Walk::Events => &EVENTS,
        Walk::Deliveries => &DELIVERIES,
        Walk::Attempts => &ATTEMPTS,
        Walk::AskedFor => &ASKED_FOR,
        Walk::Endpoints => &ENDPOINTS,
        Walk::Owners => &[],
    }
}

/// The first and the last key of a walk; `None` where there is nothing.
pub(super) fn span(connection: &mut Connection, walk: Walk) -> Result<Option<(RowKey, RowKey)>, StoreError> {
    let (table, column) = rows_of(walk);
    let mut end = |order: &str| {
        let text = format!(
            "SELECT CAST({column} AS BIGINT) AS key FROM {table} WHERE {column} >= 0 ORDER BY {column} {order} LIMIT 1"
        );
        diesel::sql_query(text).get_result::<Key>(connection).optional().map_err(translate)
    };
    Ok(end("ASC")?.zip(end("DESC")?).map(|(first, last)| (first.key, last.key)))
}

/// Looks at a slice of a walk. To be read at once.
pub(super) fn inspect(
    connection: &mut Connection,
    ids: &IdCodec,
    walk: Walk,
    slice: &Stretch,
) -> Result<Inspected, StoreError> {
    if walk == Walk::Owners {
        return verifying_own::owners(connection);
    }
    let keys = keys(connection, walk, slice)?;
    let (Some(first), Some(last)) = (keys.first().copied(), keys.last().copied()) else {
        return Ok(Inspected::default());
    };
    let mut inspected = Inspected {
        rows: keys.len() as u64,
        next: (keys.len() == slice.limit && last < slice.until).then_some(last),
        ..Inspected::default()
    };
    for rule in rules_of(walk) {
        inspected.suspects.extend(breaking(connection, ids, rule, first, last)?);
    }
    match walk {
        Walk::Events => explained::look(connection, ids, &keys, slice.explained, &mut inspected)?,
        Walk::Deliveries => verifying_own::deliveries(connection, ids, first, last, &mut inspected)?,
        _ => {}
    }
    Ok(inspected)
}

fn keys(connection: &mut Connection, walk: Walk, slice: &Stretch) -> Result<Vec<RowKey>, StoreError> {
    let (table, column) = rows_of(walk);
    // Only attempts have several rows with one key.
    let each = if walk == Walk::Attempts { "DISTINCT" } else { "" };
    let text = format!(
        "SELECT {each} {column} AS key FROM {table} WHERE {column} > {} AND {column} <= {} ORDER BY {column} LIMIT {}",
        slice.after, slice.until, slice.limit
    );
    let rows: Vec<Key> = diesel::sql_query(text).load(connection).map_err(translate)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// What breaks this rule.
pub(super) fn breaking(
    connection: &mut Connection,
    ids: &IdCodec,
    rule: &Rule,
    first: RowKey,
    last: RowKey,
) -> Result<Vec<Suspect>, StoreError> {
    let text = rule.breaking.replace("{first}", &first.to_string()).replace("{last}", &last.to_string());
    let rows: Vec<Breaking> = diesel::sql_query(text).load(connection).map_err(translate)?;
    let suspect = |row: Breaking| Suspect { check: rule.check, key: row.key, what: (rule.tell)(ids, &row) };
    Ok(rows.into_iter().map(suspect).collect())
}
