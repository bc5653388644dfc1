//! What keys do, and how to turn them off.

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::pages::head;
use crate::dashboard::visitor::Visitor;

/// What leads to fields.
const FIND: (&str, &str) =
    ("/", "Find: an id, a URL, an idempotency key, a value of a payload, a partner, an event type");
/// What does something where one is.
const HERE: [(&str, &str); 8] = [
    ("j", "Next row"),
    ("k", "Row before"),
    ("Enter", "Open the row"),
    ("x", "Choose the row, or not, where rows can be chosen"),
    ("p", "Pause live parts, on all pages, or let them go on"),
    ("t", "Times in full, by UTC, or as they were; a press on one does it for that alone"),
    ("Esc", "Leave a field, close a menu"),
    ("?", "This page"),
];

/// The list.
pub async fn page(visitor: Visitor) -> HttpResponse {
    let body = html! {
        (head("Shortcuts", html! { button type="button" data-keys hidden { "Turn keys off" } }))
        div.list {
            table {
                caption { "Keys work where nothing is being typed, and need the page's script." }
                thead { tr { th scope="col" { "Keys" } th scope="col" { "What they do" } } }
                tbody {
                    (row(&[FIND.0], FIND.1))
                    // Whoever may not go there has no such way.
                    @for (key, name) in frame::open_ways(&visitor) { (row(&["g", key], name)) }
                    @for (key, meaning) in HERE { (row(&[key], meaning)) }
                }
            }
        }
    };
    visitor.answer(Ok(Page::new("Shortcuts", body)))
}

fn row(keys: &[&str], meaning: &str) -> Markup {
    html! {
        tr {
            td.nowrap { @for (at, key) in keys.iter().enumerate() { @if at > 0 { " " } kbd { (key) } } }
            td { (meaning) }
        }
    }
}
