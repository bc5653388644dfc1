//! A delivery's attempts on a line: time grows logarithmically, since retries of seconds
//! and of hours are to be seen on one. Pure.

use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::pages::outcome;
use crate::dashboard::wire::Delivery;
use crate::dashboard::words;

/// Percent of the width that stay free on each side.
const MARGIN: f64 = 3.0;

/// Where a time after the beginning stands, of so much that is shown.
fn place(after: Duration, whole: Duration) -> f64 {
    let scaled = |span: Duration| (1.0 + span.as_secs_f64()).ln();
    let share = scaled(after) / scaled(whole.max(Duration::from_secs(1)));
    MARGIN + (100.0 - 2.0 * MARGIN) * share.clamp(0.0, 1.0)
}

fn percent(place: f64) -> String {
    format!("{place:.1}%")
}

/// The line. The attempts themselves stand below it as text.
pub fn line(delivery: &Delivery) -> Markup {
    let begun = delivery.created_at.0;
    let after = |at: crate::domain::Timestamp| at.since(begun);
    let last = delivery.attempts.iter().map(|attempt| after(attempt.started_at.0)).max().unwrap_or_default();
    let next = delivery.next_attempt_at.map(|at| after(at.0));
    let whole = last.max(next.unwrap_or_default()).max(Duration::from_secs(10));
    let marks = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800].map(Duration::from_secs);
    html! {
        svg.line role="img"
            aria-label={ (words::of(delivery.attempts.len() as u64, "attempt")) " over " (words::span(last)) } {
            line.axis x1="0" x2="100%" y1="40" y2="40" stroke-width="1" {}
            @for mark in marks.iter().filter(|mark| **mark <= whole) {
                @let x = percent(place(*mark, whole));
                line.axis x1=(x) x2=(x) y1="34" y2="46" stroke-width="1" {}
                text x=(x) y="66" text-anchor="middle" { (words::span(*mark)) }
            }
            @for attempt in &delivery.attempts {
                @let x = place(after(attempt.started_at.0), whole);
                @if outcome::is_delivered(attempt) {
                    circle.ok cx=(percent(x)) cy="40" r="8" {}
                } @else {
                    svg x=(percent(x)) y="40" overflow="visible" { rect.no x="-6" y="-8" width="12" height="16" {} }
                }
            }
            @if let Some(next) = next {
                circle.to-come cx=(percent(place(next, whole))) cy="40" r="7" stroke-width="2" stroke-dasharray="3 2" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_stands_on_the_line_in_order(one in 0..900_000_u64, more in 0..900_000_u64) {
            let (first, second) = (Duration::from_secs(one), Duration::from_secs(one + more));
            let whole = second;
            let (left, right) = (place(first, whole), place(second, whole));
            prop_assert!(left <= right);
            prop_assert!((MARGIN..=100.0 - MARGIN).contains(&left) && (MARGIN..=100.0 - MARGIN).contains(&right));
        }
    }
}
