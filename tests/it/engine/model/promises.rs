//! What must be true of the [`World`] after every step, and what in the end.

use posthaste::domain::{DeliveryId, Outcome, StoredStatus};
use posthaste::engine::endpoint::state::{Effect, Input, Plan, Sending};
use posthaste::store::{AttemptKind, Lane};

use super::{Arranging, LANES, LIMITS, Read, SOON, World, Writing, delivered};

impl World {
    // What must be true after every step.

    pub(super) fn step(&mut self, input: Input) {
        if self.drained {
            return;
        }
        for effect in self.state.step(input, self.now) {
            match effect {
                Effect::ReadSettings => {
                    assert!(self.settings_read.is_none(), "one read of the settings at a time");
                    let (trouble, is_in_order) =
                        (self.shelf.trouble.clone(), self.shelf.is_in(self.plan.order.as_ref()));
                    let discards = self.shelf.discards;
                    self.settings_read = Some(Some(Plan { trouble, is_in_order, discards, ..self.plan.clone() }));
                }
                Effect::ReadPage { lane, after, limit, only_placed } => {
                    assert!(self.reads.iter().all(|read| read.lane != lane), "one read of a lane at a time");
                    assert!(lane != Lane::Fresh || self.arranging.is_none(), "it is being put in order");
                    self.reads.push(Read { lane, after, limit, only_placed, page: None });
                }
                Effect::Arrange { order, is_stored } => {
                    assert!(self.arranging.is_none(), "one at a time");
                    let heard = self.heard.as_ref().map(|heard| &heard.order);
                    assert_eq!(heard, Some(&order), "nothing is put in an order that nobody wants");
                    assert!(order.is_some() || !is_stored, "there is nothing to do");
                    self.arranging = Some(Arranging { order, placed: None });
                }
                Effect::Send(sending) => self.check_sending(&sending),
                Effect::Expire(delivery) => self.expiring.push(delivery),
                Effect::Record(record) => self.writing.push(Writing { record, recorded: None }),
                Effect::Rest => assert!(self.state.rest_until().is_some(), "it rests with work to do"),
                Effect::Warn(since) => assert!(self.now.wall.since(since) >= LIMITS.patience.warn_after),
                Effect::Disable(reason, _) => panic!("nobody asked for that: {reason:?}"),
                Effect::Gone => panic!("nobody deleted it"),
                Effect::Fenced => panic!("nobody else owns it"),
                Effect::Drained => {
                    assert!(self.draining && self.sending.is_empty() && self.writing.is_empty());
                    self.drained = true;
                }
            }
        }
        if self.drained {
            return;
        }
        let wake_at = self.state.wake_at();
        assert!(wake_at.is_none_or(|time| time > self.now.monotonic), "a timer at {wake_at:?} rings for nothing");
        let snapshot = self.state.snapshot();
        assert_eq!(snapshot.in_flight, self.sending.len());
        // A window for each lane, and one for what is born while one is read.
        assert!(snapshot.window <= (LANES.len() + 1) * LIMITS.window, "{snapshot:?}");
    }

    fn check_sending(&mut self, sending: &Sending) {
        let Sending { delivery, number, kind, sequence, .. } = sending;
        let heard = self.heard.as_ref().expect("nothing is sent before the settings are known");
        assert!(heard.enabled && !self.draining, "nothing is sent while it is held or drained");
        assert!(!self.writing.iter().any(|writing| writing.record.delivery == *delivery), "its outcome is not durable");
        let twice = self.sending.insert(*delivery, (self.now, *kind));
        assert!(twice.is_none(), "{delivery} is sent twice at once");
        assert!(self.sending.len() <= heard.max_concurrency, "more at once than the endpoint wants");
        self.sent += 1;
        if self.outdated.contains(delivery) {
            return;
        }
        let row = &self.shelf.rows[delivery];
        let due = row.next_at.is_some_and(|at| at <= self.now.wall);
        let asked = self.shelf.asked.contains_key(delivery);
        assert!(due || asked, "{delivery} is {:?} until {:?} and nobody asked", row.status, row.next_at);
        assert_eq!(*number, row.attempt_count + 1, "{delivery}");
        if *kind == AttemptKind::Scheduled && heard.order.is_some() {
            assert_eq!(row.status, StoredStatus::Retrying, "{delivery} waits for others, or has no place yet");
            assert_eq!(*sequence, u64::try_from(row.number).ok(), "{delivery}");
            let of_key = |other: &&DeliveryId| {
                let other_row = &self.shelf.rows[*other];
                // Of what an earlier life has moved on, this one knows too little; what was
                // skipped by hand may still arrive.
                let is_known = *other != delivery && !self.outdated.contains(*other) && other_row.next_at.is_some();
                is_known && row.order_key.is_some() && other_row.order_key == row.order_key
            };
            let under_way = self.sending.iter().filter(|(_, (_, kind))| *kind == AttemptKind::Scheduled);
            let beside = under_way.map(|(other, _)| other).find(of_key);
            assert_eq!(beside, None, "{delivery} must not overtake it");
        }
    }

    // What must be true in the end.

    /// Lets everything under way happen, and what is due within `SOON` of
    /// each other, until nothing is left to happen.
    pub fn calm_down(&mut self, outcome: &Outcome) {
        for _ in 0..10_000 {
            if self.settings_read.is_some() {
                self.settings(true);
            } else if !self.untold.is_empty() {
                self.tell(usize::MAX);
            } else if self.arranging.is_some() {
                self.arranged(true);
            } else if !self.expiring.is_empty() {
                self.expiry_is_written(0, true);
            } else if !self.reads.is_empty() {
                self.page(0, true);
            } else if !self.sending.is_empty() {
                self.attempt_ends(0, outcome.clone());
            } else if !self.writing.is_empty() {
                self.acknowledge(0);
            } else if self.lost_births {
                self.seen = None;
                self.tell_what_is_new();
            } else if self.lost {
                self.lost = false;
                self.sweep();
            } else if self.drained {
                return;
            } else {
                // A wish to rest is no work.
                let next = self.state.rest_until().unwrap_or_else(|| self.state.wake_at());
                let soon = next.filter(|time| *time <= self.now.monotonic + SOON);
                match soon {
                    Some(time) => self.advance(time.since(self.now.monotonic)),
                    None => return,
                }
            }
        }
        panic!("it does not come to rest");
    }

    /// Whatever is due has been tried.
    pub fn assert_nothing_forgotten(&self) {
        if !self.plan.enabled || self.drained {
            return;
        }
        assert!(self.shelf.asked.is_empty(), "asked for and never tried: {:?}", self.shelf.asked);
        for (delivery, row) in &self.shelf.rows {
            if row.status == StoredStatus::Queued {
                let key = row.order_key.expect("what waits, waits by a key");
                let is_due = |status| status == StoredStatus::Retrying;
                assert!(self.shelf.has_key(key, is_due), "{delivery} waits for nobody");
                continue;
            }
            assert!(row.next_at.is_none_or(|at| at > self.now.wall), "{delivery} has been due since {:?}", row.next_at);
        }
    }

    /// Goes on, now always succeeding, until nothing is left at all.
    pub fn finish(&mut self) {
        if self.drained {
            self.live_again();
        }
        self.left_behind.clear();
        self.change(true, self.plan.max_concurrency);
        for _ in 0..1_000 {
            self.calm_down(&delivered());
            if self.shelf.rows.values().all(|row| row.next_at.is_none()) {
                return;
            }
            match self.state.wake_at() {
                Some(time) => self.advance(time.since(self.now.monotonic)),
                None => panic!("deliveries wait, and nothing will ring for them"),
            }
        }
        panic!("it does not finish");
    }
}
