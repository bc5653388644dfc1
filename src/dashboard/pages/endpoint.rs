//! One endpoint: what it is doing now, and its deliveries, settings and secrets.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::form::Mistakes;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::endpoint_form::{self, Kind};
use crate::dashboard::pages::{deliveries, endpoints, nothing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{AuditEntry, Delivery, Endpoint, Health, List};
use crate::dashboard::{answers, words};
use crate::domain::Timestamp;

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
    let tab = match visitor.query.get("tab").unwrap_or_default() {
        "settings" => "settings",
        "secrets" => "secrets",
        "audit" => "audit",
        _ => "",
    };
    let shown = match tab {
        "settings" => {
            let types = endpoint_form::types(visitor).await?;
            endpoint_form::form(
                visitor,
                &Kind::Change(&endpoint),
                &endpoint_form::filled(&endpoint),
                &Mistakes::default(),
                &types,
            )
        }
        "secrets" => secrets(visitor, &endpoint),
        "audit" => audit(visitor, &endpoint).await,
        _ => sent(visitor, &endpoint).await,
    };
    Ok(framed(visitor, &endpoint, tab, shown))
}

/// An endpoint's page with this under its tabs.
pub fn framed(visitor: &Visitor, endpoint: &Endpoint, tab: &str, shown: Markup) -> Page {
    let path = format!("/endpoints/{}", segment(&endpoint.id));
    let tabs = [("", "Deliveries"), ("settings", "Settings"), ("secrets", "Secrets"), ("audit", "Audit")];
    let body = html! {
        div.head {
            h1 { (endpoint.url) }
            div.row {
                a href=(visitor.address("/endpoints", Some(&endpoint.partner).filter(|partner| *partner != "*").map(String::as_str), &[])) {
                    @if endpoint.partner == "*" { "all partners" } @else { (endpoint.partner) }
                }
                (words::id(&endpoint.id)) (frame::copy(&endpoint.id))
            }
        }
        @if let Some(description) = &endpoint.description { p.muted { (description) } }
        (state(visitor, endpoint))
        (actions(visitor, endpoint))
        nav.tabs aria-label="Parts of the endpoint" {
            @for (value, name) in tabs {
                @let parameters: &[(&str, &str)] = if value.is_empty() { &[] } else { &[("tab", value)] };
                @if value != "audit" || visitor.may(Permission::ReadAudit) {
                    a href=(visitor.to(&path, parameters)) aria-current=[(value == tab).then_some("page")] { (name) }
                }
            }
        }
        (shown)
        (frame::as_call(visitor, &format!("/webhook/{}", segment(&endpoint.id)), About::These, &[]))
    };
    Page::new(endpoint.url.clone(), body)
        .live(visitor.to(&format!("/live{}", path.replacen("/endpoints/", "/endpoint/", 1)), &[]))
}

/// What its trouble is, as a sentence; nothing without one.
pub fn trouble(health: &Health, now: Timestamp) -> Markup {
    html! {
        @if let (Some(at), reason) = (health.disabled_at, health.disabled_reason.as_deref()) {
            "Posthaste disabled it " (words::time(at.0, now)) ": "
            @if reason == Some("gone") { "it answered 410 Gone." } @else { "it had failed for too long." }
        } @else if health.breaker == "open" {
            "Its breaker opened"
            @if let Some(at) = health.breaker_opened_at { " " (words::time(at.0, now)) }
            @if health.failed_probes > 0 { "; " (words::of(u64::from(health.failed_probes), "probe")) " failed since" }
            @if health.actor.probing == Some(true) { "; a probe is under way" }
            @else if let Some(at) = health.next_probe_at { "; the next probe " (words::time(at.0, now)) }
            "."
        } @else if let Some(since) = health.failing_since {
            "It has only failed since " (words::time(since.0, now)) "."
        }
    }
}

/// What it is doing now.
fn state(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let Some(health) = &endpoint.health else { return html! {} };
    let now = visitor.now;
    let waiting = html! { (words::count(health.backlog)) @if health.backlog_has_more { "+" } @if health.backlog == 1 { " delivery waits" } @else { " deliveries wait" } };
    html! {
        section #state .panel {
            p.sentence {
                (endpoints::health(endpoint)) " "
                @match (endpoint.status.as_str(), &endpoint.paused_at, &endpoint.braked_at) {
                    ("disabled", ..) => { @if health.disabled_at.is_none() { "Disabled by its settings. " } (trouble(health, now)) " " (waiting) " until it is enabled." }
                    (_, Some(at), _) => { "Paused " (words::time(at.0, now)) "; " (waiting) " until it is resumed." }
                    (_, _, Some(at)) => { "An operator holds it since " (words::time(at.0, now)) "; " (waiting) "." }
                    _ => {
                        (trouble(health, now)) " "
                        @if health.backlog == 0 { "Nothing waits." } @else {
                            (waiting)
                            @if let Some(at) = health.next_attempt_at.filter(|at| at.0 > now) { "; the next attempt " (words::time(at.0, now)) }
                            "."
                        }
                    }
                }
            }
            (actor(visitor, health))
        }
    }
}

fn actor(visitor: &Visitor, health: &Health) -> Markup {
    let now = visitor.now;
    let actor = &health.actor;
    let known = |number: Option<u64>| number.map_or("—".to_owned(), words::count);
    let window = [actor.window.fresh, actor.window.retries, actor.window.manual].into_iter().flatten().sum::<u64>();
    html! {
        dl.figures {
            div {
                dt { "Actor" }
                dd {
                    @match (actor.reachable, actor.live) {
                        (false, _) => "unknown",
                        (true, Some(true)) => "live",
                        _ => "asleep",
                    }
                    small {
                        @if !actor.reachable { "its node does not answer" }
                        @else if let Some(node) = &actor.node { (words::short(node)) }
                        @else { "no work, no actor" }
                    }
                }
            }
            div {
                dt { "In flight" }
                dd {
                    (known(actor.in_flight)) @if let Some(most) = actor.concurrency { "/" (words::count(most)) }
                    small { @if actor.slow_start == Some(true) { "slow start, of " (known(actor.max_concurrency)) } @else { "at once" } }
                }
            }
            div { dt { "In memory" } dd { (words::count(window)) small { @if actor.window.more_in_store == Some(true) { "more in the store" } @else { "of what waits" } } } }
            div {
                dt { "Oldest waiting" }
                dd {
                    @match &health.oldest_waiting {
                        Some(oldest) => a href=(visitor.to_one(&format!("/deliveries/{}", segment(&oldest.delivery)))) { (words::time(oldest.created_at.0, now)) },
                        None => "—",
                    }
                    small {
                        @if let Some(at) = actor.paced_until.filter(|at| at.0.since(now).as_secs() > 0) { "its pace waits until " (words::time(at.0, now)) }
                        @else if let Some(at) = health.retry_after.or(actor.not_before).filter(|at| at.0 > now) { "nothing before " (words::time(at.0, now)) }
                    }
                }
            }
        }
    }
}

/// What can be done with it.
fn actions(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let at = |verb: &str| visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&endpoint.id)));
    html! {
        div.actions {
            (frame::action(visitor, &at("test"), "Send a test"))
            @if endpoint.paused_at.is_some() { (frame::action(visitor, &at("resume"), "Resume")) }
            @else { (frame::action(visitor, &at("pause"), "Pause")) }
            @if endpoint.enabled { (frame::action(visitor, &at("disable"), "Disable")) }
            @else { (frame::action(visitor, &at("enable"), "Enable")) }
            (frame::confirmed(visitor, &at("delete"), "Delete", "It is gone for good, and what waits for it is discarded.", "Delete 1 endpoint"))
        }
    }
}

async fn sent(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let asked = [("endpoint", endpoint.id.as_str()), ("limit", "20")];
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
        Ok(found) => super::audit::table(visitor, &found.data),
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
                details.confirm {
                    summary.button { "Rotate…" }
                    form method="post" action=(at("rotate")) {
                        (frame::token(visitor))
                        p { "A new one signs from now on; those from before sign beside it for a while." }
                        label { "Hours " input.small-number type="text" name="hours" value="24" inputmode="numeric"; }
                        button.danger { "Rotate" }
                    }
                }
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
    Ok(vec![("state", state(&visitor, &endpoint))])
}
