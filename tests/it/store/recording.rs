//! Writing down what came of attempts: where each verdict leaves a delivery,
//! and that no outcome counts twice or is lost.

use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{
    AttemptError, ConnectionUse, DeliveryId, DeliveryStatus, DiscardReason, ErrorClass, Exchange, Outcome,
    ResponseHeaders, StoredStatus, Timing,
};
use posthaste::store::{AttemptKind, CommitError, Lane, Record, Recorded, Scope, StoreError, Verdict};

use super::world::{DAY, HOUR, SECOND, START, World};

for_every_backend! {
    every_verdict_in_every_state
    the_same_record_twice_is_the_same_as_once
    an_outdated_record_changes_nothing
    a_record_of_what_is_gone_is_superseded
    a_scheduled_attempt_that_changes_nothing_is_a_fault
    an_attempt_by_hand_moves_no_schedule
    an_attempt_by_hand_can_be_asked_for_again
    a_deleted_endpoint_gets_no_attempt_by_hand
    a_late_success_delivers_what_was_given_up
    no_retry_follows_for_a_deleted_endpoint
    outcomes_read_back_as_they_were
    attempts_survive_the_end_of_the_process
}

const EXHAUSTED: StoredStatus = StoredStatus::RetriesExhausted;
const DELETED: StoredStatus = StoredStatus::Discarded(DiscardReason::EndpointDeleted);
const RETIRED: StoredStatus = StoredStatus::Discarded(DiscardReason::Retention);

/// A new delivery in each state, with one attempt behind it where that state
/// needs one, of an endpoint of its own.
fn deliveries_in_every_state(world: &mut World, scope: &Scope, round: usize) -> Vec<(StoredStatus, DeliveryId)> {
    let states = [StoredStatus::Pending, StoredStatus::Retrying, StoredStatus::Delivered, EXHAUSTED, DELETED, RETIRED];
    let mut accepted = Vec::new();
    for (number, state) in states.into_iter().enumerate() {
        let name = format!("round{round}.state{number}");
        let endpoint = world.endpoint(scope, &name, &[&name]);
        accepted.push((state, endpoint, world.deliver(scope, &name)));
    }
    world.advance(SECOND);
    let horizon = world.now;
    let mut made = Vec::new();
    for (state, endpoint, delivery) in accepted {
        let verdict = match state {
            StoredStatus::Retrying => Some(Verdict::RetryAt(world.now + HOUR)),
            StoredStatus::Delivered => Some(Verdict::Delivered),
            EXHAUSTED => Some(Verdict::Exhausted),
            _ => None,
        };
        if let Some(verdict) = verdict {
            assert_eq!(world.record(&world.attempt(delivery, 0, verdict)), Recorded::Written(state));
        }
        match state {
            DELETED => {
                world.delete(scope, endpoint.id);
                assert_eq!(world.commit(|transaction| transaction.discard_deleted(10)), 1);
            }
            RETIRED => world.enable(scope, endpoint.id, false),
            _ => {}
        }
        made.push((state, delivery));
    }
    world.commit(|transaction| transaction.retire(horizon, None, 100_000));
    made
}

fn shown(status: StoredStatus) -> DeliveryStatus {
    DeliveryStatus::seen(status, true, true, false)
}

fn every_verdict_in_every_state(world: &mut World) {
    let acme = world.partner("acme");
    let retry_at = START + DAY;
    let attempts = [
        (AttemptKind::Scheduled, Verdict::Delivered, StoredStatus::Delivered),
        (AttemptKind::Scheduled, Verdict::RetryAt(retry_at), StoredStatus::Retrying),
        (AttemptKind::Scheduled, Verdict::Exhausted, EXHAUSTED),
        (AttemptKind::Manual, Verdict::Delivered, StoredStatus::Delivered),
        (AttemptKind::Manual, Verdict::Unchanged, StoredStatus::Pending),
    ];
    for (round, (kind, verdict, follows)) in attempts.into_iter().enumerate() {
        for (state, delivery) in deliveries_in_every_state(world, &acme, round) {
            let case = format!("{kind:?} {verdict:?} of {state:?}");
            world.advance(SECOND);
            let before = world.delivery(&acme, delivery);
            let record = Record { kind, ..world.attempt(delivery, before.attempt_count, verdict) };
            let moves = verdict == Verdict::Delivered || (kind == AttemptKind::Scheduled && state.is_unfinished());
            let expected = if moves { follows } else { state };

            assert_eq!(world.record(&record), Recorded::Written(expected), "{case}");
            let after = world.delivery(&acme, delivery);
            assert_eq!(after.status, shown(expected), "{case}");
            assert_eq!(after.attempt_count, before.attempt_count + 1, "{case}");
            let next = match verdict {
                _ if !expected.is_unfinished() => None,
                Verdict::RetryAt(at) => Some(at),
                _ => before.next_attempt_at,
            };
            assert_eq!(after.next_attempt_at, next, "{case}");
            let finished = if expected.is_unfinished() {
                None
            } else if expected == state {
                before.finished_at
            } else {
                Some(record.finished_at)
            };
            assert_eq!(after.finished_at, finished, "{case}");
            let numbers: Vec<u32> = world.attempts(delivery).iter().map(|attempt| attempt.number).collect();
            assert_eq!(numbers, (1..=after.attempt_count).collect::<Vec<_>>(), "{case}");
            for lane in [Lane::Fresh, Lane::Retry] {
                let listed = world.due(after.endpoint, lane).iter().any(|due| due.delivery == delivery);
                let belongs = match lane {
                    Lane::Fresh => expected == StoredStatus::Pending,
                    _ => expected == StoredStatus::Retrying,
                };
                assert_eq!(listed, belongs, "{case}: {lane:?}");
            }
        }
    }
}

fn the_same_record_twice_is_the_same_as_once(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let verdicts = [Verdict::RetryAt(START + HOUR), Verdict::Exhausted, Verdict::Delivered];
    for (number, verdict) in verdicts.into_iter().enumerate() {
        let delivery = world.deliver(&acme, &format!("kind{number}.scheduled"));
        let record = world.attempt(delivery, 0, verdict);
        let answers = world.commit(|transaction| transaction.record(&[&record, &record]));
        assert_eq!(answers[0], answers[1]);
        let once = world.delivery(&acme, delivery);
        world.kill();
        assert_eq!(world.record(&record), answers[0], "a repetition after a restart");
        assert_eq!((world.delivery(&acme, delivery), world.attempts(delivery).len()), (once, 1));
    }
    let delivery = world.deliver(&acme, "kind.manual");
    let record = world.manual_attempt(delivery, 0, Verdict::Unchanged);
    let answers = world.commit(|transaction| transaction.record(&[&record, &record]));
    assert_eq!(answers, [Recorded::Written(StoredStatus::Pending); 2]);
    assert_eq!(world.delivery(&acme, delivery).attempt_count, 1);

    // Its repetition long after still finds it, and says where things stand.
    let next = world.attempt(delivery, 1, Verdict::Delivered);
    world.record(&next);
    assert_eq!(world.record(&record), Recorded::Written(StoredStatus::Delivered));
    assert_eq!(world.attempts(delivery).len(), 2);
}

fn an_outdated_record_changes_nothing(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)));
    let before = world.delivery(&acme, delivery);
    world.advance(SECOND);
    for (attempts_before, verdict) in [(0, Verdict::Delivered), (0, Verdict::Exhausted), (7, Verdict::Delivered)] {
        let scheduled = world.attempt(delivery, attempts_before, verdict);
        let manual = Record { kind: AttemptKind::Manual, ..scheduled.clone() };
        assert_eq!(world.record(&scheduled), Recorded::Superseded);
        assert_eq!(world.record(&manual), Recorded::Superseded);
    }
    assert_eq!((world.delivery(&acme, delivery), world.attempts(delivery).len()), (before, 1));
}

fn a_record_of_what_is_gone_is_superseded(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
    let horizon = world.now + DAY;
    world.commit(|transaction| transaction.retire(horizon, None, 10));
    assert_eq!(world.store().delivery(&acme, delivery).expect("readable"), None);

    let elsewhere = DeliveryId::from_uuid(world.accept(&acme, "campaign.updated").id.uuid());
    for unknown in [delivery, elsewhere] {
        for record in
            [world.attempt(unknown, 0, Verdict::Delivered), world.manual_attempt(unknown, 1, Verdict::Unchanged)]
        {
            assert_eq!(world.record(&record), Recorded::Superseded);
        }
        assert_eq!(world.attempts(unknown), []);
    }
}

fn a_scheduled_attempt_that_changes_nothing_is_a_fault(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let (one, other) = (world.deliver(&acme, "campaign.created"), world.deliver(&acme, "campaign.updated"));
    let (sound, fault) = (world.attempt(one, 0, Verdict::Delivered), world.attempt(other, 0, Verdict::Unchanged));
    let undone = world.try_commit(|transaction| transaction.record(&[&sound, &fault]));
    assert!(matches!(undone, Err(CommitError::RolledBack(StoreError::Constraint(_)))), "{undone:?}");
    assert_eq!(world.delivery(&acme, one).attempt_count, 0, "it was undone with the other");
}

fn an_attempt_by_hand_moves_no_schedule(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)));
    let scheduled = world.due(endpoint.id, Lane::Retry);

    world.advance(SECOND);
    world.commit(|transaction| transaction.request_attempt(delivery));
    let asked = world.due(endpoint.id, Lane::Manual);
    assert_eq!((asked.len(), asked[0].due_at, asked[0].attempt_count), (1, world.now, 1));
    world.record(&world.manual_attempt(delivery, 1, Verdict::Unchanged));
    assert_eq!(world.due(endpoint.id, Lane::Manual), []);

    let after = world.due(endpoint.id, Lane::Retry);
    assert_eq!((after[0].due_at, after[0].scheduled_attempts, after[0].attempt_count), (scheduled[0].due_at, 1, 2));
    // The schedule goes on behind it, at its own count.
    world.advance(HOUR);
    world.record(&world.attempt(delivery, 2, Verdict::RetryAt(START + DAY)));
    let last = world.due(endpoint.id, Lane::Retry);
    assert_eq!((last[0].due_at, last[0].scheduled_attempts, last[0].attempt_count), (START + DAY, 2, 3));
}

fn an_attempt_by_hand_can_be_asked_for_again(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
    let asked_at = world.now;
    world.commit(|transaction| transaction.request_attempt(delivery));
    world.advance(SECOND);
    world.commit(|transaction| transaction.request_attempt(delivery));
    assert_eq!(world.notices.len(), 1, "the actor is told, also when nothing changes");
    let asked = world.due(endpoint.id, Lane::Manual);
    assert_eq!((asked.len(), asked[0].due_at, asked[0].status), (1, asked_at, EXHAUSTED));

    let first = world.manual_attempt(delivery, 1, Verdict::Unchanged);
    assert_eq!(world.record(&first), Recorded::Written(EXHAUSTED));
    world.commit(|transaction| transaction.request_attempt(delivery));
    assert_eq!(world.record(&first), Recorded::Written(EXHAUSTED), "the first once more");
    assert_eq!(world.due(endpoint.id, Lane::Manual).len(), 1, "takes nothing from the second");
    assert_eq!(
        world.record(&world.manual_attempt(delivery, 2, Verdict::Delivered)),
        Recorded::Written(StoredStatus::Delivered)
    );
    assert_eq!(world.due(endpoint.id, Lane::Manual), []);
}

fn a_late_success_delivers_what_was_given_up(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    // It is held for so long that retention discards it, while its one
    // attempt, begun before, hangs.
    let under_way = world.attempt(delivery, 0, Verdict::Delivered);
    world.enable(&acme, endpoint.id, false);
    let horizon = world.now + SECOND;
    world.advance(DAY);
    world.commit(|transaction| transaction.retire(horizon, None, 10));
    assert_eq!(world.delivery(&acme, delivery).status, shown(RETIRED));
    assert_eq!(world.record(&under_way), Recorded::Written(StoredStatus::Delivered));
    let seen = world.delivery(&acme, delivery);
    assert_eq!((seen.status, seen.finished_at), (DeliveryStatus::Delivered, Some(under_way.finished_at)));
}

fn a_deleted_endpoint_gets_no_attempt_by_hand(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
    world.delete(&acme, endpoint.id);
    world.commit(|transaction| transaction.request_attempt(delivery));
    assert_eq!(world.due(endpoint.id, Lane::Manual), []);
}

fn no_retry_follows_for_a_deleted_endpoint(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    let answers = world.commit(|transaction| {
        assert!(transaction.delete_endpoint(&acme, endpoint.id)?);
        transaction.record(&[&failed])
    });
    assert_eq!(answers, [Recorded::Written(DELETED)]);
    assert_eq!(world.due(endpoint.id, Lane::Retry), []);
    assert_eq!(world.attempts(delivery).len(), 1, "what was tried was tried");
    assert_eq!(world.delivery(&acme, delivery).next_attempt_at, None);
}

fn outcomes_read_back_as_they_were(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    let mut outcomes: Vec<Outcome> =
        ErrorClass::ALL.into_iter().map(|class| Outcome::failed(class, format!("because of {class}"))).collect();
    outcomes.push(Outcome::answered(503, Bytes::from_static(b"\xff\x00 not text \xfe")));
    outcomes.push(Outcome {
        status_code: Some(299),
        error: Some(AttemptError { class: ErrorClass::Protocol, message: "an \u{e9}, a '\n'".into() }),
        response_body: Bytes::from(vec![b'x'; 4_096]),
        retry_after: None,
        exchange: None,
    });
    let mut headers = ResponseHeaders::default();
    headers.push("x-what", "an \u{e9}, a \0".as_bytes(), 100);
    headers.push("x-why", b"", 100);
    for connection in [None, Some(ConnectionUse::New), Some(ConnectionUse::Reused)] {
        let timing = Timing { dns_ms: Some(0), connect_ms: None, tls_ms: Some(u32::MAX), first_byte_ms: Some(7) };
        let exchange = Exchange {
            settings_version: connection.map(|_| 3),
            connection,
            address: connection.map(|_| "[2001:db8::1]:443".parse().expect("an address")),
            timing: if connection.is_some() { timing } else { Timing::default() },
            response_headers: headers.clone(),
        };
        outcomes.push(Outcome { exchange: Some(Box::new(exchange)), ..Outcome::answered(200, Bytes::new()) });
    }
    outcomes.push(Outcome { exchange: Some(Box::default()), ..Outcome::answered(200, Bytes::new()) });
    let durations = [0, 1, 15_000, u64::from(u32::MAX), u64::MAX / 1_000].map(Duration::from_millis);
    for (number, outcome) in outcomes.iter().enumerate() {
        world.advance(SECOND);
        let record = Record {
            outcome: outcome.clone(),
            duration: durations[number % durations.len()],
            ..world.attempt(delivery, number as u32, Verdict::RetryAt(world.now + HOUR))
        };
        // By hand they are written in another way.
        let kind = if number % 2 == 0 { AttemptKind::Scheduled } else { AttemptKind::Manual };
        world.record(&Record { kind, ..record });
    }
    let attempts = world.attempts(delivery);
    assert_eq!(attempts.len(), outcomes.len());
    for (number, (attempt, outcome)) in attempts.iter().zip(&outcomes).enumerate() {
        assert_eq!(attempt.number, number as u32 + 1);
        assert_eq!(&attempt.outcome, outcome);
        assert_eq!(attempt.started_at, START + SECOND * (number as u32 + 1));
        let duration = durations[number % durations.len()].as_millis();
        assert_eq!(u128::from(attempt.duration_ms), duration.min(u128::from(u32::MAX)));
    }
}

fn attempts_survive_the_end_of_the_process(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    for before in 0..4 {
        world.record(&world.attempt(delivery, before, Verdict::RetryAt(START + HOUR * (before + 1))));
        if before == 2 {
            world.commit(|transaction| transaction.request_attempt(delivery));
        }
        world.kill();
        let due = world.due(endpoint.id, Lane::Retry);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].due_at, due[0].attempt_count), (START + HOUR * (before + 1), before + 1));
        assert_eq!(world.attempts(delivery).len(), before as usize + 1);
    }
    assert_eq!(world.due(endpoint.id, Lane::Manual).len(), 1);
}
