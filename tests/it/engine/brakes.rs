//! Brakes and held nodes, as actors and their supervisor live through them:
//! nothing begins, nothing under way is cut off, and what was held goes out
//! slowly at first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use posthaste::cluster::Move;
use posthaste::domain::{DeliveryStatus, EndpointId, EventId, EventType};
use posthaste::engine::{EngineOptions, Moved, Release, SendTest, TestOutcome};

use super::house::{Answer, Call, House, Life, options, within};

/// What a life begins with.
const FIRST_REQUESTS: usize = 8;

fn at_once(_: &Call) -> Answer {
    Answer::Status(200)
}

fn later(_: &Call) -> Answer {
    Answer::Later
}

/// Short enough to be waited for.
fn restless() -> EngineOptions {
    EngineOptions { passivate_after: Duration::from_millis(20), ..options() }
}

#[test]
fn what_is_under_way_ends_and_nothing_begins_under_a_brake() {
    House::new().live(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.max_concurrency = 1).await;
        life.post(2).await;
        let under_way = life.call().await;
        life.brake(true).await;
        // From here on the actor has been told: it answers what comes after that.
        life.until_heard().await;
        life.until_it_shows(endpoint, |snapshot| snapshot.in_flight == 1).await;
        under_way.answer(200);
        let delivered = |life: &Life, count| {
            life.deliveries().iter().filter(|delivery| delivery.status == DeliveryStatus::Delivered).count() == count
        };
        life.until(|life| delivered(life, 1)).await;
        life.until_it_shows(endpoint, |snapshot| snapshot.recording == 0 && snapshot.window == 0).await;
        let waiting: Vec<_> =
            life.deliveries().into_iter().filter(|delivery| delivery.status == DeliveryStatus::Held).collect();
        assert_eq!((waiting.len(), waiting[0].attempt_count), (1, 0), "nothing of it is spent");
        assert!(life.calls.try_recv().is_err(), "nothing begins");
        life.brake(false).await;
        life.call().await.answer(200);
        life.until(|life| delivered(life, 2)).await;
    });
}

#[test]
fn what_waits_for_its_place_does_not_begin_under_a_brake() {
    let narrow = EngineOptions { max_in_flight: 1, ..options() };
    House::new().live(narrow, later, async |life: &mut Life| {
        let mut endpoints = Vec::new();
        for path in ["a", "b", "c"] {
            endpoints.push(life.endpoint(path, |_| {}).await);
        }
        life.post(2).await;
        let under_way = life.call().await;
        for endpoint in &endpoints {
            life.until_it_shows(*endpoint, |snapshot| snapshot.in_flight == 2 && !snapshot.more_in_store).await;
        }
        let asked: Vec<_> = life.deliveries().iter().map(|delivery| delivery.id).collect();
        life.brake(true).await;
        life.until_heard().await;
        for endpoint in &endpoints {
            life.inspect(*endpoint).await;
        }
        under_way.answer(200);
        for endpoint in &endpoints {
            life.until_it_shows(*endpoint, |snapshot| snapshot.in_flight == 0 && snapshot.recording == 0).await;
        }
        assert!(life.calls.try_recv().is_err(), "each had been handed out, and none began");
        life.brake(false).await;
        for _ in 0..asked.len() - 1 {
            life.call().await.answer(200);
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert!(life.deliveries().iter().all(|delivery| delivery.attempt_count == 1));
    });
}

#[test]
fn what_was_held_is_not_let_loose_at_once() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    let answer = move |_: &Call| if slow.load(Ordering::Acquire) { Answer::Later } else { Answer::Status(200) };
    House::new().live(options(), answer, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |settings| settings.max_concurrency = 64).await;
        life.post(200).await;
        for _ in 0..200 {
            life.call().await;
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        life.until_it_shows(endpoint, |snapshot| snapshot.allowed > FIRST_REQUESTS).await;
        life.brake(true).await;
        is_slow.store(true, Ordering::Release);
        life.post(100).await;
        // A brake that is released before an actor has looked was none to it.
        life.until_heard().await;
        life.until_it_shows(endpoint, |snapshot| snapshot.window == 0 && snapshot.in_flight == 0).await;
        life.brake(false).await;
        let mut first = Vec::new();
        for _ in 0..FIRST_REQUESTS {
            first.push(life.call().await);
        }
        life.until_it_shows(endpoint, |snapshot| snapshot.window > 0 && snapshot.in_flight == FIRST_REQUESTS).await;
        assert!(life.calls.try_recv().is_err(), "no more before one of them has ended well");
        first.remove(0).answer(200);
        life.call().await;
    });
}

#[test]
fn a_brake_starts_no_actor_for_what_sleeps_and_tells_no_other_node() {
    House::new().live(restless(), at_once, async |life: &mut Life| {
        let mut endpoints: Vec<EndpointId> = Vec::new();
        for number in 0..20 {
            endpoints.push(life.endpoint(&format!("{number}"), |_| {}).await);
        }
        for endpoint in &endpoints {
            life.until_at_rest(*endpoint).await;
        }
        life.until_nobody_is_left(endpoints[0]).await;
        life.brake(true).await;
        life.until_heard().await;
        assert_eq!(life.engine.metrics.endpoint_actors.get(), 0);
        assert_eq!(life.engine.metrics.brakes.get(), 1);
        assert!(life.forwarded.try_recv().is_err());
        // What sleeps and has work is found when it may go.
        life.post(1).await;
        for endpoint in &endpoints {
            life.until_at_rest(*endpoint).await;
        }
        life.brake(false).await;
        for _ in &endpoints {
            life.call().await;
        }
        assert_eq!(life.engine.metrics.brakes.get(), 0);
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn a_brake_set_through_another_node_is_heard_of_without_names() {
    House::new().live(options(), at_once, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        life.post(1).await;
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        life.until_it_shows(endpoint, |snapshot| snapshot.recording == 0).await;
        life.is_elsewhere.store(true, Ordering::Release);
        life.brake(true).await;
        let told = async |life: &Life| within(life.supervisor.send(Moved(Move::ManyChanged))).await.expect("it lives");
        told(life).await;
        life.is_elsewhere.store(false, Ordering::Release);
        life.post(1).await;
        life.until_heard().await;
        let held = life.deliveries().iter().filter(|delivery| delivery.status == DeliveryStatus::Held).count();
        assert_eq!((held, life.calls.try_recv().is_err()), (1, true));
        life.is_elsewhere.store(true, Ordering::Release);
        life.brake(false).await;
        told(life).await;
        life.call().await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}

#[test]
fn a_held_node_starts_nobody_before_it_is_released() {
    House::held().live(options(), at_once, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        life.post(3).await;
        life.until_heard().await;
        assert_eq!((life.inspect(endpoint).await, life.engine.metrics.endpoint_actors.get()), (None, 0));
        assert!(life.all_are(DeliveryStatus::Pending));
        let test = SendTest {
            endpoint,
            event: EventId::from_uuid(uuid::Uuid::from_u128(1)),
            event_type: "thing.happened".parse::<EventType>().expect("a plain name"),
            body: "{}".into(),
        };
        let tested = within(life.supervisor.send(test)).await.expect("it lives");
        assert!(matches!(tested, TestOutcome::Held), "{tested:?}");
        assert!(life.calls.try_recv().is_err(), "nothing is sent");
        let release = async |life: &Life| within(life.supervisor.send(Release)).await.expect("it lives");
        assert!(release(life).await);
        for _ in 0..3 {
            assert_eq!(life.call().await.number, 1);
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        assert!(!release(life).await, "it is not held any more");
    });
}

#[test]
fn a_held_node_stops_at_once() {
    House::held().live(options(), later, async |life: &mut Life| {
        let endpoint = life.endpoint("a", |_| {}).await;
        life.post(3).await;
        life.until_heard().await;
        assert_eq!(life.inspect(endpoint).await, None);
        life.drain().await;
        assert!(life.all_are(DeliveryStatus::Pending) && life.calls.try_recv().is_err());
    });
}
