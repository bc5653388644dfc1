//! How far a lane has been read from the store, and whether to read on.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::{DeliveryId, Monotonic};

/// How long to wait before reading again what the store would not give.
pub(super) const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A lane's reading of the store.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The store may hold what is not in the window.
    pub(super) more: bool,
    pub(super) under_way: bool,
    /// The read under way began where the last one ended.
    pub(super) is_continued: bool,
    /// What the read under way shows may be as it was before something that counts: it
    /// is not taken.
    pub(super) is_outdated: bool,
    /// Something was left to the store while a read was under way that may
    /// have missed it.
    pub(super) missed: bool,
    /// What was left there may be due before what the window holds: that the
    /// window is full is no reason to wait.
    pub(super) overtaking: bool,
    /// What moved on while a read was under way: the read may still show it as
    /// it was, and taking it from there would send it twice.
    pub(super) settled: HashSet<DeliveryId>,
    /// Not before then, after a read that failed.
    pub(super) not_before: Option<Monotonic>,
}

impl Reading {
    pub(super) fn leave_to_store(&mut self) {
        self.more = true;
        self.missed |= self.under_way;
    }

    /// Leaves something to the store that may be due before what is held.
    pub(super) fn leave_early_to_store(&mut self) {
        self.leave_to_store();
        self.overtaking = true;
    }

    /// Leaves all there is to the store, also what a read under way may have seen.
    pub(super) fn leave_all_to_store(&mut self) {
        self.leave_to_store();
        self.is_outdated |= self.under_way;
    }

    /// Answers whether something was left to the store meanwhile: then there
    /// is more after all, as soon as the caller has taken what it kept.
    pub(super) fn finished(&mut self, more: bool) -> bool {
        self.under_way = false;
        self.is_outdated = false;
        self.more = more;
        self.settled.clear();
        std::mem::take(&mut self.missed)
    }

    pub(super) fn failed(&mut self, now: Monotonic) {
        self.under_way = false;
        self.is_outdated = false;
        self.more = true;
        self.missed = false;
        self.settled.clear();
        self.overtaking = true;
        self.pause(now);
    }

    /// Whatever is read next is not read at once.
    pub(super) fn pause(&mut self, now: Monotonic) {
        self.not_before = Some(now + READ_AGAIN_AFTER);
    }

    /// Whether to read when time allows it.
    pub(super) fn is_wanted(&self, has_room: bool) -> bool {
        self.more && !self.under_way && (has_room || self.overtaking)
    }

    pub(super) fn begin(&mut self, has_room: bool, now: Monotonic) -> bool {
        if !self.is_wanted(has_room) || self.not_before.is_some_and(|time| now < time) {
            return false;
        }
        self.not_before = None;
        self.overtaking = false;
        self.under_way = true;
        true
    }
}
