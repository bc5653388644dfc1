//! The first page: does anything need me? What needs somebody, worst first
//! (`attention`); what happened on all nodes, from the statistics, over an hour, a day or a
//! week (`chart`); and what all nodes do just now, from the counters of each. And what is
//! to be done first where nothing has been delivered yet.

mod attention;
mod chart;
mod deeds;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::{join, join4, join5};
use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::auth::Permission;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Pace, Parts};
use crate::dashboard::nodes::{self, Together, Waits};
use crate::dashboard::pages::{first_run, head};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{List, Series, Statistics};
use crate::dashboard::{answers, icons, words};
use crate::domain::Timestamp;

pub use deeds::act;

/// Deliveries that are counted one by one.
const COUNTED: usize = 250;
/// What was given up so long ago is no news any more.
const LATELY: Duration = Duration::from_secs(24 * 3_600);
/// Success is told of so long.
const JUST_NOW: Duration = Duration::from_secs(5 * 60);

/// The page.
pub async fn page(visitor: Visitor) -> HttpResponse {
    visitor.answer(Box::pin(build(&visitor)).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let (attention, states, totals, chart, (first, figures)) = join5(
        attention::part(visitor),
        states(visitor),
        totals(visitor),
        Box::pin(chart::part(visitor)),
        Box::pin(join(first_run::part(visitor), shown_figures(visitor))),
    )
    .await;
    // Their first page is another.
    let title = if visitor.is_partner() { "Figures" } else { "Overview" };
    let body = html! {
        (head(title, html! {}))
        (first?)
        (attention)
        @if let Some(figures) = figures { (figures) }
        (totals)
        (states)
        @if let Some(chart) = chart {
            section.panel {
                (chart::heading(visitor))
                div #plot hidden aria-hidden="true" {}
                (chart)
            }
        }
    };
    let kept: Vec<(&str, &str)> =
        ["first", "span"].into_iter().filter_map(|name| Some((name, visitor.query.get(name)?))).collect();
    let page = Page::new(title, body).live(visitor.to("/live/overview", &kept));
    Ok(match visitor.may(Permission::ReadStatistics) {
        true => page.style("uplot.css").script("uplot.js").script("chart.js"),
        false => page,
    })
}

/// Its live parts.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let pace = Pace::default();
    live::stream(visitor, &request, move |visitor| draw(visitor, pace.is_due(false)))
}

async fn draw(visitor: Visitor, is_whole: bool) -> Result<Parts, Trouble> {
    let mut parts: Parts = Vec::new();
    parts.extend(shown_figures(&visitor).await.map(|figures| ("figures", figures)));
    parts.push(("first", first_run::part(&visitor).await?));
    if is_whole {
        let (attention, states, totals, chart) =
            join4(attention::part(&visitor), states(&visitor), totals(&visitor), chart::part(&visitor)).await;
        parts.extend([("attention", attention), ("states", states), ("totals", totals)]);
        parts.extend(chart.map(|chart| ("chart", chart)));
    }
    Ok(parts)
}

/// A rate, as far as it can be told apart.
fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => words::count(rate.round() as u64),
    }
}

async fn shown_figures(visitor: &Visitor) -> Option<Markup> {
    if shows_figures(visitor) { Some(figures(visitor).await) } else { None }
}

/// Whether nodes' own figures say anything of what is looked at: they are of all.
fn shows_figures(visitor: &Visitor) -> bool {
    visitor.is_operator() && visitor.partner().is_none() && visitor.environment() == "production"
}

/// What all nodes do just now.
async fn figures(visitor: &Visitor) -> Markup {
    let (told, waits) = join(visitor.dashboard.nodes.now(visitor), visitor.dashboard.nodes.waits(visitor)).await;
    let (this, own) = (visitor.api.node.id.to_string(), visitor.api.watch.figures().now);
    let found = nodes::together(told.as_deref().map_or(&[], Vec::as_slice), &this, &own);
    let now = &found.now;
    let took = |share| now.took_at_most(share).map_or("—".to_owned(), words::span);
    let overdue = Duration::from_millis(now.overdue_ms);
    // The oldest of the most harmed endpoints, or what a node has in memory and could have sent.
    let oldest =
        waits.as_ref().ok().and_then(|waits| waits.oldest).map_or(overdue, |at| visitor.now.since(at).max(overdue));
    html! {
        div #figures .told {
            p.small.muted {
                (whose(&found)) ", just now; all partners, both environments"
                @if !found.silent.is_empty() {
                    ". Without "
                    @for (at, node) in found.silent.iter().enumerate() { @if at > 0 { ", " } (words::id(node)) }
                    @if found.silent.len() == 1 { ", which does not say what it does" } @else { ", which do not say what they do" }
                }
                @if told.is_err() { ". Which others there are cannot be seen" }
            }
            dl.figures {
                div { dt { "Delivered" } dd { (rate(now.delivered_per_second)) "/s" small { "accepted " (rate(now.accepted_per_second)) "/s" } } }
                div { dt { "An attempt takes" } dd { (took(0.5)) small { "p99 " (took(0.99)) } } }
                div {
                    dt { "Backlog" }
                    dd {
                        @match &waits {
                            Ok(waits) => {
                                (words::at_least(waits.backlog, waits.has_more))
                                small { (backlog(waits, now.delivered_per_second)) "; " (words::count(now.waiting)) " in memory" }
                            }
                            Err(_) => { "?" small { (words::count(now.waiting)) " in memory" } }
                        }
                    }
                }
                div { dt { "Oldest waiting" } dd { @if oldest.is_zero() { "—" } @else { (words::span(oldest)) } small { @if now.overdue_ms > 0 { "overdue for " (words::span(overdue)) } @else { "nothing is overdue" } } } }
                div { dt { "In flight" } dd { (words::count(now.in_flight)) small { @if now.breakers_open > 0 { (words::of(now.breakers_open, "breaker")) " open" } @else if now.endpoints_failing > 0 { (words::of(now.endpoints_failing, "endpoint")) " failing" } @else { "requests" } } } }
            }
        }
    }
}

/// What becomes of what waits in production.
fn backlog(waits: &Waits, delivered_per_second: f64) -> String {
    // Over in about so long, if nothing more came, and nothing kept it.
    let drains = (waits.backlog > 0 && !waits.has_more && delivered_per_second > 0.0)
        .then(|| Duration::try_from_secs_f64(waits.backlog as f64 / delivered_per_second).ok())
        .flatten();
    match drains {
        _ if waits.backlog == 0 && !waits.has_more => "nothing waits in production".to_owned(),
        _ if waits.is_braked => "in production, where a brake holds".to_owned(),
        _ if waits.stuck > 0 => {
            format!("in production, {} of them stuck", words::at_least(waits.stuck, waits.has_more))
        }
        Some(drains) => format!("drains in {}", words::span(drains)),
        None => "wait in production".to_owned(),
    }
}

/// Of how many nodes figures are.
fn whose(found: &Together) -> String {
    match (found.nodes, found.silent.len()) {
        (1, _) => "This node".to_owned(),
        (nodes, 0) => format!("{nodes} nodes"),
        (nodes, silent) => format!("{} of {nodes} nodes", nodes - silent),
    }
}

/// What the statistics say of a stretch of time: of all nodes, and some seconds old.
async fn told(visitor: &Visitor, back: Duration, resolution: &str) -> Result<Option<Series>, Trouble> {
    let since = (visitor.now - back).to_string();
    let asked = [("since", since.as_str()), ("resolution", resolution)];
    let found: Statistics = visitor.get("/stats", About::These, &asked).await?;
    Ok(found.data.into_iter().next())
}

/// What all nodes did within a day.
async fn totals(visitor: &Visitor) -> Markup {
    if !visitor.may(Permission::ReadStatistics) {
        return html! { div #totals hidden {} };
    }
    let (day, minutes) = join(told(visitor, LATELY, "hour"), told(visitor, JUST_NOW, "minute")).await;
    let took =
        |millis: Option<u64>| millis.map_or("—".to_owned(), |millis| words::span(Duration::from_millis(millis)));
    html! {
        div #totals .told {
            p.small.muted {
                @if visitor.is_partner() { "Within 24 h; some seconds old" } @else { "All nodes, within 24 h; some seconds old" }
                @if visitor.partner().is_none() { ", all partners" }
            }
            @match (day, minutes) {
                (Ok(Some(day)), Ok(Some(minutes))) => dl.figures {
                    @let day = &day.totals;
                    @let minutes = &minutes.totals;
                    div { dt { "Events" } dd { (words::count(day.events.unwrap_or(0))) small { "accepted" } } }
                    div { dt { "Deliveries" } dd { (words::count(day.delivered)) small { "delivered" } } }
                    div { dt { "Attempt success" } dd { (words::percent(minutes.succeeded, minutes.attempts)) small { "of " (words::count(minutes.attempts)) " in 5 min" } } }
                    div { dt { "Attempt success, 24 h" } dd { (words::percent(day.succeeded, day.attempts)) small { "of " (words::count(day.attempts)) } } }
                    div { dt { "An attempt took" } dd { (took(day.attempt_ms.p50)) small { "p99 " (took(day.attempt_ms.p99)) } } }
                    div {
                        dt { "Exhausted" }
                        dd {
                            a href=(visitor.to("/exhausted", &[])) { (words::count(day.retries_exhausted)) }
                            small { "given up within 24 h" }
                        }
                    }
                },
                (Err(trouble), _) | (_, Err(trouble)) => (answers::part(&trouble)),
                _ => p.muted { "There are no statistics." },
            }
        }
    }
}

/// How many deliveries there are of a kind: exact up to a bound.
async fn counted(visitor: &Visitor, status: &str, since: Option<Timestamp>) -> Result<(usize, bool), Trouble> {
    let (limit, since) = (COUNTED.to_string(), since.map(|since| since.to_string()));
    let mut asked = vec![("status", status), ("limit", limit.as_str())];
    asked.extend(since.as_deref().map(|since| ("since", since)));
    let found: List<IgnoredAny> = visitor.get("/deliveries", About::These, &asked).await?;
    Ok((found.data.len(), found.next_cursor.is_some()))
}

fn lately(visitor: &Visitor) -> Timestamp {
    // To the minute, so that the same page is the same text for a while.
    let lately = (visitor.now - LATELY).as_millis();
    Timestamp::from_millis(lately - lately.rem_euclid(60_000))
}

/// What waits of a partner's, and what was given up lately: read off its endpoints, each by
/// its index. Over all partners there is no such count.
async fn states(visitor: &Visitor) -> Markup {
    if visitor.partner().is_none() {
        return html! { div #states hidden {} };
    }
    let lately = lately(visitor);
    let (pending, retrying, held, exhausted) = join4(
        counted(visitor, "pending", None),
        counted(visitor, "retrying", None),
        counted(visitor, "held", None),
        counted(visitor, "retries_exhausted", Some(lately)),
    )
    .await;
    let figure = |status: &'static str, found: Result<(usize, bool), Trouble>, note: &'static str| {
        let lately = lately.to_string();
        let mut filter = vec![("status", status)];
        if status == "retries_exhausted" {
            filter.push(("since", lately.as_str()));
        }
        html! {
            div {
                dt { (icons::status(status)) }
                dd {
                    @match found {
                        Ok((count, is_more)) => a href=(visitor.to("/deliveries", &filter)) { (count) @if is_more { "+" } },
                        Err(_) => "?",
                    }
                    small { (note) }
                }
            }
        }
    };
    html! {
        dl #states .figures {
            (figure("pending", pending, "wait for their first attempt"))
            (figure("retrying", retrying, "wait for another attempt"))
            (figure("held", held, "wait behind a pause or a disabled endpoint"))
            (figure("retries_exhausted", exhausted, "given up within 24 h"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_drains_where_nothing_keeps_it() {
        let said = |waits: Waits| backlog(&waits, 10.0);
        let some = || Waits { backlog: 50, ..Waits::default() };
        assert_eq!(said(Waits { is_braked: true, ..Waits::default() }), "nothing waits in production");
        assert_eq!(said(some()), "drains in 5 s");
        assert_eq!(said(Waits { has_more: true, ..some() }), "wait in production");
        assert_eq!(said(Waits { stuck: 20, ..some() }), "in production, 20 of them stuck");
        assert_eq!(said(Waits { is_braked: true, ..some() }), "in production, where a brake holds");
        assert_eq!(backlog(&some(), 0.0), "wait in production");
    }
}
