//! The shapes that states are known by, beside their words: never a colour alone.

use maud::{Markup, PreEscaped, html};

/// All shapes, once a page; they are drawn by reference.
pub fn symbols() -> Markup {
    const ALL: &str = concat!(
        r#"<svg class="symbols" aria-hidden="true">"#,
        r##"<symbol id="i-delivered" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="currentColor"/><path d="M4.6 8.3l2.3 2.3 4.5-5" fill="none" stroke="var(--tint)" stroke-width="1.8"/></symbol>"##,
        r##"<symbol id="i-pending" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3.1 1.6"/></symbol>"##,
        r##"<symbol id="i-retrying" viewBox="0 0 16 16"><path d="M13.5 8A5.5 5.5 0 1 1 11.6 3.8" fill="none" stroke="currentColor" stroke-width="2"/><path d="M9.2 4.9l4.4.3.1-4.4z" fill="currentColor"/></symbol>"##,
        r##"<symbol id="i-exhausted" viewBox="0 0 16 16"><path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z" fill="currentColor"/><path d="M5.4 5.4l5.2 5.2m0-5.2l-5.2 5.2" stroke="var(--tint)" stroke-width="1.8"/></symbol>"##,
        r##"<symbol id="i-held" viewBox="0 0 16 16"><rect x="1" y="1" width="14" height="14" rx="1.5" fill="currentColor"/><path d="M6 4.5v7m4-7v7" stroke="var(--tint)" stroke-width="2"/></symbol>"##,
        r##"<symbol id="i-discarded" viewBox="0 0 16 16"><path d="M8 1.5L14.5 8 8 14.5 1.5 8z" fill="none" stroke="currentColor" stroke-width="1.8"/></symbol>"##,
        r##"<symbol id="i-failing" viewBox="0 0 16 16"><path d="M8 1.2L15.3 14.5H.7z" fill="currentColor"/><path d="M8 5.6v4.2m0 1.4v1.6" stroke="var(--tint)" stroke-width="1.8"/></symbol>"##,
        r##"<symbol id="i-breaker" viewBox="0 0 16 16"><path d="M10.5 2.6a6 6 0 0 1 0 10.8M5.5 13.4a6 6 0 0 1 0-10.8M8 .5v4m0 7v4" fill="none" stroke="currentColor" stroke-width="1.9"/></symbol>"##,
        r##"<symbol id="i-none" viewBox="0 0 16 16"><path d="M3 8h10" stroke="currentColor" stroke-width="2"/></symbol>"##,
        r##"<symbol id="i-well" viewBox="0 0 16 16"><circle cx="8" cy="8" r="3.5" fill="currentColor"/></symbol>"##,
        "</svg>",
    );
    PreEscaped(ALL.to_owned())
}

/// A shape by its name.
pub fn icon(name: &str) -> Markup {
    html! { svg.i aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

/// A state: its shape and its word.
pub fn state(kind: &str, word: &str) -> Markup {
    html! { span class={ "st " (kind) } { (icon(kind)) (word) } }
}

/// A delivery's status, or an event's outcome at an endpoint.
pub fn status(word: &str) -> Markup {
    match word {
        "delivered" | "pending" | "retrying" | "held" | "discarded" => state(word, word),
        "retries_exhausted" => state("exhausted", "exhausted"),
        "filtered" => state("discarded", "filtered out"),
        "not_subscribed" => state("none", "not subscribed"),
        "not_yet_created" => state("none", "made later"),
        other => state("none", other),
    }
}

/// How an endpoint is set. That it works as it should is no news, and has no tint.
pub fn endpoint(status: &str) -> Markup {
    match status {
        "active" => state("well", "active"),
        "paused" => state("held", "paused"),
        "disabled" => state("exhausted", "disabled"),
        other => state("none", other),
    }
}
