//! What this node owns at this moment, as everyone in it may ask. A lease is
//! trusted only until a time on the monotonic clock that comes before its end in
//! the database: whoever is cut off or stopped finds it over by looking, without
//! being told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::{Environment, Monotonic, PARTITIONS, Partition, PartitionSet};
use crate::store::{Lease, Store, StoreError};

/// Endpoint settings that were looked at longer ago than this are not acted on
/// (`architecture.md`, several nodes).
pub const SETTINGS_HOLD: Duration = Duration::from_secs(1);

/// What this node saw so long ago, every node has seen that may send: one that has
/// not looked since then may not.
const SETTLES_AFTER: Duration = Duration::from_millis(1_500);
/// Looks that are remembered until then; there are four a second.
const LOOKS: usize = 64;

const UNPOISONED: &str = "no holder of this lock can panic";

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Ownership(Option<Arc<Shared>>);

struct Shared {
    clock: Clock,
    granted: RwLock<[Option<Grant>; PARTITIONS]>,
    /// Microseconds on the monotonic clock, when changes of settings were last
    /// looked for.
    settings_seen: AtomicU64,
    looks: Mutex<VecDeque<(Monotonic, [i64; 2])>>,
    /// Endpoint versions, by environment, that every node that may send knows.
    settled: [AtomicI64; 2],
}

#[derive(Clone, Copy)]
struct Grant {
    lease: Lease,
    until: Monotonic,
}

impl Ownership {
    /// Of a node that owns everything, for ever.
    pub fn sole() -> Self {
        Self(None)
    }

    /// Of a node that is granted partitions, and has none yet.
    pub fn shared(clock: Clock) -> Self {
        let shared = Shared {
            clock,
            granted: RwLock::new([None; PARTITIONS]),
            settings_seen: AtomicU64::new(0),
            looks: Mutex::default(),
            settled: [const { AtomicI64::new(i64::MIN) }; 2],
        };
        Self(Some(Arc::new(shared)))
    }

    /// Whether this node owns everything, for ever.
    pub fn is_sole(&self) -> bool {
        self.0.is_none()
    }

    /// By what the endpoints of a partition may be worked for now; `None` when
    /// they are somebody else's, or may be.
    pub fn lease(&self, partition: Partition) -> Option<Lease> {
        let Some(shared) = &self.0 else { return Some(Lease::sole(partition)) };
        let grant = shared.granted.read().expect(UNPOISONED)[partition.index()]?;
        (shared.clock.now().monotonic < grant.until).then_some(grant.lease)
    }

    /// Whether this lease is good now.
    pub fn trusts(&self, lease: &Lease) -> bool {
        self.is_sole() || self.lease(lease.partition).as_ref() == Some(lease)
    }

    /// Whether an attempt may begin under this lease now: it is good, and what is
    /// known of endpoints' settings is not too old.
    pub fn may_send(&self, lease: &Lease) -> bool {
        let Some(shared) = &self.0 else { return true };
        let seen = Monotonic::from_start(Duration::from_micros(shared.settings_seen.load(Ordering::Acquire)));
        shared.clock.now().monotonic < seen + SETTINGS_HOLD && self.trusts(lease)
    }

    /// All that is owned now.
    pub fn held(&self) -> PartitionSet {
        if self.is_sole() {
            return PartitionSet::ALL;
        }
        Partition::all().filter(|partition| self.lease(*partition).is_some()).collect()
    }

    /// A lease holds until then, by what the store has just said.
    pub fn grant(&self, lease: Lease, until: Monotonic) {
        if let Some(shared) = &self.0 {
            shared.granted.write().expect(UNPOISONED)[lease.partition.index()] = Some(Grant { lease, until });
        }
    }

    /// A lease is over: given up, refused, or somebody else's. A later one of the
    /// same partition stays.
    pub fn withdraw(&self, lease: &Lease) {
        let Some(shared) = &self.0 else { return };
        let mut granted = shared.granted.write().expect(UNPOISONED);
        let slot = &mut granted[lease.partition.index()];
        if slot.is_some_and(|grant| grant.lease == *lease) {
            *slot = None;
        }
    }

    /// Changes of settings that were made before then have been passed on: up to
    /// these versions, by environment.
    pub fn settings_seen(&self, at: Monotonic, versions: [i64; 2]) {
        let Some(shared) = &self.0 else { return };
        let micros = u64::try_from(at.since_start().as_micros()).unwrap_or(u64::MAX);
        shared.settings_seen.fetch_max(micros, Ordering::AcqRel);
        let mut looks = shared.looks.lock().expect(UNPOISONED);
        looks.push_back((at, versions));
        while let Some((then, versions)) = looks.front().copied()
            && (then + SETTLES_AFTER <= at || looks.len() > LOOKS)
        {
            for (settled, version) in shared.settled.iter().zip(versions) {
                settled.store(version, Ordering::Release);
            }
            looks.pop_front();
        }
    }

    /// Whether something was changed of which this node may not have been told:
    /// looked for after whatever was accepted by it was read.
    pub fn may_be_behind(&self, store: &dyn Store) -> Result<bool, StoreError> {
        if self.is_sole() {
            return Ok(false);
        }
        let now = store.versions()?.endpoints;
        Ok(Environment::ALL.into_iter().zip(now).any(|(environment, version)| self.may_be_news(environment, version)))
    }

    /// Whether the owner of an endpoint may not have heard yet of what holds at
    /// this version: then it must look before it sends what was matched against
    /// it.
    pub fn may_be_news(&self, environment: Environment, version: i64) -> bool {
        self.0.as_ref().is_some_and(|shared| version > shared.settled[environment as usize].load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::store::Fence;

    fn lease(number: u8, fence: i64) -> Lease {
        Lease { partition: Partition::numbered(number), epoch: fence, fence: Some(Fence(fence)) }
    }

    #[test]
    fn a_grant_ends_by_itself() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let ownership = Ownership::shared(clock.clone());
        let (held, other) = (lease(7, 1), lease(8, 2));
        assert!(!ownership.trusts(&held) && ownership.held().is_empty());
        ownership.grant(held, clock.now().monotonic + Duration::from_secs(5));
        ownership.settings_seen(clock.now().monotonic, [1, 1]);
        assert!(ownership.trusts(&held) && ownership.may_send(&held));
        assert!(!ownership.trusts(&other) && !ownership.trusts(&lease(7, 3)), "another epoch is another lease");
        assert_eq!(ownership.held().iter().collect::<Vec<_>>(), [held.partition]);
        clock.advance(SETTINGS_HOLD);
        assert!(ownership.trusts(&held) && !ownership.may_send(&held), "the settings are too old to act on");
        ownership.settings_seen(clock.now().monotonic, [1, 1]);
        assert!(ownership.may_send(&held));
        clock.advance(Duration::from_secs(4));
        assert!(!ownership.trusts(&held) && ownership.lease(held.partition).is_none() && ownership.held().is_empty());
    }

    #[test]
    fn what_is_withdrawn_late_leaves_its_successor() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let ownership = Ownership::shared(clock.clone());
        let (old, new) = (lease(7, 1), lease(7, 2));
        for lease in [old, new] {
            ownership.grant(lease, clock.now().monotonic + Duration::from_secs(5));
        }
        ownership.withdraw(&old);
        assert!(ownership.trusts(&new));
        ownership.withdraw(&new);
        assert!(!ownership.trusts(&new));
    }

    #[test]
    fn what_was_seen_a_while_ago_is_known_to_all() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let ownership = Ownership::shared(clock.clone());
        let is_news = |version| {
            let [sandbox, production] = Environment::ALL.map(|environment| ownership.may_be_news(environment, version));
            (sandbox, production)
        };
        assert_eq!(is_news(0), (true, true), "nobody has looked");
        for _ in 0..4 {
            ownership.settings_seen(clock.now().monotonic, [5, 7]);
            clock.advance(SETTLES_AFTER / 4);
        }
        assert_eq!(is_news(5), (true, true), "somebody may have looked just before");
        ownership.settings_seen(clock.now().monotonic, [5, 8]);
        assert_eq!((is_news(5), is_news(6), is_news(8)), ((false, false), (true, false), (true, true)));
        clock.advance(SETTLES_AFTER);
        ownership.settings_seen(clock.now().monotonic, [5, 8]);
        assert_eq!(is_news(8), (true, false));
        assert!(!Ownership::sole().may_be_news(Environment::Sandbox, i64::MAX));
    }

    #[test]
    fn one_alone_owns_everything() {
        let ownership = Ownership::sole();
        assert_eq!(ownership.held(), PartitionSet::ALL);
        let lease = ownership.lease(Partition::numbered(3)).expect("everything is its own");
        ownership.withdraw(&lease);
        assert!(ownership.trusts(&lease) && ownership.may_send(&lease) && lease.fence.is_none());
    }
}
