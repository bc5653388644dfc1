//! SQLite's errors as the store's. diesel hands on SQLite's result code only
//! for constraints; for the rest there is its fixed English text, which is
//! read here and nowhere else, and pinned by a test on real errors.

use diesel::result::{DatabaseErrorKind, Error};

use crate::store::StoreError;

/// What each result code is called by the SQLite that is built in.
const BUSY: [&str; 2] = ["database is locked", "database table is locked"];
const FULL: &str = "database or disk is full";
const CORRUPT: [&str; 2] = ["database disk image is malformed", "file is not a database"];

/// Sorts an error by what a caller can do about it.
pub(super) fn translate(error: Error) -> StoreError {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation,
            information,
        ) => StoreError::Constraint(information.message().to_owned()),
        Error::DatabaseError(_, information) => {
            let message = information.message();
            if BUSY.contains(&message) {
                StoreError::Busy(message.to_owned())
            } else if message == FULL {
                StoreError::Full(message.to_owned())
            } else if CORRUPT.contains(&message) {
                StoreError::Corrupt(message.to_owned())
            } else {
                StoreError::Unavailable(message.to_owned())
            }
        }
        Error::DeserializationError(source) | Error::SerializationError(source) => {
            StoreError::Corrupt(source.to_string())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;

    use super::*;

    fn failing(connection: &mut SqliteConnection, sql: &str) -> StoreError {
        translate(connection.batch_execute(sql).expect_err("the statement must fail"))
    }

    #[test]
    fn a_full_file_is_told_from_a_broken_rule() {
        let mut connection = SqliteConnection::establish(":memory:").expect("memory is there");
        connection
            .batch_execute("PRAGMA max_page_count = 4; CREATE TABLE t (x PRIMARY KEY); INSERT INTO t VALUES (1)")
            .expect("this much fits");
        assert!(matches!(failing(&mut connection, "INSERT INTO t VALUES (1)"), StoreError::Constraint(_)));
        assert!(matches!(failing(&mut connection, "INSERT INTO t VALUES (zeroblob(100000))"), StoreError::Full(_)));
        assert!(matches!(failing(&mut connection, "SELECT * FROM nowhere"), StoreError::Unavailable(_)));
    }

    #[test]
    fn a_locked_file_is_busy_and_another_kind_of_file_is_corrupt() {
        let folder = std::env::temp_dir().join(format!("posthaste-error-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary directory can be written");
        let path = folder.join("locked.db");
        let path = path.to_str().expect("the temporary directory has a UTF-8 name");
        let mut one = SqliteConnection::establish(path).expect("a new file");
        let mut other = SqliteConnection::establish(path).expect("the same file");
        one.batch_execute("CREATE TABLE t (x); BEGIN IMMEDIATE").expect("nobody else is there");
        assert!(matches!(failing(&mut other, "BEGIN IMMEDIATE"), StoreError::Busy(_)));

        let text = folder.join("text.db");
        std::fs::write(&text, "not a database at all, but long enough to be looked at".repeat(40)).expect("writable");
        let mut broken =
            SqliteConnection::establish(text.to_str().expect("a UTF-8 name")).expect("opening reads nothing yet");
        assert!(matches!(failing(&mut broken, "SELECT * FROM sqlite_master"), StoreError::Corrupt(_)));
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
