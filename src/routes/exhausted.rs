//! `GET /exhausted`: what ended badly, counted by endpoint and by what it failed at. `GET
//! /deliveries?status=retries_exhausted` lists it.

use actix_web::web;
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::EndpointId;
use crate::routes::extract::Caller;
use crate::routes::problem::Answer;
use crate::routes::{Api, openapi, page, show};
use crate::store::{self, ExhaustedEndpoint};

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
