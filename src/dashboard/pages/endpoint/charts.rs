//! How an endpoint's attempts ended and how long they took, over a range, as bars: each bar
//! leads to what it counts.

use std::time::Duration;

use maud::{Markup, html};

use crate::dashboard::counts::{self, BARS_MS, Range};
use crate::dashboard::pages::segment;
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::{Endpoint, Series};
use crate::dashboard::{answers, svg, words};
use crate::domain::Timestamp;

/// What a result is called.
pub fn name_of(result: &str) -> String {
    match result {
        "succeeded" => "delivered".to_owned(),
        "http_4xx" => "answer 4xx".to_owned(),
        "http_5xx" => "answer 5xx".to_owned(),
        "dns" => "DNS".to_owned(),
        "tls" => "TLS".to_owned(),
        other => other.replace('_', " "),
    }
}

/// Which durations a bar has.
pub fn took_of(bar: usize) -> String {
    let span = |millis: u64| words::span(Duration::from_millis(millis));
    let from = bar.checked_sub(1).map(|before| BARS_MS[before]);
    match (from, BARS_MS.get(bar).copied().unwrap_or(u64::MAX)) {
        (None, most) => format!("up to {}", span(most)),
        (Some(from), u64::MAX) => format!("over {}", span(from)),
        (Some(from), most) => format!("{} to {}", span(from), span(most)),
    }
}

/// Both charts, over the range of the address.
pub async fn charts(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let range = Range::of(visitor);
    let found = counts::of_endpoint(visitor, &endpoint.id, range).await;
    let here = format!("/endpoints/{}", segment(&endpoint.id));
    html! {
        section.panel #charts {
            div.head {
                h2 { "Attempts in " (range.name()) }
                span.switch role="group" aria-label="Range" {
                    @for other in Range::ALL {
                        a href=(visitor.to(&here, &[("range", other.word())])) aria-current=[(other == range).then_some("true")] { (other.name()) }
                    }
                }
            }
            @match &found {
                Err(trouble) => (answers::part(trouble)),
                Ok((series, since)) => (drawn(visitor, endpoint, series, *since)),
            }
        }
    }
}

fn drawn(visitor: &Visitor, endpoint: &Endpoint, series: &Series, since: Timestamp) -> Markup {
    let totals = &series.totals;
    if totals.attempts == 0 {
        return html! { p.muted { "None. What is counted is some seconds old." } };
    }
    let millis =
        |millis: Option<u64>| millis.map_or("—".to_owned(), |millis| words::span(Duration::from_millis(millis)));
    html! {
        p {
            (words::of(totals.attempts, "attempt")) ", " (words::percent(totals.succeeded, totals.attempts))
            " succeeded; half took up to " (millis(totals.attempt_ms.p50)) ", 99 % up to " (millis(totals.attempt_ms.p99)) "."
        }
        div.two {
            (results(visitor, endpoint, series, since))
            (durations(visitor, endpoint, series))
        }
    }
}

/// A bar: what it is called, where it leads, how much it is.
struct Bar {
    name: String,
    to: String,
    count: u64,
    /// Its colour: that of what it came to, or none in particular.
    class: &'static str,
}

fn results(visitor: &Visitor, endpoint: &Endpoint, series: &Series, since: Timestamp) -> Markup {
    let here = format!("/endpoints/{}", segment(&endpoint.id));
    let since = since.to_string();
    let delivered = [("endpoint", endpoint.id.as_str()), ("status", "delivered"), ("since", since.as_str())];
    let mut bars = vec![Bar {
        name: name_of("succeeded"),
        to: visitor.to("/deliveries", &delivered),
        count: series.totals.succeeded,
        class: "ok",
    }];
    let mut failures: Vec<(&String, u64)> =
        series.totals.failures.iter().map(|(name, count)| (name, *count)).filter(|(_, count)| *count > 0).collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    bars.extend(failures.into_iter().map(|(name, count)| Bar {
        name: name_of(name),
        to: visitor.to(&here, &[("tab", "attempts"), ("result", name)]),
        count,
        class: "no",
    }));
    table("By result", "Result", &bars)
}

fn durations(visitor: &Visitor, endpoint: &Endpoint, series: &Series) -> Markup {
    let here = format!("/endpoints/{}", segment(&endpoint.id));
    let counted = counts::in_bars(&series.histogram);
    let bars = counted.into_iter().enumerate().map(|(bar, count)| {
        let number = bar.to_string();
        let to = visitor.to(&here, &[("tab", "attempts"), ("took", &number)]);
        // A bar has attempts that delivered and others that did not.
        Bar { name: took_of(bar), to, count, class: "s5" }
    });
    table("By time", "Took", &bars.collect::<Vec<_>>())
}

/// The chart is a table: who does not see its bars reads its numbers.
fn table(caption: &str, what: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0);
    html! {
        table {
            caption { (caption) }
            thead { tr { th scope="col" { (what) } th scope="col" { span.unseen { "Bar" } } th.num scope="col" { "Attempts" } } }
            tbody {
                @for bar in bars {
                    tr {
                        td.nowrap { @if bar.count > 0 { a href=(bar.to) { (bar.name) } } @else { span.muted { (bar.name) } } }
                        td.wide-bar { @if bar.count > 0 { a href=(bar.to) tabindex="-1" aria-hidden="true" { (svg::share(bar.count, most, bar.class)) } } }
                        td.num { (words::count(bar.count)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_called_by_what_they_have() {
        let names: Vec<String> = (0..BARS_MS.len()).map(took_of).collect();
        assert_eq!([&names[0], &names[4], &names[7]], ["up to 10 ms", "300 ms to 1 s", "over 10 s"]);
        assert_eq!(
            (name_of("http_5xx"), name_of("blocked_address")),
            ("answer 5xx".to_owned(), "blocked address".to_owned())
        );
    }
}
