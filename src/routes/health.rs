//! `/healthz`, `/readyz`, `/metrics`: for machines that watch the process.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, openapi};
use crate::store;

/// A journal that takes longer than this to come round is stuck.
const JOURNAL_STUCK_AFTER: Duration = Duration::from_secs(5);

/// The process lives.
#[utoipa::path(
    method(get, head), path = "/healthz", operation_id = "live", tag = "watching",
    responses((status = 200, description = "It does.", body = openapi::Liveness))
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// The store can be read, and the journal comes round.
#[utoipa::path(
    method(get, head), path = "/readyz", operation_id = "ready", tag = "watching",
    responses((status = 200, description = "It is.", body = openapi::Liveness))
)]
pub async fn ready(api: web::Data<Api>) -> Answer {
    store::blocking(&api.store, |store| store.ping()).await?;
    let round = api.journal.change(|_| Ok(()));
    match actix_rt::time::timeout(JOURNAL_STUCK_AFTER, round).await {
        Ok(written) => written?,
        Err(_) => {
            return Err(Problem::new(
                Kind::StoreUnavailable,
                format!("the journal has not come round for {} s", JOURNAL_STUCK_AFTER.as_secs()),
            ));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "status": "ready" })))
}

/// All counters, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "watching",
    responses((status = 200, description = "The metrics.", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"))
)]
pub async fn metrics(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(api.metrics.render())
}
