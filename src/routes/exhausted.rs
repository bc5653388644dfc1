//! `GET /exhausted`: what ended badly, counted by endpoint and by what it failed at. `GET
//! /deliveries?status=retries_exhausted` lists it. `POST /webhook/{id}/dismiss` leaves all
//! of an endpoint's at that, or those that failed at the same.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::catalog::pointer_below;
use crate::domain::{AuditAction, DeliveryId, EndpointId, ErrorClass, Timestamp};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, FieldProblem, Problem};
use crate::routes::webhook::{optional_fields, scope_of};
use crate::routes::{Api, openapi, page, show, to_the_end};
use crate::store::{self, Dismissal, ExhaustedEndpoint};

/// Exhausted deliveries that are looked at in one commit.
const AT_ONCE: usize = 500;
/// Commits of one request. Whoever has more asks again.
const MOST_COMMITS: usize = 100;

/// Counts exhausted deliveries, endpoint by endpoint.
#[utoipa::path(
    get, path = "/exhausted", operation_id = "count_exhausted", tag = "deliveries",
    params(openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page. Of each endpoint the newest 1,000 are counted; an event that was replayed since is not.", body = openapi::Exhausted))
)]
pub async fn count(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&["limit", "cursor"])?;
    let scope = api.known(caller.scope()?).await?;
    let wanted = page::request::<EndpointId>(caller.query(), &api.limits)?;
    let found = store::blocking(&api.store, move |store| store.exhausted(&scope, &wanted)).await?;
    Ok(page::answer(&found, |found| found.endpoint.to_string(), shown))
}

fn shown(found: &ExhaustedEndpoint) -> Value {
    let ExhaustedEndpoint { endpoint, partner, reasons, at_least } = found;
    let first = reasons.iter().map(|reason| reason.ended.0).min();
    let last = reasons.iter().map(|reason| reason.ended.1).max();
    json!({
        "endpoint": endpoint.to_string(),
        "partner": partner.as_ref().map_or("*", |partner| partner.as_str()),
        "count": reasons.iter().map(|reason| reason.count).sum::<u64>(),
        "at_least": at_least,
        "first_at": first.map(show::time),
        "last_at": last.map(show::time),
        "reasons": reasons.iter().map(|reason| json!({
            "error_class": reason.class,
            "status_code": reason.status_code,
            "count": reason.count,
            "first_at": show::time(reason.ended.0),
            "last_at": show::time(reason.ended.1),
            "sample": reason.sample.to_string(),
        })).collect::<Vec<_>>(),
    })
}

/// Leaves an endpoint's exhausted deliveries at that: all of them, or those that failed at the same.
#[utoipa::path(
    post, path = "/webhook/{id}/dismiss", operation_id = "dismiss_webhook_exhausted", tag = "deliveries",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::NewDismissal>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "How many there were. What was replayed since is passed over.", body = openapi::ExhaustedDismissed))
)]
pub async fn dismiss(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let (meant, mut before, detail) = meant(optional_fields(&api, &request, &mut payload).await?, api.clock.wall())?;
    let id: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let entry = caller.did(AuditAction::ExhaustedDismissed).of(&scope).about(id).with(detail);
    let api = api.clone();
    to_the_end(async move {
        let mut dismissed = 0;
        for _ in 0..MOST_COMMITS {
            let (within, entry, meant, is_first) = (scope.clone(), entry.clone(), meant.clone(), dismissed == 0);
            let slice = api.journal.change(move |transaction| {
                let slice = transaction.dismiss_exhausted(&within, id, &meant, before, AT_ONCE)?;
                // It is one thing that was asked for, however many commits it takes.
                if is_first && slice.is_some_and(|slice| slice.dismissed > 0) {
                    transaction.audit(&entry);
                }
                Ok(slice)
            });
            let slice = slice.await?.ok_or_else(|| Problem::not_found("endpoint"))?;
            dismissed += slice.dismissed;
            before = slice.next;
            if before.is_none() {
                break;
            }
        }
        log::info!("{dismissed} exhausted deliveries of {id} were dismissed");
        Ok(HttpResponse::Ok().json(json!({
            "dismissed": dismissed,
            "more": before.is_some(),
            "next": before.map(|next| next.to_string()),
        })))
    })
    .await
}

/// What a body asks for, and what the audit log says of it.
fn meant(mut fields: Map<String, Value>, now: Timestamp) -> Result<(Dismissal, Option<DeliveryId>, Value), Problem> {
    let mut errors = Vec::new();
    let has_reason = fields.contains_key("error_class") || fields.contains_key("status_code");
    let class = match fields.remove("error_class") {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if ErrorClass::ALL.iter().any(|class| class.as_str() == word) => Some(word),
        Some(_) => {
            let words = ErrorClass::ALL.map(|class| format!("`{class}`")).join(", ");
            errors.push(FieldProblem::new("/error_class", format!("expected one of {words}, or null")));
            None
        }
    };
    let status = match fields.remove("status_code") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
            let code = code.filter(|code| (100..=999).contains(code));
            if code.is_none() {
                errors.push(FieldProblem::new("/status_code", "expected a status such as 503, or null"));
            }
            code
        }
    };
    let until = match fields.remove("until") {
        None | Some(Value::Null) => now,
        Some(value) => value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let detail = "expected an RFC 3339 time such as \"2026-01-31T12:00:00Z\"";
            errors.push(FieldProblem::new("/until", detail));
            now
        }),
    };
    let before = match fields.remove("before") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let id = value.as_str().and_then(|text| text.parse::<DeliveryId>().ok());
            if id.is_none() {
                errors.push(FieldProblem::new("/before", "expected the `next` of the answer before, or null"));
            }
            id
        }
    };
    for unknown in fields.keys() {
        let detail = "unknown field; there is `before`, `error_class`, `status_code`, `until`";
        errors.push(FieldProblem::new(pointer_below("", unknown), detail));
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let detail = json!({ "error_class": class, "status_code": status, "until": show::time(until), "all": !has_reason });
    Ok((Dismissal { reason: has_reason.then_some((class, status)), until }, before, detail))
}
