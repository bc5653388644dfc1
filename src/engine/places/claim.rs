//! What one endpoint holds and waits for, and how far it is trusted: what it did
//! with the places it was given decides where its next one comes from.

use std::collections::VecDeque;

use super::claimant::{Claimant, Held, SLOW_AFTER, Standing, Urgency};
use crate::domain::Monotonic;
use crate::store::ScopeId;

/// Trust that is worth remembering when nothing is held any more: a single
/// request after another comes to no more than this.
const LEAST_REMEMBERED: usize = 2;

/// Which half of the places one belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// For whoever comes.
    Common,
    /// Only for endpoints that hold fewer than they are trusted with.
    Reserved,
}

impl Pool {
    pub const ALL: [Self; 2] = [Self::Common, Self::Reserved];
}

/// What an endpoint is to those who share places out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It holds fewer than it is trusted with.
    Trusted,
    /// Nothing speaks against it, and nothing for its having more.
    Unsure,
    /// It is slow, or it fails.
    Troubled,
}

impl Class {
    pub const COUNT: usize = 3;
}

/// All of a claim that sums are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    pub class: Class,
    /// By pool.
    pub held: [usize; Pool::ALL.len()],
    /// By urgency: since which turn somebody waits.
    pub turns: [Option<u64>; Urgency::ALL.len()],
    pub waiting: usize,
}

/// What one endpoint has and wants.
pub(super) struct Claim<W> {
    pub partner: ScopeId,
    /// When it is to be looked at, if it is to be.
    pub watched: Option<Monotonic>,
    held: [usize; Pool::ALL.len()],
    /// As many places as it has shown that it gives back in time. It grows by
    /// one with each timely success, which doubles it in a round trip, up to
    /// twice as many as it lately held, and is halved by a failure: whoever stops
    /// to answer cannot have many more than it had until then.
    trust: usize,
    /// The most it held since it was last looked at.
    peak: usize,
    is_failing: bool,
    is_slow: bool,
    /// When it last gave one back, or had its first.
    moved: Monotonic,
    waiting: [VecDeque<W>; Urgency::ALL.len()],
    /// When each of these queues last had a turn, or began.
    turns: [u64; Urgency::ALL.len()],
}

impl<W> Claim<W> {
    pub fn new(claimant: &Claimant, now: Monotonic) -> Self {
        Self {
            partner: claimant.partner,
            watched: None,
            held: [0; Pool::ALL.len()],
            trust: usize::from(claimant.standing == Standing::Proven),
            peak: 0,
            is_failing: claimant.standing == Standing::Failing,
            is_slow: false,
            moved: now,
            waiting: [VecDeque::new(), VecDeque::new()],
            turns: [0; Urgency::ALL.len()],
        }
    }

    pub fn class(&self) -> Class {
        if self.is_failing || self.is_slow {
            Class::Troubled
        } else if self.held() < self.trust {
            Class::Trusted
        } else {
            Class::Unsure
        }
    }

    pub fn footprint(&self) -> Footprint {
        let turn = |urgency: Urgency| {
            let is_waiting = !self.waiting[urgency as usize].is_empty();
            is_waiting.then_some(self.turns[urgency as usize])
        };
        Footprint {
            class: self.class(),
            held: self.held,
            turns: Urgency::ALL.map(turn),
            waiting: self.waiting.iter().map(VecDeque::len).sum(),
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.iter().any(|queue| !queue.is_empty())
    }

    /// When there is something to see, unless it gives a place back before: it
    /// is slow if it holds any, and not to be remembered any longer if not.
    pub fn look_at(&self) -> Option<Monotonic> {
        let may_become_slow = self.held() > 0 && !self.is_slow;
        let is_remembered = self.held() == 0 && self.trust > LEAST_REMEMBERED;
        (may_become_slow || is_remembered).then(|| self.moved + SLOW_AFTER)
    }

    pub fn is_overdue(&self, now: Monotonic) -> bool {
        self.look_at().is_some_and(|at| now > at)
    }

    /// Whether this claimant knows worse of the endpoint than is known here.
    pub fn is_news(&self, standing: Standing) -> bool {
        standing == Standing::Failing && !self.is_failing
    }

    /// Sees what there is to see.
    pub fn look(&mut self, now: Monotonic) {
        if self.is_overdue(now) {
            self.is_slow = self.held() > 0;
            self.trust = if self.is_slow { 0 } else { 1 };
        }
        // What it does not use, it is not to have all at once.
        self.trust = self.trust.min((2 * self.peak).max(1));
        self.peak = self.held();
    }

    /// Whether nothing is lost with it. What it was trusted with outlives its
    /// last place for a moment: its next ones may be on their way.
    pub fn is_over(&self) -> bool {
        self.held() == 0 && !self.is_waiting() && self.trust <= LEAST_REMEMBERED
    }

    pub fn fail(&mut self) {
        self.is_failing = true;
        self.trust = 0;
    }

    pub fn take(&mut self, pool: Pool, now: Monotonic) {
        if self.held() == 0 {
            self.moved = now;
        }
        self.held[pool as usize] += 1;
        self.peak = self.peak.max(self.held());
    }

    /// It gives one back that it had since then.
    pub fn give_back(&mut self, pool: Pool, outcome: Held, since: Monotonic, now: Monotonic) {
        if self.is_overdue(now) {
            self.look(now);
        }
        self.held[pool as usize] -= 1;
        match outcome {
            Held::Succeeded => {
                self.moved = now;
                (self.is_slow, self.is_failing) = (false, false);
                let is_timely = now.since(since) <= SLOW_AFTER;
                if is_timely && self.trust < 2 * self.peak {
                    self.trust += 1;
                }
            }
            Held::Failed => {
                self.moved = now;
                self.is_slow = false;
                self.trust /= 2;
                self.is_failing |= self.trust == 0;
            }
            Held::Unknown => {}
        }
        // Nothing is left that it could be slow with.
        self.is_slow &= self.held() > 0;
    }

    pub fn push(&mut self, urgency: Urgency, waiter: W, turn: u64) {
        let queue = &mut self.waiting[urgency as usize];
        if queue.is_empty() {
            self.turns[urgency as usize] = turn;
        }
        queue.push_back(waiter);
    }

    /// The first who waits; the others have their next turn as of this one.
    pub fn pop(&mut self, urgency: Urgency, turn: u64) -> Option<W> {
        self.turns[urgency as usize] = turn;
        self.waiting[urgency as usize].pop_front()
    }

    /// Lets those go that wait first, and for nothing any more.
    pub fn let_go(&mut self, is_gone: impl Fn(&W) -> bool) {
        for queue in &mut self.waiting {
            while queue.front().is_some_and(&is_gone) {
                queue.pop_front();
            }
        }
    }

    fn held(&self) -> usize {
        self.held.iter().sum()
    }
}

impl Footprint {
    /// What it holds while it is in trouble.
    pub fn held_in_trouble(&self) -> [usize; Pool::ALL.len()] {
        if self.class == Class::Troubled { self.held } else { [0; Pool::ALL.len()] }
    }
}
