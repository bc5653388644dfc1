//! Endpoints that want their events in order, with real actors and a real store: what
//! arrives, when, and with which number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use posthaste::domain::{DeliveryStatus, DeliveryTimes, DiscardReason, EndpointSettings, EventOrder};
use posthaste::store::Skipped;
use serde_json::Value;

use super::house::{Answer, Call, House, Life, options, schedule};

fn in_line(settings: &mut EndpointSettings) {
    settings.order = Some(EventOrder::Fifo);
}

fn by_customer(settings: &mut EndpointSettings) {
    settings.order = Some(EventOrder::By("/customer".parse().expect("a pointer")));
}

fn number_of(call: &Call) -> u64 {
    let body: Value = serde_json::from_slice(&call.body).expect("it was JSON");
    body["number"].as_u64().expect("every event of a test has one")
}

fn customer_of(call: &Call) -> Option<String> {
    let body: Value = serde_json::from_slice(&call.body).expect("it was JSON");
    body["customer"].as_str().map(str::to_owned)
}

/// Events of these customers, numbered; one without a name has no customer.
async fn post(life: &Life, customers: &[&str]) {
    let bodies = customers.iter().enumerate().map(|(number, customer)| match *customer {
        "" => format!("{{\"number\":{number}}}"),
        customer => format!("{{\"number\":{number},\"customer\":\"{customer}\"}}"),
    });
    life.post_bodies(bodies, DeliveryTimes::default()).await;
}

#[test]
fn in_one_line_events_arrive_one_by_one_and_numbered() {
    // Longer than any window, and than what gets its places at once.
    const EVENTS: usize = 300;
    House::new().live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            life.endpoint("a", in_line).await;
            for _ in 0..3 {
                life.post(EVENTS / 3).await;
            }
            for expected in 0..EVENTS as u64 {
                let call = life.call().await;
                assert_eq!((call.sequence, number_of(&call)), (Some(expected + 1), expected % (EVENTS as u64 / 3)));
            }
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
            assert_eq!(life.most_in_flight("a"), 1);
        },
    );
}

#[test]
fn a_failing_head_holds_up_its_line_until_it_is_delivered() {
    let failures = |call: &Call| if number_of(call) == 1 && call.number < 4 { 503 } else { 200 };
    House::new().live(
        options(),
        move |call| Answer::Status(failures(call)),
        async |life: &mut Life| {
            life.endpoint("a", |settings| {
                in_line(settings);
                settings.retry = schedule(&[10, 20, 30, 40]);
            })
            .await;
            life.post(4).await;
            let mut seen = Vec::new();
            for _ in 0..7 {
                let call = life.call().await;
                seen.push((number_of(&call), call.number, call.sequence));
            }
            let expected = [(0, 1), (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (3, 1)];
            assert_eq!(seen, expected.map(|(number, attempt)| (number, attempt, Some(number + 1))));
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        },
    );
}

#[test]
fn a_line_goes_on_behind_what_is_exhausted() {
    let status = |call: &Call| if number_of(call) == 0 { 500 } else { 200 };
    House::new().live(
        options(),
        move |call| Answer::Status(status(call)),
        async |life: &mut Life| {
            life.endpoint("a", |settings| {
                in_line(settings);
                settings.retry = schedule(&[10]);
            })
            .await;
            life.post(2).await;
            let seen = [life.call().await, life.call().await, life.call().await].map(|call| number_of(&call));
            assert_eq!(seen, [0, 0, 1]);
            life.until(|life| {
                let statuses: Vec<DeliveryStatus> = life.deliveries().iter().map(|delivery| delivery.status).collect();
                statuses == [DeliveryStatus::Delivered, DeliveryStatus::RetriesExhausted]
            })
            .await;
        },
    );
}

#[test]
fn of_one_customer_in_order_and_of_several_side_by_side() {
    let answer = |call: &Call| match customer_of(call).as_deref() {
        Some("slow") => Answer::Later,
        _ => Answer::Status(200),
    };
    House::new().live(options(), answer, async |life: &mut Life| {
        life.endpoint("a", by_customer).await;
        post(life, &["slow", "a", "slow", "b", "a", "", "b", "slow", "", "a"]).await;
        let mut slow = None;
        let mut seen: Vec<(Option<String>, u64)> = Vec::new();
        for _ in 0..8 {
            let call = life.call().await;
            assert_eq!(call.sequence, Some(number_of(&call) + 1));
            if customer_of(&call).as_deref() == Some("slow") {
                assert_eq!(number_of(&call), 0);
                slow = Some(call);
            } else {
                seen.push((customer_of(&call), number_of(&call)));
            }
        }
        let of = |customer: Option<&str>| -> Vec<u64> {
            seen.iter().filter(|(known, _)| known.as_deref() == customer).map(|(_, number)| *number).collect()
        };
        assert_eq!((of(Some("a")), of(Some("b"))), (vec![1, 4, 9], vec![3, 6]));
        let mut free = of(None);
        free.sort_unstable();
        assert_eq!(free, [5, 8], "they wait for nobody");
        for expected in [2, 7] {
            slow.take().expect("it was sent").answer(200);
            let call = life.call().await;
            assert_eq!(number_of(&call), expected);
            slow = Some(call);
        }
        slow.take().expect("it was sent").answer(200);
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn whoever_is_skipped_is_not_tried_again_and_the_next_goes_on() {
    let status = |call: &Call| if number_of(call) == 0 { 503 } else { 200 };
    House::new().live(
        options(),
        move |call| Answer::Status(status(call)),
        async |life: &mut Life| {
            life.endpoint("a", |settings| {
                in_line(settings);
                settings.retry = schedule(&[60_000]);
            })
            .await;
            life.post(3).await;
            let head = life.call().await.delivery.expect("a delivery");
            life.until(|life| life.deliveries()[2].status == DeliveryStatus::Retrying).await;
            assert_eq!(life.skip(head).await, Skipped::Done);
            assert_eq!([life.call().await, life.call().await].map(|call| number_of(&call)), [1, 2]);
            life.until(|life| life.deliveries()[0].status == DeliveryStatus::Delivered).await;
            let skipped = &life.deliveries()[2];
            assert_eq!((skipped.id, skipped.status), (head, DeliveryStatus::Discarded(DiscardReason::Skipped)));
            assert_eq!(life.skip(head).await, Skipped::Ended);
        },
    );
}

#[test]
fn whoever_is_skipped_before_its_retry_is_not_retried_without_an_order_either() {
    House::new().live(
        options(),
        |_| Answer::Status(503),
        async |life: &mut Life| {
            let endpoint = life.endpoint("a", |settings| settings.retry = schedule(&[300, 300])).await;
            life.post(1).await;
            let delivery = life.call().await.delivery.expect("a delivery");
            life.until(|life| life.all_are(DeliveryStatus::Retrying)).await;
            assert_eq!(life.skip(delivery).await, Skipped::Done);
            life.until_it_shows(endpoint, |actor| actor.window == 0 && !actor.more_in_store).await;
            life.ask_for_attempt(delivery).await;
            assert_eq!(life.call().await.number, 2, "the only one that comes was asked for");
            life.until(|life| life.delivery().attempt_count == 2).await;
            assert!(life.calls.try_recv().is_err());
        },
    );
}

#[test]
fn a_line_goes_on_where_an_earlier_life_left_it() {
    let house = House::new();
    house.live(
        options(),
        |_| Answer::Later,
        async |life: &mut Life| {
            life.endpoint("a", in_line).await;
            life.post(5).await;
            let call = life.call().await;
            assert_eq!(number_of(&call), 0);
            call.answer(200);
            // The second is under way when everything stops.
            assert_eq!(number_of(&life.call().await), 1);
        },
    );
    house.live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            for expected in 1..5 {
                let call = life.call().await;
                assert_eq!((number_of(&call), call.sequence), (expected, Some(expected + 1)));
            }
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        },
    );
}

#[test]
fn an_order_can_be_wanted_later_changed_and_done_without() {
    let lets_go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&lets_go);
    let answer = move |_: &Call| Answer::Status(if flag.load(Ordering::Acquire) { 200 } else { 503 });
    House::new().live(options(), answer, async |life: &mut Life| {
        let endpoint = life
            .endpoint("a", |settings| {
                by_customer(settings);
                settings.retry = schedule(&[60_000]);
            })
            .await;
        // One that fails, and two that wait for it.
        post(life, &["a", "a", "a"]).await;
        assert_eq!(number_of(&life.call().await), 0);
        life.until(|life| life.deliveries()[2].status == DeliveryStatus::Retrying).await;
        lets_go.store(true, Ordering::Release);
        // What was tried keeps its own time; of the others there is one line now.
        life.change_endpoint(endpoint, in_line).await;
        let calls = [life.call().await, life.call().await];
        assert_eq!(calls.map(|call| (number_of(&call), call.sequence)), [(1, Some(2)), (2, Some(3))]);
        life.change_endpoint(endpoint, |settings| settings.order = None).await;
        life.post(2).await;
        let calls = [life.call().await, life.call().await];
        assert_eq!(calls.map(|call| call.sequence), [Some(4), Some(5)]);
        life.change_endpoint(endpoint, in_line).await;
        life.post(2).await;
        let calls = [life.call().await, life.call().await];
        assert_eq!(calls.map(|call| call.sequence), [Some(6), Some(7)], "numbers go on");
    });
}

#[test]
fn a_pause_keeps_the_order() {
    House::new().live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            let endpoint = life.endpoint("a", in_line).await;
            life.change_endpoint(endpoint, |settings| settings.enabled = false).await;
            for _ in 0..20 {
                life.post(2).await;
            }
            life.change_endpoint(endpoint, |settings| settings.enabled = true).await;
            for expected in 1..=40 {
                assert_eq!(life.call().await.sequence, Some(expected));
            }
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
            assert_eq!(life.most_in_flight("a"), 1);
        },
    );
}

#[test]
fn an_attempt_by_hand_passes_the_line_and_says_where_it_belongs() {
    let answer = |call: &Call| if number_of(call) == 0 { Answer::Status(503) } else { Answer::Status(200) };
    House::new().live(options(), answer, async |life: &mut Life| {
        life.endpoint("a", |settings| {
            in_line(settings);
            settings.retry = schedule(&[60_000]);
        })
        .await;
        life.post(3).await;
        life.call().await;
        life.until(|life| life.deliveries()[2].status == DeliveryStatus::Retrying).await;
        let last = life.deliveries()[0].id;
        life.ask_for_attempt(last).await;
        let call = life.call().await;
        assert_eq!((call.delivery, call.sequence), (Some(last), Some(3)));
        life.until(|life| life.deliveries()[0].status == DeliveryStatus::Delivered).await;
        let waits = life.deliveries()[1].clone();
        assert_eq!((waits.status, waits.attempt_count), (DeliveryStatus::Pending, 0));
    });
}

#[test]
fn long_lines_take_no_memory() {
    House::new().live(
        options(),
        |_| Answer::Status(503),
        async |life: &mut Life| {
            let endpoint = life
                .endpoint("a", |settings| {
                    in_line(settings);
                    settings.retry = schedule(&[60_000]);
                })
                .await;
            for _ in 0..10 {
                life.post(100).await;
            }
            life.call().await;
            life.until(|life| {
                let backlog = life.engine.store.backlog(endpoint, 2_000).expect("a read");
                let unplaced = life.engine.store.unplaced(endpoint, life.engine.clock.wall(), 1).expect("a read");
                backlog == 1_000 && unplaced.due.is_empty()
            })
            .await;
            life.until_it_shows(endpoint, |actor| actor.window <= 1 && actor.in_flight == 0).await;
            assert!(life.calls.try_recv().is_err());
        },
    );
}
