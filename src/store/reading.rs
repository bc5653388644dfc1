//! The threads that read. A few of them for the whole node, as many as the store
//! has readers: who waits for one waits as a task. The runtimes' own pools would
//! have a thread for each that waits, and each arbiter a pool of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::store::StoreError;

type Job = Box<dyn FnOnce() + Send>;

/// Runs reads, in the order they were asked for. Its threads end when it is
/// dropped and all that was asked for has been done.
pub struct ReadPool {
    jobs: Sender<Job>,
}

impl ReadPool {
    /// Starts the threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Runs one read and waits for its answer as a task. A read whose caller has
    /// gone away before its turn is not made.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move || {
            if !reply.is_closed() {
                drop(reply.send(read()));
            }
        };
        // The threads outlive the sender, which this holds.
        let _ = self.jobs.send(Box::new(job));
        // A read that panicked has no answer: that must not pass for an empty one.
        answer.await.unwrap_or_else(|_| Err(StoreError::Stopped("a read panicked".into())))
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        // Nothing that can panic runs while this is held.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // The panic has been reported by its hook, and it is the caller's.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(job))),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time") })
    }

    #[test]
    fn as_many_run_at_once_as_there_are_threads() {
        let pool = ReadPool::start(3).expect("three threads");
        let together = Arc::new(Barrier::new(3));
        let reads = (0..9).map(|number| {
            let together = Arc::clone(&together);
            pool.run(move || {
                together.wait();
                Ok(number)
            })
        });
        let answers: Vec<i32> =
            block_on(join_all(reads)).into_iter().map(|answer| answer.expect("it answers")).collect();
        assert_eq!(answers, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_read() {
        let pool = ReadPool::start(1).expect("a thread");
        let (gate, made) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let held = Arc::clone(&gate);
        let mut first = Box::pin(pool.run(move || {
            held.wait();
            Ok(())
        }));
        assert!(first.as_mut().now_or_never().is_none());
        for _ in 0..100 {
            let made = Arc::clone(&made);
            let read = pool.run(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            assert!(read.now_or_never().is_none());
        }
        gate.wait();
        block_on(pool.run(|| Ok(()))).expect("the last in the queue");
        assert_eq!(made.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_panic_costs_one_read() {
        let pool = ReadPool::start(1).expect("a thread");
        let failed = block_on(pool.run::<()>(|| panic!("a read's own fault")));
        assert!(matches!(failed, Err(StoreError::Stopped(_))), "{failed:?}");
        assert_eq!(block_on(pool.run(|| Ok(7))).expect("the thread goes on"), 7);
    }
}
