//! One delivery: why it is where it is, what comes next, and every attempt.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{endpoint_link, outcome, segment, timeline};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Delivery, Endpoint};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Attempts that are shown whole; of more, the last.
const ATTEMPTS_SHOWN: usize = 30;

async fn read(visitor: &Visitor, id: &str) -> Result<Delivery, Trouble> {
    visitor.get(&format!("/deliveries/{}", segment(id)), About::These, &[]).await
}

async fn endpoint_of(visitor: &Visitor, delivery: &Delivery) -> Option<Endpoint> {
    if !visitor.may(Permission::ManageEndpoints) {
        return None;
    }
    visitor.get(&format!("/webhook/{}", segment(&delivery.endpoint)), About::These, &[]).await.ok()
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let delivery = read(visitor, id).await?;
    let endpoint = endpoint_of(visitor, &delivery).await;
    let path = format!("/deliveries/{}", segment(&delivery.id));
    let body = html! {
        div.head {
            h1 { "Delivery " span.mono { (words::short(&delivery.id)) } " " span.muted { (delivery.event_type) } }
            div.row { (frame::copy(&delivery.id)) }
        }
        (state(visitor, &delivery, endpoint.as_ref()))
        section.panel {
            dl.facts {
                dt { "Event" } dd { a href=(visitor.to_one(&format!("/events/{}", segment(&delivery.event)))) { (words::id(&delivery.event)) } " " span.muted { (delivery.event_type) } }
                dt { "Endpoint" } dd {
                    @match &endpoint {
                        Some(endpoint) => a href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) { (endpoint.url) },
                        None => (endpoint_link(visitor, &delivery.endpoint)),
                    }
                }
                dt { "Made" } dd { (words::time(delivery.created_at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(delivery.created_at.0)) } }
                @if let Some(finished) = delivery.finished_at {
                    dt { "Ended" } dd { (words::time(finished.0, visitor.now)) ", after " (words::span(finished.0.since(delivery.created_at.0))) }
                }
            }
        }
        (attempts(&delivery, visitor.now))
        (frame::as_call(visitor, &path, About::These, &[]))
    };
    Ok(Page::new(format!("Delivery {}", words::short(&delivery.id)), body)
        .live(visitor.to(&format!("/live/delivery/{}", segment(id)), &[])))
}

/// Where it stands and what can be done.
fn state(visitor: &Visitor, delivery: &Delivery, endpoint: Option<&Endpoint>) -> Markup {
    let at = |verb: &str| visitor.to_one(&format!("/deliveries/{}/{verb}", segment(&delivery.id)));
    let may_retry = visitor.may(Permission::RetryDeliveries);
    let is_over = delivery.finished_at.is_some()
        || matches!(delivery.status.as_str(), "delivered" | "discarded" | "retries_exhausted");
    let is_paused = endpoint.is_some_and(|endpoint| endpoint.status != "active");
    html! {
        section #state .panel {
            div.head { p.sentence { (icons::status(&delivery.status)) " " (sentence(delivery, endpoint, visitor.now)) } }
            @if !delivery.attempts.is_empty() || delivery.next_attempt_at.is_some() { (timeline::line(delivery)) }
            @if may_retry {
                div.actions {
                    @if is_paused {
                        a.button href=(visitor.to_one(&format!("/endpoints/{}", segment(&delivery.endpoint)))) { "To the endpoint, which holds it" }
                    } @else if delivery.status != "discarded" {
                        (frame::action(visitor, &at("retry"), if delivery.status == "delivered" { "Send it once more" } else { "Retry now" }))
                    }
                    @if !is_over {
                        (frame::confirmed(visitor, &at("skip"), "Skip", "It is given up and not tried again. What waits behind it in order goes on.", "Skip 1 delivery"))
                    }
                }
            }
        }
    }
}

/// Where it stands, with what comes next.
fn sentence(delivery: &Delivery, endpoint: Option<&Endpoint>, now: Timestamp) -> Markup {
    let next = html! {
        @match delivery.next_attempt_at {
            Some(at) if at.0 > now => { "next " (words::time(at.0, now)) }
            Some(_) => "the next is due now",
            None => "none is planned",
        }
    };
    let last = delivery.attempts.last().map(|attempt| {
        html! { "Attempt " (attempt.number) " " (outcome::verb(attempt)) " " (words::time(attempt.started_at.0, now)) }
    });
    html! {
        @match delivery.status.as_str() {
            "delivered" => {
                @match delivery.attempts.iter().rev().find(|attempt| outcome::is_delivered(attempt)) {
                    Some(attempt) => {
                        "Attempt " (attempt.number) " " (outcome::verb(attempt)) " " (words::time(attempt.started_at.0, now))
                        ", in " (words::span(Duration::from_millis(attempt.duration_ms))) "."
                    }
                    None => { "Delivered after " (words::of(delivery.attempt_count, "attempt")) "." }
                }
            }
            "retries_exhausted" => { @if let Some(last) = last { (last) ", the last of its schedule. " } "It is not tried again by itself." }
            "discarded" => { "Not sent: " (delivery.reason.as_deref().unwrap_or("no reason is known").replace('_', " ")) "." }
            "held" => {
                "Its endpoint "
                @match endpoint.map(|endpoint| endpoint.status.as_str()) {
                    Some("disabled") => "is disabled",
                    Some("paused") => "is paused",
                    _ => "holds everything",
                }
                ". It goes out when that ends."
                @if let Some(last) = last { " " (last) "." }
            }
            _ => {
                @match last {
                    Some(last) => { (last) "; " (next) "." }
                    None => { "Not tried yet; " (next) "." }
                }
                @if let Some(health) = endpoint.and_then(|endpoint| endpoint.health.as_ref()).filter(|health| health.breaker == "open") {
                    " " (super::endpoint::trouble(health, now))
                }
            }
        }
    }
}

fn attempts(delivery: &Delivery, now: Timestamp) -> Markup {
    let hidden = delivery.attempts.len().saturating_sub(ATTEMPTS_SHOWN);
    html! {
        div #attempts .panel-list {
            @for attempt in delivery.attempts.iter().rev().take(ATTEMPTS_SHOWN) { (outcome::whole(attempt, now)) }
            @if hidden > 0 { p.muted { (words::of(hidden as u64, "earlier attempt")) " are in the API's answer." } }
        }
    }
}

/// Its live parts.
pub async fn live(visitor: Visitor, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let id = id.into_inner();
    live::stream(visitor, &request, move |visitor| draw(visitor, id.clone()))
}

async fn draw(visitor: Visitor, id: String) -> Result<Parts, Trouble> {
    let delivery = read(&visitor, &id).await?;
    let endpoint = endpoint_of(&visitor, &delivery).await;
    Ok(vec![("state", state(&visitor, &delivery, endpoint.as_ref())), ("attempts", attempts(&delivery, visitor.now))])
}

/// Retries or skips it.
pub async fn act(posted: Posted, path: web::Path<(String, String)>) -> HttpResponse {
    let (visitor, (id, verb)) = (posted.visitor, path.into_inner());
    let said = match verb.as_str() {
        "retry" => "One more attempt is on its way: it shows up below.",
        "skip" => "Skipped: it is not tried again.",
        _ => return visitor.answer(Err(Trouble::not_found("there is no such thing to do"))),
    };
    let to = format!("/deliveries/{}", segment(&id));
    let done = visitor.send(Method::POST, &format!("{to}/{verb}"), About::These, None).await;
    visitor.say_either(&visitor.to_one(&to), done, |_| said.to_owned())
}
