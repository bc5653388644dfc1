//! Who has which places, and who is to have the next: the pure part, which is
//! told the time and hands out whatever those who wait are known by.
//!
//! Half of the places are *common*: whoever comes takes one of these as long as
//! there are any. The others are *reserved* for endpoints that hold fewer than
//! they are trusted with. So endpoints that hang or fail, and those of which
//! nothing is known yet, are never given more than half. Those that are known
//! to hang or fail are given three quarters of that half, so that there is
//! something left by which an unknown one can prove itself.
//!
//! In each half the last eighth is kept for partners that have few: one may have
//! another place there only while it holds fewer than are left. However many
//! endpoints of a partner begin to hang together, whoever comes next finds room.

use std::collections::{BTreeSet, HashMap};

use super::claim::{Claim, Class, Footprint, Pool};
use super::claimant::{Claimant, Held, Standing};
use super::partners::{Door, Partners, Position};
use crate::domain::{EndpointId, Monotonic};
use crate::store::ScopeId;

/// Endpoints looked at each time: all have their turn, and none holds everybody
/// else up.
const LOOKED_AT_ONCE: usize = 16;

/// Who has which places, and who waits: `W` is what those are known by.
pub(super) struct Book<W> {
    pools: [Half; Pool::ALL.len()],
    /// Most common places that are given to endpoints in trouble.
    most_in_trouble: usize,
    /// What those hold, by pool.
    in_trouble: [usize; Pool::ALL.len()],
    waiting: usize,
    claims: HashMap<EndpointId, Claim<W>>,
    partners: Partners,
    /// Those to be looked at, and when.
    watched: BTreeSet<(Monotonic, EndpointId)>,
    /// The turn that was given last.
    turn: u64,
}

/// One half of the places.
struct Half {
    free: usize,
    /// So many are kept for partners that have few.
    kept: usize,
}

/// A place that was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    endpoint: EndpointId,
    pool: Pool,
    since: Monotonic,
}

impl<W> Book<W> {
    pub fn new(total: usize) -> Self {
        // A lone place is there for everybody.
        let common = (total / 2).max(1).min(total);
        Self {
            pools: [common, total - common].map(|places| Half { free: places, kept: places / 8 }),
            most_in_trouble: common - common / 4,
            in_trouble: [0; Pool::ALL.len()],
            waiting: 0,
            claims: HashMap::new(),
            partners: Partners::default(),
            watched: BTreeSet::new(),
            turn: 0,
        }
    }

    /// A place, if there is one that this claimant may have now.
    pub fn try_take(&mut self, claimant: &Claimant, now: Monotonic) -> Option<Grant> {
        self.look_around(now);
        self.heed(claimant, now);
        let class = match self.claims.get(&claimant.endpoint) {
            // There was none for those who came before.
            Some(claim) if claim.is_waiting() => return None,
            Some(claim) => claim.class(),
            None => Claim::<W>::new(claimant, now).class(),
        };
        let pool = self.pool_for(class, claimant.partner)?;
        self.alter_or_begin(claimant, now, |claim| claim.take(pool, now));
        Some(Grant { endpoint: claimant.endpoint, pool, since: now })
    }

    /// Has someone wait for whom there was no place. Others of the same
    /// endpoint that do so no longer are forgotten.
    pub fn wait(&mut self, claimant: &Claimant, waiter: W, is_gone: impl Fn(&W) -> bool, now: Monotonic) {
        self.turn += 1;
        let turn = self.turn;
        self.alter_or_begin(claimant, now, |claim| {
            claim.let_go(is_gone);
            claim.push(claimant.urgency, waiter, turn);
        });
    }

    /// Takes a place back. [`Book::serve`] says who is to have it.
    pub fn give_back(&mut self, grant: Grant, outcome: Held, now: Monotonic) {
        self.look_around(now);
        self.alter(grant.endpoint, |claim| claim.give_back(grant.pool, outcome, grant.since, now));
    }

    /// The next of those who wait for whom there is a place, which is theirs.
    pub fn serve(&mut self, now: Monotonic) -> Option<(W, Grant)> {
        loop {
            let (door, partner) = self.open_door()?;
            let (endpoint, urgency) = self.partners.next(partner, door)?;
            if self.claims.get(&endpoint).is_some_and(|claim| claim.is_overdue(now)) {
                self.alter(endpoint, |claim| claim.look(now));
                continue;
            }
            self.turn += 1;
            let (turn, pool) = (self.turn, door.pool());
            let waiter = self.alter(endpoint, |claim| {
                let waiter = claim.pop(urgency, turn)?;
                claim.take(pool, now);
                Some(waiter)
            })??;
            return Some((waiter, Grant { endpoint, pool, since: now }));
        }
    }

    /// Forgets everyone who waits.
    pub fn dismiss(&mut self) {
        let endpoints: Vec<EndpointId> = self.claims.keys().copied().collect();
        for endpoint in endpoints {
            self.alter(endpoint, |claim| claim.let_go(|_| true));
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many places are held by endpoints that are slow or fail.
    pub fn held_in_trouble(&self) -> usize {
        self.in_trouble.iter().sum()
    }

    /// Where there is a place for an endpoint of this class and partner.
    fn pool_for(&self, class: Class, partner: ScopeId) -> Option<Pool> {
        let has_room = |pool: Pool| self.pools[pool as usize].has_room_for(self.partners.held(partner, pool));
        let is_welcome = class != Class::Troubled || self.has_room_for_trouble();
        if is_welcome && has_room(Pool::Common) {
            return Some(Pool::Common);
        }
        (class == Class::Trusted && has_room(Pool::Reserved)).then_some(Pool::Reserved)
    }

    fn has_room_for_trouble(&self) -> bool {
        self.in_trouble[Pool::Common as usize] < self.most_in_trouble
    }

    /// A door behind which there is a place for the first in front of it. If
    /// there is none for the first, who holds the fewest, there is none for
    /// anyone behind it.
    fn open_door(&self) -> Option<(Door, ScopeId)> {
        let may_enter = |door: Door| {
            let Position { held, turn, partner } = self.partners.first(door)?;
            self.pools[door.pool() as usize].has_room_for(held).then_some((held, turn, door, partner))
        };
        let common = may_enter(Door::Common);
        let troubled = may_enter(Door::Troubled).filter(|_| self.has_room_for_trouble());
        let first = common.into_iter().chain(troubled).min_by_key(|(held, turn, ..)| (*held, *turn));
        let (_, _, door, partner) = first.or_else(|| may_enter(Door::Reserved))?;
        Some((door, partner))
    }

    /// What a claimant says of itself counts where it is worse than what was seen.
    fn heed(&mut self, claimant: &Claimant, now: Monotonic) {
        let Some(claim) = self.claims.get(&claimant.endpoint) else { return };
        if claim.is_news(claimant.standing) || claim.is_overdue(now) {
            self.alter(claimant.endpoint, |claim| {
                claim.look(now);
                if claimant.standing == Standing::Failing {
                    claim.fail();
                }
            });
        }
    }

    /// Finds out who has become slow, and forgets who has gone.
    fn look_around(&mut self, now: Monotonic) {
        for _ in 0..LOOKED_AT_ONCE {
            let Some(&(at, endpoint)) = self.watched.first() else { return };
            if at >= now {
                return;
            }
            self.watched.pop_first();
            self.alter(endpoint, |claim| {
                claim.watched = None;
                claim.look(now);
            });
        }
    }

    fn alter_or_begin(&mut self, claimant: &Claimant, now: Monotonic, change: impl FnOnce(&mut Claim<W>)) {
        self.claims.entry(claimant.endpoint).or_insert_with(|| Claim::new(claimant, now));
        self.alter(claimant.endpoint, change);
    }

    /// The one way to change a claim: all sums follow.
    fn alter<T>(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut Claim<W>) -> T) -> Option<T> {
        let claim = self.claims.get_mut(&endpoint)?;
        let before = claim.footprint();
        let answer = change(claim);
        let after = claim.footprint();
        match (claim.look_at(), claim.watched) {
            // Being watched too early costs one more look, and nothing as long
            // as places come back.
            (Some(at), None) => {
                claim.watched = Some(at);
                self.watched.insert((at, endpoint));
            }
            (None, Some(at)) => {
                claim.watched = None;
                self.watched.remove(&(at, endpoint));
            }
            _ => {}
        }
        let partner = claim.partner;
        if claim.is_over() {
            self.claims.remove(&endpoint);
        }
        self.account(&before, &after);
        self.partners.change(partner, endpoint, &before, &after);
        Some(answer)
    }

    fn account(&mut self, before: &Footprint, after: &Footprint) {
        let (troubled_before, troubled_after) = (before.held_in_trouble(), after.held_in_trouble());
        for pool in Pool::ALL.map(|pool| pool as usize) {
            let half = &mut self.pools[pool];
            half.free = half.free + before.held[pool] - after.held[pool];
            self.in_trouble[pool] = self.in_trouble[pool] + troubled_after[pool] - troubled_before[pool];
        }
        self.waiting = self.waiting + after.waiting - before.waiting;
    }
}

impl Half {
    /// Whether a partner that holds so many of these may have another.
    fn has_room_for(&self, held: usize) -> bool {
        self.free > self.kept || held < self.free
    }
}

#[cfg(test)]
impl<W> Book<W> {
    /// All sums are right, and whoever waits waits because there is no place.
    pub fn audit(&self) {
        let footprints: Vec<(ScopeId, Footprint)> =
            self.claims.values().map(|claim| (claim.partner, claim.footprint())).collect();
        for pool in Pool::ALL {
            let held = |footprint: &Footprint| footprint.held[pool as usize];
            let in_trouble = |footprint: &Footprint| footprint.held_in_trouble()[pool as usize];
            let sum =
                |count: &dyn Fn(&Footprint) -> usize| footprints.iter().map(|(_, found)| count(found)).sum::<usize>();
            let half: usize = self.pools[pool as usize].free + sum(&held);
            assert_eq!(half / 8, self.pools[pool as usize].kept);
            assert_eq!(self.in_trouble[pool as usize], sum(&in_trouble));
            for (partner, _) in &footprints {
                let of_partner = footprints.iter().filter(|(other, _)| other == partner);
                let expected: usize = of_partner.map(|(_, found)| held(found)).sum();
                assert_eq!(self.partners.held(*partner, pool), expected);
            }
        }
        assert!(!self.claims.values().any(Claim::is_over));
        for (partner, footprint) in footprints {
            assert!(footprint.waiting == 0 || self.pool_for(footprint.class, partner).is_none(), "{footprint:?}");
        }
        assert_eq!(self.watched.len(), self.claims.values().filter(|claim| claim.look_at().is_some()).count());
    }

    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.partners.is_empty() && self.watched.is_empty() && self.waiting == 0
    }
}
