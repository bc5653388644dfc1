//! `POST /webhook/{id}/pause` and `/resume`: a partner holds an endpoint's
//! deliveries for a while, and lets them go again. Asked twice, either is the
//! same as once. What is held is counted and kept like anything that waits.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::auth::Permission;
use crate::catalog::pointer_below;
use crate::domain::{AuditAction, Endpoint, EndpointId, EndpointStatus};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::webhook::{has_bytes, optional_fields, scope_of};
use crate::routes::{Api, brakes, openapi, show};
use crate::store::{Effect, Scope};

/// Holds an endpoint's deliveries until it is resumed.
#[utoipa::path(
    post, path = "/webhook/{id}/pause", operation_id = "pause_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::Nothing>, description = "Needs none. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The endpoint, paused.", body = openapi::Webhook))
)]
pub async fn pause(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let (scope, id) = asked_of(&api, (&caller, Permission::ManageEndpoints), &id, &request, &mut payload).await?;
    let entry = caller.did(AuditAction::EndpointPaused).of(&scope).about(id);
    let paused = api.journal.change(move |transaction| {
        let paused = transaction.pause_endpoint(&scope, id)?;
        if paused.as_ref().is_some_and(Effect::is_change) {
            transaction.audit(&entry);
        }
        Ok(paused)
    });
    let endpoint = paused.await?.ok_or_else(|| Problem::not_found("endpoint"))?.into_inner();
    log::info!("{id} is paused");
    Ok(HttpResponse::Ok().json(show::endpoint(&endpoint)))
}

/// Ends a pause: what was held goes out, unless the endpoint is disabled.
#[utoipa::path(
    post, path = "/webhook/{id}/resume", operation_id = "resume_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::Nothing>, description = "Needs none. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The endpoint.", body = openapi::Webhook))
)]
pub async fn resume(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let (scope, id) = asked_of(&api, (&caller, Permission::ManageEndpoints), &id, &request, &mut payload).await?;
    let entry = caller.did(AuditAction::EndpointResumed).of(&scope).about(id);
    let resumed = api.journal.change(move |transaction| {
        let resumed = transaction.resume_endpoint(&scope, id)?;
        if resumed.as_ref().is_some_and(Effect::is_change) {
            transaction.audit(&entry);
        }
        Ok(resumed)
    });
    let endpoint = resumed.await?.ok_or_else(|| Problem::not_found("endpoint"))?.into_inner();
    log::info!("{id} is not paused any more");
    Ok(HttpResponse::Ok().json(show::endpoint(&endpoint)))
}

/// Refuses a request to an endpoint that holds its deliveries, and says how to let them go.
pub(super) fn refuse_held(endpoint: &Endpoint) -> Result<(), Problem> {
    brakes::refuse_braked(endpoint)?;
    let id = endpoint.id;
    let detail = match endpoint.status() {
        EndpointStatus::Active => return Ok(()),
        EndpointStatus::Paused => {
            format!("endpoint {id} is paused and holds its deliveries; end that first with `POST /webhook/{id}/resume`")
        }
        EndpointStatus::Disabled => format!("endpoint {id} is disabled and holds its deliveries; enable it first"),
    };
    Err(Problem::new(Kind::Conflict, detail))
}

/// Whose endpoint it is about, and which. There is nothing to say beyond that: no
/// body is needed, and a field that asks for more, such as an end of the pause,
/// is refused and not passed over.
pub(super) async fn asked_of(
    api: &Api,
    (caller, permission): (&Caller, Permission),
    id: &str,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<(Scope, EndpointId), Problem> {
    caller.may(permission)?;
    caller.query().only(&[])?;
    let scope = scope_of(api, caller, id).await?;
    if has_bytes(request)
        && let Some(unknown) = optional_fields(api, request, payload).await?.keys().next()
    {
        return Err(Problem::invalid_field(pointer_below("", unknown), "unknown field; there is none"));
    }
    let id = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    Ok((scope, id))
}
