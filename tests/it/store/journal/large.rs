//! Accepts of more than a thousand deliveries: several commits, others in
//! between, and one moment at which all of it is there.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use posthaste::domain::{EndpointId, EventId};
use posthaste::store::journal::JournalOptions;
use posthaste::store::{
    Accept, Accepted, DeliveryFilter, JournalError, Lane, NewEndpoint, Notice, PageRequest, Recorded, Scope, Store,
    Verdict,
};

use super::{OPTIONS, Watched, acme_with_an_endpoint, crowd, events_in_store, queued, run};
use crate::store::world::{World, event, events_of, idempotency, new_endpoint, settings};

for_every_backend! {
    one_event_reaches_thousands_of_endpoints_in_chunks
    a_large_batch_is_accepted_whole_and_in_order
    large_ones_take_turns_and_small_ones_do_not_wait
    the_same_large_request_twice_is_one
    a_key_used_in_between_is_the_answer
    finishing_finishes_what_is_under_way_and_what_waits
    only_so_many_large_ones_wait
    a_large_one_that_nobody_waits_for_is_not_begun
}

pub(super) const MANY: usize = 2_500;

/// One endpoint that stands for many.
pub(super) fn large(world: &World, scope: &Scope, endpoints: usize) -> Accept {
    Accept { subscriptions: crowd(world, scope, endpoints), ..world.request(scope, &["campaign.updated"]) }
}

/// What the observer heard, in order.
type Heard = Arc<Mutex<Vec<(EndpointId, EventId)>>>;

fn listen(heard: &Heard) -> Box<dyn Fn(Vec<Notice>) + Send> {
    let heard = Arc::clone(heard);
    Box::new(move |notices| {
        let born = notices.iter().filter_map(|notice| match notice {
            Notice::Born(birth) => Some((birth.endpoint, birth.payload.event)),
            _ => None,
        });
        heard.lock().expect("no case panics here").extend(born);
    })
}

pub(super) fn listed(store: &Arc<dyn Store>, scope: &Scope) -> usize {
    let page = PageRequest { after: None, limit: 100_000 };
    store.deliveries(scope, &DeliveryFilter::default(), &page).expect("readable").items.len()
}

fn one_event_reaches_thousands_of_endpoints_in_chunks(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let earlier = world.deliver(&acme, "campaign.created");
    let new: Vec<NewEndpoint> = (1..MANY)
        .map(|number| NewEndpoint {
            most_endpoints: MANY,
            ..new_endpoint(&acme, settings(&number.to_string(), &["campaign.updated"]))
        })
        .collect();
    world.commit(|transaction| {
        new.iter().try_for_each(|new| {
            transaction.create_endpoint(new)?.expect("nothing stands against it");
            Ok(())
        })
    });
    let wanted = world.subscriptions(&acme).matching(&event("campaign.updated").event_type);
    assert_eq!(wanted.len(), MANY);
    let (first, last) = (wanted[0], wanted[MANY - 1]);
    let store = Arc::clone(world.store());
    let heard = Heard::default();
    let accepted = run(async {
        let mut watched = Watched::start_scripted(world, OPTIONS, Vec::new(), listen(&heard));
        let journal = watched.journal.clone();
        watched.pass();
        let small = events_of(journal.accept(world.request(&acme, &["order.paid"])).await.expect("durable"));
        watched.arrival().await;
        assert_eq!(small[0].deliveries, 1);
        assert_eq!(heard.lock().expect("no case panics here").len(), 1);

        let mut large = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        for turn in 0..2 {
            // Both come while a chunk stands at the gate, and are answered in
            // the commit behind it.
            let small = queued(journal.accept(world.request(&acme, &["order.paid"])));
            let outcome = queued(journal.record(Arc::new(world.attempt(earlier, turn, Verdict::RetryAt(world.now)))));
            watched.pass();
            watched.arrival().await;
            watched.pass();
            let (small, outcome) = join(small, outcome).await;
            assert_eq!(events_of(small.expect("durable"))[0].deliveries, 1);
            assert!(matches!(outcome, Ok(Recorded::Written(_))), "{outcome:?}");
            watched.arrival().await;
            assert!(large.as_mut().now_or_never().is_none(), "no answer before the sealing");
            let due = [first, last].map(|endpoint| store.due(endpoint, Lane::Fresh, None, 10).expect("readable").len());
            assert_eq!(due, [1 + turn as usize + 1, 0]);
            assert_eq!(listed(&store, &acme), 3 + turn as usize);
            assert_eq!(heard.lock().expect("no case panics here").len(), 2 + turn as usize);
        }
        // The third chunk is at the gate, and the sealing follows it.
        watched.pass();
        watched.arrival().await;
        assert!(large.as_mut().now_or_never().is_none(), "no answer before the sealing");
        assert_eq!((listed(&store, &acme), heard.lock().expect("no case panics here").len()), (4, 3));
        watched.pass();
        let accepted = events_of(large.await.expect("durable")).remove(0);
        assert_eq!(watched.open().await, 0, "three chunks and the sealing");
        accepted
    });
    assert_eq!(accepted.deliveries, MANY as u32);
    assert_eq!(listed(&store, &acme), 4 + MANY);
    let heard = heard.lock().expect("no case panics here");
    let births: Vec<EndpointId> = heard[3..].iter().map(|(endpoint, _)| *endpoint).collect();
    assert_eq!(births, wanted.to_vec(), "each once, in order");
    assert!(heard[3..].iter().all(|(_, event)| *event == accepted.id));
    assert_eq!(store.due(last, Lane::Fresh, None, 10).expect("readable").len(), 1);
}

fn a_large_batch_is_accepted_whole_and_in_order(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    for word in ["two", "three"] {
        world.endpoint(&acme, word, &["campaign.*"]);
    }
    let heard = Heard::default();
    let names: Vec<&str> = ["campaign.updated", "order.paid"].repeat(300);
    let request = world.request(&acme, &names);
    let accepted = run(async {
        let watched = Watched::start_scripted(world, OPTIONS, Vec::new(), listen(&heard));
        let journal = watched.journal.clone();
        let call = queued(journal.accept(request));
        // Nothing came before it, so that what an earlier process left is
        // looked for first.
        assert_eq!(watched.open().await, 1 + 2 + 1, "a look, two chunks, the sealing");
        events_of(call.await.expect("durable"))
    });
    assert!(accepted.is_sorted_by(|one, other| one.id < other.id));
    assert_eq!(accepted.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(accepted.iter().map(|event| event.deliveries).sum::<u32>(), 300 * 3 + 300);
    let heard: Vec<EventId> = heard.lock().expect("no case panics here").iter().map(|(_, event)| *event).collect();
    let expected = accepted.iter().flat_map(|event| vec![event.id; event.deliveries as usize]);
    assert_eq!(heard, expected.collect::<Vec<_>>());
    assert_eq!(listed(world.store(), &acme), 1_200);
}

fn large_ones_take_turns_and_small_ones_do_not_wait(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let mut one = queued(journal.accept(large(world, &acme, 1_500)));
        let mut two = queued(journal.accept(large(world, &acme, 1_500)));
        let small = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.pass();
        watched.pass();
        first.await.expect("durable");
        small.await.expect("before both of the large ones");
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
        for _ in 0..3 {
            watched.pass();
        }
        let one = events_of(one.await.expect("durable after two chunks and the sealing")).remove(0);
        assert!(two.as_mut().now_or_never().is_none(), "the other one is behind it");
        watched.open().await;
        let two = events_of(two.await.expect("durable")).remove(0);
        assert!(one.id < two.id);
        assert_eq!((one.deliveries, two.deliveries), (1_500, 1_500));
    });
}

fn the_same_large_request_twice_is_one(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.created"])));
        watched.arrival().await;
        let keyed = |request| Accept { idempotency: idempotency("k", request), ..large(world, &acme, MANY) };
        let calls: Vec<_> = [1, 1, 2].map(|request| queued(journal.accept(keyed(request)))).into();
        watched.open().await;
        first.await.expect("durable");
        let mut answers = join_all(calls).await.into_iter().map(|answer| answer.expect("durable"));
        let one = events_of(answers.next().expect("three answers"));
        let twin = answers.next().expect("three answers");
        assert!(matches!(&twin, Accepted::Repeated { events, .. } if *events == one), "{twin:?}");
        assert_eq!(answers.next(), Some(Accepted::KeyReused));
    });
    assert_eq!(events_in_store(world, &acme).len(), 2);
    assert_eq!(listed(world.store(), &acme), 1 + MANY);
}

fn a_key_used_in_between_is_the_answer(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    let heard = Heard::default();
    run(async {
        let mut watched = Watched::start_scripted(world, OPTIONS, Vec::new(), listen(&heard));
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.created"])));
        watched.arrival().await;
        let keyed = Accept { idempotency: idempotency("k", 1), ..large(world, &acme, MANY) };
        let call = queued(journal.accept(keyed));
        watched.pass();
        first.await.expect("durable");
        watched.arrival().await;
        let other = Accept { idempotency: idempotency("k", 2), ..world.request(&acme, &["campaign.created"]) };
        let other = queued(journal.accept(other));
        // The chunk at the gate, the other one, two chunks, the sealing.
        for _ in 0..5 {
            watched.pass();
        }
        events_of(other.await.expect("it came first in the end"));
        assert_eq!(call.await.expect("answered"), Accepted::KeyReused);
        for _ in 0..4 {
            watched.arrival().await;
        }
        for _ in 0..3 {
            watched.arrival().await;
            watched.pass();
        }
        assert_eq!(watched.open().await, 0, "undone in three slices");
    });
    assert_eq!(heard.lock().expect("no case panics here").len(), 2);
    assert_eq!((events_in_store(world, &acme).len(), listed(world.store(), &acme)), (2, 2));
    world.reopen();
    assert!(!world.commit(|transaction| transaction.has_unsealed()));
}

fn finishing_finishes_what_is_under_way_and_what_waits(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let under_way = queued(journal.accept(large(world, &acme, MANY)));
        // A look, and a chunk that stands at the gate.
        watched.arrival().await;
        watched.pass();
        watched.arrival().await;
        let rest: Vec<_> = (0..2).map(|_| queued(journal.accept(large(world, &acme, 1_500)))).collect();
        let small = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.open().await;
        for answer in join_all(rest.into_iter().chain([under_way, small])).await {
            assert!(matches!(answer, Ok(Accepted::New(_))), "{answer:?}");
        }
    });
    assert_eq!(events_in_store(world, &acme).len(), 4);
    assert_eq!(listed(world.store(), &acme), MANY + 3_000 + 1);
}

fn only_so_many_large_ones_wait(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, JournalOptions { queue: 2, ..OPTIONS });
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let mut let_in: Vec<_> = (0..2).map(|_| queued(journal.accept(large(world, &acme, 1_500)))).collect();
        watched.pass();
        first.await.expect("durable");
        // One is at the gate, one waits, and there is room for one.
        watched.arrival().await;
        let_in.push(queued(journal.accept(large(world, &acme, 1_500))));
        let refused = queued(journal.accept(large(world, &acme, 1_500)));
        watched.pass();
        let refused = refused.await;
        assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        watched.open().await;
        assert!(join_all(let_in).await.iter().all(Result::is_ok));
    });
    assert_eq!(events_in_store(world, &acme).len(), 4);
}

fn a_large_one_that_nobody_waits_for_is_not_begun(world: &mut World) {
    let acme = acme_with_an_endpoint(world);
    run(async {
        let mut watched = Watched::start(world, OPTIONS);
        let journal = watched.journal.clone();
        let first = queued(journal.accept(world.request(&acme, &["campaign.updated"])));
        watched.arrival().await;
        let given_up = queued(journal.accept(large(world, &acme, 1_500)));
        let wanted = queued(journal.accept(large(world, &acme, 1_500)));
        drop(given_up);
        watched.open().await;
        first.await.expect("durable");
        wanted.await.expect("durable");
    });
    assert_eq!(events_in_store(world, &acme).len(), 2);
    assert_eq!(listed(world.store(), &acme), 1_501);
}
