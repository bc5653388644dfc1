//! Event types to be ticked, each beside what it looks like.

use maud::{Markup, html};

use crate::dashboard::pages::segment;
use crate::dashboard::payload;
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::EventType;
use crate::dashboard::words;

/// Longest example that is shown; a longer one is on its type's page.
const EXAMPLE_BYTES_MAX: usize = 1_500;
/// How much of the page examples may be.
const EXAMPLES_BYTES_MAX: usize = 24_000;

/// The boxes, and what is sent for each.
pub fn boxes(visitor: &Visitor, types: &[EventType], ticked: &[&str]) -> Markup {
    let mut room = EXAMPLES_BYTES_MAX;
    let mut example = |known: &EventType| {
        let text = known.example.get();
        let shown = (text.len() <= EXAMPLE_BYTES_MAX).then(|| payload::pretty(text))?;
        room = room.checked_sub(shown.0.len())?;
        Some(shown)
    };
    html! {
        div.types {
            @for known in types {
                div.type {
                    div {
                        label.box {
                            input type="checkbox" name="events" value=(known.name) checked[ticked.contains(&known.name.as_str())];
                            b.mono { (known.name) }
                        }
                        p.muted { (words::marked(&known.description)) }
                    }
                    @match example(known) {
                        Some(shown) => details open[ticked.contains(&known.name.as_str())] { summary { "Example" } (shown) },
                        None => p { a href=(visitor.to(&format!("/catalog/{}", segment(&known.name)), &[])) { "Its example" } },
                    }
                }
            }
        }
    }
}
