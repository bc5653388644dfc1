//! What is left where it stands when an engine stops, and goes on in the next.

use std::pin::pin;

use futures_util::poll;
use posthaste::domain::{DeliveryStatus, Timestamp};
use posthaste::engine::{Drain, EngineOptions};

use super::house::{Answer, Call, House, Life, options, schedule, within};

fn later(_: &Call) -> Answer {
    Answer::Later
}

fn delivered(life: &Life) -> usize {
    life.deliveries().iter().filter(|delivery| delivery.status == DeliveryStatus::Delivered).count()
}

#[test]
fn a_stop_in_mid_send_repeats_the_number_and_nothing_else() {
    let house = House::new();
    let answer = |call: &Call| if call.number == 2 { Answer::Later } else { Answer::Status(503) };
    let in_mid_send = house.live(options(), answer, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.retry = schedule(&[10, 10, 10])).await;
        life.post(1).await;
        assert_eq!(life.call().await.number, 1);
        life.call().await
    });
    assert_eq!(in_mid_send.number, 2);
    house.live(
        options(),
        |_| Answer::Status(503),
        async |life: &mut Life| {
            let numbers = [life.call().await.number, life.call().await.number, life.call().await.number];
            assert_eq!(numbers, [2, 3, 4]);
            life.until(|life| life.all_are(DeliveryStatus::RetriesExhausted)).await;
            let attempts = life.attempts(life.delivery().id);
            assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<u32>>(), [1, 2, 3, 4]);
        },
    );
}

#[test]
fn a_retry_keeps_its_time_over_a_clean_stop() {
    let house = House::new();
    let planned: Option<Timestamp> = house.live(
        options(),
        |_| Answer::Status(503),
        async |life: &mut Life| {
            life.endpoint("a", |settings| settings.retry = schedule(&[800])).await;
            life.post(1).await;
            life.call().await;
            life.drain().await;
            assert_eq!(life.delivery().status, DeliveryStatus::Retrying);
            life.delivery().next_attempt_at
        },
    );
    house.live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            assert_eq!(life.delivery().next_attempt_at, planned);
            let call = life.call().await;
            assert_eq!(call.number, 2);
            assert!(Some(call.wall) >= planned, "{:?} comes before {planned:?}", call.wall);
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        },
    );
}

#[test]
fn nothing_is_lost_or_repeated_by_clean_stops() {
    let house = House::new();
    house.live(options(), later, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.max_concurrency = 4).await;
        life.post(100).await;
        let mut waiting = vec![life.call().await, life.call().await, life.call().await, life.call().await];
        let mut drained = pin!(life.supervisor.send(Drain));
        while poll!(drained.as_mut()).is_pending() {
            life.until_heard().await;
            waiting.extend(std::iter::from_fn(|| life.calls.try_recv().ok()));
            waiting.drain(..).for_each(|call| call.answer(200));
        }
        assert!(delivered(life) >= 4 && delivered(life) < 100, "{}", delivered(life));
    });
    house.live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
            assert!(life.deliveries().iter().all(|delivery| delivery.attempt_count == 1));
        },
    );
}

#[test]
fn draining_waits_for_what_is_in_flight_and_begins_nothing() {
    House::new().live(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.max_concurrency = 1).await;
        life.post(3).await;
        let call = life.call().await;
        let mut drained = pin!(life.supervisor.send(Drain));
        // It is heard of before what is asked next.
        assert!(poll!(drained.as_mut()).is_pending());
        assert_eq!(life.inspect(endpoint).await.map(|snapshot| snapshot.in_flight), Some(1));
        life.post(1).await;
        assert!(poll!(drained.as_mut()).is_pending());
        call.answer(200);
        within(drained).await.expect("the supervisor lives");
        assert!(life.calls.try_recv().is_err());
        assert_eq!((delivered(life), life.deliveries().len()), (1, 4));
    });
}

#[test]
fn what_waits_for_its_turn_does_not_begin_while_draining() {
    for body_budget_bytes in [0, 1 << 20] {
        let narrow = EngineOptions { max_in_flight: 1, body_budget_bytes, ..options() };
        House::new().live(narrow, later, async |life: &mut Life| {
            life.endpoint("a", |_| {}).await;
            life.endpoint("b", |_| {}).await;
            life.post(5).await;
            let call = life.call().await;
            let mut drained = pin!(life.supervisor.send(Drain));
            assert!(poll!(drained.as_mut()).is_pending());
            life.until_heard().await;
            call.answer(200);
            within(drained).await.expect("the supervisor lives");
            assert!(life.calls.try_recv().is_err());
        });
    }
}
