//! The list of endpoints: the most harmed first, each with its last day, narrowed by chips
//! that can be taken away again. What is done to several of them is one form around it.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::counts;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, nothing, segment};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Endpoint, Health, List, Series};
use crate::dashboard::{answers, svg, words};

/// Endpoints of a page: each has a day of counts beside it.
const PAGE: &str = "25";
/// What the list is narrowed by, and what people call it.
const FILTERS: [(&str, &str); 3] = [("health", "health"), ("type", "type"), ("url_part", "URL")];
const HEALTHS: [(&str, &str); 6] = [
    ("", "any"),
    ("open", "breaker open"),
    ("failing", "failing"),
    ("disabled", "disabled"),
    ("paused", "paused"),
    ("ok", "well"),
];

/// The page.
pub async fn page(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

/// What the address narrows the list by.
fn filters(visitor: &Visitor) -> Vec<(&'static str, &str)> {
    FILTERS.iter().filter_map(|(name, _)| Some((*name, visitor.query.filled(name)?))).collect()
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let filters = filters(visitor);
    let cursor = visitor.query.filled("cursor");
    let mut asked = filters.clone();
    asked.push(("limit", PAGE));
    asked.extend(cursor.map(|cursor| ("cursor", cursor)));
    let found: Result<List<Endpoint>, Trouble> = visitor.get("/webhook-health", About::These, &asked).await;
    // Whoever may see none is told so by the whole page.
    if let Err(trouble) = &found
        && matches!(trouble.status, 401 | 403)
    {
        return Err(trouble.clone());
    }
    let is_filtered = !filters.is_empty() || (visitor.chooses_partner() && visitor.partner().is_some());
    let yet = html! {
        p { "No endpoint yet. It says where a partner's events go." }
        a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" }
    };
    let body = html! {
        (head("Endpoints", html! { a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } }))
        (narrowing(visitor))
        (chips(visitor, &filters))
        @match &found {
            Err(trouble) if trouble.status == 401 => {}
            // What was typed stays where it was typed.
            Err(trouble) => (answers::part(trouble)),
            Ok(found) if found.data.is_empty() && found.next_cursor.is_none() && cursor.is_none() => {
                div.list { (nothing(is_filtered, &visitor.address("/endpoints", None, &[]), &yet)) }
            }
            Ok(found) => {
                @if found.data.is_empty() { p.muted { "None among those that were looked at for this page; there are more behind it." } }
                @else { (several(visitor, &asked, &found.data).await) }
                (further(visitor, &filters, found.next_cursor.as_deref()))
            }
        }
        (frame::as_call(visitor, "/webhook-health", About::These, &asked))
    };
    match found {
        Err(trouble) if trouble.status == 401 => Err(trouble),
        _ => Ok(Page::new("Endpoints", body)),
    }
}

fn narrowing(visitor: &Visitor) -> Markup {
    let typed = |name: &str, label: &str, example: &str| {
        html! {
            label { span.small.muted { (label) }
                input type="text" name=(name) value=[visitor.query.get(name)] placeholder=(example) maxlength="256" spellcheck="false";
            }
        }
    };
    html! {
        form.filters action={ (ROOT) "/endpoints" } {
            @if visitor.chooses_environment() && visitor.environment() == "sandbox" { input type="hidden" name="env" value="sandbox"; }
            label { span.small.muted { "Health" }
                select name="health" {
                    @for (value, word) in HEALTHS {
                        option value=(value) selected[visitor.query.get("health").unwrap_or_default() == value] { (word) }
                    }
                }
            }
            @if visitor.chooses_partner() { (typed("partner", "Partner", "acme")) }
            (typed("type", "Wants the type", "campaign.updated"))
            (typed("url_part", "URL has", "example.com"))
            button { "Filter" }
        }
    }
}

/// What the list is narrowed by, each to be taken away.
fn chips(visitor: &Visitor, filters: &[(&'static str, &str)]) -> Markup {
    let partner = visitor.partner().filter(|_| visitor.chooses_partner());
    let chip = |name: &str, value: &str, without: &str| {
        html! {
            span.chip {
                span.muted { (name) " " } b { (value) } " "
                a href=(without) aria-label={ "Remove the filter " (name) } title="Remove this filter" { "×" }
            }
        }
    };
    html! {
        @if partner.is_some() || !filters.is_empty() {
            p.row #chips {
                @if let Some(partner) = partner { (chip("partner", partner, &visitor.address("/endpoints", None, filters))) }
                @for (name, value) in filters {
                    @let others: Vec<(&str, &str)> = filters.iter().copied().filter(|(other, _)| other != name).collect();
                    @let known = HEALTHS.iter().find(|(word, _)| *name == "health" && word == value);
                    @let shown = FILTERS.iter().find(|(known, _)| known == name).map_or(*name, |(_, shown)| *shown);
                    (chip(shown, known.map_or(*value, |(_, word)| *word), &visitor.to("/endpoints", &others)))
                }
            }
        }
    }
}

/// The table in a form: of some of its rows, several things can be done at once.
async fn several(visitor: &Visitor, asked: &[(&str, &str)], endpoints: &[Endpoint]) -> Markup {
    let counted = counted(visitor, endpoints).await;
    let here: Vec<(&str, &str)> = asked.iter().copied().filter(|(name, _)| *name != "limit").collect();
    let are_all_ticked = visitor.query.get("select") == Some("all");
    let all: Vec<(&str, &str)> = here.iter().copied().chain([("select", "all")]).collect();
    html! {
        @if let Err(trouble) = &counted { (answers::part(trouble)) }
        form #several method="post" action=(visitor.to("/endpoints/bulk", &[])) {
            (frame::token(visitor))
            input type="hidden" name="back" value=(visitor.to("/endpoints", &here));
            // What a press of Enter sends: nothing.
            button type="submit" name="verb" value="none" hidden tabindex="-1" { "Nothing" }
            div.row {
                @if are_all_ticked { a href=(visitor.to("/endpoints", &here)) { "Tick none" } }
                @else { a href=(visitor.to("/endpoints", &all)) { "Tick all " (endpoints.len()) } }
                span.muted { "Of those that are ticked:" }
                button name="verb" value="pause" { "Pause" }
                button name="verb" value="resume" { "Resume" }
                button name="verb" value="retry-now" { "Retry now" }
            }
            (table(visitor, endpoints, counted.as_ref().ok(), Some(are_all_ticked)))
        }
    }
}

/// What the last day of these came to.
pub async fn counted(visitor: &Visitor, endpoints: &[Endpoint]) -> Result<HashMap<String, Series>, Trouble> {
    let ids: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
    counts::of_endpoints(visitor, &ids).await
}

/// A table of endpoints; where rows can be ticked, with whether they are.
pub fn table(
    visitor: &Visitor,
    endpoints: &[Endpoint],
    counted: Option<&HashMap<String, Series>>,
    ticked: Option<bool>,
) -> Markup {
    html! {
        div.list.many {
            table {
                caption { "The most harmed first, and of those the newest. Success and p99 are those of the last 24 hours." }
                thead {
                    tr {
                        th scope="col" { "Health" } th scope="col" { "URL" } th scope="col" { "Partner" } th scope="col" { "Types" }
                        th scope="col" { "24 h" } th.num scope="col" { "Success" } th.num scope="col" { "p99" }
                        th.num scope="col" { "Waiting" } th.num scope="col" { "Oldest" }
                        @if ticked.is_some() { th scope="col" { "Do" } }
                    }
                }
                tbody {
                    @for endpoint in endpoints {
                        (row(visitor, endpoint, counted.and_then(|counted| counted.get(&endpoint.id)), ticked))
                    }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, endpoint: &Endpoint, series: Option<&Series>, ticked: Option<bool>) -> Markup {
    let of = format!("{} {}", endpoint.id, endpoint.partner);
    html! {
        tr id=(endpoint.id) {
            td.nowrap {
                @if let Some(is_ticked) = ticked {
                    input type="checkbox" name="endpoint" value=(of) checked[is_ticked] aria-label={ "Tick " (endpoint.url) }; " "
                }
                (super::health(endpoint))
            }
            td { a.cut href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) title=(endpoint.url) { (endpoint.url) } }
            td { span.cut.types title=(endpoint.partner) { @if endpoint.partner == "*" { "all" } @else { (endpoint.partner) } } }
            td { span.cut.types title=(endpoint.events.join(", ")) { (endpoint.events.join(", ")) } }
            td { @if let Some(series) = series { (spark(visitor, series)) } }
            td.num data-l="success" { (series.map_or("—".to_owned(), |series| words::percent(series.totals.succeeded, series.totals.attempts))) }
            td.num.nowrap data-l="p99" { (p99(series)) }
            td.num data-l="waiting" { (waiting(endpoint.health.as_ref())) }
            td.num.nowrap.last {
                @if let Some(oldest) = endpoint.health.as_ref().and_then(|health| health.oldest_waiting.as_ref()) {
                    (words::time(oldest.created_at.0, visitor.now))
                }
            }
            @if ticked.is_some() { td.nowrap { (acts(visitor, endpoint, &of)) } }
        }
    }
}

/// What can be done to one, at once.
fn acts(visitor: &Visitor, endpoint: &Endpoint, of: &str) -> Markup {
    let act = |verb: &str, label: &str| html! { button name="one" value={ (verb) " " (of) } { (label) } };
    let waits = endpoint.health.as_ref().is_some_and(|health| health.backlog > 0);
    html! {
        details.acts {
            summary aria-label={ "What can be done with " (endpoint.url) } { "Do…" }
            div.row {
                @if endpoint.paused_at.is_some() { (act("resume", "Resume")) } @else { (act("pause", "Pause")) }
                @if waits && endpoint.status == "active" && visitor.may(Permission::RetryDeliveries) { (act("retry-now", "Retry now")) }
            }
        }
    }
}

fn spark(visitor: &Visitor, series: &Series) -> Markup {
    let totals = &series.totals;
    let said = format!(
        "{} in 24 h, {} succeeded",
        words::of(totals.attempts, "attempt"),
        words::percent(totals.succeeded, totals.attempts)
    );
    svg::sparkline(&series.by_hour(visitor.now), &said)
}

/// What 99 of a hundred attempts took at most.
pub fn p99(series: Option<&Series>) -> String {
    let millis = series.and_then(|series| series.totals.attempt_ms.p99);
    millis.map_or("—".to_owned(), |millis| words::span(Duration::from_millis(millis)))
}

fn waiting(health: Option<&Health>) -> String {
    match health {
        Some(health) => words::at_least(health.backlog, health.backlog_has_more),
        None => "?".to_owned(),
    }
}

/// To the next page, and to the first.
fn further(visitor: &Visitor, filters: &[(&str, &str)], cursor: Option<&str>) -> Markup {
    html! {
        nav.pages aria-label="Pages of the list" {
            @if visitor.query.get("cursor").is_some() { a href=(visitor.to("/endpoints", filters)) { "The most harmed" } }
            @if let Some(cursor) = cursor {
                @let next: Vec<(&str, &str)> = filters.iter().copied().chain([("cursor", cursor)]).collect();
                a rel="next" href=(visitor.to("/endpoints", &next)) { "Next" }
            }
        }
    }
}
