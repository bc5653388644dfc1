//! An event's payload: laid out, byte for byte, or as what has changed since the event before
//! it of the same subject. The subject is what the first of its indexed fields names, among
//! types of the same family.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{event, segment};
use crate::dashboard::payload::{SHOWN_BYTES_MAX, pretty, pretty_text, raw};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Erasure, Event, List, WholeEvent};
use crate::dashboard::{answers, difference, words};

/// The panel.
pub async fn shown(visitor: &Visitor, event: &WholeEvent, path: &str) -> Markup {
    if let Some(erased) = &event.erased {
        return html! { section.panel { h2 { "Payload" } (gone(visitor, erased)) } };
    }
    let view = match visitor.query.get("view") {
        Some("raw") => "raw",
        Some("changes") if !event.indexed.is_empty() => "changes",
        _ => "",
    };
    let is_long = event.bytes > SHOWN_BYTES_MAX as u64;
    let shown = match view {
        _ if is_long => {
            html! { p { "It is " (words::bytes(event.bytes)) " long, which is too much to show: download it." } (digest(event)) }
        }
        "raw" => match bytes(visitor, &event.id).await {
            Ok(bytes) => html! { (raw(&bytes)) (digest(event)) },
            Err(trouble) => answers::part(&trouble),
        },
        "changes" => match changes(visitor, event).await {
            Ok(shown) => shown,
            Err(trouble) => answers::part(&trouble),
        },
        _ => pretty(event.payload.get()),
    };
    let views = [("", "Pretty"), ("raw", "Raw"), ("changes", "Changes")];
    html! {
        section.panel {
            div.head {
                h2 { "Payload" }
                div.row {
                    nav.tabs aria-label="How the payload is shown" {
                        @for (value, name) in views {
                            @let parameters: &[(&str, &str)] = if value.is_empty() { &[] } else { &[("view", value)] };
                            @if value != "changes" || !event.indexed.is_empty() {
                                a href=(visitor.to(path, parameters)) aria-current=[(value == view).then_some("true")] { (name) }
                            }
                        }
                    }
                    a href=(visitor.to(&format!("{path}/payload"), &[])) { "Download" }
                }
            }
            (shown)
        }
    }
}

fn gone(visitor: &Visitor, erased: &Erasure) -> Markup {
    html! {
        p { b { "Erased" } " " (words::time(erased.at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(erased.at.0)) } }
        p {
            @match erased.by.as_str() {
                "retain_none" => { "Its producer had asked for that: " code { "Posthaste-Retain: none" } "." }
                _ => { "It was older than payloads are kept (" code { "GET /retention" } " says for how long)." }
            }
            " What became of it is still known; it cannot be sent again."
        }
    }
}

fn digest(event: &WholeEvent) -> Markup {
    html! {
        dl.facts {
            dt { "Bytes" } dd { (words::count(event.bytes)) }
            @if let Some(digest) = &event.sha256 { dt { "SHA-256" } dd { code { (digest) } } }
        }
    }
}

/// The very bytes that were posted.
pub async fn bytes(visitor: &Visitor, id: &str) -> Result<bytes::Bytes, Trouble> {
    visitor.send(Method::GET, &format!("/events/{}/payload", segment(id)), About::These, None).await
}

/// What has changed since the event before it.
async fn changes(visitor: &Visitor, event: &WholeEvent) -> Result<Markup, Trouble> {
    let Some(subject) = event.indexed.first() else { return Ok(html! {}) };
    let family = family(&event.event);
    let asked: [(&str, &str); 4] = [
        ("type", family.as_str()),
        ("field", &format!("{}:{}", subject.pointer, subject.value)),
        ("cursor", &event.id),
        ("limit", "1"),
    ];
    // Another partner may call something else by the same name.
    let about = if event.partner == "*" { About::These } else { About::Partner(&event.partner) };
    let found: List<Event> = visitor.get("/events", about, &asked).await?;
    let of_it = html! { code { (family) } " with " code { (subject.pointer) } " = " b { (subject.value) } };
    let Some(before) = found.data.first() else {
        return Ok(html! {
            p.muted {
                @if found.next_cursor.is_some() { "As far as was looked there is none before it of " (of_it) "." }
                @else { "It is the first that is kept of " (of_it) "." }
            }
        });
    };
    let earlier = event::read(visitor, &before.id).await?;
    let link =
        html! { a href=(visitor.to_one(&format!("/events/{}", segment(&before.id)))) { (words::id(&before.id)) } };
    Ok(html! {
        p.muted {
            "Since " (link) " " (earlier.event) ", " (words::time(earlier.accepted_at.0, visitor.now)) ", the one before it of " (of_it) "."
        }
        @if earlier.erased.is_some() { p { "The payload of that one was erased." } }
        @else if earlier.bytes > SHOWN_BYTES_MAX as u64 { p { "That one is too long to be compared here: download both." } }
        @else { (difference::lines(&pretty_text(earlier.payload.get()), &pretty_text(event.payload.get()))) }
    })
}

/// The types that an event's subject may have: those with the same words before the last.
fn family(name: &str) -> String {
    name.rsplit_once('.').map_or_else(|| name.to_owned(), |(family, _)| format!("{family}.*"))
}

/// The payload as a file: nothing that a browser would run.
pub async fn download(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    match bytes(&visitor, &id).await {
        Ok(bytes) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/octet-stream"))
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}.json\"", segment(&id))))
            .body(bytes),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_what_stands_before_the_last_word() {
        for (name, expected) in [("campaign.updated", "campaign.*"), ("a.b.c", "a.b.*"), ("alone", "alone")] {
            assert_eq!(family(name), expected);
        }
    }
}
