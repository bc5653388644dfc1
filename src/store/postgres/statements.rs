//! The statements of the hot path: each takes as many rows as there are, in
//! arrays, and is one round trip.

use diesel::pg::Pg as Backend;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text};

use super::Connection;
use crate::store::pull::NumberedRow;
use crate::store::rows::DueRow;

query! {
    /// The first of so many row keys, behind all that were taken before. Not worth
    /// a flush: the commit that uses them makes them durable with it.
    fn take_row_keys(
        count: i64 => BigInt,
        least: i64 => BigInt,
    ) -> (String, i64) => (Text, BigInt)
    "SELECT set_config('synchronous_commit', 'off', true), take_row_keys(?, ?)"
}

query! {
    /// The same as kind 1, where any are wanted; as kind 2, by endpoint, the last of so many
    /// numbers for each of these endpoints; and as kind 0 what [`versions`] answers: one round
    /// trip for all that an accept has to know.
    fn take_keys_and_numbers(
        count: i64 => BigInt,
        least: i64 => BigInt,
        endpoints: &'a [i64] => Array<BigInt>,
        counts: &'a [i64] => Array<BigInt>,
        scopes: &'a [i64] => Array<BigInt>,
    ) -> (i64, i64, i64) => (BigInt, BigInt, BigInt)
    "WITH taken AS MATERIALIZED ( \
       SELECT given.* FROM (SELECT set_config('synchronous_commit', 'off', true) AS done) AS unflushed, \
         take_row_keys_and_numbers(?, ?, ?, ?) AS given \
       WHERE done IS NOT NULL) \
     SELECT kind, id, value FROM taken \
     UNION ALL \
     SELECT 0::bigint, id, version FROM scopes WHERE id = ANY(?) \
     UNION ALL \
     SELECT 0::bigint, CASE subject WHEN 'keys' THEN -1 WHEN 'catalog sandbox' THEN -2 ELSE -3 END::bigint, version \
     FROM versions"
}

query! {
    /// Versions: of these scopes by their ids, and of what is kept in memory by
    /// -1 (keys), -2 and -3 (catalogs).
    fn versions(
        scopes: &'a [i64] => Array<BigInt>,
    ) -> (i64, i64) => (BigInt, BigInt)
    "SELECT id, version FROM scopes WHERE id = ANY(?) \
     UNION ALL \
     SELECT CASE subject WHEN 'keys' THEN -1 WHEN 'catalog sandbox' THEN -2 ELSE -3 END::bigint, version FROM versions"
}

query! {
    /// Moves an environment's clock on in this transaction's turn.
    fn lock_clock(
        scope: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT version FROM scopes WHERE id = ? FOR UPDATE"
}

query! {
    /// What is written down of statistics under these keys.
    fn statistics_rows(
        resolutions: &'a [i64] => Array<BigInt>,
        scopes: &'a [i64] => Array<BigInt>,
        endpoints: &'a [i64] => Array<BigInt>,
        buckets: &'a [i64] => Array<BigInt>,
        event_types: &'a [&'a str] => Array<Text>,
        writers: &'a [i64] => Array<BigInt>,
    ) -> (i64, i64, i64, i64, String, i64, Vec<u8>) => (BigInt, BigInt, BigInt, BigInt, Text, BigInt, Binary)
    "SELECT resolution, scope, endpoint, bucket, event_type, writer, tally \
     FROM unnest(?, ?, ?, ?, ?, ?) AS wanted (resolution, scope, endpoint, bucket, event_type, writer) \
     JOIN statistics USING (resolution, scope, endpoint, bucket, event_type, writer)"
}

statement! {
    /// Writes rows of statistics, in place of those that are there. No two have the same
    /// key.
    fn put_statistics(
        resolutions: &'a [i64] => Array<BigInt>,
        scopes: &'a [i64] => Array<BigInt>,
        endpoints: &'a [i64] => Array<BigInt>,
        buckets: &'a [i64] => Array<BigInt>,
        event_types: &'a [&'a str] => Array<Text>,
        writers: &'a [i64] => Array<BigInt>,
        tallies: &'a [&'a [u8]] => Array<Binary>,
    )
    "INSERT INTO statistics (resolution, scope, endpoint, bucket, event_type, writer, tally) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (resolution, scope, endpoint, bucket, event_type, writer) DO UPDATE SET tally = excluded.tally"
}

statement! {
    /// Writes events down with all their deliveries.
    fn insert_events(
        ids: &'a [i64] => Array<BigInt>,
        scopes: &'a [i64] => Array<BigInt>,
        event_types: &'a [&'a str] => Array<Text>,
        deliveries: &'a [i64] => Array<BigInt>,
        matched_versions: &'a [i64] => Array<BigInt>,
        bodies: &'a [&'a [u8]] => Array<Binary>,
        deliver_at: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        expires_at: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        idempotency_keys: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        retain: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        delivery_ids: &'a [i64] => Array<BigInt>,
        delivery_events: &'a [i64] => Array<BigInt>,
        endpoints: &'a [i64] => Array<BigInt>,
        next_at: &'a [i64] => Array<BigInt>,
        partitions: &'a [i16] => Array<SmallInt>,
        statuses: &'a [i16] => Array<SmallInt>,
        numbers: &'a [i64] => Array<BigInt>,
    )
    "WITH written AS ( \
       INSERT INTO events (id, scope, event_type, deliveries, matched_version, body, deliver_at, expires_at, \
         idempotency_key, retain) \
       SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) \
     INSERT INTO pending (id, event, endpoint, next_at, partition, status, number, attempt_count, scheduled_attempts) \
     SELECT *, 0, 0 FROM unnest(?, ?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Makes deliveries that were never tried.
    fn insert_pending(
        ids: &'a [i64] => Array<BigInt>,
        events: &'a [i64] => Array<BigInt>,
        endpoints: &'a [i64] => Array<BigInt>,
        next_at: &'a [i64] => Array<BigInt>,
        partitions: &'a [i16] => Array<SmallInt>,
        statuses: &'a [i16] => Array<SmallInt>,
        numbers: &'a [i64] => Array<BigInt>,
    )
    "INSERT INTO pending (id, event, endpoint, next_at, partition, status, number, attempt_count, scheduled_attempts) \
     SELECT *, 0, 0 FROM unnest(?, ?, ?, ?, ?, ?, ?)"
}

query! {
    /// Moves unfinished deliveries on that stand where the attempt found them, and
    /// writes the attempts down. Of one delivery there is one outcome. What would be
    /// retried stays as it is where its endpoint is gone, and goes on waiting where it
    /// waits for others: it was given its place while the outcome of an earlier life's
    /// attempt was on its way. Answers which were
    /// written, and which were refused because their fence no longer stands; with the
    /// endpoint and the key of what ended and has others waiting for it. Whoever
    /// wants to draw a new fence in place of one that does stand waits until this
    /// transaction has ended.
    fn advance(
        ids: &'a [i64] => Array<BigInt>,
        attempts_before: &'a [i32] => Array<Integer>,
        statuses: &'a [i16] => Array<SmallInt>,
        next_at: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        finished_at: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        started_at: &'a [i64] => Array<BigInt>,
        durations_ms: &'a [i64] => Array<BigInt>,
        status_codes: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        error_classes: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        error_messages: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        response_bodies: &'a [Option<&'a [u8]>] => Array<Nullable<Binary>>,
        exchanges: &'a [Option<&'a str>] => Array<Nullable<Text>>,
        fences: &'a [Option<i64>] => Array<Nullable<BigInt>>,
        tokens: &'a [i64] => Array<BigInt>,
    ) -> (i64, bool, Option<i64>, Option<i64>) => (BigInt, Bool, Nullable<BigInt>, Nullable<BigInt>)
    "WITH named AS ( \
       SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS o \
         (id, attempts_before, status, next_at, finished_at, started_at, duration_ms, status_code, error_class, \
          error_message, response_body, exchange, fence)), \
     standing AS MATERIALIZED ( \
       SELECT token FROM leases WHERE token = ANY(?) ORDER BY partition FOR KEY SHARE), \
     outcome AS MATERIALIZED ( \
       SELECT * FROM named WHERE fence IS NULL OR fence IN (SELECT token FROM standing)), \
     ended AS ( \
       DELETE FROM pending USING outcome \
       WHERE pending.id = outcome.id AND pending.attempt_count = outcome.attempts_before AND outcome.status >= 2 \
       RETURNING pending.id, event, endpoint, finished_at, outcome.status, attempt_count, scheduled_attempts, \
         sequence, order_key, replay, number), \
     kept AS ( \
       UPDATE pending SET status = CASE pending.status WHEN -1 THEN -1 ELSE 1 END, \
         attempt_count = attempt_count + 1, \
         scheduled_attempts = scheduled_attempts + 1, next_at = outcome.next_at \
       FROM outcome \
       WHERE pending.id = outcome.id AND pending.attempt_count = outcome.attempts_before AND outcome.status = 1 \
         AND NOT EXISTS (SELECT 1 FROM endpoints WHERE endpoints.id = pending.endpoint AND deleted_at IS NOT NULL) \
       RETURNING pending.id), \
     history AS ( \
       INSERT INTO finished (id, event, endpoint, finished_at, status, attempt_count, scheduled_attempts, sequence, \
         replay, number) \
       SELECT id, event, endpoint, finished_at, status, attempt_count + 1, scheduled_attempts + 1, sequence, replay, \
         number \
       FROM ended), \
     moved AS ( \
       SELECT id, endpoint, order_key FROM ended UNION ALL SELECT id, NULL::bigint, NULL::bigint FROM kept), \
     tried AS ( \
       INSERT INTO attempts (delivery, number, started_at, duration_ms, status_code, error_class, error_message, \
         response_body, exchange) \
       SELECT outcome.id, attempts_before + 1, started_at, duration_ms, status_code, error_class, error_message, \
         response_body, exchange \
       FROM outcome JOIN moved ON moved.id = outcome.id) \
     SELECT id, TRUE, endpoint, order_key FROM moved \
     UNION ALL \
     SELECT id, FALSE, NULL, NULL FROM named WHERE fence IS NOT NULL AND fence NOT IN (SELECT token FROM standing)"
}

query! {
    /// An endpoint's deliveries that were never tried, behind one of them. Keys grow
    /// as deliveries are accepted, and so do the times they are due at.
    fn fresh(
        partition: i16 => SmallInt,
        endpoint: i64 => BigInt,
        after: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, 0::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number, next_at \
     FROM pending \
     WHERE status = 0 AND partition = ? AND endpoint = ? AND id > ? \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) \
     ORDER BY id LIMIT ?"
}

query! {
    /// The unfinished delivery of an endpoint that the others with its key wait for.
    fn first_in_order(
        endpoint: i64 => BigInt,
        order_key: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM pending WHERE order_key IS NOT NULL AND endpoint = ? AND order_key = ? AND status = 1 LIMIT 1"
}

query! {
    /// An endpoint's retries, behind a place, earliest first.
    fn retries(
        partition: i16 => SmallInt,
        endpoint: i64 => BigInt,
        after_time: i64 => BigInt,
        after_id: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, 1::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number, next_at \
     FROM pending \
     WHERE status = 1 AND partition = ? AND endpoint = ? AND (next_at, id) > (?, ?) \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) \
     ORDER BY next_at, id LIMIT ?"
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
    "SELECT found.*, asked.requested_at \
     FROM (SELECT delivery, requested_at FROM manual_attempts \
       WHERE endpoint = ? AND (requested_at, delivery) > (?, ?) ORDER BY requested_at, delivery LIMIT ?) asked, \
     LATERAL ( \
       SELECT id, event, status::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number FROM pending \
       WHERE id = asked.delivery \
       UNION ALL \
       SELECT id, event, status::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number FROM finished \
       WHERE id = asked.delivery) found \
     ORDER BY asked.requested_at, asked.delivery"
}

query! {
    /// An endpoint's deliveries for later that have no place in its order and are due.
    fn due_without_place(
        endpoint: i64 => BigInt,
        now: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, 1::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number, next_at \
     FROM pending \
     WHERE status = 1 AND scheduled_attempts = 0 AND sequence IS NULL AND endpoint = ? AND next_at <= ? \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) \
     ORDER BY next_at, id LIMIT ?"
}

query! {
    /// When the first of an endpoint's deliveries for later is due that are in no order.
    fn next_for_later(
        endpoint: i64 => BigInt,
        now: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT next_at FROM pending \
     WHERE status = 1 AND scheduled_attempts = 0 AND sequence IS NULL AND endpoint = ? AND next_at > ? \
     ORDER BY next_at LIMIT 1"
}

query! {
    /// An endpoint's deliveries with a time that were tried before, behind a place, earliest
    /// first. The index leaves out what is for later, which may be very much.
    fn tried(
        partition: i16 => SmallInt,
        endpoint: i64 => BigInt,
        after_time: i64 => BigInt,
        after_id: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, 1::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number, next_at \
     FROM pending \
     WHERE status = 1 AND partition = ? AND endpoint = ? AND (scheduled_attempts > 0 OR sequence IS NOT NULL) \
     AND scheduled_attempts > 0 AND (next_at, id) > (?, ?) \
     ORDER BY next_at, id LIMIT ?"
}

query! {
    /// An ordered endpoint's deliveries with a time and a place, or tried before, earliest
    /// first.
    fn placed(
        partition: i16 => SmallInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> DueRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)
    "SELECT id, event, 1::bigint, attempt_count::bigint, scheduled_attempts::bigint, sequence, number, next_at \
     FROM pending \
     WHERE status = 1 AND partition = ? AND endpoint = ? AND (scheduled_attempts > 0 OR sequence IS NOT NULL) \
     ORDER BY next_at, id LIMIT ?"
}

query! {
    /// `id` and `sequence` of those that have no place in their endpoint's order and were
    /// not tried by their schedule, locked.
    fn without_place(
        ids: &'a [i64] => Array<BigInt>,
        endpoint: i64 => BigInt,
    ) -> (i64, Option<i64>) => (BigInt, Nullable<BigInt>)
    "SELECT id, sequence FROM pending \
     WHERE id = ANY(?) AND endpoint = ? \
     AND (status = 0 OR (status = 1 AND scheduled_attempts = 0 AND sequence IS NULL)) \
     ORDER BY id FOR UPDATE"
}

query! {
    /// Those of these keys that an unfinished delivery of the endpoint has.
    fn taken_keys(
        keys: &'a [i64] => Array<BigInt>,
        endpoint: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT wanted.order_key FROM unnest(?) AS wanted (order_key) \
     WHERE EXISTS (SELECT 1 FROM pending WHERE endpoint = ? AND pending.order_key = wanted.order_key)"
}

statement! {
    /// Gives deliveries their places. What is due has been so since it was accepted.
    fn place(
        now: i64 => BigInt,
        ids: &'a [i64] => Array<BigInt>,
        statuses: &'a [i16] => Array<SmallInt>,
        sequences: &'a [i64] => Array<BigInt>,
        order_keys: &'a [i64] => Array<BigInt>,
    )
    "UPDATE pending SET status = placed.status, sequence = placed.sequence, order_key = placed.order_key, \
       next_at = LEAST(next_at, ?) \
     FROM unnest(?, ?, ?, ?) AS placed (id, status, sequence, order_key) WHERE pending.id = placed.id"
}

statement! {
    /// Makes the first of those that wait due, for each of these endpoints and keys of
    /// which nothing is; one that was tried before, not before its time.
    fn release(
        now: i64 => BigInt,
        endpoints: &'a [i64] => Array<BigInt>,
        order_keys: &'a [i64] => Array<BigInt>,
    )
    "UPDATE pending SET status = 1, next_at = GREATEST(CASE WHEN scheduled_attempts > 0 THEN next_at ELSE 0 END, ?) \
     WHERE id IN ( \
       SELECT next.id FROM unnest(?, ?) AS freed (endpoint, order_key), LATERAL ( \
         SELECT id FROM pending \
         WHERE pending.endpoint = freed.endpoint AND pending.order_key = freed.order_key AND status = -1 \
         ORDER BY sequence LIMIT 1) AS next \
       WHERE NOT EXISTS ( \
         SELECT 1 FROM pending \
         WHERE pending.endpoint = freed.endpoint AND pending.order_key = freed.order_key AND status = 1))"
}

query! {
    /// `id`, `event`, `status`, `scheduled_attempts` and `number` of an endpoint's deliveries
    /// behind a number, in their order, and whether they are not sealed yet.
    fn numbered(
        endpoint: i64 => BigInt,
        after: i64 => BigInt,
        limit: i64 => BigInt,
        of_finished: i64 => BigInt,
        after_finished: i64 => BigInt,
        limit_finished: i64 => BigInt,
        limit_both: i64 => BigInt,
    ) -> NumberedRow => (BigInt, BigInt, BigInt, BigInt, BigInt, Bool)
    "(SELECT id, event, status::bigint, scheduled_attempts::bigint, number, \
       EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) \
      FROM pending WHERE endpoint = ? AND number > ? ORDER BY number LIMIT ?) \
     UNION ALL \
     (SELECT id, event, status::bigint, scheduled_attempts::bigint, number, FALSE \
      FROM finished WHERE endpoint = ? AND number > ? ORDER BY number LIMIT ?) \
     ORDER BY number LIMIT ?"
}

query! {
    /// What is known of when an endpoint's numbers were given: `last`, `newer` and `older`,
    /// each with its time.
    fn marks(
        endpoint: i64 => BigInt,
    ) -> (i64, i64, i64, i64, i64, i64) => (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt)
    "SELECT last, last_at, newer, newer_at, older, older_at FROM endpoint_numbers WHERE endpoint = ? \
     ORDER BY generation DESC LIMIT 1"
}

query! {
    /// What runs in this database beside this: since when the oldest transaction does, and
    /// the oldest that writes; whether there are sessions that do not show it, and any
    /// of them writes; and what time it is. A session of another role shows only that it has
    /// a lock, as whoever writes has one on the transaction itself.
    fn running() -> (Option<i64>, Option<i64>, bool, bool, i64) => (
        Nullable<BigInt>, Nullable<BigInt>, Bool, Bool, BigInt
    )
    "WITH beside AS MATERIALIZED ( \
       SELECT pid, xact_start, backend_xid, state IS NULL OR state = 'disabled' AS is_hidden FROM pg_stat_activity \
       WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND (backend_type = 'client backend' OR backend_type IS NULL)) \
     SELECT floor(extract(epoch FROM min(xact_start)) * 1000)::bigint, \
       floor(extract(epoch FROM min(xact_start) FILTER (WHERE backend_xid IS NOT NULL)) * 1000)::bigint, \
       coalesce(bool_or(is_hidden), FALSE), \
       CASE WHEN coalesce(bool_or(is_hidden), FALSE) THEN EXISTS ( \
         SELECT 1 FROM pg_locks JOIN beside AS hidden ON hidden.pid = pg_locks.pid AND hidden.is_hidden \
         WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock') \
       ELSE FALSE END, \
       floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint \
     FROM beside"
}

query! {
    /// Events' types and bytes, and until when they are worth delivering.
    fn payloads(
        events: &'a [i64] => Array<BigInt>,
    ) -> (i64, String, Vec<u8>, Option<i64>) => (BigInt, Text, Binary, Nullable<BigInt>)
    "SELECT id, event_type, body, expires_at FROM events WHERE id = ANY(?) AND erased_at IS NULL"
}

query! {
    /// `endpoint`, `id` and `event` of what was never tried, behind a key. By the
    /// primary key, which ends where the look begins: the index by partition would
    /// be read through all that waits.
    fn born(
        after: i64 => BigInt,
        partitions: &'a [i16] => Array<SmallInt>,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64) => (BigInt, BigInt, BigInt)
    "SELECT endpoint, id, event FROM pending \
     WHERE id > ? AND status = 0 AND partition + 0 = ANY(?) \
     AND NOT EXISTS (SELECT 1 FROM unsealed WHERE pending.id BETWEEN first_key AND last_key) \
     ORDER BY id LIMIT ?"
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
    "SELECT id, endpoint FROM finished \
     WHERE status >= 3 AND status = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ?"
}

query! {
    /// `id`, `status` and `scheduled_attempts` of an endpoint's newest deliveries that were
    /// given up, between two keys. Not by the view:
    /// its status is another type than the index's.
    fn given_up_of(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64) => (BigInt, BigInt, BigInt)
    "SELECT id, status::bigint, scheduled_attempts::bigint FROM finished \
     WHERE status >= 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ?"
}

query! {
    /// The newest deliveries that were made by replays, between two keys.
    fn replayed(
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries WHERE replay IS NOT NULL AND id > ? AND id < ? ORDER BY id DESC LIMIT ?"
}

statement! {
    /// Makes deliveries of events that were accepted earlier, to one endpoint.
    fn insert_replayed(
        endpoint: i64 => BigInt,
        partition: i16 => SmallInt,
        replay: i64 => BigInt,
        ids: &'a [i64] => Array<BigInt>,
        events: &'a [i64] => Array<BigInt>,
        next_at: &'a [i64] => Array<BigInt>,
        statuses: &'a [i16] => Array<SmallInt>,
        numbers: &'a [i64] => Array<BigInt>,
    )
    "INSERT INTO pending \
       (endpoint, partition, replay, attempt_count, scheduled_attempts, id, event, next_at, status, number) \
     SELECT ?, ?, ?, 0, 0, made.* FROM unnest(?, ?, ?, ?, ?) AS made"
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
    "SELECT id, event, status, replay FROM deliveries \
     WHERE endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ?"
}

query! {
    /// The same of those that were given up.
    fn given_up_originals(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, Option<i64>) => (BigInt, BigInt, BigInt, Nullable<BigInt>)
    "SELECT id, event, status::bigint, replay FROM finished \
     WHERE status >= 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ?"
}

query! {
    /// The same of those that are exhausted.
    fn exhausted_originals(
        endpoint: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64, i64, i64, Option<i64>) => (BigInt, BigInt, BigInt, Nullable<BigInt>)
    "SELECT id, event, status::bigint, replay FROM finished \
     WHERE status = 3 AND endpoint = ? AND id > ? AND id < ? ORDER BY id LIMIT ?"
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
    "SELECT event, id, status, replay FROM deliveries \
     WHERE replay IS NOT NULL AND endpoint = ? AND event > ? AND event < ? ORDER BY event LIMIT ?"
}

query! {
    /// The same of one event, all of them.
    fn replays_of(
        event: i64 => BigInt,
        endpoint: i64 => BigInt,
    ) -> (i64, i64, i64, i64) => (BigInt, BigInt, BigInt, BigInt)
    "SELECT event, id, status, replay FROM deliveries WHERE replay IS NOT NULL AND event = ? AND endpoint = ?"
}

query! {
    /// A scope's events between two, the first of them.
    fn events_of_scope(
        scope: i64 => BigInt,
        after: i64 => BigInt,
        before: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM events WHERE scope = ? AND id > ? AND id < ? ORDER BY id LIMIT ?"
}

query! {
    /// How many deliveries of a replay to an endpoint are unfinished, counted up to a limit.
    fn unfinished_of_replay(
        replay: i64 => BigInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT count(*) FROM ( \
       SELECT 1 FROM pending WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? LIMIT ?) AS counted"
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
       SELECT scheduled_attempts, next_at FROM pending \
       WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? LIMIT ?) AS counted"
}

query! {
    /// How many of them were given up.
    fn failed(
        replay: i64 => BigInt,
        endpoint: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT count(*) FROM ( \
       SELECT 1 FROM finished WHERE replay IS NOT NULL AND replay = ? AND endpoint = ? AND status > 2 LIMIT ?) AS counted"
}

query! {
    /// A replay's deliveries between two keys, newest first.
    fn in_replay(
        replay: i64 => BigInt,
        above: i64 => BigInt,
        below: i64 => BigInt,
        limit: i64 => BigInt,
    ) -> (i64,) => (BigInt)
    "SELECT id FROM deliveries WHERE replay IS NOT NULL AND replay = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT ?"
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
    "SELECT ended.id, ended.finished_at, last.error_class, last.status_code, \
       EXISTS (SELECT 1 FROM pending AS later \
         WHERE later.replay IS NOT NULL AND later.event = ended.event AND later.endpoint = ended.endpoint \
           AND later.id > ended.id) \
       OR EXISTS (SELECT 1 FROM finished AS later \
         WHERE later.replay IS NOT NULL AND later.event = ended.event AND later.endpoint = ended.endpoint \
           AND later.id > ended.id) \
     FROM (SELECT id, event, endpoint, finished_at, attempt_count FROM finished \
           WHERE status = 3 AND endpoint = ? AND id < ? ORDER BY id DESC LIMIT ?) AS ended \
     LEFT JOIN LATERAL ( \
       SELECT error_class, status_code FROM attempts \
       WHERE attempts.delivery = ended.id AND attempts.number = ended.attempt_count LIMIT 1) AS last ON TRUE"
}
