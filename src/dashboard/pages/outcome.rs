//! What became of an attempt, in words.

use maud::{Markup, html};

use crate::dashboard::icons;
use crate::dashboard::wire::Attempt;
use crate::dashboard::words;
use std::time::Duration;

/// Whether it delivered.
pub fn is_delivered(attempt: &Attempt) -> bool {
    attempt.error.is_none() && attempt.status_code.is_some_and(|code| (200..300).contains(&code))
}

/// `got 503`, `timed out`.
pub fn verb(attempt: &Attempt) -> String {
    if let Some(code) = attempt.status_code {
        return format!("got {code}");
    }
    match attempt.error.as_ref().map(|error| error.class.as_str()) {
        Some("timeout") => "timed out".to_owned(),
        Some("dns") => "found no address".to_owned(),
        Some("connect") => "could not connect".to_owned(),
        Some("tls") => "failed in TLS".to_owned(),
        Some("blocked_address") => "was not allowed to that address".to_owned(),
        Some("protocol") => "got no valid HTTP".to_owned(),
        Some(other) => format!("failed ({other})"),
        None => "was not answered".to_owned(),
    }
}

/// Its answer as a state: `200`, `503`, `timeout`.
pub fn state(attempt: &Attempt) -> Markup {
    let word = match (attempt.status_code, &attempt.error) {
        (Some(code), _) => code.to_string(),
        (None, Some(error)) => error.class.replace('_', " "),
        (None, None) => "no answer".to_owned(),
    };
    icons::state(if is_delivered(attempt) { "delivered" } else { "exhausted" }, &word)
}

/// All that is known of it.
pub fn whole(attempt: &Attempt, now: crate::domain::Timestamp) -> Markup {
    html! {
        section.panel id={ "attempt-" (attempt.number) } {
            div.head {
                h3 { "Attempt " (attempt.number) " " (state(attempt)) }
                span.muted { (words::time(attempt.started_at.0, now)) " · " (words::span(Duration::from_millis(attempt.duration_ms))) }
            }
            // That the status says it is no news.
            @if let Some(error) = attempt.error.as_ref().filter(|error| error.class != "http_status") { p { b { (error.class.replace('_', " ")) } ": " (error.message) } }
            (body(attempt))
        }
    }
}

/// The beginning of the answer's body.
pub fn body(attempt: &Attempt) -> Markup {
    html! {
        @if attempt.response_body.is_empty() {
            p.muted { "The answer had no body." }
        } @else {
            pre tabindex="0" { (attempt.response_body) }
        }
    }
}
