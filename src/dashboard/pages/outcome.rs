//! What became of an attempt, in words.

use maud::{Markup, html};

use crate::dashboard::icons;
use crate::dashboard::wire::{Attempt, LastAnswer};

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

/// What is said of an attempt that came to neither a status nor an error.
pub const NO_ANSWER: &str = "no answer";

/// An attempt's answer as a word: `200`, `503`, `timeout`; another where there is neither.
pub fn word(status_code: Option<u16>, class: Option<&str>, neither: &str) -> String {
    match (status_code, class) {
        (Some(code), _) => code.to_string(),
        (None, Some(class)) => class.replace('_', " "),
        (None, None) => neither.to_owned(),
    }
}

/// Its answer as a state.
pub fn state(attempt: &Attempt) -> Markup {
    let word = word(attempt.status_code, attempt.error.as_ref().map(|error| error.class.as_str()), NO_ANSWER);
    icons::state(if is_delivered(attempt) { "delivered" } else { "exhausted" }, &word)
}

/// The last answer of a delivery, as a row has it: without a tint, beside a status that has
/// one.
pub fn answer(answer: &LastAnswer) -> Markup {
    html! { (word(answer.status_code, answer.error_class.as_deref(), NO_ANSWER)) }
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
