//! `GET /events`, `GET /events/{id}`: what was accepted, and what became of it.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::{Delivery, EndpointId, EventId};
use crate::policy;
use crate::routes::explaining::{self, Subject};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Problem};
use crate::routes::{Api, idempotency, openapi, page, search, show};
use crate::store::{self, EventSearch, OUTCOMES_MOST};

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
    let found = store::blocking(&api.store, move |store| store.found_events(&scope, &search, &wanted)).await?;
    Ok(page::answer(&found, |event| event.id.to_string(), show::event))
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
            Problem::new(crate::routes::problem::Kind::Internal, "the stored payload cannot be shown")
        })?,
    };
    let whole = format!("{},\"payload\":{payload}}}", &text[..text.len() - 1]);
    Ok(HttpResponse::Ok().content_type("application/json").body(whole))
}
