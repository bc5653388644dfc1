//! `POST /events` and `POST /events/batch`: the way in. The bytes that were
//! posted are read once, checked, and kept as they are: they are what is
//! signed and sent.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::auth::Permission;
use crate::metrics::Admission;
use crate::routes::extract::{self, Caller};
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, idempotency};
use crate::store::{Accept, Accepted, AcceptedEvent, NewEvent};

const NDJSON: [&str; 4] = ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"];

/// Accepts one event.
pub async fn one(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    let answer = accept_one(&api, &caller, &request, &mut payload).await;
    if let Err(problem) = &answer {
        api.metrics.count_events(admission(problem), 1);
    }
    answer
}

async fn accept_one(api: &Api, caller: &Caller, request: &HttpRequest, payload: &mut web::Payload) -> Answer {
    caller.may(Permission::PostEvents)?;
    caller.query().only(&[])?;
    let scope = caller.scope()?;
    let body = extract::body(request, payload, &["application/json"], "event_bytes", api.limits.event_bytes).await?;
    let subscriptions = api.subscriptions(&scope).await?;
    let event_type = api.catalogs.of(scope.environment).validate(&body)?;
    let idempotency = idempotency::of(request, &body, Bytes::new())?;
    let accept = Accept { subscriptions, events: vec![NewEvent { event_type, body }], idempotency, relied_on: None };
    match api.journal.accept(accept).await? {
        Accepted::New(events) => {
            api.metrics.count_events(Admission::Accepted, events.len());
            Ok(accepted_json(events.first().map(event_json).unwrap_or_default()))
        }
        Accepted::Repeated { events, .. } => Ok(accepted_json(events.first().map(event_json).unwrap_or_default())),
        Accepted::KeyReused => Err(key_reused()),
        Accepted::Outdated => Err(outdated()),
    }
}

/// Accepts many events in one commit, one a line; a bad line costs only itself.
pub async fn batch(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    caller.may(Permission::PostEvents)?;
    caller.query().only(&[])?;
    let scope = caller.scope()?;
    let body = extract::body(&request, &mut payload, &NDJSON, "batch_bytes", api.limits.batch_bytes).await?;
    let lines: Vec<Bytes> = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| body.slice_ref(line))
        .collect();
    if lines.len() > api.limits.batch_events {
        return Err(Problem::new(
            Kind::TooLarge,
            format!(
                "the limit `batch_events` is {}; this has {} lines, and nothing was kept",
                api.limits.batch_events,
                lines.len()
            ),
        ));
    }
    if lines.is_empty() {
        return Err(Problem::new(Kind::InvalidJson, "the body is empty: send one event as JSON on each line"));
    }
    let subscriptions = api.subscriptions(&scope).await?;
    let catalog = api.catalogs.of(scope.environment);
    let mut events = Vec::with_capacity(lines.len());
    let mut refused: Vec<Option<Box<RawValue>>> = Vec::with_capacity(lines.len());
    for line in lines {
        let checked = if line.len() > api.limits.event_bytes {
            Err(Problem::too_large("event_bytes", api.limits.event_bytes))
        } else {
            catalog.validate(&line).map_err(Problem::from)
        };
        match checked {
            Ok(event_type) => {
                events.push(NewEvent { event_type, body: line });
                refused.push(None);
            }
            Err(problem) => {
                api.metrics.count_events(admission(&problem), 1);
                let text = problem.to_json().to_string();
                refused.push(Some(RawValue::from_string(text).expect("a JSON value prints as JSON")));
            }
        }
    }
    let refused = Bytes::from(serde_json::to_vec(&refused).expect("raw values print as they are"));
    let idempotency = idempotency::of(&request, &body, refused.clone())?;
    let good_lines = events.len();
    let problem = match api.journal.accept(Accept { subscriptions, events, idempotency, relied_on: None }).await {
        Ok(Accepted::New(events)) => {
            api.metrics.count_events(Admission::Accepted, events.len());
            return Ok(accepted_json(batch_json(&events, &refused)));
        }
        Ok(Accepted::Repeated { events, refused }) => return Ok(accepted_json(batch_json(&events, &refused))),
        Ok(Accepted::KeyReused) => key_reused(),
        Ok(Accepted::Outdated) => outdated(),
        Err(error) => error.into(),
    };
    api.metrics.count_events(admission(&problem), good_lines);
    Err(problem)
}

fn key_reused() -> Problem {
    Problem::new(
        Kind::IdempotencyKeyReused,
        "this `Idempotency-Key` came with another body or query in the last 24 h; use a new key for a new request",
    )
}

fn outdated() -> Problem {
    Problem::new(Kind::StoreUnavailable, "keys or the catalog are being changed; nothing was kept, send it again")
}

fn admission(problem: &Problem) -> Admission {
    if problem.kind.status().is_client_error() { Admission::Refused } else { Admission::Overloaded }
}

fn accepted_json(json: String) -> HttpResponse {
    HttpResponse::Accepted().insert_header((CONTENT_TYPE, "application/json")).body(json)
}

/// `{id, event, deliveries}`: none of them has a character to escape.
fn event_json(event: &AcceptedEvent) -> String {
    format!(r#"{{"id":"{}","event":"{}","deliveries":{}}}"#, event.id, event.event_type, event.deliveries)
}

/// What each line is answered, in the lines' order: `refused` has a problem
/// for a bad line, and nothing for a good one.
fn batch_json(events: &[AcceptedEvent], refused: &[u8]) -> String {
    let refused: Vec<Option<&RawValue>> = serde_json::from_slice(refused).unwrap_or_default();
    let mut accepted = events.iter();
    let mut json = String::with_capacity(refused.len() * 96);
    json.push_str(r#"{"data":["#);
    for (index, line) in refused.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        match line {
            Some(problem) => json.push_str(problem.get()),
            None => json.push_str(&accepted.next().map(event_json).unwrap_or_default()),
        }
    }
    json.push_str("]}");
    json
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::EventId;

    #[test]
    fn a_batch_is_answered_line_by_line() {
        let event = AcceptedEvent {
            id: EventId::from_uuid(Uuid::nil()),
            event_type: "a.b".parse().expect("a plain name"),
            deliveries: 2,
        };
        let json = batch_json(&[event.clone(), event], br#"[null,{"status":422},null]"#);
        let value: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(value["data"][0]["deliveries"], 2);
        assert_eq!(value["data"][1]["status"], 422);
        assert_eq!(value["data"][2]["event"], "a.b");
    }
}
