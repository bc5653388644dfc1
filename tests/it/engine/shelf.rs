//! A store that is a few maps: what an endpoint's deliveries look like to its
//! actor, as `posthaste::store` describes it.

use std::collections::{BTreeMap, BTreeSet};

use posthaste::domain::{DeliveryId, EventId, StoredStatus, Timestamp, Trouble};
use posthaste::store::{AttemptKind, Due, Lane, Place, Record, Recorded, Verdict};
use uuid::Uuid;

use super::model::begin;

pub struct Row {
    pub number: u128,
    pub status: StoredStatus,
    pub attempt_count: u32,
    scheduled_attempts: u32,
    pub next_at: Option<Timestamp>,
}

#[derive(Default)]
pub struct Shelf {
    pub rows: BTreeMap<DeliveryId, Row>,
    /// Attempts asked for by hand and not recorded yet.
    pub asked: BTreeMap<DeliveryId, Timestamp>,
    pub trouble: Trouble,
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
        let next_at = Some(delivery(number).made_at());
        let row = Row { number, status: StoredStatus::Pending, attempt_count: 0, scheduled_attempts: 0, next_at };
        self.rows.insert(delivery(number), row);
        number
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
            Verdict::RetryAt(at) if scheduled => (StoredStatus::Retrying, Some(at)),
            Verdict::Exhausted if scheduled => (StoredStatus::RetriesExhausted, None),
            Verdict::RetryAt(_) | Verdict::Exhausted | Verdict::Unchanged => (row.status, row.next_at),
        };
        if record.kind == AttemptKind::Manual {
            self.asked.remove(&record.delivery);
        }
        Recorded::Written(row.status)
    }
}
