//! The thread that keeps a node's leases: it asks the store what `plan` wants
//! asked, and tells the engine what came of it. It never waits for the engine.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::cluster::plan::{Plan, Task};
use crate::cluster::{Hold, Move, Owners, Ownership};
use crate::domain::{Monotonic, NodeId};
use crate::metrics::{Metrics, Moved};
use crate::store::{Lease, Leases, NodeReport, Renewed, StoreError};

/// What a keeper works with.
pub struct KeeperOptions {
    /// This run of this node.
    pub node: NodeId,
    /// Where other nodes reach it.
    pub address: Option<String>,
    /// How long a lease holds without being renewed.
    pub term: Duration,
    /// Where leases are kept.
    pub leases: Arc<dyn Leases>,
    /// While it is on, this node takes nothing.
    pub hold: Hold,
    /// What it keeps up to date for everyone in this node.
    pub ownership: Ownership,
    /// The same, about the other nodes.
    pub owners: Owners,
    /// Follows the database's from the first renewal on.
    pub clock: Clock,
    /// What is in flight, to report; what it counts, too.
    pub metrics: Arc<Metrics>,
}

/// A running keeper.
pub struct Keeper {
    handle: KeeperHandle,
    thread: JoinHandle<()>,
}

/// What a keeper is told. Cheap to clone, never waits.
#[derive(Clone)]
pub struct KeeperHandle(Sender<Order>);

/// The other end of a [`KeeperHandle`], for [`Keeper::start`].
pub struct Orders(Receiver<Order>);

enum Order {
    HandedOver(Vec<Lease>),
    Leave,
    Stop,
}

/// A handle and its other end: whoever the keeper's observer tells may need the
/// handle before there is a keeper.
pub fn orders() -> (KeeperHandle, Orders) {
    let (sender, receiver) = channel();
    (KeeperHandle(sender), Orders(receiver))
}

impl Keeper {
    /// Starts the thread, which asks for this node's share at once. `observer` is
    /// called from that thread, in order; [`Ownership`] says the same by then.
    pub fn start(
        options: KeeperOptions,
        handle: KeeperHandle,
        orders: Orders,
        observer: Box<dyn Fn(Move) + Send>,
    ) -> io::Result<Self> {
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || Keeping::new(options, observer).run(&orders))?;
        Ok(Self { handle, thread })
    }

    /// What it is told by.
    pub fn handle(&self) -> &KeeperHandle {
        &self.handle
    }

    /// Gives up everything at once and forgets the node, so that others take over
    /// without waiting for its leases to end. For when nothing is in flight any
    /// more. Blocks until the store has answered, or has not.
    pub fn stop(self) {
        // A thread that has ended holds nothing: its leases run out.
        let _ = self.handle.0.send(Order::Stop);
        if self.thread.join().is_err() {
            log::error!("the keeper of leases panicked; what it held runs out by itself");
        }
    }
}

impl KeeperHandle {
    /// Nothing is in flight any more in these, of which the engine was told
    /// [`Move::HandOver`]: they are withdrawn and given up at once.
    pub fn handed_over(&self, leases: Vec<Lease>) {
        let _ = self.0.send(Order::HandedOver(leases));
    }

    /// This node is about to stop: others are not to count on it. Its leases are
    /// renewed until [`Keeper::stop`], for what is in flight.
    pub fn leaving(&self) {
        let _ = self.0.send(Order::Leave);
    }
}

/// The thread's own.
pub(super) struct Keeping {
    leases: Arc<dyn Leases>,
    plan: Plan,
    report: NodeReport,
    hold: Hold,
    term: Duration,
    owners: Owners,
    clock: Clock,
    metrics: Arc<Metrics>,
    observer: Box<dyn Fn(Move) + Send>,
    is_failing: bool,
}

impl Keeping {
    pub(super) fn new(options: KeeperOptions, observer: Box<dyn Fn(Move) + Send>) -> Self {
        let KeeperOptions { node, address, term, leases, hold, ownership, owners, clock, metrics } = options;
        let plan = Plan::new(node, ownership, term, clock.now().monotonic).held(hold.is_on());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let report = NodeReport { id: node, address, version, in_flight: 0, is_leaving: false, is_held: hold.is_on() };
        Self { leases, plan, report, hold, term, owners, clock, metrics, observer, is_failing: false }
    }

    fn run(mut self, orders: &Orders) {
        loop {
            let wake_at = self.turn();
            let wait = wake_at.since(self.clock.now().monotonic);
            match orders.0.recv_timeout(wait) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::HandedOver(leases) => self.handed_over(&leases),
            Order::Leave | Order::Stop => self.leaving(self.clock.now().monotonic),
        }
    }

    pub(super) fn leaving(&mut self, now: Monotonic) {
        self.plan.leave(now);
    }

    pub(super) fn handed_over(&mut self, leases: &[Lease]) {
        self.plan.handed_over(leases);
    }

    /// Does the next thing that is to be done now, and says when to come back: at
    /// once, when there may be more, so that orders are heard in between. Trust
    /// that has run out, as after a pause of the whole process, comes before
    /// anything else.
    pub(super) fn turn(&mut self) -> Monotonic {
        let now = self.clock.now().monotonic;
        if !self.hold.is_on() {
            self.plan.release(now);
        }
        let expired = self.plan.expire(now);
        self.tell(expired);
        let wake_at = match self.plan.next(now) {
            Some(task) => {
                let done = self.carry_out(task);
                self.note(done);
                now
            }
            None => self.plan.wake_at(),
        };
        self.metrics.partitions_owned.set(i64::try_from(self.plan.owned()).unwrap_or(i64::MAX));
        wake_at
    }

    /// Gives everything up. What fails here, time mends.
    pub(super) fn stop(mut self) {
        self.plan.end();
        self.metrics.partitions_owned.set(0);
        match self.leases.leave(self.report.id) {
            Ok(()) => log::info!("all partitions were given up"),
            Err(error) => log::warn!("this node's partitions are free only in {:?}: {error}", self.term),
        }
    }

    fn carry_out(&mut self, task: Task) -> Result<(), StoreError> {
        let sent = self.clock.now().monotonic;
        match task {
            Task::Renew(named) => {
                let (answer, now) = self.renew(&named, sent)?;
                let moves = self.plan.renewed(&named, sent, now, &answer);
                self.tell(moves);
            }
            Task::Look => {
                let (answer, now) = self.renew(&[], sent)?;
                let moves = self.plan.looked(now, &answer);
                self.tell(moves);
            }
            Task::Acquire(most) => {
                let given = self.leases.acquire(self.report.id, most, self.term)?;
                self.metrics.lease_takeovers.inc_by(given.len() as u64);
                let moves = self.plan.acquired(most, &given, sent, self.clock.now().monotonic);
                self.tell(moves);
            }
            Task::Release(leases) => {
                self.leases.release(&leases)?;
                self.plan.released(&leases);
                log::info!("{} partitions were handed over", leases.len());
            }
        }
        Ok(())
    }

    fn renew(&mut self, named: &[Lease], sent: Monotonic) -> Result<(Renewed, Monotonic), StoreError> {
        self.report.in_flight = u32::try_from(self.metrics.attempts_in_flight.get()).unwrap_or(0);
        self.report.is_held = self.plan.is_held();
        // Releases that know nothing of holds are not to count on it either.
        self.report.is_leaving = self.plan.is_leaving() || self.report.is_held;
        let answer = self.leases.renew(&self.report, named, self.term)?;
        let received = self.clock.now().monotonic;
        self.clock.follow(answer.now, sent, received);
        self.owners.update(self.report.id, &answer.owners);
        Ok((answer, received))
    }

    /// One line when the store stops answering, and one when it does again.
    fn note(&mut self, done: Result<(), StoreError>) {
        let is_failing = done.is_err();
        match done {
            Err(error) => {
                self.plan.failed(self.clock.now().monotonic);
                if !self.is_failing {
                    log::error!("leases cannot be kept, and end unless the store answers again: {error}");
                }
            }
            Ok(()) if self.is_failing => log::info!("leases can be kept again"),
            Ok(()) => {}
        }
        self.is_failing = is_failing;
    }

    fn tell(&self, moves: Vec<Move>) {
        for told in moves {
            match &told {
                Move::Gained(leases) => log::info!("{} partitions are this node's now", leases.len()),
                Move::Lost(leases) => {
                    self.metrics.leases_lost.inc_by(leases.len() as u64);
                    log::warn!("{} partitions are not this node's any more", leases.len());
                }
                Move::HandOver(leases) => log::info!("{} partitions are to go to other nodes", leases.len()),
                Move::Changed(_) | Move::ManyChanged => {}
            }
            self.remember(&told);
            (self.observer)(told);
        }
    }

    /// For people who ask where their work went.
    fn remember(&self, told: &Move) {
        let (what, leases) = match told {
            Move::Gained(leases) => ("taken", leases),
            Move::Lost(leases) => ("lost", leases),
            Move::HandOver(leases) => ("handed_over", leases),
            Move::Changed(_) | Move::ManyChanged => return,
        };
        if !leases.is_empty() {
            let at_millis = self.clock.wall().as_millis();
            self.metrics.lately.moved(Moved { at_millis, what, partitions: leases.len() });
        }
    }
}
