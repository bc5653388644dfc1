//! Who may have requests in flight when there is not room for all. Half of the
//! node's places go to whoever comes first. The other half is shared evenly
//! among the endpoints that want any, and an endpoint that gives none back for a
//! while has no part in it: those which hold theirs until a timeout never hold
//! everybody's.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::domain::{EndpointId, Monotonic};

/// An endpoint that has given no place back for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The node's places, cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    clock: Clock,
    book: Mutex<Book>,
}

/// A place, given back when it is dropped.
pub struct Place {
    /// `None` once it has been given back.
    places: Option<Places>,
    endpoint: EndpointId,
    half: Half,
}

/// Which half of the places one belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Fair,
}

struct Book {
    first_free: usize,
    fair_free: usize,
    fair_total: usize,
    closed: bool,
    claims: HashMap<EndpointId, Claim>,
    /// Endpoints with someone waiting, each once.
    queue: VecDeque<EndpointId>,
    /// Endpoints with someone waiting that hold some and may have no more of
    /// the shared half before they give one back.
    parked: BTreeSet<(Monotonic, EndpointId)>,
}

/// What one endpoint has and wants.
struct Claim {
    held: usize,
    held_of_fair: usize,
    /// When it last gave one back, or had its first.
    moved: Monotonic,
    /// Since when it waits aside.
    parked: Option<Monotonic>,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Places {
    /// So many places.
    pub fn new(total: usize, clock: Clock) -> Self {
        let fair_total = total / 2;
        let book = Book {
            first_free: total - fair_total,
            fair_free: fair_total,
            fair_total,
            closed: false,
            claims: HashMap::new(),
            queue: VecDeque::new(),
            parked: BTreeSet::new(),
        };
        Self(Arc::new(Shared { clock, book: Mutex::new(book) }))
    }

    /// A place for this endpoint, as soon as there is one that it may have.
    /// `None` when nothing is to begin any more.
    pub async fn take(&self, endpoint: EndpointId) -> Option<Place> {
        let granted = {
            let (mut book, now) = self.open();
            if book.closed {
                return None;
            }
            if let Some(half) = book.available(endpoint, now) {
                return Some(book.give(self, endpoint, half, now));
            }
            book.wait(endpoint, now)
        };
        granted.await.ok()
    }

    /// A place for this endpoint, if there is one that it may have now.
    pub fn try_take(&self, endpoint: EndpointId) -> Option<Place> {
        let (mut book, now) = self.open();
        if book.closed {
            return None;
        }
        let half = book.available(endpoint, now)?;
        Some(book.give(self, endpoint, half, now))
    }

    /// Gives no more places; who waits for one hears so.
    pub fn close(&self) {
        let (mut book, _) = self.open();
        book.closed = true;
        book.queue.clear();
        book.parked.clear();
        for claim in book.claims.values_mut() {
            claim.waiting.clear();
        }
    }

    /// Whether nothing is to begin any more.
    pub fn is_closed(&self) -> bool {
        self.open().0.closed
    }

    fn open(&self) -> (MutexGuard<'_, Book>, Monotonic) {
        let now = self.0.clock.now().monotonic;
        (self.0.book.lock().expect("no holder of this lock can panic"), now)
    }

    fn give_back(&self, endpoint: EndpointId, half: Half) {
        let (mut book, now) = self.open();
        book.put_back(endpoint, half, now);
        while book.serve_one(self, now) {}
    }
}

impl Claim {
    fn new(now: Monotonic) -> Self {
        Self { held: 0, held_of_fair: 0, moved: now, parked: None, waiting: VecDeque::new() }
    }

    fn is_stuck(&self, now: Monotonic) -> bool {
        self.held > 0 && now.since(self.moved) > STUCK_AFTER
    }
}

impl Book {
    /// What each endpoint may have of the half that is shared.
    fn share(&self) -> usize {
        (self.fair_total / self.claims.len().max(1)).max(1)
    }

    /// Where there is a place that this endpoint may have.
    fn available(&self, endpoint: EndpointId, now: Monotonic) -> Option<Half> {
        if self.first_free > 0 {
            return Some(Half::First);
        }
        let is_welcome = |claim: &Claim| claim.held_of_fair < self.share() && !claim.is_stuck(now);
        (self.fair_free > 0 && self.claims.get(&endpoint).is_none_or(is_welcome)).then_some(Half::Fair)
    }

    fn give(&mut self, places: &Places, endpoint: EndpointId, half: Half, now: Monotonic) -> Place {
        let claim = self.claims.entry(endpoint).or_insert_with(|| Claim::new(now));
        if claim.held == 0 {
            claim.moved = now;
        }
        claim.held += 1;
        match half {
            Half::First => self.first_free -= 1,
            Half::Fair => {
                claim.held_of_fair += 1;
                self.fair_free -= 1;
            }
        }
        Place { places: Some(places.clone()), endpoint, half }
    }

    fn put_back(&mut self, endpoint: EndpointId, half: Half, now: Monotonic) {
        let Some(claim) = self.claims.get_mut(&endpoint) else { return };
        claim.held -= 1;
        claim.moved = now;
        if let Some(since) = claim.parked.take() {
            self.parked.remove(&(since, endpoint));
            self.queue.push_back(endpoint);
        }
        match half {
            Half::First => self.first_free += 1,
            Half::Fair => {
                claim.held_of_fair -= 1;
                self.fair_free += 1;
            }
        }
        if claim.held == 0 && claim.waiting.is_empty() {
            self.claims.remove(&endpoint);
        }
    }

    fn wait(&mut self, endpoint: EndpointId, now: Monotonic) -> oneshot::Receiver<Place> {
        let (sender, granted) = oneshot::channel();
        let claim = self.claims.entry(endpoint).or_insert_with(|| Claim::new(now));
        if claim.waiting.is_empty() {
            self.queue.push_back(endpoint);
        }
        claim.waiting.push_back(sender);
        granted
    }

    /// Gives a place to the first who waits and may have it; each endpoint then
    /// waits for its next turn. Who may not have it holds one already, and waits
    /// aside until it gives that back or the first half has room again. Says
    /// whether there was anyone.
    fn serve_one(&mut self, places: &Places, now: Monotonic) -> bool {
        while self.first_free + self.fair_free > 0 {
            let next = self.queue.pop_front().or_else(|| {
                let parked = (self.first_free > 0).then(|| self.parked.pop_first()).flatten();
                parked.map(|(_, endpoint)| endpoint)
            });
            let Some(endpoint) = next else { return false };
            let half = self.available(endpoint, now);
            let Some(claim) = self.claims.get_mut(&endpoint) else { continue };
            let Some(half) = half else {
                claim.parked = Some(now);
                self.parked.insert((now, endpoint));
                continue;
            };
            claim.parked = None;
            let Some(waiting) = claim.waiting.pop_front() else { continue };
            if !claim.waiting.is_empty() {
                self.queue.push_back(endpoint);
            }
            if let Err(mut unwanted) = waiting.send(self.give(places, endpoint, half, now)) {
                // Its actor is gone. Dropping it as it is would lock this again.
                unwanted.places = None;
                self.put_back(endpoint, half, now);
            }
            return true;
        }
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back(self.endpoint, self.half);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt as _;
    use futures_util::future::LocalBoxFuture;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::Timestamp;

    fn endpoint(number: u128) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(number))
    }

    fn of(total: usize) -> Places {
        Places::new(total, Clock::system())
    }

    fn grab(places: &Places, number: u128, count: usize) -> Vec<Place> {
        (0..count).map_while(|_| places.try_take(endpoint(number))).collect()
    }

    #[test]
    fn alone_an_endpoint_has_all_that_it_wants() {
        let places = of(10);
        assert_eq!(grab(&places, 1, 20).len(), 10);
    }

    #[test]
    fn who_gives_none_back_has_no_part_in_the_half_that_is_shared() {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let places = Places::new(100, clock.clone());
        let mut hanging: Vec<_> = (1..=5).map(|number| grab(&places, number, 8)).collect();
        clock.advance(STUCK_AFTER + Duration::from_millis(1));
        hanging.extend((1..=5).map(|number| grab(&places, number, 32)));
        let held: usize = hanging.iter().map(Vec::len).sum();
        assert_eq!(held, 50, "the first half, and no more");
        let sixth = grab(&places, 6, 32);
        assert_eq!(sixth.len(), 8, "a sixth of the other half");
        drop(hanging.swap_remove(4));
        assert_eq!(grab(&places, 5, 32).len(), 16, "it moves again: what it gave back, and its share");
    }

    #[test]
    fn a_place_given_back_goes_to_whoever_may_have_it() {
        let places = of(2);
        let mut held = grab(&places, 1, 2);
        let mut again = Box::pin(places.take(endpoint(1)));
        let mut other = Box::pin(places.take(endpoint(2)));
        assert!(again.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(held.pop());
        assert!(other.as_mut().now_or_never().is_none() && again.now_or_never().flatten().is_some(), "first come");
        assert!(other.now_or_never().flatten().is_some(), "and then the other");
    }

    #[test]
    fn a_moving_endpoint_keeps_its_part_behind_many_that_hang() {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let places = Places::new(1_024, clock.clone());
        let mut hanging: Vec<_> = (1..=300).flat_map(|number| grab(&places, number, 2)).collect();
        hanging.extend((1..=300).flat_map(|number| grab(&places, number, 2)));
        clock.advance(STUCK_AFTER + Duration::from_millis(1));
        let mut stuck: Vec<_> = (1..=300).map(|number| places.take(endpoint(number)).boxed_local()).collect();
        stuck.retain_mut(|wait| wait.now_or_never().is_none());
        let mut waiting: Vec<_> = (0..32).map(|_| places.take(endpoint(500)).boxed_local()).collect();
        let (mut held, mut done) = (Vec::new(), 0);
        loop {
            waiting.retain_mut(|wait| match wait.now_or_never() {
                Some(place) => {
                    held.extend(place);
                    false
                }
                None => true,
            });
            if held.pop().is_none() {
                break;
            }
            done += 1;
        }
        assert!(waiting.is_empty(), "{done} had their turn, and {} wait", waiting.len());
    }

    #[test]
    fn closing_tells_who_waits() {
        let places = of(1);
        let held = places.try_take(endpoint(1));
        let mut waiting = Box::pin(places.take(endpoint(2)));
        assert!(waiting.as_mut().now_or_never().is_none());
        places.close();
        assert!(matches!(waiting.now_or_never(), Some(None)));
        drop(held);
        assert!(places.try_take(endpoint(2)).is_none() && places.is_closed());
    }

    proptest! {
        /// Endpoints take, wait, give back and go away in any order.
        #[test]
        fn no_place_is_lost_and_nobody_waits_for_ever(
            total in 1..20_usize,
            steps in prop::collection::vec((0..4_u8, 0..6_u128, any::<u16>()), 1..200),
        ) {
            let places = of(total);
            let mut held: Vec<Place> = Vec::new();
            let mut waiting: BTreeMap<usize, LocalBoxFuture<'_, Option<Place>>> = BTreeMap::new();
            for (step, (what, number, choice)) in steps.into_iter().enumerate() {
                match what {
                    0 => held.extend(places.try_take(endpoint(number))),
                    1 => drop(waiting.insert(step, places.take(endpoint(number)).boxed_local())),
                    2 if !held.is_empty() => drop(held.swap_remove(usize::from(choice) % held.len())),
                    3 if !waiting.is_empty() => {
                        let gone = *waiting.keys().nth(usize::from(choice) % waiting.len()).expect("one of them");
                        waiting.remove(&gone);
                    }
                    _ => {}
                }
                waiting.retain(|_, place| match place.now_or_never() {
                    Some(granted) => {
                        held.extend(granted);
                        false
                    }
                    None => true,
                });
                prop_assert!(held.len() <= total);
                let book = places.open().0;
                prop_assert_eq!(book.first_free + book.fair_free, total - held.len());
            }
            while !waiting.is_empty() {
                prop_assert!(!held.is_empty(), "somebody waits, and nothing is held");
                held.clear();
                waiting.retain(|_, place| match place.now_or_never() {
                    Some(granted) => {
                        held.extend(granted);
                        false
                    }
                    None => true,
                });
            }
            held.clear();
            let book = places.open().0;
            prop_assert!(book.claims.is_empty() && book.queue.is_empty() && book.parked.is_empty());
            prop_assert_eq!(book.first_free + book.fair_free, total);
        }
    }
}
