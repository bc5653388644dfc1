//! Where counts grow until they are written down: one cell for each minute, subject and
//! type. Pure: times are arguments. How much may live at once is decided here.
//!
//! What has just been counted is taken away as a whole by whoever writes, and absorbed by
//! what that one keeps: all that this run of the node has counted in a minute. That is
//! written whole, in place of what was written of it before: writing twice is the same as
//! once. So a minute goes from memory only when it is over and all of it is written, and
//! nothing is ever added to one that is over.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{EventType, Tally, Timestamp};
use crate::store::{Counted, CountedAbout};

/// What is counted together in a minute; without a type, those that found no room.
type Key = (CountedAbout, Option<EventType>);

#[derive(Default)]
struct Cell {
    tally: Tally,
    /// The store does not know all of it.
    is_news: bool,
}

/// See the module.
pub(super) struct Cells {
    minutes: BTreeMap<Timestamp, HashMap<Key, Cell>>,
    live: usize,
    most: usize,
}

/// What is to be written of a minute.
pub(super) struct Unwritten {
    pub(super) minute: Timestamp,
    pub(super) rows: Vec<(CountedAbout, Counted)>,
}

impl Cells {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { minutes: BTreeMap::new(), live: 0, most }
    }

    /// Where something is counted that happens in this minute. Half of the room is for
    /// cells of a type each. Beyond it all types of a subject share one; where there is
    /// no room for that either, all subjects of an environment do, and that one has always
    /// room. What is counted in a cell goes on being counted there.
    pub(super) fn of(&mut self, minute: Timestamp, about: CountedAbout, event_type: Option<EventType>) -> &mut Tally {
        // A clock that was set back does not open a minute again.
        let minute = self.minutes.last_key_value().map_or(minute, |(last, _)| minute.max(*last));
        let (live, most) = (self.live, self.most);
        let cells = self.minutes.entry(minute).or_default();
        let choices = [((about, event_type), most.div_ceil(2)), ((about, None), most)];
        let chosen = choices.into_iter().find(|(key, room)| live < *room || cells.contains_key(key));
        let whole = CountedAbout { scope: about.scope.environment(), endpoint: None };
        let key = chosen.map_or((whole, None), |(key, _)| key);
        let cell = cells.entry(key).or_insert_with(|| {
            self.live += 1;
            Cell::default()
        });
        cell.is_news = true;
        &mut cell.tally
    }

    /// Gives away all that was counted. Whoever counts from here on counts in this minute
    /// or a later one.
    pub(super) fn take(&mut self, now: Timestamp) -> Self {
        let last = self.minutes.last_key_value().map_or(now, |(last, _)| now.max(*last));
        let next = Self { minutes: BTreeMap::from([(last, HashMap::new())]), live: 0, most: self.most };
        std::mem::replace(self, next)
    }

    /// Counts all that was counted there. Of two such, the earlier comes first.
    pub(super) fn absorb(&mut self, taken: Self) {
        for (minute, cells) in taken.minutes {
            for ((about, event_type), cell) in cells {
                self.of(minute, about, event_type).merge(&cell.tally);
            }
        }
    }

    /// What the store does not know, minute by minute, with the sums over partners and
    /// environments that it is part of.
    pub(super) fn unwritten(&self) -> Vec<Unwritten> {
        let news = |cells: &HashMap<Key, Cell>| cells.values().any(|cell| cell.is_news);
        let minutes = self.minutes.iter().filter(|(_, cells)| news(cells));
        minutes.map(|(minute, cells)| Unwritten { minute: *minute, rows: rows(*minute, cells) }).collect()
    }

    /// All of a minute is written.
    pub(super) fn wrote(&mut self, minute: Timestamp) {
        for cell in self.minutes.get_mut(&minute).into_iter().flat_map(HashMap::values_mut) {
            cell.is_news = false;
        }
    }

    /// Forgets the minutes before this one of which all is written.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let live = &mut self.live;
        self.minutes.retain(|minute, cells| {
            let stays = *minute >= now || cells.values().any(|cell| cell.is_news);
            if !stays {
                *live -= cells.len();
            }
            stays
        });
    }

    #[cfg(test)]
    fn live(&self) -> usize {
        self.live
    }
}

fn rows(minute: Timestamp, cells: &HashMap<Key, Cell>) -> Vec<(CountedAbout, Counted)> {
    let mut sums: HashMap<Key, Cell> = HashMap::new();
    let mut rows = Vec::new();
    let row = |(about, event_type), tally| (about, Counted { bucket: minute, event_type, tally });
    for ((about, event_type), cell) in cells {
        let own = CountedAbout { scope: about.scope, endpoint: None };
        let environment = CountedAbout { scope: about.scope.environment(), endpoint: None };
        // What is of all partners is of the environment at once.
        for sum in [Some(own), Some(environment).filter(|environment| *environment != own)].into_iter().flatten() {
            let sum = sums.entry((sum, event_type.clone())).or_default();
            sum.tally.merge(&cell.tally);
            sum.is_news |= cell.is_news;
        }
        if cell.is_news && about.endpoint.is_some() {
            rows.push(row((*about, event_type.clone()), cell.tally.clone()));
        }
    }
    rows.extend(sums.into_iter().filter(|(_, sum)| sum.is_news).map(|(key, sum)| row(key, sum.tally)));
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::EndpointId;
    use crate::store::ScopeId;

    fn minute(number: i64) -> Timestamp {
        Timestamp::from_millis(number * 60_000)
    }

    fn event_type(number: u8) -> EventType {
        format!("order.t{number}").parse().expect("a plain name")
    }

    fn about(partner: u8, endpoint: Option<u8>) -> CountedAbout {
        let scope = ScopeId::from_number(i64::from(partner) * 2 + 1);
        CountedAbout { scope, endpoint: endpoint.map(|number| EndpointId::from_uuid(Uuid::from_u128(number.into()))) }
    }

    /// What a store has that was told all this, each row in place of the one before it.
    #[derive(Default)]
    struct Store(BTreeMap<(CountedAbout, Timestamp, Option<EventType>), Tally>);

    impl Store {
        fn write(&mut self, rows: &[(CountedAbout, Counted)]) {
            for (about, Counted { bucket, event_type, tally }) in rows {
                self.0.insert((*about, *bucket, event_type.clone()), tally.clone());
            }
        }

        /// Events in sum over a subject.
        fn events(&self, about: CountedAbout) -> u64 {
            self.0.iter().filter(|((of, _, _), _)| *of == about).map(|(_, tally)| tally.events).sum()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Count { partner: u8, endpoint: Option<u8>, event_type: u8 },
        Wait(i64),
        Write { fails_after: Option<usize> },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..3u8, prop::option::of(0..4u8), 0..4u8)
                .prop_map(|(partner, endpoint, event_type)| Step::Count { partner, endpoint, event_type }),
            1 => (-2..3i64).prop_map(Step::Wait),
            2 => prop::option::of(0..5usize).prop_map(|fails_after| Step::Write { fails_after }),
        ];
        prop::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_counted_twice_and_memory_has_a_bound(steps in steps(), most in 1..40usize) {
            let (mut fresh, mut kept) = (Cells::new(most), Cells::new(most));
            let (mut store, mut now) = (Store::default(), 100);
            let mut counted: BTreeMap<CountedAbout, u64> = BTreeMap::new();
            let write_all = Step::Write { fails_after: None };
            for step in steps.into_iter().chain([write_all.clone(), Step::Wait(1_000), write_all]) {
                match step {
                    Step::Count { partner, endpoint, event_type: number } => {
                        let about = about(partner, endpoint);
                        fresh.of(minute(now), about, Some(event_type(number))).accepted(1);
                        *counted.entry(about).or_default() += 1;
                        // Each environment has one that is always there.
                        prop_assert!(fresh.live() <= most + fresh.minutes.len());
                    }
                    Step::Wait(minutes) => now += minutes,
                    Step::Write { fails_after } => {
                        kept.absorb(fresh.take(minute(now)));
                        prop_assert!(kept.live() <= most + kept.minutes.len());
                        for unwritten in kept.unwritten() {
                            match fails_after.filter(|rows| *rows < unwritten.rows.len()) {
                                Some(rows) => store.write(&unwritten.rows[..rows]),
                                None => {
                                    store.write(&unwritten.rows);
                                    kept.wrote(unwritten.minute);
                                }
                            }
                        }
                        kept.forget(minute(now));
                    }
                }
            }
            prop_assert_eq!((fresh.live(), kept.live(), kept.minutes.len()), (0, 0, 0));
            let all: u64 = counted.values().sum();
            prop_assert_eq!(store.events(about(0, None)), all, "the environment has all of it");
            for (subject, count) in &counted {
                let stored = store.events(*subject);
                // Without room a subject has less of its own, and never more.
                if subject.endpoint.is_some() {
                    prop_assert!(stored <= *count);
                }
            }
        }

        #[test]
        fn with_room_each_has_its_own(steps in steps()) {
            let (mut fresh, mut kept) = (Cells::new(10_000), Cells::new(10_000));
            let (mut store, mut now) = (Store::default(), 100);
            let mut counted: BTreeMap<(CountedAbout, EventType), u64> = BTreeMap::new();
            for step in steps.into_iter().chain([Step::Write { fails_after: None }]) {
                match step {
                    Step::Count { partner, endpoint, event_type: number } => {
                        let (subject, event_type) = (about(partner, endpoint), event_type(number));
                        fresh.of(minute(now), subject, Some(event_type.clone())).accepted(1);
                        let own = about(partner, None);
                        let whole = about(0, None);
                        let mut sums = vec![subject, own, whole];
                        sums.sort();
                        sums.dedup();
                        for sum in sums {
                            *counted.entry((sum, event_type.clone())).or_default() += 1;
                        }
                    }
                    Step::Wait(minutes) => now += minutes,
                    Step::Write { .. } => {
                        kept.absorb(fresh.take(minute(now)));
                        for unwritten in kept.unwritten() {
                            store.write(&unwritten.rows);
                            kept.wrote(unwritten.minute);
                        }
                        kept.forget(minute(now));
                    }
                }
            }
            let mut stored: BTreeMap<(CountedAbout, EventType), u64> = BTreeMap::new();
            for ((about, _, event_type), tally) in store.0 {
                let event_type = event_type.expect("there is room for each");
                *stored.entry((about, event_type)).or_default() += tally.events;
            }
            prop_assert_eq!(stored, counted);
        }
    }
}
