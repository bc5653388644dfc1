//! What the owner of an ordered endpoint writes while another node ends deliveries of it
//! by hand: whoever is not the owner waits for nobody who might wait for him.

use std::sync::{Barrier, mpsc};
use std::thread;

use posthaste::domain::{DeliveryStatus, EndpointId, EventOrder};
use posthaste::store::{Placed, Placing, Record, Scope, Skipped, StoreError, Transaction, Verdict};

use super::PostgresPlace;
use crate::store::world::{World, in_sandbox};

const FIFO: EventOrder = EventOrder::Fifo;

/// Two nodes, and an endpoint whose deliveries are in order.
fn nodes<const COUNT: usize>() -> (World, World, Scope, EndpointId, [posthaste::domain::DeliveryId; COUNT]) {
    let place = PostgresPlace::new();
    let (mut owner, other) = (World::new(Box::new(place.as_node(1))), World::new(Box::new(place.as_node(2))));
    let acme = owner.partner("acme");
    let endpoint = owner.endpoint(&acme, "one", &["a.b"]).id;
    let deliveries = [(); COUNT].map(|()| owner.deliver(&acme, "a.b"));
    let placings = deliveries.map(|delivery| Placing { delivery, order_key: Some(7) });
    let mut order = |placings: &[Placing]| {
        owner.commit(|transaction| transaction.place_deliveries(endpoint, Some(&FIFO), placings, None))
    };
    assert_eq!(order(&[]), Placed::Undone { more: false });
    assert_eq!(order(&placings), Placed::Done(COUNT));
    (owner, other, acme, endpoint, deliveries)
}

/// One node is in the middle of a transaction while another commits.
fn meanwhile<T: Send>(
    one: &mut World,
    first: impl Fn(&mut dyn Transaction) -> Result<(), StoreError> + Send + Sync,
    rest: impl Fn(&mut dyn Transaction) -> Result<(), StoreError> + Send + Sync,
    another: impl FnOnce() -> T,
) -> T {
    let (began, begun) = mpsc::channel();
    let (go, on) = mpsc::channel();
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            one.commit(|transaction| {
                first(transaction)?;
                began.send(()).expect("the test waits for it");
                on.recv().expect("the test tells");
                rest(transaction)
            });
        });
        begun.recv().expect("it begins");
        let answer = another();
        go.send(()).expect("it waits");
        running.join().expect("its own assertions hold");
        answer
    })
}

#[test]
fn a_skip_does_not_wait_for_who_gives_places() {
    let (mut owner, mut other, acme, endpoint, [head, next]) = nodes();
    let elsewhere = owner.endpoint(&acme, "other", &["c.d"]).id;
    let skipped = meanwhile(
        &mut owner,
        |transaction| transaction.place_deliveries(endpoint, Some(&FIFO), &[], None).map(drop),
        // What another in the same commit wants, the skip has at its beginning.
        |transaction| transaction.pause_endpoint(&acme, elsewhere).map(drop),
        || other.commit(|transaction| transaction.skip_delivery(&acme, head)),
    );
    assert_eq!(skipped, Skipped::Busy);
    assert_eq!(other.commit(|transaction| transaction.skip_delivery(&acme, head)), Skipped::Done);
    assert!(owner.delivery(&acme, next).next_attempt_at.is_some(), "it is due");
}

#[test]
fn a_skip_does_not_wait_for_outcomes() {
    let (mut owner, mut other, acme, _, [head, second, third]) = nodes();
    let in_order = |record: Record| Record { is_ordered: true, ..record };
    let by_hand = in_order(owner.manual_attempt(second, 0, Verdict::Unchanged));
    let delivered = in_order(owner.attempt(head, 0, Verdict::Delivered));
    owner.commit(|transaction| transaction.request_attempt(second));
    let skipped = meanwhile(
        &mut owner,
        |transaction| transaction.record(&[&by_hand]).map(drop),
        |transaction| transaction.record(&[&delivered]).map(drop),
        || other.commit(|transaction| transaction.skip_delivery(&acme, third)),
    );
    assert_eq!(skipped, Skipped::Busy);
    assert!(other.delivery(&acme, second).next_attempt_at.is_some(), "it is due");
}

#[test]
fn what_cannot_be_ended_now_costs_nobody_else_a_commit() {
    let (mut owner, mut other, acme, _, [head]) = nodes();
    let expired = meanwhile(
        &mut other,
        |transaction| transaction.skip_delivery(&acme, head).map(|skipped| assert_eq!(skipped, Skipped::Done)),
        |_| Ok(()),
        || {
            let request = owner.request(&acme, &["c.d"]);
            owner.commit(|transaction| {
                let expired = transaction.expire_delivery(head, None)?;
                transaction.accept(&[&request])?;
                Ok(expired)
            })
        },
    );
    assert_eq!(expired, None);
    let status = owner.delivery(&acme, head).status;
    assert!(matches!(status, DeliveryStatus::Discarded(_)), "{status}");
}

#[test]
fn two_nodes_that_end_each_others_deliveries_both_write() {
    let place = PostgresPlace::new();
    let (mut one, mut two) = (World::new(Box::new(place.as_node(1))), World::new(Box::new(place.as_node(2))));
    let acme = one.partner("acme");
    let boxed = in_sandbox(&acme);
    let mut line = |scope: &Scope| {
        let endpoint = one.endpoint(scope, "one", &["a.b"]).id;
        let deliveries = [(); 2].map(|()| one.deliver(scope, "a.b"));
        let placings: Vec<Placing> =
            (1..).zip(deliveries).map(|(key, delivery)| Placing { delivery, order_key: Some(key) }).collect();
        for placings in [&[][..], &placings] {
            one.commit(|transaction| transaction.place_deliveries(endpoint, Some(&FIFO), placings, None));
        }
        deliveries
    };
    let (mine, yours) = (line(&acme), line(&boxed));
    let in_order = |record: Record| Record { is_ordered: true, ..record };
    let my_record = in_order(one.attempt(mine[0], 0, Verdict::Delivered));
    let your_record = in_order(two.attempt(yours[0], 0, Verdict::Delivered));
    let both = Barrier::new(2);
    // Whoever begins anew may find the other one's commit still under way.
    let skip = |transaction: &mut dyn Transaction, scope: &Scope, delivery, begun: &mut bool| {
        let skipped = transaction.skip_delivery(scope, delivery)?;
        if !std::mem::replace(begun, true) {
            assert_eq!(skipped, Skipped::Done);
            both.wait();
        }
        Ok::<_, StoreError>(())
    };
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut begun = false;
            one.try_commit(|transaction| {
                skip(transaction, &boxed, yours[1], &mut begun)?;
                transaction.record(&[&my_record])
            })
        });
        let second = scope.spawn(|| {
            let mut begun = false;
            two.try_commit(|transaction| {
                skip(transaction, &acme, mine[1], &mut begun)?;
                transaction.record(&[&your_record])
            })
        });
        (first.join().expect("it ends"), second.join().expect("it ends"))
    });
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    let ended = [(&acme, mine[0]), (&boxed, yours[0])].map(|(scope, delivery)| one.delivery(scope, delivery).status);
    assert_eq!(ended, [DeliveryStatus::Delivered; 2]);
}
