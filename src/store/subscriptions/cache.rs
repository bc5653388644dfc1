//! Which snapshots stay in memory: as many as a number of bytes has room for,
//! and of those the ones that are asked for. What is in a snapshot, and whether
//! it still holds, is not decided here.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::OnceCell;

use super::{Scope, Subscriptions, UNPOISONED};

/// Most bytes that a node keeps of snapshots. An endpoint takes 16 of them, a
/// partner a few hundred more: there is room for 1,000,000 endpoints of 10,000
/// partners, for events over all of them besides, and for half as much again.
/// A filter takes about as much as 1,500 endpoints without one, however many share
/// it.
const CACHED_BYTES: usize = 64 << 20;

/// About what the tables take for a scope beside its snapshot and its name,
/// the empty places of their doublings included.
const ENTRY_BYTES: usize = 2 * (size_of::<(Scope, Kept)>() + size_of::<Scope>() + 1);

/// Snapshots of the scopes that events were lately posted to. One may be
/// behind: the accepting transaction notices, and marks what it was given as
/// outdated.
pub struct SubscriptionCache {
    shelf: RwLock<Shelf>,
    loads: Mutex<HashMap<Scope, Arc<Load>>>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct Shelf {
    scopes: HashMap<Scope, Kept>,
    /// The same scopes, in the order in which they are to be looked at when
    /// room is needed.
    queue: VecDeque<Scope>,
}

struct Kept {
    subscriptions: Arc<Subscriptions>,
    /// Since it was last passed over: a second chance costs one bit, and a
    /// reader no more than a shared lock.
    asked_for: AtomicBool,
}

/// One load that everybody waits for who misses the same scope.
type Load = OnceCell<Arc<Subscriptions>>;

impl Default for SubscriptionCache {
    fn default() -> Self {
        Self::of_bytes(CACHED_BYTES)
    }
}

impl SubscriptionCache {
    /// An empty cache that keeps so many bytes at most.
    pub fn of_bytes(limit: usize) -> Self {
        Self {
            shelf: RwLock::default(),
            loads: Mutex::default(),
            budget: Arc::new(Budget { limit, held: AtomicUsize::new(0) }),
        }
    }

    /// The scope's snapshot: the one that is kept, or one that is loaded now,
    /// once for all who ask at the same time.
    pub async fn get_or_load<E, F>(&self, scope: &Scope, load: impl FnOnce() -> F) -> Result<Arc<Subscriptions>, E>
    where
        F: Future<Output = Result<Subscriptions, E>>,
    {
        if let Some(kept) = self.get(scope) {
            return Ok(kept);
        }
        let joined = Joined::new(self, scope);
        let load = || async {
            // It may have been put there between the look and the turn.
            if let Some(kept) = self.get(scope) {
                return Ok(kept);
            }
            let loaded = Arc::new(load().await?);
            self.put(scope, &loaded);
            Ok(loaded)
        };
        joined.load.get_or_try_init(load).await.cloned()
    }

    /// The scope's snapshot, if one is kept that nobody has found outdated.
    pub fn get(&self, scope: &Scope) -> Option<Arc<Subscriptions>> {
        let shelf = self.shelf.read().expect(UNPOISONED);
        let kept = shelf.scopes.get(scope).filter(|kept| !kept.subscriptions.is_outdated())?;
        // Most of the time it is set, and then no other reader's cache line is
        // taken away.
        if !kept.asked_for.load(Ordering::Relaxed) {
            kept.asked_for.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&kept.subscriptions))
    }

    /// Keeps a snapshot that was read from what is committed, unless a later
    /// one is kept already or it would push most others out.
    pub fn put(&self, scope: &Scope, subscriptions: &Arc<Subscriptions>) {
        if subscriptions.bytes() > self.budget.limit / 2 {
            return;
        }
        // Dropped after the lock is: a large one takes its time.
        let mut removed = Vec::new();
        let mut shelf = self.shelf.write().expect(UNPOISONED);
        if let Some(kept) = shelf.scopes.get_mut(scope) {
            let known = &kept.subscriptions;
            // As late and outdated is what a transaction said that was undone.
            let is_later = known.version < subscriptions.version;
            if is_later || (known.version == subscriptions.version && known.is_outdated()) {
                subscriptions.take_from(&self.budget);
                removed.push(std::mem::replace(&mut kept.subscriptions, Arc::clone(subscriptions)));
            }
        } else {
            subscriptions.take_from(&self.budget);
            self.budget.hold(entry_bytes(scope));
            let kept = Kept { subscriptions: Arc::clone(subscriptions), asked_for: AtomicBool::new(false) };
            shelf.scopes.insert(scope.clone(), kept);
            shelf.queue.push_back(scope.clone());
        }
        self.make_room(&mut shelf, &mut removed);
    }

    /// Goes through the queue until the budget is kept to. Whoever was asked
    /// for since the last time goes to its end once more.
    fn make_room(&self, shelf: &mut Shelf, removed: &mut Vec<Arc<Subscriptions>>) {
        // What was replaced is as good as dropped, and so is what goes.
        let mut leaving: usize = removed.iter().map(|gone| gone.bytes()).sum();
        while self.budget.held().saturating_sub(leaving) > self.budget.limit {
            let Some(scope) = shelf.queue.pop_front() else { return };
            let deserves_to_stay = shelf
                .scopes
                .get_mut(&scope)
                .is_some_and(|kept| std::mem::take(kept.asked_for.get_mut()) && !kept.subscriptions.is_outdated());
            if deserves_to_stay {
                shelf.queue.push_back(scope);
            } else if let Some(kept) = shelf.scopes.remove(&scope) {
                self.budget.release(entry_bytes(&scope));
                leaving += kept.subscriptions.bytes();
                removed.push(kept.subscriptions);
            }
        }
    }
}

fn entry_bytes(scope: &Scope) -> usize {
    ENTRY_BYTES + scope.partner.as_ref().map_or(0, |name| name.as_str().len())
}

/// A place among those who wait for a load. The first to leave, with a snapshot
/// or without, closes it: what was loaded is for those who asked meanwhile, and
/// not to be found outdated by everyone who comes later.
struct Joined<'a> {
    cache: &'a SubscriptionCache,
    scope: &'a Scope,
    load: Arc<Load>,
}

impl<'a> Joined<'a> {
    fn new(cache: &'a SubscriptionCache, scope: &'a Scope) -> Self {
        let mut loads = cache.loads.lock().expect(UNPOISONED);
        let load = Arc::clone(loads.entry(scope.clone()).or_default());
        Self { cache, scope, load }
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut loads = self.cache.loads.lock().expect(UNPOISONED);
        if loads.get(self.scope).is_some_and(|load| Arc::ptr_eq(load, &self.load)) {
            loads.remove(self.scope);
        }
    }
}

/// The bytes that are there to be had, and those that are in use, also by
/// snapshots that have left the cache and are still being worked with.
pub(super) struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes bytes, be they there or not: the cache then makes room.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes bytes if they are there.
    pub(super) fn try_hold(&self, bytes: usize) -> bool {
        let take = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives bytes back.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::task::Poll;

    use proptest::prelude::*;
    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{EndpointId, Environment, EventType};
    use crate::store::{Audience, ScopeId};

    fn scope(number: usize) -> Scope {
        Scope::of(Environment::Production, format!("partner-{number}").parse().expect("a name"))
    }

    /// Two audiences, so that matches are worth remembering.
    fn snapshot(version: i64, endpoints: usize) -> Subscriptions {
        let list = |words: &str| {
            let endpoints = (0..endpoints).map(|number| EndpointId::from_uuid(Uuid::from_u128(number as u128)));
            Audience::new(vec![words.parse().expect("a pattern")], endpoints.collect())
        };
        Subscriptions::new(ScopeId(2), version, vec![list("*"), list("a.*")])
    }

    fn event_type(number: usize) -> EventType {
        format!("a.{number}").parse().expect("a name")
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put { scope: usize, older_by: i64, endpoints: usize },
        Match { scope: usize, event_type: usize },
        Outdate { scope: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..12usize, 0..3i64, 0..300usize).prop_map(|(scope, older_by, endpoints)| Step::Put {
                scope,
                older_by,
                endpoints
            }),
            (0..12usize, 0..5usize).prop_map(|(scope, event_type)| Step::Match { scope, event_type }),
            (0..12usize).prop_map(|scope| Step::Outdate { scope }),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #[test]
        fn the_budget_is_kept_to_and_nothing_outdated_is_given_out(steps in steps()) {
            const LIMIT: usize = 40_000;
            let cache = SubscriptionCache::of_bytes(LIMIT);
            // The least version that may still be given out.
            let mut least = [i64::MIN; 12];
            let mut clock = 0;
            for step in steps {
                match step {
                    Step::Put { scope: of, older_by, endpoints } => {
                        clock += 1;
                        cache.put(&scope(of), &Arc::new(snapshot(clock - older_by, endpoints)));
                        if let Some(kept) = cache.get(&scope(of)) {
                            least[of] = least[of].max(kept.version);
                        }
                    }
                    Step::Match { scope: of, event_type: name } => {
                        if let Some(kept) = cache.get(&scope(of)) {
                            prop_assert_eq!(kept.matching(&event_type(name)).len(), kept.len());
                        }
                    }
                    Step::Outdate { scope: of } => {
                        if let Some(kept) = cache.get(&scope(of)) {
                            kept.mark_outdated();
                            prop_assert!(cache.get(&scope(of)).is_none());
                        }
                    }
                }
                prop_assert!(cache.budget.held() <= LIMIT);
                for (of, least) in least.iter_mut().enumerate() {
                    match cache.get(&scope(of)) {
                        Some(kept) => prop_assert!(!kept.is_outdated() && kept.version >= *least),
                        // What was put out may come back as it was read last.
                        None => *least = i64::MIN,
                    }
                }
                let shelf = cache.shelf.read().expect(UNPOISONED);
                let counted: usize =
                    shelf.scopes.iter().map(|(scope, kept)| entry_bytes(scope) + kept.subscriptions.bytes()).sum();
                prop_assert_eq!(counted, cache.budget.held());
                prop_assert_eq!(shelf.scopes.len(), shelf.queue.len());
            }
        }
    }

    #[test]
    fn what_is_asked_for_stays() {
        let bytes = snapshot(1, 100).bytes() + entry_bytes(&scope(10));
        let cache = SubscriptionCache::of_bytes(bytes * 10);
        for number in 10..99 {
            cache.put(&scope(number), &Arc::new(snapshot(1, 100)));
            assert!(cache.get(&scope(10)).is_some(), "after {number}");
        }
        let kept = (10..99).filter(|number| cache.get(&scope(*number)).is_some()).count();
        assert_eq!(kept, 10, "and the room is used");
    }

    #[test]
    fn a_snapshot_that_would_push_out_most_others_is_not_kept() {
        let cache = SubscriptionCache::of_bytes(100_000);
        cache.put(&scope(1), &Arc::new(snapshot(1, 100)));
        cache.put(&scope(2), &Arc::new(snapshot(1, 2_000)));
        assert!(cache.get(&scope(1)).is_some() && cache.get(&scope(2)).is_none());
    }

    #[test]
    fn a_change_that_was_undone_leaves_the_scope_cached() {
        let cache = SubscriptionCache::default();
        for _ in 0..2 {
            cache.put(&scope(1), &Arc::new(snapshot(5, 1)));
            cache.get(&scope(1)).expect("it was put there").mark_outdated();
        }
        cache.put(&scope(1), &Arc::new(snapshot(5, 1)));
        assert!(cache.get(&scope(1)).is_some());
    }

    #[test]
    fn who_misses_at_the_same_time_waits_for_one_load() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        runtime.block_on(async {
            let cache = SubscriptionCache::default();
            let (loads, may_end) = (Cell::new(0), Notify::new());
            let wanted = scope(1);
            let ask = || {
                cache.get_or_load(&wanted, || async {
                    loads.set(loads.get() + 1);
                    may_end.notified().await;
                    Ok::<_, Infallible>(snapshot(1, 3))
                })
            };
            {
                // One that is given up leaves the load to the others.
                let mut given_up = std::pin::pin!(ask());
                let polled = std::future::poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context)));
                assert!(polled.await.is_pending());
            }
            let (first, second, ()) = tokio::join!(ask(), ask(), async { may_end.notify_one() });
            let (first, second) = (first.expect("loaded"), second.expect("loaded"));
            assert!(Arc::ptr_eq(&first, &second));
            assert_eq!(loads.get(), 2, "the one that was given up, and one more");
            ask().await.expect("kept");
            assert_eq!(loads.get(), 2);
            assert!(cache.loads.lock().expect(UNPOISONED).is_empty());
        });
    }

    #[test]
    fn who_asks_again_after_a_failure_loads_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        runtime.block_on(async {
            let cache = SubscriptionCache::default();
            let failed = cache.get_or_load(&scope(1), || async { Err("unreadable") }).await;
            assert_eq!(failed.map(|_| ()), Err("unreadable"));
            assert!(cache.get_or_load(&scope(1), || async { Ok::<_, Infallible>(snapshot(1, 3)) }).await.is_ok());
            assert!(cache.loads.lock().expect(UNPOISONED).is_empty());
        });
    }
}
