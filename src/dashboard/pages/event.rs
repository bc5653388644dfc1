//! One event: what was posted and what became of it. Its payload is in `event_payload`, its
//! outcomes in `event_outcomes`.

use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{event_outcomes, event_payload, events, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::WholeEvent;
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Reads one.
pub async fn read(visitor: &Visitor, id: &str) -> Result<WholeEvent, Trouble> {
    visitor.get(&format!("/events/{}", segment(id)), About::These, &[]).await
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let mut event = read(visitor, id).await?;
    let path = format!("/events/{}", segment(&event.id));
    let is_over_all = visitor.partner().is_none_or(|partner| partner == "*");
    let whose = (is_over_all && event.partner != "*").then(|| event.partner.clone());
    if let Some(partner) = &whose {
        // Over all partners the API leaves out who did not get it; of the partner alone it
        // leaves out who got it of all of them.
        let own: WholeEvent = visitor.get(&path, About::Partner(partner), &[]).await?;
        event.endpoints.extend(own.endpoints.into_iter().filter(|found| found.delivery.is_none()));
    }
    let about = whose.as_deref().map_or(About::These, About::Partner);
    let payload = event_payload::shown(visitor, &event, &path).await;
    let body = html! {
        div.head {
            h1 { "Event " span.mono { (words::short(&event.id)) } " " span.muted { (event.event) } }
            div.row { (frame::copy(&event.id)) }
        }
        p.sentence { (sentence(&event, visitor.now)) }
        (event_outcomes::table(visitor, &event))
        div.two {
            (payload)
            (facts(visitor, &event))
        }
        (frame::as_call(visitor, &path, about, &[]))
    };
    Ok(Page::new(format!("Event {}", words::short(&event.id)), body))
}

fn facts(visitor: &Visitor, event: &WholeEvent) -> Markup {
    html! {
        section.panel {
            h2 { "About it" }
            dl.facts {
                dt { "Id" } dd { code { (event.id) } }
                dt { "Type" } dd { a href=(visitor.to(&format!("/catalog/{}", segment(&event.event)), &[])) { (event.event) } }
                dt { "Partner" } dd { @if event.partner == "*" { "all partners" } @else { (event.partner) } }
                dt { "Accepted" } dd { (words::time(event.accepted_at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(event.accepted_at.0)) } }
                @if let Some(at) = event.deliver_at { dt { "Not before" } dd { (words::time(at.0, visitor.now)) } }
                @if let Some(at) = event.expires_at { dt { "Expires" } dd { (words::time(at.0, visitor.now)) } }
                @if !event.indexed.is_empty() { dt { "Found by" } dd { (events::indexed(&event.indexed)) } }
                @if let Some(key) = &event.idempotency_key { dt { "Idempotency key" } dd { code { (key) } } }
                dt { "Size" } dd { (words::bytes(event.bytes)) }
            }
            @for one in &event.indexed {
                p { a href=(visitor.to("/events", &[("at", &one.pointer), ("value", &one.value)])) { "All events with this " code { (one.pointer) } } }
            }
        }
    }
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
