//! What a delivery waits for, as a sentence with its cure.

use crate::domain::{DeliveryId, DisabledReason, EndpointId, PausedBy, Timestamp};

use super::{Absence, Ahead, Holder, WaitsFor, span, until};

/// Says what this delivery to this endpoint waits for, and what can be done about it.
pub fn waiting(
    waits_for: &WaitsFor,
    (delivery, endpoint): (DeliveryId, EndpointId),
    attempts_left: Option<u32>,
    now: Timestamp,
) -> String {
    let left = attempts_left.map_or_else(String::new, |left| format!(", {left} left"));
    match waits_for {
        WaitsFor::Attempt { is_over: false } => "an attempt is under way".into(),
        WaitsFor::Attempt { is_over: true } => "its attempt has ended, and the outcome is being written down".into(),
        WaitsFor::Schedule { until: at } => format!(
            "its next attempt is due {}{left}; `POST /deliveries/{delivery}/retry` makes one now",
            until(*at, now)
        ),
        WaitsFor::DeliverAt { until: at } => {
            format!(
                "its event is not to be delivered before {at} (`Posthaste-Deliver-At`), which is {}",
                until(*at, now)
            )
        }
        WaitsFor::Breaker { since, until: at } => format!(
            "{endpoint} has failed so often that its breaker is open, since {since}: one attempt at a time finds out \
             whether it is well, the next {}; the last attempts say what to mend, and `POST /webhook/{endpoint}/test` \
             whether it is mended",
            until(*at, now)
        ),
        WaitsFor::RetryAfter { until: at } => format!(
            "the receiver asked for no request before {at} (`Retry-After`), which is {}; \
             `POST /deliveries/{delivery}/retry` makes one all the same",
            until(*at, now)
        ),
        WaitsFor::RateLimit { until: at } => format!(
            "the `rate_limit` of {endpoint} lets the next request go {}; raise it if that is too slow",
            until(*at, now)
        ),
        WaitsFor::Order { has_place: false, .. } => {
            format!("it is about to be given its place in the order of {endpoint}")
        }
        WaitsFor::Order { first: Some(first), .. } => format!(
            "{first} is before it in the order of {endpoint} and has not ended; mend what that one fails at, or give it up \
             with `POST /deliveries/{first}/skip`"
        ),
        WaitsFor::Order { first: None, .. } => {
            format!("another delivery is before it in the order of {endpoint} and has not ended")
        }
        WaitsFor::Hold { by, since } => held(*by, *since, endpoint),
        WaitsFor::OwnerNode(Absence::Nobody) => format!(
            "no node owns {endpoint} just now: one takes it over when the last one's lease is over, if one is running; \
             see `GET /nodes`"
        ),
        WaitsFor::OwnerNode(Absence::Held(node)) => format!(
            "node {node} owns {endpoint} and is held, so that it sends nothing; an operator releases it with \
             `POST /nodes/{node}/release`"
        ),
        WaitsFor::OwnerNode(Absence::Silent(node)) => format!(
            "it is due; node {node} owns {endpoint} and has not said in time what it is doing; ask again, and see \
             `GET /nodes`"
        ),
        WaitsFor::Queue { ahead, is_busy } => queued(*ahead, *is_busy, endpoint),
    }
}

fn held(by: Holder, since: Option<Timestamp>, endpoint: EndpointId) -> String {
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let enable = format!("`PATCH /webhook/{endpoint}` with `{{\"enabled\": true}}` lets its deliveries go");
    match by {
        Holder::Settings => format!("{endpoint} is disabled by its settings and holds its deliveries; {enable}"),
        Holder::Disabled(DisabledReason::Failing) => {
            format!("{endpoint} is disabled{since}, because it failed for too long; mend the receiver, then {enable}")
        }
        Holder::Disabled(DisabledReason::Gone) => {
            format!("{endpoint} is disabled{since}, because its receiver answered 410; if it is back, {enable}")
        }
        Holder::Paused(PausedBy::Partner) => {
            format!("{endpoint} is paused{since}; `POST /webhook/{endpoint}/resume` lets its deliveries go")
        }
        Holder::Paused(PausedBy::Operator) => {
            format!("an operator's brake is over {endpoint}{since}; only an operator ends that, with `DELETE /brakes`")
        }
        Holder::Paused(PausedBy::Both) => format!(
            "{endpoint} is held{since}, paused by its partner and under an operator's brake; both have to end it: \
             `POST /webhook/{endpoint}/resume` and `DELETE /brakes`"
        ),
    }
}

fn queued(ahead: Option<Ahead>, is_busy: bool, endpoint: EndpointId) -> String {
    let busy = if is_busy {
        format!(", which has as many requests in flight as it is given (`GET /webhook/{endpoint}` shows how many)")
    } else {
        String::new()
    };
    match ahead {
        Some(Ahead { count: 0, .. }) => format!("it is due, and the next of its kind to {endpoint}{busy}"),
        Some(Ahead { count, has_more: false }) => format!("it is due behind {count} others to {endpoint}{busy}"),
        Some(Ahead { count, has_more: true }) => {
            format!("it is due behind {count} others or more to {endpoint}{busy}")
        }
        None => format!("it is due, and waits for its turn to {endpoint}{busy}"),
    }
}

/// What comes after a failed attempt.
pub(super) fn next_attempt(at: Timestamp, now: Timestamp, left: Option<u32>) -> String {
    let left = left.map_or_else(String::new, |left| format!(", {left} left"));
    if at > now { format!("next attempt in {}{left}", span(at.since(now))) } else { format!("next attempt due{left}") }
}
