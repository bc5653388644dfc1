//! What an endpoint was sent, by its numbers, for whoever fetches what he missed: which of
//! the rows that are seen may be given, so that nothing is passed over that is committed
//! later. How they are read is `common/pull.rs`.
//!
//! Where one writer gives numbers and writes them, a number that is not there never will
//! be. Where several nodes write, it may be in a transaction that has not ended yet:
//! - One that uses a number has begun before that was given, and shows that it runs until
//!   it has ended. So what was given before the oldest of those that run began is settled.
//! - Some run for long and write nothing. Of what was given a minute ago only those count
//!   that write: a node gives a transaction up that has not begun to commit half a minute
//!   after it took its numbers, and by then whoever commits writes.

use bytes::Bytes;

use crate::domain::{DeliveryId, DeliveryStatus, EventId, EventType, Timestamp};

/// What somebody wants to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullRequest {
    /// What has a larger number than this.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
    /// With payloads of no more than so many bytes together, but one at least.
    pub bytes: usize,
    /// What is to be delivered later is not shown yet.
    pub now: Timestamp,
}

/// A page of what an endpoint was sent, in the order of its numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Every one behind `after` that there is, up to the last.
    pub items: Vec<PulledDelivery>,
    /// Where to go on.
    pub next_after: u64,
    /// The smallest number that is still kept.
    pub oldest: Option<u64>,
    /// Whether something behind them is there already.
    pub more: bool,
    /// Whether that is to be asked for again in a moment: a number before it may yet be
    /// committed.
    pub is_settling: bool,
}

/// One that an endpoint was sent, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledDelivery {
    /// Its number.
    pub sequence: u64,
    /// Which it is.
    pub delivery: DeliveryId,
    /// What it carries.
    pub event: EventId,
    /// The event's kind.
    pub event_type: EventType,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// When the event was accepted.
    pub accepted_at: Timestamp,
    /// When it is to be delivered, if that is later than now.
    pub deliver_at: Option<Timestamp>,
    /// Whether its payload is no longer kept.
    pub is_erased: bool,
    /// The very bytes that were posted; `None` where they are no longer kept, and before
    /// they are to be delivered.
    pub body: Option<Bytes>,
}

/// A delivery with a number: `id`, `event`, `status`, `scheduled_attempts`, `number`, and
/// whether it is not sealed yet.
pub(in crate::store) type NumberedRow = (i64, i64, i64, i64, i64, bool);

/// How many of these rows, which follow `after` in order, may be given where all numbers up
/// to `settled` are there if they ever will be. What is not sealed may be undone, and what
/// stands behind it waits for that.
pub(in crate::store) fn may_be_given(rows: &[NumberedRow], after: i64, settled: i64) -> usize {
    let mut before = after;
    for (place, (.., number, is_unsealed)) in rows.iter().enumerate() {
        let is_gap = *number > before.saturating_add(1);
        if *is_unsealed || (is_gap && *number - 1 > settled) {
            return place;
        }
        before = *number;
    }
    rows.len()
}

/// A number that was given to an endpoint, and a time by which it and all below it had been.
pub(in crate::store) type Mark = (i64, i64);

/// What runs in the database. Times are its server's, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Running {
    /// When the oldest transaction began.
    pub(in crate::store) oldest: Option<i64>,
    /// When the oldest began that writes.
    pub(in crate::store) oldest_writing: Option<i64>,
    /// When that was looked at.
    pub(in crate::store) now: i64,
}

/// After this long no transaction begins to commit a number: twice what a node allows
/// itself, since its clock is another.
const GIVEN_UP_AFTER_MS: i64 = 60_000;

/// Up to which number everything is there that ever will be.
pub(in crate::store) fn settled_up_to(marks: &[Mark], running: &Running) -> i64 {
    let has_ended = |at: i64, oldest: Option<i64>| oldest.is_none_or(|oldest| at < oldest);
    let is_settled = |&&(_, at): &&Mark| {
        has_ended(at, running.oldest)
            || (at <= running.now - GIVEN_UP_AFTER_MS && has_ended(at, running.oldest_writing))
    };
    marks.iter().filter(is_settled).map(|(number, _)| *number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(number: i64, is_unsealed: bool) -> NumberedRow {
        (number, number, 0, 0, number, is_unsealed)
    }

    /// What a transaction is up to that took a number.
    #[derive(Debug, Clone, Copy)]
    struct Writing {
        /// Between its beginning and the taking of its number.
        began_before: i64,
        /// From the taking to its end.
        lasts: i64,
        /// From the taking to its first write.
        writes_after: i64,
        commits: bool,
    }

    fn writing() -> impl Strategy<Value = Writing> {
        let lasts = prop_oneof![0i64..50, 0i64..200_000];
        (0i64..200, lasts, 0i64..40_000, any::<bool>()).prop_map(|(began_before, lasts, writes_after, commits)| {
            // A node gives up what has not begun to commit in time.
            let writes_after = writes_after.min(lasts);
            Writing { began_before, lasts, writes_after, commits: commits && writes_after <= 30_000 }
        })
    }

    proptest! {
        /// Numbers are taken one after the other by transactions that end in any order, and
        /// somebody pulls now and then: he is given all that was committed, once, in order.
        #[test]
        fn nothing_is_passed_over(
            transactions in prop::collection::vec((writing(), 1i64..2_000), 1..40),
            looks in prop::collection::vec(0i64..300_000, 1..12),
            reader_since in prop::option::of(0i64..100_000),
        ) {
            let mut at = 1_000;
            let taken: Vec<(i64, i64, Writing)> = (1..).zip(&transactions).map(|(number, (writing, apart))| {
                at += apart;
                (number, at, *writing)
            }).collect();
            let end = |(_, taken_at, writing): &(i64, i64, Writing)| taken_at + writing.lasts;
            let mut looks = looks;
            looks.sort_unstable();
            // At the end everything has ended.
            looks.push(taken.iter().map(end).max().unwrap_or(0) + 400_000);
            let (mut given, mut after) = (Vec::new(), 0);
            let (mut newer, mut older) = ((0, 1_000), (0, 0));
            let mut marked = 0;
            for now in looks {
                let until_now: Vec<_> = taken.iter().filter(|(_, taken_at, _)| *taken_at <= now).copied().collect();
                // As the function of the database keeps its marks.
                for (number, taken_at, _) in until_now.iter().skip(marked) {
                    if taken_at - newer.1 >= 60_000 {
                        let last = until_now[..(*number as usize - 1)].last().map_or((0, 1_000), |last| (last.0, last.1));
                        (older, newer) = (newer, last);
                    }
                }
                marked = until_now.len();
                let last = until_now.last().map_or((0, 0), |(number, taken_at, _)| (*number, *taken_at));
                // What has not taken its number yet runs as well.
                let runs: Vec<_> = taken.iter().filter(|one| one.1 - one.2.began_before <= now && end(one) > now).collect();
                let began = |one: &&(i64, i64, Writing)| one.1 - one.2.began_before;
                let oldest = runs.iter().map(began).chain(reader_since.filter(|since| *since <= now)).min();
                let writing = runs.iter().filter(|one| one.1 + one.2.writes_after <= now);
                let running = Running { oldest, oldest_writing: writing.map(began).min(), now };
                let settled = settled_up_to(&[last, newer, older], &running);
                let seen: Vec<NumberedRow> = until_now.iter()
                    .filter(|one| one.2.commits && end(one) <= now && one.0 > after)
                    .map(|one| row(one.0, false))
                    .collect();
                let some = may_be_given(&seen, after, settled);
                given.extend(seen[..some].iter().map(|row| row.4));
                after = given.last().copied().unwrap_or(after);
            }
            let committed: Vec<i64> = taken.iter().filter(|one| one.2.commits).map(|one| one.0).collect();
            prop_assert_eq!(given, committed);
        }

        #[test]
        fn what_is_not_sealed_ends_the_page(sealed in prop::collection::vec(any::<bool>(), 0..20)) {
            let rows: Vec<NumberedRow> = (1..).zip(&sealed).map(|(number, sealed)| row(number, !sealed)).collect();
            let expected = sealed.iter().position(|sealed| !sealed).unwrap_or(sealed.len());
            prop_assert_eq!(may_be_given(&rows, 0, i64::MAX), expected);
        }
    }

    #[test]
    fn a_gap_ends_the_page_until_it_is_settled() {
        let rows = [row(3, false), row(4, false), row(7, false)];
        for (after, settled, expected) in
            [(0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 5, 2), (2, 6, 3), (0, i64::MAX, 3), (i64::MAX, 0, 2)]
        {
            assert_eq!(may_be_given(&rows, after, settled), expected, "behind {after}, settled up to {settled}");
        }
    }
}
