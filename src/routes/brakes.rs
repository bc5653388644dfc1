//! `/brakes`: how operators stop the flow in an incident, to a partner, to an
//! environment or to everybody. What is held is what a pause holds, and kept the
//! same way; only whoever may brake can let it go.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::catalog::pointer_below;
use crate::domain::{AuditAction, Endpoint, Environment};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::webhook::{has_bytes, optional_fields};
use crate::routes::{Api, openapi, show};
use crate::store::{self, Brake, Scope};

/// Longest reason.
pub(super) const MAX_REASON_CHARS: usize = 500;
/// Brakes that an error names; `GET /brakes` lists all.
const MOST_NAMED: usize = 5;

/// Sets a brake. On what is braked already it changes nothing but the reason.
#[utoipa::path(
    post, path = "/brakes", operation_id = "set_brake", tag = "administration",
    params(openapi::Braked),
    request_body(content = Option<openapi::NewBrake>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The brakes that were set.", body = openapi::Brakes))
)]
pub async fn set(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    let scopes = asked_for(&api, &caller).await?;
    let reason = reason(&api, &request, &mut payload).await?;
    let entry = caller.did(AuditAction::BrakeSet).with(json!({ "reason": reason }));
    let set = api.journal.change(move |transaction| {
        let mut set = Vec::new();
        for scope in &scopes {
            let Some(brake) = transaction.set_brake(scope, reason.as_deref())? else { return Ok(None) };
            if brake.is_change() {
                transaction.audit(&entry.clone().of(scope).about(whose(scope)));
            }
            set.push(brake.into_inner());
        }
        Ok(Some(set))
    });
    let set = set.await?.ok_or_else(|| Problem::not_found("partner"))?;
    for brake in &set {
        log::warn!("a brake is over {}, since {}", words(&brake.scope), brake.since);
    }
    Ok(listed(&set))
}

/// Releases a brake, and answers with those that still hold some of it.
#[utoipa::path(
    delete, path = "/brakes", operation_id = "release_brake", tag = "administration",
    params(openapi::Braked),
    responses((status = 200, description = "Those that still hold some of it.", body = openapi::Brakes))
)]
pub async fn release(api: web::Data<Api>, caller: Caller) -> Answer {
    let scopes = asked_for(&api, &caller).await?;
    let wanted = scopes.clone();
    let entry = caller.did(AuditAction::BrakeReleased);
    let released = api.journal.change(move |transaction| {
        let mut released = Vec::new();
        for scope in &wanted {
            if transaction.release_brake(scope)? {
                transaction.audit(&entry.clone().of(scope).about(whose(scope)));
                released.push(scope.clone());
            }
        }
        Ok(released)
    });
    let released = released.await?;
    let mut left = store::blocking(&api.store, |store| store.brakes()).await?;
    left.retain(|brake| scopes.iter().any(|scope| brake.touches(scope)));
    if released.is_empty() {
        return Err(nothing_to_release(&scopes, &left));
    }
    for scope in &released {
        log::warn!("the brake over {} is released", words(scope));
    }
    Ok(listed(&left))
}

/// Lists the brakes in force, the longest first.
#[utoipa::path(
    get, path = "/brakes", operation_id = "list_brakes", tag = "administration",
    responses((status = 200, description = "The brakes.", body = openapi::Brakes))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Brake)?;
    caller.query().only_these(&[])?;
    let brakes = store::blocking(&api.store, |store| store.brakes()).await?;
    Ok(listed(&brakes))
}

fn listed(brakes: &[Brake]) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "data": brakes.iter().map(show::brake).collect::<Vec<_>>() }))
}

/// What the query names. Nothing is assumed here: a word left out must neither hold
/// nor let go more than was meant.
async fn asked_for(api: &Api, caller: &Caller) -> Result<Vec<Scope>, Problem> {
    caller.may(Permission::Brake)?;
    let query = caller.query();
    query.only(&[])?;
    for (name, choices) in [("environment", "`sandbox`, `production` or `*`"), ("partner", "a partner or `*` for all")]
    {
        if query.get(name).is_none() {
            return Err(Problem::invalid_query(name, format!("a brake assumes nothing: name {choices}")));
        }
    }
    match (query.get("environment"), query.get("partner")) {
        (Some("*"), Some("*")) => Ok(Environment::ALL.map(Scope::all).to_vec()),
        (Some("*"), _) => {
            let detail = "`*` goes with `partner=*`; name a partner in one environment after the other";
            Err(Problem::invalid_query("environment", detail))
        }
        _ => Ok(vec![api.known(caller.scope()?).await?]),
    }
}

async fn reason(api: &Api, request: &HttpRequest, payload: &mut web::Payload) -> Result<Option<String>, Problem> {
    if !has_bytes(request) {
        return Ok(None);
    }
    let mut fields = optional_fields(api, request, payload).await?;
    let reason = match fields.remove("reason") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.contains('\0') => {
            return Err(Problem::invalid_field("/reason", "must not contain the character U+0000"));
        }
        Some(Value::String(text)) if text.chars().count() <= MAX_REASON_CHARS => Some(text),
        Some(Value::String(_)) => {
            return Err(Problem::invalid_field("/reason", format!("the limit is {MAX_REASON_CHARS} characters")));
        }
        Some(_) => return Err(Problem::invalid_field("/reason", "expected a string")),
    };
    match fields.keys().next() {
        Some(unknown) => Err(Problem::invalid_field(pointer_below("", unknown), "unknown field; there is `reason`")),
        None => Ok(reason),
    }
}

/// The partner, or `*` for all.
pub(super) fn whose(scope: &Scope) -> &str {
    scope.partner.as_ref().map_or("*", |partner| partner.as_str())
}

fn words(scope: &Scope) -> String {
    match &scope.partner {
        Some(partner) => format!("partner {partner} in {}", scope.environment),
        None => format!("all of {}", scope.environment),
    }
}

/// Whoever looks for the brake that holds is told which it is.
fn nothing_to_release(scopes: &[Scope], holding: &[Brake]) -> Problem {
    let asked: Vec<String> = scopes.iter().map(words).collect();
    let mut detail = format!("there is no brake over {}", asked.join(" or "));
    if holding.is_empty() {
        detail.push_str(", and none that holds any of it");
    } else {
        let named: Vec<String> = holding.iter().take(MOST_NAMED).map(|brake| words(&brake.scope)).collect();
        detail.push_str(&format!("; there is one over {}", named.join(", over ")));
        if holding.len() > MOST_NAMED {
            detail.push_str(&format!(" and {} more, see `GET /brakes`", holding.len() - MOST_NAMED));
        }
    }
    Problem::new(Kind::NotFound, detail)
}

/// Refuses a request to an endpoint that a brake is over.
pub(super) fn refuse_braked(endpoint: &Endpoint) -> Result<(), Problem> {
    let Some(since) = endpoint.braked_at else { return Ok(()) };
    let id = endpoint.id;
    let mut detail = format!(
        "an operator holds endpoint {id} with a brake, since {since}: nothing is sent to it before an operator \
         releases that (`GET /brakes`, `DELETE /brakes`)"
    );
    if endpoint.paused_at.is_some() {
        detail.push_str(&format!("; its partner has paused it as well (`POST /webhook/{id}/resume`)"));
    }
    Err(Problem::new(Kind::Conflict, detail))
}
