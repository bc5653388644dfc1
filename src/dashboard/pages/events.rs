//! Events: what came in.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{head, news, nothing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Event, List};
use crate::dashboard::words;

/// The page.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let asked: Vec<(&str, &str)> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
    let found: List<Event> = visitor.get("/events", About::These, &asked).await?;
    let yet = html! {
        p { "No event yet. Upstream systems post them; an example of a type can be sent from here." }
        @if visitor.may(Permission::PostEvents) { a.button href=(visitor.to("/catalog", &[])) { "Choose a type" } }
    };
    let body = html! {
        (head("Events", html! { (news(0, false, "")) }))
        @if found.data.is_empty() {
            div.list { (nothing(false, "", &yet)) }
        } @else {
            (table(visitor, &found.data))
            (frame::next(visitor, "/events", &asked, found.next_cursor.as_deref()))
        }
        (frame::as_call(visitor, "/events", About::These, &asked))
    };
    let page = Page::new("Events", body);
    Ok(match found.data.first().filter(|_| cursor.is_none()) {
        Some(first) => page.live(visitor.to("/live/events", &[("top", &first.id)])),
        None if cursor.is_none() => page.live(visitor.to("/live/events", &[])),
        None => page,
    })
}

fn table(visitor: &Visitor, events: &[Event]) -> Markup {
    html! {
        div.list {
            table {
                caption { "Newest first." }
                thead {
                    tr {
                        th scope="col" { "Event" } th scope="col" { "Type" } th scope="col" { "Partner" }
                        th.num scope="col" { "Size" } th.num scope="col" { "Accepted" }
                    }
                }
                tbody {
                    @for event in events {
                        tr id=(event.id) {
                            td.nowrap { a href=(visitor.to_one(&format!("/events/{}", segment(&event.id)))) { (words::id(&event.id)) } }
                            td { (event.event) }
                            td { @if event.partner == "*" { "all" } @else { (event.partner) } }
                            td.num.nowrap { (words::bytes(event.bytes)) }
                            td.num.nowrap.last { (words::time(event.accepted_at.0, visitor.now)) }
                        }
                    }
                }
            }
        }
    }
}

/// How many are new.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::stream(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let found: List<Event> = visitor.get("/events", About::These, &[]).await?;
    let top = visitor.query.get("top").unwrap_or_default();
    // Ids grow with time.
    let new = found.data.iter().filter(|event| event.id.as_str() > top).count();
    let is_more = new == found.data.len() && found.next_cursor.is_some();
    Ok(vec![("news", news(new, is_more, &visitor.to("/events", &[])))])
}
