//! Events that are for later, and events that are worth nothing after a while, with
//! real actors and a real store.

use std::time::Duration;

use posthaste::domain::{DeliveryStatus, DeliveryTimes, DiscardReason, EventOrder};
use posthaste::engine::EngineOptions;

use super::house::{Answer, Call, House, Life, options, schedule};

const EXPIRED: DeliveryStatus = DeliveryStatus::Discarded(DiscardReason::Expired);

fn later(life: &Life, millis: u64) -> DeliveryTimes {
    let deliver_at = Some(life.engine.clock.wall() + Duration::from_millis(millis));
    DeliveryTimes { deliver_at, expires_at: None }
}

fn expiring(life: &Life, millis: u64) -> DeliveryTimes {
    let expires_at = Some(life.engine.clock.wall() + Duration::from_millis(millis));
    DeliveryTimes { deliver_at: None, expires_at }
}

#[test]
fn what_is_for_later_comes_then_and_not_before() {
    House::new().live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            life.endpoint("a", |_| {}).await;
            let times = later(life, 300);
            life.post_at(2, times).await;
            let now = life.post(1).await;
            assert_eq!(life.call().await.event, now[0], "what is posted after it does not wait for it");
            for _ in 0..2 {
                let call = life.call().await;
                assert!(Some(call.wall) >= times.deliver_at, "{:?} is before {:?}", call.wall, times.deliver_at);
                assert_eq!(call.number, 1);
            }
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        },
    );
}

#[test]
fn an_endpoint_that_sleeps_wakes_for_what_is_for_later() {
    let options = EngineOptions { passivate_after: Duration::from_millis(20), ..options() };
    let house = House::new();
    let deliver_at = house.live(
        options,
        |_| Answer::Status(200),
        async |life: &mut Life| {
            let endpoint = life.endpoint("a", |_| {}).await;
            let times = later(life, 3_000);
            life.post_at(1, times).await;
            life.until_at_rest(endpoint).await;
            times.deliver_at
        },
    );
    // A restart resets nothing.
    house.live(
        options,
        |_| Answer::Status(200),
        async |life: &mut Life| {
            let call = life.call().await;
            assert!(Some(call.wall) >= deliver_at, "{:?} is before {deliver_at:?}", call.wall);
        },
    );
}

#[test]
fn what_is_for_later_stands_in_line_from_its_time_on() {
    House::new().live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            life.endpoint("a", |settings| settings.order = Some(EventOrder::Fifo)).await;
            let times = later(life, 200);
            let late = life.post_at(1, times).await;
            let early = life.post(2).await;
            let calls = [life.call().await, life.call().await, life.call().await];
            assert_eq!(calls.each_ref().map(|call| call.event), [early[0], early[1], late[0]]);
            assert_eq!(calls.each_ref().map(|call| call.sequence), [Some(2), Some(3), Some(1)]);
            assert!(Some(calls[2].wall) >= times.deliver_at);
        },
    );
}

#[test]
fn what_has_expired_is_not_sent() {
    House::new().live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            let endpoint = life.endpoint("a", |settings| settings.enabled = false).await;
            let times = expiring(life, 1);
            life.post_at(3, times).await;
            life.post(1).await;
            while Some(life.engine.clock.wall()) < times.expires_at {
                actix_rt::task::yield_now().await;
            }
            life.change_endpoint(endpoint, |settings| settings.enabled = true).await;
            life.call().await;
            life.until(|life| life.deliveries().iter().filter(|delivery| delivery.status == EXPIRED).count() == 3)
                .await;
            assert!(life.calls.try_recv().is_err(), "only what is worth something was sent");
            let untried = life.deliveries().iter().filter(|delivery| delivery.attempt_count == 0).count();
            assert_eq!(untried, 3);
        },
    );
}

#[test]
fn an_attempt_that_fails_too_late_for_another_is_the_last() {
    House::new().live(
        options(),
        |_| Answer::Status(500),
        async |life: &mut Life| {
            life.endpoint("a", |settings| settings.retry = schedule(&[1, 60_000])).await;
            let times = expiring(life, 20_000);
            life.post_at(1, times).await;
            assert_eq!([life.call().await, life.call().await].map(|call| call.number), [1, 2]);
            life.until(|life| life.all_are(EXPIRED)).await;
            let delivery = life.delivery();
            assert_eq!((delivery.attempt_count, delivery.next_attempt_at), (2, None));
            // By hand it can still be had.
            life.ask_for_attempt(delivery.id).await;
            assert_eq!(life.call().await.number, 3);
        },
    );
}

#[test]
fn a_line_goes_on_behind_what_has_expired() {
    let answer = |call: &Call| match call.sequence {
        Some(1) => Answer::Later,
        _ => Answer::Status(200),
    };
    House::new().live(options(), answer, async |life: &mut Life| {
        life.endpoint("a", |settings| settings.order = Some(EventOrder::Fifo)).await;
        life.post(1).await;
        let head = life.call().await;
        let times = expiring(life, 1);
        life.post_at(2, times).await;
        life.post(1).await;
        while Some(life.engine.clock.wall()) < times.expires_at {
            actix_rt::task::yield_now().await;
        }
        head.answer(200);
        assert_eq!(life.call().await.sequence, Some(4));
        life.until(|life| life.deliveries().iter().filter(|delivery| delivery.status == EXPIRED).count() == 2).await;
    });
}
