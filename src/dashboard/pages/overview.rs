//! The first page: does anything need me? For operators with this node's figures, for
//! everybody with what waits and what was given up, and with what is to be done first
//! where nothing has been delivered yet.

use std::cell::Cell;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::{join, join_all, join3, join4};
use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::auth::Permission;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{endpoint, first_run, head, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Brake, Endpoint, List, Node};
use crate::dashboard::{answers, icons, words};
use crate::domain::Timestamp;

/// Deliveries that are counted one by one.
const COUNTED: usize = 250;
/// Endpoints in trouble that are named.
const NAMED: usize = 20;
/// So many looks at the figures go by for each at the rest.
const SELDOM: u32 = 5;
/// What was given up so long ago is no news any more.
const LATELY: Duration = Duration::from_secs(24 * 3_600);

/// The page.
pub async fn page(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let (attention, states, first) = join3(attention(visitor), states(visitor), first_run::part(visitor)).await;
    let body = html! {
        (head("Overview", html! {}))
        (first?)
        (attention)
        @if visitor.is_operator() { (figures(visitor)) }
        (states)
    };
    let first: Vec<(&str, &str)> = visitor.query.get("first").map(|value| ("first", value)).into_iter().collect();
    Ok(Page::new("Overview", body).live(visitor.to("/live/overview", &first)))
}

/// Its live parts.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let looks = Cell::new(0_u32);
    live::stream(visitor, &request, move |visitor| {
        let is_whole = looks.get().is_multiple_of(SELDOM);
        looks.set(looks.get().wrapping_add(1));
        draw(visitor, is_whole)
    })
}

async fn draw(visitor: Visitor, is_whole: bool) -> Result<Parts, Trouble> {
    let mut parts: Parts = Vec::new();
    if visitor.is_operator() {
        parts.push(("figures", figures(&visitor)));
    }
    parts.push(("first", first_run::part(&visitor).await?));
    if is_whole {
        let (attention, states) = join(attention(&visitor), states(&visitor)).await;
        parts.extend([("attention", attention), ("states", states)]);
    }
    Ok(parts)
}

/// What this node does.
fn figures(visitor: &Visitor) -> Markup {
    let now = visitor.dashboard.watch.figures();
    let rate = |rate: f64| {
        if rate == 0.0 {
            "0".to_owned()
        } else if rate < 10.0 {
            format!("{rate:.1}")
        } else {
            words::count(rate.round() as u64)
        }
    };
    let took = |took: Option<Duration>| took.map_or("—".to_owned(), words::span);
    html! {
        dl #figures .figures {
            div { dt { "Delivered" } dd { (rate(now.delivered_rate)) "/s" small { "accepted " (rate(now.accepted_rate)) "/s" } } }
            div { dt { "Attempts that delivered" } dd { (words::percent(now.delivered, now.attempts)) small { "of " (words::count(now.attempts)) " in 5 min" } } }
            div { dt { "An attempt takes" } dd { (took(now.median)) small { "p99 " (took(now.p99)) } } }
            div { dt { "In flight" } dd { (words::count(now.in_flight)) small { "on this node" } } }
            div { dt { "Longest overdue" } dd { @if now.overdue.is_zero() { "—" } @else { (words::span(now.overdue)) } small { "on this node" } } }
        }
    }
}

/// How many deliveries there are of a kind: exact up to a bound.
async fn counted(visitor: &Visitor, status: &str, since: Option<Timestamp>) -> Result<(usize, bool), Trouble> {
    let (limit, since) = (COUNTED.min(visitor.api.limits.page_max).to_string(), since.map(|since| since.to_string()));
    let mut asked = vec![("status", status), ("limit", limit.as_str())];
    asked.extend(since.as_deref().map(|since| ("since", since)));
    let found: List<IgnoredAny> = visitor.get("/deliveries", About::These, &asked).await?;
    Ok((found.data.len(), found.next_cursor.is_some()))
}

fn since(visitor: &Visitor) -> Timestamp {
    // To the minute, so that the same page is the same text for a while.
    let lately = (visitor.now - LATELY).as_millis();
    Timestamp::from_millis(lately - lately.rem_euclid(60_000))
}

/// What waits, and what was given up lately. Of a partner's it is read off its endpoints,
/// each by its index; over all of them only the counters know.
async fn states(visitor: &Visitor) -> Markup {
    if visitor.partner().is_none() {
        return counters(visitor);
    }
    let lately = since(visitor);
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

/// What this node's counters say of what waits.
fn counters(visitor: &Visitor) -> Markup {
    if !visitor.is_operator() {
        return html! { div #states hidden {} };
    }
    let now = visitor.dashboard.watch.figures();
    html! {
        dl #states .figures {
            div { dt { (icons::state("pending", "waiting")) } dd { (words::count(now.in_memory)) small { "in the memory of live endpoints" } } }
            div { dt { (icons::state("retrying", "failing")) } dd { (words::count(now.failing)) small { "endpoints that have only failed of late" } } }
            div { dt { (icons::state("breaker", "breaker open")) } dd { (words::count(now.breakers_open)) small { "endpoints that are only probed" } } }
            div {
                dt { (icons::status("retries_exhausted")) }
                dd { (words::count(now.exhausted)) small { "given up since this node started" } }
            }
        }
    }
}

/// Something that somebody should look at.
struct Item {
    mark: Markup,
    what: Markup,
    since: Option<Timestamp>,
    detail: Markup,
}

/// What needs somebody, worst first.
async fn attention(visitor: &Visitor) -> Markup {
    if !visitor.may(Permission::ManageEndpoints) {
        // Nothing is said of what a key cannot see.
        return html! {
            section #attention .panel {
                p { "This key posts events, and sees what became of them: " a href=(visitor.to("/events", &[])) { "Events" } ", " a href=(visitor.to("/deliveries", &[])) { "Deliveries" } "." }
            }
        };
    }
    let (nodes, brakes, endpoints) = join3(of_nodes(visitor), of_brakes(visitor), of_endpoints(visitor)).await;
    let mut items = Vec::new();
    let mut troubles = Vec::new();
    for found in [nodes, brakes, endpoints] {
        match found {
            Ok(found) => items.extend(found),
            Err(trouble) => troubles.push(trouble),
        }
    }
    html! {
        section #attention .panel {
            h2 #headline {
                @match items.len() {
                    0 if troubles.is_empty() => { "All well" }
                    0 => { "Not everything can be seen" }
                    1 => { "1 thing needs you" }
                    count => { (count) " things need you" }
                }
            }
            @for trouble in &troubles { (answers::part(trouble)) }
            @if !items.is_empty() {
                div.list {
                    table {
                        caption { "Worst first." }
                        thead { tr { th scope="col" { "State" } th scope="col" { "What" } th scope="col" { "Since" } th scope="col" { "More" } } }
                        tbody {
                            @for item in &items {
                                tr {
                                    td.nowrap { (item.mark) }
                                    td { (item.what) }
                                    td.nowrap.last { (words::maybe_time(item.since, visitor.now)) }
                                    td.line2 { (item.detail) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn of_nodes(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    if !visitor.may(Permission::Operate) {
        return Ok(Vec::new());
    }
    let nodes: List<Node> = visitor.get("/nodes", About::Nobody, &[]).await?;
    let link = |node: &Node| html! { a href=(visitor.to("/nodes", &[])) { "Node " (words::id(&node.id)) } };
    let mut items = Vec::new();
    for node in &nodes.data {
        if node.held {
            items.push(Item {
                mark: icons::state("held", "held"),
                what: link(node),
                since: None,
                detail: html! { "It was started held and sends nothing until somebody releases it." },
            });
        }
        if let Some(until) = node.lease_until.filter(|until| until.0 < visitor.now) {
            items.push(Item {
                mark: icons::state("failing", "late"),
                what: link(node),
                since: Some(until.0),
                detail: html! { "It has not renewed its leases; others take its partitions." },
            });
        }
    }
    Ok(items)
}

async fn of_brakes(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    if !visitor.may(Permission::Brake) {
        return Ok(Vec::new());
    }
    let brakes: List<Brake> = visitor.get("/brakes", About::Nobody, &[]).await?;
    let items = brakes.data.into_iter().map(|brake| Item {
        mark: icons::state("held", "braked"),
        what: html! {
            @if brake.partner == "*" { "All partners in " (brake.environment) } @else {
                a href=(visitor.address(&format!("/partners/{}", segment(&brake.partner)), None, &[])) { (brake.partner) }
                " in " (brake.environment)
            }
        },
        since: Some(brake.since.0),
        detail: html! { (brake.reason.as_deref().unwrap_or("No reason was given.")) },
    });
    Ok(items.collect())
}

/// Endpoints in trouble: of operators those whose breaker is open on this node, of a
/// partner those among its newest.
async fn of_endpoints(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    if !visitor.may(Permission::ManageEndpoints) {
        return Ok(Vec::new());
    }
    let figures = visitor.dashboard.watch.figures();
    let ids: Vec<String> = if visitor.is_operator() && visitor.partner().is_none() {
        figures.open_breakers.into_iter().take(NAMED).collect()
    } else {
        let limit = NAMED.to_string();
        let found: List<Endpoint> = visitor.get("/webhook", About::These, &[("limit", &limit)]).await?;
        found.data.into_iter().map(|endpoint| endpoint.id).collect()
    };
    let read = ids
        .iter()
        .map(|id| async { visitor.get::<Endpoint>(&format!("/webhook/{}", segment(id)), About::These, &[]).await });
    let mut items = Vec::new();
    for found in join_all(read).await {
        match found {
            Ok(found) => items.extend(in_trouble(visitor, &found)),
            // Of the other environment, or deleted meanwhile.
            Err(trouble) if trouble.status == 404 => {}
            Err(trouble) => return Err(trouble),
        }
    }
    items.sort_by_key(|item| item.since);
    Ok(items)
}

fn in_trouble(visitor: &Visitor, found: &Endpoint) -> Option<Item> {
    let health = found.health.as_ref()?;
    let (mark, since) = if health.disabled_at.is_some() {
        (icons::state("exhausted", "disabled"), health.disabled_at)
    } else if health.breaker == "open" {
        (icons::state("breaker", "breaker open"), health.breaker_opened_at)
    } else {
        (icons::state("failing", "failing"), Some(health.failing_since?))
    };
    let waiting = words::count(health.backlog);
    Some(Item {
        mark,
        what: html! {
            a href=(visitor.to_one(&format!("/endpoints/{}", segment(&found.id)))) { (found.url) }
            @if visitor.partner().is_none() { span.muted { " " (found.partner) } }
        },
        since: since.map(|since| since.0),
        detail: html! { (waiting) @if health.backlog_has_more { "+" } " wait. " (endpoint::trouble(health, visitor.now)) },
    })
}
