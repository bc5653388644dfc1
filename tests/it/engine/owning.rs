//! An engine that is one of several: it works for what it is granted, from when
//! it is told until it is told otherwise, refused, or finds it over by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use posthaste::cluster::{Hint, Move};
use posthaste::domain::{DeliveryStatus, EndpointId, Partition};
use posthaste::engine::{EngineOptions, SendTest, TestOutcome};
use posthaste::store::{Fence, Lease};

use super::house::{Answer, Call, House, Life, options, within};

const LONG: Duration = Duration::from_secs(3_600);

fn ok(_: &Call) -> Answer {
    Answer::Status(200)
}

fn later(_: &Call) -> Answer {
    Answer::Later
}

impl Life {
    /// Grants an endpoint's partition without saying so.
    fn grant(&self, endpoint: EndpointId, epoch: i64) -> Lease {
        let lease = Lease { partition: Partition::of(endpoint), epoch, fence: Some(Fence(epoch)) };
        self.engine.ownership.grant(lease, self.engine.clock.now().monotonic + LONG);
        self.know_everything();
        lease
    }

    /// All that was ever changed was seen long ago, by every node.
    fn know_everything(&self) {
        let now = self.engine.clock.now().monotonic;
        for at in [now, now + LONG] {
            self.engine.ownership.settings_seen(at, [i64::MAX; 2]);
        }
    }

    fn gain(&self, endpoint: EndpointId, epoch: i64) -> Lease {
        let lease = self.grant(endpoint, epoch);
        self.wire.moved(Move::Gained(vec![lease]));
        lease
    }

    fn lose(&self, lease: Lease) {
        self.wire.moved(Move::Lost(vec![lease]));
    }

    /// Does something as if another node had.
    async fn elsewhere<T>(&self, happening: impl Future<Output = T>) -> T {
        self.is_elsewhere.store(true, Ordering::Release);
        let done = happening.await;
        self.is_elsewhere.store(false, Ordering::Release);
        done
    }

    async fn freed(&mut self) -> Vec<Lease> {
        within(self.handed_over.recv()).await.expect("the engine lives as long as the test")
    }

    /// Waits until an attempt to an endpoint has begun, or waits for its place.
    async fn until_it_sends(&self, endpoint: EndpointId) {
        let sending = async {
            while self.inspect(endpoint).await.is_none_or(|snapshot| snapshot.in_flight == 0) {
                actix_rt::task::yield_now().await;
            }
        };
        within(sending).await;
    }

    fn attempt_counts(&self) -> Vec<u32> {
        self.deliveries().iter().map(|delivery| delivery.attempt_count).collect()
    }
}

#[test]
fn an_owner_that_may_not_have_heard_of_a_change_is_told_before_the_birth() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        assert_eq!(life.forwarded.try_recv(), Ok(Hint::Changed(endpoint)));
        life.post(1).await;
        assert_eq!(life.forwarded.try_recv(), Ok(Hint::Changed(endpoint)), "what the event was matched against is new");
        assert!(matches!(life.forwarded.try_recv(), Ok(Hint::Born { .. })));
        life.know_everything();
        life.post(1).await;
        assert!(matches!(life.forwarded.try_recv(), Ok(Hint::Born { .. })), "and now it is not");
    });
}

#[test]
fn only_what_is_owned_is_sent_and_the_owner_of_the_rest_is_told() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        assert_eq!(life.forwarded.try_recv(), Ok(Hint::Changed(endpoint)));
        life.know_everything();
        let event = life.post(1).await[0];
        let (delivery, sequence) = (life.delivery().id, Some(1));
        assert_eq!(life.forwarded.try_recv(), Ok(Hint::Born { endpoint, delivery, event, sequence }));
        life.ask_for_attempt(delivery).await;
        assert_eq!(life.forwarded.try_recv(), Ok(Hint::AttemptRequested(endpoint)));
        // What is not ours is not ours either when somebody thinks so.
        life.wire.hinted(vec![Hint::Born { endpoint, delivery, event, sequence }, Hint::Changed(endpoint)]);
        assert_eq!(life.inspect(endpoint).await, None);
        assert!(life.calls.try_recv().is_err());
        assert_eq!(life.engine.metrics.deliveries_created.get(), 1);
        assert_eq!(life.engine.bodies.held_bytes(), 0, "nobody here will send them");

        life.gain(endpoint, 1);
        assert_eq!(life.call().await.delivery, Some(delivery));
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        life.post(1).await;
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert!(life.forwarded.try_recv().is_err(), "the owner is this node");
    });
}

#[test]
fn a_lost_partition_is_left_as_it_stands() {
    House::new().share(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = life.gain(endpoint, 1);
        life.post(1).await;
        let call = life.call().await;
        life.lose(lease);
        call.until_dropped().await;
        life.post(1).await;
        assert_eq!(life.inspect(endpoint).await, None);
        assert!(life.calls.try_recv().is_err());
        assert_eq!(life.attempt_counts(), [0, 0], "what was dropped has no outcome");
        assert_eq!(life.engine.metrics.endpoint_actor_panics.get(), 0);

        life.gain(endpoint, 2);
        for call in [life.call().await, life.call().await] {
            assert_eq!(call.number, 1);
            call.answer(200);
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn a_lease_that_runs_out_is_over_without_a_word_and_renewed_it_goes_on() {
    House::new().share(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = life.gain(endpoint, 1);
        life.post(1).await;
        let call = life.call().await;
        let now = life.engine.clock.now().monotonic;
        life.engine.ownership.grant(lease, now + Duration::from_millis(50));
        call.until_dropped().await;
        life.until_at_rest(endpoint).await;
        assert_eq!(life.attempt_counts(), [0]);
        life.grant(endpoint, 1);
        life.call().await.answer(200);
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn nothing_begins_by_a_lease_that_is_not_trusted_however_late_anyone_notices() {
    let narrow = EngineOptions { max_in_flight: 1, ..options() };
    House::new().share(narrow, later, async |life: &mut Life| {
        let first = life.endpoint("first", |settings| settings.max_concurrency = 1).await;
        life.gain(first, 1);
        life.post(1).await;
        let call = life.call().await;
        let second = life.endpoint("second", |_| {}).await;
        let lease = life.gain(second, 2);
        if lease.partition == Partition::of(first) {
            // They share a partition, one time in 256: there is nothing to see.
            return;
        }
        life.post(1).await;
        // Its attempt waits for the place that the other one has.
        life.until_it_sends(second).await;
        life.engine.ownership.withdraw(&lease);
        call.answer(200);
        let next = life.call().await;
        assert!(next.url.ends_with("/first"), "{}", next.url);
    });
}

#[test]
fn a_hand_over_waits_for_what_is_in_flight_and_begins_nothing() {
    let narrow = EngineOptions { max_in_flight: 1, ..options() };
    House::new().share(narrow, later, async |life: &mut Life| {
        let endpoints = [life.endpoint("a", |_| {}).await, life.endpoint("b", |_| {}).await];
        let leases: Vec<Lease> = endpoints.iter().map(|endpoint| life.gain(*endpoint, 1)).collect();
        life.post(1).await;
        let call = life.call().await;
        // One has the only place, the other waits for it.
        for endpoint in endpoints {
            life.until_it_sends(endpoint).await;
        }
        life.wire.moved(Move::HandOver(leases.clone()));
        life.post(1).await;
        life.until_heard().await;
        assert!(life.handed_over.try_recv().is_err(), "a request is in flight");
        call.answer(200);
        // Each partition as soon as it is free.
        let mut freed = life.freed().await;
        while freed.len() < leases.len() {
            freed.extend(life.freed().await);
        }
        assert!(leases.iter().all(|lease| freed.contains(lease)), "{freed:?}");
        let delivered = life.deliveries().iter().filter(|delivery| delivery.attempt_count == 1).count();
        assert_eq!((delivered, life.deliveries().len()), (1, 4), "its outcome was written before");
        assert!(life.calls.try_recv().is_err());
        assert!(leases.iter().all(|lease| !life.engine.ownership.trusts(lease)));
    });
}

#[test]
fn a_hand_over_cuts_off_what_hangs() {
    House::new().share(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = life.gain(endpoint, 1);
        life.post(1).await;
        let call = life.call().await;
        let begun = life.engine.clock.now().monotonic;
        life.wire.moved(Move::HandOver(vec![lease]));
        call.until_dropped().await;
        assert_eq!(life.freed().await, [lease]);
        let took = life.engine.clock.now().monotonic.since(begun);
        assert!(took >= Duration::from_secs(2), "{took:?}");
        assert_eq!(life.attempt_counts(), [0]);
        assert_eq!(life.inspect(endpoint).await, None);
    });
}

#[test]
fn a_lease_that_ends_during_its_hand_over_is_over_at_once() {
    House::new().share(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = life.gain(endpoint, 1);
        life.post(1).await;
        let call = life.call().await;
        let begun = life.engine.clock.now().monotonic;
        life.wire.moved(Move::HandOver(vec![lease]));
        life.lose(lease);
        call.until_dropped().await;
        let took = life.engine.clock.now().monotonic.since(begun);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(life.freed().await, [lease]);
    });
}

#[test]
fn nothing_to_wait_for_is_handed_over_at_once_and_may_come_back() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = life.gain(endpoint, 1);
        life.wire.moved(Move::HandOver(vec![lease]));
        assert_eq!(life.freed().await, [lease]);
        life.post(1).await;
        life.until_heard().await;
        assert!(life.calls.try_recv().is_err());
        life.gain(endpoint, 3);
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

/// Moves, and events in between, cross each other on the way.
#[test]
fn a_partition_that_comes_and_goes_loses_nothing() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let mut lease = life.gain(endpoint, 1);
        for epoch in 2..40 {
            life.post(1).await;
            match epoch % 3 {
                0 => life.lose(lease),
                1 => life.wire.moved(Move::HandOver(vec![lease])),
                _ => {}
            }
            lease = life.gain(endpoint, epoch);
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert_eq!(life.attempt_counts(), [1; 38]);
    });
}

#[test]
fn a_change_made_elsewhere_holds_for_the_next_attempt_and_wakes_who_was_held() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let live = life.endpoint("before", |_| {}).await;
        life.gain(live, 1);
        life.post(1).await;
        life.call().await;
        life.elsewhere(life.change_endpoint(live, |settings| settings.url = "https://example.com/after".to_owned()))
            .await;
        life.wire.moved(Move::Changed(vec![live]));
        life.post(1).await;
        assert!(life.call().await.url.ends_with("/after"));

        let held = life.endpoint("held", |settings| settings.enabled = false).await;
        life.elsewhere(life.post(1)).await;
        life.call().await;
        life.gain(held, 2);
        life.elsewhere(life.change_endpoint(held, |settings| settings.enabled = true)).await;
        life.wire.moved(Move::Changed(vec![held]));
        assert!(life.call().await.url.ends_with("/held"));
    });
}

#[test]
fn what_was_born_elsewhere_is_found_without_a_hint() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        life.gain(endpoint, 1);
        life.until_heard().await;
        // First by nobody's actor, then by a live one that had not heard of it.
        for round in 1..=20 {
            let events = life.elsewhere(life.post(2)).await;
            let found = [life.call().await.event, life.call().await.event];
            assert!(events.iter().all(|event| found.contains(event)), "round {round}");
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert_eq!(life.attempt_counts(), [1; 40]);
        assert!(life.calls.try_recv().is_err());
    });
}

#[test]
fn what_was_born_elsewhere_goes_out_when_it_is_hinted_at_and_only_once() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        life.gain(endpoint, 1);
        for round in 1..=20 {
            let event = life.elsewhere(life.post(1)).await[0];
            let delivery = life.deliveries()[0].id;
            let sequence = Some(round);
            life.wire.hinted(vec![Hint::Born { endpoint, delivery, event, sequence }]);
            let call = life.call().await;
            assert_eq!((call.delivery, call.sequence), (Some(delivery), sequence), "round {round}");
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert_eq!(life.attempt_counts(), [1; 20]);
        let delivery = life.deliveries()[0].id;
        life.elsewhere(life.ask_for_attempt(delivery)).await;
        life.wire.hinted(vec![Hint::AttemptRequested(endpoint)]);
        let call = life.call().await;
        assert_eq!((call.delivery, call.number), (Some(delivery), 2));
    });
}

#[test]
fn a_refused_outcome_ends_the_partition_for_all_its_endpoints() {
    House::new().share(options(), later, async |life: &mut Life| {
        let mut known: Vec<EndpointId> = Vec::new();
        let (first, second) = loop {
            let next = life.endpoint(&format!("e{}", known.len()), |_| {}).await;
            if let Some(other) = known.iter().find(|other| Partition::of(**other) == Partition::of(next)) {
                break (*other, next);
            }
            known.push(next);
        };
        let lease = life.gain(first, 1);
        life.post(1).await;
        let (refused, other) = (life.call().await, life.call().await);
        life.is_fenced.store(true, Ordering::Release);
        refused.answer(200);
        other.until_dropped().await;
        for endpoint in [first, second] {
            life.until_at_rest(endpoint).await;
        }
        assert!(!life.engine.ownership.trusts(&lease));
        let metrics = &life.engine.metrics;
        assert_eq!((metrics.fenced_writes.get(), metrics.endpoint_actor_panics.get()), (1, 0));
        assert!(life.attempt_counts().iter().all(|count| *count == 0));
        life.post(1).await;
        life.until_heard().await;
        assert!(life.calls.try_recv().is_err());
    });
}

#[test]
fn settings_that_nobody_looked_at_lately_are_not_acted_on() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let lease = Lease { partition: Partition::of(endpoint), epoch: 1, fence: Some(Fence(1)) };
        let now = life.engine.clock.now().monotonic;
        life.engine.ownership.grant(lease, now + LONG);
        // A clock that has been running for less than that has not seen them either.
        within(async {
            while life.engine.ownership.may_send(&lease) {
                actix_rt::task::yield_now().await;
            }
        })
        .await;
        life.wire.moved(Move::Gained(vec![lease]));
        life.post(1).await;
        life.until_heard().await;
        let tried = async {
            while life.inspect(endpoint).await.is_none_or(|snapshot| snapshot.in_flight > 0 || !snapshot.more_in_store)
            {
                actix_rt::task::yield_now().await;
            }
        };
        within(tried).await;
        assert!(life.calls.try_recv().is_err());
        life.engine.ownership.settings_seen(life.engine.clock.now().monotonic + LONG, [i64::MAX; 2]);
        life.call().await;
    });
}

#[test]
fn a_test_is_sent_by_any_node() {
    House::new().share(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        let event = life.post(1).await[0];
        let test = SendTest {
            endpoint,
            event,
            event_type: "thing.happened".parse().expect("a plain name"),
            body: Bytes::from_static(b"{}"),
        };
        let outcome = life.supervisor.send(test).await.expect("the supervisor lives");
        assert!(matches!(outcome, TestOutcome::Attempted(_)), "{outcome:?}");
        assert_eq!(life.call().await.delivery, None);
        assert_eq!((life.inspect(endpoint).await, life.attempt_counts()), (None, vec![0]));
    });
}
