//! `GET /events`, `GET /events/{id}` and its payload: what was accepted, and what became of it.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::auth::Permission;
use crate::domain::{Delivery, EndpointId, EventId};
use crate::policy;
use crate::routes::explaining::{self, Subject};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, idempotency, openapi, page, search, show};
use crate::store::{self, EventSearch, OUTCOMES_MOST, Page};

/// Lists events, newest first.
#[utoipa::path(
    get, path = "/events", operation_id = "list_events", tag = "events",
    params(openapi::EventQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page. It may be short of its limit and yet have a `next_cursor`, where what is asked for is rare and no index leads to it.", body = openapi::Events))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    let query = caller.query();
    query.only(&["limit", "cursor", "type", "since", "until", "idempotency_key", "field"])?;
    let scope = api.known(caller.scope()?).await?;
    let search = EventSearch {
        types: query.parsed("type")?,
        since: query.parsed("since")?,
        until: query.parsed("until")?,
        idempotency_key: idempotency::asked_for(query)?,
        field: search::field(query, &api.catalogs.of(scope.environment))?,
    };
    let wanted = page::request::<EventId>(query, &api.limits)?;
    let catalog = api.catalogs.of(scope.environment);
    let found = store::blocking(&api.store, move |store| {
        let Page { items, more, cursor } = store.found_events(&scope, &search, &wanted)?;
        let ids: Vec<EventId> = items.iter().map(|event| event.id).collect();
        let counts = store.outcome_counts(&scope, &ids)?;
        let shown = items.iter().map(|event| {
            let counts = counts.get(&event.id).copied().unwrap_or_default();
            (event.id, show::listed_event(event, &search::indexed_values(&catalog, event), &counts))
        });
        Ok(Page { items: shown.collect(), more, cursor })
    })
    .await?;
    Ok(page::answer(&found, |(id, _)| id.to_string(), |(_, value)| value.clone()))
}

/// The payload of one event, byte for byte as it was posted.
#[utoipa::path(
    get, path = "/events/{id}/payload", operation_id = "read_payload", tag = "events",
    params(("id" = openapi::EventId, Path, description = "Which event."), openapi::ForPartners),
    responses((status = 200, description = "The payload, with whatever blanks were around it.", body = openapi::EventBody))
)]
pub async fn payload(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: EventId = id.parse().map_err(|_| Problem::not_found("event"))?;
    let found = store::blocking(&api.store, move |store| store.event(&scope, id)).await?;
    let event = found.ok_or_else(|| Problem::not_found("event"))?;
    match event.erased {
        None => Ok(HttpResponse::Ok().content_type("application/json").body(event.body)),
        Some(erased) => Err(Problem::new(Kind::NotFound, format!("the payload was erased at {}", erased.at))),
    }
}

/// One event, its payload, and its outcome for each endpoint.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "read_event", tag = "events",
    params(
        ("id" = openapi::EventId, Path, description = "Which event."),
        ("endpoint" = Option<openapi::EndpointId>, Query, description = "Its outcome for this endpoint alone."),
        openapi::ForPartners,
    ),
    responses((status = 200, description = "The event, with its first 1,000 outcomes.", body = openapi::EventWithOutcomes))
)]
pub async fn read(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&["endpoint"])?;
    let endpoint: Option<EndpointId> = caller.query().parsed("endpoint")?;
    let scope = api.known(caller.scope()?).await?;
    let id: EventId = id.parse().map_err(|_| Problem::not_found("event"))?;
    let (event, mut outcomes) = store::blocking(&api.store, move |store| {
        let Some(event) = store.event(&scope, id)? else { return Ok(None) };
        let outcomes = store.event_outcomes(&scope, &event, endpoint, OUTCOMES_MOST + 1)?;
        Ok(Some((event, outcomes)))
    })
    .await?
    .ok_or_else(|| Problem::not_found("event"))?;
    let has_more = outcomes.len() > OUTCOMES_MOST;
    outcomes.truncate(OUTCOMES_MOST);
    let subjects: Vec<Subject<'_>> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            store::EventOutcome::Delivery { delivery, last_attempt } => {
                let last_error = last_attempt.as_ref().and_then(|attempt| attempt.outcome.error.as_ref());
                Some(Subject { delivery, last_error })
            }
            _ => None,
        })
        .collect();
    let times = (event.times.deliver_at, event.erased.map(|erased| erased.at));
    let mut explained = explaining::explain(&api, event.environment, times, &subjects).await?;
    // Those that replays made come behind all others, each behind those that it follows.
    let newest: HashMap<EndpointId, &Delivery> =
        subjects.iter().map(|subject| (subject.delivery.endpoint, subject.delivery)).collect();
    for (Subject { delivery, .. }, explained) in subjects.iter().zip(&mut explained) {
        if let Some(newest) = newest.get(&delivery.endpoint).filter(|newest| newest.id != delivery.id)
            && let Some(sentence) = policy::explaining::superseded(delivery, newest)
        {
            explained.sentence = sentence;
        }
    }
    let mut explained = explained.iter();
    let now = api.clock.wall();
    let mut value = show::event(&event);
    value["indexed"] = show::indexed(&search::indexed_values(&api.catalogs.of(event.environment), &event));
    value["sha256"] = match event.erased {
        Some(_) => Value::Null,
        None => Value::String(Sha256::digest(&event.body).iter().map(|byte| format!("{byte:02x}")).collect()),
    };
    value["deliveries"] = json!(subjects.len());
    let shown = outcomes.iter().map(|outcome| {
        let is_delivery = matches!(outcome, store::EventOutcome::Delivery { .. });
        let explained = if is_delivery { explained.next() } else { None };
        show::event_outcome(outcome, &event, explained, now)
    });
    value["endpoints"] = Value::Array(shown.collect());
    value["endpoints_have_more"] = json!(has_more);
    // The payload is shown as it was posted: parsing and printing it again
    // could change numbers and the order of keys.
    let text = value.to_string();
    let payload = match event.erased {
        Some(_) => "null",
        None => serde_json::from_slice::<&RawValue>(&event.body).map(RawValue::get).map_err(|error| {
            log::error!("the body of {} does not read as JSON: {error}", event.id);
            Problem::new(Kind::Internal, "the stored payload cannot be shown")
        })?,
    };
    let whole = format!("{},\"payload\":{payload}}}", &text[..text.len() - 1]);
    Ok(HttpResponse::Ok().content_type("application/json").body(whole))
}
