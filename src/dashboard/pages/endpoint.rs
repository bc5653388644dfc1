//! One endpoint: what it is doing now, what its attempts came to, and its deliveries,
//! settings, secrets, replays and changes.

mod attempts;
mod charts;
mod replays;
pub mod saved;
mod state;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::form::Mistakes;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::endpoint_form::{self, Kind};
use crate::dashboard::pages::{deliveries, nothing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{AttemptSeen, AuditEntry, Delivery, Endpoint, Health, List};
use crate::dashboard::{answers, words};

/// Characters of its URL that are its heading; settings have all of it.
const URL: usize = 160;

/// Reads one, with how it is.
pub async fn read(visitor: &Visitor, id: &str) -> Result<Endpoint, Trouble> {
    visitor.get(&format!("/webhook/{}", segment(id)), About::These, &[]).await
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let endpoint = read(visitor, id).await?;
    let tab = TABS.iter().map(|(tab, _)| *tab).find(|tab| visitor.query.get("tab") == Some(tab)).unwrap_or_default();
    let seen = attempts::read(visitor, &endpoint.id).await;
    let shown = match tab {
        "attempts" => attempts::table(visitor, &endpoint, seen.as_deref()),
        "settings" => {
            let types = endpoint_form::types(visitor).await?;
            let kind = Kind::Change(&endpoint);
            html! {
                @if visitor.query.get("saved").is_some() { (saved::shown(visitor, &endpoint.id).await) }
                (endpoint_form::form(visitor, &kind, &endpoint_form::filled(&endpoint), &Mistakes::default(), &types))
            }
        }
        "secrets" => secrets(visitor, &endpoint),
        "replays" => replays::list(visitor, &endpoint).await,
        "audit" => audit(visitor, &endpoint).await,
        _ => html! {
            @match &seen { Ok(seen) => (attempts::ticks(visitor, &endpoint, seen)), Err(trouble) => (answers::part(trouble)) }
            (charts::charts(visitor, &endpoint).await)
            (sent(visitor, &endpoint).await)
        },
    };
    Ok(framed(visitor, &endpoint, seen.as_deref().unwrap_or_default(), tab, shown))
}

const TABS: [(&str, &str); 6] = [
    ("", "Deliveries"),
    ("attempts", "Attempts"),
    ("settings", "Settings"),
    ("secrets", "Secrets"),
    ("replays", "Replays"),
    ("audit", "Audit"),
];

/// An endpoint's page with this under its tabs.
pub fn framed(visitor: &Visitor, endpoint: &Endpoint, seen: &[AttemptSeen], tab: &str, shown: Markup) -> Page {
    let path = format!("/endpoints/{}", segment(&endpoint.id));
    let body = html! {
        div.head {
            h1 title=(endpoint.url) { (words::brief(&endpoint.url, URL)) }
            div.row {
                a href=(visitor.address("/endpoints", Some(&endpoint.partner).filter(|partner| *partner != "*").map(String::as_str), &[])) {
                    @if endpoint.partner == "*" { "all partners" } @else { (endpoint.partner) }
                }
                (words::id(&endpoint.id)) (frame::copy(&endpoint.id))
            }
        }
        @if let Some(description) = &endpoint.description { p.muted { (description) } }
        (state::state(visitor, endpoint, seen))
        (actions(visitor, endpoint))
        nav.tabs aria-label="Parts of the endpoint" {
            @for (value, name) in TABS {
                @let parameters: &[(&str, &str)] = if value.is_empty() { &[] } else { &[("tab", value)] };
                @if value != "audit" || visitor.may(Permission::ReadAudit) {
                    a href=(visitor.to(&path, parameters)) aria-current=[(value == tab).then_some("page")] { (name) }
                }
            }
        }
        (shown)
        (frame::as_call(visitor, &format!("/webhook/{}", segment(&endpoint.id)), About::These, &[]))
    };
    Page::new(words::brief(&endpoint.url, URL), body)
        .live(visitor.to(&format!("/live{}", path.replacen("/endpoints/", "/endpoint/", 1)), &[]))
}

/// What its trouble is, as a sentence; nothing without one. When it is tried next is left out
/// where that is said beside it, or nothing is tried.
pub fn trouble(visitor: &Visitor, health: &Health, says_next: bool) -> Markup {
    let now = visitor.now;
    let (what, tries) = if visitor.is_partner() { ("It fails", "try") } else { ("Its breaker opened", "probe") };
    html! {
        @if let (Some(at), reason) = (health.disabled_at, health.disabled_reason.as_deref()) {
            (visitor.service()) " disabled it " (words::time(at.0, now)) ": "
            @if reason == Some("gone") { "it answered 410 Gone." } @else { "it had failed for too long." }
        } @else if health.breaker == "open" {
            (what)
            @if let Some(at) = health.breaker_opened_at { @if visitor.is_partner() { " since" } " " (words::time(at.0, now)) }
            @if health.failed_probes > 0 { "; " (state::probes(visitor, health.failed_probes)) " failed since" }
            @if health.actor.probing == Some(true) { "; a " (tries) " is under way" }
            @else if !says_next {}
            // Nothing is there to probe with.
            @else if health.backlog == 0 { "; the next delivery is " @if visitor.is_partner() { "tried" } @else { "the probe" } }
            @else if let Some(at) = health.next_probe_at {
                "; the next " (tries) " " @if at.0 > now { (words::countdown(at.0, now)) } @else { "is due" }
            }
            "."
        } @else if let Some(since) = health.failing_since {
            "It has only failed since " (words::time(since.0, now)) "."
        }
    }
}

/// What can be done with it.
fn actions(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let at = |verb: &str| visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&endpoint.id)));
    let waits = endpoint.health.as_ref().map_or(0, |health| health.backlog);
    let may_retry = visitor.may(Permission::RetryDeliveries);
    html! {
        div.actions {
            (frame::action(visitor, &at("test"), "Send a test"))
            @if endpoint.paused_at.is_some() { (frame::action(visitor, &at("resume"), "Resume")) }
            @else { (frame::action(visitor, &at("pause"), "Pause")) }
            @if waits > 0 && endpoint.status == "active" && may_retry { (frame::action(visitor, &at("retry-now"), "Retry now")) }
            @if may_retry { a.button href=(at("replay")) { "Replay…" } }
            // How a disabled one is enabled stands beside why it is.
            @if endpoint.enabled { (frame::action(visitor, &at("disable"), "Disable")) }
            (frame::confirmed(visitor, &at("delete"), "Delete", "It is gone for good, and what waits for it is discarded. To stop it for a while, pause or disable it.", "Delete 1 endpoint"))
        }
    }
}

async fn sent(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let asked = [("endpoint", endpoint.id.as_str()), ("limit", "10")];
    let found: Result<List<Delivery>, Trouble> = visitor.get("/deliveries", About::These, &asked).await;
    let all = visitor.to("/deliveries", &[("endpoint", &endpoint.id)]);
    match found {
        Err(trouble) => answers::part(&trouble),
        Ok(found) if found.data.is_empty() => {
            let yet = html! { p { "Nothing was sent here yet. A test sends an example now." } };
            html! { div.list { (nothing(false, "", &yet)) } }
        }
        Ok(found) => html! {
            (deliveries::table(visitor, &found.data, "Its newest deliveries."))
            nav.pages { a href=(all) { "All of its deliveries" } }
        },
    }
}

async fn audit(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let asked = [("subject", endpoint.id.as_str()), ("limit", "50")];
    let found: Result<List<AuditEntry>, Trouble> = visitor.get("/audit", About::These, &asked).await;
    match found {
        Err(trouble) => answers::part(&trouble),
        Ok(found) => super::audit::table(visitor, &found.data).await,
    }
}

fn secrets(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let at = |verb: &str| visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&endpoint.id)));
    html! {
        section.panel {
            h2 { "Secrets" }
            p {
                "It signs by " code { (endpoint.signing) } ". "
                @if endpoint.signing == "v1a" { "Receivers check with its public key." } @else { "Receivers check with its secret." }
                " That somebody looked is written to the audit log."
            }
            div.actions {
                (frame::action(visitor, &at("secret"), if endpoint.signing == "v1a" { "Show the public key" } else { "Show the secret" }))
                (saved::rotation(visitor, &at("rotate")))
            }
        }
    }
}

/// Its live parts.
pub async fn live(visitor: Visitor, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let id = id.into_inner();
    live::stream(visitor, &request, move |visitor| draw(visitor, id.clone()))
}

async fn draw(visitor: Visitor, id: String) -> Result<Parts, Trouble> {
    let endpoint = read(&visitor, &id).await?;
    // What came before a breaker opened is all that the state needs of them.
    let is_open = endpoint.health.as_ref().is_some_and(|health| health.breaker == "open");
    let seen = if is_open { attempts::read(&visitor, &id).await.unwrap_or_default() } else { Vec::new() };
    Ok(vec![("state", state::state(&visitor, &endpoint, &seen))])
}
