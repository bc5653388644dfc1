//! Where a node's store is, for tests that hold of both kinds: a file or a
//! PostgreSQL server of the test's own; and what the store itself has to say at
//! the end.

use std::time::Duration;

use diesel::prelude::*;

use super::node::Node;
use crate::support::folder::Folder;
use crate::support::postgres::{self, Postgres};

/// What a node that is started anew waits for: the leases of the one that was
/// killed. The shortest there is, so that a round takes no longer than it must.
const LEASE_TERM_MS: u64 = 2_000;
/// How far two nodes may be apart about the database's clock: each knows it to
/// within half the time that asking for it took.
pub const CLOCK_ERROR: Duration = Duration::from_millis(20);

pub enum Home {
    File(Folder),
    Server(Postgres),
}

impl Home {
    pub fn file() -> Self {
        Self::File(Folder::new())
    }

    pub fn server() -> Self {
        Self::Server(Postgres::start(&[]))
    }

    /// Starts a node, alone here. Cases look at each delivery's own schedule, which a
    /// breaker would postpone: no number of failures opens one.
    pub async fn start(&self) -> Node {
        let never = ("BREAKER_OPENS_AFTER", "0".to_owned());
        match self {
            Self::File(folder) => {
                let url = format!("sqlite://{}", folder.file("posthaste.db").display());
                Node::start_with(&[], &[("STORE", url), never]).await
            }
            Self::Server(server) => {
                let variables = [("STORE", server.url()), ("LEASE_TERM_MS", LEASE_TERM_MS.to_string()), never];
                Node::start_with(&[], &variables).await
            }
        }
    }

    /// How far the clock of one run may be from that of another.
    pub fn clock_error(&self) -> Duration {
        match self {
            Self::File(_) => Duration::ZERO,
            Self::Server(_) => CLOCK_ERROR,
        }
    }

    /// The store is whole, once nobody has it open: see [`check_attempts`].
    pub fn check(&self) {
        match self {
            Self::File(folder) => check_file(&folder.file("posthaste.db").display().to_string()),
            Self::Server(server) => check_server(&server.url()),
        }
    }
}

/// Deliveries whose attempts are not 1, 2, … up to their count.
const GAPS: &str = "SELECT COUNT(*) AS count FROM deliveries d WHERE attempt_count <>
      (SELECT COUNT(*) FROM attempts a WHERE a.delivery = d.id AND a.number BETWEEN 1 AND d.attempt_count)
      OR EXISTS (SELECT 1 FROM attempts a WHERE a.delivery = d.id AND a.number > d.attempt_count)";
/// Deliveries tried again after a success, or delivered (2) without one, or
/// successful and not delivered.
const BEYOND: &str = "SELECT COUNT(*) AS count FROM deliveries d WHERE
      (SELECT COUNT(*) FROM attempts a WHERE a.delivery = d.id AND a.status_code BETWEEN 200 AND 299)
        <> CASE WHEN d.status = 2 THEN 1 ELSE 0 END
      OR EXISTS (SELECT 1 FROM attempts a WHERE a.delivery = d.id AND a.status_code BETWEEN 200 AND 299
                 AND a.number < d.attempt_count)";
const RETRIED: &str = "SELECT COUNT(*) AS count FROM attempts WHERE number > 1";

/// The same of a server: no outcome was written twice, out of turn or over
/// another (I2).
pub fn check_server(url: &str) {
    check_attempts(|sql| postgres::value(url, sql).parse().expect("a count is a number"));
}

fn check_file(path: &str) {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let mut file = SqliteConnection::establish(path).expect("nobody else has it open");
    let mut count = |sql: &str| diesel::sql_query(sql).get_result::<Count>(&mut file).expect(sql).count;
    assert_eq!(count("SELECT COUNT(*) AS count FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    check_attempts(count);
}

/// What is on record of attempts is a history that can have happened.
fn check_attempts(mut count: impl FnMut(&str) -> i64) {
    assert_eq!(count(GAPS), 0, "deliveries whose attempts have gaps");
    assert_eq!(count(BEYOND), 0, "deliveries whose attempts do not end with the success they say they had");
    assert!(count(RETRIED) > 0, "nothing was retried");
}
