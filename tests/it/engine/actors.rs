//! Deliveries on their way: sent, retried, held, found again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{DeliveryStatus, DiscardReason, EventId};
use posthaste::engine::{EngineOptions, SendTest, TestOutcome};
use posthaste::store::Notice;

use super::house::{Answer, Call, House, Life, options, schedule, within};

/// Waits without letting anything else on this thread happen.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
        }
    }
}

fn ok(_: &Call) -> Answer {
    Answer::Status(200)
}

fn refuse(_: &Call) -> Answer {
    Answer::Status(503)
}

fn later(_: &Call) -> Answer {
    Answer::Later
}

#[test]
fn an_event_is_sent_and_its_outcome_recorded() {
    House::new().live(options(), ok, async |life: &mut Life| {
        life.endpoint("a", |_| {}).await;
        let events = life.post(1).await;
        let call = life.call().await;
        assert_eq!((call.event, call.number, &call.body[..]), (events[0], 1, &b"{\"number\":0}"[..]));
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        let delivery = life.delivery();
        assert_eq!((call.delivery, delivery.attempt_count), (Some(delivery.id), 1));
        assert_eq!(life.attempts(delivery.id)[0].outcome.status_code, Some(200));
    });
}

#[test]
fn a_failing_delivery_is_retried_at_its_times_and_given_up() {
    House::new().live(options(), refuse, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.retry = schedule(&[20, 40])).await;
        life.post(1).await;
        let calls = [life.call().await, life.call().await, life.call().await];
        assert_eq!(calls.each_ref().map(|call| call.number), [1, 2, 3]);
        assert!(calls[1].at.since(calls[0].at) >= Duration::from_millis(20));
        assert!(calls[2].at.since(calls[1].at) >= Duration::from_millis(40));
        life.until(|life| life.all_are(DeliveryStatus::RetriesExhausted)).await;
        let delivery = life.delivery();
        let numbers: Vec<u32> = life.attempts(delivery.id).iter().map(|attempt| attempt.number).collect();
        assert_eq!((numbers, delivery.next_attempt_at), (vec![1, 2, 3], None));
    });
}

#[test]
fn a_panic_costs_one_endpoint_a_moment_and_the_others_nothing() {
    let panicked = AtomicBool::new(false);
    let answer = move |call: &Call| {
        if call.url.ends_with("/calm") {
            Answer::Later
        } else if panicked.swap(true, Ordering::Relaxed) {
            Answer::Status(200)
        } else {
            Answer::Panic
        }
    };
    // One thread for both.
    House::new().live(EngineOptions { arbiters: 1, ..options() }, answer, async |life: &mut Life| {
        life.endpoint("calm", |_| {}).await;
        life.post(1).await;
        let calm = life.call().await;
        life.endpoint("panicking", |_| {}).await;
        life.post(1).await;
        let mut calls = vec![life.call().await, life.call().await, life.call().await];
        let other = calls.remove(calls.iter().position(|call| call.url.ends_with("/calm")).expect("one for each"));
        calm.answer(200);
        other.answer(200);
        assert_eq!([calls[0].number, calls[1].number], [1, 1], "what was not recorded was not an attempt");
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert_eq!(life.deliveries().iter().map(|delivery| delivery.attempt_count).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(life.engine.metrics.endpoint_actor_panics.get(), 1);
        assert!(life.calls.try_recv().is_err());
    });
}

#[test]
fn an_actor_that_only_panics_is_not_started_by_every_event() {
    House::new().live(
        options(),
        |_| Answer::Panic,
        async |life: &mut Life| {
            life.endpoint("a", |settings| settings.max_concurrency = 1).await;
            life.post(1).await;
            let first = life.call().await;
            for _ in 0..50 {
                life.post(1).await;
            }
            let second = life.call().await;
            // A sleeper is woken a little before its time.
            assert!(second.at.since(first.at) >= Duration::from_millis(700), "{:?}", second.at.since(first.at));
            assert!(life.engine.metrics.endpoint_actor_panics.get() <= 2);
        },
    );
}

#[test]
fn an_actor_that_left_memory_comes_back_for_an_event() {
    let short = EngineOptions { passivate_after: Duration::from_millis(20), ..options() };
    House::new().live(short, ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        for round in 1..=3 {
            life.post(1).await;
            life.call().await;
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
            life.until_at_rest(endpoint).await;
            assert_eq!(life.deliveries().len(), round);
        }
    });
}

/// Resting and new events cross each other on the way again and again.
#[test]
fn no_request_is_cut_off_by_going_to_rest() {
    let restless = EngineOptions { passivate_after: Duration::from_millis(1), ..options() };
    House::new().live(restless, later, async |life: &mut Life| {
        for number in 0..50 {
            life.endpoint(&format!("e{number}"), |_| {}).await;
        }
        let mut seen = HashSet::new();
        let mut waiting = VecDeque::new();
        for _ in 0..60 {
            life.post(1).await;
            for _ in 0..50 {
                let call = life.call().await;
                assert!(seen.insert(call.delivery), "{} is sent twice", call.event);
                waiting.push_back(call);
                if waiting.len() > 10 {
                    let call: Call = waiting.pop_front().expect("ten are waiting");
                    call.answer(200);
                }
            }
        }
        waiting.into_iter().for_each(|call| call.answer(200));
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert!(life.calls.try_recv().is_err());
    });
}

/// Posts 1,000 events to one endpoint and checks that each is sent once.
fn flood(options: EngineOptions) {
    House::new().live(options, ok, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.max_concurrency = 8).await;
        let mut bodies: HashMap<EventId, Bytes> = HashMap::new();
        for _ in 0..10 {
            let events = life.post(100).await;
            let bodies_of = (0..100).map(|number| Bytes::from(format!("{{\"number\":{number}}}")));
            bodies.extend(events.into_iter().zip(bodies_of));
        }
        for _ in 0..1_000 {
            let call = life.call().await;
            assert_eq!(call.number, 1);
            assert_eq!(bodies.remove(&call.event), Some(call.body), "each event once, with its own bytes");
        }
        life.drain().await;
        assert!(life.all_are(DeliveryStatus::Delivered));
        assert_eq!(life.engine.bodies.held_bytes(), 0);
        assert!(life.calls.try_recv().is_err());
    });
}

#[test]
fn more_events_than_the_window_holds_are_all_sent_once() {
    flood(options());
}

#[test]
fn more_bytes_than_memory_holds_are_all_sent_once() {
    flood(EngineOptions { body_budget_bytes: 100, ..options() });
}

#[test]
fn each_endpoint_keeps_to_its_own_concurrency() {
    House::new().live(options(), later, async |life: &mut Life| {
        let names: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
        for name in &names {
            life.endpoint(name, |settings| settings.max_concurrency = 2).await;
        }
        life.post(10).await;
        // As many as may be, all in flight before the first is answered.
        let mut waiting = VecDeque::new();
        for number in 0..200 {
            if number >= 40 {
                let call: Call = waiting.pop_front().expect("40 are in flight");
                call.answer(200);
            }
            waiting.push_back(life.call().await);
        }
        waiting.into_iter().for_each(|call| call.answer(200));
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        for name in &names {
            assert_eq!(life.most_in_flight(name), 2, "{name}");
        }
    });
}

#[test]
fn a_disabled_endpoint_gets_nothing_until_it_is_enabled() {
    let short = EngineOptions { passivate_after: Duration::from_millis(20), ..options() };
    House::new().live(short, ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.enabled = false).await;
        life.post(10).await;
        life.until_at_rest(endpoint).await;
        assert!(life.calls.try_recv().is_err());
        assert!(life.all_are(DeliveryStatus::Held));
        life.change_endpoint(endpoint, |settings| settings.enabled = true).await;
        for _ in 0..10 {
            life.call().await;
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn a_deleted_endpoint_gets_nothing_more() {
    House::new().live(options(), refuse, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.retry = schedule(&[60_000])).await;
        life.post(1).await;
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::Retrying)).await;
        life.delete_endpoint(endpoint).await;
        life.until_at_rest(endpoint).await;
        assert!(life.all_are(DeliveryStatus::Discarded(DiscardReason::EndpointDeleted)));
        assert!(life.calls.try_recv().is_err());
    });
}

#[test]
fn an_attempt_asked_for_by_hand_is_made_at_once() {
    let answer = |call: &Call| Answer::Status(if call.number < 3 { 500 } else { 200 });
    House::new().live(options(), answer, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.retry = schedule(&[])).await;
        life.post(1).await;
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::RetriesExhausted)).await;
        let delivery = life.delivery().id;
        for (number, status) in [(2, DeliveryStatus::RetriesExhausted), (3, DeliveryStatus::Delivered)] {
            life.ask_for_attempt(delivery).await;
            assert_eq!(life.call().await.number, number);
            life.until(|life| life.delivery().attempt_count == number && life.all_are(status)).await;
        }
    });
}

#[test]
fn a_test_goes_past_whatever_waits_and_leaves_no_trace() {
    House::new().live(options(), ok, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.enabled = false).await;
        let event = life.post(1).await[0];
        let test = SendTest {
            endpoint,
            event,
            event_type: "thing.happened".parse().expect("a plain name"),
            body: Bytes::from_static(b"{}"),
        };
        let outcome = life.supervisor.send(test).await.expect("the supervisor lives");
        let TestOutcome::Attempted(attempt) = outcome else { panic!("{outcome:?}") };
        assert_eq!(attempt.outcome.status_code, Some(200));
        let call = life.call().await;
        assert_eq!((call.delivery, &call.body[..]), (None, &b"{}"[..]));
        assert_eq!(life.delivery().attempt_count, 0);
    });
}

/// The supervisor lives on this thread: as long as nothing is awaited, its
/// mailbox only fills.
#[test]
fn what_no_message_told_of_is_found_in_the_store() {
    House::new().live(options(), later, async |life: &mut Life| {
        let live = life.endpoint("live", |_| {}).await;
        life.post(1).await;
        let first = life.call().await;
        life.endpoint("asleep", |_| {}).await;
        for _ in 0..2_000 {
            life.wire.tell(vec![Notice::AttemptRequested(live)]);
        }
        let lost = life.engine.metrics.hints_lost.get();
        assert!(lost > 0, "the mailbox is full");
        let events = block_on(life.post(1));
        assert!(life.engine.metrics.hints_lost.get() > lost, "nobody was told of the event");
        for call in [life.call().await, life.call().await] {
            assert_eq!(call.event, events[0]);
            call.answer(200);
        }
        first.answer(200);
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn a_change_reaches_an_actor_whose_mailbox_was_full() {
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(Some(gate));
    let answer = move |_: &Call| match gate.lock().expect("no holder of this lock can panic").take() {
        Some(gate) => Answer::StandStill(gate),
        None => Answer::Status(200),
    };
    House::new().live(options(), answer, async |life: &mut Life| {
        let endpoint = life.endpoint("before", |_| {}).await;
        life.post(1).await;
        life.call().await;
        for _ in 0..200 {
            life.wire.tell(vec![Notice::AttemptRequested(endpoint)]);
        }
        life.change_endpoint(endpoint, |settings| settings.url = "https://example.com/after".to_owned()).await;
        life.until_heard().await;
        drop(open);
        let reached = async {
            loop {
                life.post(1).await;
                if life.call().await.url.ends_with("/after") {
                    return;
                }
            }
        };
        within(reached).await;
    });
}
