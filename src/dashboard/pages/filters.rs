//! What a list is narrowed by: filters in use as chips, each of which can be taken away by
//! itself, and times as people type them.

use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::visitor::Visitor;
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Nothing is kept for longer than that.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// A filter in use: what it is called, what it says, and which parameters of the address
/// it is.
pub struct Filter<'a> {
    pub label: &'static str,
    pub value: String,
    pub parameters: &'a [&'static str],
}

/// The filters in use, each with a way to be without it.
pub fn chips(visitor: &Visitor, path: &str, asked: &[(&str, &str)], filters: &[Filter<'_>]) -> Markup {
    html! {
        @if !filters.is_empty() {
            div.row role="group" aria-label="Filters in use" {
                @for filter in filters {
                    @let left: Vec<(&str, &str)> = asked.iter().copied()
                        .filter(|(name, _)| *name != "cursor" && !filter.parameters.contains(name)).collect();
                    span.chip {
                        span.muted { (filter.label) " " } b { (filter.value) } " "
                        a href=(visitor.to(path, &left)) aria-label={ "Remove the filter " (filter.label) } title="Remove this filter" { "×" }
                    }
                }
                @if filters.len() > 1 {
                    @let kept: Vec<(&str, &str)> = asked.iter().copied().filter(|(name, _)| *name == "tab").collect();
                    a href=(visitor.to(path, &kept)) { "Remove all" }
                }
            }
        }
    }
}

/// What is said where nothing fits: what is looked for, and how to look for more.
pub fn none_fits(what: &str, chips: &Markup, more: Option<&str>) -> Markup {
    html! {
        div.nothing {
            @match more {
                // Not all was looked at: what is asked for is rare.
                Some(older) => {
                    p { "No " (what) " fits these filters as far as was looked." }
                    a.button href=(older) { "Look further back" }
                }
                None => p { "No " (what) " fits these filters." },
            }
            (chips)
        }
    }
}

/// A field of a form of filters; where a time was typed that is none, with how one is.
pub fn field(visitor: &Visitor, name: &str, label: &str, example: &str) -> Markup {
    let wrong = visitor.query.filled(name).filter(|_| TIMES.contains(&name)).and_then(|text| unread(text, visitor.now));
    let described = wrong.as_ref().map(|_| format!("{name}-wrong"));
    html! {
        label.field[wrong.is_some()] { span.small.muted { (label) }
            input type="text" name=(name) value=[visitor.query.get(name)] placeholder=(example) maxlength="512" spellcheck="false" autocomplete="off"
                aria-invalid=[wrong.as_ref().map(|_| "true")] aria-describedby=[described.as_deref()];
            @if let Some(wrong) = &wrong { span.wrong id=[described.as_deref()] { (words::marked(wrong)) } }
        }
    }
}

/// The times of lists: their names.
const TIMES: [&str; 2] = ["since", "until"];

/// Why a text is no time, and how one is written; `None` where it is one.
pub fn unread(text: &str, now: Timestamp) -> Option<String> {
    let is_read = time(text, now).parse::<Timestamp>().is_ok();
    let text = words::brief(text, 40);
    (!is_read).then(|| format!("`{text}` is no time: write 24h, 2026-01-31 or 2026-01-31 12:00 (UTC)"))
}

/// What is said in place of a list whose times cannot be read, so that nobody is answered about
/// what was not typed; `None` where they can.
pub fn times_unread(visitor: &Visitor) -> Option<Markup> {
    let is_unread = |name: &&str| visitor.query.filled(name).is_some_and(|text| unread(text, visitor.now).is_some());
    let found = TIMES.iter().any(is_unread);
    found.then(|| html! { p.note.bad role="alert" { "Nothing was looked for: a time cannot be read. What is wrong stands beside it." } })
}

/// A time as it was typed, as the API takes it: `24h` is that long ago, a day is its
/// beginning, and a time without an offset is UTC. Anything else is left to the API to
/// object to.
pub fn time(text: &str, now: Timestamp) -> String {
    if let Some(span) = span(text) {
        return (now - span).to_string();
    }
    let is_date = |text: &str| text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_date(text) {
        return format!("{text}T00:00:00Z");
    }
    match text.split_once([' ', 'T']) {
        Some((date, clock)) if is_date(date) => {
            let clock = clock.trim();
            let seconds = if clock.matches(':').count() == 1 && clock.len() == 5 { ":00" } else { "" };
            let has_offset = clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']);
            format!("{date}T{clock}{seconds}{}", if has_offset { "" } else { "Z" })
        }
        _ => text.to_owned(),
    }
}

/// `90m`, `24h`, `7d`.
pub fn span(text: &str) -> Option<Duration> {
    let (last, unit) = text.char_indices().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u32 = text[..last].trim().parse().ok()?;
    let span = Duration::from_secs(u64::from(number) * seconds);
    (span <= LONGEST).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        for (typed, read) in [
            ("24h", "2023-11-13T22:13:20.000Z"),
            ("90m", "2023-11-14T20:43:20.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31 12:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:01", "2026-01-31T12:00:01Z"),
            ("2026-01-31T12:00:00+01:00", "2026-01-31T12:00:00+01:00"),
            ("2026-01-31 12:00:00.5Z", "2026-01-31T12:00:00.5Z"),
            ("yesterday", "yesterday"),
            ("h", "h"),
            ("é", "é"),
            ("99999999999d", "99999999999d"),
        ] {
            assert_eq!(time(typed, now), read, "{typed}");
            // What the API would object to is told here, in words of this form.
            assert_eq!(unread(typed, now).is_none(), read.starts_with("20"), "{typed}");
        }
        assert!(unread("2026-02-31", now).is_some(), "there is no such day");
    }
}
