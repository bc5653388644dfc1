//! Moving a store from a file into a database that nodes share. The file is taken, so
//! that nobody works on it; rows are carried over in slices, each of which is one
//! transaction with the note of how far it came, so that whatever ends a move, the next
//! one goes on; at the end both sides are read, counted and added up. Keys, ids, times
//! and what is sealed stay as they are.
//!
//! What of a row is written how is in [`form`], what goes where in [`plan`]; how rows are
//! read and written, in the backends.

pub(in crate::store) mod form;
pub(in crate::store) mod plan;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::{Partition, Timestamp};
use crate::keyring::{KeySource, RingKeyId};
use crate::store::StoreError;
use crate::store::marks::Moved;
use crate::store::postgres::{PostgresOptions, Target};
use crate::store::sqlite::Source;

pub use form::Sum;
use form::{fields, number, row_of};
use plan::Part;

/// So much of rows is carried over at once, at most.
const SLICE_BYTES: usize = 8 << 20;
/// Rows that may be large, read at once where nothing else bounds them.
const LARGE_ROWS: usize = 100;

/// What is moved.
#[derive(Debug, Clone)]
pub struct MoveOptions<'a> {
    /// The file.
    pub from: &'a Path,
    /// What its values are sealed with.
    pub keys: &'a KeySource,
    /// The database.
    pub to: &'a PostgresOptions,
    /// The database, for people: without a password.
    pub to_shown: &'a str,
    /// Rows that one transaction carries over.
    pub rows: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveProgress<'a> {
    /// The target's table.
    pub table: &'a str,
    /// Rows of it so far.
    pub rows: u64,
    /// They are being compared, and not carried over.
    pub is_check: bool,
}

/// A move that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedStore {
    /// What each of the target's tables has, as the source has it.
    pub tables: Vec<(String, Sum)>,
    /// The keys that nodes need there.
    pub keys: Vec<RingKeyId>,
    /// It had come to its end before; nothing was done but noting it here.
    pub was_done: bool,
}

/// How far a move has come, as the target notes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Journey {
    /// By what the source is known again.
    pub(in crate::store) source: String,
    /// By the target's tables.
    pub(in crate::store) parts: BTreeMap<String, Leg>,
}

/// The same of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Leg {
    pub(in crate::store) rows: u64,
    /// What the last row is found by.
    pub(in crate::store) after: Option<Vec<String>>,
    pub(in crate::store) is_done: bool,
}

/// How a target stands to a source.
pub(in crate::store) enum Standing {
    /// Nothing has been in it.
    Empty,
    /// Some of this source is in it.
    Begun(Journey),
    /// All of this source is in it.
    Done,
}

/// Carries everything over, or goes on with that. Blocks; `progress` hears after each
/// slice, and may end the move by an error.
pub fn move_store(
    options: &MoveOptions<'_>,
    now: Timestamp,
    progress: &mut dyn FnMut(MoveProgress<'_>) -> Result<(), StoreError>,
) -> Result<MovedStore, StoreError> {
    let mut source = Source::open(options.from, options.keys)?;
    let mut target = Target::open(options.to)?;
    let known_as = source.known_as();
    let keys = source.noted_keys()?;
    let mark = |is_done| Moved { place: options.to_shown.to_owned(), source: known_as.clone(), is_done };
    let parts = plan::plan(&source.tables()?, &target.tables()?)?;
    let standing = target.standing(&known_as)?;
    if !matches!(standing, Standing::Empty) && source.moved()?.is_none() {
        return Err(StoreError::Configuration(
            "the target has this store as it was before --take-back, and nodes may have worked on it since: name a new \
             database"
                .into(),
        ));
    }
    let mut journey = match standing {
        Standing::Done => {
            source.mark(&mark(true))?;
            return Ok(MovedStore { tables: Vec::new(), keys, was_done: true });
        }
        Standing::Begun(journey) => {
            source.mark(&mark(false))?;
            journey
        }
        Standing::Empty => {
            source.undo_unsealed(now)?;
            // From here on no node starts on the source: what it did would be missed.
            source.mark(&mark(false))?;
            let journey = Journey { source: known_as.clone(), ..Journey::default() };
            target.begin(&parts, &journey)?;
            journey
        }
    };
    for part in &parts {
        carry_over(&mut source, &mut target, part, &mut journey, options.rows, progress)?;
    }
    let tables = compare(&mut source, &mut target, &parts, options.rows, progress)?;
    target.finish(
        &parts,
        &source.numbers_given()?,
        &Moved { place: options.from.display().to_string(), ..mark(true) },
    )?;
    source.mark(&mark(true))?;
    Ok(MovedStore { tables, keys, was_done: false })
}

/// Lets nodes start again on a source that was moved, or half moved. Answers where to;
/// `None` where it was not.
pub fn take_back(from: &Path, keys: &KeySource) -> Result<Option<String>, StoreError> {
    Ok(Source::open(from, keys)?.unmark()?.map(|moved| moved.place))
}

fn carry_over(
    source: &mut Source,
    target: &mut Target,
    part: &Part,
    journey: &mut Journey,
    rows_at_once: usize,
    progress: &mut dyn FnMut(MoveProgress<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut leg = journey.parts.get(&part.to).cloned().unwrap_or_default();
    while !leg.is_done {
        let slice = source.rows(part, leg.after.as_deref(), rows_at_once, SLICE_BYTES)?;
        leg.is_done = slice.is_last;
        leg.rows += slice.rows.len() as u64;
        leg.after = slice.rows.last().map(|row| key_of(part, row)).or(leg.after);
        let rows = slice.rows.iter().map(|row| taken(source, part, row)).collect::<Result<Vec<_>, _>>()?;
        journey.parts.insert(part.to.clone(), leg.clone());
        target.write(part, &rows, journey)?;
        progress(MoveProgress { table: &part.to, rows: leg.rows, is_check: false })?;
    }
    Ok(())
}

/// What a row is found by.
fn key_of(part: &Part, row: &str) -> Vec<String> {
    let fields: Vec<&str> = fields(row).collect();
    part.key.iter().map(|place| fields[*place].to_owned()).collect()
}

/// A row of the source as the target has it.
fn taken(source: &Source, part: &Part, row: &str) -> Result<String, StoreError> {
    let mut taken: Vec<Cow<'_, str>> = fields(row)
        .zip(&part.columns)
        .map(|(field, column)| column.taken(field).map_or(Cow::Borrowed(field), Cow::Owned))
        .collect();
    if taken.len() != part.columns.len() {
        return Err(StoreError::Corrupt(format!("a row of `{}` has other fields than its table", part.from)));
    }
    if let Some(place) = part.partition_of {
        let endpoint = source.endpoint(number(&taken[place])?);
        taken.push(Cow::Owned(Partition::of(endpoint).number().to_string()));
    }
    Ok(row_of(taken.into_iter()))
}

/// Reads everything on both sides.
fn compare(
    source: &mut Source,
    target: &mut Target,
    parts: &[Part],
    rows_at_once: usize,
    progress: &mut dyn FnMut(MoveProgress<'_>) -> Result<(), StoreError>,
) -> Result<Vec<(String, Sum)>, StoreError> {
    let mut tables = Vec::with_capacity(parts.len());
    for part in parts {
        let (mut here, mut there) = (Sum::default(), Sum::default());
        let mut after = None;
        loop {
            let slice = source.rows(part, after.as_deref(), rows_at_once, SLICE_BYTES)?;
            for row in &slice.rows {
                here.add(&taken(source, part, row)?);
            }
            after = slice.rows.last().map(|row| key_of(part, row)).or(after);
            progress(MoveProgress { table: &part.to, rows: here.rows, is_check: true })?;
            if slice.is_last {
                break;
            }
        }
        let at_once = if part.has_bytes() { rows_at_once.min(LARGE_ROWS) } else { rows_at_once };
        let mut after = None;
        loop {
            let rows = target.rows(part, after.as_deref(), at_once)?;
            rows.iter().for_each(|row| there.add(row));
            after = rows.last().map(|row| key_of(part, row)).or(after);
            progress(MoveProgress { table: &part.to, rows: there.rows, is_check: true })?;
            if rows.len() < at_once {
                break;
            }
        }
        if here != there {
            return Err(StoreError::Corrupt(format!(
                "`{}` was not carried over as it is: {} rows with checksum {} became {} rows with checksum {}; drop \
                 the target, make it anew, give the source free with --take-back, and move again",
                part.to,
                here.rows,
                here.checksum(),
                there.rows,
                there.checksum()
            )));
        }
        tables.push((part.to.clone(), here));
    }
    Ok(tables)
}

/// Rows of a source.
pub(in crate::store) struct SourceSlice {
    pub(in crate::store) rows: Vec<String>,
    /// There are no more behind them.
    pub(in crate::store) is_last: bool,
}

/// What a target's own numbers have to go on behind.
pub(in crate::store) struct NumbersGiven {
    /// Of row keys.
    pub(in crate::store) row_key: i64,
    /// Of tables that number their rows themselves: those that were given to rows that
    /// are gone count as well.
    pub(in crate::store) by_table: BTreeMap<String, i64>,
    /// Of deliveries, by endpoint: the last numbers of those whose last delivery is gone.
    pub(in crate::store) by_endpoint: Vec<(i64, i64)>,
}
