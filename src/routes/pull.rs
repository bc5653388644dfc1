//! `GET /webhook/{id}/events`: what an endpoint was sent behind a number, for a receiver
//! that fetches what it missed. In order, whatever has become of it, and nothing is passed
//! over that is committed late.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::auth::Permission;
use crate::domain::EndpointId;
use crate::routes::extract::{Caller, Query};
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, openapi, page};
use crate::store::{self, PullRequest, Pulled, PulledDelivery};

/// Payloads of a page, together; one larger than that is a page of its own.
pub(super) const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// What an endpoint was sent, in the order of its sequence numbers, from behind `after`.
#[utoipa::path(
    get, path = "/webhook/{id}/events", operation_id = "pull_events", tag = "deliveries",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::PullQuestion, openapi::ForPartners),
    responses((status = 200, description = "A page, in ascending order; shorter than `limit` where payloads are large.", body = openapi::PulledEvents))
)]
pub async fn events(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    let query = caller.query();
    query.only(&["after", "limit"])?;
    let scope = api.known(caller.scope()?).await?;
    let id: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let request = PullRequest {
        after: after(query)?,
        limit: page::limit(query, &api.limits)?,
        bytes: MAX_PAGE_BYTES,
        now: api.clock.wall(),
    };
    let pulled = store::blocking(&api.store, move |store| store.pull(&scope, id, &request)).await?;
    let pulled = pulled.ok_or_else(|| Problem::not_found("endpoint"))?;
    Ok(HttpResponse::Ok().json(shown(&pulled)?))
}

/// The number that a query goes on behind.
fn after(query: &Query) -> Result<u64, Problem> {
    let Some(text) = query.get("after") else { return Ok(0) };
    let number: Option<i64> = text.parse().ok();
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| Problem::invalid_query("after", "a sequence number, or 0; take `next_after` of the page before"))
}

/// A page as it is sent.
#[derive(Serialize)]
struct Page<'a> {
    data: Vec<Item<'a>>,
    oldest: Option<u64>,
    next_after: u64,
    more: bool,
    settling: bool,
}

/// One that was sent. Its payload is shown as it was posted: parsing and printing it again
/// could change numbers and the order of keys.
#[derive(Serialize)]
struct Item<'a> {
    sequence: u64,
    delivery: String,
    event: String,
    event_type: &'a str,
    status: &'static str,
    accepted_at: String,
    deliver_at: Option<String>,
    payload: Option<&'a RawValue>,
    erased: bool,
}

fn shown(pulled: &Pulled) -> Result<Page<'_>, Problem> {
    Ok(Page {
        data: pulled.items.iter().map(item).collect::<Result<_, _>>()?,
        oldest: pulled.oldest,
        next_after: pulled.next_after,
        more: pulled.more,
        settling: pulled.is_settling,
    })
}

fn item(item: &PulledDelivery) -> Result<Item<'_>, Problem> {
    let payload = item.body.as_deref().map(serde_json::from_slice).transpose().map_err(|error| {
        log::error!("the body of {} does not read as JSON: {error}", item.event);
        Problem::new(Kind::Internal, "a stored payload cannot be shown")
    })?;
    Ok(Item {
        sequence: item.sequence,
        delivery: item.delivery.to_string(),
        event: item.event.to_string(),
        event_type: item.event_type.as_str(),
        status: item.status.as_str(),
        accepted_at: item.accepted_at.to_string(),
        deliver_at: item.deliver_at.map(|at| at.to_string()),
        payload,
        erased: item.is_erased,
    })
}
