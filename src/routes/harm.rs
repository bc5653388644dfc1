//! What suffers: `GET /webhook-health`, endpoints, the most harmed first, each with its
//! trouble and what waits for it; `GET /webhook/{id}/attempts`, what an endpoint's last
//! attempts came to; and `GET /partner-health`, how partners stand. They are read from the
//! store alone, many in a few statements: what an actor is doing says `GET /webhook/{id}`.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::{DeliveryId, PartnerName};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Problem};
use crate::routes::{Api, openapi, page, show, webhook};
use crate::store::{
    self, AttemptSeen, Backlog, HarmFilter, HarmPlace, HarmedEndpoint, Page, PartnerStanding, Scope, Store,
};

/// The longest part of a URL that is looked for.
pub const MAX_PART_CHARS: usize = 256;
/// What is counted of each kind, one by one.
const COUNTED: usize = webhook::COUNTED_BACKLOG;

/// Lists endpoints, the most harmed first, with how they are.
#[utoipa::path(
    get, path = "/webhook-health", operation_id = "list_webhook_health", tag = "webhooks",
    params(openapi::HarmQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page. It may be short, or empty, and have a next one: so much was passed over that the rest is left to that.", body = openapi::HarmedWebhooks))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    let query = caller.query();
    query.only(&["health", "type", "url_part", "limit", "cursor"])?;
    let url_part = query.get("url_part").map(str::to_owned);
    if url_part.as_ref().is_some_and(|part| part.is_empty() || part.chars().count() > MAX_PART_CHARS) {
        return Err(Problem::invalid_query("url_part", format!("1 to {MAX_PART_CHARS} characters")));
    }
    let filter = HarmFilter { health: query.parsed("health")?, event_type: query.parsed("type")?, url_part };
    let wanted = page::request::<HarmPlace>(query, &api.limits)?;
    let scope = api.known(caller.scope()?).await?;
    let read = move |store: &dyn Store| {
        let page = store.harmed(&scope, &filter, &wanted)?;
        let ids: Vec<_> = page.items.iter().map(|found| found.endpoint.id).collect();
        let backlogs = store.backlogs(&ids, COUNTED + 1)?;
        let of = |found: HarmedEndpoint| {
            let backlog = backlogs.get(&found.endpoint.id).copied().unwrap_or_default();
            Ok::<_, store::StoreError>((found, backlog))
        };
        page.try_map(of)
    };
    let found: Page<(HarmedEndpoint, Backlog)> = store::blocking(&api.store, read).await?;
    Ok(page::answer(&found, |(found, _)| found.place().to_string(), |(found, backlog)| shown(found, *backlog)))
}

fn shown(found: &HarmedEndpoint, backlog: Backlog) -> Value {
    let mut health = show::trouble(&found.trouble);
    health["backlog"] = json!(backlog.count.min(COUNTED));
    health["backlog_has_more"] = json!(backlog.count > COUNTED);
    health["oldest_waiting"] = json!(backlog.oldest.map(waiting));
    let mut value = show::endpoint(&found.endpoint);
    value["health"] = health;
    value
}

fn waiting(delivery: DeliveryId) -> Value {
    json!({ "delivery": delivery.to_string(), "created_at": show::time(delivery.made_at()) })
}

/// Lists an endpoint's last attempts, the latest first.
#[utoipa::path(
    get, path = "/webhook/{id}/attempts", operation_id = "list_webhook_attempts", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::Limit, openapi::ForPartners),
    responses((status = 200, description = "Attempts of its newest deliveries that were tried, and of those that wait for their retry.", body = openapi::AttemptsSeen))
)]
pub async fn attempts(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&["limit"])?;
    let limit = page::limit(caller.query(), &api.limits)?;
    let scope = match webhook::all_partners_of(&api, &caller, &id).await? {
        Some(all) => all,
        None => caller.scope()?,
    };
    let endpoint = webhook::find(&api, &scope, &id).await?.id;
    let found = store::blocking(&api.store, move |store| store.attempts_to(endpoint, limit)).await?;
    Ok(HttpResponse::Ok().json(json!({ "data": found.iter().map(seen).collect::<Vec<_>>() })))
}

fn seen(attempt: &AttemptSeen) -> Value {
    json!({
        "delivery": attempt.delivery.to_string(),
        "number": attempt.number,
        "started_at": show::time(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "status_code": attempt.status_code,
        "error_class": attempt.error_class.map(|class| class.as_str()),
    })
}

/// Lists partners, newest first, with how they stand.
#[utoipa::path(
    get, path = "/partner-health", operation_id = "list_partner_health", tag = "administration",
    params(openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page: of all partners, or the one that is named.", body = openapi::PartnersStanding))
)]
pub async fn partners(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only(&["limit", "cursor"])?;
    let wanted = page::request::<PartnerName>(caller.query(), &api.limits)?;
    let Scope { environment, partner } = api.known(caller.scope()?).await?;
    if partner.is_some() && wanted.after.is_some() {
        return Err(Problem::invalid_query("cursor", "of one partner there is no next page"));
    }
    let read = move |store: &dyn Store| {
        let page = match &partner {
            Some(name) => Page::from_overread(store.partner(name)?.into_iter().collect(), 1),
            None => store.partners(&wanted)?,
        };
        let names: Vec<PartnerName> = page.items.iter().map(|partner| partner.name.clone()).collect();
        let mut standings = store.partner_standings(environment, &names, COUNTED + 1)?;
        page.try_map(|partner| {
            let standing = standings.remove(&partner.name).unwrap_or_default();
            Ok::<_, store::StoreError>((partner, standing))
        })
    };
    let found = store::blocking(&api.store, read).await?;
    let told = |(partner, standing): &(_, PartnerStanding)| {
        let mut value = show::partner(partner);
        for (field, shown) in show_standing(standing) {
            value[field] = shown;
        }
        value
    };
    Ok(page::answer(&found, |(partner, _)| partner.name.to_string(), told))
}

fn show_standing(standing: &PartnerStanding) -> [(&'static str, Value); 7] {
    let has_more = standing.exhausted_has_more;
    let last_event = standing
        .last_event
        .map(|event| json!({ "event": event.to_string(), "accepted_at": show::time(event.made_at()) }));
    [
        ("endpoints", json!(standing.endpoints.min(COUNTED))),
        ("endpoints_has_more", json!(standing.endpoints > COUNTED)),
        ("backlog", json!(standing.backlog.min(COUNTED))),
        ("backlog_has_more", json!(standing.backlog > COUNTED)),
        ("exhausted", json!(standing.exhausted.min(COUNTED))),
        ("exhausted_has_more", json!(has_more)),
        ("last_event", json!(last_event)),
    ]
}
