//! `POST /events` and `POST /events/batch`: the way in. The bytes that were
//! posted are read once, checked, and kept as they are: they are what is
//! signed and sent. Keys and the catalog are looked at in memory; where that was
//! outdated, nothing is kept, and the request is let in anew.

use std::collections::HashMap;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::auth::Permission;
use crate::catalog::{Catalog, Recognised};
use crate::domain::{DeliveryTimes, EventType};
use crate::metrics::Admission;
use crate::routes::extract::{self, Producer};
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, Dated, idempotency, openapi, refused, retention, timing};
use crate::store::{Accept, Accepted, AcceptedEvent, NewEvent, ReliedOn, Scope, ScopeId, Subscriptions};

const NDJSON: [&str; 4] = ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"];

/// How often a request is let in anew because keys or the catalog were changed
/// through another node between the look at them and the commit.
const MOST_TRIES: usize = 3;

/// Accepts one event.
#[utoipa::path(
    post, path = "/events", operation_id = "post_event", tag = "events",
    params(openapi::ForPartners, openapi::Posting),
    request_body(content = openapi::EventBody, description = "One event, at most <<event_bytes>> bytes (`event_bytes`). `partner=*` is one event over all partners."),
    responses((status = 202, description = "The event and all its deliveries are on disk.", body = openapi::AcceptedEvent))
)]
pub async fn one(
    api: web::Data<Api>,
    mut producer: Producer,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let mut read = None;
    let answer = accept_one(&api, &mut producer, &request, &mut payload, &mut read).await;
    if let Err(problem) = &answer {
        api.metrics.count_events(admission(problem), 1);
        if admission(problem) == Admission::Refused {
            refused::count(&api, producer.caller(), [(refused::type_of(read.as_deref()), 1)]);
        }
        refused::note(&api, producer.caller(), &request, &[(None, read, problem)]);
    }
    answer
}

/// What was read of the body is left behind, for whoever wants to know what was refused.
async fn accept_one(
    api: &Api,
    producer: &mut Producer,
    request: &HttpRequest,
    payload: &mut web::Payload,
    read: &mut Option<Bytes>,
) -> Answer {
    let mut scope = posted_to(producer)?;
    let body = extract::body(request, payload, &["application/json"], "event_bytes", api.limits.event_bytes).await?;
    *read = Some(body.clone());
    let times = timing::of(request, api.clock.wall(), api.limits.retries.retention)?;
    let is_unretained = retention::is_unretained(request.headers())?;
    for _ in 0..MOST_TRIES {
        let subscriptions = api.subscriptions(&scope).await?;
        let Dated { catalog, version } = api.catalogs.dated(scope.environment);
        let relied_on = ReliedOn { keys: producer.keys_version(), catalog: version };
        // What was read goes away here: nobody needs it while the commit is waited for.
        let checked = catalog.recognise(&body).map(|Recognised { event_type, event }| {
            let new = NewEvent::new(event_type, body.clone()).delivered_at(times).unretained(is_unretained);
            new.judged_by(&subscriptions, &event)
        });
        match checked {
            Ok(event) => {
                let events = vec![event];
                within_fan_out(&events, &subscriptions, api.limits.max_fan_out)?;
                let idempotency = idempotency::of(request, &body, Bytes::new())?;
                let relied_on = api.to_be_compared(relied_on);
                let id = subscriptions.id;
                match api.journal.accept(Accept { subscriptions, events, idempotency, relied_on }).await? {
                    Accepted::New(events) => {
                        count_accepted(api, id, &events);
                        return Ok(accepted_json(events.first().map(event_json).unwrap_or_default()));
                    }
                    Accepted::Repeated { events, .. } => {
                        return Ok(accepted_json(events.first().map(event_json).unwrap_or_default()));
                    }
                    Accepted::KeyReused => return Err(key_reused()),
                    Accepted::Outdated => {}
                }
            }
            // No transaction will say whether a refusal still holds.
            Err(refusal) if api.still_holds(scope.environment, relied_on).await? => return Err(refusal.into()),
            Err(_) => {}
        }
        *producer = Producer::anew(request).await?;
        scope = posted_to(producer)?;
    }
    Err(outdated())
}

/// Accepts many events in one commit, one a line; a bad line costs only itself.
#[utoipa::path(
    post, path = "/events/batch", operation_id = "post_events", tag = "events",
    params(openapi::ForPartners, openapi::Posting),
    request_body(
        description = "At most <<batch_events>> events (`batch_events`) in <<batch_bytes>> bytes (`batch_bytes`), each at most <<event_bytes>> bytes.",
        content(
            (openapi::EventLines = "application/x-ndjson"), (openapi::EventLines = "application/ndjson"),
            (openapi::EventLines = "application/jsonl"), (openapi::EventBody = "application/json"),
        )
    ),
    responses((status = 202, description = "The good lines are on disk, the bad ones are not.", body = openapi::AcceptedBatch))
)]
pub async fn batch(
    api: web::Data<Api>,
    mut producer: Producer,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let answer = accept_batch(&api, &mut producer, &request, &mut payload).await;
    if let Err(problem) = &answer {
        if admission(problem) == Admission::Refused {
            refused::count(&api, producer.caller(), [(None, 1)]);
        }
        refused::note(&api, producer.caller(), &request, &[(None, None, problem)]);
    }
    answer
}

async fn accept_batch(api: &Api, producer: &mut Producer, request: &HttpRequest, payload: &mut web::Payload) -> Answer {
    let mut scope = posted_to(producer)?;
    let body = extract::body(request, payload, &NDJSON, "batch_bytes", api.limits.batch_bytes).await?;
    let lines = lines(&body, api.limits.batch_events)?;
    let times = timing::of(request, api.clock.wall(), api.limits.retries.retention)?;
    let is_unretained = retention::is_unretained(request.headers())?;
    for _ in 0..MOST_TRIES {
        let subscriptions = api.subscriptions(&scope).await?;
        let Dated { catalog, version } = api.catalogs.dated(scope.environment);
        let relied_on = ReliedOn { keys: producer.keys_version(), catalog: version };
        let terms = Terms { times, is_unretained, most_bytes: api.limits.event_bytes };
        let Checked { events, refused, admissions, problems, of_types } =
            check(&lines, &catalog, &subscriptions, terms);
        let good_lines = events.len();
        if let Err(problem) = within_fan_out(&events, &subscriptions, api.limits.max_fan_out) {
            api.metrics.count_events(admission(&problem), lines.len());
            return Err(problem);
        }
        let idempotency = idempotency::of(request, &body, refused.clone())?;
        // Also where every line is refused: the transaction judges that too.
        let relied_on = api.to_be_compared(relied_on);
        let id = subscriptions.id;
        let answer = match api.journal.accept(Accept { subscriptions, events, idempotency, relied_on }).await {
            Ok(Accepted::Outdated) => {
                *producer = Producer::anew(request).await?;
                scope = posted_to(producer)?;
                continue;
            }
            Ok(Accepted::New(events)) => {
                count_accepted(api, id, &events);
                // A repeated request is refused once.
                refused::count(api, producer.caller(), of_types);
                let told = problems.iter().map(|(line, problem)| (Some(*line), lines.get(*line).cloned(), problem));
                refused::note(api, producer.caller(), request, &told.collect::<Vec<_>>());
                Ok(accepted_json(batch_json(&events, &refused)))
            }
            Ok(Accepted::Repeated { events, refused }) => Ok(accepted_json(batch_json(&events, &refused))),
            Ok(Accepted::KeyReused) => Err(key_reused()),
            Err(error) => Err(Problem::from(error)),
        };
        for admission in admissions {
            api.metrics.count_events(admission, 1);
        }
        if let Err(problem) = &answer {
            api.metrics.count_events(admission(problem), good_lines);
        }
        return answer;
    }
    let problem = outdated();
    api.metrics.count_events(admission(&problem), lines.len());
    Err(problem)
}

/// The scope that a request's events go to, if its sender may post there.
fn posted_to(producer: &Producer) -> Result<Scope, Problem> {
    let caller = producer.caller();
    caller.may(Permission::PostEvents)?;
    caller.query().only(&[])?;
    caller.scope()
}

/// The lines of a batch that are not empty, at least one and at most so many.
pub(super) fn lines(body: &Bytes, most: usize) -> Result<Vec<Bytes>, Problem> {
    let lines: Vec<Bytes> = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| body.slice_ref(line))
        .collect();
    if lines.len() > most {
        return Err(Problem::new(
            Kind::TooLarge,
            format!("the limit `batch_events` is {most}; this has {} lines, and nothing was kept", lines.len()),
        ));
    }
    if lines.is_empty() {
        return Err(Problem::new(Kind::InvalidJson, "the body is empty: send one event as JSON on each line"));
    }
    Ok(lines)
}

/// What a catalog makes of a batch.
struct Checked {
    /// Those that may be kept.
    events: Vec<NewEvent>,
    /// For each line nothing, or the problem with it, as JSON.
    refused: Bytes,
    /// How each problem counts.
    admissions: Vec<Admission>,
    /// The first of them, with the places of their lines.
    problems: Vec<(usize, Problem)>,
    /// How many of them there are of each type that a line said.
    of_types: HashMap<Option<EventType>, u64>,
}

/// What is said of all lines of a batch.
#[derive(Clone, Copy)]
struct Terms {
    times: DeliveryTimes,
    is_unretained: bool,
    most_bytes: usize,
}

fn check(lines: &[Bytes], catalog: &Catalog, subscriptions: &Subscriptions, terms: Terms) -> Checked {
    let Terms { times, is_unretained, most_bytes } = terms;
    let mut events = Vec::with_capacity(lines.len());
    let mut admissions = Vec::new();
    let mut problems = Vec::new();
    let mut of_types: HashMap<Option<EventType>, u64> = HashMap::new();
    let mut refused: Vec<Option<Box<RawValue>>> = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        let checked = if line.len() > most_bytes {
            Err(Problem::too_large("event_bytes", most_bytes))
        } else {
            catalog.recognise(line).map_err(Problem::from)
        };
        match checked {
            Ok(Recognised { event_type, event }) => {
                let new = NewEvent::new(event_type, line.clone()).delivered_at(times).unretained(is_unretained);
                events.push(new.judged_by(subscriptions, &event));
                refused.push(None);
            }
            Err(problem) => {
                admissions.push(admission(&problem));
                // What is too long is not read.
                let readable = (line.len() <= most_bytes).then_some(line.as_ref());
                *of_types.entry(refused::type_of(readable)).or_default() += 1;
                let text = problem.to_json().to_string();
                refused.push(Some(RawValue::from_string(text).expect("a JSON value prints as JSON")));
                if problems.len() < refused::NOTED_OF_A_BATCH {
                    problems.push((place, problem));
                }
            }
        }
    }
    let refused = Bytes::from(serde_json::to_vec(&refused).expect("raw values print as they are"));
    Checked { events, refused, admissions, problems, of_types }
}

/// Refuses what would be delivered too often, by whom this node knows to listen.
fn within_fan_out(events: &[NewEvent], subscriptions: &Subscriptions, most: usize) -> Result<(), Problem> {
    // Nearly always there are not so many endpoints at all.
    if subscriptions.len().saturating_mul(events.len()) <= most {
        return Ok(());
    }
    let deliveries: usize = events.iter().map(|event| subscriptions.recipients(event).len()).sum();
    if deliveries <= most {
        return Ok(());
    }
    Err(Problem::new(
        Kind::LimitReached,
        format!(
            "the limit `max_fan_out` is {most} deliveries of one request; this would make {deliveries}, and nothing was \
             kept"
        ),
    ))
}

fn count_accepted(api: &Api, scope: ScopeId, events: &[AcceptedEvent]) {
    api.metrics.count_events(Admission::Accepted, events.len());
    let counted = events.iter().map(|event| (&event.event_type, event.deliveries));
    api.statistics.accepted(api.clock.wall(), scope, counted);
}

fn key_reused() -> Problem {
    Problem::new(
        Kind::IdempotencyKeyReused,
        "this `Idempotency-Key` came with another body, query, time or `Posthaste-Retain` in the last 24 h; use a new key for a new request",
    )
}

fn outdated() -> Problem {
    Problem::new(Kind::StoreUnavailable, "keys or the catalog are being changed; nothing was kept, send it again")
}

pub(super) fn admission(problem: &Problem) -> Admission {
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
