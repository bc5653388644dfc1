//! What people ask of the last while and no counter tells: how long the newest commits
//! took, and which partitions came and went. So many of each are kept, and no more.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

/// Commits that are kept.
const COMMITS: usize = 1_000;
/// Moves that are kept.
const MOVES: usize = 50;

const UNPOISONED: &str = "no holder of this lock can panic";

/// See the module.
#[derive(Debug, Default)]
pub struct Lately {
    commits: Mutex<VecDeque<Duration>>,
    moves: Mutex<VecDeque<Moved>>,
}

/// Partitions that came or went together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// When, in milliseconds since 1970.
    pub at_millis: i64,
    /// `taken`, `lost` or `handed_over`.
    pub what: &'static str,
    /// How many.
    pub partitions: usize,
}

impl Lately {
    /// A commit took so long, its flush included.
    pub fn committed(&self, took: Duration) {
        keep(&mut self.commits.lock().expect(UNPOISONED), took, COMMITS);
    }

    /// Partitions came or went.
    pub fn moved(&self, moved: Moved) {
        keep(&mut self.moves.lock().expect(UNPOISONED), moved, MOVES);
    }

    /// How many commits are kept, and what 99 % of them took at most.
    pub fn commits(&self) -> Option<(usize, Duration)> {
        let mut took: Vec<Duration> = self.commits.lock().expect(UNPOISONED).iter().copied().collect();
        let place = (took.len() * 99).div_ceil(100).checked_sub(1)?;
        let (_, p99, _) = took.select_nth_unstable(place);
        let p99 = *p99;
        Some((took.len(), p99))
    }

    /// Moves, newest first.
    pub fn moves(&self) -> Vec<Moved> {
        self.moves.lock().expect(UNPOISONED).iter().rev().copied().collect()
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: T, most: usize) {
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_told() {
        let lately = Lately::default();
        assert_eq!(lately.commits(), None);
        lately.committed(Duration::from_millis(7));
        assert_eq!(lately.commits(), Some((1, Duration::from_millis(7))));
        let lately = Lately::default();
        (1..=100).rev().for_each(|millis| lately.committed(Duration::from_millis(millis)));
        assert_eq!(lately.commits(), Some((100, Duration::from_millis(99))));
        // What is old is forgotten.
        (0..COMMITS).for_each(|_| lately.committed(Duration::from_millis(1)));
        assert_eq!(lately.commits(), Some((COMMITS, Duration::from_millis(1))));
    }

    #[test]
    fn the_newest_moves_come_first_and_old_ones_go() {
        let lately = Lately::default();
        let moved = |at_millis| Moved { at_millis, what: "taken", partitions: 1 };
        (0..60).for_each(|at| lately.moved(moved(at)));
        let moves = lately.moves();
        assert_eq!((moves.len(), moves[0], moves[49]), (MOVES, moved(59), moved(10)));
    }
}
