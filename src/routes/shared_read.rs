//! One read for all who ask at the same time. What is read, and what is made of
//! it, the callers say.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Shares readings of something that changes. Nobody is ever given a reading
/// that began before they asked.
pub struct SharedRead<T> {
    /// How many readings have begun.
    begun: AtomicU64,
    last: Mutex<Option<Reading<T>>>,
}

struct Reading<T> {
    number: u64,
    found: T,
}

impl<T> Default for SharedRead<T> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<T: Clone> SharedRead<T> {
    /// What somebody's reading found that began after this call did: another
    /// caller's, or this one's own. There is one at a time, so that whoever asks
    /// while one runs waits for its end, and shares the next with all the others
    /// who wait. A reading whose caller has gone away is nobody's.
    pub async fn read(&self, read: impl AsyncFnOnce() -> T) -> T {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some(reading) = last.as_ref().filter(|reading| reading.number > begun_before) {
            return reading.found.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let found = read().await;
        *last = Some(Reading { number, found: found.clone() });
        found
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    /// Readings that end when the test says so, and are numbered.
    #[derive(Default)]
    struct Readings {
        shared: SharedRead<usize>,
        begun: Cell<usize>,
        ends: RefCell<Vec<oneshot::Sender<()>>>,
    }

    impl Readings {
        async fn ask(&self) -> usize {
            let read = async || {
                self.begun.set(self.begun.get() + 1);
                let number = self.begun.get();
                let (end, ended) = oneshot::channel();
                self.ends.borrow_mut().push(end);
                ended.await.expect("the test ends what it began");
                number
            };
            self.shared.read(read).await
        }

        fn end_the_last(&self) {
            self.ends.borrow_mut().pop().expect("one is running").send(()).expect("somebody waits for it");
        }
    }

    #[test]
    fn who_asks_while_one_runs_shares_the_next() {
        let readings = Readings::default();
        let mut first = pin!(readings.ask());
        assert_eq!(first.as_mut().now_or_never(), None);
        let (mut second, mut third) = (pin!(readings.ask()), pin!(readings.ask()));
        assert_eq!((second.as_mut().now_or_never(), third.as_mut().now_or_never()), (None, None));
        assert_eq!(readings.begun.get(), 1, "there is one at a time");

        readings.end_the_last();
        assert_eq!(first.as_mut().now_or_never(), Some(1));
        assert_eq!((second.as_mut().now_or_never(), readings.begun.get()), (None, 2), "the first is too old for them");
        readings.end_the_last();
        assert_eq!((second.now_or_never(), third.now_or_never()), (Some(2), Some(2)));

        let mut later = pin!(readings.ask());
        assert_eq!((later.as_mut().now_or_never(), readings.begun.get()), (None, 3), "what is past is not given again");
        readings.end_the_last();
        assert_eq!(later.now_or_never(), Some(3));
    }

    #[test]
    fn a_reading_whose_caller_goes_away_is_nobodys() {
        let readings = Readings::default();
        let mut gone = Box::pin(readings.ask());
        assert_eq!(gone.as_mut().now_or_never(), None);
        let mut waiting = pin!(readings.ask());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(gone);
        readings.ends.borrow_mut().clear();
        assert_eq!((waiting.as_mut().now_or_never(), readings.begun.get()), (None, 2));
        readings.end_the_last();
        assert_eq!(waiting.now_or_never(), Some(2));
    }
}
