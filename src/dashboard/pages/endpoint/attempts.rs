//! An endpoint's last attempts: as ticks, of which each leads to its delivery, and as the
//! table behind them, which the bars of the charts narrow.

use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::counts::{BARS_MS, bar_of};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{outcome, segment};
use crate::dashboard::svg::{self, Shape, Tick};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{AttemptSeen, AttemptsSeen, Endpoint};
use crate::dashboard::{answers, words};

/// Attempts that are shown.
pub const SHOWN: usize = 200;

/// Reads them, the latest first.
pub async fn read(visitor: &Visitor, id: &str) -> Result<Vec<AttemptSeen>, Trouble> {
    let limit = SHOWN.to_string();
    let path = format!("/webhook/{}/attempts", segment(id));
    let found: AttemptsSeen = visitor.get(&path, About::These, &[("limit", &limit)]).await?;
    Ok(found.data)
}

/// What an attempt came to, as failures are counted: an answer by its hundred.
pub fn result_of(attempt: &AttemptSeen) -> &str {
    match (attempt.error_class.as_deref(), attempt.status_code) {
        (None, _) => "succeeded",
        (Some("http_status"), Some(code)) if code < 500 => "http_4xx",
        (Some("http_status"), _) => "http_5xx",
        (Some(class), _) => class,
    }
}

/// `503`, `timeout`.
fn word(attempt: &AttemptSeen) -> String {
    outcome::word(attempt.status_code, attempt.error_class.as_deref(), outcome::NO_ANSWER)
}

fn took(attempt: &AttemptSeen) -> String {
    words::span(Duration::from_millis(attempt.duration_ms))
}

fn delivery(visitor: &Visitor, attempt: &AttemptSeen) -> String {
    visitor.to_one(&format!("/deliveries/{}", segment(&attempt.delivery)))
}

/// The ticks, with what they say in words, and the way to the table.
pub fn ticks(visitor: &Visitor, endpoint: &Endpoint, attempts: &[AttemptSeen]) -> Markup {
    let failed = attempts.iter().filter(|attempt| attempt.error_class.is_some()).count();
    let said = format!("The last {}, {failed} of them failed", words::of(attempts.len() as u64, "attempt"));
    let drawn: Vec<Tick> = attempts
        .iter()
        .rev()
        .map(|attempt| Tick {
            to: delivery(visitor, attempt),
            said: format!("{}, {}, {}", word(attempt), took(attempt), words::absolute(attempt.started_at.0)),
            shape: match (&attempt.error_class, attempt.status_code) {
                (None, _) => Shape::Delivered,
                (Some(_), Some(_)) => Shape::Refused,
                (Some(_), None) => Shape::Unanswered,
            },
            millis: attempt.duration_ms,
        })
        .collect();
    let table = visitor.to(&format!("/endpoints/{}", segment(&endpoint.id)), &[("tab", "attempts")]);
    html! {
        section.panel #ticks {
            div.head { h2 { "Last attempts" } a href=(table) { "As a table" } }
            @if drawn.is_empty() { p.muted { "None yet." } } @else {
                (svg::ticks(&drawn, SHOWN, &said))
                p.small.muted {
                    (said) ". The newest is on the right; the longer one took, the higher it is. Slim: delivered; broad: another answer; hollow: no answer. "
                    "Of its newest deliveries, and of those that wait for their retry."
                }
            }
        }
    }
}

/// What the address narrows the table by.
struct Narrowed<'a> {
    result: Option<&'a str>,
    bar: Option<usize>,
}

/// The table, narrowed by what was clicked.
pub fn table(visitor: &Visitor, endpoint: &Endpoint, attempts: Result<&[AttemptSeen], &Trouble>) -> Markup {
    let attempts = match attempts {
        Ok(attempts) => attempts,
        Err(trouble) => return answers::part(trouble),
    };
    let bar = visitor.query.filled("took").and_then(|text| text.parse().ok()).filter(|bar| *bar < BARS_MS.len());
    let narrowed = Narrowed { result: visitor.query.filled("result"), bar };
    let fits = |attempt: &&AttemptSeen| {
        narrowed.result.is_none_or(|wanted| result_of(attempt) == wanted)
            && narrowed.bar.is_none_or(|wanted| bar_of(attempt.duration_ms) == wanted)
    };
    let shown: Vec<&AttemptSeen> = attempts.iter().filter(fits).collect();
    let here = visitor.to(&format!("/endpoints/{}", segment(&endpoint.id)), &[("tab", "attempts")]);
    html! {
        @if narrowed.result.is_some() || narrowed.bar.is_some() {
            p.row #chips {
                @if let Some(result) = narrowed.result { span.chip { span.muted { "result " } b { (super::charts::name_of(result)) } " " a href=(here) aria-label="Remove the filter result" { "×" } } }
                @if let Some(bar) = narrowed.bar { span.chip { span.muted { "took " } b { (super::charts::took_of(bar)) } " " a href=(here) aria-label="Remove the filter took" { "×" } } }
                span.muted { (shown.len()) " of the last " (attempts.len()) }
            }
        }
        div.list {
            table {
                caption { "The latest first: of its newest deliveries, and of those that wait for their retry." }
                thead { tr { th scope="col" { "Result" } th scope="col" { "Delivery" } th.num scope="col" { "Attempt" } th.num scope="col" { "Took" } th.num scope="col" { "When" } } }
                tbody {
                    @if shown.is_empty() { tr { td colspan="5" { span.muted { "None." } } } }
                    @for attempt in &shown {
                        tr {
                            td.nowrap { (icons::state(if attempt.error_class.is_none() { "delivered" } else { "exhausted" }, &word(attempt))) }
                            td.nowrap { a href=(delivery(visitor, attempt)) { (words::short(&attempt.delivery)) } }
                            td.num data-l="attempt" { (attempt.number) }
                            td.num.nowrap data-l="took" { (took(attempt)) }
                            td.num.nowrap.last { (words::time(attempt.started_at.0, visitor.now)) }
                        }
                    }
                }
            }
        }
    }
}
