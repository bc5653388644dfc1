//! Places among all that may be in flight, shared by partners: what one partner's
//! endpoints do to theirs is not felt by another's.

use posthaste::domain::DeliveryStatus;
use posthaste::engine::EngineOptions;

use super::house::{Answer, Call, House, Life, options};

/// Most requests in flight: so few that the endpoints that hang want more.
const TOTAL: usize = 64;
const HANGING: usize = 60;

fn hangs(call: &Call) -> bool {
    call.url.contains("/dead")
}

#[test]
fn a_partner_whose_endpoints_all_hang_is_not_felt_by_another() {
    let narrow = EngineOptions { max_in_flight: TOTAL, ..options() };
    let answer = |call: &Call| if hangs(call) { Answer::Later } else { Answer::Status(200) };
    House::new().live(narrow, answer, async |life: &mut Life| {
        life.act_for("dead").await;
        for number in 0..HANGING {
            life.endpoint(&format!("dead{number}"), |_| {}).await;
        }
        life.post(2).await;
        // They have all that they are given before anybody else asks.
        let mut held = Vec::new();
        while held.len() < 28 {
            held.push(life.call().await);
        }
        life.act_for("healthy").await;
        life.endpoint("healthy", |_| {}).await;
        for _ in 0..10 {
            life.post(5).await;
            let mut delivered = 0;
            while delivered < 5 {
                let call = life.call().await;
                assert!(!hangs(&call), "half, but for an eighth of it, is all there is for them");
                delivered += 1;
            }
            life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        }
        assert_eq!(held.len(), 28);
    });
}

#[test]
fn endpoints_that_answered_and_then_hang_together_are_not_felt_either() {
    let narrow = EngineOptions { max_in_flight: TOTAL, ..options() };
    let answer = |call: &Call| {
        let hangs = hangs(call) && !call.body.ends_with(b":0}");
        if hangs { Answer::Later } else { Answer::Status(200) }
    };
    House::new().live(narrow, answer, async |life: &mut Life| {
        life.act_for("dead").await;
        for number in 0..HANGING {
            life.endpoint(&format!("dead{number}"), |_| {}).await;
        }
        life.post(1).await;
        for _ in 0..HANGING {
            life.call().await;
        }
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        // Each is sent one more that it answers, and then it hangs.
        life.post(4).await;
        let mut held = Vec::new();
        while held.len() < 2 * 28 {
            held.push(life.call().await);
            held.retain(|call| !call.body.ends_with(b":0}"));
        }
        life.act_for("healthy").await;
        life.endpoint("healthy", |_| {}).await;
        life.post(20).await;
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
        drop(held);
    });
}

#[test]
fn what_waits_for_its_place_does_not_begin_once_it_is_held() {
    let narrow = EngineOptions { max_in_flight: 1, ..options() };
    let answer = |call: &Call| if hangs(call) { Answer::Later } else { Answer::Status(200) };
    House::new().live(narrow, answer, async |life: &mut Life| {
        life.act_for("dead").await;
        life.endpoint("dead", |_| {}).await;
        life.post(1).await;
        let holds_the_place = life.call().await;
        life.act_for("waiting").await;
        let waiting = life.endpoint("waiting", |_| {}).await;
        life.post(1).await;
        life.until_it_shows(waiting, |actor| actor.in_flight == 1 && !actor.more_in_store).await;
        life.change_endpoint(waiting, |settings| settings.enabled = false).await;
        // It has heard of that once it has left everything to the store.
        life.until_it_shows(waiting, |actor| actor.more_in_store).await;
        holds_the_place.answer(200);
        life.until_it_shows(waiting, |actor| actor.in_flight == 0).await;
        assert!(life.calls.try_recv().is_err(), "it was told to wait before it had its turn");
        life.change_endpoint(waiting, |settings| settings.enabled = true).await;
        assert_eq!(life.call().await.number, 1, "no attempt was spent");
        life.until(|life| life.all_are(DeliveryStatus::Delivered)).await;
    });
}
