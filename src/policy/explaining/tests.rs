use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::attempts::After;
use super::*;
use crate::domain::{
    Attempt, AttemptError, Delivery, DiscardReason, EndpointId, ErrorClass, EventId, OpenBreaker, Outcome,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn id() -> (DeliveryId, EndpointId) {
    (DeliveryId::from_uuid(Uuid::from_u128(1)), EndpointId::from_uuid(Uuid::from_u128(2)))
}

fn first() -> DeliveryId {
    DeliveryId::from_uuid(Uuid::from_u128(3))
}

fn after(millis: u64) -> Timestamp {
    NOW + Duration::from_millis(millis)
}

fn before(millis: u64) -> Timestamp {
    NOW - Duration::from_millis(millis)
}

/// A delivery that is due, of an endpoint in no trouble whose actor has it in its window.
fn due(trouble: &Trouble) -> Facts<'_> {
    Facts {
        status: DeliveryStatus::Pending,
        due_at: Some(before(5)),
        was_tried: false,
        deliver_at: None,
        is_queued: false,
        first_in_order: None,
        has_place: false,
        is_ordered: false,
        is_enabled: true,
        paused_at: None,
        braked_at: None,
        trouble,
        actor: Actor::Told { doing: Some(Doing::Waiting), paced_until: None, is_busy: false },
    }
}

#[test]
fn what_is_planned_is_what_the_schedule_has_left() {
    let waits = [1_000, 2_000, 3_000].map(Duration::from_millis);
    let policy = RetryPolicy::Schedule(waits.to_vec());
    assert_eq!(planned(&policy, 0, NOW), [NOW, after(1_000), after(3_000), after(6_000)]);
    assert_eq!(planned(&policy, 2, after(500)), [after(500), after(3_500)]);
    assert_eq!(planned(&policy, 3, NOW), [NOW]);
    assert_eq!(planned(&policy, 4, NOW), []);
    for made in 0..20 {
        let policy = RetryPolicy::default();
        assert_eq!(planned(&policy, made, NOW).len(), attempts_left(&policy, made) as usize, "{made}");
    }
}

#[test]
fn each_thing_that_keeps_a_delivery_waiting_is_told() {
    let well = Trouble::default();
    let check = |facts: Facts<'_>, expected: WaitsFor| assert_eq!(WaitsFor::of(&facts, NOW), expected, "{facts:?}");
    check(due(&well), WaitsFor::Queue { ahead: None, is_busy: false });
    let told = |doing, paced_until, is_busy| Actor::Told { doing, paced_until, is_busy };
    check(Facts { actor: told(None, None, true), ..due(&well) }, WaitsFor::Queue { ahead: None, is_busy: true });
    check(Facts { actor: Actor::NotAsked, ..due(&well) }, WaitsFor::Queue { ahead: None, is_busy: false });
    for (doing, is_over) in [(Doing::Sending, false), (Doing::Recording, true)] {
        check(Facts { actor: told(Some(doing), None, true), ..due(&well) }, WaitsFor::Attempt { is_over });
    }
    check(Facts { actor: told(None, Some(after(9)), false), ..due(&well) }, WaitsFor::RateLimit { until: after(9) });
    check(Facts { due_at: Some(after(7)), ..due(&well) }, WaitsFor::Schedule { until: after(7) });
    check(
        Facts { due_at: Some(after(7)), deliver_at: Some(after(7)), ..due(&well) },
        WaitsFor::DeliverAt { until: after(7) },
    );
    check(
        Facts { due_at: Some(after(7)), deliver_at: Some(before(7)), was_tried: true, ..due(&well) },
        WaitsFor::Schedule { until: after(7) },
    );
    check(
        Facts { is_queued: true, first_in_order: Some(first()), due_at: None, ..due(&well) },
        WaitsFor::Order { first: Some(first()), has_place: true },
    );
    check(Facts { is_ordered: true, ..due(&well) }, WaitsFor::Order { first: None, has_place: false });
    for absence in [Absence::Nobody, Absence::Held("node".into()), Absence::Silent("node".into())] {
        let facts = Facts { actor: Actor::Absent(absence.clone()), ..due(&well) };
        check(facts.clone(), WaitsFor::OwnerNode(absence));
        // What is not due needs nobody yet.
        check(Facts { due_at: Some(after(7)), ..facts }, WaitsFor::Schedule { until: after(7) });
    }
}

#[test]
fn of_what_keeps_it_the_longest_is_told() {
    let open = |probe_at| Some(OpenBreaker { opened_at: before(100), probes: 1, probe_at });
    let check = |breaker, not_before, due_at, expected: WaitsFor| {
        let trouble = Trouble { breaker, not_before, ..Trouble::default() };
        let facts = Facts { due_at: Some(due_at), was_tried: true, ..due(&trouble) };
        assert_eq!(WaitsFor::of(&facts, NOW), expected);
    };
    let breaker = |until| WaitsFor::Breaker { since: before(100), until };
    check(open(after(50)), None, before(5), breaker(after(50)));
    // A probe may be due, or under way: the breaker it is.
    check(open(before(1)), None, before(5), breaker(before(1)));
    check(open(after(50)), None, after(20), breaker(after(50)));
    check(open(after(50)), None, after(80), WaitsFor::Schedule { until: after(80) });
    check(open(after(50)), Some(after(60)), before(5), WaitsFor::RetryAfter { until: after(60) });
    check(open(after(50)), Some(after(40)), before(5), breaker(after(50)));
    check(None, Some(after(60)), before(5), WaitsFor::RetryAfter { until: after(60) });
    check(None, Some(after(60)), after(80), WaitsFor::Schedule { until: after(80) });
    check(None, Some(before(60)), before(5), WaitsFor::Queue { ahead: None, is_busy: false });
}

#[test]
fn who_holds_an_endpoint_is_told() {
    let disabled = |reason| Trouble { disabled: Some((before(3), reason)), ..Trouble::default() };
    let check = |is_enabled, paused_at, braked_at, trouble: &Trouble, by, since| {
        let facts = Facts { status: DeliveryStatus::Held, is_enabled, paused_at, braked_at, ..due(trouble) };
        assert_eq!(WaitsFor::of(&facts, NOW), WaitsFor::Hold { by, since });
    };
    let well = Trouble::default();
    check(false, None, None, &well, Holder::Settings, None);
    for reason in DisabledReason::ALL {
        check(false, Some(before(9)), None, &disabled(reason), Holder::Disabled(reason), Some(before(3)));
    }
    check(true, Some(before(9)), None, &well, Holder::Paused(PausedBy::Partner), Some(before(9)));
    check(true, None, Some(before(8)), &well, Holder::Paused(PausedBy::Operator), Some(before(8)));
    check(true, Some(before(9)), Some(before(8)), &well, Holder::Paused(PausedBy::Both), Some(before(9)));
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of(
        (0..200_000_000_u64, any::<bool>()).prop_map(|(by, later)| if later { after(by) } else { before(by) }),
    )
}

fn actors() -> impl Strategy<Value = Actor> {
    let doing = prop_oneof![Just(Doing::Sending), Just(Doing::Recording), Just(Doing::Waiting)];
    let node = || "[a-z]{4}".prop_map(String::from);
    prop_oneof![
        Just(Actor::NotAsked),
        Just(Actor::Absent(Absence::Nobody)),
        node().prop_map(|node| Actor::Absent(Absence::Held(node))),
        node().prop_map(|node| Actor::Absent(Absence::Silent(node))),
        (prop::option::of(doing), times(), any::<bool>()).prop_map(|(doing, paced_until, is_busy)| Actor::Told {
            doing,
            paced_until,
            is_busy
        }),
    ]
}

fn troubles() -> impl Strategy<Value = Trouble> {
    let reasons = prop_oneof![Just(DisabledReason::Failing), Just(DisabledReason::Gone)];
    (times(), times(), times(), prop::option::of(reasons)).prop_map(|(opened_at, probe_at, not_before, reason)| {
        Trouble {
            breaker: opened_at.zip(probe_at).map(|(opened_at, probe_at)| OpenBreaker {
                opened_at,
                probes: 0,
                probe_at,
            }),
            not_before,
            disabled: reason.map(|reason| (NOW, reason)),
            ..Trouble::default()
        }
    })
}

/// A sentence says something, and is one: no end, no lines, no word of ours for a loss.
fn is_a_sentence(text: &str) -> Result<(), TestCaseError> {
    prop_assert!(text.len() > 10, "{text}");
    prop_assert!(!text.ends_with('.') && !text.contains('\n') && !text.contains("  "), "{text}");
    prop_assert!(!text.to_lowercase().contains("unknown") && !text.contains("None"), "{text}");
    Ok(())
}

const STATUSES: [DeliveryStatus; 10] = [
    DeliveryStatus::Pending,
    DeliveryStatus::Retrying,
    DeliveryStatus::Held,
    DeliveryStatus::Delivered,
    DeliveryStatus::RetriesExhausted,
    DeliveryStatus::Discarded(DiscardReason::EndpointDeleted),
    DeliveryStatus::Discarded(DiscardReason::Retention),
    DeliveryStatus::Discarded(DiscardReason::Skipped),
    DeliveryStatus::Discarded(DiscardReason::Expired),
    DeliveryStatus::Discarded(DiscardReason::Dismissed),
];

proptest! {
    #[test]
    fn whatever_a_delivery_waits_for_there_is_a_sentence_for_it(
        status in 0..3_usize, (due_at, deliver_at, paused_at, braked_at) in (times(), times(), times(), times()),
        (was_tried, is_queued, has_place, is_ordered, is_enabled, knows_first) in any::<(bool, bool, bool, bool, bool, bool)>(),
        trouble in troubles(), actor in actors(), left in prop::option::of(any::<u32>()),
        ahead in prop::option::of((0..2_000_usize, any::<bool>())),
    ) {
        let facts = Facts {
            status: STATUSES[status], due_at, was_tried, deliver_at, is_queued, has_place, is_ordered, is_enabled,
            first_in_order: knows_first.then(first), paused_at, braked_at, trouble: &trouble, actor: actor.clone(),
        };
        let mut waits_for = WaitsFor::of(&facts, NOW);
        if let WaitsFor::Queue { ahead: found, .. } = &mut waits_for {
            *found = ahead.map(|(count, has_more)| Ahead { count, has_more });
        }
        // Held is held, and nothing else is.
        prop_assert_eq!(status == 2, matches!(waits_for, WaitsFor::Hold { .. }));
        // What is told to come is still to come, but for a probe that may be under way.
        match waits_for {
            WaitsFor::Schedule { until } | WaitsFor::DeliverAt { until } | WaitsFor::RetryAfter { until }
                | WaitsFor::RateLimit { until } => prop_assert!(until > NOW),
            _ => {}
        }
        is_a_sentence(&waiting(&waits_for, id(), left, NOW))?;
        prop_assert!(!waits_for.as_str().is_empty());
    }

    #[test]
    fn every_end_of_a_delivery_has_a_sentence_and_no_other_state_has(
        attempt_count in 0..100_u32, finished_at in times(), has_error: bool, erased_at in times(),
    ) {
        let error = AttemptError { class: ErrorClass::HttpStatus, message: "answered 503".into() };
        for status in STATUSES {
            let (delivery_id, endpoint) = id();
            let delivery = Delivery {
                id: delivery_id, endpoint, event: EventId::from_uuid(Uuid::from_u128(4)),
                event_type: "a.b".parse().expect("a type"), status, attempt_count, scheduled_attempts: attempt_count,
                is_queued: false, next_attempt_at: None, sequence: None,
        place: None, replay: None, created_at: NOW, finished_at,
            };
            let told = super::delivery(&delivery, has_error.then_some(&error), erased_at);
            let is_waiting =
                matches!(status, DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Held);
            prop_assert_eq!(told.is_none(), is_waiting);
            let newer = Delivery { id: DeliveryId::from_uuid(Uuid::from_u128(9)), ..delivery.clone() };
            let superseded = superseded(&delivery, &newer);
            prop_assert_eq!(superseded.is_some(), !is_waiting && status != DeliveryStatus::Delivered);
            for told in superseded.iter() {
                is_a_sentence(told)?;
                prop_assert!(told.contains(&newer.id.to_string()) && !told.contains("/retry`"), "{}", told);
            }
            if let Some(told) = told {
                is_a_sentence(&told)?;
                // Nobody is told to send what is not there, nor that what could be is not.
                let is_advised = told.contains("/retry`") || told.contains("replay");
                prop_assert!(!(is_advised && erased_at.is_some()), "{}", told);
                let is_over = matches!(
                    status, DeliveryStatus::Delivered | DeliveryStatus::Discarded(DiscardReason::Retention)
                );
                prop_assert_eq!(told.contains("its payload was erased"), erased_at.is_some() && !is_over, "{}", told);
            }
        }
    }

    #[test]
    fn every_attempt_has_a_sentence(
        status in prop::option::of(100..600_u16), duration_ms: u32, next_at in times(), left in prop::option::of(any::<u32>()),
        state in 0..STATUSES.len(), is_last: bool,
    ) {
        let outcome = status.map_or_else(
            || Outcome::failed(ErrorClass::Dns, "the name does not resolve"),
            |status| Outcome::answered(status, Bytes::new()),
        );
        let attempt = Attempt { number: 1, started_at: NOW, duration_ms, outcome };
        let after = is_last.then_some(After { status: STATUSES[state], next_at, attempts_left: left });
        is_a_sentence(&super::attempt(&attempt, after, NOW))?;
    }

    #[test]
    fn attempts_left_go_down_to_none(retries in 0..30_u32, made in 0..100_u32) {
        let policy = RetryPolicy::Schedule(vec![Duration::from_secs(1); retries as usize]);
        prop_assert_eq!(attempts_left(&policy, made), (retries + 1).saturating_sub(made));
    }
}

#[test]
fn what_was_erased_is_not_said_to_be_sent_by_a_replay() {
    let (endpoint, event_type) = (id().1, "a.b".parse().expect("a type"));
    for (erased_at, is_advised) in [(None, true), (Some(NOW), false)] {
        let missed = not_subscribed(endpoint, &event_type, Some((2, None)), erased_at);
        let late = not_yet_created(endpoint, &event_type, NOW, true, erased_at);
        for told in [missed, late] {
            assert_eq!(told.contains("a replay of what is `missing` sends it"), is_advised, "{told}");
            assert_eq!(told.contains("its payload was erased at"), !is_advised, "{told}");
        }
    }
}

#[test]
fn sentences_read_as_they_should() {
    let attempt = |outcome, duration_ms| Attempt { number: 4, started_at: NOW, duration_ms, outcome };
    let retrying = |next_at| Some(After { status: DeliveryStatus::Retrying, next_at, attempts_left: Some(11) });
    let failed = attempt(Outcome::answered(503, Bytes::new()), 812);
    assert_eq!(
        super::attempt(&failed, retrying(Some(after(41_000))), NOW),
        "answered 503 after 812 ms; next attempt in 41 s, 11 left"
    );
    assert_eq!(
        super::attempt(&failed, retrying(Some(before(1))), NOW),
        "answered 503 after 812 ms; next attempt due, 11 left"
    );
    assert_eq!(super::attempt(&failed, None, NOW), "answered 503 after 812 ms");
    let slow = attempt(Outcome::failed(ErrorClass::Timeout, "no answer within 15000 ms"), 15_003);
    assert_eq!(super::attempt(&slow, None, NOW), "failed after 15 s: no answer within 15000 ms");
    assert_eq!(
        super::attempt(&attempt(Outcome::answered(204, Bytes::new()), 9), None, NOW),
        "answered 204 after 9 ms: delivered"
    );
    for (seconds, expected) in [
        (0, "0 ms"),
        (119, "119 s"),
        (120, "2 min"),
        (3_725, "62 min 5 s"),
        (7_260, "2 h 1 min"),
        (200_000, "2 days 7 h"),
    ] {
        assert_eq!(span(Duration::from_secs(seconds)), expected);
    }
}
