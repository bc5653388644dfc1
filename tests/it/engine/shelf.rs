//! A store that is a few maps: what an endpoint's deliveries look like to its
//! actor, as `posthaste::store` describes it.

use std::collections::{BTreeMap, BTreeSet};

use posthaste::domain::{DeliveryId, DiscardReason, EventId, EventOrder, StoredStatus, Timestamp, Trouble};
use posthaste::store::{AttemptKind, Due, Lane, Place, Placed, Placing, Record, Recorded, Verdict};
use uuid::Uuid;

use super::model::begin;

pub struct Row {
    pub number: u128,
    pub status: StoredStatus,
    pub attempt_count: u32,
    scheduled_attempts: u32,
    pub next_at: Option<Timestamp>,
    pub place: Option<u64>,
    pub order_key: Option<i64>,
}

#[derive(Default)]
pub struct Shelf {
    pub rows: BTreeMap<DeliveryId, Row>,
    /// Attempts asked for by hand and not recorded yet.
    pub asked: BTreeMap<DeliveryId, Timestamp>,
    pub trouble: Trouble,
    /// The order that the rows are in; not while some are taken out of it.
    order: Option<EventOrder>,
    is_undoing: bool,
    last_place: u64,
    /// How many were discarded by hand.
    pub discards: i64,
    attempts: BTreeSet<(DeliveryId, u32, Timestamp)>,
}

/// What lies between the making of two deliveries, in milliseconds.
const APART_MS: u128 = 200;

/// Ids grow with their numbers, and so do the times they were made at.
pub fn delivery(number: u128) -> DeliveryId {
    let made_at = begin().wall.as_millis() as u128 + number * APART_MS;
    DeliveryId::from_uuid(Uuid::from_u128(made_at << 80 | number))
}

pub fn event(number: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number))
}

impl Shelf {
    /// The number of the next delivery.
    pub fn next(&self) -> u128 {
        self.rows.len() as u128 + 1
    }

    /// Makes a delivery that is due. Answers its number.
    pub fn accept(&mut self) -> u128 {
        let number = self.next();
        self.insert(number, StoredStatus::Pending, delivery(number).made_at());
        number
    }

    /// Makes a delivery that is due later.
    pub fn accept_for_later(&mut self, at: Timestamp) {
        self.insert(self.next(), StoredStatus::Retrying, at);
    }

    fn insert(&mut self, number: u128, status: StoredStatus, next_at: Timestamp) {
        let row = Row {
            number,
            status,
            attempt_count: 0,
            scheduled_attempts: 0,
            next_at: Some(next_at),
            place: None,
            order_key: None,
        };
        self.rows.insert(delivery(number), row);
    }

    /// Whether what there is is in this order.
    pub fn is_in(&self, order: Option<&EventOrder>) -> bool {
        !self.is_undoing && self.order.as_ref() == order
    }

    /// When the next should have its place that is for later.
    pub fn next_for_later(&self, now: Timestamp) -> Option<Timestamp> {
        let is_for_later = |row: &&Row| row.status == StoredStatus::Retrying && row.is_unplaced();
        self.rows.values().filter(is_for_later).filter_map(|row| row.next_at).filter(|at| *at > now).min()
    }

    /// What has no place and should have one, and what each waits by.
    pub fn unplaced(&self, now: Timestamp, order: &EventOrder, limit: usize) -> Vec<Placing> {
        let is_for_later = |row: &Row| row.status == StoredStatus::Retrying && row.is_unplaced();
        let is_due = |row: &Row| row.next_at.is_some_and(|at| at <= now);
        let wanted = |row: &&Row| row.status == StoredStatus::Pending || (is_for_later(row) && is_due(row));
        let order_key = |row: &Row| match order {
            EventOrder::Fifo => Some(0),
            // One in four has no such field.
            EventOrder::By(_) => Some(1 + (row.number % 4) as i64).filter(|key| *key < 4),
        };
        let placing = |row: &Row| Placing { delivery: delivery(row.number), order_key: order_key(row) };
        let mut wanted: Vec<&Row> = self.rows.values().filter(wanted).collect();
        wanted.sort_by_key(|row| (row.next_at, row.number));
        wanted.into_iter().take(limit).map(placing).collect()
    }

    pub fn place(&mut self, order: Option<&EventOrder>, placings: &[Placing], limit: usize) -> Placed {
        if !self.is_in(order) {
            self.is_undoing = true;
            let in_order = self.rows.values_mut().filter(|row| row.order_key.is_some() && row.next_at.is_some());
            let mut undone = 0;
            for row in in_order.take(limit) {
                undone += 1;
                row.order_key = None;
                row.status = match row.scheduled_attempts {
                    0 => StoredStatus::Pending,
                    _ => StoredStatus::Retrying,
                };
            }
            if undone < limit {
                self.order = order.cloned();
                self.is_undoing = false;
            }
            return Placed::Undone { more: undone == limit };
        }
        let mut placed = 0;
        for Placing { delivery, order_key } in placings {
            let order_key = &Some(order_key.unwrap_or(-(self.rows[delivery].number as i64)));
            let is_taken = order_key.is_some_and(|key| self.has_key(key, |_| true));
            let Some(row) = self.rows.get_mut(delivery).filter(|row| row.next_at.is_some()) else { continue };
            if row.status != StoredStatus::Pending && !row.is_unplaced() {
                continue;
            }
            placed += 1;
            if row.place.is_none() {
                self.last_place += 1;
                row.place = Some(self.last_place);
            }
            row.order_key = *order_key;
            row.status = if is_taken { StoredStatus::Queued } else { StoredStatus::Retrying };
        }
        Placed::Done(placed)
    }

    /// Whether an unfinished delivery of this key is in such a state.
    pub fn has_key(&self, key: i64, is_so: impl Fn(StoredStatus) -> bool) -> bool {
        self.rows.values().any(|row| row.order_key == Some(key) && row.next_at.is_some() && is_so(row.status))
    }

    /// One of this key has ended: the next is due.
    fn release_behind(&mut self, ended: DeliveryId, now: Timestamp) {
        let Some(key) = self.rows[&ended].order_key else { return };
        if self.has_key(key, |status| status == StoredStatus::Retrying) {
            return;
        }
        let waits = |row: &&mut Row| row.order_key == Some(key) && row.status == StoredStatus::Queued;
        if let Some(next) = self.rows.values_mut().filter(waits).min_by_key(|row| row.place) {
            next.status = StoredStatus::Retrying;
            next.next_at = next.next_at.filter(|_| next.scheduled_attempts > 0).max(Some(now));
        }
    }

    /// Ends a delivery without an attempt, if it has not ended.
    pub fn discard(&mut self, delivery: DeliveryId, reason: DiscardReason, now: Timestamp) -> bool {
        let Some(row) = self.rows.get_mut(&delivery).filter(|row| row.next_at.is_some()) else { return false };
        (row.status, row.next_at) = (StoredStatus::Discarded(reason), None);
        self.asked.remove(&delivery);
        self.release_behind(delivery, now);
        true
    }

    /// What an ordered endpoint may send.
    pub fn placed(&self, limit: usize) -> Vec<Due> {
        let mut placed = self.due(Lane::Retry, None, usize::MAX);
        placed.retain(|due| due.place.is_some() || due.scheduled_attempts > 0);
        placed.truncate(limit);
        placed
    }

    pub fn due(&self, lane: Lane, after: Option<Place>, limit: usize) -> Vec<Due> {
        let of = |id: &DeliveryId, due_at: Timestamp| {
            let row = &self.rows[id];
            Due {
                delivery: *id,
                event: event(row.number),
                status: row.status,
                attempt_count: row.attempt_count,
                scheduled_attempts: row.scheduled_attempts,
                place: row.place,
                sequence: u64::try_from(row.number).ok(),
                due_at,
            }
        };
        let waiting = |status: StoredStatus| {
            let rows = self.rows.iter().filter(move |(_, row)| row.status == status);
            rows.filter_map(|(id, row)| Some(of(id, row.next_at?))).collect::<Vec<Due>>()
        };
        let mut due = match lane {
            Lane::Fresh => waiting(StoredStatus::Pending),
            Lane::Retry => waiting(StoredStatus::Retrying),
            Lane::Manual => self.asked.iter().map(|(id, asked_at)| of(id, *asked_at)).collect(),
        };
        due.sort_by_key(|due| (due.due_at, due.delivery));
        due.retain(|due| after.is_none_or(|after| (due.due_at, due.delivery) > after));
        due.truncate(limit);
        due
    }

    pub fn record(&mut self, record: &Record) -> Recorded {
        let row = self.rows.get_mut(&record.delivery).expect("only what was accepted is sent");
        let key = |number| (record.delivery, number, record.started_at);
        if row.attempt_count != record.attempts_before {
            let again = self.attempts.contains(&key(record.attempts_before + 1));
            return if again { Recorded::Written(row.status) } else { Recorded::Superseded };
        }
        if let Some(trouble) = &record.trouble {
            self.trouble = trouble.clone();
        }
        row.attempt_count += 1;
        self.attempts.insert(key(row.attempt_count));
        let scheduled = record.kind == AttemptKind::Scheduled && row.next_at.is_some();
        row.scheduled_attempts += u32::from(scheduled);
        (row.status, row.next_at) = match record.verdict {
            Verdict::Delivered => (StoredStatus::Delivered, None),
            // Of an earlier life's attempt: it was given its place meanwhile.
            Verdict::RetryAt(at) if scheduled && row.status == StoredStatus::Queued => (row.status, Some(at)),
            Verdict::RetryAt(at) if scheduled => (StoredStatus::Retrying, Some(at)),
            Verdict::Exhausted if scheduled => (StoredStatus::RetriesExhausted, None),
            Verdict::RetryAt(_) | Verdict::Exhausted | Verdict::Expired | Verdict::Unchanged => {
                (row.status, row.next_at)
            }
        };
        let status = row.status;
        if !status.is_unfinished() {
            self.release_behind(record.delivery, record.finished_at);
        }
        if record.kind == AttemptKind::Manual {
            self.asked.remove(&record.delivery);
        }
        Recorded::Written(status)
    }
}

impl Row {
    /// It was for later, and is in no order yet.
    fn is_unplaced(&self) -> bool {
        self.scheduled_attempts == 0 && self.place.is_none()
    }
}
