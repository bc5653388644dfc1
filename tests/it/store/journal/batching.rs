//! What one commit holds, who is refused, who is told, and when.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{join_all, join3};
use posthaste::domain::EventId;
use posthaste::store::journal::JournalOptions;
use posthaste::store::{Accept, JournalError, Notice, Recorded, StoreError, Transaction, Verdict};
use tokio::sync::mpsc as async_mpsc;

use super::{OPTIONS, Watched, acme_with_an_endpoint, crowd, events_in_store, queued, run};
use crate::store::world::{World, events_of, new_endpoint, settings};

for_every_backend! {
    what_queues_up_during_a_commit_is_one_commit
    a_commit_serves_so_many_callers_and_no_more
    a_commit_makes_so_many_deliveries_and_no_more
    an_idle_journal_commits_at_once
    a_full_queue_refuses_and_writes_nothing
    an_outcome_waits_for_room
    bytes_that_wait_have_a_limit
    a_broken_rule_costs_only_its_own_caller
    observers_hear_of_a_commit_before_callers_do
    changes_of_a_batch_come_before_its_events
    a_caller_who_leaves_is_served_all_the_same
}

fn what_queues_up_during_a_commit_is_one_commit(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let deliveries: Vec<_> = (0..10).map(|_| world.deliver(&acme, "campaign.created")).collect();
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let accepts: Vec<_> =
            (0..50).map(|_| queued(journal.accept(world.request(&acme, &["campaign.updated"])))).collect();
        let records: Vec<_> = deliveries
            .iter()
            .map(|delivery| queued(journal.record(Arc::new(world.attempt(*delivery, 0, Verdict::Delivered)))))
            .collect();
        assert_eq!(watched.open().await, 1, "all that queued up meanwhile");
        first.await.expect("durable");
        let accepted: Vec<EventId> = join_all(accepts)
            .await
            .into_iter()
            .flat_map(|answer| events_of(answer.expect("durable")))
            .map(|event| event.id)
            .collect();
        assert!(accepted.is_sorted() && accepted.len() == 50, "in the order they were queued");
        for recorded in join_all(records).await {
            assert!(matches!(recorded, Ok(Recorded::Written(_))), "{recorded:?}");
        }
    });
    assert_eq!(events_in_store(world, &acme).len(), 10 + 51);
}

fn a_commit_serves_so_many_callers_and_no_more(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, JournalOptions { batch: 8, ..OPTIONS });
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let rest: Vec<_> =
            (0..20).map(|_| queued(journal.accept(world.request(&acme, &["campaign.updated"])))).collect();
        assert_eq!(watched.open().await, 3, "8, 8 and 4");
        first.await.expect("durable");
        assert!(join_all(rest).await.iter().all(Result::is_ok));
    });
}

fn a_commit_makes_so_many_deliveries_and_no_more(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let crowd = crowd(world, &acme, 1_000);
    let request = || Accept { subscriptions: Arc::clone(&crowd), ..world.request(&acme, &["campaign.updated"]) };
    let requests: Vec<Accept> = (0..12).map(|_| request()).collect();
    let small = world.request(&acme, &["campaign.updated"]);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(small));
        watched.arrival().await;
        let rest: Vec<_> = requests.into_iter().map(|request| queued(journal.accept(request))).collect();
        assert_eq!(watched.open().await, 2, "eight of a thousand deliveries, and four");
        first.await.expect("durable");
        assert!(join_all(rest).await.iter().all(Result::is_ok));
    });
}

fn an_idle_journal_commits_at_once(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let watched = Watched::start(world, OPTIONS);
        for _ in 0..5 {
            watched.gate.send(()).expect("the journal lives");
            watched.journal.accept(world.request(&acme, &["campaign.updated"])).await.expect("durable");
        }
        assert_eq!(watched.open().await, 5);
    });
}

fn a_full_queue_refuses_and_writes_nothing(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, JournalOptions { queue: 3, ..OPTIONS });
        let journal = watched.journal.clone();
        let mut let_in = vec![queued(journal.accept(world.request(&acme, &["campaign.updated"])))];
        watched.arrival().await;
        for _ in 0..3 {
            let_in.push(queued(journal.accept(world.request(&acme, &["campaign.updated"]))));
        }
        for _ in 0..2 {
            let refused = journal.accept(world.request(&acme, &["campaign.refused"])).await;
            assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        }
        watched.open().await;
        assert!(join_all(let_in).await.iter().all(Result::is_ok));
    });
    assert_eq!(events_in_store(world, &acme).len(), 4);
}

fn an_outcome_waits_for_room(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let delivery = world.deliver(&acme, "campaign.created");
    run(async {
        let mut watched = Watched::start(world, JournalOptions { queue: 1, ..OPTIONS });
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let second = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        let outcome = queued(journal.record(Arc::new(world.attempt(delivery, 0, Verdict::Delivered))));
        for _ in 0..3 {
            watched.gate.send(()).expect("the journal lives");
        }
        let (first, second, outcome) = join3(first, second, outcome).await;
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(outcome, Ok(Recorded::Written(_))), "{outcome:?}");
    });
}

fn bytes_that_wait_have_a_limit(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, JournalOptions { queue_bytes: 100, ..OPTIONS });
        let journal = watched.journal.clone();
        let sized = |bytes: usize| {
            let mut request = world.request(&acme, &["campaign.updated"]);
            request.events[0].body = Bytes::from(vec![b'x'; bytes]);
            request
        };
        let first = queued(journal.accept(sized(60)));
        watched.arrival().await;
        let second = queued(journal.accept(sized(40)));
        let refused = journal.accept(sized(1)).await;
        assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        let too_large = journal.accept(sized(101)).await;
        assert!(matches!(too_large, Err(JournalError::Full(_))), "{too_large:?}");
        watched.gate.send(()).expect("the journal lives");
        watched.gate.send(()).expect("the journal lives");
        first.await.expect("durable");
        second.await.expect("durable");

        // Whoever has been answered has left its room to the next.
        for _ in 0..50 {
            watched.gate.send(()).expect("the journal lives");
            journal.accept(sized(100)).await.expect("there is room as soon as the last is answered");
        }
    });
    assert_eq!(events_in_store(world, &acme).len(), 52);
}

fn a_broken_rule_costs_only_its_own_caller(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let deliveries = [world.deliver(&acme, "campaign.created"), world.deliver(&acme, "campaign.created")];
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let broken = |_: &mut dyn Transaction| Err::<(), _>(StoreError::Constraint("as if".into()));
        let new = new_endpoint(&acme, settings("late", &["order.*"]));
        let one = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        let fault = queued(journal.change(broken));
        let unreadable = |_: &mut dyn Transaction| Err::<(), _>(StoreError::Corrupt("as if".into()));
        let third_fault = queued(journal.change(unreadable));
        let keyless = |_: &mut dyn Transaction| Err::<(), _>(StoreError::Configuration("as if".into()));
        let fourth_fault = queued(journal.change(keyless));
        let two = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        let outcome = queued(journal.record(Arc::new(world.attempt(deliveries[0], 0, Verdict::Delivered))));
        let other_fault = queued(journal.record(Arc::new(world.attempt(deliveries[1], 0, Verdict::Unchanged))));
        let change = queued(journal.change(move |transaction| transaction.create_endpoint(&new)));
        let three = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.open().await;

        assert!(matches!(fault.await, Err(JournalError::Store(StoreError::Constraint(_)))));
        assert!(matches!(third_fault.await, Err(JournalError::Store(StoreError::Corrupt(_)))));
        assert!(matches!(fourth_fault.await, Err(JournalError::Store(StoreError::Configuration(_)))));
        assert!(matches!(other_fault.await, Err(JournalError::Store(StoreError::Constraint(_)))));
        assert!(matches!(outcome.await, Ok(Recorded::Written(_))));
        change.await.expect("durable").expect("nothing stands against it");
        let accepted: Vec<EventId> = join_all([first, one, two, three])
            .await
            .into_iter()
            .flat_map(|answer| events_of(answer.expect("durable")))
            .map(|event| event.id)
            .collect();
        assert!(accepted.is_sorted(), "they keep their order");
    });
    assert_eq!(events_in_store(world, &acme).len(), 2 + 4);
    assert_eq!(world.delivery(&acme, deliveries[0]).attempt_count, 1);
    assert_eq!(world.delivery(&acme, deliveries[1]).attempt_count, 0);
}

fn observers_hear_of_a_commit_before_callers_do(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let store = Arc::clone(world.store());
    let (heard_sender, mut heard) = async_mpsc::unbounded_channel();
    let (leave, waits) = mpsc::channel::<()>();
    let scope = acme.clone();
    let observer = move |notices: Vec<Notice>| {
        for notice in notices {
            let Notice::Born(birth) = notice else { panic!("one was born: {notice:?}") };
            let durable = store.event(&scope, birth.payload.event).expect("readable").is_some();
            heard_sender.send((birth.payload.event, durable)).expect("the case waits");
        }
        let _ = waits.recv();
    };
    run(async {
        let watched = Watched::start_failing(world, OPTIONS, Vec::new(), Box::new(observer));
        watched.gate.send(()).expect("the journal lives");
        let mut call = queued(watched.journal.accept(world.request(&acme, &["campaign.updated"])));
        let (event, durable) = heard.recv().await.expect("the observer lives");
        assert!(durable, "committed before anybody hears of it");
        assert!(call.as_mut().now_or_never().is_none(), "the caller hears of it after the observer");
        leave.send(()).expect("the observer waits");
        assert_eq!(events_of(call.await.expect("durable"))[0].id, event);
        drop(leave);
    });
}

fn changes_of_a_batch_come_before_its_events(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let before = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        let new = new_endpoint(&acme, settings("second", &["*"]));
        let change = queued(journal.change(move |transaction| transaction.create_endpoint(&new)));
        watched.open().await;
        change.await.expect("durable").expect("nothing stands against it");
        assert_eq!(events_of(first.await.expect("durable"))[0].deliveries, 1);
        assert_eq!(events_of(before.await.expect("durable"))[0].deliveries, 2);
    });
}

fn a_caller_who_leaves_is_served_all_the_same(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let first = queued(watched.journal.accept(world.request(&acme, &["campaign.updated"])));
        drop(first);
        watched.arrival().await;
        drop(queued(watched.journal.accept(world.request(&acme, &["campaign.updated"]))));
        watched.open().await;
    });
    assert_eq!(events_in_store(world, &acme).len(), 2);
}
