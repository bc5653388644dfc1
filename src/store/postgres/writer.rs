//! The connection that writes, and what becomes of a commit when the server goes
//! away. A transaction that did not get to its `COMMIT` is undone by the server;
//! of one whose `COMMIT` was not answered nobody knows, and its callers are told
//! so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;

use crate::clock::Clock;
use crate::domain::{Monotonic, NodeId, Timestamp};
use crate::keyring::Keyring;
use crate::store::ids::{IdCodec, RowKey, first_key_at};
use crate::store::postgres::connection::{Link, PostgresOptions};
use crate::store::postgres::days::{self, Day, KnownDays};
use crate::store::postgres::numbers::{Numbers, Wanted};
use crate::store::postgres::transaction::PostgresTransaction;
use crate::store::postgres::{statements, translate};
use crate::store::{CommitError, Notice, StoreError, Transaction, Writer};

/// The server ends a transaction whose node has been stopped or cut off in the
/// middle, so that nobody waits for its locks for long.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '4s'; SET LOCAL statement_timeout = '10s'";

/// Writes for one node.
pub(in crate::store) struct PostgresWriter {
    link: Link,
    ids: IdCodec,
    keyring: Arc<Keyring>,
    node: NodeId,
    beside: Beside,
}

/// What is done in transactions of its own while another one is open.
pub(super) struct Beside {
    link: Link,
    known_days: KnownDays,
    /// Old days of which something was needed, and until when that is not looked
    /// at again: it means reading the whole day.
    needed_days: BTreeMap<Day, Timestamp>,
    clock: Clock,
    /// When the open transaction took its first numbers.
    numbers_taken_at: Option<Monotonic>,
}

/// What was taken for a transaction.
pub(super) struct Taken {
    /// Row keys, where any were wanted.
    pub(super) keys: Option<Keys>,
    /// Numbers.
    pub(super) numbers: Numbers,
    /// Versions that were read along.
    pub(super) versions: HashMap<i64, i64>,
}

/// Row keys that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) first: RowKey,
    pub(super) count: usize,
}

/// How long a transaction may take from its first number to its `COMMIT`: half as long as
/// whoever misses a number waits for it ([`pull`](crate::store::pull)).
const NUMBERS_HOLD: Duration = Duration::from_secs(30);

/// How long an old day of which something is needed is left alone.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How long one is left alone that somebody was reading.
const IN_USE_FOR: Duration = Duration::from_secs(60);

impl PostgresWriter {
    pub(super) fn new(options: &PostgresOptions, ids: IdCodec, keyring: Arc<Keyring>) -> Self {
        let beside = Beside {
            link: Link::new(options),
            known_days: KnownDays::default(),
            needed_days: BTreeMap::new(),
            clock: options.clock.clone(),
            numbers_taken_at: None,
        };
        Self { link: Link::new(options), ids, keyring, node: options.node, beside }
    }

    /// Opens a transaction. A connection that was lost since the last one is found
    /// out here, where nothing is lost with it.
    fn begin(&mut self) -> Result<(), StoreError> {
        self.link.run(|connection| connection.batch_execute(BEGIN))
    }

    fn roll_back(&mut self) {
        let undone = self.link.get().is_ok_and(|connection| connection.batch_execute("ROLLBACK").is_ok());
        if !undone {
            self.link.give_up();
        }
    }
}

impl Writer for PostgresWriter {
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        match self.commit_once(now, verbs) {
            // Another node's transaction was in the way, and is over: of two that waited for
            // each other the server ends one.
            Err(CommitError::RolledBack(StoreError::Busy(why))) => {
                log::debug!("a transaction begins anew: {why}");
                self.commit_once(now, verbs)
            }
            ended => ended,
        }
    }
}

impl PostgresWriter {
    fn commit_once(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        self.begin()?;
        self.beside.begin();
        let connection = self.link.get()?;
        let mut transaction =
            PostgresTransaction::new(connection, &self.ids, &self.keyring, &mut self.beside, self.node, now);
        let done = verbs(&mut transaction).and_then(|()| transaction.finish());
        let notices = transaction.into_notices();
        let in_time = || match self.beside.may_commit() {
            true => Ok(()),
            false => Err(StoreError::Unavailable("a transaction took too long to be committed".into())),
        };
        if let Err(error) = done.and_then(|()| in_time()) {
            self.roll_back();
            return Err(CommitError::RolledBack(error));
        }
        match self.link.get()?.batch_execute("COMMIT").map_err(translate) {
            Ok(()) => Ok(notices),
            Err(error @ (StoreError::Busy(_) | StoreError::Constraint(_))) => {
                self.roll_back();
                Err(CommitError::RolledBack(error))
            }
            Err(error) => {
                self.link.give_up();
                Err(CommitError::Lost(error.to_string()))
            }
        }
    }
}

impl Beside {
    /// Before a transaction.
    fn begin(&mut self) {
        self.numbers_taken_at = None;
    }

    /// Whether the numbers of this transaction may still be committed: whoever reads them
    /// does not wait for one that takes longer.
    fn may_commit(&self) -> bool {
        let is_late = |taken_at: Monotonic| self.clock.now().monotonic.since(taken_at) > NUMBERS_HOLD;
        !self.numbers_taken_at.is_some_and(is_late)
    }

    /// So many row keys in a row, larger than any taken before, with the days that
    /// they lie in made.
    pub(super) fn take_keys(&mut self, now: Timestamp, count: usize) -> Result<RowKey, StoreError> {
        let (count, least) = (count as i64, first_key_at(now));
        let rows = self.link.run(|connection| statements::take_row_keys(connection, count, least))?;
        let first = rows.first().map(|(_, first)| *first);
        let first = first.ok_or_else(|| StoreError::Corrupt("no row keys were given".into()))?;
        self.make_days(first, first + count - 1)?;
        Ok(first)
    }

    /// The same, or none, and as many numbers as are wanted; with the versions of these
    /// scopes and of what is kept in memory, by the numbers of `statements::versions`: as
    /// committed, which is what a transaction sees that has changed none of it. Called when
    /// the transaction that uses them has begun, and so is seen to run.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        count: usize,
        wanted: &Wanted,
        scopes: &[i64],
    ) -> Result<Taken, StoreError> {
        if !wanted.is_empty() {
            let taken_at = self.clock.now().monotonic;
            self.numbers_taken_at.get_or_insert(taken_at);
        }
        let least = first_key_at(now);
        let (endpoints, counts) = wanted.by_endpoint();
        let rows = self.link.run(|connection| {
            statements::take_keys_and_numbers(connection, count as i64, least, &endpoints, &counts, scopes)
        })?;
        let (mut first, mut versions, mut last) = (None, HashMap::new(), HashMap::new());
        for (kind, of, value) in rows {
            match kind {
                1 => first = Some(value),
                2 => drop(last.insert(of, value)),
                _ => drop(versions.insert(of, value)),
            }
        }
        let keys = match first {
            Some(first) => {
                self.make_days(first, first + count as i64 - 1)?;
                Some(Keys { first, count })
            }
            None if count == 0 => None,
            None => return Err(StoreError::Corrupt("no row keys were given".into())),
        };
        Ok(Taken { keys, numbers: wanted.given(&last)?, versions })
    }

    /// Makes the days of these keys, where they are not there yet.
    pub(super) fn make_days(&mut self, first: RowKey, last: RowKey) -> Result<(), StoreError> {
        let missing = self.known_days.missing(first, last);
        if missing.is_empty() {
            return Ok(());
        }
        self.link.run(|connection| days::make(connection, &missing))?;
        self.known_days.are_there(&missing);
        Ok(())
    }

    /// Drops a day of which nobody needs anything, in a transaction of its own that
    /// waits for nobody: whoever writes would wait behind it. False when it is
    /// needed, or in use just now.
    pub(super) fn drop_day(&mut self, day: Day, horizon: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        if self.needed_days.get(&day).is_some_and(|until| now < *until) {
            return Ok(false);
        }
        let dropped = self.link.run(|connection| days::drop_whole(connection, day, horizon));
        match dropped {
            Ok(true) => {
                self.known_days.is_gone(day);
                self.needed_days.remove(&day);
                log::info!("the day of {} is no longer kept", day.begins_at());
                Ok(true)
            }
            Ok(false) => {
                self.needed_days.insert(day, now + LOOK_AGAIN_AFTER);
                Ok(false)
            }
            Err(error) => {
                log::debug!("the day of {} stays for now: {error}", day.begins_at());
                self.needed_days.insert(day, now + IN_USE_FOR);
                Ok(false)
            }
        }
    }
}
