//! One event: what was posted, byte for byte, and what became of it at every endpoint.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};
use sha2::{Digest as _, Sha256};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{endpoint_link, outcome, segment};
use crate::dashboard::payload::{SHOWN_BYTES_MAX, pretty};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Outcome, WholeEvent};
use crate::dashboard::words;
use crate::domain::Timestamp;

async fn read(visitor: &Visitor, id: &str) -> Result<WholeEvent, Trouble> {
    visitor.get(&format!("/events/{}", segment(id)), About::These, &[]).await
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let event = read(visitor, id).await?;
    let path = format!("/events/{}", segment(&event.id));
    let body = html! {
        div.head {
            h1 { "Event " span.mono { (words::short(&event.id)) } " " span.muted { (event.event) } }
            div.row { (frame::copy(&event.id)) }
        }
        p.sentence { (sentence(&event, visitor.now)) }
        (outcomes(visitor, &event))
        div.two {
            (shown(visitor, &event, &path))
            section.panel {
                h2 { "About it" }
                dl.facts {
                    dt { "Id" } dd { code { (event.id) } }
                    dt { "Type" } dd { a href=(visitor.to(&format!("/catalog/{}", segment(&event.event)), &[])) { (event.event) } }
                    dt { "Partner" } dd { @if event.partner == "*" { "all partners" } @else { (event.partner) } }
                    dt { "Accepted" } dd { (words::time(event.accepted_at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(event.accepted_at.0)) } }
                    @if let Some(at) = event.deliver_at { dt { "Not before" } dd { (words::time(at.0, visitor.now)) } }
                    @if let Some(at) = event.expires_at { dt { "Expires" } dd { (words::time(at.0, visitor.now)) } }
                    dt { "Size" } dd { (words::bytes(event.bytes)) }
                }
            }
        }
        (frame::as_call(visitor, &path, About::These, &[]))
    };
    Ok(Page::new(format!("Event {}", words::short(&event.id)), body))
}

/// What became of it, in one sentence.
fn sentence(event: &WholeEvent, now: Timestamp) -> String {
    let of =
        |words: &[&str]| event.endpoints.iter().filter(|found| words.contains(&found.outcome.as_str())).count() as u64;
    let made = event.endpoints.iter().filter(|found| found.delivery.is_some()).count() as u64;
    let age = words::relative(event.accepted_at.0, now);
    if event.endpoints.is_empty() {
        return format!("Accepted {age}, when its partner had no endpoint.");
    }
    if made == 0 {
        return format!("Accepted {age}; no endpoint wanted it.");
    }
    let mut parts = vec![format!("{} of {made} delivered", of(&["delivered"]))];
    for (count, word) in [
        (of(&["pending"]), "pending"),
        (of(&["retrying"]), "retrying"),
        (of(&["held"]), "held"),
        (of(&["retries_exhausted"]), "exhausted"),
        (of(&["discarded"]), "discarded"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    format!("Accepted {age}: {}.", parts.join(", "))
}

fn outcomes(visitor: &Visitor, event: &WholeEvent) -> Markup {
    html! {
        @if !event.endpoints.is_empty() {
            div.list {
                table {
                    caption { "What became of it at each endpoint." }
                    thead { tr { th scope="col" { "Outcome" } th scope="col" { "Endpoint" } th scope="col" { "Delivery" } th scope="col" { "Why" } } }
                    tbody {
                        @for found in &event.endpoints {
                            tr {
                                td.nowrap { (icons::status(&found.outcome)) }
                                td.nowrap { (endpoint_link(visitor, &found.endpoint)) }
                                td.nowrap {
                                    @if let Some(delivery) = &found.delivery {
                                        a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { (words::id(&delivery.id)) }
                                    }
                                }
                                td.line2 { (why(found, visitor.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An outcome as a sentence.
fn why(found: &Outcome, now: Timestamp) -> Markup {
    html! {
        @match (found.outcome.as_str(), &found.delivery) {
            ("filtered", _) => {
                "Its filter objects: "
                @for (at, objection) in found.filtered_by.iter().enumerate() {
                    @if at > 0 { "; " }
                    code { (objection.pointer) } " " (objection.detail)
                }
            }
            ("not_subscribed", _) => "It did not want this type when the event was accepted.",
            ("discarded", Some(delivery)) => { "Discarded: " (delivery.reason.as_deref().unwrap_or("no reason is known").replace('_', " ")) "." }
            ("held", _) => "It waits behind a pause, a brake or a disabled endpoint.",
            (_, Some(delivery)) => {
                @if let Some(attempt) = &found.last_attempt {
                    "Attempt " (attempt.number) " " (outcome::verb(attempt)) " " (words::time(attempt.started_at.0, now))
                } @else { "No attempt yet" }
                @if let Some(next) = delivery.next_attempt_at { "; next " (words::time(next.0, now)) }
                "."
            }
            _ => "",
        }
    }
}

fn shown(visitor: &Visitor, event: &WholeEvent, path: &str) -> Markup {
    let raw = event.payload.get();
    let is_raw = visitor.query.get("view") == Some("raw");
    let is_exact = raw.len() as u64 == event.bytes;
    html! {
        section.panel {
            div.head {
                h2 { "Payload" }
                div.row {
                    nav.tabs aria-label="How the payload is shown" {
                        a href=(visitor.to(path, &[])) aria-current=[(!is_raw).then_some("true")] { "Pretty" }
                        a href=(visitor.to(path, &[("view", "raw")])) aria-current=[is_raw.then_some("true")] { "Raw" }
                    }
                    a href=(visitor.to(&format!("{path}/payload"), &[])) { "Download" }
                }
            }
            @if raw.len() > SHOWN_BYTES_MAX {
                p { "It is " (words::bytes(event.bytes)) " long, which is too much to show: download it." }
            } @else if is_raw {
                pre tabindex="0" { (raw) }
                dl.facts {
                    dt { "Bytes" } dd { (words::count(event.bytes)) }
                    @if is_exact { dt { "SHA-256" } dd { code { (hex(&Sha256::digest(raw.as_bytes()))) } } }
                }
            } @else { (pretty(raw)) }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The payload as a file: nothing that a browser would run.
pub async fn payload(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    match read(&visitor, &id).await {
        Ok(event) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/octet-stream"))
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}.json\"", event.id)))
            .body(event.payload.get().to_owned()),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}
