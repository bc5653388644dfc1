//! What one event, one delivery and one attempt cost: the only place where the
//! simulation takes figures from a machine. How often each happens is
//! `simulation`'s to say, what the sums mean is `capacity`'s.
//!
//! Every constant says how it was measured: by `cargo bench --bench delivery --
//! --store postgres`, PostgreSQL 15 on a machine with two cores, 500-byte bodies.
//! Of each whole, the last part is what is left of it. Those called `ASSUMED` were
//! not measured.

/// Server CPU of one event with one delivery through its whole life in commits of
/// a hundred (`--scenario costs`: 29 to 36 µs). It is 46 to 61 µs in the commits of
/// about thirty that 64 connections make, and 19 to 25 in full ones.
pub const DATABASE_SECONDS_PER_LIFE: f64 = 33e-6;
/// Part of the above: an event's row (4.2 to 5.5 µs).
pub const DATABASE_SECONDS_PER_EVENT: f64 = 5e-6;
/// Part of the above: a delivery's row among what is pending (10.2 to 11.9 µs).
pub const DATABASE_SECONDS_PER_BIRTH: f64 = 11e-6;
/// The rest of the above: the last outcome, which takes the pending row away
/// and writes the finished delivery and the attempt.
pub const DATABASE_SECONDS_PER_END: f64 =
    DATABASE_SECONDS_PER_LIFE - DATABASE_SECONDS_PER_EVENT - DATABASE_SECONDS_PER_BIRTH;
/// An outcome after which the delivery waits again: the pending row gets a new time
/// and the attempt is written (14.6 to 17.6 µs). Reading it back when it is due comes
/// to more where each retry is another endpoint's.
pub const DATABASE_SECONDS_PER_RETRY: f64 = 17e-6;
/// ASSUMED: cores that one node's polls, renewals and reads of settings
/// take with nothing to do.
pub const DATABASE_CORES_PER_IDLE_NODE: f64 = 0.01;

/// CPU of a node for one event with one delivery, everything included: 55 to 78 µs
/// in `one-to-one`, the less the more connections share a commit. Where most events
/// come to a node that does not own the endpoint, both take up to twice that.
pub const NODE_SECONDS_PER_LIFE: f64 = 65e-6;
/// ASSUMED, part of the above: HTTP in, validation, its share of a batch.
pub const NODE_SECONDS_PER_EVENT: f64 = 27e-6;
/// ASSUMED, part of the above: a delivery told to its actor.
pub const NODE_SECONDS_PER_BIRTH: f64 = 4e-6;
/// The rest of the above: signing, HTTP out, the outcome on its way to
/// the journal. A failed attempt is taken to cost as much as a good one.
pub const NODE_SECONDS_PER_ATTEMPT: f64 = NODE_SECONDS_PER_LIFE - NODE_SECONDS_PER_EVENT - NODE_SECONDS_PER_BIRTH;

/// Bytes on disk that one event with one delivery leaves behind for as long as it
/// is kept, with indexes and its body: the growth of the tables.
pub const KEPT_BYTES_PER_LIFE: f64 = 915.0;
/// Bytes of the bodies with which the sizes here were seen.
pub const BODY_BYTES_THEN: f64 = 500.0;
/// Part of the above: an event's row without its body.
pub const KEPT_BYTES_PER_EVENT: f64 = 184.0;
/// Part of the above: a finished delivery's row.
pub const KEPT_BYTES_PER_DELIVERY: f64 = 131.0;
/// The rest of the above: an attempt's row, of the first attempt as of
/// any other. What a receiver answered is not in it.
pub const KEPT_BYTES_PER_ATTEMPT: f64 =
    KEPT_BYTES_PER_LIFE - BODY_BYTES_THEN - KEPT_BYTES_PER_EVENT - KEPT_BYTES_PER_DELIVERY;
/// Bytes of one pending row with its indexes (160, and 32 for the index that people
/// look by, which came later).
pub const PENDING_ROW_BYTES: f64 = 192.0;

/// WAL of one event with one delivery through its whole life, body included. The first change to a page after a checkpoint writes the whole page, so that
/// frequent checkpoints cost more than this.
pub const WAL_BYTES_PER_LIFE: f64 = 1_575.0;
/// Part of the above, without the body, which is added as it is.
pub const WAL_BYTES_PER_EVENT: f64 = 234.0;
/// Part of the above: the pending row and its indexes.
pub const WAL_BYTES_PER_BIRTH: f64 = 350.0;
/// The rest of the above: pending row deleted, delivery and attempt
/// inserted.
pub const WAL_BYTES_PER_END: f64 = WAL_BYTES_PER_LIFE - BODY_BYTES_THEN - WAL_BYTES_PER_EVENT - WAL_BYTES_PER_BIRTH;
/// Pending row updated with its indexes, attempt inserted.
pub const WAL_BYTES_PER_RETRY: f64 = 500.0;

/// Rows written (5 in a whole life, as PostgreSQL counts them): an event's row.
pub const ROWS_PER_EVENT: f64 = 1.0;
/// The pending row.
pub const ROWS_PER_BIRTH: f64 = 1.0;
/// Pending row deleted, delivery and attempt inserted.
pub const ROWS_PER_END: f64 = 3.0;
/// Pending row updated, attempt inserted.
pub const ROWS_PER_RETRY: f64 = 2.0;
/// Each outcome leaves one dead row in the hot table: deleted or updated.
pub const DEAD_ROWS_PER_OUTCOME: f64 = 1.0;
/// Tables that get a partition each day: events, deliveries, attempts.
pub const DAILY_TABLES: u32 = 3;

/// Connections of a node beside its readers: the journal, row keys, leases, and
/// the look at what others changed have one each.
pub const CONNECTIONS_BESIDE_READERS: u32 = 4;
/// Connections that PostgreSQL and its operators keep for themselves:
/// `superuser_reserved_connections`, a backup, a console.
pub const CONNECTIONS_RESERVED: u32 = 10;

/// `journal_batch`: most entries of one commit, by default.
pub const ENTRIES_PER_COMMIT: f64 = 1_024.0;
/// ASSUMED: a round trip to a database in the same zone, several of which
/// a batch needs.
pub const ROUND_TRIP_SECONDS: f64 = 0.3e-3;
/// Round trips of one batch: begin, keys with versions, what is accepted, outcomes
/// with their fences, commit.
pub const ROUND_TRIPS_PER_COMMIT: f64 = 5.0;

/// Dead rows a second that one vacuum takes out of the hot table and its indexes:
/// half of the 870,000 to 920,000 that were seen with all of it in memory.
pub const VACUUMED_ROWS_PER_SECOND: f64 = 450_000.0;
/// `autovacuum_naptime`: PostgreSQL's default, below which a table is not
/// looked at again.
pub const VACUUM_NAP_SECONDS: f64 = 60.0;

/// ASSUMED: rows a second that a node reads when it takes partitions over:
/// which endpoints wait and until when, and what is due.
pub const TAKEOVER_ROWS_PER_SECOND: f64 = 50_000.0;
/// ASSUMED: the statement that takes leases, with its commit.
pub const STEAL_SECONDS: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_more_than_its_whole() {
        let rests = [DATABASE_SECONDS_PER_END, NODE_SECONDS_PER_ATTEMPT, KEPT_BYTES_PER_ATTEMPT, WAL_BYTES_PER_END];
        assert!(rests.iter().all(|rest| *rest > 0.0), "{rests:?}");
    }
}
