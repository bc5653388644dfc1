//! Whether what is stored keeps what was promised: walks over a store beside whoever
//! works on it, in slices that each are a short read of their own, and says what was
//! found. What has to be true is in [`check`]; how it is looked for, in the backends.
//!
//! Every slice is read at one moment, so that what is committed meanwhile is in it
//! whole or not at all. What looks wrong is looked at once more, by itself, when its
//! walk is over, and only then is it said.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::Timestamp;
use crate::policy::audit_chain::Verdict;
use crate::store::audit::{begin_check, check_more};
use crate::store::ids::{RowKey, first_key_at, time_of_key};
use crate::store::{Store, StoreError};

pub use check::{Check, Walk};

/// Rows of a slice: a few milliseconds.
const SLICE: usize = 500;
/// Events of a slice for which it is looked up who wanted them, where not all are.
const EXPLAINED: usize = 20;
/// What looks wrong to one check and is kept, to be looked at again. Behind that the
/// check only says that there is more.
const SUSPECTS: usize = 1_000;
/// What a check tells of what it found.
const EXAMPLES: usize = 10;

/// How much is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thoroughness {
    /// Only what came in since then, where that is known.
    pub since: Option<Timestamp>,
    /// For every event, who wanted it. Otherwise for some of each slice: it takes much
    /// longer than all else.
    pub is_full: bool,
}

/// A part of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Rows behind this key.
    pub(in crate::store) after: RowKey,
    /// Rows up to this key.
    pub(in crate::store) until: RowKey,
    /// So many of them.
    pub(in crate::store) limit: usize,
    /// For how many of its events it is looked up who wanted them.
    pub(in crate::store) explained: usize,
}

/// Something that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// By which check.
    pub(in crate::store) check: Check,
    /// Where it is looked at again.
    pub(in crate::store) key: RowKey,
    /// What, by ids that operators know.
    pub(in crate::store) what: String,
}

/// What a slice came to.
#[derive(Debug, Default)]
pub struct Inspected {
    /// Rows that were looked at.
    pub(in crate::store) rows: u64,
    /// Of them those for which it was looked up who wanted them.
    pub(in crate::store) explained: u64,
    pub(in crate::store) suspects: Vec<Suspect>,
    /// The last key, if there may be more behind it.
    pub(in crate::store) next: Option<RowKey>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What is being walked over; `None`: the audit log.
    pub walk: Option<Walk>,
    /// Rows so far.
    pub rows: u64,
    /// Which part of the walk is done, from 0 to 1.
    pub part: f64,
}

/// What one check has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The check.
    pub check: Check,
    /// What it looked at: events, deliveries, whatever it is about.
    pub looked_at: u64,
    /// What is not as it should be.
    pub found: u64,
    /// There is more than was counted.
    pub has_more: bool,
    /// Some of it.
    pub examples: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By each check that this store can be asked.
    pub checks: Vec<Found>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_whole(&self) -> bool {
        self.checks.iter().all(|found| found.found == 0)
    }

    /// As JSON, for scripts.
    pub fn json(&self) -> Value {
        let checks = self.checks.iter().map(|found| {
            json!({
                "check": found.check.name(),
                "promise": found.check.promise(),
                "looked_at": found.looked_at,
                "found": found.found,
                "has_more": found.has_more,
                "examples": found.examples,
            })
        });
        json!({ "whole": self.is_whole(), "checks": checks.collect::<Vec<_>>() })
    }
}

/// Looks at everything that is there when it begins. Blocks; `progress` hears after
/// each slice.
pub fn verify(
    store: &dyn Store,
    thoroughness: Thoroughness,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StoreError> {
    let is_shared = store.leases().is_some();
    let mut checks: BTreeMap<Check, Found> = Check::ALL
        .into_iter()
        .filter(|check| is_shared || !check.is_of_shared())
        .map(|check| (check, Found { check, looked_at: 0, found: 0, has_more: false, examples: Vec::new() }))
        .collect();
    for walk in Walk::ALL {
        if checks.keys().any(|check| check.walk() == Some(walk)) {
            look_along(store, walk, thoroughness, &mut checks, progress)?;
        }
    }
    if let Some(found) = checks.get_mut(&Check::AuditLog) {
        look_at_the_log(store, found, progress)?;
    }
    Ok(Report { checks: checks.into_values().collect() })
}

fn look_along(
    store: &dyn Store,
    walk: Walk,
    thoroughness: Thoroughness,
    checks: &mut BTreeMap<Check, Found>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    // What comes in from now on is not looked at: otherwise it might never end.
    let Some((first, until)) = store.span(walk)? else { return Ok(()) };
    let since = thoroughness.since.filter(|_| walk.has_a_past()).map_or(first, |since| first_key_at(since).max(first));
    let explained = if thoroughness.is_full { usize::MAX } else { EXPLAINED };
    let (mut after, mut rows, mut explained_events) = (since.saturating_sub(1), 0, 0);
    let mut suspects: BTreeMap<Check, Vec<Suspect>> = BTreeMap::new();
    while after < until {
        let inspected = store.inspect(walk, &Stretch { after, until, limit: SLICE, explained })?;
        rows += inspected.rows;
        explained_events += inspected.explained;
        for suspect in inspected.suspects {
            let of_check = suspects.entry(suspect.check).or_default();
            if of_check.len() < SUSPECTS {
                of_check.push(suspect);
            } else if let Some(found) = checks.get_mut(&suspect.check) {
                found.has_more = true;
            }
        }
        let Some(next) = inspected.next else { break };
        progress(Progress { walk: Some(walk), rows, part: part_of(since, next, until) });
        after = next;
    }
    progress(Progress { walk: Some(walk), rows, part: 1.0 });
    for found in checks.values_mut().filter(|found| found.check.walk() == Some(walk)) {
        found.looked_at = if found.check == Check::Explained { explained_events } else { rows };
    }
    let keys: BTreeSet<RowKey> = suspects.values().flatten().map(|suspect| suspect.key).collect();
    for key in keys {
        let again = Stretch { after: key.saturating_sub(1), until: key, limit: 1, explained: usize::MAX };
        for suspect in store.inspect(walk, &again)?.suspects {
            let was_seen = suspects.get(&suspect.check).is_some_and(|seen| seen.iter().any(|seen| seen.key == key));
            if let (true, Some(found)) = (was_seen, checks.get_mut(&suspect.check)) {
                found.found += 1;
                if found.examples.len() < EXAMPLES {
                    found.examples.push(suspect.what);
                }
            }
        }
    }
    Ok(())
}

/// By the times in the keys: how many rows there are is not known, and not counted.
fn part_of(first: RowKey, at: RowKey, until: RowKey) -> f64 {
    let since = time_of_key(first).as_millis();
    let (done, all) = (time_of_key(at).as_millis() - since, time_of_key(until).as_millis() - since);
    if all <= 0 { 1.0 } else { (done as f64 / all as f64).clamp(0.0, 1.0) }
}

fn look_at_the_log(store: &dyn Store, found: &mut Found, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
    let mut check = match begin_check(store, None) {
        Ok(check) => check,
        Err(StoreError::Corrupt(why)) => {
            (found.found, found.examples) = (1, vec![why]);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    while !check.is_over() {
        check_more(store, &mut check)?;
        let (rows, all) = (check.checked().max(0), check.entries().max(1));
        progress(Progress { walk: None, rows: rows as u64, part: (rows as f64 / all as f64).clamp(0.0, 1.0) });
    }
    found.looked_at = check.checked().max(0) as u64;
    if let Verdict { broken: Some((number, why)), .. } = check.verdict() {
        found.found = 1;
        found.examples = vec![format!("entry {number}: {why}")];
    }
    Ok(())
}
