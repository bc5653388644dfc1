//! A delivery's attempts on a line, a slot for each: those made, and hollow those to come.
//! Time grows logarithmically, since retries of seconds and of hours are to be seen on one.
//! Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::pages::outcome;
use crate::dashboard::wire::Delivery;
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Percent of the width that stay free on each side.
const MARGIN: f64 = 3.0;
/// Percent between the names of two marks, at least.
const APART: f64 = 9.0;
/// From here on the name of a mark has no room on its right.
const LAST: f64 = 90.0;
/// Attempts that have a slot; of more, the last.
const SLOTS_MAX: usize = 60;

/// Where a time after the beginning stands, of so much that is shown.
fn place(after: Duration, whole: Duration) -> f64 {
    let scaled = |span: Duration| (1.0 + span.as_secs_f64()).ln();
    let share = scaled(after) / scaled(whole.max(Duration::from_secs(1)));
    MARGIN + (100.0 - 2.0 * MARGIN) * share.clamp(0.0, 1.0)
}

fn percent(place: f64) -> String {
    format!("{place:.1}%")
}

/// The spans that are named below the line: each with room before the next.
fn marks(whole: Duration) -> Vec<(Duration, f64)> {
    let all = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800].map(Duration::from_secs);
    let mut marks: Vec<(Duration, f64)> = Vec::new();
    for mark in all.into_iter().filter(|mark| *mark <= whole) {
        let at = place(mark, whole);
        if marks.last().is_none_or(|(_, last)| at - last >= APART) {
            marks.push((mark, at));
        }
    }
    marks
}

/// The line; those that were asked for by hand have a stroke above. The attempts themselves
/// stand below it as text.
pub fn line(delivery: &Delivery, by_hand: &BTreeSet<u64>, now: Timestamp) -> Markup {
    let begun = delivery.created_at.0;
    let after = |at: Timestamp| at.since(begun);
    let is_over = delivery.finished_at.is_some();
    let planned: Vec<Duration> = match delivery.planned_attempts.as_slice() {
        _ if is_over => Vec::new(),
        [] => delivery.next_attempt_at.iter().map(|at| after(at.0)).collect(),
        planned => planned.iter().map(|at| after(at.0)).collect(),
    };
    let made: Vec<Duration> = delivery.attempts.iter().map(|attempt| after(attempt.started_at.0)).collect();
    let last = made.iter().max().copied().unwrap_or_default();
    let end = planned.last().copied().unwrap_or_default();
    let whole = last.max(end).max(Duration::from_secs(10));
    let skipped = delivery.attempts.len().saturating_sub(SLOTS_MAX);
    html! {
        svg.line role="img"
            aria-label={
                (words::of(made.len() as u64, "attempt")) " made over " (words::span(last)) ", " (planned.len()) " to come"
                @if !by_hand.is_empty() { "; " (by_hand.len()) " asked for by hand" }
            } {
            line.axis x1="0" x2="100%" y1="40" y2="40" stroke-width="1" {}
            @for (mark, at) in marks(whole) {
                @let x = percent(at);
                line.axis x1=(x) x2=(x) y1="34" y2="46" stroke-width="1" {}
                // The last one ends where the picture does.
                text x=(x) y="66" text-anchor=(if at > LAST { "end" } else { "middle" }) { (words::span(mark)) }
            }
            @if !is_over {
                @let x = percent(place(after(now), whole));
                line.now x1=(x) x2=(x) y1="22" y2="52" stroke-width="2" {}
            }
            @for at in planned.iter().skip(1) { circle.to-come cx=(percent(place(*at, whole))) cy="40" r="6" stroke-width="1.5" {} }
            @if let Some(next) = planned.first() { circle.next cx=(percent(place(*next, whole))) cy="40" r="7" stroke-width="2" {} }
            @for (attempt, at) in delivery.attempts.iter().zip(&made).skip(skipped) {
                @let x = percent(place(*at, whole));
                @if by_hand.contains(&attempt.number) { line.now x1=(x) x2=(x) y1="18" y2="28" stroke-width="2" {} }
                @if outcome::is_delivered(attempt) {
                    circle.ok cx=(x) cy="40" r="8" {}
                } @else {
                    svg x=(x) y="40" overflow="visible" { rect.no x="-6" y="-8" width="12" height="16" {} }
                }
            }
        }
        p.small.muted {
            "From when it was made, on a scale that grows with time: discs delivered, blocks failed"
            @if !planned.is_empty() { ", rings are to come" }
            @if !by_hand.is_empty() { ", a stroke above was asked for by hand" }
            @if !is_over { "; the upright line is now" }
            "."
        }
        @if planned.len() > 1 { (table(delivery, now)) }
    }
}

/// What the rings say.
fn table(delivery: &Delivery, now: Timestamp) -> Markup {
    html! {
        details {
            summary { (words::of(delivery.planned_attempts.len() as u64, "attempt")) " to come" }
            table {
                caption { "When each is due if those before it fail at once; chance adds a little." }
                thead { tr { th scope="col" { "Attempt" } th scope="col" { "Due" } th scope="col" { "After it was made" } } }
                tbody {
                    @for (behind, at) in delivery.planned_attempts.iter().enumerate() {
                        tr {
                            td { (delivery.attempt_count + behind as u64 + 1) }
                            td { (words::time(at.0, now)) }
                            td { (words::span(at.0.since(delivery.created_at.0))) }
                        }
                    }
                }
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
            let marks = marks(whole);
            prop_assert!(marks.is_sorted_by(|(_, one), (_, other)| other - one >= APART));
        }
    }
}
