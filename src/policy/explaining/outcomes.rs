//! What became of an event for an endpoint, as a sentence with its cure, where that is
//! no longer a matter of waiting.

use crate::domain::{AttemptError, Delivery, DeliveryStatus, DiscardReason, EndpointId, EventType, Timestamp};

/// What a replay takes to send what was never sent.
const REPLAY: &str = "a replay of what is `missing` sends it";

/// Says how a delivery ended, and what can be done; `None` where it has not. Nothing can be
/// where the payload of its event was erased.
pub fn delivery(
    delivery: &Delivery,
    last_error: Option<&AttemptError>,
    erased_at: Option<Timestamp>,
) -> Option<String> {
    let (id, endpoint) = (delivery.id, delivery.endpoint);
    let at = delivery.finished_at.map_or_else(String::new, |at| format!(" at {at}"));
    let attempts = match delivery.attempt_count {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    let failed = last_error.map_or_else(String::new, |error| format!(" (the last: {})", error.message));
    let cure = |advice: String| erased_at.map_or(advice, erased);
    let retry = || cure(format!("`POST /deliveries/{id}/retry` sends it all the same"));
    Some(match delivery.status {
        DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Held => return None,
        DeliveryStatus::Delivered => format!("delivered{at}, after {attempts}"),
        DeliveryStatus::RetriesExhausted => format!(
            "given up{at}: its schedule ended after {attempts}{failed}; {}",
            cure(format!("mend the receiver, then `POST /deliveries/{id}/retry` sends it again"))
        ),
        DeliveryStatus::Discarded(DiscardReason::EndpointDeleted) => format!(
            "discarded{at}: {endpoint} was deleted before it was delivered ({attempts}); {}",
            cure(format!("a new endpoint does not get it by itself, and {REPLAY}"))
        ),
        DeliveryStatus::Discarded(DiscardReason::Retention) => format!(
            "discarded{at}: it was held for longer than deliveries are kept ({attempts}), and cannot be sent any more"
        ),
        DeliveryStatus::Discarded(DiscardReason::Skipped) => {
            format!("discarded{at}: it was skipped by hand ({attempts}); {}", retry())
        }
        DeliveryStatus::Discarded(DiscardReason::Dismissed) => {
            format!("discarded{at}: it was given up after {attempts}{failed}, and dismissed by hand; {}", retry())
        }
        DeliveryStatus::Discarded(DiscardReason::Expired) => format!(
            "discarded{at}: it was not delivered in the time within which it was worth anything \
             (`Posthaste-Expires-In`, {attempts}{failed}); {}",
            retry()
        ),
    })
}

/// Says of a delivery that came to nothing that its event has been on its way to the same
/// endpoint again since then: nobody is to send it once more. `None` where it came to
/// something, or has not ended.
pub fn superseded(delivery: &Delivery, by: &Delivery) -> Option<String> {
    let at = delivery.finished_at.map_or_else(String::new, |at| format!(" at {at}"));
    let ended = match delivery.status {
        DeliveryStatus::RetriesExhausted => format!("given up{at}"),
        DeliveryStatus::Discarded(reason) => format!("discarded{at} ({})", reason.as_str()),
        _ => return None,
    };
    Some(format!("{ended}; {} was made of the same event since then, and is {}", by.id, by.status.as_str()))
}

fn erased(at: Timestamp) -> String {
    format!("its payload was erased at {at}, and it cannot be sent again")
}

/// Says that an endpoint's filter kept an event away, by these rules: where in the event,
/// and what was expected.
pub fn filtered<'a>(endpoint: EndpointId, objections: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let rules: Vec<String> = objections
        .map(|(pointer, detail)| if pointer.is_empty() { detail.to_owned() } else { format!("{pointer} {detail}") })
        .collect();
    let rules = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join("; ")) };
    format!(
        "the `filter` that {endpoint} had then did not accept it{rules}; change the filter if it should get such events"
    )
}

/// Says that an endpoint did not take such an event, and since when it does: by which
/// version of its settings, and when that came into force.
pub fn not_subscribed(
    endpoint: EndpointId,
    event_type: &EventType,
    later: Option<(u32, Option<Timestamp>)>,
    erased_at: Option<Timestamp>,
) -> String {
    match later {
        None => format!(
            "{endpoint} was not subscribed to `{event_type}` when the event was accepted, and has not been since; \
             add the type to its `events` if it should get such events"
        ),
        Some((version, since)) => {
            let since = since.map_or_else(String::new, |since| format!(" at {since}"));
            format!(
                "{endpoint} was not subscribed to `{event_type}` until version {version} of its settings came into \
                 force{since}, after the event was accepted; {}",
                erased_at.map_or_else(|| REPLAY.to_owned(), erased)
            )
        }
    }
}

/// Says that an endpoint was made too late for an event.
pub fn not_yet_created(
    endpoint: EndpointId,
    event_type: &EventType,
    created_at: Timestamp,
    is_subscribed: bool,
    erased_at: Option<Timestamp>,
) -> String {
    let cure = match erased_at {
        _ if !is_subscribed => format!("nor is it subscribed to `{event_type}`"),
        None => REPLAY.to_owned(),
        Some(at) => erased(at),
    };
    format!("{endpoint} was made at {created_at}, after the event was accepted; {cure}")
}
