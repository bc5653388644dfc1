//! How a connection to the server is made, and when one is given up. Every
//! connection is made so that a server that has gone away is noticed in
//! seconds, by the kernel or by the server itself.

use std::fmt;
use std::sync::Arc;

use diesel::connection::{CacheSize, Connection as _, SimpleConnection as _};
use diesel::r2d2::{ManageConnection, Pool};
use diesel::{ConnectionError, PgConnection};

use crate::clock::Clock;
use crate::domain::NodeId;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::postgres::{READ_WITHIN, translate};

/// Which server, and how it is talked to.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://…`, as libpq reads it. It may carry a password.
    pub url: String,
    /// Connections that read.
    pub readers: u32,
    /// Whether statements are prepared once and kept. Off for poolers that hand
    /// each transaction another connection and know nothing of statements.
    pub statement_cache: bool,
    /// The run of the node that opens it.
    pub node: NodeId,
    /// What time is told by.
    pub clock: Clock,
    /// Where new connections in place of lost ones are counted.
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresOptions").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What is said of every connection where the URL says nothing else: a server
/// that does not answer is given up after seconds, and not after the hours that
/// TCP would take. `tcp_user_timeout` is in milliseconds, the others in seconds.
const PARAMETERS: [(&str, &str); 6] = [
    ("connect_timeout", "3"),
    ("tcp_user_timeout", "4000"),
    ("keepalives_idle", "2"),
    ("keepalives_interval", "1"),
    ("keepalives_count", "2"),
    ("application_name", "posthaste"),
];

/// What a session is told. A plan by a scan of a whole table is right only as long
/// as the table is small, and statements are prepared when it is.
const SETTINGS: &str = "
    SET enable_seqscan = off; SET jit = off; SET statement_timeout = '10s'; SET lock_timeout = '4s';
    SET idle_in_transaction_session_timeout = '4s'";

impl PostgresOptions {
    /// Connects.
    pub(super) fn connect(&self) -> Result<PgConnection, ConnectionError> {
        let mut connection = PgConnection::establish(&self.url_with_parameters())?;
        if !self.statement_cache {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        connection.batch_execute(SETTINGS).map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }

    fn url_with_parameters(&self) -> String {
        let mut url = self.url.clone();
        for (name, value) in PARAMETERS {
            if !self.url.contains(&format!("{name}=")) {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&format!("{name}={value}"));
            }
        }
        url
    }
}

/// Why there is no connection, without the URL.
pub(super) fn refused(error: &ConnectionError) -> StoreError {
    StoreError::Unavailable(format!("cannot connect to the database: {}", error.to_string().trim_end()))
}

/// A connection that is made when it is needed, and made anew once it failed.
pub(super) struct Link {
    options: PostgresOptions,
    connection: Option<PgConnection>,
    /// It was connected before.
    was_connected: bool,
}

impl Link {
    pub(super) fn new(options: &PostgresOptions) -> Self {
        Self { options: options.clone(), connection: None, was_connected: false }
    }

    /// The connection, made if there is none.
    pub(super) fn get(&mut self) -> Result<&mut PgConnection, StoreError> {
        if self.connection.is_none() {
            let connection = self.options.connect().map_err(|error| refused(&error))?;
            if std::mem::replace(&mut self.was_connected, true) {
                self.options.metrics.database_reconnects.inc();
                log::info!("connected to the database again");
            }
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("it was made just now"))
    }

    /// Forgets the connection: nobody knows what it is good for.
    pub(super) fn give_up(&mut self) {
        self.connection = None;
    }

    /// Runs one statement of its own on it. What fails for want of a connection is
    /// tried once more on a new one, so it must do no harm twice.
    pub(super) fn run<T>(
        &mut self,
        mut statement: impl FnMut(&mut PgConnection) -> diesel::QueryResult<T>,
    ) -> Result<T, StoreError> {
        let was_connected = self.connection.is_some();
        match statement(self.get()?).map_err(translate) {
            Err(StoreError::Unavailable(_)) if was_connected => {
                self.give_up();
                statement(self.get()?).map_err(translate)
            }
            Err(error @ StoreError::Unavailable(_)) => {
                self.give_up();
                Err(error)
            }
            answer => answer,
        }
    }
}

/// Connections for reading, each of which goes once a read on it has failed.
pub(super) type Readers = Pool<Reading>;

/// Makes them.
#[derive(Debug)]
pub(super) struct Reading(pub(super) PostgresOptions);

/// One of them.
pub(super) struct Reader {
    pub(super) connection: PgConnection,
    /// A read was made on it: it may have been lost since then.
    pub(super) was_used: bool,
    pub(super) is_broken: bool,
}

impl ManageConnection for Reading {
    type Connection = Reader;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Reader, ConnectionError> {
        Ok(Reader { connection: self.0.connect()?, was_used: false, is_broken: false })
    }

    /// A round trip for each read would be a dear answer to a rare question.
    fn is_valid(&self, _: &mut Reader) -> Result<(), ConnectionError> {
        Ok(())
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        reader.is_broken
    }
}

/// The pool, with nothing in it yet.
pub(super) fn readers(options: &PostgresOptions) -> Result<Readers, StoreError> {
    Pool::builder()
        .max_size(options.readers.max(1))
        .min_idle(Some(0))
        .connection_timeout(READ_WITHIN)
        .test_on_check_out(false)
        .error_handler(Box::new(Quiet))
        .build(Reading(options.clone()))
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Whoever reads hears of the error; the pool's own log would repeat it each time.
#[derive(Debug)]
struct Quiet;

impl diesel::r2d2::HandleError<ConnectionError> for Quiet {
    fn handle_error(&self, error: ConnectionError) {
        log::debug!("{}", refused(&error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            readers: 1,
            statement_cache: true,
            node: NodeId::from_uuid(uuid::Uuid::nil()),
            clock: Clock::system(),
            metrics: Arc::default(),
        }
    }

    #[test]
    fn what_the_url_says_wins() {
        let url = options("postgres://one,two/store?connect_timeout=30").url_with_parameters();
        assert!(url.starts_with("postgres://one,two/store?connect_timeout=30&tcp_user_timeout=4000&"), "{url}");
        assert_eq!(url.matches("connect_timeout").count(), 1);
        assert!(options("postgres:///store").url_with_parameters().starts_with("postgres:///store?connect_timeout="));
    }

    #[test]
    fn nobody_sees_the_password() {
        let shown = format!("{:?}", options("postgres://me:secret@localhost/store"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
