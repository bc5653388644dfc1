//! When an accept of more than a thousand deliveries fails half-way, or its
//! process ends: what was written of it goes, and nobody ever sees it.

use posthaste::store::{CommitError, JournalError, StoreError};

use super::large::{MANY, large, listed};
use super::{OPTIONS, Watched, acme_with_an_endpoint, events_in_store, finish, queued, run};
use crate::store::world::{World, events_of};

for_every_backend! {
    a_chunk_that_fails_costs_its_own_caller
    what_cannot_be_undone_now_is_undone_later
    what_a_killed_process_left_is_undone
    a_sealing_of_unknown_outcome_ends_the_journal
}

fn full() -> Option<CommitError> {
    Some(CommitError::RolledBack(StoreError::Full("as if".into())))
}

fn a_chunk_that_fails_costs_its_own_caller(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    // The first chunk, the second and the sealing, with what undoes them.
    for (failing, commits) in [(0, 1), (1, 4), (3, 7)] {
        let accepted_before = events_in_store(world, &acme).len();
        run(async {
            let mut script = vec![None; 1 + failing];
            script.push(full());
            let mut watched = Watched::start_scripted(world, OPTIONS, script, Box::new(|_| {}));
            let journal = watched.journal.clone();
            let first = queued(journal.accept(world.request(&acme, &["campaign.created"])));
            watched.arrival().await;
            let call = queued(journal.accept(large(world, &acme, MANY)));
            watched.pass();
            first.await.expect("durable");
            for _ in 0..commits {
                watched.arrival().await;
                watched.pass();
            }
            let failed = call.await;
            assert!(matches!(failed, Err(JournalError::Store(StoreError::Full(_)))), "{failed:?}");
            watched.pass();
            journal.accept(world.request(&acme, &["campaign.created"])).await.expect("the next is served");
            let commits = watched.open().await;
            assert_eq!(commits, 1, "what was to be undone is undone");
        });
        world.reopen();
        assert!(!world.commit(|transaction| transaction.has_unsealed()));
        assert_eq!(events_in_store(world, &acme).len(), accepted_before + 2);
        assert_eq!(listed(world.store(), &acme), accepted_before + 2);
    }
}

fn what_cannot_be_undone_now_is_undone_later(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        // A small one and a chunk; then nothing is written until undoing has
        // failed twice.
        let script = vec![None, None, full(), full(), full()];
        let mut watched = Watched::start_scripted(world, OPTIONS, script, Box::new(|_| {}));
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.created"])));
        watched.arrival().await;
        let failing = queued(journal.accept(large(world, &acme, MANY)));
        for _ in 0..4 {
            watched.pass();
        }
        first.await.expect("durable");
        let failed = failing.await;
        assert!(matches!(failed, Err(JournalError::Store(StoreError::Full(_)))), "{failed:?}");
        for _ in 0..3 {
            watched.arrival().await;
        }
        // Time stands still here: nothing is tried again but for somebody.
        watched.pass();
        let second = journal.accept(large(world, &acme, MANY)).await;
        assert!(matches!(second, Err(JournalError::Store(StoreError::Full(_)))), "{second:?}");
        watched.pass();
        journal.accept(world.request(&acme, &["campaign.created"])).await.expect("small ones go on");
        let third = queued(journal.accept(large(world, &acme, MANY)));
        // Two slices, three chunks, the sealing.
        for _ in 0..6 {
            watched.pass();
        }
        assert_eq!(events_of(third.await.expect("there is space again"))[0].deliveries, MANY as u32);
        assert_eq!(watched.open().await, 8);
    });
    assert_eq!((events_in_store(world, &acme).len(), listed(world.store(), &acme)), (3, 2 + MANY));
}

fn what_a_killed_process_left_is_undone(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let kept = world.accept(&acme, "campaign.created");
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let call = queued(journal.accept(large(world, &acme, MANY)));
        // A look, two chunks; the third stands at the gate.
        for _ in 0..3 {
            watched.arrival().await;
            watched.pass();
        }
        watched.arrival().await;
        world.kill();
        watched.open().await;
        call.await.expect("in the store that is gone");
    });
    assert_eq!(events_in_store(world, &acme), [kept.id]);
    assert_eq!(listed(world.store(), &acme), 1);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let call = queued(journal.accept(world.request(&acme, &["campaign.created"])));
        // The call, two full slices, and one that finds nothing more.
        for _ in 0..4 {
            watched.arrival().await;
            watched.pass();
        }
        call.await.expect("durable");
        assert_eq!(watched.open().await, 0);
    });
    world.reopen();
    assert!(!world.commit(|transaction| transaction.has_unsealed()));
    assert_eq!((events_in_store(world, &acme).len(), listed(world.store(), &acme)), (2, 2));
}

fn a_sealing_of_unknown_outcome_ends_the_journal(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut script = vec![None; 4];
        script.push(Some(CommitError::Unknown("the disk said nothing".into())));
        let mut watched = Watched::start_scripted(world, OPTIONS, script, Box::new(|_| {}));
        let journal = watched.journal.clone();
        let call = queued(journal.accept(large(world, &acme, MANY)));
        let behind = queued(journal.accept(large(world, &acme, MANY)));
        for _ in 0..5 {
            watched.pass();
        }
        assert!(matches!(call.await, Err(JournalError::Unknown)));
        assert!(matches!(behind.await, Err(JournalError::Unknown)));
        let sentence = (&mut watched.failed).await.expect("the end is told");
        assert!(sentence.contains("the disk said nothing"), "{sentence}");
        let late = journal.accept(large(world, &acme, MANY)).await;
        assert!(matches!(late, Err(JournalError::Closed)), "{late:?}");
        finish(watched.thread).await;
    });
    world.kill();
    assert_eq!((events_in_store(world, &acme).len(), listed(world.store(), &acme)), (0, 0));
}
