//! One delivery: why it is where it is, what comes next, and every attempt.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join3;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::attempt::{self, Sent};
use crate::dashboard::pages::event_outcomes::{failed_with, is_behind_a_breaker, last_failed, left, waits};
use crate::dashboard::pages::{endpoint_link, event_payload, outcome, segment, timeline};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Attempt, AuditEntry, Delivery, Endpoint, List};
use crate::dashboard::words;
use crate::domain::{DeliveryId, Timestamp};

/// Bytes of the payload that are shown here.
const BODY_BYTES_MAX: usize = 512;

/// Requests for one more attempt that are looked at.
const REQUESTS: &str = "50";

/// The beginning of a payload, and how long it is.
type Body = Option<(String, usize)>;

async fn read(visitor: &Visitor, id: &str) -> Result<Delivery, Trouble> {
    // The API may have other things below the same path.
    id.parse::<DeliveryId>().map_err(|_| Trouble::not_found("no delivery has this id"))?;
    visitor.get(&format!("/deliveries/{}", segment(id)), About::These, &[]).await
}

async fn endpoint_of(visitor: &Visitor, delivery: &Delivery) -> Option<Endpoint> {
    if !visitor.may(Permission::ManageEndpoints) {
        return None;
    }
    visitor.get(&format!("/webhook/{}", segment(&delivery.endpoint)), About::These, &[]).await.ok()
}

/// What the receiver of one that waits for a breaker answered last, to whichever delivery.
async fn failed_last(visitor: &Visitor, delivery: &Delivery) -> Option<String> {
    if !is_behind_a_breaker(delivery.waits_for.as_ref()) {
        return None;
    }
    last_failed(visitor, &delivery.endpoint).await.map(|seen| failed_with(&seen))
}

async fn body_of(visitor: &Visitor, delivery: &Delivery) -> Body {
    let bytes = event_payload::bytes(visitor, &delivery.event).await.ok()?;
    let begin = &bytes[..bytes.len().min(BODY_BYTES_MAX + 4)];
    let text = String::from_utf8_lossy(begin);
    Some((attempt::beginning(&text, BODY_BYTES_MAX).to_owned(), bytes.len()))
}

/// The attempts that somebody asked for, by their numbers. Attempts do not say so themselves:
/// the audit log says when one was asked for, and the first to begin after that is meant. Where
/// it cannot be read, nothing is marked.
async fn by_hand(visitor: &Visitor, delivery: &Delivery) -> BTreeSet<u64> {
    if delivery.attempts.is_empty() || !visitor.may(Permission::ReadAudit) {
        return BTreeSet::new();
    }
    let asked = [("action", "delivery.retried"), ("subject", delivery.id.as_str()), ("limit", REQUESTS)];
    let found: Result<List<AuditEntry>, Trouble> = visitor.get("/audit", About::These, &asked).await;
    let requests = found.map(|found| found.data).unwrap_or_default();
    first_after(&delivery.attempts, requests.iter().rev().map(|entry| entry.at.0))
}

/// Of each of these times, the first attempt that began since, none of them twice.
fn first_after(attempts: &[Attempt], times: impl Iterator<Item = Timestamp>) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for at in times {
        let next = attempts.iter().find(|attempt| attempt.started_at.0 >= at && !found.contains(&attempt.number));
        found.extend(next.map(|attempt| attempt.number));
    }
    found
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let delivery = read(visitor, id).await?;
    let endpoint = endpoint_of(visitor, &delivery).await;
    let (body_sent, by_hand, failed) =
        join3(body_of(visitor, &delivery), by_hand(visitor, &delivery), failed_last(visitor, &delivery)).await;
    let path = format!("/deliveries/{}", segment(&delivery.id));
    let chosen = chosen(visitor, &delivery);
    let body = html! {
        div.head {
            h1 { "Delivery " span.mono { (words::short(&delivery.id)) } " " span.muted { (delivery.event_type) } }
            div.row { (frame::copy(&delivery.id)) }
        }
        (state(visitor, &delivery, endpoint.as_ref(), failed.as_deref(), &by_hand))
        (facts(visitor, &delivery, endpoint.as_ref()))
        (attempts(visitor, &delivery, endpoint.as_ref(), &body_sent, &by_hand))
        (frame::as_call(visitor, &path, About::These, &[]))
    };
    // What somebody looks at stays, whatever attempt comes next.
    let number = chosen.map(|attempt| attempt.number.to_string());
    let with = visitor.query.filled("with").map(str::to_owned);
    let mut watched: Vec<(&str, &str)> = Vec::new();
    watched.extend(number.as_deref().map(|number| ("attempt", number)));
    watched.extend(with.as_deref().map(|with| ("with", with)));
    Ok(Page::new(format!("Delivery {}", words::short(&delivery.id)), body)
        .live(visitor.to(&format!("/live/delivery/{}", segment(id)), &watched)))
}

fn facts(visitor: &Visitor, delivery: &Delivery, endpoint: Option<&Endpoint>) -> Markup {
    html! {
        section.panel {
            dl.facts {
                dt { "Event" } dd { a href=(visitor.to_one(&format!("/events/{}", segment(&delivery.event)))) { (words::id(&delivery.event)) } " " span.muted { (delivery.event_type) } }
                dt { "Endpoint" } dd {
                    @match endpoint {
                        Some(endpoint) => a href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) { (endpoint.url) },
                        None => (endpoint_link(visitor, &delivery.endpoint)),
                    }
                }
                @if let Some(replay) = &delivery.replay {
                    dt { "Replay" } dd { a href=(visitor.to("/deliveries", &[("replay", replay)])) { "All deliveries of " (words::short(replay)) } }
                }
                dt { "Made" } dd { (words::time(delivery.created_at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(delivery.created_at.0)) } }
                @if let Some(finished) = delivery.finished_at {
                    dt { "Ended" } dd { (words::time(finished.0, visitor.now)) ", after " (words::span(finished.0.since(delivery.created_at.0))) }
                }
            }
        }
    }
}

/// Where it stands and what can be done.
fn state(
    visitor: &Visitor,
    delivery: &Delivery,
    endpoint: Option<&Endpoint>,
    failed: Option<&str>,
    by_hand: &BTreeSet<u64>,
) -> Markup {
    html! {
        section #state .panel {
            div.head { p.sentence { (icons::status(&delivery.status)) " " (sentence(visitor, delivery, endpoint, failed)) } }
            @if !delivery.attempts.is_empty() || delivery.next_attempt_at.is_some() { (timeline::line(delivery, by_hand, visitor.now)) }
            (actions(visitor, delivery, endpoint))
        }
    }
}

fn actions(visitor: &Visitor, delivery: &Delivery, endpoint: Option<&Endpoint>) -> Markup {
    let at = |verb: &str| visitor.to_one(&format!("/deliveries/{}/{verb}", segment(&delivery.id)));
    let of_endpoint = |verb: &str| visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&delivery.endpoint)));
    let is_over = delivery.finished_at.is_some()
        || matches!(delivery.status.as_str(), "delivered" | "discarded" | "retries_exhausted");
    let can_be_sent = !matches!(delivery.reason.as_deref(), Some("endpoint_deleted" | "retention"));
    let holder = delivery.waits_for.as_ref().filter(|waits_for| waits_for.kind == "hold");
    let is_held = holder.is_some() || endpoint.is_some_and(|endpoint| endpoint.status != "active");
    html! {
        @if visitor.may(Permission::RetryDeliveries) {
            div.actions {
                @match (holder.and_then(|holder| holder.by.as_deref()), endpoint) {
                    (Some("partner" | "both"), Some(_)) => (frame::action(visitor, &of_endpoint("resume"), "Resume the endpoint")),
                    (Some("settings" | "failing" | "gone"), Some(_)) => (frame::action(visitor, &of_endpoint("enable"), "Enable the endpoint")),
                    // One that has ended waits for nobody, and its endpoint is paused all the same.
                    (None, Some(endpoint)) if endpoint.paused_at.is_some() => (frame::action(visitor, &of_endpoint("resume"), "Resume the endpoint")),
                    (Some("operator"), Some(endpoint)) if endpoint.partner != "*" && visitor.may(Permission::Brake) => {
                        a.button href=(visitor.address(&format!("/partners/{}", segment(&endpoint.partner)), None, &[])) { "To the brake that holds it" }
                    }
                    _ if is_held => a.button href=(visitor.to_one(&format!("/endpoints/{}", segment(&delivery.endpoint)))) { "To the endpoint, which holds it" },
                    _ if can_be_sent => (frame::action(visitor, &at("retry"), if delivery.status == "delivered" { "Send it once more" } else { "Retry now" })),
                    _ => {}
                }
                @if !is_over {
                    (frame::confirmed(visitor, &at("skip"), "Skip", "It is given up and not tried again. What waits behind it in order goes on.", "Skip 1 delivery"))
                }
            }
        }
    }
}

/// Where it stands, with what comes next.
fn sentence(visitor: &Visitor, delivery: &Delivery, endpoint: Option<&Endpoint>, failed: Option<&str>) -> Markup {
    let now = visitor.now;
    let last = delivery.attempts.last().map(|attempt| {
        html! { "Attempt " (attempt.number) " " (outcome::verb(attempt)) " " (words::time(attempt.started_at.0, now)) }
    });
    let next = html! { (waits(visitor, delivery.waits_for.as_ref(), delivery)) (left(delivery.attempts_left)) };
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
            "discarded" => {
                "Given up: " (delivery.reason.as_deref().unwrap_or("no reason is known").replace('_', " ")) "."
                @if let Some(last) = last { " " (last) "." }
            }
            _ => {
                @match last {
                    Some(last) => { (last) "; " (next) "." }
                    None => { "Not tried yet; " (next) "." }
                }
                @if let Some(first) = delivery.waits_for.as_ref().and_then(|waits_for| waits_for.delivery.as_deref()) {
                    " It waits for " a href=(visitor.to_one(&format!("/deliveries/{}", segment(first)))) { (words::id(first)) } "."
                }
                // While it is held, nothing is probed.
                @let flowing = endpoint.filter(|endpoint| endpoint.status == "active" && endpoint.braked_at.is_none());
                @if let Some(health) = flowing.and_then(|endpoint| endpoint.health.as_ref()).filter(|health| health.breaker == "open") {
                    // When it is probed next is said above, by what it waits for.
                    " " (super::endpoint::trouble(visitor, health, !is_behind_a_breaker(delivery.waits_for.as_ref())))
                }
                @if let Some(failed) = failed { " The receiver last " (failed) "." }
            }
        }
    }
}

/// The attempt that is looked at: the one that the address names, or else the last.
fn chosen<'a>(visitor: &Visitor, delivery: &'a Delivery) -> Option<&'a Attempt> {
    let named = visitor.query.filled("attempt").and_then(|number| numbered(delivery, number));
    named.or(delivery.attempts.last())
}

fn numbered<'a>(delivery: &'a Delivery, number: &str) -> Option<&'a Attempt> {
    let number: u64 = number.parse().ok()?;
    delivery.attempts.iter().find(|attempt| attempt.number == number)
}

fn attempts(
    visitor: &Visitor,
    delivery: &Delivery,
    endpoint: Option<&Endpoint>,
    body: &Body,
    by_hand: &BTreeSet<u64>,
) -> Markup {
    let path = format!("/deliveries/{}", segment(&delivery.id));
    let page = |parameters: &[(&str, &str)]| visitor.to(&path, parameters);
    let sent = Sent {
        delivery,
        target: endpoint.map(|endpoint| (endpoint.url.as_str(), endpoint.version)),
        body: body.as_ref(),
        by_hand,
        page: &page,
        now: visitor.now,
    };
    let chosen = chosen(visitor, delivery);
    let with = visitor.query.filled("with").and_then(|number| numbered(delivery, number));
    html! {
        div #attempts .panel-list {
            @if let Some(chosen) = chosen {
                (attempt::table(&sent, Some(chosen.number)))
                @if let Some(with) = with.filter(|with| with.number != chosen.number) {
                    @let (earlier, later) = if with.number < chosen.number { (with, chosen) } else { (chosen, with) };
                    (attempt::compared(earlier, later))
                }
                (attempt::whole(&sent, chosen))
            }
        }
    }
}

/// What a stream keeps in mind of what seldom changes, or never: the payload, and which of so
/// many attempts somebody asked for.
#[derive(Default)]
struct Known {
    body: RefCell<Option<Body>>,
    by_hand: RefCell<(usize, BTreeSet<u64>)>,
}

/// Its live parts.
pub async fn live(visitor: Visitor, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let (id, known) = (id.into_inner(), Rc::new(Known::default()));
    live::stream(visitor, &request, move |visitor| draw(visitor, id.clone(), Rc::clone(&known)))
}

async fn draw(visitor: Visitor, id: String, known: Rc<Known>) -> Result<Parts, Trouble> {
    let delivery = read(&visitor, &id).await?;
    let endpoint = endpoint_of(&visitor, &delivery).await;
    let body = known.body.borrow().clone();
    let body = match body {
        Some(body) => body,
        None => {
            let found = body_of(&visitor, &delivery).await;
            known.body.replace(Some(found.clone()));
            found
        }
    };
    let made = delivery.attempts.len();
    if known.by_hand.borrow().0 != made {
        let found = by_hand(&visitor, &delivery).await;
        known.by_hand.replace((made, found));
    }
    let failed = failed_last(&visitor, &delivery).await;
    let by_hand = &known.by_hand.borrow().1;
    let shown = attempts(&visitor, &delivery, endpoint.as_ref(), &body, by_hand);
    Ok(vec![("state", state(&visitor, &delivery, endpoint.as_ref(), failed.as_deref(), by_hand)), ("attempts", shown)])
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_asks_gets_the_next_attempt() {
        let attempt = |number: u64, millis: i64| -> Attempt {
            let text = json!({
                "number": number, "started_at": Timestamp::from_millis(millis).to_string(), "duration_ms": 1,
                "status_code": 503, "error": null, "response_body": "",
            });
            serde_json::from_value(text).expect("it is one")
        };
        let attempts = [attempt(1, 1_000), attempt(2, 2_000), attempt(3, 3_000), attempt(4, 4_000)];
        let marked = |times: &[i64]| -> Vec<u64> {
            first_after(&attempts, times.iter().map(|at| Timestamp::from_millis(*at))).into_iter().collect()
        };
        assert_eq!(marked(&[]), Vec::<u64>::new());
        assert_eq!(marked(&[1_500]), [2]);
        assert_eq!(marked(&[2_000, 2_100]), [2, 3]);
        assert_eq!(marked(&[1_500, 1_600]), [2, 3], "who asks twice gets two");
        assert_eq!(marked(&[4_001]), Vec::<u64>::new(), "it has not begun");
    }
}
