//! Finding by what somebody has in hand: an id of whatever kind, a partner's name, an
//! event type, an endpoint's URL.

use actix_web::HttpResponse;
use maud::html;
use serde::de::IgnoredAny;

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, segment};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Endpoint, List};

/// Endpoints whose URLs are compared.
const COMPARED: usize = 250;

/// Goes to what was found, or says what was looked for.
pub async fn page(visitor: Visitor) -> HttpResponse {
    let wanted = visitor.query.filled("q").unwrap_or_default().to_owned();
    match found(&visitor, &wanted).await {
        Ok(Some(to)) => answers::go(&to),
        Ok(None) => visitor.answer(Ok(not_found(&visitor, &wanted))),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

/// Where it is.
async fn found(visitor: &Visitor, wanted: &str) -> Result<Option<String>, Trouble> {
    let kind = wanted.split_once('_').map_or("", |(kind, _)| kind);
    let room = match kind {
        "ep" => Some(("/webhook", "/endpoints", Permission::ManageEndpoints)),
        "evt" => Some(("/events", "/events", Permission::ReadDeliveries)),
        "dlv" => Some(("/deliveries", "/deliveries", Permission::ReadDeliveries)),
        _ => None,
    };
    if let Some((api, page, _)) = room.filter(|(_, _, permission)| visitor.may(*permission)) {
        return by_id(visitor, wanted, api, page).await;
    }
    if visitor.may(Permission::ReadEventTypes)
        && is_there(visitor, &format!("/event-types/{}", segment(wanted)), About::These).await?
    {
        return Ok(Some(visitor.to(&format!("/catalog/{}", segment(wanted)), &[])));
    }
    if visitor.may(Permission::Operate)
        && is_there(visitor, &format!("/partners/{}", segment(wanted)), About::Nobody).await?
    {
        return Ok(Some(visitor.address(&format!("/partners/{}", segment(wanted)), None, &[])));
    }
    if visitor.may(Permission::ManageEndpoints) && wanted.contains("://") {
        return by_url(visitor, wanted).await;
    }
    Ok(None)
}

/// An id says neither environment nor partner: both environments are looked at.
async fn by_id(visitor: &Visitor, id: &str, api: &str, page: &str) -> Result<Option<String>, Trouble> {
    let own = visitor.environment().to_owned();
    let mut environments = vec![own.as_str()];
    if visitor.chooses_environment() {
        environments.push(if own == "sandbox" { "production" } else { "sandbox" });
    }
    for environment in environments {
        let mut there = visitor.clone();
        there.query = form::Form::default();
        if visitor.chooses_environment() {
            there.query.set("env", environment);
        }
        if is_there(&there, &format!("{api}/{}", segment(id)), About::These).await? {
            return Ok(Some(there.to(&format!("{page}/{}", segment(id)), &[])));
        }
    }
    Ok(None)
}

async fn by_url(visitor: &Visitor, url: &str) -> Result<Option<String>, Trouble> {
    let limit = COMPARED.min(visitor.api.limits.page_max).to_string();
    let found: List<Endpoint> = visitor.get("/webhook", About::These, &[("limit", &limit)]).await?;
    let first = found.data.iter().find(|endpoint| endpoint.url.trim_end_matches('/') == url.trim_end_matches('/'));
    Ok(first.map(|endpoint| visitor.to(&format!("/endpoints/{}", segment(&endpoint.id)), &[])))
}

async fn is_there(visitor: &Visitor, path: &str, about: About<'_>) -> Result<bool, Trouble> {
    match visitor.get::<IgnoredAny>(path, about, &[]).await {
        Ok(_) => Ok(true),
        Err(trouble) if matches!(trouble.status, 404 | 422) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

fn not_found(visitor: &Visitor, wanted: &str) -> Page {
    let body = html! {
        (head("Nothing found", html! {}))
        section.panel {
            p.sentence { "There is nothing here that is called " b { (wanted) } ", or it is not yours to see." }
            p { "What can be found is, whole and exactly as it is written:" }
            ul {
                li { "the id of an event (" code { "evt_…" } "), a delivery (" code { "dlv_…" } ") or an endpoint (" code { "ep_…" } "), in both environments where your key has both" }
                li { "the name of an event type" @if visitor.is_operator() { ", or of a partner" } }
                li { "the URL of an endpoint, among the newest " (COMPARED) " in " (visitor.environment()) }
            }
            p { "What is older than the retention is gone. " a href={ (ROOT) "/events" } { "All events" } " · " a href=(visitor.to("/deliveries", &[])) { "All deliveries" } }
        }
    };
    Page::new("Nothing found", body)
}
