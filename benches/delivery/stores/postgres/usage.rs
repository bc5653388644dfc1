//! What a PostgreSQL server has used: its processes as Linux counts them, its log
//! and its rows as it counts them itself.

use diesel::prelude::*;
use diesel::sql_types::{Double, Integer};

use crate::usage::{StoreUsage, cpu_seconds_of_family, parent};

/// The figures of one database, but for the log and the processes, which all have
/// in common. Backends hand in their counts up to a second late.
const COUNTS: &str = "
    SELECT pg_backend_pid() AS backend,
           (pg_current_wal_insert_lsn() - '0/0')::float8 AS wal_bytes,
           xact_commit::float8 AS transactions,
           (tup_inserted + tup_updated + tup_deleted)::float8 AS rows
    FROM pg_stat_database WHERE datname = current_database()";

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = Integer)]
    backend: i32,
    #[diesel(sql_type = Double)]
    wal_bytes: f64,
    #[diesel(sql_type = Double)]
    transactions: f64,
    #[diesel(sql_type = Double)]
    rows: f64,
}

/// As of now; `None` if it does not say, or if it runs on another machine.
pub fn of(connection: &mut PgConnection) -> Option<StoreUsage> {
    let counts: Counts = diesel::sql_query(COUNTS).get_result(connection).ok()?;
    // Whoever started this backend started all of them.
    let server = parent(u32::try_from(counts.backend).ok()?)?;
    let Counts { wal_bytes, transactions, rows, .. } = counts;
    Some(StoreUsage { cpu_seconds: cpu_seconds_of_family(server)?, wal_bytes, transactions, rows })
}
