//! What has been taken from the queue and waits for its commit. Whoever posts or
//! changes something waits for the answer, and does not stand behind a thousand
//! outcomes of attempts: each kind has a half of a commit for itself, and what the
//! other leaves of its own.

use std::collections::VecDeque;

/// Outcomes that wait here at most, in commits. What comes behind them waits in the
/// queue, whatever it is.
const COMMITS_OF_OUTCOMES: usize = 8;

/// Entries in their order, of each kind.
pub(super) struct Waiting<T> {
    asked: VecDeque<T>,
    outcomes: VecDeque<T>,
    /// Most entries of a commit.
    batch: usize,
}

/// Who waits for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody who asked for it.
    Asked,
    /// An actor, which goes on meanwhile.
    Outcome,
}

impl<T> Waiting<T> {
    pub(super) fn new(batch: usize) -> Self {
        Self { asked: VecDeque::new(), outcomes: VecDeque::new(), batch: batch.max(1) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.outcomes.is_empty()
    }

    /// Whether more is to be taken from the queue before the next commit.
    pub(super) fn has_room(&self) -> bool {
        self.asked.len() < self.batch && self.outcomes.len() < self.batch * COMMITS_OF_OUTCOMES
    }

    pub(super) fn push(&mut self, kind: Kind, entry: T) {
        match kind {
            Kind::Asked => self.asked.push_back(entry),
            Kind::Outcome => self.outcomes.push_back(entry),
        }
    }

    /// What the next commit writes.
    pub(super) fn take(&mut self) -> Vec<T> {
        let half = self.batch.div_ceil(2);
        let outcomes = self.outcomes.len().min(half.max(self.batch.saturating_sub(self.asked.len())));
        let asked = self.asked.len().min(self.batch - outcomes).max(usize::from(!self.asked.is_empty()));
        self.asked.drain(..asked).chain(self.outcomes.drain(..outcomes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_is_written_in_its_order_and_nobody_waits_for_the_other_kind(
            arrivals in prop::collection::vec((any::<bool>(), 1..40_usize), 1..30),
            batch in 1..20_usize,
        ) {
            let mut waiting = Waiting::new(batch);
            let mut left: [usize; 2] = [0, 0];
            let mut next: [usize; 2] = [0, 0];
            let mut made: [usize; 2] = [0, 0];
            let check = |waiting: &mut Waiting<(usize, usize)>, left: &mut [usize; 2], next: &mut [usize; 2]| {
                let taken = waiting.take();
                let of = |kind: usize| taken.iter().filter(|(known, _)| *known == kind).count();
                let half = batch.div_ceil(2);
                prop_assert!(of(0) >= left[0].min(batch - half.min(batch - 1)).min(1), "somebody waits");
                prop_assert!(of(0) >= left[0].min(batch - half), "{taken:?} of {left:?}");
                prop_assert!(of(1) >= left[1].min(half), "{taken:?} of {left:?}");
                prop_assert!(taken.len() <= batch.max(2), "{taken:?}");
                for (kind, number) in taken {
                    prop_assert_eq!(number, next[kind], "each kind keeps its order");
                    next[kind] += 1;
                    left[kind] -= 1;
                }
                Ok(())
            };
            for (is_outcome, count) in arrivals {
                let kind = usize::from(is_outcome);
                for _ in 0..count {
                    waiting.push(if is_outcome { Kind::Outcome } else { Kind::Asked }, (kind, made[kind]));
                    made[kind] += 1;
                    left[kind] += 1;
                }
                check(&mut waiting, &mut left, &mut next)?;
            }
            while !waiting.is_empty() {
                check(&mut waiting, &mut left, &mut next)?;
            }
            prop_assert_eq!(next, made);
        }
    }
}
