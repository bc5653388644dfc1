//! `GET /deliveries`, `GET /deliveries/{id}`, and what is done to one by hand: `POST
//! /deliveries/{id}/retry`, `/skip` and `/dismiss`.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::auth::Permission;
use crate::domain::{
    Attempt, AuditAction, Delivery, DeliveryId, DeliveryStatus, DiscardReason, EndpointId, ErasedBy, Event,
};
use crate::engine::AttemptHeaders;
use crate::policy;
use crate::routes::explaining::{self, Subject, is_unfinished};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, openapi, page, pausing, show};
use crate::store::{self, DeliveryFilter, Dismissed, Skipped};

/// How often a delivery and its attempts are read until they fit together.
const READ_TRIES: usize = 4;

/// Lists deliveries, newest first.
#[utoipa::path(
    get, path = "/deliveries", operation_id = "list_deliveries", tag = "deliveries",
    params(openapi::DeliveryQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::Deliveries))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    let query = caller.query();
    query.only(&["limit", "cursor", "status", "endpoint", "event", "replay", "type", "since", "until"])?;
    let scope = api.known(caller.scope()?).await?;
    let filter = DeliveryFilter {
        status: query.parsed("status")?,
        endpoint: query.parsed("endpoint")?,
        event: query.parsed("event")?,
        replay: query.parsed("replay")?,
        types: query.parsed("type")?,
        since: query.parsed("since")?,
        until: query.parsed("until")?,
    };
    let wanted = page::request::<DeliveryId>(query, &api.limits)?;
    let environment = scope.environment;
    let (found, answers, standings) = store::blocking(&api.store, move |store| {
        let found = store.deliveries(&scope, &filter, &wanted)?;
        let tried = found.items.iter().filter(|delivery| delivery.attempt_count > 0).map(|delivery| delivery.id);
        let answers = store.last_answers(&tried.collect::<Vec<_>>())?;
        let mut unfinished: Vec<EndpointId> =
            found.items.iter().filter(|delivery| is_unfinished(delivery)).map(|delivery| delivery.endpoint).collect();
        unfinished.sort_unstable();
        unfinished.dedup();
        let standings = if unfinished.is_empty() { HashMap::new() } else { store.standings(&unfinished)? };
        Ok((found, answers, standings))
    })
    .await?;
    let attempts_left = |delivery: &Delivery| {
        let standing = standings.get(&delivery.endpoint).filter(|_| is_unfinished(delivery))?;
        let policy = standing.retry.clone().or_else(|| api.catalogs.retry_of(environment, &delivery.event_type));
        Some(policy::explaining::attempts_left(&policy.unwrap_or_default(), delivery.scheduled_attempts))
    };
    let listed =
        |delivery: &Delivery| show::listed_delivery(delivery, answers.get(&delivery.id), attempts_left(delivery));
    Ok(page::answer(&found, |delivery| delivery.id.to_string(), listed))
}

/// One delivery with every attempt.
#[utoipa::path(
    get, path = "/deliveries/{id}", operation_id = "read_delivery", tag = "deliveries",
    params(("id" = openapi::DeliveryId, Path, description = "Which delivery."), openapi::ForPartners),
    responses((status = 200, description = "The delivery.", body = openapi::DeliveryWithAttempts))
)]
pub async fn read(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: DeliveryId = id.parse().map_err(|_| Problem::not_found("delivery"))?;
    let within = scope.clone();
    let (delivery, attempts) = store::blocking(&api.store, move |store| {
        // Two reads are no snapshot: an attempt recorded between them would be
        // counted and not shown. The attempts come first, so that at worst,
        // where one is recorded each time, the count is not behind.
        for _ in 1..READ_TRIES {
            let attempts = store.attempts(id)?;
            let Some(delivery) = store.delivery(&within, id)? else { return Ok(None) };
            if delivery.attempt_count as usize == attempts.len() {
                return Ok(Some((delivery, attempts)));
            }
        }
        let attempts = store.attempts(id)?;
        Ok(store.delivery(&within, id)?.map(|delivery| (delivery, attempts)))
    })
    .await?
    .ok_or_else(|| Problem::not_found("delivery"))?;
    let mut versions: Vec<u32> = attempts.iter().filter_map(settings_version).collect();
    versions.dedup();
    let (event, endpoint, environment) = (delivery.event, delivery.endpoint, scope.environment);
    let (event, sent) = store::blocking(&api.store, move |store| {
        Ok((store.event(&scope, event)?, store.sent_settings(endpoint, &versions)?))
    })
    .await?;
    let deliver_at = event.as_ref().and_then(|event| event.times.deliver_at);
    let erased_at = event.as_ref().and_then(|event| event.erased).map(|erased| erased.at);
    let last_error = attempts.last().and_then(|attempt| attempt.outcome.error.as_ref());
    let subject = Subject { delivery: &delivery, last_error };
    let mut explained = explaining::explain(&api, environment, (deliver_at, erased_at), &[subject]).await?;
    let explained = explained.pop().expect("what is asked about one delivery is answered of one");
    let now = api.clock.wall();
    // Of what was erased nobody can say any more what it was.
    let body = event.as_ref().filter(|event| event.erased.is_none()).map(|event| &event.body);
    let shown = attempts.iter().map(|attempt| {
        let headers = AttemptHeaders {
            event: delivery.event,
            delivery: Some(delivery.id),
            sequence: delivery.sequence,
            number: attempt.number,
            at: attempt.started_at,
        };
        let sent = settings_version(attempt).and_then(|version| sent.get(&version));
        let mut value = show::attempt(attempt, &explained.attempt(attempt, &delivery, now));
        value["request_headers"] = show::request_headers(&headers, sent, body.map(Bytes::len));
        value
    });
    let shown = Value::Array(shown.collect());
    let mut value = show::delivery(&delivery);
    value["explanation"] = json!(explained.sentence);
    value["waits_for"] = json!(explained.waits_for.as_ref().map(show::waits_for));
    value["attempts_left"] = json!(explained.attempts_left);
    value["planned_attempts"] = explained.planned.iter().map(|at| show::time(*at)).collect();
    value["request_body"] = json!(body.map(|body| json!({
        "bytes": body.len(),
        "sha256": Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })));
    value["attempts"] = shown;
    Ok(HttpResponse::Ok().json(value))
}

/// The version of its endpoint's settings that an attempt was made with.
fn settings_version(attempt: &Attempt) -> Option<u32> {
    attempt.outcome.exchange.as_ref()?.settings_version
}

/// Asks for one more attempt now.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", operation_id = "retry_delivery", tag = "deliveries",
    params(("id" = openapi::DeliveryId, Path, description = "Which delivery."), openapi::ForPartners),
    responses((status = 202, description = "One more attempt is on its way. The delivery as it is before it.", body = openapi::Delivery))
)]
pub async fn retry(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: DeliveryId = id.parse().map_err(|_| Problem::not_found("delivery"))?;
    let within = scope.clone();
    let (delivery, endpoint, event) = store::blocking(&api.store, move |store| {
        let Some(delivery) = store.delivery(&within, id)? else { return Ok(None) };
        let endpoint = store.endpoint(&within, delivery.endpoint)?;
        let event = store.event(&within, delivery.event)?;
        Ok(Some((delivery, endpoint, event)))
    })
    .await?
    .ok_or_else(|| Problem::not_found("delivery"))?;
    let Some(endpoint) = endpoint else {
        return Err(Problem::new(Kind::Conflict, format!("endpoint {} was deleted", delivery.endpoint)));
    };
    if let DeliveryStatus::Discarded(reason @ (DiscardReason::EndpointDeleted | DiscardReason::Retention)) =
        delivery.status
    {
        return Err(Problem::new(Kind::Conflict, format!("the delivery was discarded: {}", reason.as_str())));
    }
    refuse_erased(event.as_ref())?;
    pausing::refuse_held(&endpoint)?;
    let entry = caller
        .did(AuditAction::DeliveryRetried)
        .belonging_to(Some(endpoint.environment), endpoint.partner)
        .about(id)
        .with(json!({ "endpoint": endpoint.id.to_string() }));
    let asked = api.journal.change(move |transaction| {
        let is_new = transaction.request_attempt(id)?;
        if is_new {
            transaction.audit(&entry);
        }
        Ok(is_new)
    });
    if !asked.await? {
        // Somebody asked before, or the payload was erased at this very moment.
        let event = store::blocking(&api.store, move |store| store.event(&scope, delivery.event)).await?;
        refuse_erased(event.as_ref())?;
    }
    Ok(HttpResponse::Accepted().json(show::delivery(&delivery)))
}

/// There is nothing to send where the payload was erased.
fn refuse_erased(event: Option<&Event>) -> Result<(), Problem> {
    let Some((event, erased)) = event.and_then(|event| Some((event, event.erased?))) else { return Ok(()) };
    let why = match erased.by {
        ErasedBy::Retention => "it was older than payloads are kept (`GET /retention`)",
        ErasedBy::RetainNone => "its producer had asked for that (`Posthaste-Retain: none`)",
    };
    let detail = format!("the payload of {} was erased at {}, and cannot be sent again: {why}", event.id, erased.at);
    Err(Problem::new(Kind::Conflict, detail))
}

/// Gives a delivery up that is not finished: what waits for it in order goes on. What
/// is on its way at this moment may still arrive.
#[utoipa::path(
    post, path = "/deliveries/{id}/skip", operation_id = "skip_delivery", tag = "deliveries",
    params(("id" = openapi::DeliveryId, Path, description = "Which delivery."), openapi::ForPartners),
    responses((status = 200, description = "The delivery, given up.", body = openapi::Delivery))
)]
pub async fn skip(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: DeliveryId = id.parse().map_err(|_| Problem::not_found("delivery"))?;
    let within = scope.clone();
    // Whose it is, where the request is about all partners. What is gone cannot be skipped.
    let endpoint = store::blocking(&api.store, move |store| {
        let Some(delivery) = store.delivery(&within, id)? else { return Ok(None) };
        store.endpoint(&within, delivery.endpoint)
    })
    .await?;
    let mut entry = caller.did(AuditAction::DeliverySkipped).of(&scope).about(id);
    if let Some(endpoint) = endpoint {
        let detail = json!({ "endpoint": endpoint.id.to_string() });
        entry = entry.belonging_to(Some(endpoint.environment), endpoint.partner).with(detail);
    }
    let within = scope.clone();
    let skipped = api.journal.change(move |transaction| {
        let skipped = transaction.skip_delivery(&within, id)?;
        if skipped == Skipped::Done {
            transaction.audit(&entry);
        }
        Ok(skipped)
    });
    let skipped = skipped.await?;
    match skipped {
        Skipped::NotFound => return Err(Problem::not_found("delivery")),
        Skipped::Busy => {
            return Err(Problem::new(Kind::StoreUnavailable, "the delivery is just being written to; try again"));
        }
        Skipped::Done | Skipped::Ended => {}
    }
    let found = store::blocking(&api.store, move |store| store.delivery(&scope, id)).await?;
    let delivery = found.ok_or_else(|| Problem::not_found("delivery"))?;
    match (skipped, delivery.status) {
        // Skipping what was skipped changes nothing.
        (Skipped::Ended, status) if status != DeliveryStatus::Discarded(DiscardReason::Skipped) => {
            Err(Problem::new(Kind::Conflict, format!("the delivery has ended before: {status}")))
        }
        _ => Ok(HttpResponse::Ok().json(show::delivery(&delivery))),
    }
}

/// Leaves an exhausted delivery at that: somebody has seen it, and nothing more is to come.
#[utoipa::path(
    post, path = "/deliveries/{id}/dismiss", operation_id = "dismiss_delivery", tag = "deliveries",
    params(("id" = openapi::DeliveryId, Path, description = "Which delivery."), openapi::ForPartners),
    responses((status = 200, description = "The delivery, dismissed.", body = openapi::Delivery))
)]
pub async fn dismiss(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: DeliveryId = id.parse().map_err(|_| Problem::not_found("delivery"))?;
    let within = scope.clone();
    let known = store::blocking(&api.store, move |store| {
        let Some(delivery) = store.delivery(&within, id)? else { return Ok(None) };
        Ok(Some((delivery.endpoint, store.endpoint(&within, delivery.endpoint)?)))
    });
    let (endpoint, owner) = known.await?.ok_or_else(|| Problem::not_found("delivery"))?;
    let mut entry = caller.did(AuditAction::DeliveryDismissed).of(&scope).about(id);
    if let Some(owner) = owner {
        entry = entry.belonging_to(Some(owner.environment), owner.partner);
    }
    let entry = entry.with(json!({ "endpoint": endpoint.to_string() }));
    let within = scope.clone();
    let dismissed = api.journal.change(move |transaction| {
        let dismissed = transaction.dismiss_delivery(&within, id)?;
        if dismissed == Dismissed::Done {
            transaction.audit(&entry);
        }
        Ok(dismissed)
    });
    let dismissed = dismissed.await?;
    if dismissed == Dismissed::NotFound {
        return Err(Problem::not_found("delivery"));
    }
    let found = store::blocking(&api.store, move |store| store.delivery(&scope, id)).await?;
    let delivery = found.ok_or_else(|| Problem::not_found("delivery"))?;
    match (dismissed, delivery.status) {
        // Dismissing what was dismissed changes nothing.
        (Dismissed::NotExhausted, status) if status != DeliveryStatus::Discarded(DiscardReason::Dismissed) => {
            let detail = format!("only what is `retries_exhausted` is dismissed; the delivery is `{status}`");
            Err(Problem::new(Kind::Conflict, detail))
        }
        _ => Ok(HttpResponse::Ok().json(show::delivery(&delivery))),
    }
}
