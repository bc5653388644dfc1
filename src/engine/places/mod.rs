//! Who may have requests in flight when there is not room for all: a node's
//! places are shared among partners, within a partner among its endpoints, and
//! those that hang or fail never have more than half. This is the way to them
//! from every thread; who is to have the next one is decided in `book`.
//!
//! What a claimant says of itself (`claimant`) is what its actor knows; what it
//! does with its places is seen here (`claim`). Who waits, and in which order:
//! `partners`.

mod book;
mod claim;
mod claimant;
mod partners;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::domain::Monotonic;
use crate::metrics::Metrics;

use book::{Book, Grant};

pub use claimant::{Claimant, Held, Reputation, Standing, Urgency};

/// The node's places, cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    clock: Clock,
    metrics: Arc<Metrics>,
    office: Mutex<Office>,
}

struct Office {
    book: Book<oneshot::Sender<Place>>,
    is_closed: bool,
}

/// A place. Dropping it gives it back and says nothing of the endpoint.
pub struct Place {
    /// `None` once it has been given back.
    places: Option<Places>,
    grant: Grant,
}

impl Places {
    /// So many places.
    pub fn new(total: usize, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let office = Office { book: Book::new(total), is_closed: false };
        Self(Arc::new(Shared { clock, metrics, office: Mutex::new(office) }))
    }

    /// A place for this claimant, as soon as there is one that it may have.
    /// `None` when nothing is to begin any more.
    pub async fn take(&self, claimant: Claimant) -> Option<Place> {
        let granted = {
            let (mut office, now) = self.open();
            if office.is_closed {
                return None;
            }
            let book = &mut office.book;
            if let Some(grant) = book.try_take(&claimant, now) {
                self.show(book);
                return Some(self.place(grant));
            }
            let (sender, granted) = oneshot::channel();
            book.wait(&claimant, sender, oneshot::Sender::is_closed, now);
            self.show(book);
            granted
        };
        granted.await.ok()
    }

    /// A place for this claimant, if there is one that it may have now.
    pub fn try_take(&self, claimant: Claimant) -> Option<Place> {
        let (mut office, now) = self.open();
        if office.is_closed {
            return None;
        }
        let grant = office.book.try_take(&claimant, now)?;
        self.show(&office.book);
        Some(self.place(grant))
    }

    /// Gives no more places; who waits for one hears so.
    pub fn close(&self) {
        let (mut office, _) = self.open();
        office.is_closed = true;
        office.book.dismiss();
        self.show(&office.book);
    }

    /// Whether nothing is to begin any more.
    pub fn is_closed(&self) -> bool {
        self.open().0.is_closed
    }

    fn open(&self) -> (MutexGuard<'_, Office>, Monotonic) {
        let now = self.0.clock.now().monotonic;
        (self.0.office.lock().expect("no holder of this lock can panic"), now)
    }

    fn place(&self, grant: Grant) -> Place {
        Place { places: Some(self.clone()), grant }
    }

    fn give_back(&self, grant: Grant, outcome: Held) {
        let (mut office, now) = self.open();
        let book = &mut office.book;
        book.give_back(grant, outcome, now);
        while let Some((waiting, grant)) = book.serve(now) {
            if let Err(mut unwanted) = waiting.send(self.place(grant)) {
                // Its actor is gone. Dropping it as it is would lock this again.
                unwanted.places = None;
                book.give_back(grant, Held::Unknown, now);
            }
        }
        self.show(book);
    }

    fn show(&self, book: &Book<oneshot::Sender<Place>>) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.0.metrics.attempts_waiting.set(gauge(book.waiting()));
        self.0.metrics.attempts_in_trouble.set(gauge(book.held_in_trouble()));
    }
}

impl Place {
    /// Gives it back, and says what came of the attempt it was taken for.
    pub fn give_back(mut self, outcome: Held) {
        if let Some(places) = self.places.take() {
            places.give_back(self.grant, outcome);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back(self.grant, Held::Unknown);
        }
    }
}
