//! The statements of the hot path. A `LIMIT ?` would be planned anew for each
//! value it is given; `LIMIT ? + 0` is not.

use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::Sqlite as Backend;

use super::Connection;
use crate::store::rows::DueRow;

statement! {
    /// Writes an event down.
    fn insert_event(
        id: i64 => BigInt,
        scope: i64 => BigInt,
        event_type: &'a str => Text,
        deliveries: i64 => BigInt,
        matched_version: i64 => BigInt,
        body: &'a [u8] => Binary,
    )
    "INSERT INTO events (id, scope, event_type, deliveries, matched_version, body) VALUES (?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Makes a delivery that was never tried and is due.
    fn insert_delivery(
        id: i64 => BigInt,
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
        next_at: i64 => BigInt,
    )
    "INSERT INTO deliveries (id, event, endpoint, status, attempt_count, scheduled_attempts, next_at) \
     VALUES (?, ?, ?, 0, 0, 0, ?)"
}

statement! {
    /// Moves an unfinished delivery on, if it stands where the attempt found it.
    fn advance_delivery(
        status: i64 => BigInt,
        next_at: Option<i64> => Nullable<BigInt>,
        finished_at: Option<i64> => Nullable<BigInt>,
        id: i64 => BigInt,
        attempts_before: i64 => BigInt,
    )
    "UPDATE deliveries SET status = ?, attempt_count = attempt_count + 1, \
     scheduled_attempts = scheduled_attempts + 1, next_at = ?, finished_at = ? \
     WHERE id = ? AND attempt_count = ? AND next_at IS NOT NULL"
}

statement! {
    /// Writes an attempt down.
    fn insert_attempt(
        delivery: i64 => BigInt,
        number: i64 => BigInt,
        started_at: i64 => BigInt,
        duration_ms: i64 => BigInt,
        status_code: Option<i64> => Nullable<BigInt>,
        error_class: Option<&'a str> => Nullable<Text>,
        error_message: Option<&'a str> => Nullable<Text>,
        response_body: Option<&'a [u8]> => Nullable<Binary>,
    )
    "INSERT INTO attempts (delivery, number, started_at, duration_ms, status_code, error_class, error_message, \
     response_body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
}

query! {
    /// An endpoint's deliveries of a status, behind a place, earliest first. The
    /// index ends in the row's key, so that comparing both is one step in it.
    /// What is not sealed yet is left out; it costs a look at an empty table.
    fn due(
        endpoint: i64 => BigInt,
        status: i64 => BigInt,
        after_time: i64 => BigInt,
        after_id: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt)
    "SELECT id, event, status, attempt_count, scheduled_attempts, next_at \
     FROM deliveries INDEXED BY deliveries_due \
     WHERE next_at IS NOT NULL AND endpoint = ? AND status = ? AND (next_at, id) > (?, ?) \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     ORDER BY next_at, id LIMIT ? + 0"
}

query! {
    /// An endpoint's deliveries of which someone asked for an attempt, behind a
    /// place, in the order they were asked for.
    fn asked_for(
        endpoint: i64 => BigInt,
        after_time: i64 => BigInt,
        after_id: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt)
    "SELECT deliveries.id, event, status, attempt_count, scheduled_attempts, requested_at \
     FROM manual_attempts JOIN deliveries ON deliveries.id = manual_attempts.delivery \
     WHERE manual_attempts.endpoint = ? AND (requested_at, manual_attempts.delivery) > (?, ?) \
     ORDER BY requested_at, manual_attempts.delivery LIMIT ? + 0"
}

query! {
    /// An event's type and bytes.
    fn payload(
        event: i64 => BigInt,
    ) -> (String, Vec<u8>) => (Text, Binary)
    "SELECT event_type, body FROM events WHERE id = ?"
}

query! {
    /// `endpoint`, `id` and `event` of what was never tried, behind a key.
    fn born(
        after: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64) => (BigInt, BigInt, BigInt)
    "SELECT endpoint, id, event FROM deliveries \
     WHERE id > ? AND status = 0 AND next_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     ORDER BY id LIMIT ? + 0"
}

query! {
    /// An endpoint's unfinished deliveries of a status, newest first, between two
    /// keys. Their order costs a sort: they may be many, but what was delivered
    /// beside them is more.
    fn unfinished(
        endpoint: i64 => BigInt,
        status: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries INDEXED BY deliveries_due \
     WHERE next_at IS NOT NULL AND endpoint = ? AND status = ? AND id > ? AND id < ? \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     ORDER BY id DESC LIMIT ? + 0"
}
