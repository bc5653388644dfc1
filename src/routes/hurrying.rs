//! `POST /webhook/{id}/retry-now`: what waits for its retry is tried now, because the
//! receiver was mended. Neither the breaker nor a rest that the receiver asked for keeps
//! the first attempt waiting; whatever comes of that one decides on as ever.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::auth::Permission;
use crate::domain::AuditAction;
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, openapi, pausing, to_the_end};
use crate::store::{self, BroughtForward, Place};

/// Retries brought forward in one commit.
const AT_ONCE: usize = 1_000;
/// Commits of one request. Whoever has more asks again.
const MOST_COMMITS: usize = 100;

/// Brings forward all retries of an endpoint.
#[utoipa::path(
    post, path = "/webhook/{id}/retry-now", operation_id = "retry_webhook_now", tag = "deliveries",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::Nothing>, description = "Needs none. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "How many there were.", body = openapi::RetriesBroughtForward))
)]
pub async fn retry_now(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let (scope, id) =
        pausing::asked_of(&api, (&caller, Permission::RetryDeliveries), &id, &request, &mut payload).await?;
    let within = scope.clone();
    let endpoint = store::blocking(&api.store, move |store| store.endpoint(&within, id)).await?;
    pausing::refuse_held(&endpoint.ok_or_else(|| Problem::not_found("endpoint"))?)?;
    let entry = caller.did(AuditAction::RetriesHurried).of(&scope).about(id);
    let api = api.clone();
    to_the_end(async move {
        let (mut moved, mut after): (usize, Option<Place>) = (0, None);
        for _ in 0..MOST_COMMITS {
            let (within, entry) = (scope.clone(), entry.clone());
            let slice = api.journal.change(move |transaction| {
                let slice = transaction.bring_forward(&within, id, after, AT_ONCE)?;
                // It is one thing that was asked for, however many commits it takes.
                if after.is_none() && matches!(slice, BroughtForward::Done { .. }) {
                    transaction.audit(&entry);
                }
                Ok(slice)
            });
            match slice.await? {
                BroughtForward::NotFound => return Err(Problem::not_found("endpoint")),
                BroughtForward::Holding => {
                    let detail =
                        format!("endpoint {id} is held since a moment ago; {moved} retries were brought forward");
                    return Err(Problem::new(Kind::Conflict, detail));
                }
                BroughtForward::Done { moved: more, next } => {
                    moved += more;
                    after = next;
                }
            }
            if after.is_none() {
                break;
            }
        }
        log::info!("{moved} retries of {id} were brought forward");
        Ok(HttpResponse::Ok().json(json!({ "brought_forward": moved, "more": after.is_some() })))
    })
    .await
}
