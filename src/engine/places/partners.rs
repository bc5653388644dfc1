//! The order of those who wait: the partner that holds the fewest places comes
//! first, among such the one whose last turn is longest ago; within a partner its endpoints take
//! turns, first attempts before retries. Whether there is a place for whoever
//! is first is for the book to say.

use std::collections::{BTreeSet, HashMap};

use super::claim::{Class, Footprint, Pool};
use super::claimant::Urgency;
use crate::domain::EndpointId;
use crate::store::ScopeId;

/// So many first attempts of a partner begin before one retry, when both wait.
const FIRSTS_BEFORE_A_RETRY: u8 = 3;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// A common place, by endpoints that are not in trouble.
    Common,
    /// A common place, by those that are.
    Troubled,
    /// A reserved place.
    Reserved,
}

/// Where a partner stands in front of a door: how many places it holds of those
/// behind it, and when it last had a turn or began to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub held: usize,
    pub turn: u64,
    pub partner: ScopeId,
}

/// Every partner that holds or waits.
#[derive(Default)]
pub(super) struct Partners {
    known: HashMap<ScopeId, Partner>,
    lines: [BTreeSet<Position>; Door::ALL.len()],
    /// The turn that was given last.
    turn: u64,
}

#[derive(Default)]
struct Partner {
    /// By pool.
    held: [usize; Pool::ALL.len()],
    /// Endpoints that wait, by class and urgency, whose turn is first.
    queues: [[BTreeSet<(u64, EndpointId)>; Urgency::ALL.len()]; Class::COUNT],
    /// How many entries these queues have.
    queued: usize,
    /// When it last had its turn, or began to wait.
    turn: u64,
    /// First attempts since the last retry, while both waited.
    firsts: u8,
    /// Where it stands in each line.
    positions: [Option<Position>; Door::ALL.len()],
}

impl Door {
    const ALL: [Self; 3] = [Self::Common, Self::Troubled, Self::Reserved];

    pub fn pool(self) -> Pool {
        match self {
            Self::Common | Self::Troubled => Pool::Common,
            Self::Reserved => Pool::Reserved,
        }
    }

    /// Who waits in front of it.
    fn classes(self) -> &'static [Class] {
        match self {
            Self::Common => &[Class::Trusted, Class::Unsure],
            Self::Troubled => &[Class::Troubled],
            Self::Reserved => &[Class::Trusted],
        }
    }
}

impl Partners {
    pub fn held(&self, partner: ScopeId, pool: Pool) -> usize {
        self.known.get(&partner).map_or(0, |partner| partner.held[pool as usize])
    }

    /// The first in front of a door.
    pub fn first(&self, door: Door) -> Option<Position> {
        self.lines[door as usize].first().copied()
    }

    /// Whose turn it is, now that this partner goes through that door. It stands
    /// where it stood until that endpoint has changed.
    pub fn next(&mut self, partner: ScopeId, door: Door) -> Option<(EndpointId, Urgency)> {
        let partner = self.known.get_mut(&partner)?;
        let first_of = |urgency: Urgency| {
            let queues = door.classes().iter().map(|class| &partner.queues[*class as usize][urgency as usize]);
            queues.filter_map(BTreeSet::first).min().map(|(_, endpoint)| *endpoint)
        };
        let urgency = match (first_of(Urgency::First), first_of(Urgency::Retry)) {
            (Some(_), Some(_)) if partner.firsts < FIRSTS_BEFORE_A_RETRY => Urgency::First,
            (Some(_), None) => Urgency::First,
            (_, Some(_)) => Urgency::Retry,
            (None, None) => return None,
        };
        let endpoint = first_of(urgency)?;
        partner.firsts = match urgency {
            Urgency::First => (partner.firsts + 1).min(FIRSTS_BEFORE_A_RETRY),
            Urgency::Retry => 0,
        };
        self.turn += 1;
        partner.turn = self.turn;
        Some((endpoint, urgency))
    }

    /// An endpoint of this partner has changed.
    pub fn change(&mut self, id: ScopeId, endpoint: EndpointId, before: &Footprint, after: &Footprint) {
        let partner = self.known.entry(id).or_default();
        let waited = partner.queued > 0;
        for pool in Pool::ALL.map(|pool| pool as usize) {
            partner.held[pool] = partner.held[pool] + after.held[pool] - before.held[pool];
        }
        for urgency in Urgency::ALL.map(|urgency| urgency as usize) {
            let (was, is) = (before.turns[urgency], after.turns[urgency]);
            if (was, before.class) == (is, after.class) {
                continue;
            }
            if let Some(turn) = was {
                partner.queues[before.class as usize][urgency].remove(&(turn, endpoint));
                partner.queued -= 1;
            }
            if let Some(turn) = is {
                partner.queues[after.class as usize][urgency].insert((turn, endpoint));
                partner.queued += 1;
            }
        }
        if partner.queued > 0 && !waited {
            self.turn += 1;
            partner.turn = self.turn;
        }
        for door in Door::ALL {
            let position = partner.position(id, door);
            let known = &mut partner.positions[door as usize];
            if *known == position {
                continue;
            }
            let line = &mut self.lines[door as usize];
            if let Some(left) = known {
                line.remove(left);
            }
            line.extend(position);
            *known = position;
        }
        if partner.queued == 0 && partner.held == [0; Pool::ALL.len()] {
            self.known.remove(&id);
        }
    }
}

impl Partner {
    fn position(&self, id: ScopeId, door: Door) -> Option<Position> {
        if self.queued == 0 {
            return None;
        }
        let mut queues = door.classes().iter().flat_map(|class| &self.queues[*class as usize]);
        let waits = queues.any(|queue| !queue.is_empty());
        waits.then(|| Position { held: self.held[door.pool() as usize], turn: self.turn, partner: id })
    }
}

#[cfg(test)]
impl Partners {
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.lines.iter().all(BTreeSet::is_empty)
    }
}
