//! What may stand in `meta` of a store as a whole, beside its secret and its keys: the
//! names, and what a start makes of them. How they are read and written is in
//! `common/marks`.

use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// This is a copy that was restored, and nobody has let it send yet.
pub(in crate::store) const RESTORED: &str = "restored";
/// Of a source: where it was moved to, or is being moved to.
pub(in crate::store) const MOVED: &str = "moved";
/// Of a target: how far a move into it has come.
pub(in crate::store) const MOVING: &str = "moving";
/// Of a target: what was moved into it.
pub(in crate::store) const MOVED_FROM: &str = "moved_from";

/// Attempts go earlier than their deliveries somewhere, or once did.
pub(in crate::store) const ATTEMPTS_GO_EARLY: &str = "attempts_go_early";

/// Where a store is being moved to, or from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Moved {
    /// The other place, for people.
    pub(in crate::store) place: String,
    /// By what the source is known again, without saying its secret.
    pub(in crate::store) source: String,
    /// Everything is there.
    pub(in crate::store) is_done: bool,
}

/// A mark of a move, as it is stored.
pub(in crate::store) fn moved_of(name: &str, text: &[u8]) -> Result<Moved, StoreError> {
    serde_json::from_slice(text).map_err(|error| StoreError::Corrupt(format!("the mark `{name}` in `meta`: {error}")))
}

/// Why no node starts on a source.
pub(in crate::store) fn moved_away(store: &str, moved: &Moved) -> StoreError {
    let place = &moved.place;
    StoreError::Configuration(match moved.is_done {
        true => format!(
            "{store} was moved to {place}, and what happens there is not known here: start on that; if no node has \
             run there, `posthaste move --from sqlite://{store} --take-back` lets nodes start here again"
        ),
        false => format!(
            "{store} is being moved to {place}: run the same `posthaste move` again to go on, or `posthaste move \
             --from sqlite://{store} --take-back` to give it up"
        ),
    })
}

/// Why no node starts on a target.
pub(in crate::store) fn half_moved() -> StoreError {
    StoreError::Configuration(
        "the database is half of a store that is being moved into it: run the same `posthaste move` again to go on, or \
         drop and make the database anew"
            .to_owned(),
    )
}
