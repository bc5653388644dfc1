//! PostgreSQL's errors as the store's, by the kinds that diesel tells apart.
//! Whatever it does not tell apart has changed nothing either: the transaction
//! is rolled back, and the same call may work later.

use diesel::result::{DatabaseErrorKind, Error};

use crate::store::StoreError;

/// Sorts an error by what a caller can do about it.
pub(super) fn translate(error: Error) -> StoreError {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::ExclusionViolation
            | DatabaseErrorKind::RestrictViolation,
            information,
        ) => StoreError::Constraint(information.message().to_owned()),
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, information) => {
            StoreError::Busy(information.message().to_owned())
        }
        // diesel does not tell this kind apart. A server that speaks another language has
        // its deadlocks called unavailable, which is true, and nobody repeats them here.
        Error::DatabaseError(_, information) if information.message().trim_end() == "deadlock detected" => {
            StoreError::Busy(information.message().trim_end().to_owned())
        }
        Error::DatabaseError(_, information) => StoreError::Unavailable(information.message().trim_end().to_owned()),
        Error::DeserializationError(source) | Error::SerializationError(source) => {
            StoreError::Corrupt(source.to_string())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}
