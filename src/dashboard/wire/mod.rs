//! What pages read of the API's answers: no more than they show. What else an answer
//! has is passed over, so that the API may grow. A file for each subject.

mod catalog;
mod cluster;
mod delivery;
mod endpoint;
mod event;
mod keys;
mod partner;
mod replay;
mod statistics;

use serde::Deserialize;

use crate::domain::Timestamp;

pub use catalog::*;
pub use cluster::*;
pub use delivery::*;
pub use endpoint::*;
pub use event::*;
pub use keys::*;
pub use partner::*;
pub use replay::*;
pub use statistics::*;

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct At(pub Timestamp);

impl TryFrom<String> for At {
    type Error = crate::domain::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}
