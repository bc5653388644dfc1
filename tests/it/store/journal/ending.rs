//! When a commit fails, and when the journal ends.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use posthaste::store::{Accept, Accepted, CommitError, JournalError, Notice, StoreError, Transaction};
use tokio::sync::oneshot;

use super::{OPTIONS, Watched, acme_with_an_endpoint, events_in_store, finish, queued, run};
use crate::store::world::World;

for_every_backend! {
    a_store_that_is_busy_or_full_costs_one_batch
    an_unknown_outcome_ends_the_journal
    a_panic_ends_the_journal
    a_store_that_does_not_answer_is_not_waited_for
    finishing_writes_what_was_queued
}

fn a_store_that_is_busy_or_full_costs_one_batch(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let failures = vec![
            CommitError::RolledBack(StoreError::Busy("as if".into())),
            CommitError::RolledBack(StoreError::Full("as if".into())),
        ];
        let mut watched = Watched::start_failing(world, OPTIONS, failures, Box::new(|_| {}));
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let batch: Vec<_> =
            (0..3).map(|_| queued(journal.accept(world.request(&acme, &["campaign.updated"])))).collect();
        for _ in 0..3 {
            watched.gate.send(()).expect("the journal lives");
        }
        assert!(matches!(first.await, Err(JournalError::Store(StoreError::Busy(_)))));
        for answer in join_all(batch).await {
            assert!(matches!(answer, Err(JournalError::Store(StoreError::Full(_)))), "{answer:?}");
        }
        journal.accept(world.request(&acme, &["campaign.updated"])).await.expect("the next is served");
        assert_eq!(watched.failed.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    });
    assert_eq!(events_in_store(world, &acme).len(), 1);
}

/// Every call fails from now on, and the journal's end was told.
async fn assert_ended(mut watched: Watched, accept: Accept, told: &str) {
    let sentence = (&mut watched.failed).await.expect("the end is told");
    assert!(sentence.contains(told), "{sentence}");
    let late = watched.journal.accept(accept).await;
    assert!(matches!(late, Err(JournalError::Closed)), "{late:?}");
    assert!(matches!(watched.journal.change(|_| Ok(())).await, Err(JournalError::Closed)));
    finish(watched.thread).await;
}

fn an_unknown_outcome_ends_the_journal(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let failures = vec![CommitError::Unknown("the disk said nothing".into())];
        let mut watched = Watched::start_failing(world, OPTIONS, failures, Box::new(|_| {}));
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let behind = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.gate.send(()).expect("the journal lives");
        assert!(matches!(first.await, Err(JournalError::Unknown)));
        let behind = behind.await;
        assert!(matches!(behind, Err(JournalError::Unknown | JournalError::Closed)), "{behind:?}");
        assert_ended(watched, world.request(&acme, &["campaign.updated"]), "the disk said nothing").await;
    });
}

fn a_panic_ends_the_journal(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let beside = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        let panicking =
            |_: &mut dyn Transaction| -> Result<(), StoreError> { panic!("a verb panics, as a case asked") };
        let fault = queued(journal.change(panicking));
        for _ in 0..2 {
            watched.gate.send(()).expect("the journal lives");
        }
        first.await.expect("it was durable before");
        assert!(matches!(fault.await, Err(JournalError::Unknown)));
        assert!(matches!(beside.await, Err(JournalError::Unknown)));
        assert_ended(watched, world.request(&acme, &["campaign.updated"]), "panicked").await;
    });
    world.kill();
    assert_eq!(events_in_store(world, &acme).len(), 1, "what stood in the batch with it was undone");
}

fn finishing_writes_what_was_queued(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let heard: Arc<Mutex<usize>> = Arc::default();
    let births = Arc::clone(&heard);
    run(async {
        let observer = move |notices: Vec<Notice>| *births.lock().expect("no case panics here") += notices.len();
        let mut watched = Watched::start_failing(world, OPTIONS, Vec::new(), Box::new(observer));
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let rest: Vec<_> =
            (0..5).map(|_| queued(journal.accept(world.request(&acme, &["campaign.updated"])))).collect();
        drop(watched.gate);
        finish(watched.thread).await;
        for answer in join_all(rest.into_iter().chain([first])).await {
            assert!(matches!(answer, Ok(Accepted::New(_))), "{answer:?}");
        }
        let late = journal.accept(world.request(&acme, &["campaign.updated"])).await;
        assert!(matches!(late, Err(JournalError::Closed)), "{late:?}");
        assert!(watched.failed.await.is_err(), "an end that was asked for is no failure");
    });
    assert_eq!(*heard.lock().expect("no case panics here"), 6);
    assert_eq!(events_in_store(world, &acme).len(), 6);
}

fn a_store_that_does_not_answer_is_not_waited_for(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    // Its clock runs ahead whenever everybody waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let post = || journal.accept(world.request(&acme, &["campaign.updated"]));
        let swallowed = queued(post());
        watched.arrival().await;
        let swallowed = swallowed.await;
        assert!(matches!(swallowed, Err(JournalError::Lost)), "{swallowed:?}");
        let refused = post().await;
        assert!(matches!(refused, Err(JournalError::Full(_))), "nobody else waits as long: {refused:?}");
        let changed = journal.change(|_| Ok(())).await;
        assert!(matches!(changed, Err(JournalError::Lost)), "{changed:?}");
        // From here on somebody answers, in real time.
        tokio::time::resume();
        watched.pass();
        watched.arrival().await;
        watched.pass();
        // Both of them have been written after all, and it goes on.
        watched.pass();
        assert!(matches!(journal.change(|_| Ok(())).await, Ok(())));
        watched.pass();
        assert!(matches!(post().await, Ok(Accepted::New(_))));
        watched.open().await;
    });
    assert_eq!(events_in_store(world, &acme).len(), 2);
}
