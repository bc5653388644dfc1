//! Where an actor hears of what it does not await itself. One lock and one list
//! that is taken whole: there are ten thousand of these, and a channel keeps
//! blocks of room in each.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// The actor's end.
pub(super) struct Inbox<T>(Arc<Shared<T>>);

/// The other end, for any thread.
pub(super) struct Outbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    arrived: Mutex<Vec<T>>,
    waker: AtomicWaker,
}

impl<T> Shared<T> {
    fn arrived(&self) -> MutexGuard<'_, Vec<T>> {
        self.arrived.lock().expect("no holder of this lock can panic")
    }
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared { arrived: Mutex::default(), waker: AtomicWaker::new() }))
    }

    pub(super) fn outbox(&self) -> Outbox<T> {
        Outbox(Arc::clone(&self.0))
    }

    /// Everything that has arrived, in order. When that is nothing, the task is
    /// woken as soon as something does.
    pub(super) fn poll(&self, context: &Context<'_>) -> Vec<T> {
        // Before looking: what arrives in between must not go unnoticed.
        self.0.waker.register(context.waker());
        std::mem::take(&mut *self.0.arrived())
    }
}

impl<T> Outbox<T> {
    /// Puts something in. Nobody reads it when the actor is gone.
    pub(super) fn send(&self, item: T) {
        self.0.arrived().push(item);
        self.0.waker.wake();
    }
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_arrives_wakes_the_reader_and_is_taken_once_in_order() {
        let (inbox, bell) = (Inbox::new(), Arc::new(Bell::default()));
        let waker = Waker::from(Arc::clone(&bell));
        let context = Context::from_waker(&waker);
        assert!(inbox.poll(&context).is_empty());
        let outbox = inbox.outbox();
        thread::spawn(move || (0..100).for_each(|item| outbox.send(item))).join().expect("it sends");
        assert!(bell.0.load(Ordering::SeqCst) > 0);
        assert_eq!(inbox.poll(&context), (0..100).collect::<Vec<i32>>());
        assert!(inbox.poll(&context).is_empty());
    }
}
