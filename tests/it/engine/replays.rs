//! Replays as the engine carries them out: what it makes is sent like anything else, no more
//! at a time than the endpoint drains, and after a restart no more than what is left.

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste::domain::{DeliveryStatus, DeliveryTimes, EndpointId, EventId, ReplayId, ReplaySelection, ReplayState};
use posthaste::engine::Replays;
use posthaste::store::{NewReplay, WantedEndpoints};

use super::house::{Answer, Call, House, Life, options};

const LARGE: usize = 120;

fn at_once(_: &Call) -> Answer {
    Answer::Status(200)
}

fn later(_: &Call) -> Answer {
    Answer::Later
}

/// Begins a replay of what the endpoint missed.
async fn begin(life: &Life, endpoint: EndpointId, per_second: Option<u32>) -> ReplayId {
    begin_for(life, &[endpoint], per_second).await
}

async fn begin_for(life: &Life, endpoints: &[EndpointId], per_second: Option<u32>) -> ReplayId {
    let new = NewReplay {
        scope: life.scope().clone(),
        wanted: WantedEndpoints { endpoints: endpoints.to_vec(), partners: Vec::new(), most: 10 },
        selection: ReplaySelection { missing: true, ..ReplaySelection::default() },
        per_second,
        actor: "partner".into(),
        key: None,
        most_running: 10,
        request: None,
    };
    let begun = life.engine.journal.change(move |transaction| transaction.create_replay(&new)).await;
    begun.expect("the journal writes").expect("nothing stands against it").replay.id
}

fn made(life: &Life, replay: ReplayId) -> u64 {
    life.engine.store.replay(life.scope(), replay).expect("a read").expect("it is there").summary.made
}

fn state(life: &Life, replay: ReplayId) -> ReplayState {
    life.engine.store.replay(life.scope(), replay).expect("a read").expect("it is there").summary.replay.state
}

#[test]
fn what_a_replay_makes_is_sent_whole_and_each_once() {
    House::new().live(options(), at_once, async |life: &mut Life| {
        let missed: BTreeSet<EventId> = life.post(LARGE).await.into_iter().collect();
        let endpoint = life.endpoint("a", |_| {}).await;
        Replays::start(life.engine.clone());
        let replay = begin(life, endpoint, None).await;
        let mut sent = Vec::new();
        for _ in 0..LARGE {
            sent.push(life.call().await.event);
        }
        assert_eq!(sent.iter().copied().collect::<BTreeSet<_>>(), missed);
        life.until(|life| life.deliveries().len() == LARGE && life.all_are(DeliveryStatus::Delivered)).await;
        life.until(|life| state(life, replay) == ReplayState::Done).await;
        assert!(life.calls.try_recv().is_err(), "nothing is sent twice");
        assert_eq!(life.engine.metrics.deliveries_replayed.get(), LARGE as u64);
        assert_eq!(life.engine.metrics.deliveries_created.get(), LARGE as u64, "they are deliveries like any other");
    });
}

#[test]
fn an_endpoint_that_answers_nothing_has_a_little_under_way() {
    House::new().live(options(), later, async |life: &mut Life| {
        life.post(LARGE).await;
        let slow = life.endpoint("slow", |settings| settings.max_concurrency = 1).await;
        Replays::start(life.engine.clone());
        let replay = begin(life, slow, None).await;
        let first = life.call().await;
        life.until(|life| made(life, replay) == 32).await;
        // Rounds go by in which nothing has ended: a replay of another endpoint takes several.
        let quick = life.endpoint("quick", |_| {}).await;
        let beside = begin(life, quick, Some(100)).await;
        life.until(|life| made(life, beside) > 0).await;
        assert_eq!((made(life, replay), state(life, replay)), (32, ReplayState::Running));
        first.answer(200);
        life.until(|life| made(life, replay) == 33).await;
        assert_eq!(state(life, replay), ReplayState::Running);
    });
}

#[test]
fn what_is_for_later_keeps_nothing_else_waiting() {
    House::new().live(options(), at_once, async |life: &mut Life| {
        let tomorrow = life.engine.clock.now().wall + Duration::from_secs(86_400);
        life.post_at(LARGE, DeliveryTimes { deliver_at: Some(tomorrow), expires_at: None }).await;
        let endpoint = life.endpoint("a", |_| {}).await;
        Replays::start(life.engine.clone());
        let replay = begin(life, endpoint, None).await;
        life.until(|life| state(life, replay) == ReplayState::Done).await;
        assert_eq!(made(life, replay), LARGE as u64);
        assert!(life.all_are(DeliveryStatus::Pending) && life.calls.try_recv().is_err(), "and none is sent");
    });
}

#[test]
fn a_rate_is_for_all_endpoints_of_a_replay() {
    House::new().live(options(), at_once, async |life: &mut Life| {
        life.post(LARGE).await;
        let mut endpoints = Vec::new();
        for path in ["a", "b", "c"] {
            endpoints.push(life.endpoint(path, |_| {}).await);
        }
        Replays::start(life.engine.clone());
        let replay = begin_for(life, &endpoints, Some(20)).await;
        life.until(|life| made(life, replay) >= 15).await;
        let progress = life.engine.store.replay(life.scope(), replay).expect("a read").expect("it is there");
        let each: Vec<u64> = progress.targets.iter().map(|target| target.made).collect();
        assert!(each.iter().all(|made| *made >= 3), "each has its turn: {each:?}");
    });
}

#[test]
fn one_that_cannot_be_carried_on_stops_no_other() {
    let house = House::new();
    let sound = house.live(options(), at_once, async |life: &mut Life| {
        life.post(LARGE).await;
        let endpoint = life.endpoint("a", |_| {}).await;
        begin(life, endpoint, None).await;
        begin(life, endpoint, None).await
    });
    house.execute("UPDATE replays SET selection = 'nonsense' WHERE id = (SELECT min(id) FROM replays)");
    house.live(options(), at_once, async |life: &mut Life| {
        Replays::start(life.engine.clone());
        life.until(|life| life.deliveries().len() == LARGE && life.all_are(DeliveryStatus::Delivered)).await;
        life.until(|life| state(life, sound) == ReplayState::Done).await;
        assert_eq!(made(life, sound), LARGE as u64);
    });
}

#[test]
fn the_next_life_goes_on_where_the_last_one_stood() {
    let house = House::new();
    let (replay, missed) = house.live(options(), later, async |life: &mut Life| {
        let missed: BTreeSet<EventId> = life.post(LARGE).await.into_iter().collect();
        let endpoint = life.endpoint("a", |_| {}).await;
        Replays::start(life.engine.clone());
        let replay = begin(life, endpoint, None).await;
        life.until(|life| made(life, replay) == 32).await;
        (replay, missed)
    });
    house.live(options(), at_once, async |life: &mut Life| {
        assert_eq!((made(life, replay), state(life, replay)), (32, ReplayState::Running));
        Replays::start(life.engine.clone());
        life.until(|life| state(life, replay) == ReplayState::Done).await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        let events: Vec<EventId> = life.deliveries().into_iter().map(|delivery| delivery.event).collect();
        assert_eq!((events.len(), events.into_iter().collect::<BTreeSet<_>>()), (LARGE, missed));
    });
}
