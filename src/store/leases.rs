//! What the nodes of a cluster agree on by: who lives, and who owns which
//! partition until when. Each verb is one short transaction of its own, judged
//! by the database's clock. What a node makes of the answers is `cluster`'s.

use std::time::Duration;

use crate::domain::{NodeId, Partition, Timestamp};
use crate::store::StoreError;

/// A random number that stands with a partition for as long as one node owns
/// it: a write that names it is refused once another owner has drawn its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence(pub i64);

/// A partition that a node owns for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which.
    pub partition: Partition,
    /// How often it has changed hands.
    pub epoch: i64,
    /// What its owner's writes name; `None` where one process owns all, and
    /// nobody could take anything from it.
    pub fence: Option<Fence>,
}

impl Lease {
    /// The lease of a node that owns everything for ever.
    pub const fn sole(partition: Partition) -> Self {
        Self { partition, epoch: 0, fence: None }
    }
}

/// What a node says of itself with every renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Which run of which node.
    pub id: NodeId,
    /// Where other nodes reach it: `http://host:port`.
    pub address: Option<String>,
    /// Its release.
    pub version: String,
    /// Requests that it has in flight.
    pub in_flight: u32,
    /// It is stopping: nobody is to count on it for a share.
    pub is_leaving: bool,
    /// It was started held, and sends nothing before it is released. Then it is
    /// leaving as well, as far as others are concerned.
    pub is_held: bool,
}

/// What a renewal answers.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The database's clock, while the renewal ran.
    pub now: Timestamp,
    /// Those of the leases named that still hold, and now hold a full term
    /// again. The others are somebody else's.
    pub kept: Vec<Lease>,
    /// Nodes that live and are not leaving, this one included, in the order of
    /// their ids: what even shares are reckoned from.
    pub nodes: Vec<NodeId>,
    /// Who owns each partition now, by its index, and where that node is
    /// reached; `None` is nobody, or nobody any more.
    pub owners: Vec<Option<Owner>>,
}

/// Who owns a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Where it is reached.
    pub address: Option<String>,
}

/// A node as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Which run.
    pub id: NodeId,
    /// Where other nodes reach it.
    pub address: Option<String>,
    /// Its release.
    pub version: String,
    /// How many partitions it owns.
    pub partitions: usize,
    /// Requests in flight when it last said so.
    pub in_flight: u32,
    /// Whether it is held, and sends nothing.
    pub is_held: bool,
    /// Until when it owns them, unless it renews; `None` is for ever.
    pub lease_until: Option<Timestamp>,
}

/// See the module. Methods block.
pub trait Leases: Send + Sync + 'static {
    /// The database's clock.
    fn now(&self) -> Result<Timestamp, StoreError>;

    /// Says that a node lives, and gives the leases that it still holds a full
    /// term from now, all in one transaction.
    fn renew(&self, node: &NodeReport, held: &[Lease], term: Duration) -> Result<Renewed, StoreError>;

    /// Takes up to `most` partitions that nobody owns, or no longer owns: each
    /// with the next epoch and a new fence. Waits for nobody.
    fn acquire(&self, node: NodeId, most: usize, term: Duration) -> Result<Vec<Lease>, StoreError>;

    /// Gives leases up, those of them that still hold.
    fn release(&self, leases: &[Lease]) -> Result<(), StoreError>;

    /// Forgets a node, and with it whatever it still owns.
    fn leave(&self, node: NodeId) -> Result<(), StoreError>;

    /// The nodes that live, oldest first.
    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError>;

    /// Who owns each partition now, by its index; `None` is nobody, or nobody any more.
    fn owners(&self) -> Result<Vec<Option<NodeId>>, StoreError>;
}
