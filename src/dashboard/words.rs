//! How numbers, times and ids read. Pure: `now` is an argument.

use std::time::Duration;

use maud::{Markup, html};

use crate::domain::Timestamp;

/// A count: exact to 99,999, then `1.24 M`.
pub fn count(number: u64) -> String {
    match number {
        0..=99_999 => grouped(number),
        100_000..=999_999 => format!("{} k", number / 1_000),
        _ => {
            let (unit, name) = if number < 1_000_000_000 { (1_000_000, "M") } else { (1_000_000_000, "G") };
            // Rounded down: a count never claims more than there is.
            format!("{}.{:02} {name}", grouped(number / unit), number % unit * 100 / unit)
        }
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count that ended at a limit.
pub fn at_least(number: u64, has_more: bool) -> String {
    format!("{}{}", count(number), if has_more { "+" } else { "" })
}

/// `1 event`, `2 events`.
pub fn of(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 delivery`, `2 deliveries`.
pub fn deliveries(number: u64) -> String {
    of_these(number, false, DELIVERIES)
}

/// A delivery, and several.
pub const DELIVERIES: (&str, &str) = ("delivery", "deliveries");

/// So many of what is called so, one and several: `1 group`, `2,000+ groups`.
pub fn of_these(number: u64, has_more: bool, (one, many): (&str, &str)) -> String {
    format!("{} {}", at_least(number, has_more), if number == 1 && !has_more { one } else { many })
}

/// A size.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{} B", grouped(bytes)),
        10_000..=9_999_999 => format!("{} kB", grouped(bytes / 1_000)),
        _ => format!("{} MB", grouped(bytes / 1_000_000)),
    }
}

/// A span in at most two units: `843 ms`, `41 s`, `22 h 45 min`.
pub fn span(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let seconds = millis / 1_000;
    let two = |whole: u64, unit: &str, rest: u64, lesser: &str| match rest {
        0 => format!("{whole} {unit}"),
        rest => format!("{whole} {unit} {rest} {lesser}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..=9 if millis % 1_000 >= 100 => format!("{seconds}.{} s", millis % 1_000 / 100),
        1..=9 => format!("{seconds} s"),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => two(seconds / 60, "min", if seconds < 600 { seconds % 60 } else { 0 }, "s"),
        3_600..=86_399 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `3 min ago`, `in 41 s`, in one unit.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let (is_past, apart) = if at <= now { (true, now.since(at)) } else { (false, at.since(now)) };
    // What has passed is whole; what is to come is so far away to the nearest unit: a key for
    // 30 days is not said to end in 29 once a second has gone by.
    let seconds = match apart.as_secs() {
        seconds if is_past => seconds,
        seconds @ 0..=59 => seconds,
        seconds @ 60..=3_599 => seconds + 30,
        seconds @ 3_600..=86_399 => seconds + 1_800,
        seconds => seconds + 43_200,
    };
    let text = match seconds {
        0 if is_past => return "just now".to_owned(),
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=86_399 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    };
    if is_past { format!("{text} ago") } else { format!("in {text}") }
}

/// A time without doubt: `2026-11-22 04:31:07.412 UTC`.
pub fn absolute(at: Timestamp) -> String {
    at.to_string().replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// A time as people read it, with the exact one behind it. The script keeps it true.
pub fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(absolute(at)) data-t=(at.as_millis()) { (relative(at, now)) } }
}

/// A time to come as a countdown, in two units: `in 12 min 4 s`. The script counts.
pub fn countdown(at: Timestamp, now: Timestamp) -> Markup {
    let text = if at > now { format!("in {}", span(at.since(now))) } else { relative(at, now) };
    html! { time datetime=(at) title=(absolute(at)) data-t=(at.as_millis()) data-c { (text) } }
}

/// A time that may be unknown.
pub fn maybe_time(at: Option<Timestamp>, now: Timestamp) -> Markup {
    match at {
        Some(at) => time(at, now),
        None => html! { span.muted { "—" } },
    }
}

/// What an id is known by: its kind, and its tail, since heads agree.
pub fn id(id: &str) -> Markup {
    html! { span.id title=(id) { (short(id)) } }
}

/// The same as text.
pub fn short(id: &str) -> String {
    let tail = id.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
    match id.split_once('_') {
        Some((kind, rest)) if rest.len() > 8 && tail > kind.len() => format!("{kind}…{}", &id[tail..]),
        _ => id.to_owned(),
    }
}

/// A text of somebody else's, cut where it goes on for longer than that.
pub fn brief(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A share in percent, rounded down to a tenth; a dash without anything to share.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "—".to_owned();
    }
    let thousandths = u128::from(part) * 1_000 / u128::from(whole);
    if thousandths == 1_000 { "100 %".to_owned() } else { format!("{}.{} %", thousandths / 10, thousandths % 10) }
}

/// A text in which what stands between backticks is code.
pub fn marked(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (99_999, "99,999"),
            (120_000, "120 k"),
            (1_249_999, "1.24 M"),
            (12_345_678_901, "12.34 G"),
        ] {
            assert_eq!(count(number), text);
        }
        for (millis, text) in [
            (843, "843 ms"),
            (1_000, "1 s"),
            (1_250, "1.2 s"),
            (41_000, "41 s"),
            (61_000, "1 min 1 s"),
            (601_000, "10 min"),
            (81_900_000, "22 h 45 min"),
            (180_000_000, "2 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!((percent(999, 1_000), percent(9_999, 10_000)), ("99.9 %".to_owned(), "99.9 %".to_owned()));
        assert_eq!((percent(0, 0), percent(3, 3)), ("—".to_owned(), "100 %".to_owned()));
        assert_eq!((of(1, "event"), of(2_000, "event")), ("1 event".to_owned(), "2,000 events".to_owned()));
        assert_eq!((bytes(512), bytes(65_536)), ("512 B".to_owned(), "65 kB".to_owned()));
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(marked("as `a_b` <is>, `c`.").into_string(), "as <code>a_b</code> &lt;is&gt;, <code>c</code>.");
        assert_eq!(marked("").into_string(), "");
    }

    #[test]
    fn times_read_well() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let at = |seconds: i64| Timestamp::from_millis(now.as_millis() + seconds * 1_000);
        for (seconds, text) in [
            (0, "just now"),
            (-180, "3 min ago"),
            (41, "in 41 s"),
            (-7_200, "2 h ago"),
            (90_000, "in 1 d"),
            (2_591_999, "in 30 d"),
            (-2_591_999, "29 d ago"),
            (3_590, "in 1 h"),
        ] {
            assert_eq!(relative(at(seconds), now), text);
        }
        assert_eq!(absolute(now), "2023-11-14 22:13:20.000 UTC");
    }

    proptest! {
        #[test]
        fn an_ids_tail_stays(tail in "[0-9a-hjkmnp-tv-z]{26}") {
            let shown = short(&format!("dlv_{tail}"));
            prop_assert_eq!(shown, format!("dlv…{}", &tail[20..]));
        }

        #[test]
        fn no_text_is_too_odd_for_a_tail(text in "\\PC{0,40}") {
            let _ = short(&text);
        }
    }
}
