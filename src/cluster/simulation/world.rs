//! Nodes that take turns on one clock. After every turn it is looked whether two
//! of them trust the same partition.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use uuid::Uuid;

use super::database::{Database, Trouble, Wire};
use crate::clock::Clock;
use crate::cluster::keeper::{KeeperOptions, Keeping};
use crate::cluster::{Hold, Move, Owners, Ownership, shares};
use crate::domain::{Monotonic, NodeId, PartitionSet, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Lease, Leases};

pub const TERM: Duration = Duration::from_secs(6);
pub const STEP: Duration = Duration::from_millis(50);
/// What an engine takes to finish what is in flight.
pub const FINISHING: Duration = Duration::from_millis(1_900);

/// A node, as its engine sees it.
pub struct Node {
    pub ownership: Ownership,
    pub owners: Owners,
    pub metrics: Arc<Metrics>,
    wire: Arc<Wire>,
    /// `None` once it has crashed or left.
    pub keeping: Option<Keeping>,
    pub next: Monotonic,
    pub is_paused: bool,
    /// What an engine takes to hand over; `None` never does.
    pub finishing: Option<Duration>,
    told: Arc<Mutex<Vec<Move>>>,
    /// What it works for, by what it was told.
    pub working: PartitionSet,
    finished_at: Vec<(Monotonic, Vec<Lease>)>,
}

pub struct World {
    pub clock: Clock,
    database: Arc<Database>,
    pub nodes: Vec<Node>,
}

impl World {
    pub fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(0));
        Self { database: Arc::new(Database::new(clock.clone())), clock, nodes: Vec::new() }
    }

    pub fn with(nodes: usize) -> Self {
        let mut world = Self::new();
        for _ in 0..nodes {
            world.join(Duration::ZERO);
        }
        world.run(Duration::from_secs(8));
        world.assert_even();
        world
    }

    pub fn join(&mut self, latency: Duration) -> usize {
        let index = self.nodes.len();
        let node = NodeId::from_uuid(Uuid::from_u128(index as u128 + 1));
        let wire = Arc::new(Wire::new(Arc::clone(&self.database), latency));
        let told = Arc::<Mutex<Vec<Move>>>::default();
        let telling = Arc::clone(&told);
        let options = KeeperOptions {
            node,
            address: Some(format!("http://node-{index}")),
            term: TERM,
            leases: Arc::clone(&wire) as Arc<dyn Leases>,
            hold: Hold::new(false),
            ownership: Ownership::shared(self.clock.clone()),
            owners: Owners::default(),
            clock: self.clock.clone(),
            metrics: Arc::default(),
        };
        self.nodes.push(Node {
            ownership: options.ownership.clone(),
            owners: options.owners.clone(),
            metrics: Arc::clone(&options.metrics),
            wire,
            keeping: Some(Keeping::new(options, Box::new(move |told| telling.lock().unwrap().push(told)))),
            next: self.clock.now().monotonic,
            is_paused: false,
            finishing: Some(FINISHING),
            told,
            working: PartitionSet::NONE,
            finished_at: Vec::new(),
        });
        index
    }

    pub fn crash(&mut self, index: usize) {
        self.nodes[index].keeping = None;
    }

    pub fn leave(&mut self, index: usize) {
        if let Some(keeping) = self.nodes[index].keeping.take() {
            keeping.stop();
            self.nodes[index].working = PartitionSet::NONE;
        }
    }

    pub fn trouble(&self, index: usize, trouble: Trouble) {
        *self.nodes[index].wire.trouble.lock().unwrap() = trouble;
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.clock.now().monotonic + duration;
        while self.clock.now().monotonic < end {
            self.clock.advance(STEP);
            for index in 0..self.nodes.len() {
                self.nodes[index].come_round(&self.clock);
                self.check();
            }
        }
    }

    /// How long it takes until this holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.clock.now().monotonic;
        while !holds(self) {
            self.run(STEP);
            assert!(self.clock.now().monotonic.since(begun) < Duration::from_secs(60), "never: {what}");
        }
        self.clock.now().monotonic.since(begun)
    }

    fn check(&self) {
        let mut trusted = PartitionSet::NONE;
        for node in &self.nodes {
            for partition in node.ownership.held().iter() {
                assert!(trusted.insert(partition), "two nodes trust partition {partition}");
            }
        }
    }

    pub fn working(&self) -> usize {
        self.nodes.iter().map(|node| node.working.len()).sum()
    }

    pub fn is_even(&self) -> bool {
        let live: Vec<NodeId> = (1..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.keeping.is_some())
            .map(|(id, _)| NodeId::from_uuid(Uuid::from_u128(id)))
            .collect();
        let mut targets = live.iter().map(|node| shares::target(*node, &live).unwrap());
        let mut even = self
            .nodes
            .iter()
            .filter(|node| node.keeping.is_some())
            .map(|node| node.working.len() == targets.next().unwrap() && node.ownership.held() == node.working);
        even.all(|is_even| is_even)
    }

    pub fn assert_even(&self) {
        let working: Vec<usize> = self.nodes.iter().map(|node| node.working.len()).collect();
        assert!(self.is_even(), "{working:?}");
    }
}

impl Node {
    fn come_round(&mut self, clock: &Clock) {
        let now = clock.now().monotonic;
        let Some(keeping) = self.keeping.as_mut().filter(|_| !self.is_paused) else { return };
        let (finished, unfinished): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.finished_at).into_iter().partition(|(at, _)| now >= *at);
        self.finished_at = unfinished;
        for (_, leases) in &finished {
            keeping.handed_over(leases);
        }
        if now < self.next && finished.is_empty() {
            return;
        }
        // Then time passes within a turn, and what runs out meanwhile is told in
        // the next.
        let is_late = *self.wire.trouble.lock().unwrap() == Trouble::Late;
        for turns in 0.. {
            assert!(turns < 10, "a keeper that always comes back at once never rests");
            self.next = keeping.turn();
            if self.next > clock.now().monotonic {
                break;
            }
            if is_late {
                // There is always something to renew by now.
                break;
            }
        }
        for told in std::mem::take(&mut *self.told.lock().unwrap()) {
            match told {
                Move::Gained(leases) => {
                    for lease in leases {
                        assert!(self.working.insert(lease.partition), "gained twice");
                    }
                }
                Move::Lost(leases) => {
                    for lease in leases {
                        self.working.remove(lease.partition);
                    }
                }
                Move::HandOver(leases) => {
                    for lease in &leases {
                        assert!(self.working.remove(lease.partition), "what is handed over was worked for");
                        assert!(is_late || self.ownership.trusts(lease), "and stays good for what is in flight");
                    }
                    if let Some(finishing) = self.finishing {
                        self.finished_at.push((now + finishing, leases));
                    }
                }
                Move::Changed(_) | Move::ManyChanged => panic!("a keeper knows nothing of settings"),
            }
        }
        for partition in self.working.iter().filter(|_| !is_late) {
            assert!(self.ownership.lease(partition).is_some(), "it works for what it does not own: {partition}");
        }
    }
}
