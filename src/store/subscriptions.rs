//! What a partner's events are matched against: a snapshot with a version,
//! which the accepting transaction checks (`product.md`, promise 5). Which of
//! them stay in memory is the [`cache`]'s to say.

mod cache;

pub use cache::SubscriptionCache;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use cache::Budget;

use serde_json::Value;

use crate::catalog::{self, Filter};
use crate::domain::{EndpointId, Environment, EventType, PartnerName, TypePattern};
use crate::policy::matching;
use crate::store::NewEvent;

/// A partner in an environment, or all of its partners.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The environment.
    pub environment: Environment,
    /// The partner; `None` is all of them.
    pub partner: Option<PartnerName>,
}

impl Scope {
    /// One partner's part of an environment.
    pub fn of(environment: Environment, partner: PartnerName) -> Self {
        Self { environment, partner: Some(partner) }
    }

    /// A whole environment.
    pub fn all(environment: Environment) -> Self {
        Self { environment, partner: None }
    }
}

/// The store's own number for a [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(pub(in crate::store) i64);

impl ScopeId {
    /// For tests outside the store, which draws these numbers.
    #[cfg(test)]
    pub(crate) const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The scope of all partners of the same environment.
    pub(crate) fn environment(self) -> Self {
        Self(self.0 % 2)
    }

    /// The environment it is in.
    pub fn lies_in(self) -> Environment {
        Environment::ALL[usize::from(self.0 % 2 != 0)]
    }
}

/// The endpoints of a scope that want the same. There are few such lists,
/// however many endpoints share them, so that an endpoint costs no more memory
/// than its id.
#[derive(Debug, Clone)]
pub struct Audience {
    patterns: Box<[TypePattern]>,
    endpoints: Arc<[EndpointId]>,
    filter: Option<Arc<Filter>>,
}

impl Audience {
    /// These endpoints, in the order of their ids.
    pub fn new(patterns: Vec<TypePattern>, mut endpoints: Vec<EndpointId>) -> Self {
        endpoints.sort();
        Self { patterns: patterns.into(), endpoints: endpoints.into(), filter: None }
    }

    /// The same endpoints, which want of these types only what a filter accepts.
    #[must_use]
    pub fn filtered_by(mut self, filter: Option<Arc<Filter>>) -> Self {
        self.filter = filter;
        self
    }

    fn bytes(&self) -> usize {
        let texts = self.patterns.iter().map(|pattern| match pattern {
            TypePattern::Any => 0,
            TypePattern::Below(prefix) => SHARED_BYTES + prefix.len(),
            TypePattern::Exactly(name) => SHARED_BYTES + name.as_str().len(),
        });
        let filter = self.filter.as_ref().map_or(0, |filter| filter.bytes());
        size_of::<Self>() + size_of_val(&*self.patterns) + texts.sum::<usize>() + list_bytes(&self.endpoints) + filter
    }
}

/// Whom an event is for by the filters of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    scope: ScopeId,
    version: i64,
    endpoints: Arc<[EndpointId]>,
}

/// The two counts of an [`Arc`].
const SHARED_BYTES: usize = 16;

fn list_bytes(endpoints: &[EndpointId]) -> usize {
    SHARED_BYTES + size_of_val(endpoints)
}

/// Most audiences that are looked through for each event. With more, what was
/// found for a type is remembered.
const LOOKED_THROUGH: usize = 4;

/// Most event types whose matches a snapshot remembers. A catalog larger than
/// this is still matched, a little slower.
const REMEMBERED_TYPES: usize = 1_024;

/// About what a hash table takes for a type and its matches, the empty places
/// of its doublings included.
const REMEMBERED_BYTES: usize = 2 * (size_of::<(EventType, Arc<[EndpointId]>)>() + 1);

const UNPOISONED: &str = "no holder of this lock can panic";

/// A scope's endpoints at one version. Versions grow within an environment:
/// an endpoint's settings and an event's matching carry the same numbers, so
/// that "not subscribed at the time" can be answered later.
pub struct Subscriptions {
    /// Where.
    pub id: ScopeId,
    /// The version of the scope's last change.
    pub version: i64,
    /// Those without a filter: with others, it takes more than the type to say
    /// who wants an event.
    audiences: Box<[Audience]>,
    filtered: Box<[Audience]>,
    memory: RwLock<Memory>,
    outdated: AtomicBool,
}

/// Events of a type that these filters accept, by their places, and no others.
type AcceptedBy = (EventType, Box<[usize]>);

/// What was worked out before.
struct Memory {
    matches: HashMap<EventType, Arc<[EndpointId]>>,
    /// The same for those events of a type that some filters accept.
    accepted: HashMap<AcceptedBy, Arc<[EndpointId]>>,
    /// Of the whole snapshot.
    bytes: usize,
    /// What these bytes are taken from, once a cache keeps them.
    budget: Option<Arc<Budget>>,
}

impl Memory {
    /// Takes so many bytes, if they are there to be had.
    fn has_room_for(&mut self, bytes: usize) -> bool {
        let has_room = self.budget.as_ref().is_none_or(|budget| budget.try_hold(bytes));
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }
}

/// All of these in the order of their ids.
fn merged<'a>(lists: impl Iterator<Item = &'a Arc<[EndpointId]>>) -> Arc<[EndpointId]> {
    let mut together: Vec<EndpointId> = lists.flat_map(|list| list.iter().copied()).collect();
    // Made of sorted runs, which this one merges.
    together.sort();
    together.into()
}

impl Subscriptions {
    /// A snapshot of these endpoints.
    pub fn new(id: ScopeId, version: i64, audiences: Vec<Audience>) -> Self {
        let bytes = SHARED_BYTES + size_of::<Self>() + audiences.iter().map(Audience::bytes).sum::<usize>();
        let memory = RwLock::new(Memory { matches: HashMap::new(), accepted: HashMap::new(), bytes, budget: None });
        let (filtered, open): (Vec<_>, Vec<_>) = audiences.into_iter().partition(|audience| audience.filter.is_some());
        let (audiences, filtered) = (open.into(), filtered.into());
        Self { id, version, audiences, filtered, memory, outdated: AtomicBool::new(false) }
    }

    /// The endpoints that get this event, in the order of their ids. Where no
    /// endpoint has a filter, that is said by its type alone.
    pub fn recipients(&self, event: &NewEvent) -> Arc<[EndpointId]> {
        if self.filtered.is_empty() {
            return self.matching(&event.event_type);
        }
        match &event.judged {
            Some(judged) if judged.scope == self.id && judged.version == self.version => Arc::clone(&judged.endpoints),
            _ => self.passing(&event.event_type, || catalog::read_json(&event.body).ok()),
        }
    }

    /// What filters say of an event: nothing where there are none.
    pub(in crate::store) fn judge(&self, event_type: &EventType, event: &Value) -> Option<Judged> {
        if self.filtered.is_empty() {
            return None;
        }
        let endpoints = self.passing(event_type, || Some(event));
        Some(Judged { scope: self.id, version: self.version, endpoints })
    }

    /// All who want the event, which is read once, and only if a filter is to see
    /// it. One that cannot be read was let in by nobody, and nothing is held back.
    /// Events that the same filters accept share one list, as those without do.
    fn passing<V: Borrow<Value>>(&self, event_type: &EventType, read: impl FnOnce() -> Option<V>) -> Arc<[EndpointId]> {
        let unfiltered = self.matching(event_type);
        let wants = |(_, audience): &(usize, &Audience)| matching::wants(&audience.patterns, event_type);
        let mut accepting = self.filtered.iter().enumerate().filter(wants).peekable();
        if accepting.peek().is_none() {
            return unfiltered;
        }
        let event = read();
        let accepts = |filter: &Arc<Filter>| event.as_ref().is_none_or(|event| filter.accepts(event.borrow()));
        let accepting: Vec<(usize, &Audience)> =
            accepting.filter(|(_, audience)| audience.filter.as_ref().is_none_or(accepts)).collect();
        match accepting[..] {
            [] => return unfiltered,
            [(_, only)] if unfiltered.is_empty() => return Arc::clone(&only.endpoints),
            _ => {}
        }
        let by: Box<[usize]> = accepting.iter().map(|(place, _)| *place).collect();
        let key = (event_type.clone(), by);
        if let Some(known) = self.memory.read().expect(UNPOISONED).accepted.get(&key) {
            return Arc::clone(known);
        }
        let accepted = accepting.iter().map(|(_, audience)| &audience.endpoints);
        let together = merged(std::iter::once(&unfiltered).chain(accepted));
        let mut memory = self.memory.write().expect(UNPOISONED);
        let bytes = REMEMBERED_BYTES + size_of_val(&*key.1) + list_bytes(&together);
        if memory.accepted.len() < REMEMBERED_TYPES && memory.has_room_for(bytes) {
            memory.accepted.insert(key, Arc::clone(&together));
        }
        together
    }

    /// The endpoints without a filter that want this type, in the order of their
    /// ids. What has to be put together from several audiences, or looked for among
    /// many, is worked out once for each type.
    pub fn matching(&self, event_type: &EventType) -> Arc<[EndpointId]> {
        if self.audiences.len() <= LOOKED_THROUGH {
            let mut wanting = self.wanting(event_type);
            match (wanting.next(), wanting.next()) {
                (None, _) => return Arc::default(),
                (Some(only), None) => return Arc::clone(&only.endpoints),
                (Some(_), Some(_)) => {}
            }
        }
        if let Some(known) = self.memory.read().expect(UNPOISONED).matches.get(event_type) {
            return Arc::clone(known);
        }
        let wanting: Vec<&Audience> = self.wanting(event_type).collect();
        let (found, own_bytes) = match wanting[..] {
            [] => (Arc::default(), 0),
            [only] => (Arc::clone(&only.endpoints), 0),
            _ => {
                let together = merged(wanting.iter().map(|audience| &audience.endpoints));
                let bytes = list_bytes(&together);
                (together, bytes)
            }
        };
        self.remember(event_type, &found, REMEMBERED_BYTES + own_bytes);
        found
    }

    /// Whether anybody may get an event of this type; a filter may still hold it back.
    pub(in crate::store) fn may_want(&self, event_type: &EventType) -> bool {
        self.audiences.iter().chain(&self.filtered).any(|audience| matching::wants(&audience.patterns, event_type))
    }

    fn wanting<'a>(&'a self, event_type: &'a EventType) -> impl Iterator<Item = &'a Audience> {
        self.audiences.iter().filter(|audience| matching::wants(&audience.patterns, event_type))
    }

    fn remember(&self, event_type: &EventType, found: &Arc<[EndpointId]>, bytes: usize) {
        let mut memory = self.memory.write().expect(UNPOISONED);
        if memory.matches.len() >= REMEMBERED_TYPES || memory.matches.contains_key(event_type) {
            return;
        }
        if memory.has_room_for(bytes) {
            memory.matches.insert(event_type.clone(), Arc::clone(found));
        }
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        self.memory.read().expect(UNPOISONED).bytes
    }

    /// Takes the bytes of this, and of what it will remember, from a budget
    /// until it is dropped.
    fn take_from(&self, budget: &Arc<Budget>) {
        let mut memory = self.memory.write().expect(UNPOISONED);
        if memory.budget.is_none() {
            budget.hold(memory.bytes);
            memory.budget = Some(Arc::clone(budget));
        }
    }

    /// Says that a transaction has seen a later version: whoever keeps this
    /// should load it anew.
    pub fn mark_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// Whether a later version has been seen.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.audiences.iter().chain(&self.filtered).map(|audience| audience.endpoints.len()).sum()
    }

    /// Whether there is no endpoint at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let memory = self.memory.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = &memory.budget {
            budget.release(memory.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::from_uuid(Uuid::from_u128(number as u128))
    }

    fn patterns(words: &[&str]) -> Vec<TypePattern> {
        words.iter().map(|word| word.parse().expect("a pattern")).collect()
    }

    const PATTERNS: [&str; 8] = ["*", "a.*", "a.b.*", "a", "a.b", "b.a", "posthaste.*", "a.b.c"];
    const TYPES: [&str; 7] = ["a", "a.b", "a.b.c", "b", "b.a", "posthaste.a", "c.d"];

    proptest! {
        /// Each endpoint has one of the lists; asked twice, because the second
        /// answer may be remembered.
        #[test]
        fn audiences_match_as_each_endpoint_would(
            lists in prop::collection::vec(prop::sample::subsequence(PATTERNS.to_vec(), 0..4), 1..8),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let lists: Vec<Vec<TypePattern>> = lists.iter().map(|words| patterns(words)).collect();
            let chosen: Vec<usize> = choices.iter().map(|choice| choice.index(lists.len())).collect();
            let of = |list: usize| (0..chosen.len()).filter(|number| chosen[*number] == list).map(endpoint).rev().collect();
            let audiences = (0..lists.len()).map(|list| Audience::new(lists[list].clone(), of(list))).collect();
            let snapshot = Subscriptions::new(ScopeId(2), 1, audiences);
            prop_assert_eq!(snapshot.len(), chosen.len());
            for name in TYPES.iter().chain(&TYPES) {
                let name: EventType = name.parse().expect("a name");
                let expected: Vec<EndpointId> = (0..chosen.len())
                    .filter(|number| matching::wants(&lists[chosen[*number]], &name))
                    .map(endpoint)
                    .collect();
                prop_assert_eq!(&*snapshot.matching(&name), &expected[..], "{}", name);
            }
        }
    }

    /// However many events wait to be written, those of one kind share a list.
    #[test]
    fn events_that_the_same_filters_accept_share_a_list() {
        let schema = |status: &str| serde_json::json!({ "properties": { "status": { "const": status } } });
        let filter = |status: &str| Some(Arc::new(Filter::compile(&schema(status)).expect("a schema")));
        let audience = |number: usize| Audience::new(patterns(&["a.*"]), vec![endpoint(number)]);
        let filtered = |number: usize, status: &str| audience(number).filtered_by(filter(status));
        let snapshot = Subscriptions::new(ScopeId(2), 1, vec![audience(3), filtered(2, "on"), filtered(4, "off")]);
        let recipients = |body: &'static str| {
            let event = NewEvent::new("a.b".parse().expect("a name"), body.as_bytes().into());
            let read = catalog::read_json(&event.body).expect("JSON");
            let unjudged = snapshot.recipients(&event);
            let judged = snapshot.recipients(&event.judged_by(&snapshot, &read));
            assert_eq!(judged, unjudged, "{body}");
            assert!(Arc::ptr_eq(&judged, &unjudged), "{body}");
            judged
        };
        let before = snapshot.bytes();
        assert_eq!(*recipients(r#"{"status": "neither"}"#), [endpoint(3)]);
        assert_eq!(snapshot.bytes(), before, "one audience is its own answer");
        let on = recipients(r#"{"status": "on"}"#);
        assert_eq!(*on, [endpoint(2), endpoint(3)]);
        assert!(Arc::ptr_eq(&on, &recipients(r#"{"id": 1, "status": "on"}"#)));
        assert_eq!(*recipients(r#"{"status": "off"}"#), [endpoint(3), endpoint(4)]);
        assert_eq!(*recipients("{}"), [endpoint(2), endpoint(3), endpoint(4)]);
        let list = |endpoints: usize, filters: usize| {
            REMEMBERED_BYTES + SHARED_BYTES + endpoints * size_of::<EndpointId>() + filters * size_of::<usize>()
        };
        assert_eq!(snapshot.bytes() - before, 2 * list(2, 1) + list(3, 2));
    }

    #[test]
    fn an_endpoint_costs_its_id() {
        let many =
            Subscriptions::new(ScopeId(2), 1, vec![Audience::new(patterns(&["a.*"]), vec![endpoint(1); 100_000])]);
        many.matching(&"a.b".parse().expect("a name"));
        assert!((1_600_000..1_601_000).contains(&many.bytes()), "{}", many.bytes());
    }

    #[test]
    fn what_is_remembered_is_counted() {
        let list = |word: &str| Audience::new(patterns(&[word]), vec![endpoint(1); 1_000]);
        let two = Subscriptions::new(ScopeId(2), 1, vec![list("*"), list("a.*")]);
        let before = two.bytes();
        for _ in 0..3 {
            assert_eq!(two.matching(&"a.b".parse().expect("a name")).len(), 2_000);
        }
        assert_eq!(two.bytes() - before, 32_000 + SHARED_BYTES + REMEMBERED_BYTES);
        assert_eq!(two.matching(&"b.c".parse().expect("a name")).len(), 1_000);
        assert_eq!(two.bytes() - before, 32_000 + SHARED_BYTES + REMEMBERED_BYTES, "one audience is its own answer");
    }
}
