//! What is asked of the store about replays, about what ended badly, and about retries that
//! are not to wait; and, decided here and read by each backend, which events a slice of a
//! replay has looked at, and how each stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{
    DeliveryId, EndpointId, EventId, EventType, KeyId, PartnerName, Replay, ReplayId, ReplaySelection, ReplayState,
    ReplayTarget, Replayable, StoredStatus, Timestamp,
};
use crate::policy::replaying::Standing;
use crate::store::ids::RowKey;
use crate::store::rows::{count_of, from_json, parsed, status_of};
use crate::store::{Place, Scope, StoreError};

/// Which endpoints, as somebody names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedEndpoints {
    /// These.
    pub endpoints: Vec<EndpointId>,
    /// And all of these partners'.
    pub partners: Vec<PartnerName>,
    /// Most that they may be.
    pub most: usize,
}

/// A replay to be begun.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Whose endpoints: one partner's, or any of the environment.
    pub scope: Scope,
    /// Which.
    pub wanted: WantedEndpoints,
    /// What of theirs.
    pub selection: ReplaySelection,
    /// Most deliveries that it makes a second.
    pub per_second: Option<u32>,
    /// Who asks, in the words of the audit log.
    pub actor: String,
    /// By which key.
    pub key: Option<KeyId>,
    /// Most replays that may run in one scope.
    pub most_running: usize,
    /// By which request, where that can be told from others: it begins one replay.
    pub request: Option<ReplayRequest>,
}

/// A request that is the same when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Who asks, and the key that they gave it: a hash of both.
    pub key: String,
    /// A hash of what is asked for.
    pub digest: String,
}

/// Why a replay was not begun, or not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayConflict {
    /// There is no such endpoint of the scope.
    NoEndpoint(EndpointId),
    /// There is no such partner.
    NoPartner(PartnerName),
    /// It is of all partners: no scope says which events it misses.
    ForAllPartners(EndpointId),
    /// What was named comes to no endpoint at all.
    Nobody,
    /// Or to too many.
    TooManyEndpoints {
        /// How many they may be.
        most: usize,
    },
    /// As many run as may.
    TooManyRunning {
        /// How many that is.
        most: usize,
    },
    /// This very request began one before, which is as it stands now.
    AskedBefore(Box<ReplaySummary>),
    /// Another request began one by the same key.
    AnotherRequest,
}

/// One step of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplaySlice {
    /// Which.
    pub replay: ReplayId,
    /// For whom.
    pub endpoint: EndpointId,
    /// Most deliveries to make.
    pub room: usize,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// Some events were looked at.
    Looked {
        /// Deliveries made.
        made: usize,
        /// There is nothing more to look at for this endpoint.
        is_done: bool,
    },
    /// There was nothing to look at: it is done, cancelled or gone.
    Over,
}

/// A replay that runs, and some of the endpoints that it is not done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningReplay {
    /// Which.
    pub replay: ReplayId,
    /// Most deliveries that it makes a second, for all of its endpoints.
    pub per_second: Option<u32>,
    /// Whose turn it is. Where there are none it is done with all that it has left.
    pub targets: Vec<RunningTarget>,
}

/// An endpoint that a replay is not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningTarget {
    /// Which.
    pub endpoint: EndpointId,
    /// Deliveries that the replay made for it, that are due and were never tried.
    pub under_way: usize,
    /// Those that wait for a retry or for later. Both are counted up to as many as may be.
    pub waiting: usize,
}

/// A replay, and what its endpoints come to together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaySummary {
    /// The replay.
    pub replay: Replay,
    /// How many endpoints it has.
    pub targets: u64,
    /// Deliveries that it made.
    pub made: u64,
    /// Selected events of which there is nothing to deliver.
    pub skipped: u64,
}

/// The same, and what became of what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The whole of it.
    pub summary: ReplaySummary,
    /// Endpoint by endpoint.
    pub targets: Vec<ReplayTarget>,
    /// Deliveries that have not ended.
    pub pending: u64,
    /// Those that ended otherwise than delivered.
    pub failed: u64,
    /// There are more of either: counting has an end.
    pub at_least: bool,
}

/// An event that a replay would deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedEvent {
    /// To whom.
    pub endpoint: EndpointId,
    /// Which.
    pub event: EventId,
    /// Its kind.
    pub event_type: EventType,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// How it ended there; `None` is not at all.
    pub ended: Option<Replayable>,
}

/// What a replay would do, as far as it was looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayPreview {
    /// How many events, by endpoint, type and how they ended.
    pub counts: BTreeMap<(EndpointId, String, Option<&'static str>), u64>,
    /// Endpoints that it would be for.
    pub targets: usize,
    /// When the first and the last of them were accepted.
    pub span: Option<(Timestamp, Timestamp)>,
    /// A few of them, the first of each endpoint.
    pub samples: Vec<SelectedEvent>,
    /// Selected events of which there is nothing to deliver.
    pub skipped: u64,
    /// There may be more: looking has an end.
    pub at_least: bool,
}

/// Exhausted deliveries of one endpoint, each event once, as far as they were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedEndpoint {
    /// Whose.
    pub endpoint: EndpointId,
    /// The partner's.
    pub partner: Option<PartnerName>,
    /// By what their last attempts failed at, the most frequent first.
    pub reasons: Vec<ExhaustedReason>,
    /// There are more, older ones.
    pub at_least: bool,
}

/// Those that failed at the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedReason {
    /// The last attempt's class of error; `None` where no attempt is on record.
    pub class: Option<String>,
    /// The status that the receiver answered with.
    pub status_code: Option<u16>,
    /// How many.
    pub count: u64,
    /// When the first and the last of them ended.
    pub ended: (Timestamp, Timestamp),
    /// The newest.
    pub sample: DeliveryId,
}

/// What became of an exhausted delivery that somebody leaves at that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dismissed {
    /// It is dismissed.
    Done,
    /// It is not exhausted.
    NotExhausted,
    /// There is no such delivery.
    NotFound,
}

/// Which exhausted deliveries of an endpoint are left at that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// Those whose last attempt failed at this class of error, with this status; `None` is all.
    pub reason: Option<(Option<String>, Option<u16>)>,
    /// Those that were given up before then.
    pub until: Timestamp,
}

/// What came of looking at some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DismissedSlice {
    /// How many were dismissed.
    pub dismissed: usize,
    /// Where to go on, if there may be more.
    pub next: Option<DeliveryId>,
}

/// What became of retries that were not to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BroughtForward {
    /// So many of them are due now.
    Done {
        /// How many.
        moved: usize,
        /// Where to go on, if there are more.
        next: Option<Place>,
    },
    /// The endpoint is paused, disabled or braked.
    Holding,
    /// There is no such endpoint.
    NotFound,
}

/// The number of a state.
pub(in crate::store) fn state_number(state: ReplayState) -> i64 {
    match state {
        ReplayState::Running => 0,
        ReplayState::Done => 1,
        ReplayState::Cancelled => 2,
    }
}

/// The state with this number.
pub(in crate::store) fn state_of(number: i64) -> Result<ReplayState, StoreError> {
    match number {
        0 => Ok(ReplayState::Running),
        1 => Ok(ReplayState::Done),
        2 => Ok(ReplayState::Cancelled),
        other => Err(StoreError::Corrupt(format!("replay state {other}"))),
    }
}

/// Most deliveries a second, as it is stored.
pub(in crate::store) fn rate_of(number: Option<i64>) -> Result<Option<u32>, StoreError> {
    number.map(count_of).transpose()
}

/// [`ReplaySelection`] as JSON.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SelectionRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missing: bool,
}

impl From<&ReplaySelection> for SelectionRow {
    fn from(selection: &ReplaySelection) -> Self {
        Self {
            since: selection.since.map(Timestamp::as_millis),
            until: selection.until.map(Timestamp::as_millis),
            types: selection.types.iter().map(ToString::to_string).collect(),
            statuses: selection.statuses.iter().map(ToString::to_string).collect(),
            missing: selection.missing,
        }
    }
}

/// What was stored, as the domain has it.
pub(in crate::store) fn selection_of(text: &str) -> Result<ReplaySelection, StoreError> {
    let row: SelectionRow = from_json(text)?;
    Ok(ReplaySelection {
        since: row.since.map(Timestamp::from_millis),
        until: row.until.map(Timestamp::from_millis),
        types: row.types.iter().map(|text| parsed(text)).collect::<Result<_, _>>()?,
        statuses: row.statuses.iter().map(|text| parsed(text)).collect::<Result<_, _>>()?,
        missing: row.missing,
    })
}

/// What was read for a slice, each in the order of the events, and up to a limit.
#[derive(Debug, Default)]
pub(in crate::store) struct Read {
    /// `event` and `status` of deliveries that were made when their events were accepted.
    pub(in crate::store) originals: Vec<(RowKey, i64)>,
    /// Rows that were read to find them.
    pub(in crate::store) originals_read: usize,
    /// `event`, `id`, `status` and `replay` of those that replays made: all of an event's,
    /// or none.
    pub(in crate::store) again: Vec<(RowKey, RowKey, i64, RowKey)>,
    /// Events that it may have none of.
    pub(in crate::store) events: Vec<RowKey>,
    /// Nothing is known of events behind this one; `None` where all was read.
    pub(in crate::store) up_to: Option<RowKey>,
}

/// The events that a slice looks at, in their order, and how each stands. What this
/// replay has made already is left out, whatever became of it: nothing is made twice.
pub(in crate::store) fn standings(read: &Read, own: Option<RowKey>) -> Result<Vec<(RowKey, Standing)>, StoreError> {
    let mut newest: BTreeMap<RowKey, Option<(RowKey, i64)>> = BTreeMap::new();
    let is_known = |event: &RowKey| read.up_to.is_none_or(|up_to| *event <= up_to);
    newest.extend(read.events.iter().copied().filter(is_known).map(|event| (event, None)));
    for (event, status) in read.originals.iter().filter(|(event, _)| is_known(event)) {
        newest.insert(*event, Some((0, *status)));
    }
    for (event, delivery, status, _) in read.again.iter().filter(|(event, ..)| is_known(event)) {
        let known = newest.entry(*event).or_default();
        *known = (*known).max(Some((*delivery, *status)));
    }
    for (event, ..) in read.again.iter().filter(|(.., replay)| Some(*replay) == own) {
        newest.remove(event);
    }
    let standing = |newest: Option<(RowKey, i64)>| -> Result<Standing, StoreError> {
        let Some((_, status)) = newest else { return Ok(Standing::Missing) };
        Ok(match status_of(status)? {
            StoredStatus::Queued | StoredStatus::Pending | StoredStatus::Retrying => Standing::Unfinished,
            StoredStatus::Delivered => Standing::Ended(Replayable::Delivered),
            StoredStatus::RetriesExhausted => Standing::Ended(Replayable::RetriesExhausted),
            StoredStatus::Discarded(_) => Standing::Ended(Replayable::Discarded),
        })
    };
    newest.into_iter().map(|(event, newest)| Ok((event, standing(newest)?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_selection_reads_back_as_it_was() {
        for selection in [
            ReplaySelection::default(),
            ReplaySelection {
                since: Some(Timestamp::from_millis(5)),
                until: Some(Timestamp::from_millis(7)),
                types: vec!["campaign.*".parse().expect("a pattern"), "*".parse().expect("a pattern")],
                statuses: Replayable::ALL.to_vec(),
                missing: true,
            },
        ] {
            let text = crate::store::rows::to_json(&SelectionRow::from(&selection));
            assert_eq!(selection_of(&text).expect("we wrote it"), selection, "{text}");
        }
    }

    proptest! {
        /// Against all that there is, looked at one event after the other.
        #[test]
        fn the_newest_delivery_says_how_an_event_stands(
            originals in prop::collection::btree_map(1i64..12, -1i64..9, 0..8),
            again in prop::collection::vec((1i64..12, -1i64..9, 100i64..103), 0..20),
            events in prop::collection::btree_set(1i64..12, 0..12),
            up_to in prop::option::of(1i64..12),
        ) {
            let mut again: Vec<(i64, i64, i64, i64)> =
                again.into_iter().zip(1_000..).map(|((event, status, replay), id)| (event, id, status, replay)).collect();
            again.sort_by_key(|row| row.0);
            let read = Read {
                originals: originals.iter().map(|(event, status)| (*event, *status)).collect(),
                again: again.clone(),
                events: events.iter().copied().collect(),
                up_to,
                ..Read::default()
            };
            let found: BTreeMap<i64, Standing> =
                standings(&read, Some(101)).expect("statuses are known").into_iter().collect();
            for event in 1..12 {
                let newest = again.iter().filter(|row| row.0 == event).max_by_key(|row| row.1).map(|row| row.2);
                let status = newest.or_else(|| originals.get(&event).copied());
                let is_there = status.is_some() || events.contains(&event);
                let is_own = again.iter().any(|row| row.0 == event && row.3 == 101);
                let is_known = up_to.is_none_or(|up_to| event <= up_to);
                let expected = (is_there && !is_own && is_known).then_some(match status {
                    None => Standing::Missing,
                    Some(..=1) => Standing::Unfinished,
                    Some(2) => Standing::Ended(Replayable::Delivered),
                    Some(3) => Standing::Ended(Replayable::RetriesExhausted),
                    Some(_) => Standing::Ended(Replayable::Discarded),
                });
                prop_assert_eq!(found.get(&event).copied(), expected, "event {}", event);
            }
        }
    }
}
