//! Attempts of a delivery: all of them as a table, one of them whole, and two compared. What
//! is secret of a request is not here, because the API does not show it.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::pages::outcome;
use crate::dashboard::wire::{Attempt, Delivery, Header};
use crate::dashboard::{difference, frame, words};
use crate::domain::Timestamp;

/// Attempts that have a row; of more, the last.
const ROWS_MAX: usize = 30;
/// Bytes of an answer's body that are shown of one attempt.
const BODY_BYTES_MAX: usize = 8 * 1_024;

/// The address of a page with these parameters.
pub type PageOf<'a> = dyn Fn(&[(&str, &str)]) -> String + 'a;

/// What is known of the request that all attempts share.
pub struct Sent<'a> {
    pub delivery: &'a Delivery,
    /// The endpoint's URL, and the version of its settings, as they are now.
    pub target: Option<(&'a str, u32)>,
    /// The beginning of the payload, and how long it is; `None` where it is not there.
    pub body: Option<&'a (String, usize)>,
    /// The attempts that somebody asked for.
    pub by_hand: &'a BTreeSet<u64>,
    /// Where the delivery's page is, for one attempt or for two.
    pub page: &'a PageOf<'a>,
    pub now: Timestamp,
}

/// A stage of an attempt: its name, its class, and how long it took.
type Stage = (&'static str, &'static str, u64);

fn stages(attempt: &Attempt) -> Vec<Stage> {
    let timing = attempt.timing;
    let known = [
        ("DNS", "s1", timing.dns_ms),
        ("connect", "s2", timing.connect_ms),
        ("TLS", "s3", timing.tls_ms),
        ("first byte", "s4", timing.first_byte_ms),
    ];
    let mut stages: Vec<Stage> =
        known.into_iter().filter_map(|(name, class, millis)| Some((name, class, millis?))).collect();
    if stages.is_empty() {
        return stages;
    }
    let told: u64 = stages.iter().map(|(_, _, millis)| millis).sum();
    // Until the last byte was read, or it was over.
    stages.push(("rest", "s5", attempt.duration_ms.saturating_sub(told)));
    stages
}

/// How an attempt's time was spent, as a bar as long as its share of the longest.
fn bar(attempt: &Attempt, longest_ms: u64) -> Markup {
    let stages = stages(attempt);
    let whole = longest_ms.max(1) as f64;
    let said: Vec<String> = stages
        .iter()
        .map(|(name, _, millis)| format!("{name} {}", words::span(Duration::from_millis(*millis))))
        .collect();
    let mut from = 0.0;
    html! {
        @if !stages.is_empty() {
            svg.bar role="img" aria-label=(said.join(", ")) {
                @for (_, class, millis) in &stages {
                    @let share = *millis as f64 * 100.0 / whole;
                    rect class=(class) x=(format!("{from:.2}%")) y="0" width=(format!("{share:.2}%")) height="100%" {}
                    @let () = from += share;
                }
            }
        }
    }
}

/// The table of all attempts, in their order: what comes is below, and nothing moves.
pub fn table(sent: &Sent<'_>, shown: Option<u64>) -> Markup {
    let attempts = &sent.delivery.attempts;
    let hidden = attempts.len().saturating_sub(ROWS_MAX);
    let rows = &attempts[hidden..];
    let longest = rows.iter().map(|attempt| attempt.duration_ms).max().unwrap_or_default();
    html! {
        div.list {
            table {
                caption {
                    "All attempts. A bar is the time that one took: " (legend())
                    @if hidden > 0 { " The first " (hidden) " are in the API's answer." }
                    @if !sent.by_hand.is_empty() { " By hand: the next after somebody asked for one." }
                }
                thead {
                    tr {
                        th scope="col" { "Answer" } th scope="col" { "Attempt" } th scope="col" { "Began" } th scope="col" { "Time" }
                        th.num scope="col" { "Took" }
                    }
                }
                tbody {
                    @for attempt in rows {
                        @let number = attempt.number.to_string();
                        tr id={ "row-" (number) } {
                            td.nowrap { (outcome::state(attempt)) }
                            td.nowrap { a href={ ((sent.page)(&[("attempt", &number)])) "#attempt" } aria-current=[(shown == Some(attempt.number)).then_some("true")] { "Attempt " (number) } @if sent.by_hand.contains(&attempt.number) { span.muted { " by hand" } } }
                            td.nowrap { (words::time(attempt.started_at.0, sent.now)) }
                            td.wide-cell { (bar(attempt, longest)) }
                            td.num.nowrap.last { (words::span(Duration::from_millis(attempt.duration_ms))) }
                        }
                    }
                }
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        @for (class, name) in [("s1", "DNS"), ("s2", "connect"), ("s3", "TLS"), ("s4", "first byte"), ("s5", "rest")] {
            span.nowrap { svg.key aria-hidden="true" { rect class=(class) width="100%" height="100%" {} } " " (name) } " "
        }
    }
}

/// All that is known of one.
pub fn whole(sent: &Sent<'_>, attempt: &Attempt) -> Markup {
    let took = words::span(Duration::from_millis(attempt.duration_ms));
    html! {
        section #attempt .panel {
            div.head {
                h2 { "Attempt " (attempt.number) @if sent.by_hand.contains(&attempt.number) { ", by hand" } " " (outcome::state(attempt)) }
                span.muted { (words::time(attempt.started_at.0, sent.now)) " · " (took) }
            }
            // That the status says it is no news.
            @if let Some(error) = attempt.error.as_ref().filter(|error| error.class != "http_status") {
                p { b { (error.class.replace('_', " ")) } ": " (error.message) }
            }
            (bar(attempt, attempt.duration_ms))
            (spent(attempt))
            dl.facts {
                @if let Some(address) = &attempt.address { dt { "Address" } dd { code { (address) } } }
                @if let Some(connection) = &attempt.connection {
                    dt { "Connection" } dd { @if connection == "reused" { "one that an earlier attempt had left open" } @else { "made for it" } }
                }
                @if let Some(version) = attempt.settings_version { dt { "Settings" } dd { "version " (version) } }
            }
            div.halves {
                div { h3 { "Request" } (headers("request-headers", "What was sent", &attempt.request_headers)) (request_body(sent)) }
                div { h3 { "Answer" } (headers("answer-headers", "What came back", &attempt.response_headers)) (answer_body(attempt)) }
            }
            (signed(sent, attempt))
            (curl(sent, attempt))
            (others(sent, attempt))
        }
    }
}

/// The bar's table.
fn spent(attempt: &Attempt) -> Markup {
    let stages = stages(attempt);
    html! {
        @if stages.is_empty() { p.muted { "How its time was spent is not known." } }
        @else {
            details {
                summary { "How its time was spent" }
                table {
                    caption { "Stages that did not happen are left out: over a connection that was open there is only the last." }
                    thead { tr { th scope="col" { "Stage" } th.num scope="col" { "Milliseconds" } } }
                    tbody { @for (name, _, millis) in &stages { tr { td { (name) } td.num { (words::count(*millis)) } } } }
                }
            }
        }
    }
}

fn headers(id: &str, caption: &str, headers: &[Header]) -> Markup {
    html! {
        @if headers.is_empty() { p.muted { "No headers are known." } }
        @else {
            details id=(id) open {
                summary { (words::of(headers.len() as u64, "header")) }
                table {
                    caption { (caption) }
                    thead.unseen { tr { th scope="col" { "Name" } th scope="col" { "Value" } } }
                    tbody { @for header in headers { tr { td.mono { (header.name) } td.mono { (header.value) } } } }
                }
            }
        }
    }
}

fn request_body(sent: &Sent<'_>) -> Markup {
    html! {
        @match sent.body {
            None => p.muted { "The payload is not there any more." },
            Some((begin, whole)) => {
                pre tabindex="0" { (begin) @if begin.len() < *whole { "…" } }
                @if begin.len() < *whole { p.small.muted { "The beginning of " (words::bytes(*whole as u64)) "; the event has all of it." } }
            }
        }
    }
}

fn answer_body(attempt: &Attempt) -> Markup {
    let body = &attempt.response_body;
    let begin = beginning(body, BODY_BYTES_MAX);
    html! {
        @if body.is_empty() { p.muted { "The answer had no body." } }
        @else {
            pre tabindex="0" { (begin) @if begin.len() < body.len() { "…" } }
            @if begin.len() < body.len() { p.small.muted { "The rest of what is kept is in the API's answer." } }
        }
    }
}

/// So many bytes of a text, and no character cut in two.
pub fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn value<'a>(attempt: &'a Attempt, name: &str) -> Option<&'a str> {
    let found = attempt.request_headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| header.value.as_str())
}

/// What was signed: what a receiver has to put together to check the signature.
fn signed(sent: &Sent<'_>, attempt: &Attempt) -> Markup {
    let (Some(id), Some(time)) = (value(attempt, "webhook-id"), value(attempt, "webhook-timestamp")) else {
        return html! {};
    };
    html! {
        details #signed {
            summary { "The signed string" }
            p.small.muted { "The id, the time in seconds, and the very bytes of the body, with a dot between each. The signature itself is not kept." }
            pre tabindex="0" {
                (id) "." (time) "."
                @match sent.body { Some((begin, whole)) => { (begin) @if begin.len() < *whole { "…" } } None => "(erased)" }
            }
        }
    }
}

/// The same request by hand, without what is secret of it.
fn curl(sent: &Sent<'_>, attempt: &Attempt) -> Markup {
    let Some((url, version)) = sent.target else { return html! {} };
    let mut command = format!("curl -i -X POST {}", shell(url));
    for header in &attempt.request_headers {
        // curl knows these two by itself.
        if !matches!(header.name.as_str(), "host" | "content-length") {
            command.push_str(&format!(" \\\n  -H {}", shell(&format!("{}: {}", header.name, header.value))));
        }
    }
    command.push_str(&format!(" \\\n  --data-binary @{}.json", sent.delivery.event));
    html! {
        details #curl {
            summary { "As a command" }
            p.small.muted {
                "The payload is to be downloaded from the event. Signatures and values of the endpoint's own headers are not shown: a receiver that checks them refuses this."
                @if attempt.settings_version.is_some_and(|then| then != version) { " The endpoint has other settings by now: the URL is today's." }
            }
            div.row { pre tabindex="0" { (command) } (frame::copy(&command)) }
        }
    }
}

/// A text as one word of a shell.
fn shell(text: &str) -> String {
    let plain: String = text.chars().filter(|character| !character.is_control()).collect();
    format!("'{}'", plain.replace('\'', r"'\''"))
}

/// Ways to compare it with each of the others.
fn others(sent: &Sent<'_>, attempt: &Attempt) -> Markup {
    let attempts = &sent.delivery.attempts;
    let hidden = attempts.len().saturating_sub(ROWS_MAX);
    html! {
        @if attempts.len() > 1 {
            p {
                "Compare it with attempt"
                @for other in attempts[hidden..].iter().filter(|other| other.number != attempt.number) {
                    @let (one, two) = (attempt.number.to_string(), other.number.to_string());
                    " " a.pick href={ ((sent.page)(&[("attempt", &one), ("with", &two)])) "#compared" } { (two) }
                }
            }
        }
    }
}

/// What two attempts do not have in common.
pub fn compared(earlier: &Attempt, later: &Attempt) -> Markup {
    html! {
        section #compared .panel {
            h2 { "From attempt " (earlier.number) " to attempt " (later.number) }
            (difference::lines(&as_text(earlier), &as_text(later)))
        }
    }
}

fn as_text(attempt: &Attempt) -> String {
    let mut text = String::new();
    let mut add = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    add(format!("began {}", words::absolute(attempt.started_at.0)));
    for (name, _, millis) in stages(attempt) {
        add(format!("{name}: {millis} ms"));
    }
    add(format!("address: {}", attempt.address.as_deref().unwrap_or("none")));
    add(format!("connection: {}", attempt.connection.as_deref().unwrap_or("none")));
    add(format!(
        "settings: version {}",
        attempt.settings_version.map_or("unknown".to_owned(), |version| version.to_string())
    ));
    for header in &attempt.request_headers {
        add(format!("> {}: {}", header.name, header.value));
    }
    add(match attempt.status_code {
        Some(code) => format!("status {code}"),
        None => "no answer".to_owned(),
    });
    if let Some(error) = &attempt.error {
        add(format!("{}: {}", error.class, error.message));
    }
    for header in &attempt.response_headers {
        add(format!("< {}: {}", header.name, header.value));
    }
    for line in beginning(&attempt.response_body, BODY_BYTES_MAX).lines() {
        add(line.to_owned());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_ends_where_it_should() {
        assert_eq!(shell("https://x/?a=1&b=2"), "'https://x/?a=1&b=2'");
        assert_eq!(shell("it's\n`x`"), r"'it'\''s`x`'");
    }

    #[test]
    fn no_character_is_cut_in_two() {
        assert_eq!(beginning("héllo", 2), "h");
        assert_eq!(beginning("héllo", 99), "héllo");
    }
}
