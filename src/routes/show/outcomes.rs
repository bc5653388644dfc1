//! What attempts, waiting deliveries and the outcomes of events look like: facts, and
//! beside them the sentences that `policy::explaining` makes of them.

use serde_json::{Value, json};
use url::Position;

use super::{REDACTED, delivery, maybe_time, time};
use crate::catalog::FieldError;
use crate::domain::{Attempt, ConnectionUse, DeliveryStatus, Event, Exchange, Timestamp, Timing};
use crate::engine::AttemptHeaders;
use crate::policy::explaining::{self, Absence, Holder, WaitsFor};
use crate::routes::explaining::Explained;
use crate::store::{EventOutcome, SentSettings};

/// What is shown in place of a signature: whoever has it has a request that passes.
const SIGNED: &str = "(signed)";

/// One attempt, with a sentence about it. A response body is any bytes: what is not UTF-8
/// is replaced.
pub fn attempt(attempt: &Attempt, explanation: &str) -> Value {
    let outcome = &attempt.outcome;
    // Of an attempt of an earlier release nothing more is on record.
    let nothing = Exchange::default();
    let exchange = outcome.exchange.as_deref().unwrap_or(&nothing);
    let Timing { dns_ms, connect_ms, tls_ms, first_byte_ms } = exchange.timing;
    json!({
        "number": attempt.number,
        "started_at": time(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "timing": { "dns_ms": dns_ms, "connect_ms": connect_ms, "tls_ms": tls_ms, "first_byte_ms": first_byte_ms },
        "connection": exchange.connection.map(ConnectionUse::as_str),
        "address": exchange.address.map(|address| address.to_string()),
        "settings_version": exchange.settings_version,
        "status_code": outcome.status_code,
        "error": outcome.error.as_ref().map(|error| json!({
            "class": error.class.as_str(),
            "message": error.message,
        })),
        "response_headers": response_headers(exchange),
        "response_body": String::from_utf8_lossy(&outcome.response_body),
        "explanation": explanation,
    })
}

/// By name, because the HTTP client keeps no other order; several of one name in theirs.
fn response_headers(exchange: &Exchange) -> Value {
    let mut headers: Vec<(&str, &str)> = exchange.response_headers.iter().collect();
    headers.sort_by_key(|(name, _)| *name);
    headers.into_iter().map(|(name, value)| header(name, value)).collect()
}

fn header(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

/// The headers of an attempt's request, made again: what is secret of them is not shown.
/// Those that belong to the exchange come first, as far as they can be told.
pub fn request_headers(headers: &AttemptHeaders, sent: Option<&SentSettings>, body_bytes: Option<usize>) -> Value {
    let host = sent
        .and_then(|sent| url::Url::parse(&sent.url).ok())
        .map(|url| url[Position::BeforeHost..Position::AfterPort].to_owned());
    let own = sent.map_or(&[][..], |sent| &sent.header_names);
    let listed =
        headers.list(headers.event.to_string(), SIGNED.into(), own.iter().map(|name| (name.as_str(), REDACTED)));
    let of_exchange = [("host", host), ("content-length", body_bytes.map(|bytes| bytes.to_string()))];
    let of_exchange = of_exchange.iter().filter_map(|(name, value)| value.as_ref().map(|value| header(name, value)));
    of_exchange.chain(listed.iter().map(|(name, value)| header(name, value))).collect()
}

/// What a delivery waits for: always the same fields, and `null` where one says nothing.
pub fn waits_for(waits_for: &WaitsFor) -> Value {
    let mut value = json!({
        "kind": waits_for.as_str(),
        "since": null,
        "until": null,
        "delivery": null,
        "by": null,
        "node": null,
        "owner": null,
        "ahead": null,
        "ahead_has_more": null,
    });
    match waits_for {
        WaitsFor::Attempt { .. } => {}
        WaitsFor::Schedule { until }
        | WaitsFor::DeliverAt { until }
        | WaitsFor::RetryAfter { until }
        | WaitsFor::RateLimit { until } => value["until"] = time(*until),
        WaitsFor::Breaker { since, until } => {
            value["since"] = time(*since);
            value["until"] = time(*until);
        }
        WaitsFor::Order { first, .. } => value["delivery"] = json!(first.map(|first| first.to_string())),
        WaitsFor::Hold { by, since } => {
            value["since"] = maybe_time(*since);
            value["by"] = json!(match by {
                Holder::Settings => "settings",
                Holder::Disabled(reason) => reason.as_str(),
                Holder::Paused(by) => by.as_str(),
            });
        }
        WaitsFor::OwnerNode(absence) => {
            let (owner, node) = match absence {
                Absence::Nobody => ("none", None),
                Absence::Held(node) => ("held", Some(node)),
                Absence::Silent(node) => ("silent", Some(node)),
            };
            value["owner"] = json!(owner);
            value["node"] = json!(node);
        }
        WaitsFor::Queue { ahead, .. } => {
            value["ahead"] = json!(ahead.map(|ahead| ahead.count));
            value["ahead_has_more"] = json!(ahead.map(|ahead| ahead.has_more));
        }
    }
    value
}

/// What became of an event for one endpoint. An outcome without a delivery explains
/// itself; of one with a delivery it was worked out before.
pub fn event_outcome(outcome: &EventOutcome, event: &Event, explained: Option<&Explained>, now: Timestamp) -> Value {
    let (event_type, erased_at) = (&event.event_type, event.erased.map(|erased| erased.at));
    let (endpoint, word, explanation) = match outcome {
        EventOutcome::Delivery { delivery, .. } => {
            let sentence = explained.map_or_else(String::new, |explained| explained.sentence.clone());
            (delivery.endpoint, delivery.status.as_str(), sentence)
        }
        EventOutcome::Filtered { endpoint, objections } => {
            let rules = objections.iter().map(|objection| (objection.pointer.as_str(), objection.detail.as_str()));
            (*endpoint, "filtered", explaining::filtered(*endpoint, rules))
        }
        EventOutcome::NotSubscribed { endpoint, later } => {
            let later = later.map(|later| (later.version, later.since));
            (*endpoint, "not_subscribed", explaining::not_subscribed(*endpoint, event_type, later, erased_at))
        }
        EventOutcome::NotYetCreated { endpoint, created_at, is_subscribed } => {
            let sentence = explaining::not_yet_created(*endpoint, event_type, *created_at, *is_subscribed, erased_at);
            (*endpoint, "not_yet_created", sentence)
        }
    };
    let mut value = json!({
        "endpoint": endpoint.to_string(),
        "outcome": word,
        "explanation": explanation,
        "waits_for": explained.and_then(|explained| explained.waits_for.as_ref()).map(waits_for),
        "attempts_left": explained.and_then(|explained| explained.attempts_left),
        "delivered_at": null,
        "subscribed_since": null,
        "delivery": null,
        "last_attempt": null,
    });
    match outcome {
        EventOutcome::Delivery { delivery: found, last_attempt } => {
            if found.status == DeliveryStatus::Delivered {
                value["delivered_at"] = maybe_time(found.finished_at);
            }
            value["delivery"] = delivery(found);
            if let (Some(last), Some(explained)) = (last_attempt, explained) {
                value["last_attempt"] = attempt(last, &explained.attempt(last, found, now));
            }
        }
        EventOutcome::Filtered { objections, .. } => {
            let shown = |objection: &FieldError| json!({ "pointer": objection.pointer, "detail": objection.detail });
            value["filtered_by"] = objections.iter().map(shown).collect();
        }
        EventOutcome::NotSubscribed { later, .. } => {
            value["subscribed_since"] = maybe_time(later.and_then(|later| later.since));
        }
        EventOutcome::NotYetCreated { created_at, is_subscribed, .. } => {
            value["subscribed_since"] = maybe_time(is_subscribed.then_some(*created_at));
        }
    }
    value
}
