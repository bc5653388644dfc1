//! The statements of the hot path. A `LIMIT ?` would be planned anew for each
//! value it is given; `LIMIT ? + 0` is not.

use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel::sqlite::Sqlite as Backend;

use super::Connection;
use crate::store::pull::NumberedRow;
use crate::store::rows::DueRow;

query! {
    /// What is written down of statistics under a key.
    fn statistics_row(
        resolution: i64 => BigInt,
        scope: i64 => BigInt,
        endpoint: i64 => BigInt,
        bucket: i64 => BigInt,
        event_type: &'a str => Text,
        writer: i64 => BigInt,
    ) -> (Vec<u8>,) => (Binary)
    "SELECT tally FROM statistics WHERE resolution = ? AND scope = ? AND endpoint = ? AND bucket = ? \
     AND event_type = ? AND writer = ?"
}

statement! {
    /// Writes a row of statistics, in place of the one that is there.
    fn put_statistics(
        resolution: i64 => BigInt,
        scope: i64 => BigInt,
        endpoint: i64 => BigInt,
        bucket: i64 => BigInt,
        event_type: &'a str => Text,
        writer: i64 => BigInt,
        tally: &'a [u8] => Binary,
    )
    "INSERT INTO statistics (resolution, scope, endpoint, bucket, event_type, writer, tally) \
     VALUES (?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (resolution, scope, endpoint, bucket, event_type, writer) DO UPDATE SET tally = excluded.tally"
}

statement! {
    /// Writes an event down.
    fn insert_event(
        id: i64 => BigInt,
        scope: i64 => BigInt,
        event_type: &'a str => Text,
        deliveries: i64 => BigInt,
        matched_version: i64 => BigInt,
        body: &'a [u8] => Binary,
        deliver_at: Option<i64> => Nullable<BigInt>,
        expires_at: Option<i64> => Nullable<BigInt>,
        idempotency_key: Option<&'a str> => Nullable<Text>,
        retain: Option<i64> => Nullable<BigInt>,
    )
    "INSERT INTO events (id, scope, event_type, deliveries, matched_version, body, deliver_at, expires_at, \
     idempotency_key, retain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Makes a delivery that was never tried.
    fn insert_delivery(
        id: i64 => BigInt,
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
        status: i64 => BigInt,
        next_at: i64 => BigInt,
        number: i64 => BigInt,
    )
    "INSERT INTO deliveries (id, event, endpoint, status, attempt_count, scheduled_attempts, next_at, number) \
     VALUES (?, ?, ?, ?, 0, 0, ?, ?)"
}

query! {
    /// The last number of an endpoint's deliveries, those that are gone included; 0 where it
    /// has had none.
    fn last_number(
        endpoint: i64 => BigInt,
        same_endpoint: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT MAX( \
       COALESCE((SELECT number FROM deliveries INDEXED BY deliveries_by_number \
         WHERE number IS NOT NULL AND endpoint = ? ORDER BY number DESC LIMIT 1 + 0), 0), \
       COALESCE((SELECT last FROM endpoint_numbers WHERE endpoint = ?), 0))"
}

query! {
    /// `id`, `event`, `status`, `scheduled_attempts` and `number` of an endpoint's deliveries
    /// behind a number, in their order, and whether they are not sealed yet.
    fn numbered(
        endpoint: i64 => BigInt,
        after: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> NumberedRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Bool)
    "SELECT id, event, status, scheduled_attempts, number, \
       EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     FROM deliveries INDEXED BY deliveries_by_number \
     WHERE number IS NOT NULL AND endpoint = ? AND number > ? ORDER BY number LIMIT ? + 0"
}

statement! {
    /// Moves an unfinished delivery on, if it stands where the attempt found it. One that
    /// waits for others goes on waiting: it was given its place while the outcome of an
    /// earlier life's attempt was on its way.
    fn advance_delivery(
        is_retrying: bool => Bool,
        status: i64 => BigInt,
        next_at: Option<i64> => Nullable<BigInt>,
        finished_at: Option<i64> => Nullable<BigInt>,
        id: i64 => BigInt,
        attempts_before: i64 => BigInt,
    )
    "UPDATE deliveries SET status = CASE WHEN ? AND status = -1 THEN -1 ELSE ? END, \
     attempt_count = attempt_count + 1, \
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
        exchange: Option<&'a str> => Nullable<Text>,
    )
    "INSERT INTO attempts (delivery, number, started_at, duration_ms, status_code, error_class, error_message, \
     response_body, exchange) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, status, attempt_count, scheduled_attempts, sequence, number, next_at \
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
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT deliveries.id, event, status, attempt_count, scheduled_attempts, sequence, number, requested_at \
     FROM manual_attempts JOIN deliveries ON deliveries.id = manual_attempts.delivery \
     WHERE manual_attempts.endpoint = ? AND (requested_at, manual_attempts.delivery) > (?, ?) \
     ORDER BY requested_at, manual_attempts.delivery LIMIT ? + 0"
}

query! {
    /// An endpoint's deliveries for later that have no place in its order and are due.
    fn due_without_place(
        endpoint: i64 => BigInt,
        now: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, status, attempt_count, scheduled_attempts, sequence, number, next_at \
     FROM deliveries INDEXED BY deliveries_for_later \
     WHERE next_at IS NOT NULL AND status = 1 AND scheduled_attempts = 0 AND sequence IS NULL \
     AND endpoint = ? AND next_at <= ? \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     ORDER BY next_at, id LIMIT ? + 0"
}

query! {
    /// When the first of an endpoint's deliveries for later is due that are in no order.
    fn next_for_later(
        endpoint: i64 => BigInt,
        now: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT next_at FROM deliveries INDEXED BY deliveries_for_later \
     WHERE next_at IS NOT NULL AND status = 1 AND scheduled_attempts = 0 AND sequence IS NULL \
     AND endpoint = ? AND next_at > ? ORDER BY next_at LIMIT 1 + 0"
}

query! {
    /// An endpoint's deliveries with a time that were tried before, behind a place, earliest
    /// first. The index leaves out what is for later, which may be very much.
    fn tried(
        endpoint: i64 => BigInt,
        after_time: i64 => BigInt,
        after_id: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, status, attempt_count, scheduled_attempts, sequence, number, next_at \
     FROM deliveries INDEXED BY deliveries_placed \
     WHERE next_at IS NOT NULL AND endpoint = ? AND status = 1 \
     AND (scheduled_attempts > 0 OR sequence IS NOT NULL) AND scheduled_attempts > 0 \
     AND (next_at, id) > (?, ?) ORDER BY next_at, id LIMIT ? + 0"
}

query! {
    /// An ordered endpoint's deliveries with a time and a place, or tried before, earliest
    /// first.
    fn placed(
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, status, attempt_count, scheduled_attempts, sequence, number, next_at \
     FROM deliveries INDEXED BY deliveries_placed \
     WHERE next_at IS NOT NULL AND endpoint = ? AND status = 1 \
     AND (scheduled_attempts > 0 OR sequence IS NOT NULL) \
     ORDER BY next_at, id LIMIT ? + 0"
}

query! {
    /// An endpoint that wants an order or did, if there is any.
    fn any_order() -> (i64,) => (BigInt)
    "SELECT endpoint FROM endpoint_orders LIMIT 1 + 0"
}

query! {
    /// Whether an unfinished delivery of an endpoint has this key.
    fn has_key(
        endpoint: i64 => BigInt,
        order_key: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries INDEXED BY deliveries_in_order \
     WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? AND order_key = ? LIMIT 1 + 0"
}

query! {
    /// The unfinished delivery of an endpoint that the others with its key wait for.
    fn first_in_order(
        endpoint: i64 => BigInt,
        order_key: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries INDEXED BY deliveries_in_order \
     WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? AND order_key = ? AND status = 1 LIMIT 1 + 0"
}

query! {
    /// `id` and `sequence` of a delivery that has no place in its endpoint's order and
    /// was not tried by its schedule.
    fn without_place(
        id: i64 => BigInt,
        endpoint: i64 => BigInt,
    ) -> (i64, Option<i64>) => (BigInt, Nullable<BigInt>)
    "SELECT id, sequence FROM deliveries \
     WHERE id = ? AND endpoint = ? AND next_at IS NOT NULL \
     AND (status = 0 OR (status = 1 AND scheduled_attempts = 0 AND sequence IS NULL))"
}

statement! {
    /// Gives a delivery its place. What is due has been so since it was accepted.
    fn place(
        status: i64 => BigInt,
        sequence: i64 => BigInt,
        order_key: i64 => BigInt,
        now: i64 => BigInt,
        id: i64 => BigInt,
    )
    "UPDATE deliveries SET status = ?, sequence = ?, order_key = ?, next_at = MIN(next_at, ?) WHERE id = ?"
}

statement! {
    /// Makes the first of those that wait due, if nothing with their key is; one that was
    /// tried before, not before its time.
    fn release(
        now: i64 => BigInt,
        endpoint: i64 => BigInt,
        order_key: i64 => BigInt,
        same_endpoint: i64 => BigInt,
        same_key: i64 => BigInt,
    )
    "UPDATE deliveries SET status = 1, next_at = MAX(CASE WHEN scheduled_attempts > 0 THEN next_at ELSE 0 END, ?) \
     WHERE id = ( \
       SELECT id FROM deliveries INDEXED BY deliveries_in_order \
       WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? AND order_key = ? AND status = -1 \
       ORDER BY sequence LIMIT 1 + 0) \
     AND NOT EXISTS ( \
       SELECT 1 FROM deliveries INDEXED BY deliveries_in_order \
       WHERE order_key IS NOT NULL AND next_at IS NOT NULL AND endpoint = ? AND order_key = ? AND status = 1)"
}

query! {
    /// An event's type and bytes, and until when they are worth delivering; nothing where
    /// the bytes were erased.
    fn payload(
        event: i64 => BigInt,
    ) -> (String, Vec<u8>, Option<i64>) => (Text, Binary, Nullable<BigInt>)
    "SELECT event_type, body, expires_at FROM events WHERE id = ? AND erased_at IS NULL"
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
    /// Some of an endpoint's unfinished deliveries of a status, in no order: `id` and
    /// `scheduled_attempts`.
    fn some_unfinished(
        endpoint: i64 => BigInt,
        status: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64) => (BigInt, BigInt)
    "SELECT id, scheduled_attempts FROM deliveries INDEXED BY deliveries_due \
     WHERE next_at IS NOT NULL AND endpoint = ? AND status = ? \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE deliveries.id BETWEEN first_key AND last_key) \
     LIMIT ? + 0"
}

query! {
    /// The newest deliveries that were given up with this status, between two keys: `id`
    /// and `endpoint`.
    fn given_up(
        status: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64) => (BigInt, BigInt)
    "SELECT id, endpoint FROM deliveries INDEXED BY deliveries_given_up_by_status \
     WHERE status >= 3 AND status = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ? + 0"
}

query! {
    /// `id`, `status` and `scheduled_attempts` of an endpoint's newest deliveries that were
    /// given up, between two keys.
    fn given_up_of(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64) => (BigInt, BigInt, BigInt)
    "SELECT id, status, scheduled_attempts FROM deliveries INDEXED BY deliveries_given_up \
     WHERE status >= 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ? + 0"
}

query! {
    /// The newest deliveries that were made by replays, between two keys.
    fn replayed(
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries INDEXED BY deliveries_by_replays \
     WHERE replay IS NOT NULL AND id > ? AND id < ? ORDER BY id DESC LIMIT ? + 0"
}

statement! {
    /// Makes a delivery of an event that was accepted earlier.
    fn insert_replayed(
        id: i64 => BigInt,
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
        status: i64 => BigInt,
        next_at: i64 => BigInt,
        replay: i64 => BigInt,
        number: i64 => BigInt,
    )
    "INSERT INTO deliveries (id, event, endpoint, status, attempt_count, scheduled_attempts, next_at, replay, number) \
     VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?)"
}

query! {
    /// `id`, `event`, `status` and `replay` of an endpoint's deliveries, in their order, between
    /// two of them. Also those that replays made: what is read has an end, whatever it is.
    fn originals(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, Option<i64>) => (BigInt, BigInt, BigInt, Nullable<BigInt>)
    "SELECT id, event, status, replay FROM deliveries INDEXED BY deliveries_by_endpoint \
     WHERE endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ? + 0"
}

query! {
    /// The same of those that were given up.
    fn given_up_originals(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, Option<i64>) => (BigInt, BigInt, BigInt, Nullable<BigInt>)
    "SELECT id, event, status, replay FROM deliveries INDEXED BY deliveries_given_up \
     WHERE status >= 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ? + 0"
}

query! {
    /// The same of those that are exhausted.
    fn exhausted_originals(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, Option<i64>) => (BigInt, BigInt, BigInt, Nullable<BigInt>)
    "SELECT id, event, status, replay FROM deliveries INDEXED BY deliveries_exhausted \
     WHERE status = 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ? + 0"
}

query! {
    /// `event`, `id`, `status` and `replay` of an endpoint's deliveries that replays made, in
    /// the order of the events, between two of them.
    fn replayed_to(
        endpoint: i64 => BigInt,
        after: i64 => BigInt,
        before: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, i64) => (BigInt, BigInt, BigInt, BigInt)
    "SELECT event, id, status, replay FROM deliveries INDEXED BY deliveries_replayed_to \
     WHERE replay IS NOT NULL AND endpoint = ? AND event > ? AND event < ? ORDER BY event LIMIT ? + 0"
}

query! {
    /// The same of one event, all of them.
    fn replays_of(
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
    ) -> (i64, i64, i64, i64) => (BigInt, BigInt, BigInt, BigInt)
    "SELECT event, id, status, replay FROM deliveries INDEXED BY deliveries_replayed \
     WHERE replay IS NOT NULL AND event = ? AND endpoint = ?"
}

query! {
    /// A scope's events between two, the first of them.
    fn events_of_scope(
        scope: i64 => BigInt,
        after: i64 => BigInt,
        before: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM events INDEXED BY events_by_scope WHERE scope = ? AND id > ? AND id < ? ORDER BY id LIMIT ? + 0"
}

query! {
    /// How many deliveries of a replay to an endpoint are unfinished, counted up to a limit.
    fn unfinished_of_replay(
        replay: i64 => BigInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT COUNT(*) FROM ( \
       SELECT 1 FROM deliveries INDEXED BY deliveries_of_replay \
       WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? AND status < 2 LIMIT ? + 0)"
}

query! {
    /// How many of them there are, and how many of these were never tried and are due, all
    /// counted up to a limit.
    fn under_way(
        now: i64 => BigInt,
        replay: i64 => BigInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64) => (BigInt, BigInt)
    "SELECT count(*), count(*) FILTER (WHERE scheduled_attempts = 0 AND coalesce(next_at, 0) <= ?) FROM ( \
       SELECT scheduled_attempts, next_at FROM deliveries INDEXED BY deliveries_of_replay \
       WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? AND status < 2 LIMIT ? + 0)"
}

query! {
    /// How many of them were given up.
    fn failed(
        replay: i64 => BigInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT COUNT(*) FROM ( \
       SELECT 1 FROM deliveries INDEXED BY deliveries_of_replay \
       WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? AND status > 2 LIMIT ? + 0)"
}

query! {
    /// A replay's deliveries between two keys, newest first.
    fn in_replay(
        replay: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries INDEXED BY deliveries_in_replay \
     WHERE replay IS NOT NULL AND replay = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ? + 0"
}

query! {
    /// An endpoint's newest exhausted deliveries: `id` and `finished_at`, the class of error and
    /// the status code of the last attempt, and whether the event was replayed since.
    fn exhausted_of(
        endpoint: i64 => BigInt,
        before: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, Option<i64>, Option<String>, Option<i64>, bool)
        => (BigInt, Nullable<BigInt>, Nullable<Text>, Nullable<BigInt>, Bool)
    "SELECT ended.id, ended.finished_at, attempts.error_class, attempts.status_code, EXISTS ( \
       SELECT 1 FROM deliveries AS later INDEXED BY deliveries_replayed \
       WHERE later.replay IS NOT NULL AND later.event = ended.event AND later.endpoint = ended.endpoint \
         AND later.id > ended.id) \
     FROM (SELECT id, event, endpoint, finished_at, attempt_count FROM deliveries INDEXED BY deliveries_exhausted \
           WHERE status = 3 AND endpoint = ? AND id < ? ORDER BY id DESC LIMIT ? + 0) AS ended \
     LEFT JOIN attempts ON attempts.delivery = ended.id AND attempts.number = ended.attempt_count"
}
