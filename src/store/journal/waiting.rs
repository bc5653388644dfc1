//! What has been taken from the queue and waits for its commit. Whoever posts or
//! changes something waits for the answer, and does not stand behind a thousand
//! outcomes of attempts: each kind has a half of a commit for itself, and what the
//! other leaves of its own.

use std::collections::VecDeque;

/// Outcomes that wait here at most, in commits. What comes behind them waits in the
/// queue, whatever it is.
const COMMITS_OF_OUTCOMES: usize = 8;

/// Entries in their order, of each kind, each with its weight.
pub(super) struct Waiting<T> {
    asked: VecDeque<(usize, T)>,
    outcomes: VecDeque<(usize, T)>,
    commit: Room,
}

/// What a commit has room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) entries: usize,
    /// Of all of them together; a single one may have more.
    pub(super) weight: usize,
}

impl Room {
    fn half(self) -> Self {
        Self { entries: self.entries.div_ceil(2), weight: self.weight.div_ceil(2) }
    }

    fn without(self, taken: Self) -> Self {
        Self { entries: self.entries.saturating_sub(taken.entries), weight: self.weight.saturating_sub(taken.weight) }
    }

    /// How much of a queue's beginning there is room for: of one that is not empty, at
    /// least its first.
    fn filled_by<T>(self, queue: &VecDeque<(usize, T)>) -> Self {
        let mut taken = Self { entries: 0, weight: 0 };
        for (weight, _) in queue {
            let has_room = taken.entries < self.entries && taken.weight + weight <= self.weight;
            if taken.entries > 0 && !has_room {
                break;
            }
            taken.entries += 1;
            taken.weight += weight;
        }
        taken
    }
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
    pub(super) fn new(commit: Room) -> Self {
        Self { asked: VecDeque::new(), outcomes: VecDeque::new(), commit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.outcomes.is_empty()
    }

    /// Whether more is to be taken from the queue before the next commit.
    pub(super) fn has_room(&self) -> bool {
        self.asked.len() < self.commit.entries && self.outcomes.len() < self.commit.entries * COMMITS_OF_OUTCOMES
    }

    pub(super) fn push(&mut self, kind: Kind, weight: usize, entry: T) {
        match kind {
            Kind::Asked => self.asked.push_back((weight, entry)),
            Kind::Outcome => self.outcomes.push_back((weight, entry)),
        }
    }

    /// What the next commit writes: of each kind that waits at least one.
    pub(super) fn take(&mut self) -> Vec<T> {
        let half = self.commit.half().filled_by(&self.outcomes);
        // One outcome may weigh more than a commit; who asked has a half all the same.
        let left = self.commit.without(half);
        let left = Room { weight: left.weight.max(self.commit.weight / 2), ..left };
        let asked = left.filled_by(&self.asked);
        let outcomes = self.commit.without(asked).filled_by(&self.outcomes).entries.max(half.entries);
        let taken = self.asked.drain(..asked.entries).chain(self.outcomes.drain(..outcomes));
        taken.map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An entry's kind, number among its kind, and weight.
    type Known = (usize, usize, usize);

    /// Takes once, and checks that both kinds had their share.
    fn check(waiting: &mut Waiting<Known>, left: &mut [VecDeque<Known>; 2], commit: Room) -> Result<(), TestCaseError> {
        let taken = waiting.take();
        let of = |kind: usize| taken.iter().filter(move |known| known.0 == kind);
        for kind in [0, 1] {
            let (mut entries, mut weight) = (0, 0);
            for (_, _, next) in &left[kind] {
                entries += 1;
                weight += next;
                if entries > 1 && (entries > commit.entries / 2 || weight > commit.weight / 2) {
                    break;
                }
                prop_assert!(of(kind).count() >= entries, "{taken:?} of {left:?}");
            }
        }
        // Each kind's first is written whatever its weight, and nothing else beyond.
        let beyond: usize = [0, 1].iter().filter_map(|kind| of(*kind).next()).map(|first| first.2).sum();
        prop_assert!(taken.len() <= commit.entries.max(2), "{taken:?}");
        prop_assert!(taken.iter().map(|known| known.2).sum::<usize>() <= commit.weight + beyond, "{taken:?}");
        for known in taken {
            prop_assert_eq!(left[known.0].pop_front(), Some(known), "each kind keeps its order");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn everything_is_written_in_its_order_and_nobody_waits_for_the_other_kind(
            arrivals in prop::collection::vec((any::<bool>(), prop::collection::vec(0..12_usize, 1..40)), 1..30),
            entries in 1..20_usize,
            weight in 1..80_usize,
        ) {
            let commit = Room { entries, weight };
            let mut waiting = Waiting::new(commit);
            let mut left = [VecDeque::new(), VecDeque::new()];
            let mut made = [0; 2];
            for (is_outcome, weights) in arrivals {
                let kind = usize::from(is_outcome);
                for weight in weights {
                    let known = (kind, made[kind], weight);
                    waiting.push(if is_outcome { Kind::Outcome } else { Kind::Asked }, weight, known);
                    left[kind].push_back(known);
                    made[kind] += 1;
                }
                check(&mut waiting, &mut left, commit)?;
            }
            while !waiting.is_empty() {
                check(&mut waiting, &mut left, commit)?;
            }
            prop_assert!(left.iter().all(VecDeque::is_empty));
        }
    }
}
