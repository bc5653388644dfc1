//! The connections of one thread, and how many there may be. Decides who goes when
//! there is no room for one that comes: never a connection whose request a handler
//! has; of the others the one that has asked for nothing the longest. So those who
//! open connections and say nothing push out one another, and whoever asks finds room.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::clock::Clock;
use crate::domain::Monotonic;
use crate::metrics::Metrics;
use crate::routes::problem::Problem;

use super::progress::{ConnectionLimits, Over, Progress, Reading};

/// See the module. A clone is the same room.
#[derive(Clone)]
pub struct Room(Rc<Shared>);

struct Shared {
    limits: ConnectionLimits,
    /// Connections beyond which the idle ones go.
    most: usize,
    clock: Clock,
    metrics: Arc<Metrics>,
    guests: RefCell<Guests>,
}

#[derive(Default)]
struct Guests {
    /// Those that are there and have not been told to go.
    count: usize,
    /// The next place in the row below.
    next: u64,
    /// Those that no handler works for, by when they last had an answer.
    waiting: BTreeMap<u64, Connection>,
}

/// One connection, as its socket and the handlers of its requests know it.
#[derive(Clone)]
pub struct Connection(Rc<Seat>);

struct Seat {
    room: Room,
    state: RefCell<State>,
}

struct State {
    progress: Progress,
    /// Its place in the row.
    place: Option<u64>,
    /// Whether it was told to go.
    gone: bool,
    /// Whoever waits for the socket.
    waker: Option<Waker>,
}

/// A connection's stay. It ends when this is dropped.
pub struct Stay(Connection);

/// A handler's work for a connection. It ends when this is dropped, answer or not.
pub struct Work(Connection);

impl Room {
    /// An empty room.
    pub fn new(limits: ConnectionLimits, most: usize, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self(Rc::new(Shared { limits, most, clock, metrics, guests: RefCell::default() }))
    }

    /// One more connection; where there is no room, another one goes.
    pub fn enter(&self) -> Stay {
        let state = State { progress: Progress::begun(self.now()), place: None, gone: false, waker: None };
        let connection = Connection(Rc::new(Seat { room: self.clone(), state: RefCell::new(state) }));
        self.0.metrics.connections.inc();
        let mut guests = self.0.guests.borrow_mut();
        guests.count += 1;
        if guests.count > self.0.most
            && let Some((_, oldest)) = guests.waiting.pop_first()
        {
            guests.count -= 1;
            oldest.is_to_go();
            self.0.metrics.count_closed("no_room");
        }
        guests.line_up(&connection);
        Stay(connection)
    }

    fn now(&self) -> Monotonic {
        self.0.clock.now().monotonic
    }
}

impl Guests {
    fn line_up(&mut self, connection: &Connection) {
        let mut state = connection.0.state.borrow_mut();
        if state.gone {
            return;
        }
        let place = self.next;
        self.next += 1;
        state.place = Some(place);
        drop(state);
        self.waiting.insert(place, connection.clone());
    }

    fn step_out(&mut self, connection: &Connection) {
        if let Some(place) = connection.0.state.borrow_mut().place.take() {
            self.waiting.remove(&place);
        }
    }
}

impl Connection {
    fn shared(&self) -> &Shared {
        &self.0.room.0
    }

    fn now(&self) -> Monotonic {
        self.0.room.now()
    }

    fn is_to_go(&self) {
        let mut state = self.0.state.borrow_mut();
        state.gone = true;
        state.place = None;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Whether it was told to go.
    pub fn is_gone(&self) -> bool {
        self.0.state.borrow().gone
    }

    /// Wakes this task when the connection has to go, or may read again.
    pub fn wakes(&self, context: &Context<'_>) {
        let mut state = self.0.state.borrow_mut();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
    }

    /// How much may be read just now.
    pub fn reading(&self) -> Reading {
        self.0.state.borrow().progress.reading(&self.shared().limits)
    }

    /// Bytes have come.
    pub fn came(&self, bytes: usize) {
        let now = self.now();
        self.0.state.borrow_mut().progress.came(bytes, now);
    }

    /// The client takes nothing of what is to be written.
    pub fn blocked(&self) {
        let now = self.now();
        self.0.state.borrow_mut().progress.blocked(now);
    }

    /// The client has taken everything.
    pub fn unblocked(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.progress.is_blocked() {
            state.progress.unblocked(self.now());
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// When its time is over, and why.
    pub fn deadline(&self) -> Option<(Monotonic, Over)> {
        self.0.state.borrow().progress.deadline(&self.shared().limits)
    }

    /// How long that is from now.
    pub fn until(&self, deadline: Monotonic) -> std::time::Duration {
        deadline.since(self.now())
    }

    /// Counts that it is over, and says what its client is to be told.
    pub fn is_over(&self, over: Over) -> Option<Problem> {
        self.shared().metrics.count_closed(over.name());
        self.0.state.borrow().progress.last_words(over, &self.shared().limits)
    }

    /// Whether no handler can have an answer for it now.
    pub fn expects_no_answer(&self) -> bool {
        self.0.state.borrow().progress.expects_no_answer()
    }

    /// A handler has a request of it.
    pub fn works(&self, has_body: bool) -> Work {
        self.0.state.borrow_mut().progress.works(has_body);
        self.shared().guests.borrow_mut().step_out(self);
        Work(self.clone())
    }

    /// The handler has the whole body.
    pub fn has_body(&self) {
        self.0.state.borrow_mut().progress.has_body();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let connection = &self.0;
        let now = connection.now();
        {
            let mut state = connection.0.state.borrow_mut();
            state.progress.answered(now);
            // It has another time from here on, and may read on.
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
        connection.shared().guests.borrow_mut().line_up(connection);
    }
}

impl Stay {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let shared = self.0.shared();
        shared.metrics.connections.dec();
        let mut guests = shared.guests.borrow_mut();
        guests.step_out(&self.0);
        let mut state = self.0.0.state.borrow_mut();
        if !state.gone {
            guests.count -= 1;
            // A handler that is still at work does not line it up again.
            state.gone = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::domain::Timestamp;

    use super::*;

    fn room(most: usize) -> Room {
        let limits = ConnectionLimits {
            head_bytes: 100,
            head_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
        };
        Room::new(limits, most, Clock::manual(Timestamp::from_millis(0)), Arc::default())
    }

    fn gone(stays: &[Stay]) -> Vec<bool> {
        stays.iter().map(|stay| stay.connection().is_gone()).collect()
    }

    #[test]
    fn who_has_asked_for_nothing_the_longest_goes_first() {
        let room = room(3);
        let mut stays: Vec<Stay> = (0..3).map(|_| room.enter()).collect();
        // The first one asks, and is behind the others from then on.
        drop(stays[0].connection().works(false));
        stays.push(room.enter());
        assert_eq!(gone(&stays), [false, true, false, false]);
        stays.push(room.enter());
        assert_eq!(gone(&stays), [false, true, true, false, false]);
        // What has ended makes room.
        stays.pop();
        stays.push(room.enter());
        assert_eq!(gone(&stays), [false, true, true, false, false]);
    }

    #[test]
    fn whoever_is_worked_for_stays() {
        let room = room(2);
        let stays: Vec<Stay> = (0..2).map(|_| room.enter()).collect();
        let work: Vec<Work> = stays.iter().map(|stay| stay.connection().works(true)).collect();
        let third = room.enter();
        assert_eq!(gone(&stays), [false, false]);
        assert!(!third.connection().is_gone(), "nobody could go");
        let fourth = room.enter();
        assert!(third.connection().is_gone() && !fourth.connection().is_gone());
        drop(work);
        let _fifth = room.enter();
        assert_eq!((gone(&stays), fourth.connection().is_gone()), (vec![false, false], true), "by when they waited");
    }

    #[test]
    fn an_ended_connection_leaves_nothing_behind() {
        let room = room(2);
        let stay = room.enter();
        let work = stay.connection().works(false);
        drop(stay);
        drop(work);
        let guests = room.0.guests.borrow();
        assert_eq!((guests.count, guests.waiting.len()), (0, 0));
    }
}
