//! Who gets which places: by example, and by whatever can happen in any order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use uuid::Uuid;

use super::book::{Book, Grant};
use super::claimant::{Claimant, Held, SLOW_AFTER, Standing, Urgency};
use super::{Place, Places};
use crate::clock::Clock;
use crate::domain::{EndpointId, Monotonic, Timestamp};
use crate::metrics::Metrics;
use crate::store::ScopeId;

const MILLI: Duration = Duration::from_millis(1);

fn claimant(partner: i64, endpoint: u128) -> Claimant {
    Claimant {
        endpoint: EndpointId::from_uuid(Uuid::from_u128(endpoint)),
        partner: ScopeId::from_number(partner),
        standing: Standing::Unproven,
        urgency: Urgency::First,
    }
}

fn proven(partner: i64, endpoint: u128) -> Claimant {
    Claimant { standing: Standing::Proven, ..claimant(partner, endpoint) }
}

fn failing(partner: i64, endpoint: u128) -> Claimant {
    Claimant { standing: Standing::Failing, ..claimant(partner, endpoint) }
}

fn retry(claimant: Claimant) -> Claimant {
    Claimant { urgency: Urgency::Retry, ..claimant }
}

/// A book, its time, and what was taken from it. Who waits is known by a number.
struct World {
    book: Book<usize>,
    now: Monotonic,
    held: Vec<(Claimant, Grant)>,
    waiting: BTreeMap<usize, Claimant>,
    asked: usize,
}

impl World {
    fn of(total: usize) -> Self {
        let now = Monotonic::from_start(Duration::from_secs(1));
        Self { book: Book::new(total), now, held: Vec::new(), waiting: BTreeMap::new(), asked: 0 }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn try_take(&mut self, claimant: Claimant) -> bool {
        let grant = self.book.try_take(&claimant, self.now);
        self.held.extend(grant.map(|grant| (claimant, grant)));
        grant.is_some()
    }

    /// As many as this claimant may have at once, of so many.
    fn grab(&mut self, claimant: Claimant, count: usize) -> usize {
        (0..count).take_while(|_| self.try_take(claimant)).count()
    }

    fn take(&mut self, claimant: Claimant) {
        if !self.try_take(claimant) {
            self.asked += 1;
            self.waiting.insert(self.asked, claimant);
            self.book.wait(&claimant, self.asked, |_| false, self.now);
        }
    }

    fn give_back(&mut self, index: usize, outcome: Held) {
        let (_, grant) = self.held.swap_remove(index);
        self.book.give_back(grant, outcome, self.now);
        self.serve();
    }

    /// Who is served, in order.
    fn serve(&mut self) -> Vec<Claimant> {
        let mut served = Vec::new();
        while let Some((waiter, grant)) = self.book.serve(self.now) {
            let claimant = self.waiting.remove(&waiter).expect("it waits");
            self.held.push((claimant, grant));
            served.push(claimant);
        }
        served
    }

    /// Gives back whatever this claimant's endpoint holds.
    fn give_all_back(&mut self, claimant: Claimant, outcome: Held) {
        while let Some(index) = self.held.iter().position(|(holder, _)| holder.endpoint == claimant.endpoint) {
            self.give_back(index, outcome);
        }
    }

    fn held_by(&self, is_counted: impl Fn(&Claimant) -> bool) -> usize {
        self.held.iter().filter(|(claimant, _)| is_counted(claimant)).count()
    }
}

#[test]
fn what_is_unknown_has_half_and_what_proves_itself_has_all() {
    let mut world = World::of(16);
    let one = claimant(1, 1);
    assert_eq!(world.grab(one, 20), 7);
    for _ in 0..20 {
        world.pass(MILLI);
        world.give_back(0, Held::Succeeded);
        world.grab(one, 20);
    }
    // The last place of each half is for somebody else.
    assert_eq!(world.held.len(), 14);
    assert!(world.try_take(proven(2, 2)));
}

#[test]
fn who_hangs_or_fails_has_no_more_than_its_part_of_a_half() {
    let mut world = World::of(128);
    assert_eq!(world.grab(failing(1, 1), 100), 48, "three quarters of half");
    assert_eq!(world.book.held_in_trouble(), 48);
    assert_eq!(world.grab(claimant(1, 2), 100), 8, "what is unknown has a part of its own, but for its end");
    world.pass(SLOW_AFTER + MILLI);
    assert_eq!(world.grab(claimant(1, 2), 100), 0);
    assert_eq!(world.book.held_in_trouble(), 56, "it hangs, too");
    assert_eq!(world.grab(claimant(2, 3), 100), 4, "others find some");
    world.give_all_back(failing(1, 1), Held::Failed);
    assert_eq!(world.grab(failing(1, 1), 100), 40, "together with the one that hangs");
    world.give_all_back(claimant(1, 2), Held::Succeeded);
    assert_eq!(world.grab(failing(1, 1), 100), 8);
}

#[test]
fn many_that_begin_to_hang_together_leave_half_to_those_that_answer() {
    let mut world = World::of(2_048);
    // Each of them has answered before, and holds as many as it gets.
    for round in 0..32 {
        for endpoint in 0..500 {
            let partner = i64::try_from(endpoint).expect("a small number");
            world.try_take(proven(partner, endpoint));
        }
        world.pass(Duration::from_millis(100 + round));
    }
    let hanging = world.held.len();
    assert!(hanging <= 1_024, "{hanging}");
    for endpoint in 500..600 {
        let partner = i64::try_from(endpoint).expect("a small number");
        assert!(world.try_take(proven(partner, endpoint)));
    }
    // Who answers has twice as many after each round trip.
    let busy = proven(1_000, 1_000);
    let is_busy = |claimant: &Claimant| claimant.endpoint == busy.endpoint;
    (0..100).for_each(|_| world.take(busy));
    let mut had = Vec::new();
    for _ in 0..6 {
        had.push(world.held_by(is_busy));
        world.pass(MILLI);
        for _ in 0..world.held_by(is_busy) {
            let index = world.held.iter().position(|(claimant, _)| is_busy(claimant)).expect("it holds them");
            world.give_back(index, Held::Succeeded);
        }
    }
    assert_eq!(had, [1, 2, 4, 8, 16, 32]);
}

#[test]
fn a_partner_of_many_that_hang_leaves_anothers_endpoint_its_places_at_once() {
    for standing in [Standing::Unproven, Standing::Proven, Standing::Failing] {
        let mut world = World::of(2_048);
        for endpoint in 0..10_000 {
            world.take(Claimant { standing, ..claimant(1, endpoint) });
        }
        world.pass(SLOW_AFTER + MILLI);
        for endpoint in 0..10_000 {
            world.take(Claimant { standing, ..claimant(1, endpoint) });
        }
        assert_eq!(world.grab(claimant(2, 20_000), 32), 32, "of which nothing is known, beside {standing:?}");
        assert_eq!(world.grab(proven(3, 30_000), 32), 32, "which answers, beside {standing:?}");
    }
}

#[test]
fn partners_have_their_turns_however_many_endpoints_they_have() {
    let mut world = World::of(1);
    assert!(world.try_take(claimant(9, 900)));
    for _ in 0..3 {
        for endpoint in 100..110 {
            world.take(claimant(1, endpoint));
        }
    }
    for _ in 0..3 {
        world.take(claimant(2, 200));
    }
    let mut served = Vec::new();
    for _ in 0..6 {
        world.pass(MILLI);
        let (_, grant) = world.held.remove(0);
        world.book.give_back(grant, Held::Succeeded, world.now);
        served.extend(world.serve());
    }
    let endpoints: Vec<u128> = served.iter().map(|claimant| claimant.endpoint.uuid().as_u128()).collect();
    assert_eq!(endpoints, [100, 200, 101, 200, 102, 200]);
}

#[test]
fn the_partner_that_holds_the_fewest_is_served_first() {
    let mut world = World::of(4);
    assert_eq!(world.grab(claimant(1, 1), 4), 2);
    world.take(claimant(1, 1));
    world.take(claimant(1, 2));
    world.take(claimant(2, 3));
    world.give_back(0, Held::Succeeded);
    assert_eq!(world.held_by(|claimant| claimant.partner == ScopeId::from_number(2)), 1);
}

#[test]
fn first_attempts_go_before_retries_and_every_fourth_is_a_retry() {
    let mut world = World::of(1);
    let one = claimant(1, 1);
    assert!(world.try_take(one));
    (0..6).for_each(|_| world.take(retry(one)));
    (0..6).for_each(|_| world.take(one));
    let mut order = String::new();
    while let Some((_, grant)) = world.held.pop() {
        world.book.give_back(grant, Held::Succeeded, world.now);
        let served = world.serve();
        order.extend(served.iter().map(|claimant| if claimant.urgency == Urgency::First { 'f' } else { 'r' }));
    }
    assert_eq!(order, "fffrfffrrrrr");
}

#[test]
fn an_endpoint_waits_its_turn_behind_its_own() {
    let mut world = World::of(2);
    let one = claimant(1, 1);
    assert!(world.try_take(one) && !world.try_take(one));
    world.take(one);
    assert!(!world.try_take(one));
    world.give_back(0, Held::Succeeded);
    assert!(world.waiting.is_empty());
}

fn places(total: usize) -> (Places, Clock, Arc<Metrics>) {
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let metrics = Arc::new(Metrics::default());
    (Places::new(total, clock.clone(), Arc::clone(&metrics)), clock, metrics)
}

#[test]
fn a_place_given_back_goes_to_whoever_waits() {
    let (places, _, metrics) = places(1);
    let held = places.try_take(claimant(1, 1)).expect("it is free");
    let gone = Box::pin(places.take(claimant(1, 3)));
    let mut waiting: Vec<_> = [gone, Box::pin(places.take(claimant(1, 2)))].into();
    for wait in &mut waiting {
        assert!(wait.now_or_never().is_none());
    }
    assert_eq!(metrics.attempts_waiting.get(), 2);
    drop(waiting.remove(0));
    held.give_back(Held::Succeeded);
    let place = waiting.remove(0).now_or_never().flatten();
    assert!(place.is_some(), "who has gone is passed over");
    assert_eq!(metrics.attempts_waiting.get(), 0);
    drop(place);
    assert!(places.try_take(claimant(1, 4)).is_some());
}

#[test]
fn places_in_trouble_are_shown() {
    let (places, clock, metrics) = places(100);
    let mut held: Vec<Place> = (0..10).filter_map(|_| places.try_take(claimant(1, 1))).collect();
    clock.advance(SLOW_AFTER + MILLI);
    let other = places.try_take(claimant(2, 2));
    assert_eq!(metrics.attempts_in_trouble.get(), 10);
    held.pop().expect("ten are held").give_back(Held::Succeeded);
    assert_eq!(metrics.attempts_in_trouble.get(), 0);
    drop((held, other));
}

#[test]
fn closing_tells_who_waits() {
    let (places, ..) = places(1);
    let held = places.try_take(claimant(1, 1));
    let mut waiting = Box::pin(places.take(claimant(2, 2)));
    assert!(waiting.as_mut().now_or_never().is_none());
    places.close();
    assert!(matches!(waiting.now_or_never(), Some(None)));
    drop(held);
    assert!(places.try_take(claimant(2, 2)).is_none() && places.is_closed());
}

/// Something that happens to a book.
#[derive(Debug, Clone)]
enum Happening {
    Take(Claimant),
    TryTake(Claimant),
    GiveBack { index: usize, outcome: Held },
    Pass(Duration),
}

/// These endpoints never answer: nothing speaks for them, and what they hold
/// comes back as a failure or not at all.
fn is_dead(claimant: &Claimant) -> bool {
    claimant.endpoint.uuid().as_u128() < 4
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let standing = prop::sample::select(vec![Standing::Proven, Standing::Unproven, Standing::Failing]);
    let urgency = prop::sample::select(vec![Urgency::First, Urgency::Retry]);
    let who = (0..12_u128, standing, urgency).prop_map(|(endpoint, standing, urgency)| {
        let asking = claimant(i64::try_from(endpoint % 3).expect("a small number"), endpoint);
        let standing = if is_dead(&asking) && standing == Standing::Proven { Standing::Unproven } else { standing };
        Claimant { standing, urgency, ..asking }
    });
    let outcome = prop::sample::select(vec![Held::Succeeded, Held::Succeeded, Held::Failed, Held::Unknown]);
    let happening = prop_oneof![
        4 => who.clone().prop_map(Happening::Take),
        2 => who.prop_map(Happening::TryTake),
        5 => (any::<usize>(), outcome).prop_map(|(index, outcome)| Happening::GiveBack { index, outcome }),
        1 => (0..1_500_u64).prop_map(|millis| Happening::Pass(Duration::from_millis(millis))),
    ];
    prop::collection::vec(happening, 1..300)
}

proptest! {
    /// Endpoints take, wait and give back in any order.
    #[test]
    fn no_place_is_lost_and_nobody_waits_for_ever(total in 1..40_usize, happenings in happenings()) {
        let mut world = World::of(total);
        for happening in happenings {
            match happening {
                Happening::Take(claimant) => world.take(claimant),
                Happening::TryTake(claimant) => drop(world.try_take(claimant)),
                Happening::GiveBack { index, outcome } if !world.held.is_empty() => {
                    let index = index % world.held.len();
                    let is_dead = is_dead(&world.held[index].0) && outcome == Held::Succeeded;
                    world.give_back(index, if is_dead { Held::Failed } else { outcome });
                }
                Happening::GiveBack { .. } => {}
                Happening::Pass(time) => world.pass(time),
            }
            world.book.audit();
            prop_assert!(world.held.len() <= total);
            let dead = world.held_by(is_dead);
            prop_assert!(dead <= (total / 2).max(1), "the dead hold {} of {}", dead, total);
            prop_assert_eq!(world.book.waiting(), world.waiting.len());
        }
        // Whoever waits has its turn while places come back, whatever comes of them.
        while !world.waiting.is_empty() {
            prop_assert!(!world.held.is_empty(), "somebody waits, and nothing is held");
            let outcome = if is_dead(&world.held[0].0) { Held::Failed } else { Held::Succeeded };
            world.give_back(0, outcome);
            world.book.audit();
        }
        while !world.held.is_empty() {
            world.give_back(0, Held::Unknown);
        }
        world.pass(2 * SLOW_AFTER);
        let late = claimant(0, 100);
        prop_assert!(world.try_take(late));
        world.give_back(0, Held::Unknown);
        world.book.audit();
        prop_assert!(world.book.is_empty());
    }

    /// Partners that want more than there is, all of whose endpoints answer,
    /// have equally many in the long run, however many endpoints each has.
    #[test]
    fn partners_share_evenly(sizes in prop::collection::vec(1..60_u16, 2..6), total in 8..64_usize) {
        let mut world = World::of(total);
        for (partner, size) in (0..).zip(&sizes) {
            for endpoint in 0..*size {
                let claimant = proven(partner, 1_000 * u128::from(partner.unsigned_abs()) + u128::from(endpoint));
                // Together they would have all of it, were they alone.
                (0..total.div_ceil(usize::from(*size)) + 1).for_each(|_| world.take(claimant));
            }
        }
        let mut had: HashMap<ScopeId, usize> = HashMap::new();
        for _ in 0..total * 50 {
            world.pass(Duration::from_micros(10));
            // Each comes back for more as soon as it is answered, in order.
            let (claimant, grant) = world.held.remove(0);
            world.book.give_back(grant, Held::Succeeded, world.now);
            world.serve();
            world.take(claimant);
            *had.entry(claimant.partner).or_default() += 1;
        }
        world.book.audit();
        let (least, most) = (had.values().min().expect("some"), had.values().max().expect("some"));
        prop_assert!(had.len() == sizes.len() && *most <= 2 * least + 50, "{had:?}");
    }
}
