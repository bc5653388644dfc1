//! A connection with a thread of its own, so that whoever asks waits only so
//! long: libpq waits for an answer for as long as the connection lives, also for
//! one that something on the way has swallowed. What is asked is the asker's
//! affair.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::pg::PgConnection;

use crate::store::StoreError;
use crate::store::postgres::connection::{PostgresOptions, refused};

/// What an answer may take, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Threads that wait for answers nobody waits for any more. They end with their
/// connections; until then no more than these are started.
const ABANDONED_AT_MOST: usize = 8;
const UNPOISONED: &str = "no holder of this lock can panic";

/// Told the connection, or why there is none; says whether it can go on.
type Job = Box<dyn FnOnce(Result<&mut PgConnection, StoreError>) -> bool + Send>;

/// See the module. Connects when it is first asked something, and again after
/// anything went wrong.
pub(super) struct Line {
    options: PostgresOptions,
    worker: Mutex<Option<Sender<Job>>>,
    abandoned: Arc<AtomicUsize>,
    was_connected: Arc<AtomicBool>,
}

impl Line {
    pub(super) fn new(options: &PostgresOptions) -> Self {
        Self {
            options: options.clone(),
            worker: Mutex::default(),
            abandoned: Arc::default(),
            was_connected: Arc::default(),
        }
    }

    /// Asks, behind whoever asked before. After an error nobody knows whether
    /// what was asked will have been done.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut PgConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut worker = self.worker.lock().expect(UNPOISONED);
        let (answer, answered) = channel();
        let job: Job = Box::new(move |connection| {
            let done = connection.and_then(verb);
            let goes_on = done.is_ok();
            // Whoever asked may have lost patience.
            let _ = answer.send(done);
            goes_on
        });
        let jobs = match worker.take() {
            Some(jobs) => jobs,
            None => self.start()?,
        };
        let is_taken = jobs.send(job).is_ok();
        match answered.recv_timeout(ANSWER_WITHIN) {
            Ok(done) => {
                *worker = Some(jobs);
                done
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(StoreError::Unavailable(format!("the database has not answered for {ANSWER_WITHIN:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(StoreError::Unavailable(format!("the thread of a connection ended (took the job: {is_taken})")))
            }
        }
    }

    fn start(&self) -> Result<Sender<Job>, StoreError> {
        if self.abandoned.fetch_add(1, Ordering::AcqRel) >= ABANDONED_AT_MOST {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return Err(StoreError::Unavailable("the database leaves too much unanswered".to_owned()));
        }
        let alive = Alive(Arc::clone(&self.abandoned));
        let (options, was_connected) = (self.options.clone(), Arc::clone(&self.was_connected));
        let (jobs, queue) = channel::<Job>();
        let work = move || {
            let _alive = alive;
            let mut connection = None;
            for job in queue {
                let connected = match connection.take() {
                    Some(connection) => Ok(connection),
                    None => options.connect().map_err(|error| refused(&error)).inspect(|_| {
                        if was_connected.swap(true, Ordering::AcqRel) {
                            options.metrics.database_reconnects.inc();
                        }
                    }),
                };
                match connected {
                    Ok(mut connected) => {
                        if job(Ok(&mut connected)) {
                            connection = Some(connected);
                        }
                    }
                    Err(error) => drop(job(Err(error))),
                }
            }
        };
        let thread = std::thread::Builder::new().name("database".to_owned()).spawn(work);
        thread.map_err(|error| StoreError::Unavailable(format!("no thread for a connection: {error}")))?;
        Ok(jobs)
    }
}

/// Counts a thread as long as it lives, the one that is not abandoned included.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::NodeId;

    #[test]
    fn a_server_that_never_answers_is_not_waited_for_for_ever() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = silent.local_addr().expect("it is bound");
        // libpq itself would wait for a minute.
        let line = Line::new(&PostgresOptions {
            url: format!("postgres://ann@{address}/x?connect_timeout=60"),
            readers: 1,
            statement_cache: true,
            node: NodeId::from_uuid(uuid::Uuid::nil()),
            clock: Clock::system(),
            metrics: Arc::default(),
        });
        let (ends, ended) = channel();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = silent.accept().expect("a client comes");
            // Until the test ends, or the client does.
            let mut heard = [0; 64];
            while ended.try_recv().is_err() && matches!(socket.read(&mut heard), Ok(1..)) {}
            let _ = ended.recv();
        });
        let error = line.ask(|_| Ok(())).expect_err("nobody answers");
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("has not answered")), "{error}");
        assert_eq!(line.abandoned.load(Ordering::Acquire), 1);
        ends.send(()).expect("the server waits for it");
        drop(line);
        drop(server);
    }
}
