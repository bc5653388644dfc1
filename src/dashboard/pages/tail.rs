//! Events as they come in: the newest on top, sampled where too many come to be read.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{events, filters};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Event, List};

/// Rows of one look, and there is one each second.
const SAMPLED: usize = 20;
/// One more than these, to know whether that is all.
const ASKED: &str = "21";

/// What the tail is narrowed by.
fn asked(visitor: &Visitor) -> Vec<(&'static str, String)> {
    let mut asked: Vec<(&'static str, String)> = Vec::new();
    asked.extend(visitor.query.filled("type").map(|value| ("type", value.to_owned())));
    asked
}

/// The tab.
pub async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let asked = asked(visitor);
    let mut api = events::pairs(&asked);
    api.push(("limit", ASKED));
    let found: List<Event> = visitor.get("/events", About::These, &api).await?;
    let mut watched = events::pairs(&asked);
    watched.extend(found.data.first().map(|first| ("top", first.id.as_str())));
    let body = html! {
        (events::tabs(visitor, "tail", html! {}))
        form.filters action={ (ROOT) "/events" } {
            (frame::carried(visitor))
            input type="hidden" name="tab" value="tail";
            (filters::field(visitor, "type", "Type", "campaign.*"))
            button { "Follow" }
        }
        (note(false))
        noscript { p.note { "Without its script this page stands still: reload it, or look at the list." } }
        div.list {
            (none(visitor, found.data.is_empty()))
            table {
                caption { "The newest on top, 200 of them at most. They wait while you point at them. " span data-waiting {} }
                (events::heads(false))
                (rows(visitor, found.data.iter().take(SAMPLED)))
            }
        }
        (frame::as_call(visitor, "/events", About::These, &api))
    };
    Ok(Page::new("Events as they come", body).live(visitor.to("/live/tail", &watched)))
}

/// What is said as long as there is nothing. Rows come in without a reload, and it goes.
fn none(visitor: &Visitor, is_empty: bool) -> Markup {
    html! {
        div #tail-none .nothing hidden[!is_empty] {
            @match visitor.query.filled("type") {
                Some(wanted) => {
                    p { "No event of " code { (wanted) } " yet. What comes in from now on shows up here." }
                    a.button href=(visitor.to("/events", &[("tab", "tail")])) { "Follow all types" }
                }
                None => {
                    p { "No event yet. What comes in from now on shows up here." }
                    @if visitor.may(Permission::PostEvents) { a.button href=(visitor.to("/catalog", &[])) { "Send an example from the catalog" } }
                }
            }
        }
    }
}

fn note(is_sampled: bool) -> Markup {
    html! {
        p #tail-note .muted {
            @if is_sampled { "More than " (SAMPLED) " a second come in: the newest " (SAMPLED) " of each second are shown." }
            @else { "All that comes in is shown." }
        }
    }
}

/// Rows that the script puts on top of those that are there.
fn rows<'a>(visitor: &Visitor, events: impl Iterator<Item = &'a Event>) -> Markup {
    html! { tbody #tail data-add { @for event in events { (events::row(visitor, event, false)) } } }
}

/// What has come in since the look before.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let top = visitor.query.get("top").unwrap_or_default().to_owned();
    let seen = Rc::new(RefCell::new(top));
    live::stream(visitor, &request, move |visitor| draw(visitor, Rc::clone(&seen)))
}

async fn draw(visitor: Visitor, seen: Rc<RefCell<String>>) -> Result<Parts, Trouble> {
    let asked = asked(&visitor);
    let mut api = events::pairs(&asked);
    api.push(("limit", ASKED));
    let found: List<Event> = visitor.get("/events", About::These, &api).await?;
    // Ids grow with time.
    let top = seen.borrow().clone();
    let new = found.data.iter().filter(|event| event.id > top).count();
    let mut parts: Parts =
        vec![("tail-note", note(new > SAMPLED)), ("tail-none", none(&visitor, found.data.is_empty()))];
    if let Some(first) = found.data.first().filter(|_| new > 0) {
        seen.replace(first.id.clone());
        parts.push(("tail", rows(&visitor, found.data.iter().take(new.min(SAMPLED)))));
    }
    Ok(parts)
}
