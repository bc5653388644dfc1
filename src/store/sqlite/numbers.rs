//! The last number of each endpoint that was lately accepted for, so that accepting
//! neither reads nor writes it. The truth is in the deliveries and, where the last is
//! gone, in what it left in `endpoint_numbers`.

use std::collections::HashMap;

use diesel::sqlite::SqliteConnection;

use crate::store::StoreError;
use crate::store::ids::RowKey;
use crate::store::sqlite::error::translate;
use crate::store::sqlite::statements;

/// Endpoints that are known: a few megabytes. With more, all are read anew.
const KNOWN_AT_MOST: usize = 65_536;

/// See the module. Of one writer, which nobody writes beside.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: HashMap<RowKey, i64>,
}

impl Numbers {
    /// Before a transaction. Not within one: a number may be given some time before the
    /// row that has it is written.
    pub(super) fn keep_in_bounds(&mut self) {
        if self.last.len() > KNOWN_AT_MOST {
            self.last.clear();
        }
    }

    /// After a transaction that was undone, and its numbers with it.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }

    /// The endpoint's next number.
    pub(super) fn next(&mut self, connection: &mut SqliteConnection, endpoint: RowKey) -> Result<i64, StoreError> {
        if let Some(last) = self.last.get_mut(&endpoint) {
            *last += 1;
            return Ok(*last);
        }
        let found = statements::last_number(connection, endpoint, endpoint).map_err(translate)?;
        let next = found.first().map_or(0, |(last,)| *last) + 1;
        self.last.insert(endpoint, next);
        Ok(next)
    }
}
