//! What an endpoint's actor and the sweep read: what is due, in which lane,
//! and which endpoints wait at all.

use std::collections::{BTreeMap, HashSet};

use posthaste::domain::{EndpointId, EventId, PartitionSet, StoredStatus, Timestamp};
use posthaste::store::{Due, Lane, Scope, Verdict};

use super::world::{HOUR, SECOND, START, World};

for_every_backend! {
    each_lane_has_its_own
    what_is_due_comes_earliest_first
    a_lane_goes_on_behind_a_place
    the_backlog_is_counted_up_to_a_limit
    payloads_leave_out_what_is_gone
    waiting_walks_every_endpoint_with_work_once
    an_endpoint_waits_for_its_earliest_attempt
}

fn ids(due: &[Due]) -> Vec<posthaste::domain::DeliveryId> {
    due.iter().map(|due| due.delivery).collect()
}

fn each_lane_has_its_own(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let [fresh, retry, both, done, exhausted] =
        ["a.a", "b.b", "c.c", "d.d", "e.e"].map(|name| world.deliver(&acme, name));
    for (delivery, verdict) in [
        (retry, Verdict::RetryAt(START + HOUR)),
        (both, Verdict::RetryAt(START + SECOND)),
        (done, Verdict::Delivered),
        (exhausted, Verdict::Exhausted),
    ] {
        world.record(&world.attempt(delivery, 0, verdict));
    }
    for delivery in [exhausted, both] {
        world.commit(|transaction| transaction.request_attempt(delivery));
        world.advance(SECOND);
    }
    assert_eq!(ids(&world.due(endpoint.id, Lane::Fresh)), [fresh]);
    assert_eq!(ids(&world.due(endpoint.id, Lane::Retry)), [both, retry]);
    let manual = world.due(endpoint.id, Lane::Manual);
    assert_eq!(ids(&manual), [exhausted, both]);
    assert_eq!(manual[0].status, StoredStatus::RetriesExhausted);
    assert_eq!(manual.iter().map(|due| due.due_at).collect::<Vec<_>>(), [START, START + SECOND]);

    let other = world.endpoint(&acme, "other", &["other"]);
    for lane in [Lane::Fresh, Lane::Retry, Lane::Manual] {
        assert_eq!(world.due(other.id, lane), []);
    }
}

fn what_is_due_comes_earliest_first(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let mut expected: Vec<(Timestamp, posthaste::domain::DeliveryId)> = Vec::new();
    for wait in [50, 10, 40, 10, 30, 20] {
        let delivery = world.deliver(&acme, "campaign.updated");
        let at = START + SECOND * wait;
        world.record(&world.attempt(delivery, 0, Verdict::RetryAt(at)));
        expected.push((at, delivery));
    }
    expected.sort();
    for limit in [0, 1, 4, 6, 7] {
        let due = world.store().due(endpoint.id, Lane::Retry, None, limit).expect("readable");
        let found: Vec<_> = due.iter().map(|due| (due.due_at, due.delivery)).collect();
        assert_eq!(found, expected[..limit.min(6)], "at most {limit}, and also what is due later");
    }
    // Fresh ones come as they were accepted.
    let accepted: Vec<EventId> = (0..5).map(|_| world.accept(&acme, "campaign.updated").id).collect();
    let due = world.store().due(endpoint.id, Lane::Fresh, None, 3).expect("readable");
    assert_eq!(due.iter().map(|due| due.event).collect::<Vec<_>>(), accepted[..3]);
}

fn a_lane_goes_on_behind_a_place(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    for _ in 0..7 {
        world.deliver(&acme, "campaign.updated");
    }
    // Retries whose times agree are told apart by their ids.
    for (delivery, wait) in world.due(endpoint.id, Lane::Fresh).iter().take(4).zip([1, 2, 2, 3]) {
        world.record(&world.attempt(delivery.delivery, 0, Verdict::RetryAt(START + SECOND * wait)));
    }
    for delivery in world.due(endpoint.id, Lane::Retry).iter().take(3) {
        let delivery = delivery.delivery;
        world.commit(|transaction| transaction.request_attempt(delivery));
    }
    for (lane, count) in [(Lane::Fresh, 3), (Lane::Retry, 4), (Lane::Manual, 3)] {
        let all = world.due(endpoint.id, lane);
        assert_eq!(all.len(), count);
        for (index, due) in all.iter().enumerate() {
            let after = Some((due.due_at, due.delivery));
            let rest = world.store().due(endpoint.id, lane, after, 2).expect("readable");
            assert_eq!(rest, all[index + 1..(index + 3).min(count)], "{lane:?} behind {index}");
        }
    }
}

fn the_backlog_is_counted_up_to_a_limit(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let backlog = |world: &World, limit| world.store().backlog(endpoint.id, limit).expect("readable");
    assert_eq!(backlog(world, 10), 0);
    let retried = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(retried, 0, Verdict::RetryAt(START + HOUR)));
    assert_eq!(backlog(world, 10), 1);
    world.advance(SECOND);
    for _ in 0..3 {
        world.accept(&acme, "campaign.updated");
    }
    assert_eq!(backlog(world, 10), 4);
    assert_eq!(backlog(world, 2), 2);
}

fn payloads_leave_out_what_is_gone(world: &mut World) {
    let acme = world.partner("acme");
    let gone = world.accept(&acme, "campaign.created");
    world.advance(HOUR);
    let horizon = world.now;
    world.commit(|transaction| transaction.retire(horizon, None, 10));
    let here = world.accept(&acme, "campaign.updated");
    let found = world.store().payloads(&[gone.id, here.id, here.id]).expect("readable");
    assert!(!found.is_empty());
    for payload in found {
        assert_eq!((payload.event, payload.event_type), (here.id, here.event_type.clone()));
    }
    assert!(world.store().payloads(&[]).expect("readable").is_empty());
}

fn walk(world: &World, limit: usize) -> Vec<(EndpointId, Timestamp)> {
    let mut walked = Vec::new();
    let mut after = None;
    let mut stops = HashSet::new();
    loop {
        let (page, next) = world.store().waiting(&PartitionSet::ALL, after, limit, world.now).expect("readable");
        walked.extend(page.into_iter().map(|waiting| (waiting.endpoint, waiting.due_at)));
        match next {
            Some(next) => {
                assert!(stops.insert(next), "the walk goes on");
                after = Some(next);
            }
            None => {
                // In which order, is the store's own affair.
                walked.sort();
                return walked;
            }
        }
    }
}

/// Endpoints of which somebody asked for an attempt, and when.
fn waiting_for_somebody(world: &World) -> Vec<(EndpointId, Timestamp)> {
    let (found, _) = world.store().waiting(&PartitionSet::ALL, None, 1_000, world.now).expect("readable");
    found.iter().filter_map(|waiting| Some((waiting.endpoint, waiting.asked_at?))).collect()
}

fn waiting_walks_every_endpoint_with_work_once(world: &mut World) {
    let acme = world.partner("acme");
    let mut expected = BTreeMap::new();
    for number in 0..40 {
        let name = format!("number{number}");
        let endpoint = world.endpoint(&acme, &name, &[&name]);
        match number % 8 {
            // Nothing was ever accepted for it.
            0 => continue,
            // Nothing is left to do.
            1 => {
                let delivery = world.deliver(&acme, &name);
                world.record(&world.attempt(delivery, 0, Verdict::Delivered));
                continue;
            }
            // Only what someone asked for by hand is left.
            2 => {
                let delivery = world.deliver(&acme, &name);
                world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
                world.commit(|transaction| transaction.request_attempt(delivery));
            }
            3 => {
                let delivery = world.deliver(&acme, &name);
                world.record(&world.attempt(delivery, 0, Verdict::RetryAt(world.now)));
            }
            _ => drop(world.deliver(&acme, &name)),
        }
        match number % 8 {
            4 => world.enable(&acme, endpoint.id, false),
            5 => world.delete(&acme, endpoint.id),
            _ => drop(expected.insert(endpoint.id, world.now)),
        }
        world.advance(SECOND);
    }
    let asked: Vec<_> = waiting_for_somebody(world);
    assert_eq!(asked.len(), 5, "what somebody asked for is told from what is due");
    assert!(asked.iter().all(|(endpoint, asked_at)| expected.get(endpoint) == Some(asked_at)));
    let expected: Vec<_> = expected.into_iter().collect();
    for limit in [1, 2, 3, 7, 1_000] {
        assert_eq!(walk(world, limit), expected, "{limit} at a time");
    }
    world.kill();
    assert_eq!(walk(world, 10), expected);
}

fn an_endpoint_waits_for_its_earliest_attempt(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let first_due = |world: &World| -> Option<Timestamp> {
        let found = walk(world, 10);
        assert!(found.iter().all(|(waiting, _)| *waiting == endpoint.id) && found.len() <= 1, "{found:?}");
        found.first().map(|(_, at)| *at)
    };
    assert_eq!(first_due(world), None);
    let late = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(late, 0, Verdict::RetryAt(START + 3 * HOUR)));
    assert_eq!(first_due(world), Some(START + 3 * HOUR));
    world.now = START + 2 * HOUR;
    let fresh = world.deliver(&acme, "campaign.updated");
    assert_eq!(first_due(world), Some(START + 2 * HOUR));
    world.now = START + HOUR;
    world.commit(|transaction| transaction.request_attempt(late));
    assert_eq!(first_due(world), Some(START + HOUR));

    world.record(&world.manual_attempt(late, 1, Verdict::Unchanged));
    // By a clock that was set back: it was never tried, and does not wait for that.
    assert_eq!(first_due(world), Some(START + HOUR));
    world.record(&world.attempt(fresh, 0, Verdict::Delivered));
    assert_eq!(first_due(world), Some(START + 3 * HOUR));
    world.enable(&acme, endpoint.id, false);
    assert_eq!(first_due(world), None);
    world.enable(&acme, endpoint.id, true);
    assert_eq!(first_due(world), Some(START + 3 * HOUR));
    delete_and_drain(world, &acme, endpoint.id);
    assert_eq!(first_due(world), None);
}

fn delete_and_drain(world: &mut World, scope: &Scope, endpoint: EndpointId) {
    world.delete(scope, endpoint);
    assert_eq!(walk(world, 10), [], "also before it is drained");
    assert_eq!(world.commit(|transaction| transaction.discard_deleted(10)), 1);
}
