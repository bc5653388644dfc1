//! What waits to be sent, by the address it goes to. Anyone may put a hint in,
//! and never waits to do so; whatever finds no room is refused. A queue is taken
//! out by its peer, once nothing has come for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::cluster::hints::Hint;
use crate::domain::PARTITIONS;

/// Addresses that are remembered at once: the owners of all partitions, and as
/// many that have just ceased to own any.
const MOST_QUEUES: usize = 2 * PARTITIONS;

const UNPOISONED: &str = "no holder of this lock can panic";

/// The end of a queue that hints come out of.
pub(super) struct Outlet {
    pub(super) address: Arc<str>,
    pub(super) hints: Receiver<Hint>,
}

/// See the module.
pub(super) struct Queues {
    /// Held for a look-up and a push, never across anything that waits.
    inlets: Mutex<HashMap<Arc<str>, Sender<Hint>>>,
    outlets: Sender<Outlet>,
    room: usize,
}

impl Queues {
    /// No queue yet. Each holds up to `room` hints; new ones come out of the
    /// receiver.
    pub(super) fn new(room: usize) -> (Self, Receiver<Outlet>) {
        let (outlets, opened) = mpsc::channel(MOST_QUEUES);
        (Self { inlets: Mutex::default(), outlets, room: room.max(1) }, opened)
    }

    /// Puts a hint into the queue of an address. False if there is no room.
    pub(super) fn push(&self, address: Arc<str>, hint: Hint) -> bool {
        let mut inlets = self.inlets.lock().expect(UNPOISONED);
        match inlets.get(&address).map(|inlet| inlet.try_send(hint)) {
            Some(Ok(())) => return true,
            Some(Err(TrySendError::Full(_))) => return false,
            // Whoever emptied it ended by a fault; a new one takes its place.
            Some(Err(TrySendError::Closed(_))) => {
                inlets.remove(&address);
            }
            None => {}
        }
        if inlets.len() >= MOST_QUEUES {
            return false;
        }
        let (inlet, hints) = mpsc::channel(self.room);
        let is_queued = inlet.try_send(hint).is_ok();
        if self.outlets.try_send(Outlet { address: Arc::clone(&address), hints }).is_err() {
            return false;
        }
        inlets.insert(address, inlet);
        is_queued
    }

    /// Takes an empty queue out. False if something has come after all.
    pub(super) fn close(&self, outlet: &Outlet) -> bool {
        let mut inlets = self.inlets.lock().expect(UNPOISONED);
        // Nobody can push while the lock is held.
        if !outlet.hints.is_empty() {
            return false;
        }
        inlets.remove(&outlet.address);
        true
    }

    /// How many queues there are.
    pub(super) fn len(&self) -> usize {
        self.inlets.lock().expect(UNPOISONED).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EndpointId;

    fn hint(number: u128) -> Hint {
        Hint::Changed(EndpointId::from_uuid(uuid::Uuid::from_u128(number)))
    }

    #[test]
    fn a_queue_holds_what_it_has_room_for() {
        let (queues, mut opened) = Queues::new(3);
        let taken = (0..5).filter(|number| queues.push("http://a".into(), hint(*number))).count();
        assert_eq!(taken, 3);
        assert!(queues.push("http://b".into(), hint(9)), "another address has room of its own");
        let mut outlet = opened.try_recv().expect("the first queue was opened");
        assert_eq!(&*outlet.address, "http://a");
        for number in 0..3 {
            assert_eq!(outlet.hints.try_recv().expect("it was taken"), hint(number));
        }
        assert!(queues.push("http://a".into(), hint(3)), "there is room again");
    }

    #[test]
    fn only_an_empty_queue_is_closed() {
        let (queues, mut opened) = Queues::new(3);
        assert!(queues.push("http://a".into(), hint(0)));
        let mut outlet = opened.try_recv().expect("the queue was opened");
        assert!(!queues.close(&outlet) && queues.len() == 1);
        outlet.hints.try_recv().expect("it was taken");
        assert!(queues.close(&outlet) && queues.len() == 0);
        assert!(queues.push("http://a".into(), hint(1)) && opened.try_recv().is_ok(), "it may come back");
    }

    #[test]
    fn one_that_nobody_empties_any_more_is_replaced() {
        let (queues, mut opened) = Queues::new(3);
        assert!(queues.push("http://a".into(), hint(0)));
        drop(opened.try_recv());
        assert!(queues.push("http://a".into(), hint(1)));
        let mut outlet = opened.try_recv().expect("a new queue was opened");
        assert_eq!(outlet.hints.try_recv().expect("it was taken"), hint(1));
        assert_eq!(queues.len(), 1);
    }

    #[test]
    fn there_are_not_more_queues_than_owners() {
        let (queues, mut opened) = Queues::new(1);
        let taken = (0..1_000).filter(|number| queues.push(format!("http://{number}").into(), hint(0))).count();
        assert_eq!((taken, queues.len()), (MOST_QUEUES, MOST_QUEUES));
        let mut outlet = opened.try_recv().expect("the first queue was opened");
        outlet.hints.try_recv().expect("it was taken");
        assert!(queues.close(&outlet) && queues.push("http://new".into(), hint(0)), "one that left made room");
    }
}
