//! Leases in memory, as a database would keep them, and each node's way to it,
//! on which things go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::{NodeId, PARTITIONS, Partition, Timestamp};
use crate::store::{Fence, Lease, Leases, NodeRecord, NodeReport, Owner, Renewed, StoreError};

/// Longer than nodes go without renewing, and not so long that trust runs out.
pub const LATE: Duration = Duration::from_secs(4);

/// What the database holds. Its clock is the monotonic one.
pub struct Database {
    clock: Clock,
    tables: Mutex<Tables>,
}

struct Tables {
    nodes: BTreeMap<NodeId, (NodeReport, Duration)>,
    rows: Vec<Row>,
    next_token: i64,
}

#[derive(Clone, Copy)]
struct Row {
    owner: Option<NodeId>,
    epoch: i64,
    token: i64,
    until: Duration,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Trouble {
    None,
    /// Nothing gets through.
    Cut,
    /// What is asked is done, and nobody hears of it.
    Deaf,
    /// Answers take [`LATE`].
    Late,
}

/// One node's way to the database.
pub struct Wire {
    database: Arc<Database>,
    pub trouble: Mutex<Trouble>,
    /// What each way takes.
    latency: Duration,
}

impl Database {
    /// In which nobody owns anything yet.
    pub fn new(clock: Clock) -> Self {
        let row = |number: i64| Row { owner: None, epoch: 0, token: -1 - number, until: Duration::ZERO };
        let rows = (0..PARTITIONS as i64).map(row).collect();
        Self { clock, tables: Mutex::new(Tables { nodes: BTreeMap::new(), rows, next_token: 0 }) }
    }
}

impl Wire {
    pub fn new(database: Arc<Database>, latency: Duration) -> Self {
        Self { database, trouble: Mutex::new(Trouble::None), latency }
    }

    fn ask<T>(&self, verb: impl FnOnce(&mut Tables, Duration) -> T) -> Result<T, StoreError> {
        let clock = &self.database.clock;
        let trouble = *self.trouble.lock().unwrap();
        let gone = || StoreError::Unavailable("cut off".into());
        clock.advance(self.latency);
        if trouble == Trouble::Cut {
            return Err(gone());
        }
        let done = verb(&mut self.database.tables.lock().unwrap(), clock.now().monotonic.since_start());
        clock.advance(if trouble == Trouble::Late { LATE } else { self.latency });
        if trouble == Trouble::Deaf { Err(gone()) } else { Ok(done) }
    }
}

impl Row {
    fn lease(&self, index: usize) -> Lease {
        let partition = Partition::numbered(u8::try_from(index).unwrap());
        Lease { partition, epoch: self.epoch, fence: Some(Fence(self.token)) }
    }

    fn has_token_of(&self, leases: &[Lease]) -> bool {
        leases.iter().any(|lease| lease.fence == Some(Fence(self.token)))
    }
}

impl Leases for Wire {
    fn now(&self) -> Result<Timestamp, StoreError> {
        self.ask(|_, now| Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap()))
    }

    fn renew(&self, node: &NodeReport, held: &[Lease], term: Duration) -> Result<Renewed, StoreError> {
        self.ask(|tables, now| {
            tables.nodes.insert(node.id, (node.clone(), now + term));
            let mut kept = Vec::new();
            for (index, row) in tables.rows.iter_mut().enumerate() {
                if row.owner == Some(node.id) && row.has_token_of(held) {
                    row.until = now + term;
                    kept.push(row.lease(index));
                }
            }
            let lives = |(report, until): &&(NodeReport, Duration)| *until > now && !report.is_leaving;
            let owner = |row: &Row| {
                let node = row.owner.filter(|_| row.until > now)?;
                Some(Owner { node, address: tables.nodes.get(&node).and_then(|(report, _)| report.address.clone()) })
            };
            Renewed {
                now: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap()),
                kept,
                nodes: tables.nodes.values().filter(lives).map(|(report, _)| report.id).collect(),
                owners: tables.rows.iter().map(owner).collect(),
            }
        })
    }

    fn acquire(&self, node: NodeId, most: usize, term: Duration) -> Result<Vec<Lease>, StoreError> {
        self.ask(|tables, now| {
            let mut taken = Vec::new();
            for (index, row) in tables.rows.iter_mut().enumerate() {
                if taken.len() < most && (row.owner.is_none() || row.until <= now) {
                    tables.next_token += 1;
                    *row = Row { owner: Some(node), epoch: row.epoch + 1, token: tables.next_token, until: now + term };
                    taken.push(row.lease(index));
                }
            }
            taken
        })
    }

    fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.ask(|tables, _| {
            for row in tables.rows.iter_mut().filter(|row| row.has_token_of(leases)) {
                row.owner = None;
            }
        })
    }

    fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        self.ask(|tables, _| {
            tables.nodes.remove(&node);
            for row in tables.rows.iter_mut().filter(|row| row.owner == Some(node)) {
                row.owner = None;
            }
        })
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        unreachable!("keepers do not ask for it")
    }

    fn owners(&self) -> Result<Vec<Option<NodeId>>, StoreError> {
        unreachable!("keepers do not ask for it")
    }
}
