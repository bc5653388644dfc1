//! What one event, one delivery and one attempt cost: the only place where the
//! simulation takes figures from a machine. How often each happens is
//! `simulation`'s to say, what the sums mean is `capacity`'s.
//!
//! Every constant says how it was measured. Those called `PLACEHOLDER` are
//! rounded from early trials and stand for a measurement that is yet to be made;
//! their split into parts is a guess, of which the last part is what is left of
//! the whole that was seen.

/// PLACEHOLDER: server CPU of one event with one delivery through its whole
/// life, in sets. An early trial of PostgreSQL 15 with sets of 500 did 27,400 a
/// second over one connection, which is about the same, client included.
pub const DATABASE_SECONDS_PER_LIFE: f64 = 35e-6;
/// PLACEHOLDER, part of the above: an event's row and its partner's version.
pub const DATABASE_SECONDS_PER_EVENT: f64 = 9e-6;
/// PLACEHOLDER, part of the above: a delivery's row among what is pending.
pub const DATABASE_SECONDS_PER_BIRTH: f64 = 8e-6;
/// The rest of the above: the last outcome, which takes the pending row away
/// and writes the finished delivery and the attempt.
pub const DATABASE_SECONDS_PER_END: f64 =
    DATABASE_SECONDS_PER_LIFE - DATABASE_SECONDS_PER_EVENT - DATABASE_SECONDS_PER_BIRTH;
/// PLACEHOLDER: an outcome after which the delivery waits again: the pending
/// row gets a new time, the attempt is written, and reading it back when it is
/// due is counted here as well.
pub const DATABASE_SECONDS_PER_RETRY: f64 = 16e-6;
/// PLACEHOLDER: cores that one node's polls, renewals and reads of settings
/// take with nothing to do.
pub const DATABASE_CORES_PER_IDLE_NODE: f64 = 0.01;

/// CPU of a node for one event with one delivery, everything included: 42 to
/// 56 µs by `cargo bench --bench delivery -- --scenario one-to-one` with SQLite
/// (docs/performance.md). PLACEHOLDER for PostgreSQL, where the rows are
/// another machine's work and the socket to it is the node's.
pub const NODE_SECONDS_PER_LIFE: f64 = 50e-6;
/// PLACEHOLDER, part of the above: HTTP in, validation, its share of a batch.
pub const NODE_SECONDS_PER_EVENT: f64 = 21e-6;
/// PLACEHOLDER, part of the above: a delivery told to its actor.
pub const NODE_SECONDS_PER_BIRTH: f64 = 3e-6;
/// The rest of the above: signing, HTTP out, the outcome on its way to
/// the journal. A failed attempt is taken to cost as much as a good one.
pub const NODE_SECONDS_PER_ATTEMPT: f64 = NODE_SECONDS_PER_LIFE - NODE_SECONDS_PER_EVENT - NODE_SECONDS_PER_BIRTH;

/// PLACEHOLDER: bytes on disk that one event with one delivery leaves behind
/// for as long as it is kept, with indexes and its body.
pub const KEPT_BYTES_PER_LIFE: f64 = 600.0;
/// PLACEHOLDER: bytes of the bodies with which the sizes here were seen.
pub const BODY_BYTES_THEN: f64 = 200.0;
/// PLACEHOLDER, part of the above: an event's row without its body.
pub const KEPT_BYTES_PER_EVENT: f64 = 120.0;
/// PLACEHOLDER, part of the above: a finished delivery's row.
pub const KEPT_BYTES_PER_DELIVERY: f64 = 140.0;
/// The rest of the above: an attempt's row, of the first attempt as of
/// any other. What a receiver answered is not in it.
pub const KEPT_BYTES_PER_ATTEMPT: f64 =
    KEPT_BYTES_PER_LIFE - BODY_BYTES_THEN - KEPT_BYTES_PER_EVENT - KEPT_BYTES_PER_DELIVERY;
/// PLACEHOLDER: bytes of one pending row with its indexes, dead ones included
/// until vacuum has been there.
pub const PENDING_ROW_BYTES: f64 = 160.0;

/// PLACEHOLDER: WAL of one event with one delivery through its whole life.
/// The first change to a page after a checkpoint writes the whole page, so that
/// frequent checkpoints cost more than this.
pub const WAL_BYTES_PER_LIFE: f64 = 1_500.0;
/// PLACEHOLDER, part of the above, without the body, which is added as it is.
pub const WAL_BYTES_PER_EVENT: f64 = 300.0;
/// PLACEHOLDER, part of the above: the pending row and its index.
pub const WAL_BYTES_PER_BIRTH: f64 = 300.0;
/// The rest of the above: pending row deleted, delivery and attempt
/// inserted.
pub const WAL_BYTES_PER_END: f64 = WAL_BYTES_PER_LIFE - BODY_BYTES_THEN - WAL_BYTES_PER_EVENT - WAL_BYTES_PER_BIRTH;
/// PLACEHOLDER: pending row updated with its index, attempt inserted.
pub const WAL_BYTES_PER_RETRY: f64 = 500.0;

/// Rows written, by the design of the tables (to be counted once they are
/// built): an event's row.
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

/// Connections of a node beside its readers: the journal, the keys and the
/// cluster's leases have one each, by design.
pub const CONNECTIONS_BESIDE_READERS: u32 = 3;
/// Connections that PostgreSQL and its operators keep for themselves:
/// `superuser_reserved_connections`, a backup, a console.
pub const CONNECTIONS_RESERVED: u32 = 10;

/// `journal_batch`: most entries of one commit, by default.
pub const ENTRIES_PER_COMMIT: f64 = 1_024.0;
/// PLACEHOLDER: a round trip to a database in the same zone, several of which
/// a batch needs.
pub const ROUND_TRIP_SECONDS: f64 = 0.3e-3;
/// PLACEHOLDER: round trips of one batch: begin with fence and versions, the
/// sets of rows, commit.
pub const ROUND_TRIPS_PER_COMMIT: f64 = 4.0;

/// PLACEHOLDER: dead rows a second that one autovacuum worker takes out of the
/// hot table and its indexes, with the settings of its migration.
pub const VACUUMED_ROWS_PER_SECOND: f64 = 100_000.0;
/// `autovacuum_naptime`: PostgreSQL's default, below which a table is not
/// looked at again.
pub const VACUUM_NAP_SECONDS: f64 = 60.0;

/// PLACEHOLDER: rows a second that a node reads when it takes partitions over:
/// which endpoints wait and until when, and what is due.
pub const TAKEOVER_ROWS_PER_SECOND: f64 = 50_000.0;
/// PLACEHOLDER: the statement that takes leases, with its commit.
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
