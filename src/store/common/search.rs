//! Finding events, newest first: by the search index as far as that has come, and by
//! looking through what lies behind it, within bounds. Whatever the index leads to is
//! looked at before it is an answer.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;

use super::segments;
use super::views::{EVENT_COLUMNS, EventRow, event_of, visible_scopes};
use super::{Connection, reads, translate};
use crate::catalog::read_json;
use crate::domain::{Event, EventId, EventType};
use crate::policy::matching;
use crate::store::ids::{IdCodec, RowKey, first_key_at};
use crate::store::rows::parsed;
use crate::store::schema::{events, search_entries, search_layouts, search_segments};
use crate::store::search::layout::Layout;
use crate::store::search::terms::{self, Term, TermHasher, Whose};
use crate::store::search::{ASKED_SEGMENTS, TAIL_BYTES, TAIL_EVENTS, entry_id, packing, segment_of, unreadable};
use crate::store::{EventSearch, Page, PageRequest, Scope, ScopeId, StoreError};

/// Rows of the first look through what no index leads to; each that follows is larger.
const FIRST_LOOK: usize = 256;
/// Events that are read together: so many payloads are in memory at a time.
const READ_AT_ONCE: usize = 64;
/// Segments that are asked together, at most.
const SEGMENTS_AT_ONCE: usize = 256;

/// Whose events somebody may see.
#[derive(Debug, Clone, Copy)]
pub(super) enum Visible {
    /// A partner's own, and those over all partners.
    Partner(ScopeId),
    /// All of an environment.
    Environment(i64),
}

impl Visible {
    pub(super) fn of(scope: &Scope, id: ScopeId) -> Self {
        if scope.partner.is_some() { Self::Partner(id) } else { Self::Environment(id.0) }
    }

    fn environment(self) -> i64 {
        match self {
            Self::Partner(id) => id.0 & 1,
            Self::Environment(environment) => environment,
        }
    }

    /// Among whose events a term is asked for.
    fn whose(self) -> Vec<Whose> {
        match self {
            Self::Partner(id) => visible_scopes(id).map(Whose::Scope).to_vec(),
            Self::Environment(environment) => vec![Whose::Environment(environment)],
        }
    }

    fn includes(self, scope: i64) -> bool {
        match self {
            Self::Partner(id) => visible_scopes(id).contains(&scope),
            Self::Environment(environment) => scope & 1 == environment,
        }
    }
}

/// What one request may still look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    looked_at: usize,
    read_whole: usize,
    read_bytes: usize,
    segments: usize,
}

impl Budget {
    pub(super) fn of_a_request() -> Self {
        Self { looked_at: TAIL_EVENTS, read_whole: TAIL_EVENTS, read_bytes: TAIL_BYTES, segments: ASKED_SEGMENTS }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.looked_at == 0 || self.read_whole == 0 || self.read_bytes == 0 || self.segments == 0
    }
}

/// What was found on the way down.
pub(super) struct Walked {
    /// Newest first.
    pub(super) keys: Vec<RowKey>,
    /// Everything from this key on was looked at; what was asked for begins no lower, if
    /// all was.
    pub(super) down_to: RowKey,
}

/// What is asked, ready to be compared.
struct Question<'a> {
    visible: Visible,
    filter: &'a EventSearch,
    /// The types that have the field that is asked for, and by which they are indexed.
    types_with_field: Option<BTreeSet<String>>,
    /// All of these must hold, and of each any.
    hashes: Vec<Vec<u64>>,
}

impl<'a> Question<'a> {
    fn new(
        connection: &mut Connection,
        ids: &IdCodec,
        visible: Visible,
        filter: &'a EventSearch,
    ) -> Result<Self, StoreError> {
        let types_with_field = match &filter.field {
            Some((pointer, _)) => Some(segments::layout(connection)?.types_by(visible.environment(), pointer)),
            None => None,
        };
        // What few events have comes first.
        let key = filter.idempotency_key.as_deref().map(Term::IdempotencyKey);
        let field = filter.field.as_ref().map(|(pointer, value)| Term::Field(pointer.as_str(), value));
        let kind = filter.types.as_ref().and_then(terms::of_pattern);
        let hasher = TermHasher::of(ids);
        let whose = visible.whose();
        let any_of = |term: Term<'_>| whose.iter().map(|whose| hasher.hash(*whose, term)).collect::<Vec<_>>();
        let hashes = [key, field, kind].into_iter().flatten().map(any_of).collect();
        Ok(Self { visible, filter, types_with_field, hashes })
    }

    /// Whether an event may be it, as far as can be said without its body.
    fn may_fit(&self, scope: i64, event_type: &EventType, idempotency_key: Option<&str>) -> bool {
        self.visible.includes(scope)
            && self.filter.types.as_ref().is_none_or(|pattern| matching::covers(pattern, event_type))
            && self.filter.idempotency_key.as_ref().is_none_or(|key| idempotency_key == Some(key))
            && self.types_with_field.as_ref().is_none_or(|types| types.contains(event_type.as_str()))
    }

    fn has_field(&self, body: &[u8]) -> bool {
        let Some((pointer, value)) = &self.filter.field else { return true };
        read_json(body).is_ok_and(|event| terms::text_at(pointer, &event).is_some_and(|found| found == *value))
    }

    /// Whether the index leads to all that fits, in segments of this layout.
    fn is_covered_by(&self, layout: &Layout) -> bool {
        let (Some(types), Some((pointer, _))) = (&self.types_with_field, &self.filter.field) else { return true };
        types.is_subset(&layout.types_by(self.visible.environment(), pointer))
    }
}

/// A walk down the keys.
struct Walk<'a> {
    question: Question<'a>,
    above: RowKey,
    limit: usize,
    keys: Vec<RowKey>,
    /// Everything from this key on was looked at.
    down_to: RowKey,
}

pub(super) fn events_of(
    connection: &mut Connection,
    ids: &IdCodec,
    scope: &Scope,
    filter: &EventSearch,
    page: &PageRequest<EventId>,
) -> Result<Page<Event>, StoreError> {
    let Some(id) = reads::scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let above = filter.since.map_or(0, |since| first_key_at(since) - 1);
    let after = page.after.map_or(RowKey::MAX, |after| ids.event_key(after).unwrap_or(0));
    let below = filter.until.map_or(RowKey::MAX, first_key_at).min(after);
    let visible = Visible::of(scope, id);
    let mut budget = Budget::of_a_request();
    let walked = walk(connection, ids, visible, filter, (above, below), page.limit + 1, &mut budget)?;
    let mut rows: Vec<EventRow> = events::table
        .filter(events::id.eq_any(&walked.keys))
        .select(EVENT_COLUMNS)
        .load(connection)
        .map_err(translate)?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    let found = rows.into_iter().map(|row| event_of(connection, ids, row)).collect::<Result<Vec<_>, _>>()?;
    if found.len() > page.limit || walked.down_to <= above + 1 {
        return Ok(Page::from_overread(found, page.limit));
    }
    Ok(Page::up_to(found, ids.event(walked.down_to).to_string()))
}

/// Up to `limit` of the newest events between two keys, both left out, that somebody
/// sees and that fit; fewer where the budget is spent before.
pub(super) fn walk(
    connection: &mut Connection,
    ids: &IdCodec,
    visible: Visible,
    filter: &EventSearch,
    (above, below): (RowKey, RowKey),
    limit: usize,
    budget: &mut Budget,
) -> Result<Walked, StoreError> {
    let question = Question::new(connection, ids, visible, filter)?;
    let mut walk = Walk { question, above, limit, keys: Vec::new(), down_to: below };
    if walk.question.hashes.is_empty() {
        walk.look_through(connection, above, budget)?;
    } else {
        let (_, indexed_to) = segments::newest(connection)?;
        if walk.look_through(connection, indexed_to.max(above), budget)? {
            walk.ask_segments(connection, budget)?;
        }
    }
    Ok(Walked { keys: walk.keys, down_to: walk.down_to })
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.keys.len() >= self.limit
    }

    /// Looks at event after event from where it stands down to `above`, which is left
    /// out. False where it did not get there.
    fn look_through(
        &mut self,
        connection: &mut Connection,
        above: RowKey,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let mut look = FIRST_LOOK.max(self.limit);
        loop {
            if self.is_full() {
                return Ok(false);
            }
            if self.down_to <= above + 1 {
                return Ok(true);
            }
            if budget.is_spent() {
                return Ok(false);
            }
            let most = look.min(budget.looked_at);
            let slice = slice_of(connection, self.question.visible, (above, self.down_to), most)?;
            budget.looked_at -= slice.len();
            let reaches = if slice.len() < most { above + 1 } else { slice.last().map_or(above + 1, |row| row.0) };
            let mut keys = Vec::new();
            for (key, scope, name, idempotency_key) in slice {
                if self.question.may_fit(scope, &parsed(&name)?, idempotency_key.as_deref()) {
                    keys.push(key);
                }
            }
            let is_all = match self.question.filter.field {
                None => self.take(&keys),
                Some(_) => self.read(connection, &keys, budget)?,
            };
            if is_all {
                self.down_to = reaches;
            }
            look *= 4;
        }
    }

    /// Takes these events, which fit. False where there was no room for all.
    fn take(&mut self, keys: &[RowKey]) -> bool {
        let room = self.limit - self.keys.len();
        let some = &keys[..room.min(keys.len())];
        self.keys.extend_from_slice(some);
        self.down_to = some.last().map_or(self.down_to, |last| *last);
        some.len() == keys.len()
    }

    /// Looks at these events and takes those of them that fit; they are sorted, the newest first. False
    /// where it was over before the last of them.
    fn read(&mut self, connection: &mut Connection, keys: &[RowKey], budget: &mut Budget) -> Result<bool, StoreError> {
        let mut rest = keys;
        while !rest.is_empty() {
            let room = self.limit - self.keys.len();
            let most = if budget.read_bytes == 0 { 0 } else { READ_AT_ONCE.min(budget.read_whole) };
            if room == 0 || most == 0 {
                return Ok(false);
            }
            let (some, behind) = rest.split_at(most.min(rest.len()));
            rest = behind;
            budget.read_whole -= some.len();
            let mut found = Vec::with_capacity(some.len());
            let of_some = events::table.filter(events::id.eq_any(some));
            if self.question.filter.field.is_some() {
                let rows: Vec<WithBody> = of_some
                    .select((events::id, events::scope, events::event_type, events::idempotency_key, events::body))
                    .load(connection)
                    .map_err(translate)?;
                for (key, scope, name, idempotency_key, body) in rows {
                    budget.read_bytes = budget.read_bytes.saturating_sub(body.len());
                    if self.question.may_fit(scope, &parsed(&name)?, idempotency_key.as_deref())
                        && self.question.has_field(&body)
                    {
                        found.push(key);
                    }
                }
            } else {
                let rows: Slice = of_some
                    .select((events::id, events::scope, events::event_type, events::idempotency_key))
                    .load(connection)
                    .map_err(translate)?;
                for (key, scope, name, idempotency_key) in rows {
                    if self.question.may_fit(scope, &parsed(&name)?, idempotency_key.as_deref()) {
                        found.push(key);
                    }
                }
            }
            found.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
            let (kept, beyond) = found.split_at(room.min(found.len()));
            self.keys.extend_from_slice(kept);
            if !beyond.is_empty() {
                self.down_to = kept.last().map_or(self.down_to, |last| *last);
                return Ok(false);
            }
            self.down_to = some.last().map_or(self.down_to, |last| *last);
        }
        Ok(true)
    }

    /// Asks segment after segment, the newest first.
    fn ask_segments(&mut self, connection: &mut Connection, budget: &mut Budget) -> Result<(), StoreError> {
        let layouts: HashMap<i64, bool> = {
            let rows: Vec<(i64, String)> = search_layouts::table
                .select((search_layouts::id, search_layouts::fields))
                .load(connection)
                .map_err(translate)?;
            let covers = |(id, text): (i64, String)| Ok((id, self.question.is_covered_by(&Layout::read(&text)?)));
            rows.into_iter().map(covers).collect::<Result<_, StoreError>>()?
        };
        let mut at_once = 1;
        while !self.is_full() && !budget.is_spent() {
            let most = at_once.min(budget.segments);
            let found: Vec<(i64, RowKey, RowKey, i64)> = search_segments::table
                .filter(search_segments::first_key.lt(self.down_to))
                .filter(search_segments::last_key.gt(self.above))
                .order(search_segments::first_key.desc())
                .limit(most as i64)
                .select((
                    search_segments::id,
                    search_segments::first_key,
                    search_segments::last_key,
                    search_segments::layout,
                ))
                .load(connection)
                .map_err(translate)?;
            let Some((_, first_key, _, layout)) = found.first() else {
                self.down_to = self.above + 1;
                return Ok(());
            };
            let is_covered = |layout: &i64| layouts.get(layout).copied().unwrap_or(false);
            if !is_covered(layout) {
                budget.segments -= 1;
                if !self.look_through(connection, (first_key - 1).max(self.above), budget)? {
                    return Ok(());
                }
                continue;
            }
            let covered: Vec<(i64, RowKey)> = found
                .iter()
                .take_while(|(.., layout)| is_covered(layout))
                .map(|(id, first_key, ..)| (*id, *first_key))
                .collect();
            budget.segments -= covered.len();
            let lowest = covered.last().map_or(self.above, |(_, first_key)| *first_key);
            let hits = self.hits(connection, &covered)?;
            if !self.read(connection, &hits, budget)? {
                return Ok(());
            }
            self.down_to = lowest.max(self.above + 1);
            at_once = (at_once * 2).min(SEGMENTS_AT_ONCE);
        }
        Ok(())
    }

    /// The events of these segments that the index has for all that is asked, the newest
    /// first.
    fn hits(&self, connection: &mut Connection, covered: &[(i64, RowKey)]) -> Result<Vec<RowKey>, StoreError> {
        let first_keys: BTreeMap<i64, RowKey> = covered.iter().copied().collect();
        let (Some((lowest, _)), Some((highest, _))) = (first_keys.first_key_value(), first_keys.last_key_value())
        else {
            return Ok(Vec::new());
        };
        let mut hits: Option<BTreeSet<RowKey>> = None;
        for any_of in &self.question.hashes {
            let mut found = BTreeSet::new();
            for hash in any_of {
                let (bucket, tail) = packing::place_of(*hash);
                let rows: Vec<(i64, Vec<u8>)> = search_entries::table
                    .filter(search_entries::id.between(entry_id(bucket, *lowest), entry_id(bucket, *highest)))
                    .select((search_entries::id, search_entries::entries))
                    .load(connection)
                    .map_err(translate)?;
                for (id, bytes) in rows {
                    let Some(first_key) = first_keys.get(&segment_of(id)) else { continue };
                    let keys = packing::find(&bytes, *first_key, tail).ok_or_else(|| unreadable(id))?;
                    let is_common = |key: &RowKey| hits.as_ref().is_none_or(|hits| hits.contains(key));
                    found.extend(keys.into_iter().filter(is_common));
                }
            }
            if found.is_empty() {
                return Ok(Vec::new());
            }
            hits = Some(found);
        }
        let between = |key: &RowKey| *key > self.above && *key < self.down_to;
        Ok(hits.into_iter().flatten().filter(between).rev().collect())
    }
}

/// Of an event: its key, scope, type and idempotency key.
type Slice = Vec<(RowKey, i64, String, Option<String>)>;

/// The same, and its body.
type WithBody = (RowKey, i64, String, Option<String>, Vec<u8>);

/// Up to `limit` events between two keys, newest first: a partner's by two walks down one
/// index, merged, and an environment's as they stand in the table, with the other one's
/// among them.
fn slice_of(
    connection: &mut Connection,
    visible: Visible,
    (above, below): (RowKey, RowKey),
    limit: usize,
) -> Result<Slice, StoreError> {
    let newest = || {
        events::table
            .filter(events::id.gt(above).and(events::id.lt(below)))
            .order(events::id.desc())
            .limit(limit as i64)
            .select((events::id, events::scope, events::event_type, events::idempotency_key))
            .into_boxed()
    };
    let Visible::Partner(id) = visible else { return newest().load(connection).map_err(translate) };
    let mut slice = Slice::new();
    for scope in visible_scopes(id) {
        let part: Slice = newest().filter(events::scope.eq(scope)).load(connection).map_err(translate)?;
        slice.extend(part);
    }
    slice.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    slice.truncate(limit);
    Ok(slice)
}
