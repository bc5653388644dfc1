//! The list of endpoints: the most harmed first, or in another `order`, each with its last
//! day, narrowed by chips that can be taken away again. Its rows are live, and stay where they are: a stream is told
//! which ones somebody sees. What is done to several of them is in `bulk`.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::counts;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::bulk::{self, Bar, Deed};
use crate::dashboard::pages::endpoints::order::{self, Order};
use crate::dashboard::pages::{endpoint, endpoints, head, nothing, segment};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Endpoint, Health, List, Series};
use crate::dashboard::{answers, svg, words};

/// Endpoints of a page: each has a day of counts beside it.
const PAGE: usize = 25;
/// Endpoints that are put in another order than by harm; and those that a stream looks for
/// the ones of its page among, since what happens to them changes their order.
const LOOKED_AMONG: usize = 100;
/// The form that rows are ticked for.
const FORM: &str = "several";
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
pub fn filters(visitor: &Visitor) -> Vec<(&'static str, &str)> {
    FILTERS.iter().filter_map(|(name, _)| Some((*name, visitor.query.filled(name)?))).collect()
}

/// The same with the order, and in that of harm with the page that one is on.
pub fn here(visitor: &Visitor) -> Vec<(&'static str, &str)> {
    let mut here = filters(visitor);
    here.extend(Order::of(visitor).parameter());
    here.extend(cursor(visitor).map(|cursor| ("cursor", cursor)));
    here
}

/// The page that one is on. Where it takes all that match to know the order there is one.
fn cursor(visitor: &Visitor) -> Option<&str> {
    visitor.query.filled("cursor").filter(|_| Order::of(visitor) == Order::Harm)
}

/// What the API is asked for.
fn asked<'a>(visitor: &'a Visitor, limit: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut asked = filters(visitor);
    asked.extend(cursor(visitor).map(|cursor| ("cursor", cursor)));
    asked.push(("limit", limit));
    asked
}

/// Puts endpoints that were looked at in order. Counts that this took are answered.
async fn put_in_order(
    visitor: &Visitor,
    endpoints: &mut [Endpoint],
) -> Result<Option<HashMap<String, Series>>, Trouble> {
    let order = Order::of(visitor);
    let counted = if order.is_by_counts() { Some(counted(visitor, endpoints).await?) } else { None };
    order.sort(endpoints, counted.as_ref().unwrap_or(&HashMap::new()));
    Ok(counted)
}

/// What people call a filter.
pub fn called(filter: &str) -> &str {
    FILTERS.iter().find(|(known, _)| *known == filter).map_or(filter, |(_, shown)| *shown)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let (filters, here, order) = (filters(visitor), here(visitor), Order::of(visitor));
    let limit = if order == Order::Harm { PAGE } else { LOOKED_AMONG }.to_string();
    let asked = asked(visitor, &limit);
    let mut found: Result<List<Endpoint>, Trouble> = visitor.get("/webhook-health", About::These, &asked).await;
    // Whoever may see none is told so by the whole page.
    if let Err(trouble) = &found
        && matches!(trouble.status, 401 | 403)
    {
        return Err(trouble.clone());
    }
    let (mut ordered, mut looked_at) = (Ok(None), 0);
    if let Ok(found) = &mut found {
        ordered = put_in_order(visitor, &mut found.data).await;
        looked_at = found.data.len();
        found.data.truncate(PAGE);
    }
    let is_filtered = !filters.is_empty() || (visitor.chooses_partner() && visitor.partner().is_some());
    let yet = html! {
        p { "No endpoint yet. It says where a partner's events go." }
        a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" }
    };
    let body = html! {
        (head("Endpoints", html! { (news(0, false, "")) a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } }))
        (narrowing(visitor))
        (chips(visitor, &filters))
        @match &found {
            Err(trouble) if trouble.status == 401 => {}
            // What was typed stays where it was typed.
            Err(trouble) => (answers::part(trouble)),
            Ok(found) if found.data.is_empty() && found.next_cursor.is_none() && cursor(visitor).is_none() => {
                div.list { (nothing(is_filtered, &visitor.address("/endpoints", None, &[]), &yet)) }
            }
            Ok(found) => {
                @if found.data.is_empty() { p.muted { "None among those that were looked at for this page; there are more behind it." } }
                @else {
                    @if let Err(trouble) = &ordered { (answers::part(trouble)) }
                    (several(visitor, &here, &found.data, ordered.ok().flatten()).await)
                }
                @if order == Order::Harm { (further(visitor, &filters, found.next_cursor.as_deref())) }
                @else { (beyond(visitor, &filters, looked_at, found)) }
            }
        }
        (frame::as_call(visitor, "/webhook-health", About::These, &asked))
    };
    match found {
        Err(trouble) if trouble.status == 401 => Err(trouble),
        Ok(found) if !found.data.is_empty() => {
            let ids: Vec<&str> = found.data.iter().map(|endpoint| endpoint.id.as_str()).collect();
            let (mut watched, ids) = (here, ids.join(","));
            watched.push(("shown", &ids));
            Ok(Page::new("Endpoints", body).script("bulk.js").live(visitor.to("/live/endpoints", &watched)))
        }
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
                        option value=(value) selected[visitor.query.get("health").unwrap_or_default() == value] { (in_words(visitor, value, word)) }
                    }
                }
            }
            @if visitor.chooses_partner() { (typed("partner", "Partner", "acme")) }
            (typed("type", "Wants the type", "campaign.updated"))
            (typed("url_part", "URL has", "example.com"))
            (order::choice(visitor))
            button { "Filter" }
        }
    }
}

/// A kind of health, without what is inside where partners read it.
fn in_words<'a>(visitor: &Visitor, value: &str, word: &'a str) -> &'a str {
    if value == "open" && visitor.is_partner() { "failing, tried seldom" } else { word }
}

/// What the list is narrowed by, each to be taken away.
fn chips<'a>(visitor: &Visitor, filters: &[(&'static str, &'a str)]) -> Markup {
    let partner = visitor.partner().filter(|_| visitor.chooses_partner());
    // Whatever is taken away, the order stays.
    let in_order = |mut others: Vec<(&'static str, &'a str)>| {
        others.extend(Order::of(visitor).parameter());
        others
    };
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
                @if let Some(partner) = partner { (chip("partner", partner, &visitor.address("/endpoints", None, &in_order(filters.to_vec())))) }
                @for (name, value) in filters {
                    @let others = in_order(filters.iter().copied().filter(|(other, _)| other != name).collect());
                    @let known = HEALTHS.iter().find(|(word, _)| *name == "health" && word == value);
                    (chip(called(name), known.map_or(*value, |(_, word)| in_words(visitor, value, word)), &visitor.to("/endpoints", &others)))
                }
            }
        }
    }
}

/// The table, and below it what is done to several of its rows.
async fn several(
    visitor: &Visitor,
    here: &[(&str, &str)],
    endpoints: &[Endpoint],
    known: Option<HashMap<String, Series>>,
) -> Markup {
    let counted = match known {
        Some(known) => Ok(known),
        None => counted(visitor, endpoints).await,
    };
    let verbs = endpoints::bulk::verbs(visitor);
    let deeds: Vec<Deed<'_>> =
        verbs.iter().map(|verb| Deed { verb: verb.word(), value: verb.path(), consequence: None }).collect();
    let bar = Bar {
        id: FORM,
        list: ("/endpoints", here),
        to: "bulk",
        nouns: ("endpoint", "endpoints"),
        deeds: &deeds,
        all: "further pages too; first a look at them",
    };
    html! {
        @if let Err(trouble) = &counted { (answers::part(trouble)) }
        (table(visitor, endpoints, counted.as_ref().ok(), Some(FORM)))
        (bulk::bar(visitor, &bar, &html! {}))
    }
}

/// What the last day of these came to.
pub async fn counted(visitor: &Visitor, endpoints: &[Endpoint]) -> Result<HashMap<String, Series>, Trouble> {
    let ids: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
    counts::of_endpoints(visitor, &ids).await
}

/// A table of endpoints; where rows can be ticked, with the form that they are ticked for.
pub fn table(
    visitor: &Visitor,
    endpoints: &[Endpoint],
    counted: Option<&HashMap<String, Series>>,
    form: Option<&str>,
) -> Markup {
    html! {
        div.list.many id=[form.map(|_| "rows")] {
            table {
                caption {
                    "The " (if form.is_some() { Order::of(visitor) } else { Order::Harm }.first()) " first"
                    @if form.is_none() || Order::of(visitor) == Order::Harm { ", and of those the newest" }
                    ". Success and p99 are those of the last 24 hours."
                }
                thead {
                    tr {
                        th scope="col" { "Health" } th scope="col" { "URL" } th scope="col" { "Partner" } th scope="col" { "Types" }
                        th scope="col" { "24 h" } th.num scope="col" { "Success" } th.num scope="col" { "p99" }
                        th.num scope="col" { "Waiting" } th.num scope="col" { "Oldest" }
                        @if form.is_some() { th scope="col" { "Do" } }
                    }
                }
                tbody {
                    @for endpoint in endpoints {
                        (row(visitor, endpoint, counted.and_then(|counted| counted.get(&endpoint.id)), form))
                    }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, endpoint: &Endpoint, series: Option<&Series>, form: Option<&str>) -> Markup {
    let of = format!("{} {}", endpoint.id, endpoint.partner);
    html! {
        tr id=(endpoint.id) {
            td.nowrap {
                @if let Some(form) = form { (bulk::tick(visitor, form, &of, &endpoint.url)) " " }
                (super::health(visitor, endpoint))
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
            @if let Some(form) = form { td.nowrap { (acts(visitor, endpoint, form, &of)) } }
        }
    }
}

/// What can be done to one, at once.
fn acts(visitor: &Visitor, endpoint: &Endpoint, form: &str, of: &str) -> Markup {
    let act = |verb: &str, label: &str| html! { button name="one" value={ (verb) " " (of) } form=(form) { (label) } };
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

/// What an order leaves out, and how far it goes.
fn beyond(visitor: &Visitor, filters: &[(&str, &str)], looked_at: usize, found: &List<Endpoint>) -> Markup {
    let is_of_some = found.next_cursor.is_some();
    html! {
        @if looked_at > found.data.len() || is_of_some {
            p.muted {
                (found.data.len()) " of "
                @if is_of_some { "the " (looked_at) " most harmed that match: narrow the list to put all of it in this order, or see " }
                @else { "the " (looked_at) " that match: narrow the list, or see " }
                a href=(visitor.to("/endpoints", filters)) { "all, page by page" } "."
            }
        }
    }
}

/// What a reload would show otherwise, as a link to it.
fn news(count: usize, is_moved: bool, to: &str) -> Markup {
    html! {
        p #news hidden[count == 0 && !is_moved] {
            a.button href=(to) { @if count > 0 { (count) " new here: reload" } @else { "Their order has changed: reload" } }
        }
    }
}

/// The rows that somebody sees, as they are by now.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::seldom(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let visitor = &visitor;
    let shown: Vec<&str> = visitor.query.get("shown").unwrap_or_default().split(',').take(PAGE).collect();
    let (here, limit) = (here(visitor), LOOKED_AMONG.to_string());
    let mut found: List<Endpoint> = visitor.get("/webhook-health", About::These, &asked(visitor, &limit)).await?;
    put_in_order(visitor, &mut found.data).await?;
    let first: Vec<&str> = found.data.iter().take(PAGE).map(|endpoint| endpoint.id.as_str()).collect();
    let (new, is_moved) = changed(&shown, &first);
    let found = &found;
    let now = shown.iter().map(|id| async move {
        match found.data.iter().find(|endpoint| endpoint.id == *id) {
            Some(endpoint) => Ok(Some(endpoint.clone())),
            // All were looked through: it is gone, or does not match any more.
            None if found.next_cursor.is_none() => Ok(None),
            // It stands further down by now, as one that has recovered does: it is read by
            // itself. A page has few.
            None => match endpoint::read(visitor, id).await {
                Ok(endpoint) => Ok(Some(endpoint)),
                Err(trouble) if trouble.status == 404 => Ok(None),
                Err(trouble) => Err(trouble),
            },
        }
    });
    let now: Result<Vec<Option<Endpoint>>, Trouble> = join_all(now).await.into_iter().collect();
    let rows: Vec<Endpoint> = now?.into_iter().flatten().collect();
    let counted = counted(visitor, &rows).await?;
    let table = table(visitor, &rows, Some(&counted), Some(FORM));
    Ok(vec![("rows", table), ("news", news(new, is_moved, &visitor.to("/endpoints", &here)))])
}

/// How many stand on a page by now that are not shown, and whether those that are would
/// stand in another order.
fn changed(shown: &[&str], now: &[&str]) -> (usize, bool) {
    let places: Vec<Option<usize>> = now.iter().map(|id| shown.iter().position(|known| known == id)).collect();
    let still: Vec<usize> = places.iter().flatten().copied().collect();
    (places.iter().filter(|place| place.is_none()).count(), !still.is_sorted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_would_change_is_told() {
        for (now, new, moved) in [
            (&["a", "b", "c"][..], 0, false),
            (&["a", "c"], 0, false),
            (&["n", "a", "b", "m", "c"], 2, false),
            (&["b", "a", "c"], 0, true),
            (&["c", "n", "a"], 1, true),
            (&[], 0, false),
        ] {
            assert_eq!(changed(&["a", "b", "c"], now), (new, moved), "{now:?}");
        }
    }
}
