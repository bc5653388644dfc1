//! What things look like to clients: the wire types of answers. Attempts, what deliveries
//! wait for and what became of events are in `outcomes`.

mod outcomes;

use serde_json::{Map, Value, json};

use crate::domain::{
    ClientCertificate, Delivery, DeliveryStatus, Endpoint, EndpointSettings, ErrorClass, Event, EventFilter,
    EventOrder, FieldPointer, Partner, PausedBy, Timestamp, Trouble,
};
use crate::routes::retry;
use crate::store::{Brake, Due, KeyRecord, LastAnswer, NodeRecord, OutcomeCounts};

pub use outcomes::{attempt, event_outcome, request_headers, waits_for};

/// What is shown in place of a value that may be a secret.
pub const REDACTED: &str = "(redacted)";

pub(super) fn time(time: Timestamp) -> Value {
    Value::String(time.to_string())
}

pub(super) fn maybe_time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::String(time.to_string()))
}

/// What is known of an endpoint's trouble.
pub fn trouble(trouble: &Trouble) -> Value {
    json!({
        "breaker": if trouble.breaker.is_some() { "open" } else { "closed" },
        "breaker_opened_at": maybe_time(trouble.breaker.map(|open| open.opened_at)),
        "failed_probes": trouble.breaker.map_or(0, |open| open.probes),
        "next_probe_at": maybe_time(trouble.breaker.map(|open| open.probe_at)),
        "failing_since": maybe_time(trouble.failing_since),
        "retry_after": maybe_time(trouble.not_before),
        "warned_at": maybe_time(trouble.warned_at),
        "announced_at": maybe_time(trouble.announced_at),
        "disabled_at": maybe_time(trouble.disabled.map(|(at, _)| at)),
        "disabled_reason": trouble.disabled.map(|(_, reason)| reason.as_str()),
    })
}

/// A delivery that waits.
pub fn waiting(due: &Due, now: Timestamp) -> Value {
    json!({
        "delivery": due.delivery.to_string(),
        "created_at": time(due.delivery.made_at()),
        "due_at": time(due.due_at),
        "overdue_ms": now.since(due.due_at).as_millis() as u64,
    })
}

/// An endpoint. The values of its headers may be secrets and are not shown.
pub fn endpoint(endpoint: &Endpoint) -> Value {
    let EndpointSettings {
        url,
        events,
        description,
        enabled,
        headers,
        max_concurrency,
        timeout,
        retry,
        rate_limit,
        disable_on_gone,
        filter,
        order,
        signing,
        client_certificate,
    } = &endpoint.settings;
    let headers: Map<String, Value> = headers.iter().map(|header| (header.name.to_string(), json!(REDACTED))).collect();
    let mut value = json!({
        "id": endpoint.id.to_string(),
        "partner": endpoint.partner.as_ref().map_or("*", |partner| partner.as_str()),
        "environment": endpoint.environment.as_str(),
        "url": url,
        "events": events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "description": description,
        "enabled": enabled,
        "headers": headers,
        "format": "flat",
        "ordering": ordering(order.as_ref()),
        "rate_limit": rate_limit.map(|per_second| json!({ "per_second": per_second })),
        "filter": filter.as_ref().map(EventFilter::schema),
        "max_concurrency": max_concurrency,
        "timeout_ms": timeout.as_millis() as u64,
        "retry": retry.as_ref().map(retry::show),
        "disable_on_gone": disable_on_gone,
        "signing": signing.as_str(),
        "client_certificate": client_certificate.as_deref().map(certificate),
        "status": endpoint.status().as_str(),
        "paused_at": maybe_time(endpoint.paused_at),
        "braked_at": maybe_time(endpoint.braked_at),
        "paused_by": endpoint.paused_by().map(PausedBy::as_str),
        "version": endpoint.version,
        "created_at": time(endpoint.created_at),
        "updated_at": time(endpoint.updated_at),
    });
    if endpoint.partner.is_none() {
        value["partners"] = json!("*");
    }
    value
}

/// Which certificate it is, and never its key.
fn certificate(certificate: &ClientCertificate) -> Value {
    json!({
        "subject": certificate.subject,
        "sha256": certificate.fingerprint(),
        "not_after": time(certificate.not_after),
    })
}

fn ordering(order: Option<&EventOrder>) -> Value {
    match order {
        None => json!("none"),
        Some(EventOrder::Fifo) => json!("fifo"),
        Some(EventOrder::By(pointer)) => json!({ "by": pointer.as_str() }),
    }
}

/// A delivery without its attempts.
pub fn delivery(delivery: &Delivery) -> Value {
    let mut value = json!({
        "id": delivery.id.to_string(),
        "endpoint": delivery.endpoint.to_string(),
        "event": delivery.event.to_string(),
        "event_type": delivery.event_type.as_str(),
        "status": delivery.status.as_str(),
        "attempt_count": delivery.attempt_count,
        "next_attempt_at": maybe_time(delivery.next_attempt_at),
        "sequence": delivery.sequence,
        "place": delivery.place,
        "replay": delivery.replay.map(|replay| replay.to_string()),
        "created_at": time(delivery.created_at),
        "finished_at": maybe_time(delivery.finished_at),
    });
    if let DeliveryStatus::Discarded(reason) = delivery.status {
        value["reason"] = json!(reason.as_str());
    }
    value
}

/// An event without its payload.
pub fn event(event: &Event) -> Value {
    json!({
        "id": event.id.to_string(),
        "event": event.event_type.as_str(),
        "environment": event.environment.as_str(),
        "partner": event.partner.as_ref().map_or("*", |partner| partner.as_str()),
        "accepted_at": time(event.accepted_at),
        "deliver_at": maybe_time(event.times.deliver_at),
        "expires_at": maybe_time(event.times.expires_at),
        "idempotency_key": event.idempotency_key,
        "bytes": event.body.len(),
        "retain": event.is_unretained.then_some("none"),
        "erased": event.erased.map(|erased| json!({ "at": time(erased.at), "by": erased.by.as_str() })),
    })
}

/// An event of a list, with the values that it is found by, and where it stands.
pub fn listed_event(shown: &Event, values: &[(FieldPointer, String)], counts: &OutcomeCounts) -> Value {
    let mut value = event(shown);
    value["indexed"] = indexed(values);
    value["outcomes"] = json!({
        "pending": counts.pending,
        "retrying": counts.retrying,
        "held": counts.held,
        "delivered": counts.delivered,
        "retries_exhausted": counts.retries_exhausted,
        "discarded": counts.discarded,
        "complete": counts.is_complete,
    });
    value
}

/// Values that an event is found by.
pub fn indexed(values: &[(FieldPointer, String)]) -> Value {
    values.iter().map(|(pointer, value)| json!({ "pointer": pointer.as_str(), "value": value })).collect()
}

/// A delivery of a list, with what it was answered last and how many attempts its
/// schedule has left.
pub fn listed_delivery(shown: &Delivery, answer: Option<&LastAnswer>, attempts_left: Option<u32>) -> Value {
    let mut value = delivery(shown);
    value["attempts_left"] = json!(attempts_left);
    value["last_answer"] = json!(answer.map(|answer| json!({
        "status_code": answer.status_code,
        "error_class": answer.error.map(ErrorClass::as_str),
    })));
    value
}

/// A partner.
pub fn partner(partner: &Partner) -> Value {
    json!({
        "name": partner.name.as_str(),
        "created_at": time(partner.created_at),
        "erasing": partner.erasing_since.map(|since| json!({ "since": time(since) })),
    })
}

/// A node.
pub fn node(record: &NodeRecord) -> Value {
    json!({
        "id": record.id.to_string(),
        "address": record.address,
        "version": record.version,
        "since": time(record.id.made_at()),
        "partitions": record.partitions,
        "in_flight": record.in_flight,
        "held": record.is_held,
        "lease_until": maybe_time(record.lease_until),
    })
}

/// A brake in force.
pub fn brake(brake: &Brake) -> Value {
    json!({
        "environment": brake.scope.environment.as_str(),
        "partner": brake.scope.partner.as_ref().map_or("*", |partner| partner.as_str()),
        "since": time(brake.since),
        "reason": brake.reason,
    })
}

/// A link to the portal, without its token.
pub fn portal_link(record: &KeyRecord) -> Value {
    json!({
        "id": record.id.to_string(),
        "partner": record.partner.as_ref().map(|partner| partner.as_str()),
        "environment": record.environment.map(|environment| environment.as_str()),
        "description": record.description,
        "single_use": record.link.is_some_and(|link| link.single_use),
        "created_at": time(record.created_at),
        "expires_at": maybe_time(record.expires_at),
        "opened_at": maybe_time(record.link.and_then(|link| link.spent_at)),
        "revoked_at": maybe_time(record.revoked_at),
    })
}

/// A key, without the key.
pub fn key(record: &KeyRecord) -> Value {
    json!({
        "id": record.id.to_string(),
        "prefix": record.prefix,
        "role": record.role.as_str(),
        "environment": record.environment.map(|environment| environment.as_str()),
        "partner": record.partner.as_ref().map(|partner| partner.as_str()),
        "description": record.description,
        "created_at": time(record.created_at),
        "expires_at": maybe_time(record.expires_at),
        "revoked_at": maybe_time(record.revoked_at),
        "last_used_at": maybe_time(record.last_used_at),
    })
}
