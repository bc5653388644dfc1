//! Deliveries: a list with filters.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{endpoint_link, head, news, nothing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Delivery, List};
use crate::dashboard::words;

const STATUSES: [(&str, &str); 7] = [
    ("", "any"),
    ("pending", "pending"),
    ("retrying", "retrying"),
    ("held", "held"),
    ("delivered", "delivered"),
    ("retries_exhausted", "exhausted"),
    ("discarded", "discarded"),
];
/// What the list is narrowed by.
const FILTERS: [&str; 5] = ["status", "endpoint", "event", "since", "until"];

/// What the address says of the list, as the API takes it.
fn asked(visitor: &Visitor, with_cursor: bool) -> Vec<(&'static str, String)> {
    let filters = FILTERS.iter().chain(with_cursor.then_some(&"cursor"));
    filters.filter_map(|name| Some((*name, visitor.query.filled(name)?.to_owned()))).collect()
}

fn pairs<'a>(asked: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    asked.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The page.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let asked = asked(visitor, true);
    let asked = pairs(&asked);
    let found: Result<List<Delivery>, Trouble> = visitor.get("/deliveries", About::These, &asked).await;
    let is_filtered = asked.iter().any(|(name, _)| *name != "cursor");
    let top = found.as_ref().ok().and_then(|found| found.data.first()).map(|first| first.id.clone());
    let yet = html! {
        p { "No delivery yet: each event makes one for each endpoint that wants it." }
        a.button href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" }
    };
    let body = html! {
        (head("Deliveries", html! { (news(0, false, "")) }))
        form.filters action={ (crate::dashboard::visitor::ROOT) "/deliveries" } {
            (frame::carried(visitor))
            label { span.small.muted { "Status" }
                select name="status" {
                    @for (value, word) in STATUSES {
                        option value=(value) selected[visitor.query.get("status").unwrap_or_default() == value] { (word) }
                    }
                }
            }
            (filter(visitor, "endpoint", "Endpoint", "ep_…"))
            (filter(visitor, "event", "Event", "evt_…"))
            (filter(visitor, "since", "Since", "2026-01-31T12:00:00Z"))
            (filter(visitor, "until", "Until", "2026-01-31T13:00:00Z"))
            button { "Filter" }
            @if is_filtered { a href=(visitor.to("/deliveries", &[])) { "Remove filters" } }
        }
        @match &found {
            Ok(found) if found.data.is_empty() => div.list { (nothing(is_filtered, &visitor.to("/deliveries", &[]), &yet)) },
            Ok(found) => {
                (table(visitor, &found.data, "Newest first."))
                (frame::next(visitor, "/deliveries", &asked, found.next_cursor.as_deref()))
            }
            // What was typed stays where it was typed.
            Err(trouble) => (crate::dashboard::answers::part(trouble)),
        }
        (frame::as_call(visitor, "/deliveries", About::These, &asked))
    };
    let page = Page::new("Deliveries", body);
    let is_first = visitor.query.get("cursor").is_none();
    Ok(match top.filter(|_| is_first) {
        Some(top) => {
            let mut watched = asked.clone();
            watched.push(("top", &top));
            page.live(visitor.to("/live/deliveries", &watched))
        }
        None => page,
    })
}

fn filter(visitor: &Visitor, name: &str, label: &str, example: &str) -> Markup {
    html! {
        label { span.small.muted { (label) }
            input type="text" name=(name) value=[visitor.query.get(name)] placeholder=(example) maxlength="64" spellcheck="false";
        }
    }
}

/// A table of deliveries.
pub fn table(visitor: &Visitor, deliveries: &[Delivery], caption: &str) -> Markup {
    html! {
        div.list {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Status" } th scope="col" { "Delivery" } th scope="col" { "Type" }
                        th scope="col" { "Endpoint" } th.num scope="col" { "Attempts" } th scope="col" { "Next attempt" }
                        th.num scope="col" { "Age" }
                    }
                }
                tbody {
                    @for delivery in deliveries {
                        tr id=(delivery.id) {
                            td.nowrap { (icons::status(&delivery.status)) }
                            td.nowrap { a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { (words::id(&delivery.id)) } }
                            td { (delivery.event_type) }
                            td.nowrap data-l="to" { (endpoint_link(visitor, &delivery.endpoint)) }
                            td.num data-l="attempts" { (words::count(delivery.attempt_count)) }
                            td.nowrap {
                                @match delivery.next_attempt_at {
                                    Some(next) if next.0 > visitor.now => (words::time(next.0, visitor.now)),
                                    Some(_) => span.muted { "due" },
                                    None => {}
                                }
                            }
                            td.num.nowrap.last { (words::time(delivery.created_at.0, visitor.now)) }
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
    let asked = asked(&visitor, false);
    let asked = pairs(&asked);
    let found: List<Delivery> = visitor.get("/deliveries", About::These, &asked).await?;
    let top = visitor.query.get("top").unwrap_or_default();
    // Ids grow with time.
    let new = found.data.iter().filter(|delivery| delivery.id.as_str() > top).count();
    let is_more = new == found.data.len() && found.next_cursor.is_some();
    Ok(vec![("news", news(new, is_more, &visitor.to("/deliveries", &asked)))])
}
