//! What keys do, and how to turn them off.

use actix_web::HttpResponse;
use maud::html;

use crate::dashboard::frame::Page;
use crate::dashboard::pages::head;
use crate::dashboard::visitor::Visitor;

const KEYS: &[(&[&str], &str)] = &[
    (&["/"], "Find: an id, a URL, an idempotency key, a value of a payload, a partner, an event type"),
    (&["g", "o"], "Overview"),
    (&["g", "x"], "Exhausted"),
    (&["g", "r"], "Replays"),
    (&["g", "e"], "Events"),
    (&["g", "d"], "Deliveries"),
    (&["g", "p"], "Partners"),
    (&["g", "w"], "Endpoints (webhooks)"),
    (&["g", "c"], "Catalog"),
    (&["g", "k"], "Keys"),
    (&["g", "n"], "Nodes"),
    (&["g", "a"], "Audit"),
    (&["g", "s"], "Settings"),
    (&["j"], "Next row"),
    (&["k"], "Row before"),
    (&["Enter"], "Open the row"),
    (&["x"], "Choose the row, or not, where rows can be chosen"),
    (&["p"], "Pause live parts, on all pages, or let them go on"),
    (&["t"], "Times in full, by UTC, or as they were; a press on one does it for that alone"),
    (&["Esc"], "Leave a field, close a menu"),
    (&["?"], "This page"),
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
                    @for (keys, meaning) in KEYS {
                        tr {
                            td.nowrap { @for (at, key) in keys.iter().enumerate() { @if at > 0 { " " } kbd { (key) } } }
                            td { (meaning) }
                        }
                    }
                }
            }
        }
    };
    visitor.answer(Ok(Page::new("Shortcuts", body)))
}
